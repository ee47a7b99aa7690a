//! What a core holds, in its shard and outside of it, and whether all of them hold too much.
//!
//! Nothing is counted twice and nothing by walking over the sessions: whatever changes a session's
//! buffers settles it, and settling it corrects the sum. A message under way belongs to nobody, so
//! its sender adds its bytes when it leaves and its receiver takes them off when it is done with
//! them; a core's own share may be negative, the sum over all cores is right.

use std::sync::atomic::Ordering;

use super::core::Core;
use super::event::ShardId;
use super::report::CoreFacts;
use crate::session::Session;

/// After a change of so much a core says again how cold its next victim is.
const COLDEST_STEP_BYTES: usize = 16 * 1024;

/// The accounts of one core.
#[derive(Debug, Default)]
pub(super) struct MemoryAccount {
    /// Of the sessions, as of when each was settled last.
    sessions: usize,
    /// Bytes sent to other cores less bytes that came from them.
    under_way: isize,
    /// What the other cores hold, and when that was asked for: in which pass, and under which limit.
    others: isize,
    others_at: Option<(u64, u64)>,
    /// What the others know that this one holds, in the shard and outside of it; and whether they
    /// think that it could evict.
    published: [isize; 2],
    published_evictable: Option<bool>,
    /// What the shard held when the others were last told how cold it is.
    coldest_bytes: isize,
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
    /// Bytes that this core holds for its clients: their sessions, and what is on its way from
    /// other cores. Buffers that wait to be used again are not among them, neither the runtime's nor
    /// [`Core::kept_memory`]: they have bounds of their own, and no eviction makes them any smaller.
    pub fn client_memory(&self) -> isize {
        self.memory.sessions as isize + self.memory.under_way
    }

    /// Bytes of the buffers that this core keeps for the next commands.
    pub fn kept_memory(&self) -> usize {
        self.pipeline.memory() + self.pairs.memory() + self.pieces.memory() + self.links.memory()
    }

    /// Bytes that all cores hold for data and clients. What the others hold is asked for once in a
    /// pass.
    #[inline]
    pub fn all_memory(&mut self) -> u64 {
        let at = (self.now.monotonic_us, self.shared.memory_epoch.load(Ordering::Acquire));
        if self.memory.others_at != Some(at) {
            self.memory.others_at = Some(at);
            self.memory.others = self.others_memory();
        }
        let neighbours = self.growth_of_neighbours();
        (self.own_memory() + self.memory.others + neighbours).max(0) as u64
    }

    /// What neighbours' shards have grown by since the others were told what they hold.
    #[inline]
    pub fn growth_of_neighbours(&mut self) -> isize {
        let told = |core: ShardId| self.shared.cores[core].shard_memory.load(Ordering::Relaxed);
        self.shards.growth_of_neighbours(told)
    }

    /// What the others hold is asked for again: this core's neighbours have run.
    pub fn forget_others_memory(&mut self) {
        self.memory.others_at = None;
    }

    fn own_memory(&self) -> isize {
        self.shard_memory() as isize + self.client_memory()
    }

    /// What the shard holds, and what is still to be given back of former values.
    #[inline]
    pub fn shard_memory(&self) -> usize {
        self.shards.home().memory()
    }

    /// Commands have found too much memory in use, or no longer do.
    pub fn note_exceeded(&mut self, exceeded: bool) {
        self.memory.note_exceeded(exceeded, self.now.monotonic_us);
    }

    /// What the other cores have last said that they hold.
    fn others_memory(&self) -> isize {
        let others = self.shared.cores.iter().enumerate();
        let others = others.filter(|(core, _)| *core != self.shard_id);
        others.map(|(_, core)| core.memory()).sum()
    }

    /// Tells the other cores what this one holds, if that has changed. Before a reply leaves that
    /// tells of a key they know that there is something to evict.
    pub fn publish_memory(&mut self) {
        let now = [self.shard_memory() as isize, self.client_memory()];
        if now != self.memory.published {
            self.memory.published = now;
            let counters = &self.shared.cores[self.shard_id];
            counters.shard_memory.store(now[0] as usize, Ordering::Relaxed);
            counters.client_memory.store(now[1], Ordering::Relaxed);
        }
        let evictable = Some(self.shards.home().store().can_evict());
        let step = now[0].abs_diff(self.memory.coldest_bytes);
        if evictable != self.memory.published_evictable || step >= COLDEST_STEP_BYTES {
            self.memory.published_evictable = evictable;
            self.memory.coldest_bytes = now[0];
            self.publish_coldest();
        }
    }

    /// Another limit or policy is in force here. Its client is told when that is so on every core:
    /// until then each has said exactly what it holds under it, and none goes by what it knew of the
    /// others before.
    pub fn limit_changed(&mut self) {
        self.forget_debts();
        self.publish_memory();
        self.publish_coldest();
        self.shared.memory_epoch.fetch_add(1, Ordering::Release);
    }

    pub fn maxmemory_bytes(&self) -> u64 {
        self.settings.config.maxmemory.bytes(self.shared.memory_limit_bytes)
    }

    /// In every tick: notes how much the process holds at most, and whether too much still.
    pub fn sample_memory(&mut self) {
        let all = (self.own_memory() + self.others_memory()).max(0) as usize;
        self.shared.peak_memory.fetch_max(all, Ordering::Relaxed);
        if self.memory.exceeded_since_us.is_some() {
            let exceeded = self.is_out_of_memory(self.shard_id);
            // Without a limit nothing is exceeded either.
            self.note_exceeded(exceeded);
        }
    }

    /// Commands wait for memory, and nothing else might end that.
    pub fn is_memory_exceeded(&self) -> bool {
        self.memory.exceeded_since_us.is_some()
    }

    pub fn facts(&self) -> CoreFacts {
        CoreFacts {
            lazyfree_pending_objects: self.shards.home().store().dead_objects() as u64,
            lazyfreed_objects: self.shards.home().store().stats().lazily_freed,
            evicted_clients: 0,
            exceeded: self.exceeded_time(),
        }
    }

    pub fn exceeded_time(&self) -> ExceededTime {
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
