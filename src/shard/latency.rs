//! How long commands take, for INFO's latencystats: a histogram for each command, fed by the calls
//! whose handlers are timed.

use hdrhistogram::Histogram;

/// As in Redis: from a nanosecond to a second, kept to two digits. What takes longer counts as a
/// second.
const NANOS_MAX: u64 = 1_000_000_000;
const DIGITS: u8 = 2;

/// The latencies of a shard's calls in nanoseconds, by the row's place in the table.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Option<Histogram<u64>>>);

impl Latencies {
    /// A call has been timed, and stands for so many calls. About 24 KB are taken for a command's
    /// first one.
    pub fn record(&mut self, row: usize, nanos: u64, calls: u64) {
        if row >= self.0.len() {
            self.0.resize(row + 1, None);
        }
        let histogram = &mut self.0[row];
        if histogram.is_none() {
            *histogram = Histogram::new_with_bounds(1, NANOS_MAX, DIGITS).ok();
        }
        if let Some(histogram) = histogram {
            histogram.saturating_record_n(nanos.max(1), calls);
        }
    }

    pub fn of(&self, row: usize) -> Option<&Histogram<u64>> {
        self.0.get(row)?.as_ref()
    }

    /// Bytes of the histograms.
    pub fn memory(&self) -> usize {
        let histograms = self.0.iter().flatten();
        self.0.capacity() * size_of::<Option<Histogram<u64>>>()
            + histograms.map(|of_row| of_row.distinct_values() * size_of::<u64>()).sum::<usize>()
    }
}

/// The latencies of several cores as one; none if nothing was timed.
pub fn merged<'a>(of_cores: impl Iterator<Item = &'a Histogram<u64>>) -> Option<Histogram<u64>> {
    let mut of_cores = of_cores;
    let mut sum = of_cores.next()?.clone();
    for other in of_cores {
        // All have the same bounds, so nothing is out of them.
        let added = sum.add(other);
        debug_assert!(added.is_ok(), "histograms of other bounds");
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_several_cores_are_one_histogram() {
        let (mut one, mut two) = (Latencies::default(), Latencies::default());
        one.record(3, 1_000, 90);
        two.record(3, 2_000_000, 9);
        two.record(3, u64::MAX, 1);
        two.record(5, 0, 1);
        assert!(one.of(5).is_none() && one.of(99).is_none());
        let of = |row| merged([&one, &two].into_iter().filter_map(|core| core.of(row)));
        let third = of(3).unwrap();
        let percentile = |p: f64| third.value_at_quantile(p / 100.0);
        assert_eq!((percentile(50.0), percentile(90.0)), (1_003, 1_003));
        assert_eq!((percentile(99.0), percentile(100.0)), (2_007_039, 1_002_438_655));
        assert_eq!(of(5).unwrap().max(), 1);
        assert!(of(4).is_none());
        assert!((24_000..60_000).contains(&two.memory()), "{}", two.memory());
    }
}
