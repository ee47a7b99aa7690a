//! How a key and its value lie in a block of the arena.
//!
//! ```text
//! offset 0   header   u64   see below; never 0, which marks a free block
//!        8   previous u32   the neighbours in the eviction queue
//!       12   next     u32
//!       16   [expiry: Unix milliseconds, u64]
//!        .   key     its bytes; or, where it is too long, the address u64 and length u32 of its payload
//!        .   value   its bytes; or the address u64 and length u32 of its payload; or an object's
//!                    address u64
//!        .   slack, for a value that grows
//! ```
//!
//! A hash whose fields expire has a place for an expiry even if the entry has none ([`NEVER`]): so its
//! block is among those that the sweep looks at.
//!
//! Addresses are not aligned. A block's class tells its size and so the slack; an entry that was
//! written whole has the smallest class that it fits into.
//!
//! | header bits | |
//! |---|---|
//! | 0-2 | kind |
//! | 3-4 | encoding, among those of the kind |
//! | 5 | has a place for an expiry |
//! | 6-7 | queue, from 1 |
//! | 8-15 | access statistics of the eviction policy |
//! | 16-28 | length of the key; all ones: it is a payload |
//! | 29-41 | length of the value; all ones: it is a payload; one less: an object |
//! | 42-63 | second of the last access, modulo 2^22 (48 days) |
//!
//! Integers are kept as the fewest bytes of their two's complement, the lowest first.

mod block;
mod value;
mod view;

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::RangeInclusive;
use std::ptr::NonNull;

use super::arena::{Arena, BLOCK_BYTES_MAX, Handle, prefetch_line};
use super::large::Payload;
use super::value::packed::Packed;
use super::value::{Collection, Content, Hash, ObjectRef, OwnedValue, fields_due_of_run};
use super::{UnixMs, WrongType};

pub(super) use block::{OBJECT_BYTES, PAYLOAD_BYTES, fits_inline, key_bytes_of};
use value::integer_from;
pub use value::{Encoding, Kind, StoredValue, Text};
pub(super) use view::EntryView;

const HEADER_BYTES: usize = 16;
const EXPIRY_BYTES: usize = 8;

/// In the place of an expiry: there is none.
pub(super) const NEVER: UnixMs = UnixMs::MAX;

const KIND_MASK: u64 = 0b111;
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
/// In the place of a key's or a value's length: it is a payload.
const PAYLOAD: u64 = LEN_MASK;
/// In the place of a value's length: it is an object.
const OBJECT: u64 = LEN_MASK - 1;

/// How long values are of which others become holders.
const SHARED_BYTES: RangeInclusive<usize> = 16 * 1024..=4 * 1024 * 1024;

/// An entry to look at.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    block: NonNull<u8>,
    arena: PhantomData<&'a Arena>,
}

/// A collection to read.
#[derive(Debug)]
pub enum CollectionRef<'a, T> {
    /// One packed run of bytes.
    Packed(&'a [u8]),
    Object(&'a T),
}

impl<T> Clone for CollectionRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for CollectionRef<'_, T> {}

/// What an entry holds outside of its block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outside {
    pub bytes: usize,
    /// Of these, what is in mappings of its own.
    pub mapped_bytes: usize,
}

impl Outside {
    fn of_payload(payload: &Payload) -> Outside {
        let bytes = payload.held_bytes();
        Outside { bytes, mapped_bytes: if payload.is_mapped() { bytes } else { 0 } }
    }

    fn plus(self, other: Outside) -> Outside {
        let mapped_bytes = self.mapped_bytes + other.mapped_bytes;
        Outside { bytes: self.bytes + other.bytes, mapped_bytes }
    }
}

impl<'a> EntryRef<'a> {
    #[inline]
    fn header(self) -> u64 {
        // SAFETY: a block begins with its header.
        unsafe { self.block.cast().read() }
    }

    #[inline]
    fn body_at(self) -> usize {
        HEADER_BYTES + if self.header() & EXPIRES != 0 { EXPIRY_BYTES } else { 0 }
    }

    #[inline]
    fn key_field(self) -> u64 {
        self.header() >> KEY_LEN_SHIFT & LEN_MASK
    }

    #[inline]
    fn value_field(self) -> u64 {
        self.header() >> VALUE_LEN_SHIFT & LEN_MASK
    }

    /// Which of the arena's blocks it is.
    pub(super) fn handle_in(self, arena: &Arena) -> Handle {
        arena.handle_of(self.block)
    }

