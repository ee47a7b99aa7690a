//! Fields as numbers.

use super::form::{HashMut, Limits, slot};
use super::set::FLAGS;
use super::{DOCS, ROW};
use crate::commands::{
    Command, CommandError, Context, Docs, Handler, KeyFlags, KeySpec, Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::value::hash::FieldExpiry;
use crate::store::value::packed::Element;
use crate::store::{Event, Slot};
use crate::text::long_double::LongDouble;
use crate::text::number::{self, Digits};

const KEYS: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))];

pub const HINCRBY: Command = Command {
    name: "hincrby",
    arity: 4,
    flags: FLAGS,
    keys: KEYS,
    handler: Handler::Keyed(hincrby, Spread::OneKey),
    docs: Docs {
        summary: "Adds an integer to the one that a field of a hash holds, 0 if there is none.",
        arguments: "key field increment",
        ..DOCS
    },
    ..ROW
};

fn hincrby(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let increment = number::parse_i64(args.at(3)).ok_or(CommandError::NotInteger)?;
    let mut sum = increment;
    change(context, args, Event::HIncrBy, |old, text| {
        let old = match old {
            None => 0,
            Some(Element::Integer(integer)) => integer,
            Some(Element::Bytes(bytes)) => number::parse_i64(bytes)
                .ok_or_else(|| CommandError::text("ERR hash value is not an integer"))?,
        };
        sum = old
            .checked_add(increment)
            .ok_or_else(|| CommandError::text("ERR increment or decrement would overflow"))?;
        number::push_i64(text, sum);
        Ok(())
    })?;
    context.reply.integer(sum);
    Ok(())
}

pub const HINCRBYFLOAT: Command = Command {
    name: "hincrbyfloat",
    handler: Handler::Keyed(hincrbyfloat, Spread::OneKey),
    docs: Docs {
        summary: "Adds a decimal number to the one that a field of a hash holds, 0 if there is \
                  none.",
        since: "2.6.0",
        arguments: "key field increment:double",
        ..HINCRBY.docs
    },
    ..HINCRBY
};

fn hincrbyfloat(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let increment = LongDouble::parse(args.at(3)).ok_or(CommandError::NotFloat)?;
    if increment.is_infinite() {
        return Err(CommandError::text("ERR value is NaN or Infinity"));
    }
    let text = change(context, args, Event::HIncrByFloat, |old, text| {
        let old = match old {
            None => LongDouble::ZERO,
            Some(old) => LongDouble::parse(old.text(&mut Digits::default()))
                .ok_or_else(|| CommandError::text("ERR hash value is not a float"))?,
        };
        let sum = old.plus(increment).filter(|sum| !sum.is_infinite());
        let error = "ERR increment would produce NaN or Infinity";
        sum.ok_or_else(|| CommandError::text(error))?.push(text);
        Ok(())
    })?;
    context.reply.bulk(&text);
    Ok(())
}

/// Puts what `write` makes of the old value in its place, and gives it. Its expiry stays.
fn change(
    context: &mut Context<'_>,
    args: Args<'_>,
    event: Event,
    write: impl FnOnce(Option<Element<'_>>, &mut Vec<u8>) -> Outcome,
) -> Result<Vec<u8>, CommandError> {
    let name = args.at(2);
    let (now, limits) = (context.now, Limits::new(context));
    let mut text = Vec::new();
    match slot(context.shard, context.db_index, args.at(1), now, event) {
        Slot::Occupied(entry) => {
            let hash = HashMut::new(entry, limits, now)?;
            write(hash.as_ref().get(name).map(|field| field.value), &mut text)?;
            hash.set(name, &text, FieldExpiry::Keep)?;
        }
        Slot::Vacant(slot) => {
            write(None, &mut text)?;
            let field = std::iter::once((name, &text[..]));
            HashMut::create(slot, field, FieldExpiry::Keep, limits)?;
        }
    }
    Ok(text)
}
