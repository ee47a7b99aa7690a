//! Doubly linked lists through the entries themselves: the order in which eviction looks at them.
//! New entries come in at the front, eviction takes from the back.

use super::arena::{Arena, Handle};

#[derive(Debug)]
pub struct Queue {
    /// What its entries carry to tell which queue they are in; from 1 to 3.
    id: u8,
    front: Handle,
    back: Handle,
    len: usize,
    /// Of the entries' blocks and payloads.
    bytes: usize,
}

impl Queue {
    pub fn new(id: u8) -> Queue {
        Queue { id, front: Handle::NONE, back: Handle::NONE, len: 0, bytes: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entry that eviction looks at first.
    pub fn back(&self) -> Option<Handle> {
        (!self.back.is_none()).then_some(self.back)
    }

    /// Puts in an entry that is in no queue and holds `bytes`.
    #[inline]
    pub fn push_front(&mut self, arena: &mut Arena, handle: Handle, bytes: usize) {
        let old = std::mem::replace(&mut self.front, handle);
        let mut entry = arena.entry_mut(handle);
        entry.set_queue(self.id);
        entry.set_previous(Handle::NONE);
        entry.set_next(old);
        if old.is_none() {
            self.back = handle;
        } else {
            arena.entry_mut(old).set_previous(handle);
        }
        self.len += 1;
        self.bytes += bytes;
    }

    /// Takes out an entry of this queue that holds `bytes`.
    #[inline]
    pub fn unlink(&mut self, arena: &mut Arena, handle: Handle, bytes: usize) {
        let entry = arena.entry(handle);
        debug_assert_eq!(entry.queue(), self.id);
        let (previous, next) = entry.neighbours();
        match previous.is_none() {
            true => self.front = next,
            false => arena.entry_mut(previous).set_next(next),
        }
        match next.is_none() {
            true => self.back = previous,
            false => arena.entry_mut(next).set_previous(previous),
        }
        self.len -= 1;
        self.bytes -= bytes;
    }

    #[inline]
    pub fn move_to_front(&mut self, arena: &mut Arena, handle: Handle) {
        if self.front == handle {
            return;
        }
        self.unlink(arena, handle, 0);
        self.push_front(arena, handle, 0);
    }

    /// Lets the block `to` take the place of `from`, whose links have been copied to it.
    #[inline]
    pub fn replace(&mut self, arena: &mut Arena, from: Handle, to: Handle) {
        let (previous, next) = arena.entry(to).neighbours();
        if previous.is_none() {
            debug_assert_eq!(self.front, from);
            self.front = to;
        } else {
            arena.entry_mut(previous).set_next(to);
        }
        if next.is_none() {
            debug_assert_eq!(self.back, from);
            self.back = to;
        } else {
            arena.entry_mut(next).set_previous(to);
        }
    }

    /// An entry of this queue now holds `after` bytes.
    #[inline]
    pub fn resized(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes - before + after;
    }
}

#[cfg(test)]
impl Queue {
    /// Checks links and sums, and returns the entries from front to back.
    pub fn check(&self, arena: &Arena, bytes_of: impl Fn(Handle) -> usize) -> Vec<(Handle, usize)> {
        let mut found = Vec::new();
        let (mut at, mut before) = (self.front, Handle::NONE);
        while !at.is_none() {
            let entry = arena.entry(at);
            let (previous, next) = entry.neighbours();
            assert_eq!((previous, entry.queue()), (before, self.id));
            found.push((at, bytes_of(at)));
            (before, at) = (at, next);
        }
        assert_eq!(before, self.back);
        assert_eq!(found.len(), self.len);
        assert_eq!(found.iter().map(|(_, bytes)| bytes).sum::<usize>(), self.bytes);
        found
    }
}
