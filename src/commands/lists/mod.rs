//! Lists: every command on sequences of strings that are pushed and popped at both ends.
//!
//! `form` reads and changes a list in whichever form it has; the other files are the commands.

mod edit;
mod ends;
mod form;
mod moves;
mod pop;
mod position;
mod push;
mod read;
#[cfg(test)]
mod tests;

pub use pop::Pop;

use super::integers::{integer, symmetric_integer};
use super::{Categories, Command, CommandError, Context, Docs, Flags, Group, Handler};
use crate::protocol::Args;
use crate::store::value::list::Limit;
use crate::store::{End, Event};

pub const COMMANDS: &[Command] = &[
    edit::LINSERT,
    edit::LREM,
    edit::LSET,
    edit::LTRIM,
    moves::BLMOVE,
    moves::BRPOPLPUSH,
    moves::LMOVE,
    moves::RPOPLPUSH,
    pop::BLMPOP,
    pop::BLPOP,
    pop::BRPOP,
    pop::LMPOP,
    ends::LPOP,
    ends::RPOP,
    position::LPOS,
    push::LPUSH,
    push::LPUSHX,
    push::RPUSH,
    push::RPUSHX,
    read::LINDEX,
    read::LLEN,
    read::LRANGE,
];

/// What all rows have in common, to be overwritten where it differs.
const ROW: Command = Command {
    name: "",
    arity: 0,
    flags: Flags::empty(),
    categories: Categories::LIST,
    keys: &[],
    handler: Handler::Container,
    docs: DOCS,
    tips: &[],
    subcommands: &[],
};
const DOCS: Docs =
    Docs { summary: "", since: "", group: Group::List, complexity: "O(1)", arguments: "" };

/// The longest element, bytes: Redis's LIST_MAX_ITEM_SIZE.
const ELEMENT_BYTES_MAX: u64 = (1 << 32) - 1024;

/// `list-max-listpack-size`.
#[inline]
fn limit(context: &Context<'_>) -> Limit {
    Limit::from_directive(context.config.list_max_listpack_size)
}

/// What adding an element at an end is told as.
fn pushed(end: End) -> Event {
    match end {
        End::Front => Event::LPush,
        End::Back => Event::RPush,
    }
}

/// What taking an element off an end is told as.
fn popped(end: End) -> Event {
    match end {
        End::Front => Event::LPop,
        End::Back => Event::RPop,
    }
}

/// Refuses elements that no list can have.
#[inline]
fn check_elements(elements: Args<'_>) -> Result<(), CommandError> {
    match elements.iter().any(|element| element.len() as u64 > ELEMENT_BYTES_MAX) {
        true => Err(too_large()),
        false => Ok(()),
    }
}

fn too_large() -> CommandError {
    CommandError::text("ERR Element too large")
}

/// The elements from `start` to `stop`, both included, negative ones counting from the back: the
/// index of the first and how many there are.
pub fn range(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let from_front = |index: i64| match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => len.checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let start = from_front(start).unwrap_or(0);
    let end = from_front(stop).map_or(0, |stop| stop.saturating_add(1).min(len));
    (start.min(len), end.saturating_sub(start))
}
