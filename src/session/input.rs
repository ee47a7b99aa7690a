//! What a client has sent and the server has not executed yet.
//!
//! The decoder needs a command in one piece, so what it works on is one buffer, the front. What
//! arrives while the session may not go on can be a gigabyte; in one buffer that would be copied
//! whenever the buffer grows, and again to give its memory back. So it waits in chunks of one size
//! behind the front, is moved there chunk by chunk, and each chunk is freed as soon as that is done:
//! no byte is copied more than three times, however much waits and however little runs at a time.
//!
//! A command with a large argument has a buffer of its own in the place of the front, of which the
//! argument can become a stored value without another copy ([`Incoming`]). The runtime can receive
//! straight into it.

use std::collections::VecDeque;

use bytes::BufMut;

use crate::protocol::resp::Awaited;
use crate::store::{Incoming, Payload};

/// The size of a chunk. As much may wait in the front alone, which most stalled sessions never
/// exceed.
const CHUNK_BYTES: usize = 64 * 1024;
/// An empty front may keep this much memory.
const KEPT_CAPACITY_MAX: usize = 64 * 1024;
/// Memory for a long command is taken ahead of its bytes: up to so many times what has come of it
/// while that is at most `AHEAD_BYTES_MAX`, and up to twice as much above. An announced length alone
/// takes no more than `AHEAD_BYTES_MIN`.
const AHEAD_MULTIPLE_MAX: usize = 64;
const AHEAD_BYTES_MIN: usize = 16 * 1024;
const AHEAD_BYTES_MAX: usize = 1024 * 1024 + CHUNK_BYTES;
/// An argument that is incomplete and at least so long gets a buffer of its own. Redis:
/// PROTO_MBULK_BIG_ARG.
const LARGE_ARGUMENT_BYTES: usize = 32 * 1024;

#[derive(Debug, Default)]
pub struct Input {
    front: Vec<u8>,
    /// In the place of the front, which is empty then: a command with a large argument.
    incoming: Option<Incoming>,
    /// How much of the front has been executed.
    start: usize,
    /// What comes behind the front; none of them is empty.
    chunks: VecDeque<Vec<u8>>,
    /// Bytes in `chunks`.
    chunk_bytes: usize,
}

