//! All commands together: replies in the order of checks that Redis has, and the forms.

use std::collections::{BTreeMap, BTreeSet};

use crate::commands::test_support::Server;
use crate::protocol::reply::Encoding;
use crate::store::{Change, Class, Classes, Watcher};

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const NOT_POSITIVE: &str = "-ERR value is out of range, must be positive";
const NOT_SYMMETRIC: &str = "-ERR value is out of range, value must between \
                             -9223372036854775807 and 9223372036854775807";
const SYNTAX: &str = "-ERR syntax error";
const NO_KEYS: &str = "-ERR numkeys should be greater than 0";
const TOO_MANY_KEYS: &str = "-ERR Number of keys can't be greater than number of args";
const NEGATIVE_LIMIT: &str = "-ERR LIMIT can't be negative";

/// Members that make each form: integers, one packed run, a table.
const FORMS: [(&str, &str); 3] = [("intset", "1"), ("listpack", "x"), ("hashtable", LONG)];
/// Longer than a packed run's members may be.
const LONG: &str = "0123456789012345678901234567890123456789012345678901234567890123456789";

#[test]
fn members_come_and_go() {
    Server::new().check(&[
        ("sadd s 3 1 2 1", ":3"),
        ("sadd s 1 2", ":0"),
        ("smembers s", "*3 $1 1 $1 2 $1 3"),
        ("scard s", ":3"),
        ("type s", "+set"),
        ("sismember s 1", ":1"),
        ("sismember s 01", ":0"),
        ("smismember s 1 x 2 1", "*4 :1 :0 :1 :1"),
        ("smismember none 1 2", "*2 :0 :0"),
        ("sadd s x", ":1"),
        ("smembers s", "*4 $1 1 $1 2 $1 3 $1 x"),
        ("srem s 1 1 x nosuch", ":2"),
        ("srem s 2 3 4", ":2"),
        ("exists s", ":0"),
        ("srem s 2", ":0"),
        ("scard s", ":0"),
        ("smembers s", "*0"),
        ("sismember s 1", ":0"),
        ("set k v", "+OK"),
        ("sadd k 1", WRONG),
        ("srem k 1", WRONG),
        ("scard k", WRONG),
        ("sismember k 1", WRONG),
        ("smismember k 1", WRONG),
        ("smembers k", WRONG),
        ("spop k", WRONG),
        ("spop k 0", WRONG),
        ("srandmember k", WRONG),
        ("srandmember k 0", WRONG),
        ("sscan k 0", WRONG),
        ("sadd e ''", ":1"),
        ("smembers e", "*1 $0 "),
        ("sadd i -9223372036854775808 9223372036854775807 9223372036854775808", ":3"),
        ("sismember i -9223372036854775808", ":1"),
        ("sismember i 9223372036854775808", ":1"),
    ]);
}

#[test]
fn random_members() {
    let mut server = Server::new();
    server.check(&[
        ("spop none", "$-1"),
        ("spop none 1", "*0"),
        ("spop none -1", NOT_POSITIVE),
        ("spop none x", NOT_POSITIVE),
        ("spop none 1 2", SYNTAX),
        ("srandmember none", "$-1"),
        ("srandmember none 1", "*0"),
        ("srandmember none x", NOT_INTEGER),
        ("srandmember none -9223372036854775808", NOT_SYMMETRIC),
        ("srandmember none 1 2", SYNTAX),
    ]);
    for (encoding, member) in FORMS {
        let shown = format!("${} {member}", member.len());
        server.check(&[
            (&format!("sadd s {member}"), ":1"),
            ("object encoding s", &format!("${} {encoding}", encoding.len())),
            ("srandmember s", &shown),
            ("srandmember s 0", "*0"),
            ("srandmember s 9223372036854775807", &format!("*1 {shown}")),
            ("srandmember s -2", &format!("*2 {shown} {shown}")),
            ("spop s 0", "*0"),
            ("spop s", &shown),
            ("exists s", ":0"),
            (&format!("sadd s {member}"), ":1"),
            ("spop s 9223372036854775807", &format!("*1 {shown}")),
            ("exists s", ":0"),
        ]);
    }
    server.encoding = Encoding::Resp3;
    server.check(&[
        ("spop none", "_"),
        ("spop none 1", "~0"),
        ("srandmember none", "_"),
        ("srandmember none 1", "*0"),
        ("sadd s 1 2", ":2"),
        ("srandmember s 2", "*2 $1 1 $1 2"),
        ("smembers s", "~2 $1 1 $1 2"),
        ("sinter s s", "~2 $1 1 $1 2"),
        ("sunion none s", "~2 $1 1 $1 2"),
        ("sdiff s none", "~2 $1 1 $1 2"),
        ("sdiff none", "~0"),
        ("smismember s 1", "*1 :1"),
        ("sscan s 0", "*2 $1 0 *2 $1 1 $1 2"),
        ("spop s 2", "~2 $1 1 $1 2"),
    ]);
}

