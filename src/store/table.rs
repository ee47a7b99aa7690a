//! The hash table of one database: a directory of small tables, each split in two when it is full
//! (extendible hashing), so that growth never moves more than one small table at a time.
//!
//! Source: R. Fagin et al., "Extendible hashing - a fast access method for dynamic files", ACM TODS
//! 4(3), 1979.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::{Entry as Slot, VacantEntry};

use super::entry::Entry;
use super::memory::good_size;

/// Buckets of a segment that splits instead of growing: moving its entries takes about 100 us when
/// every one of them misses the cache.
const SEGMENT_BUCKETS_MAX: usize = 2048;
/// 2^26 segments hold more keys than a machine's memory.
const DEPTH_MAX: u8 = PREFIX_BITS as u8;
const PREFIX_BITS: u32 = 26;
const BUCKET_BITS: u32 = 11;
const EPOCH_BITS: u32 = 16;

/// Keys hashed with a secret seed, so that nobody can choose keys that collide.
#[derive(Clone, Debug)]
pub struct KeyHasher(FixedState);

impl KeyHasher {
    pub fn new(seed: u64) -> Self {
        KeyHasher(FixedState::with_seed(seed))
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}

#[derive(Debug, Default)]
struct Segment {
    entries: HashTable<Entry>,
    /// How many bits of the prefix all of its entries share.
    depth: u8,
    /// Changes whenever entries change their buckets, which makes cursors into it stale.
    epoch: u16,
}

#[derive(Debug)]
pub struct Table {
    /// `2^depth` indexes into `segments`, by the prefix of the hash.
    directory: Vec<u32>,
    segments: Vec<Segment>,
    depth: u8,
    len: usize,
    hasher: KeyHasher,
    /// Bytes of the buckets and of the directory.
    allocated: usize,
}

/// A place in a table's iteration order that survives growth: everything before it has been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCursor {
    prefix: u32,
    bucket: u16,
    epoch: u16,
}

/// What is at a key, found once.
pub enum Place<'a> {
    Occupied(&'a mut Entry),
    Vacant(VacantPlace<'a>),
}

/// Where the entry of a key that is not there belongs.
pub struct VacantPlace<'a> {
    slot: VacantEntry<'a, Entry>,
    len: &'a mut usize,
}

impl VacantPlace<'_> {
    /// The entry's key must be the one that the place was asked for.
    pub fn insert(self, entry: Entry) {
        self.slot.insert(entry);
        *self.len += 1;
    }
}

impl TableCursor {
    /// Bits that [`TableCursor::to_bits`] uses.
    pub const BITS: u32 = PREFIX_BITS + BUCKET_BITS + EPOCH_BITS;

    pub fn to_bits(self) -> u64 {
        (u64::from(self.prefix) << BUCKET_BITS | u64::from(self.bucket)) << EPOCH_BITS
            | u64::from(self.epoch)
    }

    /// Any number is a valid cursor, as clients can send any.
    pub fn from_bits(bits: u64) -> Self {
        TableCursor {
            epoch: bits as u16,
            bucket: ((bits >> EPOCH_BITS) & ((1 << BUCKET_BITS) - 1)) as u16,
            prefix: ((bits >> (EPOCH_BITS + BUCKET_BITS)) & ((1 << PREFIX_BITS) - 1)) as u32,
        }
    }
}

impl Table {
    pub fn new(hasher: KeyHasher) -> Self {
        let mut table = Table {
            directory: vec![0],
            segments: vec![Segment::default()],
            depth: 0,
            len: 0,
            hasher,
            allocated: 0,
        };
        table.allocated = table.own_bytes();
        table
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the table itself, entries not included.
    pub fn allocated_bytes(&self) -> usize {
        self.allocated
    }

    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&Entry> {
        let hash = self.hasher.hash(key);
        self.segments[self.segment_of(hash)].entries.find(hash, |entry| entry.key() == key)
    }

    /// Brings what a look-up of the key will read into the cache. Look-ups of several keys wait
    /// for memory one after the other; their prefetches wait for it together.
    #[inline]
    pub fn prefetch(&self, key: &[u8]) {
        let hash = self.hasher.hash(key);
        self.segments[self.segment_of(hash)].entries.find(hash, |entry| {
            entry.prefetch();
            false
        });
    }

    #[inline]
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let hash = self.hasher.hash(key);
        let segment = self.segment_of(hash);
        self.segments[segment].entries.find_mut(hash, |entry| entry.key() == key)
    }

