//! Engines without sockets, driven as the runtime drives them.

use std::collections::VecDeque;
use std::sync::Arc;

use ringwell::access::Peer;
use ringwell::config::Config;
use ringwell::engine::{
    ClientOrigin, ConnId, Engine, EngineSetup, Event, Host, HostFacts, Now, Outbox, ShardId, Shared,
};
use ringwell::txn::Message;

/// A machine that says nothing.
pub struct BareHost;

impl Host for BareHost {
    fn facts(&self) -> HostFacts {
        HostFacts::default()
    }

    /// As the server's.
    fn release_memory(&self) {
        // SAFETY: frees only what nobody has allocated.
        unsafe { libmimalloc_sys::mi_collect(true) };
    }
}

const START_MS: u64 = 1_700_000_000_000;
const CONN: ConnId = ConnId { index: 0, generation: 1 };

/// Some cores; the connection is the first one's.
pub struct Rig {
    now: Now,
    engines: Vec<Engine>,
    inboxes: Vec<VecDeque<(ShardId, Message)>>,
    outbox: Outbox,
    buffer: Vec<u8>,
}

impl Rig {
    pub fn new(shards: usize, config: Config) -> Self {
        let (config, run_id) = (Arc::new(config), "0".repeat(40));
        let shared = Arc::new(Shared::new(shards, config, Box::new(BareHost), 0, run_id));
        let engine = |shard| {
            let shared = Arc::clone(&shared);
            Engine::new(EngineSetup { shard, shards, shared, seed: 1, stopwatch: || 0 })
        };
        let mut rig = Rig {
            now: Now { unix_ms: START_MS, monotonic_us: 1 },
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
        rig.engines[0].handle(rig.now, Event::Open { conn: CONN, origin }, &mut rig.outbox);
        rig
    }

    /// Passes as the runtime makes them, until all messages have been dealt with; returns the
    /// replies.
    pub fn serve(&mut self, input: &[u8]) -> &[u8] {
        self.engines[0].handle(
            self.now,
            Event::Bytes { conn: CONN, data: input },
            &mut self.outbox,
        );
        self.end_pass(0);
        while self.inboxes.iter().any(|inbox| !inbox.is_empty()) {
            for shard in 0..self.engines.len() {
                for _ in 0..self.inboxes[shard].len() {
                    let Some((from, message)) = self.inboxes[shard].pop_front() else { break };
                    let event = Event::Message { from, message };
                    self.engines[shard].handle(self.now, event, &mut self.outbox);
                }
                self.end_pass(shard);
            }
        }
        self.buffer.clear();
        self.engines[0].take_output(CONN, &mut self.buffer);
        let bytes = self.buffer.len();
        self.engines[0].handle(self.now, Event::Sent { conn: CONN, bytes }, &mut self.outbox);
        &self.buffer
    }

    fn end_pass(&mut self, from: ShardId) {
        self.engines[from].end_pass(self.now, &mut self.outbox);
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

#[allow(dead_code, reason = "not every bench lets time pass")]
impl Rig {
    pub fn later(&mut self, micros: u64) {
        self.now.monotonic_us += micros;
        self.now.unix_ms = START_MS + self.now.monotonic_us / 1000;
    }

    pub fn wants_tick(&self) -> bool {
        self.engines[0].tick_in_us(self.now) == Some(0)
    }

    /// Whether there is more to do than what is periodic.
    pub fn is_busy(&self) -> bool {
        self.engines[0].tick_in_us(self.now).is_some_and(|us| us < 10_000)
    }

    pub fn tick(&mut self) {
        self.engines[0].handle(self.now, Event::Tick, &mut self.outbox);
        self.end_pass(0);
    }
}

pub fn command(words: &[&str]) -> String {
    let words: String = words.iter().map(|w| format!("${}\r\n{w}\r\n", w.len())).collect();
    format!("*{}\r\n{words}", words.matches('$').count())
}
