//! Parts of strings.

use super::{DOCS, ROW};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::{Encoding, EntryMut, EntryRef, Event, Slot};
use crate::text::number;

pub const APPEND: Command = Command {
    name: "append",
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    handler: Handler::Keyed(append, Spread::OneKey),
    docs: Docs {
        summary: "Appends to the string at a key, which is created if it does not exist.",
        since: "2.0.0",
        complexity: "O(1) amortized, if the appended value is small: the room for a string \
                     grows in steps of a quarter.",
        arguments: "key value",
        ..DOCS
    },
    ..ROW
};

fn append(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (key, value) = (args.at(1), args.at(2));
    let bytes_max = context.string_bytes_max();
    let len = match context.shard.db_mut(context.db_index).slot(key, context.now, Event::Append) {
        Slot::Occupied(mut entry) => {
            let old_len = entry.as_string()?.len();
            checked_end(old_len, value, bytes_max)?;
            entry.append_string(value)?
        }
        Slot::Vacant(slot) => {
            slot.insert(value, Encoding::of_value(value), None);
            value.len()
        }
    };
    context.reply.integer(len as i64);
    Ok(())
}

/// Where a value that is written at `offset` ends.
fn checked_end(offset: usize, value: &[u8], bytes_max: usize) -> Result<usize, CommandError> {
    let end = offset.checked_add(value.len());
    end.filter(|&end| end <= bytes_max).ok_or(CommandError::StringTooLong)
}

pub const GETRANGE: Command = Command {
    name: "getrange",
    arity: 4,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(getrange, Spread::OneKey),
    docs: Docs {
        summary: "Returns a part of the string at a key.",
        since: "2.4.0",
        complexity: "O(N) where N is the number of bytes returned.",
        arguments: "key start end",
        ..DOCS
    },
    ..ROW
};

pub const SUBSTR: Command = Command {
    name: "substr",
    docs: Docs {
        summary: "Returns a part of the string at a key; GETRANGE is the newer name.",
        since: "1.0.0",
        ..GETRANGE.docs
    },
    ..GETRANGE
};

fn getrange(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let start = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    let end = number::parse_i64(args.at(3)).ok_or(CommandError::NotInteger)?;
    let found = context.shard.read(context.db_index, args.at(1), context.now);
    let value = found.map(EntryRef::as_string).transpose()?;
    context.reply.bulk(range(value.as_deref().unwrap_or_default(), start, end));
    Ok(())
}

/// The bytes from `start` to `end`, both included; negative ones count from the end.
fn range(value: &[u8], start: i64, end: i64) -> &[u8] {
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let len = value.len() as i64;
    let from_begin = |index: i64| if index < 0 { (len + index).max(0) } else { index };
    let (start, end) = (from_begin(start), from_begin(end).min(len - 1));
    if start > end {
        return &[];
    }
    &value[start as usize..=end as usize]
}

pub const SETRANGE: Command = Command {
    name: "setrange",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    handler: Handler::Keyed(setrange, Spread::OneKey),
    docs: Docs {
        summary: "Overwrites a part of the string at a key, which grows with zero bytes if it \
                  is too short.",
        since: "2.2.0",
        complexity: "O(M) where M is the length of the value; bytes in between that are zero are \
                     not written in strings of a mebibyte or more.",
        arguments: "key offset value",
        ..DOCS
    },
    ..ROW
};

fn setrange(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (key, value) = (args.at(1), args.at(3));
    let offset = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    let offset =
        usize::try_from(offset).map_err(|_| CommandError::text("ERR offset is out of range"))?;
    let bytes_max = context.string_bytes_max();
    let len = match context.shard.db_mut(context.db_index).slot(key, context.now, Event::SetRange) {
        Slot::Occupied(mut entry) => {
            let old_len = entry.as_string()?.len();
            if value.is_empty() {
                old_len
            } else {
                let end = checked_end(offset, value, bytes_max)?;
                overwrite(&mut entry, offset, value, old_len.max(end))?
            }
        }
        Slot::Vacant(_) if value.is_empty() => 0,
        Slot::Vacant(slot) => {
            let end = checked_end(offset, value, bytes_max)?;
            overwrite(&mut slot.insert(&[], Encoding::Raw, None), offset, value, end)?
        }
    };
    context.reply.integer(len as i64);
    Ok(())
}

