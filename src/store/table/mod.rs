//! The hash table of one database: a directory of small tables, each split in two when it is full
//! (extendible hashing) and joined with its other half when both are nearly empty, so that neither
//! growth nor shrinking moves more than one small table at a time.
//!
//! It holds handles; the keys are in the arena's blocks.
//!
//! Source: R. Fagin et al., "Extendible hashing - a fast access method for dynamic files", ACM TODS
//! 4(3), 1979.

use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroUsize;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::arena::{Arena, Handle, prefetch_line};
use super::memory::good_size;

/// Buckets of a segment that splits instead of growing: moving its entries takes about 100 us when
/// every one of them misses the cache.
const SEGMENT_BUCKETS_MAX: usize = 2048;
/// Two halves with fewer entries than this together become one segment, which they fill to a half.
const SEGMENT_JOIN_LEN: usize = SEGMENT_BUCKETS_MAX * 7 / 16;
/// Entries that a split or a join fetches from memory together.
const KEYS_READ_TOGETHER: usize = 64;
/// 2^26 segments hold more keys than a machine's memory.
const DEPTH_MAX: u8 = PREFIX_BITS as u8;
const PREFIX_BITS: u32 = 26;
const BUCKET_BITS: u32 = 11;
const EPOCH_BITS: u32 = 16;
/// Tags that hashbrown reads with one instruction.
const TAGS_TOGETHER: usize = 16;

/// Keys hashed with a secret seed, so that nobody can choose keys that collide.
#[derive(Clone, Debug)]
pub struct KeyHasher(FixedState);

impl KeyHasher {
    pub fn new(seed: u64) -> Self {
        KeyHasher(FixedState::with_seed(seed))
    }

    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}

/// The depth of a segment that stands empty at a spare place.
const SPARE: u8 = u8::MAX;

#[derive(Debug, Default)]
struct Segment {
    entries: HashTable<Handle>,
    /// How many bits of the prefix all of its entries share.
    depth: u8,
    /// Changes whenever entries change their buckets, which makes cursors into it stale.
    epoch: u16,
    /// Where the bytes of tags begin, for [`Segment::prefetch`]: bucket `i` is the `i + 1`th before.
    /// `None` until they are asked for.
    tags_address: Option<NonZeroUsize>,
}

impl Segment {
    /// Asks for the cache lines that looking for this hash will read, without reading any itself.
    /// A table does not tell where they are, so that is found from one of the entries. Were its
    /// layout another one, look-ups would be slower and nothing else.
    #[inline]
    fn prefetch(&mut self, hash: u64) {
        let Some(tags) = self.tags_address.or_else(|| self.find_tags()) else { return };
        let first = hash as usize & (self.entries.num_buckets() - 1);
        let line = |address: usize| prefetch_line(std::ptr::without_provenance(address));
        // Sixteen tags from there on are compared. To take an entry out, those before it are read.
        line(tags.get() + first - TAGS_TOGETHER);
        line(tags.get() + first + 2 * TAGS_TOGETHER - 1);
        // Few entries are further from their place.
        line(tags.get() - (first + 1) * size_of::<Handle>());
        line(tags.get() - (first + TAGS_TOGETHER / 2) * size_of::<Handle>());
    }

    #[cold]
    fn find_tags(&mut self) -> Option<NonZeroUsize> {
        let bucket = self.entries.iter_buckets().next()?;
        let entry = std::ptr::from_ref(self.entries.get_bucket(bucket)?);
        self.tags_address = NonZeroUsize::new(entry.addr() + (bucket + 1) * size_of::<Handle>());
        self.tags_address
    }
}

#[derive(Debug)]
pub struct Table {
    /// `2^depth` indexes into `segments`, by the prefix of the hash.
    directory: Vec<u32>,
    segments: Vec<Segment>,
    /// Places of segments that were joined with others; those behind the last segment are void.
    spare: Vec<u32>,
    depth: u8,
    /// Segments whose depth is the table's.
    deepest: usize,
    len: usize,
    hasher: KeyHasher,
    /// Bytes of the segments' buckets.
    buckets_bytes: usize,
}

