//! DBSIZE and RANDOMKEY: what they promise, and that they hold nobody up and wait for nobody.

use std::collections::BTreeSet;

use ringwell::txn::shard_of_key;

use crate::for_each_seed;
use crate::history::{Value, command, mget, mset, multi, values};
use crate::world::{Rng, World};

const SHARDS: usize = 4;
const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn key_of(shard: usize) -> String {
    let names = (0..).map(|n| format!("k{n}"));
    names.into_iter().find(|key| shard_of_key(key.as_bytes(), SHARDS) == shard).expect("a key")
}

/// A write of one client, and what it leaves of the keys there are.
fn write(rng: &mut Rng, there: &mut BTreeSet<&'static str>) -> Vec<u8> {
    let mut key = || KEYS[rng.below(KEYS.len())];
    let (a, b, c) = (key(), key(), key());
    match rng.below(8) {
        0 | 1 => {
            there.insert(a);
            command(&["SET", a, "v"])
        }
        2 => {
            there.extend([a, b, c]);
            mset(&[a, b, c], "v")
        }
        3 | 4 => {
            there.retain(|key| ![a, b].contains(key));
            command(&["DEL", a, b])
        }
        5 => {
            if there.remove(a) {
                there.insert(b);
            }
            command(&["RENAME", a, b])
        }
        6 => {
            if there.contains(a) && a != b {
                there.insert(b);
            }
            command(&["COPY", a, b, "REPLACE"])
        }
        _ => {
            there.insert(a);
            there.remove(b);
            multi(&[command(&["SET", a, "v"]), command(&["DEL", b])])
        }
    }
}

/// While nobody else writes, a count is exact: everything that was sent before it, however it got
/// there and whatever it waited for, and nothing that was sent behind it.
#[test]
fn dbsize_counts_what_its_connection_did_before_and_nothing_behind() {
    for_each_seed(|seed| {
        let mut world = World::new(SHARDS, seed);
        let mut rng = Rng::new(seed);
        let writer = world.connect(seed as usize % SHARDS);
        let readers: Vec<usize> = (0..SHARDS).map(|core| world.connect(core)).collect();
        let (mut there, mut expected) = (BTreeSet::new(), Vec::new());
        for _ in 0..20 {
            for _ in 0..rng.below(6) {
                let request = write(&mut rng, &mut there);
                world.send(writer, &request);
            }
            let count = Value::Line(format!(":{}", there.len()));
            if rng.below(4) == 0 {
                world.send(writer, &multi(&[command(&["DBSIZE"]), command(&["PING"])]));
                expected.push(Value::Array(vec![count, Value::Line("+PONG".to_owned())]));
            } else {
                world.send(writer, &[command(&["DBSIZE"]), command(&["PING"])].concat());
                expected.push(count);
            }
            // They lock what the writer wants.
            for &reader in &readers {
                let request = match rng.below(4) {
                    0 => command(&["KEYS", "*"]),
                    1 => multi(&[mget(&KEYS), command(&["DBSIZE"])]),
                    _ => mget(&KEYS[rng.below(4)..]),
                };
                world.send(reader, &request);
            }
            world.run_some();
        }
        world.run_until_idle();
        let replies = values(&world.received(writer));
        let pong = Value::Line("+PONG".to_owned());
        let mut counts = Vec::new();
        for (at, reply) in replies.iter().enumerate() {
            match reply {
                reply if reply.items().last() == Some(&pong) => counts.push(reply.clone()),
                reply if *reply == pong => counts.push(replies[at - 1].clone()),
                _ => {}
            }
        }
        assert_eq!(counts, expected);
    });
}

