//! What clients can make the server hold.

use crate::history::command;
use crate::world::World;

const VALUE_BYTES: usize = 100_000;
/// What a client may leave unread while its commands are executed, and one reply more.
const UNSENT_BYTES_MAX: usize = (1 << 20) + VALUE_BYTES + 100;

/// A world with a large value at each of these keys.
fn world_with_values(shards: usize, keys: &[&str]) -> World {
    let mut world = World::new(shards, 1);
    world.preload(keys, &"v".repeat(VALUE_BYTES));
    world
}

/// A field of the last client in CLIENT LIST, as a client of another core sees it.
fn field_of(world: &mut World, client: usize, field: &str) -> usize {
    let observer = world.connect(0);
    field_seen_by(world, observer, client, field)
}

fn field_seen_by(world: &mut World, observer: usize, client: usize, field: &str) -> usize {
    world.received(observer);
    let id = (client + 1).to_string();
    world.send(observer, &command(&["CLIENT", "LIST", "ID", &id]));
    world.run_until_idle();
    let line = String::from_utf8(world.received(observer)).expect("a line of text");
    let mut fields = line.split(' ').filter_map(|pair| pair.split_once('='));
    let (_, value) = fields.find(|(name, _)| *name == field).expect("a field of CLIENT LIST");
    value.parse().expect("a number")
}

/// Bytes of replies held for a client, in either place.
fn unsent(world: &mut World, client: usize) -> usize {
    field_of(world, client, "obl") + field_of(world, client, "omem")
}

#[test]
fn commands_of_a_client_that_does_not_read_are_received_and_not_executed() {
    let inline = b"GET a\r\n".to_vec();
    for (shards, request) in
        [(1, command(&["GET", "a"])), (1, inline.clone()), (4, command(&["GET", "a"])), (4, inline)]
    {
        let mut world = world_with_values(shards, &["a"]);
        for core in 0..shards {
            let client = world.connect(core);
            world.stop_reading(client);
            let pipeline = request.repeat(2_000);
            world.send(client, &pipeline);
            world.run_until_idle();
            let unsent = unsent(&mut world, client);
            let at_once = if shards == 1 { 0 } else { 40 * VALUE_BYTES };
            assert!(unsent <= UNSENT_BYTES_MAX + at_once, "{unsent} bytes for {shards} shards");
            assert!(!world.has_unsent(client), "it is not received from");
            let waiting = field_of(&mut world, client, "qbuf");
            assert!(waiting > pipeline.len() * 9 / 10, "{waiting} bytes wait");
            assert!(field_of(&mut world, client, "tot-mem") >= waiting + unsent);
        }
    }
}

/// Input beyond `client-query-buffer-limit` closes its client, whatever it waits for.
#[test]
fn input_is_bounded_whatever_its_client_waits_for() {
    let waits = [
        command(&["BLPOP", "queue", "0"]),
        command(&["CLIENT", "PAUSE", "60000", "WRITE"]),
        command(&["GET", "a"]).repeat(200),
    ];
    for shards in [1, 4] {
        for wait in &waits {
            let mut world = world_with_values(shards, &["a"]);
            let observer = world.connect(0);
            let limit = ["CONFIG", "SET", "client-query-buffer-limit", "1mb"];
            world.send(observer, &command(&limit));
            world.run_until_idle();
            let client = world.connect(shards - 1);
            world.stop_reading(client);
            world.send(client, wait);
            world.send(client, &command(&["SET", "b", &"v".repeat(1000)]).repeat(900));
            world.run_until_idle();
            assert!(world.is_open(client) && !world.has_unsent(client));
            world.send(client, &command(&["SET", "b", &"v".repeat(1000)]).repeat(200));
            world.run_until_idle();
            assert!(world.was_dropped(client), "more than 1 MiB waits");
        }
    }
}

/// Who has not authenticated keeps small bounds: it is not received from.
#[test]
fn strangers_that_do_not_read_are_not_received_from() {
    for shards in [1, 4] {
        let mut world = World::new(shards, 3);
        let observer = world.connect(0);
        world.send(observer, &command(&["CONFIG", "SET", "requirepass", "secret"]));
        world.run_until_idle();
        let client = world.connect(0);
        world.stop_reading(client);
        for _ in 0..40 {
            world.send(client, &command(&["GET", "a"]).repeat(5_000));
            world.run_until_idle();
        }
        assert!(world.has_unsent(client));
        let waiting = field_seen_by(&mut world, observer, client, "qbuf");
        assert!(waiting <= 64 * 1024 + 5_000 * 22, "{waiting} bytes wait");
    }
}

