//! `cargo bench --bench dispatch`: one engine from bytes to replies, no sockets.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use ringwell::access::Peer;
use ringwell::config::Config;
use ringwell::engine::{
    ClientOrigin, ConnId, Engine, EngineSetup, Event, Host, HostFacts, Now, Outbox, Shared,
};

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

struct Rig {
    engine: Engine,
    outbox: Outbox,
    buffer: Vec<u8>,
}

impl Rig {
    fn new() -> Self {
        let config = Arc::new(Config::default());
        let shared = Shared::new(1, config, Box::new(NoHost), 0, "0".repeat(40));
        let setup =
            EngineSetup { shard: 0, shards: 1, shared: Arc::new(shared), seed: 1, stopwatch: || 0 };
        let mut rig =
            Rig { engine: Engine::new(setup), outbox: Outbox::default(), buffer: Vec::new() };
        let origin = ClientOrigin {
            id: 1,
            peer: Peer::Unix,
            addr: String::new(),
            laddr: String::new(),
            fd: 3,
        };
        rig.engine.handle(NOW, Event::Open { conn: CONN, origin }, &mut rig.outbox);
        rig
    }

    /// One pass as the runtime makes it; returns the bytes of the replies.
    fn pass(&mut self, input: &[u8]) -> usize {
        self.engine.handle(NOW, Event::Bytes { conn: CONN, data: input }, &mut self.outbox);
        self.engine.end_pass(NOW, &mut self.outbox);
        self.outbox.output.clear();
        self.buffer.clear();
        self.engine.take_output(CONN, &mut self.buffer);
        let bytes = self.buffer.len();
        self.engine.handle(NOW, Event::Sent { conn: CONN, bytes }, &mut self.outbox);
        bytes
    }
}

fn command(words: &[&str]) -> String {
    let words: String = words.iter().map(|w| format!("${}\r\n{w}\r\n", w.len())).collect();
    format!("*{}\r\n{words}", words.matches('$').count())
}

fn bench(bencher: Bencher, command: &str, pipeline: usize) {
    let mut rig = Rig::new();
    let set = self::command(&["SET", "key:000000012345", &"v".repeat(64)]);
    rig.pass(set.as_bytes());
    let input = command.repeat(pipeline).into_bytes();
    assert!(rig.pass(&input) >= pipeline * 4, "every command is answered");
    bencher.counter(ItemsCount::new(pipeline)).bench_local(|| rig.pass(divan::black_box(&input)));
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

#[divan::bench]
fn mget_10(bencher: Bencher) {
    let keys = ["MGET", "key:000000012345", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    bench(bencher, &command(&keys), 1);
}
