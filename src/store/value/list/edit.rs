//! Changes of a list elsewhere than at its ends.

use super::super::packed::{Element, End, Full, Needle};
use super::chunk::Chunk;
use super::limit::Limit;
use super::remains::Remains;
use super::tree::{Target, join_chunks};
use super::{List, tree};

/// Before or behind an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

impl List {
    /// Puts a value in an element's place; false if there is no element of that index.
    pub fn set(&mut self, index: usize, value: &[u8], limit: Limit) -> Result<bool, Full> {
        if index >= self.len() {
            return Ok(false);
        }
        let element = Element::from(value);
        if let Some((end, within)) = self.end_with(index) {
            if self.end_mut(end).set(within, element, limit)? {
                return Ok(true);
            }
            self.store(end);
        }
        let index = index - self.end(End::Front).elements();
        let set = self.middle.edit(Target::Index(index), |chunks, at, index| {
            let Some(chunk) = chunks.get_mut(at) else { return Ok(false) };
            if chunk.set(index, element, limit)? {
                chunk.shrink();
                return Ok(true);
            }
            let own = Chunk::of_element(element)?;
            let mut behind = chunk.split_off(index);
            behind.delete(0, 1);
            behind.shrink();
            put_between(chunks, at, own, behind, limit);
            Ok(true)
        });
        // A list of one chunk has it at an end.
        if self.ends.iter().all(Chunk::is_empty) {
            self.settle(limit);
        }
        set
    }

    /// Puts a value before the element of that index; at the back if the index is the length, false
    /// beyond it.
    pub fn insert(&mut self, index: usize, value: &[u8], limit: Limit) -> Result<bool, Full> {
        let len = self.len();
        if index == 0 || index >= len {
            let end = if index == 0 { End::Front } else { End::Back };
            return if index > len {
                Ok(false)
            } else {
                self.push(end, value, limit).map(|()| true)
            };
        }
        let element = Element::from(value);
        if let Some((end, within)) = self.end_with(index) {
            if self.end(end).takes(value.len(), limit) {
                self.end_mut(end).insert(within, element)?;
                return Ok(true);
            }
            self.store(end);
        }
        let index = index - self.end(End::Front).elements();
        self.middle.edit(Target::Index(index), |chunks, at, index| {
            insert_into(chunks, at, index, element, value.len(), limit).map(|()| true)
        })
    }

    /// Puts a value beside the first element that matches; false if none does.
    pub fn insert_beside(
        &mut self,
        pivot: &Needle<'_>,
        side: Side,
        value: &[u8],
        limit: Limit,
    ) -> Result<bool, Full> {
        let Some(index) = self.positions(End::Front, pivot, usize::MAX).next() else {
            return Ok(false);
        };
        self.insert(index + usize::from(side == Side::After), value, limit)
    }

    /// Removes up to `count` elements from an index on. Chunks that go as a whole are handed out, to
    /// be freed when there is time.
    pub fn remove_range(&mut self, start: usize, count: usize, limit: Limit) -> Remains {
        let start = start.min(self.len());
        let end = start.saturating_add(count).min(self.len());
        if start == end {
            return Remains::default();
        }
        let front = self.end(End::Front).elements();
        let behind = front + self.middle.weight().elements;
        let within = |first: usize, last: usize| {
            let from = start.clamp(first, last);
            (from - first, end.clamp(from, last) - from)
        };
        let at_front = within(0, front);
        let in_middle = within(front, behind);
        let at_back = within(behind, self.len());
        self.end_mut(End::Front).delete(at_front.0, at_front.1);
        let removed = self.middle.remove_range(in_middle.0, in_middle.1, limit);
        self.end_mut(End::Back).delete(at_back.0, at_back.1);
        self.settle(limit);
        Remains::new(removed)
    }

    /// Removes up to `count` elements that match, seen from an end; gives how many there were.
    pub fn remove_matching(
        &mut self,
        from: End,
        needle: &Needle<'_>,
        count: usize,
        limit: Limit,
    ) -> usize {
        let mut removed = self.end_mut(from).delete_matching(from, needle, count);
        removed += self.middle.remove_matching(from, needle, count - removed, limit);
        removed += self.end_mut(from.other()).delete_matching(from, needle, count - removed);
        if removed > 0 {
            self.settle(limit);
        }
        removed
    }

