//! Whole databases; every command here runs on every shard.

use crate::commands::{
    Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, Merge, Outcome,
};
use crate::protocol::Args;
use crate::store::DATABASES;
use crate::text::number;

/// The sum of what each shard held at some moment between the request and the reply. It counts all
/// that the connection did before, and nothing that it does afterwards. Other clients' changes to
/// keys of several shards may be counted in part: a key that is being renamed twice or not at all.
pub const DBSIZE: Command = Command {
    name: "dbsize",
    arity: 1,
    flags: Flags::READONLY.union(Flags::FAST).union(Flags::UNSYNCHRONIZED),
    categories: Categories::KEYSPACE,
    keys: &[],
    handler: Handler::EveryShard(dbsize, Merge::Sum),
    docs: Docs {
        summary: "Returns the number of keys in the selected database.",
        since: "1.0.0",
        group: Group::Server,
        complexity: "O(1)",
        arguments: "",
    },
    tips: &["request_policy:all_shards", "response_policy:agg_sum"],
    subcommands: &[],
};

fn dbsize(context: &mut Context<'_>, _args: Args<'_>) -> Outcome {
    let len = context.db().len();
    context.reply.integer(len as i64);
    Ok(())
}

pub const FLUSHALL: Command = Command {
    name: "flushall",
    arity: -1,
    flags: Flags::WRITE,
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    keys: &[],
    handler: Handler::EveryShard(flushall, Merge::Ok),
    docs: Docs {
        summary: "Deletes all keys of all databases.",
        since: "1.0.0",
        group: Group::Server,
        complexity: "O(N) where N is the number of keys in all databases.",
        arguments: "[ASYNC | SYNC]",
    },
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    subcommands: &[],
};

fn flushall(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    check_flush_mode(args)?;
    context.shard.clear();
    context.reply.ok();
    Ok(())
}

pub const FLUSHDB: Command = Command {
    name: "flushdb",
    arity: -1,
    flags: Flags::WRITE,
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    keys: &[],
    handler: Handler::EveryShard(flushdb, Merge::Ok),
    docs: Docs {
        summary: "Deletes all keys of the selected database.",
        since: "1.0.0",
        group: Group::Server,
        complexity: "O(N) where N is the number of keys in the database.",
        arguments: "[ASYNC | SYNC]",
    },
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    subcommands: &[],
};

fn flushdb(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    check_flush_mode(args)?;
    context.shard.clear_db(context.db_index);
    context.reply.ok();
    Ok(())
}

/// ASYNC and SYNC are accepted and do the same.
fn check_flush_mode(args: Args<'_>) -> Result<(), CommandError> {
    let known =
        |mode: &[u8]| mode.eq_ignore_ascii_case(b"ASYNC") || mode.eq_ignore_ascii_case(b"SYNC");
    if args.len() > 2 || args.get(1).is_some_and(|mode| !known(mode)) {
        return Err(CommandError::Syntax);
    }
    Ok(())
}

pub const SWAPDB: Command = Command {
    name: "swapdb",
    arity: 3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    keys: &[],
    handler: Handler::EveryShard(swapdb, Merge::Ok),
    docs: Docs {
        summary: "Swaps two databases: their clients see the other one's keys at once.",
        since: "4.0.0",
        group: Group::Server,
        complexity: "O(1)",
        arguments: "index1 index2",
    },
    tips: &[],
    subcommands: &[],
};

fn swapdb(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let index = |at, error| {
        let index = number::parse_i64(args.at(at)).and_then(|index| i32::try_from(index).ok());
        index.ok_or(CommandError::text(error))
    };
    let first = index(1, "ERR invalid first DB index")?;
    let second = index(2, "ERR invalid second DB index")?;
    let (first, second) = (checked_index(first)?, checked_index(second)?);
    context.check_database(first)?;
    context.check_database(second)?;
    context.shard.swap_dbs(first, second, context.now);
    context.reply.ok();
    Ok(())
}

/// The database that an argument names; `databases` may allow fewer than there are, see
/// [`Context::check_database`].
pub fn parse_index(argument: &[u8]) -> Result<usize, CommandError> {
    let index = number::parse_i64(argument).ok_or(CommandError::NotInteger)?;
    let index = i32::try_from(index).map_err(|_| {
        CommandError::text(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        )
    })?;
    checked_index(index)
}

fn checked_index(index: i32) -> Result<usize, CommandError> {
    let index = usize::try_from(index).ok().filter(|&index| index < DATABASES);
    index.ok_or(CommandError::text("ERR DB index is out of range"))
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;

    #[test]
    fn dbsize_and_flush() {
        let mut server = Server::new();
        server.check(&[("mset a 1 b 2", "+OK"), ("dbsize", ":2")]);
        server.db_index = 3;
        server.check(&[
            ("set c 3", "+OK"),
            ("dbsize", ":1"),
            ("flushdb foo", "-ERR syntax error"),
            ("flushdb sync async", "-ERR syntax error"),
            ("flushall foo", "-ERR syntax error"),
            ("dbsize", ":1"),
            ("flushdb", "+OK"),
            ("dbsize", ":0"),
        ]);
        server.db_index = 0;
        server.check(&[("dbsize", ":2"), ("flushall async", "+OK"), ("dbsize", ":0")]);
        server.check(&[("set a 1", "+OK"), ("flushdb SYNC", "+OK"), ("dbsize", ":0")]);
    }

    #[test]
    fn swapdb() {
        let mut server = Server::new();
        server.check(&[
            ("set a 1", "+OK"),
            ("swapdb a 1", "-ERR invalid first DB index"),
            ("swapdb 1 a", "-ERR invalid second DB index"),
            ("swapdb 0 99999999999", "-ERR invalid second DB index"),
            ("swapdb 16 0", "-ERR DB index is out of range"),
            ("swapdb 0 16", "-ERR DB index is out of range"),
            ("swapdb -1 0", "-ERR DB index is out of range"),
            ("swapdb 0 0", "+OK"),
            ("exists a", ":1"),
            ("swapdb 0 15", "+OK"),
            ("exists a", ":0"),
        ]);
        server.db_index = 15;
        server.check(&[("get a", "$1 1")]);
    }
}
