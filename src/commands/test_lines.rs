//! What the unit tests of the command families share.

use super::{CommandError, Context, Operation, Outcome};
use crate::config::Config;
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::resp::{Reply, Version};
use crate::store::Shard;

/// A moment in 2033; far from both ends of the range.
pub const NOW: u64 = 2_000_000_000_000;

pub fn words(line: &[&str]) -> OwnedArgs {
    line.iter().map(|word| word.as_bytes()).collect()
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

/// What a handler replies on an empty shard, an error as its line.
pub fn reply(
    handler: fn(&mut Context<'_>, Args<'_>) -> Outcome,
    line: &[&str],
    version: Version,
) -> String {
    reply_on(&mut Shard::new(1), handler, line, version)
}

pub fn reply_on(
    shard: &mut Shard,
    handler: fn(&mut Context<'_>, Args<'_>) -> Outcome,
    line: &[&str],
    version: Version,
) -> String {
    let config = Config::default();
    let mut out = Vec::new();
    let args = words(line);
    let mut context = Context {
        shard,
        db_index: 0,
        now: NOW,
        config: &config,
        reply: Reply::new(&mut out, version),
        shard_index: 0,
        shard_count: 1,
    };
    if let Err(error) = handler(&mut context, args.as_args()) {
        context.reply.truncate(0);
        context.reply.error_bytes(&error.message());
    }
    String::from_utf8(out).expect("the replies of these tests are text")
}
