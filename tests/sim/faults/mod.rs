//! The checks of this simulation are proved by mistakes: each is planted in all engines, and must be
//! found by what its kind breaks. Without it the same seed finds nothing.
//!
//! `cargo test --test sim every_planted_fault -- --nocapture` shows how many seeds each one took.

mod workload;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use histories::{ProcessOrder, transactions};
use ringwell::txn::Fault;

use workload::Run;

const SEEDS_MAX: u64 = 10_000;

/// What a run finds.
#[derive(Debug)]
enum Finding {
    /// No serial order explains the history.
    Anomaly(String),
    NoReply(String),
    /// An error, or what belongs to another command.
    WrongReply(String),
    /// Locks or watches without clients.
    LeftBehind(String),
}

impl Finding {
    fn left_behind(panic: Box<dyn Any + Send>) -> Finding {
        Finding::LeftBehind(text_of(&*panic))
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

fn run(seed: u64, fault: Option<Fault>) -> Result<(), Finding> {
    let mut run = Run::new(seed, fault);
    let outcome = run.record().and_then(|()| check(&run));
    match outcome {
        Ok(()) => run.vanish(),
        Err(finding) => {
            // What is stuck cannot end well.
            let _ = run.end();
            Err(finding)
        }
    }
}

fn check(run: &Run) -> Result<(), Finding> {
    let order = if run.depth == 1 { ProcessOrder::Total } else { ProcessOrder::PerKey };
    let report = transactions::check(&run.history, order).expect("a history that can be checked");
    assert!(!report.inference_cut_short);
    if report.is_clean() { Ok(()) } else { Err(Finding::Anomaly(report.to_string())) }
}

#[test]
fn every_planted_fault_is_found() {
    for fault in Fault::ALL {
        let start = std::time::Instant::now();
        let found = (0..SEEDS_MAX.min(300)).find_map(|seed| {
            let result = catch_unwind(AssertUnwindSafe(|| run(seed, Some(fault))));
            match result {
                Ok(Ok(())) => None,
                Ok(Err(f)) => Some((seed, format!("{f:?}"))),
                Err(p) => Some((seed, format!("PANIC {}", text_of(&*p)))),
            }
        });
        let ms = start.elapsed().as_millis();
        match found {
            Some((seed, f)) => println!("{fault:?} {} seeds, {ms} ms: {:.200}", seed + 1, f),
            None => println!("{fault:?} NOT FOUND {ms} ms"),
        }
    }
}

#[test]
fn without_a_fault_nothing_is_found() {
    for seed in 0..200 {
        if let Err(finding) = run(seed, None) {
            panic!("seed {seed}: {finding:?}");
        }
    }
}
