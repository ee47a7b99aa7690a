//! Two servers side by side.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::columns::Columns;
use super::units::{TimeUnit, percent, significant};
use crate::stats::bootstrap::Ratio;

/// The same workload on two servers, in rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What they are called; column heads.
    pub a: String,
    pub b: String,
    /// Pairs of rounds of A and B, and of A and A.
    pub rounds: usize,
    pub noise_rounds: usize,
    pub rows: Vec<ComparisonRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRow {
    /// `throughput`, `p99`, `server CPU per request`
    pub metric: String,
    pub measure: Measure,
    /// Medians over the rounds, requests per second or nanoseconds.
    pub a: Option<f64>,
    pub b: Option<f64>,
    /// B over A, and A over A.
    pub ratio: Option<Ratio>,
    pub noise: Option<Ratio>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure {
    /// Per second; more is better.
    Rate,
    /// Nanoseconds; less is better.
    Time,
}

/// What may be said of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finding {
    /// The interval contains 1, or A differed from itself by as much.
    WithinNoise,
    /// B's ratio to A.
    Better(f64),
    Worse(f64),
    /// Too few rounds or samples.
    Unknown,
}

impl ComparisonRow {
    pub fn finding(&self) -> Finding {
        let Some(ratio) = self.ratio else { return Finding::Unknown };
        let noise = self.noise.map_or(0.0, |noise| noise.low.ln().abs().max(noise.high.ln().abs()));
        if ratio.contains(1.0) || ratio.ratio.ln().abs() <= noise {
            return Finding::WithinNoise;
        }
        match (self.measure, ratio.ratio > 1.0) {
            (Measure::Rate, true) | (Measure::Time, false) => Finding::Better(ratio.ratio),
            _ => Finding::Worse(ratio.ratio),
        }
    }

    fn finding_text(&self) -> String {
        let text = |ratio: f64, judgement: &str| {
            let direction = if ratio > 1.0 { "more" } else { "less" };
            format!("B {judgement}: {} {direction}", percent((ratio - 1.0).abs()))
        };
        match self.finding() {
            Finding::WithinNoise => "within noise".into(),
            Finding::Better(ratio) => text(ratio, "better"),
            Finding::Worse(ratio) => text(ratio, "worse"),
            Finding::Unknown => "too few rounds or samples".into(),
        }
    }

    fn cells(&self) -> Vec<String> {
        let unit = match (self.measure, self.a.or(self.b)) {
            (Measure::Time, Some(ns)) => Some(TimeUnit::fitting(ns as u64)),
            _ => None,
        };
        let value = |value: Option<f64>| match (value, unit) {
            (None, _) => "-".into(),
            (Some(ns), Some(unit)) => unit.format(ns),
            (Some(rate), None) => significant(rate),
        };
        let interval = |ratio: Option<Ratio>| {
            ratio.map_or("-".into(), |r| format!("{:.3} to {:.3}", r.low, r.high))
        };
        let symbol = unit.map_or("per second", TimeUnit::symbol);
        vec![
            format!("{}, {symbol}", self.metric),
            value(self.a),
            value(self.b),
            self.ratio.map_or("-".into(), |r| format!("{:.3}", r.ratio)),
            interval(self.ratio),
            interval(self.noise),
            self.finding_text(),
        ]
    }
}

/// Prints a row per metric, and in a sentence what it comes to.
///
/// # Errors
/// Those of `out`.
pub fn compare_table(out: &mut dyn Write, comparison: &Comparison) -> io::Result<()> {
    let Comparison { a, b, rounds, noise_rounds, rows } = comparison;
    writeln!(out, "A  {a}\nB  {b}\n")?;
    let head = ["median of rounds", "A", "B", "B/A", "95 % interval", "noise (A/A)", "finding"];
    let mut columns = Columns::with_head(head).ending_in_text();
    for row in rows {
        columns.push(row.cells());
    }
    columns.print(out)?;
    writeln!(
        out,
        "\nB/A is the geometric mean over {rounds} pairs of rounds, with its bootstrap interval; \
         A/A the same over {noise_rounds} pairs of A with itself."
    )?;
    let differ: Vec<&str> = rows
        .iter()
        .filter(|row| matches!(row.finding(), Finding::Better(_) | Finding::Worse(_)))
        .map(|row| row.metric.as_str())
        .collect();
    match differ[..] {
        [] => writeln!(out, "No difference beyond the noise."),
        _ => writeln!(out, "Beyond the noise: {}.", differ.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(ratio: f64, low: f64, high: f64) -> Option<Ratio> {
        Some(Ratio { ratio, low, high })
    }

    fn row(metric: &str, measure: Measure, a: f64, ratio: Option<Ratio>) -> ComparisonRow {
        ComparisonRow {
            metric: metric.into(),
            measure,
            a: Some(a),
            b: ratio.map(|r| r.ratio * a),
            ratio,
            noise: Some(Ratio { ratio: 1.001, low: 0.99, high: 1.02 }),
        }
    }

    #[test]
    fn the_table_says_what_is_noise() {
        let comparison = Comparison {
            a: "redis 7.2.0 at 127.0.0.1:7001".into(),
            b: "ringwell 0.1.0 at 127.0.0.1:7002".into(),
            rounds: 10,
            noise_rounds: 5,
            rows: vec![
                row("throughput", Measure::Rate, 101_234.0, ratio(1.384, 1.35, 1.41)),
                row("p50", Measure::Time, 120_400.0, ratio(0.75, 0.73, 0.78)),
                row("p99", Measure::Time, 1_204_000.0, ratio(1.10, 1.05, 1.16)),
                row("p99.9", Measure::Time, 2_400_000.0, ratio(1.015, 1.01, 1.02)),
                row("server CPU per request", Measure::Time, 6_100.0, ratio(1.1, 0.9, 1.3)),
                row("p99.99", Measure::Time, 9e6, None),
            ],
        };
        let mut text = Vec::new();
        compare_table(&mut text, &comparison).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), TABLE);
    }

    const TABLE: &str = "\
A  redis 7.2.0 at 127.0.0.1:7001
B  ringwell 0.1.0 at 127.0.0.1:7002

median of rounds                  A        B    B/A   95 % interval     noise (A/A)  finding
throughput, per second      101,234  140,108  1.384  1.350 to 1.410  0.990 to 1.020  B better: 38.4 % more
p50, µs                         120     90.3  0.750  0.730 to 0.780  0.990 to 1.020  B better: 25.0 % less
p99, ms                        1.20     1.32  1.100  1.050 to 1.160  0.990 to 1.020  B worse: 10.0 % more
p99.9, ms                      2.40     2.44  1.015  1.010 to 1.020  0.990 to 1.020  within noise
server CPU per request, µs     6.10     6.71  1.100  0.900 to 1.300  0.990 to 1.020  within noise
p99.99, ms                     9.00        -      -               -  0.990 to 1.020  too few rounds or samples

B/A is the geometric mean over 10 pairs of rounds, with its bootstrap interval; A/A the same over 5 \
pairs of A with itself.
Beyond the noise: throughput, p50, p99.
";

    #[test]
    fn without_rounds_of_a_against_itself_the_interval_decides() {
        let mut row = row("throughput", Measure::Rate, 1.0, ratio(1.01, 1.005, 1.02));
        assert_eq!(row.finding(), Finding::WithinNoise);
        row.noise = None;
        assert_eq!(row.finding(), Finding::Better(1.01));
    }
}
