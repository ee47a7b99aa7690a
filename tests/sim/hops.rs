//! Commands that read on one shard and write on another: what they answer, and how much they ship.

use ringwell::txn::shard_of_key;

use crate::history::command;
use crate::world::World;

const SHARDS: usize = 3;

/// A world with one client, which belongs to none of the shards of `a` and `b`.
struct Rig {
    world: World,
    client: usize,
    a: String,
    b: String,
}

impl Rig {
    fn new(seed: u64) -> Rig {
        let key_of = |shard| {
            let mut names = (0..).map(|n| format!("k{n}"));
            let is_there = |name: &String| shard_of_key(name.as_bytes(), SHARDS) == shard;
            names.find(is_there).expect("a key of every shard")
        };
        let mut world = World::still(SHARDS, seed);
        let client = world.connect(2);
        Rig { world, client, a: key_of(0), b: key_of(1) }
    }

    /// `a` and `b` stand for the keys.
    fn run(&mut self, words: &[&str]) -> String {
        let words: Vec<&str> = words
            .iter()
            .map(|&word| match word {
                "a" => &self.a,
                "b" => &self.b,
                other => other,
            })
            .collect();
        self.world.send(self.client, &command(&words));
        self.world.run_until_idle();
        String::from_utf8(self.world.received(self.client)).expect("text")
    }

    fn line(&mut self, line: &str) -> String {
        self.run(&line.split(' ').collect::<Vec<_>>())
    }

    fn info(&mut self, section: &str, field: &str) -> String {
        let text = self.run(&["INFO", section]);
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        line.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
    }

    /// Bytes that are carried while a command runs.
    fn carried(&mut self, line: &str) -> usize {
        let before = self.world.carried_bytes;
        self.line(line);
        self.world.carried_bytes - before
    }
}

#[test]
fn moving_an_element_ships_one_element() {
    for line in ["LMOVE a b LEFT RIGHT", "RPOPLPUSH a b", "BLMOVE a b RIGHT LEFT 0"] {
        let mut rig = Rig::new(1);
        let elements: Vec<String> = (0..2000).map(|n| format!("{n:0100}")).collect();
        let mut push = vec!["RPUSH", "a"];
        push.extend(elements.iter().map(String::as_str));
        assert_eq!(rig.run(&push), ":2000\r\n");
        // Once from its list, once to the other.
        let carried = rig.carried(line);
        assert!((200..300).contains(&carried), "{line}: {carried} bytes");
        assert_eq!((rig.line("LLEN a"), rig.line("LLEN b")), (":1999\r\n".into(), ":1\r\n".into()));
    }
}

/// The smaller set goes to the larger one, and what both have comes back.
#[test]
fn an_intersection_ships_the_smaller_set() {
    let mut rig = Rig::new(1);
    let mut large = vec!["SADD".to_owned(), "a".to_owned()];
    large.extend((0..50_000).map(|n| format!("member {n}")));
    rig.run(&large.iter().map(String::as_str).collect::<Vec<_>>());
    rig.line("SADD b none other");
    for line in ["SINTER a b", "SINTER b a", "SINTERCARD 2 a b", "SINTERSTORE b a b"] {
        let carried = rig.carried(line);
        assert!(carried < 300, "{line}: {carried} bytes");
    }
    assert_eq!(rig.line("SCARD a"), ":50000\r\n");
    assert_eq!(rig.line("EXISTS b"), ":0\r\n");
}

/// A copy would be freed as one more value.
#[test]
fn a_list_moves_as_it_is() {
    let mut rig = Rig::new(1);
    let elements: Vec<String> = (0..100_000).map(|n| format!("element {n}")).collect();
    let mut push = vec!["RPUSH", "a"];
    push.extend(elements.iter().map(String::as_str));
    assert_eq!(rig.run(&push), ":100000\r\n");
    for _ in 0..5 {
        assert_eq!(rig.line("RENAME a b"), "+OK\r\n");
        assert_eq!(rig.line("RENAMENX b a"), ":1\r\n");
    }
    assert_eq!(rig.line("LLEN a"), ":100000\r\n");
    rig.line("DEL a");
    (0..100).for_each(|_| rig.world.wait_ms(100));
    assert_eq!(rig.info("memory", "lazyfreed_objects:"), "1");
}