#[test]
fn intersections_unions_differences() {
    Server::new().check(&[
        ("sadd a 1 2 3 4", ":4"),
        ("sadd b 3 4 5", ":3"),
        ("sadd c 4 x", ":2"),
        ("set k v", "+OK"),
        ("sinter a b c", "*1 $1 4"),
        ("sinter a none b", "*0"),
        ("sinter none k", WRONG),
        ("sinter a", "*4 $1 1 $1 2 $1 3 $1 4"),
        ("sunion c b", "*4 $1 4 $1 x $1 3 $1 5"),
        ("sunion none none", "*0"),
        ("sunion a k", WRONG),
        ("sdiff a b c", "*2 $1 1 $1 2"),
        ("sdiff none a", "*0"),
        ("sdiff none k", WRONG),
        ("sdiff a a", "*0"),
        ("sintercard 2 a b", ":2"),
        ("sintercard 2 a b limit 1", ":1"),
        ("sintercard 2 a b LIMIT 0", ":2"),
        ("sintercard 2 a b limit 1 limit 9", ":2"),
        ("sintercard 2 a none", ":0"),
        ("sintercard 2 a k", WRONG),
        ("sintercard 0 a", NO_KEYS),
        ("sintercard -1 a", NO_KEYS),
        ("sintercard x a", NO_KEYS),
        ("sintercard 3 a b", TOO_MANY_KEYS),
        ("sintercard 9223372036854775807 a", TOO_MANY_KEYS),
        ("sintercard 1 a b", SYNTAX),
        ("sintercard 1 a limit", SYNTAX),
        ("sintercard 1 a limit -1", NEGATIVE_LIMIT),
        ("sintercard 1 a limit x", NEGATIVE_LIMIT),
        ("sinterstore d a b", ":2"),
        ("smembers d", "*2 $1 3 $1 4"),
        ("expire d 100", ":1"),
        ("sunionstore d d c", ":3"),
        ("ttl d", ":-1"),
        ("smembers d", "*3 $1 3 $1 4 $1 x"),
        ("sdiffstore d d a", ":1"),
        ("smembers d", "*1 $1 x"),
        ("sinterstore d a none", ":0"),
        ("exists d", ":0"),
        ("sinterstore k a k", WRONG),
        ("sunionstore k a", ":4"),
        ("type k", "+set"),
    ]);
}

#[test]
fn moves() {
    Server::new().check(&[
        ("sadd a 1 x", ":2"),
        ("set k v", "+OK"),
        ("smove none k 1", ":0"),
        ("smove k none 1", WRONG),
        ("smove a k nosuch", WRONG),
        ("smove a b nosuch", ":0"),
        ("exists b", ":0"),
        ("smove a a x", ":1"),
        ("smove a a y", ":0"),
        ("smove a b x", ":1"),
        ("smembers b", "*1 $1 x"),
        ("sadd b 1", ":1"),
        ("smove a b 1", ":1"),
        ("exists a", ":0"),
        ("scard b", ":2"),
    ]);
}

