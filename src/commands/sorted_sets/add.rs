//! Adding members and changing scores.

use super::form::{Making, NewSortedSet, Scores, SortedSetMut};
use super::{DOCS, ROW, score};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::{Event, Slot};

pub const ZADD: Command = Command {
    name: "zadd",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    handler: Handler::Keyed(zadd, Spread::OneKey),
    docs: Docs {
        summary: "Gives members of a sorted set these scores, and adds those that it lacks; the set \
                  is created if it does not exist.",
        since: "1.2.0",
        complexity: "O(log(N)) for each member, where N is the number of members of the sorted set.",
        arguments: "key [NX | XX] [GT | LT] [CH] [INCR] score:double member [score:double member ...]",
        ..DOCS
    },
    ..ROW
};

pub const ZINCRBY: Command = Command {
    name: "zincrby",
    arity: 4,
    flags: ZADD.flags,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    handler: Handler::Keyed(zincrby, Spread::OneKey),
    docs: Docs {
        summary: "Adds to the score of a member of a sorted set, which is 0 if it is not there.",
        since: "1.2.0",
        complexity: "O(log(N)) where N is the number of members of the sorted set.",
        arguments: "key increment member",
        ..DOCS
    },
    ..ROW
};

/// Which scores are set, and what is answered.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    only_new: bool,
    only_existing: bool,
    only_greater: bool,
    only_less: bool,
    counts_changed: bool,
    adds: bool,
}

impl Options {
    /// The options of ZADD, and the argument behind them.
    fn parse(args: Args<'_>) -> (Options, usize) {
        let mut options = Options::default();
        let mut at = 2;
        for word in args.from(2).iter() {
            let option = match word {
                _ if word.eq_ignore_ascii_case(b"NX") => &mut options.only_new,
                _ if word.eq_ignore_ascii_case(b"XX") => &mut options.only_existing,
                _ if word.eq_ignore_ascii_case(b"GT") => &mut options.only_greater,
                _ if word.eq_ignore_ascii_case(b"LT") => &mut options.only_less,
                _ if word.eq_ignore_ascii_case(b"CH") => &mut options.counts_changed,
                _ if word.eq_ignore_ascii_case(b"INCR") => &mut options.adds,
                _ => break,
            };
            *option = true;
            at += 1;
        }
        (options, at)
    }

    fn check(self, entries: usize) -> Outcome {
        let Options { only_new, only_existing, only_greater, only_less, adds, .. } = self;
        if only_new && only_existing {
            let text = "ERR XX and NX options at the same time are not compatible";
            return Err(CommandError::text(text));
        }
        if [only_new, only_greater, only_less].into_iter().filter(|is_set| *is_set).count() > 1 {
            let text = "ERR GT, LT, and/or NX options at the same time are not compatible";
            return Err(CommandError::text(text));
        }
        if adds && entries > 1 {
            let text = "ERR INCR option supports a single increment-element pair";
            return Err(CommandError::text(text));
        }
        Ok(())
    }
}

/// What has become of the members of one command.
#[derive(Debug, Default)]
struct Outcomes {
    added: usize,
    updated: usize,
    /// The score of the last one, unless an option kept it from being set.
    score: Option<f64>,
    has_nan: bool,
}

impl Outcomes {
    /// The score that a member gets, of the one that it has and the one that is given.
    #[inline]
    fn decide(&mut self, old: Option<f64>, given: f64, options: Options) -> Option<f64> {
        self.score = self.allowed(old, given, options);
        match (old, self.score) {
            (None, Some(_)) => self.added += 1,
            (Some(old), Some(score)) if score != old => self.updated += 1,
            _ => {}
        }
        self.score
    }

    fn allowed(&mut self, old: Option<f64>, given: f64, options: Options) -> Option<f64> {
        let Some(old) = old else { return Some(given).filter(|_| !options.only_existing) };
        if options.only_new {
            return None;
        }
        let score = if options.adds { old + given } else { given };
        self.has_nan |= score.is_nan();
        let is_refused = self.has_nan
            || options.only_less && score >= old
            || options.only_greater && score <= old;
        Some(score).filter(|_| !is_refused)
    }
}

fn zadd(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (options, at) = Options::parse(args);
    let pairs = args.from(at);
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    options.check(pairs.len() / 2)?;
    add(context, args.at(1), pairs, options)
}

fn zincrby(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    add(context, args.at(1), args.from(2), Options { adds: true, ..Options::default() })
}

/// Sets the scores that `pairs` give, each with its member behind it.
#[inline]
fn add(context: &mut Context<'_>, key: &[u8], pairs: Args<'_>, options: Options) -> Outcome {
    for given in pairs.iter().step_by(2) {
        score(given)?;
    }
    let making = Making::new(context);
    let event = if options.adds { Event::ZIncr } else { Event::ZAdd };
    let members = pairs.iter().skip(1).step_by(2);
    let scores = pairs.iter().step_by(2).map(score);
    let mut outcomes = Outcomes::default();
    match context.shard.db_mut(context.db_index).slot(key, context.now, event) {
        Slot::Occupied(entry) => {
            let mut set = SortedSetMut::new(entry, making)?;
            for (member, score) in members.zip(scores) {
                let score = score?;
                set.update(member, |old| outcomes.decide(old, score, options));
            }
        }
        Slot::Vacant(_) if options.only_existing => {}
        Slot::Vacant(slot) => {
            let longest = members.clone().map(<[u8]>::len).max().unwrap_or(0);
            let mut set = NewSortedSet::new(members.len(), longest, making);
            for (member, score) in members.zip(scores) {
                let score = score?;
                set.update(member, |old| outcomes.decide(old, score, options));
            }
            set.insert_into(slot);
        }
    }
    if outcomes.has_nan {
        return Err(CommandError::text("ERR resulting score is not a number (NaN)"));
    }
    match (options.adds, outcomes.score) {
        (true, Some(score)) => context.reply.double(score),
        (true, None) => context.reply.null(),
        (false, _) => {
            let changed = if options.counts_changed { outcomes.updated } else { 0 };
            context.reply.integer((outcomes.added + changed) as i64);
        }
    }
    Ok(())
}
