//! A run second by second.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::exec::Outcome;
use crate::stats::{Interval, PERCENTILES, percentile, summary};

/// One second. Percentiles of too few samples are `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesRow {
    /// Since the start of the measurement.
    pub second: u64,
    /// How much of it was measured: 1, more or less in the last one.
    pub length_seconds: f64,
    pub sent: u64,
    pub answered: u64,
    /// Answers per second.
    pub rate: f64,
    pub hits: u64,
    pub misses: u64,
    pub errors: u64,
    pub lag_max_ns: u64,
    pub mean_ns: Option<f64>,
    pub p50_ns: Option<u64>,
    pub p90_ns: Option<u64>,
    pub p99_ns: Option<u64>,
    pub p999_ns: Option<u64>,
    pub max_ns: Option<u64>,
}

impl SeriesRow {
    /// Of an interval of so many seconds, of a run that took so many.
    fn new(interval: &Interval, length_seconds: f64, elapsed_seconds: f64) -> Self {
        let histogram = interval.response.unpack();
        let measured = !histogram.is_empty();
        // Replies after the end, which the run waits for, make a second beyond `elapsed`.
        let left = elapsed_seconds - interval.second as f64;
        let length_seconds = if left > 0.0 { left.min(length_seconds) } else { length_seconds };
        let [p50_ns, p90_ns, p99_ns, p999_ns, _] = PERCENTILES.map(|p| percentile(&histogram, p));
        SeriesRow {
            second: interval.second,
            length_seconds,
            sent: interval.sent,
            answered: interval.answered,
            rate: interval.answered as f64 / length_seconds,
            hits: interval.hits,
            misses: interval.misses,
            errors: interval.errors,
            lag_max_ns: interval.lag_max_ns,
            mean_ns: measured.then(|| histogram.mean()),
            p50_ns,
            p90_ns,
            p99_ns,
            p999_ns,
            max_ns: measured.then(|| histogram.max()),
        }
    }

    /// 0 to 1.
    pub fn hit_ratio(&self) -> Option<f64> {
        summary::fraction(self.hits, self.hits + self.misses)
    }
}

/// A row per second. What is left at the end joins the row before it if it is short: a rate over a
/// moment is chance.
pub fn series(outcome: &Outcome) -> Vec<SeriesRow> {
    series_within(outcome, usize::MAX).1
}

/// The same with the fewest seconds to a row that make at most `rows_max` rows; their percentiles
/// are those of all requests of these seconds.
pub fn series_within(outcome: &Outcome, rows_max: usize) -> (u64, Vec<SeriesRow>) {
    let seconds: Vec<Interval> = outcome.recording.seconds().collect();
    let step = seconds.len().div_ceil(rows_max.max(1)).max(1);
    let elapsed = outcome.elapsed.as_secs_f64();
    let mut chunks: Vec<&[Interval]> = seconds.chunks(step).collect();
    if let [.., before, last] = chunks[..]
        && elapsed - (last[0].second as f64) < step as f64 * SHORTEST_SHARE
    {
        let joined = seconds.len() - last.len() - before.len();
        chunks.truncate(chunks.len() - 2);
        chunks.push(&seconds[joined..]);
    }
    let rows = chunks.into_iter().map(|chunk| {
        let mut whole = Interval::new(chunk[0].second);
        for interval in chunk {
            whole.merge(&Interval { second: whole.second, ..interval.clone() });
        }
        SeriesRow::new(&whole, chunk.len() as f64, elapsed)
    });
    (step as u64, rows.collect())
}

/// Of a row's length; see [`series`].
const SHORTEST_SHARE: f64 = 0.25;

