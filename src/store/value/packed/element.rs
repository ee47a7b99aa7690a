//! How one element lies in a run: an encoding that tells kind and length, the data, and the length
//! of both once more ("back length"), seven bits a byte, to be read from its end.
//!
//! ```text
//! 0xxxxxxx                  0 to 127
//! 10llllll data             up to 63 bytes
//! 110xxxxx xxxxxxxx         integer of 13 bits
//! 1110llll llllllll data    up to 4,095 bytes
//! 11110000 llll data        longer ones, their length in 4 bytes, little endian
//! 11110001 to 11110100      integers of 16, 24, 32, 64 bits, little endian
//! ```

use crate::text::number::{Digits, format_i64, parse_i64};

const BYTES_32: u8 = 0xF0;
const INTEGER_16: u8 = 0xF1;
const INTEGER_24: u8 = 0xF2;
const INTEGER_32: u8 = 0xF3;
const INTEGER_64: u8 = 0xF4;

/// One element. What is the canonical decimal form of a 64-bit integer is kept as that integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
}

impl<'a> From<&'a [u8]> for Element<'a> {
    /// In the form it is kept in.
    #[inline]
    fn from(bytes: &'a [u8]) -> Element<'a> {
        match parse_i64(bytes) {
            Some(integer) => Element::Integer(integer),
            None => Element::Bytes(bytes),
        }
    }
}

impl<'a> Element<'a> {
    /// As text, without an allocation: an integer's digits are written into the buffer.
    #[inline]
    pub fn text<'t>(self, digits: &'t mut Digits) -> &'t [u8]
    where
        'a: 't,
    {
        match self {
            Element::Integer(integer) => format_i64(integer, digits),
            Element::Bytes(bytes) => bytes,
        }
    }

    /// As text of its own.
    pub fn to_vec(self) -> Vec<u8> {
        self.text(&mut Digits::default()).to_vec()
    }

    #[inline]
    pub fn matches(self, needle: &Needle<'_>) -> bool {
        match self {
            Element::Integer(integer) => needle.integer == Some(integer),
            Element::Bytes(bytes) => bytes == needle.bytes,
        }
    }

    /// Bytes of its entry.
    pub fn entry_bytes(self) -> usize {
        let len = self.encoded_bytes();
        len + back_length_bytes(len)
    }

    /// Bytes of its encoding and data.
    fn encoded_bytes(self) -> usize {
        match self {
            Element::Integer(integer) => match integer {
                0..=127 => 1,
                -4096..=4095 => 2,
                -0x8000..=0x7FFF => 3,
                -0x80_0000..=0x7F_FFFF => 4,
                -0x8000_0000..=0x7FFF_FFFF => 5,
                _ => 9,
            },
            Element::Bytes(bytes) => match bytes.len() {
                len @ 0..=63 => 1 + len,
                len @ 64..=4095 => 2 + len,
                len => 5 + len,
            },
        }
    }

    /// Writes the entry, which fills `out`: [`Element::entry_bytes`] of it.
    pub(super) fn write(self, out: &mut [u8]) {
        let len = self.encoded_bytes();
        let (encoded, back_length) = out.split_at_mut(len);
        match self {
            Element::Integer(integer) => write_integer(integer, encoded),
            Element::Bytes(bytes) => {
                let (encoding, data) = encoded.split_at_mut(len - bytes.len());
                match encoding {
                    [one] => *one = 0x80 | bytes.len() as u8,
                    [high, low] => {
                        *high = 0xE0 | (bytes.len() >> 8) as u8;
                        *low = bytes.len() as u8;
                    }
                    [kind, length @ ..] => {
                        *kind = BYTES_32;
                        length.copy_from_slice(&(bytes.len() as u32).to_le_bytes());
                    }
                    [] => {}
                }
                data.copy_from_slice(bytes);
            }
        }
        write_back_length(len, back_length);
    }
}

fn write_integer(integer: i64, encoded: &mut [u8]) {
    match encoded {
        [one] => *one = integer as u8,
        [high, low] => {
            *high = 0xC0 | ((integer >> 8) as u8 & 0x1F);
            *low = integer as u8;
        }
        [kind, data @ ..] => {
            *kind = match data.len() {
                2 => INTEGER_16,
                3 => INTEGER_24,
                4 => INTEGER_32,
                _ => INTEGER_64,
            };
            let len = data.len();
            data.copy_from_slice(&integer.to_le_bytes()[..len]);
        }
        [] => {}
    }
}

