//! Which key: numbers from 0 to below the count of the key space.

use rand::{Rng, RngCore};
use rand_distr::StandardNormal;

use super::permutation::Permutation;
use super::zipf::Zipf;
use crate::plan::Distribution;

/// A distribution made ready for one thread.
#[derive(Clone, Debug)]
pub enum KeyChooser {
    Uniform { count: u64 },
    Zipf { zipf: Zipf, scatter: Permutation },
    Gaussian { count: u64, deviation: f64 },
    Hotspot { count: u64, hot: u64, accesses: f64 },
    Sequential { count: u64, next: u64, first: u64, step: u64 },
}

impl KeyChooser {
    /// # Errors
    /// When a parameter is out of its range, with a line that says which range that is.
    pub fn new(
        distribution: Distribution,
        count: u64,
        thread: usize,
        threads: usize,
    ) -> Result<Self, String> {
        Ok(match distribution {
            Distribution::Uniform => KeyChooser::Uniform { count },
            Distribution::Zipf { exponent } => {
                if !(0.0..=20.0).contains(&exponent) {
                    return Err(format!("the zipf exponent is {exponent}; it can be from 0 to 20"));
                }
                KeyChooser::Zipf {
                    zipf: Zipf::new(count, exponent),
                    scatter: Permutation::new(count),
                }
            }
            Distribution::Gaussian { deviation } => {
                if !(deviation > 0.0 && deviation <= 1.0) {
                    return Err(format!(
                        "the gaussian deviation is {deviation}; it is a fraction of the key space, above 0 and at most 1"
                    ));
                }
                KeyChooser::Gaussian { count, deviation }
            }
            Distribution::Hotspot { keys, accesses } => {
                if !(keys > 0.0 && keys <= 1.0 && (0.0..=1.0).contains(&accesses)) {
                    return Err(format!(
                        "the hotspot is {keys}/{accesses}; both are fractions (of the keys, of the requests) from 0 to 1, and the first is not 0"
                    ));
                }
                let hot = ((count as f64 * keys).round() as u64).clamp(1, count);
                KeyChooser::Hotspot { count, hot, accesses }
            }
            Distribution::Sequential => {
                // Thread t takes t, t + threads, ...: together they take every key once per pass.
                let first = thread as u64 % count;
                KeyChooser::Sequential { count, next: first, first, step: threads as u64 }
            }
        })
    }

    #[inline]
    pub fn choose(&mut self, rng: &mut impl Rng) -> u64 {
        match self {
            KeyChooser::Uniform { count } => below(rng, *count),
            KeyChooser::Zipf { zipf, scatter } => scatter.apply(zipf.sample(rng) - 1),
            KeyChooser::Gaussian { count, deviation } => gaussian(rng, *count, *deviation),
            KeyChooser::Hotspot { count, hot, accesses } => {
                if *hot == *count || rng.random::<f64>() < *accesses {
                    below(rng, *hot)
                } else {
                    *hot + below(rng, *count - *hot)
                }
            }
            KeyChooser::Sequential { count, next, first, step } => {
                let key = *next;
                *next = key.saturating_add(*step);
                if *next >= *count {
                    *next = *first;
                }
                key
            }
        }
    }
}

/// Uniform below `count`, by multiplication. The bias is below count / 2^64.
#[inline]
pub fn below(rng: &mut impl RngCore, count: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(count)) >> 64) as u64
}

