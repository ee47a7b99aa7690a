use std::collections::VecDeque;

use super::super::packed::{self, Needle};
use super::*;
use crate::store::split_mix;

type Model = VecDeque<Vec<u8>>;

/// As small as makes every path be taken, and the usual one.
fn limits() -> Vec<Limit> {
    let counted = [1, 2, 3, 5].map(Limit::from_directive);
    let small = [Limit::new(40, None), Limit::new(100, None), Limit::new(60, Some(4))];
    counted.into_iter().chain(small).chain([Limit::default()]).collect()
}

fn text(seed: &mut u64) -> Vec<u8> {
    match split_mix(seed) % 12 {
        0 => vec![b'l'; (split_mix(seed) % 150) as usize],
        1 if split_mix(seed).is_multiple_of(10) => vec![b'L'; 9000],
        2 => (split_mix(seed) as i64 >> (split_mix(seed) % 64)).to_string().into_bytes(),
        _ => (split_mix(seed) % 20).to_string().repeat(2).into_bytes(),
    }
}

fn end(seed: &mut u64) -> End {
    if split_mix(seed).is_multiple_of(2) { End::Front } else { End::Back }
}

fn below(seed: &mut u64, bound: usize) -> usize {
    (split_mix(seed) % bound.max(1) as u64) as usize
}

#[test]
fn behaves_as_a_deque() {
    for limit in limits() {
        for start in 0..6 {
            let mut seed = start;
            let mut list = List::new();
            let mut model = Model::new();
            for phase in 0..6 {
                let grows = phase % 2 == 0;
                for step in 0..150 {
                    change_both(&mut list, &mut model, limit, grows, &mut seed);
                    if step % 10 == 0 {
                        list.check(limit);
                        compare_reads(&list, &model, &mut seed);
                    }
                }
                assert!(list.iter().map(|e| e.to_vec()).eq(model.iter().cloned()));
                list.check(limit);
            }
        }
    }
}

fn change_both(list: &mut List, model: &mut Model, limit: Limit, grows: bool, seed: &mut u64) {
    match split_mix(seed) % 16 {
        0..=4 if grows => {
            let to = end(seed);
            for _ in 0..split_mix(seed) % 20 {
                push_both(list, model, to, limit, seed);
            }
        }
        0..=2 => pop_both(list, model, seed),
        3..=5 => {
            let to = end(seed);
            push_both(list, model, to, limit, seed);
        }
        6 | 7 => {
            let (index, value) = (below(seed, model.len() + 2), text(seed));
            assert_eq!(list.set(index, &value, limit), Ok(index < model.len()));
            if let Some(place) = model.get_mut(index) {
                *place = value;
            }
        }
        8..=11 => {
            let (index, value) = (below(seed, model.len() + 2), text(seed));
            assert_eq!(list.insert(index, &value, limit), Ok(index <= model.len()));
            if index <= model.len() {
                model.insert(index, value);
            }
        }
        12 => insert_beside_both(list, model, limit, seed),
        13 | 14 => remove_matching_both(list, model, limit, seed),
        _ => {
            let start = below(seed, model.len() + 2);
            let most = if grows { 8 } else { model.len() / 2 };
            let count = below(seed, most);
            drop(list.remove_range(start, count, limit));
            let start = start.min(model.len());
            model.drain(start..(start + count).min(model.len()));
        }
    }
}

fn push_both(list: &mut List, model: &mut Model, to: End, limit: Limit, seed: &mut u64) {
    let value = text(seed);
    list.push(to, &value, limit).unwrap();
    match to {
        End::Front => model.push_front(value),
        End::Back => model.push_back(value),
    }
}

fn pop_both(list: &mut List, model: &mut Model, seed: &mut u64) {
    let from = end(seed);
    for _ in 0..split_mix(seed) % 20 {
        let expected = match from {
            End::Front => model.pop_front(),
            End::Back => model.pop_back(),
        };
        assert_eq!(list.pop(from, |e| e.to_vec()), expected);
    }
}

