//! A shard: its part of the keyspace, and all that belongs to it. It runs commands for whoever holds
//! it, and knows nothing of clients, sessions, sockets, or the core it happens to live beside.
//!
//! One thread at a time owns a shard, and it can change hands. What it produces for others lies in
//! its outbox until its holder fetches it: messages to cores, and the answers to their requests.
//!
//! | file | what it does |
//! |---|---|
//! | `run` | runs commands, units, and the commands of an EXEC |
//! | `requests` | serves batches of other cores; what has to wait for locks |
//! | `parts` | a multi-shard command's work here, from the locks to the release |
//! | `hops` | its side of commands that read here and write there |
//! | `waiters` | clients that wait for data: who waits at which key, who is served |
//! | `watches` | WATCH: who watches what, and whether it is still as it was |
//! | `statistics` | what ran, how often, for how long, with which errors |
//! | `latency` | histograms of how long commands take |
//! | `outbox` | what is ready for others |
//! | `buffers` | the buffers of batches, lent by the holder and used again |

mod buffers;
mod hops;
mod latency;
mod outbox;
mod parts;
mod requests;
mod run;
mod statistics;
mod waiters;
mod watches;
mod way;

pub use buffers::Buffers;
pub use latency::{Latencies, merged};
pub use statistics::{CommandStats, Statistics};
pub use way::{Way, way_of};

use std::sync::Arc;

use crate::commands::Row;
use crate::config::Config;
use crate::protocol::Args;
use crate::store::{Shard as Store, UnixMs};
use crate::txn::{
    Holder, LockKey, LockMode, Locks, Message, Planted, Replies, Request, ShardId, Turn, TxnId,
};
use outbox::Outbox;
use waiters::Waiters;
use watches::Watches;

/// What a shard is made from.
pub struct ShardSetup {
    pub id: ShardId,
    /// How many there are in all.
    pub count: usize,
    pub store: Store,
    pub config: Arc<Config>,
    /// Nanoseconds since any moment, to time handlers with.
    pub stopwatch: fn() -> u64,
}

/// See the [module](self).
pub struct Shard {
    id: ShardId,
    count: usize,
    store: Store,
    locks: Locks,
    waiters: Waiters,
    watches: Watches,
    statistics: Statistics,
    outbox: Outbox,
    config: Arc<Config>,
    now: UnixMs,
    stopwatch: fn() -> u64,
    planted: Planted,
}

/// It can be given to another thread.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Box<Shard>>();
};

impl Shard {
    pub fn new(setup: ShardSetup) -> Shard {
        Shard {
            id: setup.id,
            count: setup.count,
            store: setup.store,
            locks: Locks::default(),
            waiters: Waiters::default(),
            watches: Watches::default(),
            statistics: Statistics::default(),
            outbox: Outbox::new(setup.count),
            config: setup.config,
            now: 0,
            stopwatch: setup.stopwatch,
            planted: Planted::default(),
        }
    }

    pub fn id(&self) -> ShardId {
        self.id
    }

    /// The time of all that runs until it is told another.
    #[inline]
    pub fn set_now(&mut self, now: UnixMs) {
        self.now = now;
    }

    /// What handlers go by from now on.
    pub fn set_config(&mut self, config: Arc<Config>) {
        self.config = config;
    }

    /// Has it make a mistake from now on, so that the simulation can be seen to find it.
    #[cfg(debug_assertions)]
    pub fn plant(&mut self, planted: Planted) {
        self.planted = planted;
        self.locks.plant(planted);
    }

    #[inline]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// For what is done to data without a command: eviction, expiry, chores.
    #[inline]
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Bytes that it holds, with what is still to be given back of former values.
    #[inline]
    pub fn memory(&self) -> usize {
        self.store.allocated_bytes() + self.store.dead_bytes()
    }

    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// CONFIG RESETSTAT.
    pub fn reset_statistics(&mut self) {
        self.store.reset_stats();
        self.statistics = Statistics::default();
    }

    /// Keys at which somebody waits for data.
    pub fn awaited_keys(&self) -> usize {
        self.waiters.keys()
    }

    /// True if nothing is locked or awaited: every command may run.
    #[inline]
    pub fn is_unlocked(&self) -> bool {
        self.locks.is_idle()
    }

    /// Whether nobody locks, watches or waits for anything, and nothing is to be fetched.
    pub fn is_at_rest(&self) -> bool {
        self.locks.is_idle()
            && self.watches.is_empty()
            && self.waiters.is_empty()
            && self.outbox.is_empty()
            && self.store.dbs().all(|db| db.changes.is_empty())
    }

    /// Whether a command must wait for locks or for its turn; if so, hand it to
    /// [`Shard::wait_for_locks`].
    #[inline]
    pub fn must_wait(&self, from: ShardId, request: &Request, args: Args<'_>) -> bool {
        !self.locks.is_idle()
            && (self.locks.is_out_of_turn(Turn::of(from, request, Some(args)))
                || self.is_locked_for(request.row, args))
    }

    /// Whether somebody holds or awaits what a command needs, not looking at its turn.
    #[inline]
    pub fn is_locked_for(&self, row: &Row, args: Args<'_>) -> bool {
        let keys = row.key_positions(args).map(|index| args.at(index));
        self.locks.must_wait(keys, LockMode::of(row))
    }

    /// As [`Shard::is_locked_for`] for keys that are wanted in different modes.
    pub fn is_any_locked(&self, keys: impl Iterator<Item = LockKey>) -> bool {
        self.locks.all_must_wait(keys)
    }

    /// Locks all of these keys for a command until its end, or none if one is not free.
    pub fn try_lock(&mut self, txn: TxnId, keys: Vec<LockKey>) -> bool {
        self.locks.try_hold(txn, keys)
    }

    /// Takes back what [`Shard::try_lock`] has only just locked: nobody can have begun to wait for it.
    pub fn unlock(&mut self, txn: TxnId) {
        self.locks.release(Holder::Part(txn));
        let granted = self.locks.next_granted();
        debug_assert!(granted.is_none(), "somebody has waited for what was only just locked");
    }

    /// Lets locks go too early, and whoever that lets go on is forgotten: only for a planted fault.
    pub fn unlock_by_mistake(&mut self, txn: TxnId) {
        self.locks.release(Holder::Part(txn));
        while let Some((holder, _)) = self.locks.next_granted() {
            self.locks.release(holder);
        }
    }

    /// Whether there may be anything for [`Shard::next_message`].
    #[inline]
    pub fn has_messages(&self) -> bool {
        !self.waiters.is_empty() || self.outbox.has_messages()
    }

    /// The next message for a core, in the order in which they arose. Serves who waits first.
    pub fn next_message(&mut self) -> Option<(ShardId, Message)> {
        self.serve_waiters(None);
        self.outbox.pop()
    }

    /// Hands over the answers to the requests of a core.
    #[inline]
    pub fn take_answers(
        &mut self,
        to: ShardId,
        buffers: &mut Buffers,
        send: impl FnMut(Box<Replies>),
    ) {
        self.outbox.take_answers(to, buffers, send);
    }
}
