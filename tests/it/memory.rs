//! What the server says of its memory, and that `maxmemory` counts all of it.

use std::collections::BTreeMap;

use libtest_mimic::Trial;

use crate::support::need::PerShards;
use crate::support::server::info;
use crate::support::{
    Client, Need, Server, Value, on_one_and_four_shards, test, test_with, wait_for,
};

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
const MB: usize = 1 << 20;

pub fn trials() -> Vec<Trial> {
    let tests: [PerShards; 4] = [
        ("query_buffers_count", query_buffers_count),
        ("unread_replies_count", unread_replies_count),
        ("usage_adds_up", usage_adds_up),
        ("purge_gives_memory_back", purge_gives_memory_back),
    ];
    let mut trials = on_one_and_four_shards("memory", &[], &tests);
    trials.push(test("memory::percentage_is_shown_in_bytes", percentage_is_shown_in_bytes));
    trials.push(test("memory::allocator_tells_about_itself", allocator_tells_about_itself));
    for protocol in [2, 3] {
        let name = format!("memory::stats_in_resp{protocol}_has_the_fields_of_redis");
        trials.push(test_with(&[Need::RedisServer], name, move || compare_stats(protocol)));
    }
    trials.push(test_with(
        &[Need::RedisServer],
        "memory::info_and_help_are_those_of_redis",
        compare_info,
    ));
    trials
}

fn number(client: &mut Client, section: &str, field: &str) -> u64 {
    let fields = info(client, section);
    let found = fields.iter().find(|(name, _)| name == field);
    let (_, value) = found.unwrap_or_else(|| panic!("no {field} in {fields:?}"));
    value.parse().unwrap_or_else(|_| panic!("{field} is {value}"))
}

/// Commands that many clients have begun and not ended use the budget up for everybody, until
/// those clients are gone.
fn query_buffers_count(shards: usize) {
    const CLIENTS: usize = 40;
    let server =
        Server::ringwell(shards, &["--maxmemory", "20mb", "--maxmemory-policy", "noeviction"]);
    let mut observer = server.connect();
    assert_eq!(observer.run("SET before v"), Value::ok());
    let before = number(&mut observer, "memory", "used_memory");
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
    let piece = vec![b'x'; MB];
    for client in &mut clients {
        client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000000\r\n");
        client.send(&piece);
    }
    wait_for("the buffers to be counted", || {
        number(&mut observer, "memory", "mem_clients_normal") >= (CLIENTS * MB) as u64
    });
    let used = number(&mut observer, "memory", "used_memory");
    assert!(used >= before + (CLIENTS * MB) as u64, "{before} {used}");
    assert!(used <= before + (CLIENTS * 3 * MB) as u64, "{before} {used}");
    // Whichever core and shard: the budget is everybody's.
    for n in 0..8 {
        let mut writer = server.connect();
        wait_for("writes to be refused", || {
            writer.run(&format!("SET key{n} v")) == Value::Error(OOM.into())
        });
        assert_eq!(writer.run("GET before"), Value::bulk("v"));
    }
    wait_for("the time over the limit to be measured", || {
        number(&mut observer, "stats", "current_eviction_exceeded_time") > 0
    });
    let list = observer.run("CLIENT LIST").text();
    let field = |line: &str, name: &str| -> usize {
        let found = line.split(' ').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        found.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name}: {line}"))
    };
    let holds = |line: &&str| {
        let (used, free) = (field(line, "qbuf"), field(line, "qbuf-free"));
        used > MB && field(line, "tot-mem") >= used + free
    };
    assert_eq!(list.lines().filter(holds).count(), CLIENTS, "{list}");
    let doctor = observer.run("MEMORY DOCTOR").text();
    assert!(
        doctor.contains(" * Full: ") && doctor.contains(" * Large client buffers: "),
        "{doctor}"
    );
    drop(clients);
    let mut writer = server.connect();
    wait_for("writes to be accepted again", || writer.run("SET after v") == Value::ok());
    wait_for("the buffers to be forgotten", || {
        number(&mut observer, "memory", "mem_clients_normal") < MB as u64
    });
    let after = number(&mut observer, "memory", "used_memory");
    assert!(after <= used - (CLIENTS * MB) as u64, "{used} {after}");
    let peak = number(&mut observer, "memory", "used_memory_peak");
    assert!(peak >= before + (CLIENTS * MB) as u64, "{before} {peak}");
    wait_for("every core to notice", || {
        number(&mut observer, "stats", "current_eviction_exceeded_time") == 0
    });
    assert!(number(&mut observer, "stats", "total_eviction_exceeded_time") > 0);
}

fn unread_replies_count(shards: usize) {
    let server = Server::ringwell(shards, &[]);
    let mut observer = server.connect();
    let value = "v".repeat(20 * MB);
    assert_eq!(observer.command(&["SET", "large", &value]), Value::ok());
    wait_for("what the value came in to be given back", || {
        number(&mut observer, "memory", "mem_clients_normal") < MB as u64
    });
    let mut client = server.connect();
    client.send(b"GET large\r\n");
    // The kernel takes some megabytes of it.
    wait_for("the reply to be counted", || {
        number(&mut observer, "memory", "mem_clients_normal") > 10 * MB as u64
    });
    let overhead = number(&mut observer, "memory", "used_memory_overhead");
    assert!(overhead > 10 * MB as u64, "{overhead}");
    assert_eq!(client.read_value(), Value::bulk(&value));
    wait_for("the reply to be forgotten", || {
        number(&mut observer, "memory", "mem_clients_normal") < MB as u64
    });
}