fn insert_beside_both(list: &mut List, model: &mut Model, limit: Limit, seed: &mut u64) {
    let (pivot, value) = (text(seed), text(seed));
    let side = if split_mix(seed).is_multiple_of(2) { Side::Before } else { Side::After };
    let at = model.iter().position(|t| *t == pivot);
    let inserted = list.insert_beside(&Needle::new(&pivot), side, &value, limit);
    assert_eq!(inserted, Ok(at.is_some()));
    if let Some(at) = at {
        model.insert(at + usize::from(side == Side::After), value);
    }
}

fn remove_matching_both(list: &mut List, model: &mut Model, limit: Limit, seed: &mut u64) {
    let (value, from) = (text(seed), end(seed));
    let count = [1, 2, 7, usize::MAX][below(seed, 4)];
    let mut matching: Vec<_> = (0..model.len()).filter(|n| model[*n] == value).collect();
    if from == End::Back {
        matching.reverse();
    }
    matching.truncate(count);
    assert_eq!(list.remove_matching(from, &Needle::new(&value), count, limit), matching.len());
    matching.sort_unstable();
    for n in matching.into_iter().rev() {
        model.remove(n);
    }
}

fn compare_reads(list: &List, model: &Model, seed: &mut u64) {
    assert_eq!((list.len(), list.is_empty()), (model.len(), model.is_empty()));
    let index = below(seed, model.len() + 2);
    assert_eq!(list.get(index).map(|e| e.to_vec()), model.get(index).cloned());
    let forward = list.iter_from(index, End::Back).map(|e| e.to_vec());
    assert!(forward.eq(model.iter().skip(index).cloned()));
    let backward = list.iter_from(index, End::Front).map(|e| e.to_vec());
    let expected = if index < model.len() { index + 1 } else { 0 };
    assert!(backward.eq(model.iter().take(expected).rev().cloned()));
    let (count, to) = (below(seed, model.len() + 3), end(seed));
    let mut visited = Vec::new();
    list.visit(index, count, to, |element| visited.push(element.to_vec()));
    let expected: Vec<_> = list.iter_from(index, to).take(count).map(|e| e.to_vec()).collect();
    assert_eq!(visited, expected);
    let in_runs: usize = list.runs().map(packed::Packed::len).sum();
    assert_eq!(in_runs, model.len());

    let (value, from) = (text(seed), end(seed));
    let compared = below(seed, 2 * model.len());
    let found: Vec<_> = list.positions(from, &Needle::new(&value), compared).collect();
    let indexes: Vec<_> = match from {
        End::Front => (0..model.len()).take(compared).collect(),
        End::Back => (0..model.len()).rev().take(compared).collect(),
    };
    let expected: Vec<_> = indexes.into_iter().filter(|n| model[*n] == value).collect();
    assert_eq!(found, expected);

    let copy = list.clone();
    assert!(copy.heap_bytes() <= list.heap_bytes());
    assert!(copy.iter().eq(list.iter()));
}

#[test]
fn indexes_count_from_the_back_too() {
    let mut list = List::new();
    for value in ["a", "b", "c"] {
        list.push(End::Back, value.as_bytes(), Limit::default()).unwrap();
    }
    for (index, expected) in [
        (0, Some(0)),
        (2, Some(2)),
        (3, None),
        (-1, Some(2)),
        (-3, Some(0)),
        (-4, None),
        (i64::MIN, None),
        (i64::MAX, None),
    ] {
        assert_eq!(list.index(index), expected, "{index}");
    }
}

fn filled(len: usize, to: End, limit: Limit) -> List {
    let mut list = List::new();
    for n in 0..len {
        list.push(to, format!("element:{n:08}").as_bytes(), limit).unwrap();
    }
    list
}

