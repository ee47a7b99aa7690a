//! Payloads too large for a block of the arena: one allocation each, outside of it.
//!
//! Up to some megabytes they come from the process's allocator, which uses the memory of those that
//! are dropped again; larger ones are mappings of their own, which grow without being copied and
//! whose memory goes back to the system in slices, so that dropping a huge value stalls nobody.
//!
//! # Copies
//!
//! What is so large costs above all its copies. So a command is received into memory of which the
//! value becomes a payload ([`Incoming`]), and a payload is sent from where it lies: it has holders,
//! which are counted, and whoever changes it while there are others changes a copy.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use bytes::BufMut;
use bytes::buf::UninitSlice;

use super::memory::good_size;

/// From here on a block is a mapping: rarely more than what the allocator keeps for the next one.
const MAPPED_BYTES_MIN: usize = 2 << 20;
const SYSTEM_PAGE_BYTES: usize = 4096;
const ALIGN: usize = 16;

/// What a block begins with; the bytes follow.
#[derive(Debug)]
struct Header {
    holders: AtomicU32,
    /// How far behind the header the payload begins.
    offset: u32,
    /// Of the whole block.
    bytes: usize,
}

const HEADER_BYTES: usize = size_of::<Header>();

/// Initialised bytes in a block of their own, which dropping its last holder gives back at once.
///
/// Invariant: the bytes of a mapping behind its length are zero unless the payload has an offset, so
/// that it grows by zero bytes without writing them: a hole costs no memory and no time.
#[derive(Debug)]
pub struct Payload {
    block: Block,
    len: usize,
}

fn is_mapping(block_bytes: usize) -> bool {
    block_bytes >= MAPPED_BYTES_MIN && cfg!(not(miri))
}

/// The size of a block for so many bytes. Mappings have steps of an eighth, so that appending moves
/// one seldom.
fn block_bytes(content: usize) -> usize {
    let needed = HEADER_BYTES.saturating_add(content);
    if !is_mapping(needed) {
        return good_size(needed);
    }
    let step = (needed.next_power_of_two() / 8).max(SYSTEM_PAGE_BYTES);
    needed.checked_next_multiple_of(step).unwrap_or(needed)
}

fn layout(block_bytes: usize) -> Layout {
    Layout::from_size_align(block_bytes, ALIGN).expect("a payload is far below isize::MAX")
}

/// One holder of a block.
#[derive(Debug)]
struct Block(NonNull<Header>);

// SAFETY: holders are counted atomically; who may read or write the content is up to those who have
// the block.
unsafe impl Send for Block {}
// SAFETY: as above; of a shared block only the header is looked at.
unsafe impl Sync for Block {}

impl Block {
    /// A block with one holder; its content is not initialised unless it is a mapping.
    fn allocate(bytes: usize, offset: u32) -> Block {
        let start = if is_mapping(bytes) {
            mapping::map(bytes)
        } else {
            // SAFETY: a block has a header at least.
            NonNull::new(unsafe { alloc(layout(bytes)) })
        };
        let start = start.unwrap_or_else(|| handle_alloc_error(layout(bytes))).cast::<Header>();
        // SAFETY: the new memory is nobody else's, large enough and aligned.
        unsafe { start.write(Header { holders: AtomicU32::new(1), offset, bytes }) };
        Block(start)
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: a block begins with its header, and lives while it has a holder.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn content(&self) -> NonNull<u8> {
        // SAFETY: a block is longer than its header.
        unsafe { self.0.cast().add(HEADER_BYTES) }
    }

    fn share(&self) -> Block {
        // Holders are far fewer than 2^32: each is counted as some client's memory.
        self.header().holders.fetch_add(1, Ordering::Relaxed);
        Block(self.0)
    }

    /// Whether there are other holders. There is none to come if there is none.
    fn is_shared(&self) -> bool {
        self.header().holders.load(Ordering::Acquire) > 1
    }

    /// Gives it another size; what is new of it is as [`Block::allocate`] leaves it. It must have no
    /// other holder, and both sizes must be those of mappings, or neither.
    fn resize(&mut self, bytes: usize) {
        let old = self.header().bytes;
        assert!(!self.is_shared() && is_mapping(old) == is_mapping(bytes));
        let moved = if is_mapping(bytes) {
            mapping::remap(self.0.cast(), old, bytes)
        } else if old == bytes {
            Some(self.0.cast())
        } else {
            // SAFETY: allocated with the old size.
            NonNull::new(unsafe { realloc(self.0.as_ptr().cast(), layout(old), bytes) })
        };
        self.0 = moved.unwrap_or_else(|| handle_alloc_error(layout(bytes))).cast();
        // SAFETY: the header has moved along, and nobody else looks at it.
        unsafe { (*self.0.as_ptr()).bytes = bytes };
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // As `Arc` does it: whoever frees the block has seen all that others did with it.
        if self.header().holders.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        let bytes = self.header().bytes;
        if is_mapping(bytes) {
            mapping::unmap(self.0.cast(), bytes);
        } else {
            // SAFETY: allocated with this size, and nobody holds it any more.
            unsafe { dealloc(self.0.as_ptr().cast(), layout(bytes)) };
        }
    }
}

impl Payload {
    pub fn copy_of(bytes: &[u8]) -> Payload {
        Payload::starting_with(bytes, bytes.len())
    }

