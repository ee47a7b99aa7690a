//! Every command answers the same whatever its reply is written in: what a connection gets in RESP2
//! or RESP3 is what its values are when they are written so.

use std::collections::VecDeque;

use ringwell_test_support::Rng;

use super::super::Engine;
use super::super::event::{ConnId, Effect, Event, Now, Outbox, ShardId};
use super::{engines, origin};
use crate::commands::{Row, generated_arguments, table};
use crate::config::{Config, Permission};
use crate::protocol::reply::{Encoding, Reply, Values};
use crate::txn::Message;

/// Some cores, and one connection at a time, of the first one.
struct World {
    encoding: Encoding,
    engines: Vec<Engine>,
    inboxes: Vec<VecDeque<(ShardId, Message)>>,
    outbox: Outbox,
    conn: ConnId,
}

impl World {
    fn new(shards: usize, encoding: Encoding) -> World {
        let config = Config { enable_debug_command: Permission::Yes, ..Config::default() };
        World {
            encoding,
            engines: engines(shards, config),
            inboxes: (0..shards).map(|_| VecDeque::new()).collect(),
            outbox: Outbox::default(),
            conn: ConnId { index: 0, generation: 0 },
        }
    }

    fn reconnect(&mut self, now: Now) {
        self.engines[0].handle(now, Event::Closed { conn: self.conn }, &mut self.outbox);
        self.run(now);
        self.conn.generation += 1;
        let origin = origin(u64::from(self.conn.generation));
        let open = Event::Open { conn: self.conn, origin };
        self.engines[0].handle(now, open, &mut self.outbox);
        let session = self.engines[0].sessions.get_mut(self.conn).expect("it was just opened");
        session.client.encoding = self.encoding;
        for shard in 0..self.engines.len() {
            self.engines[shard].handle(now, Event::Tick, &mut self.outbox);
            self.end_pass(shard, now);
        }
        self.run(now);
    }

    /// What the connection is answered.
    fn serve(&mut self, now: Now, input: &[u8]) -> Vec<u8> {
        let bytes = Event::Bytes { conn: self.conn, data: input };
        self.engines[0].handle(now, bytes, &mut self.outbox);
        self.run(now);
        let mut replies = Vec::new();
        self.engines[0].take_output(self.conn, &mut replies);
        let sent = Event::Sent { conn: self.conn, bytes: replies.len() };
        self.engines[0].handle(now, sent, &mut self.outbox);
        self.run(now);
        replies
    }

    fn run(&mut self, now: Now) {
        self.end_pass(0, now);
        while self.inboxes.iter().any(|inbox| !inbox.is_empty()) {
            for shard in 0..self.engines.len() {
                while let Some((from, message)) = self.inboxes[shard].pop_front() {
                    let event = Event::Message { from, message };
                    self.engines[shard].handle(now, event, &mut self.outbox);
                }
                self.end_pass(shard, now);
            }
        }
    }

    fn end_pass(&mut self, from: ShardId, now: Now) {
        for effect in std::mem::take(&mut self.outbox.effects) {
            let (Effect::RewriteConfig { ticket, .. } | Effect::Sleep { ticket, .. }) = effect
            else {
                continue;
            };
            let done = Event::EffectDone { ticket, result: Err("no\nfile".to_owned()) };
            self.engines[from].handle(now, done, &mut self.outbox);
        }
        self.engines[from].end_pass(now, &mut self.outbox);
        self.outbox.output.clear();
        self.outbox.control.clear();
        for (to, message) in self.outbox.messages.drain(..) {
            self.inboxes[to].push_back((from, message));
        }
        self.engines[from].order(self.inboxes[from].is_empty(), &mut self.outbox);
        for (to, message) in self.outbox.ordered.drain(..) {
            self.inboxes[to].push_back((from, message));
        }
    }
}

