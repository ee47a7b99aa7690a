//! Adding elements at the ends.

use super::form::ListMut;
use super::{DOCS, ROW, check_elements, limit, pushed};
use crate::commands::{Command, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread};
use crate::protocol::Args;
use crate::store::{End, Slot};

pub const LPUSH: Command = Command {
    name: "lpush",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    handler: Handler::Keyed(|context, args| push(context, args, End::Front, true), Spread::OneKey),
    docs: Docs {
        summary: "Adds elements at the front of a list, one after the other; the list is created \
                  if it does not exist.",
        since: "1.0.0",
        complexity: "O(N) where N is the number of elements added.",
        arguments: "key element [element ...]",
        ..DOCS
    },
    ..ROW
};

pub const RPUSH: Command = Command {
    name: "rpush",
    handler: Handler::Keyed(|context, args| push(context, args, End::Back, true), Spread::OneKey),
    docs: Docs {
        summary: "Adds elements at the back of a list, one after the other; the list is created \
                  if it does not exist.",
        ..LPUSH.docs
    },
    ..LPUSH
};

pub const LPUSHX: Command = Command {
    name: "lpushx",
    handler: Handler::Keyed(|context, args| push(context, args, End::Front, false), Spread::OneKey),
    docs: Docs {
        summary: "Adds elements at the front of a list if it exists.",
        since: "2.2.0",
        ..LPUSH.docs
    },
    ..LPUSH
};

pub const RPUSHX: Command = Command {
    name: "rpushx",
    handler: Handler::Keyed(|context, args| push(context, args, End::Back, false), Spread::OneKey),
    docs: Docs {
        summary: "Adds elements at the back of a list if it exists.",
        since: "2.2.0",
        ..LPUSH.docs
    },
    ..LPUSH
};

#[inline]
fn push(context: &mut Context<'_>, args: Args<'_>, end: End, creates: bool) -> Outcome {
    let (key, elements, limit) = (args.at(1), args.from(2), limit(context));
    check_elements(elements)?;
    let len = match context.shard.db_mut(context.db_index).slot(key, context.now, pushed(end)) {
        Slot::Occupied(entry) => ListMut::new(entry, limit)?.push(end, elements.iter())?.len(),
        Slot::Vacant(slot) if creates => {
            ListMut::create(slot, end, elements.iter(), limit)?;
            elements.len()
        }
        Slot::Vacant(_) => 0,
    };
    context.reply.integer(len as i64);
    Ok(())
}
