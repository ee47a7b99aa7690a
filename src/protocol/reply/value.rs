//! Values: replies for this process itself.
//!
//! A value is a tag and what the tag says follows: nothing, a number, or a length and so many bytes.
//! A collection is its header; its elements are the values behind it. So nothing is searched for
//! an end, numbers are never text, and a string is not copied to be looked at. No
//! integer, bulk string or array is longer than its RESP, whose bounds therefore hold.
//!
//! The bytes never leave the process. They are read with care all the same: of bytes that are not
//! whole values the reader makes nothing.

/// One value; for a collection, its header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Integer(i64),
    /// A status such as `OK`, without line breaks.
    Simple(&'a [u8]),
    /// An error's code and text, without line breaks.
    Error(&'a [u8]),
    Bulk(&'a [u8]),
    Null,
    /// The null of commands that otherwise answer an array; RESP2 tells them apart.
    NullArray,
    /// So many values follow.
    Array(usize),
    /// So many pairs of values follow.
    Map(usize),
    /// So many pairs follow, which RESP2 does not tell apart.
    Pairs(usize),
    /// One of them: two values follow.
    Pair,
    /// So many values follow, in no order.
    Set(usize),
    /// So many values follow, out of band.
    Push(usize),
    Double(f64),
    Boolean(bool),
    /// An integer of any size, in decimal.
    BigNumber(&'a [u8]),
    /// Text for people.
    Verbatim(&'a [u8]),
}

impl Value<'_> {
    /// How many values follow that belong to this one.
    pub fn elements(&self) -> usize {
        match *self {
            Value::Array(len) | Value::Set(len) | Value::Push(len) | Value::Pairs(len) => len,
            Value::Map(len) => len.saturating_mul(2),
            Value::Pair => 2,
            _ => 0,
        }
    }
}

/// Values one behind the other, as [`Encoding::Values`](super::Encoding::Values) writes them; read
/// from the front. A collection's elements follow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Values<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Values { rest: bytes }
    }

    /// Those not read yet.
    pub fn bytes(&self) -> &'a [u8] {
        self.rest
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The text, if what comes next is an error.
    pub fn error(&self) -> Option<&'a [u8]> {
        match { *self }.next()? {
            Value::Error(text) => Some(text),
            _ => None,
        }
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u64> {
        let [first] = self.take_array()?;
        Some(match first {
            TWO_BYTES => u16::from_le_bytes(self.take_array()?).into(),
            FOUR_BYTES => u32::from_le_bytes(self.take_array()?).into(),
            EIGHT_BYTES => u64::from_le_bytes(self.take_array()?),
            small => small.into(),
        })
    }

    fn len(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let len = self.len()?;
        self.take(len)
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    /// The next value without its elements, which are next. `None` at the end, and where what
    /// follows is no value; [`Values::is_empty`] tells which.
    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        let mut ahead = *self;
        let [tag] = ahead.take_array()?;
        let value = match tag {
            INTEGER => Value::Integer(unfold(ahead.number()?)),
            SIMPLE => Value::Simple(ahead.string()?),
            ERROR => Value::Error(ahead.string()?),
            BULK => Value::Bulk(ahead.string()?),
            NULL => Value::Null,
            NULL_ARRAY => Value::NullArray,
            ARRAY => Value::Array(ahead.len()?),
            MAP => Value::Map(ahead.len()?),
            SET => Value::Set(ahead.len()?),
            PUSH => Value::Push(ahead.len()?),
            DOUBLE => Value::Double(f64::from_le_bytes(ahead.take_array()?)),
            FALSE => Value::Boolean(false),
            TRUE => Value::Boolean(true),
            BIG_NUMBER => Value::BigNumber(ahead.string()?),
            VERBATIM => Value::Verbatim(ahead.string()?),
            PAIRS => Value::Pairs(ahead.len()?),
            PAIR => Value::Pair,
            _ => return None,
        };
        *self = ahead;
        Some(value)
    }
}

const INTEGER: u8 = 0;
const SIMPLE: u8 = 1;
const ERROR: u8 = 2;
const BULK: u8 = 3;
const NULL: u8 = 4;
const NULL_ARRAY: u8 = 5;
const ARRAY: u8 = 6;
const MAP: u8 = 7;
const SET: u8 = 8;
const PUSH: u8 = 9;
const DOUBLE: u8 = 10;
const FALSE: u8 = 11;
const TRUE: u8 = 12;
const BIG_NUMBER: u8 = 13;
const VERBATIM: u8 = 14;
const PAIRS: u8 = 15;
const PAIR: u8 = 16;

/// A number up to 252 is one byte; these stand before longer ones, little-endian.
const TWO_BYTES: u8 = 253;
const FOUR_BYTES: u8 = 254;
const EIGHT_BYTES: u8 = 255;

/// Appends a value.
pub(super) fn write(out: &mut Vec<u8>, value: &Value<'_>) {
    match *value {
        Value::Integer(value) => tag_and_number(out, INTEGER, fold(value)),
        Value::Simple(text) => line(out, SIMPLE, text),
        Value::Error(text) => line(out, ERROR, text),
        Value::Bulk(bytes) => string(out, BULK, bytes),
        Value::Null => out.push(NULL),
        Value::NullArray => out.push(NULL_ARRAY),
        Value::Array(len) => tag_and_number(out, ARRAY, len as u64),
        Value::Map(len) => tag_and_number(out, MAP, len as u64),
        Value::Pairs(len) => tag_and_number(out, PAIRS, len as u64),
        Value::Pair => out.push(PAIR),
        Value::Set(len) => tag_and_number(out, SET, len as u64),
        Value::Push(len) => tag_and_number(out, PUSH, len as u64),
        Value::Double(value) => {
            out.push(DOUBLE);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Boolean(value) => out.push(if value { TRUE } else { FALSE }),
        Value::BigNumber(digits) => string(out, BIG_NUMBER, digits),
        Value::Verbatim(text) => string(out, VERBATIM, text),
    }
}

/// As in RESP, so that everybody sees the same text.
fn line(out: &mut Vec<u8>, tag: u8, text: &[u8]) {
    string(out, tag, text);
    let start = out.len() - text.len();
    for byte in &mut out[start..] {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
}

fn string(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.reserve(bytes.len() + 16);
    tag_and_number(out, tag, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn tag_and_number(out: &mut Vec<u8>, tag: u8, number: u64) {
    if number < u64::from(TWO_BYTES) {
        out.extend_from_slice(&[tag, number as u8]);
    } else if let Ok(number) = u16::try_from(number) {
        out.extend_from_slice(&[tag, TWO_BYTES]);
        out.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        out.extend_from_slice(&[tag, FOUR_BYTES]);
        out.extend_from_slice(&number.to_le_bytes());
    } else {
        out.extend_from_slice(&[tag, EIGHT_BYTES]);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// Numbers near zero to small ones, whatever their sign.
fn fold(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unfold(folded: u64) -> i64 {
    (folded >> 1) as i64 ^ -((folded & 1) as i64)
}
