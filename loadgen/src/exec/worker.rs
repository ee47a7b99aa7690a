//! One thread that makes load: its ring, its connections, and the loop between them and its
//! [`Load`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use ringwell::runtime::ring::{Completion, Key, Options, Report, Ring};

use super::budget::{Allowance, Budget};
use super::client::{Client, address};
use super::clock::{Clock, nanoseconds, thread_cpu};
use super::cluster::Router;
use super::load::{Load, Tally, Wake};
use super::margin::Margin;
use super::schedule::Schedule;
use crate::failure::Failure;
use crate::plan::{Endpoint, Pacing, Plan};
use crate::stats::{Interval, Recording};
use crate::workload::Generator;

/// How long outstanding replies are awaited after the end.
pub const DRAIN: Duration = Duration::from_secs(2);
/// A thread looks at the time, and at whether it should stop, at least this often.
const GLANCE_NS: i64 = 100_000_000;
/// While preloading, without any reply for this long there is no server any more.
const PRELOAD_STALL: Duration = Duration::from_secs(10);

/// What the threads of a run share.
pub struct Share<'a> {
    pub plan: &'a Plan,
    /// Where connections go: the plan's endpoints, or a cluster's nodes.
    pub nodes: &'a [Endpoint],
    pub router: Option<&'a Router>,
    pub budget: Budget,
    /// Processor time wasted on each reply: see [`super::run_slowed`].
    pub handicap: Duration,
    pub gate: Gate,
    /// The run is to end now.
    pub stop: AtomicBool,
    /// Commands for making connections during the load, which the server counts too.
    pub set_up_commands: AtomicU64,
}

/// What threads wait for, one after the other.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    Wait,
    Preload,
    Load(Clock),
    GiveUp,
}

pub struct Gate {
    signal: Mutex<Signal>,
    changed: Condvar,
}

impl Gate {
    pub fn new() -> Gate {
        Gate { signal: Mutex::new(Signal::Wait), changed: Condvar::new() }
    }

    pub fn give(&self, signal: Signal) {
        *self.signal.lock().unwrap_or_else(PoisonError::into_inner) = signal;
        self.changed.notify_all();
    }

    /// Waits for a signal that `wanted` takes; `None` when the run is given up.
    fn wait<T>(&self, wanted: impl Fn(Signal) -> Option<T>) -> Option<T> {
        let mut signal = self.signal.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if matches!(*signal, Signal::GiveUp) {
                return None;
            }
            if let Some(it) = wanted(*signal) {
                return Some(it);
            }
            signal = self.changed.wait(signal).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What a thread tells the coordinator.
pub enum Event {
    Connected,
    Preloaded,
    /// A second of the measurement has ended.
    Second(Interval),
    Ended(Box<Result<ThreadOutcome, GaveUp>>),
}

/// Why a thread has nothing to bring home: a failure of its own, or because of another's.
pub type GaveUp = Option<Failure>;

/// What a thread brings home.
pub struct ThreadOutcome {
    pub recording: Recording,
    pub tally: Tally,
    /// Processor time of the measurement, `spun` included.
    pub cpu: Duration,
    /// Of it, what passes took that had nothing to do and did not sleep, as something is due soon.
    pub spun: Duration,
    /// From the start of the measurement to its end on this thread.
    pub elapsed: Duration,
    pub ended_by: Option<Failure>,
}

/// The body of thread `thread`. Everything it has to say it says as events.
pub fn run(share: &Share<'_>, thread: usize, generator: Generator, events: &Sender<Event>) {
    let result = Worker::new(share, thread, generator).map_err(Some).and_then(|mut worker| {
        let _ = events.send(Event::Connected);
        if share.plan.workload.preload {
            let preload = share.gate.wait(|signal| matches!(signal, Signal::Preload).then_some(()));
            preload.ok_or(None)?;
            worker.preload()?;
            let _ = events.send(Event::Preloaded);
        }
        let clock = share.gate.wait(|signal| match signal {
            Signal::Load(clock) => Some(clock),
            _ => None,
        });
        worker.load(clock.ok_or(None)?, events).map_err(Some)
    });
    // Nobody listens any more after another thread's failure.
    let _ = events.send(Event::Ended(Box::new(result)));
}

struct Worker<'a> {
    share: &'a Share<'a>,
    thread: usize,
    clock: Clock,
    ring: Ring,
    load: Load<'a>,
    /// The connections' keys on the ring and their endpoints, and the way back from a ring's slot.
    keys: Vec<(Key, usize)>,
    by_slot: Vec<usize>,
    timer_at_ns: Option<i64>,
    margin: Margin,
    ended_by: Option<Failure>,
}

impl<'a> Worker<'a> {
    fn new(
        share: &'a Share<'a>,
        thread: usize,
        generator: Generator,
    ) -> Result<Worker<'a>, Failure> {
        let plan = share.plan;
        if let Some(cpu) = plan.threads.cpus.get(thread) {
            pin(*cpu)?;
        }
        let ring = Ring::new(Options::default()).map_err(|error| {
            Failure::run(format!(
                "io_uring is not to be had here ({error}); loadgen needs Linux 6.1 or later and a \
                 sandbox that permits io_uring"
            ))
        })?;
        let count = connections_of(plan, thread);
        let groups: Vec<usize> = (0..count)
            .map(|index| share.router.map_or(0, |_| (index + thread) % share.nodes.len()))
            .collect();
        let allowance = Allowance::new(&share.budget);
        let mut worker = Worker {
            share,
            thread,
            clock: Clock::starting_in(Duration::ZERO),
            ring,
            load: Load::new(plan, generator, allowance, share.router, &groups),
            keys: Vec::with_capacity(count),
            by_slot: Vec::new(),
            timer_at_ns: None,
            margin: Margin::new(),
            ended_by: None,
        };
        let node = |index| (index + thread) % share.nodes.len();
        let begin = |index| Client::begin_set_up(&share.nodes[node(index)], &plan.target);
        let clients: Vec<Client> = (0..count).map(begin).collect::<Result<_, _>>()?;
        for (index, mut client) in clients.into_iter().enumerate() {
            client.end_set_up(&plan.target)?;
            let (key, _) = worker.adopt(index, client)?;
            worker.keys.push((key, node(index)));
        }
        Ok(worker)
    }

