//! Whether keys are there, of what type, and no longer.

use crate::commands::{
    Categories, Command, Context, Docs, Flags, Group, Handler, KeyFlags, KeySpec, Merge, Outcome,
    Spread,
};
use crate::protocol::Args;
use crate::store::Event;

pub const DEL: Command = Command {
    name: "del",
    arity: -2,
    flags: Flags::WRITE,
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::to_end(1, 1, KeyFlags::RM.union(KeyFlags::DELETE))],
    handler: Handler::Keyed(del, Spread::Split(Merge::Sum)),
    docs: Docs {
        summary: "Deletes keys and returns how many there were.",
        since: "1.0.0",
        group: Group::Generic,
        complexity: "O(N) where N is the number of keys.",
        arguments: "key [key ...]",
    },
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    subcommands: &[],
};

pub const UNLINK: Command = Command {
    name: "unlink",
    flags: Flags::WRITE.union(Flags::FAST),
    docs: Docs {
        summary: "Deletes keys and returns how many there were, as DEL does.",
        since: "4.0.0",
        ..DEL.docs
    },
    ..DEL
};

fn del(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let now = context.now;
    let db = context.shard.db_mut(context.db_index);
    let deleted = args.from(1).iter().filter(|key| db.remove(key, now, Event::Del)).count();
    context.reply.integer(deleted as i64);
    Ok(())
}

pub const EXISTS: Command = Command {
    name: "exists",
    arity: -2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::to_end(1, 1, KeyFlags::RO)],
    handler: Handler::Keyed(exists, Spread::Split(Merge::Sum)),
    docs: Docs {
        summary: "Counts the keys that exist; one named twice counts twice.",
        since: "1.0.0",
        group: Group::Generic,
        complexity: "O(N) where N is the number of keys.",
        arguments: "key [key ...]",
    },
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    subcommands: &[],
};

pub const TOUCH: Command = Command {
    name: "touch",
    flags: EXISTS.flags.union(Flags::TOUCHES),
    docs: Docs {
        summary: "Counts the keys that exist as an access to each of them.",
        since: "3.2.1",
        ..EXISTS.docs
    },
    handler: Handler::Keyed(touch, Spread::Split(Merge::Sum)),
    ..EXISTS
};

fn touch(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let existing = args.from(1).iter().filter(|key| context.read(key).is_some()).count();
    context.reply.integer(existing as i64);
    Ok(())
}

fn exists(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let existing = args.from(1).iter().filter(|key| context.glance(key).is_some()).count();
    context.reply.integer(existing as i64);
    Ok(())
}

pub const TYPE: Command = Command {
    name: "type",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    handler: Handler::Keyed(type_of, Spread::OneKey),
    docs: Docs {
        summary: "Returns the type of the value at a key, `none` if there is none.",
        since: "1.0.0",
        group: Group::Generic,
        complexity: "O(1)",
        arguments: "key",
    },
    tips: &[],
    subcommands: &[],
};

fn type_of(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let name = context.glance(args.at(1)).map_or("none", |entry| entry.kind().name());
    context.reply.simple(name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;

    #[test]
    fn counts_keys() {
        let mut server = Server::new();
        server.check(&[
            ("mset a 1 b 2 c 3", "+OK"),
            ("exists a b none a", ":3"),
            ("touch a none", ":1"),
            ("type a", "+string"),
            ("type none", "+none"),
            ("del a a none", ":1"),
            ("unlink b", ":1"),
            ("unlink b", ":0"),
            ("pexpire c 5", ":1"),
        ]);
        server.advance_ms(5);
        server.check(&[("exists c", ":0"), ("type c", "+none"), ("del c", ":0"), ("dbsize", ":0")]);
    }
}
