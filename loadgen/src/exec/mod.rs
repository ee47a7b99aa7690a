//! Making load: threads, rings, connections, schedules. The only module that does I/O while a run
//! is measured.
//!
//! | file | what it does |
//! |---|---|
//! | `coordinator` | starts the threads, gives their signals, watches, adds up |
//! | `worker` | one thread: its ring, its connections, its loop |
//! | `load` | one thread's load without I/O: which request goes where when, what replies mean |
//! | `schedule`, `budget`, `loads` | when requests are due, how many, on which connection |
//! | `pending`, `margin` | a request in flight; how much too late timers wake |
//! | `cluster` | which node owns which slot |
//! | [`client`], [`value`] | set-up and questions, outside the measurement |
//! | `clock`, `interrupt` | time, processor time; Ctrl-C |

mod budget;
pub mod client;
mod clock;
pub mod cluster;
mod coordinator;
pub mod interrupt;
mod load;
mod loads;
mod margin;
mod pending;
pub mod schedule;
#[cfg(test)]
mod tests;
pub mod value;
mod worker;

use std::time::{Duration, SystemTime};

use crate::failure::Failure;
use crate::plan::Plan;
use crate::stats::Recording;

/// What has happened so far, for the live line; about once a second.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub elapsed: Duration,
    /// From 0 to 1, by requests or by time, whichever is nearer to the end.
    pub done: f64,
    pub warming_up: bool,
    /// Since the start of the measurement.
    pub sent: u64,
    pub answered: u64,
    pub errors: u64,
    pub hits: u64,
    pub misses: u64,
    /// Of the last second: answers per second, mean and percentiles of response times in
    /// nanoseconds, and how far behind schedule requests were sent at most.
    pub rate: f64,
    pub mean_ns: f64,
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub p999_ns: u64,
    pub max_ns: u64,
    pub lag_max_ns: u64,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub recording: Recording,
    /// The start of the measurement, after preloading and warming up.
    pub started: SystemTime,
    /// Of the measurement.
    pub elapsed: Duration,
    /// How busy each thread was, from 0 to 1: its processor time (CLOCK_THREAD_CPUTIME_ID) over its
    /// elapsed time, without `spinning`.
    pub busy: Vec<f64>,
    /// The share of its time that each thread was on a processor, found nothing to do and did not
    /// sleep: so an open loop awaits due moments precisely. It would be free for more requests.
    pub spinning: Vec<f64>,
    /// Processor time of the load threads in the measurement, without spinning.
    pub cpu: Duration,
    /// What the server itself counted (INFO total_commands_processed), ours alone if nobody else
    /// used it; `None` where it could not be asked.
    pub server_commands: Option<u64>,
    /// Requests of the measurement that were sent and not answered: the wait for outstanding replies
    /// after the end is bounded, and a server may die.
    pub unanswered: u64,
    /// Requests that were due within an open loop's measurement and that no connection ever had room
    /// for. Their response times would have been the longest.
    pub unsent: u64,
    /// MOVED answers, which count as errors too.
    pub moved: u64,
    /// Misses that were not filled because too many waited already.
    pub fills_dropped: u64,
    /// Answers that were wrong, torn or stale, with `verify`.
    pub wrong: u64,
    pub wrong_examples: Vec<String>,
    /// Ended by Ctrl-C, or by a server that died: then what it was.
    pub interrupted: bool,
    pub ended_by: Option<Failure>,
}

/// Runs the plan, calling `observe` about once a second.
///
/// # Errors
/// When nothing could be measured: unreachable, DENIED, wrong password, an error reply to the first
/// of the requests. A server that dies in the middle is not an error: see [`Outcome::ended_by`].
pub fn run(plan: &Plan, observe: &mut dyn FnMut(&Progress)) -> Result<Outcome, Failure> {
    coordinator::run(plan, Duration::ZERO, observe)
}

/// Like [`run`], by a client that wastes `handicap` of processor time on each reply. With it the
/// self-test proves that a slow client is found.
///
/// # Errors
/// Those of [`run`].
pub fn run_slowed(plan: &Plan, handicap: Duration) -> Result<Outcome, Failure> {
    coordinator::run(plan, handicap, &mut |_| {})
}
