//! Reading the parts that payloads are made of.

use std::borrow::Cow;

use super::lzf;

/// It is not what the type says, or ends too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

pub type Read<T> = Result<T, Malformed>;

/// The value's part of a payload, from front to back.
pub struct Reader<'a> {
    rest: &'a [u8],
    /// What compressed strings may still come to.
    inflated_bytes_left: usize,
}

/// What begins a string: how long it is, or how it is encoded.
enum Length {
    Of(usize),
    Encoded(u8),
}

/// The encodings of strings.
const INT8: u8 = 0;
const INT16: u8 = 1;
const INT32: u8 = 2;
const LZF: u8 = 3;

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], inflated_bytes_max: usize) -> Reader<'a> {
        Reader { rest: bytes, inflated_bytes_left: inflated_bytes_max }
    }

    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn byte(&mut self) -> Read<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Read<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn f64(&mut self) -> Read<f64> {
        self.array().map(f64::from_le_bytes)
    }

    fn any_length(&mut self) -> Read<Length> {
        let first = self.byte()?;
        let low = first & 0x3F;
        let len = match (first >> 6, first) {
            (0, _) => u64::from(low),
            (1, _) => u64::from(u16::from_be_bytes([low, self.byte()?])),
            (_, 0x80) => u64::from(u32::from_be_bytes(self.array()?)),
            (_, 0x81) => u64::from_be_bytes(self.array()?),
            (3, _) => return Ok(Length::Encoded(low)),
            _ => return Err(Malformed),
        };
        usize::try_from(len).map(Length::Of).map_err(|_| Malformed)
    }

    /// A number, which need not be that of anything in the payload.
    pub fn length(&mut self) -> Read<usize> {
        match self.any_length()? {
            Length::Of(len) => Ok(len),
            Length::Encoded(_) => Err(Malformed),
        }
    }

    /// How many of something follow: at least one, as nothing empty is ever stored.
    pub fn count(&mut self) -> Read<usize> {
        self.length().and_then(|count| if count == 0 { Err(Malformed) } else { Ok(count) })
    }

    pub fn string(&mut self) -> Read<Cow<'a, [u8]>> {
        let integer = match self.any_length()? {
            Length::Of(len) => return self.take(len).map(Cow::Borrowed),
            Length::Encoded(LZF) => return self.compressed().map(Cow::Owned),
            Length::Encoded(INT8) => i32::from(i8::from_le_bytes(self.array()?)),
            Length::Encoded(INT16) => i32::from(i16::from_le_bytes(self.array()?)),
            Length::Encoded(INT32) => i32::from_le_bytes(self.array()?),
            Length::Encoded(_) => return Err(Malformed),
        };
        Ok(Cow::Owned(integer.to_string().into_bytes()))
    }

    fn compressed(&mut self) -> Read<Vec<u8>> {
        let (compressed_len, len) = (self.length()?, self.length()?);
        let left = self.inflated_bytes_left.checked_sub(len).ok_or(Malformed)?;
        self.inflated_bytes_left = left;
        lzf::inflate(self.take(compressed_len)?, len).ok_or(Malformed)
    }

    /// A number as text, with three lengths that stand for those that are none.
    pub fn f64_text(&mut self) -> Read<f64> {
        match self.byte()? {
            255 => Ok(f64::NEG_INFINITY),
            254 => Ok(f64::INFINITY),
            253 => Ok(f64::NAN),
            len => {
                let text = str::from_utf8(self.take(usize::from(len))?).map_err(|_| Malformed)?;
                text.parse().map_err(|_| Malformed)
            }
        }
    }
}
