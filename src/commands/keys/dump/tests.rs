//! RESTORE of what other servers have dumped, DUMP of what they can restore, and bytes that nobody
//! has dumped. `tests/it/dump.rs` has the servers themselves.

use crate::commands::test_support::Server;
use crate::protocol::args::OwnedArgs;
use crate::text::quote;

/// See the head of the file.
const PAYLOADS: &str = include_str!("payloads.txt");

/// A value that other servers have dumped.
struct Case {
    name: &'static str,
    make: Vec<&'static str>,
    read: &'static str,
    /// Which server gave which bytes.
    payloads: Vec<(&'static str, Vec<u8>)>,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let lines = PAYLOADS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let (word, rest) = line.split_once(' ').expect("a word and more");
        if word == "case" {
            let (make, payloads) = (Vec::new(), Vec::new());
            cases.push(Case { name: rest, make, read: "", payloads });
            continue;
        }
        let case = cases.last_mut().expect("a case begins with its name");
        match word {
            "make" => case.make.push(rest),
            "read" => case.read = rest,
            server => {
                let (_, digits) = rest.split_once(' ').expect("an encoding and a payload");
                case.payloads.push((server, from_hex(digits)));
            }
        }
    }
    assert!(cases.len() > 20, "{} cases", cases.len());
    cases
}

fn from_hex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn restore(server: &mut Server, payload: &[u8], options: &[&str]) -> String {
    let mut words: Vec<&[u8]> = vec![b"restore", b"k", b"0", payload];
    words.extend(options.iter().map(|word| word.as_bytes()));
    let args: OwnedArgs = words.into_iter().collect();
    String::from_utf8_lossy(&server.run_args(args.as_args())).into_owned()
}

/// The elements of a reply, in an order that does not depend on that in which they are kept.
fn sorted(reply: &[u8]) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = reply.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    parts.sort();
    parts
}

fn dump(server: &mut Server) -> Vec<u8> {
    let reply = server.run_bytes(b"dump k");
    let start = reply.iter().position(|byte| *byte == b'\n').expect("a bulk string") + 1;
    reply[start..reply.len() - 2].to_vec()
}

#[test]
fn what_other_servers_dump_is_restored() {
    for case in cases() {
        let mut made = Server::new();
        for line in &case.make {
            if !line.starts_with("config") {
                made.run(line);
            }
        }
        let expected = sorted(&made.run_bytes(case.read.as_bytes()));
        for (origin, payload) in &case.payloads {
            let mut server = Server::new();
            let name = case.name;
            assert_eq!(restore(&mut server, payload, &[]), "+OK\r\n", "{name} of {origin}");
            let read = sorted(&server.run_bytes(case.read.as_bytes()));
            assert_eq!(read, expected, "{name} of {origin}");
            // What was restored can be dumped and restored again.
            let dumped = dump(&mut server);
            assert_eq!(restore(&mut server, &dumped, &["replace"]), "+OK\r\n", "{name}, again");
            let read = sorted(&server.run_bytes(case.read.as_bytes()));
            assert_eq!(read, expected, "{name} of {origin}, again");
        }
    }
}

/// Without its checksum, which Redis does not check if it is 0.
fn unchecked(payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    let checksum = payload.len() - 8;
    payload[checksum..].fill(0);
    payload
}

/// What is restored may be anything, but whoever uses it finds it sound.
fn use_it(server: &mut Server) {
    for line in [
        "get k",
        "lrange k 0 -1",
        "smembers k",
        "hgetall k",
        "zrange k 0 -1 withscores",
        "rpush k new",
        "sadd k new 17",
        "hset k new value",
        "zadd k 17 new",
        "lpop k",
        "spop k",
        "zpopmin k",
        "hdel k new",
    ] {
        server.run_bytes(line.as_bytes());
    }
    dump(server);
    server.run("del k");
}

#[test]
fn flipped_bytes_are_refused_or_harmless() {
    let mut server = Server::new();
    let (mut refused, mut taken) = (0, 0);
    for case in cases() {
        for (_, payload) in &case.payloads {
            let payload = unchecked(payload);
            for at in 0..payload.len() - 8 {
                for flip in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF] {
                    let mut payload = payload.clone();
                    payload[at] ^= flip;
                    match &restore(&mut server, &payload, &[])[..] {
                        "+OK\r\n" => {
                            taken += 1;
                            use_it(&mut server);
                        }
                        "-ERR Bad data format\r\n"
                        | "-ERR DUMP payload version or checksum are wrong\r\n" => refused += 1,
                        other => panic!("{other} for {payload:02x?}"),
                    }
                }
            }
        }
    }
    assert!(refused > 1_000 && taken > 1_000, "{refused} refused, {taken} taken");
}

