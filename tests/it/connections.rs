//! Commands about connections, seen from other connections, which in Ringwell are often on other
//! cores.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::support::{Client, Server, Value, test, wait_for};

const SHARDS: usize = 4;

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 10] = [
        ("list_shows_all", list_shows_all),
        ("list_filters", list_filters),
        ("kill_by_id_and_address", kill_by_id_and_address),
        ("kill_filters", kill_filters),
        ("pause_and_unpause", pause_and_unpause),
        ("pause_write_lets_reads_through", pause_write_lets_reads_through),
        ("pipelines_stay_in_order", pipelines_stay_in_order),
        ("telnet_then_info", telnet_then_info),
        ("info_has_redis_fields", info_has_redis_fields),
        ("resets_in_the_middle", resets_in_the_middle),
    ];
    tests.map(|(name, run)| test(format!("connections::{name}"), run)).into()
}

fn start(connections: usize) -> (Server, Vec<Client>) {
    let server = Server::ringwell(SHARDS, &[]);
    let clients = (0..connections).map(|_| server.connect()).collect();
    (server, clients)
}

fn list_shows_all() {
    let (_server, mut clients) = start(20);
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.run(&format!("CLIENT SETNAME name{n}")), Value::ok());
        assert_eq!(client.run("CLIENT SETINFO LIB-NAME lib"), Value::ok());
        client.run(&format!("SELECT {}", n % 16));
    }
    let list = clients[3].run("CLIENT LIST").text();
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 20, "{list}");
    for (n, client) in clients.iter_mut().enumerate() {
        let port = client.local_port();
        let line = lines
            .iter()
            .find(|line| line.contains(&format!(" addr=127.0.0.1:{port} ")))
            .unwrap_or_else(|| panic!("port {port} is not in:\n{list}"));
        for field in
            [&format!(" name=name{n} "), &format!(" db={} ", n % 16), " lib-name=lib ", " flags=N "]
        {
            assert!(line.contains(field), "{field:?} is not in {line}");
        }
        let id = client.run("CLIENT ID").int();
        assert!(line.starts_with(&format!("id={id} ")), "{line}");
    }
    let info = clients[5].run("CLIENT INFO").text();
    assert!(info.contains(" name=name5 ") && info.lines().count() == 1, "{info}");
}

fn list_filters() {
    let (_server, mut clients) = start(6);
    let ids: Vec<i64> = clients.iter_mut().map(|c| c.run("CLIENT ID").int()).collect();
    let list = clients[0].run(&format!("CLIENT LIST ID {} {} 999999", ids[2], ids[4])).text();
    assert_eq!(list.lines().count(), 2, "{list}");
    assert_eq!(clients[0].run("CLIENT LIST TYPE normal").text().lines().count(), 6);
    assert_eq!(clients[0].run("CLIENT LIST TYPE pubsub").text(), "");
    assert_eq!(clients[0].run("CLIENT LIST TYPE x").text(), "ERR Unknown client type 'x'");
    assert_eq!(clients[0].run("CLIENT LIST x").text(), "ERR syntax error");
    assert_eq!(clients[0].run("CLIENT LIST ID x").text(), "ERR Invalid client ID");
}

fn kill_by_id_and_address() {
    let (_server, mut clients) = start(12);
    let mut killer = clients.pop().expect("a client");
    for (n, mut victim) in clients.into_iter().enumerate() {
        if n % 2 == 0 {
            let id = victim.run("CLIENT ID").int();
            assert_eq!(killer.run(&format!("CLIENT KILL ID {id}")), Value::Int(1));
            assert_eq!(killer.run(&format!("CLIENT KILL ID {id}")), Value::Int(0));
        } else {
            let address = format!("127.0.0.1:{}", victim.local_port());
            assert_eq!(killer.run(&format!("CLIENT KILL {address}")), Value::ok());
            let again = killer.run(&format!("CLIENT KILL {address}"));
            assert_eq!(again.text(), "ERR No such client");
        }
        assert_eq!(victim.read_until_closed(), b"");
    }
    assert_eq!(killer.run("CLIENT LIST").text().lines().count(), 1);
}

