//! When blocks are due, to the second. Seconds are kept modulo 2^16 per block, so they must be
//! within nine hours of each other: whoever sets a later one sets an earlier one instead, and looks
//! again then.

use std::ptr::NonNull;

use super::classes::ClassId;
use super::{Arena, DUE_BYTES, Handle, PAGE_SHIFT};

/// Expiries of a page that are compared together.
const DUES_COMPARED: usize = 32;
/// Entries that the sweep fetches from memory together: many enough that the first of them is there
/// when the last has been asked for, and few enough that none has left the cache by then.
const DUE_BLOCKS_MAX: usize = 2 * DUES_COMPARED;

/// How long a free block of a page whose blocks expire is left alone.
pub const FREE_DUE_SECONDS: u32 = 30_000;

/// Blocks that may be due.
pub struct DueBlocks {
    blocks: [Handle; DUE_BLOCKS_MAX],
    len: usize,
}

impl DueBlocks {
    pub const MAX: usize = DUE_BLOCKS_MAX;

    pub fn new() -> DueBlocks {
        DueBlocks { blocks: [Handle::NONE; DUE_BLOCKS_MAX], len: 0 }
    }

    pub fn as_slice(&self) -> &[Handle] {
        &self.blocks[..self.len]
    }
}

impl Arena {
    pub fn expiring_pages(&self) -> usize {
        self.expiring.len()
    }

    /// The page at a place among those whose blocks carry an expiry, and before which second none
    /// of its blocks is due.
    #[inline]
    pub fn expiring_page(&self, place: usize) -> Option<(u32, u32)> {
        let index = *self.expiring.get(place)?;
        Some((index, self.pages[index as usize].due))
    }

    pub fn set_due(&mut self, handle: Handle, second: u32) {
        self.write_due(handle, second);
        let page = self.page_of(handle) as usize;
        self.pages[page].due = self.pages[page].due.min(second);
    }

    /// Gives `to` the second of `from`; both have one.
    pub fn copy_due(&mut self, from: Handle, to: Handle) {
        // SAFETY: blocks that carry an expiry had their number set when they were allocated.
        unsafe { self.due_place(to).write(self.due_place(from).read()) };
        let no_earlier = self.pages[self.page_of(from) as usize].due;
        let page = self.page_of(to) as usize;
        self.pages[page].due = self.pages[page].due.min(no_earlier);
    }

    #[inline]
    pub(super) fn write_due(&mut self, handle: Handle, second: u32) {
        // SAFETY: the place is the block's own.
        unsafe { self.due_place(handle).write(second as u16) }
    }

    #[inline]
    fn due_place(&self, handle: Handle) -> NonNull<u16> {
        let class = self.class_of_block(handle);
        debug_assert!(class.expires());
        let block = self.geometry.classes.number(class, self.offset_of(handle));
        // SAFETY: one of the numbers at the page's end.
        unsafe { self.dues(self.page_of(handle), class).add(block) }
    }

    /// Where a page's seconds begin: its last bytes hold one for each block.
    #[inline]
    fn dues(&self, index: u32, class: ClassId) -> NonNull<u16> {
        let start = ((index as usize + 1) << PAGE_SHIFT) - self.blocks_per_page(class) * DUE_BYTES;
        // SAFETY: within the page.
        unsafe { self.base.add(start).cast() }
    }

    /// The seconds of the blocks of a page that have ever been used, and what the page holds.
    fn used_dues(&self, index: u32) -> Option<(&[u16], ClassId)> {
        let page = self.pages[index as usize];
        let class = page.class?;
        let used = page.bump as usize / self.class_bytes(class);
        // SAFETY: every block that was ever used had its second set when it was allocated.
        Some((unsafe { std::slice::from_raw_parts(self.dues(index, class).as_ptr(), used) }, class))
    }

    /// The page's blocks from number `first` on that are due at `second`, perhaps some free ones
    /// among them: all of them or as many as there is room for. Also says where to go on.
    pub fn due_blocks(
        &mut self,
        index: u32,
        second: u32,
        first: usize,
        out: &mut DueBlocks,
    ) -> Option<usize> {
        self.second = second;
        out.len = 0;
        // After so long a time nobody can tell which seconds are before and which behind this one.
        let may_all_be_due =
            second.saturating_sub(self.pages[index as usize].due) > i16::MAX as u32;
        let (dues, class) = self.used_dues(index)?;
        let size = self.class_bytes(class);
        let is_due = |due: u16| may_all_be_due || (second as u16).wrapping_sub(due) as i16 >= 0;
        let mut start = first;
        while start < dues.len() {
            let end = dues.len().min(start + DUES_COMPARED);
            // Without an early end, so that the processor compares many at once.
            if dues[start..end].iter().fold(false, |any, due| any | is_due(*due)) {
                if out.len + DUES_COMPARED > out.blocks.len() {
                    return Some(start);
                }
                for (block, due) in (start..end).zip(&dues[start..end]) {
                    // Always written, as which ones are due cannot be foretold.
                    out.blocks[out.len] = self.handle(index, block * size);
                    out.len += usize::from(is_due(*due));
                }
            }
            start = end;
        }
        None
    }

    /// Whether a block of [`Arena::due_blocks`] is in use; a free one is not due for long then.
    #[inline]
    pub fn is_live(&mut self, handle: Handle) -> bool {
        let live = self.word(self.page_of(handle), self.offset_of(handle)) != 0;
        if !live {
            self.write_due(handle, self.second.saturating_add(FREE_DUE_SECONDS));
        }
        live
    }

    /// Notes when the first of a page's blocks is due, as seen from `second`.
    pub fn refresh_page_due(&mut self, index: u32, second: u32) {
        let Some((dues, _)) = self.used_dues(index) else { return };
        let ahead = dues.iter().map(|due| due.wrapping_sub(second as u16) as i16).min();
        let due = ahead.map_or(u32::MAX, |ahead| second.saturating_add_signed(i32::from(ahead)));
        self.pages[index as usize].due = due;
    }

    /// All blocks in use that carry an expiry.
    pub fn all_expiring(&self) -> impl Iterator<Item = Handle> {
        let used = |&index: &u32| self.used_dues(index).map(|(dues, class)| (index, dues, class));
        let blocks = self.expiring.iter().filter_map(used).flat_map(|(index, dues, class)| {
            let size = self.class_bytes(class);
            (0..dues.len()).map(move |block| (index, block * size))
        });
        let live = blocks.filter(|&(index, offset)| self.word(index, offset) != 0);
        live.map(|(index, offset)| self.handle(index, offset))
    }

    /// A block that carries an expiry, by a random number.
    pub fn random_expiring(&self, random: u64) -> Option<Handle> {
        let pages = self.expiring.len() as u64;
        let index = *self.expiring.get((random >> 32).checked_rem(pages)? as usize)?;
        let page = self.pages[index as usize];
        let size = self.class_bytes(page.class?);
        let block = (random as u32 as usize).checked_rem(page.bump as usize / size)?;
        (self.word(index, block * size) != 0).then(|| self.handle(index, block * size))
    }
}
