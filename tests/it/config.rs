//! Configuration from files and arguments, and CONFIG GET, SET, REWRITE and RESETSTAT.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::support::{Client, Need, Scratch, Server, Value, test, test_with};

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 12] = [
        ("arguments_override_the_file", arguments_override_the_file),
        ("file_syntax", file_syntax),
        ("get_globs", get_globs),
        ("set_then_get", set_then_get),
        ("set_is_all_or_nothing", set_is_all_or_nothing),
        ("set_refuses", set_refuses),
        ("rewrite_round_trips", rewrite_round_trips),
        ("passwords_are_bytes", passwords_are_bytes),
        ("rewrite_without_a_file", rewrite_without_a_file),
        ("sample_file_is_accepted", sample_file_is_accepted),
        ("reset_stat", reset_stat),
        ("set_reaches_every_core", set_reaches_every_core),
    ];
    let mut trials: Vec<Trial> =
        tests.map(|(name, run)| test(format!("config::{name}"), run)).into();
    let beside_redis: [(&str, fn()); 3] = [
        ("answers_what_redis_benchmark_asks", answers_what_redis_benchmark_asks),
        ("names_and_passwords_are_as_in_redis", names_and_passwords_are_as_in_redis),
        ("percentiles_are_as_in_redis", percentiles_are_as_in_redis),
    ];
    trials.extend(
        beside_redis
            .map(|(name, run)| test_with(&[Need::RedisServer], format!("config::{name}"), run)),
    );
    trials
}

/// The value of one directive.
fn get(client: &mut Client, name: &str) -> String {
    let pairs = client.command(&["CONFIG", "GET", name]).pairs();
    assert_eq!(pairs.len(), 1, "{name}: {pairs:?}");
    pairs[0].1.text()
}

fn set(client: &mut Client, pairs: &[&str]) -> Value {
    client.command(&[&["CONFIG", "SET"], pairs].concat())
}

fn arguments_override_the_file() {
    let scratch = Scratch::new("config");
    let file = scratch.file("ringwell.conf");
    fs::write(&file, "maxclients 100\ntimeout 30\n").expect("writing the file");
    let mut command = std::process::Command::new(crate::support::server::ringwell());
    command.arg(&file);
    let server = Server::start("ringwell", command, &["--shards", "1", "--maxclients", "200"]);
    let mut client = server.connect();
    assert_eq!(get(&mut client, "maxclients"), "200");
    assert_eq!(get(&mut client, "timeout"), "30");
}

fn file_syntax() {
    let scratch = Scratch::new("config");
    let file = scratch.file("ringwell.conf");
    let inner = scratch.file("inner.conf");
    fs::write(&inner, "timeout 44\n").expect("writing the file");
    let text = format!(
        "# comment\n\n  \t\nTimeOut 30\nmaxmemory 2gb\nproto-max-bulk-len 4MB\n\
         requirepass \"a b\\x41\\\"\"\ninclude {inner}\nmaxclients 90\nmaxclients 91\n"
    );
    fs::write(&file, text).expect("writing the file");
    let mut command = std::process::Command::new(crate::support::server::ringwell());
    command.arg(&file);
    let server = Server::start("ringwell", command, &["--shards", "1"]);
    let mut client = server.connect();
    assert_eq!(client.command(&["AUTH", "a bA\""]), Value::ok());
    assert_eq!(get(&mut client, "timeout"), "44");
    assert_eq!(get(&mut client, "maxmemory"), "2147483648");
    assert_eq!(get(&mut client, "proto-max-bulk-len"), "4194304");
    assert_eq!(get(&mut client, "maxclients"), "91");
}

