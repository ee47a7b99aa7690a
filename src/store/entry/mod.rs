//! How a key and its value lie in a block of the arena.
//!
//! ```text
//! offset 0   header   u64   see below; never 0, which marks a free block
//!        8   previous u32   the neighbours in the eviction queue
//!       12   next     u32
//!       16   [expiry: Unix milliseconds, u64]
//!        .   key bytes, value bytes
//!        .   or, of a large entry: payload address u64, key_len u32, value_len u32
//! ```
//!
//! | header bits | |
//! |---|---|
//! | 0-2 | kind |
//! | 3-4 | encoding |
//! | 5 | has an expiry |
//! | 6-7 | queue, from 1 |
//! | 8-15 | access statistics of the eviction policy |
//! | 16-28 | length of the key |
//! | 29-41 | length of the value; all ones: a large entry, whose payload is the value and the key |
//! | 42-63 | second of the last access, modulo 2^22 (48 days) |
//!
//! Integers are kept as the fewest bytes of their two's complement, the lowest first.

mod value;

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::arena::{Arena, BLOCK_BYTES_MAX, ClassId, Handle, prefetch_line};
use super::large::{self, Payload};
use super::{UnixMs, WrongType};

use value::integer_from;
pub use value::{Encoding, Kind, StoredValue, Text};

const HEADER_BYTES: usize = 16;
const EXPIRY_BYTES: usize = 8;
const LARGE_BYTES: usize = 16;

const EXPIRES: u64 = 1 << 5;
const ENCODING_SHIFT: u32 = 3;
const QUEUE_SHIFT: u32 = 6;
const STATISTICS_SHIFT: u32 = 8;
const KEY_LEN_SHIFT: u32 = 16;
const VALUE_LEN_SHIFT: u32 = 29;
const ACCESS_SHIFT: u32 = 42;
const LEN_MASK: u64 = (1 << 13) - 1;
const ACCESS_MASK: u64 = (1 << 22) - 1;
/// By how much a clock may be set back without entries' seeming unused for weeks.
const SET_BACK_SECONDS_MAX: u64 = 24 * 60 * 60;
/// Where the length of the value would be.
const LARGE: u64 = LEN_MASK;

/// An entry to look at.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    block: NonNull<u8>,
    arena: PhantomData<&'a Arena>,
}

/// An entry in place to change, as long as its lengths stay.
pub(super) struct EntryView<'a> {
    block: NonNull<u8>,
    arena: PhantomData<&'a mut Arena>,
}

/// What decides the size of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub key_len: usize,
    pub value_len: usize,
    pub expires: bool,
}

impl Shape {
    fn body_at(self) -> usize {
        HEADER_BYTES + if self.expires { EXPIRY_BYTES } else { 0 }
    }

    pub fn is_large(self) -> bool {
        self.body_at() + self.key_len + self.value_len > BLOCK_BYTES_MAX
    }

    pub fn class(self, arena: &Arena) -> ClassId {
        let body = if self.is_large() { LARGE_BYTES } else { self.key_len + self.value_len };
        arena.class_of(self.body_at() + body, self.expires)
    }

    pub fn payload_len(self) -> usize {
        self.key_len + self.value_len
    }

    /// Bytes in a mapping of its own.
    pub fn huge_bytes(self) -> usize {
        let huge = self.is_large() && Payload::is_huge(self.payload_len());
        if huge { self.payload_bytes() } else { 0 }
    }

    /// Bytes outside of the block.
    pub fn payload_bytes(self) -> usize {
        if self.is_large() { large::held_bytes(self.payload_len()) } else { 0 }
    }
}

