//! Receiving: one multishot receive per connection, into the ring's shared buffers.

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
        let Some(slot) = self.slots.open_mut(key) else { return };
        slot.receive_wanted = false;
        if slot.receive == Receive::Armed {
            slot.receive = Receive::Cancelling;
            self.queue.cancel(Token { operation: Operation::Receive, key });
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
