//! MEMORY: what keys, clients and the server itself hold.

use super::{
    Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, Operation, Outcome,
};
use crate::commands::help::{help_row, reply_help};
use crate::commands::{KeyFlags, KeySpec, Spread};
use crate::protocol::Args;
use crate::text::number;

pub(super) const MEMORY: Command = Command {
    name: "memory",
    arity: -2,
    docs: Docs { summary: "A container for memory diagnostics commands.", ..DOCS },
    subcommands: &[DOCTOR, HELP, MALLOC_STATS, PURGE, STATS, USAGE],
    ..SUBCOMMAND
};

/// What every subcommand has in common, to be overwritten where it differs.
const SUBCOMMAND: Command = Command {
    name: "",
    arity: 2,
    flags: Flags::empty(),
    categories: Categories::empty(),
    keys: &[],
    handler: Handler::Container,
    docs: DOCS,
    tips: &[],
    subcommands: &[],
};
const DOCS: Docs = Docs {
    summary: "",
    since: "4.0.0",
    group: Group::Server,
    complexity: "Depends on subcommand.",
    arguments: "",
};
const TIPS: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

const DOCTOR: Command = Command {
    name: "doctor",
    handler: Handler::Engine(|_| Ok(Operation::MemoryDoctor)),
    docs: Docs { summary: "Outputs a memory problems report.", complexity: "O(1)", ..DOCS },
    tips: TIPS,
    ..SUBCOMMAND
};

const MALLOC_STATS: Command = Command {
    name: "malloc-stats",
    handler: Handler::Engine(|_| Ok(Operation::MemoryMallocStats)),
    docs: Docs {
        summary: "Returns the allocator's statistics.",
        complexity: "Depends on how much memory is allocated, could be slow",
        ..DOCS
    },
    tips: TIPS,
    ..SUBCOMMAND
};

const PURGE: Command = Command {
    name: "purge",
    handler: Handler::Engine(|_| Ok(Operation::MemoryPurge)),
    docs: Docs {
        summary: "Asks the allocator to release memory.",
        complexity: "Depends on how much memory is allocated, could be slow",
        ..DOCS
    },
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    ..SUBCOMMAND
};

const STATS: Command = Command {
    name: "stats",
    handler: Handler::Engine(|_| Ok(Operation::MemoryStats)),
    docs: Docs { summary: "Returns details about memory usage.", complexity: "O(1)", ..DOCS },
    tips: TIPS,
    ..SUBCOMMAND
};

const USAGE: Command = Command {
    name: "usage",
    arity: -3,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(2, KeyFlags::RO)],
    handler: Handler::Keyed(usage, Spread::OneKey),
    docs: Docs {
        summary: "Returns the memory that a key and its value take, in bytes.",
        complexity: "O(1)",
        arguments: "key [SAMPLES count]",
        ..DOCS
    },
    ..SUBCOMMAND
};

/// The entry, key included, as the allocator serves it, and its share of the table. Nothing is
/// sampled, as every entry knows its size.
fn usage(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    for option in 3..args.len() {
        let is_name = option % 2 == 1;
        if is_name && !(args[option].eq_ignore_ascii_case(b"samples") && option + 1 < args.len()) {
            return Err(CommandError::Syntax);
        }
        if !is_name && number::parse_i64(args.at(option)).ok_or(CommandError::NotInteger)? < 0 {
            return Err(CommandError::Syntax);
        }
    }
    let Some(entry) = context.peek(args.at(2)) else {
        context.reply.null();
        return Ok(());
    };
    let bytes = context.db().cost_of(entry);
    context.reply.integer(bytes as i64);
    Ok(())
}

const HELP: Command = help_row(Group::Server, "4.0.0", help);

fn help(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    const LINES: &[&str] = &[
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    sampled up to <count> times (default: 5, 0 means sample all).",
    ];
    reply_help(context, "MEMORY", LINES)
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;

    fn usage(server: &mut Server, line: &str) -> usize {
        let reply = server.run(line);
        let number = reply.strip_prefix(':').unwrap_or_else(|| panic!("{line}: {reply}"));
        number.parse().expect("an integer")
    }

    #[test]
    fn usage_is_what_the_entry_and_its_place_take() {
        let mut server = Server::new();
        server.run("set small v");
        let small = usage(&mut server, "memory usage small");
        assert!((16..2048).contains(&small), "{small}");
        server.run(&format!("set large {}", "v".repeat(10_000)));
        let large = usage(&mut server, "MEMORY usage large Samples 0");
        assert!((10_000..13_500).contains(&large), "{large}");
        // What all keys take is in what the database holds.
        let all = usage(&mut server, "memory usage small") + large;
        let db = server.shard.db(0);
        assert!((db.entry_bytes()..=db.allocated_bytes()).contains(&all), "{all}");
        let stats = server.stats();
        server.run("memory usage none");
        assert_eq!(server.stats(), stats, "not counted as a read");
    }

    #[test]
    fn usage_takes_samples_and_nothing_else() {
        let (syntax, number) =
            ("-ERR syntax error", "-ERR value is not an integer or out of range");
        let mut server = Server::new();
        server.check(&[
            ("memory usage none", "$-1"),
            ("memory usage none samples", syntax),
            ("memory usage none samples -1", syntax),
            ("memory usage none samples x", number),
            ("memory usage none samples 99999999999999999999", number),
            ("memory usage none other", syntax),
            ("memory usage none other 3", syntax),
            ("memory usage none samples 3 4", syntax),
            ("memory usage none samples 3 samples 4", "$-1"),
        ]);
        server.run("set gone v px 1");
        server.advance_ms(2);
        assert_eq!(server.run("memory usage gone"), "$-1");
    }

    #[test]
    fn help_lists_the_subcommands() {
        let help = Server::new().run("memory help");
        assert!(help.starts_with("*14 +MEMORY <subcommand> "), "{help}");
    }
}
