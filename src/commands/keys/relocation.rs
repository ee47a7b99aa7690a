//! Values that change their key or their database.

use super::databases::parse_index;
use crate::commands::hops::{Change, Decision, Finding, Hops, Looked, put_item};
use crate::commands::{
    Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, KeyFlags, KeySpec,
    Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::{Event, Item};

pub const COPY: Command = Command {
    name: "copy",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::KEYSPACE,
    keys: &[
        KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)),
        KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)).in_database(destination_database),
    ],
    handler: Handler::Keyed(copy, Spread::Hops(&COPIES)),
    docs: Docs {
        summary: "Copies a value and its expiry to another key, in another database if asked.",
        since: "6.2.0",
        group: Group::Generic,
        complexity: "O(N) where N is the size of the value.",
        arguments: "source destination [DB destination-db] [REPLACE]",
    },
    tips: &[],
    subcommands: &[],
};

#[derive(Clone, Copy, Debug, Default)]
struct CopyOptions {
    replace: bool,
    destination_db: Option<usize>,
}

impl CopyOptions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = CopyOptions::default();
        let mut words = args.from(3).iter();
        while let Some(word) = words.next() {
            if word.eq_ignore_ascii_case(b"REPLACE") {
                options.replace = true;
            } else if word.eq_ignore_ascii_case(b"DB") {
                let index = parse_index(words.next().ok_or(CommandError::Syntax)?)?;
                options.destination_db = Some(index);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

/// The database that COPY's DB option names, if there is one.
fn destination_database(args: Args<'_>) -> Option<usize> {
    CopyOptions::parse(args).ok()?.destination_db
}

fn copy(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (source, destination) = (args.at(1), args.at(2));
    let CopyOptions { replace, destination_db } = CopyOptions::parse(args)?;
    let destination_db = destination_db.unwrap_or(context.db_index);
    context.check_database(destination_db)?;
    if destination_db == context.db_index && source == destination {
        return Err(same_object());
    }
    let copied = match context.read(source).map(|entry| Item::copy_of(entry).with_key(destination))
    {
        Some(item) => {
            let now = context.now;
            let db = context.shard.db_mut(destination_db);
            let writes = replace || !db.contains(destination, now);
            if writes {
                db.insert(item, now, Event::CopyTo);
            }
            writes
        }
        None => false,
    };
    context.reply.integer(i64::from(copied));
    Ok(())
}

/// Copies that are no larger are made before it is known whether they are needed: that is cheaper than
/// another hop.
const EARLY_COPY_BYTES_MAX: usize = 4096;

/// The copy is made where the original is, and then moved.
static COPIES: Hops = Hops {
    look: |context, args, position| {
        let CopyOptions { replace, destination_db } = CopyOptions::parse(args)?;
        let destination_db = destination_db.unwrap_or(context.db_index);
        context.check_database(destination_db)?;
        let (key, now) = (args.at(position), context.now);
        if position == 2 {
            let exists = !replace && context.shard.db(destination_db).contains(key, now);
            return Ok(Finding::of_existence(exists));
        }
        Ok(match context.read(key) {
            Some(entry) if replace || entry.value_size() <= EARLY_COPY_BYTES_MAX => {
                Finding::Item(Item::copy_of(entry))
            }
            found => Finding::of_existence(found.is_some()),
        })
    },
    decide: |findings, args| {
        let CopyOptions { destination_db, .. } = CopyOptions::parse(args)?;
        findings.check_database(destination_db.unwrap_or(findings.db_index))?;
        let is_taken = findings.take(2)?.exists();
        let changes = match findings.take(1)? {
            _ if is_taken => Vec::new(),
            Finding::Exists => return Ok(Decision::Take(1)),
            Finding::Item(item) => vec![(2, Change::Item(item))],
            _ => Vec::new(),
        };
        findings.reply.integer(changes.len() as i64);
        Ok(Decision::Done(changes))
    },
    take: |context, args, position, _| {
        let copy = context.peek(args.at(position)).map(Item::copy_of);
        Ok(copy.map_or(Finding::Nothing, Finding::Item))
    },
    apply: |context, args, position, change| {
        let db = destination_database(args).unwrap_or(context.db_index);
        put_item(context, db, args.at(position), change, Event::CopyTo);
    },
};

fn same_object() -> CommandError {
    CommandError::text("ERR source and destination objects are the same")
}

pub const MOVE: Command = Command {
    name: "move",
    arity: 3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    handler: Handler::Keyed(move_key, Spread::OneKey),
    docs: Docs {
        summary: "Moves a key to another database that has no such key.",
        since: "1.0.0",
        group: Group::Generic,
        complexity: "O(1)",
        arguments: "key db",
    },
    tips: &[],
    subcommands: &[],
};

fn move_key(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (key, now) = (args.at(1), context.now);
    let destination = parse_index(args.at(2))?;
    context.check_database(destination)?;
    if destination == context.db_index {
        return Err(same_object());
    }
    let moved = !context.shard.db(destination).contains(key, now)
        && context.shard.move_entry(key, context.db_index, destination, now);
    context.reply.integer(i64::from(moved));
    Ok(())
}

pub const RENAME: Command = Command {
    name: "rename",
    arity: 3,
    flags: Flags::WRITE,
    categories: Categories::KEYSPACE,
    keys: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
        KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
    ],
    handler: Handler::Keyed(rename, Spread::Hops(&RENAMES)),
    docs: Docs {
        summary: "Renames a key; one that has the new name already is lost.",
        since: "1.0.0",
        group: Group::Generic,
        complexity: "O(1) if both keys are in one shard.",
        arguments: "key newkey",
    },
    tips: &[],
    subcommands: &[],
};

fn rename(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    rename_key(context, args, true)?;
    context.reply.ok();
    Ok(())
}

pub const RENAMENX: Command = Command {
    name: "renamenx",
    arity: 3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
        KeySpec::one(2, KeyFlags::OW.union(KeyFlags::INSERT)),
    ],
    handler: Handler::Keyed(renamenx, Spread::Hops(&RENAMES_TO_NEW)),
    docs: Docs {
        summary: "Renames a key if no key has the new name.",
        since: "1.0.0",
        group: Group::Generic,
        complexity: "O(1) if both keys are in one shard.",
        arguments: "key newkey",
    },
    tips: &[],
    subcommands: &[],
};

