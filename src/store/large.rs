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

/// An owned allocation whose length its owner knows.
#[derive(Debug, PartialEq, Eq)]
pub struct Payload(NonNull<u8>);

// SAFETY: a payload owns its memory; nothing about it is tied to a thread.
unsafe impl Send for Payload {}

/// What a payload of `len` bytes takes. The memory behind a mapping's spare end is not there until
/// it is written.
pub fn held_bytes(len: usize) -> usize {
    if is_mapped(len) { len.next_multiple_of(SYSTEM_PAGE_BYTES) } else { good_size(len) }
}

fn is_mapped(len: usize) -> bool {
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

impl Payload {
    /// `len` bytes that are not initialised (mapped ones read as zero).
    pub fn allocate(len: usize) -> Payload {
        let start = if is_mapped(len) {
            mapping::map(mapping_bytes(len))
        } else {
            // SAFETY: the layout is not of size zero.
            NonNull::new(unsafe { alloc(layout(len)) })
        };
        match start {
            Some(start) => Payload(start),
            None => handle_alloc_error(layout(len)),
        }
    }

    /// The payload with room for `len` bytes; what fits of the first `old_len` bytes stays.
    pub fn resize(self, old_len: usize, len: usize) -> Payload {
        let moved = match (is_mapped(old_len), is_mapped(len)) {
            (false, false) if layout(old_len) == layout(len) => return self,
            // SAFETY: allocated with the old length's layout.
            (false, false) => NonNull::new(unsafe {
                realloc(self.0.as_ptr(), layout(old_len), layout(len).size())
            }),
            (true, true) => mapping::remap(self.0, mapping_bytes(old_len), mapping_bytes(len)),
            _ => {
                let copy = Payload::allocate(len);
                // SAFETY: both are at least this long, and they do not overlap.
                unsafe {
                    self.0.copy_to_nonoverlapping(copy.0, old_len.min(len));
                }
                self.free(old_len);
                return copy;
            }
        };
        match moved {
            Some(moved) => Payload(moved),
            None => handle_alloc_error(layout(len)),
        }
    }

    /// Gives the memory back at once; see [`Remains::free_slice`].
    pub fn free(self, len: usize) {
        if is_mapped(len) {
            mapping::unmap(self.0, mapping_bytes(len));
        } else {
            // SAFETY: allocated with this layout.
            unsafe { dealloc(self.0.as_ptr(), layout(len)) };
        }
    }

    /// Whether giving the memory back takes so long that it should be done in slices.
    pub fn is_huge(len: usize) -> bool {
        is_mapped(len)
    }

    /// Whether making it this much shorter gives so much back that it should be done in slices.
    pub fn gives_much_back(old_len: usize, len: usize) -> bool {
        Payload::is_huge(old_len) && len <= old_len / 2
    }

    #[cfg(test)]
    fn start(&self) -> NonNull<u8> {
        self.0
    }

    pub fn into_bits(self) -> u64 {
        self.0.as_ptr().expose_provenance() as u64
    }

    /// # Safety
    /// `bits` come from [`Payload::into_bits`], and nobody else makes a payload of them.
    pub unsafe fn from_bits(bits: u64) -> Payload {
        let start = std::ptr::with_exposed_provenance_mut(bits as usize);
        // SAFETY: `into_bits` was given a non-null pointer.
        Payload(unsafe { NonNull::new_unchecked(start) })
    }
}

/// A huge payload on its way back to the system.
#[derive(Debug)]
pub struct Remains {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it owns its mapping.
unsafe impl Send for Remains {}

impl Remains {
    /// Of a payload of `len` bytes that is huge.
    pub fn new(payload: Payload, len: usize) -> Remains {
        debug_assert!(Payload::is_huge(len));
        Remains { start: payload.0, bytes: mapping_bytes(len) }
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

impl Drop for Remains {
    fn drop(&mut self) {
        if self.bytes > 0 {
            mapping::unmap(self.start, self.bytes);
        }
    }
}

mod mapping {
    use std::ptr::{NonNull, null_mut};

    use libc::{
        MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, MREMAP_MAYMOVE, PROT_READ, PROT_WRITE, mmap,
        mremap, munmap,
    };

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
        let lengths = [9_000, 10_000, 1 << 20, (1 << 20) + 1, 5 << 20, 3 << 20, (1 << 20) - 1, 20];
        let mut payload = Payload::allocate(8_500);
        let mut len: usize = 8_500;
        // SAFETY: the payload is as long as this.
        unsafe { payload.start().write_bytes(0xAB, len) };
        let mut kept = len;
        for next in lengths {
            payload = payload.resize(len, next);
            kept = kept.min(next);
            len = next;
            // SAFETY: as above; the first `kept` bytes were written.
            let bytes = unsafe { std::slice::from_raw_parts(payload.start().as_ptr(), kept) };
            assert!(bytes.iter().all(|byte| *byte == 0xAB), "{len}");
        }
        payload.free(len);
    }

    #[test]
    #[cfg(not(miri))]
    fn remains_go_slice_by_slice() {
        let len = (3 << 20) + 5;
        let payload = Payload::allocate(len);
        let mut remains = Remains::new(payload, len);
        let mut slices = 1;
        while remains.free_slice(1 << 20) {
            slices += 1;
        }
        assert_eq!((slices, remains.bytes()), (4, 0));
    }
}
