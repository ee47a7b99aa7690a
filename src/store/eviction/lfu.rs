//! Redis's logarithmic counter of uses.
//!
//! Source: <https://redis.io/docs/latest/develop/reference/eviction/#lfu-eviction>.

use crate::store::UnixMs;
use crate::store::entry::EntryRef;

/// The counter of a new entry, so that it lives long enough to be used.
pub const INITIAL: u8 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LfuSettings {
    /// How many uses raise the counter: the higher, the more.
    pub log_factor: u32,
    /// Minutes without use that lower the counter by one; 0 for never.
    pub decay_minutes: u32,
}

impl Default for LfuSettings {
    fn default() -> Self {
        LfuSettings { log_factor: 10, decay_minutes: 1 }
    }
}

impl LfuSettings {
    /// The counter after another use.
    pub fn used(self, counter: u8, random: u64) -> u8 {
        if counter == u8::MAX {
            return counter;
        }
        let steps = u64::from(counter.saturating_sub(INITIAL)) * u64::from(self.log_factor) + 1;
        // True once in `steps` times.
        let rises = (u128::from(random) * u128::from(steps)) >> 64 == 0;
        counter + u8::from(rises)
    }
}

/// The entry's counter as it is now, lowered by the time without use.
pub fn frequency(entry: EntryRef<'_>, settings: LfuSettings, now: UnixMs) -> u8 {
    // Minutes of the clock, as Redis counts them.
    let accessed_seconds = (now / 1000).saturating_sub(u64::from(entry.idle_seconds(now)));
    let minutes = now / 60_000 - accessed_seconds / 60;
    let lowered = minutes.checked_div(u64::from(settings.decay_minutes)).unwrap_or(0);
    entry.statistics().saturating_sub(u8::try_from(lowered).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::split_mix;

    /// The counter after each of these numbers of uses, on average over some runs.
    fn counters(log_factor: u32, uses: &[u32]) -> Vec<f64> {
        const RUNS: u64 = 10;
        let settings = LfuSettings { log_factor, ..LfuSettings::default() };
        let mut sums = vec![0.0; uses.len()];
        for run in 0..RUNS {
            let (mut counter, mut done, mut state) = (INITIAL, 0, run);
            for (sum, uses) in sums.iter_mut().zip(uses) {
                while done < *uses && counter < u8::MAX {
                    counter = settings.used(counter, split_mix(&mut state));
                    done += 1;
                }
                *sum += f64::from(counter) / RUNS as f64;
            }
        }
        sums
    }

    /// The table in Redis's redis.conf and documentation.
    #[test]
    #[cfg_attr(miri, ignore = "millions of steps take too long")]
    fn counts_as_redis_does() {
        let uses = [100, 1_000, 100_000, 1_000_000, 10_000_000];
        for (log_factor, expected) in [
            (0, [104.0, 255.0, 255.0, 255.0, 255.0]),
            (1, [18.0, 49.0, 255.0, 255.0, 255.0]),
            (10, [10.0, 18.0, 142.0, 255.0, 255.0]),
            (100, [8.0, 11.0, 49.0, 143.0, 255.0]),
        ] {
            let counters = counters(log_factor, &uses);
            for (counter, expected) in counters.iter().zip(expected) {
                // Redis's figures are those of one run.
                let tolerance = 1.5 + 0.05 * expected;
                assert!((counter - expected).abs() < tolerance, "{log_factor}: {counters:?}");
            }
        }
    }
}
