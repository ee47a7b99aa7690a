//! One second of a run.

use hdrhistogram::Histogram;

use super::packed::{PackedHistogram, new_interval_histogram};

/// One second of a run, of one thread or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Seconds since the start of the measurement.
    pub second: u64,
    /// Requests sent in it, and replies read in it (of requests that may be older).
    pub sent: u64,
    pub answered: u64,
    pub hits: u64,
    pub misses: u64,
    pub errors: u64,
    /// The furthest that a request was sent behind its intended moment, nanoseconds.
    pub lag_max_ns: u64,
    /// Response times of the requests answered in it; two significant digits.
    pub response: PackedHistogram,
}

impl Interval {
    pub fn new(second: u64) -> Self {
        Interval {
            second,
            sent: 0,
            answered: 0,
            hits: 0,
            misses: 0,
            errors: 0,
            lag_max_ns: 0,
            response: PackedHistogram::empty(),
        }
    }

    /// Adds what another thread did in the same second.
    pub fn merge(&mut self, other: &Interval) {
        debug_assert_eq!(self.second, other.second);
        self.sent += other.sent;
        self.answered += other.answered;
        self.hits += other.hits;
        self.misses += other.misses;
        self.errors += other.errors;
        self.lag_max_ns = self.lag_max_ns.max(other.lag_max_ns);
        self.response.merge(&other.response);
    }

    /// Of the reads that could hit, how many did: 0 to 1.
    pub fn hit_ratio(&self) -> Option<f64> {
        super::summary::fraction(self.hits, self.hits + self.misses)
    }
}

/// The second that is being recorded: an [`Interval`] whose histogram is not packed yet.
#[derive(Clone, Debug)]
pub(super) struct OpenInterval {
    pub counts: Interval,
    pub response: Histogram<u64>,
}

impl OpenInterval {
    pub fn new() -> Self {
        OpenInterval { counts: Interval::new(0), response: new_interval_histogram() }
    }

    pub fn is_untouched(&self) -> bool {
        self.counts.sent == 0 && self.counts.answered == 0
    }

    /// Packs this second and starts `second` with the same memory.
    pub fn replace(&mut self, second: u64) -> Interval {
        let mut sealed = std::mem::replace(&mut self.counts, Interval::new(second));
        sealed.response = PackedHistogram::pack(&self.response);
        self.response.reset();
        sealed
    }
}
