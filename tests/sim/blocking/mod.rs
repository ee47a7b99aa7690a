//! Clients that wait for data with BLPOP and BLMOVE.

mod workload;

use ringwell::txn::Fault;

use crate::for_each_seed;
use crate::history::{Value, command, multi};
use crate::world::{Rng, World};

pub use workload::run;

/// By their hash slots on different shards of four, most of them.
const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn pop(keys: &[&str], timeout: &str) -> Vec<u8> {
    command(&[&["BLPOP"], keys, &[timeout]].concat())
}

/// Pushes each of these bytes as an element.
fn push(key: &str, bytes: &str) -> Vec<u8> {
    let elements: Vec<&str> = (0..bytes.len()).map(|at| &bytes[at..at + 1]).collect();
    command(&[&["RPUSH", key], &elements[..]].concat())
}

/// Moves the first element to the back of another list, once there is one.
fn pass_on(from: &str, to: &str, timeout: &str) -> Vec<u8> {
    command(&["BLMOVE", from, to, "LEFT", "RIGHT", timeout])
}

fn all_of(key: &str) -> Vec<u8> {
    command(&["LRANGE", key, "0", "-1"])
}

#[test]
fn what_is_pushed_is_taken_once() {
    for_each_seed(|seed| {
        if let Err(text) = run(seed, None) {
            panic!("{text}");
        }
    });
}

/// Who came first is served first, whichever core its connection is on, and a client gets the bytes
/// of one push in order with those before and behind it in the queue.
pub fn first_come_first_served(seed: u64, fault: Option<Fault>) -> Result<(), String> {
    let mut world = World::new(4, seed);
    if let Some(fault) = fault {
        world.plant(fault);
    }
    let mut rng = Rng::new(seed);
    let key = KEYS[rng.below(KEYS.len())];
    let waiting: Vec<usize> = (0..8).map(|_| world.connect(rng.below(4))).collect();
    for &client in &waiting {
        let keys = [KEYS[rng.below(KEYS.len())], key];
        world.send(client, &pop(&keys[rng.below(2)..], "0"));
        world.run_until_idle();
    }
    let pusher = world.connect(rng.below(4));
    for bytes in ["1", "23", "456", "78"] {
        world.send(pusher, &push(key, bytes));
        world.run_some();
    }
    world.run_until_idle();
    let mut outcome = Ok(());
    for (client, byte) in waiting.into_iter().zip('1'..) {
        let expected = Value::Array(vec![Value::Bulk(key.into()), Value::Bulk(byte.into())]);
        let got = world.peek(client);
        if got != [expected] {
            outcome = Err(format!("number {byte} in the queue got {got:?}"));
        }
    }
    world.end();
    outcome
}

#[test]
fn who_came_first_is_served_first() {
    for_each_seed(|seed| {
        if let Err(text) = first_come_first_served(seed, None) {
            panic!("{text}");
        }
    });
}

/// Several connections send bursts on one key in which commands on one shard and on several, that
/// read and that write, stand around a push. Two clients wait at the key, and must both be served.
#[test]
fn a_push_in_a_burst_serves_all_it_can() {
    for_each_seed(|seed| {
        let mut world = World::new(4, seed);
        let mut rng = Rng::new(seed);
        let waiting: Vec<usize> = (0..2).map(|_| world.connect(rng.below(4))).collect();
        for &client in &waiting {
            world.send(client, &pop(&["c"], "0"));
            world.run_until_idle();
        }
        for _ in 0..6 {
            let client = world.connect(rng.below(4));
            let mut burst = vec![
                push("c", "x"),
                command(&["EXISTS", "a", "b", "c"]),
                command(&["DEL", "a", "b", "d"]),
                command(&["MGET", "a", "e", "c"]),
                multi(&[command(&["LLEN", "c"]), command(&["EXISTS", "a", "c"])]),
            ];
            while !burst.is_empty() {
                let next = burst.swap_remove(rng.below(burst.len()));
                world.send(client, &next);
            }
        }
        world.run_until_idle();
        for client in waiting {
            assert_eq!(world.peek(client).len(), 1, "{:?}", world.stored());
        }
        let left = world.stored();
        assert_eq!(left[&(0, "c".to_owned())], "xxxx");
    });
}

