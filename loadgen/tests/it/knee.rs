//! `loadgen knee` against real servers.

use libtest_mimic::Trial;

use crate::run::json;
use crate::support::{Kind, Scratch, Server, beside_others, loadgen_line, on_both_servers};

pub fn trials() -> Vec<Trial> {
    on_both_servers(
        "knee",
        &[
            ("it_climbs_to_the_top_and_draws_the_curve", it_climbs_to_the_top),
            ("an_objective_that_nothing_meets_is_a_failure", nothing_meets_it),
        ],
    )
}

/// A median that any machine keeps at rates that any machine makes.
fn it_climbs_to_the_top(kind: Kind) {
    let _turn = beside_others();
    let server = Server::start(kind);
    let scratch = Scratch::new("knee");
    let report = scratch.file("report");
    let output = loadgen_line(&format!(
        "knee {} --slo p50=500ms --from 500 --to 2k --duration 200ms --warmup 50ms -c \
         4 --quiet -o {} --keys 100 --preload",
        server.address(),
        report
    ))
    .expect_status(0);
    let met = output.out.lines().filter(|line| line.ends_with(" met")).count();
    assert!(met >= 1, "{}", output.out);
    assert!(output.out.contains("/s meets p50 <= 500 ms"), "{}", output.out);
    let run = json(&report);
    assert_eq!(run["knee"]["percentile"], "p50");
    let points = run["knee"]["points"].as_array().expect("points");
    assert!(points.len() >= met);
    let page = std::fs::read_to_string(format!("{report}/report.html")).expect("a page");
    assert!(page.contains("<svg"));
}

fn nothing_meets_it(kind: Kind) {
    let _turn = beside_others();
    let server = Server::start(kind);
    let output = loadgen_line(&format!(
        "knee {} --slo p50=1us --from 2k --duration 50ms --warmup 0 -c 4 --quiet \
         --cmd PING",
        server.address()
    ))
    .expect_status(1);
    assert!(output.err.contains("no rate that was tried meets p50 <= 1.00 µs"), "{}", output.err);
    assert!(output.out.contains("missed"), "{}", output.out);
}
