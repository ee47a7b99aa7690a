//! Between shards: which shard owns a key, the messages that shards exchange, and the locks that
//! make commands with keys on several shards atomic.
//!
//! # Lock-ahead
//!
//! A multi-shard command pushes a [`Part`] to *all* its shards under one short process-wide mutex,
//! so any two such commands meet in the same order at every shard that they share: no deadlocks, no
//! aborts. A shard grants a key's locks in the order of arrival. When all of a part's locks are
//! held it runs the part, keeps the locks and sends the result. When the coordinator has every
//! result the command is done: it answers, and sends the releases. All locks are held at that
//! moment, so that moment is where the command takes effect. A command of one shard on a key that
//! nobody locked never sees any of this.

mod locks;
mod message;
mod slots;

pub use locks::{Grant, LockMode, Locks, Turn};
pub use message::{
    Batch, ConnId, LockKey, Message, OwnedRequest, Part, PartDone, PartResult, Release,
    RemoteReply, Replies, Request, ShardId, Stored, TxnId, Work,
};
pub use slots::{SLOTS, shard_of_key, slot_of_key};
