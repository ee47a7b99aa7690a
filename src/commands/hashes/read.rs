//! Reading fields.

use super::form::HashRef;
use super::{DOCS, ROW};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
    reply_bytes_max,
};
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::store::value::packed::Element;
use crate::text::number::Digits;

const READ: Flags = Flags::READONLY.union(Flags::FAST);
const KEYS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO)];
const ACCESSED: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];

/// The hash at a key that a client reads.
#[inline]
fn read<'a>(context: &'a mut Context<'_>, key: &[u8]) -> Result<Option<HashRef<'a>>, CommandError> {
    let now = context.now;
    Ok(context.read(key).map(|entry| HashRef::new(entry, now)).transpose()?)
}

/// A value, or null if there is none.
#[inline]
pub fn reply_value(reply: &mut Reply<'_>, value: Option<Element<'_>>) {
    match value {
        Some(value) => reply.bulk(value.text(&mut Digits::default())),
        None => reply.null(),
    }
}

pub const HGET: Command = Command {
    name: "hget",
    arity: 3,
    flags: READ,
    keys: ACCESSED,
    handler: Handler::Keyed(hget, Spread::OneKey),
    docs: Docs {
        summary: "Returns the value of a field of a hash.",
        arguments: "key field",
        ..DOCS
    },
    ..ROW
};

fn hget(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let found = context.shard.read(context.db_index, args.at(1), context.now);
    let field = match found {
        Some(entry) => HashRef::new(entry, context.now)?.get(args.at(2)),
        None => None,
    };
    reply_value(&mut context.reply, field.map(|field| field.value));
    Ok(())
}

pub const HMGET: Command = Command {
    name: "hmget",
    arity: -3,
    handler: Handler::Keyed(hmget, Spread::OneKey),
    docs: Docs {
        summary: "Returns the values of fields of a hash.",
        complexity: "O(N) where N is the number of fields given.",
        arguments: "key field [field ...]",
        ..DOCS
    },
    ..HGET
};

fn hmget(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let found = context.shard.read(context.db_index, args.at(1), context.now);
    let hash = found.map(|entry| HashRef::new(entry, context.now)).transpose()?;
    let (names, bytes_max) = (args.from(2), reply_bytes_max(context.config));
    let reply = &mut context.reply;
    reply.array(names.len());
    for name in names.iter() {
        let field = hash.and_then(|hash| hash.get(name));
        reply_value(reply, field.map(|field| field.value));
        if reply.position() > bytes_max {
            return Err(CommandError::ReplyTooLong);
        }
    }
    Ok(())
}

pub const HEXISTS: Command = Command {
    name: "hexists",
    arity: 3,
    flags: READ,
    keys: KEYS,
    handler: Handler::Keyed(hexists, Spread::OneKey),
    docs: Docs { summary: "Returns whether a hash has a field.", arguments: "key field", ..DOCS },
    ..ROW
};

fn hexists(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let exists = read(context, args.at(1))?.is_some_and(|hash| hash.get(args.at(2)).is_some());
    context.reply.integer(i64::from(exists));
    Ok(())
}

pub const HSTRLEN: Command = Command {
    name: "hstrlen",
    handler: Handler::Keyed(hstrlen, Spread::OneKey),
    docs: Docs {
        summary: "Returns the length of the value of a field of a hash, in bytes.",
        since: "3.2.0",
        ..HEXISTS.docs
    },
    ..HEXISTS
};

fn hstrlen(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let field = read(context, args.at(1))?.and_then(|hash| hash.get(args.at(2)));
    let len = field.map_or(0, |field| field.value.text(&mut Digits::default()).len());
    context.reply.integer(len as i64);
    Ok(())
}

/// What has expired does not count; it takes time by its number until it is dropped.
pub const HLEN: Command = Command {
    name: "hlen",
    arity: 2,
    handler: Handler::Keyed(hlen, Spread::OneKey),
    docs: Docs {
        summary: "Returns the number of fields of a hash.",
        arguments: "key",
        ..HEXISTS.docs
    },
    ..HEXISTS
};

fn hlen(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let len = read(context, args.at(1))?.map_or(0, HashRef::len);
    context.reply.integer(len as i64);
    Ok(())
}

pub const HGETALL: Command = Command {
    name: "hgetall",
    arity: 2,
    flags: Flags::READONLY,
    keys: ACCESSED,
    handler: Handler::Keyed(hgetall, Spread::OneKey),
    docs: Docs {
        summary: "Returns all fields of a hash and their values.",
        complexity: "O(N) where N is the number of fields.",
        arguments: "key",
        ..DOCS
    },
    tips: &["nondeterministic_output_order"],
    ..ROW
};

fn hgetall(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    reply_all(context, args, &[Part::Name, Part::Value])
}

pub const HKEYS: Command = Command {
    name: "hkeys",
    handler: Handler::Keyed(hkeys, Spread::OneKey),
    docs: Docs { summary: "Returns the names of all fields of a hash.", ..HGETALL.docs },
    ..HGETALL
};

fn hkeys(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    reply_all(context, args, &[Part::Name])
}

pub const HVALS: Command = Command {
    name: "hvals",
    handler: Handler::Keyed(hvals, Spread::OneKey),
    docs: Docs { summary: "Returns the values of all fields of a hash.", ..HGETALL.docs },
    ..HGETALL
};

fn hvals(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    reply_all(context, args, &[Part::Value])
}

#[derive(Clone, Copy)]
enum Part {
    Name,
    Value,
}

/// Replies with these parts of all fields.
#[inline]
fn reply_all(context: &mut Context<'_>, args: Args<'_>, parts: &[Part]) -> Outcome {
    let bytes_max = reply_bytes_max(context.config);
    let found = context.shard.read(context.db_index, args.at(1), context.now);
    let hash = found.map(|entry| HashRef::new(entry, context.now)).transpose()?;
    let len = hash.map_or(0, HashRef::len);
    let reply = &mut context.reply;
    match parts {
        [_] => reply.array(len),
        _ => reply.map(len),
    }
    let Some(hash) = hash else { return Ok(()) };
    hash.visit(|field| {
        if reply.position() <= bytes_max {
            for part in parts {
                let element = match part {
                    Part::Name => field.name,
                    Part::Value => field.value,
                };
                reply.bulk(element.text(&mut Digits::default()));
            }
        }
    });
    if reply.position() > bytes_max {
        return Err(CommandError::ReplyTooLong);
    }
    Ok(())
}
