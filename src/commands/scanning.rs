//! What SCAN has in common with the commands that iterate one collection.

use super::CommandError;
use crate::protocol::Args;
use crate::protocol::reply::{Encoding, Reply, Values};
use crate::text::{glob, number};

/// What one call visits unless COUNT says otherwise, as in Redis.
const COUNT_DEFAULT: usize = 10;

/// Reads a cursor as C's `strtoul` does, which is how Redis reads it: an empty argument is 0, a
/// sign is allowed, negative numbers wrap.
pub fn parse_cursor(argument: &[u8]) -> Result<u64, CommandError> {
    let invalid = CommandError::text("ERR invalid cursor");
    let (negative, digits) = match argument {
        [] => return Ok(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return Err(invalid);
    }
    let magnitude = digits.iter().try_fold(0_u64, |value, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    });
    let magnitude = magnitude.ok_or(invalid)?;
    Ok(if negative { magnitude.wrapping_neg() } else { magnitude })
}

pub struct ScanOptions<'a> {
    pub pattern: Pattern<'a>,
    pub count: usize,
    pub kind: Option<&'a [u8]>,
    /// Of a hash: not only the names of fields.
    pub with_values: bool,
}

impl<'a> ScanOptions<'a> {
    /// Those of SCAN, and those of the others, which have no TYPE.
    pub fn parse(words: Args<'a>, has_type: bool) -> Result<Self, CommandError> {
        Self::parse_any(words, has_type, false)
    }

    /// Those of HSCAN.
    pub fn parse_of_hash(words: Args<'a>) -> Result<Self, CommandError> {
        Self::parse_any(words, false, true)
    }

    fn parse_any(
        words: Args<'a>,
        has_type: bool,
        has_no_values: bool,
    ) -> Result<Self, CommandError> {
        let mut options = ScanOptions {
            pattern: Pattern::ALL,
            count: COUNT_DEFAULT,
            kind: None,
            with_values: true,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if has_no_values && word.eq_ignore_ascii_case(b"NOVALUES") {
                options.with_values = false;
                continue;
            }
            let value = words.next().ok_or(CommandError::Syntax)?;
            if word.eq_ignore_ascii_case(b"COUNT") {
                let count = number::parse_i64(value).ok_or(CommandError::NotInteger)?;
                let count = usize::try_from(count).ok().filter(|&count| count > 0);
                options.count = count.ok_or(CommandError::Syntax)?;
            } else if word.eq_ignore_ascii_case(b"MATCH") {
                options.pattern = Pattern::new(value);
            } else if has_type && word.eq_ignore_ascii_case(b"TYPE") {
                options.kind = Some(value);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

/// A pattern for names: `*` is every name, the empty one too, which a glob would not match.
#[derive(Clone, Copy, Debug)]
pub struct Pattern<'a>(Option<&'a [u8]>);

impl<'a> Pattern<'a> {
    pub const ALL: Self = Pattern(None);

    pub fn new(pattern: &'a [u8]) -> Self {
        Pattern((pattern != b"*").then_some(pattern))
    }

    pub fn matches(self, name: &[u8]) -> bool {
        self.0.is_none_or(|pattern| glob::matches(pattern, name, false))
    }
}

/// Bulk strings for a reply whose number is known only once all have been seen.
#[derive(Debug, Default)]
pub struct Names {
    values: Vec<u8>,
    count: usize,
}

impl Names {
    pub fn push(&mut self, name: &[u8]) {
        Reply::new(&mut self.values, Encoding::Values).bulk(name);
        self.count += 1;
    }

    /// About what they take in a reply.
    pub fn bytes(&self) -> usize {
        self.values.len()
    }

    /// As an array.
    pub fn write(&self, reply: &mut Reply<'_>) {
        reply.array(self.count);
        reply.values(Values::new(&self.values));
    }

    /// As a set.
    pub fn write_set(&self, reply: &mut Reply<'_>) {
        reply.set(self.count);
        reply.values(Values::new(&self.values));
    }
}