/// Bytes that the back length of an entry takes. Redis gives 16,383 a third byte, and so for the
/// larger steps: the format's one peculiarity.
#[inline]
fn back_length_bytes(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// The most significant group comes first; all but it carry the high bit.
fn write_back_length(len: usize, out: &mut [u8]) {
    let mut rest = len;
    for (n, byte) in out.iter_mut().enumerate().rev() {
        *byte = (rest & 0x7F) as u8 | if n > 0 { 0x80 } else { 0 };
        rest >>= 7;
    }
}

/// Bytes of the whole entry that ends at `end`, as its back length says.
#[inline]
pub(super) fn length_before(bytes: &[u8], end: usize) -> Option<usize> {
    let before = bytes.get(..end)?;
    let &last = before.last()?;
    if last & 0x80 == 0 {
        return Some(usize::from(last) + 1);
    }
    let mut len = 0;
    for (n, &byte) in before.iter().rev().take(5).enumerate() {
        len |= usize::from(byte & 0x7F) << (7 * n);
        if byte & 0x80 == 0 {
            return Some(len + n + 1);
        }
    }
    None
}

/// The element at an offset, and where the entry behind it begins; nothing if that is no entry or
/// leaves the run.
#[inline]
pub(super) fn decode(bytes: &[u8], at: usize) -> Option<(Element<'_>, usize)> {
    let entry = bytes.get(at..)?;
    let &first = entry.first()?;
    // Branches, no table of lengths: a predicted branch lets the next entry be looked at before
    // this one's length has been loaded.
    if first & 0x80 == 0 {
        return within(bytes, at + 2, Element::Integer(i64::from(first)));
    }
    if first & 0x40 == 0 {
        let len = usize::from(first & 0x3F);
        return within(bytes, at + len + 2, Element::Bytes(entry.get(1..1 + len)?));
    }
    decode_longer(bytes, at)
}

#[inline]
fn within<'a>(bytes: &[u8], next: usize, element: Element<'a>) -> Option<(Element<'a>, usize)> {
    (next < bytes.len()).then_some((element, next))
}

fn decode_longer(bytes: &[u8], at: usize) -> Option<(Element<'_>, usize)> {
    let encoded = encoded_bytes_at(bytes, at)?;
    let element = match *bytes.get(at..at.checked_add(encoded)?)? {
        [high @ 0xC0..=0xDF, low] => {
            let shifted = i16::from_be_bytes([high << 3 | low >> 5, low << 3]);
            Element::Integer(i64::from(shifted >> 3))
        }
        [INTEGER_16, a, b] => Element::Integer(i64::from(i16::from_le_bytes([a, b]))),
        [INTEGER_24, a, b, c] => Element::Integer(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)),
        [INTEGER_32, a, b, c, d] => Element::Integer(i64::from(i32::from_le_bytes([a, b, c, d]))),
        [INTEGER_64, a, b, c, d, e, f, g, h] => {
            Element::Integer(i64::from_le_bytes([a, b, c, d, e, f, g, h]))
        }
        [0xE0..=0xEF, _, ref data @ ..] => Element::Bytes(data),
        [BYTES_32, _, _, _, _, ref data @ ..] => Element::Bytes(data),
        _ => return None,
    };
    within(bytes, at + encoded + back_length_bytes(encoded), element)
}

/// Bytes of encoding and data of the entry there, by its encoding alone.
fn encoded_bytes_at(bytes: &[u8], at: usize) -> Option<usize> {
    let entry = bytes.get(at..)?;
    Some(match *entry.first()? {
        0x00..=0x7F => 1,
        first @ 0x80..=0xBF => 1 + usize::from(first & 0x3F),
        0xC0..=0xDF => 2,
        first @ 0xE0..=0xEF => 2 + (usize::from(first & 0x0F) << 8 | usize::from(*entry.get(1)?)),
        BYTES_32 => {
            let length: [u8; 4] = entry.get(1..5)?.try_into().ok()?;
            (u32::from_le_bytes(length) as usize).checked_add(5)?
        }
        INTEGER_16 => 3,
        INTEGER_24 => 4,
        INTEGER_32 => 5,
        INTEGER_64 => 9,
        _ => return None,
    })
}

/// Where the entry behind this one begins.
#[inline]
pub(super) fn skip(bytes: &[u8], at: usize) -> Option<usize> {
    let &first = bytes.get(at)?;
    let next = if first & 0x80 == 0 {
        at + 2
    } else if first & 0x40 == 0 {
        at + usize::from(first & 0x3F) + 2
    } else {
        let encoded = encoded_bytes_at(bytes, at)?;
        at.checked_add(encoded)?.checked_add(back_length_bytes(encoded))?
    };
    (next < bytes.len()).then_some(next)
}

/// Where the entry behind this one begins, if this one is as it would be written.
pub(super) fn check(bytes: &[u8], at: usize) -> Option<usize> {
    let next = skip(bytes, at)?;
    let encoded = encoded_bytes_at(bytes, at)?;
    let mut back_length = [0; 5];
    let back_length = &mut back_length[..back_length_bytes(encoded)];
    write_back_length(encoded, back_length);
    (bytes.get(at + encoded..next)? == back_length).then_some(next)
}

/// An argument that elements are compared with, read once.
#[derive(Clone, Copy, Debug)]
pub struct Needle<'a> {
    bytes: &'a [u8],
    integer: Option<i64>,
}

impl<'a> Needle<'a> {
    pub fn new(bytes: &'a [u8]) -> Needle<'a> {
        Needle { bytes, integer: parse_i64(bytes) }
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// In the form that it is kept in.
    #[inline]
    pub fn element(&self) -> Element<'a> {
        match self.integer {
            Some(integer) => Element::Integer(integer),
            None => Element::Bytes(self.bytes),
        }
    }

    /// The integer whose canonical decimal form the argument is.
    pub fn integer(&self) -> Option<i64> {
        self.integer
    }
}
