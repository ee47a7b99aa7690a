//! Intersections, unions and differences, answered, counted or stored.
//!
//! If the keys are on several shards, one set travels: it is copied at its key, goes from one of the
//! other keys to the next, where of it what the operation says is made, and comes back as the result.
//! An intersection begins with the smallest set and goes on by size, a union begins with the largest.

use super::form::{Making, OwnedSet, SetRef};
use super::{DOCS, ROW, reply_members};
use crate::commands::hops::{
    Change, Decision, Finding, Findings, Hops, Looked, change_nothing, put_item,
};
use crate::commands::integers::count_or;
use crate::commands::scanning::Names;
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
    reply_bytes_max,
};
use crate::protocol::Args;
use crate::store::value::packed::{Element, Needle};
use crate::store::{Event, Item, Shard, UnixMs};
use crate::text::number::Digits;

const READ: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);

pub const SINTER: Command = Command {
    name: "sinter",
    arity: -2,
    flags: Flags::READONLY,
    keys: &[KeySpec::to_end(1, 1, READ)],
    handler: Handler::Keyed(reply_with::<Intersection>, Spread::Hops(&INTERSECTIONS)),
    docs: Docs {
        summary: "Returns the members that all of these sets have.",
        since: "1.0.0",
        complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is \
                     the number of sets.",
        arguments: "key [key ...]",
        ..DOCS
    },
    tips: &["nondeterministic_output_order"],
    ..ROW
};

pub const SUNION: Command = Command {
    name: "sunion",
    handler: Handler::Keyed(reply_with::<Union>, Spread::Hops(&UNIONS)),
    docs: Docs {
        summary: "Returns the members that any of these sets has.",
        complexity: "O(N) where N is the total number of elements in all given sets.",
        ..SINTER.docs
    },
    ..SINTER
};

pub const SDIFF: Command = Command {
    name: "sdiff",
    handler: Handler::Keyed(reply_with::<Difference>, Spread::Hops(&DIFFERENCES)),
    docs: Docs {
        summary: "Returns the members that the first of these sets has and none of the others.",
        ..SUNION.docs
    },
    ..SINTER
};

pub const SINTERSTORE: Command = Command {
    name: "sinterstore",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE)), KeySpec::to_end(2, 1, READ)],
    handler: Handler::Keyed(store::<Intersection>, Spread::Hops(&STORED_INTERSECTIONS)),
    docs: Docs {
        summary: "Stores the members that all of these sets have as another set.",
        arguments: "destination key [key ...]",
        ..SINTER.docs
    },
    ..ROW
};

pub const SUNIONSTORE: Command = Command {
    name: "sunionstore",
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)), KeySpec::to_end(2, 1, READ)],
    handler: Handler::Keyed(store::<Union>, Spread::Hops(&STORED_UNIONS)),
    docs: Docs {
        summary: "Stores the members that any of these sets has as another set.",
        arguments: "destination key [key ...]",
        ..SUNION.docs
    },
    ..SINTERSTORE
};

pub const SDIFFSTORE: Command = Command {
    name: "sdiffstore",
    handler: Handler::Keyed(store::<Difference>, Spread::Hops(&STORED_DIFFERENCES)),
    docs: Docs {
        summary: "Stores the members that the first of these sets has and none of the others as \
                  another set.",
        ..SUNIONSTORE.docs
    },
    ..SUNIONSTORE
};

pub const SINTERCARD: Command = Command {
    name: "sintercard",
    arity: -3,
    keys: &[KeySpec::counted(1, READ)],
    handler: Handler::Keyed(sintercard, Spread::Hops(&CARDINALITIES)),
    docs: Docs {
        summary: "Returns how many members all of these sets have, or that it is at least so many.",
        since: "7.0.0",
        arguments: "numkeys key [key ...] [LIMIT limit]",
        ..SINTER.docs
    },
    tips: &[],
    ..SINTER
};

/// What is made of several sets.
trait Algebra {
    /// What storing a result is told as.
    const STORED: Event;
    /// Over several shards: the set that travels goes to small ones first.
    const SMALLEST_FIRST: bool;

    /// Whether [`Algebra::visit`] shows a member more than once.
    const REPEATS: bool = false;

