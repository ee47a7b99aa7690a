//! Receiving: one multishot receive per connection, into the ring's shared buffers.
//!
//! # How a receive is stopped
//!
//! By a cancellation, which the kernel carries out while it submits it. It fails if the receive has
//! just ended by itself, and may fail while the kernel works on the receive. Success is silent: the
//! receive's own last completion follows. A failure completes, and the cancellation is repeated, in
//! the pass after, until the receive has ended or is wanted again. Submissions keep their order, so
//! a cancellation, however late, meets only receives older than itself.

use std::io;

use io_uring::cqueue;

use super::connections::Receive;
use super::token::{Operation, Token};
use super::{Chunk, Completion, Key, Ring};

impl Ring {
    /// Starts receiving, or resumes it after [`Ring::pause`].
    pub fn receive(&mut self, key: Key) {
        if let Some(slot) = self.slots.open_mut(key) {
            slot.receive_wanted = true;
            self.arm_receive_if_wanted(key);
        }
    }

    /// Stops receiving, so that the peer is slowed down by its window. Bytes that the kernel has
    /// already delivered are still reported.
    pub fn pause(&mut self, key: Key) {
        if let Some(slot) = self.slots.open_mut(key) {
            slot.receive_wanted = false;
            self.end_receive(key);
        }
    }

    /// Has the kernel let go of the receive, of a closing connection too. One that is ending already
    /// is left alone.
    pub(super) fn end_receive(&mut self, key: Key) {
        if let Some(slot) = self.slots.get_mut(key)
            && slot.receive == Receive::Armed
        {
            slot.receive = Receive::Cancelling;
            self.queue.cancel(
                Token { operation: Operation::Receive, key },
                Token { operation: Operation::CancelReceive, key },
            );
        }
    }

    /// The receive could not be cancelled: either it has ended, or it goes on.
    pub(super) fn cancel_receive_failed(&mut self, key: Key) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        if slot.receive == Receive::Cancelling {
            // If it has ended, its last completion says so, soon.
            slot.receive = Receive::Armed;
            if !slot.receive_wanted {
                self.end_receive(key);
            }
        }
    }

    /// The bytes of a [`Completion::Received`].
    pub fn data(&self, chunk: &Chunk) -> &[u8] {
        self.buffers.data(chunk)
    }

    /// Gives a receive buffer back; the kernel sees it after [`Ring::end_pass`].
    pub fn give_back(&mut self, chunk: Chunk) {
        self.buffers.give_back(chunk);
    }

    pub(super) fn arm_receive_if_wanted(&mut self, key: Key) {
        if let Some(slot) = self.slots.open_mut(key)
            && slot.receive_wanted
            && slot.receive == Receive::Off
        {
            slot.receive = Receive::Armed;
            self.queue.receive(slot.fd, Token { operation: Operation::Receive, key });
        }
    }

    pub(super) fn complete_receive(
        &mut self,
        key: Key,
        result: i32,
        flags: u32,
    ) -> Option<Completion> {
        let chunk = cqueue::buffer_select(flags)
            .map(|id| self.buffers.taken(id, u32::try_from(result).unwrap_or(0)));
        let more = cqueue::more(flags);
        // Not `None` while the receive is in the kernel: slots outlive their operations.
        let closing = match self.slots.get_mut(key) {
            Some(slot) => {
                if !more {
                    slot.receive = Receive::Off;
                }
                slot.closing
            }
            None => true,
        };
        if closing {
            if let Some(chunk) = chunk {
                self.buffers.give_back(chunk);
            }
            self.free_if_idle(key);
            return None;
        }
        match (result, chunk) {
            (1.., Some(chunk)) => {
                if !more {
                    self.arm_receive_if_wanted(key);
                }
                Some(Completion::Received { key, chunk })
            }
            (_, chunk) => {
                if let Some(chunk) = chunk {
                    self.buffers.give_back(chunk);
                }
                self.receive_stopped(key, result)
            }
        }
    }

    /// A receive that brought no bytes: the end of the stream, an error, or nothing of either.
    fn receive_stopped(&mut self, key: Key, result: i32) -> Option<Completion> {
        match -result {
            0 => Some(Completion::Ended { key, error: None }),
            libc::ENOBUFS => {
                self.starved.push(key);
                None
            }
            libc::ECANCELED | libc::EAGAIN | libc::EINTR => {
                self.arm_receive_if_wanted(key);
                None
            }
            code => {
                Some(Completion::Ended { key, error: Some(io::Error::from_raw_os_error(code)) })
            }
        }
    }
}
