//! A run from beginning to end: threads, their signals, the live line, the sum.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;

use super::budget::Budget;
use super::clock::{Clock, nanoseconds};
use super::cluster::{Router, SlotMap};
use super::interrupt::Watch;
use super::load::Tally;
use super::pending::COMMANDS_MAX;
use super::worker::{self, Event, Gate, GaveUp, Share, Signal, ThreadOutcome};
use super::{Outcome, Progress};
use crate::failure::Failure;
use crate::plan::{Endpoint, Pacing, Plan};
use crate::server::CommandCount;
use crate::stats::Interval;
use crate::workload::Generator;

/// How often Ctrl-C and the time are looked at.
const TICK: Duration = Duration::from_millis(20);
/// After a second has ended, its threads have this long to tell what was in it.
const TELLING_NS: i64 = 60_000_000;
/// Between the signal and the first request, so that all threads are awake.
const LEAD: Duration = Duration::from_millis(2);
/// File descriptors beside those of the connections.
const DESCRIPTORS_BESIDES: u64 = 64;

/// See [`super::run`].
pub fn run(
    plan: &Plan,
    handicap: Duration,
    observe: &mut dyn FnMut(&Progress),
) -> Result<Outcome, Failure> {
    let plan = &sensible(plan)?;
    let watch = Watch::start();
    allow_descriptors(plan.clients as u64 + DESCRIPTORS_BESIDES);
    let threads = plan.threads.count;
    let generators: Vec<Generator> = (0..threads)
        .map(|thread| {
            let generator = Generator::new(&plan.workload, plan.seed, thread, threads)?;
            if plan.verify { generator.verifying(&plan.workload) } else { Ok(generator) }
        })
        .collect::<Result<_, _>>()?;
    let map = if plan.target.cluster { Some(SlotMap::ask(&plan.target)?) } else { None };
    let nodes = map.as_ref().map_or(&plan.target.endpoints, |map| &map.nodes).clone();
    check_nodes(plan, &nodes)?;
    let router = map.map(Router::new);
    let share = Share {
        plan,
        nodes: &nodes,
        router: router.as_ref(),
        budget: Budget::new(plan.stop.requests, threads),
        handicap,
        gate: Gate::new(),
        stop: AtomicBool::new(false),
        set_up_commands: AtomicU64::new(0),
    };
    let (sender, events) = channel();
    std::thread::scope(|scope| {
        for (thread, generator) in generators.into_iter().enumerate() {
            let (share, sender) = (&share, sender.clone());
            let spawned = std::thread::Builder::new()
                .name(format!("load-{thread}"))
                .spawn_scoped(scope, move || worker::run(share, thread, generator, &sender));
            if let Err(error) = spawned {
                share.gate.give(Signal::GiveUp);
                return Err(Failure::run(format!("cannot start {threads} threads ({error})")));
            }
        }
        drop(sender);
        let outcome = Coordinator::new(&share, &watch, &events, observe).run();
        // Whatever happened: nobody waits for a signal any more.
        share.stop.store(true, Ordering::Relaxed);
        share.gate.give(Signal::GiveUp);
        outcome
    })
}

/// The plan with as many threads as there is work for.
fn sensible(plan: &Plan) -> Result<Plan, Failure> {
    let mut plan = plan.clone();
    if plan.clients == 0 || plan.pipeline == 0 || plan.threads.count == 0 {
        return Err(Failure::usage("clients, pipeline and threads must be at least 1"));
    }
    if plan.workload.commands.len() >= COMMANDS_MAX {
        return Err(Failure::usage(format!("a workload has at most {COMMANDS_MAX} commands")));
    }
    if plan.target.endpoints.is_empty() {
        return Err(Failure::usage("there is no server to send to"));
    }
    if plan.stop.requests.is_none() && plan.stop.duration.is_none() {
        return Err(Failure::usage("say when to stop: a number of requests or a duration"));
    }
    if let Pacing::Open { rate_per_second, .. } = plan.pacing {
        if !(rate_per_second > 0.0 && rate_per_second.is_finite()) {
            return Err(Failure::usage("the rate must be above 0"));
        }
        if !plan.keep_alive {
            return Err(Failure::usage("an open loop needs connections that last (keep-alive)"));
        }
    }
    if plan.target.cluster && !plan.keep_alive {
        return Err(Failure::usage("in a cluster connections have to last (keep-alive)"));
    }
    plan.threads.count = plan.threads.count.min(plan.clients);
    Ok(plan)
}

