//! Wire tests: literal bytes sent, literal bytes expected, once whole and once cut at every byte.
//!
//! The same rows run against a stock redis-server, so that the tables are known to be right.

mod locked;
mod open;
mod transactions;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libtest_mimic::Trial;

use crate::support::{Client, Need, Server, shown, test, test_with};

/// One exchange on a fresh connection.
pub struct Row {
    sent: Vec<u8>,
    expected: Vec<u8>,
    then: Then,
    /// Why redis-server 7.0 answers otherwise; such a row runs on Ringwell alone.
    ours: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// The connection stays usable: QUIT is sent behind the request and must be answered.
    Open,
    /// The server closes by itself, whatever follows.
    Closed,
}

/// What `sent` is answered with. Two marks may be used: `<key>` in both stands for a key of this
/// connection alone (of constant length), `<id>` in `expected` for any positive integer.
fn row(sent: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) -> Row {
    let (sent, expected) = (sent.as_ref().to_vec(), expected.as_ref().to_vec());
    Row { sent, expected, then: Then::Open, ours: None }
}

impl Row {
    fn closes(mut self) -> Row {
        self.then = Then::Closed;
        self
    }

    fn ours(mut self, reason: &'static str) -> Row {
        self.ours = Some(reason);
        self
    }
}

#[derive(Clone, Copy)]
enum Target {
    Redis,
    Ringwell { shards: usize },
}

impl Target {
    fn start(self, args: &[&str]) -> Server {
        match self {
            Target::Redis => Server::redis(args),
            Target::Ringwell { shards } => Server::ringwell(shards, args),
        }
    }
}

pub fn trials() -> Vec<Trial> {
    type Rows = fn() -> Vec<Row>;
    let tables: [(&str, Rows, &[&str]); 3] = [
        ("open", open::rows, &["--proto-max-bulk-len", "1mb"]),
        ("locked", locked::rows, &["--requirepass", "s3cret"]),
        ("transactions", transactions::rows, &[]),
    ];
    let mut trials = Vec::new();
    for (table, rows, args) in tables {
        let redis = move |cut| move || check(Target::Redis, rows(), args, cut);
        let name = |who: &str, cut: &str| format!("wire::{table}::{who}::{cut}");
        let need = [Need::RedisServer];
        trials.push(test_with(&need, name("redis", "whole"), redis(false)));
        trials.push(test_with(&need, name("redis", "cut_at_every_byte"), redis(true)));
        for (who, shards) in [("one_shard", 1), ("four_shards", 4)] {
            let ours = move |cut| move || check(Target::Ringwell { shards }, rows(), args, cut);
            trials.push(test(name(who, "whole"), ours(false)));
            trials.push(test(name(who, "cut_at_every_byte"), ours(true)));
        }
    }
    trials
}

/// Runs all rows and reports every one that failed.
fn check(target: Target, rows: Vec<Row>, args: &[&str], cut: bool) {
    let server = target.start(args);
    let mut failures = Vec::new();
    for row in &rows {
        if matches!(target, Target::Redis) && row.ours.is_some() {
            continue;
        }
        let cuts = if cut { cut_positions(row.sent.len()) } else { vec![row.sent.len()] };
        // Some hundred connections at a time, so that no backlog overflows.
        // One failing cut of a row tells enough.
        failures.extend(cuts.chunks(250).find_map(|group| exchange(&server, row, group)));
    }
    let all = failures.join("\n");
    assert!(failures.is_empty(), "{} exchanges failed:\n{all}", failures.len());
}

/// Every position of a short request; of a long one those near its ends and some between.
fn cut_positions(length: usize) -> Vec<usize> {
    let near_ends = |at: &usize| *at < 100 || length - at < 100 || at.is_multiple_of(1021);
    (1..length).filter(near_ends).collect()
}

/// Sends the row over one connection per cut, all first parts before any second part.
/// Returns what went wrong with the first that failed.
fn exchange(server: &Server, row: &Row, cuts: &[usize]) -> Option<String> {
    let mut open: Vec<(Client, Vec<u8>, Vec<u8>)> = Vec::new();
    for &cut in cuts {
        static NEXT_KEY: AtomicU32 = AtomicU32::new(0);
        let key = format!("{:05}", NEXT_KEY.fetch_add(1, Ordering::Relaxed) % 100_000);
        let sent = replace(&row.sent, b"<key>", key.as_bytes());
        let mut expected = replace(&row.expected, b"<key>", key.as_bytes());
        let (first, second) = sent.split_at(cut);
        let mut second = second.to_vec();
        if row.then == Then::Open {
            second.extend_from_slice(b"*1\r\n$4\r\nQUIT\r\n");
            expected.extend_from_slice(b"+OK\r\n");
        }
        let mut client = server.connect();
        // A server that closes on the first part may make any later write fail.
        let sending = client.try_send(first);
        assert!(sending.is_ok() || row.then == Then::Closed, "sending {:?}", shown(first));
        open.push((client, second, expected));
    }
    if cuts.len() > 1 {
        std::thread::sleep(Duration::from_millis(3));
    }
    for (client, second, _) in &mut open {
        let _ = client.try_send(second);
    }
    for ((mut client, _, expected), cut) in open.into_iter().zip(cuts) {
        let got = client.read_until_closed();
        if !matches(&got, &expected) {
            return Some(format!(
                "sent     {} cut at {cut}\n  expected {}\n  got      {}",
                shown(&row.sent),
                shown(&expected),
                shown(&got)
            ));
        }
    }
    None
}

fn replace(text: &[u8], mark: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(mark.len()).position(|w| w == mark) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(by);
        rest = &rest[at + mark.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Equality, except that `<id>` in `expected` stands for digits.
fn matches(got: &[u8], expected: &[u8]) -> bool {
    const MARK: &[u8] = b"<id>";
    match expected.windows(MARK.len()).position(|w| w == MARK) {
        None => got == expected,
        Some(at) => {
            if got.len() < at || got[..at] != expected[..at] {
                return false;
            }
            let digits = got[at..].iter().take_while(|b| b.is_ascii_digit()).count();
            digits > 0 && matches(&got[at + digits..], &expected[at + MARK.len()..])
        }
    }
}
