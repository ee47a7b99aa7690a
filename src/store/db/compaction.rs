//! Emptying sparse pages, so that memory goes back when sizes of values change or entries leave.

use super::Db;
use crate::store::arena::Handle;

/// Pages whose filling one step compares.
const PAGES_COMPARED: usize = 64;

/// The page being emptied, and how far that is.
#[derive(Debug, Default)]
pub struct Place {
    page: Option<(u32, usize)>,
    /// Pages compared since one was found, and the state in which all of them were in vain.
    compared: usize,
    fruitless_at: Option<usize>,
}

impl Db {
    /// Whether [`Db::compact`] has something to do.
    pub fn is_sparse(&self) -> bool {
        self.compaction.page.is_some()
            || self.arena.is_sparse() && self.compaction.fruitless_at != Some(self.rest())
    }

    /// What must change before a search that found nothing is made again.
    fn rest(&self) -> usize {
        self.arena.live_bytes() >> 16
    }

    /// Moves up to about `count` entries out of sparse pages, if pages hold much less than they
    /// could. False when there is nothing to do.
    pub fn compact(&mut self, count: usize) -> bool {
        // Its last entries may have been dropped since, and the page been put to another use.
        if self.compaction.page.is_some_and(|(page, _)| !self.arena.is_detached(page)) {
            self.compaction.page = None;
        }
        if self.compaction.page.is_none() {
            if !self.is_sparse() {
                return false;
            }
            self.compaction.page = self.arena.detach_sparse(PAGES_COMPARED).map(|page| (page, 0));
            self.compaction.compared += PAGES_COMPARED;
            if self.compaction.page.is_some() {
                self.compaction.compared = 0;
            } else if self.compaction.compared > self.arena.page_count() {
                self.compaction.compared = 0;
                self.compaction.fruitless_at = Some(self.rest());
            }
        }
        let Some((page, offset)) = self.compaction.page else { return true };
        let mut handles: Vec<Handle> = Vec::with_capacity(count);
        let next = self.arena.blocks(page, offset, &mut handles);
        for handle in handles {
            self.relocate(handle);
        }
        self.compaction.page = next.map(|offset| (page, offset));
        if next.is_none() {
            self.arena.attach(page);
        }
        true
    }

    /// Moves an entry to another block of its size.
    fn relocate(&mut self, from: Handle) {
        let entry = self.arena.entry(from);
        let hash = self.hash(entry.key());
        let expires = entry.expires();
        let to = self.arena.allocate_copy(from);
        if expires {
            self.arena.copy_due(from, to);
        }
        self.take_place(hash, from, to);
        self.arena.free(from);
    }
}
