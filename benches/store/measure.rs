//! Rates, and the longest of many operations.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What the kernel has done to this thread: page faults and preemptions.
fn disturbances() -> i64 {
    // SAFETY: a rusage of zeros is valid, and the call fills it.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage.ru_minflt + usage.ru_majflt + usage.ru_nivcsw
    }
}

pub fn cpu_time() -> Duration {
    // SAFETY: the call fills the structure.
    unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// The longest of some operations that are done once.
#[derive(Default)]
pub struct Longest {
    any: Duration,
    undisturbed: Duration,
    /// Operations over a millisecond, and those of them that were not disturbed.
    over: [usize; 2],
}

impl Longest {
    pub fn time<T>(&mut self, operation: impl FnOnce() -> T) -> T {
        let before = disturbances();
        let start = Instant::now();
        let result = operation();
        let elapsed = start.elapsed();
        let undisturbed = disturbances() == before;
        let over = usize::from(elapsed > Duration::from_millis(1));
        self.any = self.any.max(elapsed);
        self.over[0] += over;
        if undisturbed {
            self.undisturbed = self.undisturbed.max(elapsed);
            self.over[1] += over;
        }
        result
    }
}

impl std::fmt::Display for Longest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        let [over, over_undisturbed] = self.over;
        write!(
            f,
            "longest {:.0} us ({over} over 1 ms); without page faults and preemption {:.0} us \
             ({over_undisturbed} over 1 ms)",
            us(self.any),
            us(self.undisturbed)
        )
    }
}

/// Operations that are the same in every round, in the same order.
#[derive(Default)]
pub struct Repeated {
    rounds: usize,
    /// In this round so far.
    operations: usize,
    longest: Duration,
    /// By their place: the shortest time of those that took longer than [`Repeated::NOTED`] in
    /// every round before this one, and the same with this one.
    slow: HashMap<usize, Duration>,
    still_slow: HashMap<usize, Duration>,
}

impl Repeated {
    const NOTED: Duration = Duration::from_micros(50);

    pub fn time(&mut self, operation: impl FnOnce()) {
        let start = Instant::now();
        operation();
        let elapsed = start.elapsed();
        self.longest = self.longest.max(elapsed);
        let place = self.operations;
        self.operations += 1;
        if elapsed > Self::NOTED {
            let before = if self.rounds == 0 { Some(&elapsed) } else { self.slow.get(&place) };
            if let Some(before) = before {
                self.still_slow.insert(place, elapsed.min(*before));
            }
        }
    }

    pub fn end_round(&mut self) {
        self.slow = std::mem::take(&mut self.still_slow);
        self.rounds += 1;
        self.operations = 0;
    }
}

impl std::fmt::Display for Repeated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        write!(f, "longest {:.0} us; in every one of {} rounds ", us(self.longest), self.rounds)?;
        match self.slow.values().max() {
            Some(longest) => write!(f, "{:.0} us", us(*longest))?,
            None => write!(f, "below {:.0} us", us(Self::NOTED))?,
        }
        let over = self.slow.values().filter(|time| **time > Duration::from_millis(1)).count();
        write!(f, " ({over} over 1 ms)")
    }
}
