//! When fields expire.

use super::form::HashRef;
use super::named_fields::{change_each, counted_fields, named_fields};
use super::{DOCS, ROW};
use crate::commands::keys::expiry::{MS_PER_SECOND, condition_named};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
};
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::store::{Event, ExpiryCondition, Kind, UnixMs};
use crate::text::number;

const CHANGE: Flags = Flags::WRITE.union(Flags::FAST);
const CHANGED: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
const READ: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];

/// The latest expiry of a field: Redis keeps 46 bits of it.
const EXPIRY_MAX: i64 = (1 << 46) - 1;

/// What commands answer for each field.
const NO_FIELD: i64 = -2;
const NO_EXPIRY: i64 = -1;
const NOT_CHANGED: i64 = 0;
const CHANGED_IT: i64 = 1;
const DELETED: i64 = 2;

const COMPLEXITY: &str = "O(N) where N is the number of fields given.";

pub const HEXPIRE: Command = Command {
    name: "hexpire",
    arity: -6,
    flags: CHANGE,
    keys: CHANGED,
    handler: Handler::Keyed(hexpire, Spread::OneKey),
    docs: Docs {
        summary: "Sets after how many seconds fields of a hash expire.",
        since: "7.4.0",
        complexity: COMPLEXITY,
        arguments: "key seconds [NX | XX | GT | LT] <FIELDS numfields field [field ...]>",
        ..DOCS
    },
    ..ROW
};

fn hexpire(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let base = context.now;
    set_expiries(context, args, "hexpire", MS_PER_SECOND, base)
}

pub const HPEXPIRE: Command = Command {
    name: "hpexpire",
    handler: Handler::Keyed(hpexpire, Spread::OneKey),
    docs: Docs {
        summary: "Sets after how many milliseconds fields of a hash expire.",
        arguments: "key milliseconds [NX | XX | GT | LT] <FIELDS numfields field [field ...]>",
        ..HEXPIRE.docs
    },
    ..HEXPIRE
};

fn hpexpire(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let base = context.now;
    set_expiries(context, args, "hpexpire", 1, base)
}

pub const HEXPIREAT: Command = Command {
    name: "hexpireat",
    handler: Handler::Keyed(hexpireat, Spread::OneKey),
    docs: Docs {
        summary: "Sets the Unix time in seconds at which fields of a hash expire.",
        arguments: "key unix-time-seconds [NX | XX | GT | LT] <FIELDS numfields field [field ...]>",
        ..HEXPIRE.docs
    },
    ..HEXPIRE
};

fn hexpireat(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    set_expiries(context, args, "hexpireat", MS_PER_SECOND, 0)
}

pub const HPEXPIREAT: Command = Command {
    name: "hpexpireat",
    handler: Handler::Keyed(hpexpireat, Spread::OneKey),
    docs: Docs {
        summary: "Sets the Unix time in milliseconds at which fields of a hash expire.",
        arguments: "key unix-time-milliseconds [NX | XX | GT | LT] \
                    <FIELDS numfields field [field ...]>",
        ..HEXPIRE.docs
    },
    ..HEXPIRE
};

fn hpexpireat(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    set_expiries(context, args, "hpexpireat", 1, 0)
}

/// The moment that is so many units of `unit_ms` milliseconds after `base`.
///
/// # Errors
/// The value is no integer, negative, or too far away for a field; `command` is named in the text.
pub fn moment(
    value: &[u8],
    command: &'static str,
    unit_ms: i64,
    base: UnixMs,
) -> Result<UnixMs, CommandError> {
    let value = number::parse_i64(value).ok_or(CommandError::NotInteger)?;
    if value < 0 {
        return Err(CommandError::text("ERR invalid expire time, must be >= 0"));
    }
    let at = value.checked_mul(unit_ms).and_then(|ms| ms.checked_add_unsigned(base));
    let at = at.filter(|&at| at <= EXPIRY_MAX).and_then(|at| UnixMs::try_from(at).ok());
    at.ok_or(CommandError::InvalidExpireTime(command))
}

/// Redis looks at the type of the value before it reads the options.
pub fn check_type(context: &Context<'_>, key: &[u8]) -> Outcome {
    match context.peek(key) {
        Some(entry) if entry.kind() != Kind::Hash => Err(CommandError::WrongType),
        _ => Ok(()),
    }
}

