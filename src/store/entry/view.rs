//! Changing an entry in place.

use super::super::value::Object;
use super::*;

/// An entry to change, within its block.
pub struct EntryView<'a> {
    block: NonNull<u8>,
    arena: PhantomData<&'a mut Arena>,
}

impl<'a> EntryView<'a> {
    #[inline]
    pub(super) fn new(block: NonNull<u8>) -> Self {
        EntryView { block, arena: PhantomData }
    }

    #[inline]
    pub(super) fn block(&self) -> NonNull<u8> {
        self.block
    }

    #[inline]
    pub fn get(&self) -> EntryRef<'_> {
        EntryRef { block: self.block, arena: PhantomData }
    }

    #[inline]
    pub(super) fn set_header(&mut self, header: u64) {
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
    pub fn set_kind(&mut self, kind: Kind, encoding: Encoding) {
        const MASK: u64 = 0b11 << ENCODING_SHIFT | KIND_MASK;
        self.set_bits(0, MASK, encoding.to_bits() << ENCODING_SHIFT | kind as u64);
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

    /// Only for entries that have a place for it.
    #[inline]
    pub fn write_expiry(&mut self, at: UnixMs) {
        debug_assert!(self.get().expires());
        // SAFETY: the flag says that the field is there.
        unsafe { self.block.add(HEADER_BYTES).cast::<u64>().write(at) }
    }

    /// The key, whose length the header has.
    #[inline]
    pub(super) fn write_key(&mut self, key: &[u8]) {
        debug_assert_eq!(self.get().key_bytes(), key.len());
        // SAFETY: the key's part of the block is this long.
        unsafe {
            let start = self.block.add(self.get().body_at());
            start.copy_from_nonoverlapping(NonNull::from(key).cast(), key.len());
        }
    }

    pub(super) fn write_key_payload(&mut self, key: Payload) {
        // SAFETY: a key that is a payload has this part of the block.
        unsafe { self.write_payload(self.get().body_at(), key) }
    }

    /// # Safety
    /// The block must have room for address and length at this offset.
    unsafe fn write_payload(&mut self, offset: usize, payload: Payload) {
        let len = u32::try_from(payload.len()).expect("strings are shorter than 4 GiB");
        // SAFETY: the caller's.
        unsafe {
            let at = self.block.add(offset);
            at.cast::<u64>().write_unaligned(payload.into_bits());
            at.add(8).cast::<u32>().write_unaligned(len);
        }
    }

    #[inline]
    fn set_value_field(&mut self, field: u64) {
        self.set_bits(VALUE_LEN_SHIFT, LEN_MASK, field);
    }

    /// Makes an inline value of the entry, which held neither payload nor object. The block must
    /// have room for it.
    #[inline]
    pub fn write_inline(&mut self, value: &[u8]) {
        debug_assert!(self.get().is_inline());
        self.set_value_field(value.len() as u64);
        // SAFETY: the block has room for so many bytes.
        unsafe {
            let start = self.block.add(self.get().value_at());
            start.copy_from_nonoverlapping(NonNull::from(value).cast(), value.len());
        }
    }

    /// Changes the length of an inline value; new bytes are zero. The block must have room for it.
    #[inline]
    pub fn set_inline_len(&mut self, len: usize) {
        debug_assert!(self.get().is_inline() && len < OBJECT as usize);
        let old = self.get().value_field() as usize;
        self.set_value_field(len as u64);
        if len > old {
            // SAFETY: the block has room for so many bytes.
            unsafe { self.block.add(self.get().value_at() + old).write_bytes(0, len - old) };
        }
    }

    /// Makes a payload the value of the entry, which held neither payload nor object. The block
    /// must have room for [`PAYLOAD_BYTES`].
    pub fn put_payload(&mut self, payload: Payload) {
        debug_assert!(self.get().is_inline());
        // SAFETY: the block has room for it.
        unsafe { self.write_payload(self.get().value_at(), payload) };
        self.set_value_field(PAYLOAD);
    }

    /// Takes the payload out and leaves an empty value behind.
    pub fn take_payload(&mut self) -> Option<Payload> {
        if !self.get().is_payload() {
            return None;
        }
        // SAFETY: the header says that a payload is there, and forgets it.
        let payload = unsafe { self.get().payload_at(self.get().value_at()) };
        self.set_value_field(0);
        Some(ManuallyDrop::into_inner(payload))
    }

    fn unshare_payload(&mut self) {
        if let Some(mut payload) = self.take_payload() {
            payload.unshare();
            self.put_payload(payload);
        }
    }

    /// Takes the value out and leaves an empty one behind.
    pub fn take_value(&mut self) -> OwnedValue {
        let (kind, encoding) = (self.get().kind(), self.get().encoding());
        let content = match (self.take_payload(), self.take_object()) {
            (Some(payload), _) => Content::Payload(payload),
            (None, Some(object)) => Content::Object(object),
            (None, None) => Content::Bytes(self.get().stored_value().into()),
        };
        OwnedValue { kind, encoding, content }
    }

    /// Takes the payload of a long key out. The entry has no key then, and is to be freed.
    pub fn take_key_payload(&mut self) -> Option<Payload> {
        if self.get().key_field() != PAYLOAD {
            return None;
        }
        // SAFETY: the header says that a payload is there, and forgets it.
        let payload = unsafe { self.get().payload_at(self.get().body_at()) };
        self.set_bits(KEY_LEN_SHIFT, LEN_MASK, 0);
        Some(ManuallyDrop::into_inner(payload))
    }

    /// Makes an object the value of the entry, which held neither payload nor object. The block
    /// must have room for [`OBJECT_BYTES`].
    pub fn put_object(&mut self, object: Object) {
        debug_assert!(self.get().is_inline());
        self.set_kind(object.kind(), object.encoding());
        // SAFETY: the block has room for it.
        unsafe {
            let at = self.block.add(self.get().value_at());
            at.cast::<u64>().write_unaligned(object.into_bits());
        }
        self.set_value_field(OBJECT);
    }

    /// Takes the object out and leaves an empty value behind.
    pub fn take_object(&mut self) -> Option<Object> {
        if !self.get().is_object() {
            return None;
        }
        // SAFETY: the header says that an object of this kind is there, and forgets it.
        let object = unsafe { Object::from_bits(self.get().kind(), self.get().object_bits()) };
        self.set_value_field(0);
        Some(object)
    }

    /// The object, if the value is one of this type.
    pub fn object_mut<T: Collection>(self) -> Option<&'a mut T> {
        let entry = self.get();
        if entry.kind() != T::KIND || !entry.is_object() {
            return None;
        }
        // SAFETY: objects of this kind are `T`s; the arena, and with it the object, is borrowed
        // mutably.
        Some(unsafe { &mut *std::ptr::with_exposed_provenance_mut(entry.object_bits() as usize) })
    }

    /// The bytes of an inline value or of a payload, which nobody else holds then; of an object
    /// none.
    #[inline]
    pub fn value_mut(mut self) -> &'a mut [u8] {
        if self.get().is_payload() {
            self.unshare_payload();
        }
        let (start, len) = self.get().value_start();
        // SAFETY: the value is initialised, and the arena is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) }
    }
}
