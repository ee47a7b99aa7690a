//! Every policy against a naive model.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};

use super::*;
use crate::store::arena::Geometry;
use crate::store::db::Db;
use crate::store::split_mix as random;
use crate::store::table::KeyHasher;
use crate::store::{Encoding, EntryRef, Event};

const START: UnixMs = 1_700_000_000_000;

fn db_with(policy: Policy) -> Db {
    Db::new(KeyHasher::new(7), Geometry::for_bytes(1 << 30), policy)
}

fn policy(order: Order, only_expiring: bool, samples: usize) -> Policy {
    Policy { order, only_expiring, samples, ..Policy::default() }
}

fn insert(db: &mut Db, key: u64, expiry: Option<UnixMs>, now: UnixMs) {
    db.set_string(&key.to_be_bytes(), &[b'v'; 20], Encoding::EmbStr, expiry, now, Event::Set);
}

fn key_of(entry: EntryRef<'_>) -> u64 {
    u64::from_be_bytes(entry.key().try_into().unwrap())
}

/// As [`Db::evict`], but returns the key that was evicted.
fn evict(db: &mut Db, now: UnixMs) -> Option<u64> {
    let victim = db.victim(now)?;
    let key = key_of(db.arena.entry(victim));
    db.give_way(victim);
    Some(key)
}

/// Low numbers more often than high ones, about as in a Zipf distribution.
fn key(state: &mut u64) -> u64 {
    let below = 1 << (random(state) % 13);
    random(state) % below
}

trait Model {
    fn contains(&self, key: u64) -> bool;
    fn insert(&mut self, key: u64, hash: u64);
    fn used(&mut self, key: u64);
    fn remove(&mut self, key: u64);
    /// An entry was evicted.
    fn evicted(&mut self, key: Option<u64>);
}

/// Reads through a cache of so many entries, with some writes and removals.
fn compare(order: Order, capacity: usize, steps: u64, model: &mut impl Model) {
    let mut db = db_with(policy(order, false, 5));
    let mut state = capacity as u64;
    for step in 1..=steps {
        let (key, now) = (key(&mut state), START + step);
        let bytes = key.to_be_bytes();
        match random(&mut state) % 20 {
            0 => {
                assert_eq!(db.remove(&bytes, now, Event::Del), model.contains(key));
                model.remove(key);
            }
            1 => model.evicted(evict(&mut db, now)),
            choice => {
                assert_eq!(db.get(&bytes, now).is_some(), model.contains(key));
                if model.contains(key) {
                    match choice {
                        2 => insert(&mut db, key, None, now),
                        _ => assert!(db.use_entry(&bytes, now).is_some()),
                    }
                    model.used(key);
                } else {
                    while db.len() >= capacity {
                        model.evicted(evict(&mut db, now));
                    }
                    let hash = db.table.hasher().hash(&bytes);
                    insert(&mut db, key, None, now);
                    model.insert(key, hash);
                }
            }
        }
        if step.is_multiple_of(steps / 4) {
            db.check();
        }
    }
}

const STEPS: u64 = if cfg!(miri) { 2_000 } else { 100_000 };

/// S3-FIFO for entries of one size. What the ghost remembers is checked where it is.
#[derive(Default)]
struct S3Fifo {
    /// Keys with their uses and with the tick of their arrival.
    small: VecDeque<(u64, u32, u64)>,
    main: VecDeque<(u64, u32)>,
    ghost: Ghost,
    /// From key to hash.
    hashes: HashMap<u64, u64>,
    /// In 2^-16 ticks.
    position: u64,
}

impl S3Fifo {
    /// The key that is evicted, and whether it was in the small queue.
    fn victim(&mut self) -> Option<(u64, bool)> {
        for _ in 0..128 {
            let len = self.small.len() + self.main.len();
            if self.small.len() * 10 > len || self.main.is_empty() {
                let (key, uses, _) = self.small.pop_back()?;
                if uses == 0 {
                    return Some((key, true));
                }
                self.main.push_front((key, 0));
            } else {
                let (key, uses) = self.main.pop_back()?;
                if uses == 0 {
                    return Some((key, false));
                }
                self.main.push_front((key, uses - 1));
            }
        }
        self.main.pop_back().map(|(key, _)| (key, false))
    }
}

