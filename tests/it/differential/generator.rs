//! Random commands over a small key space, with arguments that are mostly sensible and sometimes
//! absurd. Commands with keys come from the command table, with every option that their rows
//! document; those about connections and the server are written out here.

use ringwell::commands::introspection::syntax::{Argument, Kind};
use ringwell::commands::{Flags, Group, Row};

use crate::support::Rng;
use crate::support::lines::{self, Values};

use super::step::{Cmd, Compare, Step, cmd};

/// Keys with and without hash tags: in Ringwell they spread over all shards, and some share one.
const KEYS: [&str; 12] = [
    "a",
    "b",
    "c",
    "key:000000000001",
    "key:000000000002",
    "{t}1",
    "{t}2",
    "x{t}y",
    "{}z",
    "{u}",
    "long-key-name-that-does-not-fit-anywhere-small-0123456789012345678901234567890123456789",
    "",
];

/// Databases in use; few, so that SWAPDB, MOVE and COPY meet existing keys.
const DATABASES: [&str; 3] = ["0", "1", "9"];

const INTEGERS: [&str; 34] = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "5",
    "7",
    "10",
    "-3",
    "100",
    "1000",
    "12345",
    "-0",
    "+1",
    "00",
    "01",
    " 1",
    "1 ",
    "",
    "abc",
    "3.0",
    "1e3",
    "0x10",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967296",
    "9223372036854775806",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999",
];

const FLOATS: [&str; 42] = [
    "1e308",
    "-1e308",
    "1e309",
    "1e4931",
    "1e4933",
    "1e-400",
    "5e-324",
    "0x1p3",
    "0xg",
    "1.7976931348623157e308",
    "infinity",
    "9007199254740993",
    "0",
    "1",
    "-1",
    "0.1",
    "0.5",
    "-0.25",
    "1.5",
    "3.0e3",
    "-1.2e-5",
    "10.50",
    "200",
    "1e-3",
    ".5",
    "1.",
    "1e10",
    "3.14159",
    "99.99",
    "-0",
    "0.001",
    "123456789.125",
    "1e17",
    "1e-17",
    "inf",
    "-inf",
    "nan",
    "abc",
    "",
    " 1",
    "1 ",
    "1e5x",
];

const PATTERNS: [&str; 16] = [
    "*", "?", "a", "[a-c]", "[^a]", "key:*", "*t*", "{t}?", "x*y", "*1", "\\a", "[ab", "nosuch*",
    "", "**", "[c-a]",
];

/// Few, so that some match.
const ELEMENTS: [&str; 8] = ["a", "b", "", "1", "-70000", "9223372036854775807", "0x", "01"];

/// As few, with numbers of every width.
const MEMBERS: [&str; 16] = [
    "1",
    "2",
    "3",
    "-1",
    "300",
    "70000",
    "-70000",
    "5000000000",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "01",
    "",
    "a",
    "b",
    "longer-than-a-packed-run-may-have-0123456789-0123456789-0123456789-0123456789",
];

/// Few, so that many members have the same.
const SCORES: [&str; 16] = [
    "0", "0", "0", "1", "1", "2", "-1", "0.5", "-2.25", "3", "100", "inf", "-inf", "1e3", "-0",
    "0x10",
];

/// Of scores; Redis reads them more leniently than scores themselves.
const SCORE_BOUNDS: [&str; 16] = [
    "-inf", "+inf", "-inf", "+inf", "(0", "(1", "(0.5", "(-inf", "(inf", "", "(", " 1", "1e400",
    "((1", "nan", "1 ",
];

/// Of members.
const MEMBER_BOUNDS: [&str; 14] =
    ["-", "+", "-", "+", "[a", "(a", "[b", "(1", "[1", "[", "(", "[longer", "a", "+1"];

