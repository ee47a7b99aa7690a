//! SORT: the elements of a list, a set or a sorted set in an order, by their own values or by those
//! of keys that they name.

mod order;
mod request;
#[cfg(test)]
mod tests;

use crate::commands::sets::form::SetRef;
use crate::commands::{
    Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, KeyFlags, KeyRange,
    KeyRanges, KeySpec, Outcome, Spread, reply_bytes_max,
};
use crate::config::Config;
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::store::value::list;
use crate::store::value::packed::{Element, Packed};
use crate::store::{CollectionRef, EntryRef, Event, Item, Kind, List};
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
    categories: Categories::SET.union(Categories::SORTEDSET).union(Categories::LIST),
    keys: &[
        KeySpec::one(1, READ).or_by(keys),
        PATTERNS,
        KeySpec::unknown(OVERWRITE).with_notes(
            "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear \
             anywhere in the argument array",
        ),
    ],
    handler: Handler::Keyed(|context, args| sort(context, args, true), Spread::OneKey),
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
    handler: Handler::Keyed(|context, args| sort(context, args, false), Spread::OneKey),
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

/// The source, and what the last STORE names, whatever else is wrong with the arguments.
fn keys(args: Args<'_>) -> Option<KeyRanges> {
    let is = |at: usize, word: &[u8]| args.at(at).eq_ignore_ascii_case(word);
    let (mut stored, mut at) = (None, 2);
    while at + 1 < args.len() {
        at += match () {
            () if is(at, b"LIMIT") => 3,
            () if is(at, b"GET") || is(at, b"BY") => 2,
            () if is(at, b"STORE") => {
                stored = Some(at + 1);
                2
            }
            () => 1,
        };
    }
    let source = source(args)?;
    Some(stored.map_or(source, |at| source.with(KeyRange::new(at, at + 1, OVERWRITE))))
}

fn sort(context: &mut Context<'_>, args: Args<'_>, stores: bool) -> Outcome {
    let mut request = Request::parse(args, stores)?;
    let Context { shard, db_index, now, config, reply, .. } = context;
    let (db_index, now) = (*db_index, *now);
    let elements = match shard.read(db_index, args.at(1), now) {
        Some(entry) => {
            request.fit(entry.kind());
            elements(entry)?
        }
        None => Vec::new(),
    };
    let mut look_up = |key: &[u8], field: Option<&[u8]>| {
        shard.read(db_index, key, now).and_then(|entry| string_in(entry, field))
    };
    let sorted = order::sorted(elements, &request, &mut look_up)?;
    let Some(destination) = request.store else {
        return answer(sorted, &request, &mut look_up, reply, config);
    };
    let (item, count) = to_store(args.at(destination), sorted, &request, &mut look_up, config)?;
    let db = shard.db_mut(db_index);
    match item {
        Some(item) => db.insert(item, now, Event::SortStore),
        None => {
            db.remove(args.at(destination), now, Event::Del);
        }
    }
    reply.integer(count as i64);
    Ok(())
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

/// A list of the results, unless there are none, and how many they are.
fn to_store(
    key: &[u8],
    sorted: Vec<Vec<u8>>,
    request: &Request<'_>,
    look_up: &mut LookUp<'_>,
    config: &Config,
) -> Result<(Option<Item>, usize), CommandError> {
    let mut list = list::Builder::new(list::Limit::from_directive(config.list_max_listpack_size));
    let mut count = 0;
    order::results(sorted, &request.gets, look_up, |result| {
        count += 1;
        list.push(result.unwrap_or_default())
            .map_err(|_| CommandError::text("ERR Element too large"))
    })?;
    Ok((list.into_item(key), count))
}

fn elements(entry: EntryRef<'_>) -> Result<Vec<Vec<u8>>, CommandError> {
    match entry.kind() {
        Kind::List => Ok(match entry.collection::<List>()? {
            CollectionRef::Packed(run) => Packed::new(run).iter().map(Element::to_vec).collect(),
            CollectionRef::Object(list) => list.iter().map(Element::to_vec).collect(),
        }),
        Kind::Set => Ok(SetRef::of_entry(entry)?.iter().map(Element::to_vec).collect()),
        _ => Err(CommandError::WrongType),
    }
}

/// The string that an entry is, or that a field of it is.
fn string_in(entry: EntryRef<'_>, field: Option<&[u8]>) -> Option<Vec<u8>> {
    match field {
        None => entry.as_string().ok().map(|text| text.to_vec()),
        Some(_) => None,
    }
}
