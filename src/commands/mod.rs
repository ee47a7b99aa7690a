//! The commands: one table of rows, one file per family, every row beside its handler.
//!
//! To add a command, write its row and its handler in its family's file and put the row into the
//! family's list. Nothing else has to know: COMMAND, routing, arity, flags and help follow.

mod context;
mod error;
mod help;
mod integers;
mod key_spec;
mod operation;
mod rdb;
mod row;
mod sampling;
mod scanning;
mod table;

pub mod access;
pub mod blocking;
pub mod connection;
pub mod hashes;
pub mod hops;
pub mod introspection;
pub mod keys;
pub mod lists;
pub mod server;
pub mod sets;
pub mod sorted_sets;
pub mod strings;
pub mod transactions;

#[cfg(test)]
pub(crate) mod test_support;

pub use context::{Context, reply_bytes_max};
pub use error::CommandError;
#[cfg(test)]
pub(crate) use introspection::generated_arguments;
pub use key_spec::{BeginSearch, FindKeys, GetKeys, KeyFlags, KeyRange, KeyRanges, KeySpec};
pub use operation::{
    ClientAttribute, ClientFilter, ClientKill, ClientType, Hello, Operation, ReplyMode, Shutdown,
};
pub use row::{
    Categories, Command, Docs, Flags, Group, Handler, Merge, Readiness, Spread, Wait, WaitsAt,
};
pub use table::{CommandTable, Lookup, Row, table};

/// What a handler returns. After an error whatever it had written is taken back and the error
/// becomes the reply.
pub type Outcome = Result<(), CommandError>;
