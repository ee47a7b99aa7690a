//! How certain a ratio of paired measurements is.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Resamples; the ends of the interval are then stable to a few thousandths of its width.
pub const RESAMPLES: usize = 10_000;
/// Fewer pairs than this say nothing about how far pairs differ.
pub const PAIRS_MIN: usize = 3;

/// B over A with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
}

impl Ratio {
    pub fn contains(self, ratio: f64) -> bool {
        (self.low..=self.high).contains(&ratio)
    }
}

/// The geometric mean of `b / a` over the pairs and its 95 % interval by the percentile bootstrap
/// (Efron 1979): pairs are drawn with replacement, and the middle 95 % of the means so drawn are
/// the interval. Pair by pair, because neighbours in time share the machine's mood; geometric, so
/// that swapping A and B gives the reciprocal. The same seed gives the same interval.
///
/// With few pairs the interval is somewhat too narrow: five give about 85 % in truth, ten about
/// 90 %.
///
/// `None` for fewer than [`PAIRS_MIN`] pairs, or if a number is not positive and finite.
pub fn ratio_of_pairs(pairs: &[(f64, f64)], seed: u64) -> Option<Ratio> {
    let usable = |number: f64| number.is_finite() && number > 0.0;
    if pairs.len() < PAIRS_MIN || !pairs.iter().all(|&(a, b)| usable(a) && usable(b)) {
        return None;
    }
    let logs: Vec<f64> = pairs.iter().map(|&(a, b)| (b / a).ln()).collect();
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn = (0..logs.len()).map(|_| logs[rng.random_range(0..logs.len())]);
            drawn.sum::<f64>() / logs.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    Some(Ratio {
        ratio: mean.exp(),
        low: means[RESAMPLES * 25 / 1000].exp(),
        high: means[RESAMPLES * 975 / 1000 - 1].exp(),
    })
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, Normal};

    use super::*;

    /// Pairs whose ratio is `ratio` with a deviation of `noise`, on a machine that drifts by half.
    fn pairs(rng: &mut SmallRng, count: usize, ratio: f64, noise: f64) -> Vec<(f64, f64)> {
        let normal = Normal::new(0.0, noise).unwrap();
        (0..count)
            .map(|i| {
                let mood = 100_000.0 * (1.0 + i as f64 / count as f64 / 2.0);
                (mood, mood * ratio * normal.sample(rng).exp())
            })
            .collect()
    }

    #[test]
    fn it_is_deterministic_and_symmetric() {
        let forth = pairs(&mut SmallRng::seed_from_u64(1), 12, 1.08, 0.02);
        let back: Vec<_> = forth.iter().map(|&(a, b)| (b, a)).collect();
        let ratio = ratio_of_pairs(&forth, 5).unwrap();
        assert_eq!(ratio_of_pairs(&forth, 5), Some(ratio));
        let reciprocal = ratio_of_pairs(&back, 5).unwrap();
        assert!((reciprocal.ratio * ratio.ratio - 1.0).abs() < 1e-12);
        assert!((reciprocal.low * ratio.high - 1.0).abs() < 1e-3);
    }

    #[test]
    fn the_interval_covers_the_truth_as_often_as_it_says() {
        let mut rng = SmallRng::seed_from_u64(3);
        let rounds = 200;
        let covered = (0..rounds)
            .filter(|&i| {
                let pairs = pairs(&mut rng, 20, 1.05, 0.03);
                ratio_of_pairs(&pairs, i).unwrap().contains(1.05)
            })
            .count();
        // 95 % asymptotically, about 92 % with 20 pairs.
        assert!((174..=198).contains(&covered), "{covered} of {rounds}");
    }

    #[test]
    fn drift_of_the_machine_does_not_widen_it() {
        let steady = ratio_of_pairs(&pairs(&mut SmallRng::seed_from_u64(9), 10, 1.1, 0.001), 1);
        let steady = steady.unwrap();
        assert!(steady.high / steady.low < 1.003, "{steady:?}");
        assert!(!steady.contains(1.0) && steady.contains(1.1), "{steady:?}");
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(ratio_of_pairs(&[(1.0, 1.0), (1.0, 2.0)], 1), None);
        assert_eq!(ratio_of_pairs(&[(1.0, 1.0), (0.0, 2.0), (1.0, 1.0)], 1), None);
        assert_eq!(ratio_of_pairs(&[(1.0, 1.0), (1.0, f64::NAN), (1.0, 1.0)], 1), None);
    }
}
