//! `FIELDS numfields field ...`, which commands of newer servers end with.

use crate::commands::CommandError;
use crate::protocol::Args;
use crate::text::number;

/// The fields that the arguments from `at` on name.
pub fn named_fields(args: Args<'_>, at: usize) -> Result<Args<'_>, CommandError> {
    counted_fields(args, at, "ERR Number of fields must be a positive integer")
}

/// The same with another text for a count that is none.
pub fn counted_fields<'a>(
    args: Args<'a>,
    at: usize,
    no_count: &'static str,
) -> Result<Args<'a>, CommandError> {
    if !args.get(at).is_some_and(|word| word.eq_ignore_ascii_case(b"FIELDS")) {
        let text = "ERR Mandatory argument FIELDS is missing or not at the right position";
        return Err(CommandError::text(text));
    }
    let count = args.get(at + 1).and_then(number::parse_i64).filter(|&count| count > 0);
    let count = count.ok_or(CommandError::text(no_count))?;
    let fields = args.from(at + 2);
    if usize::try_from(count) != Ok(fields.len()) {
        let text = "ERR The `numfields` parameter must match the number of arguments";
        return Err(CommandError::text(text));
    }
    Ok(fields)
}
