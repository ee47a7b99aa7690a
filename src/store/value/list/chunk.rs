//! One chunk: a packed run in a buffer with room at either end, so that pushing and popping at the
//! front move no more than at the back.

use super::super::packed::{self, Buffer, Cursor, Element, End, Full, Needle, Packed};
use super::limit::Limit;
use crate::store::memory::held_bytes;

/// Without elements it holds no memory and is no run.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// The gap, then the run.
    buffer: Vec<u8>,
    gap: u32,
    elements: u32,
}

impl Chunk {
    /// A copy of a run.
    pub(super) fn of_run(run: &[u8], elements: usize) -> Chunk {
        let mut buffer = Vec::with_capacity(held_bytes(run.len()));
        buffer.extend_from_slice(run);
        Chunk { buffer, gap: 0, elements: elements as u32 }
    }

    pub(super) fn of_element(element: Element<'_>) -> Result<Chunk, Full> {
        let mut chunk = Chunk::default();
        chunk.push(End::Back, element, 0)?;
        Ok(chunk)
    }

    pub(super) fn run(&self) -> Packed<'_> {
        Packed::new(self.bytes())
    }

    pub(super) fn run_bytes(&self) -> usize {
        self.buffer.len() - self.gap as usize
    }

    pub(super) fn elements(&self) -> usize {
        self.elements as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.elements == 0
    }

    /// What its buffer takes, as all are allocated in sizes that the allocator serves: see
    /// [`held_bytes`].
    #[inline]
    pub(super) fn heap_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Whether an element of that many bytes as text may be added.
    pub(super) fn takes(&self, text_len: usize, limit: Limit) -> bool {
        self.is_empty() || limit.admits_another(self.run_bytes(), self.elements(), text_len)
    }

    fn seek(&self, index: usize) -> Option<Cursor> {
        self.run().seek(i64::try_from(index).ok()?)
    }

    /// Adds an element at an end. The buffer grows geometrically, up to `buffer_bytes_max` or what
    /// is needed.
    pub(super) fn push(
        &mut self,
        end: End,
        element: Element<'_>,
        buffer_bytes_max: usize,
    ) -> Result<(), Full> {
        let added = element.entry_bytes();
        if u32::try_from(self.run_bytes() + packed::EMPTY_BYTES + added).is_err() {
            return Err(Full);
        }
        self.make_room(end, added, buffer_bytes_max);
        packed::push(self, end, element)?;
        self.elements += 1;
        Ok(())
    }

    pub(super) fn pop<R>(&mut self, end: End, show: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        if self.elements != 1 {
            let shown = packed::pop(self, end, show)?;
            self.elements -= 1;
            return Some(shown);
        }
        let shown = self.run().get(0).map(show);
        *self = Chunk::default();
        shown
    }

    pub(super) fn insert(&mut self, index: usize, element: Element<'_>) -> Result<(), Full> {
        let Some(at) = self.seek(index) else {
            return self.push(End::Back, element, 0);
        };
        packed::insert(self, at, element)?;
        self.elements += 1;
        Ok(())
    }

    /// Puts an element in another's place, unless the run would become longer than the limit by
    /// that; then it answers false.
    pub(super) fn set(
        &mut self,
        index: usize,
        element: Element<'_>,
        limit: Limit,
    ) -> Result<bool, Full> {
        let Some(at) = self.seek(index) else { return Ok(false) };
        let old = self.run().at(at).map_or(0, Element::entry_bytes);
        let new = element.entry_bytes();
        if self.elements > 1 && new > old && self.run_bytes() - old + new > limit.bytes() {
            return Ok(false);
        }
        packed::replace(self, at, element)?;
        Ok(true)
    }

    /// Removes `count` elements from an index on.
    pub(super) fn delete(&mut self, index: usize, count: usize) {
        if let Some(at) = self.seek(index) {
            let deleted = packed::delete_range(self, at, count);
            self.has_lost(deleted);
        }
    }

    /// Removes up to `count` elements that match, from one end on; gives how many there were.
    pub(super) fn delete_matching(
        &mut self,
        from: End,
        needle: &Needle<'_>,
        count: usize,
    ) -> usize {
        let mut spared = match from {
            End::Front => 0,
            End::Back => {
                let matching = self.run().iter().filter(|element| element.matches(needle)).count();
                matching.saturating_sub(count)
            }
        };
        let mut deleted = 0;
        packed::retain(self, |element| {
            if deleted == count || !element.matches(needle) {
                return true;
            }
            if spared > 0 {
                spared -= 1;
                return true;
            }
            deleted += 1;
            false
        });
        self.has_lost(deleted);
        deleted
    }

    fn has_lost(&mut self, deleted: usize) {
        self.elements -= deleted as u32;
        if self.elements == 0 {
            *self = Chunk::default();
        }
    }

    /// Cuts in front of an index and gives the rest. Both get the memory they need.
    pub(super) fn split_off(&mut self, index: usize) -> Chunk {
        let Some(at) = self.seek(index) else { return Chunk::default() };
        let rest = packed::split_off(self, at);
        let moved = self.elements() - index;
        self.has_lost(moved);
        self.shrink();
        Chunk::of_run(&rest, moved)
    }

    /// The index that cuts the run into halves of about the same number of bytes, with an element
    /// at least in each.
    pub(super) fn middle(&self) -> usize {
        let half = self.run_bytes() / 2;
        let mut bytes = 0;
        let before = self.run().iter().take_while(|element| {
            bytes += element.entry_bytes();
            bytes <= half
        });
        before.count().max(1)
    }

    /// Adds all elements of a neighbour.
    pub(super) fn append(&mut self, end: End, other: &Chunk) -> Result<(), Full> {
        if self.is_empty() {
            *self = other.clone();
            return Ok(());
        }
        packed::append(self, end, other.run())?;
        self.elements += other.elements;
        Ok(())
    }

    /// Gives back what the run does not need.
    pub(super) fn shrink(&mut self) {
        let needed = held_bytes(self.run_bytes());
        if self.buffer.capacity() > needed {
            self.lay_out(needed, 0);
        }
    }

    /// As [`Chunk::shrink`], unless growing may have been what made the room: a list that is pushed
    /// to and trimmed in turn keeps its buffer.
    pub(super) fn shrink_if_sparse(&mut self) {
        if self.buffer.capacity() > 4 * held_bytes(self.run_bytes()) {
            self.shrink();
        }
    }

    fn room(&self, end: End) -> usize {
        match end {
            End::Front => self.gap as usize,
            End::Back => self.buffer.capacity() - self.buffer.len(),
        }
    }

    /// Sees to room for `added` bytes at an end.
    #[inline]
    fn make_room(&mut self, end: End, added: usize, buffer_bytes_max: usize) {
        if self.buffer.is_empty() {
            self.allocate(end, added);
        }
        if self.room(end) < added {
            self.grow(end, added, buffer_bytes_max);
        }
    }

    /// Gives a chunk without elements a buffer with room for `added` bytes at an end.
    pub(super) fn allocate(&mut self, end: End, added: usize) {
        let capacity = held_bytes(packed::EMPTY_BYTES + added);
        self.buffer = Vec::with_capacity(capacity);
        self.gap = if end == End::Front { (capacity - packed::EMPTY_BYTES) as u32 } else { 0 };
        self.buffer.resize(self.gap as usize, 0);
        self.buffer.extend_from_slice(&packed::new());
    }

    #[cold]
    fn grow(&mut self, end: End, added: usize, buffer_bytes_max: usize) {
        let len = self.run_bytes();
        let needed = len + added;
        let mut capacity = self.buffer.capacity();
        let largest = held_bytes(buffer_bytes_max.max(needed));
        // Moving within the buffer must be worth it.
        if capacity < needed || capacity < largest && capacity - len < len / 4 {
            capacity = held_bytes(needed.max(2 * len)).min(largest).max(capacity);
        }
        // Half of the other end's room is left to it: it may be the one of a queue.
        let left = (self.room(end.other()) / 2).min(capacity - needed);
        let gap = match end {
            End::Front => capacity - len - left,
            End::Back => left,
        };
        self.lay_out(capacity, gap);
    }

    /// Moves the run behind a gap of that size, in a buffer of that capacity.
    fn lay_out(&mut self, capacity: usize, gap: usize) {
        let old_gap = self.gap as usize;
        let len = self.run_bytes();
        self.gap = gap as u32;
        if capacity == self.buffer.capacity() {
            if gap > old_gap {
                self.buffer.resize(gap + len, 0);
            }
            self.buffer.copy_within(old_gap..old_gap + len, gap);
            self.buffer.truncate(gap + len);
        } else if gap == old_gap && capacity >= self.buffer.len() {
            self.buffer.reserve_exact(capacity - self.buffer.len());
            self.buffer.shrink_to(capacity);
        } else {
            let mut buffer = Vec::with_capacity(capacity);
            buffer.resize(gap, 0);
            buffer.extend_from_slice(self.bytes_at(old_gap));
            self.buffer = buffer;
        }
    }

    fn bytes_at(&self, gap: usize) -> &[u8] {
        &self.buffer[gap..]
    }
}