/// Makes the string `len` bytes long, `value` at `offset` in it; gives `len` back.
fn overwrite(
    entry: &mut EntryMut<'_>,
    offset: usize,
    value: &[u8],
    len: usize,
) -> Result<usize, CommandError> {
    entry.resize_string(len)?[offset..offset + value.len()].copy_from_slice(value);
    Ok(len)
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;

    const TOO_LONG: &str = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";

    #[test]
    fn append() {
        let mut server = Server::new();
        server.check(&[
            ("append k 12", ":2"),
            ("object encoding k", "$3 int"),
            ("append k ''", ":2"),
            ("object encoding k", "$3 raw"),
            ("append k 3", ":3"),
            ("get k", "$3 123"),
            ("append e ''", ":0"),
            ("get e", "$0 "),
            ("object encoding e", "$6 embstr"),
            ("expire k 10", ":1"),
            ("append k x", ":4"),
            ("ttl k", ":10"),
        ]);
        server.config.proto_max_bulk_len = 6;
        server.check(&[("append k 56", ":6"), ("append k 7", TOO_LONG), ("get k", "$6 123x56")]);
    }

    #[test]
    fn getrange() {
        let mut server = Server::new();
        server.check(&[("set s 'This is a string'", "+OK"), ("set e ''", "+OK")]);
        for (range, expected) in [
            ("0 3", "$4 This"),
            ("-3 -1", "$3 ing"),
            ("0 -1", "$16 This is a string"),
            ("10 100", "$6 string"),
            ("-1 -5", "$0 "),
            ("-100 -50", "$1 T"),
            ("-100 3", "$4 This"),
            ("0 -100", "$1 T"),
            ("5 3", "$0 "),
            ("16 20", "$0 "),
            ("-9223372036854775808 9223372036854775807", "$16 This is a string"),
            ("9223372036854775807 -9223372036854775808", "$0 "),
        ] {
            assert_eq!(server.run(&format!("getrange s {range}")), expected, "{range}");
            assert_eq!(server.run(&format!("substr s {range}")), expected, "{range}");
            assert_eq!(server.run(&format!("getrange none {range}")), "$0 ", "{range}");
            assert_eq!(server.run(&format!("getrange e {range}")), "$0 ", "{range}");
        }
        server.check(&[
            ("getrange s a 1", "-ERR value is not an integer or out of range"),
            ("getrange none 0 b", "-ERR value is not an integer or out of range"),
        ]);
    }

    #[test]
    fn setrange() {
        Server::new().check(&[
            ("setrange k 0 ''", ":0"),
            ("setrange k 536870912 ''", ":0"),
            ("exists k", ":0"),
            ("setrange k -1 ''", "-ERR offset is out of range"),
            ("setrange k -9223372036854775808 x", "-ERR offset is out of range"),
            ("setrange k abc x", "-ERR value is not an integer or out of range"),
            ("setrange k 536870912 x", TOO_LONG),
            ("setrange k 9223372036854775807 x", TOO_LONG),
            ("exists k", ":0"),
            ("setrange k 3 x", ":4"),
            ("get k", "$4 \\x00\\x00\\x00x"),
            ("object encoding k", "$3 raw"),
            ("setrange k 536870912 ''", ":4"),
            ("setrange k 1 abcdef", ":7"),
            ("get k", "$7 \\x00abcdef"),
            ("set k 12345", "+OK"),
            ("expire k 10", ":1"),
            ("setrange k 9 ''", ":5"),
            ("object encoding k", "$3 int"),
            ("setrange k 1 xy", ":5"),
            ("get k", "$5 1xy45"),
            ("object encoding k", "$3 raw"),
            ("ttl k", ":10"),
        ]);
    }
}