/// As Redis 7.2 changes them; the figures are its defaults.
#[test]
fn forms() {
    let numbers =
        |range: std::ops::Range<i32>| range.map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
    let mut server = Server::new();
    server.check(&[
        (&format!("sadd i {}", numbers(0..512)), ":512"),
        ("object encoding i", "$6 intset"),
        ("copy i j", ":1"),
        ("sadd i 5", ":0"),
        ("object encoding i", "$6 intset"),
        ("sadd i 512", ":1"),
        ("object encoding i", "$9 hashtable"),
        ("sismember i 300", ":1"),
        ("scard i", ":513"),
        ("srem i 512", ":1"),
        ("object encoding i", "$9 hashtable"),
        ("sadd j x", ":1"),
        ("object encoding j", "$9 hashtable"),
        ("sunionstore i i", ":512"),
        ("object encoding i", "$6 intset"),
        (&format!("sadd p x {}", numbers(0..127)), ":128"),
        ("object encoding p", "$8 listpack"),
        ("sadd p y", ":1"),
        ("object encoding p", "$9 hashtable"),
        ("scard p", ":129"),
        ("sdiffstore p p i", ":2"),
        ("object encoding p", "$8 listpack"),
        (&format!("sadd q {}", numbers(0..127)), ":127"),
        ("sadd q x", ":1"),
        ("object encoding q", "$8 listpack"),
        (&format!("sadd r {}", numbers(0..128)), ":128"),
        ("sadd r x", ":1"),
        ("object encoding r", "$9 hashtable"),
        (&format!("sadd l {}", &LONG[..64]), ":1"),
        ("object encoding l", "$8 listpack"),
        (&format!("sadd l {}", &LONG[..65]), ":1"),
        ("object encoding l", "$9 hashtable"),
        (&format!("sadd m 1 {LONG}"), ":2"),
        ("object encoding m", "$9 hashtable"),
        // The number of arguments alone decides.
        (&format!("sadd n {}", "1 ".repeat(513).trim()), ":1"),
        ("object encoding n", "$9 hashtable"),
    ]);
    server.config.set_max_listpack_value = 3;
    server.check(&[
        ("sadd v 1000", ":1"),
        ("object encoding v", "$6 intset"),
        ("sadd v x", ":1"),
        ("object encoding v", "$9 hashtable"),
    ]);
}

/// Whatever works with any key works with each form.
#[test]
fn keys_that_are_sets() {
    for (encoding, member) in FORMS {
        let shown = format!("*1 ${} {member}", member.len());
        let encoding = format!("${} {encoding}", encoding.len());
        let mut server = Server::new();
        server.check(&[
            (&format!("sadd s {member}"), ":1"),
            ("copy s t", ":1"),
            ("smembers t", &shown),
            ("object encoding t", &encoding),
            ("rename t u", "+OK"),
            ("smembers u", &shown),
            ("move u 1", ":1"),
            ("exists u", ":0"),
            ("scan 0 type set", "*2 $1 0 *1 $1 s"),
            ("scan 0 type list", "*2 $1 0 *0"),
            ("object refcount s", ":1"),
            ("pexpire s 5", ":1"),
            ("sadd s other", ":1"),
            ("pttl s", ":5"),
        ]);
        let usage = server.run("memory usage s");
        assert!(usage[1..].parse::<u64>().is_ok_and(|bytes| bytes > 16), "{usage}");
        server.advance_ms(5);
        server.check(&[("exists s", ":0"), ("sadd s 1", ":1"), ("scard s", ":1")]);
    }
}