fn renamenx(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let renamed = rename_key(context, args, false)?;
    context.reply.integer(i64::from(renamed));
    Ok(())
}

/// Nothing at the new name can prevent it, so the value is taken at once.
static RENAMES: Hops = Hops {
    look: |context, args, position| match position {
        1 => take_item(context, args, position, None),
        _ => Ok(Finding::Nothing),
    },
    decide: |findings, _| match findings.take(1)? {
        Finding::Item(item) => {
            findings.reply.ok();
            Ok(Decision::Done(vec![(2, Change::Item(item))]))
        }
        _ => Err(CommandError::NoSuchKey),
    },
    take: take_item,
    apply: put_renamed,
};

static RENAMES_TO_NEW: Hops = Hops {
    look: |context, args, position| {
        Ok(Finding::of_existence(context.db().contains(args.at(position), context.now)))
    },
    decide: |findings, _| {
        let changes = match findings.take(1)? {
            Finding::Item(item) => vec![(2, Change::Item(item))],
            Finding::Exists if findings.take(2)?.exists() => Vec::new(),
            Finding::Exists => return Ok(Decision::Take(1)),
            _ => return Err(CommandError::NoSuchKey),
        };
        findings.reply.integer(changes.len() as i64);
        Ok(Decision::Done(changes))
    },
    take: take_item,
    apply: put_renamed,
};

fn take_item(
    context: &mut Context<'_>,
    args: Args<'_>,
    position: usize,
    _: Option<Item>,
) -> Looked {
    let now = context.now;
    let item = context.db_mut().take(args.at(position), now, Event::RenameFrom);
    Ok(item.map_or(Finding::Nothing, Finding::Item))
}

fn put_renamed(context: &mut Context<'_>, args: Args<'_>, position: usize, change: Change) {
    put_item(context, context.db_index, args.at(position), change, Event::RenameTo);
}

