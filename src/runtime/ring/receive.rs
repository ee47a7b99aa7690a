//! Receiving: one multishot receive per connection, into the ring's shared buffers.
//!
//! # Large things
//!
//! What is longer than a buffer of the ring and to be copied but once, the owner fetches into memory
//! of its own, with [`Ring::fetch`]: a system call for each part of it, which is little beside the
//! copy. A multishot receive would take most of it first. So once the owner has said that a
//! connection brings such things ([`Ring::fetch_next`]), the ring receives there piece by piece, and
//! only waits for readiness where the owner will fetch; a few pieces later it streams again. Nothing
//! of the owner's memory is ever in the kernel between two calls.
//!
//! # How a receive is stopped
//!
//! By a cancellation, which the kernel carries out while it submits it. It fails if the receive has
//! just ended by itself, and may fail while the kernel works on the receive. Success is silent: the
//! receive's own last completion follows. A failure completes, and the cancellation is repeated, in
//! the pass after, until the receive has ended or is wanted again. Submissions keep their order, so
//! a cancellation, however late, meets only receives older than itself.

use std::io;

use bytes::BufMut;
use io_uring::cqueue;

use super::connections::{Intake, Receive};
use super::token::{Operation, Token};
use super::{Chunk, Completion, Key, Ring};

/// How many pieces a connection receives behind a large one before it streams again: starting and
/// cancelling a stream costs more than some pieces.
const PIECES_BEHIND_LARGE: u8 = 8;

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

    /// The owner will fetch what comes next on this connection: it is told when there is something.
    pub fn fetch_next(&mut self, key: Key) {
        let Some(slot) = self.slots.open_mut(key) else { return };
        slot.fetches_next = true;
        slot.pieces_left = PIECES_BEHIND_LARGE;
        if slot.intake == Intake::Stream {
            self.end_receive(key);
        }
    }

    /// Receives at most `bytes_max` bytes into the owner's own memory, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing to receive or the kernel is still receiving into a buffer of
    /// the ring, and what recv(2) says; the end of the stream is no bytes. Both are reported as
    /// completions as well, later.
    pub fn fetch(
        &mut self,
        key: Key,
        into: &mut impl BufMut,
        bytes_max: usize,
    ) -> io::Result<usize> {
        let slot = self.slots.open_mut(key).filter(|slot| slot.receive == Receive::Off);
        let fd = slot.ok_or(io::ErrorKind::WouldBlock)?.fd;
        let room = into.chunk_mut();
        let len = room.len().min(bytes_max);
        // SAFETY: the kernel writes at most `len` bytes, and only during the call.
        let received = unsafe { libc::recv(fd, room.as_mut_ptr().cast(), len, libc::MSG_DONTWAIT) };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: so many bytes have been written.
        unsafe { into.advance_mut(received) };
        Ok(received)
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
            slot.intake = slot.next_intake();
            let token = Token { operation: Operation::Receive, key };
            match slot.intake {
                Intake::Stream => self.queue.receive(slot.fd, token),
                Intake::Piece => self.queue.receive_once(slot.fd, token),
                Intake::Readiness => self.queue.await_readable(slot.fd, token),
            }
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
        let (closing, intake) = match self.slots.get_mut(key) {
            Some(slot) => {
                if !more {
                    slot.receive = Receive::Off;
                }
                (slot.closing, slot.intake)
            }
            None => (true, Intake::Stream),
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
                match intake {
                    Intake::Stream if more => {}
                    Intake::Stream => self.arm_receive_if_wanted(key),
                    // The owner may want to fetch first.
                    Intake::Piece | Intake::Readiness => self.ended.push(key),
                }
                Some(Completion::Received { key, chunk })
            }
            (1.., None) if intake == Intake::Readiness => {
                self.ended.push(key);
                Some(Completion::Readable { key })
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
