//! Plain statistics of a few numbers: medians, how far they lie apart.

/// `part` of `whole`, 0 to 1; `None` of nothing.
pub fn fraction(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The middle number, or the mean of the two in the middle.
pub fn median(numbers: &[f64]) -> Option<f64> {
    let sorted = sorted(numbers);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// From the smallest to the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// (max - min) / median of the numbers it came from is how repeatable a measurement is.
    pub fn width(self) -> f64 {
        self.max - self.min
    }
}

pub fn spread(numbers: &[f64]) -> Option<Spread> {
    let sorted = sorted(numbers);
    Some(Spread { min: *sorted.first()?, max: *sorted.last()? })
}

/// Median absolute deviation: half of the numbers lie at most this far from their median. One
/// outlier does not move it. Times 1.4826 it estimates a normal distribution's deviation.
pub fn median_absolute_deviation(numbers: &[f64]) -> Option<f64> {
    let middle = median(numbers)?;
    median(&numbers.iter().map(|number| (number - middle).abs()).collect::<Vec<_>>())
}

fn sorted(numbers: &[f64]) -> Vec<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 4.0]), Some(4.0));
        assert_eq!(median(&[9.0, 1.0, 4.0, 6.0]), Some(5.0));
    }

    #[test]
    fn deviation_is_not_moved_by_an_outlier() {
        assert_eq!(median_absolute_deviation(&[1.0, 2.0, 3.0, 4.0, 5.0]), Some(1.0));
        assert_eq!(median_absolute_deviation(&[1.0, 2.0, 3.0, 4.0, 5_000.0]), Some(1.0));
        assert_eq!(median_absolute_deviation(&[]), None);
    }

    #[test]
    fn spreads_and_fractions() {
        let spread = spread(&[4.0, -1.0, 2.5]).unwrap();
        assert_eq!((spread.min, spread.max, spread.width()), (-1.0, 4.0, 5.0));
        assert_eq!(fraction(1, 4), Some(0.25));
        assert_eq!(fraction(0, 0), None);
    }
}