/// As few, with integers in every encoding that they have in a packed run.
const FIELDS: [&str; 14] = [
    "1",
    "-1",
    "300",
    "-70000",
    "5000000000",
    "9223372036854775807",
    "01",
    "",
    "a",
    "b",
    "c",
    "field",
    "another field",
    "longer-than-a-packed-run-may-have-0123456789-0123456789-0123456789-0123456789",
];

/// What is far too long for 7.0 is left out: it takes that for negative.
const TIMEOUTS: [&str; 10] = ["0", "1", "0.001", "1e3", "-1", "-0", "x", "", "nan", "1 "];

/// All keys.
pub fn everything() -> Cmd {
    cmd(["EXISTS"]).all(KEYS.map(String::from))
}

pub struct Generator {
    rng: Rng,
    /// Those whose lines are made from what they document.
    rows: Vec<&'static Row>,
    /// Those that wait for data, but in MULTI.
    waiting_rows: Vec<&'static Row>,
    /// The time when the run began, in milliseconds since 1970.
    now_ms: u64,
    /// How many future times were given out.
    times: u64,
}

/// It would stall the connection; in MULTI it does not wait.
fn waits(row: &Row) -> bool {
    row.flags.contains(Flags::BLOCKING)
}

/// Whether a key might expire on one server before the next command reads it, and on the other not.
/// Steps that wait for it are made for that.
fn expires_soon(line: &Cmd) -> bool {
    let args = line.args();
    let is_short = |word: &Vec<u8>, most: u64| {
        let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<u64>().ok());
        number.is_some_and(|number| (1..most).contains(&number))
    };
    args.windows(2).enumerate().any(|(at, pair)| {
        let name = pair[0].to_ascii_uppercase();
        let value = if at == 0 { args.get(2) } else { Some(&pair[1]) };
        let most = match &name[..] {
            b"PX" | b"PEXPIRE" | b"PSETEX" => 1_000_000,
            b"EX" | b"EXPIRE" | b"SETEX" => 1_000,
            _ => return false,
        };
        value.is_some_and(|value| is_short(value, most))
    })
}

/// Redis 7.2 refuses the smallest integer where it takes its negative, 7.0 goes on with it: what they
/// hold would differ from then on.
fn is_refused_by_newer_servers_only(line: &Cmd) -> bool {
    (line.is("LREM") || line.is("LPOS"))
        && line.args().iter().any(|word| word == b"-9223372036854775808")
}

/// An option is new in 7.2; in a MULTI block 7.0 would refuse the whole block.
fn is_known_to_newer_servers_only(line: &Cmd) -> bool {
    (line.is("ZRANK") || line.is("ZREVRANK")) && line.args().len() > 3
}

/// What SORT does not sort comes in the order that each server keeps it in, as does what is equal by
/// the keys that BY names. And numbers are refused by Redis 7.0 if the last one that anybody has sent
/// was too large: it looks at an `errno` that is not SORT's own.
fn is_sorted_by_chance(line: &Cmd) -> bool {
    let has = |option: &[u8]| line.args().iter().any(|word| word.eq_ignore_ascii_case(option));
    (line.is("SORT") || line.is("SORT_RO")) && (has(b"BY") || !has(b"ALPHA"))
}

/// Redis 7.0 takes them for negative.
fn has_far_too_long_a_timeout(line: &Cmd) -> bool {
    let seconds = |word: &Vec<u8>| std::str::from_utf8(word).ok()?.parse::<f64>().ok();
    line.args().iter().filter_map(seconds).any(|seconds| seconds > 1e12)
}

/// Those whose replies are chosen at random or come in pages; there are steps for them.
const IN_STEPS: [&str; 7] =
    ["hrandfield", "hscan", "spop", "srandmember", "sscan", "zrandmember", "zscan"];

/// Whether a command's replies depend on the keys alone.
fn is_comparable(row: &Row) -> bool {
    let of_connection = row.docs.group == Group::Transactions;
    // What a value takes is each server's own.
    let in_steps = IN_STEPS.contains(&row.name);
    let is_known = lines::is_in_redis_7_0(row, &[]);
    row.has_keys() && !of_connection && !in_steps && is_known && row.full_name != "memory|usage"
}

