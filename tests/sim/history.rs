//! What simulated clients send, and what their replies must satisfy.

use std::collections::BTreeMap;

use crate::world::Rng;

#[derive(Default)]
pub struct Model {
    counters: BTreeMap<String, u64>,
}

impl Model {
    pub fn increment(&mut self, key: &str) {
        *self.counters.entry(key.to_owned()).or_default() += 1;
    }

    pub fn counters(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counters.iter().map(|(key, count)| (key.as_str(), *count))
    }
}

pub fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

pub fn mset(keys: &[&str], value: &str) -> Vec<u8> {
    let mut words = vec!["MSET"];
    for key in keys {
        words.extend([*key, value]);
    }
    command(&words)
}

pub fn mget(keys: &[&str]) -> Vec<u8> {
    let mut words = vec!["MGET"];
    words.extend_from_slice(keys);
    command(&words)
}

/// The array reply of `count` times the same value.
pub fn array_of(value: &str, count: usize) -> Vec<u8> {
    let element = format!("${}\r\n{value}\r\n", value.len());
    format!("*{count}\r\n{}", element.repeat(count)).into_bytes()
}

/// A command over few keys, on one or several shards, whose reply does not depend on the number of
/// shards.
pub fn random_command(rng: &mut Rng) -> Vec<u8> {
    const KEYS: [&str; 7] = ["a", "b", "c", "d", "{t}1", "{t}2", "n"];
    let mut key = || KEYS[rng.below(KEYS.len())];
    let (a, b, c) = (key(), key(), key());
    let value = rng.below(50).to_string();
    match rng.below(16) {
        0 | 1 => command(&["SET", a, &value]),
        2 => command(&["GET", a]),
        3 => command(&["INCRBY", a, &value]),
        4 => command(&["APPEND", a, &value]),
        5 => command(&["MSET", a, &value, b, "x", c, &value]),
        6 => command(&["MGET", a, b, c, a]),
        7 => command(&["DEL", a, b]),
        8 => command(&["EXISTS", a, b, c]),
        9 => command(&["RENAME", a, b]),
        10 => command(&["RENAMENX", a, b]),
        11 => command(&["COPY", a, b, "REPLACE"]),
        12 => command(&["MSETNX", a, &value, b, &value]),
        13 => command(&["DBSIZE"]),
        14 => command(&["LCS", a, b]),
        _ => command(&["COPY", a, b, "DB", "3"]),
    }
}

/// A reply, as far as these tests look into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A status, an error or an integer, its mark included.
    Line(String),
    Bulk(String),
    Null,
    Array(Vec<Value>),
}

impl Value {
    pub fn ok() -> Value {
        Value::Line("+OK".to_owned())
    }

    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) => items,
            _ => &[],
        }
    }
}

/// The replies that have come whole.
pub fn values(replies: &[u8]) -> Vec<Value> {
    take_values(&mut replies.to_vec())
}

/// As [`values`], leaving what has not come whole.
pub fn take_values(replies: &mut Vec<u8>) -> Vec<Value> {
    let text = std::str::from_utf8(replies).expect("replies are text here");
    let mut rest = text;
    let mut values = Vec::new();
    while let Some((value, behind)) = value(rest) {
        values.push(value);
        rest = behind;
    }
    let used = text.len() - rest.len();
    replies.drain(..used);
    values
}

fn value(text: &str) -> Option<(Value, &str)> {
    let (line, mut rest) = text.split_once("\r\n")?;
    let count = || line[1..].parse::<usize>();
    match line.as_bytes().first() {
        Some(b'$' | b'*') if line.ends_with("-1") => Some((Value::Null, rest)),
        Some(b'$') => {
            let len = count().expect("a length");
            (rest.len() >= len + 2).then(|| (Value::Bulk(rest[..len].to_owned()), &rest[len + 2..]))
        }
        Some(b'*') => {
            let mut items = Vec::new();
            for _ in 0..count().expect("a length") {
                let (item, behind) = value(rest)?;
                items.push(item);
                rest = behind;
            }
            Some((Value::Array(items), rest))
        }
        _ => Some((Value::Line(line.to_owned()), rest)),
    }
}

/// These commands between MULTI and EXEC.
pub fn multi(commands: &[Vec<u8>]) -> Vec<u8> {
    [&command(&["MULTI"])[..], &commands.concat(), &command(&["EXEC"])].concat()
}
