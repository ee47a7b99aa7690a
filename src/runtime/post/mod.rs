//! How cores reach each other: an inbox per core, and a doorbell for those that sleep.
//!
//! # No lost wake-up
//!
//! A core that is about to sleep says so (`parked`), passes a fence, then looks into its inbox once
//! more. A sender puts its parcel in, passes a fence, then looks whether the core is parked. The
//! fences are in one total order, so at least one of the two sees the other: either the core finds
//! the parcel, or the sender takes the flag down and rings. Only who took it down rings, so a batch
//! rings once. Nothing else is asked of the flag, and of the queue no more than that what is taken
//! has been put: that is how every other access may be relaxed.
//!
//! A ring through io_uring ([`Post::wake_through`]) can fail after the flag is down, when no other
//! sender will ring any more; so who finds out must ring the bell: [`Post::not_rung`].
//!
//! # How that is known
//!
//! All this is generic over its [`Means`], and `model` runs it under loom: a few threads, every
//! interleaving with up to a few preemptions, every value that the memory model lets a load return.
//! The same file plants faults (no fence, a look before the flag, a bell before the parcel, a failed
//! ring ignored, ...) and holds loom to finding each of them. The order within the channel itself
//! is crossbeam's to keep.

#[cfg(test)]
pub mod model;

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::ShardId;

/// What a post is made of: `inbox` has the server's, `model` those of the model checker.
pub trait Means {
    type Flag: Flag;
    type Number: Number;
    type Bell: Bell;
    type Order: Order;
    type Queue<T>: Queue<T>;
    type Source<T>: Source<T>;

    /// The two ends of an unbounded queue with many senders and one receiver.
    fn queue<T>() -> (Self::Queue<T>, Self::Source<T>);
    /// A fence that is sequentially consistent.
    fn fence();
}

/// An atomic `bool`.
pub trait Flag {
    fn new(value: bool) -> Self;
    fn load(&self, ordering: Ordering) -> bool;
    fn store(&self, value: bool, ordering: Ordering);
    fn swap(&self, value: bool, ordering: Ordering) -> bool;
}

/// An atomic `i32`.
pub trait Number {
    fn new(value: i32) -> Self;
    fn load(&self, ordering: Ordering) -> i32;
    fn store(&self, value: i32, ordering: Ordering);
}

/// Wakes one core; a ring while it is awake keeps it from falling asleep once.
pub trait Bell: Sized {
    /// # Errors
    /// No descriptors left.
    fn new() -> io::Result<Self>;
    fn ring(&self);
}

/// A mutex.
pub trait Order {
    fn new() -> Self;
    fn one_at_a_time(&self, work: impl FnOnce());
}

/// The sending end of a queue.
pub trait Queue<T> {
    /// Never blocks. What is pushed when the receiver is gone is gone too.
    fn push(&self, item: T);
}

/// The receiving end of a queue; it sees the items of each sender in their order.
pub trait Source<T> {
    fn pop(&self) -> Option<T>;
    fn is_empty(&self) -> bool;
}

/// The sending side of one core's inbox. Padded: each is written by its own core in every pass.
#[repr(align(128))]
struct Address<M: Means, T> {
    queue: M::Queue<T>,
    bell: M::Bell,
    parked: M::Flag,
    /// The descriptor of the core's ring, for other rings to ring; negative while there is none.
    ring: M::Number,
}

/// Where every core of the process can be reached.
pub struct Post<M: Means, T> {
    addresses: Vec<Address<M, T>>,
    /// Held while the lock requests of one command are put into their inboxes, so that any two
    /// commands are met in the same order by every shard they share.
    order: M::Order,
}

/// A post, and each core's inbox.
type PostAndInboxes<M, T> = (Arc<Post<M, T>>, Vec<Inbox<M, T>>);

impl<M: Means, T> Post<M, T> {
    /// The post of a process with so many cores, and each core's inbox.
    ///
    /// # Errors
    /// No descriptors left for the doorbells.
    pub fn new(cores: usize) -> io::Result<PostAndInboxes<M, T>> {
        let mut addresses = Vec::with_capacity(cores);
        let mut sources = Vec::with_capacity(cores);
        for _ in 0..cores {
            let (queue, source) = M::queue();
            addresses.push(Address {
                queue,
                bell: M::Bell::new()?,
                parked: M::Flag::new(false),
                ring: M::Number::new(-1),
            });
            sources.push(source);
        }
        let post = Arc::new(Post { addresses, order: M::Order::new() });
        let inbox = |(core, source)| Inbox { core, source, post: Arc::clone(&post) };
        let inboxes = sources.into_iter().enumerate().map(inbox).collect();
        Ok((post, inboxes))
    }

