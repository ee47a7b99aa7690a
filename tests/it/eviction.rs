//! `maxmemory` under a load that writes more than fits.

use libtest_mimic::Trial;

use crate::support::need::PerShards;
use crate::support::{
    Client, Rng, Server, Value, encode, on_one_and_four_shards, seed, test, wait_for,
};

const MB: u64 = 1 << 20;
const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

pub fn trials() -> Vec<Trial> {
    let tests: [PerShards; 4] = [
        ("memory_keeps_its_word", memory_keeps_its_word),
        ("full_without_eviction", full_without_eviction),
        ("policies_change_while_it_runs", policies_change_while_it_runs),
        ("huge_values_and_flushes_give_memory_back", huge_values_and_flushes_give_memory_back),
    ];
    let mut trials = on_one_and_four_shards("eviction", &[], &tests);
    for shards in [1, 4, 8] {
        let name = format!("eviction::a_small_cache_refuses_nothing_{shards}");
        trials.push(test(name, move || a_small_cache_refuses_nothing(shards)));
    }
    trials
}

/// What the process holds, without the pages of its program.
fn resident_bytes(server: &Server) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", server.pid())).expect("statm");
    let pages = |n| statm.split(' ').nth(n).and_then(|field| field.parse::<u64>().ok());
    let (resident, shared) = (pages(1).expect("a number"), pages(2).expect("a number"));
    (resident - shared) * 4096
}

/// Writes about so many bytes to keys chosen at random.
fn write(client: &mut Client, rng: &mut Rng, value_bytes: usize, bytes: u64) {
    const BATCH: usize = 100;
    let mut left = bytes;
    while left > 0 {
        let mut batch = Vec::new();
        for _ in 0..BATCH {
            let key = format!("key:{:012}", rng.next() % 1_000_000_000_000);
            let first = rng.next().to_string();
            let value = first.bytes().cycle().take(value_bytes).collect::<Vec<u8>>();
            batch.extend(encode::<&[u8]>(&[b"SET", key.as_bytes(), &value]));
        }
        client.send(&batch);
        for _ in 0..BATCH {
            assert_eq!(client.read_value(), Value::ok());
        }
        left = left.saturating_sub((BATCH * (value_bytes + 50)) as u64);
    }
}

/// Five times the budget, in values of changing sizes: what is accounted stays below the limit and
/// the process close to it.
fn memory_keeps_its_word(shards: usize) {
    const BUDGET: u64 = 96 * MB;
    let server = Server::ringwell(shards, &["--maxmemory", &BUDGET.to_string()]);
    let (mut client, mut rng) = (server.connect(), Rng::new(seed()));
    // Each core has pools of buffers of its own, which are no part of the budget.
    let most = BUDGET * 115 / 100 + 24 * MB + (shards as u64 - 1) * 4 * MB;
    for value_bytes in [64, 4096, 64, 4096, 64] {
        for _ in 0..8 {
            write(&mut client, &mut rng, value_bytes, BUDGET / 8);
            let used = server.info_number("memory", "used_memory");
            assert!(used <= BUDGET, "{used} bytes are used");
            let resident = resident_bytes(&server);
            assert!(resident <= most, "{resident} bytes are resident, {most} may be");
        }
    }
    assert!(server.info_number("stats", "evicted_keys") > 10_000);
    assert!(server.info_number("memory", "used_memory") > BUDGET * 9 / 10);
}

fn full_without_eviction(shards: usize) {
    let args = ["--maxmemory", "8mb", "--maxmemory-policy", "noeviction"];
    let server = Server::ringwell(shards, &args);
    let mut client = server.connect();
    let value = "v".repeat(10_000);
    let replies: Vec<Value> =
        (0..2_000).map(|key| client.command(&["SET", &key.to_string(), &value])).collect();
    let stored = replies.iter().filter(|reply| **reply == Value::ok()).count();
    assert!((600..850).contains(&stored), "{stored} values of 10 kB");
    assert!(replies[stored..].iter().all(|reply| *reply == Value::Error(OOM.into())));
    assert!(server.info_number("memory", "used_memory") <= 8 * MB + 20_000);
    // Reading and deleting go on, and what is freed can be used.
    assert_eq!(client.run("GET 5"), Value::bulk(&value));
    assert_eq!(client.run("EXISTS 1999"), Value::Int(0));
    for key in 0..stored {
        client.command(&["DEL", &key.to_string()]);
    }
    assert_eq!(client.command(&["SET", "again", &value]), Value::ok());
    assert_eq!(server.info_number("stats", "evicted_keys"), 0);
}