/// # Invariants
/// A handle given to these functions names a block that [`Arena::allocate_entry`] has laid out and
/// that has not been freed: tables and queues hold only such handles, and they stay in the store.
impl Arena {
    #[inline]
    pub(super) fn entry(&self, handle: Handle) -> EntryRef<'_> {
        EntryRef { block: self.address(handle), arena: PhantomData }
    }

    #[inline]
    pub(super) fn entry_mut(&mut self, handle: Handle) -> EntryView<'_> {
        EntryView { block: self.address(handle), arena: PhantomData }
    }

    /// A new entry in no queue's links yet. Its value begins with `value_start`; the other bytes of
    /// `value_len` are zero. `queue` is from 1 to 3.
    ///
    /// # Panics
    /// If key or value have 4 GiB or more; `proto-max-bulk-len` keeps them below that.
    #[inline]
    pub(super) fn allocate_entry(
        &mut self,
        key: &[u8],
        value_start: &[u8],
        value_len: usize,
        expiry: Option<UnixMs>,
        queue: u8,
    ) -> Handle {
        let shape = Shape { key_len: key.len(), value_len, expires: expiry.is_some() };
        let handle = self.allocate(shape.class(self));
        let mut view = self.entry_mut(handle);
        let expires = if shape.expires { EXPIRES } else { 0 };
        let mut header = expires | u64::from(queue) << QUEUE_SHIFT;
        if shape.is_large() {
            header |= LARGE << VALUE_LEN_SHIFT;
            view.set_header(header);
            view.lay_out_payload(shape, Payload::allocate(shape.payload_len()));
        } else {
            header |= (shape.key_len as u64) << KEY_LEN_SHIFT
                | (shape.value_len as u64) << VALUE_LEN_SHIFT;
            view.set_header(header);
        }
        if let Some(at) = expiry {
            view.write_expiry(at);
        }
        view.write_key(shape, key);
        view.write_value(shape, value_start);
        handle
    }
}

impl Arena {
    /// A new block with this expiry or none for a large entry, which hands its payload over. What
    /// is left of the old block is to be freed as such. The entry must be large in either form.
    pub(super) fn allocate_for_payload_of(
        &mut self,
        from: Handle,
        expiry: Option<UnixMs>,
    ) -> Handle {
        let old = self.entry(from);
        let shape = Shape { expires: expiry.is_some(), ..old.shape() };
        debug_assert!(old.is_large() && shape.is_large());
        let header = old.header() & !EXPIRES | if shape.expires { EXPIRES } else { 0 };
        let handle = self.allocate(shape.class(self));
        let payload = self.entry_mut(from).take_payload();
        let mut view = self.entry_mut(handle);
        view.set_header(header);
        view.lay_out_payload(shape, payload);
        if let Some(at) = expiry {
            view.write_expiry(at);
        }
        handle
    }
}

impl<'a> EntryRef<'a> {
    #[inline]
    fn header(self) -> u64 {
        // SAFETY: a block begins with its header.
        unsafe { self.block.cast().read() }
    }

    #[inline]
    pub(super) fn shape(self) -> Shape {
        let header = self.header();
        let expires = header & EXPIRES != 0;
        let value_len = header >> VALUE_LEN_SHIFT & LEN_MASK;
        if value_len == LARGE {
            let (key_len, value_len) = self.large_lengths();
            return Shape { key_len, value_len, expires };
        }
        let key_len = (header >> KEY_LEN_SHIFT & LEN_MASK) as usize;
        Shape { key_len, value_len: value_len as usize, expires }
    }

    #[inline]
    pub(super) fn is_large(self) -> bool {
        self.header() >> VALUE_LEN_SHIFT & LEN_MASK == LARGE
    }

    #[inline]
    fn body_at(self) -> usize {
        HEADER_BYTES + if self.header() & EXPIRES != 0 { EXPIRY_BYTES } else { 0 }
    }

    fn large_lengths(self) -> (usize, usize) {
        // SAFETY: a large entry's lengths lie behind its payload's address.
        unsafe {
            let lengths = self.block.add(self.body_at() + 8).cast::<[u32; 2]>().read();
            (lengths[0] as usize, lengths[1] as usize)
        }
    }

    /// Where value and key begin.
    #[inline]
    fn value_and_key(self) -> (NonNull<u8>, NonNull<u8>, Shape) {
        let shape = self.shape();
        // SAFETY: offsets within the block, or within the payload that a large entry names.
        unsafe {
            if self.is_large() {
                let bits = self.block.add(self.body_at()).cast::<u64>().read();
                let start =
                    NonNull::new_unchecked(std::ptr::with_exposed_provenance_mut(bits as usize));
                (start, start.add(shape.value_len), shape)
            } else {
                let key = self.block.add(self.body_at());
                (key.add(shape.key_len), key, shape)
            }
        }
    }

