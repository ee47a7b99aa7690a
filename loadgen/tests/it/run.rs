//! `loadgen run` against real servers.

use std::fs;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::{Kind, Scratch, Server, beside_others, loadgen_line, on_both_servers};

pub fn trials() -> Vec<Trial> {
    on_both_servers(
        "run",
        &[
            ("a_closed_loop_writes_every_file", a_closed_loop_writes_every_file),
            ("an_open_loop_sends_exactly_what_was_asked_for", an_open_loop_sends_exactly),
            ("values_are_verified", values_are_verified),
        ],
    )
}

fn a_closed_loop_writes_every_file(kind: Kind) {
    let _turn = beside_others();
    let server = Server::start(kind);
    let scratch = Scratch::new("run");
    let report = scratch.file("report");
    let output = loadgen_line(&format!(
        "run {} -c 4 -P 4 --duration 300ms --warmup 50ms --keys 1000 --preload \
         --quiet -o {}",
        server.address(),
        report
    ))
    .expect_status(0);
    for part in ["GET", "SET", "total", "p99", "verdict"] {
        assert!(output.out.contains(part), "{part}: {}", output.out);
    }
    assert_eq!(output.err, "", "--quiet");

    let run = json(&report);
    let results = &run["results"];
    let received = results["received"].as_u64().expect("a count");
    assert!(received > 100, "{received}");
    assert_eq!(results["sent"], results["received"]);
    assert_eq!(results["total"]["count"], results["received"]);
    assert_eq!(results["total"]["misses"], 0, "everything was preloaded");
    assert_eq!(results["errors"], 0);
    assert_eq!(results["server_commands"].as_u64(), Some(received), "the server's own count");
    for file in ["series.csv", "response.hgrm", "service.hgrm", "intervals.hlog", "report.html"] {
        let text = fs::read_to_string(format!("{report}/{file}")).expect(file);
        assert!(!text.is_empty(), "{file}");
    }
    let page = fs::read_to_string(format!("{report}/report.html")).expect("a page");
    assert!(page.contains("<svg") && !page.contains("<script"));
}

fn an_open_loop_sends_exactly(kind: Kind) {
    let _turn = beside_others();
    let server = Server::start(kind);
    let output = loadgen_line(&format!(
        "run {} -c 4 --rate 2k --arrivals poisson --requests 700 --warmup 0 --cmd PING --json \
         --quiet",
        server.address()
    ))
    .expect_status(0);
    let run: Value = serde_json::from_str(&output.out).expect("JSON");
    let results = &run["results"];
    for field in ["sent", "received"] {
        assert_eq!(results[field], 700, "{field}");
    }
    assert_eq!(results["total"]["count"], 700);
    let seconds = results["elapsed_seconds"].as_f64().expect("a number");
    // 0.35 s, with the deviation of 700 exponential gaps (4 %) and a busy machine.
    assert!((0.25..2.0).contains(&seconds), "{seconds}");
}

fn values_are_verified(kind: Kind) {
    let _turn = beside_others();
    let server = Server::start(kind);
    let output = loadgen_line(&format!(
        "run {} -c 4 --duration 200ms --warmup 0 --keys 100 --mix get=1,set=1 -d \
         32-200 --verify --json --quiet",
        server.address()
    ))
    .expect_status(0);
    let run: Value = serde_json::from_str(&output.out).expect("JSON");
    assert_eq!(run["results"]["wrong"], 0);
    assert!(run["results"]["total"]["hits"].as_u64().is_some_and(|hits| hits > 0), "{run}");
}

pub fn json(directory: &str) -> Value {
    let text = fs::read_to_string(format!("{directory}/run.json")).expect("run.json");
    serde_json::from_str(&text).expect("JSON")
}