fn set_expiries(
    context: &mut Context<'_>,
    args: Args<'_>,
    command: &'static str,
    unit_ms: i64,
    base: UnixMs,
) -> Outcome {
    let key = args.at(1);
    check_type(context, key)?;
    let at = moment(args.at(2), command, unit_ms, base)?;
    let (condition, fields_at) = match condition_named(args.at(3)) {
        Some(condition) => (condition, 4),
        None => (ExpiryCondition::default(), 3),
    };
    let no_count = "ERR Parameter `numFields` should be greater than 0";
    let names = counted_fields(args, fields_at, no_count)?;
    let now = context.now;
    let event = if at > now { Event::HExpire } else { Event::HDel };
    let absent = |reply: &mut Reply<'_>| reply.integer(NO_FIELD);
    change_each(context, key, names, event, absent, |hash, reply, name| {
        reply.integer(match hash.as_ref().get(name).map(|field| field.expiry) {
            None => NO_FIELD,
            Some(current) if !condition.allows(current, at as i64) => NOT_CHANGED,
            Some(_) if at > now => {
                hash.set_expiry(name, Some(at))?;
                CHANGED_IT
            }
            Some(_) => {
                hash.remove(name, |_| ());
                DELETED
            }
        });
        Ok(())
    })
}

pub const HPERSIST: Command = Command {
    name: "hpersist",
    arity: -5,
    flags: CHANGE,
    keys: CHANGED,
    handler: Handler::Keyed(hpersist, Spread::OneKey),
    docs: Docs {
        summary: "Makes fields of a hash live for ever.",
        since: "7.4.0",
        complexity: COMPLEXITY,
        arguments: "key <FIELDS numfields field [field ...]>",
        ..DOCS
    },
    ..ROW
};

fn hpersist(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let key = args.at(1);
    check_type(context, key)?;
    let names = named_fields(args, 2)?;
    let absent = |reply: &mut Reply<'_>| reply.integer(NO_FIELD);
    change_each(context, key, names, Event::HPersist, absent, |hash, reply, name| {
        reply.integer(match hash.as_ref().get(name).map(|field| field.expiry) {
            None => NO_FIELD,
            Some(None) => NO_EXPIRY,
            Some(Some(_)) => {
                hash.set_expiry(name, None)?;
                CHANGED_IT
            }
        });
        Ok(())
    })
}

pub const HTTL: Command = Command {
    name: "httl",
    arity: -5,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: READ,
    handler: Handler::Keyed(httl, Spread::OneKey),
    docs: Docs {
        summary: "Returns how many seconds fields of a hash have left: -1 if for ever, -2 if there \
                  is no such field.",
        since: "7.4.0",
        complexity: COMPLEXITY,
        arguments: "key <FIELDS numfields field [field ...]>",
        ..DOCS
    },
    tips: &["nondeterministic_output"],
    ..ROW
};

fn httl(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let now = context.now;
    reply_with_expiries(context, args, |at| to_seconds(at - now))
}

pub const HPTTL: Command = Command {
    name: "hpttl",
    handler: Handler::Keyed(hpttl, Spread::OneKey),
    docs: Docs {
        summary: "Returns how many milliseconds fields of a hash have left: -1 if for ever, -2 if \
                  there is no such field.",
        ..HTTL.docs
    },
    ..HTTL
};

fn hpttl(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let now = context.now;
    reply_with_expiries(context, args, |at| at - now)
}

pub const HEXPIRETIME: Command = Command {
    name: "hexpiretime",
    handler: Handler::Keyed(hexpiretime, Spread::OneKey),
    docs: Docs {
        summary: "Returns the Unix time in seconds at which fields of a hash expire: -1 if never, \
                  -2 if there is no such field.",
        ..HTTL.docs
    },
    tips: &[],
    ..HTTL
};

fn hexpiretime(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    reply_with_expiries(context, args, to_seconds)
}

pub const HPEXPIRETIME: Command = Command {
    name: "hpexpiretime",
    handler: Handler::Keyed(hpexpiretime, Spread::OneKey),
    docs: Docs {
        summary: "Returns the Unix time in milliseconds at which fields of a hash expire: -1 if \
                  never, -2 if there is no such field.",
        ..HTTL.docs
    },
    tips: &[],
    ..HTTL
};

fn hpexpiretime(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    reply_with_expiries(context, args, |at| at)
}

/// Milliseconds to the next second.
fn to_seconds(ms: u64) -> u64 {
    ms.div_ceil(1000)
}

/// `show` makes of the moment at which a field expires, which has yet to come, what is answered.
fn reply_with_expiries(
    context: &mut Context<'_>,
    args: Args<'_>,
    show: impl Fn(UnixMs) -> u64,
) -> Outcome {
    let found = context.shard.read(context.db_index, args.at(1), context.now);
    let hash = found.map(|entry| HashRef::new(entry, context.now)).transpose()?;
    let names = named_fields(args, 2)?;
    context.reply.array(names.len());
    for name in names.iter() {
        let expiry = hash.and_then(|hash| hash.get(name)).map(|field| field.expiry);
        context.reply.integer(match expiry {
            None => NO_FIELD,
            Some(None) => NO_EXPIRY,
            Some(Some(at)) => show(at) as i64,
        });
    }
    Ok(())
}
