//! Replies, written as typed values.
//!
//! A command writes its reply to a [`Reply`] and doesn't know what becomes of it: bytes of RESP2 or
//! RESP3 for a connection, or [`Values`] for somebody in this process who goes on with them, such
//! as the merge of several shards' replies. Which one is told by a byte, not by a type, since
//! handlers stand in a table; a test of that byte is all that it costs.

mod value;

pub use value::{Value, Values};

use super::resp::{Version, encode};
use crate::text::double::DoubleText;
use crate::text::number;

/// How a reply is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    #[default]
    Resp2,
    Resp3,
    /// For this process itself: see [`Values`].
    Values,
}

impl From<Version> for Encoding {
    fn from(version: Version) -> Self {
        match version {
            Version::Resp2 => Encoding::Resp2,
            Version::Resp3 => Encoding::Resp3,
        }
    }
}

/// Appends one command's reply to a buffer.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    encoding: Encoding,
}

impl<'a> Reply<'a> {
    pub fn new(out: &'a mut Vec<u8>, encoding: impl Into<Encoding>) -> Self {
        Reply { out, encoding: encoding.into() }
    }

    /// The length of the output so far, for [`Reply::truncate`].
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Takes back what was written since `position`.
    pub fn truncate(&mut self, position: usize) {
        self.out.truncate(position);
    }

