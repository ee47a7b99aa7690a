//! OBJECT: how a value is kept.

use crate::commands::help::{help_row, reply_help};
use crate::commands::{
    Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, KeyFlags, KeySpec,
    Outcome, Spread,
};
use crate::config::EvictionPolicy;
use crate::protocol::Args;
use crate::store::{Encoding, EntryRef, frequency};
use crate::text::number;

pub const OBJECT: Command = Command {
    name: "object",
    arity: -2,
    flags: Flags::empty(),
    categories: Categories::empty(),
    keys: &[],
    handler: Handler::Container,
    docs: Docs {
        summary: "Tells how a value is kept; a container.",
        since: "2.2.3",
        group: Group::Generic,
        complexity: "Depends on subcommand.",
        arguments: "",
    },
    tips: &[],
    subcommands: &[ENCODING, FREQ, HELP, IDLETIME, REFCOUNT],
};

const ENCODING: Command = Command {
    name: "encoding",
    arity: 3,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::one(2, KeyFlags::RO)],
    handler: Handler::Keyed(encoding, Spread::OneKey),
    docs: Docs {
        summary: "Returns the name of the form that a value is kept in.",
        since: "2.2.3",
        group: Group::Generic,
        complexity: "O(1)",
        arguments: "key",
    },
    tips: &["nondeterministic_output"],
    subcommands: &[],
};

fn encoding(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    match context.shard.glance(context.db_index, args.at(2), context.now) {
        Some(entry) => context.reply.bulk(entry.encoding().name().as_bytes()),
        None => context.reply.null(),
    }
    Ok(())
}

const FREQ: Command = Command {
    name: "freq",
    handler: Handler::Keyed(freq, Spread::OneKey),
    docs: Docs {
        summary: "Returns how often a key is used, on the logarithmic scale of the LFU policies.",
        since: "4.0.0",
        ..ENCODING.docs
    },
    ..ENCODING
};

fn freq(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let tracked = is_lfu(context.config.maxmemory_policy);
    let error = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
                 Please note that when switching between policies at runtime LRU and LFU data \
                 will take some time to adjust.";
    let (now, lfu) = (context.now, context.shard.policy().lfu);
    reply_with_statistic(context, args, |entry| {
        if tracked { Ok(i64::from(frequency(entry, lfu, now))) } else { Err(error) }
    })
}

const IDLETIME: Command = Command {
    name: "idletime",
    handler: Handler::Keyed(idletime, Spread::OneKey),
    docs: Docs {
        summary: "Returns how many seconds ago a key was last used.",
        since: "2.2.3",
        ..ENCODING.docs
    },
    ..ENCODING
};

fn idletime(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let tracked = !is_lfu(context.config.maxmemory_policy);
    let error = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note \
                 that when switching between policies at runtime LRU and LFU data will take some \
                 time to adjust.";
    let now = context.now;
    reply_with_statistic(context, args, |entry| {
        if tracked { Ok(i64::from(entry.idle_seconds(now))) } else { Err(error) }
    })
}

fn is_lfu(policy: EvictionPolicy) -> bool {
    matches!(policy, EvictionPolicy::AllkeysLfu | EvictionPolicy::VolatileLfu)
}

const REFCOUNT: Command = Command {
    name: "refcount",
    handler: Handler::Keyed(refcount, Spread::OneKey),
    docs: Docs {
        summary: "Returns how many keys share a value: 1, or 2147483647 for small integers.",
        since: "2.2.3",
        ..ENCODING.docs
    },
    ..ENCODING
};

/// Redis keeps one object for each of these integers, and its count of references is this.
const SHARED_INTEGERS: std::ops::Range<i64> = 0..10_000;
const SHARED_REFCOUNT: i64 = i32::MAX as i64;

fn refcount(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    reply_with_statistic(context, args, |entry| {
        let integer = match (entry.encoding(), entry.as_string()) {
            (Encoding::Int, Ok(digits)) => number::parse_i64(&digits),
            _ => None,
        };
        let shared = integer.is_some_and(|integer| SHARED_INTEGERS.contains(&integer));
        Ok(if shared { SHARED_REFCOUNT } else { 1 })
    })
}

fn reply_with_statistic(
    context: &mut Context<'_>,
    args: Args<'_>,
    statistic: impl FnOnce(EntryRef<'_>) -> Result<i64, &'static str>,
) -> Outcome {
    match context.shard.glance(context.db_index, args.at(2), context.now) {
        Some(entry) => {
            context.reply.integer(statistic(entry).map_err(CommandError::text)?);
        }
        None => context.reply.null(),
    }
    Ok(())
}

const HELP: Command = {
    let row = help_row(Group::Generic, "6.2.0", help);
    let docs = Docs { summary: "Lists the subcommands of OBJECT.", ..row.docs };
    Command { categories: Categories::KEYSPACE, docs, ..row }
};

fn help(context: &mut Context<'_>, _args: Args<'_>) -> Outcome {
    const LINES: &[&str] = &[
        "ENCODING <key>",
        "    Return the name of the form that the value at <key> is kept in.",
        "FREQ <key>",
        "    Return how often <key> is used, on the logarithmic scale of the LFU policies.",
        "IDLETIME <key>",
        "    Return how many seconds ago <key> was last used.",
        "REFCOUNT <key>",
        "    Return how many keys share the value at <key>.",
    ];
    reply_help(context, "OBJECT", LINES)
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;
    use crate::config::EvictionPolicy;

    const NO_LFU: &str = "-ERR An LFU maxmemory policy is not selected, access frequency not \
        tracked. Please note that when switching between policies at runtime LRU and LFU data \
        will take some time to adjust.";
    const LFU: &str = "-ERR An LFU maxmemory policy is selected, idle time not tracked. Please \
        note that when switching between policies at runtime LRU and LFU data will take some \
        time to adjust.";

    #[test]
    fn encodings_and_reference_counts() {
        Server::new().check(&[
            ("object encoding none", "$-1"),
            ("object refcount none", "$-1"),
            ("set k text", "+OK"),
            ("object encoding k", "$6 embstr"),
            ("object refcount k", ":1"),
            ("set k 5", "+OK"),
            ("OBJECT ENCODING k", "$3 int"),
            ("object refcount k", ":2147483647"),
            ("append k 5", ":2"),
            ("object encoding k", "$3 raw"),
            ("object refcount k", ":1"),
            ("set k 9999", "+OK"),
            ("object refcount k", ":2147483647"),
            ("incr k", ":10000"),
            ("object refcount k", ":1"),
            ("set k -1", "+OK"),
            ("object refcount k", ":1"),
        ]);
    }

    #[test]
    fn statistics_depend_on_the_policy() {
        let mut server = Server::new();
        server.check(&[
            ("set k v", "+OK"),
            ("object freq none", "$-1"),
            ("object idletime none", "$-1"),
            ("object freq k", NO_LFU),
            ("object idletime k", ":0"),
        ]);
        server.config.maxmemory_policy = EvictionPolicy::AllkeysLfu;
        server.check(&[
            ("object freq none", "$-1"),
            ("object idletime none", "$-1"),
            ("object freq k", ":0"),
            ("object idletime k", LFU),
        ]);
    }

    #[test]
    fn help_lists_the_subcommands() {
        let help = Server::new().run("object help");
        assert!(help.starts_with("*11 +OBJECT <subcommand> "), "{help}");
    }
}
