//! MODULE: there are none, which is what tools that look for some want to hear.

use super::{Categories, Command, Context, Docs, Flags, Group, Handler, Outcome};
use crate::commands::help::{help_row, reply_help};
use crate::protocol::Args;

pub(super) const MODULE: Command = Command {
    name: "module",
    arity: -2,
    flags: Flags::empty(),
    categories: Categories::empty(),
    keys: &[],
    handler: Handler::Container,
    docs: Docs {
        summary: "A container for module commands.",
        complexity: "Depends on subcommand.",
        ..DOCS
    },
    tips: &[],
    subcommands: &[HELP, LIST],
};

const DOCS: Docs =
    Docs { summary: "", since: "4.0.0", group: Group::Server, complexity: "", arguments: "" };

const HELP: Command = help_row(Group::Server, "5.0.0", help);

fn help(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    reply_help(context, "MODULE", &["LIST", "    Return a list of loaded modules."])
}

const LIST: Command = Command {
    name: "list",
    arity: 2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT),
    categories: Categories::empty(),
    keys: &[],
    handler: Handler::Anywhere(list),
    docs: Docs {
        summary: "Returns all loaded modules.",
        complexity: "O(N) where N is the number of loaded modules.",
        ..DOCS
    },
    tips: &["nondeterministic_output_order"],
    subcommands: &[],
};

fn list(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    context.reply.array(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::reply;
    use crate::protocol::resp::Version;

    #[test]
    fn there_are_no_modules() {
        for version in [Version::Resp2, Version::Resp3] {
            assert_eq!(reply(&["module", "list"], version), "*0\r\n");
        }
        let help = reply(&["module", "help"], Version::Resp2);
        assert!(help.starts_with("*5\r\n+MODULE <subcommand> "), "{help}");
    }
}