    /// The place of a key, for commands that look first and then put something there.
    #[inline]
    pub fn place(&mut self, key: &[u8]) -> Place<'_> {
        let hash = self.hasher.hash(key);
        self.make_room(hash);
        let segment = self.segment_of(hash);
        let hasher = &self.hasher;
        let slot = self.segments[segment].entries.entry(
            hash,
            |other| other.key() == key,
            |other| hasher.hash(other.key()),
        );
        match slot {
            Slot::Occupied(occupied) => Place::Occupied(occupied.into_mut()),
            Slot::Vacant(slot) => Place::Vacant(VacantPlace { slot, len: &mut self.len }),
        }
    }

    /// Puts the entry in; what was at its key comes back.
    pub fn insert(&mut self, entry: Entry) -> Option<Entry> {
        match self.place(entry.key()) {
            Place::Occupied(occupied) => Some(std::mem::replace(occupied, entry)),
            Place::Vacant(vacant) => {
                vacant.insert(entry);
                None
            }
        }
    }

    pub fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let hash = self.hasher.hash(key);
        let segment = self.segment_of(hash);
        let found = self.segments[segment].entries.find_entry(hash, |entry| entry.key() == key);
        let (entry, _) = found.ok()?.remove();
        self.len -= 1;
        Some(entry)
    }

    /// Visits entries from `cursor` on until about `count` have been seen, and says where to go
    /// on; `None` when the table has been seen to its end. Every entry that is there from the first
    /// step to the last is visited at least once; some may be visited twice after growth.
    pub fn scan(
        &self,
        cursor: TableCursor,
        count: usize,
        mut visit: impl FnMut(&Entry),
    ) -> Option<TableCursor> {
        // Redis bounds the empty buckets it looks at the same way.
        let mut budget = count.saturating_mul(10);
        let mut seen = 0;
        let mut at = cursor;
        loop {
            let segment = &self.segments[self.segment_of_prefix(at.prefix)];
            let fresh = at.bucket == 0 || at.epoch == segment.epoch;
            // A stale place in a segment says nothing about what was seen there: show all of it,
            // whatever the count, so that every call makes progress however much is written.
            let whole = !fresh;
            let mut bucket = if whole { 0 } else { usize::from(at.bucket) };
            while bucket < segment.entries.num_buckets() {
                if !whole && (seen >= count || budget == 0) {
                    return Some(TableCursor {
                        prefix: at.prefix,
                        bucket: bucket as u16,
                        epoch: segment.epoch,
                    });
                }
                if let Some(entry) = segment.entries.get_bucket(bucket) {
                    visit(entry);
                    seen += 1;
                }
                bucket += 1;
                budget = budget.saturating_sub(1);
            }
            let next = self.prefix_behind(at.prefix, segment.depth)?;
            at = TableCursor { prefix: next, bucket: 0, epoch: 0 };
            if seen >= count || budget == 0 {
                return Some(at);
            }
        }
    }

    /// An entry chosen by two random numbers; `None` only if there is none.
    pub fn random(&self, mut next_random: impl FnMut() -> u64) -> Option<&Entry> {
        if self.len == 0 {
            return None;
        }
        for _ in 0..64 {
            let random = next_random();
            let prefix = (random as u32) & ((1 << PREFIX_BITS) - 1);
            let entries = &self.segments[self.segment_of_prefix(prefix)].entries;
            if entries.num_buckets() > 0 {
                let bucket = (random >> 32) as usize % entries.num_buckets();
                if let Some(entry) = entries.get_bucket(bucket) {
                    return Some(entry);
                }
            }
        }
        self.segments.iter().find_map(|segment| segment.entries.iter().next())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.segments.iter().flat_map(|segment| segment.entries.iter())
    }

    /// Makes sure that an insertion moves no entry, growing or splitting the hash's segment.
    fn make_room(&mut self, hash: u64) {
        loop {
            let index = self.segment_of(hash);
            let hasher = &self.hasher;
            let segment = &mut self.segments[index];
            if segment.entries.len() < segment.entries.capacity() {
                return;
            }
            // With fewer entries there are enough of removed ones' places to clear.
            let splits = segment.entries.num_buckets() >= SEGMENT_BUCKETS_MAX
                && segment.entries.len() >= SEGMENT_BUCKETS_MAX * 7 / 16
                && segment.depth < DEPTH_MAX;
            if splits {
                self.split(index);
                continue;
            }
            let before = segment.entries.allocation_size();
            segment.entries.reserve(1, |entry| hasher.hash(entry.key()));
            segment.epoch = segment.epoch.wrapping_add(1);
            let after = segment.entries.allocation_size();
            self.allocated = self.allocated - good_size(before) + good_size(after);
            return;
        }
    }

    fn split(&mut self, index: usize) {
        if self.segments[index].depth == self.depth {
            self.directory = self.directory.iter().flat_map(|&segment| [segment; 2]).collect();
            self.depth += 1;
        }
        let old = std::mem::take(&mut self.segments[index]);
        let depth = old.depth + 1;
        let epoch = old.epoch.wrapping_add(1);
        let mut halves = [(); 2].map(|()| HashTable::with_capacity(old.entries.len()));
        let hasher = &self.hasher;
        for entry in old.entries {
            let hash = hasher.hash(entry.key());
            let half = prefix(hash) >> (PREFIX_BITS - u32::from(depth)) & 1;
            halves[half as usize].insert_unique(hash, entry, |other| hasher.hash(other.key()));
        }
        let [low, high] = halves;
        let high_index = self.segments.len() as u32;
        self.segments[index] = Segment { entries: low, depth, epoch };
        self.segments.push(Segment { entries: high, depth, epoch });
        for (position, segment) in self.directory.iter_mut().enumerate() {
            if *segment as usize == index && position >> (self.depth - depth) & 1 == 1 {
                *segment = high_index;
            }
        }
        self.allocated = self.own_bytes();
    }

    fn own_bytes(&self) -> usize {
        let buckets: usize =
            self.segments.iter().map(|segment| good_size(segment.entries.allocation_size())).sum();
        buckets
            + good_size(self.segments.capacity() * size_of::<Segment>())
            + good_size(self.directory.capacity() * size_of::<u32>())
    }

    #[inline]
    fn segment_of(&self, hash: u64) -> usize {
        self.segment_of_prefix(prefix(hash))
    }

    #[inline]
    fn segment_of_prefix(&self, prefix: u32) -> usize {
        self.directory[(prefix >> (PREFIX_BITS - u32::from(self.depth))) as usize] as usize
    }

    /// The first prefix behind the segment that holds `prefix`.
    fn prefix_behind(&self, prefix: u32, depth: u8) -> Option<u32> {
        let shared = PREFIX_BITS - u32::from(depth);
        let next = (u64::from(prefix >> shared) + 1) << shared;
        (next < 1 << PREFIX_BITS).then_some(next as u32)
    }
}

