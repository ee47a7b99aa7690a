//! Reading strings: whole values, and what happens to them afterwards.

use super::lifetime::Lifetime;
use super::{DOCS, ROW};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Merge, Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::{Encoding, Event, PREFETCHED_KEYS, Slot};

pub const GET: Command = Command {
    name: "get",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(get, Spread::OneKey),
    docs: Docs {
        summary: "Returns the string stored at a key.",
        since: "1.0.0",
        arguments: "key",
        ..DOCS
    },
    ..ROW
};

fn get(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let sends_apart = context.shard.sends_apart();
    match context.shard.read(context.db_index, args.at(1), context.now) {
        Some(entry) => match sends_apart.then(|| entry.share_large()).flatten() {
            None => context.reply.bulk(&entry.as_string()?),
            Some(value) => {
                context.reply.bulk_header(value.len());
                context.shard.send_apart(value);
            }
        },
        None => context.reply.null(),
    }
    Ok(())
}

pub const GETDEL: Command = Command {
    name: "getdel",
    arity: 2,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    handler: Handler::Keyed(getdel, Spread::OneKey),
    docs: Docs {
        summary: "Returns the string stored at a key and deletes the key.",
        since: "6.2.0",
        arguments: "key",
        ..DOCS
    },
    ..ROW
};

fn getdel(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let key = args.at(1);
    match context.shard.read(context.db_index, key, context.now) {
        Some(entry) => context.reply.bulk(&entry.as_string()?),
        None => {
            context.reply.null();
            return Ok(());
        }
    }
    context.shard.db_mut(context.db_index).remove(key, context.now, Event::Del);
    Ok(())
}

pub const GETEX: Command = Command {
    name: "getex",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))
        .with_notes("RW and UPDATE because it changes the TTL")],
    handler: Handler::Keyed(getex, Spread::OneKey),
    docs: Docs {
        summary: "Returns the string stored at a key and changes when the key expires.",
        since: "6.2.0",
        arguments: "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
                    PXAT unix-time-milliseconds | PERSIST]",
        ..DOCS
    },
    ..ROW
};

fn getex(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let key = args.at(1);
    let mut lifetime = Lifetime::Unsaid;
    let mut at = 2;
    while at < args.len() {
        match lifetime.read(args, at)? {
            0 => return Err(CommandError::Syntax),
            _ if lifetime == Lifetime::Keep => return Err(CommandError::Syntax),
            taken => at += taken,
        }
    }
    let event = match lifetime {
        Lifetime::Persist => Event::Persist,
        _ => Event::Expire,
    };
    let found = context.shard.read_mut(context.db_index, key, context.now, event);
    let Some(mut entry) = found else {
        context.reply.null();
        return Ok(());
    };
    context.reply.bulk(&entry.as_string()?);
    match lifetime {
        Lifetime::Persist if entry.expiry().is_some() => entry.set_expiry(None),
        Lifetime::Unsaid | Lifetime::Keep | Lifetime::Persist => {}
        Lifetime::Until(time) => match time.resolve("getex", context.now)? {
            at if at > context.now => entry.set_expiry(Some(at)),
            _ => {
                entry.set_event(Event::Del);
                entry.remove();
            }
        },
    }
    Ok(())
}

pub const GETSET: Command = Command {
    name: "getset",
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    handler: Handler::Keyed(getset, Spread::OneKey),
    docs: Docs {
        summary: "Sets a key to a string and returns what it held before; SET with GET does so too.",
        since: "1.0.0",
        arguments: "key value",
        ..DOCS
    },
    ..ROW
};

fn getset(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (key, value) = (args.at(1), args.at(2));
    let encoding = Encoding::of_value(value);
    match context.shard.read_slot(context.db_index, key, context.now, Event::Set) {
        Slot::Occupied(mut entry) => {
            context.reply.bulk(&entry.as_string()?);
            entry.replace_string_and_expiry(value, encoding, None);
        }
        Slot::Vacant(slot) => {
            context.reply.null();
            slot.insert(value, encoding, None);
        }
    }
    Ok(())
}

