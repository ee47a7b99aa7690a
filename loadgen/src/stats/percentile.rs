//! Percentiles that are printed only where enough was measured.

use hdrhistogram::Histogram;

/// A percentile is printed only if at least this many samples lie beyond it. With fewer, a handful
/// of requests decides the figure: p99.9 needs 10,000 samples, p99.99 needs 100,000.
pub const SAMPLES_BEYOND: u64 = 10;

/// Those of the tables.
pub const PERCENTILES: [Percentile; 5] = [
    Percentile { beyond_ppm: 500_000 },
    Percentile { beyond_ppm: 100_000 },
    Percentile { beyond_ppm: 10_000 },
    Percentile { beyond_ppm: 1_000 },
    Percentile { beyond_ppm: 100 },
];

/// A percentile as the share of samples beyond it, in millionths: p99.9 is 1,000. Counting with
/// integers keeps "are there ten samples beyond it" exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentile {
    beyond_ppm: u32,
}

impl Percentile {
    pub const P50: Percentile = PERCENTILES[0];
    pub const P99: Percentile = PERCENTILES[2];
    pub const P999: Percentile = PERCENTILES[3];

    /// Reads `p99.9` or `99.9`; at most four decimals, above 0 and below 100.
    pub fn parse(text: &str) -> Option<Percentile> {
        let digits = text.strip_prefix(['p', 'P']).unwrap_or(text);
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || whole.len() > 2 || decimals.len() > 4 {
            return None;
        }
        let below = format!("{whole}{decimals:0<4}").parse::<u32>().ok()?;
        (below > 0).then(|| Percentile { beyond_ppm: 1_000_000 - below })
    }

    /// `p99.9`
    pub fn label(self) -> String {
        let below = 1_000_000 - self.beyond_ppm;
        let text = format!("p{}.{:04}", below / 10_000, below % 10_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// From 0 to 1.
    pub fn quantile(self) -> f64 {
        f64::from(1_000_000 - self.beyond_ppm) / 1e6
    }

    /// The fewest samples of which this percentile may be printed.
    pub fn samples_needed(self) -> u64 {
        (SAMPLES_BEYOND * 1_000_000).div_ceil(u64::from(self.beyond_ppm))
    }
}

/// The value at a percentile, or `None` if fewer than [`SAMPLES_BEYOND`] samples lie beyond it.
pub fn percentile(histogram: &Histogram<u64>, wanted: Percentile) -> Option<u64> {
    (histogram.len() >= wanted.samples_needed())
        .then(|| histogram.value_at_quantile(wanted.quantile()))
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    use rand_distr::{Distribution, Exp, LogNormal};

    use super::*;
    use crate::stats::new_histogram;

    #[test]
    fn labels_and_parsing_are_inverse() {
        let labels: Vec<String> = PERCENTILES.iter().map(|p| p.label()).collect();
        assert_eq!(labels, ["p50", "p90", "p99", "p99.9", "p99.99"]);
        for p in PERCENTILES {
            assert_eq!(Percentile::parse(&p.label()), Some(p));
        }
        assert_eq!(Percentile::parse("99.99"), Some(PERCENTILES[4]));
        for bad in ["", "p", "p0", "p100", "p99.", "p.9", "-5", "p99.99999", "p9 9", "p1e1"] {
            assert_eq!(Percentile::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_percentile_needs_ten_samples_beyond_it() {
        let needed: Vec<u64> = PERCENTILES.iter().map(|p| p.samples_needed()).collect();
        assert_eq!(needed, [20, 100, 1_000, 10_000, 100_000]);
        let mut histogram = new_histogram();
        histogram.record_n(1_000, 9_999).unwrap();
        assert_eq!(percentile(&histogram, Percentile::P999), None);
        histogram.record(1_000).unwrap();
        assert_eq!(percentile(&histogram, Percentile::P999), Some(1_000));
    }

    /// Three digits: the value may be 0.1 % off what sorting all samples gives, at the same rank.
    fn assert_agrees_with_sorting(mut samples: Vec<u64>) {
        let mut histogram = new_histogram();
        for &sample in &samples {
            histogram.record(sample).unwrap();
        }
        samples.sort_unstable();
        for p in PERCENTILES {
            let beyond = samples.len() as u64 * u64::from(p.beyond_ppm) / 1_000_000;
            let exact = samples[samples.len() - 1 - beyond as usize] as f64;
            let measured = percentile(&histogram, p).unwrap() as f64;
            assert!((measured / exact - 1.0).abs() < 0.001, "{}: {measured}, {exact}", p.label());
        }
    }

    #[test]
    fn percentiles_agree_with_sorting() {
        let mut rng = SmallRng::seed_from_u64(7);
        let uniform = (0..200_000).map(|_| rng.random_range(1_000..50_000_000)).collect();
        assert_agrees_with_sorting(uniform);
        let log_normal = LogNormal::new(11.0, 1.5).unwrap();
        let heavy = (0..200_000).map(|_| log_normal.sample(&mut rng) as u64 + 1).collect();
        assert_agrees_with_sorting(heavy);
        let bimodal = (0..200_000).map(|i| if i % 50 == 0 { 20_000_000 } else { 100_000 });
        assert_agrees_with_sorting(bimodal.collect());
    }

    #[test]
    fn percentiles_of_an_exponential_are_as_derived() {
        let mut rng = SmallRng::seed_from_u64(11);
        let mean_ns = 250_000.0;
        let exponential = Exp::new(1.0 / mean_ns).unwrap();
        let mut histogram = new_histogram();
        for _ in 0..1_000_000 {
            histogram.record(exponential.sample(&mut rng) as u64).unwrap();
        }
        for p in PERCENTILES {
            let derived = -mean_ns * (1.0 - p.quantile()).ln();
            let measured = percentile(&histogram, p).unwrap() as f64;
            assert!((measured / derived - 1.0).abs() < 0.05, "{}: {measured} {derived}", p.label());
        }
        assert!((histogram.mean() / mean_ns - 1.0).abs() < 0.01);
    }
}
