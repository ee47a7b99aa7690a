//! Clients that wait for data, on connections of their own: BLPOP and BLMOVE.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::support::{Client, Need, Server, Value, encode, test, test_with, wait_for};

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 12] = [
        ("the_longest_wait_is_for_ever", the_longest_wait_is_for_ever),
        ("a_push_serves_who_came_first", a_push_serves_who_came_first),
        ("an_added_member_serves_who_came_first", an_added_member_serves_who_came_first),
        ("timeouts_and_replies", timeouts_and_replies),
        ("unblock_ends_a_wait", unblock_ends_a_wait),
        ("waiting_is_shown", waiting_is_shown),
        ("what_is_pipelined_behind_runs_later", what_is_pipelined_behind_runs_later),
        ("nothing_is_taken_for_who_has_gone", nothing_is_taken_for_who_has_gone),
        ("a_wait_outlives_the_idle_timeout", a_wait_outlives_the_idle_timeout),
        ("a_shutdown_does_not_wait_for_who_waits", a_shutdown_does_not_wait_for_who_waits),
        ("under_load_each_byte_is_taken_once", under_load_each_byte_is_taken_once),
        ("a_push_in_a_burst_leaves_nobody_waiting", a_push_in_a_burst_leaves_nobody_waiting),
    ];
    let mut trials: Vec<Trial> =
        tests.map(|(name, run)| test(format!("blocking::{name}"), run)).into();
    let like_redis = "blocking::timeouts_are_refused_as_by_redis";
    trials.push(test_with(&[Need::RedisServer], like_redis, timeouts_are_refused_as_by_redis));
    trials
}

fn start(shards: usize) -> Server {
    Server::ringwell(shards, &[])
}

fn send(client: &mut Client, line: &str) {
    client.send(format!("{line}\r\n").as_bytes());
}

/// Waits until so many clients wait for data.
fn wait_for_blocked(observer: &mut Client, count: usize) {
    let wanted = format!("\r\nblocked_clients:{count}\r\n");
    wait_for(&wanted, || observer.run("INFO clients").text().contains(&wanted));
}

fn popped(key: &str, byte: &str) -> Value {
    Value::Array(vec![Value::Bulk(key.into()), Value::Bulk(byte.into())])
}

fn a_push_serves_who_came_first() {
    for shards in [1, 4] {
        let server = start(shards);
        let mut pusher = server.connect();
        for key in ["a", "b", "c"] {
            let mut waiting: Vec<Client> = (0..6).map(|_| server.connect()).collect();
            for (n, client) in waiting.iter_mut().enumerate() {
                // Some wait at other shards as well.
                let keys = if n % 2 == 0 { key.to_owned() } else { format!("x {key} y z") };
                send(client, &format!("BLPOP {keys} 0"));
                wait_for_blocked(&mut pusher, n + 1);
            }
            assert_eq!(pusher.run(&format!("RPUSH {key} 1 2")), Value::Int(2));
            send(&mut pusher, &format!("MULTI\r\nRPUSH {key} 3\r\nRPUSH {key} 4 5 6\r\nEXEC"));
            let replies: Vec<Value> = (0..4).map(|_| pusher.read_value()).collect();
            let [.., exec] = &replies[..] else { panic!("{replies:?}") };
            assert!(matches!(exec.items(), [Value::Int(_), Value::Int(_)]), "{replies:?}");
            for (client, byte) in waiting.iter_mut().zip(["1", "2", "3", "4", "5", "6"]) {
                assert_eq!(client.read_value(), popped(key, byte), "{shards} shards");
            }
            assert_eq!(pusher.run(&format!("EXISTS {key}")), Value::Int(0));
            wait_for_blocked(&mut pusher, 0);
        }
        // To a key on any shard, and from there to whoever waits at it.
        let (mut mover, mut last) = (server.connect(), server.connect());
        for (from, to) in [("a", "b"), ("b", "a"), ("a", "c"), ("c", "b")] {
            send(&mut mover, &format!("BLMOVE {from} {to} LEFT RIGHT 0"));
            send(&mut last, &format!("BLPOP {to} 0"));
            wait_for_blocked(&mut pusher, 2);
            pusher.run(&format!("RPUSH {from} !"));
            assert_eq!(mover.read_value(), Value::Bulk("!".into()));
            assert_eq!(last.read_value(), popped(to, "!"));
        }
    }
}

