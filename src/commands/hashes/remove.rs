//! Removing fields.

use super::expiry::check_type;
use super::form::{HashMut, Limits, slot};
use super::named_fields::{change_each, named_fields};
use super::read::reply_value;
use super::{DOCS, ROW};
use crate::commands::{Command, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread};
use crate::protocol::Args;
use crate::store::{Event, Slot};

pub const HDEL: Command = Command {
    name: "hdel",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    handler: Handler::Keyed(hdel, Spread::OneKey),
    docs: Docs {
        summary: "Removes fields of a hash, and the hash with its last field; returns how many \
                  there were.",
        complexity: "O(N) where N is the number of fields given.",
        arguments: "key field [field ...]",
        ..DOCS
    },
    ..ROW
};

fn hdel(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (now, limits) = (context.now, Limits::new(context));
    let slot = slot(context.shard, context.db_index, args.at(1), now, Event::HDel);
    let removed = match slot {
        Slot::Occupied(entry) => {
            let mut hash = HashMut::new(entry, limits, now)?;
            let names = args.from(2).iter();
            let removed = names.filter(|name| hash.remove(name, |_| ()).is_some()).count();
            hash.finish();
            removed
        }
        Slot::Vacant(_) => 0,
    };
    context.reply.integer(removed as i64);
    Ok(())
}

pub const HGETDEL: Command = Command {
    name: "hgetdel",
    arity: -5,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    handler: Handler::Keyed(hgetdel, Spread::OneKey),
    docs: Docs {
        summary: "Returns the values of fields of a hash and removes the fields.",
        since: "8.0.0",
        complexity: "O(N) where N is the number of fields given.",
        arguments: "key <FIELDS numfields field [field ...]>",
        ..DOCS
    },
    ..ROW
};

fn hgetdel(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let key = args.at(1);
    check_type(context, key)?;
    let names = named_fields(args, 2)?;
    change_each(
        context,
        key,
        names,
        Event::HDel,
        |reply| reply.null(),
        |hash, reply, name| {
            let shown = hash.remove(name, |field| reply_value(reply, Some(field.value)));
            if shown.is_none() {
                reply.null();
            }
            Ok(())
        },
    )
}
