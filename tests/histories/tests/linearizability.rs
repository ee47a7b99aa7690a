//! Single keys: by hand, against trying all orders, and at length.

mod support;

use std::time::{Duration, Instant};

use histories::linearizability;
use histories::linearizability::{Action, Operation, Pipelines, Verdict};
use support::Rng;

fn op(process: u32, invoked: u64, completed: u64, action: Action) -> Operation {
    Operation { process, key: "x".to_owned(), invoked, completed: Some(completed), action }
}

fn get(value: i64) -> Action {
    Action::Get { value: Some(value) }
}

const ABSENT: Action = Action::Get { value: None };

fn set(value: i64) -> Action {
    Action::Set { value }
}

fn check(operations: &[Operation]) -> Verdict {
    linearizability::check(operations, Pipelines::AnyOrder)
}

fn is_linearizable(operations: &[Operation]) -> bool {
    let verdict = check(operations);
    assert!(verdict.undecided.is_empty());
    assert_eq!(verdict.is_linearizable(), verdict.violations.is_empty());
    verdict.is_linearizable()
}

/// One after the other.
fn in_turn(actions: &[Action]) -> Vec<Operation> {
    let at = |place: usize| 10 * place as u64;
    let timed = |(place, action): (usize, &Action)| op(0, at(place), at(place) + 5, *action);
    actions.iter().enumerate().map(timed).collect()
}

#[test]
fn every_action_in_turn() {
    let existed = |existed| Action::Delete { existed: Some(existed) };
    let increment = |by, result| Action::Increment { by, result };
    let cas = |expected, value, swapped| Action::CompareAndSet { expected, value, swapped };
    assert!(is_linearizable(&in_turn(&[ABSENT, set(1), get(1), set(2), get(2)])));
    assert!(!is_linearizable(&in_turn(&[set(1), ABSENT])));
    assert!(!is_linearizable(&in_turn(&[set(1), set(2), get(1)])));
    assert!(is_linearizable(&in_turn(&[existed(false), set(1), existed(true), ABSENT])));
    assert!(!is_linearizable(&in_turn(&[existed(true)])));
    assert!(!is_linearizable(&in_turn(&[set(1), existed(false)])));
    assert!(is_linearizable(&in_turn(&[set(1), Action::Delete { existed: None }, ABSENT])));
    assert!(is_linearizable(&in_turn(&[increment(2, 2), increment(-3, -1), get(-1)])));
    assert!(!is_linearizable(&in_turn(&[increment(1, 1), increment(1, 1)])));
    assert!(!is_linearizable(&in_turn(&[set(i64::MAX), increment(1, i64::MIN)])));
    assert!(is_linearizable(&in_turn(&[cas(None, 1, true), cas(None, 2, false), get(1)])));
    assert!(!is_linearizable(&in_turn(&[cas(None, 1, true), cas(Some(1), 2, false)])));
    assert!(!is_linearizable(&in_turn(&[cas(Some(1), 1, true)])));
}

#[test]
fn overlapping_operations_may_be_in_either_order() {
    let overlapping = |first, second| {
        vec![
            op(0, 0, 10, set(1)),
            op(1, 5, 15, set(2)),
            op(2, 20, 21, first),
            op(3, 22, 23, second),
        ]
    };
    assert!(is_linearizable(&overlapping(get(1), get(1))));
    assert!(is_linearizable(&overlapping(get(2), get(2))));
    assert!(!is_linearizable(&overlapping(get(1), get(2))));
    // While one of them runs the value may change between the reads.
    let running = [op(0, 0, 90, set(1)), op(1, 5, 15, set(2))];
    let reads = [op(2, 20, 21, get(2)), op(3, 22, 23, get(1))];
    assert!(is_linearizable(&[&running[..], &reads].concat()));
    // At equal times they overlap.
    assert!(is_linearizable(&[op(0, 0, 5, set(1)), op(1, 5, 6, ABSENT)]));
    assert!(!is_linearizable(&[op(0, 0, 5, set(1)), op(1, 6, 7, ABSENT)]));
}

#[test]
fn pipelines_may_be_held_to_their_order() {
    let pipeline = [op(0, 0, 50, set(1)), op(0, 1, 50, set(2)), op(0, 60, 61, get(1))];
    let verdict = |pipelines| linearizability::check(&pipeline, pipelines).is_linearizable();
    assert!(verdict(Pipelines::AnyOrder));
    assert!(!verdict(Pipelines::InOrder));
    // What has no answer may be missing in the middle.
    let mut lost = pipeline.to_vec();
    lost[0].completed = None;
    lost[2] = op(1, 60, 61, get(2));
    assert!(linearizability::check(&lost, Pipelines::InOrder).is_linearizable());
}

