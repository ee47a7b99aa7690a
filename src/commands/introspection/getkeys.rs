//! COMMAND GETKEYS and GETKEYSANDFLAGS: where the keys of a command line are.

use super::info::reply_key_flags;
use super::row_of_line;
use crate::commands::{CommandError, Context, Flags, KeyFlags, KeyRanges, Outcome};
use crate::protocol::Args;

pub(super) fn getkeys(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let line = args.from(2);
    let keys = keys_of(line)?;
    context.reply.array(keys.len());
    for (position, _) in keys {
        context.reply.bulk(line.at(position));
    }
    Ok(())
}

pub(super) fn getkeys_and_flags(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let line = args.from(2);
    let keys = keys_of(line)?;
    context.reply.array(keys.len());
    for (position, flags) in keys {
        context.reply.array(2);
        context.reply.bulk(line.at(position));
        reply_key_flags(&mut context.reply, flags);
    }
    Ok(())
}

fn keys_of(line: Args<'_>) -> Result<Vec<(usize, KeyFlags)>, CommandError> {
    let row = row_of_line(line).ok_or(CommandError::text("ERR Invalid command specified"))?;
    if !row.has_keys() || row.flags.contains(Flags::DEBUG) {
        return Err(CommandError::text("ERR The command has no key arguments"));
    }
    if !row.arity_allows(line.len()) {
        let text = "ERR Invalid number of arguments specified for command";
        return Err(CommandError::text(text));
    }
    let ranges = row.key_ranges_with_flags(line).unwrap_or(KeyRanges::NONE);
    let keys = ranges.iter().flat_map(|range| range.positions().map(move |at| (at, range.flags)));
    let keys: Vec<_> = keys.collect();
    if keys.is_empty() && !row.flags.contains(Flags::NO_MANDATORY_KEYS) {
        return Err(CommandError::text("ERR Invalid arguments specified for command"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::reply;
    use crate::protocol::resp::Version::{Resp2, Resp3};

    #[test]
    fn finds_keys_and_what_is_done_with_them() {
        assert_eq!(reply(&["command", "getkeys", "get", "a"], Resp2), "*1\r\n$1\r\na\r\n");
        assert_eq!(
            reply(&["command", "getkeysandflags", "GET", "a"], Resp3),
            "*1\r\n*2\r\n$1\r\na\r\n~2\r\n+RO\r\n+access\r\n"
        );
    }

    #[test]
    fn set_reads_its_key_only_with_get() {
        let set = |options: &[&str]| {
            reply(&[&["command", "getkeysandflags", "set", "a", "1"], options].concat(), Resp2)
        };
        assert_eq!(set(&["ex", "9"]), "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+OW\r\n+update\r\n");
        let with_get = "*1\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+update\r\n";
        assert_eq!(set(&["ex", "9", "Get"]), with_get);
    }

    #[test]
    fn refuses_lines_without_keys() {
        for (line, text) in [
            (&["foo", "bar"][..], "Invalid command specified"),
            (&["config", "foo", "x"], "Invalid command specified"),
            (&["ping", "a"], "The command has no key arguments"),
            (&["client", "id"], "The command has no key arguments"),
            (&["debug", "object", "k"], "The command has no key arguments"),
            (&["get"], "Invalid number of arguments specified for command"),
        ] {
            let line = [&["command", "getkeys"], line].concat();
            assert_eq!(reply(&line, Resp2), format!("-ERR {text}\r\n"));
        }
    }
}
