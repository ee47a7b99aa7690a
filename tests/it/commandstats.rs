//! INFO's counts of calls, refusals and failures, by command, against those of redis-server.

use std::collections::{BTreeMap, BTreeSet};

use libtest_mimic::Trial;

use crate::support::server::info;
use crate::support::{Client, Need, Server, on_one_and_four_shards};

pub fn trials() -> Vec<Trial> {
    on_one_and_four_shards(
        "commandstats",
        &[Need::RedisServer],
        &[("count_as_redis", counts), ("latencies_are_shown_as_in_redis", latencies)],
    )
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

/// The percentiles of each command's latencies in microseconds, as INFO names and shows them.
fn percentiles(client: &mut Client) -> BTreeMap<String, Vec<(String, f64)>> {
    let fields = info(client, "latencystats").into_iter();
    let of_command = fields.map(|(name, value)| {
        let command = name.strip_prefix("latency_percentiles_usec_");
        let command = command.unwrap_or_else(|| panic!("{name}:{value}")).to_owned();
        let percentiles = value.split(',').filter(|field| !field.is_empty()).map(|field| {
            let (name, usec) = field.split_once('=').unwrap_or_else(|| panic!("{value}"));
            let decimals = usec.split_once('.').map(|(_, decimals)| decimals.len());
            assert_eq!(decimals, Some(3), "{value}");
            (name.to_owned(), usec.parse().unwrap_or_else(|_| panic!("{value}")))
        });
        (command, percentiles.collect())
    });
    of_command.collect()
}

fn latencies(shards: usize) {
    let (redis, ringwell) = (Server::redis(&[]), Server::ringwell(shards, &[]));
    let (mut theirs, mut ours) = (redis.connect(), ringwell.connect());
    // What the engine itself does is not timed.
    let commands =
        ["SET a 1", "GET a", "MGET a b c d", "DEL a b c", "INCR a", "DBSIZE", "PING", "SET a"];
    let mut shown = Vec::new();
    for client in [&mut theirs, &mut ours] {
        for _ in 0..100 {
            commands.iter().for_each(|line| drop(client.run(line)));
        }
        let first = percentiles(client);
        for (command, percentiles) in &first {
            let names: Vec<&str> = percentiles.iter().map(|(name, _)| &**name).collect();
            assert_eq!(names, ["p50", "p99", "p99.9"], "{command}");
            assert!(percentiles.is_sorted_by(|a, b| a.1 <= b.1), "{command}: {percentiles:?}");
            assert!(percentiles[0].1 > 0.0, "{command}: {percentiles:?}");
        }
        client.command(&["CONFIG", "SET", "latency-tracking-info-percentiles", "75.5 100"]);
        let names: Vec<String> =
            percentiles(client)["get"].iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, ["p75.5", "p100"]);
        client.command(&["CONFIG", "SET", "latency-tracking-info-percentiles", ""]);
        assert_eq!(percentiles(client)["get"], []);
        client.run("CONFIG SET latency-tracking no");
        assert!(percentiles(client).is_empty(), "they are not tracked");
        client.run("ECHO a");
        client.run("CONFIG SET latency-tracking yes");
        let again = percentiles(client);
        assert!(again.contains_key("get") && !again.contains_key("echo"), "{again:?}");
        client.run("CONFIG RESETSTAT");
        client.run("GET a");
        let after = percentiles(client);
        assert!(after.contains_key("get") && !after.contains_key("set"), "{after:?}");
        let known = |command: &String| !command.starts_with("config|") && command != "info";
        shown.push(first.into_keys().filter(known).collect::<BTreeSet<String>>());
    }
    assert_eq!(shown[1], shown[0], "Ringwell's and Redis's");
}
