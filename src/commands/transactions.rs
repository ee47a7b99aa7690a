//! MULTI, EXEC, DISCARD, WATCH and UNWATCH. The engine queues and runs; here are their rows.

use super::{Categories, Command, Docs, Flags, Group, Handler, KeyFlags, KeySpec, Operation};

pub const COMMANDS: &[Command] = &[DISCARD, EXEC, MULTI, UNWATCH, WATCH];

/// Flags of all but EXEC.
const QUICK: Flags = Flags::NOSCRIPT
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::FAST)
    .union(Flags::ALLOW_BUSY);

const MULTI: Command = Command {
    name: "multi",
    arity: 1,
    flags: QUICK.union(Flags::UNQUEUED),
    categories: Categories::TRANSACTION,
    keys: &[],
    handler: Handler::Engine(|_| Ok(Operation::Multi)),
    docs: Docs {
        summary: "Begins a transaction: commands are queued until EXEC.",
        since: "1.2.0",
        group: Group::Transactions,
        complexity: "O(1)",
        arguments: "",
    },
    tips: &[],
    subcommands: &[],
};

const EXEC: Command = Command {
    name: "exec",
    arity: 1,
    flags: Flags::NOSCRIPT
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::SKIP_SLOWLOG)
        .union(Flags::UNQUEUED)
        .union(Flags::RUNS_QUEUED)
        .union(Flags::ENDS_MULTI),
    categories: Categories::TRANSACTION,
    keys: &[],
    handler: Handler::Engine(|_| Ok(Operation::Exec)),
    docs: Docs {
        summary: "Runs the queued commands as one, unless a watched key has changed.",
        since: "1.2.0",
        group: Group::Transactions,
        complexity: "Depends on commands in the transaction",
        arguments: "",
    },
    tips: &[],
    subcommands: &[],
};

const DISCARD: Command = Command {
    name: "discard",
    arity: 1,
    flags: QUICK.union(Flags::UNQUEUED).union(Flags::ENDS_MULTI),
    categories: Categories::TRANSACTION,
    keys: &[],
    handler: Handler::Engine(|_| Ok(Operation::Discard)),
    docs: Docs {
        summary: "Ends a transaction without running the queued commands.",
        since: "2.0.0",
        group: Group::Transactions,
        complexity: "O(N), when N is the number of queued commands",
        arguments: "",
    },
    tips: &[],
    subcommands: &[],
};

const WATCH: Command = Command {
    name: "watch",
    arity: -2,
    flags: QUICK.union(Flags::UNQUEUED),
    categories: Categories::TRANSACTION,
    keys: &[KeySpec::to_end(1, 1, KeyFlags::RO)],
    handler: Handler::Engine(|args| Ok(Operation::Watch(args))),
    docs: Docs {
        summary: "Lets the next EXEC run nothing if one of the keys has changed until then.",
        since: "2.2.0",
        group: Group::Transactions,
        complexity: "O(1) for every key.",
        arguments: "key [key ...]",
    },
    tips: &[],
    subcommands: &[],
};

/// Queued like any other command, though there is nothing left to forget when it runs.
const UNWATCH: Command = Command {
    name: "unwatch",
    arity: 1,
    flags: QUICK,
    categories: Categories::TRANSACTION,
    keys: &[],
    handler: Handler::Engine(|_| Ok(Operation::Unwatch)),
    docs: Docs {
        summary: "Forgets about all watched keys.",
        since: "2.2.0",
        group: Group::Transactions,
        complexity: "O(1)",
        arguments: "",
    },
    tips: &[],
    subcommands: &[],
};
