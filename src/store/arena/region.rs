//! Address space for one arena: reserved whole, backed by memory page by page.

use std::ptr::NonNull;

use super::PAGE_BYTES;

/// A range of addresses that never moves. Pages of it become usable by [`Region::commit`].
///
/// # Invariants
/// `base` starts `bytes` of address space that belong to this region alone until it is dropped.
/// The first `committed` bytes may be read and written; what has not been written reads as zero.
#[derive(Debug)]
pub struct Region {
    base: NonNull<u8>,
    bytes: usize,
    committed: usize,
}

/// Address space is made usable in steps of this: one system call for many pages.
const COMMIT_STEP_BYTES: usize = 32 * PAGE_BYTES;

// SAFETY: the region owns its memory; nothing about it is tied to a thread.
unsafe impl Send for Region {}

impl Region {
    /// Reserves address space, which costs no memory.
    ///
    /// # Panics
    /// If the system refuses: there is no server without a store.
    pub fn reserve(bytes: usize) -> Region {
        Region { base: system::reserve(bytes), bytes, committed: 0 }
    }

    #[inline]
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Makes the first `bytes` usable. False when the system has no memory for it, or the region
    /// no room.
    #[must_use]
    pub fn commit(&mut self, bytes: usize) -> bool {
        if bytes <= self.committed {
            return true;
        }
        let target = bytes.next_multiple_of(COMMIT_STEP_BYTES).min(self.bytes);
        if bytes > target {
            return false;
        }
        // SAFETY: the range lies within the reserved one.
        let done = unsafe {
            system::commit(self.base.add(self.committed).as_ptr(), target - self.committed)
        };
        if done {
            self.committed = target;
        }
        done
    }

    /// Gives the memory behind a committed range back; it stays usable and reads as zero.
    ///
    /// # Safety
    /// Nothing may refer to what is in the range, whose ends are multiples of [`PAGE_BYTES`] below
    /// what has been committed.
    pub unsafe fn discard(&mut self, offset: usize, bytes: usize) {
        debug_assert!(offset + bytes <= self.committed);
        // SAFETY: within the region; the caller knows that nobody reads it any more.
        unsafe { system::discard(self.base.add(offset).as_ptr(), bytes) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: this range was reserved by `reserve` and is given up exactly once.
        unsafe { system::release(self.base, self.bytes) }
    }
}

#[cfg(not(miri))]
mod system {
    use std::ptr::{NonNull, null_mut};

    use libc::{
        MADV_DONTNEED, MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_NONE, PROT_READ,
        PROT_WRITE, madvise, mmap, mprotect, munmap,
    };

    pub fn reserve(bytes: usize) -> NonNull<u8> {
        // SAFETY: a new private mapping touches no memory that exists.
        let base = unsafe {
            let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
            mmap(null_mut(), bytes, PROT_NONE, flags, -1, 0)
        };
        match NonNull::new(base.cast::<u8>()) {
            Some(base) if base.as_ptr().cast() != MAP_FAILED => base,
            _ => panic!(
                "the system refuses {} GiB of address space for the store ({}): raise the limit \
                 that `ulimit -v` shows",
                bytes >> 30,
                std::io::Error::last_os_error()
            ),
        }
    }

    /// # Safety
    /// The range must be reserved.
    pub unsafe fn commit(start: *mut u8, bytes: usize) -> bool {
        // SAFETY: as the caller promises.
        unsafe { mprotect(start.cast(), bytes, PROT_READ | PROT_WRITE) == 0 }
    }

    /// # Safety
    /// The range must be committed, and nobody may rely on what it holds.
    pub unsafe fn discard(start: *mut u8, bytes: usize) {
        // SAFETY: as the caller promises. A failure leaves the memory as it is, which is no harm.
        unsafe {
            madvise(start.cast(), bytes, MADV_DONTNEED);
        }
    }

    /// # Safety
    /// The range must be one that `reserve` gave, and nobody may use it any more.
    pub unsafe fn release(base: NonNull<u8>, bytes: usize) {
        // SAFETY: as the caller promises.
        unsafe {
            munmap(base.as_ptr().cast(), bytes);
        }
    }
}

/// Miri knows no `mprotect`: a small region of plain memory stands for the large one.
#[cfg(miri)]
mod system {
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::ptr::NonNull;

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, super::PAGE_BYTES).unwrap()
    }

    pub fn reserve(bytes: usize) -> NonNull<u8> {
        // SAFETY: the layout is not of size zero.
        NonNull::new(unsafe { alloc_zeroed(layout(bytes)) }).unwrap()
    }

    pub unsafe fn commit(_: *mut u8, _: usize) -> bool {
        true
    }

    pub unsafe fn discard(start: *mut u8, bytes: usize) {
        // SAFETY: as the caller promises.
        unsafe { start.write_bytes(0, bytes) }
    }

    pub unsafe fn release(base: NonNull<u8>, bytes: usize) {
        // SAFETY: as the caller promises.
        unsafe { dealloc(base.as_ptr(), layout(bytes)) }
    }
}