fn kill_filters() {
    let (server, mut clients) = start(8);
    let mut killer = server.connect();
    for client in &mut clients {
        assert_eq!(client.run("PING").text(), "PONG");
    }
    let laddr = format!("127.0.0.1:{}", server.port);
    assert_eq!(killer.run("CLIENT KILL USER default TYPE pubsub"), Value::Int(0));
    assert_eq!(killer.run(&format!("CLIENT KILL LADDR {laddr} TYPE normal")), Value::Int(8));
    for client in &mut clients {
        assert_eq!(client.read_until_closed(), b"");
    }
    // Oneself last, with the answer first.
    assert_eq!(killer.run("CLIENT KILL USER default SKIPME no"), Value::Int(1));
    assert_eq!(killer.read_until_closed(), b"");
}

fn pause_and_unpause() {
    let (_server, mut clients) = start(8);
    for client in &mut clients {
        assert_eq!(client.run("PING").text(), "PONG");
    }
    let start = Instant::now();
    assert_eq!(clients[0].run("CLIENT PAUSE 400"), Value::ok());
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(format!("SET key{n} v\r\n").as_bytes());
    }
    for client in &mut clients {
        assert_eq!(client.read_value(), Value::ok());
    }
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(390), "only {waited:?}");

    let start = Instant::now();
    assert_eq!(clients[0].run("CLIENT PAUSE 60000 ALL"), Value::ok());
    clients[1].send(b"GET key1\r\n");
    clients[1].expect_silence(Duration::from_millis(100));
    assert_eq!(clients[0].run("CLIENT UNPAUSE"), Value::ok());
    assert_eq!(clients[1].read_value(), Value::bulk("v"));
    assert!(start.elapsed() < Duration::from_secs(10));
}

fn pause_write_lets_reads_through() {
    let (_server, mut clients) = start(6);
    assert_eq!(clients[0].run("CLIENT PAUSE 60000 WRITE"), Value::ok());
    for n in 0..4 {
        assert_eq!(clients[1].run(&format!("GET key{n}")), Value::NullBulk);
        clients[2 + n].send(format!("SET key{n} v\r\n").as_bytes());
    }
    for client in &mut clients[2..] {
        client.expect_silence(Duration::from_millis(30));
    }
    assert_eq!(clients[1].run("CLIENT UNPAUSE"), Value::ok());
    for client in &mut clients[2..] {
        assert_eq!(client.read_value(), Value::ok());
    }
}

/// One pipeline with keys of all shards, many times over one key: replies come in the order sent,
/// and each key's commands take effect in that order.
fn pipelines_stay_in_order() {
    let (server, mut clients) = start(4);
    const ROUNDS: usize = 500;
    let mut pipeline = Vec::new();
    for round in 0..ROUNDS {
        for key in 0..10 {
            pipeline.extend(crate::support::encode(&["INCR", &format!("{{{key}}}n")]));
        }
        pipeline.extend(crate::support::encode(&["ECHO", &round.to_string()]));
        pipeline.extend(crate::support::encode(&["MGET", "{3}n", "{7}n", "nosuch"]));
    }
    let client = &mut clients[0];
    std::thread::scope(|scope| {
        let address = server.address();
        scope.spawn(move || {
            // Somebody else's traffic between.
            let mut other = Client::connect(address);
            for n in 0..2000 {
                assert!(!other.run(&format!("INCR other{}", n % 7)).is_error());
            }
        });
        client.send(&pipeline);
        for round in 0..ROUNDS {
            let number = round as i64 + 1;
            for _ in 0..10 {
                assert_eq!(client.read_value(), Value::Int(number));
            }
            assert_eq!(client.read_value(), Value::bulk(round.to_string()));
            let text = Value::bulk(number.to_string());
            let expected = vec![text.clone(), text, Value::NullBulk];
            assert_eq!(client.read_value(), Value::Array(expected));
        }
    });
}