/// A push among commands on several shards, one that takes what is there and one that reads it: one
/// release may let several go on. Two clients wait and two bytes are pushed at once, so both are
/// served whatever came first.
pub fn push_among_locks(seed: u64, fault: Option<Fault>) -> Result<(), String> {
    let mut world = World::new(4, seed);
    if let Some(fault) = fault {
        world.plant(fault);
    }
    let mut rng = Rng::new(seed);
    let waiting: Vec<usize> = (0..2).map(|_| world.connect(rng.below(4))).collect();
    for &client in &waiting {
        world.send(client, &pop(&["c"], "0"));
        world.run_until_idle();
    }
    let pushes = match rng.below(3) {
        0 => push("c", "12"),
        1 => multi(&[push("c", "1"), push("c", "2")]),
        _ => multi(&[push("c", "1"), push("a", "3"), push("c", "2")]),
    };
    let reads = command(&[["EXISTS", "TOUCH"][rng.below(2)], "a", "b", "c"]);
    for bytes in [command(&["DEL", "a", "b", "c"]), pushes, reads] {
        let client = world.connect(rng.below(4));
        world.send(client, &bytes);
        world.run_only(rng.below(4), 1);
    }
    world.run_until_idle();
    let unserved = waiting.into_iter().filter(|&client| world.peek(client).is_empty()).count();
    let stored = world.stored();
    world.end();
    world.take_overlooked()?;
    match unserved {
        0 => Ok(()),
        _ => Err(format!("{unserved} clients were not served; left: {stored:?}")),
    }
}

#[test]
fn a_push_among_locks_serves_all_it_can() {
    for_each_seed(|seed| {
        if let Err(text) = push_among_locks(seed, None) {
            panic!("{text}");
        }
    });
}

/// In a MULTI block nobody waits, and nobody can tell how many shards there are.
#[test]
fn in_a_multi_block_nobody_waits() {
    for_each_seed(|seed| {
        let mut rng = Rng::new(seed);
        let mut commands = Vec::new();
        for n in 0..40 {
            let mut key = || KEYS[rng.below(KEYS.len())];
            let (one, two, three) = (key(), key(), key());
            commands.push(multi(&[
                push(one, &(n % 10).to_string()),
                pop(&[two, three], "0"),
                pass_on(three, one, "5"),
                all_of(two),
            ]));
        }
        let one = crate::same_replies_on_one_and_four_shards(seed, &commands);
        assert_eq!(crate::history::values(&one).len(), 40 * 6);
    });
}

/// Who has been killed, as far as the killer knows, gets nothing any more.
#[test]
fn nothing_is_taken_for_who_has_been_killed() {
    for shards in [1, 4] {
        for keys in [&["a"][..], &["a", "b", "c", "d"]] {
            let mut world = World::new(shards, 1);
            let (waiting, killer) = (world.connect(0), world.connect(0));
            world.send(waiting, &pop(keys, "0"));
            world.run_until_idle();
            let name = (waiting + 1).to_string();
            let killed = world.ask(killer, &command(&["CLIENT", "KILL", "ID", &name]), 1);
            assert!(matches!(&killed[..], [Value::Line(one)] if one == ":1"), "{killed:?}");
            world.ask(killer, &push("a", "x"), 1);
            world.run_until_idle();
            let left = world.ask(killer, &all_of("a"), 1);
            assert_eq!(
                left,
                [Value::Array(vec![Value::Bulk("x".into())])],
                "{shards} shards, {keys:?}"
            );
        }
    }
}

/// As redis-server does: BLPOP with a timeout that is no number is a call that has failed.
#[test]
fn a_wrong_timeout_counts_as_a_call_that_failed() {
    let mut world = World::new(4, 1);
    let client = world.connect(0);
    world.ask(client, &pop(&["a"], "soon"), 1);
    let stats = world.ask(client, &command(&["INFO", "commandstats"]), 1);
    let Value::Bulk(stats) = &stats[0] else { panic!("{stats:?}") };
    let line = stats.lines().find(|line| line.starts_with("cmdstat_blpop:"));
    assert!(
        line.is_some_and(|line| line.contains("calls=1,") && line.ends_with("failed_calls=1")),
        "{line:?}"
    );
}

