//! The driver: one core's loop, between its ring, its inbox and its engine.
//!
//! | file | what it does |
//! |---|---|
//! | `accept` | new connections: asked for, refused, kept or handed to another core |
//! | `events` | what the ring and the inbox report, told to the engine |
//! | `outgoing` | what the engine wants done: messages, output, closes, effects |
//! | `drain` | the end: what has arrived is answered before the core stops |
//!
//! # A pass
//!
//! Enter the ring (the only system call: it submits what the last pass queued and, if there is
//! nothing to do, sleeps); read the clock; tell the engine what completed and what the inbox holds;
//! let it end the pass; deliver its messages; queue one send for each connection with output.
//!
//! # Asleep
//!
//! A core sleeps in its own ring, not in its executor's: that is one system call instead of three
//! or four, and at ordinary loads every few requests end in sleep. It may, because the driver is
//! the only task of its executor. Everything else runs on the control executor.

mod accept;
mod drain;
mod events;
mod outgoing;

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Clock;
use super::control::ControlHandle;
use super::inbox::{Inbox, Post};
use super::linger::Deadlines;
use super::listener::Listener;
use super::ring::{Key, Options, Ring};
use crate::access::Peer;
use crate::engine::{ConnId, CoreCounters, Engine, Event, Now, Outbox, ShardId, Shared};

/// What a driver drives: an [`Engine`], or a test's own.
pub trait Core {
    /// See [`Engine::admit`].
    fn admit(&mut self, now: Now, peer: &Peer) -> Result<(), Vec<u8>>;
    /// See [`Engine::handle`].
    fn handle(&mut self, now: Now, event: Event<'_>, outbox: &mut Outbox);
    /// See [`Engine::end_pass`].
    fn end_pass(&mut self, now: Now, outbox: &mut Outbox);
    /// See [`Engine::order`].
    fn order(&mut self, inbox_is_empty: bool, outbox: &mut Outbox);
    /// See [`Engine::take_output`].
    fn take_output(&mut self, conn: ConnId, buffer: &mut Vec<u8>);
    /// See [`Engine::awaits_replies`].
    fn awaits_replies(&mut self, conn: ConnId) -> bool;
    /// See [`Engine::has_more_to_run`].
    fn has_more_to_run(&mut self, conn: ConnId) -> bool;
    /// See [`Engine::tick_in_us`].
    fn tick_in_us(&self, now: Now) -> Option<u64>;
}

impl Core for Engine {
    fn admit(&mut self, now: Now, peer: &Peer) -> Result<(), Vec<u8>> {
        Engine::admit(self, now, peer)
    }

    #[inline]
    fn handle(&mut self, now: Now, event: Event<'_>, outbox: &mut Outbox) {
        Engine::handle(self, now, event, outbox);
    }

    #[inline]
    fn end_pass(&mut self, now: Now, outbox: &mut Outbox) {
        Engine::end_pass(self, now, outbox);
    }

    #[inline]
    fn order(&mut self, inbox_is_empty: bool, outbox: &mut Outbox) {
        Engine::order(self, inbox_is_empty, outbox);
    }

    #[inline]
    fn take_output(&mut self, conn: ConnId, buffer: &mut Vec<u8>) {
        Engine::take_output(self, conn, buffer);
    }

    fn awaits_replies(&mut self, conn: ConnId) -> bool {
        Engine::awaits_replies(self, conn)
    }

    fn has_more_to_run(&mut self, conn: ConnId) -> bool {
        Engine::has_more_to_run(self, conn)
    }

    #[inline]
    fn tick_in_us(&self, now: Now) -> Option<u64> {
        Engine::tick_in_us(self, now)
    }
}

/// What the cores of a process share besides what their engines share.
#[derive(Debug)]
pub struct Process {
    pub shared: Arc<Shared>,
    pub post: Arc<Post>,
    pub control: ControlHandle,
    pub drain: drain::Quiet,
    next_client_id: AtomicU64,
}

impl Process {
    pub fn new(shared: Arc<Shared>, post: Arc<Post>, control: ControlHandle) -> Process {
        let drain = drain::Quiet::new(post.cores());
        Process { shared, post, control, drain, next_client_id: AtomicU64::new(1) }
    }

