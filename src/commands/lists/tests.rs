//! All commands together: replies in the order of checks that Redis has, and the forms.

use std::collections::{BTreeMap, VecDeque};

use crate::commands::test_support::Server;
use crate::protocol::reply::Encoding;
use crate::store::Watcher;

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const NOT_POSITIVE: &str = "-ERR value is out of range, must be positive";
const NOT_SYMMETRIC: &str = "-ERR value is out of range, value must between \
                             -9223372036854775807 and 9223372036854775807";
const SYNTAX: &str = "-ERR syntax error";

#[test]
fn push_and_pop() {
    Server::new().check(&[
        ("lpushx l a", ":0"),
        ("rpushx l a", ":0"),
        ("exists l", ":0"),
        ("lpush l a b c", ":3"),
        ("rpush l 1 -2", ":5"),
        ("lpushx l x", ":6"),
        ("rpushx l y z", ":8"),
        ("lrange l 0 -1", "*8 $1 x $1 c $1 b $1 a $1 1 $2 -2 $1 y $1 z"),
        ("llen l", ":8"),
        ("type l", "+list"),
        ("lpop l", "$1 x"),
        ("rpop l", "$1 z"),
        ("lpop l 0", "*0"),
        ("lpop l 2", "*2 $1 c $1 b"),
        ("rpop l 3", "*3 $1 y $2 -2 $1 1"),
        ("rpop l 9223372036854775807", "*1 $1 a"),
        ("exists l", ":0"),
        ("lpop l", "$-1"),
        ("lpop l 0", "*-1"),
        ("rpop l 2", "*-1"),
        ("lpop l abc", NOT_POSITIVE),
        ("lpop l -1", NOT_POSITIVE),
        ("lpop l 9223372036854775808", NOT_POSITIVE),
        ("lpop l 1 2", "-ERR wrong number of arguments for 'lpop' command"),
        ("rpop l 1 2", "-ERR wrong number of arguments for 'rpop' command"),
        ("set s x", "+OK"),
        ("lpop s -1", NOT_POSITIVE),
        ("lpop s 0", WRONG),
        ("lpop s", WRONG),
        ("lpush s a", WRONG),
        ("lpushx s a", WRONG),
        ("llen s", WRONG),
        ("llen none", ":0"),
    ]);
    let mut server = Server { encoding: Encoding::Resp3, ..Server::new() };
    server.check(&[("lpop l", "_"), ("lpop l 1", "_"), ("lmpop 1 l left", "_")]);
}

#[test]
fn read_by_index() {
    Server::new().check(&[
        ("rpush l a b c", ":3"),
        ("set s x", "+OK"),
        ("lindex l 0", "$1 a"),
        ("lindex l -3", "$1 a"),
        ("lindex l 3", "$-1"),
        ("lindex l -4", "$-1"),
        ("lindex l 9223372036854775807", "$-1"),
        ("lindex l -9223372036854775808", "$-1"),
        ("lindex l x", NOT_INTEGER),
        ("lindex none x", "$-1"),
        ("lindex s x", WRONG),
        ("lrange l 1 1", "*1 $1 b"),
        ("lrange l -2 -1", "*2 $1 b $1 c"),
        ("lrange l -9223372036854775808 9223372036854775807", "*3 $1 a $1 b $1 c"),
        ("lrange l 9223372036854775807 9223372036854775807", "*0"),
        ("lrange l -9223372036854775808 -9223372036854775808", "*0"),
        ("lrange l 2 1", "*0"),
        ("lrange l 3 5", "*0"),
        ("lrange none 0 1", "*0"),
        ("lrange none x 1", NOT_INTEGER),
        ("lrange s 0 x", NOT_INTEGER),
        ("lrange s 0 1", WRONG),
    ]);
}

