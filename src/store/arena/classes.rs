//! The sizes of blocks.
//!
//! Sizes are eight bytes (or the granule) apart up to a kibibyte. Above, they are what divides a
//! page into equal blocks almost without a rest, expiries included; there the waste inside a block
//! is an eighth at most, and a sixteenth on the average of the largest ones.

use super::{DUE_BYTES, PAGE_BYTES};

/// The largest block. What is larger is kept outside the arena.
pub const BLOCK_BYTES_MAX: usize = 8128;
const BLOCK_BYTES_MIN: usize = 24;

const FINE_BYTES_MAX: usize = 1024;

/// A size of blocks, and whether they carry an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassId(pub u16);

#[derive(Debug)]
pub struct Classes {
    sizes: Vec<u16>,
    /// By class: how many blocks a page has.
    per_page: Vec<u16>,
    /// By size: 2^32 divided by it, rounded up.
    reciprocals: Vec<u32>,
    /// By the wanted length in units of 8 bytes, rounded up.
    by_length: Vec<u8>,
}

impl Classes {
    /// For blocks whose sizes are multiples of `granule`.
    pub fn new(granule: usize) -> Classes {
        let mut sizes = Vec::new();
        let mut add = |size: usize| {
            let size = size / granule * granule;
            if size >= BLOCK_BYTES_MIN && sizes.last().is_none_or(|last| usize::from(*last) < size)
            {
                sizes.push(size as u16);
            }
        };
        (BLOCK_BYTES_MIN..=FINE_BYTES_MAX).step_by(8).for_each(&mut add);
        let fewest = PAGE_BYTES / BLOCK_BYTES_MAX;
        let most = PAGE_BYTES / FINE_BYTES_MAX;
        (fewest..most).rev().map(|blocks| PAGE_BYTES / blocks - DUE_BYTES).for_each(&mut add);
        let class_of = |length: usize| sizes.partition_point(|size| usize::from(*size) < length);
        let by_length = (0..=BLOCK_BYTES_MAX / 8).map(|units| class_of(units * 8) as u8).collect();
        let per_page = |class: usize| {
            let due_bytes = if class % 2 == 1 { DUE_BYTES } else { 0 };
            (PAGE_BYTES / (usize::from(sizes[class / 2]) + due_bytes)) as u16
        };
        let per_page = (0..2 * sizes.len()).map(per_page).collect();
        let reciprocals =
            sizes.iter().map(|size| (1_u64 << 32).div_ceil(u64::from(*size)) as u32).collect();
        Classes { sizes, per_page, reciprocals, by_length }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        2 * self.sizes.len()
    }

    /// The class of the smallest blocks that hold `length` bytes, at most [`BLOCK_BYTES_MAX`].
    #[inline]
    pub fn of(&self, length: usize, expires: bool) -> ClassId {
        let size = self.by_length[length.div_ceil(8)];
        ClassId(2 * u16::from(size) + u16::from(expires))
    }

    #[inline]
    pub fn size(&self, class: ClassId) -> usize {
        usize::from(self.sizes[usize::from(class.0 / 2)])
    }
}

impl Classes {
    /// Which of its page's blocks the one at `offset` is, without a division.
    #[inline]
    pub fn number(&self, class: ClassId, offset: usize) -> usize {
        // Off by less than 2^16 / 2^32, and upwards.
        ((offset as u64 * u64::from(self.reciprocals[usize::from(class.0 / 2)])) >> 32) as usize
    }

    /// How many blocks of a class a page has.
    #[inline]
    pub fn per_page(&self, class: ClassId) -> usize {
        usize::from(self.per_page[usize::from(class.0)])
    }
}

impl ClassId {
    pub fn expires(self) -> bool {
        self.0 % 2 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_for_and_waste_little() {
        for granule in [8, 16, 32, 64] {
            let classes = Classes::new(granule);
            assert!(classes.sizes.len() <= usize::from(u8::MAX), "{}", classes.sizes.len());
            for length in 1..=BLOCK_BYTES_MAX {
                let size = classes.size(classes.of(length, false));
                let step = granule.max(32).max(length / 7);
                assert!(size >= length && size < length + step, "{granule}: {length} -> {size}");
                assert_eq!(size % granule, 0);
                assert_eq!(classes.size(classes.of(length, true)), size);
                assert!(classes.of(length, true).expires());
            }
            for class in (0..classes.len()).map(|class| ClassId(class as u16)) {
                let due_bytes = if class.expires() { DUE_BYTES } else { 0 };
                let used = classes.per_page(class) * (classes.size(class) + due_bytes);
                for number in 0..classes.per_page(class) {
                    assert_eq!(classes.number(class, number * classes.size(class)), number);
                }
                assert!(used <= PAGE_BYTES && (PAGE_BYTES - used) * 25 < PAGE_BYTES, "{class:?}");
            }
            for size in &classes.sizes {
                let rest = PAGE_BYTES % usize::from(*size);
                assert!(rest * 50 < PAGE_BYTES + 50 * granule * 8, "{size} leaves {rest}");
            }
        }
    }
}
