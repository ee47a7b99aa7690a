//! MULTI, EXEC and WATCH over several shards.

use std::collections::BTreeMap;

use crate::history::{Value, command, mget, mset, multi, random_command, values};
use crate::world::{Rng, World};
use crate::{for_each_seed, same_replies_on_one_and_four_shards};

/// By their hash slots on different shards of four, most of them.
const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn set(key: &str, value: &str) -> Vec<u8> {
    command(&["SET", key, value])
}

/// What makes an EXEC run its commands one after the other.
fn odd_command(rng: &mut Rng) -> Vec<u8> {
    match rng.below(6) {
        0 => command(&["SELECT", "0"]),
        1 => command(&["CLIENT", "LIST"]),
        2 => command(&["DBSIZE"]),
        3 => command(&["CONFIG", "SET", "timeout", "0"]),
        4 => command(&["COPY", "a", "other"]),
        _ => command(&["SCAN", "0"]),
    }
}

/// Commands in an EXEC, sometimes with one more that it cannot run in parts.
fn exec(rng: &mut Rng, mut commands: Vec<Vec<u8>>) -> Vec<u8> {
    if rng.below(3) == 0 {
        let at = rng.below(commands.len() + 1);
        commands.insert(at, odd_command(rng));
    }
    multi(&commands)
}

/// One client's pipeline gets the same replies from four shards as from one.
#[test]
fn one_client_cannot_tell_how_many_shards_run_its_transactions() {
    for_each_seed(|seed| {
        let mut rng = Rng::new(seed);
        let mut commands: Vec<Vec<u8>> = Vec::new();
        for _ in 0..150 {
            let key = KEYS[rng.below(5)];
            commands.push(match rng.below(16) {
                0 => command(&["MULTI"]),
                1..3 => command(&["EXEC"]),
                3 => command(&["DISCARD"]),
                4 => command(&["WATCH", key]),
                5 => command(&["WATCH", key, "b", "c"]),
                6 => command(&["UNWATCH"]),
                7 => command(&["SELECT", ["0", "3"][rng.below(2)]]),
                8 => command(&["SWAPDB", "0", "3"]),
                9 => command(&["FLUSHDB"]),
                10 => command(&["NOSUCH"]),
                11 => multi(&[set(key, "1"), command(&["INCR", key]), mget(&KEYS)]),
                12 => multi(&[set(key, "1"), set("b", "x"), command(&["INCR", "b"])]),
                _ => random_command(&mut rng),
            });
        }
        let one = same_replies_on_one_and_four_shards(seed, &commands);
        assert!(values(&one).len() >= commands.len());
    });
}

/// EXECs write the same value to all keys; nobody sees two values, whichever way he looks.
#[test]
fn nobody_sees_half_of_an_exec() {
    for_each_seed(|seed| {
        let shards = if seed.is_multiple_of(4) { 1 } else { 4 };
        let mut world = World::new(shards, seed);
        let mut rng = Rng::new(seed);
        world.preload(&KEYS, "0");
        let clients: Vec<usize> = (0..6).map(|core| world.connect(core % shards)).collect();
        for round in 0..20 {
            for &client in &clients {
                let value = format!("{client}-{round}");
                let sets = || KEYS.map(|key| set(key, &value)).to_vec();
                let request = match rng.below(8) {
                    0..2 => exec(&mut rng, sets()),
                    2 => [command(&["WATCH", "a", "c"]), exec(&mut rng, sets())].concat(),
                    3 => exec(&mut rng, vec![mset(&KEYS, &value)]),
                    4 => mset(&KEYS, &value),
                    5 => exec(&mut rng, KEYS.map(|key| command(&["GET", key])).to_vec()),
                    6 => multi(&[mget(&KEYS), command(&["PING"])]),
                    _ => mget(&KEYS),
                };
                world.send(client, &request);
            }
            world.run_some();
        }
        world.run_until_idle();
        let mut seen = 0;
        for client in clients {
            for value in values(&world.received(client)) {
                seen += assert_whole(&value);
            }
        }
        assert!(seen > 0, "nobody saw all values");
    });
}

/// All values of one array are the same; returns how many there were.
fn assert_whole(value: &Value) -> usize {
    let mut seen: Vec<&str> = Vec::new();
    let mut arrays = vec![value];
    while let Some(array) = arrays.pop() {
        for item in array.items() {
            match item {
                // CLIENT LIST's lines and SCAN's pages are no values.
                Value::Bulk(text) if text.contains('-') && text.len() < 8 => seen.push(text),
                Value::Array(_) => arrays.push(item),
                _ => {}
            }
        }
    }
    assert!(seen.iter().all(|text| *text == seen[0]), "torn: {value:?}");
    seen.len()
}