    /// `len` bytes that begin with as many of `bytes` as fit; the others are zero.
    pub fn starting_with(bytes: &[u8], len: usize) -> Payload {
        let payload = Payload { block: Block::allocate(block_bytes(len), 0), len };
        let copied = bytes.len().min(len);
        // SAFETY: the new block holds `len` bytes and is nobody else's.
        unsafe {
            payload.start().copy_from_nonoverlapping(NonNull::from(bytes).cast(), copied);
            if !payload.is_mapped() {
                payload.start().add(copied).write_bytes(0, len - copied);
            }
        }
        payload
    }

    fn header(&self) -> &Header {
        self.block.header()
    }

    #[inline]
    fn start(&self) -> NonNull<u8> {
        // SAFETY: the payload lies in the block, this far behind its header.
        unsafe { self.block.content().add(self.header().offset as usize) }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: all bytes are initialised.
        unsafe { std::slice::from_raw_parts(self.start().as_ptr(), self.len) }
    }

    pub(super) fn start_and_len(&self) -> (NonNull<u8>, usize) {
        (self.start(), self.len)
    }

    /// Another holder of the same bytes.
    pub fn share(&self) -> Payload {
        Payload { block: self.block.share(), len: self.len }
    }

    /// Whether there are other holders. There is none to come if there is none.
    pub fn is_shared(&self) -> bool {
        self.block.is_shared()
    }

    /// Makes it the only holder of its bytes, which take as much memory as before.
    pub fn unshare(&mut self) {
        if !self.is_shared() {
            return;
        }
        let Header { offset, bytes, .. } = *self.header();
        let own = Payload { block: Block::allocate(bytes, offset), len: self.len };
        // SAFETY: the new block is as large as the old one and nobody else's.
        unsafe { own.start().copy_from_nonoverlapping(self.start(), self.len) };
        *self = own;
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.unshare();
        // SAFETY: as in `as_slice`; it is the only holder, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start().as_ptr(), self.len) }
    }

    /// Whether it is a mapping of its own. Giving such memory back takes so long that it is done in
    /// slices.
    pub fn is_mapped(&self) -> bool {
        is_mapping(self.header().bytes)
    }

    /// What it takes. The memory behind a mapping's spare end is not there until it is written.
    pub fn held_bytes(&self) -> usize {
        let Header { offset, bytes, .. } = *self.header();
        match is_mapping(bytes) {
            true => (HEADER_BYTES + offset as usize + self.len).next_multiple_of(SYSTEM_PAGE_BYTES),
            false => bytes,
        }
    }

    /// Whether making it this long leaves its memory as it is or moves it without a copy.
    pub fn grows_in_place(&self, len: usize) -> bool {
        let (old, new) = (self.header().bytes, block_bytes(len));
        let stays = old == new || is_mapping(old) && is_mapping(new);
        stays && self.header().offset == 0 && !self.is_shared()
    }

    /// Whether making it this much shorter gives so much back that it should be done in slices.
    pub fn gives_much_back(&self, len: usize) -> bool {
        self.is_mapped() && len <= self.len / 2
    }