    /// Makes room for so many bytes more.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    pub fn ok(&mut self) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Simple(b"OK")),
            Encoding::Resp2 | Encoding::Resp3 => self.out.extend_from_slice(b"+OK\r\n"),
        }
    }

    /// A status line. Line breaks in it become spaces.
    pub fn simple(&mut self, text: &str) {
        self.simple_bytes(text.as_bytes());
    }

    fn simple_bytes(&mut self, text: &[u8]) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Simple(text)),
            Encoding::Resp2 | Encoding::Resp3 => encode::line(self.out, b'+', text),
        }
    }

    /// An error line; `text` starts with its code, such as `ERR`. Line breaks in it become spaces.
    pub fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// As [`Reply::error`] for a text that quotes a client's bytes.
    pub fn error_bytes(&mut self, text: &[u8]) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Error(text)),
            Encoding::Resp2 | Encoding::Resp3 => encode::line(self.out, b'-', text),
        }
    }

    pub fn integer(&mut self, value: i64) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Integer(value)),
            Encoding::Resp2 | Encoding::Resp3 => encode::integer(self.out, value),
        }
    }

    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Bulk(bytes)),
            Encoding::Resp2 | Encoding::Resp3 => encode::bulk(self.out, bytes),
        }
    }

    /// What comes before the bytes of a bulk string of which its writer sees to the rest. Only for
    /// connections.
    pub fn bulk_header(&mut self, len: usize) {
        debug_assert_ne!(self.encoding, Encoding::Values);
        encode::header(self.out, b'$', len);
    }

    /// A number with its shortest decimals: a double in RESP3, a bulk string in RESP2.
    pub fn double(&mut self, value: f64) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Double(value)),
            Encoding::Resp2 => encode::bulk(self.out, &DoubleText::new(value)),
            Encoding::Resp3 => encode::line(self.out, b',', &DoubleText::new(value)),
        }
    }

    /// An integer of any size, in decimal: a big number in RESP3, a bulk string in RESP2.
    pub fn big_number(&mut self, digits: &[u8]) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::BigNumber(digits)),
            Encoding::Resp2 => encode::bulk(self.out, digits),
            Encoding::Resp3 => encode::line(self.out, b'(', digits),
        }
    }

    /// A bulk string holding the number in decimal.
    pub fn bulk_integer(&mut self, value: i64) {
        let mut text = Vec::with_capacity(20);
        number::push_i64(&mut text, value);
        self.bulk(&text);
    }

    pub fn null(&mut self) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Null),
            Encoding::Resp2 => self.out.extend_from_slice(b"$-1\r\n"),
            Encoding::Resp3 => self.out.extend_from_slice(b"_\r\n"),
        }
    }

    pub fn null_array(&mut self) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::NullArray),
            Encoding::Resp2 => self.out.extend_from_slice(b"*-1\r\n"),
            Encoding::Resp3 => self.out.extend_from_slice(b"_\r\n"),
        }
    }

    /// The header of an array; `len` replies follow.
    pub fn array(&mut self, len: usize) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Array(len)),
            Encoding::Resp2 | Encoding::Resp3 => encode::header(self.out, b'*', len),
        }
    }

    /// The header of a map; `len` pairs follow. An array of twice the length in RESP2.
    pub fn map(&mut self, len: usize) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Map(len)),
            Encoding::Resp2 => encode::header(self.out, b'*', len.saturating_mul(2)),
            Encoding::Resp3 => encode::header(self.out, b'%', len),
        }
    }

    /// The header of an array of `len` pairs, each an array of its own in RESP3; in RESP2 their
    /// values follow one after the other. [`Reply::pair`] begins each.
    pub fn pairs(&mut self, len: usize) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Pairs(len)),
            Encoding::Resp2 => self.array(len.saturating_mul(2)),
            Encoding::Resp3 => self.array(len),
        }
    }

    /// The header of one of [`Reply::pairs`]; its two values follow.
    pub fn pair(&mut self) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Pair),
            Encoding::Resp2 => {}
            Encoding::Resp3 => self.array(2),
        }
    }

    pub fn set(&mut self, len: usize) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Set(len)),
            Encoding::Resp2 => encode::header(self.out, b'*', len),
            Encoding::Resp3 => encode::header(self.out, b'~', len),
        }
    }

    /// The header of an out-of-band push; an array in RESP2.
    pub fn push(&mut self, len: usize) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Push(len)),
            Encoding::Resp2 => encode::header(self.out, b'*', len),
            Encoding::Resp3 => encode::header(self.out, b'>', len),
        }
    }

    pub fn boolean(&mut self, value: bool) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Boolean(value)),
            Encoding::Resp2 => encode::integer(self.out, value.into()),
            Encoding::Resp3 => encode::line(self.out, b'#', if value { b"t" } else { b"f" }),
        }
    }

    /// Text for people, such as INFO's: verbatim in RESP3, a bulk string in RESP2.
    pub fn verbatim(&mut self, text: &str) {
        self.verbatim_bytes(text.as_bytes());
    }

    fn verbatim_bytes(&mut self, text: &[u8]) {
        match self.encoding {
            Encoding::Values => value::write(self.out, &Value::Verbatim(text)),
            Encoding::Resp2 => encode::bulk(self.out, text),
            Encoding::Resp3 => encode::verbatim(self.out, text),
        }
    }

    /// A value that somebody else wrote; the elements of a collection are still to follow.
    pub fn value(&mut self, value: &Value<'_>) {
        match *value {
            Value::Integer(value) => self.integer(value),
            Value::Simple(text) => self.simple_bytes(text),
            Value::Error(text) => self.error_bytes(text),
            Value::Bulk(bytes) => self.bulk(bytes),
            Value::Null => self.null(),
            Value::NullArray => self.null_array(),
            Value::Array(len) => self.array(len),
            Value::Map(len) => self.map(len),
            Value::Pairs(len) => self.pairs(len),
            Value::Pair => self.pair(),
            Value::Set(len) => self.set(len),
            Value::Push(len) => self.push(len),
            Value::Double(value) => self.double(value),
            Value::Boolean(value) => self.boolean(value),
            Value::BigNumber(digits) => self.big_number(digits),
            Value::Verbatim(text) => self.verbatim_bytes(text),
        }
    }

    /// The next of the values that somebody else wrote, with all its elements. `None` if there is no
    /// whole one; what was written of it is to be taken back.
    pub fn copy_from(&mut self, values: &mut Values<'_>) -> Option<()> {
        let mut awaited = 1usize;
        while awaited > 0 {
            let value = values.next()?;
            awaited = (awaited - 1).checked_add(value.elements())?;
            self.value(&value);
        }
        Some(())
    }

    /// Values that somebody else wrote, all that are there.
    pub fn values(&mut self, mut values: Values<'_>) {
        if self.encoding == Encoding::Values {
            return self.raw(values.bytes());
        }
        for value in values.by_ref() {
            self.value(&value);
        }
        debug_assert!(values.is_empty(), "values are written whole");
    }

    /// Bytes that are one or more whole replies in this encoding already.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }
}

#[cfg(test)]
mod tests;
