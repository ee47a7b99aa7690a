//! Clocks, read once per pass and for every message from another core.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::engine::Now;

/// How often the distance between the two clocks is measured again, so that a wall clock that is
/// set or slewed is followed.
const RESYNC_US: u64 = 100_000;

/// Reads the monotonic clock only; the wall clock is kept as an offset to it.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    /// Microseconds to add to the monotonic time.
    unix_offset_us: u64,
    resync_at_us: u64,
}

impl Clock {
    /// Clocks made from the same `started` agree, whichever thread reads them.
    pub fn new(started: Instant) -> Clock {
        Clock { started, unix_offset_us: 0, resync_at_us: 0 }
    }

    pub fn now(&mut self) -> Now {
        let elapsed = self.started.elapsed();
        let monotonic_us = elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros());
        if monotonic_us >= self.resync_at_us {
            self.resync_at_us = monotonic_us + RESYNC_US;
            self.unix_offset_us = unix_us().saturating_sub(monotonic_us);
        }
        Now { unix_ms: (monotonic_us + self.unix_offset_us) / 1000, monotonic_us }
    }
}

/// Nanoseconds since the first call in this process.
pub fn monotonic_ns() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Microseconds since the Unix epoch.
pub fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_both_clocks() {
        let mut clock = Clock::new(Instant::now());
        let first = clock.now();
        let wall = unix_us() / 1000;
        assert!(first.unix_ms.abs_diff(wall) < 1000, "{} {wall}", first.unix_ms);
        std::thread::sleep(std::time::Duration::from_millis(5));
        let second = clock.now();
        assert!(second.monotonic_us >= first.monotonic_us + 5_000);
        assert!(second.unix_ms >= first.unix_ms + 4);
    }
}