    /// Makes it `len` bytes long; new ones are zero.
    pub fn resize(&mut self, len: usize) {
        let (old, bytes) = (self.len, block_bytes(len));
        let changes_kind = is_mapping(self.header().bytes) != is_mapping(bytes);
        if changes_kind || self.header().offset > 0 || self.is_shared() {
            *self = Payload::starting_with(self.as_slice(), len);
            return;
        }
        let old_bytes = self.header().bytes;
        self.block.resize(bytes);
        self.len = len;
        if !is_mapping(bytes) {
            // SAFETY: the block holds `len` bytes.
            unsafe { self.start().add(old.min(len)).write_bytes(0, len.saturating_sub(old)) };
        } else if len < old {
            let end = (HEADER_BYTES + old).min(bytes.min(old_bytes));
            // SAFETY: the mapping goes on to `end`, and what lies behind `len` is nobody's.
            unsafe { mapping::clear(self.block.0.cast(), HEADER_BYTES + len, end) };
        }
    }

    /// Gives the address away; [`Payload::from_start`] takes it back.
    pub fn into_bits(self) -> u64 {
        let bits = self.block.0.as_ptr().expose_provenance() as u64;
        std::mem::forget(self);
        bits
    }

    /// # Safety
    /// `start` is what [`Payload::into_bits`] gave of a payload of `len` bytes, and nobody else
    /// makes a payload of it that is dropped.
    pub unsafe fn from_start(start: NonNull<u8>, len: usize) -> Payload {
        Payload { block: Block(start.cast()), len }
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

/// A command on its way in, in one piece: what comes before a large argument, that argument, of
/// which a payload can be made where it lies, and what follows.
#[derive(Debug)]
pub struct Incoming {
    /// Its offset is where the argument begins. It has other holders only when all of the argument
    /// is there, and then they read no more than that.
    block: Block,
    filled: usize,
    argument_len: usize,
}

impl Incoming {
    /// Begins with `head`; the argument of `len` bytes begins at `offset`, or will. Takes memory for
    /// `capacity` bytes at least.
    pub fn new(head: &[u8], offset: u32, len: usize, capacity: usize) -> Incoming {
        assert!(offset > 0, "an argument comes behind its header line");
        let block = Block::allocate(block_bytes(capacity.max(head.len())), offset);
        let mut incoming = Incoming { block, filled: 0, argument_len: len };
        incoming.put_slice(head);
        incoming
    }

    /// Bytes of its memory.
    pub fn memory(&self) -> usize {
        self.block.header().bytes
    }

    /// How many bytes there is memory for.
    pub fn capacity(&self) -> usize {
        self.memory() - HEADER_BYTES
    }

    /// What has come.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are initialised.
        unsafe { std::slice::from_raw_parts(self.block.content().as_ptr(), self.filled) }
    }

    /// Makes sure that there is memory for `capacity` bytes.
    pub fn reserve(&mut self, capacity: usize) {
        let (old, bytes) = (self.memory(), block_bytes(capacity));
        if bytes <= old {
            return;
        }
        if is_mapping(old) == is_mapping(bytes) && !self.block.is_shared() {
            self.block.resize(bytes);
        } else {
            let offset = self.block.header().offset;
            *self = Incoming::new(self.bytes(), offset, self.argument_len, capacity);
        }
    }

    /// The argument as a payload, without a copy; `None` unless all of it has come and most of the
    /// memory is its own.
    pub fn payload(&self) -> Option<Payload> {
        const WASTED_PART_MAX: usize = 4;
        let Header { offset, bytes, .. } = *self.block.header();
        let whole = offset as usize + self.argument_len <= self.filled;
        let needed = block_bytes(self.argument_len);
        if !whole || bytes.saturating_sub(needed) > needed / WASTED_PART_MAX {
            return None;
        }
        Some(Payload { block: self.block.share(), len: self.argument_len })
    }
}

// SAFETY: what `chunk_mut` lends is the end of the block, as long as `remaining_mut` says, which
// nobody else writes to or reads.
unsafe impl BufMut for Incoming {
    fn remaining_mut(&self) -> usize {
        self.capacity() - self.filled
    }