fn compare_by(row: &Row) -> Compare {
    match row.full_name.as_str() {
        "ttl" | "expiretime" => Compare::Seconds,
        "pttl" | "pexpiretime" => Compare::Milliseconds,
        // Each server compresses, or does not, and keeps elements in an order of its own.
        "dump" | "object|idletime" => Compare::Shape,
        "smembers" | "sinter" | "sunion" | "sdiff" | "hgetall" | "hkeys" | "hvals" => {
            Compare::Unordered
        }
        _ => Compare::Exact,
    }
}

impl Values for Generator {
    fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    fn value(&mut self, row: &Row, argument: &Argument) -> Vec<u8> {
        // A word where a value belongs, now and then.
        if self.rng.one_in(200) {
            return self.value();
        }
        let text = match (argument.name.as_str(), argument.kind) {
            (_, Kind::Key) => self.key(),
            ("db" | "destination-db", _) => self.database(),
            ("element" | "pivot", _) if !self.rng.one_in(4) => self.rng.pick(&ELEMENTS).to_string(),
            ("score" | "weight", _) => self.score(),
            ("min" | "max" | "start" | "stop", _) if row.docs.group == Group::SortedSet => {
                self.bound(row, argument.kind)
            }
            ("increment", _) if row.docs.group == Group::SortedSet => self.score(),
            ("field", _) if !self.rng.one_in(6) => self.rng.pick(&FIELDS).to_string(),
            ("member", _) if !self.rng.one_in(6) => self.rng.pick(&MEMBERS).to_string(),
            ("count" | "rank" | "num-matches" | "len" | "limit", _)
                if matches!(
                    row.docs.group,
                    Group::Hash | Group::List | Group::Set | Group::SortedSet
                ) =>
            {
                self.small_count()
            }
            ("timeout", Kind::Double) => self.rng.pick(&TIMEOUTS).to_string(),
            ("increment", _) if row.name.ends_with("float") => self.float(),
            ("offset", _) if row.docs.group == Group::SortedSet => self.small_count(),
            ("offset", _) => self.offset(),
            ("start" | "end" | "stop" | "index", _) => self.index(),
            ("seconds", _) => self.far_s(),
            ("milliseconds", _) => self.far_ms(),
            ("unix-time-seconds", _) => self.at_s(),
            ("unix-time-milliseconds", _) => self.at_ms(),
            (_, Kind::Pattern) => self.rng.pick(&PATTERNS).to_string(),
            (_, Kind::Double) => self.float(),
            (_, Kind::Integer) => self.integer(),
            _ => return self.value(),
        };
        text.into_bytes()
    }
}

impl Generator {
    pub fn new(seed: u64, now_ms: u64) -> Generator {
        let comparable = lines::rows().filter(|row| is_comparable(row));
        let (waiting_rows, rows) = comparable.partition(|row| waits(row));
        Generator { rng: Rng::new(seed), rows, waiting_rows, now_ms, times: 0 }
    }

    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The next few commands, or a look at the key space that takes several exchanges.
    pub fn step(&mut self) -> Step {
        match self.rng.below(40) {
            0 => self.scan(),
            1 => Step::RandomKey,
            2 => self.expire_soon(),
            3 => Step::DbSize,
            4 | 5 => self.choice(),
            _ => {
                let length = [1, 2, 5, 20, 60, 150][self.rng.below(6)];
                let mut cmds = Vec::new();
                while cmds.len() < length {
                    self.push_command(&mut cmds);
                }
                Step::Pipeline(cmds)
            }
        }
    }

    fn push_command(&mut self, out: &mut Vec<Cmd>) {
        let command = match self.rng.below(100) {
            0..82 => self.keyed(),
            82..90 => self.connection(),
            90..93 => self.server(),
            93..95 => self.rare(),
            95 => return self.reply_off(out),
            96 => return self.transaction(out),
            97 => self.watch(),
            _ => self.broken(),
        };
        out.push(command);
    }

