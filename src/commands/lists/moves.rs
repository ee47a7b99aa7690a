//! Moving an element from one list to another.

use super::form::{ListMut, ListRef, get};
use super::{DOCS, ROW, limit, popped, pushed};
use crate::commands::blocking::{readiness_of, timeout_in_seconds};
use crate::commands::hops::{Change, Decision, Finding, Hops, take_nothing};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread, Wait,
    WaitsAt,
};
use crate::protocol::Args;
use crate::store::value::list::Limit;
use crate::store::value::packed::Element;
use crate::store::{Db, End, Kind, List, Slot, UnixMs, WrongType};

pub const LMOVE: Command = Command {
    name: "lmove",
    arity: 5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
        KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT)),
    ],
    handler: Handler::Keyed(move_element, Spread::Hops(&MOVES)),
    docs: Docs {
        summary: "Takes an element off an end of one list and adds it at an end of another, or of \
                  the same.",
        since: "6.2.0",
        arguments: "source destination <LEFT | RIGHT> <LEFT | RIGHT>",
        ..DOCS
    },
    ..ROW
};

pub const RPOPLPUSH: Command = Command {
    name: "rpoplpush",
    arity: 3,
    handler: Handler::Keyed(move_element, Spread::Hops(&MOVES)),
    docs: Docs {
        summary: "Takes the last element off a list and adds it at the front of another; LMOVE is \
                  the newer command.",
        since: "1.2.0",
        arguments: "source destination",
        ..LMOVE.docs
    },
    ..LMOVE
};

pub const BLMOVE: Command = Command {
    name: "blmove",
    arity: 6,
    flags: LMOVE.flags.union(Flags::NOSCRIPT).union(Flags::BLOCKING),
    handler: Handler::Keyed(
        |context, args| {
            (BLMOVES.timeout)(args)?;
            move_element(context, args)
        },
        Spread::Wait(&BLMOVES),
    ),
    docs: Docs {
        summary: "Takes an element off an end of one list, or waits for one, and adds it at an end \
                  of another.",
        since: "6.2.0",
        arguments: "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout:double",
        ..DOCS
    },
    ..LMOVE
};

static BLMOVES: Wait = Wait {
    timeout: |args| {
        ends(args)?;
        timeout_in_seconds(args.at(5))
    },
    at: WaitsAt::FirstKey(&MOVES),
    ready: |context, key| readiness_of(Kind::List, context, key),
    serve: |context, args, _| move_element(context, args),
    nothing: |reply| reply.null_array(),
};

pub const BRPOPLPUSH: Command = Command {
    name: "brpoplpush",
    arity: 4,
    flags: BLMOVE.flags,
    handler: Handler::Keyed(
        |context, args| {
            timeout_in_seconds(args.at(3))?;
            move_element(context, args)
        },
        Spread::Wait(&BRPOPLPUSHES),
    ),
    docs: Docs {
        summary: "Takes the last element off a list, or waits for one, and adds it at the front of \
                  another; BLMOVE is the newer command.",
        since: "2.2.0",
        arguments: "source destination timeout:double",
        ..DOCS
    },
    ..LMOVE
};

static BRPOPLPUSHES: Wait = Wait { timeout: |args| timeout_in_seconds(args.at(3)), ..BLMOVES };

/// LEFT or RIGHT.
pub fn end(word: &[u8]) -> Result<End, CommandError> {
    match word {
        word if word.eq_ignore_ascii_case(b"LEFT") => Ok(End::Front),
        word if word.eq_ignore_ascii_case(b"RIGHT") => Ok(End::Back),
        _ => Err(CommandError::Syntax),
    }
}

/// Of the list that loses the element, and of that which gets it.
fn ends(args: Args<'_>) -> Result<[End; 2], CommandError> {
    match args.len() {
        // RPOPLPUSH and BRPOPLPUSH, which do not say.
        3 | 4 => Ok([End::Back, End::Front]),
        _ => Ok([end(args.at(3))?, end(args.at(4))?]),
    }
}

/// Only the element goes from shard to shard.
static MOVES: Hops = Hops {
    look: |context, args, position| {
        let [from, _] = ends(args)?;
        let Some(entry) = context.peek(args.at(position)) else { return Ok(Finding::Nothing) };
        let list = entry.collection::<List>()?;
        Ok(match position {
            1 => first(list, from).map_or(Finding::Nothing, Finding::Bytes),
            _ => Finding::Exists,
        })
    },
    decide: |findings, args| {
        ends(args)?;
        let Finding::Bytes(element) = findings.take(1)? else {
            findings.reply.null();
            return Ok(Decision::Nothing);
        };
        // It is a list, or there is nothing.
        findings.take(2)?;
        findings.reply.bulk(&element);
        Ok(Decision::Done(vec![(1, Change::Plain), (2, Change::Bytes(element))]))
    },
    take: take_nothing,
    // The decision has found that nothing is in the way.
    apply: |context, args, position, change| {
        let (key, now, limit) = (args.at(position), context.now, limit(context));
        let Ok([from, to]) = ends(args) else { return };
        let db = context.db_mut();
        let done = match change {
            Change::Bytes(element) => push_one(db, key, &element, to, now, limit),
            Change::Plain | Change::Item(_) => take_one(db, key, from, now, limit),
        };
        debug_assert!(done.is_ok(), "{done:?}");
    },
};

/// A copy of the element at an end.
fn first(list: ListRef<'_>, end: End) -> Option<Vec<u8>> {
    let index = match end {
        End::Front => 0,
        End::Back => -1,
    };
    get(list, index).map(Element::to_vec)
}

fn push_one(
    db: &mut Db,
    key: &[u8],
    element: &[u8],
    to: End,
    now: UnixMs,
    limit: Limit,
) -> Outcome {
    let element = std::iter::once(element);
    match db.slot(key, now, pushed(to)) {
        Slot::Occupied(entry) if entry.kind() != Kind::List => Err(WrongType.into()),
        Slot::Occupied(entry) => ListMut::new(entry, limit)?.push(to, element).map(|_| ()),
        Slot::Vacant(slot) => ListMut::create(slot, to, element, limit),
    }
}

fn take_one(db: &mut Db, key: &[u8], from: End, now: UnixMs, limit: Limit) -> Outcome {
    if let Some(entry) = db.get_mut(key, now, popped(from)) {
        ListMut::new(entry, limit)?.pop(from, |_| ());
    }
    Ok(())
}

fn move_element(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let [from, to] = ends(args)?;
    let (source, destination, now, limit) = (args.at(1), args.at(2), context.now, limit(context));
    let db = context.shard.db_mut(context.db_index);
    let value = if source == destination {
        match db.get_mut(source, now, pushed(to).and(popped(from))) {
            Some(entry) => Some(ListMut::new(entry, limit)?.rotate(from, to)?),
            None => None,
        }
    } else {
        let value = match db.get(source, now) {
            Some(entry) => first(entry.collection::<List>()?, from),
            None => None,
        };
        if let Some(value) = &value {
            push_one(db, destination, value, to, now, limit)?;
            take_one(db, source, from, now, limit)?;
        }
        value
    };
    match value {
        Some(value) => context.reply.bulk(&value),
        None => context.reply.null(),
    }
    Ok(())
}
