//! Every change of a key is an event of Redis's name and class: commands of the whole table, made of
//! their documented syntax, on one shard and on a redis-server that notifies.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use libtest_mimic::Trial;
use ringwell::commands::introspection::syntax::{Argument, Kind};
use ringwell::commands::{Context, Flags, Handler, Row};
use ringwell::config::Config;
use ringwell::protocol::args::OwnedArgs;
use ringwell::protocol::reply::{Encoding, Reply};
use ringwell::store::{Change, Class, Classes, Shard};

use crate::support::lines::{self, Values};
use crate::support::{Client, Need, Rng, Server, Value, encode, lossy, seed, test_with};

const LINES: usize = 8_000;
/// As long as a command is left that has not changed anything.
const LINES_MAX: usize = 60 * LINES;
/// So many of them are run before other classes are listened to.
const LINES_PER_BLOCK: usize = 100;
const KEYS: [&str; 4] = ["a", "b", "c", "d"];
const DATABASES: usize = 3;
/// What the others change is mostly made by these.
const BUILDERS: [&str; 5] = ["set", "rpush", "sadd", "zadd", "hset"];
/// A string, as Redis 7.0 dumps it.
const DUMPED: &[u8] = b"\x00\x05hello\n\x00cr\xdfve4 \n";
/// Those that random commands meet: nothing is evicted.
const CLASSES: [Class; 6] =
    [Class::Generic, Class::String, Class::List, Class::SortedSet, Class::Expired, Class::New];

pub fn trials() -> Vec<Trial> {
    vec![test_with(&[Need::RedisServer], "events::are_those_of_redis", events_are_those_of_redis)]
}

/// Database, name of the event, key.
type Told = (usize, String, String);

fn events_are_those_of_redis() {
    let seed = seed();
    let mut values = Words(Rng::new(seed));
    let redis = Server::redis(&["--enable-debug-command", "yes"]);
    let mut theirs = Notified::of(&redis);
    let mut ours = OneShard::new();
    // What SPOP leaves differs from server to server.
    let writes = |row: &&Row| {
        let is_random = row.name == "spop";
        row.flags.contains(Flags::WRITE) && lines::is_in_redis_7_0(row, &[]) && !is_random
    };
    let rows: Vec<&Row> = lines::rows().filter(writes).collect();
    let is_builder = |row: &&&Row| BUILDERS.contains(&row.name);
    let builders: Vec<&Row> = rows.iter().filter(is_builder).copied().collect();
    let mut told = BTreeSet::new();
    let mut events = BTreeSet::new();
    let keyed: Vec<&&Row> =
        rows.iter().filter(|row| matches!(row.handler, Handler::Keyed(..))).collect();
    let mut number = 0;
    // Rare ones, such as LINSERT beside an element that is there, may take longer to be seen.
    while number < LINES || told.len() < keyed.len() && number < LINES_MAX {
        if number % LINES_PER_BLOCK == 0 {
            let classes = classes(&mut values.0);
            theirs.listen_to(&classes);
            ours.listen_to(&classes);
        }
        let row = match values.0.one_in(4) {
            true => values.0.pick(&builders),
            false => values.0.pick(&rows),
        };
        let db = values.0.below(DATABASES);
        let line = lines::line(row, &mut values);
        if !lines::is_in_redis_7_0(row, &line) {
            continue;
        }
        let (here, there) = (ours.run(row, db, &line), theirs.run(row, db, &line));
        let shown: Vec<String> = line.iter().map(|word| lossy(word)).collect();
        assert_eq!(
            in_their_order(&here),
            in_their_order(&there),
            "{shown:?} in database {db}; RINGWELL_TESTS_SEED={seed} repeats it"
        );
        if !here.is_empty() && matches!(row.handler, Handler::Keyed(..)) {
            told.insert(&row.full_name);
        }
        number += 1;
        events.extend(here.into_iter().map(|(_, event, _)| event));
    }
    let untold: Vec<_> =
        keyed.iter().map(|row| &row.full_name).filter(|row| !told.contains(row)).collect();
    assert!(untold.is_empty(), "no change was seen of {untold:?}");
    println!("{number} lines of {} commands, seed {seed}: {events:?}", rows.len());
}

/// Mostly all, else a single one.
fn classes(rng: &mut Rng) -> Vec<Class> {
    if rng.one_in(2) { CLASSES.to_vec() } else { vec![CLASSES[rng.below(CLASSES.len())]] }
}

/// As they were told, but for `new`, which no two versions of Redis tell at the same point.
fn in_their_order(told: &[Told]) -> (Vec<&Told>, BTreeSet<&Told>) {
    let (new, others): (Vec<_>, Vec<_>) = told.iter().partition(|(_, event, _)| event == "new");
    (others, new.into_iter().collect())
}

struct Words(Rng);

impl Values for Words {
    fn rng(&mut self) -> &mut Rng {
        &mut self.0
    }