#[test]
fn positions() {
    let zero = "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second \
                ... or use negative to start from the end of the list";
    Server::new().check(&[
        ("rpush l a b c a 1 2 a", ":7"),
        ("set s x", "+OK"),
        ("lpos l a", ":0"),
        ("lpos l 2", ":5"),
        ("lpos l x", "$-1"),
        ("lpos l a rank 2", ":3"),
        ("lpos l a rank -1", ":6"),
        ("lpos l a rank 4", "$-1"),
        ("lpos l a rank -1 count 2", "*2 :6 :3"),
        ("lpos l a COUNT 0", "*3 :0 :3 :6"),
        ("lpos l a rank 2 count 0 maxlen 4", "*1 :3"),
        ("lpos l a count 0 maxlen 9223372036854775807", "*3 :0 :3 :6"),
        ("lpos l a rank 2 rank 1", ":0"),
        ("lpos l a rank 9223372036854775807", "$-1"),
        ("lpos l a rank -9223372036854775807", "$-1"),
        ("lpos l a rank -9223372036854775808", NOT_SYMMETRIC),
        ("lpos l a rank 9223372036854775808", NOT_INTEGER),
        ("lpos l a rank 0", zero),
        ("lpos l a rank x", NOT_INTEGER),
        ("lpos l a count -1", "-ERR COUNT can't be negative"),
        ("lpos l a count x", "-ERR COUNT can't be negative"),
        ("lpos l a maxlen -1", "-ERR MAXLEN can't be negative"),
        ("lpos l a maxlen x", "-ERR MAXLEN can't be negative"),
        ("lpos l a foo", SYNTAX),
        ("lpos l a rank", SYNTAX),
        ("lpos none a", "$-1"),
        ("lpos none a count 2", "*0"),
        ("lpos none a rank 0", zero),
        ("lpos s a", WRONG),
    ]);
}

#[test]
fn edits() {
    Server::new().check(&[
        ("rpush l a b c a", ":4"),
        ("set s x", "+OK"),
        ("lset none x v", "-ERR no such key"),
        ("lset s x v", WRONG),
        ("lset l x v", NOT_INTEGER),
        ("lset l 4 v", "-ERR index out of range"),
        ("lset l -5 v", "-ERR index out of range"),
        ("lset l -1 d", "+OK"),
        ("lset l 0 100", "+OK"),
        ("linsert l foo a b", SYNTAX),
        ("linsert none foo a b", SYNTAX),
        ("linsert none before a b", ":0"),
        ("linsert s before a b", WRONG),
        ("linsert l before zz b", ":-1"),
        ("linsert l BEFORE 100 x", ":5"),
        ("linsert l after d y", ":6"),
        ("linsert l after b b", ":7"),
        ("lrange l 0 -1", "*7 $1 x $3 100 $1 b $1 b $1 c $1 d $1 y"),
        ("lrem l -1 b", ":1"),
        ("lrem l 5 b", ":1"),
        ("lrem l 0 b", ":0"),
        ("lrem l -9223372036854775808 b", NOT_SYMMETRIC),
        ("lrem none x b", NOT_INTEGER),
        ("lrem none 1 b", ":0"),
        ("lrem s 1 b", WRONG),
        ("ltrim l x 1", NOT_INTEGER),
        ("ltrim s 0 1", WRONG),
        ("ltrim none 0 1", "+OK"),
        ("ltrim l 1 -2", "+OK"),
        ("lrange l 0 -1", "*3 $3 100 $1 c $1 d"),
        ("ltrim l 5 9", "+OK"),
        ("exists l", ":0"),
        ("rpush l b b", ":2"),
        ("lrem l 0 b", ":2"),
        ("exists l", ":0"),
    ]);
}

#[test]
fn moves() {
    Server::new().check(&[
        ("set s x", "+OK"),
        ("lmove none s left foo", SYNTAX),
        ("lmove none s left right", "$-1"),
        ("rpush l a b c", ":3"),
        ("lmove l s left right", WRONG),
        ("lmove s l left right", WRONG),
        ("rpoplpush s none", WRONG),
        ("lmove l m left right", "$1 a"),
        ("lmove l m RIGHT LEFT", "$1 c"),
        ("lrange m 0 -1", "*2 $1 c $1 a"),
        ("rpoplpush l m", "$1 b"),
        ("exists l", ":0"),
        ("lmove m m left right", "$1 b"),
        ("lmove m m left left", "$1 c"),
        ("rpoplpush m m", "$1 b"),
        ("lrange m 0 -1", "*3 $1 b $1 c $1 a"),
        ("blmove m none2 up left 0", SYNTAX),
        ("blmove m none2 left left x", "-ERR timeout is not a float or out of range"),
        ("blmove none none left left 0", "$-1"),
        ("brpoplpush none none -1", "-ERR timeout is negative"),
        ("brpoplpush m l 0", "$1 a"),
        ("blmove m s left left 0", WRONG),
        ("blmove m l left left 0", "$1 b"),
        ("lrange l 0 -1", "*2 $1 b $1 a"),
    ]);
}