    /// Shows the result's members until `show` wants no more. There is `None` for every key without
    /// a set.
    fn visit<'a>(sets: &[Option<SetRef<'a>>], show: impl FnMut(Element<'a>) -> bool);

    /// The key where the set that travels begins, of those that are left; each with the number of
    /// its members, if there is a set. `None` if the result is empty.
    fn begin(keys: &[(usize, Option<usize>)]) -> Option<usize>;

    /// What becomes of the travelling set at a key, unless it stays as it is.
    fn meet(travelling: &mut OwnedSet, set: Option<SetRef<'_>>, making: Making)
    -> Option<OwnedSet>;
}

struct Intersection;

impl Algebra for Intersection {
    const STORED: Event = Event::SInterStore;
    const SMALLEST_FIRST: bool = true;

    fn visit<'a>(sets: &[Option<SetRef<'a>>], show: impl FnMut(Element<'a>) -> bool) {
        let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<_>>>() else { return };
        sets.sort_by_key(|set| set.len());
        if let Some((smallest, others)) = sets.split_first() {
            let has_all = |member: &Needle<'_>| others.iter().all(|set| set.contains(member));
            visit_chosen(*smallest, has_all, show);
        }
    }

    fn begin(keys: &[(usize, Option<usize>)]) -> Option<usize> {
        if keys.iter().any(|(_, len)| len.is_none()) {
            return None;
        }
        keys.iter().min_by_key(|(_, len)| *len).map(|(position, _)| *position)
    }

    fn meet(
        travelling: &mut OwnedSet,
        set: Option<SetRef<'_>>,
        making: Making,
    ) -> Option<OwnedSet> {
        Some(choose(travelling, making, |member| set.is_some_and(|set| set.contains(member))))
    }
}

struct Union;

impl Algebra for Union {
    const STORED: Event = Event::SUnionStore;
    const REPEATS: bool = true;
    const SMALLEST_FIRST: bool = false;

    fn visit<'a>(sets: &[Option<SetRef<'a>>], show: impl FnMut(Element<'a>) -> bool) {
        sets.iter().flatten().flat_map(|set| set.iter()).all(show);
    }

    fn begin(keys: &[(usize, Option<usize>)]) -> Option<usize> {
        let sets = keys.iter().filter(|(_, len)| len.is_some());
        sets.max_by_key(|(_, len)| *len).map(|(position, _)| *position)
    }

    fn meet(travelling: &mut OwnedSet, set: Option<SetRef<'_>>, _: Making) -> Option<OwnedSet> {
        travelling.add_all(set.into_iter().flat_map(SetRef::iter));
        None
    }
}

struct Difference;

impl Algebra for Difference {
    const STORED: Event = Event::SDiffStore;
    const SMALLEST_FIRST: bool = false;

    fn visit<'a>(sets: &[Option<SetRef<'a>>], show: impl FnMut(Element<'a>) -> bool) {
        if let Some((Some(first), others)) = sets.split_first() {
            let has_none =
                |member: &Needle<'_>| !others.iter().flatten().any(|set| set.contains(member));
            visit_chosen(*first, has_none, show);
        }
    }

    fn begin(keys: &[(usize, Option<usize>)]) -> Option<usize> {
        keys.first().and_then(|(position, len)| len.map(|_| *position))
    }

    fn meet(
        travelling: &mut OwnedSet,
        set: Option<SetRef<'_>>,
        making: Making,
    ) -> Option<OwnedSet> {
        let set = set?;
        Some(choose(travelling, making, |member| !set.contains(member)))
    }
}

fn visit_chosen<'a>(
    set: SetRef<'a>,
    is_chosen: impl Fn(&Needle<'_>) -> bool,
    show: impl FnMut(Element<'a>) -> bool,
) {
    let is_chosen =
        |member: &Element<'a>| is_chosen(&Needle::new(member.text(&mut Digits::default())));
    set.iter().filter(is_chosen).all(show);
}

fn choose(set: &OwnedSet, making: Making, is_chosen: impl Fn(&Needle<'_>) -> bool) -> OwnedSet {
    let mut chosen = OwnedSet::new(making);
    visit_chosen(set.as_ref(), is_chosen, |member| {
        chosen.add(member.text(&mut Digits::default()));
        true
    });
    chosen
}

/// Refuses keys that hold something else, and counts these reads.
fn check(context: &mut Context<'_>, keys: Args<'_>) -> Outcome {
    for key in keys.iter() {
        context.read(key).map(SetRef::of_entry).transpose()?;
    }
    Ok(())
}

fn sets_at<'a>(
    shard: &'a Shard,
    db_index: usize,
    keys: Args<'_>,
    now: UnixMs,
) -> Result<Vec<Option<SetRef<'a>>>, CommandError> {
    let set_at = |key| shard.db(db_index).get(key, now).map(SetRef::of_entry).transpose();
    Ok(keys.iter().map(set_at).collect::<Result<_, _>>()?)
}

