//! On how many threads the shards run: `spread`, and what of it clients can see, which is nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::support::Rng;
use crate::support::server::info;
use crate::support::{Client, Server, Value, encode, seed, test, wait_for};

const SHARDS: usize = 4;

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 7] = [
        ("a_light_load_is_for_one_thread", a_light_load_is_for_one_thread),
        ("connections_follow", connections_follow),
        ("a_client_that_moves_is_the_same", a_client_that_moves_is_the_same),
        ("who_is_not_at_rest_stays", who_is_not_at_rest_stays),
        ("nothing_is_lost_on_the_way", nothing_is_lost_on_the_way),
        ("kill_finds_who_moves", kill_finds_who_moves),
        ("stops_while_all_moves", stops_while_all_moves),
    ];
    tests.into_iter().map(|(name, run)| test(format!("spread::{name}"), run)).collect()
}

fn start(spread: &str) -> Server {
    Server::ringwell(SHARDS, &["--spread", spread])
}

/// The fields of `shardN` in INFO, by shard.
fn shards(client: &mut Client, field: &str) -> Vec<u64> {
    let fields = info(client, "shards");
    let of_shard = |value: &str| {
        let mut pairs = value.split(',').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(name, _)| *name == field).expect("the field");
        found.1.parse().expect("a number")
    };
    fields.iter().filter(|(name, _)| name.starts_with("shard")).map(|(_, v)| of_shard(v)).collect()
}

fn spread_to(client: &mut Client, spread: &str) {
    assert_eq!(client.command(&["CONFIG", "SET", "spread", spread]), Value::ok());
}

fn a_light_load_is_for_one_thread() {
    let server = start("auto");
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for round in 1..=50 {
        for (n, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.run(&format!("INCR key{n}")), Value::Int(round));
        }
    }
    let client = &mut clients[0];
    assert_eq!(shards(client, "connections"), [20, 0, 0, 0]);
    assert_eq!(shards(client, "thread"), [0, 0, 0, 0]);
    assert!(shards(client, "keys").iter().all(|keys| *keys > 0), "20 keys, 4 shards");
    // To give its core away, and at most to be told something once more.
    assert!(shards(client, "passes")[1..].iter().all(|passes| *passes < 20));
    let threads = info(client, "shards").into_iter().find(|(name, _)| name == "threads");
    assert_eq!(threads.expect("a line").1, "active=1,of=4,why=one_is_enough");
    assert_eq!(client.run("CONFIG GET spread").items()[1].text(), "auto");
}

fn connections_follow() {
    let server = start("auto");
    let mut clients: Vec<Client> = (0..40).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.run("PING").text(), "PONG");
    }
    let client = &mut clients[0];
    spread_to(client, "all");
    wait_for("an even spread", || {
        shards(client, "connections").iter().all(|connections| (8..=12).contains(connections))
    });
    assert_eq!(shards(client, "thread"), [0, 1, 2, 3]);
    spread_to(client, "auto");
    wait_for("one thread", || shards(client, "connections") == [40, 0, 0, 0]);
    wait_for("its cores", || shards(client, "thread") == [0, 0, 0, 0]);
    for client in &mut clients {
        assert_eq!(client.run("PING").text(), "PONG");
    }
}

/// Everything that a client has chosen goes with it.
fn a_client_that_moves_is_the_same() {
    let server = start("auto");
    let mut admin = server.connect();
    let mut clients: Vec<Client> = (0..24).map(|_| server.connect()).collect();
    let mut ids = Vec::new();
    for (n, client) in clients.iter_mut().enumerate() {
        client.run(&format!("CLIENT SETNAME name{n}"));
        client.run(&format!("SELECT {}", n % 16));
        client.run(&format!("SET db {}", n % 16));
        ids.push(client.run("CLIENT ID").int());
    }
    let lines = |admin: &mut Client| {
        let list = admin.run("CLIENT LIST").text();
        let known = |line: &&str| line.contains("name=name");
        let stable = |line: &str| {
            let fields = ["id=", "addr=", "fd=", "name=", "db="];
            let words = line.split(' ').filter(|w| fields.iter().any(|field| w.starts_with(field)));
            words.collect::<Vec<_>>().join(" ")
        };
        let mut lines: Vec<String> = list.lines().filter(known).map(stable).collect();
        lines.sort();
        lines
    };
    let before = lines(&mut admin);
    assert_eq!(before.len(), 24);
    for spread in ["all", "auto"] {
        spread_to(&mut admin, spread);
        let expected = if spread == "all" { 4 } else { 1 };
        wait_for("all to have moved", || {
            let counts = shards(&mut admin, "connections");
            counts.iter().filter(|count| **count > 0).count() == expected
        });
        assert_eq!(lines(&mut admin), before);
        for (n, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.run("CLIENT ID").int(), ids[n]);
            assert_eq!(client.run("CLIENT GETNAME").text(), format!("name{n}"));
            assert_eq!(client.run("GET db").text(), (n % 16).to_string());
        }
    }
}

