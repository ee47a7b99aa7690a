//! Values: what OBJECT ENCODING reports of them, and the bytes that they are stored as.

use std::ops::Deref;

use crate::text::number::{self, parse_i64};

/// The kind of a value, as TYPE names it. The numbers are those in entries' headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String = 0,
    List = 1,
    Set = 2,
    SortedSet = 3,
    Hash = 4,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::SortedSet => "zset",
            Kind::Hash => "hash",
        }
    }

    #[inline]
    pub(super) fn from_bits(bits: u64) -> Kind {
        match bits {
            1 => Kind::List,
            2 => Kind::Set,
            3 => Kind::SortedSet,
            4 => Kind::Hash,
            _ => Kind::String,
        }
    }
}

/// How Redis would store a value; what OBJECT ENCODING reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The decimal digits of an `i64`, kept as that number.
    Int,
    /// A string of up to 44 bytes.
    EmbStr,
    /// A string of any length.
    Raw,
    /// A collection in one packed run of bytes.
    Listpack,
    /// A list on the heap.
    Quicklist,
    /// A set of integers in one sorted array.
    IntSet,
    /// A set or a hash on the heap.
    HashTable,
    /// A sorted set on the heap, which here is none.
    SkipList,
    /// A hash in one packed run, some of whose fields expire.
    ListpackEx,
}

/// Redis's OBJ_ENCODING_EMBSTR_SIZE_LIMIT.
const EMBSTR_BYTES_MAX: usize = 44;

impl Encoding {
    /// What Redis chooses for a value given by a client (SET and its like).
    #[inline]
    pub fn of_value(value: &[u8]) -> Self {
        match integer_of(value) {
            Some(_) => Encoding::Int,
            None => Self::of_text(value),
        }
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
            Encoding::Listpack => "listpack",
            Encoding::Quicklist => "quicklist",
            Encoding::IntSet => "intset",
            Encoding::HashTable => "hashtable",
            Encoding::SkipList => "skiplist",
            Encoding::ListpackEx => "listpackex",
        }
    }

    /// Those that values of a kind can have, by their numbers in the headers of entries.
    const fn of_kind(kind: Kind) -> [Encoding; 4] {
        match kind {
            Kind::String => [Encoding::Int, Encoding::EmbStr, Encoding::Raw, Encoding::Raw],
            Kind::List => {
                [Encoding::Listpack, Encoding::Quicklist, Encoding::Quicklist, Encoding::Quicklist]
            }
            Kind::Set => {
                [Encoding::Listpack, Encoding::HashTable, Encoding::IntSet, Encoding::IntSet]
            }
            Kind::SortedSet => {
                [Encoding::Listpack, Encoding::SkipList, Encoding::SkipList, Encoding::SkipList]
            }
            Kind::Hash => [
                Encoding::Listpack,
                Encoding::HashTable,
                Encoding::ListpackEx,
                Encoding::ListpackEx,
            ],
        }
    }

    /// In the header of an entry whose value is of the encoding's kind: the place in
    /// [`Encoding::of_kind`], which is the same for every kind that has the encoding.
    #[inline]
    pub(super) fn to_bits(self) -> u64 {
        match self {
            Encoding::Int | Encoding::Listpack => 0,
            Encoding::EmbStr | Encoding::Quicklist | Encoding::HashTable | Encoding::SkipList => 1,
            Encoding::Raw | Encoding::IntSet | Encoding::ListpackEx => 2,
        }
    }

    #[inline]
    pub(super) fn from_bits(kind: Kind, bits: u64) -> Encoding {
        Encoding::of_kind(kind)[(bits & 0b11) as usize]
    }
}

/// The integer whose decimal digits, as Redis writes them, a value is.
#[inline]
fn integer_of(value: &[u8]) -> Option<i64> {
    let first = *value.first()?;
    ((first.is_ascii_digit() || first == b'-') && value.len() <= 20)
        .then(|| parse_i64(value))
        .flatten()
}

/// The bytes that a value is stored as.
pub struct StoredValue<'a> {
    bytes: Stored<'a>,
    encoding: Encoding,
}

enum Stored<'a> {
    Text(&'a [u8]),
    Integer { bytes: [u8; 8], len: usize },
}

impl<'a> StoredValue<'a> {
    /// `value` in the form of the encoding; as text if it does not have that form.
    #[inline]
    pub fn new(value: &'a [u8], encoding: Encoding) -> Self {
        let integer = if encoding == Encoding::Int { integer_of(value) } else { None };
        match integer {
            Some(integer) => StoredValue::integer(integer),
            None if encoding == Encoding::Int => {
                StoredValue { bytes: Stored::Text(value), encoding: Encoding::of_text(value) }
            }
            None => StoredValue { bytes: Stored::Text(value), encoding },
        }
    }

    #[inline]
    pub fn integer(integer: i64) -> Self {
        // The sign bit must be among the bytes.
        let magnitude = if integer < 0 { !integer } else { integer };
        let len = (65 - magnitude.leading_zeros()).div_ceil(8) as usize;
        let bytes = Stored::Integer { bytes: integer.to_le_bytes(), len };
        StoredValue { bytes, encoding: Encoding::Int }
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Stored::Text(text) => text,
            Stored::Integer { bytes, len } => &bytes[..*len],
        }
    }

    #[inline]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }
}

/// The integer that is stored as these bytes.
pub(super) fn integer_from(bytes: &[u8]) -> i64 {
    let sign = bytes.last().map_or(0, |last| if last & 0x80 == 0 { 0 } else { 0xFF });
    let mut all = [sign; 8];
    let len = bytes.len().min(8);
    all[..len].copy_from_slice(&bytes[..len]);
    i64::from_le_bytes(all)
}

/// A string value to read.
pub enum Text<'a> {
    Stored(&'a [u8]),
    /// The digits of an integer.
    Digits {
        digits: number::Digits,
        len: usize,
    },
}

impl Text<'_> {
    pub(super) fn of_integer(integer: i64) -> Self {
        let mut digits = number::Digits::default();
        let len = number::format_i64(integer, &mut digits).len();
        let at = digits.len() - len;
        digits.copy_within(at.., 0);
        Text::Digits { digits, len }
    }
}

impl Deref for Text<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Text::Stored(bytes) => bytes,
            Text::Digits { digits, len } => &digits[..*len],
        }
    }
}
