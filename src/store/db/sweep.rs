//! Giving the memory of expired entries back.
//!
//! Pages whose entries expire know, to the second, when the first of them is due, and for each
//! block when it is. The sweep goes round the pages, reads the blocks' seconds of those that are
//! due, and touches only entries that have expired.

use super::Db;
use crate::store::UnixMs;
use crate::store::arena::Handle;

/// Farther expiries than this are looked at again then: blocks keep their seconds modulo 2^16.
const HORIZON_SECONDS: u64 = 30_000;
/// Entries that are fetched from memory together.
const BATCH: usize = 32;

/// Where the sweep is.
#[derive(Debug, Default)]
pub struct Place {
    /// Among the pages whose entries expire.
    page: usize,
    /// How many of them are left to this round.
    left: usize,
}

/// What a step of the sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub pages: usize,
    pub expired: usize,
    /// The round has not looked at all pages yet.
    pub more: bool,
}

/// The second in which the sweep is to look at an entry. Never one in the past, which could be too
/// far away for a block's number.
pub fn due_second(expiry: UnixMs, now: UnixMs) -> u32 {
    let second = now / 1000;
    let due = expiry.div_ceil(1000).clamp(second, second + HORIZON_SECONDS);
    u32::try_from(due).unwrap_or(u32::MAX)
}

impl Db {
    /// Goes on with the round, or begins one: looks at up to `pages` pages and drops up to about
    /// `count` expired entries.
    pub fn sweep_expired(&mut self, pages: usize, count: usize, now: UnixMs) -> Swept {
        let second = u32::try_from(now / 1000).unwrap_or(u32::MAX);
        let mut swept = Swept::default();
        let all = self.arena.expiring_pages();
        self.sweep.left = if self.sweep.left == 0 { all } else { self.sweep.left.min(all) };
        while self.sweep.left > 0 {
            if swept.pages >= pages {
                swept.more = true;
                break;
            }
            if self.sweep.page >= self.arena.expiring_pages() {
                self.sweep.page = 0;
            }
            let Some((page, due)) = self.arena.expiring_page(self.sweep.page) else { break };
            if due <= second && !self.sweep_page(page, second, now, count, &mut swept) {
                swept.more = true;
                break;
            }
            swept.pages += 1;
            self.sweep.left -= 1;
            // A page that was emptied has given its place to another.
            if self.arena.expiring_page(self.sweep.page).is_some_and(|(next, _)| next == page) {
                self.sweep.page += 1;
            }
        }
        swept
    }

    /// Whether all that is due in the page has been seen.
    fn sweep_page(
        &mut self,
        page: u32,
        second: u32,
        now: UnixMs,
        count: usize,
        swept: &mut Swept,
    ) -> bool {
        let mut due: Vec<Handle> = Vec::with_capacity(BATCH);
        debug_assert_eq!(due.capacity(), BATCH);
        let mut from = Some(0);
        while let Some(block) = from {
            if swept.expired >= count {
                return false;
            }
            due.clear();
            from = self.arena.due_blocks(page, second, block, &mut due);
            self.drop_expired(&mut due, now, swept);
        }
        self.arena.refresh_page_due(page, second);
        true
    }

    fn drop_expired(&mut self, due: &mut Vec<Handle>, now: UnixMs, swept: &mut Swept) {
        for handle in &*due {
            self.arena.prefetch(*handle);
        }
        due.retain(|handle| self.arena.is_live(*handle));
        let mut hashes = [0; BATCH];
        for (hash, handle) in hashes.iter_mut().zip(&*due) {
            *hash = self.hash(self.arena.entry(*handle).key());
            self.table.prefetch_buckets(*hash);
        }
        let second = due_second(0, now);
        for (hash, handle) in hashes.iter().zip(&*due) {
            let entry = self.arena.entry(*handle);
            let Some(at) = entry.expiry() else { continue };
            if at > now {
                // Due within this second, or beyond the horizon.
                self.arena.set_due(*handle, due_second(at, now).max(second.saturating_add(1)));
                continue;
            }
            self.dispose(*hash, *handle);
            self.departures.expired += 1;
            swept.expired += 1;
        }
    }
}
