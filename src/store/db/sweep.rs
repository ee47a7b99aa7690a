//! Giving the memory of expired entries back, and of expired fields of hashes.
//!
//! Pages whose entries expire know, to the second, when the first of them is due, and for each
//! block when it is. The sweep goes round the pages, reads the blocks' seconds of those that are
//! due, and touches only entries that have expired.

use super::Db;
use crate::store::UnixMs;
use crate::store::arena::{DueBlocks, Handle};

/// Farther expiries than this are looked at again then: blocks keep their seconds modulo 2^16.
const HORIZON_SECONDS: u64 = 30_000;
/// Reading the seconds of a page's blocks takes as long as glancing at so many pages.
const GLANCES_PER_PAGE: usize = 32;

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
    pub glances: usize,
    /// Entries, and fields of hashes.
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
    /// Goes on with the round, or begins one: glances at up to about `glances` pages and drops up to about
    /// `count` expired entries.
    pub fn sweep_expired(&mut self, glances: usize, count: usize, now: UnixMs) -> Swept {
        let second = u32::try_from(now / 1000).unwrap_or(u32::MAX);
        let mut swept = Swept::default();
        let all = self.arena.expiring_pages();
        self.sweep.left = if self.sweep.left == 0 { all } else { self.sweep.left.min(all) };
        while self.sweep.left > 0 {
            if swept.glances >= glances {
                swept.more = true;
                break;
            }
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
        let mut due = DueBlocks::new();
        let mut from = Some(0);
        while let Some(block) = from {
            if swept.expired >= count {
                return false;
            }
            from = self.arena.due_blocks(page, second, block, &mut due);
            if !self.drop_expired(due.as_slice(), now, count, swept) {
                return false;
            }
        }
        self.arena.refresh_page_due(page, second);
        true
    }

    /// Drops these entries, or fields of them, as far as they have expired. Whether it has done all.
    fn drop_expired(
        &mut self,
        due: &[Handle],
        now: UnixMs,
        count: usize,
        swept: &mut Swept,
    ) -> bool {
        // What one step reads another has asked for, for all entries, so that memory is waited for
        // together and not one after the other.
        for handle in due {
            self.arena.prefetch_start(*handle);
        }
        let mut expired = [(Handle::NONE, 0); DueBlocks::MAX];
        let mut number = 0;
        let mut all = true;
        let next_second = due_second(0, now).saturating_add(1);
        for &handle in due {
            if !self.arena.is_live(handle) {
                continue;
            }
            let entry = self.arena.entry(handle);
            if !entry.is_expired(now) {
                if entry.fields_due().is_some_and(|at| at <= now) {
                    let left = count.saturating_sub(swept.expired + number);
                    if left > 0 {
                        swept.expired += self.sweep_fields(handle, now, left);
                    }
                    if swept.expired + number >= count {
                        all = false;
                        break;
                    }
                    continue;
                }
                // Due within this second, or beyond the horizon.
                let due = entry.due().unwrap_or(UnixMs::MAX);
                self.arena.set_due(handle, due_second(due, now).max(next_second));
                continue;
            }
            let (previous, next) = entry.neighbours();
            self.arena.prefetch(previous);
            self.arena.prefetch(next);
            let hash = self.hash(entry.key());
            self.table.prefetch_buckets(hash);
            expired[number] = (handle, hash);
            number += 1;
        }
        for &(handle, hash) in &expired[..number] {
            self.expire(hash, handle);
        }
        swept.expired += number;
        all
    }
}
