//! How cores reach each other: an inbox per core, and a doorbell per thread for those that sleep.
//!
//! A thread runs its own core, or several, or none ([`super::driver`]). So that it can be given one,
//! it has an inbox of its own too. Whoever has something for a core puts it into the core's inbox,
//! whoever runs it, and rings the thread that does.
//!
//! # No lost wake-up
//!
//! A core that is about to sleep says so (`parked`), passes a fence, then looks into its inbox once
//! more. A sender puts its parcel in, passes a fence, then looks whether the core is parked. The
//! fences are in one total order, so at least one of the two sees the other: either the core finds
//! the parcel, or the sender takes the flag down and rings. Only who took it down rings, so a batch
//! rings once. Of the queue no more is asked than that what is taken has been put.
//!
//! A ring through io_uring ([`Post::wake_through`]) can fail after the flag is down, when no other
//! sender will ring any more; so who finds out must ring the bell: [`Post::not_rung`].
//!
//! # When a core changes hands
//!
//! The thread that gives it is awake, so the flag is down; the one that takes it says so
//! ([`Inbox::is_run_by`]) before it looks into the inbox. What was put before is found there. Who
//! takes down the flag that the new thread has put up also sees who did: the flag is published with
//! release and taken with acquire. A ring that still goes to the former thread is one for nothing.
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

/// The sending side of an inbox. Padded: each is written by its own thread in every pass.
#[repr(align(128))]
struct Address<M: Means, T> {
    queue: M::Queue<T>,
    parked: M::Flag,
    /// The number of the thread that takes from it.
    thread: M::Number,
}

/// How a thread is woken.
#[repr(align(128))]
struct Sleeper<M: Means> {
    bell: M::Bell,
    /// The descriptor of its ring, for other rings to ring; negative while there is none.
    ring: M::Number,
}

/// Where every core of the process can be reached.
pub struct Post<M: Means, T> {
    /// Of the cores, then of the threads.
    addresses: Vec<Address<M, T>>,
    threads: Vec<Sleeper<M>>,
    /// Held while the lock requests of one command are put into their inboxes, so that any two
    /// commands are met in the same order by every shard they share.
    ///
    /// A mutex, although who finds it taken may sleep outside of its ring: with a processor for each
    /// thread that is rare and short. Two threads on two processors met at it with at most one group
    /// of requests in three thousand, and for 11 us at most (`cargo bench --bench order`); what two
    /// processors cannot tell is how it is among dozens. Numbers from one counter by which receivers
    /// sort would not do: a shard that misses one cannot tell whether it is late or for others only.
    order: M::Order,
}

/// What a thread begins with.
pub struct Mail<M: Means, T> {
    /// Of its own core.
    pub core: Inbox<M, T>,
    /// Of the thread itself.
    pub thread: Inbox<M, T>,
}

/// A post, and what each thread begins with.
type PostAndMail<M, T> = (Arc<Post<M, T>>, Vec<Mail<M, T>>);

