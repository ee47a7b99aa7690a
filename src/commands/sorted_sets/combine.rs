//! Unions, intersections and differences of sorted sets, as replies.

use super::form::{self, Making, SortedSetRef};
use super::{DOCS, ROW, entries_header, score, write_entry};
use crate::commands::hops::{
    Decision, Finding, Findings, Hops, Looked, change_nothing, take_nothing,
};
use crate::commands::integers::{count_or, integer};
use crate::commands::sets::SetRef;
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
    reply_bytes_max,
};
use crate::config::Config;
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::store::value::packed::{Element, Needle};
use crate::store::{EntryRef, Item, Kind, SortedSet, WrongType};
use crate::text::number::Digits;

pub(super) const SOURCES: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);

pub const ZUNION: Command = Command {
    name: "zunion",
    arity: -3,
    flags: Flags::READONLY,
    keys: &[KeySpec::counted(1, SOURCES)],
    handler: Handler::Keyed(answer::<Union>, Spread::Hops(&UNIONS)),
    docs: Docs {
        summary: "Returns the members that any of these sorted sets has, with scores made of all of \
                  theirs.",
        since: "6.2.0",
        complexity: "O(N)+O(M*log(M)) where N is the number of members of all sorted sets and M \
                     that of the result.",
        arguments: "numkeys key [key ...] [WEIGHTS weight:integer [weight:integer ...]] \
                    [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
        ..DOCS
    },
    ..ROW
};

pub const ZINTER: Command = Command {
    name: "zinter",
    handler: Handler::Keyed(answer::<Intersection>, Spread::Hops(&INTERSECTIONS)),
    docs: Docs {
        summary: "Returns the members that all of these sorted sets have, with scores made of all \
                  of theirs.",
        complexity: "O(N*K)+O(M*log(M)) where N is the number of members of the smallest of K \
                     sorted sets and M that of the result.",
        ..ZUNION.docs
    },
    ..ZUNION
};

pub const ZDIFF: Command = Command {
    name: "zdiff",
    handler: Handler::Keyed(answer::<Difference>, Spread::Hops(&DIFFERENCES)),
    docs: Docs {
        summary: "Returns the members that the first of these sorted sets has and none of the \
                  others.",
        complexity: "O(N*K+M*log(M)) where N is the number of members of the first of K sorted sets \
                     and M that of the result.",
        arguments: "numkeys key [key ...] [WITHSCORES]",
        ..ZUNION.docs
    },
    ..ZUNION
};

pub const ZINTERCARD: Command = Command {
    name: "zintercard",
    handler: Handler::Keyed(zintercard, Spread::Hops(&CARDS)),
    docs: Docs {
        summary: "Returns how many members all of these sorted sets have, or that it is at least so \
                  many.",
        since: "7.0.0",
        complexity: "O(N*K) where N is the number of members of the smallest of K sorted sets.",
        arguments: "numkeys key [key ...] [LIMIT limit:integer]",
        ..ZUNION.docs
    },
    ..ZUNION
};

/// A sorted set or, as if all of its scores were 1, a set.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    Sorted(SortedSetRef<'a>),
    Unsorted(SetRef<'a>),
}

impl<'a> Input<'a> {
    fn of_entry(entry: EntryRef<'a>) -> Result<Input<'a>, WrongType> {
        match entry.kind() {
            Kind::Set => SetRef::of_entry(entry).map(Input::Unsorted),
            _ => entry.collection().map(Input::Sorted),
        }
    }

    fn of_item(item: &'a Item) -> Result<Input<'a>, WrongType> {
        match item.kind() {
            Kind::Set => SetRef::of_item(item).map(Input::Unsorted),
            _ => item.collection().map(Input::Sorted),
        }
    }

    fn len(self) -> usize {
        match self {
            Input::Sorted(set) => form::len(set),
            Input::Unsorted(set) => set.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Input::Sorted(set) => form::score(set, member),
            Input::Unsorted(set) => set.contains(&Needle::new(member)).then_some(1.0),
        }
    }

    fn iter(self) -> Box<dyn Iterator<Item = (Element<'a>, f64)> + 'a> {
        match self {
            Input::Sorted(set) => Box::new(form::iter(set)),
            Input::Unsorted(set) => Box::new(set.iter().map(|member| (member, 1.0))),
        }
    }
}

/// Whatever is at each of the keys; `None` is an empty set.
pub(super) type Inputs<'a> = Vec<Option<Input<'a>>>;

/// The keys of the sets, which the argument of this index counts, and what is behind them.
pub(super) fn keys<'a>(
    args: Args<'a>,
    count_at: usize,
) -> Result<(Args<'a>, Args<'a>), CommandError> {
    let count = integer(args.at(count_at))?;
    let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else {
        let name = args.at(0).to_ascii_lowercase();
        let before = "ERR at least 1 input key is needed for '";
        return Err(CommandError::quoting(before, &name, "' command"));
    };
    let behind = args.from(count_at + 1);
    if count > behind.len() {
        return Err(CommandError::Syntax);
    }
    Ok((behind.first(count), behind.from(count)))
}

/// The sets at keys of this shard.
pub(super) fn inputs<'c>(
    context: &'c mut Context<'_>,
    keys: Args<'_>,
) -> Result<Inputs<'c>, CommandError> {
    for key in keys.iter() {
        context.read(key);
    }
    let context: &'c Context<'_> = context;
    let input = |key| context.peek(key).map(Input::of_entry).transpose();
    Ok(keys.iter().map(input).collect::<Result<_, _>>()?)
}

