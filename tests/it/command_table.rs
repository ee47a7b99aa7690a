//! The command table against a stock redis-server's: whatever COMMAND says of a command that both
//! have is the same, but for what `tests/deviations.md` explains.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use ringwell::commands::introspection::syntax::Argument;
use ringwell::commands::{BeginSearch, Command, FindKeys};

use crate::documents::{Explained, explained, missing_subcommands};
use crate::support::lines::{self, Values};
use crate::support::{Client, Need, Rng, Server, Value, seed, test_with};

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 4] = [
        ("info_in_resp2", || compare_info(2)),
        ("info_in_resp3", || compare_info(3)),
        ("docs", compare_docs),
        ("getkeys", compare_getkeys),
    ];
    let trial =
        |(name, run)| test_with(&[Need::RedisServer], format!("command_table::{name}"), run);
    tests.map(trial).into()
}

/// Commands of our own.
fn is_ours(name: &str) -> bool {
    name == "access" || name.starts_with("access|")
}

const FIELDS: [&str; 9] =
    ["name", "arity", "flags", "first key", "last key", "step", "categories", "tips", "key specs"];

/// The fields of one row by name.
type Row = BTreeMap<&'static str, Value>;

fn compare_info(protocol: u8) {
    let (ringwell, redis) = (Server::ringwell(1, &[]), Server::redis(&[]));
    let ours = rows(&mut greeted(&ringwell, protocol));
    let theirs = rows(&mut greeted(&redis, protocol));
    assert!(ours.len() > 80, "{:?}", ours.keys());
    let mut differences = Differences::default();
    for (name, row) in ours.iter().filter(|(name, _)| !is_ours(name)) {
        let Some(stock) = theirs.get(name) else {
            differences.add(name, "row", "missing in redis-server".to_owned());
            continue;
        };
        for field in FIELDS {
            if row[field] != stock[field] {
                let text = format!("{:?}, in redis-server {:?}", row[field], stock[field]);
                differences.add(name, field, text);
            }
        }
    }
    for name in theirs.keys().filter(|name| !ours.contains_key(*name)) {
        if name.split_once('|').is_some_and(|(container, _)| ours.contains_key(container)) {
            differences.add(name, MISSING, "a subcommand that only redis-server has".to_owned());
        }
    }
    let missing = missing_subcommands().into_iter().map(|(name, why)| Explained {
        command: name,
        field: MISSING.to_owned(),
        why,
    });
    differences.check(explained("COMMAND INFO").into_iter().chain(missing).collect());
}

/// What is different about a subcommand that we do not have.
const MISSING: &str = "missing";

fn greeted(server: &Server, protocol: u8) -> Client {
    let mut client = server.connect();
    let reply = client.run(&format!("HELLO {protocol}"));
    assert!(!reply.is_error(), "{reply:?}");
    client
}

/// All rows, those of subcommands too.
fn rows(client: &mut Client) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for command in client.run("COMMAND").items() {
        let subcommands = &command.items()[9];
        for row in std::iter::once(command).chain(subcommands.items()) {
            assert_eq!(row.items().len(), FIELDS.len() + 1, "{row:?}");
            let fields = FIELDS.iter().copied().zip(row.items().iter().map(sorted));
            rows.insert(row.items()[0].text(), fields.collect());
        }
    }
    rows
}

/// Sets have no order; RESP2 shows them as arrays.
fn sorted(value: &Value) -> Value {
    let sort = |members: &[Value]| {
        let mut members = members.to_vec();
        members.sort();
        members
    };
    match value {
        Value::Set(members) => Value::Set(sort(members)),
        Value::Array(members) => Value::Array(sort(members)),
        other => other.clone(),
    }
}

/// Summaries were reworded for Redis 7.2, complexities are often ours.
fn compare_docs() {
    let (ringwell, redis) = (Server::ringwell(1, &[]), Server::redis(&[]));
    let (mut ours, mut theirs) = (greeted(&ringwell, 3), greeted(&redis, 3));
    let names: Vec<String> = rows(&mut greeted(&ringwell, 2)).into_keys().collect();
    let mut differences = Differences::default();
    for name in names.iter().filter(|name| !is_ours(name)) {
        let line = ["COMMAND", "DOCS", name.as_str()];
        let docs = docs_of(&ours.command(&line));
        let docs = docs.unwrap_or_else(|| panic!("COMMAND DOCS does not know {name}"));
        assert!(docs.get("summary").is_some_and(|text| !text.text().is_empty()), "{name}");
        let Some(stock) = docs_of(&theirs.command(&line)) else {
            differences.add(name, "row", "missing in redis-server".to_owned());
            continue;
        };
        for field in ["since", "group"] {
            let (our, their) = (docs.get(field), stock.get(field));
            if our != their {
                differences.add(name, field, format!("{our:?}, in redis-server {their:?}"));
            }
        }
        let has_arguments = docs.contains_key("arguments");
        if has_arguments != stock.contains_key("arguments") {
            differences.add(name, "arguments", format!("documented: {has_arguments}"));
        }
    }
    differences.check(explained("COMMAND DOCS"));
}

