//! Thousands of histories of a store that is right are accepted; those of a broken one, and those
//! with one falsified read, are mostly not.

mod support;

use histories::transactions::check;
use histories::{History, Op, ProcessOrder};
use support::{Generator, Plan, Rng, SMALL};

fn is_clean(history: &History, order: ProcessOrder) -> bool {
    check(history, order).expect("a history that can be checked").is_clean()
}

fn assert_accepted(name: &str, seed: u64, history: &History, order: ProcessOrder) {
    let report = check(history, order).expect("a history that can be checked");
    assert!(report.is_clean(), "{name}, seed {seed}: {report}");
    assert!(!report.inference_cut_short, "{name}, seed {seed}: inference was cut short");
}

#[test]
fn valid_histories_are_accepted() {
    let plans = [
        ("mixed", SMALL),
        ("registers", Plan { lists: 0, ..SMALL }),
        ("lists", Plan { registers: 0, ..SMALL }),
        ("one register", Plan { lists: 0, registers: 1, processes: 8, ..SMALL }),
        ("deletes", Plan { deletes: 15, ..SMALL }),
        ("lengths", Plan { registers: 0, lengths: 50, ..SMALL }),
        ("queues", Plan { registers: 0, queues: 3, ..SMALL }),
        ("many crashes among queues", Plan { queues: 3, crashes: 25, refusals: 15, ..SMALL }),
        ("many crashes", Plan { crashes: 25, refusals: 15, ..SMALL }),
        ("single operations", Plan { ops_max: 1, ..SMALL }),
        ("pipelined", Plan { pipelined: 60, ..SMALL }),
        ("pipelined with deletes and crashes", Plan { pipelined: 60, deletes: 10, ..SMALL }),
    ];
    for (name, plan) in plans {
        for seed in 0..1000 {
            let history = Generator::run(seed, plan);
            assert_accepted(name, seed, &history, ProcessOrder::Total);
            assert_accepted(name, seed, &history, ProcessOrder::AroundSeveralKeys);
            assert_accepted(name, seed, &history, ProcessOrder::PerKey);
        }
    }
}

/// Stale reads and torn transactions here and there.
#[test]
fn a_broken_store_is_found_out() {
    let caught = |plan: Plan| {
        let histories = (0..300).map(|seed| Generator::run(seed, plan));
        histories.filter(|history| !is_clean(history, ProcessOrder::Total)).count()
    };
    let broken = Plan { broken: 15, crashes: 0, refusals: 0, ..SMALL };
    let (lists, registers) =
        (caught(Plan { registers: 0, ..broken }), caught(Plan { lists: 0, ..broken }));
    println!("of 300 broken histories: lists {lists}, registers {registers}");
    assert!(lists >= 240, "{lists}");
    assert!(registers >= 240, "{registers}");
    assert_eq!(caught(Plan { broken: 0, ..broken }), 0);
}

/// Changes one read of an acknowledged transaction, if there is one that `change` can change.
fn falsify(
    history: &mut History,
    rng: &mut Rng,
    change: impl Fn(&mut Op, &mut Rng) -> bool,
) -> bool {
    let count = history.transactions.len();
    let start = rng.below(count);
    let mut places = (0..count).map(|step| (start + step) % count);
    places.any(|place| {
        let transaction = &mut history.transactions[place];
        transaction.is_ok() && transaction.ops.iter_mut().any(|op| change(op, rng))
    })
}

fn rate(plan: Plan, change: impl Fn(&mut Op, &mut Rng) -> bool) -> usize {
    let (mut falsified, mut found, mut seed) = (0, 0, 0);
    while falsified < 500 {
        let mut history = Generator::run(seed, plan);
        if falsify(&mut history, &mut Rng::new(seed), &change) {
            falsified += 1;
            found += usize::from(!is_clean(&history, ProcessOrder::Total));
        }
        seed += 1;
        assert!(seed < 5000, "too few histories can be falsified");
    }
    found * 100 / falsified
}

#[test]
fn falsified_reads_are_detected() {
    let lists = Plan { registers: 0, ..SMALL };
    let dropped = rate(lists, |op, rng| match op {
        Op::ReadList { elements, .. } if elements.len() > 1 => {
            elements.remove(rng.below(elements.len() - 1));
            true
        }
        _ => false,
    });
    let cut = rate(lists, |op, _| match op {
        Op::ReadList { elements, .. } => elements.pop().is_some(),
        _ => false,
    });
    let reordered = rate(lists, |op, rng| match op {
        Op::ReadList { elements, .. } if elements.len() > 1 => {
            let place = rng.below(elements.len() - 1);
            elements.swap(place, place + 1);
            true
        }
        _ => false,
    });
    let registers = Plan { lists: 0, ..SMALL };
    // Values grow with time: an older one of any key, a value of this key or not.
    let older = rate(registers, |op, rng| match op {
        Op::Read { value: Some(value), .. } if *value > 1 => {
            *value -= 1 + rng.below(*value as usize - 1) as u64;
            true
        }
        _ => false,
    });
    let gone = rate(registers, |op, _| match op {
        Op::Read { value, .. } => value.take().is_some(),
        _ => false,
    });
    println!(
        "detected of 100: dropped {dropped}, cut {cut}, reordered {reordered}, older {older}, \
         gone {gone}"
    );
    assert!(dropped >= 99 && reordered >= 98, "dropped {dropped}, reordered {reordered}");
    assert!(cut >= 80, "{cut}");
    assert!(older >= 95 && gone >= 95, "older {older}, gone {gone}");
}

/// A register's read becomes another value that was written to the same key at some time.
#[test]
fn swapped_values_are_detected() {
    let registers = Plan { lists: 0, ..SMALL };
    let (mut swapped, mut found, mut seed) = (0, 0, 0);
    while swapped < 500 {
        let mut history = Generator::run(seed, registers);
        let mut rng = Rng::new(seed);
        let mut writes: Vec<(String, u64)> = Vec::new();
        for op in history.transactions.iter().filter(|t| t.is_ok()).flat_map(|t| &t.ops) {
            if let Op::Write { key, value } = op {
                writes.push((key.clone(), *value));
            }
        }
        let changed = falsify(&mut history, &mut rng, |op, rng| {
            let Op::Read { key, value: Some(value) } = op else { return false };
            let others: Vec<u64> =
                writes.iter().filter(|w| w.0 == *key && w.1 != *value).map(|w| w.1).collect();
            if !others.is_empty() {
                *value = others[rng.below(others.len())];
            }
            !others.is_empty()
        });
        if changed {
            swapped += 1;
            found += usize::from(!is_clean(&history, ProcessOrder::Total));
        }
        seed += 1;
    }
    println!("detected {found} of {swapped} swapped values");
    assert!(found * 100 / swapped >= 95, "{found} of {swapped}");
}
