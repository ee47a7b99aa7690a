//! The state of one core that commands work on: everything but the sessions.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;

use super::event::{Effect, Now, Outbox, ShardId, TICK_US, Ticket};
use super::held::HeldOutput;
use super::links::Links;
use super::memory::{Budget, MemoryAccount};
use super::pairs::Pairs;
use super::pieces::Pieces;
use super::pipeline::Pipeline;
use super::reply::ConnReply;
use super::room::{self, Room};
use super::sessions::Sessions;
use super::shards::Shards;
use super::shared::Shared;
use super::site::Site;
use super::transaction::Coordinator;
use crate::access::Password;
use crate::commands::{CommandTable, table};
use crate::session::Session;
use crate::shard::{ShardSetup, Statistics};
use crate::store::{Shard as Store, Watcher};
use crate::txn::{ConnId, OwnedWork, Planted, Release, Request, TxnId};

/// Expired keys that one tick's sweep drops at most, each of which takes about 135 ns (`cargo bench
/// --bench store -- expiry`). While there are more, ticks come every five milliseconds: that is
/// 350,000 keys a second for 5 % of a core. A million keys that expire in the same second are gone
/// three seconds after its end, and on average two seconds after they expired.
const SWEEP_KEYS: usize = 1750;

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

/// What this core has done since the start or the last CONFIG RESETSTAT.
#[derive(Clone, Debug, Default)]
pub(super) struct EngineStats {
    /// Of what runs without a shard.
    pub commands: Statistics,
    pub ops_per_sec: u64,
    pub input_bytes_per_sec: u64,
    pub output_bytes_per_sec: u64,
    /// Pieces of input received and of output sent.
    pub reads: u64,
    pub writes: u64,
}

pub(super) struct Core {
    pub site: Site,
    pub table: &'static CommandTable,
    pub shards: Shards,
    /// When this core's connections stop waiting for data.
    pub wait_deadlines: BTreeSet<(u64, ConnId)>,
    pub next_watcher: u64,
    pub links: Links,
    pub coordinator: Coordinator,
    pub pairs: Pairs,
    pub pieces: Pieces,
    /// Effects under way, by ticket: the transaction that waits for each.
    pub effects: HashMap<u64, ConnReply>,
    pub next_ticket: u64,
    pub stats: EngineStats,
    pub memory: MemoryAccount,
    pub room: Room,
    /// The sweep for expired entries has more to do than one tick allows.
    pub sweep_goes_on: bool,
    pub pause: Option<Pause>,
    pub active_expire: bool,
    pub last_tick_us: u64,
    /// A session may be over its soft output limit; looked at in every tick while set.
    pub soft_limits_watched: bool,
    /// Commands, bytes received and bytes sent at the last sample.
    sampled: [u64; 3],
    sampled_us: u64,
    /// Scratch for the decoder.
    pub pipeline: Pipeline,
    /// Commands decoded, to see how often.
    #[cfg(test)]
    pub decoded: usize,
    /// Connections that may go on because of what is happening just now.
    pub woken: Vec<ConnId>,
    /// Connections with input that is executed when it is their turn.
    pub turns: VecDeque<ConnId>,
    pub held: HeldOutput,
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
            wait_deadlines: BTreeSet::new(),
            next_watcher: 0,
            links: Links::new(setup.shards),
            coordinator: Coordinator::default(),
            pairs: Pairs::default(),
            pieces: Pieces::default(),
            effects: HashMap::new(),
            next_ticket: 0,
            stats: EngineStats::default(),
            memory: MemoryAccount::default(),
            room: Room::default(),
            sweep_goes_on: false,
            pause: None,
            active_expire: true,
            last_tick_us: 0,
            soft_limits_watched: false,
            sampled: [0; 3],
            sampled_us: 0,
            pipeline: Pipeline::default(),
            #[cfg(test)]
            decoded: 0,
            woken: Vec::new(),
            turns: VecDeque::new(),
            held: HeldOutput::default(),
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

    pub fn sampler_wants_tick(&self) -> bool {
        self.commands() != self.sampled[0] || self.stats.ops_per_sec > 0
    }

    /// Commands that have run.
    fn commands(&self) -> u64 {
        self.stats.commands.commands + self.shards.home().statistics().commands
    }

    /// Measures the rates of commands and bytes since the last tick.
    pub fn sample(&mut self) {
        let elapsed_us = self.site.now.monotonic_us.saturating_sub(self.sampled_us);
        if elapsed_us < TICK_US / 2 {
            return;
        }
        let counters = &self.site.shared.cores[self.site.shard_id];
        let counts = [
            self.commands(),
            counters.net_input_bytes.load(Ordering::Relaxed),
            counters.net_output_bytes.load(Ordering::Relaxed),
        ];
        let rate = |index: usize| {
            let count: u64 = counts[index].saturating_sub(self.sampled[index]);
            count.saturating_mul(1_000_000) / elapsed_us
        };
        (self.stats.ops_per_sec, self.stats.input_bytes_per_sec) = (rate(0), rate(1));
        self.stats.output_bytes_per_sec = rate(2);
        self.sampled = counts;
        self.sampled_us = self.site.now.monotonic_us;
    }

    /// One tick's share of giving expired keys' memory back.
    pub fn sweep_expired(&mut self) {
        // Locks are no obstacle: to whoever holds one, an expired key is not there either.
        self.sweep_goes_on = self.active_expire
            && self.shards.home_mut().store_mut().sweep_expired(SWEEP_KEYS, self.site.now.unix_ms);
    }

    /// CONFIG RESETSTAT.
    pub fn reset_stats(&mut self) {
        self.shards.home_mut().reset_statistics();
        self.stats = EngineStats::default();
        self.sampled = [0; 3];
        self.links.reset_passes();
        self.memory.reset_exceeded_time();
        let counters = &self.site.shared.cores[self.site.shard_id];
        for counter in
            [&counters.connections_received, &counters.net_input_bytes, &counters.net_output_bytes]
        {
            counter.store(0, Ordering::Relaxed);
        }
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
            self.pieces = Pieces::default();
        }
    }

    /// Gives all buffers back that nothing is in.
    pub fn give_buffers_back(&mut self) {
        self.links.buffers_mut().give_all_back();
        self.pairs.trim();
        self.pieces = Pieces::default();
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

    /// Asks the runtime for work that blocks; its end fills the reply slot.
    pub fn start_effect(
        &mut self,
        reply: ConnReply,
        effect: impl FnOnce(Ticket) -> Effect,
        outbox: &mut Outbox,
    ) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.effects.insert(ticket, reply);
        outbox.effects.push(effect(Ticket(ticket)));
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
        self.room.has_chores() || self.shards.home().store().has_chores() || self.sweep_goes_on
    }

    /// Bytes of the buffers that this core keeps for the next commands.
    pub fn kept_memory(&self) -> usize {
        self.pipeline.memory() + self.pairs.memory() + self.pieces.memory() + self.links.memory()
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
        self.core.woken.push(conn);
    }
}
