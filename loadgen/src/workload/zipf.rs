//! Zipf-distributed ranks by rejection-inversion: W. Hörmann and G. Derflinger, "Rejection-inversion
//! to generate variates from monotone discrete distributions", ACM TOMACS 6(3), 1996.
//!
//! Needs no table, so that a key space may be large, and takes any exponent from 0 on; 1 is no
//! special case.

use rand::Rng;

/// Ranks from 1 to `count`, rank r with probability proportional to r^-exponent.
///
/// The histogram of the probabilities lies below the area under h(x) = x^-exponent, shifted by one
/// half. H is an antiderivative of h: a point under the curve is drawn by inverting H, and is
/// rejected when it lies outside the bar of the rank that it is nearest to.
#[derive(Clone, Copy, Debug)]
pub struct Zipf {
    count: f64,
    exponent: f64,
    /// H at the right end, count + 1/2, and at the left end of what remains when the first bar is
    /// cut to its exact area.
    upper: f64,
    lower: f64,
    /// Points that lie at most this far left of their rank are accepted without computing H.
    squeeze: f64,
}

impl Zipf {
    /// `count` is at least 1 and the exponent finite and not negative.
    pub fn new(count: u64, exponent: f64) -> Self {
        debug_assert!(count > 0 && exponent.is_finite() && exponent >= 0.0);
        let mut zipf = Zipf { count: count as f64, exponent, upper: 0.0, lower: 0.0, squeeze: 0.0 };
        zipf.upper = zipf.integral(zipf.count + 0.5);
        zipf.lower = zipf.integral(1.5) - 1.0;
        zipf.squeeze = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    pub fn sample(&self, rng: &mut impl Rng) -> u64 {
        loop {
            let area = self.upper + rng.random::<f64>() * (self.lower - self.upper);
            let x = self.inverse(area);
            let rank = x.round().clamp(1.0, self.count);
            let accepted =
                rank - x <= self.squeeze || area >= self.integral(rank + 0.5) - self.density(rank);
            if accepted {
                return rank as u64;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// H(x) = (x^(1-exponent) - 1) / (1-exponent), which is ln x where the exponent is 1.
    fn integral(&self, x: f64) -> f64 {
        let ln = x.ln();
        expm1_over((1.0 - self.exponent) * ln) * ln
    }

    fn inverse(&self, area: f64) -> f64 {
        // Rounding may take the argument past the pole of H's inverse.
        let t = (area * (1.0 - self.exponent)).max(-1.0);
        (ln_1p_over(t) * area).exp()
    }
}

/// (e^x - 1) / x, and its limit at 0.
fn expm1_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x / 2.0 }
}

/// ln(1 + x) / x, and its limit at 0.
fn ln_1p_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x / 2.0 }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    /// Pearson's statistic against the exact probabilities; bins expected to be below 10 are put
    /// together with their neighbours. Returns it with the degrees of freedom.
    fn chi_square(count: u64, exponent: f64, draws: u64) -> (f64, f64) {
        let zipf = Zipf::new(count, exponent);
        let mut rng = SmallRng::seed_from_u64(42);
        let mut seen = vec![0_u64; count as usize];
        for _ in 0..draws {
            seen[zipf.sample(&mut rng) as usize - 1] += 1;
        }
        let total: f64 = (1..=count).map(|r| (r as f64).powf(-exponent)).sum();
        let (mut statistic, mut bins) = (0.0, 0.0);
        let (mut expected, mut observed) = (0.0, 0.0);
        for rank in 1..=count {
            expected += draws as f64 * (rank as f64).powf(-exponent) / total;
            observed += seen[rank as usize - 1] as f64;
            if expected >= 10.0 {
                statistic += (observed - expected).powi(2) / expected;
                bins += 1.0;
                (expected, observed) = (0.0, 0.0);
            }
        }
        (statistic, bins - 1.0)
    }

    #[test]
    fn frequencies_are_as_defined_for_exponents_around_one() {
        for exponent in [0.0, 0.5, 0.99, 1.0, 1.000_000_000_1, 1.2, 2.0, 3.5] {
            for count in [2, 10, 1000] {
                let (statistic, freedom) = chi_square(count, exponent, 200_000);
                // Mean and variance of chi-square are the degrees of freedom and twice them.
                let bound = freedom + 4.0 * (2.0 * freedom).sqrt() + 4.0;
                assert!(
                    statistic < bound,
                    "{count} ranks, exponent {exponent}: {statistic:.1} of at most {bound:.1}"
                );
            }
        }
    }

    #[test]
    fn one_rank_and_many_ranks_stay_in_range() {
        let mut rng = SmallRng::seed_from_u64(1);
        for (count, exponent) in
            [(1, 1.0), (1, 0.0), (1_000_000_000_000, 0.2), (u64::MAX >> 20, 20.0)]
        {
            let zipf = Zipf::new(count, exponent);
            for _ in 0..1000 {
                assert!((1..=count).contains(&zipf.sample(&mut rng)));
            }
        }
    }
}
