//! One key with its value in one allocation.
//!
//! ```text
//! offset 0  flags      u8   bit 0-1 encoding, bit 2 has an expiry, bit 3 long key, bit 4-7 kind
//!        1  aux        u8   access statistics, kept for eviction
//!        2  key_len    u16  0 when the key is long
//!        4  value_len  u32
//!        8  [long key: key_len u64]
//!        .  [expiry: Unix milliseconds, u64]
//!        .  key bytes, value bytes
//! ```
//!
//! The block's size is always `good_size` of what it holds, so it needs no field of its own.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ptr::NonNull;

use super::memory::good_size;
use super::{UnixMs, WrongType};

const HEADER_BYTES: usize = 8;
const EXPIRY_BYTES: usize = 8;
const LONG_KEY_BYTES: usize = 8;
const ALIGN: usize = 8;

const ENCODING_MASK: u8 = 0b11;
const HAS_EXPIRY: u8 = 1 << 2;
const LONG_KEY: u8 = 1 << 3;
const KIND_SHIFT: u8 = 4;

/// The kind of a value, as TYPE names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
        }
    }
}

/// How Redis would store a string; what OBJECT ENCODING reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The decimal digits of an `i64`.
    Int,
    /// Up to 44 bytes.
    EmbStr,
    Raw,
}

/// Redis's OBJ_ENCODING_EMBSTR_SIZE_LIMIT.
const EMBSTR_BYTES_MAX: usize = 44;

impl Encoding {
    /// What Redis chooses for a value given by a client (SET and its like).
    pub fn of_value(value: &[u8]) -> Self {
        let first = value.first().copied().unwrap_or(0);
        if (first.is_ascii_digit() || first == b'-')
            && value.len() <= 20
            && crate::text::number::parse_i64(value).is_some()
        {
            return Encoding::Int;
        }
        Self::of_text(value)
    }

    /// What Redis chooses for a string that it does not try to read as an integer.
    pub fn of_text(value: &[u8]) -> Self {
        if value.len() <= EMBSTR_BYTES_MAX { Encoding::EmbStr } else { Encoding::Raw }
    }

    pub fn name(self) -> &'static str {
        match self {
            Encoding::Int => "int",
            Encoding::EmbStr => "embstr",
            Encoding::Raw => "raw",
        }
    }
}

/// An owned entry: a thin pointer to its one allocation.
pub struct Entry(NonNull<u8>);

// SAFETY: an entry owns its block alone; nothing in it is tied to a thread.
unsafe impl Send for Entry {}

/// Sizes and offsets of one block.
#[derive(Clone, Copy)]
struct Shape {
    long_key: bool,
    has_expiry: bool,
    key_len: usize,
    value_len: usize,
}

impl Shape {
    fn expiry_at(self) -> usize {
        HEADER_BYTES + if self.long_key { LONG_KEY_BYTES } else { 0 }
    }

    fn key_at(self) -> usize {
        self.expiry_at() + if self.has_expiry { EXPIRY_BYTES } else { 0 }
    }

    fn value_at(self) -> usize {
        self.key_at() + self.key_len
    }

    fn block_bytes(self) -> usize {
        good_size(self.value_at() + self.value_len)
    }

    fn layout(self) -> Layout {
        Layout::from_size_align(self.block_bytes(), ALIGN)
            .expect("an entry is far below isize::MAX")
    }
}

impl Entry {
    /// A string entry. `value` is the concatenation of the parts.
    ///
    /// # Panics
    /// If the value is 4 GiB or longer; `proto-max-bulk-len` keeps values below that.
    pub fn string(key: &[u8], value: &[u8], encoding: Encoding, expiry: Option<UnixMs>) -> Entry {
        let mut entry = Entry::allocate(key, value.len(), expiry);
        entry.set_flags(Kind::String, encoding);
        entry.value_mut().copy_from_slice(value);
        entry
    }

    pub fn key(&self) -> &[u8] {
        let shape = self.shape();
        // SAFETY: the key's bytes lie within the block and were written when it was made.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(shape.key_at()), shape.key_len) }
    }

    /// The bytes of a string value.
    pub fn as_string(&self) -> Result<&[u8], WrongType> {
        match self.kind() {
            Kind::String => Ok(self.value()),
        }
    }

    pub fn as_string_mut(&mut self) -> Result<&mut [u8], WrongType> {
        match self.kind() {
            Kind::String => Ok(self.value_mut()),
        }
    }

    pub fn kind(&self) -> Kind {
        match self.flags() >> KIND_SHIFT {
            0 => Kind::String,
            other => unreachable!("kind {other} is never stored"),
        }
    }

    pub fn encoding(&self) -> Encoding {
        match self.flags() & ENCODING_MASK {
            0 => Encoding::Int,
            1 => Encoding::EmbStr,
            _ => Encoding::Raw,
        }
    }

