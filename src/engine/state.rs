//! The state of one core that commands work on: everything but the sessions.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;

use super::coordinate::Coordinator;
use super::event::{ClientOrigin, Effect, Now, Outbox, ShardId, Ticket};
use super::held::HeldOutput;
use super::links::Links;
use super::memory::{Budget, MemoryAccount};
use super::pair::Pairs;
use super::pieces::Pieces;
use super::pipeline::Pipeline;
use super::reply::ConnReply;
use super::room::{self, Room};
use super::shards::Shards;
use super::site::Site;
use super::{EngineSetup, TICK_US};
use crate::access::{Decision, Password, Peer, Reason};
use crate::commands::{CommandTable, ReplyMode, table};
use crate::protocol::reply::Encoding;
use crate::session::{ClientState, OutputClass, Session, Stall};
use crate::shard::{ShardSetup, Statistics};
use crate::store::{Shard as Store, Watcher};
use crate::txn::{ConnId, OwnedWork, Planted, Release, Request};

/// Connections kept free for administrators on loopback and unix sockets when `maxclients` is
/// reached, so that a full server can still be asked and mended.
const RESERVED_LOCAL_CLIENTS: usize = 8;
/// Expired keys that one tick's sweep drops at most, each of which takes about 135 ns (`cargo bench
/// --bench store -- expiry`). While there are more, ticks come every five milliseconds: that is
/// 350,000 keys a second for 5 % of a core. A million keys that expire in the same second are gone
/// three seconds after its end, and on average two seconds after they expired.
const SWEEP_KEYS: usize = 1750;

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
            turns: VecDeque::new(),
            held: HeldOutput::default(),
        };
        core.publish_memory();
        core
    }

    /// See [`super::Engine::admit`].
    pub fn admit(&mut self, peer: &Peer) -> Result<(), Vec<u8>> {
        let access = &self.site.shared.access;
        if let Decision::Refuse(rule) = self.site.settings.access.decide(peer) {
            access.refused(self.site.now.unix_ms, peer, Reason::from(rule));
            let text = self.site.settings.access.denied_text(rule, peer);
            return Err(format!("-{text}\r\n").into_bytes());
        }
        let reserved = if peer.is_local() { RESERVED_LOCAL_CLIENTS } else { 0 };
        let max = self.site.settings.config.maxclients as usize;
        if self.site.shared.connections() >= max + reserved {
            access.refused(self.site.now.unix_ms, peer, Reason::MaxClients);
            return Err(b"-ERR max number of clients reached\r\n".to_vec());
        }
        access.accepted();
        Ok(())
    }

    pub fn new_session(&self, conn: ConnId, origin: ClientOrigin) -> Session {
        let client = ClientState {
            id: origin.id,
            peer: origin.peer,
            addr: origin.addr,
            laddr: origin.laddr,
            fd: origin.fd,
            name: Vec::new(),
            lib_name: Vec::new(),
            lib_ver: Vec::new(),
            encoding: Encoding::Resp2,
            db: 0,
            authenticated: !self.requires_password(),
            reply_mode: ReplyMode::On,
            skip_reply: false,
            no_evict: false,
            no_touch: false,
            created_us: self.site.now.monotonic_us,
            active_us: self.site.now.monotonic_us,
            last_command: None,
            input_bytes: 0,
            commands: 0,
            over_soft_limit_since_us: None,
        };
        Session::new(conn, client)
    }

    pub fn requires_password(&self) -> bool {
        self.password().is_some()
    }

    pub fn password(&self) -> Option<&Password> {
        self.site.settings.access.password()
    }

    pub fn is_idle_too_long(&self, session: &Session) -> bool {
        let timeout_us = self.site.settings.config.timeout.saturating_mul(1_000_000);
        timeout_us > 0
            && session.output.awaited() == 0
            && !session.stall.contains(Stall::PAUSED)
            && self.site.now.monotonic_us.saturating_sub(session.client.active_us) > timeout_us
    }

    /// Whether the session's unsent output is over its hard limit, or has been over the soft one
    /// for as long as that allows.
    pub fn is_over_output_limit(&mut self, session: &mut Session) -> bool {
        let limit = match session.client.output_class() {
            OutputClass::Normal => self.site.settings.config.client_output_buffer_limit.normal,
        };
        let unsent = session.output.unsent_bytes() as u64;
        if limit.hard > 0 && unsent > limit.hard {
            return true;
        }
        if limit.soft == 0 || unsent <= limit.soft {
            session.client.over_soft_limit_since_us = None;
            return false;
        }
        self.soft_limits_watched = true;
        let now = self.site.now.monotonic_us;
        let since = *session.client.over_soft_limit_since_us.get_or_insert(now);
        now - since > limit.soft_seconds.saturating_mul(1_000_000)
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