    /// CLIENT REPLY, and what it leaves unanswered.
    fn reply_off(&mut self, out: &mut Vec<Cmd>) {
        if self.rng.one_in(2) {
            out.push(cmd(["CLIENT", "REPLY", "SKIP"]).unanswered());
            out.push(self.keyed().unanswered());
            // Only an answer tells that it has run, before another connection goes on.
            out.push(cmd(["ECHO", "done"]));
        } else {
            out.push(cmd(["CLIENT", "REPLY", "OFF"]).unanswered());
            for _ in 0..self.rng.below(4) {
                out.push(self.keyed().unanswered());
            }
            out.push(cmd(["CLIENT", "REPLY", "ON"]));
        }
    }

    /// MULTI to EXEC, whether something is watched and has been changed from another connection or
    /// not.
    fn transaction(&mut self, out: &mut Vec<Cmd>) {
        out.push(cmd(["MULTI"]));
        let mut is_open = true;
        for _ in 0..self.rng.below(8) {
            let command = match self.rng.below(30) {
                0 => cmd(["SELECT", &self.database()]),
                1 => cmd(["SWAPDB", &self.database(), &self.database()]),
                2 => cmd(["FLUSHDB"]),
                3 if self.rng.one_in(4) => cmd(["nosuch"]).all(self.keys(3)),
                3 => cmd(["ECHO"]).arg(self.value()),
                4 => cmd([self.rng.pick(&["MULTI", "UNWATCH", "PING"])]),
                5 => self.watch(),
                6..9 if is_open => {
                    let row = self.waiting_rows[self.rng.below(self.waiting_rows.len())];
                    let line = self.line_of(row);
                    if has_far_too_long_a_timeout(&line) {
                        continue;
                    }
                    line
                }
                _ => self.keyed(),
            };
            // What is compared with tolerance, or explained, cannot be within EXEC's reply.
            if command.compare == Compare::Exact && !command.is("OBJECT") {
                // Outside of MULTI, those that wait would.
                is_open = match is_open {
                    true => !command.is("EXEC") && !command.is("DISCARD"),
                    false => command.is("MULTI"),
                };
                out.push(command);
            }
        }
        out.push(if self.rng.one_in(10) { cmd(["DISCARD"]) } else { cmd(["EXEC"]) });
    }

    fn watch(&mut self) -> Cmd {
        match self.rng.below(8) {
            0 => cmd(["UNWATCH"]),
            1 => cmd(["EXEC"]),
            2 => cmd(["DISCARD"]),
            _ => cmd(["WATCH"]).all(self.keys(3)),
        }
    }

    /// A command of the table that has keys, with arguments as its row documents them.
    fn keyed(&mut self) -> Cmd {
        let row = match self.rng.below(8) {
            // What builds up state, so that the others find some.
            0 | 1 => {
                let name = self.rng.pick(&[
                    "set", "set", "rpush", "lpush", "sadd", "sadd", "zadd", "zadd", "hset", "hset",
                ]);
                self.rows.iter().find(|row| row.name == name).copied()
            }
            _ => None,
        };
        let row = row.unwrap_or_else(|| self.rows[self.rng.below(self.rows.len())]);
        self.line_of(row)
    }

    fn line_of(&mut self, row: &Row) -> Cmd {
        let compare = compare_by(row);
        loop {
            let line = lines::line(row, self).into_iter().fold(cmd([]), Cmd::arg);
            if !is_refused_by_newer_servers_only(&line)
                && !is_known_to_newer_servers_only(&line)
                && lines::is_in_redis_7_0(row, line.args())
                && !is_sorted_by_chance(&line)
                && !expires_soon(&line)
            {
                return line.compared(compare);
            }
        }
    }

