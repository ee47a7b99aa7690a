//! Strings as numbers.

use super::{DOCS, ROW};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::{Encoding, Event, Slot};
use crate::text::long_double::LongDouble;
use crate::text::number;

const FLAGS: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);

const KEYS: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))];

pub const INCR: Command = Command {
    name: "incr",
    arity: 2,
    flags: FLAGS,
    keys: KEYS,
    handler: Handler::Keyed(incr, Spread::OneKey),
    docs: Docs {
        summary: "Adds one to the integer at a key, 0 if there is none.",
        since: "1.0.0",
        arguments: "key",
        ..DOCS
    },
    ..ROW
};

fn incr(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    add(context, args.at(1), 1)
}

pub const DECR: Command = Command {
    name: "decr",
    arity: 2,
    flags: FLAGS,
    keys: KEYS,
    handler: Handler::Keyed(decr, Spread::OneKey),
    docs: Docs {
        summary: "Takes one from the integer at a key, 0 if there is none.",
        since: "1.0.0",
        arguments: "key",
        ..DOCS
    },
    ..ROW
};

fn decr(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    add(context, args.at(1), -1)
}

pub const INCRBY: Command = Command {
    name: "incrby",
    arity: 3,
    flags: FLAGS,
    keys: KEYS,
    handler: Handler::Keyed(incrby, Spread::OneKey),
    docs: Docs {
        summary: "Adds an integer to the one at a key, 0 if there is none.",
        since: "1.0.0",
        arguments: "key increment",
        ..DOCS
    },
    ..ROW
};

fn incrby(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let increment = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    add(context, args.at(1), increment)
}

pub const DECRBY: Command = Command {
    name: "decrby",
    arity: 3,
    flags: FLAGS,
    keys: KEYS,
    handler: Handler::Keyed(decrby, Spread::OneKey),
    docs: Docs {
        summary: "Takes an integer from the one at a key, 0 if there is none.",
        since: "1.0.0",
        arguments: "key decrement",
        ..DOCS
    },
    ..ROW
};

fn decrby(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let decrement = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    let increment = decrement
        .checked_neg()
        .ok_or_else(|| CommandError::text("ERR decrement would overflow"))?;
    add(context, args.at(1), increment)
}

#[inline]
fn add(context: &mut Context<'_>, key: &[u8], increment: i64) -> Outcome {
    let mut digits = number::Digits::default();
    let sum = match context.shard.db_mut(context.db_index).slot(key, context.now, Event::IncrBy) {
        Slot::Occupied(mut entry) => {
            let integer = match entry.get().integer() {
                Some(integer) => Some(integer),
                None => number::parse_i64(&entry.as_string()?),
            };
            let value = integer.ok_or(CommandError::NotInteger)?;
            let sum = value
                .checked_add(increment)
                .ok_or_else(|| CommandError::text("ERR increment or decrement would overflow"))?;
            entry.replace_string(number::format_i64(sum, &mut digits), Encoding::Int);
            sum
        }
        Slot::Vacant(slot) => {
            let text = number::format_i64(increment, &mut digits);
            slot.insert(text, Encoding::Int, None);
            increment
        }
    };
    context.reply.integer(sum);
    Ok(())
}

pub const INCRBYFLOAT: Command = Command {
    name: "incrbyfloat",
    arity: 3,
    flags: FLAGS,
    keys: KEYS,
    handler: Handler::Keyed(incrbyfloat, Spread::OneKey),
    docs: Docs {
        summary: "Adds a decimal number to the one at a key, 0 if there is none.",
        since: "2.6.0",
        arguments: "key increment",
        ..DOCS
    },
    ..ROW
};

