//! What a core holds, in its shard and outside of it, and whether all of them hold too much.
//!
//! Nothing is counted twice and nothing by walking over the sessions: whatever changes a session's
//! buffers settles it, and settling it corrects the sum. A message under way belongs to nobody, so
//! its sender adds its bytes when it leaves and its receiver takes them off when it is done with
//! them; a core's own share may be negative, the sum over all cores is right.

use std::sync::atomic::Ordering;

use super::core::Core;
use super::task::CoreFacts;
use crate::protocol::Span;
use crate::session::Session;

/// How much a core's memory may differ from what the other cores know of it.
const PUBLISHED_MEMORY_STEP: usize = 16 * 1024;

/// The accounts of one core.
#[derive(Debug, Default)]
pub(super) struct MemoryAccount {
    /// Of the sessions, as of when each was settled last.
    sessions: usize,
    /// Buffers of batches that are kept for the next ones.
    batches: usize,
    /// Bytes sent to other cores less bytes that came from them.
    under_way: isize,
    /// What the other cores hold, and when that was asked for.
    others: isize,
    others_us: Option<u64>,
    /// What the others know that this one holds: in the shard, and outside of it.
    published: [isize; 2],
    /// Since when commands have found `maxmemory` exceeded, and for how long before that.
    exceeded_since_us: Option<u64>,
    exceeded_us: u64,
}

/// For how long `maxmemory` has been exceeded, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ExceededTime {
    pub current_us: u64,
    pub total_us: u64,
}

impl MemoryAccount {
    /// Corrects the sum by what has changed in this session.
    #[inline]
    pub fn update(&mut self, session: &mut Session) {
        let bytes = session.memory();
        self.sessions = self.sessions.wrapping_add(bytes).wrapping_sub(session.accounted_bytes);
        session.accounted_bytes = bytes;
    }

    /// The session is gone.
    pub fn forget(&mut self, session: &Session) {
        self.sessions = self.sessions.wrapping_sub(session.accounted_bytes);
    }

    /// The kept buffers of a peer have changed by so much.
    pub fn batches_changed(&mut self, before: usize, now: usize) {
        self.batches = self.batches.wrapping_add(now).wrapping_sub(before);
    }

    /// A message with so many bytes leaves this core.
    #[inline]
    pub fn sent(&mut self, bytes: usize) {
        self.under_way += bytes as isize;
    }

    /// A message with so many bytes has been dealt with here.
    #[inline]
    pub fn received(&mut self, bytes: usize) {
        self.under_way -= bytes as isize;
    }

    /// Bytes of the sessions.
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    fn note_exceeded(&mut self, exceeded: bool, now_us: u64) {
        match (exceeded, self.exceeded_since_us) {
            (true, None) => self.exceeded_since_us = Some(now_us),
            (false, Some(since)) => {
                self.exceeded_us += now_us.saturating_sub(since);
                self.exceeded_since_us = None;
            }
            _ => {}
        }
    }
}

impl Core {
    /// Bytes that this core holds for its clients: their sessions, and batches to and from other
    /// cores. The runtime's pools of buffers are not among them: they have bounds of their own and
    /// are never given back, so that against `maxmemory` they would use up a small limit for good.
    pub fn client_memory(&self) -> isize {
        let scratch = self.spans.capacity() * size_of::<Span>();
        let account = &self.memory;
        (account.sessions + account.batches + scratch) as isize + account.under_way
    }

    /// True if `maxmemory` is reached, which makes commands that take memory fail, whichever shards
    /// their keys are on. What the others hold is asked for once in a pass.
    pub fn is_out_of_memory(&mut self) -> bool {
        let max = self.maxmemory_bytes();
        if max == 0 {
            return false;
        }
        if self.memory.others_us != Some(self.now.monotonic_us) {
            self.memory.others_us = Some(self.now.monotonic_us);
            self.memory.others = self.others_memory();
        }
        let own = self.shard.allocated_bytes() as isize + self.client_memory();
        let exceeded = (own + self.memory.others).max(0) as u64 > max;
        self.memory.note_exceeded(exceeded, self.now.monotonic_us);
        exceeded
    }

    /// What the other cores have last said that they hold.
    fn others_memory(&self) -> isize {
        let others = self.shared.cores.iter().enumerate();
        let others = others.filter(|(core, _)| *core != self.shard_id);
        others.map(|(_, core)| core.memory()).sum()
    }

    /// Tells the other cores what this one holds, if that has changed by much.
    pub fn publish_memory(&mut self) {
        let now = [self.shard.allocated_bytes() as isize, self.client_memory()];
        let far =
            |(now, published): (isize, isize)| now.abs_diff(published) >= PUBLISHED_MEMORY_STEP;
        if now.into_iter().zip(self.memory.published).any(far) {
            self.memory.published = now;
            let counters = &self.shared.cores[self.shard_id];
            counters.shard_memory.store(now[0] as usize, Ordering::Relaxed);
            counters.client_memory.store(now[1], Ordering::Relaxed);
        }
    }

    pub fn maxmemory_bytes(&self) -> u64 {
        self.settings.config.maxmemory.bytes(self.shared.memory_limit_bytes)
    }

    /// In every tick: notes how much the process holds at most, and whether too much still.
    pub fn sample_memory(&mut self) {
        let own = self.shard.allocated_bytes() as isize + self.client_memory();
        let all = (own + self.others_memory()).max(0) as usize;
        self.shared.peak_memory.fetch_max(all, Ordering::Relaxed);
        if self.memory.exceeded_since_us.is_some() {
            let exceeded = self.is_out_of_memory();
            let now_us = self.now.monotonic_us;
            // Without a limit nothing is exceeded either.
            self.memory.note_exceeded(exceeded, now_us);
        }
    }

    /// Commands wait for memory, and nothing else might end that.
    pub fn is_memory_exceeded(&self) -> bool {
        self.memory.exceeded_since_us.is_some()
    }

    pub fn facts(&self) -> CoreFacts {
        CoreFacts { exceeded: self.exceeded_time(), ..CoreFacts::default() }
    }

    fn exceeded_time(&self) -> ExceededTime {
        let since = self.memory.exceeded_since_us;
        let current_us = since.map_or(0, |since| self.now.monotonic_us.saturating_sub(since));
        ExceededTime { current_us, total_us: self.memory.exceeded_us + current_us }
    }

    /// CONFIG RESETSTAT.
    pub fn reset_exceeded_time(&mut self) {
        self.memory.exceeded_us = 0;
        self.memory.exceeded_since_us = None;
    }
}
