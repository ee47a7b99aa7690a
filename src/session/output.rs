//! A connection's replies, kept in the order of its requests though some come from other shards.
//!
//! Replies run straight into `ready` while nothing is awaited. A request to another shard reserves
//! a slot; what is answered here behind it gathers in `staged` until the slots before it are filled.
//!
//! A large value is not copied into `ready`: it is sent from where it lies, see [`Apart`].

use std::collections::VecDeque;

use bytes::Bytes;

/// Bytes that the requests under way on other shards and the replies awaited from them may be
/// expected to have.
const AWAITED_BYTES_MAX: usize = 1024 * 1024;
/// What a reply is expected to have before any has come, and at least. The least leaves room for
/// deep pipelines and still bounds what a client gains that asks for small values before large ones.
const EXPECTED_BYTES_FIRST: usize = 32 * 1024;
const EXPECTED_BYTES_MIN: usize = 4096;
/// Bytes of an empty buffer that a connection may keep.
const KEPT_CAPACITY_MAX: usize = 64 * 1024;

/// A part of the output that lies elsewhere.
#[derive(Clone, Debug)]
pub struct Apart {
    /// How many of the other bytes come before it.
    pub at: usize,
    pub bytes: Bytes,
}

#[derive(Debug)]
pub struct Output {
    /// May be sent.
    ready: Vec<u8>,
    /// What belongs in between, in order.
    apart: VecDeque<Apart>,
    /// Bytes in `apart`.
    apart_bytes: usize,
    /// Local replies that follow slots, one behind the other.
    staged: Vec<u8>,
    /// How much of `staged` has moved to `ready`.
    staged_start: usize,
    slots: VecDeque<Slot>,
    /// The sequence number of the first slot.
    first_sequence: u32,
    /// Bytes that replies hold in slots behind an unfilled one.
    stored_bytes: usize,
    /// Handed to the runtime and not yet taken by the kernel.
    in_flight: usize,
    /// The size of the largest of the latest replies of other shards, decaying.
    expected_bytes: usize,
    /// Bytes that the requests behind unfilled slots hold elsewhere.
    request_bytes: usize,
    /// The size of the largest of the latest sends, decaying.
    largest_send: usize,
}

impl Default for Output {
    fn default() -> Self {
        Output {
            ready: Vec::new(),
            apart: VecDeque::new(),
            apart_bytes: 0,
            staged: Vec::new(),
            staged_start: 0,
            slots: VecDeque::new(),
            first_sequence: 0,
            stored_bytes: 0,
            in_flight: 0,
            expected_bytes: EXPECTED_BYTES_FIRST,
            request_bytes: 0,
            largest_send: 0,
        }
    }
}

#[derive(Debug)]
struct Slot {
    /// Filled before its turn.
    stored: Option<Vec<u8>>,
    /// Bytes of `staged` that follow this slot's reply.
    trailing: usize,
    /// Its part in `Output::request_bytes`.
    request_bytes: usize,
    /// The client wants no reply to this one (CLIENT REPLY).
    discard: bool,
}