/// The budget is everybody's: it makes no difference which core the client is on and which shard
/// takes the memory.
#[test]
fn maxmemory_holds_whichever_shard_is_filled() {
    for core in 0..4 {
        let mut world = World::new(4, core as u64);
        let client = world.connect(core);
        world.send(
            client,
            &command(&["CONFIG", "SET", "maxmemory", "2mb", "maxmemory-policy", "noeviction"]),
        );
        world.run_until_idle();
        assert_eq!(world.received(client), b"+OK\r\n");
        let value = "v".repeat(10_000);
        for key in 0..400 {
            let (one, other) = (format!("{{t}}{key}"), format!("{{u}}{key}"));
            world.send(client, &command(&["MSET", &one, &value, &other, &value]));
            world.send(client, &command(&["SET", &one, &value]));
            world.run_until_idle();
        }
        let replies = String::from_utf8(world.received(client)).expect("text");
        let accepted = replies.matches("+OK").count() / 2;
        assert!((60..110).contains(&accepted), "{accepted} times 20 kB on core {core}");
        let oom = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
        assert!(replies.ends_with(&oom.repeat(100)), "{}", &replies[replies.len() - 100..]);
        // What is freed on another core can be used again.
        world.send(client, &command(&["FLUSHALL"]));
        world.run_until_idle();
        world.send(client, &command(&["SET", "{t}1", &value]));
        world.run_until_idle();
        assert_eq!(world.received(client), b"+OK\r\n+OK\r\n");
    }
}

/// A short request that names the same large thing again and again.
#[test]
fn replies_are_bounded_where_requests_repeat_themselves() {
    let keys = ["a", "b", "c", "d"];
    let too_long = "-ERR reply exceeds maximum allowed size (client-query-buffer-limit)\r\n";
    for shards in [1, 4] {
        let mut world = world_with_values(shards, &keys);
        let client = world.connect(0);
        for name in ["proto-max-bulk-len", "client-query-buffer-limit"] {
            world.send(client, &command(&["CONFIG", "SET", name, "1mb"]));
        }
        world.run_until_idle();
        world.received(client);
        // On one shard, and on several of which each has a little less than what is allowed.
        let one = [&["MGET"][..], &["a"; 11]].concat();
        let several = [&["MGET"][..], &keys, &keys, &keys].concat();
        let docs = [&["COMMAND", "DOCS"][..], &["client"; 1_000]].concat();
        let info = [&["COMMAND", "INFO"][..], &["client"; 1_000]].concat();
        let list = [&["CLIENT", "LIST", "ID"][..], &["1"; 10_000]].concat();
        for words in [one, several, docs, info, list] {
            world.send(client, &command(&words));
            world.run_until_idle();
            let reply = world.received(client);
            assert!(reply.len() < 1000, "{} bytes for {} words", reply.len(), words.len());
            assert_eq!(String::from_utf8_lossy(&reply), too_long);
        }
        world.send(client, &command(&["MGET", "a", "b", "c", "a"]));
        world.run_until_idle();
        assert_eq!(world.received(client).len(), 4 * (VALUE_BYTES + 11) + 4);
    }
}

/// Under steady commands over several shards there may be locks at every tick.
#[test]
fn expired_keys_are_reclaimed_while_keys_are_locked() {
    let mut world = World::still(2, 1);
    let client = world.connect(0);
    for key in 0..100 {
        world.send(client, &command(&["SET", &format!("k{key}"), "v", "PX", "5"]));
    }
    world.run_until_idle();
    world.received(client);
    // The other core is never given its part, so the client's own shard stays locked.
    world.send(client, &command(&["MSET", "a", "1", "b", "2"]));
    world.run_only(0, 20);
    world.wait_ms(1_500);
    let other = world.connect(0);
    world.run_until_idle();
    assert_eq!(world.received(client), b"+OK\r\n");
    world.send(other, &command(&["DBSIZE"]));
    world.run_until_idle();
    assert_eq!(world.received(other), b":2\r\n");
}

