//! A leaf: neighbouring entries of a sorted set in one allocation.
//!
//! ```text
//! scores   f64 each     | in the order of the set
//! starts   u16 each     | where each member begins, counted from the first
//! tags     u8 each      | a byte of each member's hash
//! members               | one behind the other
//! ```
//!
//! So finding a score reads scores, finding a member reads tags, and neither walks members. A leaf
//! has at most [`LEAF_BYTES_MAX`] bytes, or a single entry of any size. It grows and shrinks through
//! the allocator's size classes, so it need not be full to hold little more than its entries.

use std::cmp::Ordering;
use std::ops::Range;

use crate::store::memory::held_bytes;

/// A dozen of cache lines: little to move, and some thirty entries of short members.
pub(super) const LEAF_BYTES_MAX: usize = 1024;

const SCORE_BYTES: usize = size_of::<f64>();
const START_BYTES: usize = size_of::<u16>();
/// Of an entry, all but its member: score, start and tag.
const FIXED_BYTES: usize = SCORE_BYTES + START_BYTES + 1;
/// Where the starts of `n` entries begin, then their tags, then their members.
const STARTS_AT: usize = SCORE_BYTES;
const TAGS_AT: usize = SCORE_BYTES + START_BYTES;
const MEMBERS_AT: usize = FIXED_BYTES;

/// What a leaf keeps for entries to come when others have gone.
const SPARE_BYTES: usize = 48;

/// No leaf.
pub(super) const NONE: u32 = u32::MAX;

/// A member and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'a> {
    pub score: f64,
    pub member: &'a [u8],
}

impl Entry<'_> {
    /// Entries are ordered by score, those of one score by member. 0.0 and -0.0 are one score, and
    /// there is no NaN.
    #[inline]
    pub(super) fn order(&self, other: &Entry<'_>) -> Ordering {
        match self.score.partial_cmp(&other.score) {
            Some(Ordering::Equal) | None => self.member.cmp(other.member),
            Some(order) => order,
        }
    }
}

/// Without entries it holds no memory.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    bytes: Box<[u8]>,
    /// Bytes that are used: of one member of 4 GiB at most.
    used: u32,
    len: u16,
    /// Its neighbours.
    pub prev: u32,
    pub next: u32,
}

impl Default for Leaf {
    fn default() -> Leaf {
        Leaf { bytes: Box::default(), used: 0, len: 0, prev: NONE, next: NONE }
    }
}

impl Leaf {
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn used_bytes(&self) -> usize {
        self.used as usize
    }

    /// Of its allocation.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of an entry with a member of that length.
    pub fn entry_bytes(member_len: usize) -> usize {
        FIXED_BYTES + member_len
    }

    /// Whether it takes another entry with a member of that length.
    #[inline]
    pub fn has_room(&self, member_len: usize) -> bool {
        self.is_empty() || self.used_bytes() + Leaf::entry_bytes(member_len) <= LEAF_BYTES_MAX
    }