    fn client_id(&self) -> u64 {
        self.next_client_id.fetch_add(1, Ordering::Relaxed)
    }
}

/// What a slot of the ring is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Vacant,
    /// The engine knows it.
    Served {
        /// The engine has output that could not be taken yet, because a send is on its way.
        more: bool,
        /// To be closed as soon as there is no output left.
        closing: Closing,
    },
    /// The engine has forgotten it, or never knew it; see `linger`.
    Lingering {
        bytes_left: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// The engine asked for it: nothing more is read, and the peer gets time to read.
    Asked,
    /// The peer has closed its side. It may still read what it is owed.
    PeerEnded,
}

/// One core's loop. Runs until the process is told to stop.
pub struct Driver<C> {
    shard: ShardId,
    core: C,
    ring: Ring,
    inbox: Inbox,
    process: Arc<Process>,
    clock: Clock,
    now: Now,
    outbox: Outbox,
    listeners: Vec<Listener>,
    /// Listeners that failed to accept, and when to try again.
    accept_again: Vec<(u32, u64)>,
    roles: Vec<Role>,
    /// Connections that the engine is to be told are closed, in the next pass.
    gone: Vec<ConnId>,
    deadlines: Deadlines,
    /// Connections whose peers have ended in this pass; a deadline follows if they are owed more.
    ended: Vec<Key>,
    refusals: accept::RefusalLog,
    /// When the ring's timer fires, if it is set.
    timer_at_us: Option<u64>,
    /// Cores that parcels were put for in this pass.
    to_wake: Vec<ShardId>,
    stop: Option<drain::Drain>,
    tally: Tally,
}

/// What a pass adds to the core's counters.
#[derive(Debug, Default)]
struct Tally {
    /// Taken from the inbox, or put into another.
    parcels: u64,
    parks: u64,
    doorbells: u64,
    input_bytes: u64,
    output_bytes: u64,
}

/// Parcels taken from the inbox in one pass; the rest waits for the next.
const PARCELS_MAX: usize = 1024;
/// A timer that would fire by so much too late is set again, an earlier one is left alone.
const TIMER_SLACK_US: u64 = 1_000;

impl<C: Core> Driver<C> {
    /// # Errors
    /// The ring cannot be set up.
    pub fn new(
        shard: ShardId,
        core: C,
        inbox: Inbox,
        listeners: Vec<Listener>,
        clock: Clock,
        process: Arc<Process>,
        options: Options,
    ) -> io::Result<Driver<C>> {
        let mut ring = Ring::new(options)?;
        ring.watch(&inbox.bell().fd());
        process.post.set_ring(shard, Some(ring.as_raw_fd()));
        process.shared.cores[shard].fixed_memory.store(ring.memory(), Ordering::Relaxed);
        for listener in &listeners {
            ring.add_listener(&listener.socket);
        }
        Ok(Driver {
            shard,
            core,
            ring,
            inbox,
            process,
            clock,
            now: Now::default(),
            outbox: Outbox::default(),
            listeners,
            accept_again: Vec::new(),
            roles: Vec::new(),
            gone: Vec::new(),
            deadlines: Deadlines::default(),
            ended: Vec::new(),
            refusals: accept::RefusalLog::default(),
            timer_at_us: None,
            to_wake: Vec::new(),
            stop: None,
            tally: Tally::default(),
        })
    }

    /// Serves until a parcel says to stop and what had arrived is answered.
    ///
    /// # Errors
    /// The ring cannot be entered any more; the core cannot go on.
    pub fn run(mut self) -> io::Result<()> {
        let mut idle = false;
        loop {
            let sleep = idle && self.inbox.park();
            self.ring.enter(sleep)?;
            if sleep {
                self.inbox.unpark();
                self.tally.parks += 1;
            }
            self.now = self.clock.now();
            self.take_events();
            self.core.end_pass(self.now, &mut self.outbox);
            self.carry_out();
            if self.stop.is_some() && self.drained() {
                break;
            }
            self.ring.end_pass();
            let tick_in_us = self.core.tick_in_us(self.now);
            self.set_timer(tick_in_us);
            self.publish();
            // Whatever is still to be told to the engine must not wait for something to happen.
            idle = self.gone.is_empty() && self.outbox.is_empty() && tick_in_us != Some(0);
        }
        self.process.post.set_ring(self.shard, None);
        self.say_goodbye();
        Ok(())
    }

    /// Sets the ring's timer to what is wanted first. A tick that is due comes in the next pass.
    fn set_timer(&mut self, tick_in_us: Option<u64>) {
        let now_us = self.now.monotonic_us;
        let tick = tick_in_us.filter(|delay| *delay > 0).map(|delay| now_us + delay);
        let stop = self.stop.as_ref().map(|drain| drain.next_us(now_us));
        let accept = self.accept_again.iter().map(|(_, at)| *at).min();
        let wanted = [tick, stop, accept, self.deadlines.next_us()].into_iter().flatten().min();
        let Some(wanted) = wanted else { return };
        if self.timer_at_us.is_none_or(|at| wanted.saturating_add(TIMER_SLACK_US) < at) {
            let delay = wanted.saturating_sub(now_us).max(1);
            self.ring.wake_in(Duration::from_micros(delay));
            self.timer_at_us = Some(now_us + delay);
        }
    }

    /// Adds what this pass did to the counters that other cores may read.
    fn publish(&mut self) {
        let Tally { parks, doorbells, input_bytes, output_bytes, .. } =
            std::mem::take(&mut self.tally);
        let counters = self.counters();
        let grown =
            self.ring.memory().saturating_sub(counters.fixed_memory.load(Ordering::Relaxed));
        counters.runtime_memory.store(grown, Ordering::Relaxed);
        add(&counters.passes, 1);
        for (counter, count) in [
            (&counters.parks, parks),
            (&counters.doorbells_rung, doorbells),
            (&counters.net_input_bytes, input_bytes),
            (&counters.net_output_bytes, output_bytes),
        ] {
            if count > 0 {
                add(counter, count);
            }
        }
    }

    fn counters(&self) -> &CoreCounters {
        &self.process.shared.cores[self.shard]
    }
}

/// Adds to a counter that only this core writes, which needs no locked instruction.
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

fn conn_of(key: Key) -> ConnId {
    ConnId { index: key.index, generation: key.generation }
}

fn key_of(conn: ConnId) -> Key {
    Key { index: conn.index, generation: conn.generation }
}
