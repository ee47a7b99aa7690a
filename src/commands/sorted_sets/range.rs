//! Ranges by index, score or member, answered or stored.

use super::bounds::{MemberRange, ScoreRange};
use super::form::{self, Making, NewSortedSet, Scores, SortedSetRef};
use super::{DOCS, ROW, entries_header, write_entry};
use crate::commands::hops::{Change, Decision, Finding, Hops, put_item, take_nothing};
use crate::commands::integers::integer;
use crate::commands::lists::range;
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
    reply_bytes_max,
};
use crate::protocol::Args;
use crate::store::{End, Event, SortedSet};
use crate::text::number::Digits;

pub const ZRANGE: Command = Command {
    name: "zrange",
    arity: -4,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(|context, args| answer(context, args, Fixed::ANY), Spread::OneKey),
    docs: Docs {
        summary: "Returns the members of a sorted set in a range of indexes, scores or members.",
        since: "1.2.0",
        complexity: "O(log(N)+M) where N is the number of members of the sorted set and M how many \
                     are returned.",
        arguments: "key start:string stop:string [BYSCORE | BYLEX] [REV] [LIMIT offset count] \
                    [WITHSCORES]",
        ..DOCS
    },
    ..ROW
};

pub const ZREVRANGE: Command = Command {
    name: "zrevrange",
    handler: Handler::Keyed(
        |context, args| answer(context, args, Fixed::to(By::Rank, End::Front)),
        Spread::OneKey,
    ),
    docs: Docs {
        summary: "Returns the members of a sorted set in a range of indexes, counted from the back.",
        arguments: "key start stop [WITHSCORES]",
        ..ZRANGE.docs
    },
    ..ZRANGE
};

pub const ZRANGEBYSCORE: Command = Command {
    name: "zrangebyscore",
    handler: Handler::Keyed(
        |context, args| answer(context, args, Fixed::to(By::Score, End::Back)),
        Spread::OneKey,
    ),
    docs: Docs {
        summary: "Returns the members of a sorted set whose scores are in this range.",
        since: "1.0.5",
        arguments: "key min:double max:double [WITHSCORES] [LIMIT offset count]",
        ..ZRANGE.docs
    },
    ..ZRANGE
};

pub const ZREVRANGEBYSCORE: Command = Command {
    name: "zrevrangebyscore",
    handler: Handler::Keyed(
        |context, args| answer(context, args, Fixed::to(By::Score, End::Front)),
        Spread::OneKey,
    ),
    docs: Docs {
        summary: "Returns the members of a sorted set whose scores are in this range, the highest \
                  first.",
        since: "2.2.0",
        arguments: "key max:double min:double [WITHSCORES] [LIMIT offset count]",
        ..ZRANGE.docs
    },
    ..ZRANGE
};

pub const ZRANGEBYLEX: Command = Command {
    name: "zrangebylex",
    handler: Handler::Keyed(
        |context, args| answer(context, args, Fixed::to(By::Member, End::Back)),
        Spread::OneKey,
    ),
    docs: Docs {
        summary: "Returns the members of a sorted set, all of one score, that are in this range.",
        since: "2.8.9",
        arguments: "key min max [LIMIT offset count]",
        ..ZRANGE.docs
    },
    ..ZRANGE
};

pub const ZREVRANGEBYLEX: Command = Command {
    name: "zrevrangebylex",
    handler: Handler::Keyed(
        |context, args| answer(context, args, Fixed::to(By::Member, End::Front)),
        Spread::OneKey,
    ),
    docs: Docs {
        summary: "Returns the members of a sorted set, all of one score, that are in this range, \
                  the last first.",
        arguments: "key max min [LIMIT offset count]",
        ..ZRANGEBYLEX.docs
    },
    ..ZRANGE
};

