//! All leaves of a sorted set, by number. Numbers are dense: when a leaf goes, the last one gets its
//! number.

use super::allocation;
use super::leaf::Leaf;

/// Leaves per piece of the table, all but the last of which are full: so that growing copies little.
const CHUNK: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Leaves {
    chunks: Vec<Vec<Leaf>>,
    /// Of the leaves' own allocations.
    entry_bytes: usize,
}

impl Leaves {
    pub fn len(&self) -> usize {
        match self.chunks.as_slice() {
            [] => 0,
            [full @ .., last] => full.len() * CHUNK + last.len(),
        }
    }

    #[inline]
    pub fn get(&self, id: u32) -> &Leaf {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    /// Changes a leaf.
    #[inline]
    pub fn edit<R>(&mut self, id: u32, edit: impl FnOnce(&mut Leaf) -> R) -> R {
        let leaf = &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK];
        let before = leaf.heap_bytes();
        let result = edit(leaf);
        self.entry_bytes = self.entry_bytes - before + leaf.heap_bytes();
        result
    }

    pub fn push(&mut self, leaf: Leaf) -> u32 {
        self.entry_bytes += leaf.heap_bytes();
        let id = self.len() as u32;
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => {
                if last.len() == last.capacity() {
                    last.reserve_exact(last.len().min(CHUNK - last.len()));
                }
                last.push(leaf);
            }
            _ => {
                let mut chunk = Vec::with_capacity(if id == 0 { 1 } else { CHUNK });
                chunk.push(leaf);
                self.chunks.push(chunk);
            }
        }
        id
    }

    pub fn pop(&mut self) -> Option<Leaf> {
        let last = self.chunks.last_mut()?;
        let leaf = last.pop()?;
        if last.is_empty() {
            self.chunks.pop();
            if self.chunks.is_empty() {
                self.chunks = Vec::new();
            }
        } else if last.len() < last.capacity() / 4 {
            last.shrink_to(2 * last.len());
        }
        self.entry_bytes -= leaf.heap_bytes();
        Some(leaf)
    }

    pub fn heap_bytes(&self) -> usize {
        let chunks = match self.chunks.as_slice() {
            [] => 0,
            [full @ .., last] => {
                full.len() * allocation(CHUNK * size_of::<Leaf>())
                    + allocation(last.capacity() * size_of::<Leaf>())
            }
        };
        self.entry_bytes + chunks + allocation(self.chunks.capacity() * size_of::<Vec<Leaf>>())
    }

    /// The same, walked.
    #[cfg(test)]
    pub fn walked_bytes(&self) -> usize {
        let chunks = self.chunks.iter().map(|c| allocation(c.capacity() * size_of::<Leaf>()));
        let leaves = self.chunks.iter().flatten().map(Leaf::heap_bytes);
        chunks.chain(leaves).sum::<usize>()
            + allocation(self.chunks.capacity() * size_of::<Vec<Leaf>>())
    }
}
