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