    /// Puts a parcel into a core's inbox, which takes it as soon as it is awake: see [`Post::wake`].
    pub fn put(&self, to: ShardId, parcel: T) {
        self.addresses[to].queue.push(parcel);
    }

    /// Puts parcels that must meet any other such group in the same order everywhere. They are
    /// asked for when no other group can be put any more.
    pub fn put_ordered<I: Iterator<Item = (ShardId, T)>>(&self, parcels: impl FnOnce() -> I) {
        self.order.one_at_a_time(|| parcels().for_each(|(to, parcel)| self.put(to, parcel)));
    }

    /// Wakes a core if it sleeps, with its doorbell.
    pub fn wake(&self, core: ShardId) {
        if self.is_to_be_woken(core) {
            self.addresses[core].bell.ring();
        }
    }

    /// Wakes a core if it sleeps: true if it did. If it can be rung from another ring, `ring_peer`
    /// is asked to; should that fail, it must be followed by [`Post::not_rung`].
    pub fn wake_through(&self, core: ShardId, ring_peer: impl FnOnce(RawFd)) -> bool {
        if !self.is_to_be_woken(core) {
            return false;
        }
        match self.addresses[core].ring.load(Ordering::Relaxed) {
            ring if ring >= 0 => ring_peer(ring),
            _ => self.addresses[core].bell.ring(),
        }
        true
    }

    /// A core was to be woken through its ring, which failed: from now on only its doorbell will do.
    pub fn not_rung(&self, core: ShardId) {
        self.set_ring(core, None);
        self.addresses[core].bell.ring();
    }

    /// Whether the core sleeps; if so, it is the caller who must wake it.
    fn is_to_be_woken(&self, core: ShardId) -> bool {
        let parked = &self.addresses[core].parked;
        M::fence();
        // The load first: to write to the flag of a core that is awake would slow it down.
        parked.load(Ordering::Relaxed) && parked.swap(false, Ordering::Relaxed)
    }

    /// From now on the core can be woken through its ring; `None`: only by its doorbell.
    pub fn set_ring(&self, core: ShardId, ring: Option<RawFd>) {
        self.addresses[core].ring.store(ring.unwrap_or(-1), Ordering::Relaxed);
    }

    /// `put`, then `wake`.
    pub fn deliver(&self, to: ShardId, parcel: T) {
        self.put(to, parcel);
        self.wake(to);
    }

    pub fn cores(&self) -> usize {
        self.addresses.len()
    }
}

/// The receiving side, owned by its core.
pub struct Inbox<M: Means, T> {
    core: ShardId,
    source: M::Source<T>,
    post: Arc<Post<M, T>>,
}

impl<M: Means, T> Inbox<M, T> {
    pub fn take(&self) -> Option<T> {
        self.source.pop()
    }

    pub fn is_empty(&self) -> bool {
        self.source.is_empty()
    }

    /// Announces that the core is about to sleep; false if it must not, because there is mail.
    pub fn park(&self) -> bool {
        let parked = &self.post.addresses[self.core].parked;
        parked.store(true, Ordering::Relaxed);
        M::fence();
        if self.source.is_empty() {
            return true;
        }
        parked.store(false, Ordering::Relaxed);
        false
    }

    /// After the sleep. A sender that still sees the flag rings once for nothing.
    pub fn unpark(&self) {
        self.post.addresses[self.core].parked.store(false, Ordering::Relaxed);
    }

    pub fn bell(&self) -> &M::Bell {
        &self.post.addresses[self.core].bell
    }
}

impl<M: Means, T> std::fmt::Debug for Post<M, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("cores", &self.cores()).finish_non_exhaustive()
    }
}

impl<M: Means, T> std::fmt::Debug for Inbox<M, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("core", &self.core).finish_non_exhaustive()
    }
}