pub const ZRANGESTORE: Command = Command {
    name: "zrangestore",
    arity: -5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[
        KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    handler: Handler::Keyed(zrangestore, Spread::Hops(&STORES)),
    docs: Docs {
        summary: "Stores the members of a sorted set in a range of indexes, scores or members as \
                  another one.",
        since: "6.2.0",
        complexity: "O(log(N)+M) where N is the number of members of the sorted set and M how many \
                     are stored.",
        arguments: "dst:key src:key min max [BYSCORE | BYLEX] [REV] [LIMIT offset \
                    count]",
        ..DOCS
    },
    ..ZRANGE
};

/// By what a range is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Member,
}

/// What a command's name says; what it does not say its arguments may.
#[derive(Clone, Copy, Debug)]
struct Fixed {
    by: Option<By>,
    to: Option<End>,
    is_stored: bool,
}

impl Fixed {
    const ANY: Fixed = Fixed { by: None, to: None, is_stored: false };
    const STORED: Fixed = Fixed { is_stored: true, ..Fixed::ANY };

    const fn to(by: By, to: End) -> Fixed {
        Fixed { by: Some(by), to: Some(to), is_stored: false }
    }
}

#[derive(Clone, Copy, Debug)]
enum Bounds<'a> {
    Ranks(i64, i64),
    Scores(ScoreRange),
    Members(MemberRange<'a>),
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
struct Range<'a> {
    bounds: Bounds<'a>,
    to: End,
    /// Of the entries in the bounds, how many are passed over and how many then taken.
    offset: usize,
    limit: usize,
    with_scores: bool,
}

impl<'a> Range<'a> {
    /// From the first of the two bounds on.
    fn parse(args: Args<'a>, fixed: Fixed) -> Result<Range<'a>, CommandError> {
        let (mut by, mut to, mut with_scores) = (fixed.by, fixed.to, false);
        let (mut offset, mut limit) = (0, -1);
        let mut words = args.from(2);
        while let Some(word) = words.get(0) {
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            let mut taken = 1;
            if !fixed.is_stored && is(b"WITHSCORES") {
                with_scores = true;
            } else if is(b"LIMIT")
                && let (Some(first), Some(second)) = (words.get(1), words.get(2))
            {
                (offset, limit) = (integer(first)?, integer(second)?);
                taken = 3;
            } else if fixed.to.is_none() && is(b"REV") {
                to = Some(End::Front);
            } else if fixed.by.is_none() && is(b"BYLEX") {
                by = Some(By::Member);
            } else if fixed.by.is_none() && is(b"BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(CommandError::Syntax);
            }
            words = words.from(taken);
        }
        let (by, to) = (by.unwrap_or(By::Rank), to.unwrap_or(End::Back));
        if by == By::Rank && limit != -1 {
            let text = "ERR syntax error, LIMIT is only supported in combination with either \
                        BYSCORE or BYLEX";
            return Err(CommandError::text(text));
        }
        if by == By::Member && with_scores {
            let text = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
            return Err(CommandError::text(text));
        }
        let bounds = match to {
            End::Front if by != By::Rank => (args.at(1), args.at(0)),
            _ => (args.at(0), args.at(1)),
        };
        let bounds = match by {
            By::Rank => Bounds::Ranks(integer(bounds.0)?, integer(bounds.1)?),
            By::Score => Bounds::Scores(ScoreRange::parse(bounds.0, bounds.1)?),
            By::Member => Bounds::Members(MemberRange::parse(bounds.0, bounds.1)?),
        };
        // A negative offset passes over all there is, a negative limit is none.
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Range { bounds, to, offset, limit, with_scores })
    }

    /// The index of the first entry, seen in the direction, and how many there are.
    fn span(self, set: SortedSetRef<'_>) -> (usize, usize) {
        let (first, count) = match self.bounds {
            Bounds::Ranks(start, stop) => {
                let len = form::len(set);
                let (first, count) = range(start, stop, len);
                return match self.to {
                    End::Back => (first, count),
                    End::Front => ((len - first).saturating_sub(1), count),
                };
            }
            Bounds::Scores(range) => range.span(set),
            Bounds::Members(range) => range.span(set, self.to.other()),
        };
        let offset = self.offset.min(count);
        let left = (count - offset).min(self.limit);
        match self.to {
            End::Back => (first + offset, left),
            End::Front => ((first + count - offset).saturating_sub(1), left),
        }
    }
}

