//! `cargo bench --bench dispatch`: engines from bytes to replies, no sockets.

use std::collections::VecDeque;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use ringwell::access::Peer;
use ringwell::config::Config;
use ringwell::engine::{
    ClientOrigin, ConnId, Engine, EngineSetup, Event, Host, HostFacts, Now, Outbox, ShardId, Shared,
};
use ringwell::txn::Message;

fn main() {
    divan::main();
}

struct NoHost;

impl Host for NoHost {
    fn facts(&self) -> HostFacts {
        HostFacts::default()
    }
}

const CONN: ConnId = ConnId { index: 0, generation: 1 };
const NOW: Now = Now { unix_ms: 1_700_000_000_000, monotonic_us: 1 };

/// Some cores; the connection is the first one's.
struct Rig {
    engines: Vec<Engine>,
    inboxes: Vec<VecDeque<(ShardId, Message)>>,
    outbox: Outbox,
    buffer: Vec<u8>,
}

impl Rig {
    fn new(shards: usize) -> Self {
        let config = Arc::new(Config::default());
        let shared = Arc::new(Shared::new(shards, config, Box::new(NoHost), 0, "0".repeat(40)));
        let engine = |shard| {
            let shared = Arc::clone(&shared);
            Engine::new(EngineSetup { shard, shards, shared, seed: 1, stopwatch: || 0 })
        };
        let mut rig = Rig {
            engines: (0..shards).map(engine).collect(),
            inboxes: (0..shards).map(|_| VecDeque::new()).collect(),
            outbox: Outbox::default(),
            buffer: Vec::new(),
        };
        let origin = ClientOrigin {
            id: 1,
            peer: Peer::Unix,
            addr: String::new(),
            laddr: String::new(),
            fd: 3,
        };
        rig.engines[0].handle(NOW, Event::Open { conn: CONN, origin }, &mut rig.outbox);
        rig
    }

    /// Passes as the runtime makes them, until all messages have been dealt with; returns the
    /// bytes of the replies.
    fn serve(&mut self, input: &[u8]) -> usize {
        self.engines[0].handle(NOW, Event::Bytes { conn: CONN, data: input }, &mut self.outbox);
        self.end_pass(0);
        while self.inboxes.iter().any(|inbox| !inbox.is_empty()) {
            for shard in 0..self.engines.len() {
                for _ in 0..self.inboxes[shard].len() {
                    let Some((from, message)) = self.inboxes[shard].pop_front() else { break };
                    let event = Event::Message { from, message };
                    self.engines[shard].handle(NOW, event, &mut self.outbox);
                }
                self.end_pass(shard);
            }
        }
        self.buffer.clear();
        self.engines[0].take_output(CONN, &mut self.buffer);
        let bytes = self.buffer.len();
        self.engines[0].handle(NOW, Event::Sent { conn: CONN, bytes }, &mut self.outbox);
        bytes
    }

    fn end_pass(&mut self, from: ShardId) {
        self.engines[from].end_pass(NOW, &mut self.outbox);
        self.outbox.output.clear();
        for (to, message) in self.outbox.messages.drain(..) {
            self.inboxes[to].push_back((from, message));
        }
        self.engines[from].order(self.inboxes[from].is_empty(), &mut self.outbox);
        for (to, message) in self.outbox.ordered.drain(..) {
            self.inboxes[to].push_back((from, message));
        }
    }
}

fn command(words: &[&str]) -> String {
    let words: String = words.iter().map(|w| format!("${}\r\n{w}\r\n", w.len())).collect();
    format!("*{}\r\n{words}", words.matches('$').count())
}

fn bench(bencher: Bencher, command: &str, pipeline: usize) {
    bench_shards(bencher, 1, command, pipeline);
}

fn bench_shards(bencher: Bencher, shards: usize, command: &str, pipeline: usize) {
    let mut rig = Rig::new(shards);
    let set = self::command(&["SET", "key:000000012345", &"v".repeat(64)]);
    rig.serve(set.as_bytes());
    let input = command.repeat(pipeline).into_bytes();
    assert!(rig.serve(&input) >= pipeline * 4, "every command is answered");
    bencher.counter(ItemsCount::new(pipeline)).bench_local(|| rig.serve(divan::black_box(&input)));
}

#[divan::bench(args = [1, 16])]
fn get(bencher: Bencher, pipeline: usize) {
    bench(bencher, &command(&["GET", "key:000000012345"]), pipeline);
}

#[divan::bench(args = [1, 16])]
fn set(bencher: Bencher, pipeline: usize) {
    bench(bencher, &command(&["SET", "key:000000012345", &"v".repeat(64)]), pipeline);
}

#[divan::bench(args = [1, 16])]
fn incr(bencher: Bencher, pipeline: usize) {
    bench(bencher, &command(&["INCR", "counter"]), pipeline);
}

#[divan::bench(args = [1, 16])]
fn ping(bencher: Bencher, pipeline: usize) {
    bench(bencher, &command(&["PING"]), pipeline);
}

const MGET_10: [&str; 11] =
    ["MGET", "key:000000012345", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

#[divan::bench(args = [1, 2, 4])]
fn mget_10(bencher: Bencher, shards: usize) {
    bench_shards(bencher, shards, &command(&MGET_10), 1);
}

#[divan::bench(args = [1, 2, 4])]
fn mset_10(bencher: Bencher, shards: usize) {
    let mut words = vec!["MSET"];
    for key in &MGET_10[1..] {
        words.extend([*key, "a value of some thirty-two bytes"]);
    }
    bench_shards(bencher, shards, &command(&words), 1);
}