/// A tree of several levels, all of whose counts and depths are checked.
#[test]
fn many_chunks_keep_their_order() {
    let limit = Limit::from_directive(1);
    for to in [End::Front, End::Back] {
        let mut list = filled(5000, to, limit);
        list.check(limit);
        for n in 0..5000 {
            let index = if to == End::Front { 4999 - n } else { n };
            let expected = format!("element:{n:08}");
            assert_eq!(list.get(index), Some(Element::Bytes(expected.as_bytes())));
        }
        for n in 0..5000 {
            let expected = if to == End::Front { n } else { 4999 - n };
            let popped = list.pop(to, |e| e.to_vec());
            assert_eq!(popped, Some(format!("element:{:08}", 4999 - n).into_bytes()), "{expected}");
        }
        list.check(limit);
        assert_eq!(list.heap_bytes(), 0);
    }
}

/// As many bytes above the elements' own as redis-server 8.2 and valkey-server 9.1 have, at most.
#[test]
fn overhead_is_no_more_than_the_peers() {
    for (len, most) in [(10_000, 3.1), (500_000, 2.9)] {
        for to in [End::Front, End::Back] {
            let list = filled(len, to, Limit::default());
            let overhead = (list.heap_bytes() - 16 * len) as f64 / len as f64;
            assert!(overhead <= most, "{overhead} bytes an element of {len} pushed at {to:?}");
        }
    }
}

#[test]
fn inserting_in_the_middle_keeps_chunks_half_full() {
    let limit = Limit::default();
    let mut list = filled(2000, End::Back, limit);
    for n in 0..40_000 {
        assert_eq!(list.insert(1000, format!("inserted:{n:07}").as_bytes(), limit), Ok(true));
    }
    list.check(limit);
    let overhead = (list.heap_bytes() - 16 * list.len()) as f64 / list.len() as f64;
    assert!(overhead <= 3.5, "{overhead} bytes an element");
}

#[test]
fn removing_most_leaves_little_memory() {
    let limit = Limit::default();
    let mut list = filled(100_000, End::Back, limit);
    for n in (0..100_000_usize).rev() {
        // Nine of ten, singly.
        if n % 10 != 0 {
            list.remove_range(n, 1, limit).free_slice(usize::MAX);
        }
    }
    list.check(limit);
    assert_eq!(list.len(), 10_000);
    let overhead = (list.heap_bytes() - 16 * 10_000) as f64 / 10_000.0;
    assert!(overhead <= 5.0, "{overhead} bytes an element");
}

#[test]
fn large_elements_are_chunks_of_their_own() {
    let limit = Limit::default();
    let mut list = filled(1000, End::Back, limit);
    let large = vec![b'x'; 100_000];
    for index in [0, 500, 1002] {
        assert_eq!(list.insert(index, &large, limit), Ok(true));
    }
    assert_eq!(list.set(700, &large, limit), Ok(true));
    list.check(limit);
    let own: Vec<_> = list.runs().filter(|run| run.bytes().len() > 8192).collect();
    assert_eq!(own.iter().map(|run| run.len()).collect::<Vec<_>>(), [1; 4]);
    assert_eq!(list.set(700, b"small", limit), Ok(true));
    assert_eq!(list.remove_matching(End::Back, &Needle::new(&large), 9, limit), 3);
    list.check(limit);
    assert_eq!(list.len(), 1000);
    assert!(list.heap_bytes() < 30_000);
}

/// A queue moves no more than it must and holds no more than its elements and a chunk's buffer.
#[test]
fn a_queue_stays_small() {
    let limit = Limit::default();
    for (to, from) in [(End::Back, End::Front), (End::Front, End::Back)] {
        let mut list = filled(300, to, limit);
        for _ in 0..20_000 {
            let value = list.pop(from, |e| e.to_vec()).unwrap();
            list.push(to, &value, limit).unwrap();
        }
        list.check(limit);
        assert!(list.heap_bytes() <= 3 * 8192, "{}", list.heap_bytes());
    }
}

