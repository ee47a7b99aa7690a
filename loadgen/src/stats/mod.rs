//! What a run measured. Times are nanoseconds.

pub mod bootstrap;
mod interval;
mod packed;
mod percentile;
mod recording;
pub mod summary;

pub use interval::Interval;
pub use packed::PackedHistogram;
pub use percentile::{PERCENTILES, Percentile, SAMPLES_BEYOND, percentile};
pub use recording::{CommandRecord, Counts, Ending, Recording, Times, new_histogram};
pub use recording::{Flaw, plant};

/// Histograms keep three significant digits from a nanosecond to an hour; what is longer is
/// recorded as an hour and counted as clipped.
pub const SIGNIFICANT_DIGITS: u8 = 3;
pub const LONGEST_NS: u64 = 3_600_000_000_000;

/// Histograms of single seconds, and of lag, keep two: they are small enough to stay in a core's
/// cache and to be packed once a second without holding up the requests (37 KiB, not 270).
pub const INTERVAL_SIGNIFICANT_DIGITS: u8 = 2;

/// Texts of error replies that are told apart; those after are counted under [`OTHER_ERRORS`].
pub const ERROR_TEXTS_MAX: usize = 32;
/// How much of an error reply's text is kept, in characters.
pub const ERROR_TEXT_CHARS_MAX: usize = 120;
pub const OTHER_ERRORS: &str = "(other errors)";