fn get_globs() {
    let server = Server::ringwell(2, &[]);
    let mut client = server.connect();
    let names = |client: &mut Client, patterns: &[&str]| -> Vec<String> {
        let pairs = client.command(&[&["CONFIG", "GET"], patterns].concat()).pairs();
        let mut names: Vec<String> = pairs.iter().map(|(name, _)| name.text()).collect();
        names.sort();
        names
    };
    let all = names(&mut client, &["*"]);
    assert!(all.len() > 20, "{all:?}");
    assert_eq!(
        names(&mut client, &["maxclients", "time?ut", "nosuch*"]),
        ["maxclients", "timeout"]
    );
    assert_eq!(names(&mut client, &["MaxClients", "maxclient*"]), ["MaxClients"]);
    let with_max = names(&mut client, &["*max*"]);
    assert!(with_max.iter().all(|name| name.contains("max")) && with_max.len() >= 2);
    // In RESP3 it is a map.
    client.run("HELLO 3");
    assert!(matches!(client.run("CONFIG GET max*"), Value::Map(_)));
}

fn set_then_get() {
    let server = Server::ringwell(1, &[]);
    let mut client = server.connect();
    for (name, value, shown) in [
        ("maxmemory", "100mb", "104857600"),
        ("maxmemory-policy", "allkeys-lru", "allkeys-lru"),
        ("timeout", "12", "12"),
        ("TCP-KeepAlive", "60", "60"),
        ("maxclients", "5000", "5000"),
        ("protected-mode", "YES", "yes"),
        ("loglevel", "warning", "warning"),
        ("requirepass", "s3cret", "s3cret"),
        ("allow-from", "10.0.0.0/8 ::1", "10.0.0.0/8 ::1"),
    ] {
        assert_eq!(set(&mut client, &[name, value]), Value::ok(), "{name}");
        assert_eq!(get(&mut client, name), shown, "{name}");
    }
    let several = ["timeout", "7", "maxclients", "4000", "loglevel", "notice"];
    assert_eq!(set(&mut client, &several), Value::ok());
    assert_eq!(get(&mut client, "timeout"), "7");
    assert_eq!(get(&mut client, "maxclients"), "4000");
}

fn set_is_all_or_nothing() {
    let server = Server::ringwell(2, &[]);
    let mut client = server.connect();
    for bad in [&["maxclients", "x"][..], &["nosuch", "1"], &["port", "1"], &["timeout", "9"]] {
        // The last one names `timeout` twice.
        let answer = set(&mut client, &[&["timeout", "77"], bad].concat());
        assert!(answer.is_error(), "{bad:?}: {answer:?}");
        assert_eq!(get(&mut client, "timeout"), "0", "{bad:?}");
    }
}

fn set_refuses() {
    let server = Server::ringwell(1, &[]);
    let mut client = server.connect();
    for (pairs, text) in [
        (
            &["nosuch", "1"][..],
            "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'",
        ),
        (
            &["dir", "/tmp"],
            "ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config",
        ),
        (
            &["port", "1"],
            "ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config",
        ),
        (
            &["timeout", "x"],
            "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be \
             parsed into an integer",
        ),
        (
            &["timeout", "1", "timeout", "2"],
            "ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter",
        ),
        (
            &["protected-mode", "maybe"],
            "ERR CONFIG SET failed (possibly related to argument 'protected-mode') - argument must \
             be 'yes' or 'no'",
        ),
    ] {
        assert_eq!(set(&mut client, pairs).text(), text);
    }
    let arity = "ERR wrong number of arguments for 'config|set' command";
    assert_eq!(set(&mut client, &["timeout"]).text(), arity);
    assert_eq!(set(&mut client, &["timeout", "1", "maxclients"]).text(), "ERR syntax error");
}

