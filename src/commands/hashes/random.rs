//! Fields chosen at random, each as likely as any other.

use std::collections::HashSet;

use super::form::{Form, HashRef};
use super::{DOCS, ROW};
use crate::commands::integers::symmetric_integer;
use crate::commands::sampling::{Selection, check_times};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
    reply_bytes_max,
};
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::store::value::hash::Field;
use crate::text::number::Digits;

/// Where fewer than one of so many fields are wanted, they are looked for one by one, and otherwise
/// all are gone through.
const SPARSE_PART: usize = 3;

pub const HRANDFIELD: Command = Command {
    name: "hrandfield",
    arity: -2,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(hrandfield, Spread::OneKey),
    docs: Docs {
        summary: "Returns a field of a hash chosen at random, or so many; with a negative count \
                  some perhaps more than once.",
        since: "6.2.0",
        complexity: "O(N) where N is the number of fields returned.",
        arguments: "key [count [WITHVALUES]]",
        ..DOCS
    },
    tips: &["nondeterministic_output"],
    ..ROW
};

fn hrandfield(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let Some(count) = args.get(2) else { return reply_with_one(context, args) };
    let count = symmetric_integer(count)?;
    let with_values = match args.get(3) {
        None => false,
        Some(word) if args.len() == 4 && word.eq_ignore_ascii_case(b"WITHVALUES") => true,
        Some(_) => return Err(CommandError::Syntax),
    };
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(CommandError::text("ERR value is out of range"));
    }
    let bytes_max = reply_bytes_max(context.config);
    let next_random = context.shard.random_numbers();
    let found = context.shard.read(context.db_index, args.at(1), context.now);
    let hash = found.map(|entry| HashRef::new(entry, context.now)).transpose()?;
    let mut shown = Shown { reply: &mut context.reply, with_values, bytes_max };
    let Some(hash) = hash.filter(|hash| hash.len() > 0) else {
        shown.begin(0);
        return Ok(());
    };
    match usize::try_from(count) {
        Ok(count) => some(hash, count, next_random, &mut shown),
        Err(_) => some_again(hash, count.unsigned_abs(), next_random, &mut shown),
    }
}

fn reply_with_one(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let next_random = context.shard.random_numbers();
    let found = context.shard.read(context.db_index, args.at(1), context.now);
    let hash = found.map(|entry| HashRef::new(entry, context.now)).transpose()?;
    match hash.and_then(|hash| hash.random(next_random)) {
        Some(field) => context.reply.bulk(field.name.text(&mut Digits::default())),
        None => context.reply.null(),
    }
    Ok(())
}

/// Where fields are shown, with their values or without.
struct Shown<'r, 'o> {
    reply: &'r mut Reply<'o>,
    with_values: bool,
    bytes_max: usize,
}

impl Shown<'_, '_> {
    fn begin(&mut self, count: usize) {
        match self.with_values {
            true => self.reply.pairs(count),
            false => self.reply.array(count),
        }
    }

    fn show(&mut self, field: Field<'_>) -> Outcome {
        if self.with_values {
            self.reply.pair();
        }
        self.reply.bulk(field.name.text(&mut Digits::default()));
        if self.with_values {
            self.reply.bulk(field.value.text(&mut Digits::default()));
        }
        match self.reply.position() > self.bytes_max {
            true => Err(CommandError::ReplyTooLong),
            false => Ok(()),
        }
    }
}

/// So many fields, any of them perhaps several times.
fn some_again(
    hash: HashRef<'_>,
    count: u64,
    mut next_random: impl FnMut() -> u64,
    shown: &mut Shown<'_, '_>,
) -> Outcome {
    check_times(count, shown.bytes_max)?;
    shown.begin(count as usize);
    for _ in 0..count {
        if let Some(field) = hash.random(&mut next_random) {
            shown.show(field)?;
        }
    }
    Ok(())
}

/// So many different fields, or all.
fn some(
    hash: HashRef<'_>,
    count: usize,
    mut next_random: impl FnMut() -> u64,
    shown: &mut Shown<'_, '_>,
) -> Outcome {
    let len = hash.len();
    let count = count.min(len);
    shown.begin(count);
    if let Form::Table(_) = hash.form()
        && count < len / SPARSE_PART
    {
        let mut seen = HashSet::with_capacity(count);
        while seen.len() < count {
            let Some(field) = hash.random(&mut next_random) else { break };
            if seen.insert(field.name.to_vec()) {
                shown.show(field)?;
            }
        }
        return Ok(());
    }
    let mut selection = Selection::new(count, len);
    let mut outcome = Ok(());
    hash.visit(|field| {
        if outcome.is_ok() && selection.takes_next(&mut next_random) {
            outcome = shown.show(field);
        }
    });
    outcome
}
