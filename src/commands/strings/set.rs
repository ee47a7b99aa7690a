//! Setting strings whole, with or without a condition and an expiry.

use super::condition::Condition;
use super::lifetime::{Base, ExpireTime, Lifetime, Unit};
use super::{DOCS, ROW};
use crate::commands::hops::{Change, Decision, Finding, Hops, Looked, take_nothing};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeyRange, KeyRanges, KeySpec,
    Merge, Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::{Encoding, Event, Events, PREFETCHED_KEYS, Slot, UnixMs};

pub const SET: Command = Command {
    name: "set",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(
        1,
        KeyFlags::RW
            .union(KeyFlags::ACCESS)
            .union(KeyFlags::UPDATE)
            .union(KeyFlags::VARIABLE_FLAGS),
    )
    .with_notes("RW and ACCESS due to the optional `GET` argument")
    .or_by(keys_of_set)],
    handler: Handler::Keyed(set, Spread::OneKey),
    docs: Docs {
        summary: "Sets a key to a string, whatever it held before.",
        since: "1.0.0",
        arguments: "key value [NX | XX | IFEQ ifeq-value | IFNE ifne-value | \
                    IFDEQ ifdeq-digest | IFDNE ifdne-digest] [GET] [EX seconds | \
                    PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | \
                    KEEPTTL]",
        ..DOCS
    },
    ..ROW
};

/// It reads its key only with GET or to compare.
fn keys_of_set(args: Args<'_>) -> Option<KeyRanges> {
    const READING: [&str; 5] = ["GET", "IFEQ", "IFNE", "IFDEQ", "IFDNE"];
    let reads = |option: &[u8]| {
        READING.iter().any(|reading| option.eq_ignore_ascii_case(reading.as_bytes()))
    };
    let flags = if args.from(3).iter().any(reads) {
        KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE
    } else {
        KeyFlags::OW | KeyFlags::UPDATE
    };
    Some(KeyRanges::NONE.with(KeyRange::new(1, 2, flags)))
}

#[inline]
fn set(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 3 {
        return set_with_options(context, args);
    }
    let (key, value) = (args.at(1), args.at(2));
    let db = context.shard.db_mut(context.db_index);
    db.set_string(key, value, Encoding::of_value(value), None, context.now, Event::Set);
    context.reply.ok();
    Ok(())
}

/// What setting a value that expires is.
const SET_EXPIRING: Events = Event::Set.and(Event::Expire);

#[derive(Clone, Copy, Debug, Default)]
struct SetOptions<'a> {
    condition: Condition<'a>,
    get: bool,
    lifetime: Lifetime<'a>,
}

impl<'a> SetOptions<'a> {
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let mut options = SetOptions::default();
        let mut at = 3;
        while at < args.len() {
            let option = args.at(at);
            let mut taken = 1;
            let mut condition = None;
            if option.eq_ignore_ascii_case(b"NX") {
                condition = Some(Condition::Absent);
            } else if option.eq_ignore_ascii_case(b"XX") {
                condition = Some(Condition::Present);
            } else if option.eq_ignore_ascii_case(b"GET") {
                options.get = true;
            } else if let Some(comparison) = Condition::comparison(args, at)? {
                condition = Some(comparison);
                taken = 2;
            } else {
                taken = options.lifetime.read(args, at)?;
            }
            if taken == 0 || options.lifetime == Lifetime::Persist {
                return Err(CommandError::Syntax);
            }
            if let Some(condition) = condition {
                let again = options.condition == condition && !condition.compares();
                if options.condition != Condition::Always && !again {
                    return Err(CommandError::Syntax);
                }
                options.condition = condition;
            }
            at += taken;
        }
        Ok(options)
    }
}

#[inline(never)]
fn set_with_options(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (key, value) = (args.at(1), args.at(2));
    let options = SetOptions::parse(args)?;
    let expiry = match options.lifetime {
        Lifetime::Until(time) => Some(time.resolve("set", context.now)?),
        _ => None,
    };
    let written = put(context, key, value, options, expiry)?;
    if written && expiry.is_some_and(|at| at <= context.now) {
        context.shard.db_mut(context.db_index).remove(key, context.now, Event::Expired);
    }
    match (options.get, written) {
        // The old value is the reply.
        (true, _) => {}
        (false, true) => context.reply.ok(),
        (false, false) => context.reply.null(),
    }
    Ok(())
}