/// Tells whether the key has changed its name, which it does not if it has that name already.
fn rename_key(
    context: &mut Context<'_>,
    args: Args<'_>,
    replace: bool,
) -> Result<bool, CommandError> {
    let (key, new_key, now) = (args.at(1), args.at(2), context.now);
    let db = context.db_mut();
    if !db.contains(key, now) {
        return Err(CommandError::NoSuchKey);
    }
    if key == new_key || !replace && db.contains(new_key, now) {
        return Ok(false);
    }
    Ok(db.rename(key, new_key, now))
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;

    const SAME: &str = "-ERR source and destination objects are the same";
    const NO_SUCH_DB: &str = "-ERR DB index is out of range";
    const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
    const NOT_INT: &str =
        "-ERR value is out of range, value must between -2147483648 and 2147483647";

    /// What SELECT could not reach would be lost.
    #[test]
    fn databases_that_are_configured_away_take_nothing() {
        let mut server = Server::new();
        server.config.databases = 4;
        server.check(&[
            ("set k v", "+OK"),
            ("move k 4", NO_SUCH_DB),
            ("copy k j db 4", NO_SUCH_DB),
            ("swapdb 0 4", NO_SUCH_DB),
            ("swapdb 4 0", NO_SUCH_DB),
            ("copy k k db 3", ":1"),
            ("get k", "$1 v"),
        ]);
    }

    #[test]
    fn copy() {
        let mut server = Server::new();
        server.check(&[
            ("copy k k", SAME),
            ("copy k j", ":0"),
            ("set k v ex 100", "+OK"),
            ("copy k k", SAME),
            ("copy k k db 0", SAME),
            ("copy k k db 1", ":1"),
            ("copy k j db 16", NO_SUCH_DB),
            ("copy k j db -1", NO_SUCH_DB),
            ("copy none x db 99", NO_SUCH_DB),
            ("copy k j db abc", NOT_INTEGER),
            ("copy k j db 9223372036854775807", NOT_INT),
            ("copy k j foo", "-ERR syntax error"),
            ("copy k j db", "-ERR syntax error"),
            ("copy k j replace REPLACE", ":1"),
            ("copy k j", ":0"),
            ("mget k j", "*2 $1 v $1 v"),
            ("ttl j", ":100"),
            ("set j w", "+OK"),
            ("copy j k replace", ":1"),
            ("get k", "$1 w"),
            ("ttl k", ":-1"),
            ("copy k x db 2 db 3", ":1"),
        ]);
        server.db_index = 1;
        server.check(&[("get k", "$1 v"), ("ttl k", ":100")]);
        server.db_index = 3;
        server.check(&[("get x", "$1 w")]);
    }

    #[test]
    fn move_between_databases() {
        let mut server = Server::new();
        server.check(&[
            ("set k v ex 100", "+OK"),
            ("move k abc", NOT_INTEGER),
            ("move k 99", NO_SUCH_DB),
            ("move k -1", NO_SUCH_DB),
            ("move k 9223372036854775807", NOT_INT),
            ("move k 0", SAME),
            ("move none 0", SAME),
            ("move none 5", ":0"),
            ("move k 5", ":1"),
            ("exists k", ":0"),
            ("set k w", "+OK"),
            ("move k 5", ":0"),
            ("get k", "$1 w"),
        ]);
        server.db_index = 5;
        server.check(&[("get k", "$1 v"), ("ttl k", ":100")]);
    }

    #[test]
    fn rename_and_renamenx() {
        Server::new().check(&[
            ("rename none none", "-ERR no such key"),
            ("rename none x", "-ERR no such key"),
            ("renamenx none x", "-ERR no such key"),
            ("set k 12 ex 100", "+OK"),
            ("rename k k", "+OK"),
            ("renamenx k k", ":0"),
            ("set j old", "+OK"),
            ("renamenx k j", ":0"),
            ("rename k j", "+OK"),
            ("get j", "$2 12"),
            ("ttl j", ":100"),
            ("object encoding j", "$3 int"),
            ("exists k", ":0"),
            ("renamenx j k", ":1"),
            ("get k", "$2 12"),
            ("ttl k", ":100"),
            ("set other v", "+OK"),
            ("rename other k", "+OK"),
            ("ttl k", ":-1"),
            ("dbsize", ":1"),
        ]);
    }
}
