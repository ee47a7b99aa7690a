use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::store::split_mix;

/// An order-preserving form of a score: 0.0 and -0.0 are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ordered(i64);

fn ordered(score: f64) -> Ordered {
    let bits = (score + 0.0).to_bits() as i64;
    Ordered(bits ^ (((bits >> 63) as u64) >> 1) as i64)
}

#[derive(Default)]
struct Model {
    scores: BTreeMap<Vec<u8>, f64>,
    order: BTreeSet<(Ordered, Vec<u8>)>,
}

impl Model {
    fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let old = self.scores.get(member).copied();
        if old != Some(score) {
            self.remove(member);
            self.scores.insert(member.to_vec(), score);
            self.order.insert((ordered(score), member.to_vec()));
        }
        old
    }

    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let old = self.scores.remove(member)?;
        self.order.remove(&(ordered(old), member.to_vec()));
        Some(old)
    }

    fn entries(&self) -> Vec<(f64, Vec<u8>)> {
        self.order.iter().map(|(_, member)| (self.scores[member], member.clone())).collect()
    }
}

fn below(seed: &mut u64, bound: usize) -> usize {
    (split_mix(seed) % bound.max(1) as u64) as usize
}

fn score(seed: &mut u64) -> f64 {
    match split_mix(seed) % 10 {
        0 => f64::INFINITY,
        1 => f64::NEG_INFINITY,
        2 => -0.0,
        3 => 0.0,
        4..=6 => (split_mix(seed) % 5) as f64,
        _ => (split_mix(seed) as i64 >> (split_mix(seed) % 64)) as f64 / 8.0,
    }
}

fn member(seed: &mut u64, range: usize) -> Vec<u8> {
    let n = below(seed, range);
    match n % 40 {
        0 => vec![b'l'; n % 700],
        1 => [vec![b'L'; 1500], n.to_string().into_bytes()].concat(),
        2 => vec![n as u8; n % 7],
        _ => format!("common:prefix:{n}").into_bytes(),
    }
}

fn set() -> SortedSet {
    SortedSet::new(7)
}

fn owned(entry: Entry<'_>) -> (f64, Vec<u8>) {
    (entry.score, entry.member.to_vec())
}

#[test]
fn behaves_as_a_map_in_order() {
    for start in 0..8 {
        let mut seed = start;
        let range = [30, 400, 3000, 20_000][start as usize % 4];
        let (mut set, mut model) = (set(), Model::default());
        for phase in 0..6 {
            let grows = phase % 2 == 0;
            for step in 0..1000 {
                change_both(&mut set, &mut model, range, grows, &mut seed);
                if step % 100 == 0 {
                    set.check();
                    compare_reads(&set, &model, range, &mut seed);
                }
            }
            set.check();
            assert_eq!(set.iter().map(owned).collect::<Vec<_>>(), model.entries());
        }
        while !set.is_empty() {
            let index = below(&mut seed, set.len());
            set.remove_range(index, 1 + below(&mut seed, 9));
        }
        set.check();
        assert_eq!(set.leaves.len(), 1);
        assert!(set.heap_bytes() <= 1024, "{}", set.heap_bytes());
    }
}

fn change_both(set: &mut SortedSet, model: &mut Model, range: usize, grows: bool, seed: &mut u64) {
    match split_mix(seed) % 16 {
        0..=5 if grows => {
            for _ in 0..10 {
                let (member, score) = (member(seed, range), score(seed));
                assert_eq!(set.insert(&member, score), model.insert(&member, score));
            }
        }
        0..=5 => {
            for _ in 0..15 {
                let member = member(seed, range);
                assert_eq!(set.remove(&member), model.remove(&member));
            }
        }
        6..=9 => {
            let (member, score) = (member(seed, range), score(seed));
            assert_eq!(set.insert(&member, score), model.insert(&member, score));
        }
        10..=13 => {
            let member = member(seed, range);
            assert_eq!(set.remove(&member), model.remove(&member));
        }
        _ => {
            let index = below(seed, set.len() + 2);
            let count = below(seed, if grows { 5 } else { set.len() / 3 });
            let gone: Vec<_> = model.entries().into_iter().skip(index).take(count).collect();
            assert_eq!(set.remove_range(index, count), gone.len());
            for (_, member) in gone {
                model.remove(&member);
            }
        }
    }
}