    /// Bytes of the key's part of the block.
    #[inline]
    pub(super) fn key_bytes(self) -> usize {
        match self.key_field() {
            PAYLOAD => PAYLOAD_BYTES,
            len => len as usize,
        }
    }

    /// Bytes of the value's part of the block, slack excluded.
    #[inline]
    pub(super) fn value_bytes(self) -> usize {
        match self.value_field() {
            PAYLOAD => PAYLOAD_BYTES,
            OBJECT => OBJECT_BYTES,
            len => len as usize,
        }
    }

    /// The payload that is named at this offset, to look at.
    ///
    /// # Safety
    /// The header must say that it is there.
    unsafe fn payload_at(self, offset: usize) -> ManuallyDrop<Payload> {
        // SAFETY: the caller's; a payload's address is not null, and the entry stays its holder.
        unsafe {
            let at = self.block.add(offset);
            let bits = at.cast::<u64>().read_unaligned();
            let start = std::ptr::with_exposed_provenance_mut(bits as usize);
            let len = at.add(8).cast::<u32>().read_unaligned();
            let start = NonNull::new_unchecked(start);
            ManuallyDrop::new(Payload::from_start(start, len as usize))
        }
    }

    /// Another holder of the value, if it is a string and so large that it had better not be
    /// copied, yet not so large that freeing it, which may be left to that holder, takes long.
    pub fn share_large(self) -> Option<Payload> {
        if !self.is_payload() || self.kind() != Kind::String {
            return None;
        }
        // SAFETY: the header says that it is there.
        let payload = unsafe { self.payload_at(self.value_at()) };
        SHARED_BYTES.contains(&payload.len()).then(|| payload.share())
    }