    #[inline]
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[at..at + N]);
        array
    }

    #[inline]
    pub fn score(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.array(at * SCORE_BYTES))
    }

    #[inline]
    fn start(&self, at: usize) -> usize {
        usize::from(u16::from_le_bytes(self.array(self.len() * STARTS_AT + at * START_BYTES)))
    }

    /// Where the member of that index begins among the members; behind the last one, where it ends.
    #[inline]
    fn boundary(&self, at: usize) -> usize {
        if at < self.len() { self.start(at) } else { self.used_bytes() - self.len() * MEMBERS_AT }
    }

    fn tags(&self) -> &[u8] {
        &self.bytes[self.len() * TAGS_AT..self.len() * MEMBERS_AT]
    }

    #[inline]
    pub fn member(&self, at: usize) -> &[u8] {
        let members = self.len() * MEMBERS_AT;
        &self.bytes[members + self.start(at)..members + self.boundary(at + 1)]
    }

    #[inline]
    pub fn entry(&self, at: usize) -> Entry<'_> {
        Entry { score: self.score(at), member: self.member(at) }
    }

    pub fn first(&self) -> Option<Entry<'_>> {
        (!self.is_empty()).then(|| self.entry(0))
    }

    pub fn members(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|at| self.member(at))
    }

    /// How many entries there are ahead of the first for which this is false.
    #[inline]
    pub fn partition_point(&self, mut is_before: impl FnMut(usize) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if is_before(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Where the entry is, or belongs.
    #[inline]
    pub fn position(&self, entry: &Entry<'_>) -> usize {
        self.partition_point(|at| {
            let score = self.score(at);
            score < entry.score || score == entry.score && self.member(at) < entry.member
        })
    }

    /// The entries whose members have this tag.
    #[inline]
    pub fn tagged(&self, tag: u8) -> impl Iterator<Item = usize> {
        let tags = self.tags().iter().enumerate();
        tags.filter(move |(_, of_entry)| **of_entry == tag).map(|(at, _)| at)
    }

    #[inline]
    pub fn find(&self, tag: u8, member: &[u8]) -> Option<usize> {
        self.tagged(tag).find(|&at| self.member(at) == member)
    }

    pub fn set_score(&mut self, at: usize, score: f64) {
        let at = at * SCORE_BYTES;
        self.bytes[at..at + SCORE_BYTES].copy_from_slice(&score.to_le_bytes());
    }

    /// Puts an entry in front of the one of that index; there is room for it.
    pub fn insert(&mut self, at: usize, entry: Entry<'_>, tag: u8) {
        let (len, used) = (self.len(), self.used_bytes());
        let member_len = entry.member.len();
        let start = self.boundary(at);
        self.set_capacity_for(used + Leaf::entry_bytes(member_len));

        // From the back to the front, so that each byte moves once.
        let bytes = &mut self.bytes;
        let (starts, tags, members) = (len * STARTS_AT, len * TAGS_AT, len * MEMBERS_AT);
        let (new_starts, new_tags) = (starts + STARTS_AT, tags + TAGS_AT);
        let new_members = members + MEMBERS_AT;
        bytes.copy_within(members + start..used, new_members + start + member_len);
        bytes.copy_within(members..members + start, new_members);
        bytes.copy_within(tags + at..members, new_tags + at + 1);
        bytes.copy_within(tags..tags + at, new_tags);
        bytes.copy_within(starts + at * START_BYTES..tags, new_starts + (at + 1) * START_BYTES);
        bytes.copy_within(starts..starts + at * START_BYTES, new_starts);
        bytes.copy_within(at * SCORE_BYTES..starts, (at + 1) * SCORE_BYTES);

        let member_at = new_members + start;
        bytes[member_at..member_at + member_len].copy_from_slice(entry.member);
        bytes[new_tags + at] = tag;
        self.len += 1;
        self.used += Leaf::entry_bytes(member_len) as u32;
        self.set_score(at, entry.score);
        self.set_start(at, start);
        for later in at + 1..self.len() {
            self.set_start(later, self.start(later) + member_len);
        }
    }

    fn set_start(&mut self, at: usize, start: usize) {
        let place = self.len() * STARTS_AT + at * START_BYTES;
        self.bytes[place..place + START_BYTES].copy_from_slice(&(start as u16).to_le_bytes());
    }

    /// Removes entries.
    pub fn remove(&mut self, range: Range<usize>) {
        let (len, used) = (self.len(), self.used_bytes());
        let Range { start: from, end: to } = range;
        let (start, end) = (self.boundary(from), self.boundary(to));

        // From the front to the back, so that each byte moves once.
        let left = len - (to - from);
        let bytes = &mut self.bytes;
        let (starts, tags, members) = (len * STARTS_AT, len * TAGS_AT, len * MEMBERS_AT);
        let (new_starts, new_tags) = (left * STARTS_AT, left * TAGS_AT);
        let new_members = left * MEMBERS_AT;
        bytes.copy_within(to * SCORE_BYTES..starts, from * SCORE_BYTES);
        bytes.copy_within(starts..starts + from * START_BYTES, new_starts);
        bytes.copy_within(starts + to * START_BYTES..tags, new_starts + from * START_BYTES);
        bytes.copy_within(tags..tags + from, new_tags);
        bytes.copy_within(tags + to..members, new_tags + from);
        bytes.copy_within(members..members + start, new_members);
        bytes.copy_within(members + end..used, new_members + start);

        self.len = left as u16;
        self.used = (new_members + used - members - (end - start)) as u32;
        for later in from..left {
            self.set_start(later, self.start(later) - (end - start));
        }
        self.shrink();
    }

    /// Cuts in front of an index and gives the rest.
    pub fn split_off(&mut self, at: usize) -> Leaf {
        let rest = Leaf::of(&[(self, at..self.len())]);
        self.remove(at..self.len());
        rest
    }

    /// The entries of two leaves, those of the second behind those of the first.
    pub fn joined(first: &Leaf, second: &Leaf) -> Leaf {
        Leaf::of(&[(first, 0..first.len()), (second, 0..second.len())])
    }

    /// A leaf of parts of others, in the memory that it needs.
    fn of(parts: &[(&Leaf, Range<usize>)]) -> Leaf {
        let mut leaf = Leaf::default();
        let mut bytes = Vec::new();
        for (from, range) in parts {
            let members = from.boundary(range.end) - from.boundary(range.start);
            leaf.len += range.len() as u16;
            leaf.used += (range.len() * FIXED_BYTES + members) as u32;
        }
        bytes.reserve_exact(held_bytes(leaf.used_bytes()));
        for (from, range) in parts {
            bytes
                .extend_from_slice(&from.bytes[range.start * SCORE_BYTES..range.end * SCORE_BYTES]);
        }
        let mut ahead = 0;
        for (from, range) in parts {
            let first = from.boundary(range.start);
            for at in range.clone() {
                let start = (from.start(at) - first + ahead) as u16;
                bytes.extend_from_slice(&start.to_le_bytes());
            }
            ahead += from.boundary(range.end) - first;
        }
        for (from, range) in parts {
            bytes.extend_from_slice(&from.tags()[range.clone()]);
        }
        for (from, range) in parts {
            let members = from.len() * MEMBERS_AT;
            bytes.extend_from_slice(
                &from.bytes
                    [members + from.boundary(range.start)..members + from.boundary(range.end)],
            );
        }
        if !leaf.is_empty() {
            bytes.resize(held_bytes(leaf.used_bytes()), 0);
            leaf.bytes = bytes.into_boxed_slice();
        }
        leaf
    }

    fn set_capacity_for(&mut self, used: usize) {
        if used > self.bytes.len() {
            self.set_capacity(held_bytes(used));
        }
    }

    /// Gives back what is not needed, unless the next entry or two would need it again.
    fn shrink(&mut self) {
        if self.is_empty() {
            self.bytes = Box::default();
        } else if self.bytes.len() > held_bytes(self.used_bytes() + SPARE_BYTES) {
            self.set_capacity(held_bytes(self.used_bytes()));
        }
    }

    fn set_capacity(&mut self, bytes: usize) {
        let mut buffer = std::mem::take(&mut self.bytes).into_vec();
        if bytes > buffer.len() {
            buffer.reserve_exact(bytes - buffer.len());
            buffer.resize(bytes, 0);
        } else {
            buffer.truncate(bytes);
        }
        self.bytes = buffer.into_boxed_slice();
    }

    /// The index that cuts it into halves of about the same number of bytes, with an entry at least
    /// in each, of two or more.
    pub fn middle(&self) -> usize {
        let half = self.used_bytes() / 2;
        let at = self.partition_point(|at| at * FIXED_BYTES + self.boundary(at) < half);
        at.clamp(1, self.len().max(2) - 1)
    }
}
