//! Walking a sorted set, from leaf to leaf.

use std::iter::FusedIterator;

use super::leaf::{Entry, Leaf};
use super::{End, SortedSet};

/// The entries of a sorted set, from one on.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    set: &'a SortedSet,
    leaf: &'a Leaf,
    /// The next entry is there; towards the front it is the one ahead.
    at: usize,
    to: End,
    left: usize,
}

impl<'a> Iter<'a> {
    pub(super) fn new(set: &'a SortedSet, index: usize, to: End) -> Iter<'a> {
        let exists = index < set.len;
        let (path, at) = set.tree.path_to_index(if exists { index } else { 0 });
        let (at, left) = match to {
            End::Back => (at, set.len.saturating_sub(index)),
            End::Front => (at + 1, if exists { index + 1 } else { 0 }),
        };
        Iter { set, leaf: set.leaves.get(path.leaf()), at, to, left }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        self.left = self.left.checked_sub(1)?;
        match self.to {
            End::Back => {
                if self.at == self.leaf.len() {
                    self.leaf = self.set.leaves.get(self.leaf.next);
                    self.at = 0;
                }
                self.at += 1;
                Some(self.leaf.entry(self.at - 1))
            }
            End::Front => {
                if self.at == 0 {
                    self.leaf = self.set.leaves.get(self.leaf.prev);
                    self.at = self.leaf.len();
                }
                self.at -= 1;
                Some(self.leaf.entry(self.at))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}