fn an_added_member_serves_who_came_first() {
    let bulk = |text: &str| Value::Bulk(text.into());
    for shards in [1, 4] {
        let server = start(shards);
        let mut adder = server.connect();
        for key in ["a", "b", "c"] {
            let mut waiting: Vec<Client> = (0..6).map(|_| server.connect()).collect();
            for (n, client) in waiting.iter_mut().enumerate() {
                let line = match n {
                    0 => format!("BZPOPMIN {key} 0"),
                    1 => format!("BZPOPMAX x {key} y z 0"),
                    2 => format!("BZMPOP 0 3 x {key} y MIN COUNT 2"),
                    // Not for what is added.
                    3 => format!("BLPOP {key} 0"),
                    4 => format!("BZPOPMIN {key} {key}2 0"),
                    _ => format!("BZPOPMIN {key} x 0"),
                };
                send(client, &line);
                wait_for_blocked(&mut adder, n + 1);
            }
            assert_eq!(adder.run(&format!("ZADD {key} 1 m 2 n 3 o 4 p 5 q")), Value::Int(5));
            let three = |member, score| Value::Array(vec![bulk(key), bulk(member), bulk(score)]);
            assert_eq!(waiting[0].read_value(), three("m", "1"), "{shards} shards");
            assert_eq!(waiting[1].read_value(), three("q", "5"), "{shards} shards");
            let pair = |member, score| Value::Array(vec![bulk(member), bulk(score)]);
            let pairs = Value::Array(vec![pair("n", "2"), pair("o", "3")]);
            assert_eq!(waiting[2].read_value(), Value::Array(vec![bulk(key), pairs]));
            assert_eq!(waiting[4].read_value(), three("p", "4"), "{shards} shards");
            // What a list is waited for with stays; what else makes a sorted set serves too.
            wait_for_blocked(&mut adder, 2);
            assert_eq!(adder.run("ZADD other 7 r 8 s"), Value::Int(2));
            match key {
                "a" => adder.run(&format!("RENAME other {key}")),
                "b" => adder.run(&format!("ZUNIONSTORE {key} 2 other nosuch")),
                _ => adder.run(&format!("ZRANGESTORE {key} other 0 0")),
            };
            assert_eq!(waiting[5].read_value(), three("r", "7"), "{shards} shards");
            adder.run(&format!("DEL {key} other"));
            adder.run(&format!("RPUSH {key} !"));
            assert_eq!(waiting[3].read_value(), popped(key, "!"));
            wait_for_blocked(&mut adder, 0);
        }
        assert_eq!(adder.run("BZPOPMIN a b c 0.05"), Value::NullArray);
        assert_eq!(adder.run("BZMPOP 0.05 2 a b MAX"), Value::NullArray);
    }
}

fn timeouts_and_replies() {
    let server = start(4);
    let mut client = server.connect();
    let begin = Instant::now();
    assert_eq!(client.run("BLPOP a b c 0.15"), Value::NullArray);
    assert_eq!(client.run("BLMOVE a b LEFT RIGHT 0.15"), Value::NullArray);
    client.run("HELLO 3");
    assert_eq!(client.run("BLPOP a 0.1"), Value::Null);
    assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
    // In a transaction nobody waits.
    send(&mut client, "MULTI\r\nBLPOP a b c 0\r\nBLMOVE a b LEFT RIGHT 0\r\nEXEC");
    let replies: Vec<Value> = (0..4).map(|_| client.read_value()).collect();
    assert_eq!(replies[3], Value::Array(vec![Value::Null, Value::Null]));
    // The first key from the left that has something, wherever it is.
    client.run("RPUSH b 1");
    client.run("RPUSH c 2");
    assert_eq!(client.run("BLPOP a c b 0"), popped("c", "2"));
    assert_eq!(client.run("BLPOP a c b 0"), popped("b", "1"));
    send(&mut client, "CLIENT REPLY SKIP\r\nBLPOP a 0.01");
    assert_eq!(client.run("PING").text(), "PONG");
}