/// Sets the value if the conditions allow it and tells whether they do. With GET, replies with the
/// old value.
fn put(
    context: &mut Context<'_>,
    key: &[u8],
    value: &[u8],
    options: SetOptions<'_>,
    expiry: Option<UnixMs>,
) -> Result<bool, CommandError> {
    let events = if expiry.is_some() { SET_EXPIRING } else { Event::Set.into() };
    let slot = if options.get {
        context.shard.read_slot(context.db_index, key, context.now, events)
    } else {
        context.shard.db_mut(context.db_index).slot(key, context.now, events)
    };
    match slot {
        Slot::Occupied(mut entry) => {
            if options.get {
                context.reply.bulk(&entry.as_string()?);
            }
            if !options.condition.holds_of(entry.get())? {
                return Ok(false);
            }
            let kept = (options.lifetime == Lifetime::Keep).then(|| entry.expiry()).flatten();
            let encoding = Encoding::of_value(value);
            entry.replace_string_and_expiry(value, encoding, expiry.or(kept));
        }
        Slot::Vacant(slot) => {
            if options.get {
                context.reply.null();
            }
            if !options.condition.holds_of_nothing() {
                return Ok(false);
            }
            slot.insert(value, Encoding::of_value(value), expiry);
        }
    }
    Ok(true)
}

pub const SETNX: Command = Command {
    name: "setnx",
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::INSERT))],
    handler: Handler::Keyed(setnx, Spread::OneKey),
    docs: Docs {
        summary: "Sets a key to a string if the key does not exist; SET with NX does so too.",
        since: "1.0.0",
        arguments: "key value",
        ..DOCS
    },
    ..ROW
};

fn setnx(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (key, value) = (args.at(1), args.at(2));
    match context.shard.db_mut(context.db_index).slot(key, context.now, Event::Set) {
        Slot::Occupied(_) => context.reply.integer(0),
        Slot::Vacant(slot) => {
            slot.insert(value, Encoding::of_value(value), None);
            context.reply.integer(1);
        }
    }
    Ok(())
}

pub const SETEX: Command = Command {
    name: "setex",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    handler: Handler::Keyed(setex, Spread::OneKey),
    docs: Docs {
        summary: "Sets a key to a string that expires; SET with EX does so too.",
        since: "2.0.0",
        arguments: "key seconds value",
        ..DOCS
    },
    ..ROW
};

fn setex(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    set_expiring(context, args, "setex", Unit::Seconds)
}

pub const PSETEX: Command = Command {
    name: "psetex",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    handler: Handler::Keyed(psetex, Spread::OneKey),
    docs: Docs {
        summary: "Sets a key to a string that expires, in milliseconds; SET with PX does so too.",
        since: "2.6.0",
        arguments: "key milliseconds value",
        ..DOCS
    },
    ..ROW
};

fn psetex(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    set_expiring(context, args, "psetex", Unit::Milliseconds)
}

fn set_expiring(
    context: &mut Context<'_>,
    args: Args<'_>,
    command: &'static str,
    unit: Unit,
) -> Outcome {
    let (key, value) = (args.at(1), args.at(3));
    let time = ExpireTime { value: args.at(2), unit, base: Base::Now };
    let expiry = time.resolve(command, context.now)?;
    let db = context.shard.db_mut(context.db_index);
    db.set_string(key, value, Encoding::of_value(value), Some(expiry), context.now, SET_EXPIRING);
    context.reply.ok();
    Ok(())
}

pub const MSET: Command = Command {
    name: "mset",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::to_end(1, 2, KeyFlags::OW.union(KeyFlags::UPDATE))],
    handler: Handler::Keyed(mset, Spread::Split(Merge::Ok)),
    docs: Docs {
        summary: "Sets several keys to strings, all at one moment.",
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys.",
        arguments: "key value [key value ...]",
        ..DOCS
    },
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    ..ROW
};

fn mset(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    check_pairs(args, "mset")?;
    set_pairs(context, args);
    context.reply.ok();
    Ok(())
}