impl Input {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.front.len() && self.incoming.is_none() && self.chunks.is_empty()
    }

    /// Bytes that are not executed.
    #[inline]
    pub fn len(&self) -> usize {
        self.front().len() + self.chunk_bytes
    }

    /// Bytes of all buffers.
    #[inline]
    pub fn memory(&self) -> usize {
        self.front.capacity()
            + self.incoming.as_ref().map_or(0, Incoming::memory)
            + self.chunks.len() * CHUNK_BYTES
            + self.chunks.capacity() * size_of::<Vec<u8>>()
    }

    /// The first of the bytes: everything, unless [`Input::refill`] finds more.
    #[inline]
    pub fn front(&self) -> &[u8] {
        match &self.incoming {
            None => &self.front[self.start..],
            Some(incoming) => incoming.bytes(),
        }
    }

    /// The large argument of the command at the front, to be stored where it lies.
    pub fn payload(&self) -> Option<Payload> {
        self.incoming.as_ref()?.payload()
    }

    /// Adds bytes to the command whose beginning the front is, and which awaits so much.
    pub fn extend(&mut self, data: &[u8], awaited: Awaited) {
        if data.is_empty() {
            return;
        }
        if !self.chunks.is_empty() {
            return self.queue(data);
        }
        self.drop_executed();
        self.append(data, awaited);
    }

    /// Adds to the front, whose memory grows in as few steps as the limits allow: every step copies
    /// what is there.
    fn append(&mut self, data: &[u8], awaited: Awaited) {
        if awaited.argument >= LARGE_ARGUMENT_BYTES && self.incoming.is_none() {
            self.begin_incoming(data, awaited);
        }
        if self.incoming.is_some() {
            return self.append_incoming(data, awaited.bytes);
        }
        let len = self.front.len() + data.len();
        if len > self.front.capacity() && awaited.bytes > len {
            // The last receive may bring the beginning of the next command, too.
            let capacity = capacity_for(len, awaited.bytes.saturating_add(data.len()));
            self.front.reserve_exact(capacity - self.front.len());
        }
        self.front.extend_from_slice(data);
    }

    /// Gives a command a buffer of its own, of which `data` is the next part.
    fn begin_incoming(&mut self, data: &[u8], awaited: Awaited) {
        let argument_at = awaited.bytes.saturating_sub(awaited.argument + 2);
        let Ok(argument_at) = u32::try_from(argument_at) else { return };
        let front = std::mem::take(&mut self.front);
        let capacity = capacity_for(front.len() + data.len(), awaited.bytes);
        self.incoming = Some(Incoming::new(&front, argument_at, awaited.argument, capacity));
    }

    /// Adds to the command that has a buffer of its own. What comes behind its large argument may
    /// be the next command, and waits.
    fn append_incoming(&mut self, data: &[u8], needed: usize) {
        let Some(incoming) = &mut self.incoming else { return };
        let (filled, mut later) = (incoming.bytes().len(), &[][..]);
        let mut now = data;
        if needed > filled && needed - filled < data.len() {
            (now, later) = data.split_at(needed - filled);
        }
        let len = filled + now.len();
        if len > incoming.capacity() {
            incoming.reserve(capacity_for(len, needed));
        }
        incoming.put_slice(now);
        if self.chunks.is_empty() {
            self.queue(later);
        } else if !later.is_empty() {
            // The rest of a chunk comes before the others.
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            chunk.extend_from_slice(later);
            self.chunk_bytes += later.len();
            self.chunks.push_front(chunk);
        }
    }

    /// Where bytes can be received to that the command at the front awaits, and how many; `None`
    /// unless it has a buffer of its own.
    pub fn room(&mut self, awaited: Awaited) -> Option<(&mut Incoming, usize)> {
        if !self.chunks.is_empty() {
            return None;
        }
        let incoming = self.incoming.as_mut()?;
        let filled = incoming.bytes().len();
        let missing = awaited.bytes.checked_sub(filled).filter(|missing| *missing > 0)?;
        if filled == incoming.capacity() {
            incoming.reserve(capacity_for(filled + 1, awaited.bytes));
        }
        Some((incoming, missing))
    }

    /// Adds bytes that will not be looked at soon.
    pub fn queue(&mut self, mut data: &[u8]) {
        if self.chunks.is_empty() && self.incoming.is_none() {
            // To move the rest must pay off.
            if self.start >= self.front.len() - self.start {
                self.drop_executed();
            }
            if self.front.len() + data.len() <= CHUNK_BYTES {
                return self.front.extend_from_slice(data);
            }
        }
        self.chunk_bytes += data.len();
        while !data.is_empty() {
            if self.chunks.back().is_none_or(|chunk| chunk.len() == CHUNK_BYTES) {
                self.chunks.push_back(Vec::with_capacity(CHUNK_BYTES));
            }
            let Some(chunk) = self.chunks.back_mut() else { return };
            let (now, later) = data.split_at(data.len().min(CHUNK_BYTES - chunk.len()));
            chunk.extend_from_slice(now);
            data = later;
        }
    }

    /// Forgets the first bytes of the front.
    pub fn consume(&mut self, bytes: usize) {
        if bytes > 0
            && let Some(incoming) = self.incoming.take()
        {
            self.front.extend_from_slice(&incoming.bytes()[bytes..]);
        } else {
            self.start += bytes;
        }
        debug_assert!(self.start <= self.front.len());
        let left = self.front.len() - self.start;
        if left == 0 && self.chunks.is_empty() && self.front.capacity() > KEPT_CAPACITY_MAX {
            self.front = Vec::new();
            self.start = 0;
        } else if left == 0 {
            self.front.clear();
            self.start = 0;
        }
        if self.front.capacity() > 4 * CHUNK_BYTES.max(left) {
            // What made the buffer so large has been executed.
            self.drop_executed();
            self.front.shrink_to(CHUNK_BYTES);
        }
        if self.chunks.is_empty() && self.chunks.capacity() > 0 {
            self.chunks = VecDeque::new();
        }
    }

    /// Moves the next chunk to the front; false if there is none. `awaited` is as in
    /// [`Input::extend`].
    pub fn refill(&mut self, awaited: Awaited) -> bool {
        let Some(chunk) = self.chunks.pop_front() else { return false };
        self.chunk_bytes -= chunk.len();
        if self.start == self.front.len() && self.incoming.is_none() {
            self.front = chunk;
            self.start = 0;
        } else {
            self.drop_executed();
            self.append(&chunk, awaited);
        }
        true
    }

    fn drop_executed(&mut self) {
        self.front.drain(..self.start);
        self.start = 0;
    }
}

