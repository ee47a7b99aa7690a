//! Blocks of memory for entries, named by 32-bit handles.
//!
//! An arena is one range of addresses cut into pages of 64 KiB; a page holds blocks of one size.
//! Compared with a general allocator this buys four things: a handle takes half of a pointer; sizes
//! fit closely; a page knows which of its entries expire and when; and because entries can be
//! moved (the table finds whoever names one), sparse pages can be emptied and given back, so the
//! process stays as small as what it holds.
//!
//! A block begins with a word that is zero exactly while the block is free; see [`Arena::free`].

mod classes;
mod due;
mod region;

use std::alloc::{Layout, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;

pub use classes::{BLOCK_BYTES_MAX, ClassId, Classes};
pub use due::DueBlocks;
use due::FREE_DUE_SECONDS;
use region::Region;

pub const PAGE_BYTES: usize = 64 * 1024;
const PAGE_SHIFT: u32 = PAGE_BYTES.trailing_zeros();
/// Bytes of the expiry that a page keeps per block; see [`Arena::set_due`].
const DUE_BYTES: usize = 2;

/// Pages of a kind are linked by index; page 0 is never used, so that no handle is 0 either.
const NO_PAGE: u32 = 0;
/// The end of a page's list of free blocks, whose places count in units of 8 bytes.
const NO_BLOCK: u16 = u16::MAX;

/// Free pages that keep their memory: at least so many, and this part of the used ones.
const WARM_PAGES_MIN: usize = 4;
const WARM_PAGES_PART: usize = 64;

/// How far pages may exceed what lives in them before sparse ones are emptied: a part and some.
const SLACK_PART: usize = 16;
const SLACK_BYTES: usize = 1 << 20;

/// A block's name: its place in units of the arena's granule. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(u32);

impl Handle {
    /// No block.
    pub const NONE: Handle = Handle(0);

    #[inline]
    pub fn to_bits(self) -> u32 {
        self.0
    }

    #[inline]
    pub fn from_bits(bits: u32) -> Handle {
        Handle(bits)
    }

    #[inline]
    pub fn is_none(self) -> bool {
        self == Handle::NONE
    }
}

/// What is shared by the arenas of a shard.
#[derive(Clone, Debug)]
pub struct Geometry {
    /// The granule is `1 << shift` bytes.
    shift: u32,
    classes: Arc<Classes>,
}

impl Geometry {
    /// For arenas that can hold at least `bytes` of blocks.
    pub fn for_bytes(bytes: u64) -> Geometry {
        let mut shift = 3;
        while shift < 6 && (1_u64 << 32) << shift < bytes {
            shift += 1;
        }
        Geometry { shift, classes: Arc::new(Classes::new(1 << shift)) }
    }

    fn region_bytes(&self) -> usize {
        if cfg!(miri) { 64 * PAGE_BYTES } else { (1 << 32) << self.shift }
    }
}

#[derive(Clone, Copy, Debug)]
struct Page {
    /// `None` while the page is free.
    class: Option<ClassId>,
    live: u16,
    /// The first free block below `bump`.
    free: u16,
    /// Where blocks begin that were never used.
    bump: u32,
    /// In the list of its class's pages with room; a page outside of it links to itself.
    prev: u32,
    next: u32,
    /// Its place in `Arena::expiring`.
    expiring_at: u32,
    /// No block is due before this second.
    due: u32,
}

const FREE_PAGE: Page = Page {
    class: None,
    live: 0,
    free: NO_BLOCK,
    bump: 0,
    prev: NO_PAGE,
    next: NO_PAGE,
    expiring_at: 0,
    due: u32::MAX,
};

#[derive(Debug)]
pub struct Arena {
    geometry: Geometry,
    /// Reserved with the first block.
    region: Option<Region>,
    base: NonNull<u8>,
    pages: Vec<Page>,
    /// Free pages that still have their memory, and those that have given it back.
    warm: Vec<u32>,
    cold: Vec<u32>,
    /// By class: the first page with room.
    with_room: Vec<u32>,
    /// By class: blocks to be had without another page.
    free_blocks: Vec<u32>,
    /// Pages whose blocks carry an expiry.
    expiring: Vec<u32>,
    live_bytes: usize,
    /// Bytes that all blocks of the pages in use could hold.
    block_bytes: usize,
    /// Where the search for sparse pages goes on.
    sparse_at: usize,
    /// The second of the last look at what is due.
    second: u32,
}

// SAFETY: `base` points into the region that the arena owns.
unsafe impl Send for Arena {}

impl Arena {
    pub fn new(geometry: Geometry) -> Arena {
        let classes = geometry.classes.len();
        Arena {
            geometry,
            region: None,
            base: NonNull::dangling(),
            pages: Vec::new(),
            warm: Vec::new(),
            cold: Vec::new(),
            with_room: vec![NO_PAGE; classes],
            free_blocks: vec![0; classes],
            expiring: Vec::new(),
            live_bytes: 0,
            block_bytes: 0,
            sparse_at: 0,
            second: 0,
        }
    }

    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Bytes of the blocks in use.
    #[inline]
    pub fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Bytes of the pages in use.
    pub fn held_bytes(&self) -> usize {
        self.used_pages() * PAGE_BYTES
    }

    /// Bytes of the pages that have memory, free ones included.
    pub fn resident_bytes(&self) -> usize {
        (self.used_pages() + self.warm.len()) * PAGE_BYTES
    }

    /// Bytes of the arena's own tables.
    pub fn table_bytes(&self) -> usize {
        self.pages.capacity() * size_of::<Page>()
            + (self.warm.capacity() + self.cold.capacity() + self.expiring.capacity()) * 4
            + (self.with_room.len() + self.free_blocks.len()) * 4
    }

    /// Whether little address space is left: then nothing should be added.
    pub fn is_nearly_full(&self) -> bool {
        const RESERVE_BYTES: usize = 1 << 30;
        let reserve = if cfg!(miri) { 0 } else { RESERVE_BYTES };
        self.used_pages() > (self.geometry.region_bytes() - reserve) / PAGE_BYTES
    }

    /// Pages, free ones included.
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    fn used_pages(&self) -> usize {
        (self.pages.len() - self.warm.len() - self.cold.len()).saturating_sub(1)
    }

    #[inline]
    pub fn class_of(&self, length: usize, expires: bool) -> ClassId {
        self.geometry.classes.of(length, expires)
    }

    #[inline]
    pub fn class_bytes(&self, class: ClassId) -> usize {
        self.geometry.classes.size(class)
    }

    /// The block's first byte. Blocks are aligned to 8 bytes.
    #[inline]
    pub fn address(&self, handle: Handle) -> NonNull<u8> {
        debug_assert!(self.is_live_page(handle), "{handle:?} is in no page");
        // SAFETY: handles are places of blocks, which lie in the region.
        unsafe { self.base.add((handle.0 as usize) << self.geometry.shift) }
    }

    /// The handle of the block that begins there.
    pub fn handle_of(&self, block: NonNull<u8>) -> Handle {
        let place = block.addr().get() - self.base.addr().get();
        debug_assert!(place < self.geometry.region_bytes());
        Handle((place >> self.geometry.shift) as u32)
    }

    fn is_live_page(&self, handle: Handle) -> bool {
        self.pages.get(self.page_of(handle) as usize).is_some_and(|page| page.class.is_some())
    }

    #[inline]
    fn page_of(&self, handle: Handle) -> u32 {
        handle.0 >> (PAGE_SHIFT - self.geometry.shift)
    }

    #[inline]
    fn offset_of(&self, handle: Handle) -> usize {
        ((handle.0 as usize) << self.geometry.shift) & (PAGE_BYTES - 1)
    }

    #[inline]
    fn handle(&self, page: u32, offset: usize) -> Handle {
        Handle(page << (PAGE_SHIFT - self.geometry.shift) | (offset >> self.geometry.shift) as u32)
    }

    #[inline]
    pub fn class_of_block(&self, handle: Handle) -> ClassId {
        let page = &self.pages[self.page_of(handle) as usize];
        page.class.expect("a block's page is in use")
    }

    fn blocks_per_page(&self, class: ClassId) -> usize {
        self.geometry.classes.per_page(class)
    }

    /// A block whose bytes are not defined but for the first eight, which are not to stay zero.
    #[inline]
    pub fn allocate(&mut self, class: ClassId) -> Handle {
        let list = usize::from(class.0);
        let index = match self.with_room[list] {
            NO_PAGE => self.open_page(class),
            page => page,
        };
        let size = self.class_bytes(class);
        let page = &mut self.pages[index as usize];
        let (free, live) = (page.free, page.live + 1);
        let (offset, next_free) = if free == NO_BLOCK {
            let offset = page.bump as usize;
            page.bump += size as u32;
            (offset, NO_BLOCK)
        } else {
            let offset = usize::from(free) * 8;
            // SAFETY: a free block of a used page holds the next one's place behind its first word.
            let next = unsafe {
                let place = self.base.add(((index as usize) << PAGE_SHIFT) + offset + 8);
                place.cast::<u16>().read()
            };
            (offset, next)
        };
        (page.free, page.live) = (next_free, live);
        self.free_blocks[list] -= 1;
        if next_free == NO_BLOCK && usize::from(live) == self.blocks_per_page(class) {
            self.unlink_page(index, list);
        }
        self.live_bytes += size;
        self.handle(index, offset)
    }

    /// A block of the same class with the same content.
    pub fn allocate_copy(&mut self, from: Handle) -> Handle {
        let class = self.class_of_block(from);
        let to = self.allocate(class);
        // SAFETY: both blocks are of this class's size, and they are different ones.
        unsafe {
            let bytes = self.class_bytes(class);
            self.address(from).copy_to_nonoverlapping(self.address(to), bytes);
        }
        to
    }

    /// Takes a block back. Nothing may refer to it any more.
    #[inline]
    pub fn free(&mut self, handle: Handle) {
        let index = self.page_of(handle);
        let offset = self.offset_of(handle);
        let class = self.class_of_block(handle);
        let size = self.class_bytes(class);
        let list = usize::from(class.0);
        let page = self.pages[index as usize];
        // SAFETY: blocks are at least 24 bytes and lie in committed pages.
        unsafe {
            let block = self.base.add(((index as usize) << PAGE_SHIFT) + offset);
            debug_assert_ne!(block.cast::<u64>().read(), 0, "freed twice");
            block.cast::<u64>().write(0);
            block.add(8).cast::<u16>().write(page.free);
        }
        let was_full = page.free == NO_BLOCK && page.bump as usize == self.limit(class);
        if class.expires() {
            self.write_due(handle, self.second.saturating_add(FREE_DUE_SECONDS));
        }
        #[cfg(debug_assertions)]
        self.poison(handle, size);
        // From the copy: a wide load over the field just written would wait for all earlier stores.
        let live = page.live - 1;
        let is_empty = live == 0;
        let is_detached = page.next == index;
        let page = &mut self.pages[index as usize];
        page.free = (offset / 8) as u16;
        page.live = live;
        self.free_blocks[list] += 1;
        self.live_bytes -= size;
        if is_empty {
            if !was_full && !is_detached {
                self.unlink_page(index, list);
            }
            self.close_page(index, class);
        } else if was_full && !is_detached {
            self.link_page(index, list);
        }
    }

    /// Makes what reads a block after its end show.
    #[cfg(debug_assertions)]
    fn poison(&self, handle: Handle, size: usize) {
        /// What the list of free blocks needs.
        const KEPT: usize = 16;
        // SAFETY: the block is free.
        unsafe { self.address(handle).add(KEPT).write_bytes(0xFB, size - KEPT) }
    }

    /// Where the last block of a page ends.
    #[inline]
    fn limit(&self, class: ClassId) -> usize {
        self.blocks_per_page(class) * self.class_bytes(class)
    }

    #[cold]
    fn open_page(&mut self, class: ClassId) -> u32 {
        let index = match self.warm.pop().or_else(|| self.cold.pop()) {
            Some(index) => index,
            None => self.new_page(),
        };
        self.pages[index as usize] = Page { class: Some(class), ..FREE_PAGE };
        if class.expires() {
            self.pages[index as usize].expiring_at = self.expiring.len() as u32;
            self.expiring.push(index);
        }
        self.free_blocks[usize::from(class.0)] += self.blocks_per_page(class) as u32;
        self.block_bytes += self.limit(class);
        self.link_page(index, usize::from(class.0));
        index
    }

    fn new_page(&mut self) -> u32 {
        let bytes = self.geometry.region_bytes();
        let region = self.region.get_or_insert_with(|| Region::reserve(bytes));
        self.base = region.base();
        if self.pages.is_empty() {
            self.pages.push(FREE_PAGE);
        }
        let index = self.pages.len();
        if !region.commit((index + 1) * PAGE_BYTES) {
            handle_alloc_error(Layout::new::<[u8; PAGE_BYTES]>());
        }
        self.pages.push(FREE_PAGE);
        index as u32
    }

    fn close_page(&mut self, index: u32, class: ClassId) {
        self.free_blocks[usize::from(class.0)] -= self.blocks_per_page(class) as u32;
        self.block_bytes -= self.limit(class);
        if class.expires() {
            let at = self.pages[index as usize].expiring_at as usize;
            self.expiring.swap_remove(at);
            if let Some(moved) = self.expiring.get(at) {
                self.pages[*moved as usize].expiring_at = at as u32;
            }
        }
        self.pages[index as usize] = FREE_PAGE;
        self.warm.push(index);
        // With every page that is given up the number that may stay warm falls: two keep up.
        for _ in 0..2 {
            if self.warm.len() > WARM_PAGES_MIN + self.used_pages() / WARM_PAGES_PART {
                self.cool_page();
            }
        }
    }

    /// Gives the memory of a free page back.
    fn cool_page(&mut self) {
        let (Some(index), Some(region)) = (self.warm.pop(), &mut self.region) else { return };
        // SAFETY: the page is free.
        unsafe { region.discard(index as usize * PAGE_BYTES, PAGE_BYTES) };
        self.cold.push(index);
    }

    fn link_page(&mut self, index: u32, list: usize) {
        let next = std::mem::replace(&mut self.with_room[list], index);
        let page = &mut self.pages[index as usize];
        (page.prev, page.next) = (NO_PAGE, next);
        if next != NO_PAGE {
            self.pages[next as usize].prev = index;
        }
    }

    fn unlink_page(&mut self, index: u32, list: usize) {
        let Page { prev, next, .. } = self.pages[index as usize];
        match prev {
            NO_PAGE => self.with_room[list] = next,
            prev => self.pages[prev as usize].next = next,
        }
        if next != NO_PAGE {
            self.pages[next as usize].prev = prev;
        }
        (self.pages[index as usize].prev, self.pages[index as usize].next) = (NO_PAGE, NO_PAGE);
    }

    /// Gives the memory of up to `count` pages back, whatever they hold; false when none is left.
    /// Afterwards the arena can only be taken apart further.
    pub fn take_apart(&mut self, count: usize) -> bool {
        let kept = self.pages.len().saturating_sub(count).max(1);
        if self.pages.len() <= 1 {
            return false;
        }
        for page in &self.pages[kept..] {
            if let Some(class) = page.class {
                self.live_bytes -= usize::from(page.live) * self.geometry.classes.size(class);
            }
        }
        let is_kept = |page: &u32| (*page as usize) < kept;
        self.warm.retain(is_kept);
        self.cold.retain(is_kept);
        if let Some(region) = &mut self.region {
            let (start, bytes) = (kept * PAGE_BYTES, (self.pages.len() - kept) * PAGE_BYTES);
            // SAFETY: nobody asks for a block any more.
            unsafe { region.discard(start, bytes) };
        }
        self.pages.truncate(kept);
        true
    }

    /// Gives the memory of all free pages back.
    pub fn trim(&mut self) {
        while !self.warm.is_empty() {
            self.cool_page();
        }
    }
}

impl Arena {
    /// Asks the processor for header, expiry and a short key.
    #[inline]
    pub fn prefetch_start(&self, handle: Handle) {
        const BYTES: usize = 48;
        let start = self.address(handle).as_ptr();
        prefetch_line(start);
        prefetch_line(start.wrapping_add(BYTES - 1));
    }

    /// Asks the processor for a block's first bytes.
    #[inline]
    pub fn prefetch(&self, handle: Handle) {
        if !handle.is_none() {
            prefetch_line(self.address(handle).as_ptr());
        }
    }
}

/// Emptying sparse pages.
impl Arena {
    /// Whether pages hold so much less than they could that emptying some pays.
    pub fn is_sparse(&self) -> bool {
        self.block_bytes > self.live_bytes + self.live_bytes / SLACK_PART + SLACK_BYTES
    }

    /// The sparsest of the next `count` pages whose blocks fit into other pages of their class; it
    /// takes no new blocks until [`Arena::attach`].
    pub fn detach_sparse(&mut self, count: usize) -> Option<u32> {
        let mut best: Option<(usize, u32)> = None;
        for _ in 0..count.min(self.pages.len()) {
            self.sparse_at =
                if self.sparse_at + 1 < self.pages.len() { self.sparse_at + 1 } else { 1 };
            let Some(page) = self.pages.get(self.sparse_at) else { break };
            let Some(class) = page.class else { continue };
            let own = self.blocks_per_page(class) - usize::from(page.live);
            let elsewhere = self.free_blocks[usize::from(class.0)] as usize - own;
            let live_bytes = usize::from(page.live) * self.class_bytes(class);
            let is_open = page.next as usize != self.sparse_at;
            if own > 0
                && is_open
                && elsewhere > usize::from(page.live)
                && live_bytes < PAGE_BYTES * 9 / 10
                && best.is_none_or(|(bytes, _)| live_bytes < bytes)
            {
                best = Some((live_bytes, self.sparse_at as u32));
            }
        }
        let (_, index) = best?;
        let class = self.pages[index as usize].class?;
        self.unlink_page(index, usize::from(class.0));
        self.pages[index as usize].next = index;
        Some(index)
    }

    /// Whether the page is still the one that was detached. One whose last block has been freed is
    /// not: by now it may hold blocks of another size.
    pub fn is_detached(&self, index: u32) -> bool {
        self.pages
            .get(index as usize)
            .is_some_and(|page| page.class.is_some() && page.next == index)
    }

    /// Lets a page that was not emptied take blocks again.
    pub fn attach(&mut self, index: u32) {
        if self.is_detached(index)
            && let Some(class) = self.pages[index as usize].class
        {
            self.link_page(index, usize::from(class.0));
        }
    }

    /// Up to `out`'s capacity of the page's blocks from `offset` on, and where to go on.
    pub fn blocks(&self, index: u32, offset: usize, out: &mut Vec<Handle>) -> Option<usize> {
        let page = self.pages.get(index as usize)?;
        let size = self.class_bytes(page.class?);
        let mut offset = offset;
        while offset < page.bump as usize {
            if out.len() == out.capacity() {
                return Some(offset);
            }
            if self.word(index, offset) != 0 {
                out.push(self.handle(index, offset));
            }
            offset += size;
        }
        None
    }

    #[inline]
    fn word(&self, index: u32, offset: usize) -> u64 {
        // SAFETY: below `bump` a page consists of blocks, whose first word is always initialised.
        unsafe { self.base.add(((index as usize) << PAGE_SHIFT) + offset).cast::<u64>().read() }
    }
}

/// Asks the processor for a cache line.
#[inline]
pub fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect but on the cache, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch(address.cast::<i8>(), _MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
impl Arena {
    /// Bytes of free pages that keep their memory.
    pub fn free_bytes(&self) -> usize {
        self.warm.len() * PAGE_BYTES
    }

    /// Checks that pages, lists and sums agree about `live` blocks.
    pub fn check(&self, live: usize) {
        let used = || self.pages.iter().enumerate().skip(1).filter(|(_, p)| p.class.is_some());
        assert_eq!(used().map(|(_, page)| usize::from(page.live)).sum::<usize>(), live);
        assert_eq!(used().count(), self.used_pages());
        let blocks = used().filter_map(|(_, page)| page.class).map(|class| self.limit(class));
        assert_eq!(blocks.sum::<usize>(), self.block_bytes);
        for (index, page) in used() {
            let mut handles = Vec::with_capacity(PAGE_BYTES);
            self.blocks(index as u32, 0, &mut handles);
            assert_eq!(handles.len(), usize::from(page.live), "page {index}");
        }
        for class in (0..self.with_room.len()).map(|class| ClassId(class as u16)) {
            let of_class = || used().filter(|(_, page)| page.class == Some(class));
            let free = of_class().map(|(_, p)| self.blocks_per_page(class) - usize::from(p.live));
            assert_eq!(free.sum::<usize>(), self.free_blocks[usize::from(class.0)] as usize);
            let mut listed = 0;
            let mut at = self.with_room[usize::from(class.0)];
            while at != NO_PAGE {
                let page = self.pages[at as usize];
                assert_eq!(page.class, Some(class));
                assert!(usize::from(page.live) < self.blocks_per_page(class));
                listed += 1;
                at = page.next;
            }
            let with_room = of_class().filter(|(index, page)| {
                page.next as usize != *index && usize::from(page.live) < self.blocks_per_page(class)
            });
            assert_eq!(with_room.count(), listed);
        }
    }
}