fn rewrite_round_trips() {
    let scratch = Scratch::new("config");
    let file = scratch.file("ringwell.conf");
    let text = "# the first comment\ntimeout 30\n\n# about clients\nmaxclients 100\n# the last\n";
    fs::write(&file, text).expect("writing the file");
    let start = || {
        let mut command = std::process::Command::new(crate::support::server::ringwell());
        command.arg(&file);
        Server::start("ringwell", command, &["--shards", "2"])
    };
    let mut server = start();
    let mut client = server.connect();
    let password = "p \"w\\ \x01é";
    assert_eq!(set(&mut client, &["maxclients", "222", "requirepass", password]), Value::ok());
    assert_eq!(set(&mut client, &["allow-from", "10.0.0.0/8 ::1"]), Value::ok());
    assert_eq!(client.run("CONFIG REWRITE"), Value::ok());
    let once = fs::read_to_string(&file).expect("reading the file");
    for kept in
        ["# the first comment\ntimeout 30\n", "# about clients\nmaxclients 222\n", "# the last"]
    {
        assert!(once.contains(kept), "{kept:?} is not in:\n{once}");
    }
    // Rewriting what is written changes nothing.
    assert_eq!(client.run("CONFIG REWRITE"), Value::ok());
    assert_eq!(fs::read_to_string(&file).expect("reading the file"), once);
    let left: Vec<_> = fs::read_dir(scratch.path()).expect("the folder").collect();
    assert_eq!(left.len(), 1, "left behind: {left:?}");
    server.signal(libc::SIGTERM);
    assert!(server.wait(Duration::from_secs(10)).success());
    let server = start();
    let mut client = server.connect();
    assert_eq!(client.command(&["AUTH", password]), Value::ok());
    assert_eq!(get(&mut client, "maxclients"), "222");
    assert_eq!(get(&mut client, "timeout"), "30");
    assert_eq!(get(&mut client, "allow-from"), "10.0.0.0/8 ::1");
    assert_eq!(get(&mut client, "requirepass").as_bytes(), password.as_bytes());
}

/// From the file, from arguments, from CONFIG SET, and back into the file.
fn passwords_are_bytes() {
    let scratch = Scratch::new("config");
    let file = scratch.file("ringwell.conf");
    fs::write(&file, b"# caf\xe9\nrequirepass p\xe4ss\n").expect("writing the file");
    let start = |argument: Option<&[u8]>| {
        let mut command = std::process::Command::new(crate::support::server::ringwell());
        command.arg(&file);
        if let Some(argument) = argument {
            command.arg("--requirepass").arg(OsStr::from_bytes(argument));
        }
        Server::start("ringwell", command, &["--shards", "1"])
    };
    let by_argument = start(Some(b"\xff\xfe"));
    assert_eq!(by_argument.connect().command(&[&b"AUTH"[..], b"\xff\xfe"]), Value::ok());
    let by_file = start(None);
    let mut client = by_file.connect();
    assert_eq!(client.command(&[&b"AUTH"[..], b"p\xe4ss"]), Value::ok());
    let password = b"a\0b\xff\n\"#'\\";
    let set = [&b"CONFIG"[..], b"SET", b"requirepass", password];
    assert_eq!(client.command(&set), Value::ok());
    assert_eq!(client.run("CONFIG REWRITE"), Value::ok());
    let written = fs::read(&file).expect("reading the file");
    let expected = b"# caf\xe9\nrequirepass \"a\\x00b\\xff\\n\\\"#'\\\\\"\n";
    assert!(written.starts_with(expected), "{}", written.escape_ascii());
    let again = start(None);
    assert_eq!(again.connect().command(&[&b"AUTH"[..], password]), Value::ok());
    assert!(again.connect().command(&[&b"AUTH"[..], b"a"]).is_error());
}

fn rewrite_without_a_file() {
    let server = Server::ringwell(1, &[]);
    let answer = server.connect().run("CONFIG REWRITE");
    assert_eq!(answer.text(), "ERR The server is running without a config file");
}

/// The commented sample in the repository says nothing that the server doesn't accept, and
/// nothing but the defaults.
fn sample_file_is_accepted() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/ringwell.conf");
    let mut command = std::process::Command::new(crate::support::server::ringwell());
    command.arg(sample);
    let with_sample = Server::start("ringwell", command, &["--shards", "1"]);
    let without = Server::ringwell_bare(&["--shards", "1"]);
    let all = |server: &Server| -> Vec<(String, String)> {
        let pairs = server.connect().run("CONFIG GET *").pairs();
        let mut all: Vec<_> = pairs.iter().map(|(n, v)| (n.text(), v.text())).collect();
        // These differ between any two of the tests' servers.
        all.retain(|(name, _)| name != "port" && name != "dir");
        all.sort();
        all
    };
    assert_eq!(all(&with_sample), all(&without));
}