#[test]
fn scanning() {
    let mut server = Server::new();
    server.check(&[
        ("sscan none 0", "*2 $1 0 *0"),
        ("sscan none x", "-ERR invalid cursor"),
        ("sscan none 0 foo", "*2 $1 0 *0"),
        ("sadd s 1 2 x", ":3"),
        ("sscan s 0 count 1", "*2 $1 0 *3 $1 1 $1 2 $1 x"),
        ("sscan s 99", "*2 $1 0 *3 $1 1 $1 2 $1 x"),
        ("sscan s 0 match [0-9]", "*2 $1 0 *2 $1 1 $1 2"),
        ("sscan s 0 count 0", SYNTAX),
        ("sscan s 0 count x", NOT_INTEGER),
        ("sscan s 0 type set", SYNTAX),
        ("sscan s 0 match", SYNTAX),
    ]);
    let members: BTreeSet<String> = (0..1000).map(|n| format!("member:{n}")).collect();
    for member in &members {
        server.run(&format!("sadd t {member}"));
    }
    let (mut seen, mut cursor, mut calls) = (BTreeSet::new(), "0".to_owned(), 0);
    loop {
        let page = server.run(&format!("sscan t {cursor} count 20"));
        let words: Vec<&str> = page.split(' ').collect();
        let shown = words[5.min(words.len())..].iter().step_by(2).map(|&word| word.to_owned());
        let before = seen.len();
        seen.extend(shown);
        assert!(seen.len() - before <= 60, "a page is about as long as was asked for");
        cursor = words[2].to_owned();
        calls += 1;
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen, members);
    assert!((17..=50).contains(&calls), "{calls}");
}

/// A reply is no longer than a request may be, and what nobody gets is not taken.
#[test]
fn replies_are_bounded() {
    let too_long = "-ERR reply exceeds maximum allowed size (client-query-buffer-limit)";
    let mut server = Server::new();
    server.config.client_query_buffer_limit = 1 << 20;
    server.config.proto_max_bulk_len = 1 << 20;
    for n in 0..3 {
        server.run(&format!("sadd s {n}{}", "x".repeat(600_000)));
    }
    server.check(&[
        ("smembers s", too_long),
        ("sinter s s", too_long),
        ("sunion s none", too_long),
        ("srandmember s 3", too_long),
        ("srandmember s -9223372036854775807", too_long),
        ("srandmember s -100000", too_long),
        ("sscan s 0", too_long),
        ("spop s 3", too_long),
        ("spop s 2", too_long),
        ("scard s", ":3"),
        ("sintercard 2 s s", ":3"),
        ("sunionstore t s", ":3"),
    ]);
    assert_eq!(server.run("spop s").len(), "$600001 ".len() + 600_001);
}

/// What changes nothing leaves those alone who watch the key.
#[test]
fn watched_keys() {
    for (_, member) in FORMS {
        let mut server = Server::new();
        let watcher = Watcher { core: 0, number: 1 };
        let set_up = format!("sadd s {member}");
        for (line, breaks) in [
            (&*set_up, true),
            (&*set_up, false),
            ("sadd s 1 2", true),
            ("sadd s 1 2", false),
            ("srem s none", false),
            ("srem s 2", true),
            ("smembers s", false),
            ("spop s 0", false),
            ("srandmember s 2", false),
            ("sscan s 0", false),
            ("smove s t none", false),
            ("smove s s 1", false),
            ("sinterstore t s s", false),
            ("sdiffstore s none", true),
            ("sdiffstore s none", false),
            ("sunionstore s t", true),
            ("smove s u 1", true),
            ("smove u s 1", true),
            ("spop s", true),
            ("spop s 9", true),
            ("spop s", false),
            ("spop s 9", false),
        ] {
            server.shard.db_mut(0).changes.watch(b"s", watcher);
            server.run(line);
            let broken = server.shard.db_mut(0).changes.take_broken();
            server.shard.db_mut(0).changes.unwatch(b"s", watcher);
            // Of the first form there is one member only, which 1 is.
            if line == "sadd s 1 2" || line == "spop s 9" || line == "spop s" {
                continue;
            }
            assert_eq!(broken.contains(&watcher), breaks, "{line} with {member}");
        }
    }
}

