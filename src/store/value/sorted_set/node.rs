//! An inner node: for each child the score and the first bytes of a member that separate it from the
//! child before, and how many entries are below it.
//!
//! Every array of its own, so that a search reads scores, and a rank sums counts.

use super::leaf::Entry;

/// Children of a node. It makes a node as large as an allocation is.
pub(super) const FANOUT: usize = 54;

/// Neighbours are joined when one has fewer children than this and both together no more than
/// [`JOINED_MAX`].
pub(super) const SPARSE: usize = FANOUT / 4;
pub(super) const JOINED_MAX: usize = FANOUT * 3 / 4;

/// What separates a child from the one before it: no entry of the child is less, and none of those
/// before it is greater. Entries that begin alike are told apart by what the children hold.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct Separator {
    score: f64,
    prefix: u64,
}

impl Separator {
    /// Ahead of everything.
    pub const MIN: Separator = Separator { score: f64::NEG_INFINITY, prefix: 0 };

    #[inline]
    pub fn of(entry: &Entry<'_>) -> Separator {
        let mut prefix = [0; 8];
        let len = entry.member.len().min(prefix.len());
        prefix[..len].copy_from_slice(&entry.member[..len]);
        Separator { score: entry.score, prefix: u64::from_be_bytes(prefix) }
    }
}

/// A child: a leaf's number, or a node's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    pub separator: Separator,
    pub id: u32,
    /// Entries.
    pub count: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    len: usize,
    scores: [f64; FANOUT],
    prefixes: [u64; FANOUT],
    counts: [usize; FANOUT],
    ids: [u32; FANOUT],
}

impl Node {
    pub fn new(children: &[Child]) -> Node {
        let mut node = Node {
            len: 0,
            scores: [0.0; FANOUT],
            prefixes: [0; FANOUT],
            counts: [0; FANOUT],
            ids: [0; FANOUT],
        };
        for child in children {
            node.insert(node.len, *child);
        }
        node
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_full(&self) -> bool {
        self.len == FANOUT
    }

    #[inline]
    pub fn id(&self, at: usize) -> u32 {
        self.ids[at]
    }

    pub fn set_id(&mut self, at: usize, id: u32) {
        self.ids[at] = id;
    }

    #[cfg(test)]
    pub fn count(&self, at: usize) -> usize {
        self.counts[at]
    }

    #[inline]
    pub fn count_mut(&mut self, at: usize) -> &mut usize {
        &mut self.counts[at]
    }

    pub fn separator(&self, at: usize) -> Separator {
        Separator { score: self.scores[at], prefix: self.prefixes[at] }
    }

    /// Entries in the children ahead of that one.
    #[inline]
    pub fn count_before(&self, at: usize) -> usize {
        self.counts[..at].iter().sum()
    }

    pub fn total(&self) -> usize {
        self.count_before(self.len)
    }

    /// The child with the entry of that index, and the index within it; the last child for one that
    /// there is not.
    #[inline]
    pub fn child_of_index(&self, mut index: usize) -> (usize, usize) {
        for at in 0..self.len - 1 {
            match index.checked_sub(self.counts[at]) {
                Some(behind) => index = behind,
                None => return (at, index),
            }
        }
        (self.len - 1, index)
    }

    /// The last child that an entry with this separator can be in; and how many children ahead of it
    /// it could be in as well, for all that separators tell.
    #[inline]
    pub fn candidates(&self, separator: Separator) -> (usize, usize) {
        let scores = &self.scores[..self.len];
        let from = scores.partition_point(|score| *score < separator.score);
        let alike = scores[from..].iter().take_while(|score| **score == separator.score).count();
        let prefixes = &self.prefixes[from..from + alike];
        let less = prefixes.partition_point(|prefix| *prefix < separator.prefix);
        let equal = prefixes[less..].iter().take_while(|p| **p == separator.prefix).count();
        let behind = from + less + equal;
        let last = behind.saturating_sub(1);
        (last, equal.min(last))
    }

    /// The last child whose separator has a score for which this is true, or the first.
    pub fn last_before(&self, is_before: impl Fn(f64) -> bool) -> usize {
        self.scores[..self.len].partition_point(|score| is_before(*score)).saturating_sub(1)
    }

    pub fn insert(&mut self, at: usize, child: Child) {
        let moved = at..self.len;
        self.scores.copy_within(moved.clone(), at + 1);
        self.prefixes.copy_within(moved.clone(), at + 1);
        self.counts.copy_within(moved.clone(), at + 1);
        self.ids.copy_within(moved, at + 1);
        self.scores[at] = child.separator.score;
        self.prefixes[at] = child.separator.prefix;
        self.counts[at] = child.count;
        self.ids[at] = child.id;
        self.len += 1;
    }

    /// Removes a child. What separated it from the child before now separates the next one.
    pub fn remove(&mut self, at: usize) {
        let separator = self.separator(at);
        let moved = at + 1..self.len;
        self.scores.copy_within(moved.clone(), at);
        self.prefixes.copy_within(moved.clone(), at);
        self.counts.copy_within(moved.clone(), at);
        self.ids.copy_within(moved, at);
        self.len -= 1;
        self.scores[at] = separator.score;
        self.prefixes[at] = separator.prefix;
    }

    /// Makes one of two neighbouring children, with this number.
    pub fn join(&mut self, at: usize, id: u32) {
        let counts = self.counts[at] + self.counts[at + 1];
        let separator = self.separator(at);
        self.remove(at);
        debug_assert_eq!(self.separator(at), separator);
        self.counts[at] = counts;
        self.ids[at] = id;
    }

    fn child(&self, at: usize) -> Child {
        Child { separator: self.separator(at), id: self.ids[at], count: self.counts[at] }
    }

    pub fn split_off(&mut self, at: usize) -> Node {
        let mut rest = Node::new(&[]);
        rest.append(self, at);
        self.len = at;
        rest
    }

    /// Adds the children of another node from an index on.
    pub fn append(&mut self, other: &Node, from: usize) {
        for at in from..other.len {
            self.insert(self.len, other.child(at));
        }
    }
}