/// The attempt for a client of BLMOVE is under way when its time is over or it is unblocked: what
/// it was told holds.
#[test]
fn an_attempt_under_way_ends_one_way_or_the_other() {
    for_each_seed(|seed| {
        let mut world = World::new(4, seed);
        let mut rng = Rng::new(seed);
        let (waiting, pusher) = (world.connect(rng.below(4)), world.connect(rng.below(4)));
        let asker = world.connect(rng.below(4));
        let popper = world.connect(rng.below(4));
        let behind = command(&["ECHO", "behind"]);
        let waits = pass_on("a", "b", "0.05");
        world.send(waiting, &[waits, behind].concat());
        world.run_until_idle();
        world.send(pusher, &push("a", "x"));
        world.run_some();
        if rng.below(2) == 0 {
            world.send(popper, &command(&["LPOP", "a"]));
        }
        let end = rng.below(4);
        match end {
            0 => world.wait_ms(60),
            1 => {
                let name = (waiting + 1).to_string();
                world.send(asker, &command(&["CLIENT", "UNBLOCK", &name]));
            }
            2 => world.disconnect(waiting),
            _ => world.replace(waiting),
        }
        world.run_until_idle();
        world.wait_ms(60);
        world.run_until_idle();
        world.wait_ms(60);
        world.run_until_idle();
        let got = world.peek(waiting);
        let popped = world.peek(popper);
        let reader = world.connect(0);
        let stored = world.ask(reader, &[all_of("a"), all_of("b")].concat(), 2);
        let there = format!("{popped:?} {stored:?}");
        assert_eq!(there.matches("Bulk(\"x\")").count(), 1, "{there}");
        let moved = stored[1].items() == [Value::Bulk("x".into())];
        match &got[..] {
            [reply, behind] => {
                assert_eq!(*behind, Value::Bulk("behind".into()));
                assert_eq!(matches!(reply, Value::Bulk(_)), moved, "{reply:?}, {there}");
            }
            other => assert!(other.is_empty() && end > 1, "end {end}: {other:?}"),
        }
    });
}

/// Bytes that are only moved stay, however those end who wait to move them.
#[test]
fn what_is_moved_is_never_lost() {
    for_each_seed(|seed| {
        let shards = 1 + seed as usize % 4;
        let mut world = World::new(shards, seed);
        let mut rng = Rng::new(seed);
        let mut movers: Vec<usize> = (0..8).map(|n| world.connect(n % shards)).collect();
        let (pusher, asker) = (world.connect(0), world.connect(shards - 1));
        let mut pushed = 0;
        for _ in 0..80 {
            let at = rng.below(movers.len());
            let id = movers[at];
            match rng.below(12) {
                0 => world.replace(id),
                1 => {
                    world.disconnect(id);
                    movers[at] = world.connect(rng.below(shards));
                }
                2 | 3 => {
                    let name = (id + 1).to_string();
                    world.send(asker, &command(&["CLIENT", "UNBLOCK", &name, "ERROR"]));
                }
                4 => world.wait_ms(15),
                5 => {
                    let (one, two) = (KEYS[rng.below(5)], KEYS[rng.below(5)]);
                    world.send(pusher, &command(&["RENAMENX", one, two]));
                }
                6 | 7 => {
                    world.send(pusher, &push(KEYS[rng.below(5)], "x"));
                    pushed += 1;
                }
                8 => {
                    let commands: Vec<_> =
                        (0..1 + rng.below(3)).map(|_| push(KEYS[rng.below(5)], "x")).collect();
                    pushed += commands.len();
                    world.send(pusher, &multi(&commands));
                }
                _ => {
                    let timeout = ["0", "0.01", "0.02"][rng.below(3)];
                    let (one, two) = (KEYS[rng.below(5)], KEYS[rng.below(5)]);
                    world.send(id, &pass_on(one, two, timeout));
                    if rng.below(4) == 0 {
                        world.send(id, &pop(&["never", "nowhere"], "0.01"));
                    }
                }
            }
            if rng.below(2) == 0 {
                world.run_some();
            }
        }
        for _ in 0..20 {
            world.run_until_idle();
            world.wait_ms(30);
        }
        let reader = world.connect(0);
        let stored = world.ask(reader, &KEYS.map(all_of).concat(), KEYS.len());
        let text = format!("{stored:?}");
        assert_eq!(text.matches('x').count(), pushed, "{text}");
    });
}

