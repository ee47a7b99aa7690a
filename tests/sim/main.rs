//! Several engines in one thread under a seeded scheduler: which core runs next, how much of its
//! input it takes in one pass, where requests are cut and which connections move to another core is
//! chosen by the seed, so a failing seed fails again.
//!
//! Every test runs the first [`SEEDS`] seeds, the same ones each time: what was mended stays mended.
//! CI takes [`FRESH_SEEDS`] others besides, derived from the commit that it builds, so that every
//! change searches elsewhere. To take the same ones:
//!
//! ```sh
//! RINGWELL_SIM_FRESH=$(git rev-parse HEAD) cargo test --test sim
//! ```
//!
//! Rare interleavings want a deeper search, of all tests (hours) or of one alone (the one for
//! clients that wait takes half an hour on two cores):
//!
//! ```sh
//! RINGWELL_SIM_SEEDS=100000 cargo test --test sim
//! RINGWELL_SIM_SEEDS=100000 cargo test --test sim what_is_pushed_is_taken_once
//! ```
//!
//! A failure names its seed. Replaying it prints, line by line, which core ran, what it took from
//! its inbox and its clients, and what it sent to whom, up to the failure:
//!
//! ```sh
//! RINGWELL_SIM_SEED=17 cargo test --test sim histories_of_pipelines -- --nocapture
//! ```

mod admin;
#[cfg(debug_assertions)]
mod blocking;
mod bounds;
mod counts;
mod eviction;
/// Faults can only be planted in a build with debug assertions.
#[cfg(debug_assertions)]
mod faults;
mod history;
mod hops;
mod limit;
mod moves;
#[cfg(debug_assertions)]
mod order;
mod serializability;
mod threads;
mod trace;
mod transactions;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use history::{Model, Value};
use world::{Rng, World};

const SEEDS: u64 = 2000;
const FRESH_SEEDS: u64 = 1000;
/// Digits of the commit's name that the fresh seeds are taken from: far beyond the first ones.
const FRESH_DIGITS: usize = 12;

fn number_from(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value} is not a number")))
}

/// The one seed to be run, with its trace printed.
fn replayed_seed() -> Option<u64> {
    number_from("RINGWELL_SIM_SEED")
}

/// The first of the fresh seeds that belong to a commit, named in hexadecimal.
fn first_fresh_seed(commit: &str) -> u64 {
    let digits = commit.get(..FRESH_DIGITS).and_then(|head| u64::from_str_radix(head, 16).ok());
    digits.unwrap_or_else(|| panic!("RINGWELL_SIM_FRESH={commit} is not the name of a commit"))
}

/// The seeds to be run: the first ones, and those of `RINGWELL_SIM_FRESH`.
fn seeds() -> Vec<u64> {
    let first = 0..number_from("RINGWELL_SIM_SEEDS").unwrap_or(SEEDS);
    let fresh = std::env::var("RINGWELL_SIM_FRESH").ok().filter(|commit| !commit.is_empty());
    let fresh = fresh.map(|commit| {
        let first = first_fresh_seed(&commit);
        println!("fresh seeds: {first} and the {} behind it", FRESH_SEEDS - 1);
        first..first + FRESH_SEEDS
    });
    first.chain(fresh.into_iter().flatten()).collect()
}

#[test]
fn fresh_seeds_are_those_of_the_commit() {
    let commit = "0000000abcde5d5ea5e1c0ffee0000000000beef";
    assert_eq!(first_fresh_seed(commit), 0xabcde);
    for wrong in ["", "0abc", "not a commit"] {
        assert!(catch_unwind(|| first_fresh_seed(wrong)).is_err(), "{wrong:?}");
    }
}

/// Runs all seeds, some at a time. The first failure ends it.
fn for_each_seed(run: fn(u64)) {
    if let Some(seed) = replayed_seed() {
        return run(seed);
    }
    let (seeds, next) = (seeds(), AtomicUsize::new(0));
    let work = || {
        loop {
            let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
                next.store(seeds.len(), Ordering::Relaxed);
                let test = std::thread::current().name().unwrap_or_default().to_owned();
                eprintln!(
                    "seed {seed} failed; to replay it:\n\
                     RINGWELL_SIM_SEED={seed} cargo test --test sim {test} -- --exact --nocapture"
                );
                resume_unwind(panic);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().name(test.clone()).spawn_scoped(scope, work);
        let workers: Vec<_> = (0..threads).map(spawn).collect();
        for worker in workers {
            if let Err(panic) = worker.expect("a thread").join() {
                resume_unwind(panic);
            }
        }
    });
}

