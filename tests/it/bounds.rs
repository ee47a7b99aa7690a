//! What no client may do: hold memory, connections or time without bound.

use std::time::Duration;

use libtest_mimic::Trial;

use crate::support::need::PerShards;
use crate::support::{Client, Server, Value, encode, on_one_and_four_shards, wait_for};

pub fn trials() -> Vec<Trial> {
    let tests: [PerShards; 7] = [
        ("client_that_does_not_read", client_that_does_not_read),
        ("stranger_that_does_not_read", stranger_that_does_not_read),
        ("output_limit_closes", output_limit_closes),
        ("query_limit_closes", query_limit_closes),
        ("maxclients", maxclients),
        ("idle_clients_time_out", idle_clients_time_out),
        ("declared_lengths_allocate_nothing", declared_lengths_allocate_nothing),
    ];
    on_one_and_four_shards("bounds", &[], &tests)
}

/// Resident memory of the server, bytes.
pub fn resident(server: &Server) -> usize {
    const PAGE: usize = 4096;
    let path = format!("/proc/{}/statm", server.pid());
    let text = std::fs::read_to_string(path).expect("statm");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * PAGE
}

/// 200 MB of replies are asked for and not read: the server must not keep them ready, and must
/// send every one once the client reads.
fn client_that_does_not_read(shards: usize) {
    const REPLIES: usize = 2000;
    const LENGTH: usize = 100_000;
    // A third of the replies: the allocator takes memory in huge pages, for each size and shard.
    const GROWTH_MAX: usize = 64 << 20;
    let server = Server::ringwell(shards, &[]);
    let value = "v".repeat(LENGTH);
    let mut other = server.connect();
    for n in 0..8 {
        assert_eq!(other.command(&["SET", &format!("key{n}"), &value]), Value::ok());
    }
    let before = resident(&server);
    let mut client = server.connect();
    let address = server.address();
    let requests: Vec<u8> =
        (0..REPLIES).flat_map(|n| encode(&["GET", &format!("key{}", n % 8)])).collect();
    client.send(&requests);
    let mut most = 0;
    for _ in 0..20 {
        most = most.max(resident(&server).saturating_sub(before));
        std::thread::sleep(Duration::from_millis(25));
        // Nobody else suffers.
        assert_eq!(Client::connect(address).run("PING").text(), "PONG");
    }
    assert!(most < GROWTH_MAX, "grew by {most} bytes");
    for n in 0..REPLIES {
        assert!(client.read_value() == Value::bulk(&value), "reply {n}");
    }
    assert_eq!(client.run("PING").text(), "PONG");
    assert!(resident(&server).saturating_sub(before) < GROWTH_MAX);
}

/// Error replies count, and so do clients that have not authenticated (CVE-2025-21605).
fn stranger_that_does_not_read(shards: usize) {
    const GROWTH_MAX: usize = 40 << 20;
    let server = Server::ringwell(shards, &["--requirepass", "s3cret"]);
    let before = resident(&server);
    let mut client = server.connect();
    client.set_write_timeout(Duration::from_millis(300));
    // Until the server takes no more; some hundred MB if it takes everything.
    let requests = b"GET k\r\n".repeat(10_000);
    for _ in 0..1000 {
        if client.try_send(&requests).is_err() {
            break;
        }
    }
    let grown = resident(&server).saturating_sub(before);
    assert!(grown < GROWTH_MAX, "grew by {grown} bytes");
    assert!(server.connect().run("PING").text().starts_with("NOAUTH"));
}

fn output_limit_closes(shards: usize) {
    let server = Server::ringwell(shards, &[]);
    let mut other = server.connect();
    let limit = ["CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 0 0"];
    assert_eq!(other.command(&limit), Value::ok());
    let value = "v".repeat(3 << 20);
    assert_eq!(other.command(&["SET", "big", &value]), Value::ok());
    let mut client = server.connect();
    client.send(&encode(&["GET", "big"]).repeat(20));
    wait_for("the client to be closed", || {
        !other.run("CLIENT LIST").text().contains(&format!(":{} ", client.local_port()))
    });
    assert!(client.read_until_closed().len() < 20 * value.len());
}

fn query_limit_closes(shards: usize) {
    let server = Server::ringwell(shards, &["--client-query-buffer-limit", "1mb"]);
    let mut client = server.connect();
    let _ = client.try_send(b"*2\r\n$4\r\nECHO\r\n$3000000\r\n");
    let _ = client.try_send(&vec![b'x'; 2_900_000]);
    assert_eq!(client.read_until_closed(), b"");
    assert_eq!(server.connect().run("PING").text(), "PONG");
}

fn maxclients(shards: usize) {
    // Beyond `maxclients` there is room for a few connections from the host itself.
    const RESERVED_FOR_LOCAL: usize = 8;
    let server = Server::ringwell(shards, &["--maxclients", "2"]);
    // The connection that waited for the server may still be closing.
    wait_for("an empty server", || {
        server.connect().run("INFO clients").text().contains("connected_clients:1\r\n")
    });
    wait_for("room for ten", || {
        let mut clients: Vec<Client> =
            (0..2 + RESERVED_FOR_LOCAL).map(|_| server.connect()).collect();
        let served = |client: &mut Client| {
            client.send(b"PING\r\n");
            client.try_read_value().is_ok_and(|reply| reply.text() == "PONG")
        };
        if !clients.iter_mut().all(served) {
            return false;
        }
        let mut eleventh = server.connect();
        let said = eleventh.read_until_closed();
        assert_eq!(said, b"-ERR max number of clients reached\r\n");
        assert_eq!(clients[0].run("CONFIG SET maxclients 3"), Value::ok());
        assert_eq!(server.connect().run("PING").text(), "PONG");
        // Asked by one of these: a new connection could come before the server has seen them go.
        let stats = clients[0].run("INFO stats").text();
        assert!(!stats.contains("rejected_connections:0\r\n"), "{stats}");
        assert!(stats.contains("rejected_connections:"), "{stats}");
        true
    });
}

fn idle_clients_time_out(shards: usize) {
    let server = Server::ringwell(shards, &["--timeout", "1"]);
    let mut idle: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    let mut busy = server.connect();
    for _ in 0..30 {
        assert_eq!(busy.run("PING").text(), "PONG");
        std::thread::sleep(Duration::from_millis(100));
    }
    for client in &mut idle {
        client.set_read_timeout(Duration::from_millis(100));
        assert_eq!(client.read_until_closed(), b"");
    }
    assert_eq!(busy.run("PING").text(), "PONG");
}

fn declared_lengths_allocate_nothing(shards: usize) {
    const GROWTH_MAX: usize = 40 << 20;
    let server = Server::ringwell(shards, &[]);
    let before = resident(&server);
    let mut clients: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(b"*1000000\r\n$3\r\nDEL\r\n$500000000\r\nabc");
    }
    assert_eq!(server.connect().run("PING").text(), "PONG");
    std::thread::sleep(Duration::from_millis(200));
    let grown = resident(&server).saturating_sub(before);
    assert!(grown < GROWTH_MAX, "grew by {grown} bytes");
}