    fn connection(&mut self) -> Cmd {
        match self.rng.below(22) {
            0..4 => cmd(["SELECT", &self.database()]),
            4 => cmd(["ECHO"]).arg(self.value()),
            5 => cmd(["PING"]),
            6 => cmd(["PING"]).arg(self.value()),
            7 => cmd(["CLIENT", "GETNAME"]),
            8 => cmd(["CLIENT", "SETNAME"]).arg(self.value()),
            9 => cmd(["CLIENT", "ID"]).compared(Compare::Shape),
            10 => cmd(["CLIENT", "INFO"]).compared(Compare::Shape),
            11 => cmd(["CLIENT", "NO-EVICT", self.rng.pick(&["ON", "OFF", "x"])]),
            12 => cmd(["CLIENT", "NO-TOUCH", self.rng.pick(&["ON", "OFF", "x"])]),
            13 => cmd(["CLIENT", "TRACKINGINFO"]),
            14 => cmd(["CLIENT", "GETREDIR"]),
            15 => cmd(["CLIENT", "UNBLOCK", &self.integer()]),
            16 => {
                let what = self.rng.pick(&["LIB-NAME", "lib-ver", "x"]);
                cmd(["CLIENT", "SETINFO", what]).arg(self.value())
            }
            17 => self.client_kill(),
            18 => cmd(["CLIENT", "UNPAUSE"]),
            19 => cmd(["AUTH", "x"]),
            20 => cmd(["AUTH", self.rng.pick(&["default", "nobody"]), "x"]),
            _ => cmd(["CLIENT", "REPLY", self.rng.pick(&["ON", "x"])]),
        }
    }

    /// Only filters that match nobody.
    fn client_kill(&mut self) -> Cmd {
        let filter: &[&str] = match self.rng.below(9) {
            0 => &["ID", "999999999"],
            1 => &["ADDR", "1.2.3.4:5"],
            2 => &["LADDR", "1.2.3.4:5"],
            3 => &["USER", "nobody"],
            4 => &["TYPE", "pubsub"],
            5 => &["TYPE", "replica", "SKIPME", "no"],
            6 => &["ID", "x"],
            7 => &["SKIPME", "maybe"],
            _ => &["1.2.3.4:5"],
        };
        cmd(["CLIENT", "KILL"]).all(filter.iter().map(|s| s.to_string()))
    }

    fn server(&mut self) -> Cmd {
        match self.rng.below(17) {
            12 => {
                let container = self.rng.pick(&["OBJECT", "CONFIG", "COMMAND", "DEBUG", "CLIENT"]);
                cmd([container, "HELP"]).compared(Compare::Shape)
            }
            13 => {
                let filter = self.rng.pick(&["MODULE", "ACLCAT", "PATTERN", "x"]);
                let of = self.rng.pick(&["nosuch", "", "@x"]);
                cmd(["COMMAND", "LIST", "FILTERBY", filter, of])
            }
            14 => {
                let name = self.rng.pick(&["get", "MSET", "mget", "del", "nosuch", "append"]);
                cmd(["COMMAND", "INFO", name, "strlen"])
            }
            15 => cmd(["COMMAND", "DOCS", "nosuch"]),
            0 => cmd(["TIME"]).compared(Compare::Shape),
            1 => cmd(["COMMAND", "COUNT"]).compared(Compare::Shape),
            2 => cmd(["COMMAND", "LIST"]).compared(Compare::Shape),
            3 => cmd(["CONFIG", "GET", "nosuch*"]),
            4 => cmd(["CONFIG", "SET", "nosuch", "1"]),
            5 => cmd(["CONFIG", "RESETSTAT"]),
            6..10 => {
                let of = self.keyed();
                let name = self.rng.pick(&["GETKEYS", "GETKEYS", "GETKEYSANDFLAGS"]);
                let keys = cmd(["COMMAND", name]);
                of.into_args().into_iter().fold(keys, Cmd::arg)
            }
            10 => cmd(["LOLWUT"]).compared(Compare::Shape),
            11 => cmd(["KEYS", self.rng.pick(&PATTERNS)]).compared(Compare::Unordered),
            _ => cmd(["DEBUG", "SLEEP", "0"]),
        }
    }