/// What one client receives, which must not depend on how many shards there are.
fn same_replies_on_one_and_four_shards(seed: u64, commands: &[Vec<u8>]) -> Vec<u8> {
    let replies = |shards: usize| {
        let mut world = World::new(shards, seed);
        let client = world.connect(seed as usize % shards);
        for command in commands {
            world.send(client, command);
        }
        world.run_until_idle();
        world.received(client)
    };
    let (one, four) = (replies(1), replies(4));
    assert_eq!(String::from_utf8_lossy(&one), String::from_utf8_lossy(&four));
    one
}

/// One client's pipeline gets the same replies from four shards as from one.
#[test]
fn one_client_cannot_tell_how_many_shards_there_are() {
    for_each_seed(|seed| {
        let mut rng = Rng::new(seed);
        let commands: Vec<Vec<u8>> = (0..120).map(|_| history::random_command(&mut rng)).collect();
        let one = same_replies_on_one_and_four_shards(seed, &commands);
        assert!(!one.is_empty());
    });
}

/// One value moves between keys of all shards; whoever looks sees it in exactly one place, by any
/// command that looks at all of them.
#[test]
fn a_renamed_key_is_always_in_one_place() {
    for_each_seed(|seed| {
        let mut world = World::new(4, seed);
        let mut rng = Rng::new(seed);
        let keys = ["a", "b", "c", "d", "e"];
        world.preload(&keys[..1], "v");
        let clients: Vec<usize> = (0..6).map(|core| world.connect(core % 4)).collect();
        for _ in 0..20 {
            for &client in &clients {
                let (from, to) = (keys[rng.below(5)], keys[rng.below(5)]);
                let count = history::command(&["DBSIZE"]);
                let command = match rng.below(8) {
                    0..3 => history::command(&["RENAME", from, to]),
                    3 => history::mget(&keys),
                    4 => history::command(&[&["EXISTS"][..], &keys].concat()),
                    5 => history::command(&["KEYS", "*"]),
                    6 => history::multi(&[count]),
                    // By itself it promises less, see `counts`, but it must not get in the way.
                    _ => [history::command(&["ECHO", "so many"]), count].concat(),
                };
                world.send(client, &command);
            }
            world.run_some();
        }
        world.run_until_idle();
        for client in clients {
            let mut replies = history::values(&world.received(client)).into_iter();
            while let Some(reply) = replies.next() {
                match &reply {
                    Value::Array(items) => {
                        // MGET's five values, KEYS's name, EXEC's count.
                        let seen = items.iter().filter(|item| **item != Value::Null);
                        let seen: Vec<&Value> = seen.collect();
                        assert_eq!(seen.len(), 1, "{reply:?}");
                        let is_name = |text: &str| items.len() == 1 && keys.contains(&text);
                        match seen[0] {
                            Value::Bulk(text) => assert!(text == "v" || is_name(text), "{reply:?}"),
                            other => assert_eq!(*other, Value::Line(":1".to_owned())),
                        }
                    }
                    Value::Bulk(_) => {
                        let count = replies.next();
                        let Some(Value::Line(count)) = count else { panic!("{count:?}") };
                        assert!((0..=4).any(|n| *count == format!(":{n}")), "{count}");
                    }
                    // Of RENAME, EXISTS and MULTI.
                    Value::Line(line) => {
                        let known = ["+OK", "-ERR no such key", ":1", "+QUEUED"];
                        assert!(known.contains(&line.as_str()), "{line}");
                    }
                    Value::Null => panic!("a null by itself"),
                }
            }
        }
    });
}

/// A reply that is ready waits for those of a slow shard behind it, but not for long.
#[test]
fn replies_are_not_held_back_for_long() {
    // By their hash slots "b" belongs to the first of two shards, and "a" to the other.
    let (here, there) = (history::command(&["GET", "b"]), history::command(&["GET", "a"]));
    held_back(&[here.clone(), there.clone()].concat(), "$1\r\nx\r\n", "$1\r\nx\r\n");
    let (multi, exec) = (history::command(&["MULTI"]), history::command(&["EXEC"]));
    held_back(
        &[multi, here, there, exec].concat(),
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n",
        "*2\r\n$1\r\nx\r\n$1\r\nx\r\n",
    );
}

/// Sends the pipeline to the first of two shards. What that one answers by itself is to be held back
/// for a while, and to leave then, before the rest.
fn held_back(pipeline: &[u8], first: &str, rest: &str) {
    let mut held = 0;
    for seed in 0..100 {
        let mut world = World::still(2, seed);
        world.preload(&["a", "b"], "x");
        let client = world.connect(0);
        world.send(client, pipeline);
        world.run_only(0, 3);
        // The seed decides whether all of it came together.
        if world.has_unsent(client) || !world.received(client).is_empty() {
            continue;
        }
        held += 1;
        world.wait_ms(3);
        assert_eq!(String::from_utf8(world.received(client)).unwrap(), first);
        world.run_until_idle();
        assert_eq!(String::from_utf8(world.received(client)).unwrap(), rest);
    }
    assert!(held > 0, "no seed held a reply back");
}

