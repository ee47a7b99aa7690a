//! How long a value is, and the bytes of it.

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use super::distribution::below;
use crate::plan::ValueSizes;

/// What a server takes at most as one argument, unless told otherwise (proto-max-bulk-len).
pub const LONGEST_VALUE: usize = 512 << 20;

/// Random bytes that values are cut from, so that neither making a value costs random numbers nor
/// a server or a network that compresses has an easy time. Small enough to stay in a core's own
/// cache.
const POOL_BYTES: usize = 64 << 10;

/// Values of one workload, for one thread.
#[derive(Clone, Debug)]
pub struct Values {
    sizes: Sizes,
    pool: Box<[u8]>,
}

#[derive(Clone, Debug)]
enum Sizes {
    Fixed(usize),
    Range {
        min: usize,
        span: u64,
    },
    /// With the sum of the weights up to each size, as fractions.
    Weighted(Vec<(usize, f64)>),
}

impl Values {
    /// # Errors
    /// When a size or a weight is out of range, with a line that says so.
    pub fn new(sizes: &ValueSizes, seed: u64) -> Result<Self, String> {
        let mut pool = vec![0; POOL_BYTES].into_boxed_slice();
        SmallRng::seed_from_u64(seed).fill_bytes(&mut pool);
        Ok(Values { sizes: Sizes::new(sizes)?, pool })
    }

    /// The size, where all values have the same.
    pub fn fixed_size(&self) -> Option<usize> {
        match self.sizes {
            Sizes::Fixed(size) => Some(size),
            Sizes::Range { .. } | Sizes::Weighted(_) => None,
        }
    }

    #[inline]
    pub fn size(&self, rng: &mut impl Rng) -> usize {
        match &self.sizes {
            Sizes::Fixed(size) => *size,
            Sizes::Range { min, span } => min + below(rng, *span) as usize,
            Sizes::Weighted(sizes) => {
                let at = rng.random::<f64>();
                let chosen = sizes.iter().find(|(_, up_to)| at < *up_to).or(sizes.last());
                chosen.map_or(0, |(size, _)| *size)
            }
        }
    }

    /// Appends `size` bytes, from a place in the pool that `at` chooses.
    #[inline]
    pub fn append(&self, size: usize, at: u64, out: &mut Vec<u8>) {
        let start = at as usize % POOL_BYTES;
        let first = size.min(POOL_BYTES - start);
        out.extend_from_slice(&self.pool[start..start + first]);
        let mut left = size - first;
        while left > 0 {
            let part = left.min(POOL_BYTES);
            out.extend_from_slice(&self.pool[..part]);
            left -= part;
        }
    }
}

impl Sizes {
    fn new(sizes: &ValueSizes) -> Result<Self, String> {
        let within = |size: usize| match size {
            0..=LONGEST_VALUE => Ok(size),
            _ => Err(format!("a value of {size} bytes is longer than servers take (512m)")),
        };
        match sizes {
            ValueSizes::Fixed(size) => Ok(Sizes::Fixed(within(*size)?)),
            ValueSizes::Range { min, max } => {
                if min > max {
                    return Err(format!("the value sizes {min}-{max} are the wrong way round"));
                }
                within(*max)?;
                Ok(Sizes::Range { min: *min, span: (max - min) as u64 + 1 })
            }
            ValueSizes::Weighted(list) => {
                let total: f64 = list.iter().map(|(_, weight)| weight).sum();
                if list.is_empty() || !(total > 0.0 && total.is_finite()) {
                    return Err("the value sizes have no weight; give at least one above 0".into());
                }
                let mut sum = 0.0;
                let mut cumulated = Vec::with_capacity(list.len());
                for (size, weight) in list {
                    if weight.is_nan() || *weight < 0.0 {
                        return Err(format!("the weight {weight} of size {size} is below 0"));
                    }
                    sum += weight / total;
                    cumulated.push((within(*size)?, sum));
                }
                Ok(Sizes::Weighted(cumulated))
            }
        }
    }
}

/// The smallest value of the workload, bytes.
pub fn smallest(sizes: &ValueSizes) -> usize {
    match sizes {
        ValueSizes::Fixed(size) => *size,
        ValueSizes::Range { min, .. } => *min,
        ValueSizes::Weighted(list) => list.iter().map(|(size, _)| *size).min().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(sizes: &ValueSizes, draws: usize) -> Vec<usize> {
        let values = Values::new(sizes, 1).expect("valid sizes");
        let mut rng = SmallRng::seed_from_u64(3);
        (0..draws).map(|_| values.size(&mut rng)).collect()
    }

    #[test]
    fn a_range_reaches_both_ends_evenly() {
        let sizes = draw(&ValueSizes::Range { min: 10, max: 19 }, 100_000);
        for size in 10..=19 {
            let seen = sizes.iter().filter(|s| **s == size).count() as f64;
            // The deviation of such a count is 95.
            assert!((seen - 10_000.0).abs() < 400.0, "{seen} values of {size} bytes");
        }
        assert!(sizes.iter().all(|s| (10..=19).contains(s)));
    }

    #[test]
    fn weights_need_not_add_up_to_one() {
        let sizes = draw(&ValueSizes::Weighted(vec![(64, 8.0), (4096, 2.0), (1, 0.0)]), 100_000);
        let large = sizes.iter().filter(|s| **s == 4096).count() as f64;
        assert!((large - 20_000.0).abs() < 520.0, "{large} large ones");
        assert!(sizes.iter().all(|s| *s != 1), "a weight of 0 is never chosen");
    }

    #[test]
    fn values_longer_than_the_pool_are_whole() {
        let values = Values::new(&ValueSizes::Fixed(0), 1).expect("valid");
        for (size, at) in [(0, 0), (1, u64::MAX), (POOL_BYTES, 5), (3 * POOL_BYTES + 7, 65_535)] {
            let mut out = Vec::new();
            values.append(size, at, &mut out);
            assert_eq!(out.len(), size);
        }
    }

    #[test]
    fn senseless_sizes_are_refused() {
        for sizes in [
            ValueSizes::Fixed(LONGEST_VALUE + 1),
            ValueSizes::Range { min: 2, max: 1 },
            ValueSizes::Weighted(Vec::new()),
            ValueSizes::Weighted(vec![(1, 0.0)]),
            ValueSizes::Weighted(vec![(1, -1.0), (2, 3.0)]),
            ValueSizes::Weighted(vec![(1, f64::NAN)]),
        ] {
            assert!(Values::new(&sizes, 1).is_err(), "{sizes:?}");
        }
    }
}
