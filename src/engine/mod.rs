//! One core: its sessions, the shards it owns, and the commands it coordinates. A pure state machine.
//! What runs on a key runs in [`crate::shard`]; a core asks the shard for it by its id.
//!
//! | file | what it does |
//! |---|---|
//! | `event` | what goes in and what comes out |
//! | `shared` | what the engines of one process share |
//! | `core` | the state behind every command |
//! | `sessions` | the connections of this core; input, stalls, limits |
//! | `moves` | connections at rest that go on at another core |
//! | `dispatch` | from arguments to a row, its checks, and the shard that runs it |
//! | `memory` | what this core holds, for `maxmemory` |
//! | `room` | what is evicted when that is too much; chores that free memory |
//! | `shards` | the shards that this core can run commands on: its own, its neighbours' |
//! | `links` | batches of requests to other shards, and their replies |
//! | `exec` | MULTI blocks, from their commands to EXEC's reply |
//! | `watch` | WATCH at the core of the connection |
//! | `blocked` | clients that wait for data, at the core of their connection |
//! | `coordinate` | commands with keys on several shards, from locks to merged reply |
//! | `at_once` | those whose shards are all at hand |
//! | `pieces` | what each of them has to do with such a command |
//! | `pair` | those with keys on this shard and one other |
//! | `hops` | those that read here and write there, or that move something |
//! | `split` | those that every shard runs with its own keys: taken apart, replies merged |
//! | `every_core` | commands that every core does its part of (CLIENT LIST, CONFIG SET, ...) |
//! | `report` | what a core tells of itself, for INFO |
//! | `operations` | commands that concern a connection or the process |

mod at_once;
mod blocked;
mod coordinate;
mod core;
mod dispatch;
mod event;
mod every_core;
mod exec;
mod hops;
mod links;
mod memory;
mod merge;
mod moves;
mod operations;
mod pair;
mod pieces;
#[cfg(test)]
mod reply_tests;
mod report;
mod room;
mod sessions;
mod shards;
mod shared;
mod split;
mod watch;

pub use event::{ClientOrigin, ConnControl, ConnId, Effect, Event, Now, Outbox, ShardId, Ticket};
pub use shards::ShardSet;
pub use shared::{CoreCounters, Host, HostFacts, Settings, Shared};

use std::sync::Arc;

use crate::access::Peer;
use crate::config::Config;
use crate::session::{Apart, Session, Stall};
use crate::store::Incoming;
use crate::txn::{Message, Work};
use core::{Core, Held};
use sessions::Sessions;

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

/// One core's state machine. See [`Event`] and [`Outbox`] for how it is driven.
pub struct Engine {
    sessions: Sessions,
    core: Core,
}

/// Another thread can run it.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Engine>();
};

/// How often an engine with periodic work wants a tick.
const TICK_US: u64 = 100_000;

/// Turns taken in one tick: about a mebibyte of input.
const TURNS_PER_TICK: usize = 16;

/// How long output may wait for the replies of other shards behind it.
const HELD_PASSES_MAX: u64 = 8;
const HELD_US_MAX: u64 = 2_000;

impl Engine {
    pub fn new(setup: EngineSetup) -> Engine {
        Engine { sessions: Sessions::default(), core: Core::new(setup) }
    }

    /// Hands out the shards that this engine has, its own among them: to a neighbour that the same
    /// thread runs next, or, if it has no neighbours, to be put with others. Without shards, an
    /// engine must not be driven nor asked; and [`Engine::order`] comes before they leave it.
    pub fn take_shards(&mut self) -> ShardSet {
        self.core.shards.take()
    }

    /// Gives the engine the shards of its thread, its own among them.
    pub fn give_shards(&mut self, shards: ShardSet) {
        self.core.shards.give(shards);
        self.core.forget_others_memory();
    }

    /// See [`ShardSet::next_touched`].
    #[inline]
    pub fn next_touched(&self) -> Option<ShardId> {
        self.core.shards.next_touched()
    }

    /// Has this engine make a mistake from now on, so that the simulation can be seen to find it.
    #[cfg(debug_assertions)]
    pub fn plant(&mut self, fault: crate::txn::Fault) {
        let planted = crate::txn::Planted::new(fault);
        self.core.planted = planted;
        self.core.shards.home_mut().plant(planted);
    }

