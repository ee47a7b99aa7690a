//! What a core holds, in its shard and outside of it, and whether all of them hold too much.
//!
//! Nothing is counted twice and nothing by walking over the sessions: whatever changes a session's
//! buffers settles it, and settling it corrects the sum. A message under way belongs to nobody, so
//! its sender adds its bytes when it leaves and its receiver takes them off when it is done with
//! them; a core's own share may be negative, the sum over all cores is right.

use std::sync::atomic::Ordering;

use super::event::ShardId;
use super::shards::Shards;
use super::site::Site;
use crate::session::Session;

/// After a change of so much a core says again how cold its next victim is.
const COLDEST_STEP_BYTES: usize = 16 * 1024;
/// In place of a second: no entry may be evicted.
const NOTHING_TO_GIVE: u64 = u64::MAX;

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

    /// Commands have found too much memory in use, or no longer do.
    pub fn note_exceeded(&mut self, exceeded: bool, now_us: u64) {
        match (exceeded, self.exceeded_since_us) {
            (true, None) => self.exceeded_since_us = Some(now_us),
            (false, Some(since)) => {
                self.exceeded_us += now_us.saturating_sub(since);
                self.exceeded_since_us = None;
            }
            _ => {}
        }
    }
    /// Bytes that this core holds for its clients: their sessions, and what is on its way from
    /// other cores. Buffers that wait to be used again are not among them, neither the runtime's nor
    /// [`Core::kept_memory`]: they have bounds of their own, and no eviction makes them any smaller.
    ///
    /// [`Core::kept_memory`]: super::state::Core::kept_memory
    pub fn of_clients(&self) -> isize {
        self.sessions as isize + self.under_way
    }

    /// What the other cores hold is asked for again: this core's neighbours have run.
    pub fn forget_others(&mut self) {
        self.others_at = None;
    }

    /// Commands wait for memory, and nothing else might end that.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded_since_us.is_some()
    }

    pub fn exceeded_time(&self, now_us: u64) -> ExceededTime {
        let since = self.exceeded_since_us;
        let current_us = since.map_or(0, |since| now_us.saturating_sub(since));
        ExceededTime { current_us, total_us: self.exceeded_us + current_us }
    }

    /// CONFIG RESETSTAT.
    pub fn reset_exceeded_time(&mut self) {
        self.exceeded_us = 0;
        self.exceeded_since_us = None;
    }

    /// Tells the other cores what this one holds, if that has changed. Before a reply leaves that
    /// tells of a key they know that there is something to evict.
    pub fn publish(&mut self, site: &Site, shards: &Shards) {
        let now = [shards.home().memory() as isize, self.of_clients()];
        if now != self.published {
            self.published = now;
            let counters = &site.shared.cores[site.shard_id];
            counters.shard_memory.store(now[0] as usize, Ordering::Relaxed);
            counters.client_memory.store(now[1], Ordering::Relaxed);
        }
        let evictable = Some(shards.home().store().can_evict());
        let step = now[0].abs_diff(self.coldest_bytes);
        if evictable != self.published_evictable || step >= COLDEST_STEP_BYTES {
            self.published_evictable = evictable;
            self.coldest_bytes = now[0];
            publish_coldest(site, shards);
        }
    }
}

/// Tells the other cores whether this one has something to give, and how cold that is.
pub(super) fn publish_coldest(site: &Site, shards: &Shards) {
    let (now, store) = (site.now.unix_ms, shards.home().store());
    let second = if store.can_evict() {
        (now / 1000).saturating_sub(u64::from(store.oldest_idle_seconds(now)))
    } else {
        NOTHING_TO_GIVE
    };
    site.shared.cores[site.shard_id].coldest_second.store(second, Ordering::Relaxed);
}

/// What all cores hold, as this one sees it.
pub(super) struct Budget<'a> {
    pub site: &'a Site,
    pub shards: &'a mut Shards,
    pub account: &'a mut MemoryAccount,
}

impl Budget<'_> {
    /// Bytes that all cores hold for data and clients. What the others hold is asked for once in a
    /// pass.
    #[inline]
    pub fn used(&mut self) -> u64 {
        let epoch = self.site.shared.memory_epoch.load(Ordering::Acquire);
        let at = (self.site.now.monotonic_us, epoch);
        if self.account.others_at != Some(at) {
            self.account.others_at = Some(at);
            self.account.others = self.others();
        }
        let neighbours = self.growth_of_neighbours();
        (self.own() + self.account.others + neighbours).max(0) as u64
    }

    /// What neighbours' shards have grown by since the others were told what they hold.
    #[inline]
    pub fn growth_of_neighbours(&mut self) -> isize {
        let cores = &self.site.shared.cores;
        let told = |core: ShardId| cores[core].shard_memory.load(Ordering::Relaxed);
        self.shards.growth_of_neighbours(told)
    }

    fn own(&self) -> isize {
        self.shards.home().memory() as isize + self.account.of_clients()
    }

    /// What the other cores have last said that they hold.
    fn others(&self) -> isize {
        let others = self.site.shared.cores.iter().enumerate();
        let others = others.filter(|(core, _)| *core != self.site.shard_id);
        others.map(|(_, core)| core.memory()).sum()
    }

    /// Notes how much the process holds at most.
    pub fn note_peak(&self) {
        let all = (self.own() + self.others()).max(0) as usize;
        self.site.shared.peak_memory.fetch_max(all, Ordering::Relaxed);
    }

    /// Commands have found too much memory in use, or no longer do.
    pub fn note_exceeded(&mut self, exceeded: bool) {
        self.account.note_exceeded(exceeded, self.site.now.monotonic_us);
    }

    /// The other core, of those with at least so many bytes, whose next victim has not been used for
    /// longest, and for how many seconds.
    pub fn coldest_other(&self, bytes_min: isize) -> Option<(ShardId, u64)> {
        let now = self.site.now.unix_ms / 1000;
        let others = self.site.shared.cores.iter().enumerate();
        let others = others.filter(|(core, counters)| {
            let bytes = counters.shard_memory.load(Ordering::Relaxed) as isize;
            let gives = counters.coldest_second.load(Ordering::Relaxed) != NOTHING_TO_GIVE;
            *core != self.site.shard_id && bytes >= bytes_min && gives
        });
        let idle = |second: u64| now.saturating_sub(second);
        others
            .map(|(core, counters)| (core, idle(counters.coldest_second.load(Ordering::Relaxed))))
            .max_by_key(|(_, idle)| *idle)
    }
}
