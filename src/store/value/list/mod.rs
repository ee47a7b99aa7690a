//! A list in chunks: packed runs of a few kilobytes each, with a counted tree over them.
//!
//! ```text
//! front chunk | tree of chunks | back chunk
//! ```
//!
//! What is pushed and popped at an end touches the chunk there and nothing else; a chunk that is
//! full goes into the tree, one that is needed comes out of it. So an operation at an end is O(1),
//! amortised, and one at an index O(log n). A list of a single chunk has it at one of the ends and
//! uses it from both. An element larger than the limit is a chunk of its own.
//!
//! Chunks in the tree have the memory that they need, those at the ends grow geometrically up to
//! the limit. The heap bytes are known at all times: every allocation by what the allocator takes
//! for it.

mod builder;
#[cfg(test)]
mod check;
mod chunk;
mod edit;
mod iter;
mod limit;
mod remains;
#[cfg(test)]
mod tests;
mod tree;

pub use builder::Builder;
pub use edit::Side;
pub use iter::{Iter, Runs};
pub use limit::Limit;
pub use remains::Remains;

use super::packed::{Element, End, Full, Needle, Packed};
use chunk::Chunk;
use tree::Tree;

/// A list that has more than one chunk begins another in a buffer of this part of the limit, which
/// then grows: smaller ones are a waste of time, larger ones of memory.
const FIRST_BUFFER_PART: usize = 8;

/// A sequence of byte strings.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// Either may be empty, if only one of them has elements there is no telling which.
    ends: [Chunk; 2],
    middle: Tree,
}

impl List {
    pub fn new() -> List {
        List::default()
    }

    /// A list of one chunk, from a run that is sound.
    pub fn from_packed(run: &[u8]) -> List {
        let elements = Packed::new(run).iter().count();
        if elements == 0 {
            return List::new();
        }
        List { ends: [Chunk::default(), Chunk::of_run(run, elements)], middle: Tree::default() }
    }

    /// The elements as one run, if they are in one chunk and that is at most half of what the limit
    /// admits: the rule by which Redis 7.2 takes a quicklist back to a listpack.
    pub fn to_packed_if_small(&self, limit: Limit) -> Option<Vec<u8>> {
        let chunk = match &self.ends {
            [chunk, other] | [other, chunk] if other.is_empty() && self.middle.is_empty() => chunk,
            [front, back] if front.is_empty() && back.is_empty() => {
                let first = self.middle.peek(End::Front)?;
                (first.elements() == self.middle.weight().elements).then_some(first)?
            }
            _ => return None,
        };
        limit
            .admits_shrunk(chunk.run_bytes(), chunk.elements())
            .then(|| chunk.run().bytes().to_vec())
            .filter(|run| !run.is_empty())
    }

    pub fn len(&self) -> usize {
        self.end(End::Front).elements()
            + self.middle.weight().elements
            + self.end(End::Back).elements()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it holds on the heap.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        self.end(End::Front).heap_bytes()
            + self.middle.weight().heap_bytes
            + self.end(End::Back).heap_bytes()
    }

    /// The index that a command's argument means, negative ones counting from the back, if there is
    /// such an element.
    pub fn index(&self, index: i64) -> Option<usize> {
        let distance = usize::try_from(index.unsigned_abs()).ok()?;
        if index < 0 {
            self.len().checked_sub(distance)
        } else {
            (distance < self.len()).then_some(distance)
        }
    }

    /// Adds an element at an end.
    pub fn push(&mut self, end: End, value: &[u8], limit: Limit) -> Result<(), Full> {
        let only = self.end(end).is_empty()
            && self.middle.is_empty()
            && !self.end(end.other()).is_empty()
            && self.end(end.other()).takes(value.len(), limit);
        let home = if only { end.other() } else { end };
        if !self.end(home).takes(value.len(), limit) {
            self.store(end);
            // The first of several chunks fills up as a rule, and so will this one.
            self.end_mut(end).allocate(end, limit.bytes() / FIRST_BUFFER_PART);
        }
        self.end_mut(home).push(end, Element::from(value), limit.bytes())
    }

    /// Takes an element off an end, shown before it goes.
    pub fn pop<R>(&mut self, end: End, show: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        if self.end(end).is_empty()
            && let Some(chunk) = self.middle.pop(end)
        {
            *self.end_mut(end) = chunk;
        }
        let home = if self.end(end).is_empty() { end.other() } else { end };
        self.end_mut(home).pop(end, show)
    }

    pub fn get(&self, index: usize) -> Option<Element<'_>> {
        let (chunks, at, index) = self.locate(index)?;
        chunks.get(at)?.run().get(i64::try_from(index).ok()?)
    }

    /// The elements from an index on, towards the back if `to` is the back. An index beyond the end
    /// gives none.
    pub fn iter_from(&self, index: usize, to: End) -> Iter<'_> {
        Iter::new(self, index, to)
    }

    /// All elements from front to back.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0, End::Back)
    }

    /// All chunks from front to back.
    pub fn runs(&self) -> Runs<'_> {
        Runs::new(self, 0, End::Back)
    }

    /// The indexes of the elements that match, seen from one end on, of the first `max_compared`
    /// ones from there.
    pub fn positions<'a>(
        &'a self,
        from: End,
        needle: &'a Needle<'a>,
        max_compared: usize,
    ) -> impl Iterator<Item = usize> + 'a {
        let last = self.len().saturating_sub(1);
        let first = if from == End::Front { 0 } else { last };
        let elements = self.iter_from(first, from.other()).take(max_compared).enumerate();
        elements.filter(|(_, element)| element.matches(needle)).map(move |(n, _)| match from {
            End::Front => n,
            End::Back => last - n,
        })
    }

    /// The neighbouring chunks among which the one with that element is, which one it is, and the
    /// index within it.
    fn locate(&self, index: usize) -> Option<(&[Chunk], usize, usize)> {
        let [front, back] = &self.ends;
        let Some(index) = index.checked_sub(front.elements()) else {
            return Some((std::slice::from_ref(front), 0, index));
        };
        let Some(index) = index.checked_sub(self.middle.weight().elements) else {
            return self.middle.locate(index);
        };
        (index < back.elements()).then_some((std::slice::from_ref(back), 0, index))
    }

    fn end(&self, end: End) -> &Chunk {
        &self.ends[end as usize]
    }

    fn end_mut(&mut self, end: End) -> &mut Chunk {
        &mut self.ends[end as usize]
    }

    /// Puts the chunk at an end into the tree.
    fn store(&mut self, end: End) {
        let mut chunk = std::mem::take(self.end_mut(end));
        if !chunk.is_empty() {
            chunk.shrink();
            self.middle.push(end, chunk);
        }
    }
}
