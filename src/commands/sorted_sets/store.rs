//! Unions, intersections and differences of sorted sets, stored.

use super::combine::{
    Difference, Intersection, Operation, Options, SOURCES, Union, found, inputs, inputs_of, keys,
    look,
};
use super::form::{Making, NewSortedSet};
use super::range::put_or_remove;
use super::{DOCS, ROW, combine};
use crate::commands::hops::{Change, Decision, Finding, Hops, take_nothing};
use crate::commands::{Command, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread};
use crate::protocol::Args;
use crate::store::{Event, SortedSet};

pub const ZUNIONSTORE: Command = Command {
    name: "zunionstore",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)), KeySpec::counted(2, SOURCES)],
    handler: Handler::Keyed(store::<Union>, Spread::Hops(&UNIONS)),
    docs: Docs {
        summary: "Stores the members that any of these sorted sets has, with scores made of all of \
                  theirs.",
        since: "2.0.0",
        complexity: combine::ZUNION.docs.complexity,
        arguments: "destination numkeys key [key ...] [WEIGHTS weight:integer \
                    [weight:integer ...]] [AGGREGATE <SUM | MIN | MAX>]",
        ..DOCS
    },
    ..ROW
};

pub const ZINTERSTORE: Command = Command {
    name: "zinterstore",
    handler: Handler::Keyed(store::<Intersection>, Spread::Hops(&INTERSECTIONS)),
    docs: Docs {
        summary: "Stores the members that all of these sorted sets have, with scores made of all of \
                  theirs.",
        complexity: combine::ZINTER.docs.complexity,
        ..ZUNIONSTORE.docs
    },
    ..ZUNIONSTORE
};

pub const ZDIFFSTORE: Command = Command {
    name: "zdiffstore",
    handler: Handler::Keyed(store::<Difference>, Spread::Hops(&DIFFERENCES)),
    docs: Docs {
        summary: "Stores the members that the first of these sorted sets has and none of the \
                  others.",
        since: "6.2.0",
        complexity: combine::ZDIFF.docs.complexity,
        arguments: "destination numkeys key [key ...]",
        ..ZUNIONSTORE.docs
    },
    ..ZUNIONSTORE
};

/// An operation whose result is stored.
trait Stored: Operation {
    const EVENT: Event;
}

impl Stored for Union {
    const EVENT: Event = Event::ZUnionStore;
}

impl Stored for Intersection {
    const EVENT: Event = Event::ZInterStore;
}

impl Stored for Difference {
    const EVENT: Event = Event::ZDiffStore;
}

/// How a result changes the key that it is for.
fn change(result: SortedSet, key: &[u8], making: Making) -> Change {
    match result.is_empty() {
        true => Change::Plain,
        false => Change::Item(NewSortedSet::of_tree(result, making).into_item(key)),
    }
}

fn store<O: Stored>(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (keys, rest) = keys(args, 2)?;
    let making = Making::new(context);
    let inputs = inputs(context, keys)?;
    let options = Options::parse::<O>(rest, keys.len(), true)?;
    let result = O::result(&inputs, &options, making);
    drop(inputs);
    let (len, key) = (result.len(), args.at(1));
    put_or_remove(context, key, change(result, key, making), O::EVENT);
    context.reply.integer(len as i64);
    Ok(())
}

static UNIONS: Hops = stored::<Union>();
static INTERSECTIONS: Hops = stored::<Intersection>();
static DIFFERENCES: Hops = stored::<Difference>();

/// All sets come to where the connection is, and the result goes to its key.
const fn stored<O: Stored>() -> Hops {
    Hops {
        look: |context, args, position| match position {
            1 => Ok(Finding::Nothing),
            _ => look(context, args, position),
        },
        decide: |findings, args| {
            let (keys, rest) = keys(args, 2)?;
            let items = found(findings, 3, keys.len())?;
            let inputs = inputs_of(&items)?;
            let options = Options::parse::<O>(rest, keys.len(), true)?;
            let making = Making::with(findings.config, findings.random);
            let result = O::result(&inputs, &options, making);
            findings.reply.integer(result.len() as i64);
            Ok(Decision::Done(vec![(1, change(result, args.at(1), making))]))
        },
        take: take_nothing,
        apply: |context, args, _, change| put_or_remove(context, args.at(1), change, O::EVENT),
    }
}
