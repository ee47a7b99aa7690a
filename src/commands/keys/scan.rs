//! SCAN: all keys of a database, a few at a time.
//!
//! A cursor names the shard in its low bits and the place in that shard's table above them. Where
//! one shard ends the next one begins, so that a scan sees one shard after the other, and every
//! key that is there all the time is seen, whatever the tables do meanwhile.

use crate::commands::scanning::{Names, ScanOptions, parse_cursor};
use crate::commands::{Categories, Command, Context, Docs, Flags, Group, Handler, Outcome};
use crate::protocol::Args;
use crate::store::{ScanCursor, TableCursor};

/// Room for 1024 shards in a cursor.
const SHARD_BITS: u32 = 10;

const _: () = assert!(SHARD_BITS + TableCursor::BITS < u64::BITS);

pub const SCAN: Command = Command {
    name: "scan",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    keys: &[],
    handler: Handler::Cursor(scan),
    docs: Docs {
        summary: "Returns some names of keys and the cursor to go on with; 0 begins and ends.",
        since: "2.8.0",
        group: Group::Generic,
        complexity: "O(1) for every call, O(N) until the cursor is 0 again, where N is the number \
                     of keys in the database.",
        arguments: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
    },
    tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
    subcommands: &[],
};

/// The shard that a cursor names, which need not exist; `None` if the argument is no cursor (SCAN
/// then answers with an error on any shard).
pub fn cursor_shard(argument: &[u8]) -> Option<usize> {
    parse_cursor(argument).ok().map(|cursor| Cursor::from_bits(cursor).shard)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    shard: usize,
    place: ScanCursor,
}

impl Cursor {
    fn from_bits(bits: u64) -> Self {
        Cursor {
            shard: (bits & ((1 << SHARD_BITS) - 1)) as usize,
            place: ScanCursor::from_bits(bits >> SHARD_BITS),
        }
    }

    fn to_bits(self) -> u64 {
        self.place.to_bits() << SHARD_BITS | self.shard as u64
    }
}

fn scan(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let cursor = parse_cursor(args.at(1)).map(Cursor::from_bits)?;
    let options = ScanOptions::parse(args.from(2), true)?;
    let mut names = Names::default();
    let mut next = 0;
    if cursor.shard == context.shard_index {
        let place = context.db().scan(cursor.place, options.count, context.now, |entry| {
            let kind_fits = options
                .kind
                .is_none_or(|kind| kind.eq_ignore_ascii_case(entry.kind().name().as_bytes()));
            if kind_fits && options.pattern.matches(entry.key()) {
                names.push(entry.key());
            }
        });
        next = match place {
            Some(place) => Cursor { place, ..cursor }.to_bits(),
            None if cursor.shard + 1 < context.shard_count => {
                Cursor { shard: cursor.shard + 1, place: ScanCursor::default() }.to_bits()
            }
            None => 0,
        };
    }
    context.reply.array(2);
    // Below 2^63, as the assertion at `SHARD_BITS` makes sure.
    context.reply.bulk_integer(next as i64);
    names.write(&mut context.reply);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::commands::test_support::Server;

    /// The next cursor and the names of a reply.
    fn parts(reply: &str) -> (String, Vec<String>) {
        let words: Vec<&str> = reply.split(' ').collect();
        let names = words[5.min(words.len())..].iter().step_by(2).map(|&name| name.to_owned());
        (words[2].to_owned(), names.collect())
    }

    #[test]
    fn options() {
        let mut server = Server::new();
        server.check(&[
            ("scan 0", "*2 $1 0 *0"),
            ("set key v", "+OK"),
            ("scan 0", "*2 $1 0 *1 $3 key"),
            ("scan 0 count 9223372036854775807", "*2 $1 0 *1 $3 key"),
            ("scan 0 match k* count 100 type STRING", "*2 $1 0 *1 $3 key"),
            ("scan 0 type foo", "*2 $1 0 *0"),
            ("scan 0 match * match none", "*2 $1 0 *0"),
            ("scan ''", "*2 $1 0 *1 $3 key"),
            ("scan +0", "*2 $1 0 *1 $3 key"),
            ("scan -0", "*2 $1 0 *1 $3 key"),
            ("scan 00", "*2 $1 0 *1 $3 key"),
            ("scan -1", "*2 $1 0 *0"),
            ("scan 18446744073709551615", "*2 $1 0 *0"),
            ("scan 18446744073709551616", "-ERR invalid cursor"),
            ("scan abc", "-ERR invalid cursor"),
            ("scan abc foo", "-ERR invalid cursor"),
            ("scan +", "-ERR invalid cursor"),
            ("scan ' 0'", "-ERR invalid cursor"),
            ("scan '0 '", "-ERR invalid cursor"),
            ("scan 0 count", "-ERR syntax error"),
            ("scan 0 count 0", "-ERR syntax error"),
            ("scan 0 count -1", "-ERR syntax error"),
            ("scan 0 count abc", "-ERR value is not an integer or out of range"),
            ("scan 0 foo bar", "-ERR syntax error"),
        ]);
    }

    #[test]
    fn sees_every_key_of_every_shard() {
        let mut servers: Vec<Server> = (0..3).map(|_| Server::new()).collect();
        let mut expected = HashSet::new();
        for i in 0..3_000 {
            // The second shard stays empty.
            let shard = if i % 2 == 0 { 0 } else { 2 };
            expected.insert(format!("key:{i}"));
            servers[shard].run(&format!("set key:{i} v"));
        }
        for (index, server) in servers.iter_mut().enumerate() {
            (server.shard_index, server.shard_count) = (index, 3);
        }
        let mut seen = HashSet::new();
        let mut cursor = "0".to_owned();
        for calls in 1.. {
            assert!(calls < 3_000, "a scan must end");
            let shard = cursor_shard(cursor.as_bytes()).expect("a cursor that SCAN gave");
            let (next, names) = parts(&servers[shard].run(&format!("scan {cursor}")));
            seen.extend(names);
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen, expected);
    }
}
