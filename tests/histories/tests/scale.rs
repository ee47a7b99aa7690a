//! A hundred thousand transactions, in seconds.

mod support;

use std::time::{Duration, Instant};

use histories::transactions::check;
use histories::{History, Op, ProcessOrder};
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

/// Reads of long lists are long, so these are many.
const LARGE_LISTS: Plan = Plan { lists: 2000, ..LARGE };

/// More than ten times what it takes on an idle machine.
const TIME_MAX: Duration = Duration::from_secs(60);

fn time(name: &str, plan: Plan) {
    time_of(name, Generator::run(7, plan), true);
}

fn time_of(name: &str, history: History, valid: bool) {
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
    time("registers and lists", LARGE);
    time("registers", Plan { lists: 0, ..LARGE });
    time("few hot registers", Plan { lists: 0, registers: 3, writes_per_key: 0, ..LARGE });
    time("lists", Plan { registers: 0, ..LARGE });
    time("connections that are lost", Plan { crashes: 1, ..LARGE });
}

/// Every thousandth read of a register, and of a list, is of the state before all writes, so that
/// the whole history is one tangle.
#[test]
fn long_tangles() {
    let mut history = Generator::run(7, LARGE);
    let mut reads = 0;
    for transaction in history.transactions.iter_mut().filter(|t| t.is_ok()) {
        for op in &mut transaction.ops {
            reads += usize::from(matches!(op, Op::Read { .. } | Op::ReadList { .. }));
            match op {
                Op::Read { value, .. } if reads % 1000 == 0 => *value = None,
                Op::ReadList { elements, .. } if reads % 1000 == 1 => elements.clear(),
                _ => {}
            }
        }
    }
    time_of("a read in a thousand is wrong", history, false);
    let mut history = Generator::run(7, Plan { registers: 0, writes_per_key: 0, ..LARGE_LISTS });
    let end = history.transactions.iter().rposition(|t| {
        t.is_ok() && matches!(&t.ops[..], [Op::ReadList { elements, .. }] if !elements.is_empty())
    });
    let last = &mut history.transactions[end.expect("a read of a list")];
    last.ops = vec![Op::read_list(last.ops[0].key(), &[])];
    time_of("the last read sees the first state", history, false);
}