    unsafe fn advance_mut(&mut self, bytes: usize) {
        assert!(bytes <= self.remaining_mut());
        self.filled += bytes;
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        // SAFETY: as above.
        unsafe {
            let end = self.block.content().add(self.filled);
            UninitSlice::from_raw_parts_mut(end.as_ptr(), self.remaining_mut())
        }
    }
}

/// The mapping of a payload on its way back to the system.
#[derive(Debug)]
pub struct Unmapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it owns its mapping.
unsafe impl Send for Unmapping {}

impl Unmapping {
    /// Of a payload that is mapped and has no other holder; any other is dropped.
    pub fn of(payload: Payload) -> Option<Unmapping> {
        if !payload.is_mapped() || payload.is_shared() {
            return None;
        }
        let remains = Unmapping { start: payload.block.0.cast(), bytes: payload.header().bytes };
        std::mem::forget(payload);
        Some(remains)
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives up to `bytes` back, from the end; true while there is more.
    pub fn free_slice(&mut self, bytes: usize) -> bool {
        let kept = self.bytes.saturating_sub(bytes).next_multiple_of(SYSTEM_PAGE_BYTES);
        let kept = if kept >= self.bytes { 0 } else { kept };
        // SAFETY: the mapping is `self.bytes` long; its end is given up and forgotten.
        mapping::unmap(unsafe { self.start.add(kept) }, self.bytes - kept);
        self.bytes = kept;
        kept > 0
    }
}

impl Drop for Unmapping {
    fn drop(&mut self) {
        if self.bytes > 0 {
            mapping::unmap(self.start, self.bytes);
        }
    }
}

mod mapping {
    use std::ptr::{NonNull, null_mut};

    use libc::{
        MADV_DONTNEED, MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, MREMAP_MAYMOVE, PROT_READ,
        PROT_WRITE, madvise, mmap, mremap, munmap,
    };

    use super::SYSTEM_PAGE_BYTES;

    fn checked(start: *mut libc::c_void) -> Option<NonNull<u8>> {
        NonNull::new(start.cast::<u8>()).filter(|_| start != MAP_FAILED)
    }