    #[inline]
    pub fn key(self) -> &'a [u8] {
        let (_, key, shape) = self.value_and_key();
        // SAFETY: the key was written when the entry was laid out; the arena is borrowed.
        unsafe { std::slice::from_raw_parts(key.as_ptr(), shape.key_len) }
    }

    #[inline]
    pub(super) fn stored_value(self) -> &'a [u8] {
        let (value, _, shape) = self.value_and_key();
        // SAFETY: the value's bytes are initialised; the arena is borrowed.
        unsafe { std::slice::from_raw_parts(value.as_ptr(), shape.value_len) }
    }

    /// The bytes of a string value.
    #[inline]
    pub fn as_string(self) -> Result<Text<'a>, WrongType> {
        match self.kind() {
            Kind::String if self.encoding() == Encoding::Int => {
                Ok(Text::of_integer(integer_from(self.stored_value())))
            }
            Kind::String => Ok(Text::Stored(self.stored_value())),
        }
    }

    /// The value of a string that is kept as an integer.
    pub fn integer(self) -> Option<i64> {
        (self.encoding() == Encoding::Int).then(|| integer_from(self.stored_value()))
    }

    pub fn kind(self) -> Kind {
        Kind::String
    }

    #[inline]
    pub fn encoding(self) -> Encoding {
        match self.header() >> ENCODING_SHIFT & 0b11 {
            0 => Encoding::Int,
            1 => Encoding::EmbStr,
            _ => Encoding::Raw,
        }
    }

    #[inline]
    pub fn expiry(self) -> Option<UnixMs> {
        // SAFETY: the flag says that the field is there.
        (self.header() & EXPIRES != 0)
            .then(|| unsafe { self.block.add(HEADER_BYTES).cast::<u64>().read() })
    }

    #[inline]
    pub fn is_expired(self, now: UnixMs) -> bool {
        self.expiry().is_some_and(|at| at <= now)
    }

    /// The eviction policy's byte about this entry.
    #[inline]
    pub(super) fn statistics(self) -> u8 {
        (self.header() >> STATISTICS_SHIFT) as u8
    }

    #[inline]
    pub(super) fn queue(self) -> u8 {
        (self.header() >> QUEUE_SHIFT & 0b11) as u8
    }

    /// Seconds since the entry was last used.
    #[inline]
    pub fn idle_seconds(self, now: UnixMs) -> u32 {
        let accessed = self.header() >> ACCESS_SHIFT;
        let idle = (now / 1000).wrapping_sub(accessed) & ACCESS_MASK;
        // An access in the future: the clock was set back.
        if idle > ACCESS_MASK - SET_BACK_SECONDS_MAX { 0 } else { idle as u32 }
    }

    #[inline]
    pub(super) fn neighbours(self) -> (Handle, Handle) {
        // One by one, as they are written: a load of both would wait for a store to one of them.
        // SAFETY: both links are part of every block.
        let link = |offset| unsafe { self.block.add(offset).cast::<u32>().read() };
        (Handle::from_bits(link(8)), Handle::from_bits(link(12)))
    }

    /// Asks the processor for the cache lines of header, key and a short value.
    #[inline]
    pub(super) fn prefetch(self) {
        let start = self.block.as_ptr();
        prefetch_line(start);
        prefetch_line(start.wrapping_add(64));
    }
}