impl<M: Means, T> Post<M, T> {
    /// The post of a process with so many cores, each with a thread, and what each thread takes from.
    ///
    /// # Errors
    /// No descriptors left for the doorbells.
    pub fn new(cores: usize) -> io::Result<PostAndMail<M, T>> {
        let (mut addresses, mut sources) = (Vec::new(), Vec::new());
        for address in 0..2 * cores {
            let (queue, source) = M::queue();
            let thread = M::Number::new((address % cores) as i32);
            addresses.push(Address { queue, parked: M::Flag::new(false), thread });
            sources.push(source);
        }
        let sleeper = |_| Ok(Sleeper { bell: M::Bell::new()?, ring: M::Number::new(-1) });
        let threads = (0..cores).map(sleeper).collect::<io::Result<_>>()?;
        let post = Arc::new(Post { addresses, threads, order: M::Order::new() });
        let inbox = |(address, source)| Inbox { address, source, post: Arc::clone(&post) };
        let mut of_cores: Vec<_> = sources.into_iter().enumerate().map(inbox).collect();
        let of_threads = of_cores.split_off(cores);
        let mail = of_cores.into_iter().zip(of_threads);
        let mail = mail.map(|(core, thread)| Mail { core, thread }).collect();
        Ok((post, mail))
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

    /// Wakes the thread that runs a core, if it sleeps, with its doorbell.
    pub fn wake(&self, core: ShardId) {
        if let Some(thread) = self.to_be_woken(core) {
            self.threads[thread].bell.ring();
        }
    }

    /// Wakes the thread that runs a core, if it sleeps: true if it did. If it can be rung from
    /// another ring, `ring_peer` is asked to ring that thread; should it fail, it must be followed by
    /// [`Post::not_rung`].
    pub fn wake_through(&self, core: ShardId, ring_peer: impl FnOnce(usize, RawFd)) -> bool {
        let Some(thread) = self.to_be_woken(core) else { return false };
        match self.threads[thread].ring.load(Ordering::Relaxed) {
            ring if ring >= 0 => ring_peer(thread, ring),
            _ => self.threads[thread].bell.ring(),
        }
        true
    }

    /// A thread was to be woken through its ring, which failed: from now on only its doorbell will
    /// do.
    pub fn not_rung(&self, thread: usize) {
        self.set_ring(thread, None);
        self.threads[thread].bell.ring();
    }

    /// The thread that sleeps and must be woken by the caller, if it does.
    fn to_be_woken(&self, core: ShardId) -> Option<usize> {
        let Address { parked, thread, .. } = &self.addresses[core];
        M::fence();
        // The load first: to write to the flag of a core that is awake would slow it down.
        let sleeps = parked.load(Ordering::Relaxed) && parked.swap(false, Ordering::Acquire);
        sleeps.then(|| thread.load(Ordering::Relaxed) as usize)
    }

    /// From now on the thread can be woken through its ring; `None`: only by its doorbell.
    pub fn set_ring(&self, thread: usize, ring: Option<RawFd>) {
        self.threads[thread].ring.store(ring.unwrap_or(-1), Ordering::Relaxed);
    }

    /// Puts a parcel into a core's inbox, then wakes whoever runs it.
    pub fn deliver(&self, to: ShardId, parcel: T) {
        self.put(to, parcel);
        self.wake(to);
    }

    /// As [`Post::deliver`] to a thread itself, whatever cores it runs.
    pub fn deliver_to_thread(&self, thread: usize, parcel: T) {
        self.deliver(self.cores() + thread, parcel);
    }

    pub fn cores(&self) -> usize {
        self.threads.len()
    }
}

/// The receiving side, owned by the thread that takes from it.
pub struct Inbox<M: Means, T> {
    address: usize,
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

    /// From now on another thread takes from it; called by that one, before it does.
    pub fn is_run_by(&self, thread: usize) {
        self.post.addresses[self.address].thread.store(thread as i32, Ordering::Relaxed);
    }

    /// Announces that its thread is about to sleep; false if it must not, because there is mail.
    pub fn park(&self) -> bool {
        let parked = &self.post.addresses[self.address].parked;
        parked.store(true, Ordering::Release);
        M::fence();
        if self.source.is_empty() {
            return true;
        }
        parked.store(false, Ordering::Relaxed);
        false
    }

    /// After the sleep. A sender that still sees the flag rings once for nothing.
    pub fn unpark(&self) {
        self.post.addresses[self.address].parked.store(false, Ordering::Relaxed);
    }

    /// Of the thread that takes from it.
    pub fn bell(&self) -> &M::Bell {
        let thread = self.post.addresses[self.address].thread.load(Ordering::Relaxed);
        &self.post.threads[thread as usize].bell
    }
}

impl<M: Means, T> std::fmt::Debug for Post<M, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("cores", &self.cores()).finish_non_exhaustive()
    }
}

impl<M: Means, T> std::fmt::Debug for Inbox<M, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("address", &self.address).finish_non_exhaustive()
    }
}