fn timeouts_are_refused_as_by_redis() {
    let (ours, redis) = (start(2), Server::redis(&[]));
    let (mut ours, mut redis) = (ours.connect(), redis.connect());
    // What is too large was negative to Redis before 7.2.
    for timeout in ["", "soon", "nan", "-1", "-0.1", "-inf", "1 ", "0x"] {
        let expected = redis.command(&["BLPOP", "k", timeout]);
        assert!(matches!(expected, Value::Error(_)), "{timeout:?}: {expected:?}");
        assert_eq!(ours.command(&["BLPOP", "k", timeout]), expected, "{timeout:?}");
        assert_eq!(ours.command(&["BLPOP", "k", "l", "m", timeout]), expected);
    }
}

fn unblock_ends_a_wait() {
    let server = start(4);
    let mut observer = server.connect();
    for (reason, expected) in [
        ("", Value::NullArray),
        (" TIMEOUT", Value::NullArray),
        (" ERROR", Value::Error(b"UNBLOCKED client unblocked via CLIENT UNBLOCK".to_vec())),
    ] {
        for _ in 0..4 {
            let mut client = server.connect();
            let id = client.run("CLIENT ID").int();
            let unblock = format!("CLIENT UNBLOCK {id}{reason}");
            assert_eq!(observer.run(&unblock), Value::Int(0), "it does not wait");
            send(&mut client, "BLPOP a b c 0");
            wait_for_blocked(&mut observer, 1);
            assert_eq!(observer.run(&unblock), Value::Int(1));
            assert_eq!(client.read_value(), expected);
            // Nothing of the wait is left.
            assert_eq!(observer.run("RPUSH a 1"), Value::Int(1));
            assert_eq!(client.run("LPOP a").text(), "1");
        }
    }
    assert_eq!(observer.run("CLIENT UNBLOCK 999999"), Value::Int(0));
}

fn waiting_is_shown() {
    let server = start(4);
    let (mut client, mut observer) = (server.connect(), server.connect());
    let id = client.run("CLIENT ID").int();
    send(&mut client, "BLPOP a b a 100");
    wait_for_blocked(&mut observer, 1);
    let info = observer.run("INFO clients").text();
    for line in ["clients_in_timeout_table:1", "total_blocking_keys:2"] {
        assert!(info.lines().any(|l| l == line), "no {line} in\n{info}");
    }
    let line = observer.run(&format!("CLIENT LIST ID {id}")).text();
    assert!(line.contains(" flags=b ") && line.contains(" cmd=blpop "), "{line}");
    assert_eq!(observer.run(&format!("CLIENT KILL ID {id}")), Value::Int(1));
    assert_eq!(client.read_until_closed(), b"");
    wait_for_blocked(&mut observer, 0);
    assert_eq!(observer.run("RPUSH b kept"), Value::Int(1));
    assert_eq!(observer.run("LPOP b").text(), "kept");
    let info = observer.run("INFO clients").text();
    assert!(info.contains("\r\ntotal_blocking_keys:0\r\n"), "{info}");
}

fn what_is_pipelined_behind_runs_later() {
    for shards in [1, 4] {
        let server = start(shards);
        let (mut client, mut other) = (server.connect(), server.connect());
        send(&mut client, "SET k old\r\nBLPOP a b 0\r\nGET k\r\nPING");
        assert_eq!(client.read_value(), Value::ok());
        wait_for_blocked(&mut other, 1);
        client.expect_silence(Duration::from_millis(50));
        assert_eq!(other.run("SET k new"), Value::ok());
        // More than a waiting client is read from.
        let large = "v".repeat(200_000);
        for _ in 0..10 {
            client.send(&encode(&["SET", "large", &large]));
        }
        assert_eq!(other.run("RPUSH b 1"), Value::Int(1));
        assert_eq!(client.read_value(), popped("b", "1"));
        assert_eq!(client.read_value().text(), "new");
        assert_eq!(client.read_value().text(), "PONG");
        for _ in 0..10 {
            assert_eq!(client.read_value(), Value::ok());
        }
    }
}