    pub fn map(bytes: usize) -> Option<NonNull<u8>> {
        let (access, flags) = (PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
        // SAFETY: a new private mapping touches no memory that exists.
        checked(unsafe { mmap(null_mut(), bytes, access, flags, -1, 0) })
    }

    pub fn remap(start: NonNull<u8>, old_bytes: usize, bytes: usize) -> Option<NonNull<u8>> {
        if old_bytes == bytes {
            return Some(start);
        }
        // SAFETY: the mapping at `start` is the caller's and `old_bytes` long.
        checked(unsafe { mremap(start.as_ptr().cast(), old_bytes, bytes, MREMAP_MAYMOVE) })
    }

    /// Makes the bytes from `from` to `to` zero and gives the whole pages among them back.
    ///
    /// # Safety
    /// The mapping at `start` must reach to the end of `to`'s page.
    pub unsafe fn clear(start: NonNull<u8>, from: usize, to: usize) {
        let pages = from.next_multiple_of(SYSTEM_PAGE_BYTES).min(to);
        // SAFETY: the caller's; a private anonymous page that is given back reads as zero.
        unsafe {
            start.add(from).write_bytes(0, pages - from);
            if pages < to {
                let advised = madvise(start.add(pages).as_ptr().cast(), to - pages, MADV_DONTNEED);
                if advised != 0 {
                    start.add(pages).write_bytes(0, to - pages);
                }
            }
        }
    }

    pub fn unmap(start: NonNull<u8>, bytes: usize) {
        // SAFETY: the mapping is the caller's, who gives it up.
        unsafe {
            munmap(start.as_ptr().cast(), bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(miri))]
    fn payloads_keep_what_fits_across_both_kinds_of_memory() {
        let lengths = [
            9_000,
            10_000,
            MAPPED_BYTES_MIN,
            MAPPED_BYTES_MIN + 1,
            5 << 20,
            (5 << 20) - 9_000,
            (5 << 20) - 1,
            3 << 20,
            MAPPED_BYTES_MIN - HEADER_BYTES - 1,
            20,
        ];
        let mut payload = Payload::copy_of(&[0xAB; 8_500]);
        let mut kept = payload.len();
        for len in lengths {
            payload.resize(len);
            kept = kept.min(len);
            let (old, new) = payload.as_slice().split_at(kept);
            assert!(old.iter().all(|byte| *byte == 0xAB), "{len}");
            assert!(new.iter().all(|byte| *byte == 0), "{len}");
            payload.as_mut_slice().fill(0xAB);
            kept = len;
        }
    }

    /// A command that has come up to its value, and then in pieces.
    fn incoming(head: &[u8], value: &[u8], piece: usize) -> Incoming {
        let offset = head.len() as u32;
        let mut incoming = Incoming::new(head, offset, value.len(), head.len() + 1);
        for part in [value, b"\r\n"].concat().chunks(piece) {
            let len = incoming.bytes().len() + part.len();
            incoming.reserve(len);
            incoming.put_slice(part);
        }
        incoming
    }

    #[test]
    fn an_argument_becomes_a_payload_where_it_was_received() {
        for piece in [1_000, 20_000, 3_000_000] {
            let value: Vec<u8> = (0..40_000_u32).map(|at| (at * 7 + at / 251) as u8).collect();
            let value = value.repeat(if cfg!(miri) { 1 } else { 60 });
            let incoming = incoming(b"*3 SET k ", &value, piece);
            assert_eq!(incoming.bytes().len(), 9 + value.len() + 2);
            let payload = incoming.payload().unwrap();
            assert!(std::ptr::eq(payload.as_slice(), &incoming.bytes()[9..9 + value.len()]));
            assert!(payload.is_shared() && payload.held_bytes() >= value.len());
            drop(incoming);
            assert!(!payload.is_shared() && payload.as_slice() == value);
        }
    }

    /// What lay behind the argument is not what a longer value continues with.
    #[test]
    fn a_payload_made_of_an_argument_grows_by_zeros() {
        let value = vec![b'v'; if cfg!(miri) { 40_000 } else { 3_000_000 }];
        let mut payload = incoming(b"SET k ", &value, 100_000).payload().unwrap();
        payload.resize(value.len() + 10);
        assert_eq!(&payload.as_slice()[value.len() - 1..], b"v\0\0\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn only_a_whole_argument_that_fills_its_memory_becomes_a_payload() {
        let mut early = Incoming::new(b"SET k ", 6, 40_000, 100);
        assert!(early.payload().is_none());
        early.reserve(40_006);
        early.put_slice(&[b'v'; 39_999]);
        assert!(early.payload().is_none());
        early.put_slice(b"v");
        assert_eq!(early.payload().unwrap().as_slice(), [b'v'; 40_000]);
        let long_key = Incoming::new(&[b'k'; 100_000], 60_000, 40_000, 100_000);
        assert!(long_key.payload().is_none());
    }

    /// Memory that somebody else reads is not changed, and goes when the last holder has gone.
    #[test]
    fn whoever_changes_a_shared_payload_changes_a_copy() {
        for len in [9_000, if cfg!(miri) { 10_000 } else { 3 << 20 }] {
            let mut payload = Payload::copy_of(&vec![b'a'; len]);
            let held = payload.held_bytes();
            let reader = payload.share();
            let other = std::thread::spawn(move || {
                assert!(reader.as_slice().iter().all(|byte| *byte == b'a'));
                reader
            });
            payload.as_mut_slice().fill(b'b');
            assert_eq!(payload.held_bytes(), held);
            let reader = other.join().unwrap();
            assert!(!reader.is_shared() && reader.as_slice().iter().all(|byte| *byte == b'a'));
            let longer = payload.share();
            assert!(!payload.grows_in_place(len));
            payload.resize(len + 1);
            assert_eq!((longer.len(), payload.len()), (len, len + 1));
            assert!(Unmapping::of(longer.share()).is_none());
        }
    }

    /// Resident pages are the proof: nothing of a hole is written.
    #[test]
    #[cfg(not(miri))]
    fn a_hole_takes_no_memory() {
        let mut payload = Payload::copy_of(b"start");
        payload.resize(400_000_000);
        payload.resize(500_000_000);
        let resident = resident_pages(&payload);
        assert!(resident <= 1, "{resident} pages");
        let mut fresh = Payload::starting_with(b"start", 400_000_000);
        fresh.resize(300_000_000);
        fresh.resize(420_000_000);
        assert!(resident_pages(&fresh) <= 3);
    }

    #[cfg(not(miri))]
    fn resident_pages(payload: &Payload) -> usize {
        let mut pages = vec![0_u8; payload.len().div_ceil(SYSTEM_PAGE_BYTES)];
        // SAFETY: the mapping is as long as the payload, and there is a byte for every page.
        let answer = unsafe {
            libc::mincore(payload.block.0.as_ptr().cast(), payload.len(), pages.as_mut_ptr())
        };
        assert_eq!(answer, 0);
        pages.iter().filter(|page| **page & 1 == 1).count()
    }

    #[test]
    #[cfg(not(miri))]
    fn mappings_go_slice_by_slice() {
        let payload = Payload::starting_with(&[], (3 << 20) + 5);
        let mut remains = Unmapping::of(payload).unwrap();
        let mut slices = 1;
        while remains.free_slice(1 << 20) {
            slices += 1;
        }
        assert_eq!((slices, remains.bytes()), (4, 0));
    }
}