/// Whatever command brings a byte, whoever waits gets it; and an emptied database keeps its waiters.
#[test]
fn every_command_that_brings_a_byte_serves() {
    let lines = [
        "LPUSH a x",
        "RPUSH a x y",
        "RENAME s a",
        "RENAMENX s a",
        "COPY s a",
        "COPY s a REPLACE",
        "LMOVE s a LEFT LEFT",
        "RPOPLPUSH s a",
        "BLMOVE s a RIGHT LEFT 0",
        "BRPOPLPUSH s a 0",
    ];
    for shards in [1, 2, 4] {
        for line in lines {
            for waits in ["POP", "MOVE"] {
                for flush in [None, Some("FLUSHALL"), Some("FLUSHDB")] {
                    let mut world = World::new(shards, 1);
                    let (waiting, other) = (world.connect(0), world.connect(shards - 1));
                    world.ask(other, &command(&["SET", "a", ""]), 1);
                    world.ask(other, &command(&["DEL", "a"]), 1);
                    let bytes = match waits {
                        "POP" => pop(&["z", "a"], "0"),
                        _ => pass_on("a", "z", "0"),
                    };
                    world.send(waiting, &bytes);
                    world.run_until_idle();
                    if let Some(flush) = flush {
                        world.ask(other, &command(&["SET", "a", ""]), 1);
                        world.ask(other, &command(&[flush]), 1);
                    }
                    world.ask(other, &push("s", "x"), 1);
                    let words: Vec<&str> = line.split(' ').collect();
                    world.ask(other, &command(&words), 1);
                    world.run_until_idle();
                    let got = world.peek(waiting);
                    assert!(got.len() == 1, "{line} {waits} {flush:?} {shards}: {got:?}");
                }
            }
        }
    }
}

/// CLIENT UNBLOCK says 0 of a client that does not wait. Then it must not wait afterwards.
#[test]
fn who_could_not_be_unblocked_has_been_served() {
    for_each_seed(|seed| {
        let mut world = World::new(4, seed);
        let mut rng = Rng::new(seed);
        let (waiting, pusher) = (world.connect(rng.below(4)), world.connect(rng.below(4)));
        let asker = world.connect(rng.below(4));
        world.send(waiting, &pass_on("a", "b", "0"));
        world.run_until_idle();
        world.send(pusher, &[push("a", "x"), command(&["LPOP", "a"])].concat());
        world.run_some();
        let name = (waiting + 1).to_string();
        let unblocked = world.ask(asker, &command(&["CLIENT", "UNBLOCK", &name]), 1);
        world.run_until_idle();
        let got = world.peek(waiting);
        assert_eq!(got.len(), 1, "seed {seed}: UNBLOCK said {unblocked:?}");
    });
}

/// A push serves who waits before the pusher's next command can take it, as in Redis.
#[test]
fn nobody_overtakes_who_waits_to_move() {
    for_each_seed(|seed| {
        let mut world = World::new(4, seed);
        let mut rng = Rng::new(seed);
        let (waiting, pusher) = (world.connect(rng.below(4)), world.connect(rng.below(4)));
        world.send(waiting, &pass_on("a", "b", "0"));
        world.run_until_idle();
        let mut pushes = 0;
        while world.peek(waiting).is_empty() {
            pushes += 1;
            world.send(pusher, &[push("a", "x"), pop(&["a"], "0.001")].concat());
            world.run_until_idle();
            world.wait_ms(5);
        }
        assert_eq!(pushes, 1, "seed {seed}");
    });
}
