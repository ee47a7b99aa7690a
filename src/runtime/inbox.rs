//! What crosses threads: an inbox per core, and a doorbell for those that sleep.
//!
//! # No lost wake-up
//!
//! A core that is about to sleep first says so (`parked`), then looks into its inbox once more. A
//! sender first puts its parcel in, then looks whether the core is parked. Both in one total order
//! (`SeqCst`), so at least one of them sees the other: either the core finds the parcel, or the
//! sender rings. Who rings takes the flag down, so a batch rings once.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::accepted::Accepted;
use crate::engine::{ShardId, Ticket};
use crate::txn::Message;

/// Something for one core.
#[derive(Debug)]
pub enum Parcel {
    Message {
        from: ShardId,
        message: Message,
    },
    /// A connection that another core accepted; it is counted as ours already.
    Connection(Accepted),
    EffectDone {
        ticket: Ticket,
        result: Result<(), String>,
    },
    /// Begin to accept.
    Start,
    /// Stop accepting, answer what has arrived, and end by that time of the monotonic clock.
    Stop {
        deadline_us: u64,
    },
}

/// An eventfd that its owner watches in its ring.
#[derive(Debug)]
pub struct Doorbell(File);

impl Doorbell {
    pub fn new() -> io::Result<Doorbell> {
        // SAFETY: creates a descriptor, which the `OwnedFd` then owns.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just created, owned by nobody else.
        Ok(Doorbell(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    pub fn ring(&self) {
        // It cannot fail: the counter would take centuries to fill.
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    /// Forgets the rings so far, for an owner that polls the descriptor's state.
    pub fn clear(&self) {
        // Fails when it has not been rung, which is as good.
        let _ = (&self.0).read(&mut [0; 8]);
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The sending side of one core's inbox. Padded: each is written by its own core in every pass.
#[derive(Debug)]
#[repr(align(128))]
struct Address {
    sender: Sender<Parcel>,
    bell: Doorbell,
    parked: AtomicBool,
    /// The descriptor of the core's ring, for other rings to ring; negative while there is none.
    ring: AtomicI32,
}

/// Where every core of the process can be reached.
#[derive(Debug)]
pub struct Post {
    addresses: Vec<Address>,
    /// Held while the lock requests of one command are put into their inboxes, so that any two
    /// commands are met in the same order by every shard they share.
    order: Mutex<()>,
}

impl Post {
    /// The post of a process with so many cores, and each core's inbox.
    ///
    /// # Errors
    /// No descriptors left for the doorbells.
    pub fn new(cores: usize) -> io::Result<(Arc<Post>, Vec<Inbox>)> {
        let mut addresses = Vec::with_capacity(cores);
        let mut receivers = Vec::with_capacity(cores);
        for _ in 0..cores {
            let (sender, receiver) = unbounded();
            addresses.push(Address {
                sender,
                bell: Doorbell::new()?,
                parked: AtomicBool::new(false),
                ring: AtomicI32::new(-1),
            });
            receivers.push(receiver);
        }
        let post = Arc::new(Post { addresses, order: Mutex::new(()) });
        let inbox = |(core, receiver)| Inbox { core, receiver, post: Arc::clone(&post) };
        let inboxes = receivers.into_iter().enumerate().map(inbox).collect();
        Ok((post, inboxes))
    }

    /// Puts a parcel into a core's inbox, which takes it as soon as it is awake: see [`Post::wake`].
    pub fn put(&self, to: ShardId, parcel: Parcel) {
        // Fails only when that core has ended, and then nothing is expected of it.
        let _ = self.addresses[to].sender.send(parcel);
    }

    /// Wakes a core if it sleeps.
    pub fn wake(&self, core: ShardId) {
        if self.is_to_be_woken(core) {
            self.addresses[core].bell.ring();
        }
    }

    /// Whether the core sleeps; if so, it is the caller who must wake it.
    pub fn is_to_be_woken(&self, core: ShardId) -> bool {
        let parked = &self.addresses[core].parked;
        fence(Ordering::SeqCst);
        // The load first: to write to the flag of a core that is awake would slow it down.
        parked.load(Ordering::SeqCst) && parked.swap(false, Ordering::SeqCst)
    }

    /// Wakes a core that [`Post::is_to_be_woken`].
    pub fn ring_bell(&self, core: ShardId) {
        self.addresses[core].bell.ring();
    }

    /// The ring that the core sleeps in, if other rings can ring it.
    pub fn ring_of(&self, core: ShardId) -> Option<RawFd> {
        let ring = self.addresses[core].ring.load(Ordering::Relaxed);
        (ring >= 0).then_some(ring)
    }

    /// From now on the core can be woken through its ring; `None`: only by its doorbell.
    pub fn set_ring(&self, core: ShardId, ring: Option<RawFd>) {
        self.addresses[core].ring.store(ring.unwrap_or(-1), Ordering::Relaxed);
    }

    /// `put`, then `wake`.
    pub fn deliver(&self, to: ShardId, parcel: Parcel) {
        self.put(to, parcel);
        self.wake(to);
    }

    /// Puts parcels that must meet any other such group in the same order everywhere.
    pub fn put_ordered(&self, parcels: impl Iterator<Item = (ShardId, Parcel)>) {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        parcels.for_each(|(to, parcel)| self.put(to, parcel));
    }

    pub fn cores(&self) -> usize {
        self.addresses.len()
    }
}

/// The receiving side, owned by its core.
#[derive(Debug)]
pub struct Inbox {
    core: ShardId,
    receiver: Receiver<Parcel>,
    post: Arc<Post>,
}

impl Inbox {
    pub fn take(&self) -> Option<Parcel> {
        self.receiver.try_recv().ok()
    }

    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// Announces that the core is about to sleep; false if it must not, because there is mail.
    pub fn park(&self) -> bool {
        let parked = &self.post.addresses[self.core].parked;
        parked.store(true, Ordering::SeqCst);
        if self.receiver.is_empty() {
            return true;
        }
        parked.store(false, Ordering::Relaxed);
        false
    }

    /// After the sleep. A sender that still sees the flag rings once for nothing.
    pub fn unpark(&self) {
        self.post.addresses[self.core].parked.store(false, Ordering::Relaxed);
    }

    pub fn bell(&self) -> BorrowedFd<'_> {
        self.post.addresses[self.core].bell.fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings(inbox: &Inbox) -> u64 {
        let mut count = [0; 8];
        let mut bell = File::from(inbox.bell().try_clone_to_owned().unwrap());
        match bell.read_exact(&mut count) {
            Ok(_) => u64::from_ne_bytes(count),
            Err(_) => 0,
        }
    }

    #[test]
    fn only_a_parked_core_is_rung_and_only_once() {
        let (post, inboxes) = Post::new(2).unwrap();
        post.deliver(1, Parcel::Start);
        assert_eq!(rings(&inboxes[1]), 0, "awake");
        assert!(!inboxes[1].park(), "there is mail");
        assert!(matches!(inboxes[1].take(), Some(Parcel::Start)));
        assert!(inboxes[1].park());
        post.deliver(1, Parcel::Start);
        post.deliver(1, Parcel::Start);
        assert_eq!(rings(&inboxes[1]), 1);
        inboxes[1].unpark();
        assert!(inboxes[0].is_empty());
    }

    #[test]
    fn no_parcel_is_slept_through() {
        let (post, mut inboxes) = Post::new(1).unwrap();
        let inbox = inboxes.remove(0);
        const PARCELS: usize = 100_000;
        let sender = std::thread::spawn(move || {
            for _ in 0..PARCELS {
                post.deliver(0, Parcel::Start);
            }
        });
        let mut received = 0;
        while received < PARCELS {
            while inbox.take().is_some() {
                received += 1;
            }
            if received < PARCELS && inbox.park() {
                // Sleep as the ring would; a lost wake-up would let it time out.
                let mut poll = libc::pollfd {
                    fd: std::os::fd::AsRawFd::as_raw_fd(&inbox.bell()),
                    events: libc::POLLIN,
                    revents: 0,
                };
                // SAFETY: one entry, which lives during the call.
                let ready = unsafe { libc::poll(&raw mut poll, 1, 5_000) };
                assert_eq!(ready, 1, "asleep with mail: {received} of {PARCELS}");
                rings(&inbox);
                inbox.unpark();
            }
        }
        sender.join().unwrap();
    }
}