fn answer(context: &mut Context<'_>, args: Args<'_>, fixed: Fixed) -> Outcome {
    let range = Range::parse(args.from(2), fixed)?;
    let bytes_max = reply_bytes_max(context.config);
    let reply = &mut context.reply;
    let Some(entry) = context.shard.read(context.db_index, args.at(1), context.now) else {
        reply.array(0);
        return Ok(());
    };
    let set = entry.collection::<SortedSet>()?;
    let (first, count) = range.span(set);
    entries_header(reply, count, range.with_scores);
    form::visit(set, first, count, range.to, |member, score| {
        if reply.position() <= bytes_max {
            write_entry(reply, member, score, range.with_scores);
        }
    });
    if reply.position() > bytes_max {
        return Err(CommandError::ReplyTooLong);
    }
    Ok(())
}

/// The entries in the range as a sorted set of their own, if there are any.
fn selected(set: SortedSetRef<'_>, range: Range<'_>, making: Making) -> Option<NewSortedSet> {
    let (first, count) = range.span(set);
    if count == 0 {
        return None;
    }
    // In ascending order, which is the quickest to build.
    let first = match range.to {
        End::Back => first,
        End::Front => first + 1 - count,
    };
    let mut new = NewSortedSet::new(count, 0, making);
    form::visit(set, first, count, End::Back, |member, score| {
        new.set_score(member.text(&mut Digits::default()), score);
    });
    Some(new)
}

fn zrangestore(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (destination, source) = (args.at(1), args.at(2));
    let range = Range::parse(args.from(3), Fixed::STORED)?;
    let making = Making::new(context);
    let new = match context.read(source) {
        Some(entry) => selected(entry.collection()?, range, making),
        None => None,
    };
    let (len, now) = (new.as_ref().map_or(0, NewSortedSet::len), context.now);
    let db = context.db_mut();
    match new {
        Some(new) => db.insert(new.into_item(destination), now, Event::ZRangeStore),
        None => {
            db.remove(destination, now, Event::Del);
        }
    }
    context.reply.integer(len as i64);
    Ok(())
}

/// Only the entries in the range go from shard to shard.
static STORES: Hops = Hops {
    look: |context, args, position| {
        let range = Range::parse(args.from(3), Fixed::STORED)?;
        if position == 1 {
            return Ok(Finding::Nothing);
        }
        let making = Making::new(context);
        let Some(entry) = context.read(args.at(2)) else { return Ok(Finding::Nothing) };
        let selected = selected(entry.collection()?, range, making);
        Ok(selected.map_or(Finding::Nothing, |new| Finding::Item(new.into_item(args.at(1)))))
    },
    decide: |findings, args| {
        Range::parse(args.from(3), Fixed::STORED)?;
        let (len, change) = match findings.take(2)? {
            Finding::Item(item) => (form::len(item.collection()?), Change::Item(item)),
            _ => (0, Change::Plain),
        };
        findings.reply.integer(len as i64);
        Ok(Decision::Done(vec![(1, change)]))
    },
    take: take_nothing,
    apply: |context, args, _, change| {
        put_or_remove(context, args.at(1), change, Event::ZRangeStore);
    },
};

/// Puts a result in the place of whatever is at its key; if it is empty, nothing is left there.
pub(super) fn put_or_remove(context: &mut Context<'_>, key: &[u8], change: Change, event: Event) {
    match change {
        Change::Plain => {
            let now = context.now;
            context.db_mut().remove(key, now, Event::Del);
        }
        change => put_item(context, context.db_index, key, change, event),
    }
}
