//! `CONTAINER HELP`: its row and what it answers.

use super::{Categories, Command, Context, Docs, Flags, Group, Handler, Outcome};
use crate::protocol::Args;

/// The row of a container's HELP, which `help` answers by way of [`reply_help`].
pub const fn help_row(
    group: Group,
    since: &'static str,
    help: fn(&mut Context<'_>, Args<'_>) -> Outcome,
) -> Command {
    Command {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.union(Flags::STALE),
        categories: Categories::empty(),
        keys: &[],
        handler: Handler::Anywhere(help),
        docs: Docs {
            summary: "Returns helpful text about the different subcommands.",
            since,
            group,
            complexity: "O(1)",
            arguments: "",
        },
        tips: &[],
        subcommands: &[],
    }
}

/// Replies as Redis does: a heading, the lines given, and HELP itself; every line a status.
/// Lines that explain the subcommand above them begin with four blanks.
pub fn reply_help(context: &mut Context<'_>, container: &str, lines: &[&str]) -> Outcome {
    let heading = format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    context.reply.array(lines.len() + 3);
    context.reply.simple(&heading);
    for line in lines {
        context.reply.simple(line);
    }
    context.reply.simple("HELP");
    context.reply.simple("    Prints this help.");
    Ok(())
}
