//! Giving the memory of expired entries back.
//!
//! Pages whose entries expire know, to the second, when the first of them is due, and for each
//! block when it is. The sweep goes round the pages, reads the blocks' seconds of those that are
//! due, and touches only entries that have expired. Nothing becomes due but with the next second,
//! so it goes round once in each.

use super::Db;
use crate::store::UnixMs;
use crate::store::arena::Handle;

/// Farther expiries than this are looked at again then: blocks keep their seconds modulo 2^16.
const HORIZON_SECONDS: u64 = 30_000;
/// Entries that are fetched from memory together.
const BATCH: usize = 32;
/// Reading the seconds of a page's blocks takes as long as glancing at so many pages.
const GLANCES_PER_PAGE: usize = 32;

/// Where the sweep is.
#[derive(Debug, Default)]
pub struct Place {
    /// Among the pages whose entries expire.
    page: usize,
    /// Pages that this round has still to look at.
    left: usize,
    /// The second in which the round began.
    second: u32,
}

/// What a step of the sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub glances: usize,
    pub expired: usize,
    /// The step ended before it had come round.
    pub more: bool,
}

/// The second in which the sweep is to look at an entry.
pub fn due_second(expiry: UnixMs, now: UnixMs) -> u32 {
    let horizon = now / 1000 + HORIZON_SECONDS;
    u32::try_from(expiry.div_ceil(1000).min(horizon)).unwrap_or(u32::MAX)
}

impl Db {
    /// Drops up to about `count` expired entries, glancing at up to about `glances` pages.
    pub fn sweep_expired(&mut self, glances: usize, count: usize, now: UnixMs) -> Swept {
        let second = u32::try_from(now / 1000).unwrap_or(u32::MAX);
        let mut swept = Swept::default();
        if self.sweep.left == 0 && self.sweep.second != second {
            self.sweep.left = self.arena.expiring_pages();
            self.sweep.second = second;
        }
        while self.sweep.left > 0 && swept.glances < glances {
            if self.sweep.page >= self.arena.expiring_pages() {
                self.sweep.page = 0;
            }
            let Some((page, due)) = self.arena.expiring_page(self.sweep.page) else {
                self.sweep.left = 0;
                break;
            };
            if due <= second {
                swept.glances += GLANCES_PER_PAGE;
                if !self.sweep_page(page, second, now, count, &mut swept) {
                    break;
                }
            }
            swept.glances += 1;
            self.sweep.left -= 1;
            // A page that was emptied has given its place to another.
            if self.arena.expiring_page(self.sweep.page).is_some_and(|(next, _)| next == page) {
                self.sweep.page += 1;
            }
        }
        swept.more = self.sweep.left > 0;
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
        // What one step reads another has asked for, for all entries, so that memory is waited for
        // together and not one after the other.
        for handle in &*due {
            self.arena.entry(*handle).prefetch();
        }
        due.retain(|handle| self.arena.is_live(*handle));
        let mut hashes = [0; BATCH];
        for (hash, handle) in hashes.iter_mut().zip(&*due) {
            let entry = self.arena.entry(*handle);
            let (previous, next) = entry.neighbours();
            self.arena.prefetch(previous);
            self.arena.prefetch(next);
            *hash = self.hash(entry.key());
        }
        for hash in &hashes[..due.len()] {
            self.table.prefetch_buckets(*hash);
        }
        for (hash, handle) in hashes.iter().zip(&*due) {
            let entry = self.arena.entry(*handle);
            let Some(at) = entry.expiry() else { continue };
            if at > now {
                // Due within this second, or beyond the horizon.
                self.arena.set_due(*handle, due_second(at, now).max((now / 1000) as u32 + 1));
                continue;
            }
            if let Some(departed) = &mut self.departed_keys {
                departed.push(entry.key().into());
            }
            self.dispose(*hash, *handle);
            self.departures.expired += 1;
            swept.expired += 1;
        }
    }
}