fn compare_reads(set: &SortedSet, model: &Model, range: usize, seed: &mut u64) {
    let entries = model.entries();
    assert_eq!((set.len(), set.is_empty()), (entries.len(), entries.is_empty()));
    for _ in 0..20 {
        let member = member(seed, range);
        let rank = entries.iter().position(|(_, other)| *other == member);
        assert_eq!(set.score(&member), model.scores.get(&member).copied());
        assert_eq!(set.rank(&member).map(|(rank, _)| rank), rank);

        let bound = score(seed);
        let less = entries.iter().filter(|(score, _)| *score < bound).count();
        let at_most = entries.iter().filter(|(score, _)| *score <= bound).count();
        assert_eq!(set.count_scores(|score| score < bound), less);
        assert_eq!(set.count_scores(|score| score <= bound), at_most);
    }
    let index = below(seed, entries.len() + 2);
    assert_eq!(set.get(index).map(owned), entries.get(index).cloned());
    assert!(set.iter_from(index, End::Back).map(owned).eq(entries.iter().skip(index).cloned()));
    let backward = if index < entries.len() { index + 1 } else { 0 };
    let expected = entries.iter().take(backward).rev().cloned();
    assert!(set.iter_from(index, End::Front).map(owned).eq(expected));

    let copy = set.clone();
    copy.check();
    assert!(copy.iter().eq(set.iter()));
}

#[test]
fn equal_scores_are_in_the_order_of_members() {
    let mut set = set();
    let mut seed = 3;
    let members: BTreeSet<Vec<u8>> = (0..5000).map(|_| member(&mut seed, 9999)).collect();
    for member in &members {
        set.insert(member, if member.len() % 2 == 0 { 0.0 } else { -0.0 });
    }
    set.check();
    assert!(set.iter().map(|entry| entry.member.to_vec()).eq(members.iter().cloned()));
    for (rank, member) in members.iter().enumerate() {
        assert_eq!(set.count_members(|other| other < &member[..]), rank);
        assert_eq!(set.count_members(|other| other <= &member[..]), rank + 1);
        assert_eq!(set.rank(member).map(|(rank, _)| rank), Some(rank));
    }
}

/// As in Redis: the score that is there stays, as they are equal.
#[test]
fn zeros_keep_their_sign() {
    let mut set = set();
    set.insert(b"a", -0.0);
    assert_eq!(set.insert(b"a", 0.0), Some(0.0));
    assert!(set.score(b"a").is_some_and(f64::is_sign_negative));
}

#[test]
fn large_members_have_leaves_of_their_own() {
    let mut set = set();
    for n in 0..1000 {
        set.insert(format!("{n:04}").as_bytes(), 1.0);
    }
    for n in [0, 333, 999] {
        let member = [format!("{n:04}").into_bytes(), vec![b'x'; 3 << 20]].concat();
        set.insert(&member, 1.0);
        set.check();
        assert_eq!(
            set.count_members(|other| other < &member[..]),
            n + 1 + usize::from(n > 0) + usize::from(n > 333)
        );
    }
    assert!(set.heap_bytes() > 9 << 20);
    for (index, left) in [(1002, 2), (335, 1), (1, 0)] {
        assert_eq!(set.remove_range(index, 1), 1);
        set.check();
        assert_eq!(set.heap_bytes() >> 20, left * 3);
    }
}

fn filled(len: usize, score: impl Fn(&mut u64) -> f64) -> SortedSet {
    let (mut set, mut seed) = (set(), 1);
    for n in 0..len {
        let score = score(&mut seed);
        set.insert(format!("member:{n:09}").as_bytes(), score);
    }
    assert_eq!(set.len(), len);
    set
}

fn overhead(set: &SortedSet) -> f64 {
    let own = set.len() * (16 + size_of::<f64>());
    (set.heap_bytes() - own) as f64 / set.len() as f64
}

