//! The order of one connection's commands, where it is kept without waiting and where it is not.

use ringwell::txn::{Fault, shard_of_key};

use crate::history::{command, mset};
use crate::world::World;

const SHARDS: usize = 3;
/// Passes after which a core that runs alone has certainly taken all there is.
const MANY: usize = 60;
/// Where core 0 has to be apart: the two others have a thread each, or one together.
const THREADS: [[usize; SHARDS]; 2] = [[0, 1, 2], [0, 1, 1]];

/// So many keys of a shard.
fn keys_of(shard: usize, count: usize) -> Vec<String> {
    let names = (0..).map(|n| format!("k{n}"));
    names.filter(|key| shard_of_key(key.as_bytes(), SHARDS) == shard).take(count).collect()
}

fn text(world: &mut World, client: usize) -> String {
    String::from_utf8(world.received(client)).expect("replies are text here")
}

/// A GET that waits for a lock is still ahead of the MSET behind it, although nothing locks what
/// that sets: whoever saw MSET's effect could look for what GET has yet to wait for, and not find
/// it.
pub fn several_keys_wait_for_who_waits(seed: u64, fault: Option<Fault>) -> Result<(), String> {
    let keys = keys_of(1, 4);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let elsewhere = keys_of(0, 1);
    let mut world = World::on_threads(&THREADS[seed as usize / 2 % 2], seed);
    if let Some(fault) = fault {
        world.plant(fault);
    }
    let core = 1 + seed as usize % 2;
    let (writer, client, observer) = (world.connect(2), world.connect(core), world.connect(1));
    // Core 0 does not run, so this one does not end, and its lock at shard 1 stays.
    world.send(writer, &mset(&[keys[0], &elsewhere[0]], "w"));
    world.run_only(2, MANY);
    world.run_only(1, MANY);
    let scan = command(&["SCAN", "1"]);
    let fence = if seed % 8 < 2 { scan } else { mset(&keys[1..3], "m") };
    let pipeline = [command(&["GET", keys[0]]), fence, command(&["SET", keys[3], "s"])].concat();
    world.send(client, &pipeline);
    for _ in 0..3 {
        world.run_only(core, MANY);
        world.run_only(1, MANY);
    }
    let early = text(&mut world, client);
    for key in &keys[1..] {
        world.send(observer, &command(&["GET", key]));
    }
    world.run_only(1, MANY);
    // Nothing yet, or no answer yet.
    let seen = text(&mut world, observer);
    world.run_until_idle();
    let replies = text(&mut world, client);
    world.end();
    if !early.is_empty() || !seen.replace("$-1\r\n", "").is_empty() {
        return Err(format!("before GET was done: {early:?} and {seen:?}"));
    }
    match replies.starts_with("$1\r\nw\r\n") && replies.ends_with("+OK\r\n") {
        true => Ok(()),
        false => Err(replies),
    }
}

#[test]
fn commands_on_several_keys_wait_for_those_that_wait_for_locks() {
    for seed in 0..40 {
        assert_eq!(several_keys_wait_for_who_waits(seed, None), Ok(()), "seed {seed}");
    }
}

/// Where all commands go to one shard nothing waits: one journey there and back is enough.
#[test]
fn pipelines_of_one_shard_are_one_batch() {
    let keys = keys_of(1, 3);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for core in 0..2 {
        let mut world = World::still(SHARDS, 1);
        let client = world.connect(core);
        let mut pipeline = Vec::new();
        for _ in 0..10 {
            pipeline.extend(mset(&keys, "v"));
            pipeline.extend(command(&["GET", keys[2]]));
        }
        world.send(client, &pipeline);
        world.run_only(core, MANY);
        world.run_only(1, MANY);
        world.run_only(core, MANY);
        assert_eq!(text(&mut world, client), "+OK\r\n$1\r\nv\r\n".repeat(10), "core {core}");
    }
}

/// Commands with one key each do not wait for each other either, whatever their shards.
#[test]
fn pipelines_of_single_keys_are_one_batch_for_each_shard() {
    let keys: Vec<String> = (0..SHARDS).flat_map(|shard| keys_of(shard, 1)).collect();
    let mut world = World::still(SHARDS, 1);
    let client = world.connect(0);
    for _ in 0..10 {
        for key in &keys {
            world.send(client, &command(&["INCR", key]));
        }
    }
    for core in [0, 1, 2, 0] {
        world.run_only(core, MANY);
    }
    let expected: String = (1..=10).map(|n| format!(":{n}\r\n").repeat(SHARDS)).collect();
    assert_eq!(text(&mut world, client), expected);
}

/// Where a command has to wait it is decoded again, an inline one too.
#[test]
fn commands_that_wait_are_run_once() {
    let keys: Vec<String> = (0..SHARDS).map(|shard| keys_of(shard, 1).remove(0)).collect();
    let (a, b, c) = (&keys[0], &keys[1], &keys[2]);
    for seed in 0..100 {
        let mut world = World::new(SHARDS, seed);
        let client = world.connect(seed as usize % SHARDS);
        for _ in 0..5 {
            world.send(client, format!("INCR {a}\r\nINCR {b}\r\nMGET {a} {b}\r\n").as_bytes());
            world.send(client, &command(&["INCR", c]));
            world.send(client, format!("EXISTS {c} {c}\r\nDBSIZE\r\n").as_bytes());
        }
        world.run_until_idle();
        let round =
            |n| format!(":{n}\r\n:{n}\r\n*2\r\n$1\r\n{n}\r\n$1\r\n{n}\r\n:{n}\r\n:2\r\n:3\r\n");
        let expected: String = (1..=5).map(round).collect();
        assert_eq!(text(&mut world, client), expected, "seed {seed}");
    }
}

/// As above for a command that may wait for data.
#[test]
fn a_pop_waits_for_what_waits_for_locks() {
    let keys = keys_of(1, 3);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let elsewhere = keys_of(0, 1);
    for (seed, core) in (0..20).flat_map(|seed| [(seed, 2), (seed, 1)]) {
        let mut world = World::on_threads(&THREADS[seed as usize % 2], seed);
        let (writer, client, observer) = (world.connect(2), world.connect(core), world.connect(1));
        world.ask(observer, &command(&["RPUSH", keys[1], "p"]), 1);
        // Core 0 does not run, so this one does not end, and its lock at shard 1 stays.
        world.send(writer, &mset(&[keys[0], &elsewhere[0]], "w"));
        world.run_only(2, MANY);
        world.run_only(1, MANY);
        let pop = command(&["BLPOP", keys[1], keys[2], "0"]);
        world.send(client, &[command(&["GET", keys[0]]), pop].concat());
        for _ in 0..3 {
            world.run_only(core, MANY);
            world.run_only(1, MANY);
        }
        assert_eq!(text(&mut world, client), "");
        world.send(observer, &command(&["LINDEX", keys[1], "0"]));
        world.run_only(1, MANY);
        // Still there, or no answer yet.
        let seen = text(&mut world, observer);
        assert_eq!(seen.replace("$1\r\np\r\n", ""), "", "seed {seed}, core {core}");
        world.run_until_idle();
        assert!(text(&mut world, client).starts_with("$1\r\nw\r\n*2\r\n"));
    }
}
