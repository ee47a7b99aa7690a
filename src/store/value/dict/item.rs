//! One item: what it is, and the bytes that it is stored as.
//!
//! ```text
//! plain         key
//! with a head   length of the key × 2 + whether it expires, as LEB128
//!               when it expires: Unix ms, u64, little endian; only if it does
//!               key, value
//! ```
//!
//! What is plain has neither a value nor an expiry, and so costs nothing beyond its key.

use crate::store::UnixMs;

/// A key with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub expiry: Option<UnixMs>,
}

const EXPIRY_BYTES: usize = size_of::<UnixMs>();
/// A `u64` as LEB128, and an expiry.
const HEAD_BYTES_MAX: usize = 10 + EXPIRY_BYTES;

impl<'a> Item<'a> {
    /// An item of a set.
    pub fn of_key(key: &'a [u8]) -> Item<'a> {
        Item { key, value: b"", expiry: None }
    }

    pub(super) fn is_plain(&self) -> bool {
        self.value.is_empty() && self.expiry.is_none()
    }

    pub(super) fn encoded(self) -> EncodedItem<'a> {
        EncodedItem { head: Head::of(&self), key: self.key, value: self.value }
    }

    pub(super) fn decode(bytes: &'a [u8], is_plain: bool) -> Item<'a> {
        if is_plain {
            return Item::of_key(bytes);
        }
        let (length, rest) = read_leb128(bytes);
        let (expiry, rest) = match length & 1 {
            0 => (None, rest),
            _ => match rest.split_first_chunk() {
                Some((expiry, rest)) => (Some(UnixMs::from_le_bytes(*expiry)), rest),
                None => (None, rest),
            },
        };
        let (key, value) = rest.split_at((length >> 1) as usize);
        Item { key, value, expiry }
    }
}

/// An item about to be stored.
pub(super) struct EncodedItem<'a> {
    head: Head,
    key: &'a [u8],
    value: &'a [u8],
}

impl EncodedItem<'_> {
    pub(super) fn is_plain(&self) -> bool {
        self.head.len == 0
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.head.len) + self.key.len() + self.value.len()
    }

    /// `out` is as long as the item.
    pub(super) fn write(&self, out: &mut [u8]) {
        let (head, rest) = out.split_at_mut(usize::from(self.head.len));
        let (key, value) = rest.split_at_mut(self.key.len());
        head.copy_from_slice(self.head.bytes());
        key.copy_from_slice(self.key);
        value.copy_from_slice(self.value);
    }

    pub(super) fn to_box(&self) -> Box<[u8]> {
        [self.head.bytes(), self.key, self.value].concat().into_boxed_slice()
    }
}

struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    len: u8,
}

impl Head {
    fn of(item: &Item<'_>) -> Head {
        let mut head = Head { bytes: [0; HEAD_BYTES_MAX], len: 0 };
        if item.is_plain() {
            return head;
        }
        let mut length = (item.key.len() as u64) << 1 | u64::from(item.expiry.is_some());
        while length > 0x7F {
            head.push(&[length as u8 | 0x80]);
            length >>= 7;
        }
        head.push(&[length as u8]);
        if let Some(expiry) = item.expiry {
            head.push(&expiry.to_le_bytes());
        }
        head
    }

    fn push(&mut self, bytes: &[u8]) {
        let at = usize::from(self.len);
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Reads a number, and gives what is behind it.
#[inline]
fn read_leb128(bytes: &[u8]) -> (u64, &[u8]) {
    let mut number = 0;
    for (n, &byte) in bytes.iter().enumerate() {
        number |= u64::from(byte & 0x7F) << (7 * n);
        if byte & 0x80 == 0 {
            return (number, &bytes[n + 1..]);
        }
    }
    (0, &[])
}