/// FLUSHALL and what follows it in one EXEC are one.
#[test]
fn whole_databases_take_part_in_an_exec() {
    for_each_seed(|seed| {
        let mut world = World::new(3, seed);
        let mut rng = Rng::new(seed);
        let clients: Vec<usize> = (0..6).map(|core| world.connect(core % 3)).collect();
        for _ in 0..15 {
            for &client in &clients {
                let request = match rng.below(4) {
                    0 => multi(&[
                        command(&["FLUSHALL"]),
                        set("a", "1"),
                        command(&["RENAME", "a", "c"]),
                        set("d", "1"),
                        command(&["DBSIZE"]),
                        command(&["MGET", "a", "c", "d"]),
                    ]),
                    1 => mset(&KEYS, "other"),
                    2 => set(KEYS[rng.below(5)], "other"),
                    _ => multi(&[command(&["DEL", "a"]), set("b", "other")]),
                };
                world.send(client, &request);
            }
            world.run_some();
        }
        world.run_until_idle();
        let one = || Value::Bulk("1".to_owned());
        let expected = Value::Array(vec![
            Value::ok(),
            Value::ok(),
            Value::ok(),
            Value::ok(),
            Value::Line(":2".to_owned()),
            Value::Array(vec![Value::Null, one(), one()]),
        ]);
        let mut seen = 0;
        for client in clients {
            for value in values(&world.received(client)) {
                if value.items().len() == 6 {
                    assert_eq!(value, expected);
                    seen += 1;
                }
            }
        }
        assert!(seen > 0, "no EXEC was answered");
    });
}