pub const MSETNX: Command = Command {
    name: "msetnx",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::to_end(1, 2, KeyFlags::OW.union(KeyFlags::INSERT))],
    handler: Handler::Keyed(msetnx, Spread::Hops(&SETS_IF_NONE_EXISTS)),
    docs: Docs {
        summary: "Sets several keys to strings if none of them exists.",
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys.",
        arguments: "key value [key value ...]",
        ..DOCS
    },
    ..ROW
};

fn msetnx(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    check_pairs(args, "msetnx")?;
    let any_exists = MSETNX.key_positions(args).any(|at| context.peek(args.at(at)).is_some());
    if !any_exists {
        set_pairs(context, args);
    }
    context.reply.integer(i64::from(!any_exists));
    Ok(())
}

static SETS_IF_NONE_EXISTS: Hops = Hops {
    look: |context, args, position| {
        Ok(Finding::of_existence(context.peek(args.at(position)).is_some()))
    },
    decide: |findings, args| {
        check_pairs(args, "msetnx")?;
        let exists = |looked: &Looked| looked.as_ref().is_ok_and(Finding::exists);
        let any_exists = findings.all().iter().any(|(_, looked)| exists(looked));
        findings.reply.integer(i64::from(!any_exists));
        let all = findings.all().iter().filter(|_| !any_exists);
        Ok(Decision::Done(all.map(|(position, _)| (*position, Change::Plain)).collect()))
    },
    take: take_nothing,
    apply: |context, args, position, _| {
        let (key, value, now) = (args.at(position), args.at(position + 1), context.now);
        context.db_mut().set_string(key, value, Encoding::of_value(value), None, now, Event::Set);
    },
};

fn check_pairs(args: Args<'_>, command: &str) -> Result<(), CommandError> {
    if args.len().is_multiple_of(2) {
        let text = format!("ERR wrong number of arguments for '{command}' command");
        return Err(CommandError::text(text));
    }
    Ok(())
}

