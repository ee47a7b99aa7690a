//! Pipelines that are sent whole before the first reply is read, as most libraries send them, and
//! what a client may make the server hold in that way.
//!
//! `RINGWELL_PIPELINE=1000000` makes the pipelines as long; `benches/pipelines.py` measures them.

use std::time::Duration;

use libtest_mimic::Trial;

use crate::bounds::resident;
use crate::support::need::PerShards;
use crate::support::{Client, Server, Value, encode, test, wait_for};

/// A pipeline: what is there before, its commands, and their replies.
struct Pipeline {
    preload: Vec<Vec<u8>>,
    command: fn(usize) -> Vec<u8>,
    reply: fn(usize) -> Vec<u8>,
    /// What a command of this one counts for towards the length of the pipeline.
    commands_each: usize,
}

type Made = fn() -> Pipeline;

/// All kinds of buffers between two programs on one machine may hold some 20 MB. Requests as long as
/// these fill them with few commands.
const KEY_BYTES: usize = 200;
const COMMANDS: usize = 100_000;

pub fn trials() -> Vec<Trial> {
    let pipelines: [(&str, Made); 5] = [
        ("gets", gets),
        ("large_gets", large_gets),
        ("sets", sets),
        ("mgets", mgets),
        ("execs", execs),
    ];
    let mut trials = Vec::new();
    for shards in [1, 2, 4] {
        for (name, pipeline) in pipelines {
            let name = format!("pipelines::{name}_on_{shards}_shards");
            trials.push(test(name, move || send_then_read(shards, &pipeline())));
        }
        let tests: [PerShards; 5] = [
            ("other_clients_are_served", other_clients_are_served),
            ("waiting_and_paused_clients", waiting_and_paused_clients),
            ("ended_streams_are_executed", ended_streams_are_executed),
            ("hoarders_are_closed", hoarders_are_closed),
            ("memory_is_counted_and_given_back", memory_is_counted_and_given_back),
        ];
        for (name, run) in tests {
            trials.push(test(format!("pipelines::{name}_on_{shards}_shards"), move || run(shards)));
        }
    }
    trials
}

fn commands() -> usize {
    let asked = std::env::var("RINGWELL_PIPELINE");
    asked.map_or(COMMANDS, |count| count.parse().expect("RINGWELL_PIPELINE is a number"))
}

/// One of eight keys, which lie on all shards.
fn key(n: usize) -> String {
    format!("{:0KEY_BYTES$}", n % 8)
}

fn value(n: usize, bytes: usize) -> String {
    format!("{:v>bytes$}", n % 8)
}

fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

fn preload(bytes: usize) -> Vec<Vec<u8>> {
    (0..8).map(|n| encode(&["SET", &key(n), &value(n, bytes)])).collect()
}

fn gets() -> Pipeline {
    Pipeline {
        preload: preload(64),
        command: |n| encode(&["GET", &key(n)]),
        reply: |n| bulk(&value(n, 64)),
        commands_each: 1,
    }
}

fn large_gets() -> Pipeline {
    Pipeline {
        preload: preload(1000),
        command: |n| encode(&["GET", &key(n)]),
        reply: |n| bulk(&value(n, 1000)),
        commands_each: 2,
    }
}

fn sets() -> Pipeline {
    Pipeline {
        preload: Vec::new(),
        command: |n| encode(&["SET", &key(n), &value(n, 200), "GET"]),
        // The value from eight commands ago; see `send_then_read`.
        reply: |n| if n < 8 { b"$-1\r\n".to_vec() } else { bulk(&value(n, 200)) },
        commands_each: 2,
    }
}

fn mgets() -> Pipeline {
    Pipeline {
        preload: preload(64),
        command: |n| encode(&["MGET", &key(n), &key(n + 1), &key(n + 3)]),
        reply: |n| {
            let values = [n, n + 1, n + 3].map(|n| bulk(&value(n, 64)));
            [b"*3\r\n".to_vec(), values.concat()].concat()
        },
        commands_each: 4,
    }
}

