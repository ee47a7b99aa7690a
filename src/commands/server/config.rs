//! CONFIG and its subcommands; `config` knows the directives, the engine applies them.

use super::{
    Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, Operation, Outcome,
};
use crate::commands::help::{help_row, reply_help};
use crate::protocol::Args;

pub(super) const CONFIG: Command = Command {
    name: "config",
    arity: -2,
    flags: Flags::empty(),
    categories: Categories::empty(),
    keys: &[],
    handler: Handler::Container,
    docs: Docs {
        summary: "A container for server configuration commands.",
        since: "2.0.0",
        complexity: "Depends on subcommand.",
        ..DOCS
    },
    tips: &[],
    subcommands: &[GET, HELP, RESETSTAT, REWRITE, SET],
};

/// What every subcommand has in common, to be overwritten where it differs.
const SUBCOMMAND: Command = Command {
    name: "",
    arity: 2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    categories: Categories::empty(),
    keys: &[],
    handler: Handler::Container,
    docs: DOCS,
    tips: &[],
    subcommands: &[],
};
const DOCS: Docs =
    Docs { summary: "", since: "", group: Group::Server, complexity: "O(1)", arguments: "" };
const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const GET: Command = Command {
    name: "get",
    arity: -3,
    handler: Handler::Engine(|args| Ok(Operation::ConfigGet(args.from(2)))),
    docs: Docs {
        summary: "Returns the effective values of configuration parameters.",
        since: "2.0.0",
        complexity: "O(N) when N is the number of configuration parameters provided",
        arguments: "parameter [parameter ...]",
        ..DOCS
    },
    ..SUBCOMMAND
};

const HELP: Command = help_row(Group::Server, "5.0.0", help);

fn help(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    reply_help(
        context,
        "CONFIG",
        &[
            "GET <pattern>",
            "    Return parameters matching the glob-like <pattern> and their values.",
            "SET <directive> <value>",
            "    Set the configuration <directive> to <value>.",
            "RESETSTAT",
            "    Reset statistics reported by the INFO command.",
            "REWRITE",
            "    Rewrite the configuration file.",
        ],
    )
}

const RESETSTAT: Command = Command {
    name: "resetstat",
    handler: Handler::Engine(|_| Ok(Operation::ConfigResetStat)),
    docs: Docs { summary: "Resets the server's statistics.", since: "2.0.0", ..DOCS },
    tips: ALL_NODES,
    ..SUBCOMMAND
};

const REWRITE: Command = Command {
    name: "rewrite",
    handler: Handler::Engine(|_| Ok(Operation::ConfigRewrite)),
    docs: Docs { summary: "Persists the effective configuration to file.", since: "2.8.0", ..DOCS },
    tips: ALL_NODES,
    ..SUBCOMMAND
};

const SET: Command = Command {
    name: "set",
    arity: -4,
    handler: Handler::Engine(set),
    docs: Docs {
        summary: "Sets configuration parameters in-flight.",
        since: "2.0.0",
        complexity: "O(N) when N is the number of configuration parameters provided",
        arguments: "parameter value [parameter value ...]",
        ..DOCS
    },
    tips: ALL_NODES,
    ..SUBCOMMAND
};

fn set(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    Ok(Operation::ConfigSet(args.from(2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_support::{parse_error, words};

    #[test]
    fn set_takes_pairs() {
        let args = words(&["config", "set", "a", "1", "b", "2"]);
        let Ok(Operation::ConfigSet(pairs)) = set(args.as_args()) else {
            panic!("it is a CONFIG SET");
        };
        assert_eq!(pairs.iter().collect::<Vec<_>>(), [b"a", b"1", b"b", b"2"]);
        assert_eq!(parse_error(set, &["config", "set", "a", "1", "b"]), "ERR syntax error");
    }
}