/// A client that vanishes in the middle leaves nothing locked: the others go on.
#[test]
fn clients_that_vanish_leave_no_locks() {
    for_each_seed(|seed| {
        let mut world = World::new(3, seed);
        let keys = ["a", "b", "c", "d", "e"];
        world.preload(&keys, "0");
        for round in 0..10 {
            let leaving = world.connect(round % 3);
            world.send(leaving, &history::mset(&keys, "x"));
            world.send(leaving, &history::command(&["RENAME", "a", "b"]));
            world.send(leaving, &history::mget(&keys));
            world.run_some();
            world.disconnect(leaving);
        }
        world.run_until_idle();
        let last = world.connect(0);
        world.send(last, &history::mset(&keys, "end"));
        world.send(last, &history::mget(&keys));
        world.run_until_idle();
        let expected = [b"+OK\r\n".to_vec(), history::array_of("end", keys.len())].concat();
        assert_eq!(world.received(last), expected);
    });
}

/// Single-key commands of many clients on shared keys add up: nothing is lost or run twice.
#[test]
fn increments_add_up() {
    for_each_seed(|seed| {
        let mut world = World::new(4, seed);
        let mut rng = Rng::new(seed);
        let mut model = Model::default();
        let clients: Vec<usize> = (0..8).map(|core| world.connect(core % 4)).collect();
        for _ in 0..30 {
            for &client in &clients {
                let key = format!("counter:{}", rng.below(5));
                model.increment(&key);
                world.send(client, &history::command(&["INCR", &key]));
            }
            world.run_some();
        }
        world.run_until_idle();
        let reader = world.connect(1);
        for (key, count) in model.counters() {
            world.send(reader, &history::command(&["GET", key]));
            world.run_until_idle();
            let text = count.to_string();
            let expected = format!("${}\r\n{text}\r\n", text.len());
            assert_eq!(String::from_utf8(world.received(reader)).unwrap(), expected);
        }
    });
}

/// Nothing but the seed decides what happens, or a failure could not be replayed.
#[test]
fn a_seed_repeats_itself() {
    let trace = |seed| {
        let mut world = World::new(3, seed);
        world.keep_trace();
        let mut rng = Rng::new(seed);
        let clients: Vec<usize> = (0..6).map(|core| world.connect(core % 3)).collect();
        for _ in 0..10 {
            for &client in &clients {
                world.send(client, &history::random_command(&mut rng));
            }
            world.run_some();
        }
        world.run_until_idle();
        world.kept_trace()
    };
    let one = trace(1);
    for part in ["core 2", "request", "reply to client", "part of transaction", "RENAME", "moves"] {
        assert!(one.contains(part), "no {part:?} in\n{one}");
    }
    assert_eq!(one, trace(1));
    assert_ne!(one, trace(2));
}

/// As [`a_seed_repeats_itself`], with what is kept in tables that are searched by key, but here must
/// be told from beginning to end: what is watched, what is waited for, and what was set aside because
/// somebody held it, over several databases.
#[test]
fn watches_and_waits_repeat_themselves() {
    let keys: Vec<String> = (0..12).map(|n| format!("k{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let trace = || {
        let mut world = World::new(3, 1);
        world.keep_trace();
        let clients: Vec<usize> = (0..12).map(|core| world.connect(core % 3)).collect();
        for (client, key) in clients[..8].iter().zip(&keys) {
            world.send(*client, &history::command(&["BLPOP", key, "0"]));
        }
        for &client in &clients[8..11] {
            world.send(client, &history::command(&[&["WATCH"], &keys[..]].concat()));
        }
        world.run_until_idle();
        let pusher = clients[11];
        world.send(pusher, &history::command(&["SELECT", "3"]));
        for key in &keys {
            world.send(pusher, &history::command(&["RPUSH", key, "x"]));
        }
        world.send(pusher, &history::command(&["SWAPDB", "0", "3"]));
        let set = |key: &str| history::command(&["SET", key, "y"]);
        for &client in &clients[8..11] {
            world.send(client, &history::multi(&[set(keys[0]), set(keys[1])]));
        }
        world.run_until_idle();
        world.kept_trace()
    };
    let one = trace();
    assert!(one.contains("served") && one.contains("WatchBroken"), "{one}");
    for _ in 0..5 {
        assert_eq!(one, trace());
    }
}
