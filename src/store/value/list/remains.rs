//! What is left of a list to be freed, in steps that are short however long the list was.

use super::tree::{Child, Node};
use crate::store::memory::good_size;

/// Memory that nothing uses any more. Dropping it frees all at once.
#[derive(Debug, Default)]
pub struct Remains {
    parts: Vec<Child>,
    heap_bytes: usize,
}

impl Remains {
    pub(super) fn new(parts: Vec<Child>) -> Remains {
        let heap_bytes = parts.iter().map(|part| part.weight.heap_bytes).sum();
        Remains { parts, heap_bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// What is still held on the heap.
    pub fn heap_bytes(&self) -> usize {
        let own = self.parts.capacity() * size_of::<Child>();
        self.heap_bytes + if own == 0 { 0 } else { good_size(own) }
    }

    /// Frees up to about `budget` chunks; true while there is more.
    pub fn free_slice(&mut self, mut budget: usize) -> bool {
        while budget > 0
            && let Some(part) = self.parts.pop()
        {
            self.heap_bytes -= part.weight.heap_bytes;
            match part.node {
                Node::Leaf(chunks) => budget = budget.saturating_sub(chunks.len().max(1)),
                Node::Inner(children) => {
                    budget -= 1;
                    for child in children {
                        self.heap_bytes += child.weight.heap_bytes;
                        self.parts.push(child);
                    }
                }
            }
        }
        if self.parts.is_empty() {
            self.parts = Vec::new();
        }
        !self.parts.is_empty()
    }
}
