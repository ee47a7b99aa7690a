//! The table at the end of a run.

use std::io::{self, Write};

use hdrhistogram::Histogram;

use super::columns::Columns;
use super::units::{TimeUnit, counted, grouped, percent, significant, time};
use crate::exec::Outcome;
use crate::plan::{Pacing, Plan};
use crate::stats::{CommandRecord, PERCENTILES, Percentile, SAMPLES_BEYOND, percentile};
use crate::verdict::{Verdict, achieved_rate};

/// Prints everything that a run came to, as far as it fits in a table: response times per command
/// and in total, service times too in an open loop, the client's own figures, the verdict.
///
/// # Errors
/// Those of `out`.
pub fn print_table(
    out: &mut dyn Write,
    plan: &Plan,
    outcome: &Outcome,
    verdict: &Verdict,
) -> io::Result<()> {
    let unit = unit_of(outcome);
    let is_open = plan.pacing != Pacing::Closed;
    let from = if is_open { " from the intended moment of sending" } else { "" };
    writeln!(out, "response time in {}{from}", unit.symbol())?;
    response_columns(outcome, unit).print(out)?;
    if is_open {
        writeln!(out, "\nservice time in {} from the actual moment of sending", unit.symbol())?;
        service_columns(outcome, unit).print(out)?;
    }
    writeln!(out)?;
    for line in summary_lines(plan, outcome) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{verdict}")
}

/// One unit for all times of a run: that of the typical request.
pub(super) fn unit_of(outcome: &Outcome) -> TimeUnit {
    TimeUnit::fitting(outcome.recording.total().response.value_at_quantile(0.5))
}

pub(super) fn response_columns(outcome: &Outcome, unit: TimeUnit) -> Columns {
    let mut columns = Columns::with_head(head(&["command", "count", "rate/s", "hits", "errors"]));
    for record in rows(outcome) {
        let rate = record.count() as f64 / outcome.elapsed.as_secs_f64().max(1e-9);
        let mut cells = vec![
            record.title.clone(),
            grouped(record.count()),
            significant(rate),
            record.hit_ratio().map_or("-".into(), percent),
            grouped(record.errors),
        ];
        cells.extend(times(&record.response, unit));
        columns.push(cells);
    }
    columns
}

pub(super) fn service_columns(outcome: &Outcome, unit: TimeUnit) -> Columns {
    let mut columns = Columns::with_head(head(&["command"]));
    for record in rows(outcome) {
        let mut cells = vec![record.title.clone()];
        cells.extend(times(&record.service, unit));
        columns.push(cells);
    }
    columns
}

/// What the figures do not say by themselves; each line stands alone.
pub(super) fn summary_lines(plan: &Plan, outcome: &Outcome) -> Vec<String> {
    let recording = &outcome.recording;
    let mut lines = vec![format!(
        "{} answered in {}: {} per second{}",
        counted(recording.received, "request"),
        time(outcome.elapsed.as_nanos() as f64),
        significant(achieved_rate(outcome)),
        match plan.pacing {
            Pacing::Open { rate_per_second, .. } =>
                format!(" of {} asked for", significant(rate_per_second)),
            Pacing::Closed => String::new(),
        },
    )];
    if recording.is_open_loop() {
        lines.push(format!(
            "sent at most {} behind schedule{}",
            time(recording.lag_max_ns as f64),
            percentile(&recording.lag, Percentile::P99)
                .map_or(String::new(), |ns| format!(" (p99 {})", time(ns as f64))),
        ));
    }
    let shares = |shares: &[f64]| -> String {
        let shares: Vec<String> = shares.iter().map(|&share| percent(share)).collect();
        shares.join(", ")
    };
    let cpu_ns = outcome.cpu.as_nanos() as f64 / recording.received.max(1) as f64;
    lines.push(format!(
        "this client used {} of CPU time per request; busy per thread: {}; spinning: {}",
        time(cpu_ns),
        shares(&outcome.busy),
        shares(&outcome.spinning),
    ));
    if let Some(commands) = outcome.server_commands {
        lines.push(format!(
            "{} sent, {} answered, {} counted by the server",
            grouped(recording.sent),
            grouped(recording.received),
            grouped(commands),
        ));
    }
    let mut errors: Vec<_> = recording.error_texts.iter().collect();
    errors.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    lines.extend(errors.iter().map(|(text, count)| format!("{} x {text}", grouped(**count))));
    if is_any_refused(outcome) {
        lines.push(format!("-: fewer than {SAMPLES_BEYOND} samples lie beyond that percentile"));
    }
    lines
}

