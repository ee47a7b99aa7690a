//! Reading lists by index.

use super::form::{get, len, visit};
use super::{DOCS, ROW, integer, range};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
    reply_bytes_max,
};
use crate::protocol::Args;
use crate::store::End;
use crate::text::number::Digits;

pub const LLEN: Command = Command {
    name: "llen",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    handler: Handler::Keyed(llen, Spread::OneKey),
    docs: Docs {
        summary: "Returns the number of elements of a list.",
        since: "1.0.0",
        arguments: "key",
        ..DOCS
    },
    ..ROW
};

fn llen(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let len = match context.read(args.at(1)) {
        Some(entry) => len(entry.collection()?),
        None => 0,
    };
    context.reply.integer(len as i64);
    Ok(())
}

pub const LINDEX: Command = Command {
    name: "lindex",
    arity: 3,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(lindex, Spread::OneKey),
    docs: Docs {
        summary: "Returns the element of a list that has this index; negative ones count from the \
                  back.",
        since: "1.0.0",
        complexity: "O(log N) where N is the length of the list.",
        arguments: "key index",
        ..DOCS
    },
    ..ROW
};

fn lindex(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let found = context.shard.read(context.db_index, args.at(1), context.now);
    let element = match found {
        Some(entry) => {
            let list = entry.collection()?;
            get(list, integer(args.at(2))?)
        }
        None => None,
    };
    match element {
        Some(element) => context.reply.bulk(element.text(&mut Digits::default())),
        None => context.reply.null(),
    }
    Ok(())
}

pub const LRANGE: Command = Command {
    name: "lrange",
    arity: 4,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(lrange, Spread::OneKey),
    docs: Docs {
        summary: "Returns the elements of a list from one index to another, both included.",
        since: "1.0.0",
        complexity: "O(log(L)+N) where L is the length of the list and N the number of elements \
                     returned.",
        arguments: "key start stop",
        ..DOCS
    },
    ..ROW
};

fn lrange(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (start, stop) = (integer(args.at(2))?, integer(args.at(3))?);
    let bytes_max = reply_bytes_max(context.config);
    let reply = &mut context.reply;
    let Some(entry) = context.shard.read(context.db_index, args.at(1), context.now) else {
        reply.array(0);
        return Ok(());
    };
    let list = entry.collection()?;
    let (first, count) = range(start, stop, len(list));
    reply.array(count);
    visit(list, first, count, End::Back, |element| {
        if reply.position() <= bytes_max {
            reply.bulk(element.text(&mut Digits::default()));
        }
    });
    if reply.position() > bytes_max {
        return Err(CommandError::ReplyTooLong);
    }
    Ok(())
}
