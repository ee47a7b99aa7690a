//! What a run measured. Times are nanoseconds.

mod recording;

pub use recording::{CommandRecord, Ending, Interval, Recording, Times, new_histogram};

/// Histograms keep three significant digits from a nanosecond to an hour; what is longer is
/// recorded as an hour and counted as clipped.
pub const SIGNIFICANT_DIGITS: u8 = 3;
pub const LONGEST_NS: u64 = 3_600_000_000_000;