/// What a client that counts with WATCH does next.
enum Counting {
    Begins,
    /// These counters are watched and have been asked for.
    Reads(Vec<&'static str>),
    Writes(Vec<&'static str>),
}

/// Counters read under WATCH and written in EXEC lose no step, whatever shards they are on and
/// whoever else counts.
#[test]
fn watched_counters_lose_nothing() {
    for_each_seed(|seed| {
        let mut world = World::new(4, seed);
        let mut rng = Rng::new(seed);
        let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
        let mut clients: Vec<(usize, Counting)> =
            (0..6).map(|core| (world.connect(core % 4), Counting::Begins)).collect();
        let other = world.connect(1);
        let (mut done, mut in_vain) = (0, 0);
        for _ in 0..300 {
            if rng.below(20) == 0 {
                let key = KEYS[rng.below(3)];
                *counted.entry(key).or_default() += 1;
                world.send(other, &command(&["INCR", key]));
            }
            for (client, counting) in &mut clients {
                match std::mem::replace(counting, Counting::Begins) {
                    Counting::Begins => {
                        let from = rng.below(3);
                        let keys = KEYS[from..=from + rng.below(3 - from)].to_vec();
                        world.send(*client, &command(&[&["WATCH"], &keys[..]].concat()));
                        let ask = |key: &&str| world.send(*client, &command(&["GET", key]));
                        keys.iter().for_each(ask);
                        *counting = Counting::Reads(keys);
                    }
                    Counting::Reads(keys) => {
                        let replies = world.peek(*client);
                        if replies.len() <= keys.len() {
                            *counting = Counting::Reads(keys);
                            continue;
                        }
                        world.received(*client);
                        let write = |(key, value): (&&str, &Value)| {
                            let value = match value {
                                Value::Bulk(text) => text.parse().expect("a number"),
                                _ => 0u64,
                            };
                            set(key, &(value + 1).to_string())
                        };
                        let writes = keys.iter().zip(&replies[1..]).map(write).collect();
                        world.send(*client, &exec(&mut rng, writes));
                        *counting = Counting::Writes(keys);
                    }
                    Counting::Writes(keys) => match world.peek(*client).last() {
                        Some(Value::Array(_)) => {
                            world.received(*client);
                            keys.iter().for_each(|key| *counted.entry(key).or_default() += 1);
                            done += 1;
                        }
                        Some(Value::Null) => {
                            world.received(*client);
                            in_vain += 1;
                        }
                        _ => *counting = Counting::Writes(keys),
                    },
                }
            }
            world.run_some();
        }
        world.run_until_idle();
        for (client, counting) in clients {
            if let Counting::Writes(keys) = counting
                && let Some(Value::Array(_)) = world.peek(client).last()
            {
                keys.iter().for_each(|key| *counted.entry(key).or_default() += 1);
            }
        }
        let reader = world.connect(0);
        for (key, count) in counted {
            let value = world.ask(reader, &command(&["GET", key]), 1);
            assert_eq!(value, [Value::Bulk(count.to_string())], "{key}");
        }
        assert!(done > 10 && in_vain > 0, "{done} done, {in_vain} in vain");
    });
}

/// EXEC does nothing if and only if a watched key was changed between the reply to WATCH and EXEC,
/// as clients see it: not by what was answered before WATCH was sent.
#[test]
fn a_watch_breaks_exactly_when_a_key_changes() {
    /// On keys "a" (there) and "n" (not there).
    const CHANGES: [&[&str]; 14] = [
        &["SET", "a", "v"],
        &["APPEND", "a", ""],
        &["DEL", "b", "a"],
        &["RENAME", "a", "c"],
        &["RENAME", "c", "a"],
        &["COPY", "c", "a", "REPLACE"],
        &["MSET", "b", "1", "a", "1", "c", "1"],
        &["EXPIRE", "a", "100"],
        &["FLUSHALL"],
        &["SWAPDB", "0", "1"],
        &["SET", "n", "1"],
        &["COPY", "b", "n"],
        &["RENAMENX", "b", "n"],
        &["MSETNX", "n", "1", "m", "1"],
    ];
    const NO_CHANGES: [&[&str]; 12] = [
        &["GET", "a"],
        &["SETNX", "a", "1"],
        &["DEL", "n"],
        &["RENAMENX", "c", "a"],
        &["COPY", "c", "a"],
        &["COPY", "a", "other"],
        &["RENAME", "a", "a"],
        &["MSETNX", "n", "1", "b", "1"],
        &["PERSIST", "a"],
        &["SETRANGE", "a", "0", ""],
        &["SWAPDB", "1", "2"],
        &["MSET", "b", "1", "c", "1", "d", "1"],
    ];
    for_each_seed(|seed| {
        let mut world = World::new(4, seed);
        let mut rng = Rng::new(seed);
        let (watching, changing) = (world.connect(rng.below(4)), world.connect(rng.below(4)));
        world.ask(changing, &mset(&["a", "b", "c"], "v"), 1);
        let run = |world: &mut World, rng: &mut Rng, line: &[&str]| {
            if rng.below(2) == 0 {
                world.ask(changing, &command(line), 1);
            } else {
                world.ask(changing, &multi(&[command(line), command(&["GET", "e"])]), 4);
            }
        };
        let changes = rng.below(2) == 0;
        let line =
            if changes { CHANGES[rng.below(CHANGES.len())] } else { NO_CHANGES[rng.below(12)] };
        // Done and answered, perhaps still under way between the shards.
        let before = NO_CHANGES[rng.below(12)];
        run(&mut world, &mut rng, before);
        run(&mut world, &mut rng, &["RENAME", "c", "a"]);
        run(&mut world, &mut rng, &["COPY", "a", "c"]);
        assert_eq!(world.ask(watching, &command(&["WATCH", "a", "n"]), 1), [Value::ok()]);
        run(&mut world, &mut rng, line);
        let body = match rng.below(3) {
            0 => vec![command(&["PING"])],
            1 => vec![set("a", "mine"), set("n", "mine"), set("d", "mine")],
            _ => vec![command(&["SELECT", "0"]), set("b", "mine")],
        };
        let reply = world.ask(watching, &multi(&body), body.len() + 2).pop();
        let broken = reply == Some(Value::Null);
        assert_eq!(broken, changes, "{line:?}: {reply:?}");
    });
}

/// A key that expires counts as changed, one that had expired before WATCH does not.
#[test]
fn expiry_breaks_a_watch() {
    for_each_seed(|seed| {
        for (before_ms, after_ms, broken) in [(0, 0, false), (0, 5, true), (5, 5, false)] {
            let mut world = World::new(4, seed);
            let client = world.connect(seed as usize % 4);
            for key in KEYS {
                world.send(client, &command(&["SET", key, "v", "PX", "5"]));
            }
            world.run_until_idle();
            world.received(client);
            world.wait_ms(before_ms);
            world.ask(client, &command(&["WATCH", "a", "b"]), 1);
            world.wait_ms(after_ms);
            let reply = world.ask(client, &multi(&[command(&["PING"])]), 3).pop();
            assert_eq!(reply == Some(Value::Null), broken, "{before_ms} {after_ms}");
        }
    });
}

/// Clients that vanish in the middle of an EXEC leave all of it or nothing, and nothing else.
#[test]
fn an_exec_is_whole_even_if_its_client_vanishes() {
    for_each_seed(|seed| {
        let shards = if seed.is_multiple_of(3) { 1 } else { 3 };
        let mut world = World::new(shards, seed);
        let mut rng = Rng::new(seed);
        world.preload(&KEYS, "0");
        for round in 0..10 {
            let leaving = world.connect(round % shards);
            let value = format!("{round}");
            if rng.below(2) == 0 {
                world.send(leaving, &command(&["WATCH", "a", "n", "d"]));
            }
            let sets = KEYS.map(|key| set(key, &value)).to_vec();
            world.send(leaving, &exec(&mut rng, sets));
            world.send(leaving, &command(&["WATCH", "b", "c"]));
            world.run_some();
            world.run_some();
            world.disconnect(leaving);
            if rng.below(3) == 0 {
                let looking = world.connect(rng.below(shards));
                let seen = world.ask(looking, &mget(&KEYS), 1);
                assert!(seen[0].items().iter().all(|item| *item == seen[0].items()[0]), "{seen:?}");
            }
        }
        world.run_until_idle();
        let last = world.connect(0);
        let seen = world.ask(last, &mget(&KEYS), 1);
        assert!(seen[0].items().iter().all(|item| *item == seen[0].items()[0]), "{seen:?}");
    });
}

/// CLIENT KILL of its own client does not cut an EXEC short.
#[test]
fn an_exec_that_kills_its_client_ends_all_the_same() {
    for shards in [1, 4] {
        let mut world = World::new(shards, 1);
        let client = world.connect(0);
        let kill = command(&["CLIENT", "KILL", "ID", "1", "SKIPME", "no"]);
        world.send(client, &multi(&[set("a", "1"), kill, set("b", "1"), set("c", "1")]));
        world.run_until_idle();
        let replies = values(&world.received(client));
        let ran = [Value::ok(), Value::Line(":1".to_owned()), Value::ok(), Value::ok()];
        assert_eq!(replies.last(), Some(&Value::Array(ran.to_vec())), "{replies:?}");
        assert!(!world.is_open(client));
        let other = world.connect(0);
        let one = Value::Bulk("1".to_owned());
        let all = world.ask(other, &mget(&["a", "b", "c"]), 1);
        assert_eq!(all[0].items(), [one.clone(), one.clone(), one]);
    }
}

/// CLIENT LIST shows who is in a transaction and whose watches are broken, from any core.
#[test]
fn client_list_shows_transactions() {
    let mut world = World::new(4, 1);
    let (client, other) = (world.connect(0), world.connect(1));
    let list = command(&["CLIENT", "LIST", "ID", "1"]);
    let line = |world: &mut World| match world.ask(other, &list, 1).pop() {
        Some(Value::Bulk(line)) => line,
        other => panic!("{other:?}"),
    };
    let shown = line(&mut world);
    assert!(shown.contains(" flags=U ") && shown.contains(" multi=-1 "), "{shown}");
    world.ask(client, &command(&["WATCH", "a", "b", "c"]), 1);
    world.ask(client, &[command(&["MULTI"]), set("a", "1")].concat(), 2);
    let shown = line(&mut world);
    assert!(shown.contains(" flags=xU ") && shown.contains(" multi=1 "), "{shown}");
    world.ask(other, &set("c", "1"), 1);
    world.run_until_idle();
    let shown = line(&mut world);
    assert!(shown.contains(" flags=xdU ") && shown.contains(" multi=1 "), "{shown}");
    assert_eq!(world.ask(client, &command(&["EXEC"]), 1), [Value::Null]);
    let shown = line(&mut world);
    assert!(shown.contains(" flags=U ") && shown.contains(" multi=-1 "), "{shown}");
}

/// A pause of writes holds back an EXEC that writes, and no other.
#[test]
fn a_pause_of_writes_holds_back_an_exec_that_writes() {
    let mut world = World::new(2, 1);
    let (writes, reads, pauses) = (world.connect(0), world.connect(0), world.connect(1));
    world.ask(writes, &[command(&["MULTI"]), set("a", "1")].concat(), 2);
    world.ask(reads, &[command(&["MULTI"]), command(&["GET", "a"])].concat(), 2);
    world.ask(pauses, &command(&["CLIENT", "PAUSE", "60000", "WRITE"]), 1);
    world.send(writes, &command(&["EXEC"]));
    assert_eq!(world.ask(reads, &command(&["EXEC"]), 1), [Value::Array(vec![Value::Null])]);
    world.run_until_idle();
    assert!(world.received(writes).is_empty());
    world.ask(pauses, &command(&["CLIENT", "UNPAUSE"]), 1);
    world.run_until_idle();
    assert_eq!(world.received(writes), b"*1\r\n+OK\r\n");
}

/// Commands that a client queues and keys that it watches count as what it has sent.
#[test]
fn queued_commands_and_watched_keys_are_bounded() {
    let value = "v".repeat(100_000);
    let requests: [Vec<u8>; 4] = [
        [command(&["MULTI"]), set("a", &value).repeat(20)].concat(),
        [command(&["MULTI"]), command(&["PING"]).repeat(100_000)].concat(),
        command(&["WATCH", &value[..20_000]]).repeat(1),
        (0..20_000).flat_map(|n| command(&["WATCH", &format!("key:{n}")])).collect(),
    ];
    for (n, request) in requests.iter().enumerate() {
        let mut world = World::new(2, n as u64);
        let client = world.connect(0);
        let limit = command(&["CONFIG", "SET", "client-query-buffer-limit", "1mb"]);
        world.ask(client, &limit, 1);
        world.send(client, request);
        world.run_until_idle();
        assert_eq!(world.was_dropped(client), n != 2, "request {n}");
    }
}

/// An EXEC that asks for far more than it sends gets errors in place of what would be too much.
#[test]
fn replies_of_an_exec_are_bounded() {
    const GETS: usize = 30;
    for shards in [1, 4] {
        let (mut world, client) = world_with_low_limits(shards);
        let gets = vec![command(&["GET", "a"]); GETS];
        let replies = world.ask(client, &multi(&gets), GETS + 2);
        let items = replies.last().expect("EXEC's reply").items();
        assert_eq!(items.len(), GETS);
        let values = items.iter().filter(|item| matches!(item, Value::Bulk(_))).count();
        assert!((10..13).contains(&values), "{values} values from {shards} shards");
    }
}

/// One whose commands run in turn may have longer replies if they are read, and is not held up
/// with its locks if they aren't.
#[test]
fn an_exec_in_turn_does_not_wait_for_its_client_to_read() {
    for shards in [1, 4] {
        let (mut world, client) = world_with_low_limits(shards);
        let mut commands = vec![command(&["GET", "a"]); 30];
        commands.insert(0, command(&["DBSIZE"]));
        world.stop_reading(client);
        world.send(client, &multi(&commands));
        world.run_until_idle();
        let other = world.connect(0);
        assert_eq!(world.ask(other, &set("b", "v"), 1), [Value::ok()]);
        let list = world.ask(other, &command(&["CLIENT", "LIST", "ID", "2"]), 1);
        let [Value::Bulk(line)] = list.as_slice() else { panic!("{list:?}") };
        let unsent = line.split(' ').find_map(|field| field.strip_prefix("obl="));
        let unsent: usize = unsent.expect("obl=").parse().expect("a number");
        assert!((1 << 20..(1 << 20) + 200_000).contains(&unsent), "{line}");
    }
}

/// Large values at all keys, a client, and little that it may make the server hold.
fn world_with_low_limits(shards: usize) -> (World, usize) {
    let mut world = World::new(shards, 1);
    world.preload(&KEYS, &"v".repeat(100_000));
    let client = world.connect(0);
    for name in ["proto-max-bulk-len", "client-query-buffer-limit"] {
        world.ask(client, &command(&["CONFIG", "SET", name, "1mb"]), 1);
    }
    (world, client)
}

/// Many clients that hold whole shards vanish together, some while they wait and some while they
/// hold.
#[test]
fn clients_that_vanish_with_whole_shards_leave_no_locks() {
    for_each_seed(|seed| {
        let mut world = World::new(4, seed);
        let mut rng = Rng::new(seed);
        for _ in 0..3 {
            let clients: Vec<usize> = (0..12).map(|core| world.connect(core % 4)).collect();
            for &client in &clients {
                let scan = [command(&["SCAN", "0"]), command(&["PING"])];
                let watch = command(&["WATCH", "a", "b", "c"]);
                let quit = command(&["QUIT"]);
                world.send(client, &[multi(&scan), watch, quit].concat());
            }
            for client in clients {
                world.run_some();
                match rng.below(4) {
                    0 => {}
                    1 => world.replace(client),
                    _ => world.disconnect(client),
                }
            }
        }
        let last = world.connect(0);
        assert_eq!(world.ask(last, &command(&["DBSIZE"]), 1), [Value::Line(":0".to_owned())]);
    });
}
