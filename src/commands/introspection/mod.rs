//! COMMAND: what the table of commands says about itself.

mod docs;
#[cfg(test)]
mod generate;
mod getkeys;
mod info;
pub mod syntax;

#[cfg(test)]
pub(crate) use generate::generated_arguments;

use super::help::{help_row, reply_help};
use super::{
    Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, Lookup, Outcome, Row,
    table,
};
use crate::protocol::Args;
use crate::text::glob;

pub const COMMANDS: &[Command] = &[Command {
    name: "command",
    arity: -1,
    handler: Handler::Anywhere(bare),
    docs: Docs {
        summary: "Returns detailed information about all commands.",
        since: "2.8.13",
        complexity: "O(N) where N is the total number of Redis commands",
        ..DOCS
    },
    tips: ANY_ORDER,
    subcommands: &[COUNT, DOCS_ROW, GETKEYS, GETKEYSANDFLAGS, HELP, INFO, LIST],
    ..SUBCOMMAND
}];

/// What all rows have in common, to be overwritten where it differs.
const SUBCOMMAND: Command = Command {
    name: "",
    arity: 2,
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Categories::CONNECTION,
    keys: &[],
    handler: Handler::Container,
    docs: DOCS,
    tips: &[],
    subcommands: &[],
};
const DOCS: Docs =
    Docs { summary: "", since: "", group: Group::Server, complexity: "O(1)", arguments: "" };
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];
const NAMES: &str = "[command-name [command-name ...]]";

/// COMMAND alone.
fn bare(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let rows = table().rows();
    context.reply.array(rows.len());
    for row in rows {
        info::reply_row(&mut context.reply, row);
    }
    Ok(())
}

const COUNT: Command = Command {
    name: "count",
    handler: Handler::Anywhere(count),
    docs: Docs { summary: "Returns a count of commands.", since: "2.8.13", ..DOCS },
    ..SUBCOMMAND
};

fn count(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    context.reply.integer(table().rows().len() as i64);
    Ok(())
}

const DOCS_ROW: Command = Command {
    name: "docs",
    arity: -2,
    handler: Handler::Anywhere(docs::docs),
    docs: Docs {
        summary: "Returns documentary information about one, multiple or all commands.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of commands to look up",
        arguments: NAMES,
        ..DOCS
    },
    tips: ANY_ORDER,
    ..SUBCOMMAND
};

const GETKEYS: Command = Command {
    name: "getkeys",
    arity: -3,
    handler: Handler::Anywhere(getkeys::getkeys),
    docs: Docs {
        summary: "Extracts the key names from an arbitrary command.",
        since: "2.8.13",
        complexity: "O(N) where N is the number of arguments to the command",
        arguments: "command [arg [arg ...]]",
        ..DOCS
    },
    ..SUBCOMMAND
};

const GETKEYSANDFLAGS: Command = Command {
    name: "getkeysandflags",
    arity: -3,
    handler: Handler::Anywhere(getkeys::getkeys_and_flags),
    docs: Docs {
        summary: "Extracts the key names and access flags for an arbitrary command.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of arguments to the command",
        arguments: "command [arg [arg ...]]",
        ..DOCS
    },
    ..SUBCOMMAND
};

const HELP: Command =
    Command { categories: Categories::CONNECTION, ..help_row(Group::Server, "5.0.0", help) };

fn help(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    reply_help(
        context,
        "COMMAND",
        &[
            "(no subcommand)",
            "    Return details about all Redis commands.",
            "COUNT",
            "    Return the total number of commands in this Redis server.",
            "LIST",
            "    Return a list of all commands in this Redis server.",
            "INFO [<command-name> ...]",
            "    Return details about multiple Redis commands.",
            "    If no command names are given, documentation details for all",
            "    commands are returned.",
            "DOCS [<command-name> ...]",
            "    Return documentation details about multiple Redis commands.",
            "    If no command names are given, documentation details for all",
            "    commands are returned.",
            "GETKEYS <full-command>",
            "    Return the keys from a full Redis command.",
            "GETKEYSANDFLAGS <full-command>",
            "    Return the keys and the access flags from a full Redis command.",
        ],
    )
}

const INFO: Command = Command {
    name: "info",
    arity: -2,
    handler: Handler::Anywhere(info::info),
    docs: Docs {
        summary: "Returns information about one, multiple or all commands.",
        since: "2.8.13",
        complexity: "O(N) where N is the number of commands to look up",
        arguments: NAMES,
        ..DOCS
    },
    tips: ANY_ORDER,
    ..SUBCOMMAND
};