pub const MGET: Command = Command {
    name: "mget",
    arity: -2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::to_end(1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(mget, Spread::Split(Merge::ByKey)),
    docs: Docs {
        summary: "Returns the strings stored at several keys, null for each that holds none.",
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys.",
        arguments: "key [key ...]",
        ..DOCS
    },
    tips: &["request_policy:multi_shard"],
    ..ROW
};

fn mget(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let keys = args.from(1);
    context.reply.array(keys.len());
    for (index, key) in keys.iter().enumerate() {
        if index.is_multiple_of(PREFETCHED_KEYS) && keys.len() > 1 {
            context.db().prefetch_some(keys.from(index).iter());
        }
        let found = context.shard.read(context.db_index, key, context.now);
        match found.and_then(|entry| entry.as_string().ok()) {
            Some(value) => context.reply.bulk(&value),
            None => context.reply.null(),
        }
        context.check_reply()?;
    }
    Ok(())
}

pub const STRLEN: Command = Command {
    name: "strlen",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    handler: Handler::Keyed(strlen, Spread::OneKey),
    docs: Docs {
        summary: "Returns the length of the string stored at a key, in bytes.",
        since: "2.2.0",
        arguments: "key",
        ..DOCS
    },
    ..ROW
};

fn strlen(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let found = context.shard.read(context.db_index, args.at(1), context.now);
    let len = found.map_or(Ok(0), |entry| entry.as_string().map(|text| text.len()))?;
    context.reply.integer(len as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;

    #[test]
    fn get_and_mget() {
        Server::new().check(&[
            ("get k", "$-1"),
            ("set k value", "+OK"),
            ("get k", "$5 value"),
            ("GET k", "$5 value"),
            ("mget k none k", "*3 $5 value $-1 $5 value"),
            ("strlen k", ":5"),
            ("strlen none", ":0"),
        ]);
    }

    #[test]
    fn getdel() {
        Server::new().check(&[
            ("getdel k", "$-1"),
            ("set k v ex 100", "+OK"),
            ("getdel k", "$1 v"),
            ("get k", "$-1"),
            ("dbsize", ":0"),
        ]);
    }

    #[test]
    fn getex() {
        let mut server = Server::new();
        server.check(&[
            ("getex k", "$-1"),
            ("getex k ex 0", "$-1"),
            ("getex k ex abc", "$-1"),
            ("getex k foo", "-ERR syntax error"),
            ("getex k ex", "-ERR syntax error"),
            ("set k v", "+OK"),
            ("getex k", "$1 v"),
            ("getex k ex 0", "-ERR invalid expire time in 'getex' command"),
            ("getex k px -1", "-ERR invalid expire time in 'getex' command"),
            ("getex k exat 9223372036854775807", "-ERR invalid expire time in 'getex' command"),
            ("getex k ex abc", "-ERR value is not an integer or out of range"),
            ("getex k persist ex 10", "-ERR syntax error"),
            ("getex k ex 10 persist", "-ERR syntax error"),
            ("getex k ex 10 px 10", "-ERR syntax error"),
            ("getex k keepttl", "-ERR syntax error"),
            ("getex k nx", "-ERR syntax error"),
            ("ttl k", ":-1"),
            ("getex k EX 10", "$1 v"),
            ("ttl k", ":10"),
            ("getex k", "$1 v"),
            ("pttl k", ":10000"),
            ("getex k px 1500 px 2500", "$1 v"),
            ("pttl k", ":2500"),
            ("getex k pxat 1999999999500", "$1 v"),
            ("pexpiretime k", ":1999999999500"),
            ("getex k persist persist", "$1 v"),
            ("ttl k", ":-1"),
            ("getex k exat 1", "$1 v"),
            ("get k", "$-1"),
            ("dbsize", ":0"),
        ]);
    }

    #[test]
    fn getset() {
        Server::new().check(&[
            ("getset k 12", "$-1"),
            ("object encoding k", "$3 int"),
            ("expire k 10", ":1"),
            ("getset k text", "$2 12"),
            ("object encoding k", "$6 embstr"),
            ("ttl k", ":-1"),
        ]);
    }

    #[test]
    fn values_expire() {
        let mut server = Server::new();
        server.check(&[("set k v px 100", "+OK"), ("get k", "$1 v")]);
        server.advance_ms(99);
        server.check(&[("get k", "$1 v"), ("mget k", "*1 $1 v")]);
        server.advance_ms(1);
        server.check(&[
            ("get k", "$-1"),
            ("mget k", "*1 $-1"),
            ("strlen k", ":0"),
            ("getdel k", "$-1"),
            ("getset k w", "$-1"),
            ("ttl k", ":-1"),
        ]);
    }

    #[test]
    fn hits_and_misses_as_redis_counts_them() {
        for (command, hits, misses) in [
            ("get k", 1, 0),
            ("get n", 0, 1),
            ("getdel k", 1, 0),
            ("getdel n", 0, 1),
            ("getex k", 1, 0),
            ("getex n", 0, 1),
            ("getex k ex 100", 1, 0),
            ("getset k v", 1, 0),
            ("getset n v", 0, 1),
            ("set k v", 0, 0),
            ("set n v get", 0, 1),
            ("set k v get", 1, 0),
            ("set k v nx", 0, 0),
            ("setnx k v", 0, 0),
            ("append k v", 0, 0),
            ("strlen n", 0, 1),
            ("getrange k 0 1", 1, 0),
            ("incr n", 0, 0),
            ("incrbyfloat n 1", 0, 0),
            ("mget k n", 1, 1),
            ("msetnx k v n v", 0, 0),
            ("lcs k n", 1, 1),
            ("exists k n", 1, 1),
            ("ttl k", 1, 0),
            ("pttl n", 0, 1),
            ("expiretime k", 1, 0),
            ("type n", 0, 1),
            ("object encoding k", 1, 0),
            ("object refcount n", 0, 1),
            ("touch k n", 1, 1),
            ("del k n", 0, 0),
            ("expire k 10", 0, 0),
            ("persist k", 0, 0),
            ("copy k x", 1, 0),
            ("copy n x", 0, 1),
            ("move k 2", 0, 0),
            ("rename k x", 0, 0),
            ("setrange k 0 x", 0, 0),
            ("keys *", 0, 0),
            ("randomkey", 0, 0),
            ("scan 0", 0, 0),
        ] {
            let mut server = Server::new();
            server.check(&[("set k v", "+OK")]);
            server.run(command);
            let stats = server.stats();
            let counted = (stats.keyspace_hits, stats.keyspace_misses);
            assert_eq!(counted, (hits, misses), "{command}");
        }
    }
}
