//! `loadgen check` against real servers.

use std::fs;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::{
    Kind, Scratch, Server, beside_others, loadgen, loadgen_line, on_both_servers,
};

pub fn trials() -> Vec<Trial> {
    on_both_servers("check", &[("regressions_have_their_own_status", regressions)])
}

/// In an open loop the rate is what was asked for, whatever the machine's mood: a baseline that
/// was twice as fast is a regression, one that was half as fast is none.
fn regressions(kind: Kind) {
    let _turn = beside_others();
    let server = Server::start(kind);
    let scratch = Scratch::new("check");
    let baseline = scratch.file("baseline");
    loadgen_line(&format!(
        "run {} -c 2 --rate 2k --duration 250ms --warmup 20ms --cmd PING --quiet -o \
         {}",
        server.address(),
        baseline
    ))
    .expect_status(0);

    // Of the figures only the rate stays: latencies of a busy machine say nothing here.
    let check = |rate: f64| {
        let path = format!("{baseline}/run.json");
        let mut run: Value =
            serde_json::from_str(&fs::read_to_string(&path).expect("run.json")).expect("JSON");
        run["results"]["rate"] = json!(rate);
        let changed = scratch.file("changed.json");
        fs::write(&changed, run.to_string()).expect("writing");
        loadgen(&["check", "--baseline", &changed, "--rounds", "5", "--tolerance", "1", "--quiet"])
    };
    let slower = check(1e6);
    let line = |out: &str| {
        let line = out.lines().find(|line| line.starts_with("throughput"));
        line.unwrap_or_else(|| panic!("no throughput: {out}")).to_owned()
    };
    assert!(line(&slower.out).ends_with("REGRESSION"), "{}", slower.out);
    assert_eq!(slower.status, 3, "{}", slower.err);
    assert!(slower.err.contains("regression") && slower.err.contains("throughput"), "{slower:?}");
    let faster = check(10.0);
    assert!(line(&faster.out).ends_with("better"), "{}", faster.out);
    assert!(!faster.err.contains("throughput"), "{faster:?}");

    let missing = loadgen(&["check", "--baseline", &scratch.file("nothing")]).expect_status(1);
    assert!(missing.err.contains("cannot read"), "{}", missing.err);
}
