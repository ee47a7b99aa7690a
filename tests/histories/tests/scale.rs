//! A hundred thousand transactions, in seconds.

mod support;

use std::time::{Duration, Instant};

use histories::ProcessOrder;
use histories::transactions::check;
use support::{Generator, Plan, SMALL};

const LARGE: Plan = Plan {
    transactions: 100_000,
    processes: 30,
    registers: 10,
    lists: 10,
    crashes: 0,
    refusals: 1,
    writes_per_key: 60,
    ..SMALL
};

/// More than ten times what it takes on an idle machine.
const TIME_MAX: Duration = Duration::from_secs(60);

fn time(name: &str, plan: Plan, valid: bool) {
    let history = Generator::run(7, plan);
    assert!(history.transactions.len() >= 100_000);
    let start = Instant::now();
    let report = check(&history, ProcessOrder::Total).expect("a history that can be checked");
    let taken = start.elapsed();
    println!("{name}: {taken:?}");
    assert_eq!(report.is_clean(), valid, "{report}");
    assert!(!report.inference_cut_short);
    assert!(taken < TIME_MAX, "{name} took {taken:?}");
}

#[test]
fn long_valid_histories() {
    time("registers and lists", LARGE, true);
    time("registers", Plan { lists: 0, ..LARGE }, true);
    time("few hot registers", Plan { lists: 0, registers: 3, writes_per_key: 0, ..LARGE }, true);
    time("lists", Plan { registers: 0, ..LARGE }, true);
    time("connections that are lost", Plan { crashes: 1, ..LARGE }, true);
}
