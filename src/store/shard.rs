//! One shard: sixteen databases and the counters that INFO reports.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use super::arena::Geometry;
use super::changes::{Change, Classes, Event, Events};
use super::db::{Db, EntryMut, Slot};
use super::eviction::{Order, Policy};
use super::large::Payload;
use super::table::KeyHasher;
use super::value::{Content, Remains};
use super::{EntryRef, Item, UnixMs, split_mix};

/// As many as Redis has by default. SELECT refuses the others.
pub const DATABASES: usize = 16;
/// What a shard can hold in blocks of eight bytes.
const DEFAULT_CAPACITY_BYTES: u64 = 32 << 30;
/// A database that was flushed and held more is freed in slices.
const SLICE_BYTES: usize = 1 << 20;
/// Pages that one step of the sweep glances at, at most.
const SWEEP_GLANCES: usize = 8192;

/// What one shard has done since the start or the last CONFIG RESETSTAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    pub keyspace_hits: u64,
    pub keyspace_misses: u64,
    pub expired_keys: u64,
    /// Fields of hashes.
    pub expired_fields: u64,
    pub evicted_keys: u64,
    /// Databases and huge values whose memory has been given back in slices.
    pub lazily_freed: u64,
}

impl ShardStats {
    /// Counts a read that found something or not.
    #[inline]
    fn read(&mut self, found: bool) {
        if found {
            self.keyspace_hits += 1;
        } else {
            self.keyspace_misses += 1;
        }
    }
}

#[derive(Debug)]
pub struct Shard {
    dbs: Vec<Db>,
    /// By database, as bits: whether something may ever have been put into it.
    used: u16,
    /// What a database holds that nothing was ever put into.
    unused_db_bytes: usize,
    counts: ShardStats,
    random_state: u64,
    policy: Policy,
    /// The database that the sweep, or compaction, looks at next.
    sweep_db: usize,
    compact_db: usize,
    /// Whether a large value may be left out of the reply that asks for it, and the one that was.
    sends_apart: bool,
    apart: Option<Payload>,
    /// Former databases and large values whose memory is still to be given back.
    dead: VecDeque<Box<Db>>,
    remains: VecDeque<Remains>,
}

impl Shard {
    /// `seed` must be unpredictable to clients: it keys the hash of the tables.
    pub fn new(seed: u64) -> Self {
        Shard::with_capacity(seed, DEFAULT_CAPACITY_BYTES)
    }

    /// A shard whose databases can hold at least `bytes` each.
    pub fn with_capacity(seed: u64, bytes: u64) -> Self {
        let hasher = KeyHasher::new(seed);
        let geometry = Geometry::for_bytes(bytes);
        let policy = Policy::default();
        let new_db = || Db::new(hasher.clone(), geometry.clone(), policy);
        Shard {
            dbs: (0..DATABASES).map(|_| new_db()).collect(),
            used: 0,
            unused_db_bytes: new_db().allocated_bytes(),
            counts: ShardStats::default(),
            // Clients see choices made by it, and must not learn the seed from them.
            random_state: hasher.hash(b"random numbers"),
            policy,
            sweep_db: 0,
            compact_db: 0,
            sends_apart: false,
            apart: None,
            dead: VecDeque::new(),
            remains: VecDeque::new(),
        }
    }

    /// `index` must be below [`DATABASES`], as SELECT guarantees.
    #[inline]
    pub fn db(&self, index: usize) -> &Db {
        &self.dbs[index]
    }

    #[inline]
    pub fn db_mut(&mut self, index: usize) -> &mut Db {
        self.used |= 1 << index;
        &mut self.dbs[index]
    }

    /// Whether whoever replies may leave a large value out, for [`Shard::send_apart`]: not unless
    /// its holder says so.
    #[inline]
    pub fn sends_apart(&self) -> bool {
        self.sends_apart
    }

    #[inline]
    pub fn set_sends_apart(&mut self, allowed: bool) {
        self.sends_apart = allowed;
    }

    /// Has a value sent behind what the reply has so far.
    pub fn send_apart(&mut self, value: Payload) {
        debug_assert!(self.sends_apart && self.apart.is_none());
        self.apart = Some(value);
    }

    /// What is to be sent behind the reply, once.
    #[inline]
    pub fn take_apart(&mut self) -> Option<Payload> {
        self.apart.take()
    }

    pub fn dbs(&self) -> impl ExactSizeIterator<Item = &Db> {
        self.dbs.iter()
    }