impl Clone for Chunk {
    fn clone(&self) -> Chunk {
        match self.is_empty() {
            true => Chunk::default(),
            false => Chunk::of_run(self.bytes(), self.elements()),
        }
    }
}

impl Buffer for Chunk {
    fn bytes(&self) -> &[u8] {
        self.bytes_at(self.gap as usize)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.gap as usize..]
    }

    /// Moves what is ahead or what is behind, whichever is less and has the room.
    fn splice(&mut self, at: usize, removed: usize, added: usize) -> &mut [u8] {
        let len = self.run_bytes();
        let ahead_is_less = at < len - at - removed;
        if let Some(more) = added.checked_sub(removed).filter(|more| *more > 0) {
            if self.room(End::Front) >= more && (ahead_is_less || self.room(End::Back) < more) {
                let gap = self.gap as usize;
                self.buffer.copy_within(gap..gap + at, gap - more);
                self.gap -= more as u32;
                return &mut self.bytes_mut()[at..at + added];
            }
            if self.room(End::Back) < more {
                self.lay_out(held_bytes(len + more), 0);
            }
        } else if ahead_is_less {
            let gap = self.gap as usize;
            let fewer = removed - added;
            self.buffer.copy_within(gap..gap + at, gap + fewer);
            self.gap += fewer as u32;
            return &mut self.bytes_mut()[at..at + added];
        }
        let at = self.gap as usize + at;
        Buffer::splice(&mut self.buffer, at, removed, added)
    }
}