#[test]
fn what_has_no_answer_takes_effect_once_at_any_time_or_never() {
    let lost = Operation { completed: None, ..op(0, 0, 0, Action::Increment { by: 1, result: 9 }) };
    let reads = |values: &[Action]| {
        let reads = in_turn(values).into_iter();
        let later = |read: Operation| {
            let completed = read.completed.map(|end| end + 100);
            Operation { invoked: read.invoked + 100, completed, process: 1, ..read }
        };
        std::iter::once(lost.clone()).chain(reads.map(later)).collect::<Vec<_>>()
    };
    assert!(is_linearizable(&reads(&[ABSENT, ABSENT])));
    assert!(is_linearizable(&reads(&[ABSENT, get(1)])));
    assert!(!is_linearizable(&reads(&[get(1), ABSENT])));
    assert!(!is_linearizable(&reads(&[get(1), get(2)])));
    let read = Operation { completed: None, ..op(0, 0, 0, get(77)) };
    assert!(is_linearizable(&[read]));
}

#[test]
fn many_lost_sets_do_not_matter_if_nobody_saw_them() {
    let lost = |value: i64| Operation { completed: None, ..op(value as u32, 0, 0, set(value)) };
    let mut operations: Vec<Operation> = (0..500).map(lost).collect();
    operations.push(op(1000, 5, 6, get(7)));
    assert!(is_linearizable(&operations));
    // With deletions they all may, and there are too many.
    operations.push(op(1001, 7, 8, Action::Delete { existed: Some(true) }));
    let verdict = check(&operations);
    assert_eq!(
        (verdict.undecided.as_slice(), verdict.is_linearizable()),
        (&["x".into()][..], false)
    );
    assert_eq!(verdict.to_string(), "x: undecided, too many operations at once\n");
}

#[test]
fn keys_are_apart() {
    let other = Operation { key: "y".to_owned(), ..op(0, 0, 1, set(1)) };
    assert!(is_linearizable(&[other, op(0, 2, 3, ABSENT)]));
}

#[test]
fn reports_the_shortest_window() {
    let mut actions = vec![set(1); 50];
    actions.extend([set(2), get(2), set(3), get(2)]);
    actions.extend([set(4); 50]);
    let verdict = check(&in_turn(&actions));
    let violation = &verdict.violations[0];
    assert_eq!((violation.operation, violation.window.as_slice()), (53, &[52, 53][..]));
    assert!(violation.from_any_state);
    let expected = "\
x: not linearizable, whatever it held before; nothing is left at operation 53
  52 (process 0, 520 to 525): Set { value: 3 }
  53 (process 0, 530 to 535): Get { value: Some(2) }
";
    assert_eq!(verdict.to_string(), expected);
    // Every part of this may follow something.
    let verdict = check(&in_turn(&[get(1), get(1)]));
    let violation = &verdict.violations[0];
    assert_eq!((violation.operation, violation.window.as_slice()), (0, &[0][..]));
    assert!(!violation.from_any_state);
    // A write that runs on over the beginning of the window belongs to it.
    let running = [op(9, 0, 1000, set(9)), op(0, 1, 2, set(1)), op(0, 10, 11, get(1))];
    let then = [op(1, 20, 21, get(9)), op(1, 30, 31, get(1))];
    let verdict = check(&[&running[..], &then].concat());
    assert_eq!(verdict.violations[0].window, [0, 3, 4]);
}

/// Registers under a random schedule; `wrong` of a hundred results are guessed, `lost` never arrive.
fn random(
    seed: u64,
    count: usize,
    processes: usize,
    keys: usize,
    (wrong, lost): (usize, usize),
) -> Vec<Operation> {
    struct Running {
        operation: usize,
        ran: bool,
    }
    let mut rng = Rng::new(seed);
    let mut states = vec![None; keys];
    let mut operations: Vec<Operation> = Vec::new();
    let mut running: Vec<Option<Running>> = (0..processes).map(|_| None).collect();
    let mut now = 0;
    while operations.len() < count || running.iter().any(Option::is_some) {
        now += 1 + rng.below(2) as u64;
        let process = rng.below(processes);
        let Some(current) = &mut running[process] else {
            if operations.len() < count {
                let key = rng.below(keys).to_string();
                let action = match rng.below(8) {
                    0..3 => Action::Get { value: None },
                    3..5 => Action::Set { value: rng.below(4) as i64 },
                    5 => Action::Delete { existed: None },
                    6 => Action::Increment { by: 1, result: 0 },
                    _ => {
                        let expected = Some(rng.below(4) as i64).filter(|&value| value > 0);
                        Action::CompareAndSet { expected, value: 7, swapped: false }
                    }
                };
                let process_id = process as u32;
                let invoked = now;
                operations.push(Operation {
                    process: process_id,
                    key,
                    invoked,
                    completed: None,
                    action,
                });
                running[process] = Some(Running { operation: operations.len() - 1, ran: false });
            }
            continue;
        };
        let operation = &mut operations[current.operation];
        if current.ran {
            operation.completed = Some(now).filter(|_| !rng.chance(lost));
            running[process] = None;
            continue;
        }
        current.ran = true;
        let key: usize = operation.key.parse().expect("a number");
        let state: &mut Option<i64> = &mut states[key];
        let guess = rng.chance(wrong);
        match &mut operation.action {
            Action::Get { value } if guess => *value = Some(rng.below(4) as i64),
            Action::Get { value } => *value = *state,
            Action::Set { value } => *state = Some(*value),
            Action::Delete { existed } => *existed = Some(state.take().is_some() ^ guess),
            Action::Increment { by, result } => {
                *result = state.unwrap_or(0) + *by + i64::from(guess);
                *state = Some(*result);
            }
            Action::CompareAndSet { expected, value, swapped } => {
                *swapped = (*expected == *state) ^ guess;
                if *swapped {
                    *state = Some(*value);
                }
            }
        }
    }
    operations
}