    /// Mostly such that something happens. No time is near: nothing expires by itself.
    fn value(&mut self, _: &Row, argument: &Argument) -> Vec<u8> {
        if argument.name == "serialized-value" {
            return DUMPED.to_vec();
        }
        let choices: &[&str] = match (argument.name.as_str(), argument.kind) {
            (_, Kind::Key) => &KEYS,
            ("db" | "destination-db" | "index1" | "index2", _) => &["0", "1", "2", "99"],
            ("unix-time-seconds", _) => &["1", "9999999999", "9999999998"],
            ("unix-time-milliseconds", _) => &["1", "9999999999999", "x"],
            ("seconds" | "milliseconds", _) => &["1000000", "2000000", "-1", "0"],
            ("ttl", _) => &["0", "1000000", "-1", "x"],
            ("offset", _) => &["0", "1", "7"],
            ("start" | "stop" | "end" | "index" | "count" | "rank", _) => &["0", "1", "-1", "2"],
            ("min" | "max", Kind::String) => &["-", "+", "[1", "(2", "0", "-1"],
            ("timeout", _) => &["1", "0.5"],
            (_, Kind::Integer | Kind::Double) => &["1", "-3", "2", "x"],
            _ => &["", "1", "12", "word", "1.5", "much longer than a short value is, by far"],
        };
        self.0.pick(choices).as_bytes().to_vec()
    }
}

/// The shard of a server that has one, without the server.
struct OneShard {
    shard: Shard,
    config: Config,
}

impl OneShard {
    fn new() -> OneShard {
        OneShard { shard: Shard::new(1), config: Config::default() }
    }

    fn listen_to(&mut self, classes: &[Class]) {
        let classes = classes.iter().fold(Classes::NONE, |all, class| all.with(*class));
        self.shard.record_changes(classes);
    }

    fn run(&mut self, row: &Row, db: usize, line: &[Vec<u8>]) -> Vec<Told> {
        let args: OwnedArgs = line.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        let mut context = Context {
            shard: &mut self.shard,
            db_index: db,
            now: now_ms(),
            config: &self.config,
            reply: Reply::new(&mut out, Encoding::Resp2),
            shard_index: 0,
            shard_count: 1,
        };
        if row.arity_allows(line.len()) {
            let (Handler::Keyed(run, _) | Handler::EveryShard(run, _)) = row.handler else {
                panic!("{} does not run on a shard", row.full_name);
            };
            // What it answers is for other tests.
            let _ = run(&mut context, args.as_args());
        }
        let told = |change| match change {
            Change::Key { db, key, event } => {
                Some((usize::from(db), event.name().to_owned(), lossy(&key)))
            }
            Change::Flushed { .. } | Change::Swapped { .. } => None,
        };
        self.shard.take_changes().into_iter().filter_map(told).collect()
    }
}

/// A redis-server, who runs commands at it, and who hears of what they change.
struct Notified {
    runs: Client,
    hears: Client,
}

impl Notified {
    fn of(server: &Server) -> Notified {
        let (mut runs, mut hears) = (server.connect(), server.connect());
        // Then what has expired goes when somebody looks at it.
        assert_eq!(runs.run("DEBUG SET-ACTIVE-EXPIRE 0"), Value::ok());
        hears.run("PSUBSCRIBE __keyevent@*__:*");
        hears.run("SUBSCRIBE done");
        Notified { runs, hears }
    }

    fn listen_to(&mut self, classes: &[Class]) {
        let letters: String = classes.iter().map(|class| class.letter()).collect();
        let line = format!("CONFIG SET notify-keyspace-events E{letters}");
        assert_eq!(self.runs.run(&line), Value::ok());
    }

    fn run(&mut self, row: &Row, db: usize, line: &[Vec<u8>]) -> Vec<Told> {
        let mut request = encode(&["SELECT", &db.to_string()]);
        let mut replies = 1;
        if row.flags.contains(Flags::BLOCKING) {
            // So it does not wait.
            request.extend(encode(&["MULTI"]));
            request.extend(encode(line));
            request.extend(encode(&["EXEC"]));
            replies += 3;
        } else {
            request.extend(encode(line));
            replies += 1;
        }
        for db in 0..DATABASES {
            request.extend(encode(&["SELECT", &db.to_string()]));
            request.extend(encode(&["EXISTS", KEYS[0], KEYS[1], KEYS[2], KEYS[3]]));
            replies += 2;
        }
        request.extend(encode(&["PUBLISH", "done", ""]));
        self.runs.send(&request);
        for _ in 0..=replies {
            self.runs.read_value();
        }
        let mut told = Vec::new();
        loop {
            let message = self.hears.read_value();
            let [kind, .., channel, key] = message.items() else { panic!("{message:?}") };
            if kind.text() == "message" {
                return told;
            }
            let channel = channel.text();
            let rest = channel.strip_prefix("__keyevent@").expect("that is what was asked for");
            let (db, event) = rest.split_once("__:").expect("that is what was asked for");
            told.push((db.parse().expect("a number"), event.to_owned(), key.text()));
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is not 1969");
    u64::try_from(since.as_millis()).expect("milliseconds of this age fit")
}
