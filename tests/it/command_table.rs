//! COMMAND against a stock redis-server, for every command that Ringwell has.

use libtest_mimic::Trial;

use crate::support::{Client, Need, Server, Value, test_with};

/// Commands that are Ringwell's own, or newer than the redis-server that Debian ships.
const NOT_IN_REDIS_7_0: [&str; 6] =
    ["access", "access|explain", "access|help", "access|log", "client|no-touch", "client|setinfo"];

/// What Redis 7.2 says otherwise than the 7.0 that Debian ships, as `command: field`, and why.
const EXPLAINED: &[(&str, &str)] = &[
    ("client|setname: tips", "7.2 says that it concerns every node"),
    ("command|getkeys: arity", "7.2 answers for a command without arguments, too"),
    ("command|getkeysandflags: arity", "7.2 answers for a command without arguments, too"),
    ("config|resetstat: tips", "7.2 says that it concerns every node"),
    ("config|rewrite: tips", "7.2 says that it concerns every node"),
    ("msetnx: tips", "7.2 no longer says that it may be split, which would break its condition"),
    ("randomkey: tips", "7.2 says that one of the shards' replies must be chosen"),
    ("scan: tips", "7.2 says that the shards' replies cannot be merged"),
];

pub fn trials() -> Vec<Trial> {
    vec![
        test_with(&[Need::RedisServer], "command_table::equals_redis", equals_redis),
        test_with(&[Need::RedisServer], "command_table::docs_agree", docs_agree),
    ]
}

fn both() -> (Server, Server) {
    (Server::ringwell(1, &[]), Server::redis(&[]))
}

/// All names with the subcommands, as `client|id`.
fn names(client: &mut Client) -> Vec<String> {
    let list = client.run("COMMAND LIST");
    let mut names: Vec<String> = list.items().iter().map(Value::text).collect();
    names.sort();
    names
}

fn equals_redis() {
    let (ours, theirs) = both();
    let (mut ours, mut theirs) = (ours.connect(), theirs.connect());
    let known = names(&mut theirs);
    let mut problems = Vec::new();
    let names = names(&mut ours);
    assert!(names.len() > 80, "{names:?}");
    for name in &names {
        if !known.contains(name) {
            if !NOT_IN_REDIS_7_0.contains(&name.as_str()) {
                problems.push(format!("{name} is not a command of Redis"));
            }
            continue;
        }
        let info = |client: &mut Client| client.command(&["COMMAND", "INFO", name]);
        let (a, b) = (info(&mut ours), info(&mut theirs));
        compare(name, &a.items()[0], &b.items()[0], &mut problems);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn compare(name: &str, ours: &Value, theirs: &Value, problems: &mut Vec<String>) {
    const FIELDS: [&str; 10] = [
        "name",
        "arity",
        "flags",
        "first key",
        "last key",
        "step",
        "categories",
        "tips",
        "key specs",
        "subcommands",
    ];
    for ((field, a), b) in FIELDS.iter().zip(ours.items()).zip(theirs.items()) {
        let path = format!("{name}: {field}");
        // Subcommands are listed, and so compared, by themselves.
        let (a, b) = match *field {
            "subcommands" => continue,
            "flags" | "categories" | "tips" => (sorted(a), sorted(b)),
            _ => (a.clone(), b.clone()),
        };
        if a != b && !EXPLAINED.iter().any(|(explained, _)| *explained == path) {
            problems.push(format!("{path}\n    ours   {a:?}\n    theirs {b:?}"));
        }
    }
    if ours.items().len() != FIELDS.len() {
        problems.push(format!("{name}: {} fields", ours.items().len()));
    }
}

fn sorted(list: &Value) -> Value {
    let mut items = list.items().to_vec();
    items.sort();
    Value::Array(items)
}

/// COMMAND DOCS: summaries were reworded between versions; the rest is the same.
fn docs_agree() {
    let (ours, theirs) = both();
    let (mut ours, mut theirs) = (ours.connect(), theirs.connect());
    let known = names(&mut theirs);
    let mut problems = Vec::new();
    for name in names(&mut ours).iter().filter(|name| known.contains(name)) {
        let docs = |client: &mut Client| -> Vec<(Value, Value)> {
            let reply = client.command(&["COMMAND", "DOCS", name]);
            let (_, docs) = reply.pairs().into_iter().next().expect("one entry");
            docs.pairs()
        };
        let (a, b) = (docs(&mut ours), docs(&mut theirs));
        let field = |docs: &[(Value, Value)], name: &str| {
            docs.iter().find(|(n, _)| *n == Value::bulk(name)).map(|(_, value)| value.clone())
        };
        for part in ["since", "group"] {
            let (a, b) = (field(&a, part), field(&b, part));
            if a != b {
                problems.push(format!("{name}: {part}\n    ours   {a:?}\n    theirs {b:?}"));
            }
        }
        if field(&a, "summary").is_none_or(|text| text.text().is_empty()) {
            problems.push(format!("{name} has no summary"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
