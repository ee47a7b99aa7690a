//! Taking members with the lowest or the highest scores, at once or when there are some.

use super::form::{self, Making, SortedSetMut};
use super::{DOCS, ROW};
use crate::commands::blocking::{readiness_of, timeout_in_seconds, without_waiting};
use crate::commands::integers;
use crate::commands::lists::Pop;
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread, Wait,
    WaitsAt, reply_bytes_max,
};
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::store::{End, Event, Kind};
use crate::text::number::Digits;

const POPPED: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

pub const ZPOPMIN: Command = Command {
    name: "zpopmin",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, POPPED)],
    handler: Handler::Keyed(|context, args| pop(context, args, End::Front), Spread::OneKey),
    docs: Docs {
        summary: "Removes the member of a sorted set with the lowest score, or so many, and returns \
                  what it removed.",
        since: "5.0.0",
        complexity: "O(log(N)*M) where N is the number of members of the sorted set and M how many \
                     are removed.",
        arguments: "key [count]",
        ..DOCS
    },
    ..ROW
};

pub const ZPOPMAX: Command = Command {
    name: "zpopmax",
    handler: Handler::Keyed(|context, args| pop(context, args, End::Back), Spread::OneKey),
    docs: Docs {
        summary: "Removes the member of a sorted set with the highest score, or so many, and \
                  returns what it removed.",
        ..ZPOPMIN.docs
    },
    ..ZPOPMIN
};

fn pop(context: &mut Context<'_>, args: Args<'_>, end: End) -> Outcome {
    let (count, layout) = match args.get(2) {
        None => (1, Layout::Flat),
        Some(_) if args.len() > 3 => return Err(CommandError::Syntax),
        Some(count) => (integers::count(count)?, Layout::Pairs),
    };
    if !take(context, args.at(1), end, count, layout)? {
        context.reply.array(0);
    }
    Ok(())
}

/// How members and scores are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// One array with all of them.
    Flat,
    /// An array of pairs, which are flat in RESP2.
    Pairs,
    /// An array of pairs.
    Nested,
    /// Without an array of their own.
    Bare,
}

impl Layout {
    fn header(self, reply: &mut Reply<'_>, len: usize) {
        match self {
            Layout::Flat => reply.array(2 * len),
            Layout::Pairs => reply.pairs(len),
            Layout::Nested => reply.array(len),
            Layout::Bare => {}
        }
    }

    fn entry(self, reply: &mut Reply<'_>) {
        match self {
            Layout::Pairs => reply.pair(),
            Layout::Nested => reply.array(2),
            Layout::Flat | Layout::Bare => {}
        }
    }
}

/// Takes up to so many entries off an end and answers with them, if there is a sorted set.
fn take(
    context: &mut Context<'_>,
    key: &[u8],
    end: End,
    count: usize,
    layout: Layout,
) -> Result<bool, CommandError> {
    let (making, bytes_max) = (Making::new(context), reply_bytes_max(context.config));
    let event = match end {
        End::Front => Event::ZPopMin,
        End::Back => Event::ZPopMax,
    };
    let db = context.shard.db_mut(context.db_index);
    let Some(entry) = db.get_mut(key, context.now, event) else { return Ok(false) };
    let set = SortedSetMut::new(entry, making)?;
    let len = form::len(set.as_ref());
    let count = count.min(len);
    let reply = &mut context.reply;
    layout.header(reply, count);
    let first = match end {
        End::Front => 0,
        End::Back => len - 1,
    };
    form::visit(set.as_ref(), first, count, end.other(), |member, score| {
        if reply.position() <= bytes_max {
            layout.entry(reply);
            reply.bulk(member.text(&mut Digits::default()));
            reply.double(score);
        }
    });
    // Nothing is taken that nobody gets.
    if reply.position() > bytes_max {
        return Err(CommandError::ReplyTooLong);
    }
    match end {
        End::Front => set.remove_range(0, count),
        End::Back => set.remove_range(len - count, count),
    }
    Ok(true)
}

