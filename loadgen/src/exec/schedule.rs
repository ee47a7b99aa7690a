//! When requests are due: the arrivals of an open loop, and the fills after misses.

use std::collections::VecDeque;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::Exp1;

use crate::plan::Arrivals;

/// The intended moments of one thread's requests. They do not depend on what the server does.
#[derive(Debug)]
pub struct Schedule {
    first_ns: f64,
    gap_ns: f64,
    arrivals: Arrivals,
    rng: SmallRng,
    /// Gaps since the first moment: a whole number of them for constant arrivals, which keeps the
    /// rounding errors of many additions out.
    gaps: f64,
}

impl Schedule {
    /// For thread `thread` of `threads`, which together make `rate_per_second` from `first_ns` on.
    /// Constant arrivals of the threads interleave.
    pub fn new(
        rate_per_second: f64,
        arrivals: Arrivals,
        (thread, threads): (usize, usize),
        first_ns: i64,
        seed: u64,
    ) -> Schedule {
        let threads_gap_ns = 1e9 / rate_per_second;
        let gap_ns = threads_gap_ns * threads as f64;
        let seed = seed.wrapping_add((thread as u64) << 32) ^ 0x5EED_0F9A_9500_0000;
        let mut rng = SmallRng::seed_from_u64(seed);
        let (offset_ns, gaps) = match arrivals {
            Arrivals::Constant => (threads_gap_ns * thread as f64, 0.0),
            Arrivals::Poisson => (0.0, rng.sample(Exp1)),
        };
        Schedule { first_ns: first_ns as f64 + offset_ns, gap_ns, arrivals, rng, gaps }
    }

    /// When the next request is due, nanoseconds since the start of the measurement.
    #[inline]
    pub fn next_ns(&self) -> i64 {
        (self.first_ns + self.gaps * self.gap_ns) as i64
    }

    #[inline]
    pub fn advance(&mut self) {
        self.gaps += match self.arrivals {
            Arrivals::Constant => 1.0,
            Arrivals::Poisson => self.rng.sample::<f64, _>(Exp1),
        };
    }

    /// How many requests are still due in the measurement before `end_ns`. Of very many Poisson
    /// arrivals it is the expected number.
    pub fn due_until(&mut self, end_ns: i64) -> u64 {
        const DRAWN_MAX: u64 = 1 << 20;
        if self.arrivals == Arrivals::Constant {
            let gaps_at = |ns: f64| ((ns - self.first_ns) / self.gap_ns).ceil();
            return (gaps_at(end_ns as f64) - gaps_at(0.0).max(self.gaps)).max(0.0) as u64;
        }
        let mut due = 0;
        if end_ns <= 0 {
            return due;
        }
        while self.next_ns() < end_ns {
            if due == DRAWN_MAX {
                return due + ((end_ns - self.next_ns()) as f64 / self.gap_ns) as u64;
            }
            due += u64::from(self.next_ns() >= 0);
            self.advance();
        }
        due
    }
}

/// Keys to be written after a miss, each after the same delay and therefore in order.
#[derive(Debug)]
pub struct Fills {
    delay_ns: i64,
    waiting: VecDeque<(i64, u64)>,
    pub dropped: u64,
}

/// Fills that wait at most, per thread; misses beyond that are counted and not filled.
const FILLS_MAX: usize = 1 << 16;

impl Fills {
    pub fn new(delay_ns: i64) -> Fills {
        Fills { delay_ns, waiting: VecDeque::new(), dropped: 0 }
    }

    pub fn missed(&mut self, key: u64, now_ns: i64) {
        if self.waiting.len() < FILLS_MAX {
            self.waiting.push_back((now_ns + self.delay_ns, key));
        } else {
            self.dropped += 1;
        }
    }

    #[inline]
    pub fn next_ns(&self) -> Option<i64> {
        self.waiting.front().map(|(due_ns, _)| *due_ns)
    }

    /// The key to be filled first, if it is due by `now_ns`, and since when.
    #[inline]
    pub fn take_due(&mut self, now_ns: i64) -> Option<(i64, u64)> {
        match self.waiting.front() {
            Some((due_ns, _)) if *due_ns <= now_ns => self.waiting.pop_front(),
            _ => None,
        }
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut schedule: Schedule, count: usize) -> Vec<i64> {
        let mut moments = Vec::new();
        for _ in 0..count {
            moments.push(schedule.next_ns());
            schedule.advance();
        }
        moments
    }

    #[test]
    fn constant_arrivals_of_threads_interleave_without_drift() {
        let of = |thread| {
            moments(Schedule::new(3000.0, Arrivals::Constant, (thread, 3), -1_000, 1), 10_000_000)
        };
        let (first, second) = (of(0), of(1));
        assert_eq!(&first[..3], [-1_000, 999_000, 1_999_000]);
        assert!((second[0] - 332_333).abs() <= 1, "{}", second[0]);
        assert_eq!(first[9_999_999], 9_999_999 * 1_000_000 - 1_000);
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_deviation_of_an_exponential_distribution() {
        let count = 400_000;
        let moments = moments(Schedule::new(10_000.0, Arrivals::Poisson, (1, 2), 0, 3), count + 1);
        let gaps: Vec<f64> = moments.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / count as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count as f64;
        // Half of the rate: 200 us. The mean's own deviation is 200 us / sqrt(count) = 0.3 us.
        assert!((mean - 200_000.0).abs() < 1_500.0, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "{}", variance.sqrt());
        assert!(moments[0] > 0);
    }

    #[test]
    fn seeds_and_threads_have_schedules_of_their_own() {
        let of =
            |thread, seed| moments(Schedule::new(1e5, Arrivals::Poisson, (thread, 2), 0, seed), 5);
        assert_eq!(of(0, 1), of(0, 1));
        assert_ne!(of(0, 1), of(1, 1));
        assert_ne!(of(0, 1), of(0, 2));
    }

    #[test]
    fn what_is_still_due_is_known_without_waiting_for_it() {
        for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
            let new = || Schedule::new(3_000.0, arrivals, (1, 3), -500_000_000, 1);
            let mut one_by_one = new();
            let mut expected = 0;
            while one_by_one.next_ns() < 1_000_000_000 {
                expected += u64::from(one_by_one.next_ns() >= 0);
                one_by_one.advance();
            }
            assert_eq!(new().due_until(1_000_000_000), expected, "{arrivals:?}");
            assert_eq!(one_by_one.due_until(1_000_000_000), 0);
            assert_eq!(new().due_until(-1), 0);
            let mut fast = Schedule::new(1e10, arrivals, (0, 1), 0, 1);
            let due = fast.due_until(10_000_000_000) as f64;
            assert!((due / 1e11 - 1.0).abs() < 0.01, "{due}");
        }
    }

    #[test]
    fn fills_wait_their_time_in_order_and_are_bounded() {
        let mut fills = Fills::new(100);
        fills.missed(7, 0);
        fills.missed(8, 50);
        assert_eq!(fills.next_ns(), Some(100));
        assert_eq!(fills.take_due(99), None);
        assert_eq!(fills.take_due(120), Some((100, 7)));
        assert_eq!(fills.take_due(120), None);
        assert_eq!(fills.take_due(150), Some((150, 8)));
        for key in 0..=FILLS_MAX as u64 {
            fills.missed(key, 0);
        }
        assert_eq!((fills.waiting.len(), fills.dropped), (FILLS_MAX, 1));
    }
}