/// The bell is cut off at the ends of the key space and what lies outside is drawn again; at the
/// widest deviation, 1, that is three of five draws.
fn gaussian(rng: &mut impl Rng, count: u64, deviation: f64) -> u64 {
    let count_f = count as f64;
    loop {
        let x = count_f * (0.5 + deviation * rng.sample::<f64, _>(StandardNormal));
        if x >= 0.0 && x < count_f {
            return x as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn draw(distribution: Distribution, count: u64, draws: usize) -> Vec<u64> {
        let mut chooser = KeyChooser::new(distribution, count, 0, 1).expect("valid parameters");
        let mut rng = SmallRng::seed_from_u64(7);
        (0..draws).map(|_| chooser.choose(&mut rng)).collect()
    }

    fn mean(keys: &[u64]) -> f64 {
        keys.iter().map(|k| *k as f64).sum::<f64>() / keys.len() as f64
    }

    #[test]
    fn uniform_keys_fill_their_bins_evenly() {
        let (bins, draws) = (100, 100_000);
        let mut seen = vec![0_f64; bins];
        for key in draw(Distribution::Uniform, bins as u64, draws) {
            seen[key as usize] += 1.0;
        }
        let expected = draws as f64 / bins as f64;
        let statistic: f64 = seen.iter().map(|s| (s - expected).powi(2) / expected).sum();
        // 99 degrees of freedom: 0.001 of all seeds would exceed 148.
        assert!(statistic < 148.0, "chi-square is {statistic}");
    }

    #[test]
    fn gaussian_keys_have_the_deviation_asked_for() {
        let count = 1_000_000;
        let keys = draw(Distribution::Gaussian { deviation: 0.1 }, count, 100_000);
        let mean = mean(&keys);
        let variance =
            keys.iter().map(|k| (*k as f64 - mean).powi(2)).sum::<f64>() / keys.len() as f64;
        // Four standard errors: 0.1 / sqrt(draws), and that over sqrt(2) for the deviation.
        assert!((mean / count as f64 - 0.5).abs() < 4.0 * 0.1 / 316.0, "mean {mean}");
        let deviation = variance.sqrt() / count as f64;
        assert!((deviation - 0.1).abs() < 4.0 * 0.1 / 447.0, "deviation {deviation}");
    }

    #[test]
    fn hotspot_takes_its_share() {
        let keys = draw(Distribution::Hotspot { keys: 0.1, accesses: 0.9 }, 1000, 100_000);
        let hot = keys.iter().filter(|k| **k < 100).count() as f64;
        // Binomial: the deviation is sqrt(100000 * 0.9 * 0.1) = 95.
        assert!((hot - 90_000.0).abs() < 400.0, "{hot} of 100000 went to the hot keys");
        assert!(keys.iter().any(|k| *k >= 990), "the cold keys are reached to the end");
    }

    #[test]
    fn zipf_ranks_are_scattered_and_the_hottest_has_its_share() {
        let count = 1000;
        let keys = draw(Distribution::Zipf { exponent: 1.0 }, count, 100_000);
        let hottest = Permutation::new(count).apply(0);
        let share = keys.iter().filter(|k| **k == hottest).count() as f64 / 100_000.0;
        let harmonic: f64 = (1..=count).map(|r| 1.0 / r as f64).sum();
        assert!((share - 1.0 / harmonic).abs() < 0.005, "{share} of the draws");
    }

    #[test]
    fn sequential_threads_take_every_key_once() {
        let (count, threads) = (10, 3);
        let mut rng = SmallRng::seed_from_u64(7);
        let mut seen = Vec::new();
        for (thread, keys) in [(0, 4), (1, 3), (2, 3)] {
            let mut chooser =
                KeyChooser::new(Distribution::Sequential, count, thread, threads).expect("valid");
            let first_pass: Vec<u64> = (0..keys).map(|_| chooser.choose(&mut rng)).collect();
            assert_eq!(chooser.choose(&mut rng), first_pass[0], "a pass begins where it began");
            seen.extend(first_pass);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..count).collect::<Vec<u64>>());
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        for distribution in [
            Distribution::Zipf { exponent: -0.1 },
            Distribution::Zipf { exponent: f64::NAN },
            Distribution::Gaussian { deviation: 0.0 },
            Distribution::Gaussian { deviation: f64::NAN },
            Distribution::Hotspot { keys: 0.0, accesses: 0.9 },
            Distribution::Hotspot { keys: 0.1, accesses: 1.1 },
        ] {
            assert!(KeyChooser::new(distribution, 10, 0, 1).is_err(), "{distribution:?}");
        }
    }
}
