//! Members chosen at random, each as likely as any other.

use std::collections::BTreeSet;

use super::form::{SetMut, SetRef};
use super::{DOCS, ROW, reply_members};
use crate::commands::integers::{self, symmetric_integer};
use crate::commands::sampling::{Selection, below, check_times};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
    reply_bytes_max,
};
use crate::protocol::Args;
use crate::store::Event;
use crate::store::value::packed::Element;
use crate::text::number::Digits;

/// What RESP puts around a bulk string, at most.
const BULK_BYTES_AROUND: usize = 25;

pub const SPOP: Command = Command {
    name: "spop",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    handler: Handler::Keyed(spop, Spread::OneKey),
    docs: Docs {
        summary: "Removes a member of a set chosen at random, or so many, and returns what it \
                  removed.",
        since: "1.0.0",
        complexity: "Without the count argument O(1), otherwise O(N) where N is the value of the \
                     passed count.",
        arguments: "key [count]",
        ..DOCS
    },
    tips: &["nondeterministic_output"],
    ..ROW
};

fn spop(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let count = match args.len() {
        2 => None,
        3 => Some(integers::count(args.at(2))?),
        _ => return Err(CommandError::Syntax),
    };
    let (bytes_max, next_random) =
        (reply_bytes_max(context.config), context.shard.random_numbers());
    let db = context.shard.db_mut(context.db_index);
    let reply = &mut context.reply;
    let Some(entry) = db.get_mut(args.at(1), context.now, Event::SPop) else {
        match count {
            Some(_) => reply.set(0),
            None => reply.null(),
        }
        return Ok(());
    };
    let bytes = entry.get().value_size();
    let set = SetMut::new(entry)?;
    let len = set.as_ref().len();
    match count {
        Some(count) if count >= len => {
            // Nothing is taken that nobody gets.
            reply_members(reply, set.as_ref(), bytes_max)?;
            set.remove_all();
            return Ok(());
        }
        Some(count) => {
            if bytes.saturating_add(count.saturating_mul(BULK_BYTES_AROUND)) > bytes_max {
                check_length(set.as_ref(), count, bytes_max)?;
            }
            reply.set(count);
        }
        None if len == 1 => {
            set.as_ref().iter().for_each(|member| reply.bulk(member.text(&mut Digits::default())));
            set.remove_all();
            return Ok(());
        }
        None => {}
    }
    set.remove_random(count.unwrap_or(1), next_random, |member| {
        reply.bulk(member.text(&mut Digits::default()));
    });
    Ok(())
}

/// Refuses a reply that might be longer, whichever members it is about.
fn check_length(set: SetRef<'_>, count: usize, bytes_max: usize) -> Outcome {
    let longest = set.iter().map(|member| member.text(&mut Digits::default()).len()).max();
    let each = longest.unwrap_or(0).saturating_add(BULK_BYTES_AROUND);
    match each.saturating_mul(count) > bytes_max {
        true => Err(CommandError::ReplyTooLong),
        false => Ok(()),
    }
}

pub const SRANDMEMBER: Command = Command {
    name: "srandmember",
    arity: -2,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(srandmember, Spread::OneKey),
    docs: Docs {
        summary: "Returns a member of a set chosen at random, or so many; with a negative count \
                  some perhaps more than once.",
        since: "1.0.0",
        complexity: "Without the count argument O(1), otherwise O(N) where N is the absolute value \
                     of the passed count.",
        arguments: "key [count]",
        ..DOCS
    },
    tips: &["nondeterministic_output"],
    ..ROW
};

fn srandmember(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let count = match args.len() {
        2 => None,
        3 => Some(symmetric_integer(args.at(2))?),
        _ => return Err(CommandError::Syntax),
    };
    let (bytes_max, next_random) =
        (reply_bytes_max(context.config), context.shard.random_numbers());
    let found = context.shard.read(context.db_index, args.at(1), context.now);
    let set = found.map(SetRef::of_entry).transpose()?;
    let reply = &mut context.reply;
    let Some(count) = count else {
        match set.and_then(|set| set.random(next_random)) {
            Some(member) => reply.bulk(member.text(&mut Digits::default())),
            None => reply.null(),
        }
        return Ok(());
    };
    let Some(set) = set.filter(|_| count != 0) else {
        reply.array(0);
        return Ok(());
    };
    // Wherever the reply is to stop, there is no need to begin it.
    let times = match usize::try_from(count) {
        Ok(count) => count.min(set.len()),
        Err(_) => {
            check_times(count.unsigned_abs(), bytes_max)?;
            count.unsigned_abs() as usize
        }
    };
    reply.array(times);
    let show = |member: Element<'_>| {
        reply.bulk(member.text(&mut Digits::default()));
        reply.position() <= bytes_max
    };
    let is_whole = match count {
        0.. => choose_different(set, times, next_random, show),
        _ => choose_any(set, times, next_random, show),
    };
    if is_whole { Ok(()) } else { Err(CommandError::ReplyTooLong) }
}

/// Shows so many different members; false once `show` wants no more.
fn choose_different(
    set: SetRef<'_>,
    count: usize,
    mut next_random: impl FnMut() -> u64,
    mut show: impl FnMut(Element<'_>) -> bool,
) -> bool {
    let len = set.len();
    if let SetRef::Table(table) = set
        && count.saturating_mul(3) < len
    {
        let mut chosen = BTreeSet::new();
        while chosen.len() < count {
            let Some(member) = table.random(&mut next_random) else { return true };
            if chosen.insert(member) && !show(Element::Bytes(member)) {
                return false;
            }
        }
        return true;
    }
    let mut selection = Selection::new(count, len);
    set.iter().all(|member| !selection.takes_next(&mut next_random) || show(member))
}

/// Shows so many members, each chosen among all of them; false once `show` wants no more.
fn choose_any(
    set: SetRef<'_>,
    count: usize,
    mut next_random: impl FnMut() -> u64,
    mut show: impl FnMut(Element<'_>) -> bool,
) -> bool {
    // A packed run finds its elements only by walking.
    let members: Vec<Element<'_>> = match set {
        SetRef::Packed(run) if count > 1 => run.iter().collect(),
        _ => Vec::new(),
    };
    (0..count).all(|_| {
        let chosen = match below(members.len(), &mut next_random) {
            Some(index) => members.get(index).copied(),
            None => set.random(&mut next_random),
        };
        chosen.is_none_or(&mut show)
    })
}
