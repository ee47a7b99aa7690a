//! Which leaf has a member: a table of hashes and numbers of leaves, in the order of the hashes.
//!
//! The 2^32 hashes are cut into intervals, each a segment of its own: an array with gaps, in which a
//! slot stands at the place that its hash stands for, or as soon behind it as there is room. Being in
//! order it is searched until a greater hash is met, however full it is, and grown or cut in two by
//! one pass over it. There is one segment more whenever those there are have become too large on
//! average, and one less when they have become too small, in the order of linear hashing; so no step
//! moves more than a few thousand slots.
//!
//! Slots that have the same hash and leaf are alike, so a slot is found and changed without a look
//! at any member.
//!
//! Sources: W. Litwin, "Linear hashing: a new tool for file and table addressing", VLDB 1980; O. Amble
//! and D. E. Knuth, "Ordered hash tables", The Computer Journal 17(2), 1974.

use super::allocation;
use crate::store::memory::good_size;

/// Slots that a segment has on average before there is another one.
const SEGMENT_LEN: usize = 1024;

/// Behind the places that hashes stand for, so many slots for those that have been pushed on. The
/// last one is always empty.
const SLACK: usize = 16;

/// Of ten places, so many may be taken.
const TAKEN_OF_TEN_MAX: usize = 9;
/// Of which a segment keeps at least so many taken, as long as it has more than a few.
const TAKEN_OF_TEN_MIN: usize = 5;

/// Greater than every slot, as there is no leaf of that number.
const EMPTY: u64 = u64::MAX;

#[derive(Clone, Debug)]
pub(super) struct Index {
    segments: Vec<Segment>,
    len: usize,
    /// Of the segments' own allocations.
    slot_bytes: usize,
}

/// Slots: a hash in the upper half, a leaf in the lower one.
#[derive(Clone, Debug, Default)]
struct Segment {
    slots: Box<[u64]>,
    len: usize,
}

fn slot(hash: u32, leaf: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(leaf)
}

fn hash_of(slot: u64) -> u32 {
    (slot >> 32) as u32
}

fn leaf_of(slot: u64) -> u32 {
    slot as u32
}

/// Where a segment's slot belongs: all its hashes have the same `depth` upper bits, the others are
/// spread evenly.
#[inline]
fn home(hash: u32, depth: u32, places: usize) -> usize {
    let spread = hash.checked_shl(depth).unwrap_or(0);
    ((u64::from(spread) * places as u64) >> 32) as usize
}

impl Segment {
    /// Of slots in order, with room for some more.
    fn of(slots: &[&[u64]], depth: u32) -> Segment {
        let len = slots.iter().copied().flatten().filter(|slot| **slot != EMPTY).count();
        let mut capacity = capacity_for(len);
        loop {
            let mut segment = Segment { slots: vec![EMPTY; capacity].into_boxed_slice(), len };
            if segment.fill(slots, depth) {
                return segment;
            }
            capacity = good_capacity(capacity + 1);
        }
    }

    /// Whether there was room for all of them.
    fn fill(&mut self, slots: &[&[u64]], depth: u32) -> bool {
        let places = self.places();
        let mut free = 0;
        for slot in slots.iter().copied().flatten().filter(|slot| **slot != EMPTY) {
            let at = home(hash_of(*slot), depth, places).max(free);
            free = at + 1;
            if free == self.slots.len() {
                return false;
            }
            self.slots[at] = *slot;
        }
        true
    }

    fn places(&self) -> usize {
        self.slots.len().saturating_sub(SLACK)
    }

    /// The first slot of that hash; if there is none, where one would be put.
    #[inline]
    fn seek(&self, hash: u32, depth: u32) -> usize {
        let first = slot(hash, 0);
        let from = home(hash, depth, self.places());
        let behind = self.slots.get(from..).unwrap_or_default();
        from + behind.iter().take_while(|slot| **slot < first).count()
    }

    /// The slots of a hash, each with its place. Among themselves they are in no order.
    #[inline]
    fn slots_of(&self, hash: u32, depth: u32) -> impl Iterator<Item = (usize, u64)> {
        let first = self.seek(hash, depth);
        let slots = self.slots.get(first..).unwrap_or_default().iter().enumerate();
        let slots = slots.map(move |(n, slot)| (first + n, *slot));
        slots.take_while(move |(_, slot)| hash_of(*slot) == hash && *slot != EMPTY)
    }

