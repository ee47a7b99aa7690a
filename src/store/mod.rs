//! One shard's data. Single-threaded, free of I/O, clocks and randomness of its own: the time and
//! the seed are arguments.

mod db;
mod entry;
pub mod memory;
mod shard;
mod table;
mod watched;

pub use db::{Db, EntryMut, ExpiryCondition, ScanCursor, Slot, VacantSlot};
pub use entry::{Encoding, Entry, Kind};
pub use shard::{DATABASES, Shard, ShardStats};
pub use table::TableCursor;
pub use watched::{WatchedKeys, Watcher};

/// Milliseconds since the Unix epoch.
pub type UnixMs = u64;

/// The value at a key is not of the kind that the command works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;
