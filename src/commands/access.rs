//! ACCESS: what the access policy would do, and what it has refused. Ours, not Redis's.

use super::help::{help_row, reply_help};
use super::{
    Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, Operation, Outcome,
};
use crate::protocol::Args;
use crate::text::number;

pub const COMMANDS: &[Command] = &[Command {
    name: "access",
    arity: -2,
    flags: Flags::empty(),
    categories: Categories::empty(),
    keys: &[],
    handler: Handler::Container,
    docs: Docs {
        summary: "A container for commands about the access policy.",
        complexity: "Depends on subcommand.",
        ..DOCS
    },
    tips: &[],
    subcommands: &[EXPLAIN, HELP, LOG],
}];

/// What every subcommand has in common, to be overwritten where it differs.
const SUBCOMMAND: Command = Command {
    name: "",
    arity: -2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    categories: Categories::empty(),
    keys: &[],
    handler: Handler::Container,
    docs: DOCS,
    tips: &[],
    subcommands: &[],
};
const DOCS: Docs =
    Docs { summary: "", since: "0.1.0", group: Group::Server, complexity: "O(1)", arguments: "" };

const EXPLAIN: Command = Command {
    name: "explain",
    arity: 3,
    handler: Handler::Engine(explain),
    docs: Docs {
        summary: "Tells what the access policy does with a peer and by which rule.",
        complexity: "O(N) where N is the number of entries of allow-from",
        arguments: "ip",
        ..DOCS
    },
    ..SUBCOMMAND
};

fn explain(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    let address = str::from_utf8(args.at(2)).ok().and_then(|text| text.parse().ok());
    let address = address.ok_or(CommandError::text(
        "ERR not an IP address: give one such as 192.0.2.7 or 2001:db8::7, without a port",
    ))?;
    Ok(Operation::AccessExplain(address))
}

const HELP: Command = help_row(Group::Server, "0.1.0", help);

fn help(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    reply_help(
        context,
        "ACCESS",
        &[
            "EXPLAIN <ip>",
            "    Tell what the access policy would do with a peer and by which rule.",
            "LOG [<count> | RESET]",
            "    Show recent refusals, the newest first (default: 10), or forget them.",
        ],
    )
}

const LOG: Command = Command {
    name: "log",
    handler: Handler::Engine(log),
    docs: Docs {
        summary: "Lists recent refusals of the access policy, or forgets them.",
        complexity: "O(N) where N is the number of refusals shown",
        arguments: "[count | RESET]",
        ..DOCS
    },
    tips: &["nondeterministic_output"],
    ..SUBCOMMAND
};

/// As many as ACL LOG shows without a count.
const LOG_COUNT_DEFAULT: usize = 10;

fn log(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    match args.get(2) {
        None => Ok(Operation::AccessLog { count: LOG_COUNT_DEFAULT }),
        Some(_) if args.len() > 3 => Err(CommandError::Syntax),
        Some(word) if word.eq_ignore_ascii_case(b"RESET") => Ok(Operation::AccessLogReset),
        Some(count) => {
            let count = number::parse_i64(count).ok_or(CommandError::NotInteger)?;
            let count = usize::try_from(count)
                .map_err(|_| CommandError::text("ERR value is out of range, must be positive"))?;
            Ok(Operation::AccessLog { count })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_support::{parse_error, words};

    #[test]
    fn explain_takes_an_address() {
        for address in ["192.0.2.7", "2001:db8::7", "::ffff:127.0.0.1"] {
            let args = words(&["access", "explain", address]);
            let Ok(Operation::AccessExplain(parsed)) = explain(args.as_args()) else {
                panic!("{address} is an address");
            };
            assert_eq!(Ok(parsed), address.parse());
        }
        for other in ["", "192.0.2.7:80", "example.org", "192.0.2.0/24"] {
            let text = parse_error(explain, &["access", "explain", other]);
            assert!(text.starts_with("ERR not an IP address"), "{other}: {text}");
        }
    }

    #[test]
    fn log_takes_a_count_or_reset() {
        let args = words(&["access", "log"]);
        assert!(matches!(log(args.as_args()), Ok(Operation::AccessLog { count: 10 })));
        let args = words(&["access", "log", "3"]);
        assert!(matches!(log(args.as_args()), Ok(Operation::AccessLog { count: 3 })));
        let args = words(&["access", "log", "reset"]);
        assert!(matches!(log(args.as_args()), Ok(Operation::AccessLogReset)));
        for (options, text) in [
            (&["x"][..], "ERR value is not an integer or out of range"),
            (&["-1"], "ERR value is out of range, must be positive"),
            (&["1", "2"], "ERR syntax error"),
        ] {
            assert_eq!(parse_error(log, &[&["access", "log"], options].concat()), text);
        }
    }
}