    #[inline]
    fn find(&self, slot: u64, depth: u32) -> Option<usize> {
        let mut slots = self.slots_of(hash_of(slot), depth);
        slots.find(|(_, found)| *found == slot).map(|(at, _)| at)
    }

    /// Adds a slot, if there is room for it.
    fn insert(&mut self, slot: u64, depth: u32) -> bool {
        if (self.len + 1) * 10 > self.places() * TAKEN_OF_TEN_MAX {
            return false;
        }
        let at = self.seek(hash_of(slot), depth);
        let behind = self.slots.get(at..).unwrap_or_default();
        let Some(shifted) = behind.iter().position(|slot| *slot == EMPTY) else { return false };
        if at + shifted + 1 == self.slots.len() {
            return false;
        }
        self.slots.copy_within(at..at + shifted, at + 1);
        self.slots[at] = slot;
        self.len += 1;
        true
    }

    /// Removes the slot there; those behind it that have been pushed on move up.
    fn remove(&mut self, at: usize, depth: u32) {
        let places = self.places();
        let is_pushed_on =
            |at: usize, slot: u64| slot != EMPTY && home(hash_of(slot), depth, places) < at;
        let behind = self.slots[at + 1..].iter().enumerate();
        let moved = behind.take_while(|(n, slot)| is_pushed_on(at + 1 + n, **slot)).count();
        self.slots.copy_within(at + 1..at + 1 + moved, at);
        self.slots[at + moved] = EMPTY;
        self.len -= 1;
    }

    fn is_sparse(&self) -> bool {
        self.slots.len() > 2 * SLACK && self.len * 10 < self.places() * TAKEN_OF_TEN_MIN
    }
}

/// Slots of a segment that takes `len` of them and some more.
fn capacity_for(len: usize) -> usize {
    good_capacity((len + 1) * 10 / TAKEN_OF_TEN_MAX + 1 + SLACK)
}

/// As many slots as an allocation has for so many.
fn good_capacity(slots: usize) -> usize {
    good_size(slots * size_of::<u64>()) / size_of::<u64>()
}

impl Default for Index {
    fn default() -> Index {
        Index { segments: vec![Segment::default()], len: 0, slot_bytes: 0 }
    }
}

impl Index {
    /// All segments of a level have been cut in two that many times at least.
    fn level(&self) -> u32 {
        self.segments.len().ilog2()
    }

    /// How many upper bits all hashes of a segment share.
    fn depth(&self, segment: usize) -> u32 {
        let level = self.level();
        let whole = 1 << level;
        level + u32::from(segment >= whole || segment < self.segments.len() - whole)
    }

    /// The segment that has the slots of a hash: what the upper bits, read backwards, say.
    #[inline]
    fn segment_of(&self, hash: u32) -> usize {
        let level = self.level();
        let reversed = hash.reverse_bits() as usize;
        let segment = reversed & ((2 << level) - 1);
        if segment < self.segments.len() { segment } else { reversed & ((1 << level) - 1) }
    }

    /// The leaves that may have a member of that hash.
    #[inline]
    pub fn leaves_of(&self, hash: u32) -> impl Iterator<Item = u32> {
        let segment = self.segment_of(hash);
        let slots = self.segments[segment].slots_of(hash, self.depth(segment));
        slots.map(|(_, slot)| leaf_of(slot))
    }

    pub fn insert(&mut self, hash: u32, leaf: u32) {
        let at = self.segment_of(hash);
        let depth = self.depth(at);
        if !self.segments[at].insert(slot(hash, leaf), depth) {
            let old = &self.segments[at].slots;
            let place = self.segments[at].seek(hash, depth);
            let grown = Segment::of(&[&old[..place], &[slot(hash, leaf)], &old[place..]], depth);
            self.put(at, grown);
        }
        self.len += 1;
        if self.len > self.segments.len() * SEGMENT_LEN {
            self.split();
        }
    }

    pub fn remove(&mut self, hash: u32, leaf: u32) {
        let at = self.segment_of(hash);
        let depth = self.depth(at);
        let found = self.segments[at].find(slot(hash, leaf), depth);
        debug_assert!(found.is_some(), "a member is not in the index");
        let Some(found) = found else { return };
        let segment = &mut self.segments[at];
        segment.remove(found, depth);
        if segment.is_sparse() {
            let shrunk = Segment::of(&[&self.segments[at].slots], depth);
            self.put(at, shrunk);
        }
        self.len -= 1;
        if self.segments.len() > 1 && self.len < (self.segments.len() - 1) * SEGMENT_LEN / 2 {
            self.join();
        }
    }