pub const BZPOPMIN: Command = Command {
    name: "bzpopmin",
    arity: -3,
    flags: Flags::WRITE.union(Flags::NOSCRIPT).union(Flags::BLOCKING).union(Flags::FAST),
    keys: &[KeySpec::range(1, -2, 1, POPPED)],
    handler: Handler::Keyed(
        |context, args| without_waiting(context, args, &BZPOPMIN),
        Spread::Wait(&BZPOPMINS),
    ),
    docs: Docs {
        summary: "Takes the member with the lowest score off the first of these sorted sets that \
                  has one, or waits for one.",
        since: "5.0.0",
        complexity: "O(log(N)) where N is the number of members of the sorted set.",
        arguments: "key [key ...] timeout:double",
        ..DOCS
    },
    ..ROW
};

static BZPOPMINS: Wait = Wait {
    timeout: |args| timeout_in_seconds(args.at(args.len() - 1)),
    at: WaitsAt::EveryKey,
    ready: |context, key| readiness_of(Kind::SortedSet, context, key),
    serve: |context, args, position| serve_one(context, args.at(position), End::Front),
    nothing: |reply| reply.null_array(),
};

pub const BZPOPMAX: Command = Command {
    name: "bzpopmax",
    handler: Handler::Keyed(
        |context, args| without_waiting(context, args, &BZPOPMAX),
        Spread::Wait(&BZPOPMAXES),
    ),
    docs: Docs {
        summary: "Takes the member with the highest score off the first of these sorted sets that \
                  has one, or waits for one.",
        ..BZPOPMIN.docs
    },
    ..BZPOPMIN
};

static BZPOPMAXES: Wait = Wait {
    serve: |context, args, position| serve_one(context, args.at(position), End::Back),
    ..BZPOPMINS
};

fn serve_one(context: &mut Context<'_>, key: &[u8], end: End) -> Outcome {
    context.reply.array(3);
    context.reply.bulk(key);
    match take(context, key, end, 1, Layout::Bare)? {
        true => Ok(()),
        false => Err(CommandError::NoSuchKey),
    }
}

pub const ZMPOP: Command = Command {
    name: "zmpop",
    arity: -4,
    flags: Flags::WRITE,
    keys: &[KeySpec::counted(1, POPPED)],
    handler: Handler::Keyed(
        |context, args| without_waiting(context, args, &ZMPOP),
        Spread::Wait(&ZMPOPS),
    ),
    docs: Docs {
        summary: "Takes members off the first of these sorted sets that has some.",
        since: "7.0.0",
        complexity: "O(K) + O(M*log(N)) where K is the number of keys, N the number of members of \
                     the sorted set and M how many are taken.",
        arguments: "numkeys key [key ...] <MIN | MAX> [COUNT count]",
        ..DOCS
    },
    ..ROW
};

static ZMPOPS: Wait = Wait {
    timeout: |args| Pop::parse(args, 1, end).map(|_| None),
    serve: |context, args, position| serve_several(context, args, 1, position),
    ..BZPOPMINS
};

pub const BZMPOP: Command = Command {
    name: "bzmpop",
    arity: -5,
    flags: Flags::WRITE.union(Flags::BLOCKING),
    keys: &[KeySpec::counted(2, POPPED)],
    handler: Handler::Keyed(
        |context, args| without_waiting(context, args, &BZMPOP),
        Spread::Wait(&BZMPOPS),
    ),
    docs: Docs {
        summary: "Takes members off the first of these sorted sets that has some, or waits for \
                  some.",
        arguments: "timeout:double numkeys key [key ...] <MIN | MAX> [COUNT count]",
        ..ZMPOP.docs
    },
    ..ROW
};

static BZMPOPS: Wait = Wait {
    timeout: |args| {
        Pop::parse(args, 2, end)?;
        timeout_in_seconds(args.at(1))
    },
    serve: |context, args, position| serve_several(context, args, 2, position),
    ..BZPOPMINS
};

/// MIN or MAX.
fn end(word: &[u8]) -> Result<End, CommandError> {
    match word {
        word if word.eq_ignore_ascii_case(b"MIN") => Ok(End::Front),
        word if word.eq_ignore_ascii_case(b"MAX") => Ok(End::Back),
        _ => Err(CommandError::Syntax),
    }
}

fn serve_several(
    context: &mut Context<'_>,
    args: Args<'_>,
    count_at: usize,
    position: usize,
) -> Outcome {
    let Pop { end, count } = Pop::parse(args, count_at, end)?;
    let key = args.at(position);
    context.reply.array(2);
    context.reply.bulk(key);
    match take(context, key, end, count, Layout::Nested)? {
        true => Ok(()),
        false => Err(CommandError::NoSuchKey),
    }
}