#[test]
fn pops_of_several_keys() {
    let numkeys = "-ERR numkeys should be greater than 0";
    let count = "-ERR count should be greater than 0";
    let timeout = "-ERR timeout is not a float or out of range";
    Server::new().check(&[
        ("set s x", "+OK"),
        ("rpush l a b c d e f", ":6"),
        ("lmpop 0 l left", numkeys),
        ("lmpop -1 l left", numkeys),
        ("lmpop x l left", numkeys),
        ("lmpop 99999999999999999999 l left", numkeys),
        ("lmpop 9223372036854775807 l left", SYNTAX),
        ("lmpop 2 l left", SYNTAX),
        ("lmpop 1 l up", SYNTAX),
        ("lmpop 1 l left count", SYNTAX),
        ("lmpop 1 l left count 0", count),
        ("lmpop 1 l left count x", count),
        ("lmpop 1 l left count 1 count 2", SYNTAX),
        ("lmpop 1 l left foo 1", SYNTAX),
        ("lmpop 1 none left", "*-1"),
        ("lmpop 2 none s left", WRONG),
        ("lmpop 2 s l left", WRONG),
        ("lmpop 2 none l LEFT COUNT 2", "*2 $1 l *2 $1 a $1 b"),
        ("lmpop 1 l right", "*2 $1 l *1 $1 f"),
        ("blmpop x 0 none left", numkeys),
        ("blmpop x 1 none up", SYNTAX),
        ("blmpop x 1 none left", timeout),
        ("blmpop 0 1 none left", "*-1"),
        ("blmpop 0 2 none l right count 9", "*2 $1 l *3 $1 e $1 d $1 c"),
        ("blpop none x", timeout),
        ("blpop none -1", "-ERR timeout is negative"),
        ("blpop s x", timeout),
        ("blpop none s 0", WRONG),
        ("blpop none l 0", "*-1"),
        ("rpush l 1 2", ":2"),
        ("blpop none l 0", "*2 $1 l $1 1"),
        ("brpop l l 0.1", "*2 $1 l $1 2"),
        ("exists l", ":0"),
    ]);
}

/// What a list is kept as changes at the sizes of Redis 7.2, and back at half of them.
#[test]
fn forms() {
    let mut server = Server::new();
    server.config.list_max_listpack_size = 4;
    server.check(&[
        ("rpush l a b c d", ":4"),
        ("object encoding l", "$8 listpack"),
        ("rpush l e", ":5"),
        ("object encoding l", "$9 quicklist"),
        ("lpop l 2", "*2 $1 a $1 b"),
        ("object encoding l", "$9 quicklist"),
        ("rpop l", "$1 e"),
        ("object encoding l", "$8 listpack"),
        ("linsert l before c x", ":3"),
        ("rpush l y", ":4"),
        ("linsert l before c z", ":5"),
        ("object encoding l", "$9 quicklist"),
        ("ltrim l 0 1", "+OK"),
        ("object encoding l", "$8 listpack"),
        ("lrange l 0 -1", "*2 $1 x $1 z"),
        ("rpush l 1 2 3", ":5"),
        ("copy l m", ":1"),
        ("rename m n", "+OK"),
        ("move n 1", ":1"),
        ("lrem l 0 1", ":1"),
        ("lrem l 0 2", ":1"),
        ("lrem l 0 3", ":1"),
        ("object encoding l", "$8 listpack"),
        ("rpush new 1 2 3 4 5", ":5"),
        ("object encoding new", "$9 quicklist"),
        ("lmove new l left right", "$1 1"),
        ("del l new", ":2"),
        ("dbsize", ":0"),
    ]);
    server.db_index = 1;
    server.check(&[("lrange n 0 -1", "*5 $1 x $1 z $1 1 $1 2 $1 3")]);

    let mut server = Server::new();
    server.config.list_max_listpack_size = -1;
    let (long, half) = ("x".repeat(4_000), "y".repeat(2_000));
    server.check(&[
        (&format!("rpush l {long}"), ":1"),
        ("object encoding l", "$8 listpack"),
        (&format!("rpush l {half}"), ":2"),
        ("object encoding l", "$9 quicklist"),
        ("lset l 0 short", "+OK"),
        ("object encoding l", "$9 quicklist"),
        ("rpop l", &format!("$2000 {half}")),
        ("object encoding l", "$8 listpack"),
        (&format!("lset l 0 {}", "z".repeat(5_000)), "+OK"),
        ("object encoding l", "$9 quicklist"),
        ("lset l 0 short", "+OK"),
        ("object encoding l", "$8 listpack"),
    ]);
}

