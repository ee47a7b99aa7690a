//! `FIELDS numfields field ...`, which commands of newer servers end with.

use super::form::{HashMut, Limits, slot};
use crate::commands::{CommandError, Context, Outcome};
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::store::{Events, Slot};
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

/// Answers with an array of what `change` says of each field and does to it, or `absent` where there
/// is no hash at all. The key goes with the last field.
pub fn change_each(
    context: &mut Context<'_>,
    key: &[u8],
    names: Args<'_>,
    event: impl Into<Events>,
    absent: fn(&mut Reply<'_>),
    mut change: impl FnMut(&mut HashMut<'_>, &mut Reply<'_>, &[u8]) -> Outcome,
) -> Outcome {
    let (now, limits) = (context.now, Limits::new(context));
    let reply = &mut context.reply;
    reply.array(names.len());
    let Slot::Occupied(entry) = slot(context.shard, context.db_index, key, now, event) else {
        names.iter().for_each(|_| absent(reply));
        return Ok(());
    };
    let mut hash = HashMut::new(entry, limits, now)?;
    for name in names.iter() {
        change(&mut hash, reply, name)?;
    }
    hash.finish();
    Ok(())
}
