//! SORT: the elements of a list, a set or a sorted set in an order, by their own values or by those
//! of keys that they name.

mod order;
mod request;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use crate::commands::hashes::form::HashRef;
use crate::commands::hops::{
    Change, Decision, Finding, Findings, Hops, Name, Reaching, put_result, take_nothing,
};
use crate::commands::sets::form::SetRef;
use crate::commands::sorted_sets::form as sorted_sets;
use crate::commands::{
    Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, KeyFlags, KeyRange,
    KeyRanges, KeySpec, Outcome, Spread, reply_bytes_max,
};
use crate::config::Config;
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::store::value::list;
use crate::store::value::packed::{Element, Packed};
use crate::store::{
    Collection, CollectionRef, Encoding, EntryRef, Event, Item, Kind, List, Set, SortedSet, UnixMs,
    WrongType,
};
use order::LookUp;
use request::Request;

const READ: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const OVERWRITE: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);
const PATTERNS: KeySpec = KeySpec::unknown(READ).with_notes(
    "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the \
     content of the key we sort",
);

pub const SORT: Command = Command {
    name: "sort",
    arity: -2,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::SET
        .union(Categories::SORTEDSET)
        .union(Categories::LIST)
        .union(Categories::DANGEROUS),
    keys: &[
        KeySpec::one(1, READ).or_by(keys),
        PATTERNS,
        KeySpec::unknown(OVERWRITE).with_notes(
            "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear \
             anywhere in the argument array",
        ),
    ],
    handler: Handler::Keyed(|context, args| sort(context, args, true), Spread::Reaching(&SORTS)),
    docs: Docs {
        summary: "Sorts the elements of a list, a set or a sorted set, by themselves or by values \
                  that they name, and returns or stores them.",
        since: "1.0.0",
        group: Group::Generic,
        complexity: "O(N+M*log(M)) where N is the number of elements and M that of those that are \
                     returned; O(N) if they are not sorted.",
        arguments: "key [BY by-pattern] [LIMIT offset count] [GET get-pattern [GET get-pattern ...]] \
                    [ASC | DESC] [ALPHA] [STORE destination]",
    },
    tips: &[],
    subcommands: &[],
};

pub const SORT_RO: Command = Command {
    name: "sort_ro",
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, READ).or_by(source), PATTERNS],
    handler: Handler::Keyed(
        |context, args| sort(context, args, false),
        Spread::Reaching(&READ_ONLY_SORTS),
    ),
    docs: Docs {
        summary: "Sorts the elements of a list, a set or a sorted set, by themselves or by values \
                  that they name, and returns them.",
        since: "7.0.0",
        arguments: "key [BY by-pattern] [LIMIT offset count] [GET get-pattern [GET get-pattern ...]] \
                    [ASC | DESC] [ALPHA]",
        ..SORT.docs
    },
    ..SORT
};

fn source(_: Args<'_>) -> Option<KeyRanges> {
    Some(KeyRanges::NONE.with(KeyRange::new(1, 2, READ)))
}

/// The source, and the destination; of arguments that are wrong, what Redis takes for one.
fn keys(args: Args<'_>) -> Option<KeyRanges> {
    let stored = match Request::parse(args, true) {
        Ok(request) => request.store,
        Err(_) => last_store(args),
    };
    let source = source(args)?;
    Some(stored.map_or(source, |at| source.with(KeyRange::new(at, at + 1, OVERWRITE))))
}

/// What follows the last STORE that is not an option's value.
fn last_store(args: Args<'_>) -> Option<usize> {
    let is = |at: usize, word: &[u8]| args.at(at).eq_ignore_ascii_case(word);
    let (mut stored, mut at) = (None, 2);
    while at + 1 < args.len() {
        at += match () {
            () if is(at, b"LIMIT") => 3,
            () if is(at, b"GET") || is(at, b"BY") => 2,
            () if is(at, b"STORE") => {
                stored = Some(at + 1);
                1
            }
            () => 1,
        };
    }
    stored
}

fn sort(context: &mut Context<'_>, args: Args<'_>, stores: bool) -> Outcome {
    let mut request = Request::parse(args, stores)?;
    let Context { shard, db_index, now, config, reply, .. } = context;
    let (db_index, now) = (*db_index, *now);
    let elements = match shard.read(db_index, args.at(1), now) {
        Some(entry) => elements(&entry, &mut request)?,
        None => Vec::new(),
    };
    let mut look_up = |key: &[u8], field: Option<&[u8]>| {
        shard.read(db_index, key, now).and_then(|entry| string_in(entry, field, now))
    };
    let sorted = order::sorted(elements, &request, &mut look_up)?;
    let Some(destination) = request.store else {
        return answer(sorted, &request, &mut look_up, reply, config);
    };
    let key = args.at(destination);
    let (list, count) = to_store(key, sorted, &request, &mut look_up, config)?;
    put_result(context, key, list, Event::SortStore);
    context.reply.integer(count as i64);
    Ok(())
}

static SORTS: Reaching = reaching(true);
static READ_ONLY_SORTS: Reaching = reaching(false);

const fn reaching(stores: bool) -> Reaching {
    Reaching {
        hops: Hops {
            look: |context, args, position| match position {
                1 => Ok(context.read(args.at(1)).map_or(Finding::Nothing, |entry| {
                    // All of it: the order depends on every element.
                    Finding::Item(Item::copy_of(entry))
                })),
                _ => Ok(Finding::Nothing),
            },
            decide: match stores {
                true => |findings, args| decide(findings, args, true),
                false => |findings, args| decide(findings, args, false),
            },
            take: take_nothing,
            apply: |context, args, position, change| {
                put_result(context, args.at(position), change, Event::SortStore);
            },
        },
        // Errors in the arguments need no other key.
        reaches: match stores {
            true => |args| Request::parse(args, true).is_ok_and(|request| request.has_patterns()),
            false => |args| Request::parse(args, false).is_ok_and(|request| request.has_patterns()),
        },
        read: |context, name| {
            let now = context.now;
            let entry = context.read(&name.key)?;
            string_in(entry, name.field.as_deref(), now)
        },
    }
}

