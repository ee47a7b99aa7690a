//! The checks of this simulation are themselves proved: mistakes are planted in the engines, each
//! must be found by the check that is there for its kind, and without it the same seed finds
//! nothing.
//!
//! To see how many seeds each one took:
//!
//! ```sh
//! cargo test --test sim every_planted_fault_is_found -- --nocapture
//! ```

mod workload;

use histories::{ProcessOrder, transactions};
use ringwell::txn::Fault;

use crate::{blocking, moves, order};
use workload::Run;

const SEEDS_MAX: u64 = 10_000;

/// Which check has found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// No serial order explains the history.
    Serializability,
    /// Every request is answered.
    Liveness,
    /// A reply is one that its command can have.
    Replies,
    /// Without clients there are no locks and no watches.
    Leaks,
    /// What is waited for reaches one client, the first in the queue, when it is to be had.
    Waiting,
    /// Nothing that a connection sends overtakes what it must not.
    Order,
    /// What concerns every connection meets each once, whichever core it is on.
    Moves,
}

#[derive(Debug)]
struct Finding {
    check: Check,
    text: String,
}

impl Finding {
    fn new(check: Check, text: impl Into<String>) -> Self {
        Finding { check, text: text.into() }
    }
}

fn check_that_finds(fault: Fault) -> Check {
    match fault {
        Fault::ReadSlipsIn
        | Fault::SharedBesideExclusive
        | Fault::RunsBeforeLocked
        | Fault::ReleasedEarly
        | Fault::OvertakesOwn
        | Fault::StoreLost
        | Fault::StoredAfterRelease
        | Fault::ChangeUnnoticed
        | Fault::WatchNotLookedAt
        | Fault::WatchesNotAgreed
        | Fault::ExecInterleaved => Check::Serializability,
        // Two shards that grant in different orders wait for each other.
        Fault::NewcomerOvertakes
        | Fault::GrantedOutOfOrder
        | Fault::WakeUpLost
        | Fault::OrderNotSettled => Check::Liveness,
        Fault::LocksOfVanishedKept | Fault::WatchesOfVanishedKept => Check::Leaks,
        Fault::TurnNotKept => Check::Order,
        Fault::TasksNotOrdered => Check::Moves,
        Fault::ServedTwice
        | Fault::ServedOutOfOrder
        | Fault::ServedBeforeTheEnd
        | Fault::ReleaseServesNobody
        | Fault::WaitsTooLate
        | Fault::ServedThoughVanished
        | Fault::EndNotLookedAt
        | Fault::LetGoBeforeRun => Check::Waiting,
    }
}

fn run(seed: u64, fault: Fault, planted: bool) -> Result<(), Finding> {
    let (planted, check) = (planted.then_some(fault), check_that_finds(fault));
    let run = match (check, fault) {
        (Check::Order, _) => order::several_keys_wait_for_who_waits,
        (Check::Moves, _) => moves::every_connection_is_met_once,
        (Check::Waiting, Fault::ServedOutOfOrder) => blocking::first_come_first_served,
        (Check::Waiting, Fault::EndNotLookedAt | Fault::LetGoBeforeRun) => {
            blocking::push_among_locks
        }
        (Check::Waiting, _) => blocking::run,
        _ => return run_transactions(seed, planted),
    };
    run(seed, planted).map_err(|text| Finding::new(check, text))
}

fn run_transactions(seed: u64, fault: Option<Fault>) -> Result<(), Finding> {
    let mut run = Run::new(seed, fault);
    match run.record().and_then(|()| check_history(&run)) {
        Ok(()) => run.vanish(),
        Err(finding) => {
            // Nothing says how it ends after that.
            run.end();
            Err(finding)
        }
    }
}

fn check_history(run: &Run) -> Result<(), Finding> {
    let order = if run.depth == 1 { ProcessOrder::Total } else { ProcessOrder::AroundSeveralKeys };
    let report = transactions::check(&run.history, order).expect("a history that can be checked");
    assert!(!report.inference_cut_short);
    if report.is_clean() {
        return Ok(());
    }
    Err(Finding::new(Check::Serializability, report.to_string()))
}

#[test]
fn every_planted_fault_is_found() {
    println!("{:<24}{:>6}  check", "fault", "seeds");
    for fault in Fault::ALL {
        let check = check_that_finds(fault);
        let finds = |seed: &u64| run(*seed, fault, true).is_err_and(|found| found.check == check);
        let Some(seed) = (0..SEEDS_MAX).find(finds) else {
            panic!("{fault:?} is not found by {check:?} in {SEEDS_MAX} seeds");
        };
        let innocent = run(seed, fault, false);
        assert!(innocent.is_ok(), "seed {seed} without {fault:?}: {innocent:?}");
        println!("{:<24}{:>6}  {check:?}", format!("{fault:?}"), seed + 1);
    }
}

#[test]
fn without_a_fault_nothing_is_found() {
    crate::for_each_seed(|seed| {
        if let Err(Finding { check, text }) = run_transactions(seed, None) {
            panic!("{check:?}: {text}");
        }
    });
}