/// The documentation of the one command in the reply.
fn docs_of(reply: &Value) -> Option<BTreeMap<String, Value>> {
    let (_, docs) = reply.pairs().into_iter().next()?;
    Some(docs.pairs().into_iter().map(|(field, value)| (field.text(), value)).collect())
}

fn compare_getkeys() {
    let (ringwell, redis) = (Server::ringwell(1, &[]), Server::redis(&[]));
    let (mut ours, mut theirs) = (greeted(&ringwell, 3), greeted(&redis, 3));
    let known = rows(&mut greeted(&redis, 2));
    let seed = seed();
    let mut words = Words(Rng::new(seed));
    let mut asked: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut names = 0;
    for row in lines::rows().filter(|row| known.contains_key(&row.full_name)) {
        names += 1;
        let lines = (0..LINES_PER_COMMAND).map(|_| any_line(row, &mut words));
        let lines = lines.filter(|line| !has_count_by_prefix(row, line));
        // Of SORT's options Redis takes values for words: here the destination is what it is.
        let lines = lines.filter(|_| row.name != "sort");
        asked.extend(lines.filter(|line| lines::is_in_redis_7_0(row, line)));
    }
    assert!(names > 80, "{names}");
    let unknown =
        ["OBJECT nosuch a", "CONFIG nosuch a", "nosuch a", "CLIENT nosuch", "DEBUG OBJECT a"];
    let split = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    asked.extend(unknown.map(split));
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    // Redis 7.2 takes commands without arguments.
    for line in asked.into_iter().filter(|line| line.len() > 1) {
        for subcommand in ["GETKEYS", "GETKEYSANDFLAGS"] {
            let question = [b"COMMAND", subcommand.as_bytes()].map(<[u8]>::to_vec);
            let question = [&question[..], &line].concat();
            let (our, their) = (ours.command(&question), theirs.command(&question));
            let shown: Vec<_> = line.iter().map(|word| String::from_utf8_lossy(word)).collect();
            assert_eq!(our, their, "COMMAND {subcommand} {shown:?}, seed {seed}");
            let kind = if our.is_error() { format!("{our:?}") } else { "keys".to_owned() };
            *answers.entry(kind).or_default() += 1;
        }
    }
    println!("seed {seed}: {answers:?}");
    for text in ["no key arguments", "Invalid number of arguments", "Invalid command", "keys"] {
        assert!(answers.keys().any(|answer| answer.contains(text)), "{text}: {answers:?}");
    }
}

/// For each of GETKEYS and GETKEYSANDFLAGS.
const LINES_PER_COMMAND: usize = 60;

/// A line as documented; now and then with an argument too few or too many.
/// Whether a count of keys is no number and only begins like one: Redis's functions for getting keys
/// read as far as they can, its commands and ours refuse.
fn has_count_by_prefix(row: &Command, line: &[Vec<u8>]) -> bool {
    row.keys.iter().any(|spec| match (spec.begin, spec.find) {
        (BeginSearch::Index(begin), FindKeys::KeyNum { count_at, .. }) => {
            let count = line.get(begin + count_at).map(|word| String::from_utf8_lossy(word));
            count.is_some_and(|count| {
                count.parse::<i64>().map(|n| n.to_string()) != Ok(count.into())
            })
        }
        _ => false,
    })
}

fn any_line(row: &ringwell::commands::Row, words: &mut Words) -> Vec<Vec<u8>> {
    let mut line = lines::line(row, words);
    let name = row.full_name.split('|').count();
    match words.0.below(8) {
        0 if line.len() > name => line.truncate(line.len() - 1),
        1 => line.push(words.word()),
        2 => line.truncate(name),
        _ => {}
    }
    line
}

/// Words that stand for any argument; some of them are options.
struct Words(Rng);

impl Words {
    fn word(&mut self) -> Vec<u8> {
        let words = ["a", "b", "c", "", "7", "-1", "get", "GET", "x y", "store", "ex", "*"];
        self.0.pick(&words).as_bytes().to_vec()
    }
}

impl Values for Words {
    fn rng(&mut self) -> &mut Rng {
        &mut self.0
    }

    fn value(&mut self, _: &ringwell::commands::Row, _: &Argument) -> Vec<u8> {
        self.word()
    }
}

#[derive(Default)]
struct Differences(BTreeMap<(String, String), String>);

impl Differences {
    fn add(&mut self, command: &str, field: &str, text: String) {
        self.0.insert((command.to_owned(), field.to_owned()), text);
    }

    /// Fails with what is not explained, and with explanations of differences that are none.
    fn check(mut self, explained: Vec<Explained>) {
        let mut problems = Vec::new();
        for Explained { command, field, why } in explained {
            if self.0.remove(&(command.clone(), field.clone())).is_none() {
                problems.push(format!("{command}: {field}: there is no difference ({why})"));
            }
        }
        let unexplained = self.0.iter();
        problems
            .extend(unexplained.map(|((name, field), text)| format!("{name}: {field}: {text}")));
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    }
}
