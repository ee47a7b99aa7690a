//! A new limit that comes while other commands run in the same pass.

use std::collections::VecDeque;
use std::sync::Arc;

use ringwell::access::Peer;
use ringwell::config::{Config, Permission};
use ringwell::engine::{ClientOrigin, ConnId, Engine, EngineSetup, Event, Now, Outbox, Shared};
use ringwell::txn::{Message, shard_of_key};

use crate::history::command;
use crate::world::NoHost;

/// Two cores whose passes begin and end where the test says.
struct Pair {
    engines: Vec<Engine>,
    inboxes: [VecDeque<(usize, Message)>; 2],
    now: Now,
    outboxes: [Outbox; 2],
}

impl Pair {
    fn new() -> Pair {
        let config = Config { enable_debug_command: Permission::Yes, ..Config::default() };
        let shared = Shared::new(2, Arc::new(config), Box::new(NoHost), 0, "0".repeat(40));
        let shared = Arc::new(shared);
        let engine = |shard| {
            let shared = Arc::clone(&shared);
            Engine::new(EngineSetup { shard, shards: 2, shared, seed: 1, stopwatch: || 0 })
        };
        Pair {
            engines: (0..2).map(engine).collect(),
            inboxes: Default::default(),
            now: Now { unix_ms: 1_700_000_000_000, monotonic_us: 1 },
            outboxes: Default::default(),
        }
    }

    fn connect(&mut self, core: usize, index: u32) -> ConnId {
        let conn = ConnId { index, generation: 1 };
        let origin = ClientOrigin {
            id: u64::from(index) + 1,
            peer: Peer::Unix,
            addr: String::new(),
            laddr: String::new(),
            fd: index as i32,
        };
        self.handle(core, Event::Open { conn, origin });
        conn
    }

    fn handle(&mut self, core: usize, event: Event<'_>) {
        self.engines[core].handle(self.now, event, &mut self.outboxes[core]);
    }

    fn send(&mut self, core: usize, conn: ConnId, words: &[&str]) {
        self.handle(core, Event::Bytes { conn, data: &command(words) });
    }

    fn take_message(&mut self, core: usize) -> bool {
        let Some((from, message)) = self.inboxes[core].pop_front() else { return false };
        self.handle(core, Event::Message { from, message });
        true
    }

    fn end_pass(&mut self, core: usize) {
        let mut outbox = std::mem::take(&mut self.outboxes[core]);
        self.engines[core].end_pass(self.now, &mut outbox);
        self.engines[core].order(self.inboxes[core].is_empty(), &mut outbox);
        for (to, message) in outbox.messages.into_iter().chain(outbox.ordered) {
            self.inboxes[to].push_back((core, message));
        }
    }

    /// Passes of one core, until it has taken all there is.
    fn run(&mut self, core: usize) {
        loop {
            let took = self.take_message(core);
            self.end_pass(core);
            if !took && self.inboxes[core].is_empty() {
                return;
            }
        }
    }

    fn run_both(&mut self) {
        while self.inboxes.iter().any(|inbox| !inbox.is_empty()) {
            self.run(0);
            self.run(1);
        }
    }

    fn output(&mut self, core: usize, conn: ConnId) -> String {
        let mut bytes = Vec::new();
        self.engines[core].take_output(conn, &mut bytes);
        String::from_utf8(bytes).expect("replies are text here")
    }
}

fn key_of(shard: usize, nth: usize) -> String {
    let keys = (0..).map(|n| format!("k{n}"));
    keys.filter(|key| shard_of_key(key.as_bytes(), 2) == shard).nth(nth).expect("endless")
}

/// A core asks once in a pass what the others hold. When a limit comes into force in the middle of
/// it, that is asked again: another core may have grown since, and has said so before it agreed.
#[test]
fn who_has_asked_before_a_new_limit_asks_again() {
    let mut pair = Pair::new();
    let (admin, here, there) = (pair.connect(0, 0), pair.connect(0, 1), pair.connect(1, 2));
    let limit = |bytes| ["CONFIG", "SET", "maxmemory", bytes, "maxmemory-policy", "noeviction"];
    pair.send(0, admin, &limit("100mb"));
    pair.end_pass(0);
    pair.run_both();
    assert_eq!(pair.output(0, admin), "+OK\r\n");
    pair.now.monotonic_us += 1;
    // The other core has yet to agree, and the command behind it waits.
    pair.send(0, admin, &limit("1mb"));
    pair.send(0, admin, &["SET", &key_of(0, 0), "v"]);
    pair.end_pass(0);
    pair.run(0);
    pair.now.monotonic_us += 1;
    // Core 0 is in the middle of a pass in which it has looked at what is held,
    pair.send(0, here, &["SET", &key_of(0, 1), "v"]);
    // when the other one grows and agrees,
    pair.send(1, there, &["SET", &key_of(1, 0), &"v".repeat(2 << 20)]);
    pair.run(1);
    assert_eq!(pair.output(1, there), "+OK\r\n");
    // and that comes in the same pass.
    pair.run(0);
    pair.run_both();
    assert_eq!(pair.output(0, here), "+OK\r\n");
    let refused = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    assert_eq!(pair.output(0, admin), format!("+OK\r\n{refused}"));
}
