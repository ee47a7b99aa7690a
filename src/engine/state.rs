//! The state of one core that commands work on: everything but the sessions.

use std::sync::Arc;

use super::agenda::Agenda;
use super::effects::Effects;
use super::event::{Now, Outbox, ShardId};
use super::expiry::Expiry;
use super::key_parts::KeyParts;
use super::links::Links;
use super::memory::{Budget, MemoryAccount};
use super::pairs::Pairs;
use super::pipeline::Pipeline;
use super::room::{self, Room};
use super::sessions::Sessions;
use super::shards::Shards;
use super::shared::Shared;
use super::site::Site;
use super::statistics::CoreStatistics;
use super::transaction::Coordinator;
use crate::access::Password;
use crate::commands::{CommandTable, table};
use crate::session::Session;
use crate::shard::ShardSetup;
use crate::store::{Shard as Store, Watcher};
use crate::txn::{ConnId, OwnedWork, Planted, Release, Request, TxnId};

/// What an engine is made from.
pub struct EngineSetup {
    pub shard: ShardId,
    pub shards: usize,
    pub shared: Arc<Shared>,
    /// Unpredictable to clients; keys the hash tables and chooses at random.
    pub seed: u64,
    /// Nanoseconds since any moment, to time handlers with; the simulator's stands still.
    pub stopwatch: fn() -> u64,
}

/// CLIENT PAUSE.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    pub until_us: u64,
    pub writes_only: bool,
}

/// What each thing is for is said where its type is.
pub(super) struct Core {
    pub site: Site,
    pub table: &'static CommandTable,
    pub shards: Shards,
    pub links: Links,
    pub coordinator: Coordinator,
    pub pairs: Pairs,
    pub effects: Effects,
    pub agenda: Agenda,
    pub stats: CoreStatistics,
    pub memory: MemoryAccount,
    pub room: Room,
    pub expiry: Expiry,
    pub pause: Option<Pause>,
    pub last_tick_us: u64,
    next_watcher: u64,
    /// Scratch for commands that every shard runs with its own keys.
    pub key_parts: KeyParts,
    /// Scratch for the decoder.
    pub pipeline: Pipeline,
    /// Commands decoded, to see how often.
    #[cfg(test)]
    pub decoded: usize,
}

impl Core {
    pub fn new(setup: EngineSetup) -> Self {
        let settings = Arc::clone(&setup.shared.settings());
        // Twice its part of the machine, as keys may be spread unevenly; never more than all of it.
        let limit = setup.shared.memory_limit_bytes;
        let capacity = (limit / setup.shards.max(1) as u64 * 2).min(limit);
        let mut store = Store::with_capacity(setup.seed, capacity);
        store.set_policy(room::policy(&settings.config));
        let shards = Shards::new(ShardSetup {
            id: setup.shard,
            count: setup.shards,
            store,
            config: Arc::clone(&settings.config),
            stopwatch: setup.stopwatch,
        });
        let mut core = Core {
            site: Site {
                shard_id: setup.shard,
                shard_count: setup.shards,
                shared: setup.shared,
                settings,
                now: Now::default(),
                planted: Planted::default(),
            },
            table: table(),
            shards,
            next_watcher: 0,
            links: Links::new(setup.shards),
            coordinator: Coordinator::default(),
            pairs: Pairs::default(),
            key_parts: KeyParts::default(),
            effects: Effects::default(),
            stats: CoreStatistics::default(),
            agenda: Agenda::default(),
            memory: MemoryAccount::default(),
            room: Room::default(),
            pause: None,
            expiry: Expiry::default(),
            last_tick_us: 0,
            pipeline: Pipeline::default(),
            #[cfg(test)]
            decoded: 0,
        };
        core.publish_memory();
        core
    }

    pub fn requires_password(&self) -> bool {
        self.password().is_some()
    }

    pub fn password(&self) -> Option<&Password> {
        self.site.settings.access.password()
    }

    /// CONFIG RESETSTAT.
    pub fn reset_stats(&mut self) {
        self.shards.home_mut().reset_statistics();
        self.stats.reset(&self.site);
        self.links.reset_passes();
        self.memory.reset_exceeded_time();
    }