#[test]
fn a_refused_copy_of_a_large_value_ships_nothing() {
    let mut rig = Rig::new(1);
    let huge = "v".repeat(1 << 20);
    rig.run(&["SET", "a", &huge]);
    rig.line("SET b small");
    assert!(rig.carried("COPY a b") < 100);
    assert!(rig.carried("RENAMENX a b") < 100);
    assert_eq!(rig.line("GET b"), "$5\r\nsmall\r\n");
    assert_eq!(rig.line("STRLEN a"), ":1048576\r\n");
}

#[test]
fn they_are_counted_once_and_their_reads_as_redis_counts_them() {
    let mut rig = Rig::new(1);
    rig.line("SET a text");
    rig.line("RPUSH b 1");
    // Line, calls that failed, hits, misses.
    for (line, failed, hits, misses) in [
        ("LMOVE a b LEFT LEFT", 1, 0, 0),
        ("LMOVE b a LEFT LEFT", 1, 0, 0),
        ("RENAMENX a b", 0, 0, 0),
        ("COPY a b", 0, 1, 0),
        ("COPY a b REPLACE", 0, 1, 0),
        ("COPY a b NONSENSE", 1, 0, 0),
        ("LCS a b", 0, 2, 0),
        ("MSETNX a 1 b 2", 0, 0, 0),
        ("RENAME a b", 0, 0, 0),
        ("RENAME a b", 1, 0, 0),
        ("COPY a b", 0, 0, 1),
        ("LMOVE a b LEFT LEFT", 0, 0, 0),
        ("SINTER a b", 1, 1, 1),
    ] {
        rig.line("CONFIG RESETSTAT");
        let reply = rig.line(line);
        let name = line.split(' ').next().unwrap_or_default().to_lowercase();
        let stats = rig.info("commandstats", &format!("cmdstat_{name}:"));
        assert!(stats.starts_with("calls=1,"), "{line}: {reply} {stats}");
        assert!(stats.contains(&format!("failed_calls={failed}")), "{line}: {reply} {stats}");
        let reads = (rig.info("stats", "keyspace_hits:"), rig.info("stats", "keyspace_misses:"));
        assert_eq!(reads, (hits.to_string(), misses.to_string()), "{line}: {reply}");
    }
}

