//! COMMAND INFO: a row as clients that route commands need it.

use super::{find, shown_subcommands};
use crate::commands::{
    BeginSearch, Command, Context, FindKeys, Flags, KeyFlags, KeySpec, Outcome, Row,
};
use crate::protocol::Args;
use crate::protocol::reply::Reply;

pub(super) fn info(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if args.len() == 2 {
        return super::bare(context, args);
    }
    context.reply.array(args.len() - 2);
    for name in args.from(2).iter() {
        match find(name) {
            Some(row) => reply_row(&mut context.reply, row),
            None => context.reply.null(),
        }
        context.check_reply()?;
    }
    Ok(())
}

/// Name, arity, flags, first key, last key, step, categories, tips, key specifications, subcommands.
pub(super) fn reply_row(reply: &mut Reply<'_>, row: &'static Row) {
    reply.array(10);
    reply.bulk(row.full_name.as_bytes());
    reply.integer(i64::from(row.arity));
    let mut flags = row.flags.intersection(Flags::SHOWN);
    flags.set(Flags::MOVABLEKEYS, row.has_movable_keys());
    reply_flags(reply, flags.iter_names().map(|(name, _)| name), "");
    let range = KeyRange::of(row);
    reply.integer(range.first);
    reply.integer(range.last);
    reply.integer(range.step);
    reply_flags(reply, row.categories().iter_names().map(|(name, _)| name), "@");
    reply.set(row.tips.len());
    for tip in row.tips {
        reply.bulk(tip.as_bytes());
    }
    reply.set(row.keys.len());
    for spec in row.keys {
        reply_key_spec(reply, spec);
    }
    let subcommands = shown_subcommands(row);
    // In RESP3 Redis shows none as a set and some as an array.
    match subcommands.len() {
        0 => reply.set(0),
        some => reply.array(some),
    }
    for subcommand in subcommands {
        reply_row(reply, subcommand);
    }
}

/// A set of statuses in lower case.
fn reply_flags<'a>(reply: &mut Reply<'_>, names: impl Iterator<Item = &'a str>, prefix: &str) {
    let names: Vec<String> = names.map(|name| prefix.to_owned() + &name.to_lowercase()).collect();
    reply.set(names.len());
    for name in names {
        reply.simple(&name);
    }
}

/// What a command does with a key; the kinds of access keep their capitals, as in Redis.
pub(super) fn reply_key_flags(reply: &mut Reply<'_>, flags: KeyFlags) {
    let names: Vec<&str> = flags.iter_names().map(|(name, _)| name).collect();
    reply.set(names.len());
    for name in names {
        match name {
            "RO" | "RW" | "OW" | "RM" => reply.simple(name),
            _ => reply.simple(&name.to_lowercase()),
        }
    }
}

fn reply_key_spec(reply: &mut Reply<'_>, spec: &KeySpec) {
    reply.map(3 + usize::from(!spec.notes.is_empty()));
    if !spec.notes.is_empty() {
        reply.bulk(b"notes");
        reply.bulk(spec.notes.as_bytes());
    }
    reply.bulk(b"flags");
    reply_key_flags(reply, spec.flags);
    reply.bulk(b"begin_search");
    match spec.begin {
        BeginSearch::Index(index) => {
            reply_rule(reply, "index", 1);
            reply_number(reply, "index", index as i64);
        }
        BeginSearch::Keyword { keyword, start_from } => {
            reply_rule(reply, "keyword", 2);
            reply.bulk(b"keyword");
            reply.bulk(keyword.as_bytes());
            reply_number(reply, "startfrom", i64::from(start_from));
        }
        BeginSearch::Unknown => reply_rule(reply, "unknown", 0),
    }
    reply.bulk(b"find_keys");
    match spec.find {
        FindKeys::Range { last, step, limit } => {
            reply_rule(reply, "range", 3);
            reply_number(reply, "lastkey", i64::from(last));
            reply_number(reply, "keystep", step as i64);
            reply_number(reply, "limit", limit as i64);
        }
        FindKeys::KeyNum { count_at, first, step } => {
            reply_rule(reply, "keynum", 3);
            reply_number(reply, "keynumidx", count_at as i64);
            reply_number(reply, "firstkey", first as i64);
            reply_number(reply, "keystep", step as i64);
        }
        FindKeys::Unknown => reply_rule(reply, "unknown", 0),
    }
}

