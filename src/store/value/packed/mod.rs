//! A packed run: elements one after the other in one piece of memory, in the byte format of Redis's
//! listpack, so that DUMP, snapshots and replication copy instead of converting.
//!
//! ```text
//! total bytes   u32, little endian, this header and the end mark included
//! elements      u16, little endian; 65535: not known, they have to be counted
//! entry ...     encoding, data, and their length once more for reading backwards
//! 0xFF          the end mark
//! ```
//!
//! `element` has the encodings of an entry, `edit` changes runs, `check` validates bytes that came
//! from outside. Reading never panics and never leaves the run, whatever its bytes are: what cannot
//! be read is not there. Neither does editing, as long as there are a header and an end mark. `hostile`
//! is how the fuzzer and the tests know.
//!
//! Source of the format: <https://github.com/antirez/listpack/blob/master/listpack.md>.

mod check;
mod edit;
mod element;
mod hostile;
#[cfg(test)]
mod tests;

pub use check::{Corrupt, check};
pub use edit::{
    Buffer, Full, append, delete, delete_range, insert, insert_many, new, pop, push, push_many,
    replace, retain, split_off,
};
pub use element::{Element, Needle};
pub use hostile::check_hostile;

use std::iter::FusedIterator;

/// Bytes ahead of the first entry.
pub const HEADER_BYTES: usize = 6;

/// Bytes of a run without elements.
pub const EMPTY_BYTES: usize = HEADER_BYTES + 1;

const END_MARK: u8 = 0xFF;

/// The count of a run whose elements have to be counted.
const UNKNOWN_COUNT: u16 = u16::MAX;

/// An end of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Front,
    Back,
}

impl End {
    pub fn other(self) -> End {
        match self {
            End::Front => End::Back,
            End::Back => End::Front,
        }
    }
}

/// Where an entry begins. Good until the run is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(usize);

/// A run that is read.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    bytes: &'a [u8],
}

impl<'a> Packed<'a> {
    /// The bytes from the header up to the end mark.
    pub fn new(bytes: &'a [u8]) -> Packed<'a> {
        Packed { bytes }
    }

    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Elements; walks the run if there are 65,535 or more.
    pub fn len(self) -> usize {
        match self.stored_count() {
            Some(count) => count,
            None => self.iter().count(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.bytes.len() <= EMPTY_BYTES
    }

    /// The count in the header, unless it says that it is not known.
    fn stored_count(self) -> Option<usize> {
        match self.bytes.get(4..HEADER_BYTES) {
            Some(&[low, high]) => match u16::from_le_bytes([low, high]) {
                UNKNOWN_COUNT => None,
                count => Some(usize::from(count)),
            },
            _ => Some(0),
        }
    }

    /// The entries' end, where the end mark stands.
    fn end(self) -> usize {
        self.bytes.len().saturating_sub(1).max(HEADER_BYTES)
    }

    pub fn first(self) -> Option<Cursor> {
        (!self.is_empty()).then_some(Cursor(HEADER_BYTES))
    }

    pub fn last(self) -> Option<Cursor> {
        self.before(self.end()).map(Cursor)
    }

    pub fn next(self, at: Cursor) -> Option<Cursor> {
        let next = element::skip(self.bytes, at.0)?;
        (next < self.end()).then_some(Cursor(next))
    }

    pub fn prev(self, at: Cursor) -> Option<Cursor> {
        self.before(at.0).map(Cursor)
    }

    /// Where the entry begins that ends at `end`.
    fn before(self, end: usize) -> Option<usize> {
        if end <= HEADER_BYTES {
            return None;
        }
        let start = end.checked_sub(element::length_before(self.bytes, end)?)?;
        (start >= HEADER_BYTES).then_some(start)
    }

    /// The element there.
    pub fn at(self, at: Cursor) -> Option<Element<'a>> {
        element::decode(self.bytes, at.0).map(|(element, _)| element)
    }

    /// The element at an index, a negative one counting from the back: -1 is the last.
    pub fn get(self, index: i64) -> Option<Element<'a>> {
        self.at(self.seek(index)?)
    }

    /// Where the element of an index is, found from the nearer end; negative ones count from the
    /// back.
    pub fn seek(self, index: i64) -> Option<Cursor> {
        let distance = usize::try_from(index.unsigned_abs()).ok()?;
        let Some(len) = self.stored_count() else {
            return match index {
                0.. => self.seek_from(End::Front, distance),
                _ => self.seek_from(End::Back, distance - 1),
            };
        };
        let index = if index < 0 { len.checked_sub(distance)? } else { distance };
        let behind = len.checked_sub(index)?.checked_sub(1)?;
        if index <= behind {
            self.seek_from(End::Front, index)
        } else {
            self.seek_from(End::Back, behind)
        }
    }

    fn seek_from(self, end: End, distance: usize) -> Option<Cursor> {
        match end {
            End::Front => {
                let mut at = HEADER_BYTES;
                for _ in 0..distance {
                    at = element::skip(self.bytes, at)?;
                }
                (at < self.end()).then_some(Cursor(at))
            }
            End::Back => {
                let mut at = self.end();
                for _ in 0..=distance {
                    at = self.before(at)?;
                }
                Some(Cursor(at))
            }
        }
    }

    /// The first element from `from` on that equals the needle, when after each comparison `skip`
    /// elements are passed over: 1 finds a field among fields and values.
    pub fn find(self, from: Cursor, needle: &Needle<'_>, skip: usize) -> Option<Cursor> {
        let mut at = from.0;
        while at < self.end() {
            let (element, next) = element::decode(self.bytes, at)?;
            if element.matches(needle) {
                return Some(Cursor(at));
            }
            at = next;
            for _ in 0..skip {
                at = element::skip(self.bytes, at)?;
            }
        }
        None
    }

    /// From front to back, or from back to front by `rev`.
    pub fn iter(self) -> Iter<'a> {
        Iter { bytes: self.bytes, front: HEADER_BYTES, back: self.end() }
    }

    /// The elements from a cursor to the back.
    pub fn iter_from(self, from: Cursor) -> Iter<'a> {
        Iter { front: from.0, ..self.iter() }
    }

    /// The elements from the front to a cursor's, that one included.
    pub fn iter_to(self, to: Cursor) -> Iter<'a> {
        let back = element::skip(self.bytes, to.0).unwrap_or(HEADER_BYTES);
        Iter { back: back.min(self.end()), ..self.iter() }
    }
}

/// The elements of a run.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    front: usize,
    back: usize,
}

impl Iter<'_> {
    pub fn empty() -> Self {
        Iter { bytes: &[], front: 0, back: 0 }
    }

    /// Where the next element from the front is.
    pub fn cursor(&self) -> Cursor {
        Cursor(self.front)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        if self.front >= self.back {
            return None;
        }
        match element::decode(self.bytes, self.front) {
            Some((element, next)) => {
                self.front = next;
                Some(element)
            }
            None => {
                self.front = self.back;
                None
            }
        }
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        let start = Packed { bytes: self.bytes }.before(self.back);
        match start.and_then(|start| Some((start, element::decode(self.bytes, start)?.0))) {
            Some((start, element)) => {
                self.back = start;
                Some(element)
            }
            None => {
                self.back = self.front;
                None
            }
        }
    }
}

impl FusedIterator for Iter<'_> {}
