//! Removing members, by name or as a range.

use super::bounds::{MemberRange, ScoreRange, Span};
use super::form::{self, Making, SortedSetMut, SortedSetRef};
use super::{DOCS, ROW};
use crate::commands::integers::integer;
use crate::commands::lists::range;
use crate::commands::{Command, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread};
use crate::protocol::Args;
use crate::store::{End, Event};

pub const ZREM: Command = Command {
    name: "zrem",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    handler: Handler::Keyed(zrem, Spread::OneKey),
    docs: Docs {
        summary: "Removes members from a sorted set; the key goes with the last one.",
        since: "1.2.0",
        complexity: "O(M*log(N)) where N is the number of members of the sorted set and M how many \
                     are removed.",
        arguments: "key member [member ...]",
        ..DOCS
    },
    ..ROW
};

fn zrem(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let making = Making::new(context);
    let now = context.now;
    let removed = match context.db_mut().get_mut(args.at(1), now, Event::ZRem) {
        Some(entry) => SortedSetMut::new(entry, making)?.remove(args.from(2).iter()),
        None => 0,
    };
    context.reply.integer(removed as i64);
    Ok(())
}

pub const ZREMRANGEBYRANK: Command = Command {
    name: "zremrangebyrank",
    arity: 4,
    flags: Flags::WRITE,
    handler: Handler::Keyed(
        |context, args| {
            let (start, stop) = (integer(args.at(2))?, integer(args.at(3))?);
            let span = |set: SortedSetRef<'_>| range(start, stop, form::len(set));
            remove_span(context, args.at(1), Event::ZRemByRank, span)
        },
        Spread::OneKey,
    ),
    docs: Docs {
        summary: "Removes the members of a sorted set from one index to another, both included.",
        since: "2.0.0",
        complexity: "O(log(N)+M) where N is the number of members of the sorted set and M how many \
                     are removed.",
        arguments: "key start stop",
        ..DOCS
    },
    ..ZREM
};

pub const ZREMRANGEBYSCORE: Command = Command {
    name: "zremrangebyscore",
    handler: Handler::Keyed(
        |context, args| {
            let range = ScoreRange::parse(args.at(2), args.at(3))?;
            remove_span(context, args.at(1), Event::ZRemByScore, |set| range.span(set))
        },
        Spread::OneKey,
    ),
    docs: Docs {
        summary: "Removes the members of a sorted set whose scores are in this range.",
        since: "1.2.0",
        arguments: "key min:double max:double",
        ..ZREMRANGEBYRANK.docs
    },
    ..ZREMRANGEBYRANK
};

pub const ZREMRANGEBYLEX: Command = Command {
    name: "zremrangebylex",
    handler: Handler::Keyed(
        |context, args| {
            let range = MemberRange::parse(args.at(2), args.at(3))?;
            remove_span(context, args.at(1), Event::ZRemByLex, |set| range.span(set, End::Front))
        },
        Spread::OneKey,
    ),
    docs: Docs {
        summary: "Removes the members of a sorted set, all of one score, that are in this range.",
        since: "2.8.9",
        arguments: "key min max",
        ..ZREMRANGEBYRANK.docs
    },
    ..ZREMRANGEBYRANK
};

fn remove_span(
    context: &mut Context<'_>,
    key: &[u8],
    event: Event,
    span: impl FnOnce(SortedSetRef<'_>) -> Span,
) -> Outcome {
    let making = Making::new(context);
    let now = context.now;
    let removed = match context.db_mut().get_mut(key, now, event) {
        Some(entry) => {
            let set = SortedSetMut::new(entry, making)?;
            let (first, count) = span(set.as_ref());
            set.remove_range(first, count);
            count
        }
        None => 0,
    };
    context.reply.integer(removed as i64);
    Ok(())
}