/// The bits of a hash that choose the segment. hashbrown takes its tags from the top seven bits and
/// its bucket from the lowest, so these come from between.
#[inline]
fn prefix(hash: u64) -> u32 {
    (hash >> (64 - 7 - PREFIX_BITS)) as u32 & ((1 << PREFIX_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::super::entry::Encoding;
    use super::*;

    fn key(number: u64) -> [u8; 8] {
        number.to_be_bytes()
    }

    /// Cursors have no room for more buckets than a segment is meant to have.
    #[test]
    fn segments_full_of_removed_entries_do_not_grow() {
        let hasher = KeyHasher::new(1);
        // One key for each of the lowest buckets, so that removing them leaves tombstones: between
        // full buckets a place cannot simply be empty again.
        let full = SEGMENT_BUCKETS_MAX * 7 / 8;
        let mut of_bucket = vec![None; full];
        for number in 0..50_000 {
            let bucket = hasher.hash(&key(number)) as usize % SEGMENT_BUCKETS_MAX;
            if let Some(found @ None) = of_bucket.get_mut(bucket) {
                *found = Some(number);
            }
        }
        let numbers: Vec<u64> = of_bucket.into_iter().map(|found| found.unwrap()).collect();
        let entry = |number| Entry::string(&key(number), b"", Encoding::Raw, None);
        for stays in (600..1200).step_by(25) {
            let mut table = Table::new(hasher.clone());
            for &number in &numbers {
                table.insert(entry(number));
            }
            for &number in &numbers[100..100 + full - stays] {
                table.remove(&key(number));
            }
            for number in 50_000..50_100 {
                table.insert(entry(number));
            }
            let largest = table.segments.iter().map(|segment| segment.entries.num_buckets()).max();
            assert_eq!(largest, Some(SEGMENT_BUCKETS_MAX), "with {stays} entries");
        }
    }
}
