//! Tiny histories, compared with trying every serial order there is.

mod support;

use histories::transactions::check;
use histories::{History, Op, Outcome, ProcessOrder};
use support::{Generator, Plan, Rng, SMALL, Store, read_all_lists};

/// Whether some serial order, real time and the processes' orders kept, explains every read.
/// Transactions without an answer may be anywhere after they were sent, or nowhere.
fn is_strictly_serializable(history: &History) -> bool {
    let count = history.transactions.len();
    let may_run: Vec<usize> = (0..count)
        .filter(|&index| history.transactions[index].outcome != Outcome::Failed)
        .collect();
    fn search(history: &History, may_run: &[usize], done: &mut Vec<usize>, store: &Store) -> bool {
        let open: Vec<usize> =
            may_run.iter().copied().filter(|index| !done.contains(index)).collect();
        if open.iter().all(|&index| !history.transactions[index].is_ok()) {
            return true;
        }
        open.iter().any(|&index| {
            let transaction = &history.transactions[index];
            let too_early = open.iter().any(|&other| {
                let other_one = &history.transactions[other];
                let in_time = other_one.completed().is_some_and(|end| end < transaction.invoked);
                let in_process = other_one.process == transaction.process
                    && other_one.is_ok()
                    && (other_one.invoked, other) < (transaction.invoked, index);
                in_time || in_process
            });
            if too_early {
                return false;
            }
            let mut after = store.clone();
            let explained = transaction.ops.iter().all(|op| {
                let explained = after.explains(op);
                explained || !transaction.is_ok()
            });
            done.push(index);
            let found = explained && search(history, may_run, done, &after);
            done.pop();
            found
        })
    }
    search(history, &may_run, &mut Vec::new(), &Store::default())
}

/// Mostly wrong histories: some from a broken store, some with reads of anything.
fn tiny(seed: u64, plan: Plan) -> History {
    let mut rng = Rng::new(!seed);
    let mut history = Generator::run(seed, plan);
    let highest = history.transactions.len() * plan.ops_max;
    for transaction in &mut history.transactions {
        for op in &mut transaction.ops {
            match op {
                Op::Read { value, .. } if rng.chance(15) => {
                    *value = Some(1 + rng.below(highest) as u64).filter(|_| rng.chance(70));
                }
                Op::ReadList { elements, .. } | Op::ReadQueue { elements, .. }
                    if rng.chance(10) =>
                {
                    if rng.chance(50) {
                        elements.pop();
                    } else {
                        elements.push(1 + rng.below(highest) as u64);
                    }
                }
                _ => {}
            }
        }
    }
    history
}

const TINY: Plan = Plan {
    transactions: 6,
    processes: 4,
    registers: 2,
    lists: 0,
    ops_max: 3,
    broken: 30,
    crashes: 5,
    refusals: 5,
    ..SMALL
};

#[derive(Default, Debug)]
struct Tally {
    valid: usize,
    invalid: usize,
    found: usize,
}

fn compare(seeds: u64, plan: Plan, tally: &mut Tally, with_final_reads: bool) {
    for seed in 0..seeds {
        let mut history = tiny(seed, plan);
        if with_final_reads {
            history.transactions.truncate(5);
            let lists = final_lists(&history, &mut Rng::new(seed));
            read_all_lists(&mut history, &lists);
        }
        let report = check(&history, ProcessOrder::Total).expect("a history that can be checked");
        if is_strictly_serializable(&history) {
            tally.valid += 1;
            assert!(report.is_clean(), "seed {seed}: a false alarm: {report}\n{history:#?}");
        } else {
            tally.invalid += 1;
            tally.found += usize::from(!report.is_clean());
            if with_final_reads {
                assert!(!report.is_clean(), "seed {seed}: not found: {history:#?}");
            }
        }
    }
}

