//! The network ring: one io_uring, the connections on it, and the buffers that they receive into.
//!
//! The ring knows sockets and bytes and nothing about what they mean, so that the server's driver
//! and the load generator can share it. One thread creates it, and only that thread may use it
//! (`SINGLE_ISSUER`, `DEFER_TASKRUN`: completions are produced inside [`Ring::enter`] and nowhere
//! else, so nothing interrupts the core in between).
//!
//! # One pass
//!
//! 1. [`Ring::enter`] hands everything queued to the kernel and, if asked, sleeps until something
//!    completes: the only system call of a pass.
//! 2. [`Ring::next`] is called until it returns `None`.
//! 3. Output is handed over with [`Ring::send`]; [`Ring::end_pass`] gives the kernel its buffers
//!    back.
//!
//! # How a send costs one completion less
//!
//! A send is first tried without waiting (`MSG_DONTWAIT`) and asks for a completion only if it
//! fails or stays short (`SKIP_SUCCESS`). Such a send is decided before `io_uring_enter` returns,
//! so no completion by then means that the kernel has taken every byte. That also lets the same
//! call submit the sends of a pass and sleep until the next request: completions of sends would
//! wake it at once. The price is that the owner learns of such a send only when the ring wakes up
//! next; where something waits for it ([`Report::Soon`]) the completion is asked for. What does not
//! fit into the socket is sent again with a send that waits, and whose completion always arrives.
//!
//! # Invariants
//!
//! - A buffer that is being sent belongs to its slot here, unmoved, until the kernel is done with it.
//! - A slot, and its descriptor, is reused only when no operation on it is left in the kernel
//!   (`connections`); a late completion carries an older generation and finds nobody.
//! - A receive buffer is given back exactly once ([`Chunk`] can be neither copied nor forgotten by
//!   accident: it is `must_use`).

mod buffers;
mod connections;
mod message;
mod queue;
mod receive;
mod send;
#[cfg(test)]
mod tests;
mod token;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use io_uring::cqueue;

use buffers::BufferRing;
pub use buffers::Chunk;
use connections::{Slot, Slots};
use queue::Queue;
pub use send::Report;
pub use token::Key;
use token::{Operation, Token};

/// Sizes of a ring. The defaults suit a server core; tests shrink them to reach the rare paths.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Submission queue entries, a power of two; more than that in one pass wait in user memory.
    pub entries: u32,
    /// Completion queue entries, a power of two; the kernel keeps what does not fit.
    pub completions: u32,
    /// Receive buffers, a power of two up to 32,768.
    pub buffers: u16,
    /// Of those, how many are in circulation at first; doubled whenever they run out. Few buffers
    /// stay in the cache, and the others stay untouched memory.
    pub buffers_circulating: u16,
    /// Bytes per receive buffer.
    pub buffer_bytes: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            entries: 1024,
            completions: 8192,
            buffers: 1024,
            buffers_circulating: 64,
            // A value of 16 KiB comes in one piece with its command.
            buffer_bytes: 17 * 1024,
        }
    }
}

/// Output buffers that are kept for the next send, and the largest capacity worth keeping.
const SPARE_BUFFERS_MAX: usize = 256;
const SPARE_CAPACITY_MAX: usize = 64 * 1024;

/// What [`Ring::next`] reports.
#[derive(Debug)]
pub enum Completion {
    /// A peer connected to this listener.
    Accepted { listener: u32, socket: OwnedFd },
    /// Accepting on this listener has ended; [`Ring::accept`] starts it again.
    AcceptFailed { listener: u32, error: io::Error },
    /// Bytes arrived: read them with [`Ring::data`], then give the buffer back.
    Received { key: Key, chunk: Chunk },
    /// There is something to [`Ring::fetch`].
    Readable { key: Key },
    /// The peer has closed its sending side, or reset the connection (`error`).
    Ended { key: Key, error: Option<io::Error> },
    /// The kernel has taken the whole output handed to [`Ring::send`], of so many bytes.
    Sent { key: Key, bytes: usize },
    /// The output cannot be delivered any more: the peer is gone.
    SendFailed { key: Key, error: io::Error },
    /// The descriptor given to [`Ring::watch`] was written to, or another ring rang this one.
    Doorbell,
    /// [`Ring::ring_peer`] did not work for this one: it must be woken in another way.
    NotRung { peer: u32 },
    /// The time set by [`Ring::wake_in`] has passed.
    Timer,
}