    /// What changes everything; rare, so that state can build up between.
    fn rare(&mut self) -> Cmd {
        match self.rng.below(12) {
            0..2 => cmd(["FLUSHDB"]),
            2 => cmd(["FLUSHDB", self.rng.pick(&["ASYNC", "sync", "x"])]),
            3 => cmd(["FLUSHALL"]),
            4 => cmd(["FLUSHALL", self.rng.pick(&["ASYNC", "sync", "x"])]),
            5..9 => cmd(["SWAPDB", &self.database(), &self.database()]),
            9 => cmd(["RESET"]),
            _ => {
                let version = self.rng.pick(&["2", "3", "2", "3", "1", "4", "x"]);
                let hello = cmd(["HELLO", version]).compared(Compare::Hello);
                match self.rng.below(5) {
                    0 => hello.arg("SETNAME").arg("me"),
                    1 => hello.arg("AUTH").arg("default").arg("x"),
                    2 => hello.arg("nosuch"),
                    _ => hello,
                }
            }
        }
    }

    /// A command with an argument too few, too many, or of the wrong sort.
    fn broken(&mut self) -> Cmd {
        let command = if self.rng.one_in(4) { self.connection() } else { self.keyed() };
        // Spelled-out orders stay whole: a shortened CLIENT KILL could kill somebody.
        if command.is("CLIENT") || command.is("SELECT") {
            return self.nonsense();
        }
        let broken = match self.rng.below(4) {
            0 => command.without_last(),
            1 => command.arg(self.value()),
            2 => command.arg("EX"),
            _ => self.nonsense(),
        };
        if is_known_to_newer_servers_only(&broken) { self.nonsense() } else { broken }
    }

    fn nonsense(&mut self) -> Cmd {
        match self.rng.below(8) {
            0 => cmd(["nosuch"]).all(self.keys(3)),
            1 => cmd(["CLIENT", "nosuch"]),
            2 => cmd(["OBJECT", "nosuch", "x"]),
            3 => cmd(["CONFIG", "nosuch"]),
            4 => cmd(["COMMAND", "GETKEYS", "nosuch", "x"]),
            5 => cmd(["COMMAND", "INFO", "nosuch"]),
            6 => {
                // strtoul's idea of a number, which Redis reads cursors with.
                let cursor = self.rng.pick(&["x", "", "-1", "+0", "0x", " 0", "0 ", "00"]);
                cmd(["SCAN", cursor, "MATCH", "nosuch"]).compared(Compare::Scan)
            }
            _ => {
                let option = self.rng.pick(&["COUNT", "MATCH", "TYPE", "x"]);
                let value = self.rng.pick(&["0", "-1", "x", "*"]);
                // A cursor that has come round, or an error; never a page of keys.
                let options = cmd(["SCAN", "0", option, value, "MATCH", "nosuch"]);
                options.compared(Compare::Scan)
            }
        }
    }

    /// Members of a set or fields of a hash at random.
    fn choice(&mut self) -> Step {
        let name = self.rng.pick(&["spop", "srandmember", "zrandmember", "hrandfield"]);
        let row = lines::rows().find(|row| row.name == name).expect("it is in the table");
        let mut line = lines::line(row, self);
        let too_many = |word: &Vec<u8>| {
            let count = std::str::from_utf8(word).ok().and_then(|word| word.parse::<i64>().ok());
            count.is_some_and(|count| count < -1000)
        };
        if line.get(2).is_some_and(too_many) {
            line[2] = b"-20".to_vec();
        }
        Step::Choice(line.into_iter().fold(cmd([]), Cmd::arg))
    }

