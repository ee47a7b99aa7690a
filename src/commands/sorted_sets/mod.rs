//! Sorted sets: every command on members that are ordered by their scores.
//!
//! `form` reads and changes a sorted set in whichever form it has, `bounds` understands ranges; the
//! other files are the commands.

mod add;
mod bounds;
mod combine;
pub(super) mod form;
mod pop;
mod random;
mod range;
mod read;
mod remove;
mod scan;
mod store;
#[cfg(test)]
mod tests;

use super::{Categories, Command, CommandError, Docs, Flags, Group, Handler};
use crate::protocol::reply::Reply;
use crate::store::value::packed::Element;
use crate::text::number::{self, Digits};

pub const COMMANDS: &[Command] = &[
    add::ZADD,
    add::ZINCRBY,
    combine::ZDIFF,
    combine::ZINTER,
    combine::ZINTERCARD,
    combine::ZUNION,
    pop::BZMPOP,
    pop::BZPOPMAX,
    pop::BZPOPMIN,
    pop::ZMPOP,
    pop::ZPOPMAX,
    pop::ZPOPMIN,
    random::ZRANDMEMBER,
    range::ZRANGE,
    range::ZRANGEBYLEX,
    range::ZRANGEBYSCORE,
    range::ZRANGESTORE,
    range::ZREVRANGE,
    range::ZREVRANGEBYLEX,
    range::ZREVRANGEBYSCORE,
    read::ZCARD,
    read::ZCOUNT,
    read::ZLEXCOUNT,
    read::ZMSCORE,
    read::ZRANK,
    read::ZREVRANK,
    read::ZSCORE,
    remove::ZREM,
    remove::ZREMRANGEBYLEX,
    remove::ZREMRANGEBYRANK,
    remove::ZREMRANGEBYSCORE,
    scan::ZSCAN,
    store::ZDIFFSTORE,
    store::ZINTERSTORE,
    store::ZUNIONSTORE,
];

/// What all rows have in common, to be overwritten where it differs.
const ROW: Command = Command {
    name: "",
    arity: 0,
    flags: Flags::empty(),
    categories: Categories::SORTEDSET,
    keys: &[],
    handler: Handler::Container,
    docs: DOCS,
    tips: &[],
    subcommands: &[],
};
const DOCS: Docs = Docs {
    summary: "",
    since: "",
    group: Group::SortedSet,
    complexity: "O(log(N))",
    arguments: "",
};

/// A score, which is never NaN.
fn score(argument: &[u8]) -> Result<f64, CommandError> {
    number::parse_f64(argument).ok_or(CommandError::NotFloat)
}

/// The header of an array of so many members, to be followed by [`write_entry`].
fn entries_header(reply: &mut Reply<'_>, len: usize, with_scores: bool) {
    if with_scores { reply.pairs(len) } else { reply.array(len) }
}

/// A member, and its score if that is asked for.
#[inline]
fn write_entry(reply: &mut Reply<'_>, member: Element<'_>, score: f64, with_scores: bool) {
    if with_scores {
        reply.pair();
    }
    reply.bulk(member.text(&mut Digits::default()));
    if with_scores {
        reply.double(score);
    }
}