/// All commands in random order on all forms, against plain sets.
#[test]
fn commands_agree_with_a_model() {
    let steps = if cfg!(miri) { 500 } else { 6_000 };
    for (integers, packed) in [(512, 128), (0, 0), (3, 6), (6, 3), (20, 0), (0, 20)] {
        let mut server = Server::new();
        server.config.set_max_intset_entries = integers;
        server.config.set_max_listpack_entries = packed;
        server.config.set_max_listpack_value = 5;
        let mut model = Model::default();
        let mut seed = 0x5e7 + integers as u64;
        for step in 0..steps {
            let line = model.line(&mut seed);
            let words: Vec<&str> = line.split(' ').collect();
            let reply = server.run(&line);
            model.check(&words, &reply, &format!("step {step} with {integers}: {line}"));
            for (key, set) in &model.sets {
                let members = members_of(&server.run(&format!("smembers {key}")));
                assert_eq!(members, *set, "after {line}");
            }
            let keys = model.sets.values().filter(|set| !set.is_empty()).count();
            assert_eq!(server.run("dbsize"), format!(":{keys}"), "after {line}");
        }
    }
}

/// The elements of a reply, each of which comes once.
fn members_of(reply: &str) -> BTreeSet<String> {
    let elements: Vec<String> = reply.split(' ').skip(2).step_by(2).map(str::to_owned).collect();
    let members: BTreeSet<String> = elements.iter().cloned().collect();
    assert_eq!(members.len(), elements.len(), "{reply}");
    assert_eq!(reply.split(' ').next(), Some(&*format!("*{}", elements.len())));
    members
}

type Members = BTreeSet<String>;

#[derive(Default)]
struct Model {
    sets: BTreeMap<String, Members>,
}

fn below(seed: &mut u64, bound: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % bound
}

impl Model {
    fn line(&self, seed: &mut u64) -> String {
        let member = |seed: &mut u64| match below(seed, 4) {
            0 => ["a", "bc", "0x", "lengthy", "7 "][below(seed, 4) as usize].to_owned(),
            1 => ((below(seed, 1 << 20) as i64 - (1 << 19)) << below(seed, 40)).to_string(),
            _ => below(seed, 30).to_string(),
        };
        let keys = ["a", "b", "c"];
        let [k, l, m] = [0; 3].map(|_| keys[below(seed, 3) as usize]);
        let [x, y, z] = [0; 3].map(|_| member(seed));
        let count = below(seed, 6);
        match below(seed, 16) {
            0..4 => format!("sadd {k} {x}"),
            4 => format!("sadd {k} {x} {y} {z}"),
            5 => format!("srem {k} {x}"),
            6 => format!("srem {k} {x} {y} {z}"),
            7 => format!("smove {k} {l} {x}"),
            8 => format!("spop {k} {count}"),
            9 => format!("srandmember {k} {count}"),
            10 => format!("sinterstore {k} {l} {m}"),
            11 => format!("sunionstore {k} {l} {m}"),
            12 => format!("sdiffstore {k} {l} {m}"),
            13 => format!("sinter {k} {l}"),
            14 => format!("sunion {k} {l} {m}"),
            _ => format!("sdiff {k} {l}"),
        }
    }

    fn of(&self, key: &str) -> Members {
        self.sets.get(key).cloned().unwrap_or_default()
    }

    fn combined(&self, operation: &str, keys: &[&str]) -> Members {
        let mut sets = keys.iter().map(|key| self.of(key));
        let first = sets.next().unwrap_or_default();
        match operation {
            "sinter" => sets.fold(first, |a, b| &a & &b),
            "sunion" => sets.fold(first, |a, b| &a | &b),
            _ => sets.fold(first, |a, b| &a - &b),
        }
    }