impl Model for S3Fifo {
    fn contains(&self, key: u64) -> bool {
        self.hashes.contains_key(&key)
    }

    fn insert(&mut self, key: u64, hash: u64) {
        self.hashes.insert(key, hash);
        if self.ghost.contains(hash) {
            self.main.push_front((key, 0));
            return;
        }
        let tenth = ((self.small.len() + self.main.len()) / 10).min(self.small.len());
        self.small.push_front((key, 0, self.position >> 16));
        self.position += (16 << 16) / tenth.max(1) as u64;
    }

    fn used(&mut self, key: u64) {
        if let Some((_, uses, arrival)) = self.small.iter_mut().find(|entry| entry.0 == key) {
            if ((self.position >> 16) - *arrival) % 64 >= 4 {
                *uses = 1;
            }
        } else {
            let (_, uses) = self.main.iter_mut().find(|entry| entry.0 == key).unwrap();
            *uses = (*uses + 1).min(3);
        }
    }

    fn remove(&mut self, key: u64) {
        self.hashes.remove(&key);
        self.small.retain(|entry| entry.0 != key);
        self.main.retain(|entry| entry.0 != key);
    }

    fn evicted(&mut self, key: Option<u64>) {
        let remembered = (self.small.len() + self.main.len()) / 4 * 3;
        let victim = self.victim();
        assert_eq!(key, victim.map(|(key, _)| key));
        let Some((key, was_small)) = victim else { return };
        let hash = self.hashes.remove(&key).unwrap();
        if was_small {
            self.ghost.insert(hash, remembered);
        }
    }
}

#[test]
fn s3_fifo_evicts_what_the_naive_one_does() {
    for capacity in [1, 2, 7, 70, 700] {
        compare(Order::S3Fifo, capacity, STEPS, &mut S3Fifo::default());
    }
}

/// The exact order of use, and how far from its end evictions were.
#[derive(Default)]
struct Lru {
    last_used: HashMap<u64, u64>,
    in_order: BTreeMap<u64, u64>,
    step: u64,
    /// Entries that may wrongly stay before the one that is evicted.
    slack: usize,
    evictions: u32,
    beyond_slack: u32,
}

impl Model for Lru {
    fn contains(&self, key: u64) -> bool {
        self.last_used.contains_key(&key)
    }

    fn insert(&mut self, key: u64, _hash: u64) {
        self.used(key);
    }

    fn used(&mut self, key: u64) {
        self.remove(key);
        self.step += 1;
        self.last_used.insert(key, self.step);
        self.in_order.insert(self.step, key);
    }

    fn remove(&mut self, key: u64) {
        if let Some(used) = self.last_used.remove(&key) {
            self.in_order.remove(&used);
        }
    }

    fn evicted(&mut self, key: Option<u64>) {
        assert_eq!(key.is_none(), self.in_order.is_empty());
        let Some(key) = key else { return };
        let used = self.last_used[&key];
        let older = self.in_order.range(..used).count();
        self.evictions += 1;
        self.beyond_slack += u32::from(older > self.slack);
        self.remove(key);
    }
}

/// Entries that came to the front within one epoch are in any order, and there are at most a 64th
/// and one. Epochs are counted modulo 256, so that hardly ever one is taken for another.
#[test]
fn lru_evicts_in_the_order_of_use() {
    for capacity in [1, 2, 63, 70, 200, 1_500] {
        let mut model = Lru { slack: capacity / 64, ..Lru::default() };
        compare(Order::Lru, capacity, STEPS, &mut model);
        assert!(model.evictions > STEPS as u32 / 50);
        assert!(
            model.beyond_slack * 500 <= model.evictions,
            "{} of {} evictions with {capacity} entries",
            model.beyond_slack,
            model.evictions
        );
    }
}

/// What the policy compares: the least is evicted.
fn worth(entry: EntryRef<'_>, policy: Policy, now: UnixMs) -> (u64, Reverse<u32>) {
    let idle = Reverse(entry.idle_seconds(now));
    match policy.order {
        Order::Lfu => (frequency(entry, policy.lfu, now).into(), idle),
        Order::Ttl => (entry.expiry().unwrap_or(u64::MAX), idle),
        _ => (0, idle),
    }
}