    /// A read by a client: counted as a hit or a miss.
    #[inline]
    pub fn read(&mut self, db: usize, key: &[u8], now: UnixMs) -> Option<EntryRef<'_>> {
        let found = self.dbs[db].use_entry(key, now);
        self.counts.read(found.is_some());
        found
    }

    /// A read by a client that does not count as a use of the entry.
    #[inline]
    pub fn glance(&mut self, db: usize, key: &[u8], now: UnixMs) -> Option<EntryRef<'_>> {
        let found = self.dbs[db].get(key, now);
        self.counts.read(found.is_some());
        found
    }

    /// As [`Shard::read`], for commands that read and change.
    #[inline]
    pub fn read_mut(
        &mut self,
        db: usize,
        key: &[u8],
        now: UnixMs,
        event: impl Into<Events>,
    ) -> Option<EntryMut<'_>> {
        let found = self.dbs[db].get_mut(key, now, event);
        self.counts.read(found.is_some());
        found
    }

    /// As [`Shard::read`], for commands that read and then put something there.
    #[inline]
    pub fn read_slot<'a>(
        &'a mut self,
        db: usize,
        key: &'a [u8],
        now: UnixMs,
        event: impl Into<Events>,
    ) -> Slot<'a> {
        self.used |= 1 << db;
        let slot = self.dbs[db].slot(key, now, event);
        self.counts.read(matches!(slot, Slot::Occupied(_)));
        slot
    }

    /// Random numbers, others each time.
    pub fn random_numbers(&mut self) -> impl FnMut() -> u64 + use<> {
        let mut state = split_mix(&mut self.random_state);
        move || split_mix(&mut state)
    }

    /// Watches stay with the number of their database; they break if there is or was such a key.
    pub fn swap_dbs(&mut self, a: usize, b: usize, now: UnixMs) {
        if a == b {
            return;
        }
        let [mut feed_of_a, mut feed_of_b] =
            [a, b].map(|db| std::mem::take(&mut self.dbs[db].changes));
        let dbs = &self.dbs;
        let is_there = |key: &[u8]| [a, b].iter().any(|&db| dbs[db].contains(key, now));
        feed_of_a.tell_swap(&mut feed_of_b, is_there);
        self.dbs.swap(a, b);
        self.used |= 1 << a | 1 << b;
        (self.dbs[a].changes, self.dbs[b].changes) = (feed_of_a, feed_of_b);
    }

    /// Drops everything; returns how many keys there were. The memory goes back in slices, unless
    /// it is no more than one: every former database keeps a range of addresses, and a client that
    /// flushes again and again could use all of them up.
    pub fn clear_db(&mut self, index: usize) -> usize {
        let db = &mut self.dbs[index];
        let len = db.len();
        if len > 0 {
            let mut feed = std::mem::take(&mut db.changes);
            feed.tell_flush(db);
            db.changes = feed;
            self.remains.extend(db.remains.drain(..));
            let fresh = db.fresh();
            let former = std::mem::replace(db, fresh);
            if former.allocated_bytes() + former.unused_bytes() > SLICE_BYTES {
                self.dead.push_back(Box::new(former));
            }
        }
        len
    }

    /// Moves the entry at a key to another database, where there must be none; whether there was one
    /// that had not expired. Its value is copied only as far as it lies in its block.
    pub fn move_entry(&mut self, key: &[u8], from: usize, to: usize, now: UnixMs) -> bool {
        let item = self.db_mut(from).take(key, now, Event::MoveFrom);
        let is_there = item.is_some();
        if let Some(item) = item {
            self.db_mut(to).insert(item, now, Event::MoveTo);
        }
        is_there
    }

    /// From now on what happens is recorded, in its order: events of these classes and, if there are
    /// any, databases that are flushed or swapped. The record grows with every change until it is
    /// taken. What has been recorded so far is dropped.
    #[cold]
    pub fn record_changes(&mut self, classes: Classes) {
        let order = Arc::default();
        for (index, db) in self.dbs.iter_mut().enumerate() {
            db.changes.record(classes, index, &order);
        }
    }

    /// What has been recorded since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut numbered = Vec::new();
        self.dbs.iter_mut().for_each(|db| db.changes.take_recorded(&mut numbered));
        numbered.sort_unstable_by_key(|(number, _)| *number);
        numbered.into_iter().map(|(_, change)| change).collect()
    }

    /// Frees an item that is not needed any more, a large one in slices.
    pub fn discard(&mut self, item: Item) {
        self.remains.extend(match item.value.content {
            Content::Bytes(_) => None,
            Content::Payload(payload) => Remains::of_payload(payload),
            Content::Object(object) => Remains::of_object(object),
        });
    }

    pub fn clear(&mut self) {
        for index in 0..DATABASES {
            self.clear_db(index);
        }
    }

    pub fn set_policy(&mut self, policy: Policy) {
        if policy != self.policy {
            self.policy = policy;
            self.dbs.iter_mut().for_each(|db| db.set_policy(policy));
        }
    }

    /// Whether what is read or changed counts as used from now on; it does at first.
    #[cold]
    pub fn set_touching(&mut self, touching: bool) {
        self.dbs.iter_mut().for_each(|db| db.eviction.set_touching(touching));
    }

    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// What has been done since the start or [`Shard::reset_stats`].
    pub fn stats(&self) -> ShardStats {
        let departures = |of: fn(&Db) -> u64| self.dbs.iter().map(of).sum::<u64>();
        ShardStats {
            expired_keys: departures(|db| db.departures.expired),
            expired_fields: departures(|db| db.departures.expired_fields),
            evicted_keys: departures(|db| db.departures.evicted),
            ..self.counts
        }
    }

    pub fn reset_stats(&mut self) {
        self.counts = ShardStats::default();
        self.dbs.iter_mut().for_each(|db| db.departures = Default::default());
    }

    /// Bytes that everything stored here holds.
    #[inline]
    pub fn allocated_bytes(&self) -> usize {
        let unused = DATABASES - self.used.count_ones() as usize;
        unused * self.unused_db_bytes + self.used_dbs().map(Db::allocated_bytes).sum::<usize>()
    }

    /// The databases that something may ever have been put into: in every pass, to look at all of
    /// them would cost as much as a command.
    #[inline]
    fn used_dbs(&self) -> impl Iterator<Item = &Db> {
        let mut left = self.used;
        std::iter::from_fn(move || {
            let index = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            self.dbs.get(index)
        })
    }

    /// What an empty shard holds.
    pub fn empty_bytes() -> usize {
        static BYTES: OnceLock<usize> = OnceLock::new();
        *BYTES.get_or_init(|| Shard::new(0).allocated_bytes())
    }

    /// Bytes that were taken from the system past the process's allocator.
    pub fn mapped_bytes(&self) -> usize {
        self.dbs.iter().chain(self.dead.iter().map(|db| &**db)).map(Db::mapped_bytes).sum::<usize>()
            + self.all_remains().map(Remains::mapped_bytes).sum::<usize>()
    }

    /// Whether there may be no room for what a command brings.
    pub fn is_nearly_full(&self) -> bool {
        self.used_dbs().any(Db::is_nearly_full)
    }

    pub fn has_expiring(&self) -> bool {
        self.dbs.iter().any(Db::has_due)
    }

    /// One step of the sweep that gives the memory of expired entries back: up to about `count`
    /// entries. True when it has not come round yet.
    pub fn sweep_expired(&mut self, count: usize, now: UnixMs) -> bool {
        let mut dropped = 0;
        let mut glances = SWEEP_GLANCES;
        loop {
            let db = &mut self.dbs[self.sweep_db];
            if db.has_due() {
                let swept = db.sweep_expired(glances, count - dropped, now);
                dropped += swept.expired;
                glances = glances.saturating_sub(swept.glances);
                if swept.more {
                    return true;
                }
            }
            self.sweep_db = (self.sweep_db + 1) % DATABASES;
            if self.sweep_db == 0 || dropped >= count {
                return self.sweep_db != 0;
            }
        }
    }

    /// Drops the entry that is worth the least, of all databases by what they hold. False if none
    /// may be dropped.
    pub fn evict(&mut self, now: UnixMs) -> bool {
        let total: usize = self.dbs.iter().map(Db::entry_bytes).sum();
        let mut at = ((u128::from(self.next_random()) * total as u128) >> 64) as usize;
        let start = self.dbs.iter().position(|db| {
            let here = at < db.entry_bytes();
            at = at.saturating_sub(db.entry_bytes());
            here
        });
        let start = start.unwrap_or(0);
        (0..DATABASES).any(|offset| {
            let db = &mut self.dbs[(start + offset) % DATABASES];
            !db.is_empty() && db.evict(now)
        })
    }

    /// Whether [`Shard::evict`] would find an entry.
    pub fn can_evict(&self) -> bool {
        let Policy { order, only_expiring, .. } = self.policy;
        let candidates = |db: &Db| if only_expiring { db.expiring() > 0 } else { !db.is_empty() };
        order != Order::Never && self.used_dbs().any(candidates)
    }

    /// Seconds since the entry that would be evicted next was last used.
    pub fn oldest_idle_seconds(&self, now: UnixMs) -> u32 {
        self.dbs.iter().filter_map(|db| db.oldest_idle_seconds(now)).max().unwrap_or(0)
    }

    /// Bytes of former databases and huge values that are still to be given back.
    pub fn dead_bytes(&self) -> usize {
        self.dead.iter().map(|db| db.allocated_bytes()).sum::<usize>()
            + self.all_remains().map(Remains::bytes).sum::<usize>()
    }

    fn all_remains(&self) -> impl Iterator<Item = &Remains> {
        let of_dead = self.dead.iter().flat_map(|db| &db.remains);
        self.remains.iter().chain(self.used_dbs().flat_map(|db| &db.remains)).chain(of_dead)
    }

    /// Former databases and huge values whose memory is still to be given back.
    pub fn dead_objects(&self) -> usize {
        let fresh: usize = self.used_dbs().map(|db| db.remains.len()).sum();
        self.dead.len() + self.remains.len() + fresh
    }

    /// Whether there is memory to be given back, by [`Shard::free_slice`] or [`Shard::compact`].
    #[inline]
    pub fn has_chores(&self) -> bool {
        self.dead_objects() > 0 || self.used_dbs().any(Db::is_sparse)
    }

    /// One slice of giving memory back that nothing uses any more; true while there is more.
    pub fn free_slice(&mut self) -> bool {
        for db in &mut self.dbs {
            self.remains.extend(db.remains.drain(..));
        }
        if let Some(first) = self.remains.front_mut() {
            if !first.free_slice() {
                self.remains.pop_front();
                self.counts.lazily_freed += 1;
            }
        } else if let Some(first) = self.dead.front_mut()
            && !first.take_apart()
        {
            self.dead.pop_front();
            self.counts.lazily_freed += 1;
        }
        !self.remains.is_empty() || !self.dead.is_empty()
    }

    /// Moves up to about `count` entries out of sparse pages; false when there is nothing to do.
    pub fn compact(&mut self, count: usize) -> bool {
        for _ in 0..DATABASES {
            if self.dbs[self.compact_db].compact(count) {
                return true;
            }
            self.compact_db = (self.compact_db + 1) % DATABASES;
        }
        false
    }

    /// Gives memory that nothing lives in back to the system.
    pub fn trim(&mut self) {
        self.dbs.iter_mut().for_each(Db::trim);
    }

    /// An entry chosen at random; see [`Db::random`].
    pub fn random_entry(&mut self, db: usize, now: UnixMs) -> Option<EntryRef<'_>> {
        let state = &mut self.random_state;
        self.dbs[db].random(now, || split_mix(state))
    }

    /// A number that tests can repeat.
    pub fn next_random(&mut self) -> u64 {
        split_mix(&mut self.random_state)
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::store::Encoding;

    const NOW: UnixMs = 1_700_000_000_123;

    fn set(shard: &mut Shard, db: usize, number: u64, len: usize, expiry: Option<UnixMs>) {
        let (key, value) = (number.to_be_bytes(), vec![1; len]);
        shard.db_mut(db).set_string(&key, &value, Encoding::Raw, expiry, NOW, Event::Set);
    }

    /// Every former database keeps its address space until it is freed, and there is not so much
    /// of it that a client's flushes could not use it up.
    #[test]
    fn flushing_small_databases_leaves_nothing_behind() {
        let mut shard = Shard::new(1);
        for number in 0..10_000 {
            set(&mut shard, 3, number, 10, None);
            assert_eq!(shard.clear_db(3), 1);
        }
        assert_eq!(shard.dead_objects(), 0);
    }

    #[test]
    fn flushing_a_large_database_leaves_it_to_be_freed_in_slices() {
        let mut shard = Shard::new(1);
        (0..20_000).for_each(|number| set(&mut shard, 3, number, 500, None));
        set(&mut shard, 3, 20_000, 3 << 20, None);
        set(&mut shard, 3, 20_000, 10, None);
        assert_eq!(shard.clear_db(3), 20_001);
        assert_eq!(shard.dead_objects(), 2);
        assert!(shard.dead_bytes() > 10_000_000);
        let mut steps = 1;
        while shard.free_slice() {
            steps += 1;
        }
        assert!(steps > 5);
        assert_eq!((shard.dead_objects(), shard.dead_bytes()), (0, 0));
        assert_eq!(shard.stats().lazily_freed, 2);
    }

    /// A database with more pages than a step goes through holds up neither others nor the end.
    #[test]
    fn a_large_database_lets_the_sweep_reach_others() {
        let mut shard = Shard::new(1);
        let far = NOW + 1_000_000;
        let number_of_pages = SWEEP_GLANCES as u64 + 100;
        // Seven blocks or more to a page.
        (0..number_of_pages * 8).for_each(|number| set(&mut shard, 0, number, 8_000, Some(far)));
        set(&mut shard, 5, 1, 10, Some(NOW + 1));
        let mut steps = 1;
        while shard.sweep_expired(100, NOW + 2_000) {
            steps += 1;
            assert!(steps < 10, "the sweep does not come to an end");
        }
        assert!(steps > 1);
        assert_eq!(shard.db(5).len(), 0);
    }
}
