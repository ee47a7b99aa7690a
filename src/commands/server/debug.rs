//! DEBUG: for tests of clients and of this server; allowed where `enable-debug-command` says so.

use super::{
    Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, Operation, Outcome,
};
use crate::commands::help::{help_row, reply_help};
use crate::commands::{KeyFlags, KeySpec, Spread};
use crate::protocol::Args;
use crate::store::Encoding;
use crate::text::number;

/// In Redis one command without subcommands; COMMAND shows it so, because of [`Flags::DEBUG`].
pub(super) const DEBUG: Command = Command {
    name: "debug",
    arity: -2,
    flags: FLAGS,
    categories: Categories::empty(),
    keys: &[],
    handler: Handler::Container,
    docs: Docs {
        summary: "A container for debugging commands.",
        since: "1.0.0",
        group: Group::Server,
        complexity: "Depends on subcommand.",
        arguments: "",
    },
    tips: &[],
    subcommands: &[HELP, OBJECT, SET_ACTIVE_EXPIRE, SLEEP],
};

const FLAGS: Flags = Flags::ADMIN
    .union(Flags::NOSCRIPT)
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::DEBUG);

/// What every subcommand has in common, to be overwritten where it differs.
const SUBCOMMAND: Command = Command {
    name: "",
    arity: 3,
    flags: FLAGS,
    categories: Categories::empty(),
    keys: &[],
    handler: Handler::Container,
    docs: DOCS,
    tips: &[],
    subcommands: &[],
};
const DOCS: Docs =
    Docs { summary: "", since: "1.0.0", group: Group::Server, complexity: "O(1)", arguments: "" };

const HELP: Command = Command { flags: FLAGS, ..help_row(Group::Server, "1.0.0", help) };

fn help(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    reply_help(
        context,
        "DEBUG",
        &[
            "OBJECT <key>",
            "    Show low level info about `key` and associated value.",
            "SET-ACTIVE-EXPIRE <0|1>",
            "    Setting it to 0 disables expiring keys in background when they are not",
            "    accessed (otherwise the Redis behavior). Setting it to 1 reenables back the",
            "    default.",
            "SLEEP <seconds>",
            "    Stop the server for <seconds>. Decimals allowed.",
        ],
    )
}

const OBJECT: Command = Command {
    name: "object",
    keys: &[KeySpec::one(2, KeyFlags::RO)],
    handler: Handler::Keyed(object, Spread::OneKey),
    docs: Docs {
        summary: "Shows low level information about a key and its value.",
        arguments: "key",
        ..DOCS
    },
    ..SUBCOMMAND
};

fn object(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let lru_clock = (context.now / 1000) & LRU_CLOCK_MAX;
    let entry = context.peek(args.at(2)).ok_or(CommandError::NoSuchKey)?;
    let serialized_len = match entry.as_string() {
        Ok(value) => serialized_len(&value, entry.encoding()),
        Err(_) => entry.value_size(),
    };
    let line = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{lru_clock} \
         lru_seconds_idle:{}",
        entry.address(),
        entry.encoding().name(),
        serialized_len,
        entry.idle_seconds(context.now),
    );
    context.reply.simple(&line);
    Ok(())
}

/// Redis keeps 24 bits of the seconds.
const LRU_CLOCK_MAX: u64 = (1 << 24) - 1;

/// Bytes of a string in an RDB file without compression: integers of up to 32 bits have a form of
/// their own, other strings a length of one, two or five bytes before them.
/// Source: <https://rdb.fnordig.de/file_format.html#string-encoding>.
fn serialized_len(value: &[u8], encoding: Encoding) -> usize {
    if encoding == Encoding::Int
        && let Some(integer) = number::parse_i64(value)
    {
        if i8::try_from(integer).is_ok() {
            return 2;
        } else if i16::try_from(integer).is_ok() {
            return 3;
        } else if i32::try_from(integer).is_ok() {
            return 5;
        }
    }
    value.len()
        + match value.len() {
            ..64 => 1,
            64..16_384 => 2,
            _ => 5,
        }
}

const SET_ACTIVE_EXPIRE: Command = Command {
    name: "set-active-expire",
    handler: Handler::Engine(set_active_expire),
    docs: Docs {
        summary: "Turns the sweep for expired keys off or on again.",
        arguments: "<0 | 1>",
        ..DOCS
    },
    ..SUBCOMMAND
};

fn set_active_expire(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    let value = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    Ok(Operation::DebugSetActiveExpire(value != 0))
}

const SLEEP: Command = Command {
    name: "sleep",
    handler: Handler::Engine(sleep),
    docs: Docs { summary: "Stops the server for a while.", arguments: "seconds", ..DOCS },
    ..SUBCOMMAND
};

fn sleep(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    let seconds = number::parse_f64(args.at(2)).filter(|seconds| *seconds >= 0.0);
    let micros = seconds.ok_or(CommandError::NotFloat)? * 1e6;
    // The conversion saturates.
    Ok(Operation::DebugSleep { micros: micros as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_support::{Server, parse_error, words};
    use crate::store::Event;

    #[test]
    fn object_shows_encoding_and_serialized_length() {
        let mut server = Server::new();
        let long = "x".repeat(64);
        let values = ["1", "-129", "40000", "12345678901", "abc", long.as_str()];
        let expected = ["int 2", "int 3", "int 5", "int 12", "embstr 4", "raw 66"];
        for (value, expected) in values.into_iter().zip(expected) {
            let encoding = Encoding::of_value(value.as_bytes());
            server.shard.db_mut(0).set_string(
                b"k",
                value.as_bytes(),
                encoding,
                None,
                0,
                Event::Set,
            );
            let line = server.run("debug object k");
            let (encoding, len) = expected.split_once(' ').expect("two words");
            let part = format!(" refcount:1 encoding:{encoding} serializedlength:{len} lru:");
            assert!(line.starts_with("+Value at:0x") && line.contains(&part), "{line}");
        }
        assert_eq!(server.run("debug object no"), "-ERR no such key");
    }

    #[test]
    fn sleep_takes_fractions_of_seconds() {
        let args = words(&["debug", "sleep", "0.25"]);
        assert!(matches!(sleep(args.as_args()), Ok(Operation::DebugSleep { micros: 250_000 })));
        assert_eq!(parse_error(sleep, &["debug", "sleep", "-1"]), "ERR value is not a valid float");
    }
}