/// What the operation makes of the sets at these keys.
fn result_of<A: Algebra>(
    context: &mut Context<'_>,
    keys: Args<'_>,
) -> Result<OwnedSet, CommandError> {
    check(context, keys)?;
    let mut result = OwnedSet::new(Making::new(context));
    A::visit(&sets_at(context.shard, context.db_index, keys, context.now)?, |member| {
        result.add(member.text(&mut Digits::default()));
        true
    });
    Ok(result)
}

fn reply_with<A: Algebra>(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let keys = args.from(1);
    let bytes_max = reply_bytes_max(context.config);
    check(context, keys)?;
    let sets = sets_at(context.shard, context.db_index, keys, context.now)?;
    if let [set] = sets[..] {
        return match set {
            Some(set) => reply_members(&mut context.reply, set, bytes_max),
            None => {
                context.reply.set(0);
                Ok(())
            }
        };
    }
    let mut seen = OwnedSet::new(Making::new(context));
    let sets = sets_at(context.shard, context.db_index, keys, context.now)?;
    let mut names = Names::default();
    A::visit(&sets, |member| {
        let mut digits = Digits::default();
        let text = member.text(&mut digits);
        if !A::REPEATS || seen.add(text) {
            names.push(text);
        }
        names.bytes() <= bytes_max
    });
    names.write_set(&mut context.reply);
    context.shard.discard(seen.into_item(b""));
    context.check_reply()
}

fn store<A: Algebra>(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let result = result_of::<A>(context, args.from(2))?;
    let len = result.as_ref().len();
    let change = if len > 0 { Change::Item(result.into_item(b"")) } else { Change::Plain };
    put::<A>(context, args, 1, change);
    context.reply.integer(len as i64);
    Ok(())
}

/// Puts a result at its key, or removes that if there are no members.
fn put<A: Algebra>(context: &mut Context<'_>, args: Args<'_>, position: usize, change: Change) {
    let (key, now) = (args.at(position), context.now);
    match change {
        Change::Item(_) => put_item(context, context.db_index, key, change, A::STORED),
        Change::Plain | Change::Bytes(_) => {
            context.db_mut().remove(key, now, Event::Del);
        }
    }
}

/// What SINTERCARD says besides the keys.
struct Card {
    keys: usize,
    limit: usize,
}

impl Card {
    fn parse(args: Args<'_>) -> Result<Card, CommandError> {
        let none = "ERR numkeys should be greater than 0";
        let keys = count_or(args.at(1), none)?;
        if keys == 0 {
            return Err(CommandError::text(none));
        }
        if keys > args.len() - 2 {
            let text = "ERR Number of keys can't be greater than number of args";
            return Err(CommandError::text(text));
        }
        let mut limit = 0;
        let mut options = args.from(2 + keys).iter();
        while let Some(option) = options.next() {
            let value = options.next().filter(|_| option.eq_ignore_ascii_case(b"LIMIT"));
            limit = count_or(value.ok_or(CommandError::Syntax)?, "ERR LIMIT can't be negative")?;
        }
        Ok(Card { keys, limit: if limit == 0 { usize::MAX } else { limit } })
    }
}

fn sintercard(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let Card { keys, limit } = Card::parse(args)?;
    let keys = args.from(2).first(keys);
    check(context, keys)?;
    let mut count = 0;
    Intersection::visit(&sets_at(context.shard, context.db_index, keys, context.now)?, |_| {
        count += 1;
        count < limit
    });
    context.reply.integer(count as i64);
    Ok(())
}

static INTERSECTIONS: Hops = answered::<Intersection>();
static UNIONS: Hops = answered::<Union>();
static DIFFERENCES: Hops = answered::<Difference>();
static STORED_INTERSECTIONS: Hops = stored::<Intersection>();
static STORED_UNIONS: Hops = stored::<Union>();
static STORED_DIFFERENCES: Hops = stored::<Difference>();

static CARDINALITIES: Hops = Hops {
    decide: |findings, args| {
        let Card { limit, .. } = Card::parse(args)?;
        travel::<Intersection>(findings, 2, |findings, set| {
            findings.reply.integer(set.map_or(0, SetRef::len).min(limit) as i64);
            Ok(())
        })
    },
    ..answered::<Intersection>()
};

