//! One core: its sessions, the shards it owns, and the commands it coordinates. A pure state machine.
//! What runs on a key runs in [`crate::shard`]; a core asks the shard for it by its id.
//!
//! A file imports none of a layer above its own; `tests/layers.rs` holds them to it. A layer below
//! that wants something of one above returns what is to be done, or wakes a connection.
//!
//! | layer | file | what it does |
//! |---|---|---|
//! | the engine | `mod` | events in, what is to be done out; passes and ticks |
//! | | `moves` | connections at rest that go on at another core |
//! | ends | `answers` | answers from other shards, for one command or for one half of it |
//! | | `finish` | commands that take a while end: the results are here, one reply leaves |
//! | | `waits` | clients that waited for data go on |
//! | input | `input` | what clients send: turns, stalls, limits |
//! | commands | `dispatch` | from arguments to a row, its checks, and the shard that runs it |
//! | | `in_turn` | an EXEC whose commands run one after the other |
//! | operations | `operations` | commands that concern a connection or the process |
//! | beginnings | `run` | commands with keys here, on another shard, or on several |
//! | | `exec` | MULTI blocks: on one shard, on several, or in turn |
//! | | `blocked` | commands that may wait for data; how waits begin and end |
//! | | `connections` | connections come and go |
//! | over several shards | `split` | commands that every shard runs, or runs with its own keys |
//! | | `pair` | those with keys on this shard and one other |
//! | | `hops` | those that read here and write there, or that move something |
//! | | `coordinate` | parts go out |
//! | | `at_once` | all shards are at hand: no parts, no messages |
//! | | `results` | what comes of the parts' results: the next step, or the reply |
//! | beside the core | `local` | runs a command on a shard that is at hand |
//! | | `limits` | what a client may have the server hold for it |
//! | | `watch` | WATCH at the core of the connection |
//! | | `report` | what a core tells of itself, for INFO |
//! | the core | `state` | the state behind every command, put together from the parts below |
//! | | `transaction` | the commands under way over several shards |
//! | | `every_core` | commands that every core does its part of (CLIENT LIST, CONFIG SET, ...) |
//! | its parts | `sessions` | the sessions of this core's connections |
//! | | `agenda` | connections that it has to come back to, and why |
//! | | `pipeline` | commands that have been decoded and not run yet |
//! | | `links` | batches of requests to other shards |
//! | | `hopping` | a command in hops, from what is looked at to what changes |
//! | | `pairs` | commands of which another shard runs one half |
//! | | `key_parts` | which shard has to do what with a command's keys |
//! | | `part` | what one shard is to do for a command |
//! | | `merge` | one reply from the values that several shards answered |
//! | | `effects` | what the runtime does for commands |
//! | | `reply` | replies, at once or into a slot |
//! | | `closing` | the end of a connection, as the engine decides on it |
//! | | `statistics` | what a core has done, and how fast |
//! | | `expiry` | the sweep for expired entries |
//! | | `room` | what is evicted when too much is held |
//! | | `memory` | what this core holds, and all of them, for `maxmemory` |
//! | where it is | `shards` | the shards that this core can run commands on: its own, its neighbours' |
//! | | `site` | which core this is, its settings, the time |
//! | | `shared` | what the engines of one process share |
//! | | `event` | what goes in and what comes out |

mod agenda;
mod answers;
mod at_once;
mod blocked;
mod closing;
mod connections;
mod coordinate;
mod dispatch;
mod effects;
mod event;
mod every_core;
mod exec;
mod expiry;
mod finish;
mod hopping;
mod hops;
mod in_turn;
mod input;
mod key_parts;
mod limits;
mod links;
mod local;
mod memory;
mod merge;
mod moves;
mod operations;
mod pair;
mod pairs;
mod part;
mod pipeline;
mod reply;
mod report;
mod results;
mod room;
mod run;
mod sessions;
mod shards;
mod shared;
mod site;
mod split;
mod state;
mod statistics;
#[cfg(test)]
mod tests;
mod transaction;
mod waits;
mod watch;

pub use event::{ClientOrigin, ConnControl, ConnId, Effect, Event, Now, Outbox, ShardId, Ticket};
pub use shards::ShardSet;
pub use shared::{CoreCounters, Host, HostFacts, Settings, Shared};
pub use state::EngineSetup;

use crate::access::Peer;
use crate::config::Config;
use crate::session::Apart;
use crate::store::Incoming;
use crate::txn::{Message, Work};
use event::TICK_US;
use sessions::Sessions;
use state::{Core, Here};

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

