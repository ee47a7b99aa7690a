//! A fixed permutation of the numbers below n.

/// Maps `0..count` onto itself, so that neighbours land far apart.
///
/// It does not depend on a seed: the hot keys of a zipf distribution are the same keys in every
/// run, so that runs on the same preloaded data can be compared.
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    count: u64,
    mask: u64,
    shift: u32,
}

/// Odd, thus invertible modulo any power of two. The fractional parts of the golden ratio and of
/// the square root of two, as 64-bit words.
const MULTIPLIERS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0x6A09_E667_F3BC_C909];

impl Permutation {
    /// Of the numbers below `count`, which is at least 1.
    pub fn new(count: u64) -> Self {
        debug_assert!(count > 0);
        let bits = (64 - (count - 1).leading_zeros()).max(2);
        let mask = u64::MAX >> (64 - bits);
        Permutation { count, mask, shift: bits.div_ceil(2) }
    }

    /// Every step is a bijection of the numbers below the next power of two; walking the cycle
    /// until it comes back below `count` (at most two steps on average, since more than half of
    /// those numbers are) makes it one of the numbers below `count`.
    pub fn apply(&self, number: u64) -> u64 {
        debug_assert!(number < self.count);
        let mut x = number;
        loop {
            for multiplier in MULTIPLIERS {
                x = x.wrapping_mul(multiplier).wrapping_add(multiplier >> 32) & self.mask;
                x ^= x >> self.shift;
            }
            if x < self.count {
                return x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_bijection() {
        for count in [1, 2, 3, 4, 5, 7, 8, 9, 100, 1000, 1023, 1024, 1025, 65_537] {
            let permutation = Permutation::new(count);
            let mut seen = vec![false; count as usize];
            for number in 0..count {
                let image = permutation.apply(number) as usize;
                assert!(!seen[image], "{image} is reached twice below {count}");
                seen[image] = true;
            }
        }
    }

    #[test]
    fn scatters_the_first_ranks() {
        let count = 1_000_000;
        let permutation = Permutation::new(count);
        let tenths: std::collections::BTreeSet<u64> =
            (0..100).map(|rank| permutation.apply(rank) * 10 / count).collect();
        assert_eq!(tenths.len(), 10, "the hundred hottest keys lie in {tenths:?}");
    }
}
