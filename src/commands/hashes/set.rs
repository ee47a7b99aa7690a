//! Giving fields values.

use super::form::{HashMut, Limits, slot};
use super::{DOCS, ROW};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::value::hash::FieldExpiry;
use crate::store::{Event, Slot};

pub const FLAGS: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);

pub const HSET: Command = Command {
    name: "hset",
    arity: -4,
    flags: FLAGS,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    handler: Handler::Keyed(hset, Spread::OneKey),
    docs: Docs {
        summary: "Sets fields of a hash, which is created if it does not exist; returns how many \
                  of them are new.",
        complexity: "O(N) where N is the number of fields given.",
        arguments: "key field value [field value ...]",
        ..DOCS
    },
    ..ROW
};

fn hset(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let added = set_pairs(context, args, "hset")?;
    context.reply.integer(added as i64);
    Ok(())
}

pub const HMSET: Command = Command {
    name: "hmset",
    handler: Handler::Keyed(hmset, Spread::OneKey),
    docs: Docs { summary: "Sets fields of a hash; HSET does the same.", ..HSET.docs },
    ..HSET
};

fn hmset(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    set_pairs(context, args, "hmset")?;
    context.reply.ok();
    Ok(())
}

/// How many fields are new.
#[inline]
fn set_pairs(
    context: &mut Context<'_>,
    args: Args<'_>,
    command: &str,
) -> Result<usize, CommandError> {
    if !args.len().is_multiple_of(2) {
        let text = format!("ERR wrong number of arguments for '{command}' command");
        return Err(CommandError::text(text));
    }
    let (now, limits) = (context.now, Limits::new(context));
    let pairs = args.from(2);
    match slot(context.shard, context.db_index, args.at(1), now, Event::HSet) {
        Slot::Occupied(entry) => {
            let mut hash = HashMut::new(entry, limits, now)?.expect(pairs.len() / 2);
            let mut added = 0;
            for (name, value) in pairs_of(pairs) {
                let (changed, is_new) = hash.set(name, value, FieldExpiry::Clear)?;
                added += usize::from(is_new);
                hash = changed;
            }
            Ok(added)
        }
        Slot::Vacant(slot) => HashMut::create(slot, pairs_of(pairs), FieldExpiry::Clear, limits),
    }
}

/// Fields and their values.
#[inline]
pub fn pairs_of<'a>(args: Args<'a>) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone {
    (0..args.len() / 2).map(move |pair| (args.at(2 * pair), args.at(2 * pair + 1)))
}

pub const HSETNX: Command = Command {
    name: "hsetnx",
    arity: 4,
    flags: FLAGS,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    handler: Handler::Keyed(hsetnx, Spread::OneKey),
    docs: Docs {
        summary: "Sets a field of a hash unless the field exists.",
        arguments: "key field value",
        ..DOCS
    },
    ..ROW
};

fn hsetnx(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (name, value) = (args.at(2), args.at(3));
    let (now, limits) = (context.now, Limits::new(context));
    let is_new = match slot(context.shard, context.db_index, args.at(1), now, Event::HSet) {
        Slot::Occupied(entry) => {
            let hash = HashMut::new(entry, limits, now)?;
            let is_new = hash.as_ref().get(name).is_none();
            if is_new {
                hash.set(name, value, FieldExpiry::Clear)?;
            }
            is_new
        }
        Slot::Vacant(slot) => {
            HashMut::create(slot, pairs_of(args.from(2)), FieldExpiry::Clear, limits)?;
            true
        }
    };
    context.reply.integer(i64::from(is_new));
    Ok(())
}