    pub fn expiry(&self) -> Option<UnixMs> {
        let shape = self.shape();
        // SAFETY: the flag says that the field is there; it may be read unaligned.
        shape.has_expiry.then(|| unsafe {
            self.0.as_ptr().add(shape.expiry_at()).cast::<u64>().read_unaligned()
        })
    }

    #[inline]
    pub fn is_expired(&self, now: UnixMs) -> bool {
        self.flags() & HAS_EXPIRY != 0 && self.expiry().is_some_and(|at| at <= now)
    }

    /// Asks the processor for the first two cache lines: header, key and a short value.
    #[inline]
    pub fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch has no effect but on the cache, whatever the address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let start = self.0.as_ptr().cast::<i8>();
            _mm_prefetch(start, _MM_HINT_T0);
            _mm_prefetch(start.wrapping_add(64), _MM_HINT_T0);
        }
    }

    /// Bytes of the allocator that this entry holds.
    pub fn allocated_bytes(&self) -> usize {
        self.shape().block_bytes()
    }

    /// Replaces the value; key and expiry stay.
    pub fn replace_string(&mut self, value: &[u8], encoding: Encoding) {
        self.resize_value(value.len());
        self.set_flags(Kind::String, encoding);
        self.value_mut().copy_from_slice(value);
    }

    /// Replaces value and expiry; the key stays.
    #[inline]
    pub fn replace_string_and_expiry(
        &mut self,
        value: &[u8],
        encoding: Encoding,
        expiry: Option<UnixMs>,
    ) {
        if self.shape().has_expiry == expiry.is_some() {
            self.replace_string(value, encoding);
            self.set_expiry(expiry);
            return;
        }
        let mut entry = Entry::string(self.key(), value, encoding, expiry);
        entry.set_aux(self.aux());
        *self = entry;
    }

    /// Makes the string `len` bytes long, what is new of it zero, its encoding raw.
    pub fn resize_string(&mut self, len: usize) {
        let before = self.shape().value_len;
        self.resize_value(len);
        self.set_flags(Kind::String, Encoding::Raw);
        if len > before {
            self.value_mut()[before..].fill(0);
        }
    }

    pub fn set_expiry(&mut self, expiry: Option<UnixMs>) {
        let shape = self.shape();
        if let (true, Some(at)) = (shape.has_expiry, expiry) {
            // SAFETY: the flag says that the field is there.
            unsafe {
                self.0.as_ptr().add(shape.expiry_at()).cast::<u64>().write_unaligned(at);
            }
            return;
        }
        if shape.has_expiry == expiry.is_some() {
            return;
        }
        let mut moved = Entry::allocate(self.key(), shape.value_len, expiry);
        moved.set_flags(self.kind(), self.encoding());
        moved.set_aux(self.aux());
        moved.value_mut().copy_from_slice(self.value());
        *self = moved;
    }

    /// The same value and expiry under another key.
    pub fn with_key(&self, key: &[u8]) -> Entry {
        let mut copy = Entry::allocate(key, self.shape().value_len, self.expiry());
        copy.set_flags(self.kind(), self.encoding());
        copy.value_mut().copy_from_slice(self.value());
        copy
    }

    fn allocate(key: &[u8], value_len: usize, expiry: Option<UnixMs>) -> Entry {
        let long_key = key.len() > usize::from(u16::MAX);
        let shape = Shape { long_key, has_expiry: expiry.is_some(), key_len: key.len(), value_len };
        let stored_len = u32::try_from(value_len).expect("values are shorter than 4 GiB");
        // SAFETY: the layout is not of size zero; every field written lies within the block, as
        // `Shape` computes both from the same lengths. Value bytes are zeroed, so that the block
        // is initialised as far as slices will ever reach.
        unsafe {
            let Some(block) = NonNull::new(alloc(shape.layout())) else {
                handle_alloc_error(shape.layout());
            };
            let start = block.as_ptr();
            let flags =
                if long_key { LONG_KEY } else { 0 } | if expiry.is_some() { HAS_EXPIRY } else { 0 };
            start.write(flags);
            start.add(1).write(0);
            start.add(2).cast::<u16>().write(if long_key { 0 } else { key.len() as u16 });
            start.add(4).cast::<u32>().write(stored_len);
            if long_key {
                start.add(HEADER_BYTES).cast::<u64>().write(key.len() as u64);
            }
            if let Some(at) = expiry {
                start.add(shape.expiry_at()).cast::<u64>().write(at);
            }
            std::ptr::copy_nonoverlapping(key.as_ptr(), start.add(shape.key_at()), key.len());
            start.add(shape.value_at()).write_bytes(0, value_len);
            Entry(block)
        }
    }

    /// Changes the length of the value, keeping what fits of it; new bytes are zero.
    fn resize_value(&mut self, len: usize) {
        let old = self.shape();
        let new = Shape { value_len: len, ..old };
        let stored_len = u32::try_from(len).expect("values are shorter than 4 GiB");
        // SAFETY: the block was allocated with `old`'s layout, whose alignment is `new`'s; bytes
        // that become part of the value are zeroed before a slice can reach them.
        unsafe {
            if new.block_bytes() != old.block_bytes() {
                let moved = realloc(self.0.as_ptr(), old.layout(), new.block_bytes());
                let Some(moved) = NonNull::new(moved) else { handle_alloc_error(new.layout()) };
                self.0 = moved;
            }
            let start = self.0.as_ptr();
            start.add(4).cast::<u32>().write(stored_len);
            if len > old.value_len {
                start.add(old.value_at() + old.value_len).write_bytes(0, len - old.value_len);
            }
        }
    }

    #[inline]
    fn shape(&self) -> Shape {
        // SAFETY: the header was written when the block was made.
        unsafe {
            let start = self.0.as_ptr();
            let flags = start.read();
            let long_key = flags & LONG_KEY != 0;
            let key_len = if long_key {
                start.add(HEADER_BYTES).cast::<u64>().read() as usize
            } else {
                usize::from(start.add(2).cast::<u16>().read())
            };
            Shape {
                long_key,
                has_expiry: flags & HAS_EXPIRY != 0,
                key_len,
                value_len: start.add(4).cast::<u32>().read() as usize,
            }
        }
    }

    fn value(&self) -> &[u8] {
        let shape = self.shape();
        // SAFETY: the value's bytes lie within the block and are initialised.
        unsafe {
            std::slice::from_raw_parts(self.0.as_ptr().add(shape.value_at()), shape.value_len)
        }
    }

    fn value_mut(&mut self) -> &mut [u8] {
        let shape = self.shape();
        // SAFETY: as in `value`; the entry is borrowed mutably, so nothing else refers to it.
        unsafe {
            std::slice::from_raw_parts_mut(self.0.as_ptr().add(shape.value_at()), shape.value_len)
        }
    }

    #[inline]
    fn flags(&self) -> u8 {
        // SAFETY: the header was written when the block was made.
        unsafe { self.0.as_ptr().read() }
    }

    fn set_flags(&mut self, kind: Kind, encoding: Encoding) {
        let kept = self.flags() & (HAS_EXPIRY | LONG_KEY);
        let flags = kept | (kind as u8) << KIND_SHIFT | encoding as u8;
        // SAFETY: the header is within the block.
        unsafe { self.0.as_ptr().write(flags) };
    }

    fn aux(&self) -> u8 {
        // SAFETY: the header was written when the block was made.
        unsafe { self.0.as_ptr().add(1).read() }
    }

    fn set_aux(&mut self, aux: u8) {
        // SAFETY: the header is within the block.
        unsafe { self.0.as_ptr().add(1).write(aux) };
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: the block was allocated with this layout (see `resize_value`) and is owned here.
        unsafe { dealloc(self.0.as_ptr(), self.shape().layout()) };
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &String::from_utf8_lossy(self.key()))
            .field("value_len", &self.shape().value_len)
            .field("expiry", &self.expiry())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(entry: &Entry, key: &[u8], value: &[u8], expiry: Option<UnixMs>) {
        assert_eq!(entry.key(), key);
        assert_eq!(entry.as_string(), Ok(value));
        assert_eq!(entry.expiry(), expiry);
    }

    #[test]
    fn holds_keys_and_values_of_any_length() {
        for key_len in [0, 1, 16, 65_535, 65_536, 100_000] {
            for value_len in [0, 1, 7, 8, 100, 70_000] {
                let (key, value) = (vec![b'k'; key_len], vec![b'v'; value_len]);
                for expiry in [None, Some(u64::MAX)] {
                    let entry = Entry::string(&key, &value, Encoding::Raw, expiry);
                    check(&entry, &key, &value, expiry);
                    let copy = entry.with_key(b"other");
                    check(&copy, b"other", &value, expiry);
                }
            }
        }
    }

    #[test]
    fn grows_shrinks_and_takes_an_expiry() {
        let mut entry = Entry::string(b"key", b"12", Encoding::Int, None);
        assert_eq!(entry.encoding(), Encoding::Int);
        for len in [0usize, 1, 40, 39, 5_000, 4_999, 3, 100_000, 10] {
            let before = entry.as_string().unwrap().to_vec();
            entry.resize_string(len);
            let mut expected = before;
            expected.resize(len, 0);
            check(&entry, b"key", &expected, None);
            let value: Vec<u8> = (0..len).map(|i| i as u8).collect();
            entry.replace_string(&value, Encoding::Raw);
            check(&entry, b"key", &value, None);
            entry.set_expiry(Some(7));
            check(&entry, b"key", &value, Some(7));
            entry.set_expiry(Some(8));
            assert!(entry.is_expired(8) && !entry.is_expired(7));
            entry.set_expiry(None);
            check(&entry, b"key", &value, None);
            for expiry in [None, Some(9), Some(10), None] {
                entry.replace_string_and_expiry(&value[..len / 2], Encoding::Raw, expiry);
                check(&entry, b"key", &value[..len / 2], expiry);
            }
            entry.replace_string(&value, Encoding::Raw);
        }
    }
}
