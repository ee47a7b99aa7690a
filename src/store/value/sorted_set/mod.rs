//! A sorted set in a B+tree: packed leaves of a kilobyte, counted nodes above them, and an index
//! from a member's hash to its leaf.
//!
//! ```text
//! nodes    separators and counts     rank, index, range: O(log n)
//! leaves   scores, members           chained, so ranges go from leaf to leaf
//! index    hash of a member -> leaf  score of a member: O(1)
//! ```
//!
//! A leaf that is full is cut in two, one that is nearly empty is joined with its neighbour; what
//! then changes its leaf changes its slot in the index too, one for each insertion on average. All
//! of it grows and shrinks in small steps: no operation on one member moves more than a few thousand
//! slots. The heap bytes are known at all times: every allocation by what the allocator takes for it.

#[cfg(test)]
mod check;
mod index;
mod iter;
mod leaf;
mod leaves;
mod node;
#[cfg(test)]
mod tests;
mod tree;

pub use iter::Iter;
pub use leaf::Entry;

use crate::store::End;
use crate::store::memory::good_size;
use crate::store::table::KeyHasher;
use index::Index;
use leaf::Leaf;
use leaves::Leaves;
use tree::{Pair, Path, Tree};

/// Members, each with a score, in the order of the scores; those of one score in the order of their
/// bytes. No score is NaN.
#[derive(Clone, Debug)]
pub struct SortedSet {
    hasher: KeyHasher,
    leaves: Leaves,
    tree: Tree,
    index: Index,
    len: usize,
}

/// A member's hash: the index goes by all of it, leaves by the last byte.
#[derive(Clone, Copy)]
struct Hash(u32);

impl Hash {
    fn tag(self) -> u8 {
        self.0 as u8
    }
}

/// What an allocation of so many bytes takes; of none, nothing is allocated.
fn allocation(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { good_size(bytes) }
}

impl SortedSet {
    /// The seed is secret, so that nobody can choose members that collide.
    pub fn new(seed: u64) -> SortedSet {
        let mut leaves = Leaves::default();
        let root = leaves.push(Leaf::default());
        SortedSet {
            hasher: KeyHasher::new(seed),
            leaves,
            tree: Tree::new(root),
            index: Index::default(),
            len: 0,
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What it holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.leaves.heap_bytes() + self.tree.heap_bytes() + self.index.heap_bytes()
    }

    #[inline]
    fn hash(&self, member: &[u8]) -> Hash {
        Hash((self.hasher.hash(member) >> 32) as u32)
    }

    /// The leaf that a member is in, and where in it.
    #[inline]
    fn find(&self, member: &[u8], hash: Hash) -> Option<(u32, usize)> {
        self.index
            .leaves_of(hash.0)
            .find_map(|leaf| Some((leaf, self.leaves.get(leaf).find(hash.tag(), member)?)))
    }

    /// The score of a member.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        let (leaf, at) = self.find(member, self.hash(member))?;
        Some(self.leaves.get(leaf).score(at))
    }