/// Whoever has something under way keeps it, and goes when it is over.
fn who_is_not_at_rest_stays() {
    let server = start("all");
    let mut admin = server.connect();
    // On every core: an open MULTI, a watch, a wait, half a command.
    let mut groups: Vec<[Client; 4]> = (0..8)
        .map(|_| [server.connect(), server.connect(), server.connect(), server.connect()])
        .collect();
    for (n, [multi, watch, wait, half]) in groups.iter_mut().enumerate() {
        multi.run("MULTI");
        multi.run(&format!("INCR multi{n}"));
        watch.run(&format!("WATCH watched{n}"));
        wait.send(format!("BLPOP list{n} 0\r\n").as_bytes());
        half.send(b"*2\r\n$4\r\nECHO\r\n$2\r\nh");
    }
    spread_to(&mut admin, "auto");
    // Longer than it takes to give up threads.
    std::thread::sleep(Duration::from_millis(2500));
    for (n, [multi, watch, wait, half]) in groups.iter_mut().enumerate() {
        assert_eq!(multi.run("EXEC").items(), [Value::Int(1)]);
        admin.run(&format!("SET watched{n} x"));
        watch.run("MULTI");
        watch.run("PING");
        assert_eq!(watch.run("EXEC"), Value::NullArray);
        admin.run(&format!("RPUSH list{n} element"));
        assert_eq!(wait.read_value().items()[1].text(), "element");
        half.send(b"i\r\n");
        assert_eq!(half.read_value().text(), "hi");
    }
    // Nothing keeps them any more.
    wait_for("one thread", || {
        groups
            .iter_mut()
            .flatten()
            .for_each(|client| assert_eq!(client.run("PING").text(), "PONG"));
        shards(&mut admin, "connections")[1..] == [0, 0, 0]
    });
}

/// Changes the spread to and fro until it is told to stop; returns how often.
fn keep_moving(mut admin: Client, stop: &AtomicBool) -> usize {
    let mut rng = Rng::new(seed());
    let mut changes = 0;
    while !stop.load(Ordering::Relaxed) {
        spread_to(&mut admin, if changes % 2 == 0 { "all" } else { "auto" });
        changes += 1;
        // Sometimes long enough that threads are given up.
        let millis = [1, 20, 100, 1300][rng.below(4)];
        std::thread::sleep(Duration::from_millis(millis));
    }
    changes
}

/// Each client counts up keys of its own, in pipelines, and sees each number once.
fn nothing_is_lost_on_the_way() {
    let server = start("auto");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mover = scope.spawn(|| keep_moving(server.connect(), &stop));
        let clients = (0..12).map(|n| {
            let server = &server;
            let stop = &stop;
            scope.spawn(move || {
                let mut rng = Rng::new(seed() ^ n);
                let mut client = server.connect();
                let mut counts = [0i64; 8];
                while !stop.load(Ordering::Relaxed) {
                    let depth = [1, 1, 2, 30][rng.below(4)];
                    let keys: Vec<usize> = (0..depth).map(|_| rng.below(8)).collect();
                    let line = |key: &usize| encode(&["INCR", &format!("c{n}:{key}")]);
                    client.send(&keys.iter().flat_map(line).collect::<Vec<u8>>());
                    for key in keys {
                        counts[key] += 1;
                        assert_eq!(client.read_value(), Value::Int(counts[key]));
                    }
                    if rng.one_in(50) {
                        std::thread::sleep(Duration::from_millis(3));
                    }
                }
                counts.iter().sum::<i64>()
            })
        });
        let clients: Vec<_> = clients.collect();
        std::thread::sleep(Duration::from_secs(8));
        stop.store(true, Ordering::Relaxed);
        let counted: i64 = clients.into_iter().map(|client| client.join().expect("a client")).sum();
        let changes = mover.join().expect("the mover");
        assert!(counted > 1000 && changes > 10, "{counted} commands, {changes} changes");
    });
    let mut client = server.connect();
    assert!(shards(&mut client, "moved").iter().sum::<u64>() > 20, "few connections moved");
}

/// CLIENT KILL finds a connection wherever it is, also on its way.
fn kill_finds_who_moves() {
    let server = start("auto");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mover = scope.spawn(|| keep_moving(server.connect(), &stop));
        let mut admin = server.connect();
        let until = Instant::now() + Duration::from_secs(6);
        let mut killed = 0;
        while Instant::now() < until {
            let mut victims: Vec<Client> = (0..12).map(|_| server.connect()).collect();
            let ids: Vec<i64> = victims.iter_mut().map(|v| v.run("CLIENT ID").int()).collect();
            for (victim, id) in victims.iter_mut().zip(ids) {
                assert_eq!(admin.run(&format!("CLIENT KILL ID {id}")), Value::Int(1), "{id}");
                assert_eq!(victim.read_until_closed(), b"");
                killed += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        mover.join().expect("the mover");
        assert!(killed > 20, "{killed}");
        // Each was counted where it was: a core that seems to have connections would stay where it is.
        spread_to(&mut admin, "auto");
        wait_for("one thread", || shards(&mut admin, "thread") == [0, 0, 0, 0]);
    });
}

fn stops_while_all_moves() {
    for round in 0..3 {
        let mut server = start("auto");
        let address = server.address();
        let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for n in 0..8 {
                let (stop, answered) = (&stop, &answered);
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    let pipeline = encode(&["INCR", &format!("key{n}")]).repeat(20);
                    while !stop.load(Ordering::Relaxed) && client.try_send(&pipeline).is_ok() {
                        for _ in 0..20 {
                            if client.try_read_value().is_err() {
                                return;
                            }
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            let mut admin = server.connect();
            for change in 0..10 + round {
                spread_to(&mut admin, if change % 2 == 0 { "all" } else { "auto" });
                std::thread::sleep(Duration::from_millis(15));
            }
            wait_for("load", || answered.load(Ordering::Relaxed) > 500);
            server.signal(libc::SIGTERM);
            let status = server.wait(Duration::from_secs(10));
            stop.store(true, Ordering::Relaxed);
            assert_eq!(status.code(), Some(0), "{status}\n{}", server.log());
        });
    }
}
