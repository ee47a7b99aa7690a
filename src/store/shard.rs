//! One shard: sixteen databases and the counters that INFO reports.

use super::db::{Db, EntryMut, Slot};
use super::table::KeyHasher;
use super::{Entry, UnixMs};

/// As many as Redis has by default. SELECT refuses the others.
pub const DATABASES: usize = 16;

/// What one shard has done since the start or the last CONFIG RESETSTAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    pub keyspace_hits: u64,
    pub keyspace_misses: u64,
    pub expired_keys: u64,
    pub evicted_keys: u64,
}

#[derive(Debug)]
pub struct Shard {
    dbs: Vec<Db>,
    pub stats: ShardStats,
    random_state: u64,
    /// The database that the sweep looks at next.
    sweep_db: usize,
}

impl Shard {
    /// `seed` must be unpredictable to clients: it keys the hash of the tables.
    pub fn new(seed: u64) -> Self {
        let hasher = KeyHasher::new(seed);
        Shard {
            dbs: (0..DATABASES).map(|_| Db::new(hasher.clone())).collect(),
            stats: ShardStats::default(),
            random_state: seed,
            sweep_db: 0,
        }
    }

    /// `index` must be below [`DATABASES`], as SELECT guarantees.
    #[inline]
    pub fn db(&self, index: usize) -> &Db {
        &self.dbs[index]
    }

    #[inline]
    pub fn db_mut(&mut self, index: usize) -> &mut Db {
        &mut self.dbs[index]
    }

    pub fn dbs(&self) -> impl ExactSizeIterator<Item = &Db> {
        self.dbs.iter()
    }

    /// A read by a client: counted as a hit or a miss.
    #[inline]
    pub fn read(&mut self, db: usize, key: &[u8], now: UnixMs) -> Option<&Entry> {
        let found = self.dbs[db].get(key, now);
        match found {
            Some(_) => self.stats.keyspace_hits += 1,
            None => self.stats.keyspace_misses += 1,
        }
        found
    }

    /// As [`Shard::read`], for commands that read and change.
    #[inline]
    pub fn read_mut(&mut self, db: usize, key: &[u8], now: UnixMs) -> Option<EntryMut<'_>> {
        let found = self.dbs[db].get_mut(key, now);
        match found {
            Some(_) => self.stats.keyspace_hits += 1,
            None => self.stats.keyspace_misses += 1,
        }
        found
    }

    /// As [`Shard::read`], for commands that read and then put something there.
    #[inline]
    pub fn read_slot<'a>(&'a mut self, db: usize, key: &'a [u8], now: UnixMs) -> Slot<'a> {
        let slot = self.dbs[db].slot(key, now);
        match slot {
            Slot::Occupied(_) => self.stats.keyspace_hits += 1,
            Slot::Vacant(_) => self.stats.keyspace_misses += 1,
        }
        slot
    }

    /// Watches stay with the number of their database; they break if there is or was such a key.
    pub fn swap_dbs(&mut self, a: usize, b: usize, now: UnixMs) {
        if a == b {
            return;
        }
        for (watching, other) in [(a, b), (b, a)] {
            let mut watched = std::mem::take(&mut self.dbs[watching].watched);
            let dbs = &self.dbs;
            watched.modified_where(|key| {
                dbs[watching].contains(key, now) || dbs[other].contains(key, now)
            });
            self.dbs[watching].watched = watched;
        }
        self.dbs.swap(a, b);
        let (first, rest) = self.dbs.split_at_mut(a.max(b));
        std::mem::swap(&mut first[a.min(b)].watched, &mut rest[0].watched);
    }

    pub fn clear(&mut self) {
        for db in &mut self.dbs {
            db.clear();
        }
    }

    /// Bytes that everything stored here holds.
    pub fn allocated_bytes(&self) -> usize {
        self.dbs.iter().map(Db::allocated_bytes).sum()
    }

    pub fn has_expiring(&self) -> bool {
        self.dbs.iter().any(|db| db.expiring() > 0)
    }

    /// One step of the sweep that gives the memory of expired entries back: about `count` entries.
    pub fn sweep_expired(&mut self, count: usize, now: UnixMs) {
        for _ in 0..DATABASES {
            let index = self.sweep_db;
            self.sweep_db = (index + 1) % DATABASES;
            if self.dbs[index].expiring() > 0 {
                self.dbs[index].sweep_expired(count, now, &mut self.stats);
                return;
            }
        }
    }

    /// An entry chosen at random; see [`Db::random`].
    pub fn random_entry(&mut self, db: usize, now: UnixMs) -> Option<&Entry> {
        let state = &mut self.random_state;
        self.dbs[db].random(now, || split_mix(state))
    }

    /// A number that tests can repeat.
    pub fn next_random(&mut self) -> u64 {
        split_mix(&mut self.random_state)
    }
}

/// SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
