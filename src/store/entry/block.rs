//! Blocks for entries: how large they are, and entries' moving from one to another.

use super::super::arena::ClassId;
use super::super::large::Payload;
use super::*;

/// The part of a block that stands for a payload: its address and its length.
pub const PAYLOAD_BYTES: usize = 12;
/// The part of a block that stands for an object: its address.
pub const OBJECT_BYTES: usize = 8;

/// The longest key that lies in its block: beside an expiry and a value that lies outside. So a key
/// stays where it is whatever becomes of its value.
const INLINE_KEY_BYTES_MAX: usize = BLOCK_BYTES_MAX - HEADER_BYTES - EXPIRY_BYTES - PAYLOAD_BYTES;

/// Whether a value of `len` bytes lies in a block with a key that takes `key_bytes` of it, whether
/// the entry has an expiry or not.
#[inline]
pub fn fits_inline(key_bytes: usize, len: usize) -> bool {
    len <= BLOCK_BYTES_MAX && HEADER_BYTES + EXPIRY_BYTES + key_bytes + len <= BLOCK_BYTES_MAX
}

/// Bytes of the block's part for a key of `len` bytes.
#[inline]
pub fn key_bytes_of(len: usize) -> usize {
    if len <= INLINE_KEY_BYTES_MAX { len } else { PAYLOAD_BYTES }
}

#[inline]
fn class_of(arena: &Arena, key_bytes: usize, room: usize, expires: bool) -> ClassId {
    let expiry_bytes = if expires { EXPIRY_BYTES } else { 0 };
    arena.class_of(HEADER_BYTES + expiry_bytes + key_bytes + room, expires)
}

/// # Invariants
/// A handle given to these functions names a block that [`Arena::allocate_entry`] has laid out and
/// that has not been freed: tables and queues hold only such handles, and they stay in the store.
impl Arena {
    #[inline]
    pub(in crate::store) fn entry(&self, handle: Handle) -> EntryRef<'_> {
        EntryRef { block: self.address(handle), arena: PhantomData }
    }

    #[inline]
    pub(in crate::store) fn entry_mut(&mut self, handle: Handle) -> EntryView<'_> {
        EntryView::new(self.address(handle))
    }

    /// A new entry in no queue's links yet, its value an empty string, with room for `room` bytes
    /// of value in its block. `queue` is from 1 to 3.
    ///
    /// # Panics
    /// If the key has 4 GiB or more; `proto-max-bulk-len` keeps them below that.
    #[inline]
    pub(in crate::store) fn allocate_entry(
        &mut self,
        key: &[u8],
        room: usize,
        expiry: Option<UnixMs>,
        queue: u8,
    ) -> Handle {
        let key_bytes = key_bytes_of(key.len());
        let handle = self.allocate(class_of(self, key_bytes, room, expiry.is_some()));
        let mut view = self.entry_mut(handle);
        let expires = if expiry.is_some() { EXPIRES } else { 0 };
        let header = expires | u64::from(queue) << QUEUE_SHIFT;
        if key_bytes == key.len() {
            view.set_header(header | (key_bytes as u64) << KEY_LEN_SHIFT);
            view.write_key(key);
        } else {
            view.set_header(header | PAYLOAD << KEY_LEN_SHIFT);
            view.write_key_payload(Payload::copy_of(key));
        }
        if let Some(at) = expiry {
            view.write_expiry(at);
        }
        handle
    }

    /// The class of the smallest block for an entry's key and `room` bytes of value.
    #[inline]
    pub(in crate::store) fn class_for(
        &self,
        handle: Handle,
        room: usize,
        expires: bool,
    ) -> ClassId {
        class_of(self, self.entry(handle).key_bytes(), room, expires)
    }

    /// How many bytes of value an entry's block has room for.
    #[inline]
    pub(in crate::store) fn room(&self, handle: Handle) -> usize {
        self.class_bytes(self.class_of_block(handle)) - self.entry(handle).value_at()
    }

    /// Moves an entry to a new block with room for `room` bytes of value, with this expiry or none:
    /// header, key and value, pointers as they are. The old block is to be freed without what it
    /// pointed at. Links are not copied.
    pub(in crate::store) fn move_entry(
        &mut self,
        from: Handle,
        room: usize,
        expiry: Option<UnixMs>,
    ) -> Handle {
        let old = self.entry(from);
        let bytes = old.key_bytes() + old.value_bytes();
        debug_assert!(old.value_bytes() <= room);
        let class = class_of(self, old.key_bytes(), room, expiry.is_some());
        let (header, body) = (old.header(), old.body_at());
        let to = self.allocate(class);
        let expires = if expiry.is_some() { EXPIRES } else { 0 };
        let source = self.address(from);
        let mut view = self.entry_mut(to);
        view.set_header(header & !EXPIRES | expires);
        if let Some(at) = expiry {
            view.write_expiry(at);
        }
        // SAFETY: the new block has room for both parts, and it is another one.
        unsafe {
            let body_at = view.get().body_at();
            source.add(body).copy_to_nonoverlapping(view.block().add(body_at), bytes);
        }
        to
    }
}