    /// A connection that is set up and receives; also how many commands that took.
    fn connect(&mut self, index: usize, node: usize) -> Result<(Key, u64), Failure> {
        let client = Client::set_up(&self.share.nodes[node], &self.share.plan.target)?;
        self.adopt(index, client)
    }

    fn adopt(&mut self, index: usize, client: Client) -> Result<(Key, u64), Failure> {
        let commands = client.commands;
        let socket = client.into_socket()?;
        let key = self.ring.insert(socket);
        let key = key.ok_or_else(|| Failure::run("too many connections; use fewer clients"))?;
        self.ring.receive(key);
        let slot = key.index as usize;
        if self.by_slot.len() <= slot {
            self.by_slot.resize(slot + 1, usize::MAX);
        }
        self.by_slot[slot] = index;
        Ok((key, commands))
    }

    fn preload(&mut self) -> Result<(), GaveUp> {
        self.load.begin_preload();
        let mut last_ns = self.clock.now_ns();
        loop {
            let now_ns = self.clock.now_ns();
            self.load.make(now_ns);
            self.flush();
            if self.load.is_finished() {
                return Ok(());
            }
            self.sleep_until(now_ns, now_ns + GLANCE_NS).map_err(Some)?;
            if self.receive() == Seen::Replies {
                last_ns = now_ns;
            }
            if let Some(failure) = self.ended_by.take() {
                return Err(Some(failure));
            }
            if self.share.stop.load(Ordering::Relaxed) {
                return Err(None);
            }
            if now_ns - last_ns > nanoseconds(PRELOAD_STALL) {
                return Err(Some(Failure::run(format!(
                    "while preloading, the server has not answered for {} s; see its log",
                    PRELOAD_STALL.as_secs()
                ))));
            }
        }
    }

    /// The load proper, until its end, an interruption, or the server's end.
    fn load(mut self, clock: Clock, events: &Sender<Event>) -> Result<ThreadOutcome, Failure> {
        let plan = self.share.plan;
        self.clock = clock;
        self.timer_at_ns = None;
        let schedule = match plan.pacing {
            Pacing::Closed => None,
            Pacing::Open { rate_per_second, arrivals } => Some(Schedule::new(
                rate_per_second,
                arrivals,
                (self.thread, plan.threads.count),
                -nanoseconds(plan.warmup),
                plan.seed,
            )),
        };
        let end_ns = plan.stop.duration.map(nanoseconds);
        self.load.begin_load(schedule, end_ns);
        let end_ns = end_ns.unwrap_or(i64::MAX);
        let mut books = Books::default();
        let mut over_since_ns = None;
        let ended_ns = loop {
            let now_ns = self.clock.now_ns();
            books.look(now_ns, &mut self.load.recording, events);
            if self.share.stop.load(Ordering::Relaxed) && !self.load.over {
                self.load.cut_short(now_ns);
            }
            self.renew();
            let before = self.load.in_flight();
            self.load.make(now_ns);
            let is_idle = !self.flush() && self.load.in_flight() == before;
            if self.load.over || now_ns >= end_ns {
                let since_ns = *over_since_ns.get_or_insert(now_ns);
                if self.load.is_finished() || now_ns - since_ns > nanoseconds(DRAIN) {
                    break since_ns.min(end_ns);
                }
            }
            let until_ns = self.sleeps_until(now_ns);
            match is_idle && until_ns.is_none() && now_ns >= 0 {
                true => books.may_spin(),
                false => books.works(),
            }
            self.wait(now_ns, until_ns)?;
            match self.receive() {
                Seen::Nothing => books.found_nothing(),
                Seen::Replies | Seen::Other => books.works(),
            }
        };
        self.load.give_up();
        let ended_ns = ended_ns.max(self.load.tally.last_done_ns).max(0);
        let cpu = books.cpu();
        self.load.recording.finish();
        Ok(ThreadOutcome {
            recording: self.load.recording,
            tally: self.load.tally,
            cpu,
            spun: books.spun.min(cpu),
            elapsed: Duration::from_nanos(ended_ns.unsigned_abs()),
            ended_by: self.ended_by,
        })
    }