    /// Whether, between two passes, everybody who waits for data here waits with good reason. The
    /// error says who does not.
    #[cfg(debug_assertions)]
    pub fn check_waiters(&mut self) -> Result<(), String> {
        self.core.shards.home_mut().check_waiters()
    }

    /// What this core's shard holds, without the traces that a command leaves.
    #[cfg(debug_assertions)]
    pub fn store(&self) -> &crate::store::Shard {
        self.core.shards.home().store()
    }

    /// The configuration that this core goes by now.
    pub fn config(&self) -> &Config {
        &self.core.settings.config
    }

    /// Decides about a connection before a byte of it is read: the access policy, then
    /// `maxclients`. The error is what the peer is to be told before it is closed.
    pub fn admit(&mut self, now: Now, peer: &Peer) -> Result<(), Vec<u8>> {
        self.core.now = now;
        self.core.admit(peer)
    }

    /// Takes in one event. Call [`Engine::end_pass`] after the last of a pass.
    pub fn handle(&mut self, now: Now, event: Event<'_>, outbox: &mut Outbox) {
        self.core.set_now(now);
        match event {
            Event::Bytes { conn, data } => {
                if let Some(session) = self.sessions.get_mut(conn) {
                    sessions::receive(&mut self.core, session, data, outbox);
                }
            }
            Event::Fetched { conn, bytes } => {
                if let Some(session) = self.sessions.get_mut(conn) {
                    sessions::fetched(&mut self.core, session, bytes, outbox);
                }
            }
            Event::Sent { conn, bytes } => {
                if let Some(session) = self.sessions.get_mut(conn) {
                    session.output.sent(bytes);
                    session.client.active_us = now.monotonic_us;
                    sessions::settle(&mut self.core, session, outbox);
                }
            }
            Event::Message { from, message } => self.receive_message(from, message, outbox),
            Event::Open { conn, origin } => {
                // Its place may be taken before its predecessor's end has been told.
                if let Some(predecessor) = self.sessions.in_place_of(conn) {
                    self.forget_connection(predecessor, outbox);
                }
                let mut session = self.core.new_session(conn, origin);
                tracing::debug!("Accepted {}, client {}", session.client.addr, session.client.id);
                self.core.memory.update(&mut session);
                self.sessions.insert(Box::new(session));
            }
            Event::Closed { conn } => {
                if let Some(session) = self.sessions.get_mut(conn) {
                    tracing::debug!(
                        "Connection of {}, client {}, has ended",
                        session.client.addr,
                        session.client.id
                    );
                }
                self.forget_connection(conn, outbox);
            }
            Event::EffectDone { ticket, result } => self.effect_done(ticket, result, outbox),
            Event::Tick => self.tick(outbox),
        }
        self.route_if_needed(outbox);
    }

    /// Sends what has gathered: batches to peers, and the list of connections with output. Call
    /// [`Engine::order`] before anything else.
    pub fn end_pass(&mut self, now: Now, outbox: &mut Outbox) {
        self.core.set_now(now);
        self.core.end_pass_of_room(outbox);
        self.core.shards.home_mut().find_broken_watches();
        self.route(outbox);
        self.core.flush_pairs(outbox);
        self.core.flush_links(outbox);
        self.let_go_of_output(outbox);
        self.core.publish_memory();
    }

    /// Lists the connections whose output has been held back long enough.
    fn let_go_of_output(&mut self, outbox: &mut Outbox) {
        let (passes, now_us) = (self.core.links.passes(), self.core.now.monotonic_us);
        while let Some(&Held { conn, since_pass, since_us }) = self.core.held.front() {
            if passes.saturating_sub(since_pass) < HELD_PASSES_MAX
                && now_us < since_us + HELD_US_MAX
            {
                return;
            }
            self.core.held.pop_front();
            if let Some(session) = self.sessions.get_mut(conn)
                && session.held
            {
                sessions::list_output(session, outbox);
            }
        }
    }

    /// Where what this connection sends next is to be put if it is the rest of a large argument, and
    /// how much that is; [`Event::Fetched`] tells how much has come. `None`: nothing large is on its
    /// way in, and bytes come as [`Event::Bytes`], which they always may.
    #[inline]
    pub fn room(&mut self, conn: ConnId) -> Option<(&mut Incoming, usize)> {
        sessions::room(self.sessions.get_mut(conn)?)
    }

