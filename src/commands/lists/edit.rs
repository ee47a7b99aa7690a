//! Changing lists elsewhere than at their ends.

use super::form::ListMut;
use super::{DOCS, ROW, check_elements, integer, limit, range, symmetric_integer};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::value::list::Side;
use crate::store::{End, EntryMut, Event};

pub const LSET: Command = Command {
    name: "lset",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    handler: Handler::Keyed(lset, Spread::OneKey),
    docs: Docs {
        summary: "Replaces the element of a list that has this index.",
        since: "1.0.0",
        complexity: "O(log N) where N is the length of the list.",
        arguments: "key index element",
        ..DOCS
    },
    ..ROW
};

/// The entry at a key, counted as used.
fn entry<'a>(context: &'a mut Context<'_>, key: &[u8], event: Event) -> Option<EntryMut<'a>> {
    context.shard.db_mut(context.db_index).get_mut(key, context.now, event)
}

fn lset(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    check_elements(args.from(3))?;
    let limit = limit(context);
    let list = entry(context, args.at(1), Event::LSet).ok_or(CommandError::NoSuchKey)?;
    let list = ListMut::new(list, limit)?;
    if !list.set(integer(args.at(2))?, args.at(3))? {
        return Err(CommandError::OutOfRange);
    }
    context.reply.ok();
    Ok(())
}

pub const LINSERT: Command = Command {
    name: "linsert",
    arity: 5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    handler: Handler::Keyed(linsert, Spread::OneKey),
    docs: Docs {
        summary: "Adds an element before or after the first one of a list that equals another.",
        since: "2.2.0",
        complexity: "O(N) where N is the number of elements up to that one.",
        arguments: "key <BEFORE | AFTER> pivot element",
        ..DOCS
    },
    ..ROW
};

fn linsert(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let side = match args.at(2) {
        word if word.eq_ignore_ascii_case(b"BEFORE") => Side::Before,
        word if word.eq_ignore_ascii_case(b"AFTER") => Side::After,
        _ => return Err(CommandError::Syntax),
    };
    check_elements(args.from(4))?;
    let limit = limit(context);
    let len = match entry(context, args.at(1), Event::LInsert) {
        Some(list) => {
            let inserted =
                ListMut::new(list, limit)?.insert_beside(args.at(3), side, args.at(4))?;
            inserted.map_or(-1, |len| len as i64)
        }
        None => 0,
    };
    context.reply.integer(len);
    Ok(())
}

pub const LREM: Command = Command {
    name: "lrem",
    arity: 4,
    flags: Flags::WRITE,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    handler: Handler::Keyed(lrem, Spread::OneKey),
    docs: Docs {
        summary: "Removes elements of a list that equal one: the first so many, the last so many \
                  if negative, all if 0.",
        since: "1.0.0",
        complexity: "O(N) where N is the length of the list.",
        arguments: "key count element",
        ..DOCS
    },
    ..ROW
};

fn lrem(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (from, count) = match symmetric_integer(args.at(2))? {
        0 => (End::Front, usize::MAX),
        count => {
            let from = if count < 0 { End::Back } else { End::Front };
            (from, usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX))
        }
    };
    let limit = limit(context);
    let removed = match entry(context, args.at(1), Event::LRem) {
        Some(list) => ListMut::new(list, limit)?.remove_matching(from, args.at(3), count),
        None => 0,
    };
    context.reply.integer(removed as i64);
    Ok(())
}

pub const LTRIM: Command = Command {
    name: "ltrim",
    arity: 4,
    flags: Flags::WRITE,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    handler: Handler::Keyed(ltrim, Spread::OneKey),
    docs: Docs {
        summary: "Removes all elements of a list but those from one index to another, both \
                  included.",
        since: "1.0.0",
        complexity: "O(log(L)+N) where L is the length of the list and N the number of elements \
                     at the edges of what is removed; the rest is freed in the background.",
        arguments: "key start stop",
        ..DOCS
    },
    ..ROW
};

fn ltrim(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (start, stop) = (integer(args.at(2))?, integer(args.at(3))?);
    let limit = limit(context);
    if let Some(list) = entry(context, args.at(1), Event::LTrim) {
        let list = ListMut::new(list, limit)?;
        let (first, count) = range(start, stop, list.len());
        list.keep_range(first, count);
    }
    context.reply.ok();
    Ok(())
}