fn is_any_refused(outcome: &Outcome) -> bool {
    let most_demanding = PERCENTILES[PERCENTILES.len() - 1];
    outcome.recording.commands.iter().any(|c| c.count() < most_demanding.samples_needed())
}

fn rows(outcome: &Outcome) -> Vec<CommandRecord> {
    let mut rows = outcome.recording.commands.clone();
    rows.push(outcome.recording.total());
    rows
}

fn head(first: &[&str]) -> Vec<String> {
    let labels = PERCENTILES.iter().map(|p| p.label());
    let first = first.iter().map(|&cell| cell.to_owned());
    first.chain(["mean".into()]).chain(labels).chain(["max".into()]).collect()
}

fn times(histogram: &Histogram<u64>, unit: TimeUnit) -> Vec<String> {
    let text = |value: Option<u64>| value.map_or("-".into(), |ns| unit.format(ns as f64));
    let measured = !histogram.is_empty();
    let mean = if measured { unit.format(histogram.mean()) } else { "-".into() };
    let mut cells = vec![mean];
    cells.extend(PERCENTILES.iter().map(|&p| text(percentile(histogram, p))));
    cells.push(text(measured.then(|| histogram.max())));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample_run::{closed_plan, open_plan, outcome};
    use crate::verdict::judge;

    fn printed(plan: &Plan, outcome: &Outcome) -> String {
        let mut text = Vec::new();
        print_table(&mut text, plan, outcome, &judge(plan, outcome)).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn an_open_loop_has_both_times() {
        let plan = open_plan();
        assert_eq!(printed(&plan, &outcome(&plan)), OPEN);
    }

    const OPEN: &str = "\
response time in µs from the intended moment of sending
command    count  rate/s   hits  errors  mean  p50  p90  p99  p99.9  p99.99     max
GET      108,000  10,800  100 %       0   161  119  271  900    900  20,005  20,005
SET       12,000   1,200      -       0   141  118  266  299    304       -     305
total    120,000  12,000  100 %       0   159  119  270  900    900  20,005  20,005

service time in µs from the actual moment of sending
command  mean  p50  p90  p99  p99.9  p99.99     max
GET       161  119  270  900    900  20,005  20,005
SET       141  118  266  299    304       -     305
total     159  119  270  900    900  20,005  20,005

120,000 requests answered in 10.0 s: 12,000 per second of 12,000 asked for
sent at most 400 µs behind schedule (p99 0 ns)
this client used 4.00 µs of CPU time per request; busy per thread: 41.0 %, 38.0 %; spinning: 22.0 %, 20.0 %
120,000 sent, 120,000 answered, 120,000 counted by the server
-: fewer than 10 samples lie beyond that percentile
verdict: VALID
  note: too few samples of single commands for all of their percentiles: SET from p99.99
";

    #[test]
    fn a_closed_loop_has_one() {
        let plan = closed_plan();
        let text = printed(&plan, &outcome(&plan));
        assert!(!text.contains("service time") && !text.contains("schedule"), "{text}");
        assert!(text.starts_with("response time in µs\ncommand"), "{text}");
    }

    #[test]
    fn nothing_measured_is_no_division_by_zero() {
        let plan = closed_plan();
        let mut outcome = outcome(&plan);
        outcome.recording = crate::stats::Recording::new(&["GET"], false);
        outcome.elapsed = std::time::Duration::ZERO;
        let text = printed(&plan, &outcome);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        let row = text.lines().find(|line| line.starts_with("GET")).unwrap();
        assert_eq!(row.split_whitespace().filter(|&cell| cell == "-").count(), 8, "{text}");
    }

    #[test]
    fn errors_are_listed_most_frequent_first() {
        let plan = closed_plan();
        let mut outcome = outcome(&plan);
        outcome.recording.error_texts = [("ERR a".into(), 3), ("OOM b".into(), 4_000)].into();
        let text = printed(&plan, &outcome);
        assert!(text.contains("\n4,000 x OOM b\n3 x ERR a\n"), "{text}");
    }
}