    /// Moves what may be sent into `buffer`, which must be empty; its memory is used again.
    pub fn take_output(&mut self, conn: ConnId, buffer: &mut Vec<u8>) {
        if let Some(session) = self.sessions.get_mut(conn) {
            self.core.stats.writes += 1;
            session.listed = false;
            session.output.take(buffer);
            self.core.memory.update(session);
        }
    }

    /// As [`Engine::take_output`], but for a part of it that lies elsewhere. Whether there is more
    /// to be sent.
    #[inline]
    pub fn take_output_with_apart(
        &mut self,
        conn: ConnId,
        buffer: &mut Vec<u8>,
    ) -> (Option<Apart>, bool) {
        let Some(session) = self.sessions.get_mut(conn) else { return (None, false) };
        self.core.stats.writes += 1;
        session.listed = false;
        let apart = session.output.take_with_apart(buffer);
        self.core.memory.update(session);
        (apart, session.output.has_ready())
    }

    /// Whether replies are still to come for what this connection has sent. One that waits for data
    /// may wait for ever: that does not count.
    pub fn awaits_replies(&mut self, conn: ConnId) -> bool {
        let session = self.sessions.get_mut(conn);
        session.is_some_and(|session| {
            session.output.awaited() > 0 && !session.is_blocked()
                || sessions::has_more_to_run(session)
        })
    }

    /// Whether commands that this connection has sent will begin although it sends no more. To wait
    /// for data or for the end of a pause does not count.
    pub fn has_more_to_run(&mut self, conn: ConnId) -> bool {
        self.sessions.get_mut(conn).is_some_and(|session| sessions::has_more_to_run(session))
    }

    /// Whether input waits for nothing but its turn: a tick is wanted at once.
    pub fn has_turns(&self) -> bool {
        !self.core.turns.is_empty()
    }

    /// Executes more of what has been received from clients that sent much at once.
    fn take_turns(&mut self, outbox: &mut Outbox) {
        // Who needs yet another turn is behind those that wait for theirs.
        for _ in 0..self.core.turns.len().min(TURNS_PER_TICK) {
            let Some(conn) = self.core.turns.pop_front() else { return };
            if let Some(session) = self.sessions.get_mut(conn) {
                sessions::go_on(&mut self.core, session, outbox);
            }
        }
    }

    /// Microseconds until a tick is wanted; `None` if nothing is to be done until something
    /// happens.
    pub fn tick_in_us(&self, now: Now) -> Option<u64> {
        let core = &self.core;
        if self.has_turns() {
            return Some(0);
        }
        let periodic = core.sampler_wants_tick()
            || core.active_expire && core.shards.home().store().has_expiring()
            || core.pause.is_some()
            || !self.sessions.is_empty() && core.settings.config.timeout > 0
            || core.soft_limits_watched
            || core.is_memory_exceeded()
            || core.links.memory() > 0;
        let tick_at = if core.has_chores() {
            Some(core.last_tick_us + room::CHORE_TICK_US)
        } else {
            periodic.then_some(core.last_tick_us + TICK_US)
        };
        let let_go_at = core.held.front().map(|held| held.since_us + HELD_US_MAX);
        let deadline = core.wait_deadlines.first().map(|(deadline_us, _)| *deadline_us);
        let at = [tick_at, let_go_at, deadline].into_iter().flatten().min()?;
        Some(at.saturating_sub(now.monotonic_us))
    }

    /// Whether nothing is under way or left over: no command that other shards have a part in, no
    /// lock, no watch, no session without its connection.
    pub fn is_at_rest(&self) -> bool {
        self.core.coordinator.is_idle()
            && self.core.pairs.is_empty()
            && self.core.shards.home().is_at_rest()
            && self.core.wait_deadlines.is_empty()
            && self.sessions.detached() == 0
    }