const fn answered<A: Algebra>() -> Hops {
    Hops {
        look,
        decide: |findings, _| {
            travel::<A>(findings, 1, |findings, set| {
                let bytes_max = reply_bytes_max(findings.config);
                match set {
                    Some(set) => reply_members(&mut findings.reply, set, bytes_max),
                    None => {
                        findings.reply.set(0);
                        Ok(())
                    }
                }
            })
        },
        take: take::<A>,
        apply: change_nothing,
    }
}

const fn stored<A: Algebra>() -> Hops {
    Hops {
        look: |context, args, position| match position {
            1 => Ok(Finding::Nothing),
            _ => look(context, args, position),
        },
        decide: |findings, _| match journey::<A>(findings, 2)? {
            Journey::GoesOn(decision) => Ok(decision),
            Journey::Over(None) => {
                findings.reply.integer(0);
                Ok(Decision::Done(vec![(1, Change::Plain)]))
            }
            Journey::Over(Some((_, item))) => {
                findings.reply.integer(SetRef::of_item(&item)?.len() as i64);
                Ok(Decision::Done(vec![(1, Change::Item(item))]))
            }
        },
        take: take::<A>,
        apply: put::<A>,
    }
}

fn look(context: &mut Context<'_>, args: Args<'_>, position: usize) -> Looked {
    Ok(match context.read(args.at(position)) {
        Some(entry) => Finding::Count(SetRef::of_entry(entry)?.len()),
        None => Finding::Nothing,
    })
}

/// Copies the set at a key, or lets the set that travels meet it.
fn take<A: Algebra>(
    context: &mut Context<'_>,
    args: Args<'_>,
    position: usize,
    with: Option<Item>,
) -> Looked {
    let making = Making::new(context);
    let set = context.peek(args.at(position)).map(SetRef::of_entry).transpose()?;
    let (result, before) = match with {
        None => (set.map(|set| OwnedSet::copy_of(set, making)), None),
        Some(item) => {
            let mut travelling = OwnedSet::of_item(item, making);
            match A::meet(&mut travelling, set, making) {
                Some(result) => (Some(result), Some(travelling)),
                None => (Some(travelling), None),
            }
        }
    };
    if let Some(before) = before {
        context.shard.discard(before.into_item(b""));
    }
    Ok(match result.filter(|set| set.as_ref().len() > 0) {
        Some(set) => Finding::Item(set.into_item(b"")),
        None => Finding::Nothing,
    })
}

/// How far the set that travels has come.
enum Journey {
    GoesOn(Decision),
    /// The result, unless it is empty, and at which key it became that.
    Over(Option<(usize, Item)>),
}

/// The next step over the keys, which are the arguments from `first` on.
fn journey<A: Algebra>(findings: &mut Findings<'_>, first: usize) -> Result<Journey, CommandError> {
    let mut keys = Vec::new();
    let mut travelling = None;
    for (position, looked) in findings.all().iter().filter(|(position, _)| *position >= first) {
        match looked {
            Err(error) => return Err(error.clone()),
            Ok(Finding::Count(len)) => keys.push((*position, Some(*len))),
            Ok(Finding::Item(_)) => travelling = Some(*position),
            Ok(_) => keys.push((*position, None)),
        }
    }
    let Some(at) = travelling else {
        return Ok(match A::begin(&keys) {
            Some(position) => Journey::GoesOn(Decision::Take(position)),
            None => Journey::Over(None),
        });
    };
    let Finding::Item(item) = findings.take(at)? else { return Ok(Journey::Over(None)) };
    // Where it has been there is nothing any more.
    let left = keys.into_iter().filter_map(|(position, len)| Some((len?, position)));
    let next = if A::SMALLEST_FIRST { left.min() } else { left.max() };
    Ok(match next {
        Some((_, position)) => Journey::GoesOn(Decision::Send(position, item)),
        None => Journey::Over(Some((at, item))),
    })
}

/// Takes the next step, or answers with the result.
fn travel<A: Algebra>(
    findings: &mut Findings<'_>,
    first: usize,
    answer: impl FnOnce(&mut Findings<'_>, Option<SetRef<'_>>) -> Outcome,
) -> Result<Decision, CommandError> {
    match journey::<A>(findings, first)? {
        Journey::GoesOn(decision) => return Ok(decision),
        Journey::Over(None) => answer(findings, None)?,
        Journey::Over(Some((at, item))) => {
            answer(findings, Some(SetRef::of_item(&item)?))?;
            findings.give_back(at, item);
        }
    }
    Ok(Decision::Done(Vec::new()))
}
