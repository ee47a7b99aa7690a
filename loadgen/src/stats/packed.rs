//! A histogram that nobody records into any more, in as few bytes as it needs.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};

use super::{INTERVAL_SIGNIFICANT_DIGITS, LONGEST_NS};

/// The histogram of one second: some hundred bytes (HdrHistogram's V2 encoding) where the live one
/// has 37 KiB, so that a run of a day fits in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedHistogram {
    /// Empty for a histogram without samples.
    encoded: Box<[u8]>,
}

impl PackedHistogram {
    pub fn empty() -> Self {
        PackedHistogram { encoded: Box::default() }
    }

    pub fn pack(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return PackedHistogram::empty();
        }
        let mut encoded = Vec::new();
        V2Serializer::new()
            .serialize(histogram, &mut encoded)
            .expect("a histogram with the bounds of this module fits in memory when encoded");
        PackedHistogram { encoded: encoded.into() }
    }

    pub fn unpack(&self) -> Histogram<u64> {
        if self.encoded.is_empty() {
            return new_interval_histogram();
        }
        Deserializer::new()
            .deserialize(&mut &self.encoded[..])
            .expect("these bytes were written by pack")
    }

    pub fn merge(&mut self, other: &PackedHistogram) {
        if self.encoded.is_empty() {
            self.encoded = other.encoded.clone();
        } else if !other.encoded.is_empty() {
            let mut sum = self.unpack();
            add(&mut sum, &other.unpack());
            *self = PackedHistogram::pack(&sum);
        }
    }
}

pub(super) fn new_interval_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, INTERVAL_SIGNIFICANT_DIGITS)
        .expect("the bounds are constants that hdrhistogram accepts")
}

/// Adds histograms of the same bounds.
pub(super) fn add(sum: &mut Histogram<u64>, part: &Histogram<u64>) {
    sum.add(part).expect("both reach from a nanosecond to an hour");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[u64]) -> Histogram<u64> {
        let mut histogram = new_interval_histogram();
        for &value in values {
            histogram.record(value).unwrap();
        }
        histogram
    }

    #[test]
    fn packing_loses_nothing() {
        let live = of(&[0, 1, 17, 90_000, 90_001, 5_000_000, LONGEST_NS]);
        let packed = PackedHistogram::pack(&live);
        assert_eq!(packed.unpack(), live);
        assert!(packed.encoded.len() < 100, "{} bytes", packed.encoded.len());
        assert_eq!(PackedHistogram::empty().unpack().len(), 0);
    }

    #[test]
    fn merging_equals_recording_both() {
        let (left, right) = (of(&[10, 2_000, 2_000]), of(&[2_000, 7_000_000]));
        let mut packed = PackedHistogram::empty();
        packed.merge(&PackedHistogram::pack(&left));
        packed.merge(&PackedHistogram::pack(&right));
        packed.merge(&PackedHistogram::empty());
        assert_eq!(packed.unpack(), of(&[10, 2_000, 2_000, 2_000, 7_000_000]));
    }

    #[test]
    fn a_busy_second_packs_small() {
        let mut live = new_interval_histogram();
        for i in 0..200_000_u64 {
            live.record(50_000 + i * 7 % 400_000).unwrap();
        }
        let packed = PackedHistogram::pack(&live);
        assert!(packed.encoded.len() < 2_000, "{} bytes", packed.encoded.len());
    }
}
