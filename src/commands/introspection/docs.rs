//! COMMAND DOCS: a row as people and their tools need it.

use super::syntax::{self, Argument, Kind};
use super::{find, shown_subcommands};
use crate::commands::{Command, Context, Flags, Outcome, Row, table};
use crate::protocol::Args;
use crate::protocol::reply::Reply;

pub(super) fn docs(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let rows: Vec<&'static Row> = match args.len() {
        2 => table().rows().to_vec(),
        _ => args.from(2).iter().filter_map(find).collect(),
    };
    context.reply.map(rows.len());
    for row in rows {
        reply_docs(&mut context.reply, row);
        context.check_reply()?;
    }
    Ok(())
}

/// The full name and what there is to know about it.
fn reply_docs(reply: &mut Reply<'_>, row: &'static Row) {
    let arguments = syntax::parse(row.docs.arguments).unwrap_or_default();
    let subcommands = shown_subcommands(row);
    let is_for_tests = row.flags.contains(Flags::DEBUG);
    let replaced = REPLACED.iter().find(|entry| entry.name == row.full_name);

    reply.bulk(row.full_name.as_bytes());
    reply.map(
        3 + usize::from(!row.docs.complexity.is_empty())
            + if replaced.is_some() { 3 } else { 0 }
            + usize::from(is_for_tests)
            + usize::from(!arguments.is_empty())
            + usize::from(!subcommands.is_empty()),
    );
    reply_text(reply, "summary", row.docs.summary);
    reply_text(reply, "since", row.docs.since);
    reply_text(reply, "group", row.docs.group.name());
    if !row.docs.complexity.is_empty() {
        reply_text(reply, "complexity", row.docs.complexity);
    }
    if is_for_tests {
        reply_doc_flag(reply, "syscmd");
    }
    if let Some(replaced) = replaced {
        reply_doc_flag(reply, "deprecated");
        reply_text(reply, "deprecated_since", replaced.since);
        reply_text(reply, "replaced_by", replaced.by);
    }
    if !arguments.is_empty() {
        reply.bulk(b"arguments");
        reply_arguments(reply, &arguments, row, &mut 0);
    }
    if !subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        for subcommand in subcommands {
            reply_docs(reply, subcommand);
        }
    }
}

/// `keys` counts the key arguments so far: the n-th belongs to the n-th key specification, those
/// that are left over to the last.
fn reply_arguments(reply: &mut Reply<'_>, arguments: &[Argument], row: &Command, keys: &mut usize) {
    reply.array(arguments.len());
    for argument in arguments {
        let is_group = matches!(argument.kind, Kind::OneOf | Kind::Block);
        let is_key = argument.kind == Kind::Key && !row.keys.is_empty();
        let has_flags = argument.optional || argument.multiple;
        reply.map(
            2 + usize::from(!is_group)
                + usize::from(is_key)
                + usize::from(argument.token.is_some())
                + usize::from(has_flags)
                + usize::from(is_group),
        );
        reply_text(reply, "name", &argument.name);
        let kind = match argument.kind {
            // A name such as `source` means a key only where the command has keys.
            Kind::Key if !is_key => Kind::String,
            Kind::Integer if argument.name == "increment" && row.name.ends_with("float") => {
                Kind::Double
            }
            kind => kind,
        };
        reply_text(reply, "type", kind.name());
        if !is_group {
            reply_text(reply, "display_text", &argument.name);
        }
        if is_key {
            reply.bulk(b"key_spec_index");
            reply.integer((*keys).min(row.keys.len() - 1) as i64);
            *keys += 1;
        }
        if let Some(token) = &argument.token {
            reply_text(reply, "token", token);
        }
        if has_flags {
            reply_argument_flags(reply, argument);
        }
        if is_group {
            reply.bulk(b"arguments");
            reply_arguments(reply, &argument.arguments, row, keys);
        }
    }
}

fn reply_argument_flags(reply: &mut Reply<'_>, argument: &Argument) {
    let flags = [
        (argument.optional, "optional"),
        (argument.multiple, "multiple"),
        (argument.multiple_token, "multiple_token"),
    ];
    let set: Vec<&str> =
        flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag).collect();
    reply.bulk(b"flags");
    reply.set(set.len());
    for flag in set {
        reply.simple(flag);
    }
}

fn reply_doc_flag(reply: &mut Reply<'_>, flag: &str) {
    reply.bulk(b"doc_flags");
    reply.set(1);
    reply.simple(flag);
}

fn reply_text(reply: &mut Reply<'_>, name: &str, text: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(text.as_bytes());
}

/// A command that Redis's documentation advises against.
struct Replaced {
    name: &'static str,
    since: &'static str,
    by: &'static str,
}

const REPLACED: &[Replaced] = &[
    Replaced { name: "getset", since: "6.2.0", by: "`SET` with the `!GET` argument" },
    Replaced { name: "psetex", since: "2.6.12", by: "`SET` with the `PX` argument" },
    Replaced { name: "quit", since: "7.2.0", by: "just closing the connection" },
    Replaced { name: "setex", since: "2.6.12", by: "`SET` with the `EX` argument" },
    Replaced { name: "setnx", since: "2.6.12", by: "`SET` with the `NX` argument" },
    Replaced { name: "substr", since: "2.0.0", by: "`GETRANGE`" },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_support::reply;
    use crate::protocol::resp::Version::{Resp2, Resp3};

    #[test]
    fn every_row_has_documentation_that_can_be_read() {
        for row in table().by_id() {
            let (name, docs) = (&row.full_name, row.docs);
            if let Err(error) = syntax::parse(docs.arguments) {
                panic!("{name}: {error}: {}", docs.arguments);
            }
            assert!(!docs.summary.is_empty() && !docs.since.is_empty(), "{name}");
        }
    }

    #[test]
    fn describes_a_command_in_both_protocols() {
        assert_eq!(
            reply(&["command", "docs", "PING", "nosuch"], Resp3),
            "%1\r\n$4\r\nping\r\n%5\r\n\
             $7\r\nsummary\r\n$41\r\nReturns the server's liveliness response.\r\n\
             $5\r\nsince\r\n$5\r\n1.0.0\r\n$5\r\ngroup\r\n$10\r\nconnection\r\n\
             $10\r\ncomplexity\r\n$4\r\nO(1)\r\n\
             $9\r\narguments\r\n*1\r\n%4\r\n$4\r\nname\r\n$7\r\nmessage\r\n$4\r\ntype\r\n\
             $6\r\nstring\r\n$12\r\ndisplay_text\r\n$7\r\nmessage\r\n\
             $5\r\nflags\r\n~1\r\n+optional\r\n"
        );
        let quit = reply(&["command", "docs", "quit"], Resp2);
        assert!(
            quit.contains("+deprecated\r\n$16\r\ndeprecated_since\r\n$5\r\n7.2.0\r\n"),
            "{quit}"
        );
        assert_eq!(reply(&["command", "docs", "nosuch"], Resp2), "*0\r\n");
    }
}