    fn scan(&mut self) -> Step {
        let mut line = match self.rng.below(5) {
            0 | 1 => vec!["SCAN".to_string()],
            2 => vec!["SSCAN".to_string(), self.key()],
            3 => vec!["ZSCAN".to_string(), self.key()],
            _ => vec!["HSCAN".to_string(), self.key()],
        };
        let cursor_at = line.len();
        line.push("0".to_string());
        if self.rng.one_in(2) {
            line.extend(["MATCH".into(), self.rng.pick(&PATTERNS).to_string()]);
        }
        if self.rng.one_in(2) {
            let count = self.rng.pick(&["1", "2", "3", "10", "1000", "9223372036854775807"]);
            line.extend(["COUNT".into(), count.to_string()]);
        }
        if self.rng.one_in(3) {
            let of = self.rng.pick(&["string", "STRING", "list", "set", "zset", "hash"]);
            line.extend(["TYPE".into(), of.to_string()]);
        }
        Step::Scan { line, cursor_at }
    }

    /// Keys whose time comes within a moment; the runner waits for it, then touches them.
    fn expire_soon(&mut self) -> Step {
        let (key, other) = (self.key(), self.key());
        let command = match self.rng.below(4) {
            0 => cmd(["SET", &key, "gone", "PX", "1"]),
            1 => cmd(["PEXPIRE", &key, "1"]),
            2 => cmd(["PSETEX", &key, "1", "gone"]),
            _ => cmd(["GETEX", &key, "PX", "1"]),
        };
        let then = match self.rng.below(9) {
            0 => cmd(["SET", &key, "new", "KEEPTTL"]),
            1 => cmd(["APPEND", &key, "x"]),
            2 => cmd(["RENAME", &key, &other]),
            3 => cmd(["COPY", &key, &other, "REPLACE"]),
            4 => cmd(["INCR", &key]),
            5 => cmd(["SET", &key, "new", "XX", "GET"]),
            6 => cmd(["MSETNX", &key, "1", &other, "2"]),
            7 => cmd(["MOVE", &key, &self.database()]),
            _ => everything(),
        };
        Step::Pipeline(vec![command.waits(), everything(), then])
    }

    fn key(&mut self) -> String {
        self.rng.pick(&KEYS).to_string()
    }

    /// Between one and `most` keys, with repetitions.
    fn keys(&mut self, most: usize) -> Vec<String> {
        (0..1 + self.rng.below(most)).map(|_| self.key()).collect()
    }