/// A client that asks for much, then for the end, and reads nothing is still idle, and can still
/// be killed.
#[test]
fn closing_clients_can_be_closed() {
    let mut world = world_with_values(2, &["a"]);
    let observer = world.connect(0);
    world.send(observer, &command(&["CONFIG", "SET", "timeout", "10"]));
    let clients: Vec<usize> = (0..2).map(|core| world.connect(core)).collect();
    for &client in &clients {
        world.stop_reading(client);
        world.send(client, &[command(&["GET", "a"]), command(&["QUIT"])].concat());
    }
    world.run_until_idle();
    assert!(clients.iter().all(|&client| !world.was_dropped(client)));
    let id = (clients[1] + 1).to_string();
    world.received(observer);
    world.send(observer, &command(&["CLIENT", "KILL", "ID", &id]));
    world.run_until_idle();
    assert_eq!(world.received(observer), b":1\r\n");
    assert!(world.was_dropped(clients[1]));
    world.wait_ms(11_000);
    assert!(world.was_dropped(clients[0]));
}

/// Redis counts what is sent as activity, and spares clients that wait for the server.
#[test]
fn only_idle_clients_time_out() {
    let mut world = world_with_values(1, &["a"]);
    let (observer, paused) = (world.connect(0), world.connect(0));
    world.send(observer, &command(&["CONFIG", "SET", "timeout", "10"]));
    world.send(observer, &command(&["CLIENT", "PAUSE", "30000", "WRITE"]));
    world.run_until_idle();
    world.send(paused, &command(&["SET", "a", "b"]));
    world.run_until_idle();
    world.wait_ms(9_000);
    world.send(observer, &command(&["PING"]));
    world.run_until_idle();
    world.wait_ms(9_000);
    assert!(world.is_open(observer) && world.is_open(paused));
    world.wait_ms(13_000);
    assert!(!world.is_open(observer), "idle for 22 seconds");
    assert_eq!(world.received(paused), b"+OK\r\n");
}

/// However many small replies came before, only so many large ones are asked for.
#[test]
fn a_client_that_does_not_read_is_not_trusted_for_its_past() {
    let keys = ["a", "b", "c", "d"];
    let mut world = world_with_values(4, &keys);
    for key in keys {
        let client = world.connect(0);
        world.send(client, &command(&["GET", "nosuch"]).repeat(5_000));
        world.run_until_idle();
        world.stop_reading(client);
        world.send(client, &command(&["GET", key]).repeat(5_000));
        world.run_until_idle();
        let unsent = unsent(&mut world, client);
        assert!(unsent <= UNSENT_BYTES_MAX + 256 * VALUE_BYTES, "{unsent} bytes");
    }
}

/// Whatever went back and forth between the cores, nothing stays on the account of clients that
/// are gone. While they are there every report checks that the sum of a core is that of its
/// sessions.
#[test]
fn memory_of_clients_is_counted_and_forgotten() {
    for shards in [1, 4] {
        let mut world = World::new(shards, 7);
        let observer = world.connect(0);
        let idle = client_memory(&mut world, observer);
        let clients: Vec<usize> = (0..shards).map(|core| world.connect(core)).collect();
        let value = "v".repeat(VALUE_BYTES);
        for (n, &client) in clients.iter().enumerate() {
            for round in 0..20 {
                let (one, other) = (format!("{n}-{round}"), format!("{round}-{n}"));
                world.send(client, &command(&["MSET", &one, &value, &other, &value]));
                world.send(client, &command(&["RENAME", &one, &format!("x{other}")]));
                world.send(client, &command(&["GET", &other]));
                world.send(client, &command(&["MGET", &one, &other]));
            }
            // The beginning of a command.
            world.send(client, &command(&["SET", "k", &value])[..VALUE_BYTES / 2]);
            world.run_some();
            client_memory(&mut world, observer);
        }
        // Clients that had much unsent are read from again.
        while clients.iter().any(|&client| world.has_unsent(client)) {
            world.wait_ms(1);
            world.run_until_idle();
        }
        let busy = client_memory(&mut world, observer);
        assert!(busy > idle + shards * VALUE_BYTES / 2, "{idle} {busy}");
        for &client in &clients {
            world.received(client);
            world.disconnect(client);
        }
        world.run_until_idle();
        let after = client_memory(&mut world, observer);
        if shards == 1 {
            assert!(after < idle + 4096, "{idle} {after}");
        } else {
            // Batches keep some buffers for the next ones.
            assert!(after < busy, "{after} {busy}");
        }
    }
}

fn client_memory(world: &mut World, observer: usize) -> usize {
    world.received(observer);
    world.send(observer, &command(&["INFO", "memory"]));
    world.run_until_idle();
    let text = String::from_utf8(world.received(observer)).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix("mem_clients_normal:"));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}
