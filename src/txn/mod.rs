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
//! # The last shard
//!
//! With one of two shards the coordinator's own, only that one's locks are recorded. They are held
//! before the other half leaves, and that one runs as a command of one shard does: when it is its
//! turn, and without a lock. At that moment all of the command's keys are held, the others by
//! nobody else being at work, so that is where it takes effect; the answer then finds the own keys
//! as they were, and lets them go.
//!
//! The own locks must be taken as if the command had come through the inbox like any other. So the
//! own shard is looked into under the mutex: if nothing is in its inbox, whatever was ordered
//! before has come here before the locks were taken, and whatever is ordered later comes behind
//! them. If something is, the locks are given back, and the command goes as two parts.
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
    RemoteReply, Replies, Request, ShardId, Stored, TxnId, Work,
};
pub use slots::{SLOTS, shard_of_key, slot_of_key};
pub use unit::{CommandList, Unit, Waiting, Watched};