    #[inline]
    pub fn key(self) -> &'a [u8] {
        // SAFETY: the key was written when the entry was laid out; the arena is borrowed.
        unsafe {
            let (start, len) = match self.key_field() {
                PAYLOAD => self.payload_at(self.body_at()).start_and_len(),
                len => (self.block.add(self.body_at()), len as usize),
            };
            std::slice::from_raw_parts(start.as_ptr(), len)
        }
    }

    #[inline]
    fn value_at(self) -> usize {
        self.body_at() + self.key_bytes()
    }

    /// Where the bytes lie of a value that is inline or a payload, and how many they are; of an
    /// object none.
    #[inline]
    fn value_start(self) -> (NonNull<u8>, usize) {
        // SAFETY: the value's part of the block, or the payload that it names.
        unsafe {
            let at = self.block.add(self.value_at());
            match self.value_field() {
                PAYLOAD => self.payload_at(self.value_at()).start_and_len(),
                OBJECT => (at, 0),
                len => (at, len as usize),
            }
        }
    }

    /// The bytes of a value that is inline or a payload; of an object none.
    #[inline]
    pub(super) fn stored_value(self) -> &'a [u8] {
        let (start, len) = self.value_start();
        // SAFETY: the value's bytes are initialised; the arena is borrowed.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }
    }

    #[inline]
    pub(super) fn is_inline(self) -> bool {
        self.value_field() < OBJECT
    }

    #[inline]
    pub(super) fn is_payload(self) -> bool {
        self.value_field() == PAYLOAD
    }

    #[inline]
    pub(super) fn is_object(self) -> bool {
        self.value_field() == OBJECT
    }

    /// Whether the entry holds anything outside of its block.
    #[inline]
    pub(super) fn has_outside(self) -> bool {
        !self.is_inline() || self.key_field() == PAYLOAD
    }

    #[inline]
    pub(super) fn outside(self) -> Outside {
        if self.has_outside() { self.walk_outside() } else { Outside::default() }
    }

    fn walk_outside(self) -> Outside {
        let key = match self.key_field() {
            // SAFETY: the header says that it is there.
            PAYLOAD => Outside::of_payload(&*unsafe { self.payload_at(self.body_at()) }),
            _ => Outside::default(),
        };
        let value = match self.value_field() {
            // SAFETY: as above.
            PAYLOAD => Outside::of_payload(&*unsafe { self.payload_at(self.value_at()) }),
            _ => {
                let bytes = self.object_ref().map_or(0, ObjectRef::heap_bytes);
                Outside { bytes, mapped_bytes: 0 }
            }
        };
        key.plus(value)
    }

    #[inline]
    fn object_ref(self) -> Option<ObjectRef<'a>> {
        // SAFETY: the header says that an object's address is there; it lives as its entry does.
        self.is_object().then(|| unsafe { ObjectRef::from_bits(self.kind(), self.object_bits()) })
    }

    /// # Safety
    /// The value must be an object.
    unsafe fn object_bits(self) -> u64 {
        // SAFETY: the caller's.
        unsafe { self.block.add(self.value_at()).cast::<u64>().read_unaligned() }
    }

    /// The bytes of a string value.
    #[inline]
    pub fn as_string(self) -> Result<Text<'a>, WrongType> {
        if self.kind() != Kind::String {
            return Err(WrongType);
        }
        if self.encoding() == Encoding::Int {
            return Ok(Text::of_integer(integer_from(self.stored_value())));
        }
        Ok(Text::Stored(self.stored_value()))
    }

    /// The value of a string that is kept as an integer.
    pub fn integer(self) -> Option<i64> {
        (self.encoding() == Encoding::Int).then(|| integer_from(self.stored_value()))
    }

    /// A value of this type of collection.
    #[inline]
    pub fn collection<T: Collection>(self) -> Result<CollectionRef<'a, T>, WrongType> {
        if self.kind() != T::KIND {
            return Err(WrongType);
        }
        if !self.is_object() {
            return Ok(CollectionRef::Packed(self.stored_value()));
        }
        // SAFETY: objects of this kind are `T`s, and they live as their entries do.
        Ok(CollectionRef::Object(unsafe {
            &*std::ptr::with_exposed_provenance(self.object_bits() as usize)
        }))
    }

    /// Bytes of the value as it is kept: its own or, of an object, all that it holds.
    #[inline]
    pub fn value_size(self) -> usize {
        self.object_ref().map_or(self.stored_value().len(), ObjectRef::heap_bytes)
    }

    /// Where the entry is at the moment.
    pub fn address(self) -> *const u8 {
        self.block.as_ptr()
    }

    /// A copy of the value, whatever its form.
    pub(super) fn owned_value(self) -> OwnedValue {
        let content = match self.object_ref() {
            Some(object) => Content::Object(object.to_object()),
            None if self.is_payload() => Content::Payload(Payload::copy_of(self.stored_value())),
            None => Content::Bytes(self.stored_value().into()),
        };
        OwnedValue { kind: self.kind(), encoding: self.encoding(), content }
    }

    #[inline]
    pub fn kind(self) -> Kind {
        Kind::from_bits(self.header() & KIND_MASK)
    }

    #[inline]
    pub fn encoding(self) -> Encoding {
        Encoding::from_bits(self.kind(), self.header() >> ENCODING_SHIFT & 0b11)
    }

    /// Whether there is a place for an expiry.
    #[inline]
    pub(super) fn expires(self) -> bool {
        self.header() & EXPIRES != 0
    }

    /// What the place for an expiry holds, if there is one: perhaps [`NEVER`].
    #[inline]
    pub(super) fn expiry_place(self) -> Option<UnixMs> {
        // SAFETY: the flag says that the field is there.
        self.expires().then(|| unsafe { self.block.add(HEADER_BYTES).cast::<u64>().read() })
    }

    #[inline]
    pub fn expiry(self) -> Option<UnixMs> {
        self.expiry_place().filter(|at| *at != NEVER)
    }

    #[inline]
    pub fn is_expired(self, now: UnixMs) -> bool {
        self.expiry_place().is_some_and(|at| at <= now)
    }

    /// When the first of a hash's fields is due, if one expires.
    #[inline]
    pub fn fields_due(self) -> Option<UnixMs> {
        if self.kind() != Kind::Hash {
            return None;
        }
        match self.object_ref() {
            Some(object) => object.fields_due(),
            None => fields_due_of_run(self.encoding(), self.stored_value()),
        }
    }

    /// Whether the value is a hash without a field: only as long as it is being changed.
    pub(super) fn is_empty_hash(self) -> bool {
        match self.collection::<Hash>() {
            Ok(CollectionRef::Packed(run)) => Packed::new(run).is_empty(),
            Ok(CollectionRef::Object(hash)) => hash.is_empty(),
            Err(WrongType) => false,
        }
    }

    /// When the sweep has something to drop: the entry, or fields of it.
    #[inline]
    pub(super) fn due(self) -> Option<UnixMs> {
        let expiry = self.expiry();
        match self.fields_due() {
            Some(due) => Some(expiry.map_or(due, |at| at.min(due))),
            None => expiry,
        }
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

impl std::fmt::Debug for EntryRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &String::from_utf8_lossy(self.key()))
            .field("kind", &self.kind())
            .field("encoding", &self.encoding())
            .field("value_len", &self.stored_value().len())
            .field("expiry", &self.expiry())
            .finish()
    }
}

#[cfg(test)]
mod tests;