/// A copy of what is at a key, if it is a set.
pub(super) fn look(context: &mut Context<'_>, args: Args<'_>, position: usize) -> Looked {
    let Some(entry) = context.read(args.at(position)) else { return Ok(Finding::Nothing) };
    Input::of_entry(entry)?;
    Ok(Finding::Item(Item::copy_of(entry)))
}

/// The sets that were found at the keys, the first of which is that argument.
pub(super) fn found(
    findings: &mut Findings<'_>,
    first: usize,
    count: usize,
) -> Result<Vec<Option<Item>>, CommandError> {
    let found = (first..first + count).map(|position| {
        Ok(match findings.take(position)? {
            Finding::Item(item) => Some(item),
            _ => None,
        })
    });
    found.collect()
}

pub(super) fn inputs_of(items: &[Option<Item>]) -> Result<Inputs<'_>, CommandError> {
    let items = items.iter().map(Option::as_ref);
    Ok(items.map(|item| item.map(Input::of_item).transpose()).collect::<Result<_, _>>()?)
}

/// What is done with several sets.
pub(super) trait Operation {
    /// Whether scores are made of several ones.
    const AGGREGATES: bool;

    /// Shows the members of the result with their scores, until `show` says that it is enough.
    fn visit(inputs: &Inputs<'_>, options: &Options, show: &mut dyn FnMut(&[u8], f64) -> bool);

    fn result(inputs: &Inputs<'_>, options: &Options, making: Making) -> SortedSet {
        let mut result = making.tree();
        Self::visit(inputs, options, &mut |member, score| {
            let score = match result.score(member) {
                Some(old) => options.aggregate.of(old, score),
                None => score,
            };
            result.insert(member, score);
            true
        });
        result
    }
}

pub(super) struct Union;
pub(super) struct Intersection;
pub(super) struct Difference;

/// The sets that there are, each with its place among all, the smallest first: in this order scores
/// are aggregated.
fn by_size<'a>(inputs: &Inputs<'a>) -> Vec<(usize, Input<'a>)> {
    let mut inputs: Vec<_> =
        inputs.iter().enumerate().filter_map(|(n, input)| Some((n, (*input)?))).collect();
    inputs.sort_by_key(|(_, input)| input.len());
    inputs
}

impl Operation for Union {
    const AGGREGATES: bool = true;

    /// Shows a member once for each set that has it.
    fn visit(inputs: &Inputs<'_>, options: &Options, show: &mut dyn FnMut(&[u8], f64) -> bool) {
        for (n, input) in by_size(inputs) {
            for (member, score) in input.iter() {
                if !show(member.text(&mut Digits::default()), options.weighted(n, score)) {
                    return;
                }
            }
        }
    }
}

impl Operation for Intersection {
    const AGGREGATES: bool = true;

    fn visit(inputs: &Inputs<'_>, options: &Options, show: &mut dyn FnMut(&[u8], f64) -> bool) {
        let sorted = by_size(inputs);
        let Some(((n, smallest), others)) = sorted.split_first() else { return };
        if sorted.len() < inputs.len() {
            return;
        }
        for (member, score) in smallest.iter() {
            let mut digits = Digits::default();
            let member = member.text(&mut digits);
            let first = options.weighted(*n, score);
            let score = others.iter().try_fold(first, |aggregated, (n, input)| {
                let score = options.weighted(*n, input.score(member)?);
                Some(options.aggregate.of(aggregated, score))
            });
            if score.is_some_and(|score| !show(member, score)) {
                return;
            }
        }
    }
}

impl Operation for Difference {
    const AGGREGATES: bool = false;

    fn visit(inputs: &Inputs<'_>, _: &Options, show: &mut dyn FnMut(&[u8], f64) -> bool) {
        let Some((Some(first), others)) = inputs.split_first() else { return };
        for (member, score) in first.iter() {
            let mut digits = Digits::default();
            let member = member.text(&mut digits);
            let is_in_others = others.iter().flatten().any(|input| input.score(member).is_some());
            if !is_in_others && !show(member, score) {
                return;
            }
        }
    }
}