/// Bytes a member, above the 16 of the member and the 8 of the score.
#[test]
#[cfg(not(miri))]
fn overhead_is_small() {
    let random = |seed: &mut u64| split_mix(seed) as f64;
    for (len, most) in [(200, 27.0), (1000, 20.0), (10_000, 20.0), (100_000, 20.0)] {
        let set = filled(len, random);
        assert!(overhead(&set) <= most, "{} of {len} in random order", overhead(&set));
    }
    let ascending = filled(100_000, |seed| {
        *seed += 1;
        *seed as f64
    });
    assert!(overhead(&ascending) <= 15.0, "{} in ascending order", overhead(&ascending));
    let alike = filled(100_000, |_| 1.0);
    assert!(overhead(&alike) <= 15.0, "{} with one score", overhead(&alike));
}

/// The aim, and that scores which change eat little of it up.
#[test]
#[cfg(not(miri))]
fn a_million_members_have_twenty_bytes_of_overhead() {
    let mut set = filled(1_000_000, |seed| split_mix(seed) as f64);
    assert!(overhead(&set) <= 20.0, "{} inserted", overhead(&set));
    let mut seed = 9;
    for _ in 0..500_000 {
        let member = format!("member:{:09}", below(&mut seed, 1_000_000));
        set.insert(member.as_bytes(), split_mix(&mut seed) as f64);
    }
    assert_eq!(set.len(), 1_000_000);
    assert!(overhead(&set) <= 21.0, "{} changed", overhead(&set));
}

#[test]
#[cfg(not(miri))]
fn removing_most_leaves_little_memory() {
    let mut set = filled(100_000, |seed| split_mix(seed) as f64);
    for n in (0..100_000).filter(|n| n % 10 != 0) {
        assert!(set.remove(format!("member:{n:09}").as_bytes()).is_some());
    }
    set.check();
    assert!(overhead(&set) <= 33.0, "{}", overhead(&set));
}

/// Whatever is added and removed between two steps of a scan, what was there all the time is shown.
#[test]
fn a_scan_shows_all_that_stays() {
    for start in 0..20 {
        let mut seed = start;
        let mut set = filled(2000, |seed| split_mix(seed) as f64);
        let mut shown = BTreeSet::new();
        let mut cursor = 0;
        let mut steps = 0;
        loop {
            let before = shown.len();
            cursor = set.scan(cursor, 10, |entry| {
                shown.insert(entry.member.to_vec());
            });
            assert!(shown.len() <= before + 12);
            steps += 1;
            if cursor == 0 {
                break;
            }
            // The first thousand stay, with changing scores; the others come and go.
            for _ in 0..30 {
                let n = below(&mut seed, 12_000);
                let member = format!("member:{n:09}");
                let adds = n < 1000 || split_mix(&mut seed) % 2 == start % 2;
                match adds {
                    true => set.insert(member.as_bytes(), split_mix(&mut seed) as f64),
                    false => set.remove(member.as_bytes()),
                };
            }
        }
        assert!(steps > 100, "{steps}");
        for n in 0..1000 {
            assert!(shown.contains(format!("member:{n:09}").as_bytes()), "{n}");
        }
    }
    assert_eq!(set().scan(0, 10, |_| ()), 0);
    assert_eq!(set().scan(u64::MAX, 10, |_| ()), 0);
}

#[test]
fn freeing_goes_in_slices() {
    let mut set = filled(30_000, |seed| split_mix(seed) as f64);
    let leaves = set.leaves.len();
    let mut held = set.heap_bytes();
    let mut slices = 0;
    while set.free_slice(32) {
        assert!(set.heap_bytes() < held, "{} of {held}", set.heap_bytes());
        held = set.heap_bytes();
        slices += 1;
    }
    assert!(slices >= leaves / 32 && slices <= leaves / 32 + 4, "{slices} for {leaves}");
    assert_eq!(set.heap_bytes(), 0);
}

#[test]
fn a_sorted_set_may_change_its_shard() {
    fn is_send<T: Send + 'static>() {}
    is_send::<SortedSet>();
}
