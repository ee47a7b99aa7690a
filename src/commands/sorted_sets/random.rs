//! ZRANDMEMBER: members by chance.

use std::collections::HashSet;

use super::form::{self, SortedSetRef};
use super::{DOCS, ROW, entries_header, write_entry};
use crate::commands::integers::symmetric_integer;
use crate::commands::sampling::{below, check_times};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
    reply_bytes_max,
};
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::store::{End, SortedSet};

pub const ZRANDMEMBER: Command = Command {
    name: "zrandmember",
    arity: -2,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(zrandmember, Spread::OneKey),
    docs: Docs {
        summary: "Returns a random member of a sorted set, or so many different ones, or with a \
                  negative count so many that may be the same.",
        since: "6.2.0",
        complexity: "O(N*log(M)) where N is the number of members returned and M that of the sorted \
                     set.",
        arguments: "key [count [WITHSCORES]]",
        ..DOCS
    },
    tips: &["nondeterministic_output"],
    ..ROW
};

fn zrandmember(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let count = args.get(2).map(|count| parse(count, args.from(3))).transpose()?;
    let bytes_max = reply_bytes_max(context.config);
    let mut random = context.shard.random_numbers();
    let reply = &mut context.reply;
    let Some(entry) = context.shard.read(context.db_index, args.at(1), context.now) else {
        match count {
            Some(_) => reply.array(0),
            None => reply.null(),
        }
        return Ok(());
    };
    let set = entry.collection::<SortedSet>()?;
    let mut answer = Answer { set, reply, with_scores: false, bytes_max };
    let len = form::len(set);
    match count {
        None => answer.show_any(&mut random, len),
        Some((count, with_scores)) => {
            answer.with_scores = with_scores;
            match usize::try_from(count) {
                Ok(count) if count >= len => {
                    answer.begin(len);
                    answer.show(0, len)
                }
                Ok(count) => {
                    answer.begin(count);
                    let chosen = distinct(count, len, random);
                    chosen.into_iter().try_for_each(|index| answer.show(index, 1))
                }
                Err(_) => {
                    check_times(count.unsigned_abs(), bytes_max)?;
                    let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
                    answer.begin(count);
                    (0..count).try_for_each(|_| answer.show_any(&mut random, len))
                }
            }
        }
    }
}

/// The count, and whether scores are asked for.
fn parse(count: &[u8], rest: Args<'_>) -> Result<(i64, bool), CommandError> {
    let count = symmetric_integer(count)?;
    let with_scores = match (rest.get(0), rest.len()) {
        (None, _) => false,
        (Some(word), 1) if word.eq_ignore_ascii_case(b"WITHSCORES") => true,
        _ => return Err(CommandError::Syntax),
    };
    // As many values must be countable.
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(CommandError::text("ERR value is out of range"));
    }
    Ok((count, with_scores))
}

/// So many different numbers below `len`, in order.
///
/// Source: R. W. Floyd's sampling, in J. Bentley, "Programming pearls: a sample of brilliance",
/// Communications of the ACM 30(9), 1987.
fn distinct(count: usize, len: usize, mut random: impl FnMut() -> u64) -> Vec<usize> {
    let mut chosen = HashSet::with_capacity(count);
    for last in len - count..len {
        let number = below(last + 1, &mut random).unwrap_or(last);
        if !chosen.insert(number) {
            chosen.insert(last);
        }
    }
    let mut chosen: Vec<usize> = chosen.into_iter().collect();
    chosen.sort_unstable();
    chosen
}

struct Answer<'s, 'r, 'o> {
    set: SortedSetRef<'s>,
    reply: &'r mut Reply<'o>,
    with_scores: bool,
    bytes_max: usize,
}

impl Answer<'_, '_, '_> {
    fn begin(&mut self, len: usize) {
        entries_header(self.reply, len, self.with_scores);
    }

    /// Shows one of `len` entries.
    fn show_any(&mut self, random: &mut impl FnMut() -> u64, len: usize) -> Outcome {
        below(len, random).map_or(Ok(()), |index| self.show(index, 1))
    }

    /// Shows entries from an index on.
    fn show(&mut self, index: usize, count: usize) -> Outcome {
        form::visit(self.set, index, count, End::Back, |member, score| {
            if self.reply.position() <= self.bytes_max {
                write_entry(self.reply, member, score, self.with_scores);
            }
        });
        match self.reply.position() > self.bytes_max {
            true => Err(CommandError::ReplyTooLong),
            false => Ok(()),
        }
    }
}