/// Nothing is taken that cannot be answered with.
#[test]
fn replies_are_bounded() {
    let too_long = "-ERR reply exceeds maximum allowed size (client-query-buffer-limit)";
    let mut server = Server::new();
    server.config.client_query_buffer_limit = 0;
    server.config.proto_max_bulk_len = 100;
    let element = "e".repeat(40);
    server.check(&[
        (&format!("rpush l {element} {element} {element} a"), ":4"),
        ("lrange l 0 -1", too_long),
        ("lpop l 4", too_long),
        ("lmpop 1 l left count 9", too_long),
        ("llen l", ":4"),
        ("lrange l -1 -1", "*1 $1 a"),
    ]);
}

/// What changes nothing leaves those alone who watch the key; LTRIM is a change as in Redis.
#[test]
fn watched_keys() {
    for size in [-2, 1] {
        let mut server = Server::new();
        server.config.list_max_listpack_size = size;
        let watcher = Watcher { core: 0, number: 1 };
        for (line, breaks) in [
            ("rpush l a", true),
            ("rpush l b c", true),
            ("lrange l 0 -1", false),
            ("llen l", false),
            ("lindex l 0", false),
            ("lpos l a", false),
            ("lpop l 0", false),
            ("lrem l 0 none", false),
            ("linsert l before none x", false),
            ("lset l 9 x", false),
            ("lset l 0 x", true),
            ("lpushx none x", false),
            ("lmove none l left left", false),
            ("lmove l s left left", false),
            ("lmove l l left left", true),
            ("lmpop 1 none left", false),
            ("ltrim l 0 -1", true),
            ("linsert l after x y", true),
            ("lrem l 1 y", true),
            ("lmove l m left left", true),
            ("lmove m l left left", true),
            ("ltrim l 0 1", true),
            ("blpop l 0", true),
            ("lpop l", true),
            ("lpop l", false),
        ] {
            server.run("set s string");
            server.shard.db_mut(0).changes.watch(b"l", watcher);
            server.run(line);
            let broken = server.shard.db_mut(0).changes.take_broken();
            server.shard.db_mut(0).changes.unwatch(b"l", watcher);
            assert_eq!(broken.contains(&watcher), breaks, "{line} with {size}");
        }
    }
}

/// All commands in random order on packed runs and chunks, against plain vectors.
#[test]
fn commands_agree_with_a_model() {
    let steps = if cfg!(miri) { 500 } else { 6_000 };
    for size in [-1, 0, 1, 2, 3, 7, 30] {
        let mut server = Server::new();
        server.config.list_max_listpack_size = size;
        let mut model = Model::default();
        let mut seed = 0x1157_u64.wrapping_add_signed(size);
        for step in 0..steps {
            let line = model.line(&mut seed);
            let words: Vec<&str> = line.split(' ').collect();
            let expected = model.run(&words);
            assert_eq!(server.run(&line), expected, "step {step} with {size}: {line}");
            for (key, list) in &model.lists {
                let shown = shown_array(list.iter().map(String::as_str));
                assert_eq!(server.run(&format!("lrange {key} 0 -1")), shown, "after {line}");
            }
            let keys = model.lists.values().filter(|list| !list.is_empty()).count();
            assert_eq!(server.run("dbsize"), format!(":{keys}"), "after {line}");
        }
    }
}

#[derive(Default)]
struct Model {
    lists: BTreeMap<String, VecDeque<String>>,
}

fn below(seed: &mut u64, bound: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % bound
}

fn shown_bulk(text: &str) -> String {
    format!("${} {text}", text.len())
}

fn shown_array<'t>(texts: impl ExactSizeIterator<Item = &'t str>) -> String {
    let header = format!("*{}", texts.len());
    texts.fold(header, |shown, text| shown + " " + &shown_bulk(text))
}