    /// Whether a command of this session's may run on the shard here and now. On a neighbour's it
    /// must not overtake what the session has sent there by message.
    #[inline]
    pub fn is_at_hand(&self, session: &Session, shard: ShardId) -> bool {
        self.shards.is_own(shard)
            || self.shards.has(shard)
                && (session.output.awaited() == 0 || self.links.is_answered(shard))
    }

    /// Has a shard that is at hand keep a command or a unit until the locks on its keys are gone.
    pub fn wait_for_locks(&mut self, shard: ShardId, request: Request, work: OwnedWork) {
        self.links.expect_answer(shard);
        self.shards.get_mut(shard).wait_for_locks(self.site.shard_id, request, work);
    }

    #[inline]
    pub fn set_now(&mut self, now: Now) {
        self.site.now = now;
        self.shards.set_now(now);
    }

    /// A multi-shard command is over at this core's shard.
    pub fn release(&mut self, release: Release) {
        self.memory.received(release.bytes());
        self.shards.home_mut().release(release, self.links.buffers_mut());
    }

    /// At the end of a pass: hands all batches to the runtime.
    pub fn flush_links(&mut self, outbox: &mut Outbox) {
        self.links.flush(self.shards.home_mut(), &mut self.memory, outbox);
    }

    /// In every tick: gives the buffers back that have not been used for a while.
    pub fn give_idle_buffers_back(&mut self) {
        let idle = self.links.buffers_mut().give_idle_back(self.site.now.monotonic_us);
        if idle && self.links.memory() == 0 {
            self.pairs.trim();
            self.key_parts = KeyParts::default();
        }
    }

    /// Gives all buffers back that nothing is in.
    pub fn give_buffers_back(&mut self) {
        self.links.buffers_mut().give_all_back();
        self.pairs.trim();
        self.key_parts = KeyParts::default();
    }

    /// The identity of the next command over several shards.
    pub fn new_txn(&mut self) -> TxnId {
        TxnId { coordinator: self.site.shard_id, number: self.coordinator.next_number() }
    }

    /// The identity of a connection's next watches.
    pub fn new_watcher(&mut self) -> Watcher {
        self.next_watcher += 1;
        Watcher { core: self.site.shard_id, number: self.next_watcher }
    }

    /// What makes room, and what it judges by.
    #[inline]
    pub fn room(&mut self) -> (&mut Room, Budget<'_>) {
        let Core { room, site, shards, memory: account, .. } = self;
        (room, Budget { site, shards, account })
    }

    /// See [`Room::is_out_of_memory`].
    #[inline]
    pub fn is_out_of_memory(&mut self, shard: ShardId) -> bool {
        let (room, mut budget) = self.room();
        room.is_out_of_memory(&mut budget, shard)
    }

    /// In every tick: see [`Room::sample`].
    pub fn sample_memory(&mut self) {
        let (room, mut budget) = self.room();
        room.sample(&mut budget);
    }

    /// See [`Room::limit_changed`].
    pub fn limit_changed(&mut self) {
        let (room, mut budget) = self.room();
        room.limit_changed(&mut budget);
    }

    /// Tells the other cores what this one holds.
    pub fn publish_memory(&mut self) {
        self.memory.publish(&self.site, &self.shards);
    }

    /// Whether a tick should come soon, although nothing happens.
    pub fn has_chores(&self) -> bool {
        self.room.has_chores() || self.shards.home().store().has_chores() || self.expiry.goes_on()
    }

    /// Bytes of the buffers that this core keeps for the next commands.
    pub fn kept_memory(&self) -> usize {
        self.pipeline.memory() + self.pairs.memory() + self.key_parts.memory() + self.links.memory()
    }
}

/// One core while something is happening to it.
pub(super) struct Here<'a> {
    pub core: &'a mut Core,
    pub sessions: &'a mut Sessions,
    /// Where what is to be done because of it goes.
    pub outbox: &'a mut Outbox,
}

impl Here<'_> {
    /// A connection may go on: it is settled when what is happening is over.
    pub fn wake(&mut self, conn: ConnId) {
        self.core.agenda.wake(conn);
    }
}