/// Entries of which no two are worth the same, every other one with an expiry; and the time.
fn entries_of_all_sorts(policy: Policy, count: u64, state: &mut u64) -> (Db, UnixMs) {
    let mut db = db_with(policy);
    let mut now = START;
    let far = START + 1_000_000_000;
    for key in 0..count {
        let expiry = (key % 2 == 0).then(|| far + (key * 7_919) % count);
        insert(&mut db, key, expiry, now);
        now += 1_000;
    }
    for _ in 0..count * 2 {
        db.use_entry(&(random(state) % count).to_be_bytes(), now);
        now += 1_000;
    }
    (db, now)
}

const SAMPLING: [(Order, bool); 5] = [
    (Order::Lru, true),
    (Order::Lfu, false),
    (Order::Lfu, true),
    (Order::Ttl, false),
    (Order::Ttl, true),
];

/// Keys that may be evicted, the first of them first.
fn ranked(db: &Db, now: UnixMs) -> Vec<u64> {
    let policy = db.eviction.policy();
    let candidates = db.iter(now).filter(|e| !policy.only_expiring || e.expiry().is_some());
    let mut ranked: Vec<_> = candidates.map(|e| (worth(e, policy, now), key_of(e))).collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, key)| key).collect()
}

/// With so many samples that no entry is left out, the worst of all is evicted every time.
#[test]
fn sampling_policies_evict_the_worst_of_their_samples() {
    let count = if cfg!(miri) { 12 } else { 60 };
    for (order, only_expiring) in SAMPLING {
        let policy = policy(order, only_expiring, 2_000);
        let (mut db, now) = entries_of_all_sorts(policy, count, &mut 3);
        // Entries without an expiry are worth the same under this one.
        let compared = if order == Order::Ttl { count / 2 } else { count };
        for _ in 0..if only_expiring { count / 2 } else { compared } {
            let worst = ranked(&db, now)[0];
            assert_eq!(evict(&mut db, now), Some(worst), "{order:?} {only_expiring}");
        }
        assert_eq!(db.expiring() == 0, order == Order::Ttl || only_expiring || db.is_empty());
        db.check();
    }
}