fn nothing_is_taken_for_who_has_gone() {
    let server = start(4);
    let mut observer = server.connect();
    let ends: [fn(Client); 3] = [
        |client| drop(client),
        |client| client.reset(),
        // As `printf ... | nc` ends.
        |mut client| {
            client.end();
            assert_eq!(client.read_until_closed(), b"");
        },
    ];
    for keys in ["a", "b", "a b c d"] {
        for (n, end) in ends.into_iter().enumerate() {
            let mut client = server.connect();
            // With something behind it, which must not keep the end from being noticed.
            let behind = "GET k\r\n".repeat(1000 * n);
            send(&mut client, &format!("BLPOP {keys} 0\r\n{behind}"));
            wait_for_blocked(&mut observer, 1);
            end(client);
            wait_for_blocked(&mut observer, 0);
            for key in ["a", "b", "c", "d"] {
                assert_eq!(observer.run(&format!("RPUSH {key} 1")), Value::Int(1));
            }
            assert_eq!(observer.run("DEL a b c d"), Value::Int(4));
        }
    }
}

fn a_wait_outlives_the_idle_timeout() {
    let server = Server::ringwell(2, &["--timeout", "2"]);
    let (mut waiting, mut idle) = (server.connect(), server.connect());
    send(&mut waiting, "BLPOP a b 0");
    wait_for_blocked(&mut idle, 1);
    assert_eq!(idle.read_until_closed(), b"", "closed for being idle");
    assert_eq!(server.connect().run("RPUSH a 1"), Value::Int(1));
    assert_eq!(waiting.read_value(), popped("a", "1"));
}

fn a_shutdown_does_not_wait_for_who_waits() {
    let mut server = start(4);
    let (mut waiting, mut other) = (server.connect(), server.connect());
    send(&mut waiting, "BLPOP a b 0");
    wait_for_blocked(&mut other, 1);
    let begin = Instant::now();
    server.signal(libc::SIGTERM);
    assert!(server.wait(Duration::from_secs(20)).success());
    // Its clients have ten seconds to take what they are owed; this one is owed nothing.
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    assert_eq!(waiting.read_until_closed(), b"");
}

const PUSHERS: usize = 6;
const POPPERS: usize = 10;
const PUSHES: usize = 1500;
const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// What each pusher pushes is a byte of its own, so that nothing but numbers need be compared.
fn byte_of(pusher: usize) -> u8 {
    b'A' + pusher as u8
}

fn under_load_each_byte_is_taken_once() {
    let server = start(4);
    let pushing = AtomicUsize::new(PUSHERS);
    let mut taken: BTreeMap<u8, usize> = BTreeMap::new();
    std::thread::scope(|scope| {
        for pusher in 0..PUSHERS {
            let (server, pushing) = (&server, &pushing);
            scope.spawn(move || {
                push(server.connect(), pusher);
                pushing.fetch_sub(1, Ordering::SeqCst);
            });
        }
        let pop = |popper: usize| {
            let (server, pushing) = (&server, &pushing);
            scope.spawn(move || pop_until(server, popper, pushing))
        };
        let poppers: Vec<_> = (0..POPPERS).map(pop).collect();
        for popper in poppers {
            for byte in popper.join().expect("a popper") {
                *taken.entry(byte).or_default() += 1;
            }
        }
    });
    let mut reader = server.connect();
    for key in KEYS {
        for rest in reader.run(&format!("LRANGE {key} 0 -1")).items() {
            *taken.entry(rest.text().as_bytes()[0]).or_default() += 1;
        }
    }
    let expected = (0..PUSHERS).map(|pusher| (byte_of(pusher), PUSHES)).collect();
    assert_eq!(taken, expected);
}

fn push(mut client: Client, pusher: usize) {
    let byte = char::from(byte_of(pusher));
    for n in 0..PUSHES {
        let (here, there) = (KEYS[n % 6], KEYS[(n * 7 + pusher) % 6]);
        match n % 5 {
            // On several shards at once, with a command behind it that must see the byte.
            0 => {
                let lines = format!("MULTI\r\nRPUSH {here} {byte}\r\nLLEN {there}\r\nLLEN {here}");
                send(&mut client, &format!("{lines}\r\nEXEC"));
                let replies: Vec<Value> = (0..5).map(|_| client.read_value()).collect();
                let (first, last) = (&replies[4].items()[0], &replies[4].items()[2]);
                assert_eq!(first, last, "an EXEC serves when it is over");
            }
            _ => assert!(client.run(&format!("RPUSH {here} {byte}")).int() > 0),
        }
    }
}

