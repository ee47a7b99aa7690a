//! One shard to try commands on, without sessions and sockets.

use super::{CommandError, Context, Handler, Lookup, Operation, table};
use crate::config::Config;
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::reply::{Encoding, Reply};
use crate::protocol::resp::Version;
use crate::store::{Shard, ShardStats, UnixMs};
use crate::text::quote;

pub struct Server {
    pub shard: Shard,
    pub config: Config,
    pub now: UnixMs,
    pub db_index: usize,
    pub encoding: Encoding,
    pub shard_index: usize,
    pub shard_count: usize,
}

impl Server {
    pub fn new() -> Self {
        Server {
            shard: Shard::new(1),
            config: Config::default(),
            now: 1_700_000_000_000,
            db_index: 0,
            encoding: Encoding::Resp2,
            shard_index: 0,
            shard_count: 1,
        }
    }

    pub fn advance_ms(&mut self, millis: u64) {
        self.now += millis;
    }

    pub fn stats(&self) -> ShardStats {
        self.shard.stats()
    }

    /// Runs an inline command and gives its reply's bytes.
    pub fn run_bytes(&mut self, line: &[u8]) -> Vec<u8> {
        let words = quote::split_args(line).expect("the test's quotes are balanced");
        let args: OwnedArgs = words.iter().map(Vec::as_slice).collect();
        self.run_args(args.as_args())
    }

    pub fn run_args(&mut self, args: Args<'_>) -> Vec<u8> {
        let Lookup::Found(row) = table().lookup(args.at(0), args.get(1)) else {
            panic!("no such command: {args:?}");
        };
        assert!(row.arity_allows(args.len()), "arity of {args:?}");
        let mut out = Vec::new();
        let mut context = Context {
            shard: &mut self.shard,
            db_index: self.db_index,
            now: self.now,
            config: &self.config,
            reply: Reply::new(&mut out, self.encoding),
            shard_index: self.shard_index,
            shard_count: self.shard_count,
        };
        let outcome = match row.handler {
            Handler::Keyed(run, _)
            | Handler::EveryShard(run, _)
            | Handler::Cursor(run)
            | Handler::Anywhere(run) => run(&mut context, args),
            Handler::Engine(_) | Handler::Container => panic!("{} runs elsewhere", row.name),
        };
        if let Err(error) = outcome {
            out.clear();
            Reply::new(&mut out, self.encoding).error_bytes(&error.message());
        }
        out
    }

    /// As [`Server::run_bytes`], with a space for every line break but the last, which is left
    /// out, and bytes that are not printable escaped.
    pub fn run(&mut self, line: &str) -> String {
        let bytes = self.run_bytes(line.as_bytes());
        let text = bytes.strip_suffix(b"\r\n").expect("replies end with a line break");
        let mut shown = String::new();
        for &byte in text {
            match byte {
                b'\r' => {}
                b'\n' => shown.push(' '),
                b' '..=b'~' => shown.push(char::from(byte)),
                _ => shown.push_str(&format!("\\x{byte:02x}")),
            }
        }
        shown
    }

    /// Runs the commands one after the other; their replies must be as [`Server::run`] writes them.
    #[track_caller]
    pub fn check(&mut self, cases: &[(&str, &str)]) {
        for (line, expected) in cases {
            assert_eq!(&self.run(line), expected, "reply to {line}");
        }
    }
}

pub fn words(line: &[&str]) -> OwnedArgs {
    line.iter().map(|word| word.as_bytes()).collect()
}

/// What a command answers on an empty shard, byte for byte.
pub fn reply(line: &[&str], version: Version) -> String {
    let bytes =
        Server { encoding: version.into(), ..Server::new() }.run_args(words(line).as_args());
    String::from_utf8(bytes).expect("the replies of these tests are text")
}

/// The error that a parsing function answers a line with.
pub fn parse_error(
    parse: for<'a> fn(Args<'a>) -> Result<Operation<'a>, CommandError>,
    line: &[&str],
) -> String {
    let args = words(line);
    match parse(args.as_args()) {
        Ok(operation) => panic!("{line:?} was taken for {operation:?}"),
        Err(error) => String::from_utf8_lossy(&error.message()).into_owned(),
    }
}