fn telnet_then_info() {
    let (_server, mut clients) = start(1);
    clients[0].send(b"info\r\n");
    let text = clients[0].read_value().text();
    assert!(text.starts_with("# Server\r\n"), "{text}");
    clients[0].send(b"info nosuch\r\n");
    assert_eq!(clients[0].read_value().text(), "");
}

fn info_has_redis_fields() {
    let (server, mut clients) = start(3);
    let text = clients[0].run("INFO").text();
    for line in ["redis_version:7.2.4", "multiplexing_api:io_uring", "redis_mode:standalone"] {
        assert!(text.contains(&format!("{line}\r\n")), "{line} is not in:\n{text}");
    }
    for section in ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU"] {
        assert!(text.contains(&format!("# {section}\r\n")), "no {section} in:\n{text}");
    }
    for field in [
        "ringwell_version",
        "process_id",
        "run_id",
        "tcp_port",
        "uptime_in_seconds",
        "executable",
        "config_file",
        "connected_clients",
        "maxclients",
        "blocked_clients",
        "used_memory",
        "used_memory_human",
        "used_memory_rss",
        "maxmemory",
        "maxmemory_policy",
        "loading",
        "total_connections_received",
        "total_commands_processed",
        "total_net_input_bytes",
        "rejected_connections",
        "expired_keys",
        "evicted_keys",
        "keyspace_hits",
        "keyspace_misses",
        "role",
        "connected_slaves",
        "used_cpu_sys",
        "used_cpu_user",
    ] {
        assert!(text.contains(&format!("\r\n{field}:")), "no {field} in:\n{text}");
    }
    assert!(text.contains(&format!("tcp_port:{}\r\n", server.port)));
    for n in 0..20 {
        clients[1].run(&format!("SET key{n} v EX 1000"));
    }
    clients[1].run("SELECT 3");
    clients[1].run("SET k v");
    let keyspace = clients[2].run("INFO keyspace").text();
    assert!(keyspace.contains("db0:keys=20,expires=20,avg_ttl="), "{keyspace}");
    assert!(keyspace.contains("db3:keys=1,expires=0,avg_ttl=0"), "{keyspace}");
    let both = clients[2].run("INFO server cpu").text();
    assert!(both.contains("# Server") && both.contains("# CPU") && !both.contains("# Stats"));
    let shards = clients[2].run("INFO shards").text();
    let of_one = |line: &&str| line.starts_with("shard") && line.contains(":cpu=");
    assert_eq!(shards.lines().filter(of_one).count(), SHARDS, "{shards}");
}

/// Clients that vanish while their commands are under way on other shards.
fn resets_in_the_middle() {
    let (server, mut clients) = start(2);
    for round in 0..200 {
        let mut client = server.connect();
        let mut pipeline = Vec::new();
        for key in 0..200 {
            pipeline.extend(crate::support::encode(&["SET", &format!("k{key}"), "v"]));
            pipeline.extend(crate::support::encode(&["MGET", "a", "b", "c", "k1"]));
        }
        client.send(&pipeline);
        match round % 10 {
            // The first replies have come, the others never will.
            0 => assert_eq!(client.read_value(), Value::ok()),
            n if n % 2 == 0 => client.reset(),
            _ => drop(client),
        }
    }
    assert_eq!(clients[0].run("PING").text(), "PONG");
    // What they had under way goes on, maybe for a while, but is in nobody's way.
    for key in 0..200 {
        assert_eq!(clients[1].run(&format!("SET k{key} w")), Value::ok());
        let value = clients[0].run(&format!("GET k{key}")).text();
        assert!(value == "v" || value == "w", "{value}");
    }
    wait_for("the others to be forgotten", || {
        clients[0].run("CLIENT LIST").text().lines().count() == 2
    });
}
