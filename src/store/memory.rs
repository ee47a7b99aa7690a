//! What an allocation really costs.

/// The size of the block that mimalloc (the process's allocator) serves a request of `len` bytes
/// from: multiples of 16 up to 128 bytes, then four sizes per doubling. Allocating the whole block
/// makes the accounting exact and lets values grow in place.
///
/// Above a mebibyte the allocator would round to pages only. The steps stay, so that a value that
/// is appended to is not copied for every page it grows; what is not written is not resident.
///
/// Source: mimalloc's `mi_bin` (src/page-queue.c); a test compares this with `mi_good_size`.
pub const fn good_size(len: usize) -> usize {
    if len <= 128 {
        return if len <= 8 { 8 } else { (len + 15) & !15 };
    }
    // Four steps between a power of two and the next.
    let step = 1 << (usize::BITS - (len - 1).leading_zeros() - 3);
    match len.checked_next_multiple_of(step) {
        Some(size) => size,
        None => len,
    }
}

/// Allocations from here on are whole pages to the allocator.
const PAGED_BYTES_MIN: usize = 1 << 20;
const SYSTEM_PAGE_BYTES: usize = 4096;

/// What an allocation of `len` bytes takes that is not made larger to grow in place.
pub fn held_bytes(len: usize) -> usize {
    if len < PAGED_BYTES_MIN { good_size(len) } else { len.next_multiple_of(SYSTEM_PAGE_BYTES) }
}

#[cfg(test)]
mod tests {
    use super::good_size;

    #[test]
    #[cfg(not(miri))]
    fn sizes_are_the_allocators() {
        for len in (1..70_000).chain([100_000, 1 << 20]) {
            // SAFETY: a pure function of its argument.
            let allocators = unsafe { libmimalloc_sys::mi_good_size(len) };
            assert_eq!(good_size(len), allocators, "{len}");
        }
    }

    #[test]
    fn sizes_rise_by_at_most_a_quarter() {
        for len in 129..1 << 20 {
            let size = good_size(len);
            assert!(size >= len && size * 4 <= len * 5 + 16, "{len} -> {size}");
            assert_eq!(good_size(size), size, "{len}");
        }
    }
}