/// The worst of five is on average a sixth of the way from the worst of all to the best; one
/// chosen at random is half-way.
#[test]
#[cfg_attr(miri, ignore = "statistics of thousands of evictions take too long")]
fn five_samples_are_as_good_as_five_samples_are() {
    let random_too = [(Order::Random, false), (Order::Random, true)];
    for (order, only_expiring) in SAMPLING.into_iter().chain(random_too) {
        let (mut places, mut evictions) = (0.0, 0);
        let mut state = 11;
        while evictions < 3_000 {
            let policy = policy(order, only_expiring, 5);
            let (mut db, now) = entries_of_all_sorts(policy, 1_000, &mut state);
            db.eviction.random_state = random(&mut state);
            for _ in 0..100 {
                let mut ranked = ranked(&db, now);
                // Entries without an expiry are worth the same: only the others have a place.
                ranked.retain(|key| order != Order::Ttl || key % 2 == 0);
                let victim = evict(&mut db, now).unwrap();
                let Some(place) = ranked.iter().position(|key| *key == victim) else { continue };
                places += place as f64 / ranked.len() as f64;
                evictions += 1;
            }
        }
        let mean = places / f64::from(evictions);
        let expected = match (order, only_expiring) {
            (Order::Random, _) => 0.48..0.52,
            // Half of the samples are of no account: the mean of 1 / (n + 1) over the rest.
            (Order::Ttl, false) => 0.28..0.35,
            _ => 0.15..0.185,
        };
        assert!(expected.contains(&mean), "{order:?} {only_expiring}: {mean}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "statistics of thousands of evictions take too long")]
fn random_treats_all_alike() {
    for only_expiring in [false, true] {
        let mut db = db_with(policy(Order::Random, only_expiring, 5));
        let expiry = |key: u64| key.is_multiple_of(4).then_some(START + 1_000_000);
        (0..800).for_each(|key| insert(&mut db, key, expiry(key), START));
        let candidates = if only_expiring { 200 } else { 800 };
        let mut evicted: HashMap<u64, u32> = HashMap::new();
        for _ in 0..candidates * 100 {
            let key = evict(&mut db, START).unwrap();
            *evicted.entry(key).or_default() += 1;
            insert(&mut db, key, expiry(key), START);
        }
        assert_eq!(evicted.len(), candidates);
        let (least, most) = (evicted.values().min().unwrap(), evicted.values().max().unwrap());
        assert!(*least > 50 && *most < 160, "{only_expiring}: from {least} to {most} of about 100");
    }
}

/// The counter falls by one for every minute of the clock that has passed since the last use.
#[test]
fn frequency_decays() {
    let lfu = |decay_minutes| LfuSettings { decay_minutes, ..LfuSettings::default() };
    for (decay_minutes, minutes, expected) in
        [(1, 0, 200), (1, 1, 199), (1, 30, 170), (1, 250, 0), (10, 35, 197), (0, 10_000, 200)]
    {
        let mut db = db_with(Policy { lfu: lfu(decay_minutes), ..policy(Order::Lfu, false, 5) });
        insert(&mut db, 1, None, START);
        let handle = db.eviction.main.back().unwrap();
        db.arena.entry_mut(handle).set_statistics(200);
        let now = START + minutes * 60_000;
        assert_eq!(frequency(db.arena.entry(handle), lfu(decay_minutes), now), expected);
        // A use begins with the lowered counter.
        db.use_entry(&1_u64.to_be_bytes(), now);
        let after = frequency(db.arena.entry(handle), lfu(decay_minutes), now);
        assert!((expected..=expected + 1).contains(&after), "{after} after {expected}");
    }
}

#[test]
fn nothing_is_used_while_uses_do_not_count() {
    for order in [Order::S3Fifo, Order::Lru, Order::Lfu, Order::Random] {
        let lfu = LfuSettings { log_factor: 0, ..LfuSettings::default() };
        let mut db = db_with(Policy { lfu, ..policy(order, false, 5) });
        (0..300).for_each(|number| insert(&mut db, number, None, START));
        let oldest = 0_u64.to_be_bytes();
        let seen = |db: &Db| {
            let entry = db.get(&oldest, START).expect("it is there");
            (entry.statistics(), entry.neighbours(), entry.idle_seconds(START + 50_000))
        };
        let before = seen(&db);
        db.eviction.set_touching(false);
        assert!(db.use_entry(&oldest, START + 50_000).is_some());
        assert!(db.get_mut(&oldest, START + 50_000, Event::Expire).is_some());
        assert_eq!(seen(&db), before, "{order:?}");
        db.eviction.set_touching(true);
        assert!(db.use_entry(&oldest, START + 50_000).is_some());
        assert_ne!(seen(&db), before, "{order:?}");
    }
}

/// What one policy has left behind, the next one can work with.
#[test]
fn policies_may_change_at_any_time() {
    let orders = [Order::S3Fifo, Order::Lru, Order::Never, Order::Lfu, Order::Random, Order::Ttl];
    let mut db = db_with(policy(Order::S3Fifo, false, 5));
    let mut state = 17;
    for step in 1..STEPS / 2 {
        let now = START + step * 10;
        if step % 300 == 0 {
            let order = orders[random(&mut state) as usize % orders.len()];
            db.set_policy(policy(order, random(&mut state).is_multiple_of(2), 5));
        }
        let key = key(&mut state);
        if db.use_entry(&key.to_be_bytes(), now).is_none() {
            let expiry = random(&mut state).is_multiple_of(2).then_some(now + 100_000_000);
            insert(&mut db, key, expiry, now);
        }
        let is_any = !db.eviction.policy().only_expiring || db.expiring() > 0;
        let can_evict = is_any && db.eviction.policy().order != Order::Never;
        while db.len() > 500 && can_evict {
            if evict(&mut db, now).is_none() {
                assert_eq!(db.expiring(), 0);
                break;
            }
        }
        if step % 5_000 == 0 {
            db.check();
        }
    }
    db.set_policy(policy(Order::Lru, false, 5));
    while evict(&mut db, START * 2).is_some() {}
    assert!(db.is_empty());
}
