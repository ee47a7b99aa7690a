//! A set of integers in one run of bytes, in the format of Redis's intset, so that DUMP copies
//! instead of converting.
//!
//! ```text
//! bytes per integer   u32, little endian: 2, 4 or 8, as many as the widest needs
//! integers            u32, little endian
//! integer ...         little endian, in rising order
//! ```
//!
//! Reading never panics and never leaves the run, whatever its bytes are: what cannot be read is not
//! there.

#[cfg(test)]
mod tests;

use std::fmt;

use super::packed::Buffer;

/// Bytes ahead of the first integer.
pub const HEADER_BYTES: usize = 8;

/// An intset that is read.
#[derive(Clone, Copy, Debug)]
pub struct IntSet<'a> {
    width: Width,
    /// Whole integers.
    integers: &'a [u8],
}

/// Bytes that each integer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    Two = 2,
    Four = 4,
    Eight = 8,
}

impl Width {
    fn of(integer: i64) -> Width {
        if i16::try_from(integer).is_ok() {
            Width::Two
        } else if i32::try_from(integer).is_ok() {
            Width::Four
        } else {
            Width::Eight
        }
    }

    fn from_header(bytes: u32) -> Option<Width> {
        [Width::Two, Width::Four, Width::Eight].into_iter().find(|&width| width as u32 == bytes)
    }

    fn bytes(self) -> usize {
        self as usize
    }

    /// One integer; `bytes` are as many as it takes.
    fn read(self, bytes: &[u8]) -> i64 {
        let sign = bytes.last().map_or(0, |last| if last & 0x80 == 0 { 0 } else { 0xFF });
        let mut all = [sign; 8];
        all[..bytes.len().min(8)].copy_from_slice(&bytes[..bytes.len().min(8)]);
        i64::from_le_bytes(all)
    }
}

impl<'a> IntSet<'a> {
    /// All bytes from the header on.
    pub fn new(bytes: &'a [u8]) -> IntSet<'a> {
        let none = IntSet { width: Width::Two, integers: &[] };
        let Some((width, rest)) = bytes.split_first_chunk() else { return none };
        let Some((_, integers)) = rest.split_first_chunk::<4>() else { return none };
        let Some(width) = Width::from_header(u32::from_le_bytes(*width)) else { return none };
        let whole = integers.len() - integers.len() % width.bytes();
        IntSet { width, integers: &integers[..whole] }
    }

    pub fn len(self) -> usize {
        self.integers.len() / self.width.bytes()
    }

    pub fn is_empty(self) -> bool {
        self.integers.is_empty()
    }

    /// The integer of that index, in rising order.
    pub fn get(self, index: usize) -> Option<i64> {
        let at = index.checked_mul(self.width.bytes())?;
        let bytes = self.integers.get(at..)?.get(..self.width.bytes())?;
        Some(self.width.read(bytes))
    }

    pub fn min(self) -> Option<i64> {
        self.get(0)
    }

    pub fn max(self) -> Option<i64> {
        self.get(self.len().checked_sub(1)?)
    }

    pub fn contains(self, integer: i64) -> bool {
        self.find(integer).is_ok()
    }

    /// In rising order.
    pub fn iter(self) -> impl Iterator<Item = i64> + use<'a> {
        let width = self.width;
        self.integers.chunks_exact(width.bytes()).map(move |bytes| width.read(bytes))
    }

    /// The index of the integer, or else where it would have to be.
    fn find(self, integer: i64) -> Result<usize, usize> {
        // Many sets are filled in rising order.
        if self.max().is_none_or(|max| max < integer) {
            return Err(self.len());
        }
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle) {
                Some(found) if found < integer => low = middle + 1,
                Some(found) if found == integer => return Ok(middle),
                _ => high = middle,
            }
        }
        Err(low)
    }
}

/// A set without integers.
pub fn new() -> [u8; HEADER_BYTES] {
    [Width::Two as u8, 0, 0, 0, 0, 0, 0, 0]
}

/// Adds an integer; false if it was there.
pub fn insert(buffer: &mut impl Buffer, integer: i64) -> bool {
    let set = IntSet::new(buffer.bytes());
    let Err(index) = set.find(integer) else { return false };
    let (len, width) = (set.len(), Width::of(integer));
    if width > set.width {
        widen(buffer, width);
    }
    let width = width.max(IntSet::new(buffer.bytes()).width).bytes();
    let added = buffer.splice(HEADER_BYTES + index * width, 0, width);
    added.copy_from_slice(&integer.to_le_bytes()[..width]);
    write_len(buffer, len + 1);
    true
}

/// Removes an integer; false if it was not there.
pub fn remove(buffer: &mut impl Buffer, integer: i64) -> bool {
    let set = IntSet::new(buffer.bytes());
    let Ok(index) = set.find(integer) else { return false };
    let (len, width) = (set.len(), set.width.bytes());
    buffer.splice(HEADER_BYTES + index * width, width, 0);
    write_len(buffer, len - 1);
    true
}

/// Gives every integer more bytes.
fn widen(buffer: &mut impl Buffer, width: Width) {
    let integers: Vec<i64> = IntSet::new(buffer.bytes()).iter().collect();
    let old = buffer.bytes().len() - HEADER_BYTES;
    let wide = buffer.splice(HEADER_BYTES, old, integers.len() * width.bytes());
    for (place, integer) in wide.chunks_exact_mut(width.bytes()).zip(integers) {
        place.copy_from_slice(&integer.to_le_bytes()[..width.bytes()]);
    }
    buffer.bytes_mut()[..4].copy_from_slice(&(width as u32).to_le_bytes());
}

fn write_len(buffer: &mut impl Buffer, len: usize) {
    buffer.bytes_mut()[4..HEADER_BYTES].copy_from_slice(&(len as u32).to_le_bytes());
}

/// The bytes are no intset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a set of integers")
    }
}

impl std::error::Error for Corrupt {}

/// Reads all of bytes that came from outside: header, length, order; nothing is left over. Gives
/// the number of integers.
pub fn check(bytes: &[u8]) -> Result<usize, Corrupt> {
    let (width, rest) = bytes.split_first_chunk().ok_or(Corrupt)?;
    let (len, integers) = rest.split_first_chunk().ok_or(Corrupt)?;
    let width = Width::from_header(u32::from_le_bytes(*width)).ok_or(Corrupt)?;
    let len = u32::from_le_bytes(*len) as usize;
    if len.checked_mul(width.bytes()) != Some(integers.len()) {
        return Err(Corrupt);
    }
    let rises = IntSet { width, integers }.iter().is_sorted_by(|a, b| a < b);
    if rises { Ok(len) } else { Err(Corrupt) }
}