fn execs() -> Pipeline {
    Pipeline {
        preload: preload(64),
        command: |n| {
            let get = |n: usize| encode(&["GET", &key(n)]);
            [encode(&["MULTI"]), get(n), get(n + 1), encode(&["EXEC"])].concat()
        },
        reply: |n| {
            let replies = [bulk(&value(n, 64)), bulk(&value(n + 1, 64))].concat();
            [&b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n"[..], &replies].concat()
        },
        commands_each: 4,
    }
}

fn send_then_read(shards: usize, pipeline: &Pipeline) {
    let server = Server::ringwell(shards, &[]);
    let mut client = server.connect().with_small_buffers();
    for command in &pipeline.preload {
        client.send(command);
        assert_eq!(client.read_value(), Value::ok());
    }
    let count = commands() / pipeline.commands_each;
    let all: Vec<u8> = (0..count).flat_map(pipeline.command).collect();
    client.send(&all);
    for n in 0..count {
        client.expect(&(pipeline.reply)(n));
    }
    assert_eq!(client.run("PING").text(), "PONG");
}

/// Input enough that much of it waits in the server, with replies that nobody reads.
fn hoard(client: &mut Client, count: usize) {
    let gets: Vec<u8> = (0..count).flat_map(|n| encode(&["GET", &key(n)])).collect();
    client.send(&gets);
}

fn preloaded(shards: usize, args: &[&str], bytes: usize) -> Server {
    let server = Server::ringwell(shards, args);
    let mut client = server.connect();
    for command in preload(bytes) {
        client.send(&command);
        assert_eq!(client.read_value(), Value::ok());
    }
    server
}

/// A field of a client in CLIENT LIST; `None` once it is closed.
fn field(server: &Server, client: &Client, name: &str) -> Option<u64> {
    let list = server.connect().run("CLIENT LIST").text();
    let line = list.lines().find(|line| line.contains(&format!(":{} ", client.local_port())))?;
    let mut fields = line.split(' ').filter_map(|pair| pair.split_once('='));
    fields.find(|(field, _)| *field == name).and_then(|(_, value)| value.parse().ok())
}

/// Much that can be executed at once does not keep a core from its other clients.
fn other_clients_are_served(shards: usize) {
    let server = preloaded(shards, &[], 1);
    let mut client = server.connect();
    client.send(&encode(&["CLIENT", "REPLY", "OFF"]));
    let mut other = server.connect();
    assert_eq!(other.run("CLIENT PAUSE 60000 ALL"), Value::ok());
    hoard(&mut client, COMMANDS);
    client.send(&encode(&["SET", "done", "yes"]));
    client.send(&encode(&["CLIENT", "REPLY", "ON"]));
    // All of it waits in the server by now, but for what the socket holds.
    assert_eq!(other.run("CLIENT UNPAUSE"), Value::ok());
    let mut served = 0;
    let mut other = server.connect();
    while other.run("GET done") == Value::NullBulk {
        served += 1;
    }
    assert!(served >= 10, "{served} commands while {COMMANDS} were executed");
    client.expect(b"+OK\r\n");
}

/// Whoever waits goes on being received from, in order, and is seen to go.
fn waiting_and_paused_clients(shards: usize) {
    let server = preloaded(shards, &[], 1000);
    let mut other = server.connect();
    for begin in ["BLPOP queue 0", "CLIENT PAUSE 60000 ALL"] {
        let mut client = server.connect().with_small_buffers();
        client.send(&encode(&begin.split(' ').collect::<Vec<_>>()));
        if begin.contains("PAUSE") {
            client.expect(b"+OK\r\n");
        } else {
            wait_for("the client to wait", || {
                server.info_number("clients", "blocked_clients") == 1
            });
        }
        hoard(&mut client, COMMANDS);
        if begin.contains("PAUSE") {
            assert_eq!(other.run("CLIENT UNPAUSE"), Value::ok());
        } else {
            assert_eq!(other.run("RPUSH queue x"), Value::Int(1));
            let popped = client.read_value();
            assert!(!popped.is_error(), "{popped:?}");
        }
        for n in 0..COMMANDS {
            client.expect(&bulk(&value(n, 1000)));
        }
    }
    let mut gone = server.connect();
    gone.send(&encode(&["BLPOP", "queue", "0"]));
    hoard(&mut gone, COMMANDS);
    assert_eq!(server.info_number("clients", "blocked_clients"), 1);
    drop(gone);
    wait_for("the client to be forgotten", || {
        server.info_number("clients", "blocked_clients") == 0
    });
}

/// `cat commands | nc -N host port`: the end of the stream comes long before its execution.
fn ended_streams_are_executed(shards: usize) {
    let server = preloaded(shards, &[], 1000);
    let mut client = server.connect().with_small_buffers();
    hoard(&mut client, COMMANDS);
    client.send(&encode(&["SET", "last", "executed"]));
    client.end();
    // Longer than a connection lingers that is owed nothing but time.
    std::thread::sleep(Duration::from_millis(1500));
    for n in 0..COMMANDS {
        client.expect(&bulk(&value(n, 1000)));
    }
    client.expect(b"+OK\r\n");
    assert_eq!(client.read_until_closed(), b"");
    assert_eq!(server.connect().run("GET last").text(), "executed");
}

/// Clients that never read are received from up to the limit, and no further.
fn hoarders_are_closed(shards: usize) {
    const LIMIT: usize = 8 << 20;
    const CLIENTS: usize = 4;
    // A core's pools of buffers take up to 32 MB of the server's own.
    let growth_max = CLIENTS * (LIMIT + (2 << 20)) + (40 << 20) + (shards - 1) * (32 << 20);
    let server = preloaded(shards, &["--client-query-buffer-limit", "8mb"], 1000);
    let before = resident(&server);
    let gets: Vec<u8> = (0..5_000).flat_map(|n| encode(&["GET", &key(n)])).collect();
    let mut hoarders: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
    let mut most = 0;
    for hoarder in &mut hoarders {
        hoarder.set_write_timeout(Duration::from_secs(5));
        let refused = (0..100).any(|_| {
            let refused = hoarder.try_send(&gets).is_err();
            most = most.max(resident(&server).saturating_sub(before));
            refused
        });
        assert!(refused, "100 MB were received");
    }
    assert!(most < growth_max, "grew by {most} bytes");
    assert!(hoarders.iter().all(|hoarder| field(&server, hoarder, "qbuf").is_none()));
}

fn memory_is_counted_and_given_back(shards: usize) {
    let server = preloaded(shards, &[], 1000);
    let before = server.info_number("memory", "mem_clients_normal");
    let mut client = server.connect();
    hoard(&mut client, COMMANDS);
    let held = field(&server, &client, "qbuf").expect("an open connection");
    assert!(held > 4 << 20, "{held} bytes are held");
    assert!(field(&server, &client, "tot-mem") >= Some(held));
    let counted = server.info_number("memory", "mem_clients_normal") - before;
    assert!(counted >= held, "{counted} of {held} bytes are counted");
    for n in 0..COMMANDS {
        client.expect(&bulk(&value(n, 1000)));
    }
    let left = field(&server, &client, "tot-mem").expect("an open connection");
    assert!(left < 1 << 20, "{left} bytes are still held");
}