/// The kind of a rule, and the head of so many facts about it.
fn reply_rule(reply: &mut Reply<'_>, kind: &str, facts: usize) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(facts);
}

fn reply_number(reply: &mut Reply<'_>, name: &str, value: i64) {
    reply.bulk(name.as_bytes());
    reply.integer(value);
}

/// The one range of keys that clients older than key specifications know. `last` is an argument,
/// or counted from the end if negative.
#[derive(Debug, PartialEq, Eq)]
struct KeyRange {
    first: i64,
    last: i64,
    step: i64,
}

impl KeyRange {
    const NONE: KeyRange = KeyRange { first: 0, last: 0, step: 0 };

    /// Several specifications make one range if they follow each other without a gap.
    fn of(row: &Command) -> KeyRange {
        let mut ranges = row.keys.iter().filter_map(KeySpec::fixed_range);
        let Some((first, mut last, step)) = ranges.next() else { return KeyRange::NONE };
        for (next, next_last, next_step) in ranges {
            if step == 1 && next_step == 1 && last >= 0 && next == last + 1 {
                last = next_last;
            }
        }
        KeyRange { first, last, step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table;
    use crate::commands::test_support::reply;
    use crate::protocol::resp::Version::{Resp2, Resp3};

    #[test]
    fn describes_a_command_in_both_protocols() {
        assert_eq!(
            reply(&["command", "info", "GET", "nosuch"], Resp3),
            "*2\r\n*10\r\n$3\r\nget\r\n:2\r\n~2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n\
             ~3\r\n+@read\r\n+@string\r\n+@fast\r\n~0\r\n~1\r\n\
             %3\r\n$5\r\nflags\r\n~2\r\n+RO\r\n+access\r\n\
             $12\r\nbegin_search\r\n%2\r\n$4\r\ntype\r\n$5\r\nindex\r\n\
             $4\r\nspec\r\n%1\r\n$5\r\nindex\r\n:1\r\n\
             $9\r\nfind_keys\r\n%2\r\n$4\r\ntype\r\n$5\r\nrange\r\n\
             $4\r\nspec\r\n%3\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n\
             ~0\r\n_\r\n"
        );
        assert_eq!(
            reply(&["command", "info", "client|ID"], Resp2),
            "*1\r\n*10\r\n$9\r\nclient|id\r\n:2\r\n*3\r\n+noscript\r\n+loading\r\n+stale\r\n\
             :0\r\n:0\r\n:0\r\n*2\r\n+@slow\r\n+@connection\r\n*0\r\n*0\r\n*0\r\n"
        );
        assert_eq!(reply(&["command", "info", "nosuch"], Resp2), "*1\r\n$-1\r\n");
    }

    #[test]
    fn neighbouring_key_specifications_make_one_range() {
        let base: Command = ***table().rows().first().expect("the table is not empty");
        let with = |keys| KeyRange::of(&Command { keys, ..base });
        const ONE: KeySpec = KeySpec::one(1, KeyFlags::RO);
        const TWO: KeySpec = KeySpec::one(2, KeyFlags::RO);
        const PAIRS: KeySpec = KeySpec::to_end(1, 2, KeyFlags::OW);
        const FOUR: KeySpec = KeySpec::one(4, KeyFlags::RO);
        assert_eq!(with(&[]), KeyRange::NONE);
        assert_eq!(with(&[ONE, TWO]), KeyRange { first: 1, last: 2, step: 1 });
        assert_eq!(with(&[ONE, FOUR]), KeyRange { first: 1, last: 1, step: 1 });
        assert_eq!(with(&[PAIRS]), KeyRange { first: 1, last: -1, step: 2 });
    }
}
