//! The buffers of batches. They travel back and forth between two cores, so that a steady stream
//! allocates nothing. Between two passes no peer has a buffer of its own: all lie in one pool, whose
//! bound does not depend on how many peers there are, and which gives back what it has not lent for
//! a second.

use crate::txn::{Batch, Replies};

/// Buffers that are kept for the next batches, of each kind.
const POOL_BYTES_MAX: usize = 1024 * 1024;
const POOL_BUFFERS_MAX: usize = 128;
/// What was not used for so long is given back.
const IDLE_US: u64 = 1_000_000;
/// Requests or answers that have so many bytes are sent as they are; what follows goes into another
/// buffer. Buffers of about one size can be used again, by whichever side; and positions in a batch
/// have 32 bits, one request with all that came before it in a pass could have more.
pub const BATCH_BYTES_FULL: usize = 128 * 1024;
const KEPT_BYTES_MAX: usize = 3 * BATCH_BYTES_FULL;

/// What one core keeps for the batches of all its shards and peers.
#[derive(Debug, Default)]
pub struct Buffers {
    pub(super) requests: Pool<Batch>,
    pub(super) replies: Pool<Replies>,
    /// When the pools last gave back what was idle.
    trimmed_us: u64,
}

impl Buffers {
    /// An empty batch.
    #[inline]
    pub fn batch(&mut self) -> Box<Batch> {
        self.requests.take()
    }

    /// A batch has as many bytes as go into one; it takes a buffer along for the answers.
    pub fn is_full(batch: &Batch) -> bool {
        batch.bytes.len() >= BATCH_BYTES_FULL
    }

    /// A batch is about to leave: a buffer goes along for the answers, if there is one to spare.
    #[inline]
    pub fn send_along(&mut self, batch: &mut Batch) {
        batch.spent = self.replies.pop();
    }

    /// These have been read.
    #[inline]
    pub fn keep(&mut self, mut replies: Box<Replies>) {
        if let Some(spare) = replies.spent.take() {
            self.requests.keep(spare);
        }
        replies.clear();
        self.replies.keep(replies);
    }

    /// Bytes of the buffers that are kept.
    pub fn memory(&self) -> usize {
        self.requests.bytes + self.replies.bytes
    }

    /// In every tick: gives the buffers back that have not been used for a while. Whether it was
    /// time to.
    pub fn give_idle_back(&mut self, now_us: u64) -> bool {
        if now_us < self.trimmed_us.saturating_add(IDLE_US) {
            return false;
        }
        self.trimmed_us = now_us;
        self.requests.trim();
        self.replies.trim();
        true
    }

    /// Gives all buffers back that nothing is in.
    pub fn give_all_back(&mut self) {
        (self.requests, self.replies) = Default::default();
    }
}

/// Empty buffers to be filled again. The one that was put back last is taken first, so those that
/// nobody needs gather at the bottom.
#[derive(Debug)]
pub struct Pool<T> {
    buffers: Vec<Box<T>>,
    bytes: usize,
    /// The fewest buffers there have been since the last [`Pool::trim`].
    fewest: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Pool { buffers: Vec::new(), bytes: 0, fewest: 0 }
    }
}

impl<T: Buffer> Pool<T> {
    #[inline]
    pub fn pop(&mut self) -> Option<Box<T>> {
        let buffer = self.buffers.pop()?;
        self.bytes -= buffer.held_bytes();
        self.fewest = self.fewest.min(self.buffers.len());
        Some(buffer)
    }

    #[inline]
    pub fn take(&mut self) -> Box<T> {
        self.pop().unwrap_or_default()
    }

    /// Keeps an empty buffer unless there are enough, or it has become too large to keep.
    pub fn keep(&mut self, buffer: Box<T>) {
        let bytes = buffer.held_bytes();
        if self.buffers.len() < POOL_BUFFERS_MAX
            && bytes <= KEPT_BYTES_MAX
            && self.bytes + bytes <= POOL_BYTES_MAX
        {
            self.bytes += bytes;
            self.buffers.push(buffer);
        }
    }

    /// Gives back what was not needed since the last call.
    fn trim(&mut self) {
        let idle = self.buffers.drain(..self.fewest);
        self.bytes -= idle.map(|buffer| buffer.held_bytes()).sum::<usize>();
        self.fewest = self.buffers.len();
    }
}

/// What lies in a [`Pool`].
pub trait Buffer: Default {
    /// Bytes of its memory, used or not.
    fn held_bytes(&self) -> usize;
}

impl Buffer for Batch {
    fn held_bytes(&self) -> usize {
        size_of::<Batch>() + self.memory()
    }
}

impl Buffer for Replies {
    fn held_bytes(&self) -> usize {
        size_of::<Replies>() + self.memory()
    }
}