/// Sorts what the source holds. What is missing of the keys that are named is asked for, and then
/// everything is done again.
fn decide(
    findings: &mut Findings<'_>,
    args: Args<'_>,
    stores: bool,
) -> Result<Decision, CommandError> {
    let mut request = Request::parse(args, stores)?;
    let elements = match findings.take(1)? {
        Finding::Item(item) => {
            let elements = elements(&item, &mut request)?;
            findings.give_back(1, item);
            elements
        }
        _ => Vec::new(),
    };
    let (missing, read) = (RefCell::new(Vec::new()), findings.read);
    let mut look_up = |key: &[u8], field: Option<&[u8]>| {
        let name = Name { key: key.to_vec(), field: field.map(<[u8]>::to_vec) };
        let known = read.get(&name).cloned();
        if known.is_none() {
            missing.borrow_mut().push(name);
        }
        known.flatten()
    };
    let sorted = order::sorted(elements, &request, &mut look_up)?;
    let outcome = match request.store {
        // The weights are not known yet.
        _ if !missing.borrow().is_empty() => return Ok(Decision::Read(missing.take())),
        None => {
            answer(sorted, &request, &mut look_up, &mut findings.reply, findings.config)?;
            Vec::new()
        }
        Some(destination) => {
            let key = args.at(destination);
            let (list, count) = to_store(key, sorted, &request, &mut look_up, findings.config)?;
            findings.reply.integer(count as i64);
            vec![(destination, list)]
        }
    };
    let missing = missing.take();
    Ok(if missing.is_empty() { Decision::Done(outcome) } else { Decision::Read(missing) })
}

fn answer(
    sorted: Vec<Vec<u8>>,
    request: &Request<'_>,
    look_up: &mut LookUp<'_>,
    reply: &mut Reply<'_>,
    config: &Config,
) -> Outcome {
    let bytes_max = reply_bytes_max(config);
    reply.array(sorted.len() * request.gets.len().max(1));
    order::results(sorted, &request.gets, look_up, |result| {
        match result {
            Some(result) => reply.bulk(result),
            None => reply.null(),
        }
        if reply.position() > bytes_max { Err(CommandError::ReplyTooLong) } else { Ok(()) }
    })
}

/// What becomes of the destination, which is a list of the results unless there are none, and how many
/// they are.
fn to_store(
    key: &[u8],
    sorted: Vec<Vec<u8>>,
    request: &Request<'_>,
    look_up: &mut LookUp<'_>,
    config: &Config,
) -> Result<(Change, usize), CommandError> {
    let mut list = list::Builder::new(list::Limit::from_directive(config.list_max_listpack_size));
    let mut count = 0;
    order::results(sorted, &request.gets, look_up, |result| {
        count += 1;
        list.push(result.unwrap_or_default())
            .map_err(|_| CommandError::text("ERR Element too large"))
    })?;
    Ok((list.into_item(key).map_or(Change::Plain, Change::Item), count))
}

/// Where a collection is read: at a key, or on its way between shards.
trait Source {
    fn kind(&self) -> Kind;
    fn encoding(&self) -> Encoding;
    fn collection<T: Collection>(&self) -> Result<CollectionRef<'_, T>, WrongType>;
}

impl Source for EntryRef<'_> {
    fn kind(&self) -> Kind {
        EntryRef::kind(*self)
    }

    fn encoding(&self) -> Encoding {
        EntryRef::encoding(*self)
    }

    fn collection<T: Collection>(&self) -> Result<CollectionRef<'_, T>, WrongType> {
        EntryRef::collection(*self)
    }
}

impl Source for Item {
    fn kind(&self) -> Kind {
        Item::kind(self)
    }

    fn encoding(&self) -> Encoding {
        Item::encoding(self)
    }

    fn collection<T: Collection>(&self) -> Result<CollectionRef<'_, T>, WrongType> {
        Item::collection(self)
    }
}

/// All elements, which the request is told the kind of.
fn elements(source: &impl Source, request: &mut Request<'_>) -> Result<Vec<Vec<u8>>, CommandError> {
    request.fit(source.kind());
    Ok(match source.kind() {
        Kind::List => match source.collection::<List>()? {
            CollectionRef::Packed(run) => Packed::new(run).iter().map(Element::to_vec).collect(),
            CollectionRef::Object(list) => list.iter().map(Element::to_vec).collect(),
        },
        Kind::Set => {
            let set = SetRef::new(source.collection::<Set>()?, source.encoding());
            set.iter().map(Element::to_vec).collect()
        }
        Kind::SortedSet => {
            let mut members: Vec<_> = sorted_sets::iter(source.collection::<SortedSet>()?)
                .map(|(member, _)| member.to_vec())
                .collect();
            if request.descending && request.keeps_order() {
                members.reverse();
            }
            members
        }
        Kind::String | Kind::Hash => return Err(CommandError::WrongType),
    })
}

/// The string that an entry is, or that a field of it is.
fn string_in(entry: EntryRef<'_>, field: Option<&[u8]>, now: UnixMs) -> Option<Vec<u8>> {
    match field {
        None => entry.as_string().ok().map(|text| text.to_vec()),
        Some(field) => Some(HashRef::new(entry, now).ok()?.get(field)?.value.to_vec()),
    }
}
