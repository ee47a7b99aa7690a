//! When keys expire.

use crate::commands::{
    Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, KeyFlags, KeySpec,
    Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::{Event, ExpiryCondition, UnixMs};
use crate::text::number;

const CHANGED: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
const READ: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];

pub const MS_PER_SECOND: i64 = 1000;

pub const EXPIRE: Command = Command {
    name: "expire",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: CHANGED,
    handler: Handler::Keyed(expire, Spread::OneKey),
    docs: Docs {
        summary: "Sets after how many seconds a key expires.",
        since: "1.0.0",
        group: Group::Generic,
        complexity: "O(1)",
        arguments: "key seconds [NX | XX | GT | LT]",
    },
    tips: &[],
    subcommands: &[],
};

fn expire(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let base = context.now;
    set_expiry(context, args, "expire", MS_PER_SECOND, base)
}

pub const PEXPIRE: Command = Command {
    name: "pexpire",
    handler: Handler::Keyed(pexpire, Spread::OneKey),
    docs: Docs {
        summary: "Sets after how many milliseconds a key expires.",
        since: "2.6.0",
        arguments: "key milliseconds [NX | XX | GT | LT]",
        ..EXPIRE.docs
    },
    ..EXPIRE
};

fn pexpire(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let base = context.now;
    set_expiry(context, args, "pexpire", 1, base)
}

pub const EXPIREAT: Command = Command {
    name: "expireat",
    handler: Handler::Keyed(expireat, Spread::OneKey),
    docs: Docs {
        summary: "Sets the Unix time in seconds at which a key expires.",
        since: "1.2.0",
        arguments: "key unix-time-seconds [NX | XX | GT | LT]",
        ..EXPIRE.docs
    },
    ..EXPIRE
};

fn expireat(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    set_expiry(context, args, "expireat", MS_PER_SECOND, 0)
}

pub const PEXPIREAT: Command = Command {
    name: "pexpireat",
    handler: Handler::Keyed(pexpireat, Spread::OneKey),
    docs: Docs {
        summary: "Sets the Unix time in milliseconds at which a key expires.",
        since: "2.6.0",
        arguments: "key unix-time-milliseconds [NX | XX | GT | LT]",
        ..EXPIRE.docs
    },
    ..EXPIRE
};

fn pexpireat(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    set_expiry(context, args, "pexpireat", 1, 0)
}

/// A time in units of `unit_ms` milliseconds since `base`. One that has passed deletes the key.
fn set_expiry(
    context: &mut Context<'_>,
    args: Args<'_>,
    command: &'static str,
    unit_ms: i64,
    base: UnixMs,
) -> Outcome {
    let key = args.at(1);
    let condition = parse_condition(args)?;
    let value = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    let at = value
        .checked_mul(unit_ms)
        .and_then(|ms| ms.checked_add_unsigned(base))
        .ok_or(CommandError::InvalidExpireTime(command))?;
    let found = context.shard.db_mut(context.db_index).get_mut(key, context.now, Event::Expire);
    let Some(mut entry) = found.filter(|entry| condition.allows(entry.expiry(), at)) else {
        context.reply.integer(0);
        return Ok(());
    };
    match UnixMs::try_from(at) {
        Ok(at) if at > context.now => entry.set_expiry(Some(at)),
        _ => {
            entry.set_event(Event::Del);
            entry.remove();
        }
    }
    context.reply.integer(1);
    Ok(())
}

/// The condition that a word stands for.
pub fn condition_named(word: &[u8]) -> Option<ExpiryCondition> {
    let none = ExpiryCondition::default();
    let conditions = [
        ("NX", ExpiryCondition { only_without: true, ..none }),
        ("XX", ExpiryCondition { only_with: true, ..none }),
        ("GT", ExpiryCondition { only_later: true, ..none }),
        ("LT", ExpiryCondition { only_earlier: true, ..none }),
    ];
    let named = conditions.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    named.map(|(_, condition)| *condition)
}

