//! What `CONTAINER HELP` answers.

use super::{Context, Outcome};

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
