//! Every kind of anomaly, made by hand, and its harmless neighbours.

mod support;

use histories::transactions::{AnomalyKind, Cycle, Malformed, Needs, check};
use histories::{History, Op, Outcome, ProcessOrder, Transaction};
use support::{history, ok};

fn kinds(history: &History) -> Vec<AnomalyKind> {
    let report = check(history, ProcessOrder::Total).expect("a history that can be checked");
    assert_eq!(report.is_clean(), report.anomalies.is_empty());
    let mut kinds: Vec<_> = report.anomalies.iter().map(|anomaly| anomaly.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn cycle(cycle: Cycle) -> AnomalyKind {
    AnomalyKind::Cycle(cycle, Needs::Nothing)
}

fn failed(process: u32, invoked: u64, ops: Vec<Op>) -> Transaction {
    Transaction { process, invoked, outcome: Outcome::Failed, ops }
}

fn unknown(process: u32, invoked: u64, ops: Vec<Op>) -> Transaction {
    Transaction { process, invoked, outcome: Outcome::Unknown, ops }
}

/// All at the same time, each of its own process: only the data orders them.
fn concurrent(transactions: &[&[Op]]) -> History {
    let with_process = transactions.iter().zip(0..);
    history(with_process.map(|(ops, process)| ok(process, 0, 9, ops.to_vec())).collect())
}

fn list(elements: &[u64]) -> Op {
    Op::read_list("x", elements)
}

#[test]
fn nothing_is_wrong_with_little() {
    assert_eq!(kinds(&History::default()), []);
    assert_eq!(kinds(&concurrent(&[&[]])), []);
    assert_eq!(kinds(&concurrent(&[&[Op::append("x", 1), list(&[1])], &[list(&[])]])), []);
    assert_eq!(kinds(&concurrent(&[&[Op::write("x", 1)], &[Op::read("x", Some(1))]])), []);
}

#[test]
fn g0_write_cycle() {
    let found = kinds(&concurrent(&[
        &[Op::append("x", 1), Op::append("y", 1)],
        &[Op::append("x", 2), Op::append("y", 2)],
        &[list(&[1, 2])],
        &[Op::read_list("y", &[2, 1])],
    ]));
    assert_eq!(found, [cycle(Cycle::G0)]);
}

#[test]
fn g1a_aborted_read() {
    let lists =
        vec![failed(0, 0, vec![Op::append("x", 1)]), ok(1, 0, 9, vec![Op::read_list("x", &[1])])];
    assert_eq!(kinds(&history(lists)), [AnomalyKind::AbortedRead]);
    let registers =
        vec![failed(0, 0, vec![Op::write("x", 1)]), ok(1, 0, 9, vec![Op::read("x", Some(1))])];
    assert_eq!(kinds(&history(registers)), [AnomalyKind::AbortedRead]);
}

#[test]
fn g1b_intermediate_read() {
    let found = kinds(&concurrent(&[&[Op::append("x", 1), Op::append("x", 2)], &[list(&[1])]]));
    assert!(found.contains(&AnomalyKind::IntermediateRead), "{found:?}");
    let writes = [Op::write("x", 1), Op::write("x", 2)];
    let found = kinds(&concurrent(&[&writes, &[Op::read("x", Some(1))]]));
    assert_eq!(found, [AnomalyKind::IntermediateRead]);
    let found = kinds(&concurrent(&[&writes, &[Op::read("x", Some(2))]]));
    assert_eq!(found, []);
}

#[test]
fn g1c_circular_information_flow() {
    let found = kinds(&concurrent(&[
        &[Op::append("x", 1), Op::read_list("y", &[1])],
        &[Op::append("y", 1), list(&[1])],
    ]));
    assert_eq!(found, [cycle(Cycle::G1c)]);
    let found = kinds(&concurrent(&[
        &[Op::write("x", 1), Op::read("y", Some(1))],
        &[Op::write("y", 1), Op::read("x", Some(1))],
    ]));
    assert_eq!(found, [cycle(Cycle::G1c)]);
}

#[test]
fn g_single_read_skew() {
    let found = kinds(&concurrent(&[
        &[Op::append("x", 1), Op::append("y", 1)],
        &[list(&[]), Op::read_list("y", &[1])],
    ]));
    assert_eq!(found, [cycle(Cycle::GSingle)]);
    let mset = |value| [Op::write("x", value), Op::write("y", value)];
    let torn = [Op::read("x", Some(1)), Op::read("y", Some(2))];
    assert!(kinds(&concurrent(&[&mset(1), &mset(2), &torn])).contains(&cycle(Cycle::GSingle)));
    let whole = [Op::read("x", Some(2)), Op::read("y", Some(2))];
    assert_eq!(kinds(&concurrent(&[&mset(1), &mset(2), &whole])), []);
    let half = [Op::read("x", None), Op::read("y", Some(1))];
    assert_eq!(kinds(&concurrent(&[&mset(1), &half])), [cycle(Cycle::GSingle)]);
}

#[test]
fn g2_item_write_skew() {
    let found = kinds(&concurrent(&[
        &[list(&[]), Op::append("y", 1)],
        &[Op::read_list("y", &[]), Op::append("x", 1)],
    ]));
    assert_eq!(found, [cycle(Cycle::G2Item)]);
    let found = kinds(&concurrent(&[
        &[Op::read("x", None), Op::write("y", 1)],
        &[Op::read("y", None), Op::write("x", 1)],
    ]));
    assert_eq!(found, [cycle(Cycle::G2Item)]);
}

#[test]
fn g2_item_long_fork() {
    let found = kinds(&concurrent(&[
        &[Op::write("x", 1)],
        &[Op::write("y", 1)],
        &[Op::read("x", Some(1)), Op::read("y", None)],
        &[Op::read("x", None), Op::read("y", Some(1))],
    ]));
    assert_eq!(found, [cycle(Cycle::G2Item)]);
}

#[test]
fn lost_update() {
    let found = kinds(&concurrent(&[
        &[list(&[]), Op::append("x", 1)],
        &[list(&[]), Op::append("x", 2)],
        &[list(&[1, 2])],
    ]));
    assert_eq!(found, [AnomalyKind::LostUpdate, cycle(Cycle::GSingle)]);
    let found = kinds(&concurrent(&[
        &[Op::write("x", 1)],
        &[Op::read("x", Some(1)), Op::write("x", 2)],
        &[Op::read("x", Some(1)), Op::write("x", 3)],
    ]));
    assert_eq!(found, [AnomalyKind::LostUpdate, cycle(Cycle::G2Item)]);
}

#[test]
fn lost_update_by_deletion() {
    let found = kinds(&concurrent(&[
        &[Op::write("x", 1)],
        &[Op::read("x", Some(1)), Op::delete("x")],
        &[Op::read("x", Some(1)), Op::delete("x")],
    ]));
    assert!(found.contains(&AnomalyKind::LostUpdate), "{found:?}");
    // Absent twice: deleted in between.
    let found = kinds(&concurrent(&[
        &[Op::read("x", None), Op::write("x", 1)],
        &[Op::delete("x")],
        &[Op::read("x", None), Op::write("x", 2)],
    ]));
    assert_eq!(found, []);
}

#[test]
fn garbage_read() {
    assert_eq!(kinds(&concurrent(&[&[list(&[7])]])), [AnomalyKind::GarbageRead]);
    let found = kinds(&concurrent(&[&[Op::read("x", Some(7))]]));
    assert_eq!(found, [AnomalyKind::GarbageRead]);
}

#[test]
fn duplicate_elements() {
    let found = kinds(&concurrent(&[&[Op::append("x", 1)], &[list(&[1, 1])]]));
    assert_eq!(found, [AnomalyKind::DuplicateElements]);
}

#[test]
fn incompatible_order() {
    let writes: [&[Op]; 2] = [&[Op::append("x", 1)], &[Op::append("x", 2)]];
    let with = |one: &[u64], other: &[u64]| {
        kinds(&concurrent(&[writes[0], writes[1], &[list(one)], &[list(other)]]))
    };
    assert_eq!(with(&[1, 2], &[2, 1]), [AnomalyKind::IncompatibleOrder]);
    assert_eq!(with(&[1], &[2]), [AnomalyKind::IncompatibleOrder]);
    assert_eq!(with(&[2, 1], &[2]), []);
}

#[test]
fn incompatible_order_within_a_transaction() {
    let appends: [Op; 2] = [Op::append("x", 1), Op::append("x", 2)];
    let expected = [AnomalyKind::IncompatibleOrder];
    assert_eq!(kinds(&concurrent(&[&appends, &[list(&[2, 1])]])), expected);
    assert_eq!(kinds(&concurrent(&[&appends, &[list(&[2])]])), expected);
    assert_eq!(kinds(&concurrent(&[&appends, &[list(&[1, 2])]])), []);
    // Another's element between the two.
    let found = kinds(&concurrent(&[&appends, &[Op::append("x", 3)], &[list(&[1, 3, 2])]]));
    assert_eq!(found, [cycle(Cycle::G0)]);
    let deleted = [Op::append("x", 1), Op::delete("x"), Op::append("x", 2)];
    assert_eq!(kinds(&concurrent(&[&deleted, &[list(&[2])]])), []);
}

#[test]
fn internal() {
    let own_missing = [Op::append("x", 1), list(&[])];
    assert_eq!(kinds(&concurrent(&[&own_missing])), [AnomalyKind::Internal]);
    let own_missing = [Op::write("x", 1), Op::read("x", None)];
    assert_eq!(kinds(&concurrent(&[&own_missing])), [AnomalyKind::Internal]);
    let not_deleted = [Op::write("x", 1), Op::delete("x"), Op::read("x", Some(1))];
    assert_eq!(kinds(&concurrent(&[&not_deleted])), [AnomalyKind::Internal]);
    let future = [Op::read("x", Some(1)), Op::write("x", 1)];
    assert_eq!(kinds(&concurrent(&[&future])), [AnomalyKind::Internal]);
    let changed = [Op::read("x", None), Op::read("x", Some(1))];
    assert_eq!(kinds(&concurrent(&[&[Op::write("x", 1)], &changed])), [AnomalyKind::Internal]);
}

#[test]
fn stale_reads_need_real_time() {
    let lists = vec![
        ok(0, 0, 1, vec![Op::append("x", 1)]),
        ok(1, 2, 3, vec![list(&[])]),
        ok(2, 4, 5, vec![list(&[1])]),
    ];
    let expected = [AnomalyKind::Cycle(Cycle::GSingle, Needs::Realtime)];
    assert_eq!(kinds(&history(lists)), expected);
    // The register was overwritten blindly; only time says so.
    let mut registers = vec![
        ok(0, 0, 1, vec![Op::write("x", 1)]),
        ok(0, 2, 3, vec![Op::write("x", 2)]),
        ok(1, 4, 5, vec![Op::read("x", Some(1))]),
    ];
    assert_eq!(kinds(&history(registers.clone())), expected);
    // At the same moment is not after.
    registers[2].invoked = 3;
    assert_eq!(kinds(&history(registers)), []);
}

#[test]
fn unseen_appends_come_last() {
    let lost = vec![ok(0, 0, 1, vec![Op::append("x", 1)]), ok(1, 2, 3, vec![list(&[])])];
    let expected = [AnomalyKind::Cycle(Cycle::GSingle, Needs::Realtime)];
    assert_eq!(kinds(&history(lost)), expected);
    let later = vec![ok(0, 2, 3, vec![Op::append("x", 1)]), ok(1, 0, 1, vec![list(&[])])];
    assert_eq!(kinds(&history(later)), []);
}

#[test]
fn reading_in_vain_after_a_write_cycle_of_time() {
    let found = kinds(&history(vec![
        ok(0, 0, 1, vec![Op::append("x", 1)]),
        ok(0, 2, 3, vec![Op::append("x", 2)]),
        ok(1, 0, 9, vec![list(&[2, 1])]),
    ]));
    assert_eq!(found, [AnomalyKind::Cycle(Cycle::G0, Needs::ProcessOrder)]);
    let found =
        kinds(&history(vec![ok(0, 2, 3, vec![Op::append("x", 1)]), ok(1, 0, 1, vec![list(&[1])])]));
    assert_eq!(found, [AnomalyKind::Cycle(Cycle::G1c, Needs::Realtime)]);
}

#[test]
fn time_of_writers_reaches_readers_through_several_steps() {
    // x = 1 was written after x = 2 (T2 is before its reader T3, which saw 1), then T4 reads 2.
    let found = kinds(&history(vec![
        ok(0, 0, 20, vec![Op::write("x", 1)]),
        ok(1, 0, 2, vec![Op::write("x", 2)]),
        ok(2, 4, 5, vec![Op::read("x", Some(1))]),
        ok(3, 6, 7, vec![Op::read("x", Some(2))]),
    ]));
    assert_eq!(found, [AnomalyKind::Cycle(Cycle::GSingle, Needs::Realtime)]);
}

#[test]
fn process_order_of_pipelined_transactions() {
    let pipelined = |second: Op| {
        history(vec![ok(0, 0, 9, vec![Op::append("x", 1)]), ok(0, 1, 9, vec![second])])
    };
    let same_key = pipelined(list(&[]));
    let report =
        |history: &History, order| check(history, order).expect("a history that can be checked");
    let expected = AnomalyKind::Cycle(Cycle::GSingle, Needs::ProcessOrder);
    assert!(report(&same_key, ProcessOrder::Total).has(expected));
    assert!(report(&same_key, ProcessOrder::PerKey).has(expected));
    // On two keys: x is read before y was written, though sent in the other order.
    let two_keys = history(vec![
        ok(0, 0, 9, vec![Op::append("y", 1)]),
        ok(0, 1, 9, vec![Op::append("x", 1)]),
        ok(1, 0, 9, vec![list(&[1]), Op::read_list("y", &[])]),
    ]);
    assert!(!report(&two_keys, ProcessOrder::Total).is_clean());
    assert!(report(&two_keys, ProcessOrder::PerKey).is_clean());
    assert!(report(&two_keys, ProcessOrder::AroundSeveralKeys).is_clean());
    // A transaction on both keys in between orders them.
    let mut between = two_keys.clone();
    let both = ok(0, 0, 9, vec![list(&[]), Op::read_list("y", &[1])]);
    between.transactions.insert(1, both);
    assert!(!report(&between, ProcessOrder::PerKey).is_clean());
    // One on others does so only if several keys are enough.
    let mut between = two_keys;
    between.transactions.insert(1, ok(0, 0, 9, vec![Op::append("v", 1), Op::append("w", 1)]));
    assert!(report(&between, ProcessOrder::PerKey).is_clean());
    assert!(!report(&between, ProcessOrder::AroundSeveralKeys).is_clean());
}

#[test]
fn what_has_no_answer_may_happen_late_or_never() {
    let seen_late = vec![
        unknown(0, 0, vec![Op::append("x", 1)]),
        ok(1, 2, 3, vec![list(&[])]),
        ok(1, 4, 5, vec![list(&[1])]),
    ];
    assert_eq!(kinds(&history(seen_late)), []);
    let never =
        vec![unknown(0, 0, vec![Op::write("x", 1)]), ok(1, 2, 3, vec![Op::read("x", None)])];
    assert_eq!(kinds(&history(never)), []);
    let seen_and_gone = vec![
        unknown(0, 0, vec![Op::append("x", 1)]),
        ok(1, 2, 3, vec![list(&[1])]),
        ok(1, 4, 5, vec![list(&[])]),
    ];
    let expected = [AnomalyKind::Cycle(Cycle::GSingle, Needs::ProcessOrder)];
    assert_eq!(kinds(&history(seen_and_gone)), expected);
    let before_it_was_sent =
        vec![unknown(0, 6, vec![Op::write("x", 1)]), ok(1, 2, 3, vec![Op::read("x", Some(1))])];
    let expected = [AnomalyKind::Cycle(Cycle::G1c, Needs::Realtime)];
    assert_eq!(kinds(&history(before_it_was_sent)), expected);
}

#[test]
fn lists_may_be_deleted_and_begin_again() {
    let valid = vec![
        ok(0, 0, 1, vec![Op::append("x", 1)]),
        ok(0, 2, 3, vec![list(&[1]), Op::delete("x"), Op::append("x", 2)]),
        ok(0, 4, 5, vec![list(&[2])]),
    ];
    assert_eq!(kinds(&history(valid)), []);
    let back = concurrent(&[
        &[Op::append("x", 1)],
        &[Op::delete("x")],
        &[Op::append("x", 2)],
        &[list(&[1, 2])],
        &[list(&[2])],
    ]);
    assert_eq!(kinds(&back), [AnomalyKind::IncompatibleOrder]);
}

#[test]
fn reports_name_transactions_and_reasons() {
    let history = concurrent(&[
        &[Op::append("x", 1), Op::append("y", 1)],
        &[list(&[]), Op::read_list("y", &[1])],
    ]);
    let report = check(&history, ProcessOrder::Total).expect("a history that can be checked");
    let expected = "\
not strictly serializable: 1 found

G-single: a cycle of 2 transactions
  T1 (process 1, 0 to 9): x = []; y = [1]
  T0 (process 0, 0 to 9): x += 1; y += 1
  T1 before T0 (rw): no read of x saw what T0 appended, the longest included
  T0 before T1 (wr): T1 read 1 in y, which T0 wrote
";
    assert_eq!(report.to_string(), expected);
}

#[test]
fn histories_that_cannot_be_checked() {
    let error = |history: History| check(&history, ProcessOrder::Total).expect_err("malformed");
    let twice = concurrent(&[&[Op::write("x", 1)], &[Op::write("x", 1)]]);
    assert_eq!(error(twice), Malformed::WrittenTwice { key: "x".into(), value: 1 });
    let mixed = concurrent(&[&[Op::write("x", 1)], &[Op::append("x", 2)]]);
    assert_eq!(error(mixed), Malformed::SeveralKinds { key: "x".into() });
    let backwards = history(vec![ok(0, 5, 4, vec![])]);
    assert_eq!(error(backwards), Malformed::EndsBeforeItBegins { transaction: 0 });
}

fn queue(elements: &[u64]) -> Op {
    Op::read_queue("x", elements)
}

#[test]
fn what_is_taken_goes_in_the_order_in_which_it_came() {
    let put = |element| vec![Op::enqueue("x", element)];
    let take = |element| vec![Op::dequeue("x", Some(element))];
    let both = [&put(1)[..], &put(2), &[queue(&[1, 2])]];
    let with = |more: &[&[Op]]| kinds(&concurrent(&[&both[..], more].concat()));
    assert_eq!(with(&[&take(1), &[queue(&[2])], &take(2), &[queue(&[])]]), []);
    assert_eq!(with(&[&take(2)]), [AnomalyKind::IncompatibleOrder]);
    assert_eq!(with(&[&take(1), &take(1)]), [AnomalyKind::DuplicateElements]);
    assert!(with(&[&[queue(&[2, 1])]]).contains(&AnomalyKind::IncompatibleOrder));
    assert_eq!(with(&[&[queue(&[1, 1])]]), [AnomalyKind::DuplicateElements]);
    assert_eq!(with(&[&take(3)]), [AnomalyKind::GarbageRead]);
    let own = [Op::dequeue("x", Some(1)), queue(&[1, 2])];
    assert!(with(&[&own]).contains(&AnomalyKind::Internal));
}

#[test]
fn an_element_on_its_way_is_in_one_place() {
    let element = Op::enqueue("x", 1);
    let moves = [Op::dequeue("x", Some(1)), Op::enqueue("y", 1)];
    let look = |x: &[u64], y: &[u64]| [queue(x), Op::read_queue("y", y)];
    let seen = |look: &[Op]| kinds(&concurrent(&[std::slice::from_ref(&element), &moves, look]));
    assert_eq!(seen(&look(&[1], &[])), []);
    assert_eq!(seen(&look(&[], &[1])), []);
    assert_eq!(seen(&look(&[1], &[1])), [cycle(Cycle::GSingle)]);
    let twice = concurrent(&[std::slice::from_ref(&element), &moves, &moves]);
    assert!(kinds(&twice).contains(&AnomalyKind::DuplicateElements));
}

/// What nobody took is there: who does not see it looked before it came.
#[test]
fn what_is_lost_off_a_queue_is_missed() {
    let put = ok(0, 0, 1, vec![Op::enqueue("x", 1)]);
    let looks = |at: u64| ok(1, at, at + 1, vec![queue(&[])]);
    let realtime = AnomalyKind::Cycle(Cycle::GSingle, Needs::Realtime);
    assert_eq!(kinds(&history(vec![put.clone(), looks(2)])), [realtime]);
    assert_eq!(kinds(&history(vec![put.clone(), looks(0)])), []);
    let taken = unknown(2, 0, vec![Op::dequeue("x", None)]);
    assert_eq!(kinds(&history(vec![put, taken, looks(2)])), []);
}

#[test]
fn lengths_say_how_much_was_there() {
    let appends = [&[Op::append("x", 1), Op::append("x", 2)][..], &[list(&[1, 2])]];
    let with = |ops: &[Op]| kinds(&concurrent(&[&appends[..], &[ops]].concat()));
    assert_eq!(with(&[Op::read_length("x", 2)]), []);
    assert_eq!(with(&[Op::read_length("x", 0)]), []);
    assert!(with(&[Op::read_length("x", 1)]).contains(&AnomalyKind::IntermediateRead));
    let grows = [Op::read_length("x", 1), Op::read_length("x", 2)];
    assert!(with(&grows).contains(&AnomalyKind::Internal));
    // Of more than anybody read, nothing is known.
    assert_eq!(with(&[Op::read_length("x", 3)]), []);
}
