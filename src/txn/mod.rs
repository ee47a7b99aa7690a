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
//!
//! # Waiting
//!
//! BLPOP and its like first try, as a command with several keys. If nothing is there the client
//! begins to wait at all of its keys before their locks go, so no push is missed; each shard queues
//! its waiters by key in the order in which they came. A shard looks at the queue of a key that has
//! been modified when the command that did it is over, and nobody else holds the key: behind the
//! last command of a [`Unit`], or at the release of a multi-shard command, before anybody is granted
//! what it locked. A command of one shard that had to wait for locks holds them until it has run and
//! served, like a part. So an EXEC is over before it serves, and no later command takes what a waiter
//! is due. A key that somebody else holds is set aside; each of its holders looks at it again in the
//! end, and the last one finds it free. So between two events nobody waits at a key that has
//! something for it, unless somebody holds it: the simulation asserts that after every pass. Who serves a [`Waiter`] claims it first, in one word that all its shards share with the core
//! of the connection, which claims it likewise when the time is over, at CLIENT UNBLOCK and when the
//! client has gone. So nobody is served twice, and nothing is taken for a client that is known to be
//! gone.
//!
//! Where an EXEC pushes to several keys that one client waits at, it is served from one of them: the
//! first that was pushed if they are on one shard, otherwise the one whose shard is released first.
//! (Redis: the first that was pushed.) Its shards could serve one after the other before any of them
//! is released, at one message each way for every key. But where the command is on two shards, the
//! last one holds nothing after its turn, so it has to serve before the other has run at all; and
//! without that, every EXEC over two shards would cost two messages more, waiters or not.
//!
//! A command that needs more keys than it waits at, like BLMOVE, is served by the shard if all of
//! them are there and free. If not, the claim goes to the core of the connection, which runs the
//! command under locks as it would have run at first; until the outcome is known those behind it in
//! the queue wait too, and so do newcomers that would wait. Only commands that never wait, like
//! LPOP, can come between. If one of them took what was there, the client waits on, at the place in
//! the queue that it had. To hold the key from here on, before the locks on the others, could be a
//! deadlock: a multi-shard command that was ordered before the attempt may hold one of the others,
//! and come for this key. Nor does it help to keep only commands of one shard away: one of those
//! that waits holds its other keys, or its turn, and such a multi-shard command may wait for them.
//! And to take the element now and put it down later, as two steps, would show both keys without it.
//!
//! # Moving
//!
//! A connection with nothing under way may go on at another core. It is put into that core's inbox
//! under the same mutex, and only if nothing is in the inbox of the core that it leaves. What every
//! core does its part of, as CLIENT KILL, is put into all inboxes under the mutex too. If that was
//! before the move, the first core has done its part while the connection was there, and the second
//! does so before it takes the connection over; if it was behind the move, the second takes it over
//! first. So every connection is met once. And what the connection has had done is ahead of what it
//! will ask for: the messages that are left of it, as releases, were put into the inboxes before it
//! moved.

mod fault;
mod locks;
mod message;
mod slots;
mod unit;
mod waiter;

pub use crate::store::Watcher;
pub(crate) use fault::planted;
pub use fault::{Fault, Planted};
pub use locks::{Grant, Holder, LockMode, Locks, Turn};
pub use message::{
    Batch, Changes, ConnId, LockKey, Message, OwnedRequest, Part, PartDone, PartResult, Release,
    RemoteReply, Replies, Request, RunAs, ShardId, SharedCommand, TxnId, Work,
};
pub use slots::{SLOTS, shard_of_key, slot_of_key};
pub use unit::{CommandList, OwnedWork, Unit, Watched};
pub use waiter::Waiter;