impl<'a> EntryView<'a> {
    #[inline]
    pub fn get(&self) -> EntryRef<'_> {
        EntryRef { block: self.block, arena: PhantomData }
    }

    #[inline]
    fn set_header(&mut self, header: u64) {
        debug_assert_ne!(header, 0);
        // SAFETY: a block begins with its header.
        unsafe { self.block.cast().write(header) }
    }

    #[inline]
    fn set_bits(&mut self, shift: u32, mask: u64, value: u64) {
        let header = self.get().header();
        let changed = header & !(mask << shift) | (value & mask) << shift;
        if changed != header {
            self.set_header(changed);
        }
    }

    #[inline]
    pub fn set_encoding(&mut self, encoding: Encoding) {
        self.set_bits(ENCODING_SHIFT, 0b11, encoding as u64);
    }

    #[inline]
    pub fn set_queue(&mut self, queue: u8) {
        self.set_bits(QUEUE_SHIFT, 0b11, u64::from(queue));
    }

    #[inline]
    pub fn set_statistics(&mut self, statistics: u8) {
        self.set_bits(STATISTICS_SHIFT, 0xFF, u64::from(statistics));
    }

    #[inline]
    pub fn set_accessed(&mut self, now: UnixMs) {
        self.set_bits(ACCESS_SHIFT, ACCESS_MASK, now / 1000);
    }

    /// Statistics and time of the last access, from another block.
    pub fn copy_history(&mut self, header: u64) {
        self.set_bits(STATISTICS_SHIFT, 0xFF, header >> STATISTICS_SHIFT);
        self.set_bits(ACCESS_SHIFT, ACCESS_MASK, header >> ACCESS_SHIFT);
    }

    #[inline]
    pub fn set_previous(&mut self, handle: Handle) {
        // SAFETY: the link is part of every block.
        unsafe { self.block.add(8).cast::<u32>().write(handle.to_bits()) }
    }

    #[inline]
    pub fn set_next(&mut self, handle: Handle) {
        // SAFETY: as above.
        unsafe { self.block.add(12).cast::<u32>().write(handle.to_bits()) }
    }

    /// Only for entries that have an expiry.
    #[inline]
    pub fn write_expiry(&mut self, at: UnixMs) {
        debug_assert!(self.get().header() & EXPIRES != 0);
        // SAFETY: the flag says that the field is there.
        unsafe { self.block.add(HEADER_BYTES).cast::<u64>().write(at) }
    }

    fn lay_out_payload(&mut self, shape: Shape, payload: Payload) {
        let length = |len: usize| u32::try_from(len).expect("strings are shorter than 4 GiB");
        // SAFETY: a large entry's block has room for these fields.
        unsafe {
            let body = self.block.add(shape.body_at());
            body.cast::<u64>().write(payload.into_bits());
            body.add(8).cast().write([length(shape.key_len), length(shape.value_len)]);
        }
    }

    fn write_key(&mut self, shape: Shape, key: &[u8]) {
        let (_, start, _) = self.get().value_and_key();
        debug_assert_eq!(shape.key_len, key.len());
        // SAFETY: the place of the key is as long as the key.
        unsafe { start.copy_from_nonoverlapping(NonNull::from(key).cast(), key.len()) }
    }

    /// Of a new entry.
    #[inline]
    fn write_value(&mut self, shape: Shape, start: &[u8]) {
        let (value, ..) = self.get().value_and_key();
        let len = start.len().min(shape.value_len);
        // SAFETY: the place of the value is this long.
        unsafe { value.copy_from_nonoverlapping(NonNull::from(start).cast(), len) }
        // A new mapping reads as zero.
        if len < shape.value_len && !Payload::is_huge(shape.payload_len()) {
            self.zero_value(shape, len);
        }
    }

    fn zero_value(&mut self, shape: Shape, from: usize) {
        let (start, ..) = self.get().value_and_key();
        // SAFETY: the place of the value is this long.
        unsafe { start.add(from).write_bytes(0, shape.value_len - from) }
    }

    #[inline]
    pub fn value_mut(self) -> &'a mut [u8] {
        let (start, _, shape) = self.get().value_and_key();
        // SAFETY: the value is initialised, and the arena is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), shape.value_len) }
    }

    /// Takes the payload of a large entry, which must then be given another or be freed.
    pub fn take_payload(&mut self) -> Payload {
        debug_assert!(self.get().is_large());
        // SAFETY: the address is one that `lay_out_payload` wrote; the caller replaces it.
        unsafe {
            let bits = self.block.add(self.get().body_at()).cast::<u64>().read();
            Payload::from_bits(bits)
        }
    }

    /// Changes the length of a large entry's value in place. It must stay large.
    pub fn resize_payload(&mut self, value_len: usize) {
        let old = self.get().shape();
        let new = Shape { value_len, ..old };
        debug_assert!(old.is_large() && new.is_large());
        let key = self.get().key().to_vec();
        let payload = self.take_payload().resize(old.payload_len(), new.payload_len());
        self.lay_out_payload(new, payload);
        self.write_key(new, &key);
        if value_len > old.value_len {
            self.zero_value(new, old.value_len);
        }
    }

    /// Changes the length of the value of an entry whose block holds the new length as well.
    #[inline]
    pub fn set_value_len(&mut self, value_len: usize) {
        let old = self.get().shape();
        self.set_bits(VALUE_LEN_SHIFT, LEN_MASK, value_len as u64);
        if value_len > old.value_len {
            self.zero_value(Shape { value_len, ..old }, old.value_len);
        }
    }
}

impl EntryRef<'_> {
    /// For [`EntryView::copy_history`].
    pub(super) fn history(self) -> u64 {
        self.header()
    }
}

impl std::fmt::Debug for EntryRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &String::from_utf8_lossy(self.key()))
            .field("value_len", &self.shape().value_len)
            .field("expiry", &self.expiry())
            .finish()
    }
}

#[cfg(test)]
mod tests;
