//! INFO.

use super::{Categories, Command, Docs, Flags, Group, Handler, Operation};

pub(super) const INFO: Command = Command {
    name: "info",
    arity: -1,
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Categories::DANGEROUS,
    keys: &[],
    handler: Handler::Engine(|args| Ok(Operation::Info(args.from(1)))),
    docs: Docs {
        summary: "Returns information and statistics about the server.",
        since: "1.0.0",
        group: Group::Server,
        complexity: "O(1)",
        arguments: "[section [section ...]]",
    },
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    subcommands: &[],
};