fn reset_stat() {
    let server = Server::ringwell(2, &[]);
    let mut client = server.connect();
    for _ in 0..50 {
        client.run("PING");
    }
    let commands = || server.info_number("stats", "total_commands_processed");
    assert!(commands() >= 50);
    assert_eq!(client.run("CONFIG RESETSTAT"), Value::ok());
    assert!(commands() < 50);
}

/// On every core before +OK.
fn set_reaches_every_core() {
    let server = Server::ringwell(4, &[]);
    let mut clients: Vec<Client> = (0..16).map(|_| server.connect()).collect();
    for round in 0..20 {
        let value = (round * 10).to_string();
        let setter = round % clients.len();
        assert_eq!(set(&mut clients[setter], &["timeout", &value]), Value::ok());
        for client in &mut clients {
            assert_eq!(get(client, "timeout"), value);
        }
    }
}

fn names_and_passwords_are_as_in_redis() {
    let (server, redis) = (Server::ringwell(1, &[]), Server::redis(&[]));
    let (mut ours, mut theirs) = (server.connect(), redis.connect());
    for line in [
        &[&b"CONFIG"[..], b"GET", b"TimeOut"][..],
        &[b"CONFIG", b"GET", b"TimeOut", b"timeout", b"timeou[t]"],
        &[b"CONFIG", b"GET", b"timeou?", b"TIMEOUT"],
        &[b"CONFIG", b"GET", b"TIMEOU[T]"],
        &[b"CONFIG", b"GET", b"time\\out"],
        &[b"CONFIG", b"GET", b"\xff"],
        &[b"CONFIG", b"SET", b"RequirePass", b"a\0b\xff"],
        &[b"CONFIG", b"GET", b"RequirePass"],
        &[b"AUTH", b"a"],
        &[b"AUTH", b"a\0b\xfe"],
        &[b"AUTH", b"a\0b\xff"],
        &[b"AUTH", b"default", b"a\0b\xff"],
        &[b"HELLO", b"2", b"AUTH", b"default", b"a\0b"],
    ] {
        assert_eq!(ours.command(line), theirs.command(line), "{line:?}");
    }
    for client in [&mut ours, &mut theirs] {
        let hello = client.command(&[&b"HELLO"[..], b"3", b"AUTH", b"default", b"a\0b\xff"]);
        assert!(!hello.is_error(), "{hello:?}");
    }
}

fn percentiles_are_as_in_redis() {
    let (redis, ringwell) = (Server::redis(&[]), Server::ringwell(1, &[]));
    let (mut theirs, mut ours) = (redis.connect(), ringwell.connect());
    let name = "latency-tracking-info-percentiles";
    let values = [
        "50 99",
        "",
        "50.5 0 100 99.99",
        "50 101",
        "-1",
        "abc",
        "50 nan",
        "1e400",
        "1e1 33.33333333",
    ];
    for value in values {
        let answers = [&mut theirs, &mut ours].map(|client| {
            let answer = set(client, &[name, value]);
            (answer, get(client, name))
        });
        assert_eq!(answers[1], answers[0], "{value}");
    }
}

/// Directives of Redis that clients ask for have the same names and sensible values.
fn answers_what_redis_benchmark_asks() {
    let server = Server::ringwell(1, &[]);
    let mut client = server.connect();
    assert_eq!(get(&mut client, "appendonly"), "no");
    assert_eq!(get(&mut client, "save"), "");
    let redis = Server::redis(&[]);
    let mut theirs = redis.connect();
    for name in [
        "appendonly",
        "databases",
        "maxclients",
        "maxmemory",
        "timeout",
        "tcp-keepalive",
        "tcp-backlog",
        "proto-max-bulk-len",
        "client-query-buffer-limit",
        "requirepass",
        "client-output-buffer-limit",
        "protected-mode",
        "maxmemory-samples",
        "lfu-log-factor",
        "lfu-decay-time",
        "cluster-enabled",
        "enable-debug-command",
        "enable-protected-configs",
    ] {
        assert_eq!(get(&mut client, name), get(&mut theirs, name), "{name}");
    }
}