/// By trying all orders of one key's operations, each lost one left out or not.
fn explained(operations: &[Operation], done: &mut Vec<usize>, state: Option<i64>) -> bool {
    let open: Vec<usize> = (0..operations.len()).filter(|index| !done.contains(index)).collect();
    if open.iter().all(|&index| operations[index].completed.is_none()) {
        return true;
    }
    open.iter().any(|&index| {
        let Operation { invoked, action, completed, .. } = operations[index];
        if open.iter().any(|&other| operations[other].completed.is_some_and(|end| end < invoked)) {
            return false;
        }
        let known = completed.is_some();
        let after = match action {
            Action::Get { value } if known && value != state => return false,
            Action::Get { .. } => state,
            Action::Set { value } => Some(value),
            Action::Delete { existed } if known && existed != Some(state.is_some()) => {
                return false;
            }
            Action::Delete { .. } => None,
            Action::Increment { by, result } => {
                let sum = state.unwrap_or(0) + by;
                if known && sum != result {
                    return false;
                }
                Some(sum)
            }
            Action::CompareAndSet { expected, value, swapped } => {
                if known && swapped != (expected == state) {
                    return false;
                }
                if expected == state { Some(value) } else { state }
            }
        };
        done.push(index);
        let found = explained(operations, done, after);
        done.pop();
        found
    })
}

#[test]
fn agrees_with_trying_all_orders() {
    let (mut valid, mut invalid) = (0, 0);
    for seed in 0..8000 {
        let operations = random(seed, 7, 4, 1, (25, 5));
        let expected = explained(&operations, &mut Vec::new(), None);
        let verdict = check(&operations);
        assert_eq!(verdict.is_linearizable(), expected, "seed {seed}: {verdict}{operations:#?}");
        *if expected { &mut valid } else { &mut invalid } += 1;
        // A window alone has no explanation either.
        if let Some(violation) = verdict.violations.first().filter(|v| !v.from_any_state) {
            let window: Vec<Operation> =
                violation.window.iter().map(|&index| operations[index].clone()).collect();
            assert!(!check(&window).is_linearizable(), "seed {seed}");
        }
    }
    println!("linearizable {valid}, not {invalid}");
    assert!(valid > 2000 && invalid > 2000, "{valid} {invalid}");
}

#[test]
fn valid_histories_are_accepted() {
    for seed in 0..2000 {
        let operations = random(seed, 200, 6, 3, (0, 1));
        let verdict = check(&operations);
        assert!(verdict.is_linearizable(), "seed {seed}: {verdict}");
    }
}

#[test]
fn long_histories_are_checked_quickly() {
    for (name, keys, wrong) in [("many keys", 5000, 0), ("wrong reads", 5000, 1)] {
        let operations = random(1, 100_000, 30, keys, (wrong, 1));
        let start = Instant::now();
        let verdict = check(&operations);
        let taken = start.elapsed();
        println!("{name}: {taken:?}, {} violations", verdict.violations.len());
        assert!(verdict.undecided.is_empty());
        assert_eq!(verdict.violations.is_empty(), wrong == 0);
        assert!(taken < Duration::from_secs(30), "{name} took {taken:?}");
    }
    // On one key every lost operation may still happen, so there are none.
    let operations = random(2, 100_000, 8, 1, (0, 0));
    let start = Instant::now();
    let verdict = check(&operations);
    println!("one key: {:?}", start.elapsed());
    assert!(verdict.is_linearizable(), "{verdict}");
    assert!(start.elapsed() < Duration::from_secs(30));
}