#[test]
fn a_capped_list_keeps_its_buffer() {
    let limit = Limit::default();
    let mut list = filled(100, End::Front, limit);
    let mut changes = 0;
    let mut held = list.heap_bytes();
    for _ in 0..5000 {
        list.push(End::Front, b"element:00000000", limit).unwrap();
        assert!(!list.remove_range(100, usize::MAX, limit).free_slice(usize::MAX));
        changes +=
            usize::from(std::mem::replace(&mut held, list.heap_bytes()) != list.heap_bytes());
        assert_eq!(list.len(), 100);
    }
    assert!(changes <= 1 && held <= 4096, "{changes} times another buffer, {held} bytes now");
}

#[test]
fn trimming_hands_out_the_memory() {
    let limit = Limit::default();
    let mut list = filled(300_000, End::Back, limit);
    let before = list.heap_bytes();
    let mut remains = list.remove_range(1000, 298_000, limit);
    list.check(limit);
    assert_eq!(list.len(), 2000);
    assert!(list.heap_bytes() < 70_000);
    assert!(remains.heap_bytes() + list.heap_bytes() <= before + 20_000);
    assert!(remains.heap_bytes() + list.heap_bytes() + 30_000 >= before);
    let mut steps = 0;
    let mut held = remains.heap_bytes();
    while remains.free_slice(16) {
        assert!(remains.heap_bytes() < held && held - remains.heap_bytes() <= 64 * 8192);
        held = remains.heap_bytes();
        steps += 1;
    }
    assert!((10..60).contains(&steps), "{steps}");
    assert_eq!((remains.heap_bytes(), remains.is_empty()), (0, true));
}

#[test]
fn freeing_goes_in_slices() {
    let limit = Limit::default();
    let mut list = filled(300_000, End::Back, limit);
    let mut remains = list.clone().into_remains();
    assert!(remains.heap_bytes() + 8192 >= list.heap_bytes());
    let mut slices = 0;
    while list.free_slice(32) {
        list.check(limit);
        slices += 1;
    }
    assert!((15..=30).contains(&slices), "{slices}");
    assert_eq!((list.len(), list.heap_bytes()), (0, 0));
    assert!(remains.free_slice(32));
    while remains.free_slice(32) {}
    assert_eq!(remains.heap_bytes(), 0);
}

/// The sizes at which redis-server 7.2 changes an encoding.
#[test]
fn small_lists_become_one_run_again() {
    let counted = Limit::from_directive(4);
    assert!(counted.admits(8192, 4) && !counted.admits(8193, 4) && !counted.admits(100, 5));
    assert!(counted.admits_shrunk(9000, 2) && !counted.admits_shrunk(100, 3));
    for (directive, bytes) in [(-1, 4096), (-2, 8192), (-3, 16_384), (-4, 32_768), (-5, 65_536)] {
        let limit = Limit::from_directive(directive);
        assert!(limit.admits(bytes, 1 << 20) && !limit.admits(bytes + 1, 1));
        assert!(limit.admits_shrunk(bytes / 2, 1 << 20) && !limit.admits_shrunk(bytes / 2 + 1, 1));
    }
    assert_eq!(Limit::from_directive(i64::MIN), Limit::from_directive(-5));
    assert_eq!(Limit::from_directive(0), Limit::from_directive(1));

    let limit = Limit::default();
    let mut list = filled(300, End::Back, limit);
    assert_eq!(list.to_packed_if_small(limit), None, "more than half of a chunk");
    drop(list.remove_range(200, 100, limit));
    let run = list.to_packed_if_small(limit).unwrap();
    assert_eq!(packed::check(&run), Ok(200));
    let back = List::from_packed(&run);
    back.check(limit);
    assert!(back.iter().eq(list.iter()));
    assert_eq!(back.heap_bytes(), crate::store::memory::good_size(run.len()));
    assert_eq!(filled(1000, End::Back, limit).to_packed_if_small(limit), None);
    assert_eq!(List::new().to_packed_if_small(limit), None);
    assert_eq!(List::from_packed(&packed::new()).heap_bytes(), 0);
}

#[test]
fn a_list_may_change_its_shard() {
    fn is_send<T: Send + 'static>() {}
    is_send::<List>();
    is_send::<Remains>();
}
