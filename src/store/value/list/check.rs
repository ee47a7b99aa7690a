//! The invariants of a list.

use super::super::packed::{self, Buffer};
use super::List;
use super::chunk::Chunk;
use super::limit::Limit;
use super::tree::{Child, FANOUT, Node, Weight};
use crate::store::memory::good_size;

impl List {
    /// Holds after every change, where the limit was always this one.
    pub(super) fn check(&self, limit: Limit) {
        let mut total = Weight::default();
        for chunk in self.ends.iter().filter(|chunk| !chunk.is_empty()) {
            check_chunk(chunk, limit);
            total = sum(total, weight_of(chunk));
        }
        for chunk in self.ends.iter().filter(|chunk| chunk.is_empty()) {
            assert_eq!(chunk.heap_bytes(), 0, "an empty chunk holds nothing");
        }
        let root = self.middle.root();
        if let Node::Inner(children) = &root.node {
            assert!(children.len() > 1, "a root of one child is not needed");
        }
        check_child(root, limit);
        total = sum(total, root.weight);
        assert_eq!((self.len(), self.heap_bytes()), (total.elements, total.heap_bytes));
    }
}

fn check_chunk(chunk: &Chunk, limit: Limit) {
    assert_eq!(packed::check(chunk.bytes()), Ok(chunk.elements()));
    assert_eq!(chunk.run_bytes(), chunk.bytes().len());
    assert!(chunk.elements() == 1 || limit.admits(chunk.run_bytes(), chunk.elements()));
}

/// Counts are right, leaves at one depth, nodes as large as they may be. Gives the depth.
fn check_child(child: &Child, limit: Limit) -> usize {
    let own = child.node.own_bytes();
    let mut below = Weight { elements: 0, heap_bytes: own };
    let (len, depth) = match &child.node {
        Node::Leaf(chunks) => {
            for chunk in chunks {
                check_chunk(chunk, limit);
                let needed = weight_of_run(chunk.run_bytes());
                assert_eq!(chunk.heap_bytes(), needed, "a chunk in the tree has what it needs");
                below = sum(below, weight_of(chunk));
            }
            (chunks.len(), 0)
        }
        Node::Inner(children) => {
            let depths: Vec<_> = children.iter().map(|child| check_child(child, limit)).collect();
            for child in children {
                assert!(child.weight.elements > 0, "no child is empty");
                below = sum(below, child.weight);
            }
            assert!(depths.windows(2).all(|pair| pair[0] == pair[1]), "{depths:?}");
            (children.len(), depths[0] + 1)
        }
    };
    assert!(len <= FANOUT, "{len} in a node");
    assert_eq!(child.weight, below);
    depth
}

fn weight_of(chunk: &Chunk) -> Weight {
    Weight { elements: chunk.elements(), heap_bytes: chunk.heap_bytes() }
}

fn weight_of_run(len: usize) -> usize {
    if len < 1 << 20 { good_size(len) } else { len.next_multiple_of(4096) }
}

fn sum(a: Weight, b: Weight) -> Weight {
    Weight { elements: a.elements + b.elements, heap_bytes: a.heap_bytes + b.heap_bytes }
}
