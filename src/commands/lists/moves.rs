//! Moving an element from one list to another.

use super::form::{ListMut, get};
use super::pop::readiness;
use super::{DOCS, ROW, limit};
use crate::commands::blocking::timeout_in_seconds;
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread, Wait,
    WaitsAt,
};
use crate::protocol::Args;
use crate::store::value::packed::Element;
use crate::store::{End, Kind, List, Slot, WrongType};

pub const LMOVE: Command = Command {
    name: "lmove",
    arity: 5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
        KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT)),
    ],
    handler: Handler::Keyed(
        |context, args| {
            let [from, to] = ends(args)?;
            move_element(context, args, from, to)
        },
        Spread::Gather,
    ),
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
    handler: Handler::Keyed(
        |context, args| move_element(context, args, End::Back, End::Front),
        Spread::Gather,
    ),
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
            let [from, to] = ends(args)?;
            timeout_in_seconds(args.at(5))?;
            move_element(context, args, from, to)
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
    at: WaitsAt::FirstKey,
    ready: readiness,
    serve: |context, args, _| {
        let [from, to] = ends(args)?;
        move_element(context, args, from, to)
    },
    nothing: |reply| reply.null_array(),
};

pub const BRPOPLPUSH: Command = Command {
    name: "brpoplpush",
    arity: 4,
    flags: BLMOVE.flags,
    handler: Handler::Keyed(
        |context, args| {
            timeout_in_seconds(args.at(3))?;
            move_element(context, args, End::Back, End::Front)
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

static BRPOPLPUSHES: Wait = Wait {
    timeout: |args| timeout_in_seconds(args.at(3)),
    serve: |context, args, _| move_element(context, args, End::Back, End::Front),
    ..BLMOVES
};

/// LEFT or RIGHT.
pub fn end(word: &[u8]) -> Result<End, CommandError> {
    match word {
        word if word.eq_ignore_ascii_case(b"LEFT") => Ok(End::Front),
        word if word.eq_ignore_ascii_case(b"RIGHT") => Ok(End::Back),
        _ => Err(CommandError::Syntax),
    }
}

fn ends(args: Args<'_>) -> Result<[End; 2], CommandError> {
    Ok([end(args.at(3))?, end(args.at(4))?])
}

fn move_element(context: &mut Context<'_>, args: Args<'_>, from: End, to: End) -> Outcome {
    let (source, destination, now, limit) = (args.at(1), args.at(2), context.now, limit(context));
    let db = context.shard.db_mut(context.db_index);
    let value = if source == destination {
        match db.get_mut(source, now) {
            Some(entry) => Some(ListMut::new(entry, limit)?.rotate(from, to)?),
            None => None,
        }
    } else {
        let value = match db.get(source, now) {
            Some(entry) => get(
                entry.collection::<List>()?,
                match from {
                    End::Front => 0,
                    End::Back => -1,
                },
            )
            .map(Element::to_vec),
            None => None,
        };
        if let Some(value) = &value {
            let element = std::iter::once(&value[..]);
            match db.slot(destination, now) {
                Slot::Occupied(entry) if entry.kind() != Kind::List => return Err(WrongType.into()),
                Slot::Occupied(entry) => {
                    ListMut::new(entry, limit)?.push(to, element)?;
                }
                Slot::Vacant(slot) => ListMut::create(slot, to, element, limit)?,
            }
            if let Some(entry) = db.get_mut(source, now) {
                ListMut::new(entry, limit)?.pop(from, |_| ());
            }
        }
        value
    };
    match value {
        Some(value) => context.reply.bulk(&value),
        None => context.reply.null(),
    }
    Ok(())
}
