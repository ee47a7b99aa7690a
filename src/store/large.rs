//! Payloads too large for a block of the arena: one allocation each, outside of it.
//!
//! Up to a mebibyte they come from the process's allocator; larger ones are mappings of their own,
//! which grow without being copied and whose memory goes back to the system in slices, so that
//! dropping a huge value stalls nobody.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ptr::NonNull;

use super::memory::good_size;

/// From here on a payload is a mapping.
const MAPPED_BYTES_MIN: usize = 1 << 20;
const SYSTEM_PAGE_BYTES: usize = 4096;
const ALIGN: usize = 8;

/// Initialised bytes in an allocation of their own, which dropping gives back at once.
///
/// Invariant: the bytes of a mapping behind its length are zero, so that it grows by zero bytes
/// without writing them: a hole costs no memory and no time.
#[derive(Debug)]
pub struct Payload {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a payload owns its memory; nothing about it is tied to a thread.
unsafe impl Send for Payload {}

/// What a payload of `len` bytes takes. The memory behind a mapping's spare end is not there until
/// it is written.
pub fn held_bytes(len: usize) -> usize {
    if is_mapped(len) { len.next_multiple_of(SYSTEM_PAGE_BYTES) } else { good_size(len) }
}

/// Whether a payload of `len` bytes is a mapping of its own. Giving such memory back takes so long
/// that it is done in slices.
pub fn is_mapped(len: usize) -> bool {
    len >= MAPPED_BYTES_MIN && cfg!(not(miri))
}

/// Steps of an eighth, so that appending moves a mapping seldom.
fn mapping_bytes(len: usize) -> usize {
    let step = (len.next_power_of_two() / 8).max(SYSTEM_PAGE_BYTES);
    len.checked_next_multiple_of(step).unwrap_or(len)
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(good_size(len), ALIGN).expect("a payload is far below isize::MAX")
}

/// Memory for `len` bytes, which are not initialised unless they are mapped.
fn allocate(len: usize) -> NonNull<u8> {
    let start = if is_mapped(len) {
        mapping::map(mapping_bytes(len))
    } else {
        // SAFETY: the layout is not of size zero.
        NonNull::new(unsafe { alloc(layout(len)) })
    };
    start.unwrap_or_else(|| handle_alloc_error(layout(len)))
}

impl Payload {
    pub fn copy_of(bytes: &[u8]) -> Payload {
        Payload::starting_with(bytes, bytes.len())
    }

    /// `len` bytes that begin with as many of `bytes` as fit; the others are zero.
    pub fn starting_with(bytes: &[u8], len: usize) -> Payload {
        let start = allocate(len);
        let copied = bytes.len().min(len);
        // SAFETY: the new memory holds `len` bytes and is nobody else's.
        unsafe {
            start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), copied);
            if !is_mapped(len) {
                start.add(copied).write_bytes(0, len - copied);
            }
        }
        Payload { start, len }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: all bytes are initialised.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and they are borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    pub fn is_mapped(&self) -> bool {
        is_mapped(self.len)
    }

    /// Whether making it this long leaves its memory as it is or moves it without a copy.
    pub fn grows_in_place(&self, len: usize) -> bool {
        let (mapped, old) = (is_mapped(len), self.is_mapped());
        mapped == old && (mapped || layout(len) == layout(self.len))
    }

    /// Whether making it this much shorter gives so much back that it should be done in slices.
    pub fn gives_much_back(&self, len: usize) -> bool {
        self.is_mapped() && len <= self.len / 2
    }

    /// Makes it `len` bytes long; new ones are zero.
    pub fn resize(&mut self, len: usize) {
        let old = self.len;
        if is_mapped(old) != is_mapped(len) {
            *self = Payload::starting_with(self.as_slice(), len);
            return;
        }
        let moved = if is_mapped(len) {
            mapping::remap(self.start, mapping_bytes(old), mapping_bytes(len))
        } else if layout(old) == layout(len) {
            Some(self.start)
        } else {
            // SAFETY: allocated with the old length's layout.
            NonNull::new(unsafe { realloc(self.start.as_ptr(), layout(old), layout(len).size()) })
        };
        self.start = moved.unwrap_or_else(|| handle_alloc_error(layout(len)));
        self.len = len;
        if !is_mapped(len) {
            // SAFETY: the memory is `len` bytes long.
            unsafe { self.start.add(old.min(len)).write_bytes(0, len.saturating_sub(old)) };
        } else if len < old {
            let end = old.min(mapping_bytes(len));
            // SAFETY: the mapping goes on to `end`, and what lies behind `len` is nobody's.
            unsafe { mapping::clear(self.start, len, end) };
        }
    }

    /// Gives the address away; [`Payload::from_start`] takes it back.
    pub fn into_bits(self) -> u64 {
        let bits = self.start.as_ptr().expose_provenance() as u64;
        std::mem::forget(self);
        bits
    }

    /// # Safety
    /// `start` is what [`Payload::into_bits`] gave of a payload of `len` bytes, and nobody else
    /// makes a payload of it.
    pub unsafe fn from_start(start: NonNull<u8>, len: usize) -> Payload {
        Payload { start, len }
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if self.is_mapped() {
            mapping::unmap(self.start, mapping_bytes(self.len));
        } else {
            // SAFETY: allocated with this layout.
            unsafe { dealloc(self.start.as_ptr(), layout(self.len)) };
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
    /// Of a payload that is mapped.
    pub fn new(payload: Payload) -> Unmapping {
        debug_assert!(payload.is_mapped());
        let remains = Unmapping { start: payload.start, bytes: mapping_bytes(payload.len) };
        std::mem::forget(payload);
        remains
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
            1 << 20,
            (1 << 20) + 1,
            5 << 20,
            (5 << 20) - 9_000,
            (5 << 20) - 1,
            3 << 20,
            (1 << 20) - 1,
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
            libc::mincore(payload.start.as_ptr().cast(), payload.len(), pages.as_mut_ptr())
        };
        assert_eq!(answer, 0);
        pages.iter().filter(|page| **page & 1 == 1).count()
    }

    #[test]
    #[cfg(not(miri))]
    fn mappings_go_slice_by_slice() {
        let payload = Payload::starting_with(&[], (3 << 20) + 5);
        let mut remains = Unmapping::new(payload);
        let mut slices = 1;
        while remains.free_slice(1 << 20) {
            slices += 1;
        }
        assert_eq!((slices, remains.bytes()), (4, 0));
    }
}
