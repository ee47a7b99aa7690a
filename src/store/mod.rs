//! One shard's data. Single-threaded, free of I/O, clocks and randomness of its own: the time and
//! the seed are arguments.
//!
//! ```text
//! shard        sixteen databases, and what is being freed of former ones
//!   db         one database: finds, creates, changes and drops entries and keeps the accounts
//!     table    which handle a key has
//!     arena    blocks of memory by handle, in pages that can be emptied
//!       entry  how key and value lie in a block
//!     large    payloads too large for a block
//!     value    collections, packed in one run of bytes or objects on the heap
//!     eviction what to evict when memory is short; queues through the entries
//!     changes  what every change is told to, and who listens
//! ```

mod arena;
mod changes;
mod db;
mod entry;
mod eviction;
mod item;
mod large;
pub mod memory;
mod queue;
mod shard;
mod table;
pub mod value;

pub use changes::{Change, ChangeFeed, Class, Classes, Event, Events, Observer, Watcher};
pub use db::{
    CollectionMut, Db, EntryMut, ExpiryCondition, ObjectMut, PREFETCHED_KEYS, PackedMut,
    ScanCursor, Slot, VacantSlot,
};
pub use entry::{CollectionRef, Encoding, EntryRef, Kind, Text};
pub use eviction::{LfuSettings, Order, Policy, Usage, frequency};
pub use item::{Item, OwnedCollection};
pub use large::{Incoming, Payload};
pub use shard::{DATABASES, Shard, ShardStats};
pub use table::TableCursor;
pub use value::{Buffer, Collection, End, Hash, List, Object, Set, SortedSet};

/// Milliseconds since the Unix epoch.
pub type UnixMs = u64;

/// The value at a key is not of the kind that the command works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
