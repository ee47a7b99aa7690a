//! What one thread recorded, and how recordings of threads become one.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::{LONGEST_NS, SIGNIFICANT_DIGITS};

/// The three moments of a request, nanoseconds since the start of the measurement (which a warm-up
/// request may precede).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub intended_ns: i64,
    pub sent_ns: i64,
    pub done_ns: i64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Neither a hit nor a miss: a write, a PING.
    Done,
    Hit,
    Miss,
    /// The server answered with an error; see [`Recording::error_texts`].
    Error,
}

/// One command of the mix. `response.len()` is how many were answered.
#[derive(Clone, Debug)]
pub struct CommandRecord {
    pub title: String,
    pub hits: u64,
    pub misses: u64,
    pub errors: u64,
    /// Nanoseconds from the intended moment, and from the actual one, to the reply.
    pub response: Histogram<u64>,
    pub service: Histogram<u64>,
}

/// One second of a run.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Seconds since the start of the measurement.
    pub second: u64,
    pub sent: u64,
    pub answered: u64,
    pub hits: u64,
    pub misses: u64,
    pub errors: u64,
    /// The furthest that a request was sent behind its intended moment, nanoseconds.
    pub lag_max_ns: u64,
    /// Response times of the requests answered in it.
    pub response: Histogram<u64>,
}

/// Everything recorded by one thread, or by all after [`Recording::merge`].
#[derive(Clone, Debug)]
pub struct Recording {
    pub commands: Vec<CommandRecord>,
    pub intervals: BTreeMap<u64, Interval>,
    /// Requests sent and replies received within the measurement.
    pub sent: u64,
    pub received: u64,
    /// Answers longer than the histograms reach.
    pub clipped: u64,
    pub lag_max_ns: u64,
    /// Error replies, the first words of each with how often; bounded.
    pub error_texts: BTreeMap<String, u64>,
}

pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, SIGNIFICANT_DIGITS)
        .expect("the bounds are constants that hdrhistogram accepts")
}
