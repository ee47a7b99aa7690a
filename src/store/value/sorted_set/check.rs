//! The invariants of a sorted set.

use super::SortedSet;
use super::leaf::{self, LEAF_BYTES_MAX, NONE};

impl SortedSet {
    /// Holds after every change.
    pub(super) fn check(&self) {
        let leaves = self.tree.check();
        assert_eq!(leaves.len(), self.leaves.len(), "leaves are numbered densely");
        let mut prev = NONE;
        let mut last = None;
        let mut entries = 0;
        for (n, &(id, count, separator)) in leaves.iter().enumerate() {
            let leaf = self.leaves.get(id);
            assert_eq!(leaf.prev, prev);
            assert_eq!(leaf.next, leaves.get(n + 1).map_or(NONE, |(id, ..)| *id));
            assert!(leaf.len() == 1 || leaf.used_bytes() <= LEAF_BYTES_MAX);
            assert!(leaf.used_bytes() <= leaf.heap_bytes());
            assert!(count.is_none_or(|count| count == leaf.len()), "{count:?}");
            assert!(!leaf.is_empty() || self.is_empty(), "only the leaf of an empty set is empty");
            if let Some(entry) = leaf.first() {
                assert!(separator <= leaf_separator(&entry), "{separator:?} {entry:?}");
            }
            for at in 0..leaf.len() {
                let entry = leaf.entry(at);
                assert!(last.is_none_or(|last: leaf::Entry<'_>| last.order(&entry).is_lt()));
                let hash = self.hash(entry.member);
                assert_eq!(self.find(entry.member, hash), Some((id, at)));
                last = Some(entry);
                entries += 1;
            }
            prev = id;
        }
        assert_eq!((self.len, self.index.check()), (entries, entries));
        let walked =
            self.leaves.walked_bytes() + self.tree.walked_bytes() + self.index.walked_bytes();
        assert_eq!(self.heap_bytes(), walked);
    }
}

fn leaf_separator(entry: &leaf::Entry<'_>) -> super::node::Separator {
    super::node::Separator::of(entry)
}