#[test]
fn payloads_that_end_early_are_refused() {
    let mut server = Server::new();
    for case in cases() {
        for (_, payload) in &case.payloads {
            let (value, footer) = payload.split_at(payload.len() - 10);
            for len in 0..value.len() {
                let cut = unchecked(&[&value[..len], footer].concat());
                let reply = restore(&mut server, &cut, &[]);
                assert_eq!(reply, "-ERR Bad data format\r\n", "{} after {len}", case.name);
            }
            let longer = unchecked(&[value, b"x", footer].concat());
            let reply = restore(&mut server, &longer, &[]);
            assert_eq!(reply, "-ERR Bad data format\r\n", "{} and more", case.name);
        }
    }
}

/// Lengths of nearly everything, with nothing behind them.
#[test]
fn declared_lengths_allocate_nothing() {
    let mut server = Server::new();
    let longest = [0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    for kind in 0..30 {
        for tail in [&longest[..], &[longest, longest].concat()] {
            let payload = [&[kind], tail, &[10, 0], &[0; 8]].concat();
            assert_eq!(restore(&mut server, &payload, &[]), "-ERR Bad data format\r\n", "{kind}");
            // As a string that is compressed: its length, then what it comes to.
            let compressed = [&[kind, 0xC3, 0x05], tail, b"\x04abcde", &[10, 0], &[0; 8]].concat();
            assert_eq!(
                restore(&mut server, &compressed, &[]),
                "-ERR Bad data format\r\n",
                "{kind}"
            );
        }
    }
}

#[test]
fn arguments() {
    let mut server = Server::new();
    server.run("set k hello");
    let payload = dump(&mut server);
    let mut check = |words: &[&[u8]], expected: &str| {
        let words: OwnedArgs = words.iter().copied().collect();
        let reply = String::from_utf8_lossy(&server.run_args(words.as_args())).into_owned();
        assert_eq!(reply, format!("{expected}\r\n"), "{words:?}");
    };
    let payload = &payload[..];
    let busy = "-BUSYKEY Target key name already exists.";
    check(&[b"restore", b"k", b"0", payload], busy);
    check(&[b"restore", b"k", b"-1", b"x"], busy);
    check(&[b"restore", b"n", b"-1", payload], "-ERR Invalid TTL value, must be >= 0");
    check(&[b"restore", b"n", b"x", payload], "-ERR value is not an integer or out of range");
    let damaged = "-ERR DUMP payload version or checksum are wrong";
    check(&[b"restore", b"n", b"0", b""], damaged);
    check(&[b"restore", b"n", b"0", &payload[..payload.len() - 1]], damaged);
    check(&[b"restore", b"n", b"0", payload, b"foo"], "-ERR syntax error");
    check(&[b"restore", b"n", b"0", payload, b"idletime"], "-ERR syntax error");
    let text = "-ERR Invalid IDLETIME value, must be >= 0";
    check(&[b"restore", b"n", b"0", payload, b"idletime", b"-1"], text);
    let text = "-ERR Invalid FREQ value, must be >= 0 and <= 255";
    check(&[b"restore", b"n", b"0", payload, b"freq", b"256"], text);
    let both: [&[u8]; 8] = [b"restore", b"n", b"0", payload, b"freq", b"5", b"idletime", b"5"];
    check(&both, "-ERR syntax error");
    check(&[b"restore", b"n", b"0", payload, b"idletime", b"1000"], "+OK");
    check(&[b"object", b"idletime", b"n"], ":1000");
    check(&[b"restore", b"n", b"5000", payload, b"replace"], "+OK");
    check(&[b"pttl", b"n"], ":5000");
    check(&[b"get", b"n"], "$5\r\nhello");
    check(&[b"restore", b"n", b"1700000009000", payload, b"absttl", b"replace"], "+OK");
    check(&[b"pttl", b"n"], ":9000");
    // What has expired on its way replaces what was there by nothing.
    check(&[b"restore", b"n", b"1", payload, b"absttl", b"replace"], "+OK");
    check(&[b"exists", b"n"], ":0");
    check(&[b"dump", b"n"], "$-1");
    check(&[b"restore", b"n", b"9223372036854775807", payload], "+OK");
}

#[test]
fn words_of_the_cases_are_quoted_as_they_should_be() {
    for case in cases() {
        for line in case.make {
            assert!(quote::split_args(line.as_bytes()).is_ok(), "{line}");
        }
    }
}