    /// Carries a command out, and compares the reply.
    fn check(&mut self, words: &[&str], reply: &str, step: &str) {
        let (name, key) = (words[0], words[1].to_owned());
        let mut set = self.of(&key);
        let before = set.clone();
        let expected = match name {
            "sadd" => {
                set.extend(words[2..].iter().map(|&word| word.to_owned()));
                set.len() - before.len()
            }
            "srem" => {
                set.retain(|member| !words[2..].contains(&&**member));
                before.len() - set.len()
            }
            "smove" => {
                let moves = set.remove(words[3]);
                self.sets.insert(key.clone(), set);
                if moves {
                    self.sets.entry(words[2].to_owned()).or_default().insert(words[3].to_owned());
                }
                assert_eq!(reply, format!(":{}", u8::from(moves)), "{step}");
                return;
            }
            "spop" | "srandmember" => {
                let chosen = members_of(reply);
                let count: usize = words[2].parse().unwrap();
                assert!(chosen.is_subset(&set) && chosen.len() == count.min(set.len()), "{step}");
                if name == "spop" {
                    self.sets.insert(key, &set - &chosen);
                }
                return;
            }
            "sinter" | "sunion" | "sdiff" => {
                assert_eq!(members_of(reply), self.combined(name, &words[1..]), "{step}");
                return;
            }
            store => {
                set = self.combined(&store[..store.len() - "store".len()], &words[2..]);
                set.len()
            }
        };
        assert_eq!(reply, format!(":{expected}"), "{step}");
        self.sets.insert(key, set);
    }
}

/// Chi squared of single choices, in standard deviations from what is expected.
#[test]
fn choices_are_fair() {
    for (name, members) in [("integers", 40), ("packed", 60), ("table", 300)] {
        for command in ["srandmember s", "srandmember s 3", "srandmember s -3", "spop s 3"] {
            let mut server = Server::new();
            let member = |n: usize| match name {
                "integers" => n.to_string(),
                _ => format!("m{n}"),
            };
            // Some have gone.
            (0..members + 20).for_each(|n| drop(server.run(&format!("sadd s {}", member(n)))));
            (0..20).for_each(|n| drop(server.run(&format!("srem s {}", member(n)))));
            let mut chosen: BTreeMap<String, usize> =
                (20..members + 20).map(|n| (member(n), 0)).collect();
            let rounds = members * 40;
            let mut choices = 0;
            for _ in 0..rounds {
                let reply = server.run(command);
                let skipped = if command.ends_with('s') { 1 } else { 2 };
                for word in reply.split(' ').skip(skipped).step_by(2) {
                    *chosen.get_mut(word).expect("a member") += 1;
                    choices += 1;
                    server.run(&format!("sadd s {word}"));
                }
            }
            let expected = choices as f64 / members as f64;
            let squares = chosen.values().map(|&n| (n as f64 - expected).powi(2) / expected);
            let freedom = (members - 1) as f64;
            let deviations = (squares.sum::<f64>() - freedom) / (2.0 * freedom).sqrt();
            // Choices without repetition are a little more even.
            assert!(deviations.abs() < 5.0, "{command} of {name}: {deviations}");
        }
    }
}

/// Redis's events, in its order.
#[test]
fn events() {
    for (_, member) in FORMS {
        let mut server = Server::new();
        server.shard.record_changes(Classes::NONE.with(Class::Set).with(Class::Generic));
        let lines = [
            format!("sadd s {member}"),
            format!("sadd s {member}"),
            format!("smove s t {member}"),
            "sinterstore u t t".to_owned(),
            "sunionstore u t u".to_owned(),
            "sdiffstore u u t".to_owned(),
            "sdiffstore u u t".to_owned(),
            "spop t".to_owned(),
        ];
        lines.iter().for_each(|line| drop(server.run(line)));
        let told = server.shard.take_changes().into_iter().map(|change| match change {
            Change::Key { key, event, .. } => {
                format!("{} {}", event.name(), String::from_utf8_lossy(&key))
            }
            other => format!("{other:?}"),
        });
        let expected = [
            "sadd s",
            "srem s",
            "del s",
            "sadd t",
            "sinterstore u",
            "sunionstore u",
            "del u",
            "spop t",
            "del t",
        ];
        assert!(told.eq(expected));
    }
}
