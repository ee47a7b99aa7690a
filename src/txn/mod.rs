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
//!
//! # EXEC
//!
//! An EXEC is one such command. If all of its keys, watched ones included, are on one shard, it is a
//! [`Unit`] that travels and runs there as a command with one key does. Otherwise, if each of its
//! commands needs one shard only, every shard runs its own commands as its part. If there are
//! watches, the parts first lock and say whether those are whole: nothing may run on one shard
//! before all have agreed. Commands that need several shards each run one after the other, with
//! their own parts, under locks that were taken for all of them.

mod fault;
mod locks;
mod message;
mod slots;
mod unit;

pub use crate::store::Watcher;
pub use fault::{Fault, Planted};
pub use locks::{Grant, LockMode, Locks, Turn};
pub use message::{
    Batch, ConnId, LockKey, Message, OwnedRequest, Part, PartDone, PartResult, Release,
    RemoteReply, Replies, Request, RunAs, ShardId, Stored, TxnId, Work,
};
pub use slots::{SLOTS, shard_of_key, slot_of_key};
pub use unit::{CommandList, Unit, Waiting, Watched};
