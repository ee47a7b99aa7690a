//! DEBUG POP-BYTE and MOVE-BYTE: strings as queues of bytes that clients wait at, as BLPOP's and
//! BLMOVE's clients wait at lists. For tests of everything that is about waiting.

use super::debug::SUBCOMMAND;
use super::{Command, CommandError, Context, Docs, Flags, Handler, Outcome};
use crate::commands::blocking::{timeout_in_seconds, without_waiting};
use crate::commands::hops::{Change, Decision, Finding, Hops, take_nothing};
use crate::commands::{KeyFlags, KeySpec, Readiness, Spread, Wait, WaitsAt};
use crate::protocol::Args;
use crate::store::{Encoding, Event, Slot};

pub(super) const POP_BYTE: Command = Command {
    name: "pop-byte",
    arity: -4,
    flags: SUBCOMMAND.flags.union(Flags::WRITE).union(Flags::BLOCKING),
    keys: &[KeySpec::range(2, -2, 1, KeyFlags::RW.union(KeyFlags::DELETE))],
    handler: Handler::Keyed(pop_byte, Spread::Wait(&POPS)),
    docs: Docs {
        summary: "Takes the first byte of the first of these strings that has one, or waits for \
                  one.",
        complexity: "O(N) where N is the length of the string.",
        arguments: "key [key ...] timeout",
        ..SUBCOMMAND.docs
    },
    ..SUBCOMMAND
};

static POPS: Wait = Wait {
    timeout: |args| timeout_in_seconds(args.at(args.len() - 1)),
    at: WaitsAt::EveryKey,
    ready: has_byte,
    serve: |context, args, position| {
        let key = args.at(position);
        let byte = take_byte(context, key)?;
        context.reply.array(2);
        context.reply.bulk(key);
        context.reply.bulk(&[byte]);
        Ok(())
    },
    nothing: |reply| reply.null_array(),
};

fn pop_byte(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    without_waiting(context, args, &POP_BYTE)
}

pub(super) const MOVE_BYTE: Command = Command {
    name: "move-byte",
    arity: 5,
    flags: SUBCOMMAND.flags.union(Flags::WRITE).union(Flags::BLOCKING).union(Flags::DENYOOM),
    keys: &[
        KeySpec::one(2, KeyFlags::RW.union(KeyFlags::DELETE)),
        KeySpec::one(3, KeyFlags::RW.union(KeyFlags::INSERT)),
    ],
    handler: Handler::Keyed(move_byte, Spread::Wait(&MOVES)),
    docs: Docs {
        summary: "Takes the first byte of a string, or waits for one, and appends it to another.",
        complexity: "O(N) where N is the length of the strings.",
        arguments: "source destination timeout",
        ..SUBCOMMAND.docs
    },
    ..SUBCOMMAND
};

static MOVES: Wait = Wait {
    timeout: |args| timeout_in_seconds(args.at(4)),
    at: WaitsAt::FirstKey(&MOVES_IN_HOPS),
    ready: has_byte,
    serve: |context, args, source| {
        let byte = take_byte(context, args.at(source))?;
        append_byte(context, args.at(3), byte)?;
        context.reply.bulk(&[byte]);
        Ok(())
    },
    nothing: |reply| reply.null(),
};

/// Only the byte goes from shard to shard.
static MOVES_IN_HOPS: Hops = Hops {
    look: |context, args, position| {
        let bytes_max = context.string_bytes_max();
        let Some(entry) = context.peek(args.at(position)) else { return Ok(Finding::Nothing) };
        let value = entry.as_string()?;
        Ok(match position {
            2 => value.first().map_or(Finding::Nothing, |&byte| Finding::Bytes(vec![byte])),
            _ if value.len() >= bytes_max => return Err(CommandError::StringTooLong),
            _ => Finding::Exists,
        })
    },
    decide: |findings, _| {
        let Finding::Bytes(byte) = findings.take(2)? else {
            findings.reply.null();
            return Ok(Decision::Nothing);
        };
        findings.take(3)?;
        findings.reply.bulk(&byte);
        Ok(Decision::Done(vec![(2, Change::Plain), (3, Change::Bytes(byte))]))
    },
    take: take_nothing,
    // The decision has found that nothing is in the way.
    apply: |context, args, position, change| {
        let key = args.at(position);
        let _ = match change {
            Change::Bytes(bytes) => {
                bytes.iter().try_for_each(|&byte| append_byte(context, key, byte))
            }
            Change::Plain | Change::Item(_) => take_byte(context, key).map(|_| ()),
        };
    },
};

fn move_byte(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    without_waiting(context, args, &MOVE_BYTE)
}

fn has_byte(context: &Context<'_>, key: &[u8]) -> Readiness {
    match context.peek(key).map(|entry| entry.as_string().map(|value| value.is_empty())) {
        None | Some(Ok(true)) => Readiness::Nothing,
        Some(Ok(false)) => Readiness::Ready,
        Some(Err(_)) => Readiness::Unfit,
    }
}

fn take_byte(context: &mut Context<'_>, key: &[u8]) -> Result<u8, CommandError> {
    let now = context.now;
    let Some(mut entry) = context.db_mut().get_mut(key, now, Event::Set) else {
        return Err(CommandError::NoSuchKey);
    };
    let value = entry.as_string()?.to_vec();
    let Some((&first, rest)) = value.split_first() else { return Err(CommandError::NoSuchKey) };
    if rest.is_empty() {
        context.db_mut().remove(key, now, Event::Del);
    } else {
        entry.replace_string(rest, Encoding::of_value(rest));
    }
    Ok(first)
}

fn append_byte(context: &mut Context<'_>, key: &[u8], byte: u8) -> Result<(), CommandError> {
    let bytes_max = context.string_bytes_max();
    match context.shard.db_mut(context.db_index).slot(key, context.now, Event::Append) {
        Slot::Occupied(mut entry) => {
            let len = entry.as_string()?.len();
            if len >= bytes_max {
                return Err(CommandError::StringTooLong);
            }
            entry.resize_string(len + 1)?[len] = byte;
        }
        Slot::Vacant(slot) => {
            slot.insert(&[byte], Encoding::of_value(&[byte]), None);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;

    #[test]
    fn where_nobody_can_wait_the_first_key_that_is_ready_serves() {
        let mut server = Server::new();
        assert_eq!(server.run("debug pop-byte a b 0"), "*-1");
        server.run("append b xy");
        assert_eq!(server.run("debug pop-byte a b 0"), "*2 $1 b $1 x");
        server.run("append a 1");
        assert_eq!(server.run("debug pop-byte a b 1.5"), "*2 $1 a $1 1");
        assert_eq!(server.run("exists a"), ":0");
        assert_eq!(
            server.run("debug pop-byte b soon"),
            "-ERR timeout is not a float or out of range"
        );
        assert_eq!(server.run("debug move-byte b c 0"), "$1 y");
        assert_eq!(server.run("debug move-byte b c 0"), "$-1");
        server.run("append c z");
        assert_eq!(server.run("debug move-byte c c 0"), "$1 y");
        assert_eq!(server.run("get c"), "$2 zy");
    }
}