/// What all keys take together is what INFO calls the dataset, and their tables.
fn usage_adds_up(shards: usize) {
    const KEYS: usize = 2_000;
    let server = Server::ringwell(shards, &[]);
    let mut client = server.connect();
    for n in 0..KEYS {
        let value = "v".repeat(n % 300);
        assert_eq!(client.command(&["SET", &format!("key{n}"), &value]), Value::ok());
    }
    let usage = |n| client.command(&["MEMORY", "USAGE", &format!("key{n}")]).int() as u64;
    let all: u64 = (0..KEYS).map(usage).sum();
    let stats = stats(&mut server.connect());
    let of = |field: &str| stats[field].int() as u64;
    let db = stats["db.0"].pairs();
    assert_eq!(db[0].0.text(), "overhead.hashtable.main");
    let held = of("dataset.bytes") + db[0].1.int() as u64;
    // Not everything besides the entries has a share for each key.
    assert!((of("dataset.bytes")..=held).contains(&all), "{all} {held}");
    assert_eq!(of("keys.count"), KEYS as u64);
    assert_eq!(of("total.allocated"), of("overhead.total") + of("dataset.bytes"));
    let (counted, keys) = (of("total.allocated") - of("startup.allocated"), KEYS as u64);
    assert_eq!(of("keys.bytes-per-key"), counted / keys);
}

fn stats(client: &mut Client) -> BTreeMap<String, Value> {
    let pairs = client.run("MEMORY STATS").pairs();
    pairs.into_iter().map(|(name, value)| (name.text(), value)).collect()
}

fn purge_gives_memory_back(shards: usize) {
    const VALUES: usize = 64;
    let server = Server::ringwell(shards, &[]);
    let mut client = server.connect();
    let value = "v".repeat(MB);
    for n in 0..VALUES {
        assert_eq!(client.command(&["SET", &format!("key{n}"), &value]), Value::ok());
    }
    let filled = number(&mut client, "memory", "used_memory_rss");
    assert!(filled > (VALUES * MB) as u64, "{filled}");
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    wait_for("the memory to be given back", || {
        assert_eq!(client.run("MEMORY PURGE"), Value::ok());
        number(&mut client, "memory", "used_memory_rss") < filled - (VALUES * MB) as u64 / 2
    });
    let peak = number(&mut client, "memory", "used_memory_peak");
    assert!(peak > (VALUES / 2 * MB) as u64, "{peak}");
}

fn percentage_is_shown_in_bytes() {
    let server = Server::ringwell(1, &["--maxmemory", "50%"]);
    let mut client = server.connect();
    let shown = client.run("CONFIG GET maxmemory").items()[1].text();
    let max: u64 = shown.parse().expect("bytes");
    assert_eq!(number(&mut client, "memory", "maxmemory"), max);
    let machine = number(&mut client, "memory", "total_system_memory");
    assert!(max > 0 && max <= machine / 2, "{max} of {machine}");
    assert_eq!(client.run("CONFIG SET maxmemory 25%"), Value::ok());
    let quarter = client.run("CONFIG GET maxmem*y").items()[1].text();
    assert!(quarter.parse::<u64>().expect("bytes").abs_diff(max / 2) <= 1, "{quarter} {max}");
}

fn allocator_tells_about_itself() {
    let server = Server::ringwell(1, &[]);
    let mut client = server.connect();
    let report = client.run("MEMORY MALLOC-STATS").text();
    assert!(report.contains("committed") && report.contains("process"), "{report}");
    assert!(client.run("MEMORY DOCTOR").text().contains("too little to judge"));
}

/// The names in order, each with the type of its value; those of a database's fields too.
fn shape(client: &mut Client) -> Vec<(String, &'static str)> {
    let mut shape = Vec::new();
    for (name, value) in client.run("MEMORY STATS").pairs() {
        let kind = kind(&value);
        shape.push((name.text(), kind));
        if matches!(kind, "array" | "map") {
            let inner = value.pairs().into_iter();
            shape.extend(inner.map(|(field, value)| (field.text(), self::kind(&value))));
        }
    }
    shape
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Int(_) => "integer",
        Value::Double(_) => "double",
        Value::Bulk(_) => "bulk",
        Value::Array(_) => "array",
        Value::Map(_) => "map",
        other => panic!("unexpected in MEMORY STATS: {other:?}"),
    }
}

fn compare_stats(protocol: u8) {
    let (ringwell, redis) = (Server::ringwell(4, &[]), Server::redis(&[]));
    let shapes = [ringwell, redis].map(|server| {
        let mut client = server.connect();
        assert_eq!(client.run("SET a 1"), Value::ok());
        assert_eq!(client.run("SELECT 3"), Value::ok());
        assert_eq!(client.run("SET b 1 EX 100"), Value::ok());
        client.run(&format!("HELLO {protocol}"));
        shape(&mut client)
    });
    assert_eq!(shapes[0].len(), 27 + 2 * 4, "{:?}", shapes[0]);
    assert_eq!(shapes[0], shapes[1]);
}

/// Redis 7.0 has all of 7.2's fields but a few of the statistics; ours begin with theirs.
fn compare_info() {
    let (ringwell, redis) = (Server::ringwell(4, &[]), Server::redis(&[]));
    let names = |server: &Server| -> Vec<String> {
        server.info("memory").into_iter().map(|(name, _)| name).collect()
    };
    let ours: Vec<String> =
        names(&ringwell).into_iter().filter(|name| name != "used_memory_server").collect();
    assert_eq!(ours, names(&redis));
    let help = |server: &Server| server.connect().run("MEMORY HELP");
    assert_eq!(help(&ringwell), help(&redis));
    let ours = ringwell.info("stats");
    for (name, _) in redis.info("stats") {
        assert!(ours.iter().any(|(ours, _)| *ours == name), "no {name} in INFO stats");
    }
}