/// A hundred kibibytes for all shards together, written to in pipelines that hold twice as much.
fn a_small_cache_refuses_nothing(shards: usize) {
    const ROOM: u64 = 100 * 1024;
    const COMMANDS: usize = 100;
    let server = Server::ringwell(shards, &[]);
    let (mut client, mut rng) = (server.connect(), Rng::new(seed()));
    let limit = (server.info_number("memory", "used_memory") + ROOM).to_string();
    assert_eq!(client.command(&["CONFIG", "SET", "maxmemory", &limit]), Value::ok());
    for policy in ["allkeys-lfu", "allkeys-s3fifo"] {
        assert_eq!(client.command(&["CONFIG", "SET", "maxmemory-policy", policy]), Value::ok());
        for value_bytes in [10, 100, 2_000, 30] {
            let value = "v".repeat(value_bytes);
            for _ in 0..23 {
                let mut pipeline = Vec::new();
                for _ in 0..COMMANDS {
                    let key = format!("key:{}", rng.below(100_000));
                    pipeline.extend(encode(&["SETRANGE", &key, "0", &value]));
                }
                client.send(&pipeline);
                for _ in 0..COMMANDS {
                    let reply = client.read_value();
                    assert!(matches!(reply, Value::Int(_)), "{policy}: {reply:?}");
                }
            }
        }
        // Buffers that were larger than the room are gone, and the cache is one again.
        let keys = client.run("DBSIZE");
        assert!(matches!(keys, Value::Int(100..)), "{policy}: {keys:?} keys");
    }
}

fn policies_change_while_it_runs(shards: usize) {
    const BUDGET: u64 = 6 * MB;
    let server = Server::ringwell(shards, &["--maxmemory", &BUDGET.to_string()]);
    let (mut client, mut rng) = (server.connect(), Rng::new(seed()));
    let policies =
        ["allkeys-lru", "allkeys-lfu", "allkeys-random", "allkeys-s3fifo", "allkeys-lru"];
    for policy in policies {
        assert_eq!(client.command(&["CONFIG", "SET", "maxmemory-policy", policy]), Value::ok());
        write(&mut client, &mut rng, 300, 2 * BUDGET);
        let used = server.info_number("memory", "used_memory");
        assert!(used <= BUDGET, "{used} bytes are used under {policy}");
    }
    // A lower limit takes effect without a write.
    assert_eq!(client.run("CONFIG SET maxmemory 2mb"), Value::ok());
    wait_for("entries to be evicted", || server.info_number("memory", "used_memory") <= 2 * MB);
}

fn huge_values_and_flushes_give_memory_back(shards: usize) {
    let server = Server::ringwell(shards, &[]);
    let mut client = server.connect();
    let value = "v".repeat(16 * MB as usize);
    let empty = resident_bytes(&server);
    for round in 0..3 {
        for key in 0..10 {
            assert_eq!(client.command(&["SET", &format!("huge{key}"), &value]), Value::ok());
        }
        assert!(resident_bytes(&server) > empty + 160 * MB);
        match round {
            0 => assert_eq!(
                client.run("UNLINK huge0 huge1 huge2 huge3 huge4 huge5 huge6 huge7 huge8 huge9"),
                Value::Int(10)
            ),
            1 => assert_eq!(client.run("FLUSHALL"), Value::ok()),
            _ => (0..10).for_each(|key| {
                assert_eq!(client.run(&format!("SET huge{key} small")), Value::ok());
            }),
        }
        wait_for("the memory to be given back", || {
            // What the commands came in stays with the allocator otherwise.
            assert_eq!(client.run("MEMORY PURGE"), Value::ok());
            resident_bytes(&server) < empty + 80 * MB
        });
        assert!(server.info_number("memory", "lazyfreed_objects") > 0);
    }
}