/// Pops until nobody pushes any more and there is nothing left for it.
fn pop_until(server: &Server, popper: usize, pushing: &AtomicUsize) -> Vec<u8> {
    let (mut client, mut taken) = (server.connect(), Vec::new());
    for n in 0.. {
        let over = pushing.load(Ordering::SeqCst) == 0;
        let (one, two) = (KEYS[(popper + n) % 6], KEYS[(popper * 5 + n * 3) % 6]);
        let lines = match n % 4 {
            0 => format!("BLPOP {one} 0.05"),
            // Whatever it finds comes from one key and goes to another: nothing is lost.
            1 => format!("BLMOVE {one} {two} LEFT RIGHT 0.02"),
            _ => format!("BLPOP {one} {two} c 0.05"),
        };
        match client.run(&lines) {
            Value::Array(items) => match &items[..] {
                [Value::Bulk(_), Value::Bulk(byte)] if byte.len() == 1 => taken.extend(byte),
                other => panic!("{lines}: {other:?}"),
            },
            Value::Bulk(byte) => assert_eq!(byte.len(), 1),
            Value::NullArray | Value::NullBulk if over && n % 4 > 1 => break,
            Value::NullArray | Value::NullBulk => {}
            other => panic!("{lines}: {other:?}"),
        }
        if n % 50 == 0 {
            // The place of a client that goes is taken by another.
            client = server.connect();
        }
    }
    taken
}

fn the_longest_wait_is_for_ever() {
    let server = start(2);
    let mut waiting: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for (client, seconds) in waiting.iter_mut().zip([
        "9223369000000000",
        "4611686018428",
        "4611686018427",
        "1000000000000",
    ]) {
        send(client, &format!("BLPOP a {seconds}"));
        client.expect_silence(Duration::from_millis(150));
    }
    assert_eq!(server.connect().run("RPUSH a 1 2 3 4"), Value::Int(4));
    for (client, byte) in waiting.iter_mut().zip(["1", "2", "3", "4"]) {
        assert_eq!(client.read_value(), popped("a", byte));
    }
}

/// Commands of one shard and of several that read `c`, or stand in the way of those that do. A push
/// to it is sent among them, all at once.
const BURST: [&str; 4] =
    ["EXISTS a b c", "DEL a b d", "MGET a e c", "MULTI\r\nLLEN c\r\nEXISTS a c\r\nEXEC"];
const BURST_REPLIES: usize = 3 + 4 + 1;
const BURSTS: usize = 200;

/// Pushes that wait for locks, with readers behind them that are let in by the same release: both
/// clients that wait get a byte of every round, since six are pushed and nobody else takes one.
fn a_push_in_a_burst_leaves_nobody_waiting() {
    let server = start(4);
    let mut observer = server.connect();
    let mut waiting: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    let mut pushing: Vec<Client> = (0..6).map(|_| server.connect()).collect();
    for round in 0..BURSTS {
        waiting.iter_mut().for_each(|client| send(client, "BLPOP c 0"));
        wait_for_blocked(&mut observer, waiting.len());
        for (n, client) in pushing.iter_mut().enumerate() {
            let mut lines = BURST.to_vec();
            lines.rotate_left((round + n) % BURST.len());
            lines.insert((round / BURST.len() + n) % (BURST.len() + 1), "RPUSH c x");
            send(client, &lines.join("\r\n"));
        }
        for client in &mut pushing {
            for _ in 0..BURST_REPLIES {
                let reply = client.read_value();
                assert!(!matches!(reply, Value::Error(_)), "{reply:?}");
            }
        }
        // It looks and wakes nobody.
        let left = observer.run("LRANGE c 0 -1");
        for client in &mut waiting {
            let reply = client.try_read_value();
            assert_eq!(reply, Ok(popped("c", "x")), "round {round}: c holds {left:?}");
        }
        assert_eq!(observer.run("LPOP c 9").items().len(), 4, "round {round}");
    }
}