    /// A member of that hash is in another leaf from now on.
    #[inline]
    pub fn replace(&mut self, hash: u32, leaf: u32, new_leaf: u32) {
        let at = self.segment_of(hash);
        let found = self.segments[at].find(slot(hash, leaf), self.depth(at));
        debug_assert!(found.is_some(), "a member is not in the index");
        if let Some(found) = found {
            self.segments[at].slots[found] = slot(hash, new_leaf);
        }
    }

    /// Every slot from a hash on, in the order of the hashes.
    pub fn slots_from(&self, hash: u32) -> impl Iterator<Item = (u32, u32)> {
        let mut next_hash = Some(hash);
        let segments = std::iter::from_fn(move || {
            let hash = next_hash?;
            let at = self.segment_of(hash);
            let depth = self.depth(at);
            let segment = &self.segments[at];
            next_hash = (hash | u32::MAX.checked_shr(depth).unwrap_or(0)).checked_add(1);
            Some(segment.slots[segment.seek(hash, depth)..].iter())
        });
        let slots = segments.flatten().filter(|slot| **slot != EMPTY);
        slots.map(|slot| (hash_of(*slot), leaf_of(*slot)))
    }

    fn put(&mut self, at: usize, segment: Segment) {
        self.slot_bytes += segment.slots.len() * size_of::<u64>();
        let old = std::mem::replace(&mut self.segments[at], segment);
        self.slot_bytes -= old.slots.len() * size_of::<u64>();
    }

    /// Cuts the next segment in two.
    fn split(&mut self) {
        let level = self.level();
        let at = self.segments.len() - (1 << level);
        // The hashes of the upper half have one more bit in common.
        let bit = 1_u32.reverse_bits().checked_shr(level).unwrap_or(0);
        let slots = &self.segments[at].slots;
        let upper = slots.iter().position(|slot| *slot != EMPTY && hash_of(*slot) & bit != 0);
        let (low, high) = slots.split_at(upper.unwrap_or(slots.len()));
        let (low, high) = (Segment::of(&[low], level + 1), Segment::of(&[high], level + 1));
        self.put(at, low);
        self.segments.push(Segment::default());
        self.put(self.segments.len() - 1, high);
    }

    /// Joins the last segment with the one that it was cut from.
    fn join(&mut self) {
        let Some(high) = self.segments.pop() else { return };
        let level = self.level();
        let at = self.segments.len() - (1 << level);
        self.slot_bytes -= high.slots.len() * size_of::<u64>();
        let joined = Segment::of(&[&self.segments[at].slots, &high.slots], level);
        self.put(at, joined);
        if self.segments.len() < self.segments.capacity() / 4 {
            self.segments.shrink_to(self.segments.len() * 2);
        }
    }

    /// Frees a segment, after which it is no index any more; false if there was none left.
    pub fn free_segment(&mut self) -> bool {
        let Some(segment) = self.segments.pop() else { return false };
        self.slot_bytes -= segment.slots.len() * size_of::<u64>();
        if self.segments.is_empty() {
            self.segments = Vec::new();
        }
        true
    }

    pub fn heap_bytes(&self) -> usize {
        let table = self.segments.capacity() * size_of::<Segment>();
        self.slot_bytes + allocation(table)
    }
}

#[cfg(test)]
impl Index {
    /// Slots are in order, none ahead of its place or behind a gap, and in the segment that they
    /// belong to. Gives how many there are.
    pub fn check(&self) -> usize {
        let mut slots = 0;
        for (at, segment) in self.segments.iter().enumerate() {
            let depth = self.depth(at);
            let mut last = 0;
            let mut gap = 0;
            let mut len = 0;
            for (place, slot) in segment.slots.iter().enumerate() {
                if *slot == EMPTY {
                    gap = place + 1;
                    continue;
                }
                let hash = hash_of(*slot);
                assert_eq!(self.segment_of(hash), at);
                assert!((gap..=place).contains(&home(hash, depth, segment.places())));
                assert!(last <= hash);
                last = hash;
                len += 1;
            }
            assert_eq!(segment.len, len);
            assert!(segment.slots.last().is_none_or(|last| *last == EMPTY));
            slots += len;
        }
        assert_eq!(self.len, slots);
        slots
    }

    pub fn walked_bytes(&self) -> usize {
        let segments = self.segments.iter().map(|segment| size_of_val(&*segment.slots));
        let table = self.segments.capacity() * size_of::<Segment>();
        segments.sum::<usize>() + allocation(table)
    }
}
