//! Strings.

use super::{
    Categories, Command, Context, Docs, Flags, Group, Handler, KeyFlags, KeySpec, Outcome, Spread,
};
use crate::protocol::Args;

pub const COMMANDS: &[Command] = &[Command {
    name: "get",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(get, Spread::OneKey),
    docs: Docs {
        summary: "Returns the string value of a key.",
        since: "1.0.0",
        group: Group::String,
        complexity: "O(1)",
        arguments: "key",
    },
    tips: &[],
    subcommands: &[],
}];

fn get(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let found = context.shard.read(context.db_index, args.at(1), context.now);
    match found {
        Some(entry) => context.reply.bulk(entry.as_string()?),
        None => context.reply.null(),
    }
    Ok(())
}