const LIST: Command = Command {
    name: "list",
    arity: -2,
    handler: Handler::Anywhere(list),
    docs: Docs {
        summary: "Returns a list of command names.",
        since: "7.0.0",
        complexity: "O(N) where N is the total number of Redis commands",
        arguments: "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
        ..DOCS
    },
    tips: ANY_ORDER,
    ..SUBCOMMAND
};

fn list(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let keep: Filter<'_> = match (args.len(), args.get(2)) {
        (2, _) => Box::new(|_| true),
        (5, Some(word)) if word.eq_ignore_ascii_case(b"FILTERBY") => {
            filter(args.at(3), args.at(4))?
        }
        _ => return Err(CommandError::Syntax),
    };
    let kept: Vec<_> = all_with_subcommands().filter(|row| keep(row)).collect();
    context.reply.array(kept.len());
    for row in kept {
        context.reply.bulk(row.full_name.as_bytes());
    }
    Ok(())
}

type Filter<'a> = Box<dyn Fn(&Row) -> bool + 'a>;

fn filter<'a>(by: &[u8], value: &'a [u8]) -> Result<Filter<'a>, CommandError> {
    match by.to_ascii_lowercase().as_slice() {
        // There are no modules.
        b"module" => Ok(Box::new(|_| false)),
        b"aclcat" => {
            let wanted = str::from_utf8(value).ok().map(str::to_ascii_uppercase);
            let category = wanted.and_then(|name| Categories::from_name(&name));
            Ok(Box::new(move |row| {
                category.is_some_and(|category| row.categories().contains(category))
            }))
        }
        b"pattern" => Ok(Box::new(move |row| glob::matches(value, row.full_name.as_bytes(), true))),
        _ => Err(CommandError::Syntax),
    }
}

/// The row of a full name, `container|subcommand` for a subcommand, in any case.
fn find(name: &[u8]) -> Option<&'static Row> {
    let mut parts = name.splitn(2, |&byte| byte == b'|');
    let row = table().get(parts.next()?)?;
    match parts.next() {
        None => Some(row),
        Some(name) => shown_subcommands(row)
            .iter()
            .copied()
            .find(|row| row.name.as_bytes().eq_ignore_ascii_case(name)),
    }
}

/// Those of DEBUG are an implementation detail: in Redis it is one command.
fn shown_subcommands(row: &'static Row) -> &'static [&'static Row] {
    if row.flags.contains(Flags::DEBUG) { &[] } else { &row.subcommands }
}

/// All commands and, behind each, its subcommands.
fn all_with_subcommands() -> impl Iterator<Item = &'static Row> {
    let rows = table().rows().iter().copied();
    rows.flat_map(|row| std::iter::once(row).chain(shown_subcommands(row).iter().copied()))
}

/// The row that would carry out a command line.
fn row_of_line(line: Args<'_>) -> Option<&'static Row> {
    match table().lookup(line.get(0)?, line.get(1)) {
        Lookup::Found(row) => Some(row),
        Lookup::UnknownCommand | Lookup::UnknownSubcommand(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_support::reply;
    use crate::protocol::resp::Version::Resp2;

    #[test]
    fn count_counts_commands_without_subcommands() {
        let expected = format!(":{}\r\n", table().rows().len());
        assert_eq!(reply(&["command", "count"], Resp2), expected);
    }

    #[test]
    fn list_filters_by_pattern_category_and_module() {
        let list = |words: &[&str]| reply(&[&["command", "list"], words].concat(), Resp2);
        let named = list(&["filterby", "pattern", "CLIENT|GET*"]);
        assert_eq!(named, "*2\r\n$14\r\nclient|getname\r\n$15\r\nclient|getredir\r\n");
        assert_eq!(list(&["filterby", "module", "json"]), "*0\r\n");
        assert_eq!(list(&["filterby", "aclcat", "nosuch"]), "*0\r\n");
        let connection = list(&["filterby", "aclcat", "connection"]);
        assert!(connection.contains("\r\nhello\r\n") && !connection.contains("\r\ninfo\r\n"));
        assert!(list(&[]).contains("\r\ndebug\r\n") && !list(&[]).contains("debug|"));
        for wrong in [&["foo"][..], &["filterby"], &["filterby", "foo", "bar"]] {
            assert_eq!(list(wrong), "-ERR syntax error\r\n");
        }
    }
}