/// How the scores of one member become one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Aggregate {
    #[default]
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn parse(word: &[u8]) -> Option<Aggregate> {
        let aggregates =
            [(&b"SUM"[..], Aggregate::Sum), (b"MIN", Aggregate::Min), (b"MAX", Aggregate::Max)];
        let mut aggregates = aggregates.into_iter();
        aggregates.find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, one)| one)
    }

    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum => or_zero(a + b),
            Aggregate::Min => a.min(b),
            Aggregate::Max => a.max(b),
        }
    }
}

/// What Redis makes of the sum of two infinities, and of zero times one.
fn or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// What stands behind the keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    /// One for each set; none if all are 1.
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl Options {
    pub fn parse<O: Operation>(
        mut words: Args<'_>,
        keys: usize,
        is_stored: bool,
    ) -> Result<Options, CommandError> {
        let mut options = Options::default();
        while let Some(word) = words.get(0) {
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            let values = words.from(1);
            let mut taken = 1;
            if O::AGGREGATES && is(b"WEIGHTS") && values.len() >= keys {
                let text = "ERR weight value is not a float";
                let weights = values.first(keys).iter().map(score);
                let weights: Result<_, _> = weights.collect();
                options.weights = weights.map_err(|_| CommandError::text(text))?;
                taken += keys;
            } else if O::AGGREGATES
                && is(b"AGGREGATE")
                && let Some(aggregate) = values.get(0)
            {
                options.aggregate = Aggregate::parse(aggregate).ok_or(CommandError::Syntax)?;
                taken += 1;
            } else if !is_stored && is(b"WITHSCORES") {
                options.with_scores = true;
            } else {
                return Err(CommandError::Syntax);
            }
            words = words.from(taken);
        }
        Ok(options)
    }

    fn weighted(&self, n: usize, score: f64) -> f64 {
        self.weights.get(n).map_or(score, |weight| or_zero(weight * score))
    }
}

fn answer<O: Operation>(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (keys, rest) = keys(args, 1)?;
    let (config, making) = (context.config, Making::new(context));
    let inputs = inputs(context, keys)?;
    let options = Options::parse::<O>(rest, keys.len(), false)?;
    let result = O::result(&inputs, &options, making);
    drop(inputs);
    write(&result, options.with_scores, config, &mut context.reply)
}

fn write(set: &SortedSet, with_scores: bool, config: &Config, reply: &mut Reply<'_>) -> Outcome {
    let bytes_max = reply_bytes_max(config);
    entries_header(reply, set.len(), with_scores);
    for entry in set.iter() {
        write_entry(reply, Element::Bytes(entry.member), entry.score, with_scores);
        if reply.position() > bytes_max {
            return Err(CommandError::ReplyTooLong);
        }
    }
    Ok(())
}

static UNIONS: Hops = answered::<Union>();
static INTERSECTIONS: Hops = answered::<Intersection>();
static DIFFERENCES: Hops = answered::<Difference>();

/// All sets come to where the connection is.
const fn answered<O: Operation>() -> Hops {
    Hops {
        look,
        decide: |findings, args| {
            let (keys, rest) = keys(args, 1)?;
            let items = found(findings, 2, keys.len())?;
            let inputs = inputs_of(&items)?;
            let options = Options::parse::<O>(rest, keys.len(), false)?;
            let result =
                O::result(&inputs, &options, Making::with(findings.config, findings.random));
            write(&result, options.with_scores, findings.config, &mut findings.reply)?;
            Ok(Decision::Done(Vec::new()))
        },
        take: take_nothing,
        apply: change_nothing,
    }
}

/// The number at which ZINTERCARD stops to count, if any.
fn limit(mut words: Args<'_>) -> Result<usize, CommandError> {
    let mut limit = 0;
    while let Some(word) = words.get(0) {
        match words.get(1) {
            Some(value) if word.eq_ignore_ascii_case(b"LIMIT") => {
                limit = count_or(value, "ERR LIMIT can't be negative")?;
            }
            _ => return Err(CommandError::Syntax),
        }
        words = words.from(2);
    }
    Ok(if limit == 0 { usize::MAX } else { limit })
}

fn count(inputs: &Inputs<'_>, limit: usize) -> usize {
    let mut count = 0;
    Intersection::visit(inputs, &Options::default(), &mut |_, _| {
        count += 1;
        count < limit
    });
    count
}

fn zintercard(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (keys, rest) = keys(args, 1)?;
    let inputs = inputs(context, keys)?;
    let count = count(&inputs, limit(rest)?);
    drop(inputs);
    context.reply.integer(count as i64);
    Ok(())
}

static CARDS: Hops = Hops {
    look,
    decide: |findings, args| {
        let (keys, rest) = keys(args, 1)?;
        let items = found(findings, 2, keys.len())?;
        let count = count(&inputs_of(&items)?, limit(rest)?);
        findings.reply.integer(count as i64);
        Ok(Decision::Done(Vec::new()))
    },
    take: take_nothing,
    apply: change_nothing,
};