fn parse_condition(args: Args<'_>) -> Result<ExpiryCondition, CommandError> {
    let mut condition = ExpiryCondition::default();
    for option in args.from(3).iter() {
        let Some(named) = condition_named(option) else {
            return Err(CommandError::quoting("ERR Unsupported option ", option, ""));
        };
        condition = condition.and(named);
    }
    let ExpiryCondition { only_without, only_with, only_later, only_earlier } = condition;
    if only_without && (only_with || only_later || only_earlier) {
        return Err(CommandError::text(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if only_later && only_earlier {
        return Err(CommandError::text(
            "ERR GT and LT options at the same time are not compatible",
        ));
    }
    Ok(condition)
}

pub const PERSIST: Command = Command {
    name: "persist",
    arity: 2,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: CHANGED,
    handler: Handler::Keyed(persist, Spread::OneKey),
    docs: Docs {
        summary: "Makes a key live for ever.",
        since: "2.2.0",
        group: Group::Generic,
        complexity: "O(1)",
        arguments: "key",
    },
    tips: &[],
    subcommands: &[],
};

fn persist(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let found =
        context.shard.db_mut(context.db_index).get_mut(args.at(1), context.now, Event::Persist);
    let had_expiry = match found {
        Some(mut entry) if entry.expiry().is_some() => {
            entry.set_expiry(None);
            true
        }
        _ => false,
    };
    context.reply.integer(i64::from(had_expiry));
    Ok(())
}

pub const TTL: Command = Command {
    name: "ttl",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: READ,
    handler: Handler::Keyed(ttl, Spread::OneKey),
    docs: Docs {
        summary: "Returns how many seconds a key has left: -1 if for ever, -2 if it does not exist.",
        since: "1.0.0",
        group: Group::Generic,
        complexity: "O(1)",
        arguments: "key",
    },
    tips: &["nondeterministic_output"],
    subcommands: &[],
};

fn ttl(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let now = context.now;
    reply_with_expiry(context, args, |at| to_seconds(at - now))
}

pub const PTTL: Command = Command {
    name: "pttl",
    handler: Handler::Keyed(pttl, Spread::OneKey),
    docs: Docs {
        summary: "Returns how many milliseconds a key has left: -1 if for ever, -2 if it does \
                  not exist.",
        since: "2.6.0",
        ..TTL.docs
    },
    ..TTL
};

fn pttl(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let now = context.now;
    reply_with_expiry(context, args, |at| at - now)
}

pub const EXPIRETIME: Command = Command {
    name: "expiretime",
    handler: Handler::Keyed(expiretime, Spread::OneKey),
    docs: Docs {
        summary: "Returns the Unix time in seconds at which a key expires: -1 if never, -2 if it \
                  does not exist.",
        since: "7.0.0",
        ..TTL.docs
    },
    tips: &[],
    ..TTL
};

fn expiretime(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    reply_with_expiry(context, args, to_seconds)
}

pub const PEXPIRETIME: Command = Command {
    name: "pexpiretime",
    handler: Handler::Keyed(pexpiretime, Spread::OneKey),
    docs: Docs {
        summary: "Returns the Unix time in milliseconds at which a key expires: -1 if never, -2 \
                  if it does not exist.",
        since: "7.0.0",
        ..TTL.docs
    },
    tips: &[],
    ..TTL
};

fn pexpiretime(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    reply_with_expiry(context, args, |at| at)
}

/// Milliseconds to the nearest second.
fn to_seconds(ms: u64) -> u64 {
    (ms + 500) / 1000
}

/// Replies with what `show` makes of the moment at which a key expires; that moment has yet to
/// come, or the key would not be found.
fn reply_with_expiry(
    context: &mut Context<'_>,
    args: Args<'_>,
    show: impl FnOnce(UnixMs) -> u64,
) -> Outcome {
    let reply = match context.glance(args.at(1)).map(|entry| entry.expiry()) {
        // Times are set from signed numbers, so they fit one.
        Some(Some(at)) => show(at) as i64,
        Some(None) => -1,
        None => -2,
    };
    context.reply.integer(reply);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;

    #[test]
    fn expire_in_all_units() {
        let mut server = Server::new();
        server.check(&[
            ("set k v", "+OK"),
            ("ttl k", ":-1"),
            ("pttl k", ":-1"),
            ("expiretime k", ":-1"),
            ("pexpiretime k", ":-1"),
            ("ttl none", ":-2"),
            ("pttl none", ":-2"),
            ("expiretime none", ":-2"),
            ("pexpiretime none", ":-2"),
            ("expire none 10", ":0"),
            ("expire k 100", ":1"),
            ("ttl k", ":100"),
            ("pttl k", ":100000"),
            ("expiretime k", ":1700000100"),
            ("pexpire k 1499", ":1"),
            ("ttl k", ":1"),
            ("pexpire k 1500", ":1"),
            ("ttl k", ":2"),
            ("pexpiretime k", ":1700000001500"),
            ("expireat k 1999999999", ":1"),
            ("expiretime k", ":1999999999"),
            ("pexpireat k 1999999999499", ":1"),
            ("expiretime k", ":1999999999"),
            ("pexpireat k 1999999999500", ":1"),
            ("expiretime k", ":2000000000"),
            ("pexpireat k 9223372036854775807", ":1"),
            ("expiretime k", ":9223372036854776"),
            ("pexpiretime k", ":9223372036854775807"),
            ("get k", "$1 v"),
            ("persist k", ":1"),
            ("persist k", ":0"),
            ("persist none", ":0"),
            ("ttl k", ":-1"),
            ("pexpire k 5", ":1"),
        ]);
        server.advance_ms(4);
        server.check(&[("pttl k", ":1"), ("ttl k", ":0")]);
        server.advance_ms(1);
        server.check(&[("pttl k", ":-2"), ("persist k", ":0"), ("expire k 10", ":0")]);
    }

    #[test]
    fn a_time_that_has_passed_deletes() {
        let mut server = Server::new();
        for line in [
            "expire k 0",
            "expire k -1",
            "expire k -9223372036854775",
            "pexpire k -9223372036854775808",
            "pexpireat k -9223372036854775808",
            "pexpireat k -5",
            "pexpireat k 1700000000000",
            "expireat k 1",
            "expire k -1 nx",
        ] {
            server.check(&[("set k v", "+OK"), (line, ":1"), ("dbsize", ":0"), (line, ":0")]);
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut server = Server::new();
        for (command, value) in [
            ("expire", "9223372036854775807"),
            ("expire", "9223372036854775"),
            ("expire", "-9223372036854775808"),
            ("pexpire", "9223372036854775807"),
            ("expireat", "9223372036854775807"),
            ("expireat", "-9223372036854775808"),
        ] {
            let expected = format!("-ERR invalid expire time in '{command}' command");
            assert_eq!(server.run(&format!("{command} k {value}")), expected, "{value}");
        }
        server.check(&[("expire k abc", "-ERR value is not an integer or out of range")]);
    }

    #[test]
    fn conditions() {
        const NX: &str = "-ERR NX and XX, GT or LT options at the same time are not compatible";
        Server::new().check(&[
            ("set k v", "+OK"),
            ("expire k 10 nx xx", NX),
            ("expire k 10 nx gt", NX),
            ("expire k 10 LT NX", NX),
            ("expire k abc nx xx", NX),
            ("expire k 10 gt lt", "-ERR GT and LT options at the same time are not compatible"),
            ("expire k 10 foo", "-ERR Unsupported option foo"),
            ("expire none 10 nx foo", "-ERR Unsupported option foo"),
            ("expire k 10 \"a\\r\\nb\"", "-ERR Unsupported option a  b"),
            ("expire k 10 \"a\\r\\n\\x00b\"", "-ERR Unsupported option a"),
            ("expire k 10 xx", ":0"),
            ("expire k 10 xx gt", ":0"),
            ("expire k 100 gt", ":0"),
            ("expire k 100 lt", ":1"),
            ("expire k 50 nx", ":0"),
            ("expire k 50 gt", ":0"),
            ("expire k 100 lt", ":0"),
            ("expire k 200 gt", ":1"),
            ("expire k 200 gt xx", ":0"),
            ("expire k 300 XX GT", ":1"),
            ("expire k -1 gt", ":0"),
            ("expire k -1 nx", ":0"),
            ("ttl k", ":300"),
            ("expire k -1 lt", ":1"),
            ("exists k", ":0"),
        ]);
    }
}