    fn end_by(&mut self, failure: Failure) {
        self.ended_by.get_or_insert(failure);
        self.share.stop.store(true, Ordering::Relaxed);
    }

    /// Until when this pass may sleep; `None` if something is due so soon that it may not.
    fn sleeps_until(&mut self, now_ns: i64) -> Option<i64> {
        let glance_ns = now_ns + GLANCE_NS;
        match self.load.wake(now_ns) {
            Wake::Due(due_ns) => {
                let until_ns = due_ns - self.margin.get_ns();
                (until_ns > now_ns).then_some(until_ns.min(glance_ns))
            }
            Wake::Replies => Some(glance_ns),
        }
    }

    /// Enters the ring; sleeps there until something completes or that moment has come.
    fn wait(&mut self, now_ns: i64, until_ns: Option<i64>) -> Result<(), Failure> {
        if let Some(until_ns) = until_ns {
            return self.sleep_until(now_ns, until_ns);
        }
        // The server, if it waits for this very processor, comes first.
        std::thread::yield_now();
        self.enter(false)
    }

    fn sleep_until(&mut self, now_ns: i64, until_ns: i64) -> Result<(), Failure> {
        // An earlier timer only means to look once more.
        if self.timer_at_ns.is_none_or(|at_ns| at_ns > until_ns) {
            self.timer_at_ns = Some(until_ns);
            self.ring.wake_in(Duration::from_nanos((until_ns - now_ns).max(1).unsigned_abs()));
        }
        self.enter(true)
    }

    fn enter(&mut self, wait: bool) -> Result<(), Failure> {
        let entered = self.ring.enter(wait);
        entered.map_err(|error| Failure::run(format!("io_uring fails ({error}); see dmesg")))
    }

    /// Sees everything that has completed.
    fn receive(&mut self) -> Seen {
        let mut seen = Seen::Nothing;
        while let Some(completion) = self.ring.next() {
            match completion {
                Completion::Received { key, chunk } => {
                    seen = Seen::Replies;
                    let now_ns = self.clock.now_ns();
                    let index = self.by_slot[key.index as usize];
                    let before = self.load.in_flight();
                    let result = self.load.received(index, self.ring.data(&chunk), now_ns);
                    self.ring.give_back(chunk);
                    self.dawdle(before.saturating_sub(self.load.in_flight()));
                    if let Err(failure) = result {
                        self.load.lost(index);
                        self.ring.close(key);
                        self.end_by(failure);
                    }
                }
                Completion::Ended { key, error } => self.lose(key, error),
                Completion::SendFailed { key, error } => self.lose(key, Some(error)),
                Completion::Timer => {
                    if let Some(at_ns) = self.timer_at_ns.take() {
                        self.margin.woke(self.clock.now_ns() - at_ns);
                    }
                    continue;
                }
                // Output that waited for it is still marked as dirty.
                Completion::Sent { .. } => {}
                // Never asked for.
                Completion::Readable { .. }
                | Completion::Accepted { .. }
                | Completion::AcceptFailed { .. }
                | Completion::Doorbell
                | Completion::NotRung { .. } => {}
            }
            seen = seen.max(Seen::Other);
        }
        self.ring.end_pass();
        seen
    }

    /// Wastes the handicap of so many replies.
    fn dawdle(&self, replies: usize) {
        if self.share.handicap.is_zero() {
            return;
        }
        let replies = u32::try_from(replies).unwrap_or(u32::MAX);
        let wasted = self.share.handicap.saturating_mul(replies);
        let since = thread_cpu();
        while thread_cpu().saturating_sub(since) < wasted {
            std::hint::spin_loop();
        }
    }