/// A place in a table's iteration order that survives growth: everything before it has been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCursor {
    prefix: u32,
    bucket: u16,
    epoch: u16,
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
        Table {
            directory: vec![0],
            segments: vec![Segment::default()],
            spare: Vec::new(),
            depth: 0,
            deepest: 1,
            len: 0,
            hasher,
            buckets_bytes: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// Bytes of the table itself, entries not included.
    #[inline]
    pub fn allocated_bytes(&self) -> usize {
        self.buckets_bytes
            + self.segments.capacity() * size_of::<Segment>()
            + (self.directory.capacity() + self.spare.capacity()) * size_of::<u32>()
    }

    #[inline]
    pub fn find(&self, arena: &Arena, hash: u64, key: &[u8]) -> Option<Handle> {
        let segment = &self.segments[self.segment_of(hash)];
        segment.entries.find(hash, |handle| arena.entry(*handle).key() == key).copied()
    }

    /// Brings what a look-up of the key will read into the cache. Look-ups of several keys wait
    /// for memory one after the other; their prefetches wait for it together.
    #[inline]
    pub fn prefetch(&self, arena: &Arena, key: &[u8]) {
        let hash = self.hasher.hash(key);
        self.segments[self.segment_of(hash)].entries.find(hash, |handle| {
            arena.entry(*handle).prefetch();
            false
        });
    }

    /// Asks for the cache lines of the table itself that a look-up of this hash reads.
    #[inline]
    pub fn prefetch_buckets(&mut self, hash: u64) {
        let segment = self.segment_of(hash);
        self.segments[segment].prefetch(hash);
    }

    /// Adds an entry whose key is not there.
    #[inline]
    pub fn insert(&mut self, arena: &Arena, hash: u64, handle: Handle) {
        self.make_room(arena, hash);
        let segment = self.segment_of(hash);
        let hasher = &self.hasher;
        let rehash = |other: &Handle| hasher.hash(arena.entry(*other).key());
        self.segments[segment].entries.insert_unique(hash, handle, rehash);
        self.len += 1;
    }

    /// Lets the handle `to` stand where `from` does.
    #[inline]
    pub fn replace(&mut self, hash: u64, from: Handle, to: Handle) {
        let segment = self.segment_of(hash);
        let found = self.segments[segment].entries.find_mut(hash, |handle| *handle == from);
        debug_assert!(found.is_some());
        if let Some(handle) = found {
            *handle = to;
        }
    }

    /// Takes an entry out that is there.
    #[inline]
    pub fn remove(&mut self, arena: &Arena, hash: u64, handle: Handle) {
        let index = self.segment_of(hash);
        let entries = &mut self.segments[index].entries;
        let Ok(found) = entries.find_entry(hash, |other| *other == handle) else {
            debug_assert!(false, "{handle:?} is not in the table");
            return;
        };
        found.remove();
        let left = entries.len();
        self.len -= 1;
        // Seldom enough that looking for something to join costs nothing.
        if left.is_multiple_of(64) && left <= SEGMENT_JOIN_LEN / 2 {
            self.shrink(arena, hash);
        }
    }

    /// Visits entries from `cursor` on until about `count` have been seen, and says where to go
    /// on; `None` when the table has been seen to its end. Every entry that is there from the first
    /// step to the last is visited at least once; some may be visited twice after growth.
    pub fn scan(
        &self,
        cursor: TableCursor,
        count: usize,
        mut visit: impl FnMut(Handle),
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
                    visit(*entry);
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
    pub fn random(&self, mut next_random: impl FnMut() -> u64) -> Option<Handle> {
        if self.len == 0 {
            return None;
        }
        // Each bucket is as likely as any other, whatever the share of its segment.
        let buckets_max = match &self.segments[..] {
            [only] => only.entries.num_buckets(),
            _ => SEGMENT_BUCKETS_MAX,
        };
        for _ in 0..64 {
            let random = next_random();
            let segment = ((random & u64::from(u32::MAX)) * self.segments.len() as u64) >> 32;
            let bucket = (random >> 32) as usize % buckets_max;
            let entries = &self.segments[segment as usize].entries;
            if bucket < entries.num_buckets()
                && let Some(entry) = entries.get_bucket(bucket)
            {
                return Some(*entry);
            }
        }
        self.iter().next()
    }

    pub fn iter(&self) -> impl Iterator<Item = Handle> {
        self.segments.iter().flat_map(|segment| segment.entries.iter().copied())
    }

    /// Takes one segment's entries out, in no order and for good; `None` when there are no more.
    /// Afterwards the table can only be taken apart further.
    pub fn take_apart(&mut self) -> Option<impl Iterator<Item = Handle> + use<>> {
        self.directory = Vec::new();
        let segment = self.segments.pop()?;
        self.len -= segment.entries.len();
        self.buckets_bytes -= good_size_of(&segment.entries);
        Some(segment.entries.into_iter())
    }

    /// Makes sure that an insertion moves no entry, growing or splitting the hash's segment.
    #[inline]
    fn make_room(&mut self, arena: &Arena, hash: u64) {
        let entries = &self.segments[self.segment_of(hash)].entries;
        if entries.len() == entries.capacity() {
            self.grow(arena, hash);
        }
    }

    #[cold]
    fn grow(&mut self, arena: &Arena, hash: u64) {
        loop {
            let index = self.segment_of(hash);
            let segment = &self.segments[index];
            let entries = &segment.entries;
            if entries.len() < entries.capacity() {
                return;
            }
            // With fewer entries there are enough of removed ones' places to clear.
            let splits = entries.num_buckets() >= SEGMENT_BUCKETS_MAX
                && entries.len() >= SEGMENT_BUCKETS_MAX * 7 / 16
                && segment.depth < DEPTH_MAX;
            if splits {
                self.split(arena, hash);
                continue;
            }
            let hasher = self.hasher.clone();
            let rehash = |handle: &Handle| hasher.hash(arena.entry(*handle).key());
            self.change_buckets(index, |entries| entries.reserve(1, rehash));
            return;
        }
    }

    /// Changes a segment's buckets and what depends on them.
    fn change_buckets(&mut self, index: usize, change: impl FnOnce(&mut HashTable<Handle>)) {
        let segment = &mut self.segments[index];
        let before = good_size_of(&segment.entries);
        change(&mut segment.entries);
        segment.epoch = segment.epoch.wrapping_add(1);
        segment.tags_address = None;
        self.buckets_bytes = self.buckets_bytes - before + good_size_of(&segment.entries);
    }

    fn split(&mut self, arena: &Arena, hash: u64) {
        let index = self.segment_of(hash);
        if self.segments[index].depth == self.depth {
            self.directory = self.directory.iter().flat_map(|&segment| [segment; 2]).collect();
            self.depth += 1;
            self.deepest = 0;
        }
        let old = std::mem::take(&mut self.segments[index]);
        let depth = old.depth + 1;
        let epoch = old.epoch.wrapping_add(1);
        self.buckets_bytes -= good_size_of(&old.entries);
        let mut halves = [(); 2].map(|()| HashTable::with_capacity(old.entries.len()));
        each_hashed(arena, &self.hasher, old.entries, |hash, handle| {
            let half = prefix(hash) >> (PREFIX_BITS - u32::from(depth)) & 1;
            // With room for all of them nothing is ever hashed again.
            halves[half as usize].insert_unique(hash, handle, |_| 0);
        });
        self.buckets_bytes += halves.iter().map(good_size_of).sum::<usize>();
        let [low, high] = halves;
        self.segments[index] = Segment { entries: low, depth, epoch, tags_address: None };
        let high_index = self.place(Segment { entries: high, depth, epoch, tags_address: None });
        let (start, len) = self.directory_range(hash, depth - 1);
        self.directory[start + len / 2..start + len].fill(high_index);
        if depth == self.depth {
            self.deepest += 2;
        }
    }

    /// Puts a new segment at a spare place.
    fn place(&mut self, segment: Segment) -> u32 {
        while let Some(spare) = self.spare.pop() {
            // The last places have been given up since.
            if let Some(place) = self.segments.get_mut(spare as usize) {
                *place = segment;
                return spare;
            }
        }
        self.segments.push(segment);
        (self.segments.len() - 1) as u32
    }

    /// Joins the hash's segment with its other half if there is so little in both; a segment that
    /// has none becomes smaller itself.
    #[cold]
    fn shrink(&mut self, arena: &Arena, hash: u64) {
        let index = self.segment_of(hash);
        let depth = self.segments[index].depth;
        let hasher = self.hasher.clone();
        let rehash = |handle: &Handle| hasher.hash(arena.entry(*handle).key());
        if depth == 0 {
            let wanted = self.len * 2;
            if self.segments[index].entries.capacity() > 4 * wanted.max(8) {
                self.change_buckets(index, |entries| entries.shrink_to(wanted, rehash));
            }
            return;
        }
        let (start, len) = self.directory_range(hash, depth - 1);
        let (low, high) = (self.directory[start], self.directory[start + len - 1]);
        let (low_index, high_index) = (low as usize, high as usize);
        let both = self.segments[low_index].entries.len() + self.segments[high_index].entries.len();
        let same_depth =
            self.segments[low_index].depth == depth && self.segments[high_index].depth == depth;
        if !same_depth || both > SEGMENT_JOIN_LEN {
            return;
        }
        let spare = Segment { depth: SPARE, ..Segment::default() };
        let moved = std::mem::replace(&mut self.segments[high_index], spare);
        self.buckets_bytes -= good_size_of(&moved.entries);
        self.change_buckets(low_index, |entries| {
            each_hashed(arena, &hasher, moved.entries, |hash, handle| {
                entries.insert_unique(hash, handle, rehash);
            });
        });
        let segment = &mut self.segments[low_index];
        segment.depth -= 1;
        segment.epoch = segment.epoch.max(moved.epoch).wrapping_add(1);
        self.spare.push(high);
        self.directory[start..start + len].fill(low);
        if depth == self.depth {
            self.deepest -= 2;
            self.halve_directory();
        }
        self.drop_spare_segments();
    }

    /// While no segment needs the last bit of the directory's index.
    fn halve_directory(&mut self) {
        while self.deepest == 0 && self.depth > 0 {
            self.directory = self.directory.iter().step_by(2).copied().collect();
            self.depth -= 1;
            let depth = self.depth;
            self.deepest = self.segments.iter().filter(|segment| segment.depth == depth).count();
        }
    }

    /// Spare places at the end are given up.
    fn drop_spare_segments(&mut self) {
        while self.segments.last().is_some_and(|last| last.depth == SPARE) {
            self.segments.pop();
        }
        if self.segments.capacity() > 4 * self.segments.len() + 16 {
            self.segments.shrink_to(2 * self.segments.len());
        }
        let len = self.segments.len();
        if self.spare.len() > 2 * len + 16 {
            self.spare.retain(|spare| (*spare as usize) < len);
        }
    }

    /// The directory's entries whose prefix has the hash's first `depth` bits: start and number.
    fn directory_range(&self, hash: u64, depth: u8) -> (usize, usize) {
        let len = 1 << (self.depth - depth);
        let position = (prefix(hash) >> (PREFIX_BITS - u32::from(self.depth))) as usize;
        (position & !(len - 1), len)
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

/// Visits entries with their hashes. Their keys, most of which are in no cache, are asked for
/// together.
fn each_hashed(
    arena: &Arena,
    hasher: &KeyHasher,
    entries: HashTable<Handle>,
    mut visit: impl FnMut(u64, Handle),
) {
    let handles: Vec<Handle> = entries.into_iter().collect();
    for batch in handles.chunks(KEYS_READ_TOGETHER) {
        batch.iter().for_each(|handle| arena.entry(*handle).prefetch());
        for &handle in batch {
            visit(hasher.hash(arena.entry(handle).key()), handle);
        }
    }
}

fn good_size_of(entries: &HashTable<Handle>) -> usize {
    match entries.allocation_size() {
        0 => 0,
        bytes => good_size(bytes),
    }
}

/// What chooses the segment. hashbrown takes its tags from the top seven bits of a hash and its
/// bucket from the lowest, so this comes from between.
///
/// Were it the bits themselves, all segments would fill and split at the same time. So it is about
/// the logarithm, log2(1 + x) for x below 1, which gives the first of the prefixes half as many
/// keys as the last, and there is always a part of the segments that has just been split: the
/// table is as full at one size as at any other.
///
/// Source: G. N. N. Martin, "Spiral storage: incrementally augmentable hash addressed storage",
/// University of Warwick, 1979.
#[inline]
fn prefix(hash: u64) -> u32 {
    const ONE: u64 = 1 << PREFIX_BITS;
    /// Of ONE: x + 0.344 x (1 - x) is never further than 0.01 from the logarithm, and rises.
    const BULGE: u64 = ONE * 344 / 1000;
    let x = (hash >> (64 - 7 - PREFIX_BITS)) & (ONE - 1);
    let bulge = (((x * (ONE - x)) >> PREFIX_BITS) * BULGE) >> PREFIX_BITS;
    (x + bulge).min(ONE - 1) as u32
}

#[cfg(test)]
mod tests;