    /// Frees chunks from the back, about `budget` of them; true while there is more.
    pub fn free_slice(&mut self, budget: usize) -> bool {
        let mut freed = 0;
        while freed < budget && !self.middle.is_empty() {
            freed += self.middle.pop_leaf().len();
        }
        if self.middle.is_empty() && freed < budget {
            self.ends = Default::default();
        }
        !self.is_empty()
    }

    /// All its memory, to be freed when there is time.
    pub fn into_remains(self) -> Remains {
        let ends = self.ends.into_iter().filter(|chunk| !chunk.is_empty()).collect();
        Remains::new(vec![tree::Child::new(tree::Node::Leaf(ends)), self.middle.into_root()])
    }

    /// Which end's chunk has the element, and its index there.
    fn end_with(&self, index: usize) -> Option<(End, usize)> {
        let front = self.end(End::Front).elements();
        if index < front {
            return Some((End::Front, index));
        }
        let behind = front + self.middle.weight().elements;
        Some((End::Back, index.checked_sub(behind)?))
    }

    /// After elements went: chunks at the ends that are empty or sparse take from the tree, and
    /// those of them that are left are joined.
    fn settle(&mut self, limit: Limit) {
        for end in [End::Front, End::Back] {
            while let Some(next) = self.middle.peek(end)
                && joinable(self.end(end), next, limit)
                && let Some(next) = self.middle.pop(end)
            {
                join(self.end_mut(end), end.other(), next);
            }
        }
        let [front, back] = &self.ends;
        if self.middle.is_empty() && joinable(back, front, limit) {
            let front = std::mem::take(self.end_mut(End::Front));
            join(self.end_mut(End::Back), End::Front, front);
        }
        self.ends.iter_mut().for_each(Chunk::shrink_if_sparse);
    }
}

fn joinable(chunk: &Chunk, other: &Chunk, limit: Limit) -> bool {
    chunk.is_empty()
        || limit.admits_joined(
            chunk.run_bytes() + other.run_bytes(),
            chunk.elements() + other.elements(),
        )
}

fn join(chunk: &mut Chunk, at: End, other: Chunk) {
    if chunk.is_empty() {
        *chunk = other;
    } else {
        let fits = chunk.append(at, &other);
        debug_assert!(fits.is_ok(), "both are far below what a run can be");
    }
}

/// Puts an element before one of a chunk, which is split if it is full.
fn insert_into(
    chunks: &mut Vec<Chunk>,
    at: usize,
    index: usize,
    element: Element<'_>,
    text_len: usize,
    limit: Limit,
) -> Result<(), Full> {
    if chunks[at].takes(text_len, limit) {
        return chunks[at].insert(index, element);
    }
    if index == 0 && at > 0 && chunks[at - 1].takes(text_len, limit) {
        return chunks[at - 1].push(End::Back, element, 0);
    }
    let half = chunks[at].middle();
    if half < chunks[at].elements() {
        let mut behind = chunks[at].split_off(half);
        let (home, within) = match index.checked_sub(half) {
            Some(within) => (&mut behind, within),
            None => (&mut chunks[at], index),
        };
        if home.takes(text_len, limit) {
            let inserted = home.insert(within, element);
            chunks.insert(at + 1, behind);
            return inserted;
        }
        join(&mut chunks[at], End::Back, behind);
    }
    let own = Chunk::of_element(element)?;
    let behind = chunks[at].split_off(index);
    put_between(chunks, at, own, behind, limit);
    Ok(())
}

/// Puts two chunks behind one; any of them may be empty, and sparse ones are joined.
fn put_between(chunks: &mut Vec<Chunk>, at: usize, own: Chunk, behind: Chunk, limit: Limit) {
    chunks.insert(at + 1, own);
    chunks.insert(at + 2, behind);
    for n in (at..at + 3).rev() {
        if chunks[n].is_empty() {
            chunks.remove(n);
        }
    }
    join_chunks(chunks, at.saturating_sub(1)..at + 4, limit);
}
