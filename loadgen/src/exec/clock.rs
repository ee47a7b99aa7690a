//! Time: one clock for all threads of a run, and the processor time of each.

use std::time::{Duration, Instant};

/// Nanoseconds since the start of the measurement, negative before it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Instant,
    start_ns: i64,
}

impl Clock {
    /// A clock whose zero is `until_start` from now.
    pub fn starting_in(until_start: Duration) -> Clock {
        Clock { base: Instant::now(), start_ns: nanoseconds(until_start) }
    }

    #[inline]
    pub fn now_ns(&self) -> i64 {
        nanoseconds(self.base.elapsed()) - self.start_ns
    }
}

/// Saturating at 292 years.
#[inline]
pub fn nanoseconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs().min(i64::MAX as u64 / 2_000_000_000) as i64;
    seconds * 1_000_000_000 + i64::from(duration.subsec_nanos())
}

/// The processor time that this thread has used.
pub fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec`, which lives during the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    if result != 0 {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_counts_down_to_the_start() {
        let clock = Clock::starting_in(Duration::from_secs(1000));
        let first = clock.now_ns();
        assert!((-1_000_000_000_000..-900_000_000_000).contains(&first), "{first}");
        assert!(clock.now_ns() >= first);
        assert_eq!(nanoseconds(Duration::new(2, 5)), 2_000_000_005);
        assert!(nanoseconds(Duration::MAX) > 0);
    }

    #[test]
    fn processor_time_counts_work_and_not_sleep() {
        let before = thread_cpu();
        std::thread::sleep(Duration::from_millis(30));
        let slept = thread_cpu() - before;
        assert!(slept < Duration::from_millis(20), "{slept:?}");
        let deadline = Instant::now() + Duration::from_secs(20);
        while thread_cpu() - before < Duration::from_millis(20) {
            assert!(Instant::now() < deadline, "no processor time counted");
        }
    }
}