    /// A message, whoever sent it: to one of this core's shards, or to the core itself.
    fn receive_message(&mut self, from: ShardId, message: Message, outbox: &mut Outbox) {
        let core = &mut self.core;
        let shard = core.shards.home_mut();
        match message {
            Message::Requests(batch) => shard.serve_batch(from, batch, core.links.buffers_mut()),
            Message::Part(part) if matches!(part.work, Work::Task(_)) => {
                self.run_task(*part, outbox);
            }
            Message::Part(part) => shard.receive(part),
            Message::Release(release) => core.release(*release),
            Message::Unwatch(watcher) => {
                shard.end_watch(watcher);
            }
            Message::WaitOn(id) => shard.wait_on(id),
            Message::EndWait(id) => shard.end_wait(id),
            Message::Replies(replies) => self.take_replies(from, replies, outbox),
            Message::PartDone(done) => self.part_done(*done, outbox),
            Message::MakeRoom { bytes } => core.owe_room(bytes),
            Message::WatchBroken { conn, watcher } => self.watch_broken(conn, watcher),
            Message::Served { waiter, reply } => self.served(from, &waiter, &reply, outbox),
            Message::Ready(waiter) => self.try_again(&waiter, outbox),
        }
    }

    #[inline]
    fn route_if_needed(&mut self, outbox: &mut Outbox) {
        if self.core.shards.home().has_messages() {
            self.route(outbox);
        }
    }

    /// Brings what this core's shards have for cores to them. What is for this one is dealt with
    /// here and now, but never where it arises: what a result lets go on may have parts that have
    /// waited here, and so on, each a few calls deeper.
    fn route(&mut self, outbox: &mut Outbox) {
        while let Some((to, message)) = self.core.shards.home_mut().next_message() {
            match &message {
                Message::PartDone(done) => self.core.memory.sent(done.result.bytes()),
                Message::Served { reply, .. } => self.core.memory.sent(reply.capacity()),
                _ => {}
            }
            if to == self.core.shard_id {
                self.receive_message(to, message, outbox);
            } else {
                outbox.messages.push((to, message));
            }
        }
    }

    fn tick(&mut self, outbox: &mut Outbox) {
        self.take_turns(outbox);
        self.end_overdue_waits(outbox);
        // What the end of the pass lets go of may have been all that was due.
        let since_us = self.core.now.monotonic_us.saturating_sub(self.core.last_tick_us);
        if since_us < TICK_US && !(self.core.has_chores() && since_us >= room::CHORE_TICK_US) {
            return;
        }
        self.core.last_tick_us = self.core.now.monotonic_us;
        self.core.sample();
        self.core.sample_memory();
        self.core.sweep_expired();
        self.core.tick_of_room();
        self.core.give_idle_buffers_back();
        if self.core.pause.is_some_and(|pause| pause.until_us <= self.core.now.monotonic_us) {
            self.core.pause = None;
            self.end_pause(outbox);
        }
        self.enforce_limits(outbox);
    }

    /// Lets the sessions go on that CLIENT PAUSE had stopped.
    fn end_pause(&mut self, outbox: &mut Outbox) {
        for session in self.sessions.iter_mut() {
            if session.stall.contains(Stall::PAUSED) {
                session.stall.remove(Stall::PAUSED);
                sessions::settle(&mut self.core, session, outbox);
            }
        }
    }

    /// Closes connections that have been idle for `timeout` or over a soft output limit too long.
    fn enforce_limits(&mut self, outbox: &mut Outbox) {
        self.core.soft_limits_watched = false;
        for session in self.sessions.iter_mut() {
            if self.core.is_idle_too_long(session) || self.core.is_over_output_limit(session) {
                close_now(session, outbox);
            }
        }
    }
}

/// Ends a connection at once, even one that waits for its client to read the rest; what it had not
/// been sent is lost.
fn close_now(session: &mut Session, outbox: &mut Outbox) {
    if !session.dropped {
        session.dropped = true;
        session.stall.insert(Stall::CLOSING);
        if let Some(blocked) = &session.blocked {
            // Nobody serves it any more; the rest follows when the connection has ended.
            blocked.waiter.end();
        }
        outbox.control.push((session.conn, ConnControl::CloseNow));
    }
}

/// Ends a connection when its output has been sent, replies of other shards included: `settle`
/// tells the runtime once all are there.
fn close_after_output(session: &mut Session) {
    if !session.stall.contains(Stall::CLOSING) {
        session.stall.insert(Stall::CLOSING);
        session.close_when_answered = true;
    }
}
