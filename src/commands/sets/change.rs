//! Adding members, removing and moving them.

use super::form::{Making, SetMut, SetRef};
use super::{DOCS, ROW};
use crate::commands::hops::{Change, Decision, Finding, Hops, take_nothing};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::value::packed::Needle;
use crate::store::{Event, Kind, Slot, WrongType};

pub const SADD: Command = Command {
    name: "sadd",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    handler: Handler::Keyed(sadd, Spread::OneKey),
    docs: Docs {
        summary: "Adds members to a set, which is created if it does not exist.",
        since: "1.0.0",
        complexity: "O(1) for each element added, so O(N) to add N elements when the command is \
                     called with multiple arguments.",
        arguments: "key member [member ...]",
        ..DOCS
    },
    ..ROW
};

fn sadd(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let added = add(context, args.at(1), args.from(2))?;
    context.reply.integer(added as i64);
    Ok(())
}

fn add(context: &mut Context<'_>, key: &[u8], members: Args<'_>) -> Result<usize, CommandError> {
    let (making, now) = (Making::new(context), context.now);
    Ok(match context.db_mut().slot(key, now, Event::SAdd) {
        Slot::Occupied(entry) => SetMut::new(entry)?.add(members.iter(), making),
        Slot::Vacant(slot) => SetMut::create(slot, members.iter(), making),
    })
}

pub const SREM: Command = Command {
    name: "srem",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    handler: Handler::Keyed(srem, Spread::OneKey),
    docs: Docs {
        summary: "Removes members from a set; its key goes with the last one.",
        since: "1.0.0",
        complexity: "O(N) where N is the number of members to be removed.",
        arguments: "key member [member ...]",
        ..DOCS
    },
    ..ROW
};

fn srem(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let removed = remove(context, args.at(1), args.from(2))?;
    context.reply.integer(removed as i64);
    Ok(())
}

fn remove(context: &mut Context<'_>, key: &[u8], members: Args<'_>) -> Result<usize, CommandError> {
    let now = context.now;
    Ok(match context.db_mut().get_mut(key, now, Event::SRem) {
        Some(entry) => SetMut::new(entry)?.remove(members.iter()),
        None => 0,
    })
}

pub const SMOVE: Command = Command {
    name: "smove",
    arity: 4,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
        KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT)),
    ],
    handler: Handler::Keyed(smove, Spread::Hops(&MOVES)),
    docs: Docs {
        summary: "Moves a member from one set to another.",
        since: "1.0.0",
        arguments: "source destination member",
        ..DOCS
    },
    ..ROW
};

fn smove(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (source, destination, member) = (args.at(1), args.at(2), args.from(3));
    let is_there = match context.peek(source) {
        None => false,
        Some(entry) => {
            let is_there = SetRef::of_entry(entry)?.contains(&Needle::new(args.at(3)));
            let other = context.peek(destination);
            if other.is_some_and(|other| other.kind() != Kind::Set) {
                return Err(WrongType.into());
            }
            is_there
        }
    };
    if is_there && source != destination {
        remove(context, source, member)?;
        add(context, destination, member)?;
    }
    context.reply.integer(i64::from(is_there));
    Ok(())
}

/// Only whether the member is there goes from shard to shard: all shards know the arguments.
static MOVES: Hops = Hops {
    look: |context, args, position| {
        let Some(entry) = context.peek(args.at(position)) else { return Ok(Finding::Nothing) };
        let set = SetRef::of_entry(entry)?;
        Ok(Finding::Count(usize::from(set.contains(&Needle::new(args.at(3))))))
    },
    decide: |findings, _| {
        let changes = match findings.take(1)? {
            Finding::Nothing => Vec::new(),
            member => {
                // It is a set, or there is nothing.
                findings.take(2)?;
                match member {
                    Finding::Count(1) => vec![(1, Change::Plain), (2, Change::Plain)],
                    _ => Vec::new(),
                }
            }
        };
        findings.reply.integer(i64::from(!changes.is_empty()));
        Ok(Decision::Done(changes))
    },
    take: take_nothing,
    // The decision has found that nothing is in the way.
    apply: |context, args, position, _| {
        let change = if position == 1 { remove } else { add };
        let done = change(context, args.at(position), args.from(3));
        debug_assert!(done.is_ok(), "{done:?}");
    },
};