fn set_pairs(context: &mut Context<'_>, args: Args<'_>) {
    let db = context.shard.db_mut(context.db_index);
    for at in (1..args.len()).step_by(2) {
        if (at / 2).is_multiple_of(PREFETCHED_KEYS) && args.len() > 3 {
            db.prefetch_some(args.from(at).iter().step_by(2));
        }
        let (key, value) = (args.at(at), args.at(at + 1));
        db.set_string(key, value, Encoding::of_value(value), None, context.now, Event::Set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_support::Server;
    use crate::protocol::args::OwnedArgs;

    #[test]
    fn set_without_options() {
        Server::new().check(&[
            ("set k v", "+OK"),
            ("get k", "$1 v"),
            ("expire k 100", ":1"),
            ("set k \"\"", "+OK"),
            ("get k", "$0 "),
            ("ttl k", ":-1"),
            ("set k -9223372036854775808", "+OK"),
            ("object encoding k", "$3 int"),
            ("set k 9223372036854775808", "+OK"),
            ("object encoding k", "$6 embstr"),
            ("set k 0123", "+OK"),
            ("object encoding k", "$6 embstr"),
            ("set k 12345678901234567890123456789012345678901234", "+OK"),
            ("object encoding k", "$6 embstr"),
            ("set k 123456789012345678901234567890123456789012345", "+OK"),
            ("object encoding k", "$3 raw"),
        ]);
    }

    #[test]
    fn set_conditions_and_get() {
        Server::new().check(&[
            ("set k v xx", "$-1"),
            ("set k v nx get", "$-1"),
            ("set k w NX GET", "$1 v"),
            ("get k", "$1 v"),
            ("set k w nx", "$-1"),
            ("set k w xx get", "$1 v"),
            ("set k v get get", "$1 w"),
            ("set k v xx xx", "+OK"),
            ("set k v nx xx", "-ERR syntax error"),
            ("set k v xx get nx", "-ERR syntax error"),
            ("set none v xx get", "$-1"),
            ("exists none", ":0"),
        ]);
    }

    #[test]
    fn set_lifetimes() {
        let mut server = Server::new();
        server.check(&[
            ("set k v ex 10", "+OK"),
            ("pttl k", ":10000"),
            ("set k v Px 10", "+OK"),
            ("pttl k", ":10"),
            ("set k v exat 1999999999", "+OK"),
            ("pexpiretime k", ":1999999999000"),
            ("set k v pxat 1999999999999", "+OK"),
            ("pexpiretime k", ":1999999999999"),
            ("set k longer-than-before keepttl", "+OK"),
            ("get k", "$18 longer-than-before"),
            ("pexpiretime k", ":1999999999999"),
            ("set k v ex 10 ex 20", "+OK"),
            ("ttl k", ":20"),
            ("set k v", "+OK"),
            ("set k v keepttl keepttl", "+OK"),
            ("ttl k", ":-1"),
            ("set k v exat 1", "+OK"),
            ("dbsize", ":0"),
            ("set k v exat 1", "+OK"),
            ("set k v xx get exat 1", "$-1"),
            ("dbsize", ":0"),
            ("set k v nx get px 5", "$-1"),
        ]);
        server.advance_ms(5);
        server.check(&[("set k w nx", "+OK"), ("get k", "$1 w"), ("ttl k", ":-1")]);
    }

    #[test]
    fn set_refuses_bad_lifetimes() {
        let mut server = Server::new();
        for line in [
            "set k v ex 0",
            "set k v ex -1",
            "set k v nx ex 0",
            "set k v px 9223372036854775807",
            "set k v ex 9223372036854775807",
            "set k v ex 9223372036854775",
            "set k v exat 9223372036854776",
            "set k v pxat -9223372036854775808",
        ] {
            assert_eq!(server.run(line), "-ERR invalid expire time in 'set' command", "{line}");
        }
        for line in [
            "set k v ex",
            "set k v foo",
            "set k v ex 10 px 20",
            "set k v ex 10 exat 20",
            "set k v ex 10 keepttl",
            "set k v keepttl ex 10",
            "set k v persist",
            "set k v ex 10 persist",
        ] {
            assert_eq!(server.run(line), "-ERR syntax error", "{line}");
        }
        server.check(&[
            ("set k v ex abc", "-ERR value is not an integer or out of range"),
            ("set k v pxat 9223372036854775807", "+OK"),
            ("pexpiretime k", ":9223372036854775807"),
        ]);
    }

    #[test]
    fn setnx_setex_psetex() {
        Server::new().check(&[
            ("setnx k 1", ":1"),
            ("setnx k 2", ":0"),
            ("get k", "$1 1"),
            ("setex k 10 v", "+OK"),
            ("ttl k", ":10"),
            ("psetex k 1500 v", "+OK"),
            ("pttl k", ":1500"),
            ("psetex k 0 v", "-ERR invalid expire time in 'psetex' command"),
            ("psetex k 9223372036854775807 v", "-ERR invalid expire time in 'psetex' command"),
            ("setex k -1 v", "-ERR invalid expire time in 'setex' command"),
            ("setex k 9223372036854775807 v", "-ERR invalid expire time in 'setex' command"),
            ("setex k abc v", "-ERR value is not an integer or out of range"),
        ]);
    }

    #[test]
    fn pairs_are_complete_or_not() {
        for (arguments, complete) in [(3, true), (4, false), (5, true), (6, false)] {
            let args: OwnedArgs = std::iter::repeat_n(&b"a"[..], arguments).collect();
            assert_eq!(MSET.finds_keys(args.as_args()), complete, "{arguments}");
            assert!(SET.finds_keys(args.as_args()));
        }
    }

    #[test]
    fn mset_and_msetnx() {
        Server::new().check(&[
            ("mset a 1 b", "-ERR wrong number of arguments for 'mset' command"),
            ("msetnx a 1 b", "-ERR wrong number of arguments for 'msetnx' command"),
            ("dbsize", ":0"),
            ("mset a 1 a 2 b 3", "+OK"),
            ("mget a b", "*2 $1 2 $1 3"),
            ("expire a 10", ":1"),
            ("msetnx z 1 a 9", ":0"),
            ("exists z", ":0"),
            ("msetnx z 1 z 2", ":1"),
            ("get z", "$1 2"),
            ("mset a 1", "+OK"),
            ("ttl a", ":-1"),
        ]);
    }
}