#[derive(Debug)]
struct Listener {
    fd: RawFd,
    armed: bool,
    wanted: bool,
}

/// See the module's documentation.
pub struct Ring {
    // Declared, and so dropped, before the memory that the kernel may write to.
    queue: Queue,
    buffers: BufferRing,
    slots: Slots,
    listeners: Vec<Listener>,
    bell: Option<RawFd>,
    bell_armed: bool,
    timer_armed: bool,
    /// Sends pushed since the last enter.
    started: Vec<Key>,
    /// Sends that the kernel has tried; each is settled once the completion queue is empty.
    settling: Vec<Key>,
    /// Receives that have done what they were to; the next ones are armed at the end of the pass.
    ended: Vec<Key>,
    /// Receives that ended because the kernel ran out of buffers.
    starved: Vec<Key>,
    spare: Vec<Vec<u8>>,
    /// Bytes of the spare buffers.
    spare_bytes: usize,
}

impl Ring {
    /// # Errors
    /// What `io_uring_setup` or `IORING_REGISTER_PBUF_RING` says; `EPERM`, `ENOSYS` and `ENOMEM`
    /// have causes that `startup` explains.
    pub fn new(options: Options) -> io::Result<Ring> {
        let queue = Queue::new(options.entries, options.completions)?;
        let buffers = BufferRing::new(
            &queue,
            options.buffers,
            options.buffers_circulating,
            options.buffer_bytes,
        )?;
        Ok(Ring {
            queue,
            buffers,
            slots: Slots::default(),
            listeners: Vec::new(),
            bell: None,
            bell_armed: false,
            timer_armed: false,
            started: Vec::new(),
            settling: Vec::new(),
            ended: Vec::new(),
            starved: Vec::new(),
            spare: Vec::new(),
            spare_bytes: 0,
        })
    }

    /// Submits what is queued. With `wait`, sleeps until there is a completion to read.
    ///
    /// # Errors
    /// Only what cannot pass by itself; shortages of kernel memory are waited out.
    pub fn enter(&mut self, wait: bool) -> io::Result<()> {
        if self.queue.enter(wait)? {
            self.settling.append(&mut self.started);
        }
        Ok(())
    }

    /// Whether something has happened that the next [`Ring::enter`] would report. Costs two loads,
    /// so that one may wait for it awake.
    #[inline]
    pub fn has_arrivals(&mut self) -> bool {
        self.queue.has_arrivals()
    }

    /// The next thing that happened; `None` when this pass has seen everything.
    #[expect(clippy::should_implement_trait, reason = "an iterator would borrow the ring")]
    pub fn next(&mut self) -> Option<Completion> {
        loop {
            while let Some(entry) = self.queue.completion() {
                if let Some(completion) = self.complete(&entry) {
                    return Some(completion);
                }
            }
            if self.settling.is_empty() {
                return None;
            }
            // The completion of a failed send may wait in the kernel for room in the queue.
            if self.queue.overflowed() {
                if self.queue.flush_overflow().is_err() {
                    return None;
                }
                continue;
            }
            let settled = self.settling.pop().and_then(|key| self.settle(key));
            if settled.is_some() {
                return settled;
            }
        }
    }

    fn complete(&mut self, entry: &cqueue::Entry) -> Option<Completion> {
        let token = Token::from_bits(entry.user_data());
        let (result, flags) = (entry.result(), entry.flags());
        match token.operation {
            Operation::Receive => self.complete_receive(token.key, result, flags),
            Operation::Send => self.complete_send(token.key, result),
            Operation::Accept => self.complete_accept(token.key.index, result, flags),
            Operation::Bell => {
                if !cqueue::more(flags) {
                    self.bell_armed = false;
                    self.arm_bell();
                }
                Some(Completion::Doorbell)
            }
            Operation::Timer => {
                self.timer_armed = false;
                Some(Completion::Timer)
            }
            Operation::Rung => Some(Completion::Doorbell),
            Operation::Ring => Some(Completion::NotRung { peer: token.key.index }),
            Operation::CancelReceive => {
                self.cancel_receive_failed(token.key);
                None
            }
            Operation::CancelSend => {
                // Only closing connections cancel theirs: it is repeated until the send has ended.
                self.end_waiting_send(token.key);
                None
            }
            Operation::Unanswered => None,
        }
    }