impl Model {
    fn line(&self, seed: &mut u64) -> String {
        let key = ["a", "b"][below(seed, 2) as usize];
        let other = ["a", "b"][below(seed, 2) as usize];
        let element = |seed: &mut u64| match below(seed, 6) {
            0 => "x".repeat(below(seed, 1_500) as usize + 1),
            1 => (below(seed, 200_000) as i64 - 100_000).to_string(),
            _ => ["p", "q", "7", "-300"][below(seed, 4) as usize].to_string(),
        };
        let (end, to) = (["left", "right"][below(seed, 2) as usize], ["left", "right"]);
        let to = to[below(seed, 2) as usize];
        let (i, j) = (below(seed, 14) as i64 - 7, below(seed, 40) as i64 - 7);
        let (e, f) = (element(seed), element(seed));
        match below(seed, 14) {
            0 => format!("rpush {key} {e}"),
            1 => format!("lpush {key} {e}"),
            2 => format!("rpush {key} {e} {f} {e}"),
            3 => format!("lpush {key} {e} {f} 1"),
            4 => format!("lpop {key}"),
            5 => format!("rpop {key}"),
            6 => format!("lpop {key} {}", i.unsigned_abs()),
            7 => format!("rpop {key} {}", i.unsigned_abs()),
            8 => format!("lset {key} {i} {e}"),
            9 => format!("linsert {key} before {f} {e}"),
            10 => format!("linsert {key} after {f} {e}"),
            11 => format!("lrem {key} {} {f}", i / 3),
            12 => format!("ltrim {key} {} {j}", i / 2),
            _ => format!("lmove {key} {other} {end} {to}"),
        }
    }

    fn run(&mut self, words: &[&str]) -> String {
        let key = words[1].to_owned();
        let list = self.lists.entry(key.clone()).or_default();
        let number = |at: usize| words[at].parse::<i64>().unwrap();
        let (existed, len) = (!list.is_empty(), list.len() as i64);
        match (words[0], words.len()) {
            ("rpush", _) => {
                list.extend(words[2..].iter().map(|&word| word.to_owned()));
                format!(":{}", list.len())
            }
            ("lpush", _) => {
                words[2..].iter().for_each(|&word| list.push_front(word.to_owned()));
                format!(":{}", list.len())
            }
            ("lpop", 2) => list.pop_front().map_or("$-1".to_owned(), |text| shown_bulk(&text)),
            ("rpop", 2) => list.pop_back().map_or("$-1".to_owned(), |text| shown_bulk(&text)),
            ("lpop" | "rpop", _) if !existed => "*-1".to_owned(),
            ("lpop", _) => {
                let taken: Vec<String> = list.drain(..number(2).min(len) as usize).collect();
                shown_array(taken.iter().map(String::as_str))
            }
            ("rpop", _) => {
                let from = (len - number(2)).max(0) as usize;
                let taken: Vec<String> = list.drain(from..).rev().collect();
                shown_array(taken.iter().map(String::as_str))
            }
            ("lset", _) => {
                let index = if number(2) < 0 { len + number(2) } else { number(2) };
                match list.get_mut(usize::try_from(index).unwrap_or(usize::MAX)) {
                    _ if !existed => "-ERR no such key".to_owned(),
                    None => "-ERR index out of range".to_owned(),
                    Some(element) => {
                        *element = words[3].to_owned();
                        "+OK".to_owned()
                    }
                }
            }
            ("linsert", _) => match list.iter().position(|element| element == words[3]) {
                _ if !existed => ":0".to_owned(),
                None => ":-1".to_owned(),
                Some(at) => {
                    list.insert(at + usize::from(words[2] == "after"), words[4].to_owned());
                    format!(":{}", list.len())
                }
            },
            ("lrem", _) => {
                let mut left = if number(2) == 0 { len } else { number(2).abs() };
                let mut keep = |element: &String| {
                    let removes = left > 0 && element == words[3];
                    left -= i64::from(removes);
                    !removes
                };
                if number(2) < 0 {
                    let mut kept: VecDeque<String> = VecDeque::new();
                    for element in list.drain(..).rev() {
                        if keep(&element) {
                            kept.push_front(element);
                        }
                    }
                    *list = kept;
                } else {
                    list.retain(keep);
                }
                format!(":{}", len - list.len() as i64)
            }
            ("ltrim", _) => {
                let from_front = |index: i64| if index < 0 { len + index } else { index };
                let (start, stop) = (from_front(number(2)).max(0), from_front(number(3)));
                let all = std::mem::take(list).into_iter().enumerate();
                let kept = all.filter(|(at, _)| (start..=stop).contains(&(*at as i64)));
                *list = kept.map(|(_, element)| element).collect();
                "+OK".to_owned()
            }
            ("lmove", _) => {
                let taken = if words[3] == "left" { list.pop_front() } else { list.pop_back() };
                let Some(element) = taken else { return "$-1".to_owned() };
                let shown = shown_bulk(&element);
                let to = self.lists.entry(words[2].to_owned()).or_default();
                match words[4] {
                    "left" => to.push_front(element),
                    _ => to.push_back(element),
                }
                shown
            }
            other => panic!("{other:?}"),
        }
    }
}
