//! Values that are received where they are stored and sent from where they lie.

use libtest_mimic::Trial;

use crate::support::need::PerShards;
use crate::support::{Client, Server, Value, encode, on_one_and_four_shards, wait_for};

const SIZES: [usize; 7] = [16_384, 32_767, 32_768, 65_536, 262_144, 1 << 20, (5 << 20) + 1];

pub fn trials() -> Vec<Trial> {
    let tests: [PerShards; 4] = [
        ("come_and_go_whole", come_and_go_whole),
        ("slow_readers_get_what_there_was", slow_readers_get_what_there_was),
        ("clients_that_vanish_leave_nothing", clients_that_vanish_leave_nothing),
        ("limits_hold", limits_hold),
    ];
    on_one_and_four_shards("large_values", &[], &tests)
}

fn value(len: usize, salt: usize) -> Vec<u8> {
    (0..len).map(|at| ((at + salt) * 7 + at / 251) as u8).collect()
}

fn set(client: &mut Client, key: &str, value: &[u8]) {
    assert_eq!(client.command(&[&b"SET"[..], key.as_bytes(), value]), Value::ok());
}

/// Without printing a value that is wrong.
fn expect_value(client: &mut Client, key: &str, value: &[u8]) {
    assert!(client.command(&["GET", key]) == Value::bulk(value), "{key}, {} bytes", value.len());
}

/// Of every size, on every shard, alone and with small commands between.
fn come_and_go_whole(shards: usize) {
    let server = Server::ringwell(shards, &[]);
    let mut client = server.connect();
    for (n, len) in SIZES.into_iter().enumerate() {
        for key in (0..6).map(|k| format!("key:{k}")) {
            let (first, second) = (value(len, n), value(len, n + 1));
            set(&mut client, &key, &first);
            expect_value(&mut client, &key, &first);
            let pipeline = [
                encode(&[&b"SET"[..], key.as_bytes(), &second, b"EX", b"100"]),
                encode(&["STRLEN", &key]),
                encode(&["GET", &key]),
                encode(&["GET", &key]),
                encode(&["PING"]),
            ];
            client.send(&pipeline.concat());
            assert_eq!(client.read_value(), Value::ok());
            assert_eq!(client.read_value().int(), len as i64);
            assert!(client.read_value() == Value::bulk(&second));
            assert!(client.read_value() == Value::bulk(&second));
            assert_eq!(client.read_value().text(), "PONG");
            assert_eq!(client.command(&["APPEND", &key, "+"]).int(), len as i64 + 1);
            expect_value(&mut client, &key, &[&second[..], b"+"].concat());
        }
    }
    // In the end what is counted is given back.
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    wait_for("the values to be freed", || used_memory(&mut client) < 20 << 20);
}

fn used_memory(client: &mut Client) -> u64 {
    let info = client.run("INFO memory").text();
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.and_then(|bytes| bytes.trim().parse().ok()).expect("a number")
}

/// Whatever happens to the value while its reply waits.
fn slow_readers_get_what_there_was(shards: usize) {
    let server = Server::ringwell(shards, &[]);
    let old = value(3 << 20, 1);
    let mut writer = server.connect();
    for (n, change) in [
        &["SET", "k", "new"][..],
        &["SETRANGE", "k", "5", "new"],
        &["APPEND", "k", "new"],
        &["DEL", "k"],
        &["RENAME", "k", "other"],
        &["FLUSHALL"],
    ]
    .into_iter()
    .enumerate()
    {
        set(&mut writer, "k", &old);
        let mut reader = server.connect().with_small_buffers();
        reader.send(&encode(&["GET", "k"]));
        // It has been asked for when the reply begins to come.
        reader.expect(b"$");
        assert!(!writer.command(change).is_error(), "{n}");
        set(&mut writer, "k", &value(3 << 20, 2));
        reader.expect(format!("{}\r\n", old.len()).as_bytes());
        reader.expect(&old);
        reader.expect(b"\r\n");
    }
}

/// In the middle of a large argument, or of a large reply.
fn clients_that_vanish_leave_nothing(shards: usize) {
    let server = Server::ringwell(shards, &[]);
    let mut client = server.connect();
    set(&mut client, "k", &value(3 << 20, 1));
    let before = used_memory(&mut client);
    for n in 0..40 {
        let mut vanishing = server.connect().with_small_buffers();
        vanishing.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3000000\r\n");
        vanishing.send(&value(60_000 * (n % 5), n));
        let mut reader = server.connect().with_small_buffers();
        reader.send(&encode(&["GET", "k"]));
        reader.expect(b"$");
        if n % 2 == 0 {
            vanishing.reset();
            reader.reset();
        }
    }
    wait_for("their memory to be free", || used_memory(&mut client) < before + (1 << 20));
    expect_value(&mut client, "k", &value(3 << 20, 1));
}

fn limits_hold(shards: usize) {
    let server = Server::ringwell(shards, &["--client-query-buffer-limit", "1mb"]);
    let mut client = server.connect();
    assert_eq!(client.run("CONFIG SET proto-max-bulk-len 2000000"), Value::ok());
    let mut too_long = server.connect();
    too_long.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000001\r\n");
    too_long.expect(b"-ERR Protocol error: invalid bulk length\r\n");
    let mut too_much = server.connect();
    too_much.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000000\r\n");
    // The server may close the connection before all of it is sent.
    let _ = too_much.try_send(&value(2_000_000, 1));
    assert!(too_much.read_until_closed().is_empty());
    assert_eq!(client.command(&["EXISTS", "k"]).int(), 0);
    set(&mut client, "k", &value(1_000_000, 1));
    expect_value(&mut client, "k", &value(1_000_000, 1));
}
