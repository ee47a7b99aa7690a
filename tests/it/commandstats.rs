//! INFO's counts of calls, refusals and failures, by command, against those of redis-server.

use std::collections::{BTreeMap, BTreeSet};

use libtest_mimic::Trial;

use crate::support::server::info;
use crate::support::{Need, Server, on_one_and_four_shards};

pub fn trials() -> Vec<Trial> {
    on_one_and_four_shards("commandstats", &[Need::RedisServer], &[("count_as_redis", counts)])
}

/// The ways to end: done, refused before it ran, failed in the handler, failed in an operation of
/// the engine; outside and inside of transactions; on one shard and on several.
const LINES: [&str; 43] = [
    "MSET a 1 b 2 c 3 d 4",
    "MGET a b c d e f g h",
    "MGET a b",
    "DEL a b",
    "EXISTS a b c",
    "DBSIZE",
    "KEYS *",
    "MSETNX a 1 x 2 y 3",
    "RENAME a y",
    "FLUSHALL",
    "SET k v",
    "GET k",
    "INCR k",
    "SET k",
    "MSET a 1 b",
    "MSETNX a 1 b 2 c",
    "RENAME nosuch other",
    "COPY k k",
    "SCAN nosuch",
    "PING",
    "PING a b",
    "OBJECT FREQ k",
    "OBJECT nosuch k",
    "COMMAND COUNT",
    "CONFIG SET nosuch 1",
    "CONFIG SET maxclients",
    "CONFIG REWRITE",
    "SELECT 99",
    "SELECT x",
    "AUTH wrong",
    "HELLO 9",
    "CLIENT LIST TYPE nosuch",
    "CLIENT KILL TYPE nosuch",
    "CLIENT NO-EVICT maybe",
    "EXEC",
    "DISCARD",
    "MULTI",
    "CONFIG SET nosuch 1",
    "INCR k",
    "SELECT 99",
    "EXEC",
    "WATCH k",
    "UNWATCH",
];

/// `calls`, `rejected_calls` and `failed_calls` of a command.
type Counts = [String; 3];

fn count(server: &Server) -> BTreeMap<String, Counts> {
    let mut client = server.connect();
    for line in LINES {
        client.run(line);
    }
    let mut counts: BTreeMap<_, _> = info(&mut client, "commandstats")
        .into_iter()
        .map(|(command, fields)| (command, parse(&fields)))
        .collect();
    // Ringwell counts a call when it begins, Redis when it has ended.
    counts.remove("cmdstat_info");
    counts
}

fn parse(fields: &str) -> Counts {
    ["calls", "rejected_calls", "failed_calls"].map(|wanted| {
        let mut pairs = fields.split(',').filter_map(|field| field.split_once('='));
        let pair = pairs.find(|(name, _)| *name == wanted);
        pair.unwrap_or_else(|| panic!("no {wanted} in {fields}")).1.to_string()
    })
}

fn counts(shards: usize) {
    let theirs = count(&Server::redis(&[]));
    let ours = count(&Server::ringwell(shards, &[]));
    let commands: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let differences: Vec<_> = commands
        .into_iter()
        .map(|command| (command, ours.get(command), theirs.get(command)))
        .filter(|(_, ours, theirs)| ours != theirs)
        .collect();
    assert!(differences.is_empty(), "Ringwell's and Redis's: {differences:?}");
}
