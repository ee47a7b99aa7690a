//! What crosses threads in the server: the parcels, and what its [`super::post`] is made of.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::accepted::Accepted;
use super::hosted::Hosted;
use super::post::{self, Bell, Flag, Means, Number, Order, Queue, Source};
use crate::engine::{ShardId, Ticket};
use crate::session::Session;
use crate::txn::Message;

pub type Post = post::Post<Native, Parcel>;
pub type Inbox = post::Inbox<Native, Parcel>;
pub type Mail = post::Mail<Native, Parcel>;

/// Something for one core, or for one thread.
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
    /// A connection of another core that is to go on here; counted as ours already.
    Moved {
        socket: OwnedFd,
        session: Box<Session>,
    },
    /// A connection that is still to be admitted.
    Arrived(Accepted),
    /// For a thread: begin to accept.
    Start,
    /// For a thread: stop accepting, answer what has arrived, and end by that time of the monotonic
    /// clock.
    Stop {
        deadline_us: u64,
    },
    /// For a thread: a core that it is to run from now on.
    Core(Box<Hosted>),
    /// For a thread: the plan has changed.
    Rearrange,
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

/// Channels of crossbeam, eventfds and the atomics of the processor.
#[derive(Debug)]
pub enum Native {}

impl Means for Native {
    type Flag = AtomicBool;
    type Number = AtomicI32;
    type Bell = Doorbell;
    type Order = Mutex<()>;
    type Queue<T> = Sender<T>;
    type Source<T> = Receiver<T>;

    fn queue<T>() -> (Sender<T>, Receiver<T>) {
        unbounded()
    }

    #[inline]
    fn fence() {
        fence(Ordering::SeqCst);
    }
}

impl Flag for AtomicBool {
    fn new(value: bool) -> AtomicBool {
        AtomicBool::new(value)
    }

    #[inline]
    fn load(&self, ordering: Ordering) -> bool {
        self.load(ordering)
    }

    #[inline]
    fn store(&self, value: bool, ordering: Ordering) {
        self.store(value, ordering);
    }

    #[inline]
    fn swap(&self, value: bool, ordering: Ordering) -> bool {
        self.swap(value, ordering)
    }
}

impl Number for AtomicI32 {
    fn new(value: i32) -> AtomicI32 {
        AtomicI32::new(value)
    }

    #[inline]
    fn load(&self, ordering: Ordering) -> i32 {
        self.load(ordering)
    }

    fn store(&self, value: i32, ordering: Ordering) {
        self.store(value, ordering);
    }
}

impl Bell for Doorbell {
    fn new() -> io::Result<Doorbell> {
        Doorbell::new()
    }

    fn ring(&self) {
        self.ring();
    }
}

impl Order for Mutex<()> {
    fn new() -> Mutex<()> {
        Mutex::new(())
    }

    fn one_at_a_time(&self, work: impl FnOnce()) {
        let _order = self.lock().unwrap_or_else(PoisonError::into_inner);
        work();
    }
}

impl<T> Queue<T> for Sender<T> {
    #[inline]
    fn push(&self, item: T) {
        // Fails only when that core has ended, and then nothing is expected of it.
        let _ = self.send(item);
    }
}

impl<T> Source<T> for Receiver<T> {
    #[inline]
    fn pop(&self) -> Option<T> {
        self.try_recv().ok()
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings(inbox: &Inbox) -> u64 {
        let mut count = [0; 8];
        let mut bell = File::from(inbox.bell().fd().try_clone_to_owned().unwrap());
        match bell.read_exact(&mut count) {
            Ok(_) => u64::from_ne_bytes(count),
            Err(_) => 0,
        }
    }

    #[test]
    fn only_a_parked_core_is_rung_and_only_once() {
        let (post, mail) = Post::new(2).unwrap();
        let inboxes: Vec<Inbox> = mail.into_iter().map(|mail| mail.core).collect();
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
        let (post, mut mail) = Post::new(1).unwrap();
        let inbox = mail.remove(0).core;
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
                    fd: std::os::fd::AsRawFd::as_raw_fd(&inbox.bell().fd()),
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
