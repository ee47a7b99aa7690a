//! Sending: tried at once, and waited for only if the socket has no room. See [`super`].

use std::io;

use bytes::Bytes;

use super::connections::SendState;
use super::message::Insert;
use super::token::{Operation, Token};
use super::{Completion, Key, Ring};

/// How urgently the owner wants to know that its output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// As soon as the ring wakes up for another reason. Costs nothing.
    Whenever,
    /// Something waits for it: it ends the sleep. Costs a completion, and a pass.
    Soon,
}

impl Ring {
    /// Whether [`Ring::send`] would be accepted: open, and no earlier output on its way.
    pub fn can_send(&self, key: Key) -> bool {
        self.slots.open(key).is_some_and(|slot| slot.send == SendState::Idle)
    }

    /// Sends all of `output`, then reports [`Completion::Sent`] with its length: see [`Report`] for
    /// when. The ring keeps the buffer until then, and recycles it. Nothing is sent if
    /// [`Ring::can_send`] is false.
    pub fn send(&mut self, key: Key, output: Vec<u8>, report: Report) {
        self.begin_send(key, output, None, report);
    }

    /// As [`Ring::send`], with `bytes` behind the first `at` bytes of `output`, which are not copied.
    /// The length reported is that of both.
    pub fn send_around(
        &mut self,
        key: Key,
        output: Vec<u8>,
        at: usize,
        bytes: Bytes,
        report: Report,
    ) {
        assert!(at <= output.len());
        self.begin_send(key, output, Some(Box::new(Insert::new(at, bytes))), report);
    }

    #[inline]
    fn begin_send(
        &mut self,
        key: Key,
        output: Vec<u8>,
        insert: Option<Box<Insert>>,
        report: Report,
    ) {
        debug_assert!(self.can_send(key) && !output.is_empty());
        match self.slots.open_mut(key) {
            Some(slot) if slot.send == SendState::Idle && !output.is_empty() => {
                slot.output = output;
                slot.insert = insert;
                slot.sent = 0;
                slot.send = SendState::Trying;
                let token = Token { operation: Operation::Send, key };
                let silent = report == Report::Whenever;
                match &mut slot.insert {
                    None => self.queue.try_send(slot.fd, &slot.output, silent, token),
                    Some(insert) => {
                        let message = insert.message(&slot.output, 0);
                        self.queue.try_send_message(slot.fd, message, silent, token);
                    }
                }
                self.started.push(key);
            }
            _ => self.recycle(output),
        }
    }

    /// Has the kernel let go of a send that waits for a peer.
    pub(super) fn end_waiting_send(&mut self, key: Key) {
        if let Some(slot) = self.slots.get_mut(key)
            && slot.send == SendState::Waiting
        {
            self.queue.cancel(
                Token { operation: Operation::Send, key },
                Token { operation: Operation::CancelSend, key },
            );
        }
    }

    /// The completion of a send: of one that did not succeed at once, or of one that waited.
    pub(super) fn complete_send(&mut self, key: Key, result: i32) -> Option<Completion> {
        let slot = self.slots.get_mut(key)?;
        if slot.send == SendState::Trying {
            slot.trial = Some(result);
            return None;
        }
        slot.send = SendState::Idle;
        self.sent_part(key, result)
    }

    /// Decides a send that was tried, after every completion of its pass has been seen.
    pub(super) fn settle(&mut self, key: Key) -> Option<Completion> {
        let slot = self.slots.get_mut(key)?;
        debug_assert_eq!(slot.send, SendState::Trying);
        slot.send = SendState::Idle;
        match slot.trial.take() {
            None if !slot.closing => {
                let bytes = slot.output_bytes();
                let output = std::mem::take(&mut slot.output);
                slot.insert = None;
                self.recycle(output);
                Some(Completion::Sent { key, bytes })
            }
            None => {
                self.free_if_idle(key);
                None
            }
            Some(result) => self.sent_part(key, result),
        }
    }

    /// The kernel has taken `result` bytes, or none for the reason `-result`.
    fn sent_part(&mut self, key: Key, result: i32) -> Option<Completion> {
        let slot = self.slots.get_mut(key)?;
        if slot.closing {
            self.free_if_idle(key);
            return None;
        }
        slot.sent += usize::try_from(result).unwrap_or(0);
        let bytes = slot.output_bytes();
        let retry = matches!(-result, libc::EAGAIN | libc::EINTR | libc::ENOBUFS | libc::ENOMEM);
        if slot.sent < bytes && (result > 0 || retry) {
            slot.send = SendState::Waiting;
            let token = Token { operation: Operation::Send, key };
            match &mut slot.insert {
                None => self.queue.wait_send(slot.fd, &slot.output[slot.sent..], token),
                Some(insert) => {
                    let message = insert.message(&slot.output, slot.sent);
                    self.queue.wait_send_message(slot.fd, message, token);
                }
            }
            return None;
        }
        let delivered = slot.sent >= bytes;
        let output = std::mem::take(&mut slot.output);
        slot.insert = None;
        self.recycle(output);
        Some(if delivered {
            Completion::Sent { key, bytes }
        } else {
            // A send of at least one byte never takes none without a reason.
            let code = if result < 0 { -result } else { libc::EPIPE };
            Completion::SendFailed { key, error: io::Error::from_raw_os_error(code) }
        })
    }
}
