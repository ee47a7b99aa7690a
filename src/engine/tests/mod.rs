//! The engine's own tests, and what several of them need.

mod clock;
mod input;
mod memory;
mod moves;
mod replies;
mod shared;

use std::sync::Arc;

use super::event::ClientOrigin;
use super::shared::{Host, HostFacts, Shared};
use super::{Engine, EngineSetup};
use crate::access::Peer;
use crate::config::Config;
use crate::txn::{ShardId, shard_of_key};

/// A process without a system around it.
struct NoHost;

impl Host for NoHost {
    fn facts(&self) -> HostFacts {
        HostFacts::default()
    }
}

/// The engines of one process, whose clock for handlers is `stopwatch`.
fn timed_engines(count: usize, config: Config, stopwatch: fn() -> u64) -> Vec<Engine> {
    let shared = Shared::new(count, Arc::new(config), Box::new(NoHost), 1, "0".repeat(40));
    let shared = Arc::new(shared);
    let engine = |shard| {
        let shared = Arc::clone(&shared);
        Engine::new(EngineSetup { shard, shards: count, shared, seed: 1, stopwatch })
    };
    (0..count).map(engine).collect()
}

/// The engines of one process.
fn engines(count: usize, config: Config) -> Vec<Engine> {
    timed_engines(count, config, || 0)
}

/// A client that has just connected.
fn origin(id: u64) -> ClientOrigin {
    let addr = format!("/test:{id}");
    ClientOrigin { id, peer: Peer::Unix, laddr: addr.clone(), addr, fd: 3 }
}

/// A key of this one of two shards.
fn key_on(shard: ShardId) -> String {
    let mut keys = (0..100).map(|n| format!("key:{n}"));
    keys.find(|key| shard_of_key(key.as_bytes(), 2) == shard).expect("a key of this shard")
}