    fn database(&mut self) -> String {
        if self.rng.one_in(12) {
            self.rng.pick(&["16", "-1", "x", "", "99999999999"]).to_string()
        } else {
            self.rng.pick(&DATABASES).to_string()
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.below(12) {
            // So that the counters have something to count.
            0 | 8 => self.integer().into_bytes(),
            1 | 9 => self.float().into_bytes(),
            2 => Vec::new(),
            3 => b"\r\n\0\xff nul and breaks".to_vec(),
            // Around the border between embstr and raw, 44 bytes.
            4 => vec![b'e'; 40 + self.rng.below(10)],
            5 => {
                let length = self.rng.below(400);
                (0..length).map(|_| b"abcd"[self.rng.below(4)]).collect()
            }
            6 => vec![b'z'; self.rng.below(3000)],
            7 => format!("\"quoted\\{}\"", self.rng.below(100)).into_bytes(),
            _ => {
                let length = self.rng.below(12);
                (0..length).map(|_| b"abcde01 "[self.rng.below(8)]).collect()
            }
        }
    }

    fn integer(&mut self) -> String {
        match self.rng.below(3) {
            0 => (self.rng.below(2000) as i64 - 1000).to_string(),
            1 => (self.rng.next() as i64).to_string(),
            _ => self.rng.pick(&INTEGERS).to_string(),
        }
    }

    fn small_count(&mut self) -> String {
        if self.rng.one_in(4) {
            return self.integer();
        }
        (self.rng.below(8) as i64 - 3).to_string()
    }

    fn float(&mut self) -> String {
        match self.rng.below(3) {
            0 => format!("{}.{}", self.rng.below(1000), self.rng.below(1000)),
            1 => format!("-{}.{:03}", self.rng.below(10), self.rng.below(1000)),
            _ => self.rng.pick(&FLOATS).to_string(),
        }
    }

    fn score(&mut self) -> String {
        match self.rng.below(8) {
            0 => self.float(),
            1 => self.integer(),
            _ => self.rng.pick(&SCORES).to_string(),
        }
    }

    /// Of a range of a sorted set.
    fn bound(&mut self, row: &Row, kind: Kind) -> String {
        let of_members = row.name.ends_with("lex") || row.name == "zlexcount";
        match (kind, self.rng.below(4)) {
            (Kind::Integer, _) | (Kind::String, 0) if !of_members => self.index(),
            (Kind::Double, 0 | 1) | (Kind::String, 1) if !of_members => self.score(),
            (Kind::Double, _) => self.rng.pick(&SCORE_BOUNDS).to_string(),
            _ => self.rng.pick(&MEMBER_BOUNDS).to_string(),
        }
    }

    fn index(&mut self) -> String {
        if self.rng.one_in(4) {
            return self.integer();
        }
        (self.rng.below(60) as i64 - 30).to_string()
    }

    /// An offset for SETRANGE: near, far enough to be refused, or no offset at all.
    fn offset(&mut self) -> String {
        match self.rng.below(12) {
            0 => self.integer(),
            1 => {
                let far = ["1048000", "1048576", "1048577", "536870911", "536870912"];
                self.rng.pick(&far).to_string()
            }
            2 => self.rng.below(3000).to_string(),
            _ => self.rng.below(60).to_string(),
        }
    }

    /// A duration that ends long after the test, has passed already, or is no duration.
    fn far_s(&mut self) -> String {
        match self.rng.below(8) {
            0 => self.rng.pick(&["0", "-1", "-1000", "x", "", "1.5"]).to_string(),
            1 => self
                .rng
                .pick(&[
                    "9223372036854775807",
                    "9223372036854775",
                    "9223372036854774",
                    "-9223372036854775808",
                    "9223372036854775808",
                ])
                .to_string(),
            // Nearly as far as can be, and no two alike.
            2 => (9_223_000_000_000_000 + self.relative_s()).to_string(),
            _ => self.relative_s().to_string(),
        }
    }

    fn far_ms(&mut self) -> String {
        match self.rng.below(8) {
            0 => self.rng.pick(&["0", "-1", "-1000", "x", "", "1.5"]).to_string(),
            1 => self.rng.pick(&["9223372036854775807", "-9223372036854775808", "1e9"]).to_string(),
            2 => (9_223_000_000_000_000_000 + self.relative_s() * 1000).to_string(),
            _ => (self.relative_s() * 1000).to_string(),
        }
    }

    /// A moment in seconds since 1970.
    fn at_s(&mut self) -> String {
        match self.rng.below(8) {
            0 | 1 => self.far_s(),
            2 => (self.now_ms / 1000 - 100).to_string(),
            _ => self.absolute_s().to_string(),
        }
    }

    fn at_ms(&mut self) -> String {
        match self.rng.below(8) {
            0 | 1 => self.far_ms(),
            2 => (self.now_ms - 100_000).to_string(),
            _ => (self.absolute_s() * 1000).to_string(),
        }
    }

    /// Times in the future lie so far apart that GT and LT find the same order on both servers,
    /// although these do not run a command at the same millisecond.
    fn relative_s(&mut self) -> u64 {
        self.times += 1;
        10_000 + self.times * 7919 % 100_003 * 1000
    }

    fn absolute_s(&mut self) -> u64 {
        self.now_ms / 1000 + 200_000_000 + self.relative_s()
    }
}