/// Turns taken in one tick: about a mebibyte of input.
const TURNS_PER_TICK: usize = 16;

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
        self.core.memory.forget_others();
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
        self.core.site.planted = planted;
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
        &self.core.site.settings.config
    }

    /// Decides about a connection before a byte of it is read: the access policy, then
    /// `maxclients`. The error is what the peer is to be told before it is closed.
    pub fn admit(&mut self, now: Now, peer: &Peer) -> Result<(), Vec<u8>> {
        self.core.site.now = now;
        connections::admit(&self.core, peer)
    }

    /// Takes in one event. Call [`Engine::end_pass`] after the last of a pass.
    pub fn handle(&mut self, now: Now, event: Event<'_>, outbox: &mut Outbox) {
        self.core.set_now(now);
        let mut here = self.here(outbox);
        match event {
            Event::Bytes { conn, data } => {
                if let Some(session) = here.sessions.get_mut(conn) {
                    input::receive(here.core, session, data, here.outbox);
                }
            }
            Event::Fetched { conn, bytes } => {
                if let Some(session) = here.sessions.get_mut(conn) {
                    input::fetched(here.core, session, bytes, here.outbox);
                }
            }
            Event::Sent { conn, bytes } => {
                if let Some(session) = here.sessions.get_mut(conn) {
                    session.output.sent(bytes);
                    session.client.active_us = now.monotonic_us;
                    input::settle(here.core, session, here.outbox);
                }
            }
            Event::Message { from, message } => receive_message(&mut here, from, message),
            Event::Open { conn, origin } => connections::open(&mut here, conn, origin),
            Event::Closed { conn } => connections::closed(&mut here, conn),
            Event::EffectDone { ticket, result } => finish::effect_done(&mut here, ticket, result),
            Event::Tick => tick(&mut here),
        }
        route_if_needed(&mut here);
    }

    /// Sends what has gathered: batches to peers, and the list of connections with output. Call
    /// [`Engine::order`] before anything else.
    pub fn end_pass(&mut self, now: Now, outbox: &mut Outbox) {
        self.core.set_now(now);
        let (room, mut budget) = self.core.room();
        room.end_pass(&mut budget, outbox);
        self.core.shards.home_mut().find_broken_watches();
        route(&mut self.here(outbox));
        pair::flush_pairs(&mut self.core, outbox);
        self.core.flush_links(outbox);
        self.let_go_of_output(outbox);
        self.core.publish_memory();
    }

    /// Settles the order of this pass's multi-shard commands. The driver calls it once for every
    /// [`Engine::end_pass`], under the mutex that it puts `ordered` into the inboxes with, before it
    /// does; if there is nothing `ordered`, at any time.
    ///
    /// If something has come into this core's inbox since it was looked into, that may be a command
    /// which meets another shard before ours do and this one behind them.
    pub fn order(&mut self, inbox_is_empty: bool, outbox: &mut Outbox) {
        pair::order(&mut self.core, inbox_is_empty, outbox);
    }

    #[inline]
    fn here<'a>(&'a mut self, outbox: &'a mut Outbox) -> Here<'a> {
        Here { core: &mut self.core, sessions: &mut self.sessions, outbox }
    }

    /// Lists the connections whose output has been held back long enough.
    fn let_go_of_output(&mut self, outbox: &mut Outbox) {
        let (passes, now_us) = (self.core.links.passes(), self.core.site.now.monotonic_us);
        while let Some(conn) = self.core.agenda.next_held(passes, now_us) {
            if let Some(session) = self.sessions.get_mut(conn)
                && session.held
            {
                input::list_output(session, outbox);
            }
        }
    }

    /// Where what this connection sends next is to be put if it is the rest of a large argument, and
    /// how much that is; [`Event::Fetched`] tells how much has come. `None`: nothing large is on its
    /// way in, and bytes come as [`Event::Bytes`], which they always may.
    #[inline]
    pub fn room(&mut self, conn: ConnId) -> Option<(&mut Incoming, usize)> {
        input::room(self.sessions.get_mut(conn)?)
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
            session.output.awaited() > 0 && !session.is_blocked() || input::has_more_to_run(session)
        })
    }

    /// Whether commands that this connection has sent will begin although it sends no more. To wait
    /// for data or for the end of a pause does not count.
    pub fn has_more_to_run(&mut self, conn: ConnId) -> bool {
        self.sessions.get_mut(conn).is_some_and(|session| input::has_more_to_run(session))
    }

    /// Whether input waits for nothing but its turn: a tick is wanted at once.
    pub fn has_turns(&self) -> bool {
        self.core.agenda.turns() > 0
    }

    /// Microseconds until a tick is wanted; `None` if nothing is to be done until something
    /// happens.
    pub fn tick_in_us(&self, now: Now) -> Option<u64> {
        let core = &self.core;
        if self.has_turns() {
            return Some(0);
        }
        let periodic = core.stats.want_tick(core.shards.home().statistics())
            || core.expiry.wants_ticks(core.shards.home().store())
            || core.pause.is_some()
            || !self.sessions.is_empty() && core.site.settings.config.timeout > 0
            || core.agenda.watches_soft_limits()
            || core.memory.is_exceeded()
            || core.links.memory() > 0;
        let tick_at = if core.has_chores() {
            Some(core.last_tick_us + room::CHORE_TICK_US)
        } else {
            periodic.then_some(core.last_tick_us + TICK_US)
        };
        let at = tick_at.into_iter().chain(core.agenda.due_us()).min()?;
        Some(at.saturating_sub(now.monotonic_us))
    }

    /// Whether nothing is under way or left over: no command that other shards have a part in, no
    /// lock, no watch, no session without its connection.
    pub fn is_at_rest(&self) -> bool {
        self.core.coordinator.is_idle()
            && self.core.pairs.is_empty()
            && self.core.shards.home().is_at_rest()
            && self.core.agenda.deadlines() == 0
            && self.sessions.detached() == 0
    }
}

