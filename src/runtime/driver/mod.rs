//! The driver: one thread's loop, between its ring and the engines of the cores that it runs.
//!
//! | file | what it does |
//! |---|---|
//! | `accept` | new connections: asked for, refused, kept or handed to another core |
//! | `events` | what the ring and the thread's inbox report, told to the engines |
//! | `cores` | a pass of the cores: their inboxes, and what they send each other |
//! | `load` | how many threads the load needs |
//! | `poll` | waiting for work, awake for a moment and then asleep |
//! | `moves` | connections that go on at another core |
//! | `hand_over` | cores given to other threads and taken from them |
//! | `outgoing` | what an engine wants done: messages, output, closes, effects |
//! | `drain` | the end: what has arrived is answered before the thread stops |
//!
//! # Threads and cores
//!
//! There are as many threads as cores, and each has a core of its own, whose connections are those of
//! its ring. But a thread can run other cores too: while the load is light the first thread runs all
//! of them and the others sleep, since to wake a sleeper costs more than most requests. A core that
//! is not run by its own thread has no connections, only its shard; it talks to the others by the
//! same messages in the same inboxes as always, so that nothing but the time they take differs.
//!
//! # A pass
//!
//! Enter the ring (the only system call: it submits what the last pass queued and, if there is
//! nothing to do, sleeps); read the clock; tell the engines what completed and what the inboxes hold;
//! let those that were told something end the pass; deliver their messages; go on while these are for
//! cores of this thread; queue one send for each connection with output.
//!
//! # Asleep
//!
//! A thread sleeps in its own ring, not in its executor's: that is one system call instead of three
//! or four, and at ordinary loads every few requests end in sleep. It may, because the driver is
//! the only task of its executor. Everything else runs on the control executor.

mod accept;
mod cores;
mod drain;
mod events;
mod hand_over;
mod load;
mod moves;
mod outgoing;
mod poll;

pub use load::SPREAD_ALL;

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Clock;
use super::control::ControlHandle;
use super::hosted::Hosted;
use super::inbox::{Inbox, Mail, Post};
use super::linger::Deadlines;
use super::listener::Sockets;
use super::plan::Plan;
use super::ring::{Key, Options, Ring};
use crate::engine::{ConnId, CoreCounters, Engine, Now, ShardId, Shared};

/// What the cores of a process share besides what their engines share.
#[derive(Debug)]
pub struct Process {
    pub shared: Arc<Shared>,
    pub post: Arc<Post>,
    pub control: ControlHandle,
    pub drain: drain::Quiet,
    pub plan: Plan,
    /// How busy each thread has been.
    clocks: Vec<load::Clock>,
    next_client_id: AtomicU64,
}

impl Process {
    pub fn new(
        shared: Arc<Shared>,
        post: Arc<Post>,
        control: ControlHandle,
        plan: Plan,
    ) -> Process {
        let drain = drain::Quiet::new(post.cores());
        let clocks = (0..post.cores()).map(|_| load::Clock::default()).collect();
        let next_client_id = AtomicU64::new(1);
        Process { shared, post, control, drain, plan, clocks, next_client_id }
    }