    /// The server has ended a connection: the end of the run, unless that is over anyway.
    fn lose(&mut self, key: Key, error: Option<std::io::Error>) {
        let index = self.by_slot[key.index as usize];
        let was_idle = self.load.connections[index].is_idle();
        let waiting = self.load.in_flight();
        self.load.lost(index);
        self.ring.close(key);
        if was_idle && self.load.over {
            return;
        }
        let address = address(&self.share.nodes[self.keys.get(index).map_or(0, |(_, node)| *node)]);
        let how = error.map_or_else(|| "closed".to_owned(), |error| error.to_string());
        self.end_by(Failure::run(format!(
            "{address} ended a connection ({how}) while {waiting} requests waited for answers; has \
             the server stopped, or disconnected its client? See its log"
        )));
    }

    /// Hands over the output of this pass: one send per connection, one moment for all. Whether
    /// there was any.
    fn flush(&mut self) -> bool {
        let mut now_ns = None;
        let mut at = 0;
        while let Some(&index) = self.load.dirty.get(at) {
            let (key, _) = self.keys[index];
            if self.load.connections[index].is_lost() {
                self.load.dirty.swap_remove(at);
            } else if self.ring.can_send(key) {
                self.load.dirty.swap_remove(at);
                self.load.sent(index, *now_ns.get_or_insert_with(|| self.clock.now_ns()));
                let spare = self.ring.spare_buffer();
                let output = std::mem::replace(&mut self.load.connections[index].output, spare);
                self.ring.send(key, output, Report::Whenever);
            } else {
                at += 1;
            }
        }
        now_ns.is_some()
    }

    /// Without keep-alive: makes spent connections anew. This blocks, as connecting counts into the
    /// response times of the requests that need it.
    fn renew(&mut self) {
        if self.load.over {
            return;
        }
        while let Some(index) = self.load.spent.pop() {
            let since_ns = self.clock.now_ns();
            let (old, node) = self.keys[index];
            self.ring.close(old);
            match self.connect(index, node) {
                Ok((key, commands)) => {
                    self.keys[index] = (key, node);
                    self.share.set_up_commands.fetch_add(commands, Ordering::Relaxed);
                    self.load.renewed(index, since_ns);
                }
                Err(failure) => {
                    self.load.lost(index);
                    self.end_by(failure);
                }
            }
        }
    }
}

/// The most notable thing that a pass has seen completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// The timer at most.
    Nothing,
    Other,
    Replies,
}

/// The seconds and the processor time of a measurement.
///
/// A pass is spinning if it does not sleep, sends nothing and sees nothing completed. Everything
/// else is work: making, submitting, receiving, decoding, recording, and waking up. Whether a pass
/// was one or the other is known at its end only, so the thread's clock, a system call, is read
/// before and after each pass that may turn out to be spinning, and by no other.
#[derive(Default)]
struct Books {
    /// Seconds before this one have been told.
    told: u64,
    cpu_at_start: Option<Duration>,
    spun: Duration,
    /// The processor time at the start of a pass that may turn out to be spinning.
    idle_since: Option<Duration>,
}

impl Books {
    fn look(&mut self, now_ns: i64, recording: &mut Recording, events: &Sender<Event>) {
        if now_ns < 0 {
            return;
        }
        self.cpu_at_start.get_or_insert_with(thread_cpu);
        let second = now_ns.unsigned_abs() / 1_000_000_000;
        if second > self.told {
            recording.advance(now_ns);
            for interval in recording.intervals.range(self.told..second) {
                let _ = events.send(Event::Second(interval.1.clone()));
            }
            self.told = second;
        }
    }

    /// This pass has sent nothing and is not going to sleep.
    fn may_spin(&mut self) {
        self.idle_since.get_or_insert_with(thread_cpu);
    }

    fn found_nothing(&mut self) {
        if let Some(since) = self.idle_since {
            let now = thread_cpu();
            self.spun += now.saturating_sub(since);
            self.idle_since = Some(now);
        }
    }

    fn works(&mut self) {
        self.idle_since = None;
    }

    fn cpu(&self) -> Duration {
        self.cpu_at_start.map_or(Duration::ZERO, |start| thread_cpu().saturating_sub(start))
    }
}

/// The connections of a thread: as equal parts as possible.
pub fn connections_of(plan: &Plan, thread: usize) -> usize {
    let threads = plan.threads.count;
    plan.clients / threads + usize::from(thread < plan.clients % threads)
}

fn pin(cpu: usize) -> Result<(), Failure> {
    match core_affinity::set_for_current(core_affinity::CoreId { id: cpu }) {
        true => Ok(()),
        false => Err(Failure::run(format!(
            "cannot run on processor {cpu}; choose among those that this process may use (taskset -p)"
        ))),
    }
}