/// How much memory a command has of which `len` bytes have come and `needed` are announced.
fn capacity_for(len: usize, needed: usize) -> usize {
    let ahead = (AHEAD_MULTIPLE_MAX.saturating_mul(len)).clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX);
    needed.min(ahead.max(2 * len)).max(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A generator of small numbers; which ones makes little difference.
    fn next(state: &mut u64) -> usize {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*state >> 33) as usize
    }

    /// Of a command whose large argument, if it is one, has not begun to come.
    fn awaited(bytes: usize) -> Awaited {
        Awaited { bytes, argument: 0 }
    }

    fn any_awaited(state: &mut u64) -> Awaited {
        let bytes = next(state) % 60_000;
        match next(state) % 2 {
            0 => awaited(bytes),
            _ => with_argument(1 + bytes / 2, LARGE_ARGUMENT_BYTES + bytes),
        }
    }

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        for seed in 0..4 {
            let mut state = seed;
            let (mut input, mut model) = (Input::default(), VecDeque::new());
            let mut byte = 0u8;
            for _ in 0..1_000 {
                let data: Vec<u8> = (0..next(&mut state) % 20_000)
                    .map(|_| {
                        byte = byte.wrapping_mul(5).wrapping_add(3);
                        byte
                    })
                    .collect();
                match next(&mut state) % 8 {
                    0 => {
                        input.extend(&data, any_awaited(&mut state));
                        model.extend(data);
                    }
                    1..=3 => {
                        input.queue(&data);
                        model.extend(data);
                    }
                    4 => {
                        input.refill(any_awaited(&mut state));
                    }
                    _ => {
                        let used = next(&mut state) % (input.front().len() + 1);
                        let expected: Vec<u8> = model.drain(..used).collect();
                        assert!(input.front()[..used] == expected, "seed {seed}");
                        input.consume(used);
                    }
                }
                assert_eq!((input.len(), input.is_empty()), (model.len(), model.is_empty()));
                assert!(input.memory() >= input.len());
            }
            while !input.is_empty() {
                let front = input.front().len();
                let expected: Vec<u8> = model.drain(..front).collect();
                assert!(input.front() == expected, "seed {seed}");
                input.consume(front);
                input.refill(awaited(0));
            }
            assert!(model.is_empty());
        }
    }

    #[test]
    fn memory_is_given_back_as_input_is_executed() {
        const BYTES: usize = 16 << 20;
        let mut input = Input::default();
        while input.len() < BYTES {
            input.queue(&[b'x'; 16 * 1024]);
        }
        assert!(input.memory() < BYTES + BYTES / 16, "{}", input.memory());
        while !input.is_empty() {
            assert!(input.memory() < input.len() + input.len() / 16 + 4 * CHUNK_BYTES);
            if input.front().len() < 100 && input.refill(awaited(0)) {
                continue;
            }
            let bytes = input.front().len().min(1000);
            input.consume(bytes);
        }
        assert!(input.memory() <= KEPT_CAPACITY_MAX);
    }

    #[test]
    fn what_a_large_command_took_is_given_back() {
        let mut input = Input::default();
        input.extend(&vec![b'x'; 10 << 20], awaited(0));
        input.extend(b"next", awaited(0));
        input.consume(10 << 20);
        assert_eq!((input.front(), input.memory()), (&b"next"[..], CHUNK_BYTES));
    }

    /// What a command is announced to have is not believed: memory follows what has been received.
    #[test]
    fn memory_is_taken_for_what_has_come() {
        for needed in [1 << 29, usize::MAX] {
            let mut input = Input::default();
            while input.len() < 16 << 20 {
                input.extend(&[b'x'; 16 * 1024], awaited(needed));
                let (len, memory) = (input.len(), input.memory());
                assert!(memory <= (AHEAD_MULTIPLE_MAX * len).min(AHEAD_BYTES_MAX.max(2 * len)));
            }
        }
    }

    /// A command whose argument of this length begins behind so many bytes.
    fn with_argument(head: usize, argument: usize) -> Awaited {
        Awaited { bytes: head + argument + 2, argument }
    }

    /// Whether parts are handed over or put into place, and wherever they are cut.
    #[test]
    fn a_large_argument_lies_in_one_piece_with_its_command() {
        const HEAD: usize = 30;
        const LEN: usize = LARGE_ARGUMENT_BYTES;
        let command: Vec<u8> = (0..HEAD + LEN + 2).map(|at| (at * 31 + at / 255) as u8).collect();
        let ends = (1..100).chain((1..100).map(|left| command.len() - left));
        for cut in ends {
            let mut input = Input::default();
            // The length is known only when its line has come.
            let known = |received: usize| match received >= HEAD {
                true => with_argument(HEAD, LEN),
                false => awaited(received + 1),
            };
            input.extend(&command[..cut], known(cut));
            let mut at = cut;
            while let Some((incoming, missing)) = input.room(known(at)) {
                assert_eq!(missing, command.len() - at);
                let part = missing.min(incoming.remaining_mut()).min(10_000);
                incoming.put_slice(&command[at..at + part]);
                at += part;
            }
            let rest = [&command[at..], b"next"].concat();
            input.extend(&rest, known(at));
            input.refill(known(at));
            assert!(input.front().starts_with(&command), "cut at {cut}");
            assert_eq!(input.len(), command.len() + 4);
            assert_eq!(input.payload().is_some(), cut >= HEAD, "cut at {cut}");
            input.consume(command.len());
            while input.front().len() < 4 && input.refill(awaited(0)) {}
            assert_eq!((input.front(), input.payload().is_none()), (&b"next"[..], true));
            assert!(input.memory() <= 2 * CHUNK_BYTES, "{}", input.memory());
        }
    }

    /// Each growth copies what is there.
    #[test]
    fn the_front_grows_seldom_and_to_no_more_than_is_needed() {
        const RECEIVE_BYTES: usize = 17 * 1024;
        for (needed, growths_max) in [(65_600, 1), (262_200, 2), ((1 << 20) + 60, 2), (2 << 20, 3)]
        {
            let mut input = Input::default();
            let (mut growths, mut capacity) = (0, 0);
            // The last receive brings some of the next command.
            while input.len() < needed {
                input.extend(&[b'x'; RECEIVE_BYTES], awaited(needed));
                growths += usize::from(input.front.capacity() != capacity);
                capacity = input.front.capacity();
            }
            assert!(growths <= growths_max, "{growths} growths for {needed} bytes");
            assert!(capacity <= needed + RECEIVE_BYTES, "{capacity} for {needed} bytes");
        }
    }
}