fn request(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn rendered(values: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut all = Values::new(values);
    assert!(all.by_ref().count() > 0 || values.is_empty());
    assert!(all.is_empty(), "{:?} follow what are no values", all.bytes());
    let mut out = Vec::new();
    Reply::new(&mut out, encoding).values(Values::new(values));
    out
}

/// Replies that tell of buffers, addresses or the protocol itself differ in their numbers.
fn without_numbers(bytes: &[u8]) -> Vec<u8> {
    let mut kept = bytes.to_vec();
    kept.retain(|byte| !matches!(byte, b'-' | b'.'));
    kept.dedup_by(|next, before| next.is_ascii_hexdigit() && before.is_ascii_hexdigit());
    kept.iter_mut().filter(|byte| byte.is_ascii_hexdigit()).for_each(|digit| *digit = b'0');
    kept
}

fn tells_of_memory(row: &Row) -> bool {
    let name = row.full_name.as_str();
    ["hello", "info", "client|info", "client|list", "memory|stats", "memory|doctor", "debug|object"]
        .contains(&name)
}

fn check_all(shards: usize, rounds: usize) {
    let mut worlds = [Encoding::Resp2, Encoding::Resp3, Encoding::Values]
        .map(|encoding| World::new(shards, encoding));
    let mut rng = Rng::new(shards as u64);
    let mut now = Now { unix_ms: 1_700_000_000_000, monotonic_us: 1 };
    let rows: Vec<&'static Row> = table().by_id().to_vec();
    let mut answered = vec![false; rows.len()];
    for _ in 0..rounds {
        now = Now { unix_ms: now.unix_ms + 7, monotonic_us: now.monotonic_us + 7_000 };
        worlds.iter_mut().for_each(|world| world.reconnect(now));
        let block = rng.chance(30);
        let mut commands: Vec<(&Row, Vec<Vec<u8>>)> = Vec::new();
        for _ in 0..=rng.below(5) {
            let row = rows[rng.below(rows.len())];
            // These end the process or the connection's encoding; the advice follows from buffers.
            if !["shutdown", "hello", "reset", "doctor"].contains(&row.name) {
                commands.push((row, generated_arguments(row, &mut || rng.next())));
            }
        }
        if block {
            let word = |name: &str| (table().get(name.as_bytes()).unwrap(), vec![name.into()]);
            commands.insert(0, word("multi"));
            commands.push(word("exec"));
        } else if rng.one_in(20) {
            // At the end, where the encoding matters no more.
            let row = table().get(if rng.one_in(2) { b"hello" } else { b"reset" }).unwrap();
            commands.push((row, vec![row.name.into()]));
        }
        let masked = commands.iter().any(|(row, _)| tells_of_memory(row));
        for (row, words) in &commands {
            let input = request(words);
            let [resp2, resp3, values] = worlds.each_mut().map(|world| world.serve(now, &input));
            let last = row.name == "reset";
            let compared =
                |bytes: &[u8]| if masked { without_numbers(bytes) } else { bytes.to_vec() };
            for (encoding, direct) in [(Encoding::Resp2, &resp2), (Encoding::Resp3, &resp3)] {
                let from_values = if last { values.clone() } else { rendered(&values, encoding) };
                let (from_values, direct) = (compared(&from_values), compared(direct));
                assert!(
                    from_values == direct,
                    "{} {words:?}, {encoding:?}:\n{}\nand directly\n{}",
                    row.full_name,
                    String::from_utf8_lossy(&from_values),
                    String::from_utf8_lossy(&direct),
                );
            }
            answered[row.id] |= !resp2.is_empty() && !resp2.starts_with(b"-");
        }
    }
    let silent: Vec<&str> =
        rows.iter().filter(|row| !answered[row.id]).map(|row| row.full_name.as_str()).collect();
    println!("never answered but with errors: {silent:?}");
    assert!(silent.len() * 5 < rows.len(), "never answered but with errors: {silent:?}");
}

#[test]
fn replies_are_their_values_on_one_shard() {
    check_all(1, 2_000);
}

#[test]
fn replies_are_their_values_on_three_shards() {
    check_all(3, 2_000);
}