/// The longest that anybody saw, then what is not in it in any order.
fn final_lists(history: &History, rng: &mut Rng) -> Vec<(String, Vec<u64>)> {
    let mut lists: std::collections::BTreeMap<String, Vec<u64>> = Default::default();
    let acknowledged = || history.transactions.iter().filter(|t| t.is_ok()).flat_map(|t| &t.ops);
    for op in acknowledged() {
        let list = lists.entry(op.key().to_owned()).or_default();
        if let Op::ReadList { elements, .. } = op
            && elements.len() > list.len()
        {
            list.clone_from(elements);
        }
    }
    let mut appends: Vec<(&str, u64)> = Vec::new();
    for op in acknowledged() {
        if let Op::Append { key, element } = op {
            let place = rng.below(appends.len() + 1);
            // Mostly in the order of the history.
            let place = if rng.chance(70) { appends.len() } else { place };
            appends.insert(place, (key, *element));
        }
    }
    for (key, element) in appends {
        let list = lists.get_mut(key).expect("every key has a list");
        if !list.contains(&element) {
            list.push(element);
        }
    }
    lists.into_iter().collect()
}

#[test]
fn no_false_alarms_about_registers() {
    let mut tally = Tally::default();
    compare(4000, TINY, &mut tally, false);
    compare(2000, Plan { registers: 1, ops_max: 2, ..TINY }, &mut tally, false);
    compare(2000, Plan { deletes: 15, ..TINY }, &mut tally, false);
    compare(2000, Plan { registers: 3, broken: 0, ..TINY }, &mut tally, false);
    compare(1000, Plan { pipelined: 40, ..TINY }, &mut tally, false);
    println!("registers: {tally:?}");
    assert!(tally.valid > 2000 && tally.invalid > 2000, "{tally:?}");
    assert!(tally.found * 100 / tally.invalid >= 99, "{tally:?}");
}

#[test]
fn no_false_alarms_about_lists() {
    let mut tally = Tally::default();
    let lists = Plan { registers: 0, lists: 2, ..TINY };
    compare(4000, lists, &mut tally, false);
    compare(2000, Plan { deletes: 15, ..lists }, &mut tally, false);
    compare(2000, Plan { registers: 1, lists: 1, ..TINY }, &mut tally, false);
    compare(1000, Plan { pipelined: 40, ..lists }, &mut tally, false);
    println!("lists: {tally:?}");
    assert!(tally.valid > 2000 && tally.invalid > 2000, "{tally:?}");
    assert!(tally.found * 100 / tally.invalid >= 99, "{tally:?}");
}

#[test]
fn no_false_alarms_about_lengths() {
    let mut tally = Tally::default();
    let lengths = Plan { registers: 0, lists: 2, lengths: 50, ..TINY };
    compare(4000, lengths, &mut tally, false);
    compare(2000, Plan { deletes: 15, ..lengths }, &mut tally, false);
    println!("lengths: {tally:?}");
    assert!(tally.valid > 1000 && tally.invalid > 1000, "{tally:?}");
    assert!(tally.found * 100 / tally.invalid >= 80, "{tally:?}");
}

/// What is wrong about queues may rest on their being empty at some time, of which little can be
/// inferred.
#[test]
fn no_false_alarms_about_queues() {
    let mut tally = Tally::default();
    let queues = Plan { registers: 0, queues: 2, ..TINY };
    compare(4000, queues, &mut tally, false);
    compare(2000, Plan { queues: 1, ops_max: 2, ..queues }, &mut tally, false);
    compare(2000, Plan { queues: 1, lists: 1, ..queues }, &mut tally, false);
    compare(1000, Plan { pipelined: 40, ..queues }, &mut tally, false);
    println!("queues: {tally:?}");
    assert!(tally.valid > 2000 && tally.invalid > 2000, "{tally:?}");
    assert!(tally.found * 100 / tally.invalid >= 80, "{tally:?}");
}

/// Where every list is read in the end, the checker finds all there is.
#[test]
fn complete_for_lists_that_are_read_in_the_end() {
    let mut tally = Tally::default();
    let lists = Plan { registers: 0, lists: 2, ..TINY };
    compare(6000, lists, &mut tally, true);
    compare(3000, Plan { lists: 3, broken: 10, ..lists }, &mut tally, true);
    compare(3000, Plan { pipelined: 40, broken: 10, ..lists }, &mut tally, true);
    println!("lists with final reads: {tally:?}");
    assert!(tally.valid > 1000 && tally.invalid > 1000, "{tally:?}");
}
