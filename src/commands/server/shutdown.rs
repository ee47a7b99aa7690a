//! SHUTDOWN.

use super::{Categories, Command, CommandError, Docs, Flags, Group, Handler, Operation};
use crate::commands::Shutdown;
use crate::protocol::Args;

pub(super) const SHUTDOWN: Command = Command {
    name: "shutdown",
    arity: -1,
    flags: Flags::ADMIN
        .union(Flags::NOSCRIPT)
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::NO_MULTI)
        .union(Flags::ALLOW_BUSY),
    categories: Categories::empty(),
    keys: &[],
    handler: Handler::Engine(shutdown),
    docs: Docs {
        summary: "Synchronously saves the database(s) to disk and shuts down the Redis server.",
        since: "1.0.0",
        group: Group::Server,
        complexity: "O(N) when saving, where N is the total number of keys in all databases when \
                     saving data, otherwise O(1)",
        arguments: "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
    },
    tips: &[],
    subcommands: &[],
};

/// Nothing is ever saved, so SAVE and FORCE, which concern the saving, are accepted without effect.
fn shutdown(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    let mut shutdown = Shutdown::default();
    let (mut save, mut nosave, mut force) = (false, false, false);
    for option in args.from(1).iter() {
        match option.to_ascii_lowercase().as_slice() {
            b"nosave" => nosave = true,
            b"save" => save = true,
            b"now" => shutdown.now = true,
            b"force" => force = true,
            b"abort" => shutdown.abort = true,
            _ => return Err(CommandError::Syntax),
        }
    }
    let stops = save || nosave || force || shutdown.now;
    if save && nosave || shutdown.abort && stops {
        return Err(CommandError::Syntax);
    }
    Ok(Operation::Shutdown(shutdown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_support::{parse_error, words};

    #[test]
    fn options_that_exclude_each_other_are_refused() {
        for line in [
            &["shutdown", "foo"][..],
            &["shutdown", "save", "nosave"],
            &["shutdown", "abort", "now"],
            &["shutdown", "nosave", "abort"],
        ] {
            assert_eq!(parse_error(shutdown, line), "ERR syntax error", "{line:?}");
        }
        let args = words(&["shutdown", "NOSAVE", "now", "force"]);
        let parsed = shutdown(args.as_args());
        assert!(matches!(parsed, Ok(Operation::Shutdown(Shutdown { now: true, abort: false }))));
        let args = words(&["shutdown", "abort"]);
        let parsed = shutdown(args.as_args());
        assert!(matches!(parsed, Ok(Operation::Shutdown(Shutdown { now: false, abort: true }))));
    }
}
