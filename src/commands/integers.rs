//! Integers among the arguments, and Redis's errors where there is none.

use super::CommandError;
use crate::text::number;

pub fn integer(argument: &[u8]) -> Result<i64, CommandError> {
    number::parse_i64(argument).ok_or(CommandError::NotInteger)
}

/// An integer whose negative is one too.
pub fn symmetric_integer(argument: &[u8]) -> Result<i64, CommandError> {
    let out_of_range = "ERR value is out of range, value must between -9223372036854775807 and \
                        9223372036854775807";
    match integer(argument)? {
        i64::MIN => Err(CommandError::text(out_of_range)),
        integer => Ok(integer),
    }
}

/// A count, with the usual error.
pub fn count(argument: &[u8]) -> Result<usize, CommandError> {
    count_or(argument, "ERR value is out of range, must be positive")
}

/// A count, or else this error.
pub fn count_or(argument: &[u8], error: &'static str) -> Result<usize, CommandError> {
    let count = number::parse_i64(argument).and_then(|count| usize::try_from(count).ok());
    count.ok_or(CommandError::text(error))
}