impl Output {
    /// Where the reply to a command that runs here is to be written, whole, right now. Call
    /// [`Output::wrote`] afterwards with the buffer's length before.
    #[inline]
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.slots.is_empty() { &mut self.ready } else { &mut self.staged }
    }

    /// Whether replies go straight into what may be sent, so that parts of them may lie elsewhere.
    #[inline]
    pub fn may_add_apart(&self) -> bool {
        self.slots.is_empty()
    }

    /// Adds bytes that lie elsewhere behind what has been written, which [`Output::may_add_apart`].
    pub fn add_apart(&mut self, bytes: Bytes) {
        debug_assert!(self.may_add_apart());
        self.apart_bytes += bytes.len();
        self.apart.push_back(Apart { at: self.ready.len(), bytes });
    }

    /// Accounts what was appended to [`Output::buffer`] since it was `before` bytes long.
    #[inline]
    pub fn wrote(&mut self, before: usize) {
        if let Some(last) = self.slots.back_mut() {
            last.trailing += self.staged.len() - before;
        }
    }

    /// Reserves the place of a reply that comes later; the number names it in [`Output::fill`].
    /// Until then the request holds `request_bytes` elsewhere.
    #[inline]
    pub fn reserve(&mut self, discard: bool, request_bytes: usize) -> u32 {
        let sequence = self.first_sequence.wrapping_add(self.slots.len() as u32);
        self.request_bytes += request_bytes;
        self.slots.push_back(Slot { stored: None, trailing: 0, request_bytes, discard });
        sequence
    }

    /// The reply for a reserved place.
    pub fn fill(&mut self, sequence: u32, reply: &[u8]) {
        let index = sequence.wrapping_sub(self.first_sequence) as usize;
        let Some(slot) = self.slots.get_mut(index) else {
            debug_assert!(false, "a reply for a slot that is not reserved");
            return;
        };
        self.request_bytes -= std::mem::take(&mut slot.request_bytes);
        let decayed = self.expected_bytes - self.expected_bytes / 32;
        self.expected_bytes = decayed.max(reply.len()).max(EXPECTED_BYTES_MIN);
        let reply = if slot.discard { &[] } else { reply };
        if index > 0 {
            slot.stored = Some(reply.to_vec());
            self.stored_bytes += reply.len();
            return;
        }
        self.ready.extend_from_slice(reply);
        self.finish_first();
        while self.slots.front().is_some_and(|slot| slot.stored.is_some()) {
            if let Some(stored) = self.slots.front_mut().and_then(|slot| slot.stored.take()) {
                self.stored_bytes -= stored.len();
                self.ready.extend_from_slice(&stored);
            }
            self.finish_first();
        }
        self.compact_staged();
    }

    /// Gives back what has moved from `staged`. There may always be a slot that is not filled, as
    /// long as the client sends without waiting, so this can't wait for the last one.
    fn compact_staged(&mut self) {
        if self.staged_start == self.staged.len() {
            self.staged.clear();
            self.staged_start = 0;
            if self.staged.capacity() > KEPT_CAPACITY_MAX {
                self.staged = Vec::new();
            }
        } else if self.staged_start > KEPT_CAPACITY_MAX.max(self.staged.len() / 2) {
            self.staged.drain(..self.staged_start);
            self.staged_start = 0;
            self.staged.shrink_to(KEPT_CAPACITY_MAX);
        }
    }

    fn finish_first(&mut self) {
        let Some(slot) = self.slots.pop_front() else { return };
        self.first_sequence = self.first_sequence.wrapping_add(1);
        let end = self.staged_start + slot.trailing;
        self.ready.extend_from_slice(&self.staged[self.staged_start..end]);
        self.staged_start = end;
    }

    /// Requests whose replies are awaited.
    #[inline]
    pub fn awaited(&self) -> usize {
        self.slots.len()
    }

    /// Whether so many replies are awaited that more of their size could take too much memory: other
    /// shards answer all at once, however slowly the client reads. Likewise for requests, of which a
    /// slow shard may be sent more than it can take.
    #[inline]
    pub fn awaits_enough(&self) -> bool {
        self.slots.len() * self.expected_bytes + self.request_bytes >= AWAITED_BYTES_MAX
    }

    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    #[inline]
    pub fn ready_bytes(&self) -> usize {
        self.ready.len() + self.apart_bytes
    }

    /// All bytes that the client has not been sent.
    #[inline]
    pub fn unsent_bytes(&self) -> usize {
        self.ready_bytes() + self.staged.len() - self.staged_start
            + self.stored_bytes
            + self.in_flight
    }

    /// Throws away what is ready: there is nobody left to read it.
    pub fn discard_ready(&mut self) {
        self.ready = Vec::new();
        self.apart = VecDeque::new();
        self.apart_bytes = 0;
    }

    /// Moves what is ready into `buffer`, which must be empty; its memory is used again.
    pub fn take(&mut self, buffer: &mut Vec<u8>) {
        while let Some(Apart { at, bytes }) = self.apart.pop_back() {
            self.apart_bytes -= bytes.len();
            self.ready.splice(at..at, bytes);
        }
        self.take_ready(buffer);
    }

    /// As [`Output::take`], but for a part that lies elsewhere, of which there is at most one: what
    /// is ready behind it and another one stays.
    #[inline]
    pub fn take_with_apart(&mut self, buffer: &mut Vec<u8>) -> Option<Apart> {
        let first = self.apart.pop_front();
        match first {
            None => self.take_ready(buffer),
            Some(_) => self.take_to_next_apart(buffer),
        }
        if let Some(Apart { bytes, .. }) = &first {
            self.apart_bytes -= bytes.len();
            self.in_flight += bytes.len();
        }
        first
    }

    fn take_to_next_apart(&mut self, buffer: &mut Vec<u8>) {
        let Some(end) = self.apart.front().map(|next| next.at) else {
            return self.take_ready(buffer);
        };
        buffer.extend(self.ready.drain(..end));
        self.apart.iter_mut().for_each(|later| later.at -= end);
        self.in_flight += end;
    }

    #[inline]
    fn take_ready(&mut self, buffer: &mut Vec<u8>) {
        debug_assert!(buffer.is_empty());
        std::mem::swap(&mut self.ready, buffer);
        if self.ready.capacity() > KEPT_CAPACITY_MAX {
            self.ready = Vec::new();
        }
        self.in_flight += buffer.len();
        let decayed = self.largest_send - self.largest_send / 32;
        self.largest_send = decayed.max(buffer.len());
    }

    /// Bytes of the buffer that is sent next, whether or not there is anything in it, and of what
    /// is being sent.
    #[inline]
    pub fn buffer_capacity(&self) -> usize {
        self.ready.capacity() + self.apart_bytes + self.in_flight
    }

    /// The most bytes that one of the latest sends had.
    pub fn largest_send(&self) -> usize {
        self.largest_send
    }

    /// Bytes that wait for nothing but the client.
    pub fn sendable_bytes(&self) -> usize {
        self.ready_bytes() + self.in_flight
    }

    /// Bytes of the replies that wait behind others, and of the slots.
    #[inline]
    pub fn queued_memory(&self) -> usize {
        self.staged.capacity() + self.slots.capacity() * size_of::<Slot>() + self.stored_bytes
    }

    /// Bytes of all buffers; what requests hold elsewhere is not included.
    #[inline]
    pub fn memory(&self) -> usize {
        self.buffer_capacity() + self.queued_memory()
    }

    /// Bytes that the requests behind unfilled slots hold elsewhere.
    #[inline]
    pub fn request_bytes(&self) -> usize {
        self.request_bytes
    }

    /// The kernel has taken so many bytes.
    pub fn sent(&mut self, bytes: usize) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{AWAITED_BYTES_MAX, Apart, EXPECTED_BYTES_FIRST, KEPT_CAPACITY_MAX, Output};

    fn local(output: &mut Output, reply: &[u8]) {
        let before = output.buffer().len();
        output.buffer().extend_from_slice(reply);
        output.wrote(before);
    }

    fn ready(output: &mut Output) -> Vec<u8> {
        let mut bytes = Vec::new();
        output.take(&mut bytes);
        bytes
    }

    #[test]
    fn fewer_large_replies_are_awaited_than_small_ones() {
        let mut output = Output::default();
        let mut awaited_at_most = |reply: &[u8]| {
            for _ in 0..10_000 {
                while !output.awaits_enough() {
                    output.reserve(false, 0);
                }
                output.fill(output.first_sequence, reply);
            }
            output.awaited() + 1
        };
        assert_eq!(awaited_at_most(b"+OK"), 256);
        assert_eq!(awaited_at_most(&[0; 100_000]), 11);
        assert_eq!(awaited_at_most(b"+OK"), 256);
    }

    #[test]
    fn replies_leave_in_the_order_of_the_requests() {
        let mut output = Output::default();
        local(&mut output, b"a");
        let first = output.reserve(false, 0);
        local(&mut output, b"c");
        local(&mut output, b"d");
        let second = output.reserve(true, 0);
        let third = output.reserve(false, 0);
        local(&mut output, b"g");
        assert_eq!(ready(&mut output), b"a");
        output.fill(third, b"f");
        assert_eq!((ready(&mut output), output.awaited()), (vec![], 3));
        output.fill(first, b"b");
        assert_eq!(ready(&mut output), b"bcd");
        output.fill(second, b"never shown");
        assert_eq!((ready(&mut output), output.awaited()), (b"fg".to_vec(), 0));
        local(&mut output, b"h");
        assert_eq!(ready(&mut output), b"h");
        output.sent(8);
        assert_eq!(output.unsent_bytes(), 0);
    }

    #[test]
    fn what_lies_elsewhere_is_sent_in_its_place() {
        let filled = || {
            let mut output = Output::default();
            for large in [&b"LARGE"[..], b"HUGE"] {
                local(&mut output, b"<");
                output.add_apart(Bytes::from_static(large));
                local(&mut output, b">");
            }
            output
        };
        let mut output = filled();
        assert_eq!((output.ready_bytes(), output.unsent_bytes()), (13, 13));
        assert_eq!(ready(&mut output), b"<LARGE><HUGE>");
        assert_eq!((output.has_ready(), output.unsent_bytes()), (false, 13));
        let (mut output, mut sent) = (filled(), 0);
        for expected in [&b"<LARGE><"[..], b"HUGE>", b""] {
            assert_eq!(output.unsent_bytes(), 13);
            let mut bytes = Vec::new();
            if let Some(Apart { at, bytes: apart }) = output.take_with_apart(&mut bytes) {
                bytes.splice(at..at, apart);
            }
            assert_eq!(bytes, expected);
            sent += bytes.len();
            assert_eq!(output.ready_bytes(), 13 - sent);
        }
        output.sent(13);
        assert_eq!(output.unsent_bytes(), 0);
        let mut output = filled();
        output.discard_ready();
        assert_eq!((output.unsent_bytes(), output.has_ready()), (0, false));
    }

    #[test]
    fn requests_under_way_and_unwanted_replies_count_too() {
        let mut output = Output::default();
        output.reserve(false, AWAITED_BYTES_MAX - EXPECTED_BYTES_FIRST - 1);
        assert!(!output.awaits_enough());
        let second = output.reserve(true, 1);
        assert!(output.awaits_enough());
        output.fill(output.first_sequence, b"r");
        assert!(!output.awaits_enough());
        output.fill(second, &[b'r'; AWAITED_BYTES_MAX]);
        output.reserve(true, 0);
        assert!(output.awaits_enough());
    }

    #[test]
    fn replies_that_have_moved_on_hold_no_memory() {
        let mut output = Output::default();
        let mut awaited = output.reserve(false, 0);
        for _ in 0..10_000 {
            local(&mut output, &[b'l'; 100]);
            let next = output.reserve(false, 0);
            output.fill(awaited, b"r");
            awaited = next;
            let sent = ready(&mut output).len();
            output.sent(sent);
        }
        assert_eq!(output.unsent_bytes(), 0);
        assert!(output.staged.capacity() <= 4 * KEPT_CAPACITY_MAX, "{}", output.staged.capacity());
        local(&mut output, &[b'l'; 1 << 20]);
        output.fill(awaited, b"r");
        assert!(output.staged.capacity() <= KEPT_CAPACITY_MAX);
    }
}