    fn client_id(&self) -> u64 {
        self.next_client_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Connections that a core has, or is about to get.
    fn connections(&self, core: ShardId) -> usize {
        self.shared.cores[core].connections.load(Ordering::Relaxed)
    }

    /// Of the cores of active threads, the one with the fewest connections that may have another.
    fn least_connected(&self, may_have: impl Fn(ShardId) -> bool) -> Option<ShardId> {
        let cores = (0..self.shared.active_threads()).filter(|core| may_have(*core));
        cores.min_by_key(|core| self.connections(*core))
    }
}

/// Of the cores that a thread runs, its own.
fn own_among(hosted: &mut [Hosted], thread: ShardId) -> Option<&mut Hosted> {
    hosted.first_mut().filter(|hosted| hosted.core == thread)
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

/// One thread's loop. Runs until the process is told to stop.
pub struct Driver {
    /// The number of this thread, and of its own core.
    thread: ShardId,
    /// The cores that this thread runs; its own is the first, if it is there.
    hosted: Vec<Hosted>,
    /// The one of them that has the shards of all.
    holder: usize,
    ring: Ring,
    /// What is for the thread itself.
    inbox: Inbox,
    process: Arc<Process>,
    clock: Clock,
    now: Now,
    /// Of all cores.
    listeners: Arc<Sockets>,
    /// Listeners that failed to accept, and when to try again.
    accept_again: Vec<(u32, u64)>,
    roles: Vec<Role>,
    /// Connections that the engine is to be told are closed, in the next pass.
    gone: Vec<ConnId>,
    deadlines: Deadlines,
    /// Connections whose peers have ended in this pass; a deadline follows if they are owed more.
    ended: Vec<Key>,
    refusals: accept::RefusalLog,
    /// Whether connections are accepted at all yet.
    accepting: bool,
    pauses: poll::Pauses,
    moves: moves::Moves,
    governor: load::Governor,
    /// When the first thread last looked at the load.
    looked_at_us: u64,
    /// What INFO was last told of that.
    last_told: (usize, &'static str),
    /// How many threads were active when the cores were last arranged.
    arranged_for: usize,
    /// As `arranged_for`, when that began.
    planned_for: usize,
    /// When the ring's timer fires, if it is set.
    timer_at_us: Option<u64>,
    /// Cores that parcels were put for in this pass.
    to_wake: Vec<ShardId>,
    stop: Option<drain::Drain>,
    tally: Tally,
}

/// What a pass adds to the thread's counters.
#[derive(Debug, Default)]
struct Tally {
    /// Taken from the inboxes, or put into others.
    parcels: u64,
    parks: u64,
    /// How often work was looked for before a sleep, and how often in vain.
    polls: u64,
    vain_polls: u64,
    doorbells: u64,
    input_bytes: u64,
    output_bytes: u64,
}

/// The thread that always runs its core.
const FIRST: ShardId = 0;
/// A timer that would fire by so much too late is set again, an earlier one is left alone.
const TIMER_SLACK_US: u64 = 1_000;

impl Driver {
    /// # Errors
    /// The ring cannot be set up.
    pub fn new(
        thread: ShardId,
        engine: Engine,
        mail: Mail,
        listeners: Arc<Sockets>,
        clock: Clock,
        process: Arc<Process>,
        options: Options,
    ) -> io::Result<Driver> {
        let mut ring = Ring::new(options)?;
        ring.watch(&mail.thread.bell().fd());
        process.post.set_ring(thread, Some(ring.as_raw_fd()));
        process.clocks[thread].is_of_this_thread();
        process.shared.cores[thread].thread.store(thread, Ordering::Relaxed);
        process.shared.cores[thread].fixed_memory.store(ring.memory(), Ordering::Relaxed);
        for listener in listeners.all() {
            ring.add_listener(&listener.socket);
        }
        Ok(Driver {
            thread,
            hosted: vec![Hosted::new(thread, engine, mail.core)],
            holder: 0,
            ring,
            inbox: mail.thread,
            clock,
            now: Now::default(),
            listeners,
            accept_again: Vec::new(),
            roles: Vec::new(),
            gone: Vec::new(),
            deadlines: Deadlines::default(),
            ended: Vec::new(),
            refusals: accept::RefusalLog::default(),
            accepting: false,
            pauses: poll::Pauses::default(),
            moves: moves::Moves::default(),
            governor: load::Governor::new(process.plan.auto_max()),
            looked_at_us: 0,
            last_told: (0, ""),
            arranged_for: 0,
            planned_for: 0,
            timer_at_us: None,
            to_wake: Vec::new(),
            stop: None,
            tally: Tally::default(),
            process,
        })
    }

    /// Serves until a parcel says to stop and what had arrived is answered.
    ///
    /// # Errors
    /// The ring cannot be entered any more; the thread cannot go on.
    pub fn run(mut self) -> io::Result<()> {
        let mut idle = false;
        loop {
            match idle {
                true => self.wait_for_work()?,
                false => self.ring.enter(false)?,
            }
            self.now = self.clock.now();
            self.take_events();
            self.run_cores();
            self.look_at_load();
            self.rearrange();
            self.move_connections();
            if self.stop.is_some() && self.drained() {
                break;
            }
            self.ring.end_pass();
            let tick_at_us = self.tick_at_us();
            self.set_timer(tick_at_us);
            self.publish();
            // Whatever is still to be told to an engine must not wait for something to happen.
            idle = self.gone.is_empty()
                && self.hosted.iter().all(|hosted| hosted.outbox.is_empty())
                && tick_at_us.is_none_or(|at| at > self.now.monotonic_us);
        }
        self.process.post.set_ring(self.thread, None);
        self.say_goodbye();
        Ok(())
    }

    /// Announces that this thread is about to sleep; false if it must not.
    fn park(&self) -> bool {
        let mut inboxes = self.inboxes();
        if inboxes.all(Inbox::park) {
            return true;
        }
        self.unpark();
        false
    }

    fn unpark(&self) {
        self.inboxes().for_each(Inbox::unpark);
    }

    /// All that this thread takes from.
    fn inboxes(&self) -> impl Iterator<Item = &Inbox> {
        self.hosted.iter().map(|hosted| &hosted.inbox).chain([&self.inbox])
    }

    /// The core whose connections this ring has; nobody's while another thread runs it.
    fn own(&mut self) -> Option<&mut Hosted> {
        own_among(&mut self.hosted, self.thread)
    }

    /// The core at this place, with the shards of all: it can be told something.
    #[inline]
    fn turn_to(&mut self, at: usize) -> &mut Hosted {
        if self.holder != at {
            let shards = self.hosted[self.holder].engine.take_shards();
            self.hosted[at].engine.give_shards(shards);
            self.holder = at;
        }
        &mut self.hosted[at]
    }

    fn tick_at_us(&self) -> Option<u64> {
        self.hosted.iter().filter_map(Hosted::tick_at_us).min()
    }

    /// Sets the ring's timer to what is wanted first. A tick that is due comes in the next pass.
    fn set_timer(&mut self, tick_at_us: Option<u64>) {
        let now_us = self.now.monotonic_us;
        let tick = tick_at_us.filter(|at| *at > now_us);
        let stop = self.stop.as_ref().map(|drain| drain.next_us(now_us));
        let accept = self.accept_again.iter().map(|(_, at)| *at).min();
        let (look, deadline) = (self.looks_again_us(), self.deadlines.next_us());
        let at = [tick, stop, accept, deadline, look, self.moves.next_us()];
        let wanted = at.into_iter().flatten().min();
        let Some(wanted) = wanted else { return };
        if self.timer_at_us.is_none_or(|at| wanted.saturating_add(TIMER_SLACK_US) < at) {
            let delay = wanted.saturating_sub(now_us).max(1);
            self.ring.wake_in(Duration::from_micros(delay));
            self.timer_at_us = Some(now_us + delay);
        }
    }

    /// Adds what this pass did to the counters that other threads may read.
    fn publish(&mut self) {
        let Tally { parks, polls, vain_polls, doorbells, input_bytes, output_bytes, .. } =
            std::mem::take(&mut self.tally);
        let counters = self.counters();
        let grown =
            self.ring.memory().saturating_sub(counters.fixed_memory.load(Ordering::Relaxed));
        counters.runtime_memory.store(grown, Ordering::Relaxed);
        add(&counters.passes, 1);
        for (counter, count) in [
            (&counters.parks, parks),
            (&counters.polls, polls),
            (&counters.vain_polls, vain_polls),
            (&counters.doorbells_rung, doorbells),
            (&counters.net_input_bytes, input_bytes),
            (&counters.net_output_bytes, output_bytes),
        ] {
            if count > 0 {
                add(counter, count);
            }
        }
    }

    /// Of this thread's own core: what is counted of a ring is counted there, whoever runs the core.
    fn counters(&self) -> &CoreCounters {
        &self.process.shared.cores[self.thread]
    }
}

/// Adds to a counter that only this thread writes, which needs no locked instruction.
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

fn conn_of(key: Key) -> ConnId {
    ConnId { index: key.index, generation: key.generation }
}

fn key_of(conn: ConnId) -> Key {
    Key { index: conn.index, generation: conn.generation }
}
