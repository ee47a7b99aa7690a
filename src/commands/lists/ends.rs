//! Taking elements off the ends of one list.

use super::form::{ListMut, visit};
use super::{DOCS, ROW, limit, popped};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
    integers, reply_bytes_max,
};
use crate::protocol::Args;
use crate::store::End;
use crate::text::number::Digits;

pub const LPOP: Command = Command {
    name: "lpop",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    handler: Handler::Keyed(|context, args| pop(context, args, &LPOP, End::Front), Spread::OneKey),
    docs: Docs {
        summary: "Removes the first element of a list, or so many, and returns what it removed.",
        since: "1.0.0",
        complexity: "O(N) where N is the number of elements removed.",
        arguments: "key [count]",
        ..DOCS
    },
    ..ROW
};

pub const RPOP: Command = Command {
    name: "rpop",
    handler: Handler::Keyed(|context, args| pop(context, args, &RPOP, End::Back), Spread::OneKey),
    docs: Docs {
        summary: "Removes the last element of a list, or so many, and returns what it removed, the \
                  last one first.",
        ..LPOP.docs
    },
    ..LPOP
};

#[inline]
fn pop(context: &mut Context<'_>, args: Args<'_>, row: &Command, end: End) -> Outcome {
    let key = args.at(1);
    let Some(count) = args.get(2) else { return pop_one(context, key, end) };
    if args.len() > 3 {
        let text = format!("ERR wrong number of arguments for '{}' command", row.name);
        return Err(CommandError::text(text));
    }
    let count = integers::count(count)?;
    if !pop_several(context, key, end, count)? {
        context.reply.null_array();
    }
    Ok(())
}

#[inline]
fn pop_one(context: &mut Context<'_>, key: &[u8], end: End) -> Outcome {
    if !pop_into_reply(context, key, end)? {
        context.reply.null();
    }
    Ok(())
}

/// Takes an element off and answers with it, if there is a list.
#[inline]
pub fn pop_into_reply(
    context: &mut Context<'_>,
    key: &[u8],
    end: End,
) -> Result<bool, CommandError> {
    let limit = limit(context);
    let db = context.shard.db_mut(context.db_index);
    let Some(entry) = db.get_mut(key, context.now, popped(end)) else {
        return Ok(false);
    };
    let list = ListMut::new(entry, limit)?;
    let reply = &mut context.reply;
    list.pop(end, |element| reply.bulk(element.text(&mut Digits::default())));
    Ok(true)
}

/// Takes up to so many elements off and answers with them in an array, if there is a list.
pub fn pop_several(
    context: &mut Context<'_>,
    key: &[u8],
    end: End,
    count: usize,
) -> Result<bool, CommandError> {
    let (limit, bytes_max) = (limit(context), reply_bytes_max(context.config));
    let db = context.shard.db_mut(context.db_index);
    let Some(entry) = db.get_mut(key, context.now, popped(end)) else {
        return Ok(false);
    };
    let list = ListMut::new(entry, limit)?;
    let len = list.len();
    let count = count.min(len);
    let reply = &mut context.reply;
    reply.array(count);
    let (first, to) = match end {
        End::Front => (0, End::Back),
        End::Back => (len - 1, End::Front),
    };
    visit(list.as_ref(), first, count, to, |element| {
        if reply.position() <= bytes_max {
            reply.bulk(element.text(&mut Digits::default()));
        }
    });
    // Nothing is taken that nobody gets.
    if reply.position() > bytes_max {
        return Err(CommandError::ReplyTooLong);
    }
    match end {
        End::Front => list.remove_range(0, count),
        End::Back => list.remove_range(len - count, count),
    }
    Ok(true)
}
