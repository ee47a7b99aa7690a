//! Numbers, globs, quoting and memory units as Redis reads and writes them.
//!
//! Nothing here knows of anything else in the crate; all input is bytes, because keys, values and
//! arguments are bytes.

pub mod double;
pub mod glob;
pub mod long_double;
pub mod memory;
mod natural;
pub mod number;
pub mod quote;