    /// Ends a pass: re-arms receives that had run out of buffers, and publishes the buffers given
    /// back since the last pass.
    pub fn end_pass(&mut self) {
        if !self.starved.is_empty() {
            self.buffers.circulate_more();
            for key in std::mem::take(&mut self.starved) {
                self.arm_receive_if_wanted(key);
            }
        }
        if !self.ended.is_empty() {
            let mut ended = std::mem::take(&mut self.ended);
            ended.drain(..).for_each(|key| self.arm_receive_if_wanted(key));
            self.ended = ended;
        }
        self.buffers.publish();
    }

    /// Whether work is queued that needs another [`Ring::enter`] to reach the kernel.
    pub fn has_queued(&mut self) -> bool {
        self.queue.has_queued()
    }

    // Listeners, doorbell, timer.

    /// Registers a listening socket, which the caller keeps open while the ring lives. The number
    /// returned names it from now on.
    pub fn add_listener(&mut self, listener: &impl AsRawFd) -> u32 {
        self.listeners.push(Listener { fd: listener.as_raw_fd(), armed: false, wanted: false });
        (self.listeners.len() - 1) as u32
    }

    /// Starts accepting, until [`Ring::stop_accepting`] or [`Completion::AcceptFailed`].
    pub fn accept(&mut self, listener: u32) {
        let Some(it) = self.listeners.get_mut(listener as usize) else { return };
        it.wanted = true;
        if !it.armed {
            it.armed = true;
            self.queue.accept(it.fd, Token::of_listener(listener));
        }
    }

    pub fn stop_accepting(&mut self, listener: u32) {
        let Some(it) = self.listeners.get_mut(listener as usize) else { return };
        it.wanted = false;
        if it.armed {
            self.queue.cancel(Token::of_listener(listener), Token::unanswered());
        }
    }

    fn complete_accept(&mut self, listener: u32, result: i32, flags: u32) -> Option<Completion> {
        let it = self.listeners.get_mut(listener as usize)?;
        if !cqueue::more(flags) {
            it.armed = false;
        }
        if result < 0 {
            if !it.wanted {
                return None;
            }
            if result == -libc::ECANCELED {
                // It was stopped, and is wanted again.
                self.accept(listener);
                return None;
            }
            let error = io::Error::from_raw_os_error(-result);
            return Some(Completion::AcceptFailed { listener, error });
        }
        if !it.armed && it.wanted {
            self.accept(listener);
        }
        // SAFETY: a successful accept returns a new descriptor that nobody else owns.
        let socket = unsafe { OwnedFd::from_raw_fd(result) };
        Some(Completion::Accepted { listener, socket })
    }

    /// Reports [`Completion::Doorbell`] whenever this eventfd is written to. It need not be read.
    pub fn watch(&mut self, eventfd: &impl AsRawFd) {
        self.bell = Some(eventfd.as_raw_fd());
        self.arm_bell();
    }

    /// Wakes another ring of this process with the next [`Ring::enter`], without a system call of
    /// its own. `peer` is the caller's number for it.
    pub fn ring_peer(&mut self, ring: RawFd, peer: u32) {
        self.queue.ring_peer(ring, Token::of_peer(peer));
    }

    fn arm_bell(&mut self) {
        if let Some(fd) = self.bell
            && !self.bell_armed
        {
            self.bell_armed = true;
            self.queue.poll(fd, Token::bell());
        }
    }

    /// Asks for one [`Completion::Timer`] after `delay`; replaces what was asked before. A timer
    /// in the ring costs nothing per sleep, unlike a timeout of the sleep itself.
    pub fn wake_in(&mut self, delay: Duration) {
        self.queue.timer(delay, Token::timer(), self.timer_armed);
        self.timer_armed = true;
    }

    // Connections.

    /// Takes a connected socket in. Nothing happens on it before [`Ring::receive`] or
    /// [`Ring::send`]. `None` (and the socket closed) when there are 16 million already.
    pub fn insert(&mut self, socket: OwnedFd) -> Option<Key> {
        self.slots.insert(socket)
    }