fn incrbyfloat(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let key = args.at(1);
    let parse = |text| LongDouble::parse(text).ok_or(CommandError::NotFloat);
    let mut text = Vec::new();
    match context.shard.db_mut(context.db_index).slot(key, context.now, Event::IncrByFloat) {
        Slot::Occupied(mut entry) => {
            {
                let value = entry.as_string()?;
                push_sum(&mut text, parse(&value)?, parse(args.at(2))?)?;
            }
            entry.replace_string(&text, Encoding::of_text(&text));
        }
        Slot::Vacant(slot) => {
            push_sum(&mut text, LongDouble::ZERO, parse(args.at(2))?)?;
            slot.insert(&text, Encoding::of_text(&text), None);
        }
    }
    context.reply.bulk(&text);
    Ok(())
}

fn push_sum(out: &mut Vec<u8>, a: LongDouble, b: LongDouble) -> Outcome {
    let sum = a
        .plus(b)
        .filter(|sum| !sum.is_infinite())
        .ok_or_else(|| CommandError::text("ERR increment would produce NaN or Infinity"))?;
    sum.push(out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;

    const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
    const OVERFLOW: &str = "-ERR increment or decrement would overflow";

    #[test]
    fn integers() {
        Server::new().check(&[
            ("incr k", ":1"),
            ("object encoding k", "$3 int"),
            ("decr k", ":0"),
            ("decrby k 5", ":-5"),
            ("incrby k 105", ":100"),
            ("get k", "$3 100"),
            ("decr new", ":-1"),
            ("expire k 100", ":1"),
            ("incr k", ":101"),
            ("ttl k", ":100"),
            ("set k 9223372036854775807", "+OK"),
            ("incr k", OVERFLOW),
            ("incrby k -1", ":9223372036854775806"),
            ("decrby k -9223372036854775808", "-ERR decrement would overflow"),
            ("decrby k 9223372036854775807", ":-1"),
            ("decrby k 9223372036854775807", ":-9223372036854775808"),
            ("decr k", OVERFLOW),
            ("incrby k abc", NOT_INTEGER),
            ("set k abc", "+OK"),
            ("incr k", NOT_INTEGER),
            ("set k 1.0", "+OK"),
            ("incr k", NOT_INTEGER),
            ("set k ' 1'", "+OK"),
            ("incr k", NOT_INTEGER),
            ("get k", "$2  1"),
            ("set k ''", "+OK"),
            ("incr k", NOT_INTEGER),
            ("append n 5", ":1"),
            ("append n 6", ":2"),
            ("incr n", ":57"),
            ("object encoding n", "$3 int"),
        ]);
    }

    #[test]
    fn an_expired_integer_counts_as_none() {
        let mut server = Server::new();
        server.check(&[("set k 10 px 5", "+OK")]);
        server.advance_ms(5);
        server.check(&[("incr k", ":1"), ("ttl k", ":-1")]);
    }

    #[test]
    fn floats() {
        const NOT_FLOAT: &str = "-ERR value is not a valid float";
        const NAN: &str = "-ERR increment would produce NaN or Infinity";
        Server::new().check(&[
            ("incrbyfloat k 10.50", "$4 10.5"),
            ("object encoding k", "$6 embstr"),
            ("incrbyfloat k 0.1", "$4 10.6"),
            ("incrbyfloat k 5.0e3", "$22 5010.60000000000000009"),
            ("incrbyfloat k -10.6", "$4 5000"),
            ("object encoding k", "$6 embstr"),
            ("incr k", ":5001"),
            ("expire k 100", ":1"),
            ("incrbyfloat k 1", "$4 5002"),
            ("ttl k", ":100"),
            ("incrbyfloat k nan", NOT_FLOAT),
            ("incrbyfloat k inf", NAN),
            ("incrbyfloat k -inf", NAN),
            ("incrbyfloat k abc", NOT_FLOAT),
            ("incrbyfloat k ' 1'", NOT_FLOAT),
            ("incrbyfloat k ''", NOT_FLOAT),
            ("incrbyfloat none inf", NAN),
            ("exists none", ":0"),
            ("set k abc", "+OK"),
            ("incrbyfloat k 1", NOT_FLOAT),
            ("set k 3", "+OK"),
            ("incrbyfloat k 1.000000000000000005", "$19 4.00000000000000001"),
        ]);
    }
}