/// Everything is answered as where one shard has both keys, in EXEC too.
#[test]
fn replies_are_those_of_one_shard() {
    let script = [
        "RENAME a b",
        "RENAMENX a b",
        "COPY a b",
        "LMOVE a b LEFT RIGHT",
        "RPOPLPUSH a b",
        "LMPOP 2 a b LEFT",
        "MSETNX a 1 b 2",
        "MSETNX a 1 b 2",
        "LMOVE a b LEFT RIGHT",
        "LMPOP 2 a b LEFT",
        "LCS a b",
        "LCS a b LEN IDX",
        "COPY a b DB 99",
        "COPY a b DB 1",
        "COPY a b X",
        "RENAMENX a b",
        "COPY a b REPLACE",
        "GET b",
        "RENAME a b",
        "EXISTS a b",
        "DEL a b",
        "RPUSH a 1 2 3 4 5 6",
        "LMOVE a b LEFT RIGHT",
        "LMOVE a b RIGHT LEFT",
        "RPOPLPUSH a b",
        "LMOVE a b UP DOWN",
        "LRANGE a 0 -1",
        "LRANGE b 0 -1",
        "COPY a b",
        "LMPOP 2 b a RIGHT COUNT 2",
        "LRANGE b 0 -1",
        "RENAME a b",
        "LRANGE b 0 -1",
        "LCS a b",
        "RENAMENX b a",
        "LMPOP 2 b a LEFT COUNT 9",
        "SET b text",
        "LMPOP 2 a b LEFT",
        "LMPOP 0 a b LEFT",
        "LMOVE a b LEFT LEFT",
        "RPUSH a 1",
        "LMOVE a b LEFT LEFT",
        "LMOVE b a LEFT LEFT",
        "LRANGE a 0 -1",
        "SELECT 1",
        "GET b",
        "SELECT 0",
        "DEL a b",
        "SINTER a b",
        "SADD a 1 2 3 4",
        "SINTER a b",
        "SUNION a b",
        "SDIFF a b",
        "SDIFF b a",
        "SINTERCARD 2 a b",
        "SADD b 3 4 5",
        "SINTER a b",
        "SUNION a b",
        "SDIFF a b",
        "SDIFF a a b",
        "SINTERCARD 2 a b",
        "SINTERCARD 2 a b LIMIT 1",
        "SINTERCARD 2 a b LIMIT -1",
        "SINTERCARD 0 a b",
        "SMOVE a b 9",
        "SMOVE a b 1",
        "SMOVE a b 3",
        "SMEMBERS a",
        "SMEMBERS b",
        "SINTERSTORE a b a",
        "SUNIONSTORE b a b",
        "OBJECT ENCODING b",
        "SADD b x",
        "SDIFFSTORE a b a",
        "OBJECT ENCODING a",
        "SCARD a",
        "SINTERSTORE a b a x",
        "EXISTS a",
        "SMOVE a b 1",
        "SET a text",
        "SMOVE b a 1",
        "SMOVE a b 1",
        "SINTER b a",
        "SUNIONSTORE b b a",
        "SUNIONSTORE a b b",
        "SCARD a",
        "DEL a b",
        "ZUNION 2 a b",
        "ZINTERCARD 2 a b",
        "ZADD a 1 x 2 y 3 z",
        "ZUNION 2 a b WITHSCORES",
        "ZINTER 2 a b",
        "ZDIFF 2 a b WITHSCORES",
        "ZDIFF 2 b a",
        "ZADD b 10 y 20 z 30 w",
        "ZUNION 2 a b WITHSCORES",
        "ZUNION 2 b a WEIGHTS 2 x",
        "ZUNION 0 b a",
        "ZINTER 2 a b WEIGHTS 2 3 AGGREGATE MAX WITHSCORES",
        "ZINTERCARD 2 a b LIMIT 1",
        "ZDIFF 3 a b a",
        "ZRANGESTORE a b 1 -1",
        "ZRANGE a 0 -1 WITHSCORES",
        "ZRANGESTORE b a (20 inf BYSCORE LIMIT 0 1",
        "ZRANGE b 0 -1 WITHSCORES",
        "ZUNIONSTORE a 2 a b",
        "ZINTERSTORE b 2 b a AGGREGATE MIN",
        "OBJECT ENCODING b",
        "ZRANGE b 0 -1 WITHSCORES",
        "ZDIFFSTORE a 2 b a",
        "EXISTS a",
        "ZRANGESTORE b a 0 -1",
        "EXISTS b",
        "ZADD b 1 x",
        "ZMPOP 2 a b MIN",
        "ZMPOP 2 a b MIN",
        "SADD a x y",
        "ZADD b 5 x",
        "ZUNION 2 a b WITHSCORES",
        "ZINTERSTORE a 2 b a",
        "ZRANGE a 0 -1 WITHSCORES",
        "SET a text",
        "ZUNIONSTORE b 2 a b",
        "ZRANGESTORE b a 0 -1",
        "ZMPOP 2 a b MAX",
        "ZRANGESTORE a b 0 -1",
        "ZUNION 2 a b",
        "DEL a b",
    ];
    // Those would wait elsewhere.
    let in_exec = [
        "DEL a b",
        "BLMOVE a b LEFT LEFT 0",
        "BRPOPLPUSH a b 0",
        "BLPOP a b 0",
        "BLMPOP 0 2 a b LEFT",
        "BLMOVE a b LEFT LEFT soon",
        "DEBUG MOVE-BYTE a b 0",
        "RPUSH b 1 2 3",
        "BLPOP a b 0",
        "BLMPOP 0 2 a b LEFT",
        "BLMOVE b a LEFT LEFT 0",
        "LRANGE a 0 -1",
        "SET b text",
        "BLPOP a b 0",
        "BLPOP a b 0",
        "BLMOVE b a LEFT LEFT 0",
        "DEBUG MOVE-BYTE b a 0",
        "GET a",
        "DEL a b",
        "BZPOPMIN a b 0",
        "ZADD b 1 x 2 y",
        "BZPOPMAX a b 0",
        "BZMPOP 0 2 a b MIN",
        "BZMPOP soon 2 a b MIN",
    ];
    let replies = |shards: usize| {
        let mut rig = Rig::new(1);
        if shards == 1 {
            rig.world = World::new(1, 1);
            rig.client = rig.world.connect(0);
        }
        let mut all: Vec<String> = Vec::new();
        all.extend(script.iter().map(|line| format!("{line}: {}", rig.line(line))));
        rig.line("DEL a b");
        rig.line("MULTI");
        script.iter().chain(&in_exec).for_each(|line| drop(rig.line(line)));
        let exec = rig.line("EXEC");
        all.extend(exec.split("\r\n").map(str::to_owned));
        all
    };
    let (one, several) = (replies(1), replies(SHARDS));
    for (index, (one, several)) in one.iter().zip(&several).enumerate() {
        assert_eq!(one, several, "line {index}");
    }
    assert_eq!(one.len(), several.len());
}