/// A message, whoever sent it: to one of this core's shards, or to the core itself.
fn receive_message(here: &mut Here<'_>, from: ShardId, message: Message) {
    let core = &mut *here.core;
    let shard = core.shards.home_mut();
    match message {
        Message::Requests(batch) => shard.serve_batch(from, batch, core.links.buffers_mut()),
        Message::Part(part) if matches!(part.work, Work::Task(_)) => {
            finish::run_task(here, *part);
        }
        Message::Part(part) => shard.receive(part),
        Message::Release(release) => core.release(*release),
        Message::Unwatch(watcher) => {
            shard.end_watch(watcher);
        }
        Message::WaitOn(id) => shard.wait_on(id),
        Message::EndWait(id) => shard.end_wait(id),
        Message::Replies(replies) => answers::take_replies(here, from, replies),
        Message::PartDone(done) => finish::part_done(here, *done),
        Message::MakeRoom { bytes } => core.room.owe(bytes, shard.store().allocated_bytes()),
        Message::WatchBroken { conn, watcher } => connections::watch_broken(here, conn, watcher),
        Message::Served { waiter, reply } => waits::served(here, from, &waiter, &reply),
        Message::Ready(waiter) => waits::try_again(here, &waiter),
    }
}

#[inline]
fn route_if_needed(here: &mut Here<'_>) {
    if here.core.shards.home().has_messages() {
        route(here);
    }
}

/// Brings what this core's shards have for cores to them. What is for this one is dealt with
/// here and now, but never where it arises: what a result lets go on may have parts that have
/// waited here, and so on, each a few calls deeper.
fn route(here: &mut Here<'_>) {
    while let Some((to, message)) = here.core.shards.home_mut().next_message() {
        match &message {
            Message::PartDone(done) => here.core.memory.sent(done.result.bytes()),
            Message::Served { reply, .. } => here.core.memory.sent(reply.capacity()),
            _ => {}
        }
        if to == here.core.site.shard_id {
            receive_message(here, to, message);
        } else {
            here.outbox.messages.push((to, message));
        }
    }
}

fn tick(here: &mut Here<'_>) {
    take_turns(here);
    waits::end_overdue_waits(here);
    // What the end of the pass lets go of may have been all that was due.
    let now_us = here.core.site.now.monotonic_us;
    let since_us = now_us.saturating_sub(here.core.last_tick_us);
    if since_us < TICK_US && !(here.core.has_chores() && since_us >= room::CHORE_TICK_US) {
        return;
    }
    let core = &mut *here.core;
    core.last_tick_us = now_us;
    core.stats.sample(&core.site, core.shards.home().statistics());
    core.sample_memory();
    core.expiry.sweep(core.shards.home_mut().store_mut(), core.site.now.unix_ms);
    let (room, mut budget) = core.room();
    room.tick(&mut budget);
    core.give_idle_buffers_back();
    if core.pause.is_some_and(|pause| pause.until_us <= now_us) {
        core.pause = None;
        connections::end_pause(here);
        input::settle_woken(here);
    }
    connections::enforce_limits(here);
}

/// Executes more of what has been received from clients that sent much at once.
fn take_turns(here: &mut Here<'_>) {
    // Who needs yet another turn is behind those that wait for theirs.
    for _ in 0..here.core.agenda.turns().min(TURNS_PER_TICK) {
        let Some(conn) = here.core.agenda.next_turn() else { return };
        if let Some(session) = here.sessions.get_mut(conn) {
            input::go_on(here.core, session, here.outbox);
        }
    }
}