    /// The score of a member, and how many entries are ahead of it.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let (leaf, at) = self.find(member, self.hash(member))?;
        let entry = self.leaves.get(leaf).entry(at);
        let path = self.tree.path_to(&self.leaves, &entry);
        Some((self.tree.count_before(&path) + at, entry.score))
    }

    /// The entry of an index.
    pub fn get(&self, index: usize) -> Option<Entry<'_>> {
        if index >= self.len {
            return None;
        }
        let (path, at) = self.tree.path_to_index(index);
        Some(self.leaves.get(path.leaf()).entry(at))
    }

    /// How many entries are ahead of the first whose score is not "before": all those whose score is
    /// come first.
    pub fn count_scores(&self, is_before: impl Fn(f64) -> bool) -> usize {
        let path = self.tree.path_by(|node| node.last_before(&is_before));
        let leaf = self.leaves.get(path.leaf());
        self.tree.count_before(&path) + leaf.partition_point(|at| is_before(leaf.score(at)))
    }

    /// As [`SortedSet::count_scores`], by member: of a set all of whose scores are equal.
    pub fn count_members(&self, is_before: impl Fn(&[u8]) -> bool) -> usize {
        let path = self.tree.path_by_first(&self.leaves, |first| is_before(first.member));
        let leaf = self.leaves.get(path.leaf());
        self.tree.count_before(&path) + leaf.partition_point(|at| is_before(leaf.member(at)))
    }

    /// The entries from an index on, towards the back if `to` is the back. An index beyond the end
    /// gives none.
    pub fn iter_from(&self, index: usize, to: End) -> Iter<'_> {
        Iter::new(self, index, to)
    }

    /// All entries in order.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0, End::Back)
    }

    /// Gives a member this score, which is not NaN; the one it had, if it was there.
    pub fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let mut old = None;
        self.update(member, |score_before| {
            old = score_before;
            Some(score)
        });
        old
    }

    /// Lets `decide`, which is given the score of a member, if it is there, choose another one, which
    /// is not NaN; whether that changes anything. A member that is not there is added.
    #[inline]
    pub fn update(
        &mut self,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> bool {
        let hash = self.hash(member);
        let Some((leaf, at)) = self.find(member, hash) else {
            let Some(score) = decide(None) else { return false };
            debug_assert!(!score.is_nan(), "NaN has no place in an order");
            self.add(Entry { score, member }, hash);
            return true;
        };
        let old = self.leaves.get(leaf).score(at);
        let Some(score) = decide(Some(old)).filter(|score| *score != old) else { return false };
        debug_assert!(!score.is_nan(), "NaN has no place in an order");
        if !self.set_score_in_place(leaf, at, score) {
            self.take(leaf, at, hash);
            self.add(Entry { score, member }, hash);
        }
        true
    }

    /// Removes a member; its score, if it was there.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let hash = self.hash(member);
        let (leaf, at) = self.find(member, hash)?;
        let score = self.leaves.get(leaf).score(at);
        self.take(leaf, at, hash);
        Some(score)
    }

    /// Removes up to so many entries from an index on; gives how many there were.
    pub fn remove_range(&mut self, index: usize, count: usize) -> usize {
        let count = count.min(self.len.saturating_sub(index));
        let mut left = count;
        while left > 0 {
            let (path, at) = self.tree.path_to_index(index);
            let leaf = self.leaves.get(path.leaf());
            let end = leaf.len().min(at + left);
            for member in (at..end).map(|at| leaf.member(at)) {
                self.index.remove(self.hash(member).0, path.leaf());
            }
            left -= end - at;
            self.remove_from_leaf(path, at..end);
        }
        count
    }

    /// Shows about `count` members or more, beginning at a cursor: 0 at first, later the one that was
    /// returned. Over all calls until 0 is returned every member is shown that was there all the
    /// time, whatever is changed between them: members go by their hashes, which never change.
    pub fn scan(&self, cursor: u64, count: usize, mut show: impl FnMut(Entry<'_>)) -> u64 {
        let Ok(first) = u32::try_from(cursor) else { return 0 };
        let mut last = None;
        for (shown, (hash, leaf)) in self.index.slots_from(first).enumerate() {
            // Members of one hash are shown together.
            if shown >= count && last != Some(hash) {
                return u64::from(hash);
            }
            let leaf = self.leaves.get(leaf);
            for at in leaf.tagged(Hash(hash).tag()) {
                let entry = leaf.entry(at);
                if self.hash(entry.member).0 == hash {
                    show(entry);
                }
            }
            last = Some(hash);
        }
        0
    }

    /// Frees up to about `budget` leaves, after which it is no set any more; true while there is
    /// more to free.
    pub fn free_slice(&mut self, budget: usize) -> bool {
        self.len = 0;
        for _ in 0..budget {
            if self.leaves.pop().is_none() && !self.index.free_segment() && !self.tree.free_node() {
                return false;
            }
        }
        true
    }

    /// Sets the score of an entry that keeps its place, if it does.
    fn set_score_in_place(&mut self, leaf: u32, at: usize, score: f64) -> bool {
        let entries = self.leaves.get(leaf);
        let old = entries.score(at);
        let entry = Entry { score, member: entries.member(at) };
        // The first may not become less than what separates the leaf from the one before it.
        let fits_front = match at {
            0 => score > old,
            _ => entries.entry(at - 1).order(&entry).is_lt(),
        };
        let fits_back = match entries.len() - at {
            1 => score < old,
            _ => entry.order(&entries.entry(at + 1)).is_lt(),
        };
        let fits = fits_front && fits_back;
        if fits {
            self.leaves.edit(leaf, |leaf| leaf.set_score(at, score));
        }
        fits
    }

    /// Takes the entry there out.
    fn take(&mut self, leaf: u32, at: usize, hash: Hash) {
        let path = self.tree.path_to(&self.leaves, &self.leaves.get(leaf).entry(at));
        debug_assert_eq!(path.leaf(), leaf);
        self.index.remove(hash.0, leaf);
        self.remove_from_leaf(path, at..at + 1);
    }

    /// Adds an entry whose member is not there.
    fn add(&mut self, entry: Entry<'_>, hash: Hash) {
        loop {
            let path = self.tree.path_to(&self.leaves, &entry);
            let id = path.leaf();
            let leaf = self.leaves.get(id);
            let at = leaf.position(&entry);
            if leaf.has_room(entry.member.len()) {
                self.leaves.edit(id, |leaf| leaf.insert(at, entry, hash.tag()));
                self.tree.add_to_counts(&path, 1);
                self.index.insert(hash.0, id);
                self.len += 1;
                return;
            }
            self.split_leaf(path, at, entry);
        }
    }

    /// Cuts a full leaf, so that the entry that belongs there comes nearer to finding room.
    fn split_leaf(&mut self, path: Path, at: usize, entry: Entry<'_>) {
        let id = path.leaf();
        let leaf = self.leaves.get(id);
        let is_large = Leaf::entry_bytes(entry.member.len()) > leaf::LEAF_BYTES_MAX / 2;
        // Whoever adds in order leaves full leaves behind; an entry that is large gets its own.
        let cut = if at == leaf.len() || leaf.len() == 1 || is_large { at } else { leaf.middle() };
        let mut rest = self.leaves.edit(id, |leaf| leaf.split_off(cut));
        let separator = node::Separator::of(&rest.first().unwrap_or(entry));
        let moved = rest.len();
        (rest.prev, rest.next) = (id, self.leaves.get(id).next);
        let next = rest.next;
        let new_id = self.leaves.push(rest);
        self.set_neighbours(id, next, new_id, new_id);
        self.renumber(id, new_id, new_id);
        let kept = self.leaves.get(id).len();
        let new = node::Child { separator, id: new_id, count: moved };
        self.tree.insert_behind(path, kept, new);
    }

    /// Tells the index that the members of a leaf, which now are in `leaf`, were in `old` until now
    /// and are in `new`.
    fn renumber(&mut self, old: u32, new: u32, leaf: u32) {
        for member in self.leaves.get(leaf).members() {
            let hash = self.hash(member);
            self.index.replace(hash.0, old, new);
        }
    }

    /// Removes entries of a leaf, whose slots in the index have gone.
    fn remove_from_leaf(&mut self, path: Path, range: std::ops::Range<usize>) {
        let id = path.leaf();
        let count = range.len();
        self.leaves.edit(id, |leaf| leaf.remove(range));
        self.tree.subtract_from_counts(&path, count);
        self.len -= count;
        let leaf = self.leaves.get(id);
        if leaf.is_empty() && self.len > 0 {
            self.tree.remove(path);
            self.free_leaf(id);
        } else if leaf.used_bytes() < leaf::LEAF_BYTES_MAX / 4 {
            let joined = self.tree.pairs(&path).find(|pair| {
                let bytes = [pair.left, pair.right].map(|id| self.leaves.get(id).used_bytes());
                bytes[0] + bytes[1] <= leaf::LEAF_BYTES_MAX * 3 / 4
            });
            if let Some(pair) = joined {
                self.join_leaves(path, pair);
            }
        }
    }

    /// Makes one of two neighbouring leaves. The one with more entries keeps its number.
    fn join_leaves(&mut self, path: Path, pair: Pair) {
        let Pair { left, right, .. } = pair;
        let [first, second] = [left, right].map(|id| self.leaves.get(id));
        let (kept, gone) = if first.len() < second.len() { (right, left) } else { (left, right) };
        let mut joined = Leaf::joined(first, second);
        (joined.prev, joined.next) = (first.prev, second.next);
        let (prev, next) = (joined.prev, joined.next);
        self.renumber(gone, kept, gone);
        self.leaves.edit(kept, |leaf| *leaf = joined);
        self.leaves.edit(gone, |leaf| *leaf = Leaf::default());
        self.set_neighbours(prev, next, kept, kept);
        self.tree.join(path, pair, kept);
        self.close_gap(gone);
    }

    /// Frees an empty leaf that is no part of the tree any more.
    fn free_leaf(&mut self, id: u32) {
        let Leaf { prev, next, .. } = *self.leaves.get(id);
        self.set_neighbours(prev, next, next, prev);
        self.close_gap(id);
    }

    /// The last leaf gets a number that has become free.
    fn close_gap(&mut self, free: u32) {
        let last = self.leaves.len() as u32 - 1;
        if let Some(first) = self.leaves.get(last).first() {
            self.tree.set_leaf(&self.leaves, &first, free);
        }
        let Some(leaf) = self.leaves.pop().filter(|_| last != free) else { return };
        let (prev, next) = (leaf.prev, leaf.next);
        self.leaves.edit(free, |place| *place = leaf);
        self.set_neighbours(prev, next, free, free);
        self.renumber(last, free, free);
    }

    /// What the leaves on either side have beside them.
    fn set_neighbours(&mut self, prev: u32, next: u32, next_of_prev: u32, prev_of_next: u32) {
        if prev != leaf::NONE {
            self.leaves.edit(prev, |leaf| leaf.next = next_of_prev);
        }
        if next != leaf::NONE {
            self.leaves.edit(next, |leaf| leaf.prev = prev_of_next);
        }
    }
}