/// Each thread needs a connection to each node of a cluster.
fn check_nodes(plan: &Plan, nodes: &[Endpoint]) -> Result<(), Failure> {
    let needed = nodes.len() * plan.threads.count;
    if plan.target.cluster && plan.clients < needed {
        return Err(Failure::usage(format!(
            "{} clients are too few for {} threads and {} cluster nodes; use at least {needed}, or \
             fewer threads",
            plan.clients,
            plan.threads.count,
            nodes.len()
        )));
    }
    Ok(())
}

/// Raises the limit of open files as far as allowed; what is still missing shows on connecting.
fn allow_descriptors(wanted: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes, then reads, one `rlimit`, which lives during the calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && limit.rlim_cur < wanted {
            limit.rlim_cur = wanted.min(limit.rlim_max);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

struct Coordinator<'a> {
    share: &'a Share<'a>,
    watch: &'a Watch,
    events: &'a Receiver<Event>,
    observe: &'a mut dyn FnMut(&Progress),
    interrupted: bool,
    outcomes: Vec<ThreadOutcome>,
    /// Threads that have ended, with or without an outcome.
    ended: usize,
    failure: Option<Failure>,
    seconds: BTreeMap<u64, Interval>,
    progress: Progress,
    told_ns: i64,
}

impl<'a> Coordinator<'a> {
    fn new(
        share: &'a Share<'a>,
        watch: &'a Watch,
        events: &'a Receiver<Event>,
        observe: &'a mut dyn FnMut(&Progress),
    ) -> Self {
        Coordinator {
            share,
            watch,
            events,
            observe,
            interrupted: false,
            outcomes: Vec::new(),
            ended: 0,
            failure: None,
            seconds: BTreeMap::new(),
            progress: Progress::default(),
            told_ns: 0,
        }
    }

    fn run(mut self) -> Result<Outcome, Failure> {
        let plan = self.share.plan;
        self.await_all(|event| matches!(event, Event::Connected))?;
        if plan.workload.preload {
            self.share.gate.give(Signal::Preload);
            self.await_all(|event| matches!(event, Event::Preloaded))?;
        }
        let before = CommandCount::begin(self.share.nodes, &plan.target);
        let clock = Clock::starting_in(plan.warmup + LEAD);
        let started = SystemTime::now() + plan.warmup + LEAD;
        self.share.gate.give(Signal::Load(clock));
        self.told_ns = clock.now_ns();
        while self.ended < plan.threads.count {
            match self.events.recv_timeout(TICK) {
                Ok(event) => self.see(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.look_for_interrupt();
            if let Some(router) = self.share.router {
                router.refresh(&plan.target);
            }
            self.tell(clock.now_ns());
        }
        let overhead = self.share.set_up_commands.load(Ordering::Relaxed);
        self.outcome(started, before, overhead)
    }

    /// Waits until every thread has said what is awaited.
    fn await_all(&mut self, awaited: impl Fn(&Event) -> bool) -> Result<(), Failure> {
        let mut missing = self.share.plan.threads.count;
        let began = Instant::now();
        while missing > 0 {
            match self.events.recv_timeout(TICK) {
                Ok(event) if awaited(&event) => missing -= 1,
                Ok(event) => self.see(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.failure = Some(threads_died()),
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            self.look_for_interrupt();
            if self.interrupted {
                let seconds = began.elapsed().as_secs_f64();
                return Err(Failure::run(format!(
                    "interrupted after {seconds:.1} s of preparation; nothing was measured"
                )));
            }
        }
        Ok(())
    }

    fn look_for_interrupt(&mut self) {
        if !self.interrupted && self.watch.interrupted() {
            self.interrupted = true;
            self.share.stop.store(true, Ordering::Relaxed);
        }
    }

    fn see(&mut self, event: Event) {
        match event {
            Event::Connected | Event::Preloaded => {}
            Event::Second(interval) => {
                let second = interval.second;
                self.seconds
                    .entry(second)
                    .and_modify(|present| present.merge(&interval))
                    .or_insert(interval);
            }
            Event::Ended(result) => {
                self.ended += 1;
                match *result {
                    Ok(mut outcome) => {
                        let ended_by = outcome.ended_by.take();
                        self.failure = self.failure.take().or(ended_by);
                        self.outcomes.push(outcome);
                    }
                    Err(gave_up) => self.give_up(gave_up),
                }
            }
        }
    }

    fn give_up(&mut self, gave_up: GaveUp) {
        self.share.stop.store(true, Ordering::Relaxed);
        self.failure = self.failure.take().or(gave_up);
    }

    // The live line.

    /// Tells the second that ended, or that the warm-up goes on.
    fn tell(&mut self, now_ns: i64) {
        if now_ns < 0 {
            if now_ns - self.told_ns >= 1_000_000_000 {
                self.told_ns = now_ns;
                let warming_up = Progress { warming_up: true, ..Progress::default() };
                (self.observe)(&warming_up);
            }
            return;
        }
        let next = self.told_ns.max(0) / 1_000_000_000 + 1;
        if now_ns < next * 1_000_000_000 + TELLING_NS {
            return;
        }
        self.told_ns = next * 1_000_000_000;
        let second = (next - 1).unsigned_abs();
        // What was told late belongs to the sums all the same.
        let later = self.seconds.split_off(&next.unsigned_abs());
        let mut told = std::mem::replace(&mut self.seconds, later);
        for counted in told.values() {
            self.progress.sent += counted.sent;
            self.progress.answered += counted.answered;
            self.progress.errors += counted.errors;
            self.progress.hits += counted.hits;
            self.progress.misses += counted.misses;
        }
        let interval = told.remove(&second).unwrap_or_else(|| Interval::new(second));
        self.fill_progress(&interval, now_ns);
        (self.observe)(&self.progress);
    }

    fn fill_progress(&mut self, interval: &Interval, now_ns: i64) {
        let stop = self.share.plan.stop;
        let progress = &mut self.progress;
        let response: Histogram<u64> = interval.response.unpack();
        let percentile = |p| if response.is_empty() { 0 } else { response.value_at_quantile(p) };
        let by_time = stop
            .duration
            .map_or(0.0, |duration| now_ns as f64 / nanoseconds(duration).max(1) as f64);
        let by_requests =
            stop.requests.map_or(0.0, |requests| progress.sent as f64 / requests.max(1) as f64);
        progress.elapsed = Duration::from_nanos(now_ns.unsigned_abs());
        progress.done = by_time.max(by_requests).min(1.0);
        progress.rate = interval.answered as f64;
        progress.mean_ns = response.mean();
        progress.p50_ns = percentile(0.5);
        progress.p99_ns = percentile(0.99);
        progress.p999_ns = percentile(0.999);
        progress.max_ns = response.max();
        progress.lag_max_ns = interval.lag_max_ns;
    }

    // The sum.

    fn outcome(
        self,
        started: SystemTime,
        before: Option<CommandCount>,
        overhead: u64,
    ) -> Result<Outcome, Failure> {
        let mut busy = Vec::new();
        let mut spinning = Vec::new();
        let mut cpu = Duration::ZERO;
        let mut elapsed = Duration::ZERO;
        let mut tally = Tally::default();
        let mut sum = None;
        for outcome in self.outcomes {
            let working = outcome.cpu.saturating_sub(outcome.spun);
            let seconds = outcome.elapsed.as_secs_f64();
            let share =
                |time: Duration| if seconds > 0.0 { time.as_secs_f64() / seconds } else { 0.0 };
            busy.push(share(working));
            spinning.push(share(outcome.spun));
            cpu += working;
            elapsed = elapsed.max(outcome.elapsed);
            tally.add(outcome.tally);
            match &mut sum {
                None => sum = Some(outcome.recording),
                Some(sum) => sum.merge(&outcome.recording),
            }
        }
        let failure = self.failure;
        let Some(recording) = sum.filter(|sum| failure.is_none() || sum.received > 0) else {
            return Err(failure.unwrap_or_else(threads_died));
        };
        let server_commands =
            before.and_then(|before| before.end(tally.unmeasured.saturating_add(overhead)));
        Ok(Outcome {
            recording,
            started,
            elapsed,
            busy,
            spinning,
            cpu,
            server_commands,
            unanswered: tally.unanswered,
            unsent: tally.unsent,
            moved: tally.moved,
            fills_dropped: tally.fills_dropped,
            wrong: tally.wrong,
            wrong_examples: tally.wrong_examples,
            interrupted: self.interrupted,
            ended_by: failure,
        })
    }
}

fn threads_died() -> Failure {
    Failure::run("a thread of loadgen has ended unexpectedly: this is a defect of loadgen")
}
