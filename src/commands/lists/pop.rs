//! Taking elements off the first of several lists that has some, at once or when there are some.

use super::ends::{pop_into_reply, pop_several};
use super::moves::end;
use super::{DOCS, ROW};
use crate::commands::blocking::{readiness_of, timeout_in_seconds, without_waiting};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread, Wait,
    WaitsAt,
};
use crate::protocol::Args;
use crate::store::{End, Kind};
use crate::text::number;

const POPPED: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

pub const BLPOP: Command = Command {
    name: "blpop",
    arity: -3,
    flags: Flags::WRITE.union(Flags::NOSCRIPT).union(Flags::BLOCKING),
    keys: &[KeySpec::range(1, -2, 1, POPPED)],
    handler: Handler::Keyed(
        |context, args| without_waiting(context, args, &BLPOP),
        Spread::Wait(&BLPOPS),
    ),
    docs: Docs {
        summary: "Takes the first element off the first of these lists that has one, or waits for \
                  one.",
        since: "2.0.0",
        complexity: "O(N) where N is the number of keys.",
        arguments: "key [key ...] timeout:double",
        ..DOCS
    },
    ..ROW
};

static BLPOPS: Wait = Wait {
    timeout: |args| timeout_in_seconds(args.at(args.len() - 1)),
    at: WaitsAt::EveryKey,
    ready: |context, key| readiness_of(Kind::List, context, key),
    serve: |context, args, position| pop_one(context, args.at(position), End::Front),
    nothing: |reply| reply.null_array(),
};

pub const BRPOP: Command = Command {
    name: "brpop",
    handler: Handler::Keyed(
        |context, args| without_waiting(context, args, &BRPOP),
        Spread::Wait(&BRPOPS),
    ),
    docs: Docs {
        summary: "Takes the last element off the first of these lists that has one, or waits for \
                  one.",
        ..BLPOP.docs
    },
    ..BLPOP
};

static BRPOPS: Wait = Wait {
    serve: |context, args, position| pop_one(context, args.at(position), End::Back),
    ..BLPOPS
};

fn pop_one(context: &mut Context<'_>, key: &[u8], end: End) -> Outcome {
    context.reply.array(2);
    context.reply.bulk(key);
    match pop_into_reply(context, key, end)? {
        true => Ok(()),
        false => Err(CommandError::NoSuchKey),
    }
}

pub const LMPOP: Command = Command {
    name: "lmpop",
    arity: -4,
    flags: Flags::WRITE,
    keys: &[KeySpec::counted(1, POPPED)],
    handler: Handler::Keyed(
        |context, args| without_waiting(context, args, &LMPOP),
        Spread::Wait(&LMPOPS),
    ),
    docs: Docs {
        summary: "Takes elements off the first of these lists that has some.",
        since: "7.0.0",
        complexity: "O(N+M) where N is the number of keys and M the number of elements returned.",
        arguments: "numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
        ..DOCS
    },
    ..ROW
};

static LMPOPS: Wait = Wait {
    timeout: |args| Pop::parse(args, 1, end).map(|_| None),
    serve: |context, args, position| serve_pop(context, args, 1, position),
    ..BLPOPS
};

pub const BLMPOP: Command = Command {
    name: "blmpop",
    arity: -5,
    flags: Flags::WRITE.union(Flags::BLOCKING),
    keys: &[KeySpec::counted(2, POPPED)],
    handler: Handler::Keyed(
        |context, args| without_waiting(context, args, &BLMPOP),
        Spread::Wait(&BLMPOPS),
    ),
    docs: Docs {
        summary: "Takes elements off the first of these lists that has some, or waits for some.",
        since: "7.0.0",
        complexity: "O(N+M) where N is the number of keys and M the number of elements returned.",
        arguments: "timeout:double numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
        ..DOCS
    },
    ..ROW
};

static BLMPOPS: Wait = Wait {
    timeout: |args| {
        Pop::parse(args, 2, end)?;
        timeout_in_seconds(args.at(1))
    },
    serve: |context, args, position| serve_pop(context, args, 2, position),
    ..BLPOPS
};

/// What LMPOP, BLMPOP and their like take, as the arguments behind their keys say.
pub struct Pop {
    pub end: End,
    pub count: usize,
}

impl Pop {
    /// `count_at` is the argument that says how many keys follow it, `end` understands the word for
    /// an end.
    pub fn parse(
        args: Args<'_>,
        count_at: usize,
        end: fn(&[u8]) -> Result<End, CommandError>,
    ) -> Result<Pop, CommandError> {
        let keys = positive(args.at(count_at), "ERR numkeys should be greater than 0")?;
        let rest = count_at.saturating_add(1).saturating_add(keys);
        let end = end(args.get(rest).ok_or(CommandError::Syntax)?)?;
        let mut pop = Pop { end, count: 1 };
        let options = args.from(rest + 1);
        match (options.get(0), options.get(1), options.len()) {
            (None, ..) => {}
            (Some(word), Some(count), _) if word.eq_ignore_ascii_case(b"COUNT") => {
                pop.count = positive(count, "ERR count should be greater than 0")?;
                if options.len() > 2 {
                    return Err(CommandError::Syntax);
                }
            }
            _ => return Err(CommandError::Syntax),
        }
        Ok(pop)
    }
}

fn positive(argument: &[u8], error: &'static str) -> Result<usize, CommandError> {
    let count = number::parse_i64(argument).and_then(|count| usize::try_from(count).ok());
    count.filter(|&count| count > 0).ok_or(CommandError::text(error))
}

fn serve_pop(
    context: &mut Context<'_>,
    args: Args<'_>,
    count_at: usize,
    position: usize,
) -> Outcome {
    let Pop { end, count } = Pop::parse(args, count_at, end)?;
    let key = args.at(position);
    context.reply.array(2);
    context.reply.bulk(key);
    match pop_several(context, key, end, count)? {
        true => Ok(()),
        false => Err(CommandError::NoSuchKey),
    }
}