/// Another client's MSET holds keys of three shards all the while.
#[test]
fn a_count_and_a_random_key_wait_for_nobodys_locks() {
    let keys: Vec<String> = (0..SHARDS).map(key_of).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut world = World::still(SHARDS, 1);
    world.preload(&keys[..3], "v");
    let writer = world.connect(0);
    let (counting, choosing, reading) = (world.connect(3), world.connect(3), world.connect(3));
    world.send(writer, &mset(&keys[..3], "w"));
    for core in [0, 1, 2] {
        world.run_only(core, 1);
    }
    world.send(counting, &command(&["DBSIZE"]));
    world.send(choosing, &command(&["RANDOMKEY"]));
    world.send(reading, &mget(&keys));
    for _ in 0..10 {
        // The writer's own core has been told what the others did, and does not get to it.
        for core in [3, 1, 2] {
            world.run_only(core, 1);
        }
    }
    assert_eq!(world.peek(counting), [], "its own part is still to come");
    while world.peek(counting).is_empty() || world.peek(choosing).is_empty() {
        assert!(world.peek(writer).is_empty(), "the MSET is over, and its locks have gone");
        world.run_only(0, 1);
        world.run_only(3, 1);
    }
    assert_eq!(world.received(counting), b":3\r\n");
    let chosen = values(&world.received(choosing));
    assert!(matches!(&chosen[..], [Value::Bulk(key)] if keys[..3].contains(&&**key)), "{chosen:?}");
    world.run_until_idle();
    assert_eq!(world.received(writer), b"+OK\r\n");
    assert_eq!(values(&world.received(reading))[0].items().len(), SHARDS);
}

/// Who counts holds nobody up: a key can be written on a shard that has been counted while another
/// shard has not.
#[test]
fn a_count_holds_nobody_up() {
    let keys: Vec<String> = (0..SHARDS).map(key_of).collect();
    let mut world = World::still(SHARDS, 1);
    let counting = world.connect(0);
    let others: Vec<usize> = (0..3).map(|core| world.connect(core)).collect();
    world.send(counting, &[command(&["DBSIZE"]), command(&["RANDOMKEY"])].concat());
    // The last core does not run, so the count does not end.
    for _ in 0..10 {
        (0..3).for_each(|core| world.run_only(core, 1));
    }
    for (&other, key) in others.iter().zip(&keys) {
        world.send(other, &command(&["SET", key, "v"]));
    }
    (0..3).for_each(|core| world.run_only(core, 10));
    for &other in &others {
        assert_eq!(world.received(other), b"+OK\r\n");
    }
    assert_eq!(world.peek(counting), []);
    world.run_until_idle();
    let replies = values(&world.received(counting));
    assert_eq!(replies[0], Value::Line(":0".to_owned()));
    assert!(matches!(replies[1], Value::Bulk(_)), "it comes behind what was written: {replies:?}");
}

/// Beside other clients' writes a count is the sum of what each shard held at some moment: no less
/// than what was there all the time, and no more than all that was ever there.
#[test]
fn a_count_beside_writers_is_between_what_was_always_and_what_was_ever_there() {
    for_each_seed(|seed| {
        let mut world = World::new(SHARDS, seed);
        let mut rng = Rng::new(seed);
        let (stay, come) = KEYS.split_at(4);
        world.preload(stay, "v");
        let writers: Vec<usize> = (0..3).map(|core| world.connect(core)).collect();
        let readers: Vec<usize> = (0..SHARDS).map(|core| world.connect(core)).collect();
        for _ in 0..15 {
            for &writer in &writers {
                let (a, b) = (come[rng.below(4)], come[rng.below(4)]);
                let request = match rng.below(4) {
                    0 => mset(&[a, b], "w"),
                    1 => command(&["RENAME", a, b]),
                    2 => command(&["SET", stay[rng.below(4)], "w"]),
                    _ => command(&["DEL", a, b]),
                };
                world.send(writer, &request);
            }
            for &reader in &readers {
                world.send(reader, &command(&[["DBSIZE", "RANDOMKEY"][rng.below(2)]]));
            }
            world.run_some();
        }
        world.run_until_idle();
        for &reader in &readers {
            for reply in values(&world.received(reader)) {
                match &reply {
                    Value::Bulk(key) => assert!(KEYS.contains(&&**key), "{reply:?}"),
                    Value::Line(count) => {
                        let count: usize = count[1..].parse().expect("a number");
                        assert!((stay.len()..=KEYS.len()).contains(&count), "{count}");
                    }
                    _ => panic!("{reply:?}"),
                }
            }
        }
    });
}
