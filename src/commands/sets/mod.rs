//! Sets: byte strings, each once, in no order.

mod algebra;
mod change;
pub(super) mod form;
mod random;
mod read;
#[cfg(test)]
mod tests;

pub(super) use form::SetRef;

use super::{Categories, Command, CommandError, Docs, Flags, Group, Handler, Outcome};
use crate::protocol::reply::Reply;
use crate::text::number::Digits;

pub const COMMANDS: &[Command] = &[
    algebra::SDIFF,
    algebra::SDIFFSTORE,
    algebra::SINTER,
    algebra::SINTERCARD,
    algebra::SINTERSTORE,
    algebra::SUNION,
    algebra::SUNIONSTORE,
    change::SADD,
    change::SMOVE,
    change::SREM,
    random::SPOP,
    random::SRANDMEMBER,
    read::SCARD,
    read::SISMEMBER,
    read::SMEMBERS,
    read::SMISMEMBER,
    read::SSCAN,
];

/// What all rows have in common, to be overwritten where it differs.
const ROW: Command = Command {
    name: "",
    arity: 0,
    flags: Flags::empty(),
    categories: Categories::SET,
    keys: &[],
    handler: Handler::Container,
    docs: DOCS,
    tips: &[],
    subcommands: &[],
};
const DOCS: Docs =
    Docs { summary: "", since: "", group: Group::Set, complexity: "O(1)", arguments: "" };

/// Answers with all members, in at most so many bytes.
fn reply_members(reply: &mut Reply<'_>, set: SetRef<'_>, bytes_max: usize) -> Outcome {
    reply.set(set.len());
    for member in set.iter() {
        reply.bulk(member.text(&mut Digits::default()));
        if reply.position() > bytes_max {
            return Err(CommandError::ReplyTooLong);
        }
    }
    Ok(())
}
