//! The text formats of HdrHistogram: percentile distributions and interval logs.

use std::io::{self, Write};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use super::environment::unix_ms;
use crate::stats::Interval;

/// Values are written in milliseconds.
const NS_PER_MS: f64 = 1e6;
/// Rows per halving of the distance to 100 %, as HistogramLogProcessor's default.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// The layout of `AbstractHistogram.outputPercentileDistribution` in HdrHistogram's Java
/// implementation, which HdrHistogram's plotter reads. Six decimals, since milliseconds with three
/// would cut microseconds.
///
/// # Errors
/// Those of `out`.
pub fn write_percentiles(out: &mut dyn Write, histogram: &Histogram<u64>) -> io::Result<()> {
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut below = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        below += step.count_since_last_iteration();
        let value_ms = step.value_iterated_to() as f64 / NS_PER_MS;
        let quantile = step.quantile_iterated_to();
        if quantile < 1.0 {
            let nines = 1.0 / (1.0 - quantile);
            writeln!(out, "{value_ms:12.6} {quantile:2.12} {below:10} {nines:14.2}")?;
        } else {
            writeln!(out, "{value_ms:12.6} {quantile:2.12} {below:10}")?;
        }
    }
    let (mean, deviation) = match histogram.is_empty() {
        true => (0.0, 0.0),
        false => (histogram.mean() / NS_PER_MS, histogram.stdev() / NS_PER_MS),
    };
    let (max, count) = (histogram.max() as f64 / NS_PER_MS, histogram.len());
    writeln!(out, "#[Mean    = {mean:12.6}, StdDeviation   = {deviation:12.6}]")?;
    writeln!(out, "#[Max     = {max:12.6}, Total count    = {count:12}]")?;
    let sub_buckets = 2_u64 * 10_u64.pow(u32::from(histogram.sigfig()));
    let sub_buckets = sub_buckets.next_power_of_two();
    writeln!(out, "#[Buckets = {:12}, SubBuckets     = {sub_buckets:12}]", histogram.buckets())
}

/// An interval log, as HistogramLogWriter writes it (format version 1.3): a line per second with its
/// start, its length, its maximum in milliseconds, and its histogram.
///
/// # Errors
/// Those of `out`.
pub fn write_interval_log(
    out: &mut dyn Write,
    started: SystemTime,
    intervals: impl Iterator<Item = Interval>,
) -> io::Result<()> {
    let start = unix_ms(started) as f64 / 1e3;
    writeln!(out, "#[Response times in nanoseconds, written by loadgen]")?;
    writeln!(out, "#[Histogram log format version 1.3]")?;
    writeln!(out, "#[StartTime: {start:.3} (seconds since epoch)]")?;
    // With it, readers need not guess whether the lines' times count from the start or from 1970.
    writeln!(out, "#[BaseTime: {start:.3} (seconds since epoch)]")?;
    writeln!(
        out,
        "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
    )?;
    for interval in intervals {
        let histogram = interval.response.unpack();
        let max_ms = histogram.max() as f64 / NS_PER_MS;
        writeln!(out, "{}.000,1.000,{max_ms:.3},{}", interval.second, encode(&histogram))?;
    }
    Ok(())
}

/// HdrHistogram's V2 encoding, compressed, in base64: what every HdrHistogram library reads.
pub fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .expect("a histogram of at most an hour fits in memory when encoded");
    STANDARD.encode(bytes)
}

/// The inverse of [`encode`]; `None` if `text` is something else.
pub fn decode(text: &str) -> Option<Histogram<u64>> {
    let bytes = STANDARD.decode(text).ok()?;
    Deserializer::new().deserialize(&mut &bytes[..]).ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::report::sample_run::{open_plan, outcome};
    use crate::stats::new_histogram;

    fn text(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut bytes = Vec::new();
        write(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// The same samples in HdrHistogram 2.1.11 for Java, `outputPercentileDistribution(out, 5, 1e6)`
    /// of a `Histogram(1, 3600000000000L, 3)`, its digits after the point widened to six.
    #[test]
    fn percentiles_are_laid_out_as_by_java() {
        let mut histogram = new_histogram();
        for i in 1..=1_000_u64 {
            histogram.record(i * i * 100).unwrap();
        }
        histogram.record(2_500_000_000).unwrap();
        assert_eq!(text(|out| write_percentiles(out, &histogram)), JAVA);
    }

    const JAVA: &str = include_str!("testdata/java.hgrm");

    #[test]
    fn an_empty_histogram_has_a_footer() {
        let text = text(|out| write_percentiles(out, &new_histogram()));
        assert!(!text.contains("NaN"), "{text}");
        assert!(text.contains("Total count    =            0]"), "{text}");
    }

    #[test]
    fn the_interval_log_reads_back() {
        let run = outcome(&open_plan());
        let started = run.started;
        let log = text(|out| write_interval_log(out, started, run.recording.seconds()));
        let entries: Vec<LogEntry> =
            IntervalLogIterator::new(log.as_bytes()).map(|entry| entry.unwrap()).collect();
        let start = started.duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(entries[..2], [LogEntry::StartTime(start), LogEntry::BaseTime(start)]);
        let mut sum = 0;
        for (second, entry) in entries[2..].iter().enumerate() {
            let LogEntry::Interval(interval) = entry else { panic!("{entry:?}") };
            assert_eq!(interval.start_timestamp(), Duration::from_secs(second as u64));
            assert_eq!(interval.duration(), Duration::from_secs(1));
            let histogram = decode(interval.encoded_histogram()).unwrap();
            assert!((interval.max() - histogram.max() as f64 / 1e6).abs() < 0.001);
            sum += histogram.len();
        }
        assert_eq!((entries.len(), sum), (12, run.recording.received));
    }

    #[test]
    fn histograms_survive_encoding() {
        let response = &outcome(&open_plan()).recording.commands[0].response;
        assert_eq!(decode(&encode(response)).as_ref(), Some(response));
        assert_eq!(decode("not base64!"), None);
        assert_eq!(decode("AAAA"), None);
    }
}