    pub fn is_open(&self, key: Key) -> bool {
        self.slots.open(key).is_some()
    }

    /// Slots that are in use, those still waiting for the kernel to let go included.
    pub fn connections(&self) -> usize {
        self.slots.used()
    }

    /// The descriptor, for socket options; `None` once closed.
    pub fn socket(&self, key: Key) -> Option<RawFd> {
        self.slots.open(key).map(|slot| slot.fd)
    }

    /// Whether nothing of this connection is in the kernel: no receive, which ends some passes after
    /// [`Ring::pause`], and no output on its way. Everything about it has been reported then. False
    /// once closed.
    pub fn is_quiet(&self, key: Key) -> bool {
        self.slots.open(key).is_some_and(Slot::is_idle)
    }

    /// Hands the socket out and forgets the connection, so that another ring can have it. What has
    /// not been received yet, the end of the stream and a reset included, waits in the socket.
    /// `None`, and nothing changes, unless [`Ring::is_quiet`].
    pub fn take(&mut self, key: Key) -> Option<OwnedFd> {
        if !self.is_quiet(key) {
            return None;
        }
        let fd = self.slots.remove(key)?;
        // SAFETY: the slot owned it, and nobody else knows it any more.
        Some(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Forgets the connection and closes its socket as soon as the kernel has let go of it. What
    /// was not sent is lost. Nothing about this key is reported from now on.
    pub fn close(&mut self, key: Key) {
        let Some(slot) = self.slots.open_mut(key) else { return };
        slot.closing = true;
        slot.receive_wanted = false;
        self.end_receive(key);
        self.end_waiting_send(key);
        self.free_if_idle(key);
    }

    /// Sends the end of the stream to the peer, which may still send.
    pub fn shutdown_write(&mut self, key: Key) {
        if let Some(slot) = self.slots.open(key) {
            // Not through the ring: it would hand a shutdown to a worker thread.
            // SAFETY: no memory is passed, and the slot owns the descriptor.
            unsafe { libc::shutdown(slot.fd, libc::SHUT_WR) };
        }
    }

    /// Every connection that is open.
    pub fn keys(&self) -> Vec<Key> {
        self.slots.keys()
    }

    /// Whether output of any open connection is on its way.
    pub fn is_sending(&self) -> bool {
        self.slots.keys().into_iter().any(|key| !self.can_send(key))
    }

    /// Lets go of a closing connection once the kernel has.
    fn free_if_idle(&mut self, key: Key) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        if !slot.closing || !slot.is_idle() {
            return;
        }
        let output = std::mem::take(&mut slot.output);
        slot.insert = None;
        if let Some(fd) = self.slots.remove(key) {
            self.queue.close(fd);
        }
        self.recycle(output);
    }

    /// Bytes of the queues and of the buffers: those to receive into that are in circulation, and
    /// those kept for the next output. Output on its way is its owner's to count.
    pub fn memory(&self) -> usize {
        self.queue.memory() + self.buffers.memory() + self.spare_bytes
    }

    /// An empty output buffer, with the capacity of an earlier one where possible.
    pub fn spare_buffer(&mut self) -> Vec<u8> {
        let buffer = self.spare.pop().unwrap_or_default();
        self.spare_bytes -= buffer.capacity();
        buffer
    }

    /// Takes a buffer back for [`Ring::spare_buffer`].
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if (1..=SPARE_CAPACITY_MAX).contains(&capacity) && self.spare.len() < SPARE_BUFFERS_MAX {
            buffer.clear();
            self.spare_bytes += capacity;
            self.spare.push(buffer);
        }
    }
}

impl AsRawFd for Ring {
    /// What [`Ring::ring_peer`] of another ring takes.
    fn as_raw_fd(&self) -> RawFd {
        self.queue.fd()
    }
}

impl Drop for Ring {
    /// Waits until the kernel has let go of every buffer; memory that it would not let go of is
    /// leaked rather than freed under its hands.
    fn drop(&mut self) {
        let quiet = self.queue.cancel_all();
        if !quiet {
            self.buffers.leak();
            self.slots.leak_outputs();
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("connections", &self.connections()).finish_non_exhaustive()
    }
}