/// Writes a head and a row per second; latencies in milliseconds, nothing where there is no value.
///
/// # Errors
/// Those of `out`.
pub fn write_csv(out: &mut dyn Write, rows: &[SeriesRow]) -> io::Result<()> {
    writeln!(
        out,
        "second,length_seconds,sent,answered,rate_per_second,hits,misses,hit_ratio,errors,\
         lag_max_ms,mean_ms,p50_ms,p90_ms,p99_ms,p99.9_ms,max_ms"
    )?;
    let ms = |ns: Option<f64>| ns.map_or(String::new(), |ns| format!("{:.6}", ns / 1e6));
    let ms_of = |ns: Option<u64>| ms(ns.map(|ns| ns as f64));
    for row in rows {
        writeln!(
            out,
            "{},{:.3},{},{},{:.1},{},{},{},{},{},{},{},{},{},{},{}",
            row.second,
            row.length_seconds,
            row.sent,
            row.answered,
            row.rate,
            row.hits,
            row.misses,
            row.hit_ratio().map_or(String::new(), |ratio| format!("{ratio:.6}")),
            row.errors,
            ms_of(Some(row.lag_max_ns)),
            ms(row.mean_ns),
            ms_of(row.p50_ns),
            ms_of(row.p90_ns),
            ms_of(row.p99_ns),
            ms_of(row.p999_ns),
            ms_of(row.max_ns),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::sample_run::{open_plan, outcome};
    use crate::stats::{Ending, Recording, Times};

    #[test]
    fn a_row_per_second_even_where_nothing_was_answered() {
        let mut run = outcome(&open_plan());
        run.recording = Recording::new(&["GET"], true);
        let at = |ms: i64| ms * 1_000_000;
        for (sent, done) in [(0, 1), (100, 103), (2_250, 2_350)] {
            let times = Times { intended_ns: at(sent), sent_ns: at(sent), done_ns: at(done) };
            run.recording.note_sent(times.intended_ns, times.sent_ns);
            run.recording.record(0, times, if sent == 100 { Ending::Miss } else { Ending::Hit });
        }
        run.recording.finish();
        run.elapsed = Duration::from_millis(2_400);
        let mut csv = Vec::new();
        write_csv(&mut csv, &series(&run)).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        let rows: Vec<&str> = csv.lines().skip(1).collect();
        assert_eq!(
            rows,
            [
                "0,1.000,2,2,2.0,1,1,0.500000,0,0.000000,2.003968,,,,,3.014655",
                "1,1.000,0,0,0.0,0,0,,0,0.000000,,,,,,",
                "2,0.400,1,1,2.5,1,0,1.000000,0,0.000000,99.876864,,,,,100.139007",
            ]
        );
        let columns = csv.lines().next().unwrap().split(',').count();
        assert!(rows.iter().all(|row| row.split(',').count() == columns));
    }

    #[test]
    fn counts_add_up_to_the_run() {
        let run = outcome(&open_plan());
        let rows = series(&run);
        assert_eq!(rows.len(), 10);
        assert_eq!(rows.iter().map(|row| row.sent).sum::<u64>(), run.recording.sent);
        assert_eq!(rows.iter().map(|row| row.answered).sum::<u64>(), run.recording.received);
        assert!(rows.iter().all(|row| row.p99_ns.is_some() && row.hit_ratio() == Some(1.0)));
        assert_eq!(series_within(&run, 10), (1, rows));
    }

    #[test]
    fn long_runs_have_rows_of_several_seconds() {
        let run = outcome(&open_plan());
        let (step, rows) = series_within(&run, 4);
        let shape: Vec<_> = rows.iter().map(|row| (row.second, row.length_seconds)).collect();
        assert_eq!((step, shape), (3, vec![(0, 3.0), (3, 3.0), (6, 3.0), (9, 1.0)]));
        let short = Outcome { elapsed: Duration::from_millis(9_100), ..run.clone() };
        let (_, joined) = series_within(&short, 10);
        assert_eq!(joined.len(), 9);
        assert!((joined[8].length_seconds - 1.1).abs() < 1e-9);
        assert_eq!(joined.iter().map(|row| row.answered).sum::<u64>(), 120_000);
        assert_eq!(rows.iter().map(|row| row.answered).sum::<u64>(), 120_000);
        assert!(rows.iter().all(|row| (row.rate / 12_000.0 - 1.0).abs() < 0.01));
    }
}
