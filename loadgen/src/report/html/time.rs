//! Latency, rate, hit ratio and errors over the time of the run, below each other.

use super::axis::Axis;
use super::chart::{Anchor, Chart, legend, time_label};
use crate::plan::Pacing;
use crate::report::series::{SeriesRow, series_within};
use crate::report::units::{counted, percent, significant};
use crate::report::{Report, units};

/// More points across a page cannot be told apart.
const ROWS_MAX: usize = 600;

pub fn section(report: &Report) -> String {
    let (step, rows) = series_within(report.outcome, ROWS_MAX);
    if rows.is_empty() {
        return String::new();
    }
    let per = match step {
        1 => "second by second".to_owned(),
        step => format!("{step} seconds to a point"),
    };
    let mut html = format!("<section>\n<h2>Over time</h2>\n<h3>Response time, {per}</h3>\n");
    html.push_str(&latency(&rows));
    html.push_str("<h3>Answers per second</h3>\n");
    html.push_str(&rate(report, &rows));
    if rows.iter().any(|row| row.hit_ratio().is_some()) {
        html.push_str("<h3>Hit ratio</h3>\n");
        html.push_str(&hits(&rows));
    }
    if rows.iter().any(|row| row.errors > 0) {
        html.push_str("<h3>Errors per second</h3>\n");
        html.push_str(&errors(&rows));
    }
    html.push_str("</section>\n");
    html
}

/// A row is drawn in its middle.
fn place(row: &SeriesRow) -> f64 {
    row.second as f64 + row.length_seconds / 2.0
}

fn seconds_axis(rows: &[SeriesRow]) -> Axis {
    let end = rows.last().map_or(1.0, |row| row.second as f64 + row.length_seconds);
    let axis = Axis::from_zero(end, 10, |seconds| format!("{seconds} s"));
    let ticks = axis.ticks.into_iter().filter(|tick| tick.value <= end).collect();
    Axis::with_ticks(0.0, end, ticks)
}

/// Its class, its name, its value in a row.
type Line = (&'static str, &'static str, fn(&SeriesRow) -> Option<u64>);

fn latency(rows: &[SeriesRow]) -> String {
    let lines: [Line; 3] = [
        ("s3", "max", |row| row.max_ns),
        ("s2", "p99", |row| row.p99_ns),
        ("s1", "p50", |row| row.p50_ns),
    ];
    let values = || rows.iter().flat_map(|row| lines.iter().filter_map(|(_, _, of)| of(row)));
    let low = values().min().unwrap_or(1).max(1) as f64;
    let high = values().max().unwrap_or(1).max(1) as f64;
    let said: Vec<String> = lines
        .iter()
        .filter_map(|(_, name, of)| {
            let of_all = || rows.iter().filter_map(of);
            let (least, most) = (of_all().min()? as f64, of_all().max()? as f64);
            Some(format!("{name} from {} to {}.", units::time(least), units::time(most)))
        })
        .collect();
    let y = Axis::of_range(low, high, 6, time_label);
    let mut chart = Chart::new("latency", 300.0, seconds_axis(rows), y)
        .described("Response time over time", said.join(" "))
        .named("time", "response time");
    for (class, _, of) in lines {
        chart.line(class, rows.iter().map(|row| Some((place(row), of(row)? as f64))));
    }
    let entries: Vec<_> =
        lines.iter().rev().map(|(class, name, _)| (*class, (*name).to_owned())).collect();
    legend(&entries) + &chart.svg()
}

fn rate(report: &Report, rows: &[SeriesRow]) -> String {
    let asked = match report.plan.pacing {
        Pacing::Open { rate_per_second, .. } => Some(rate_per_second),
        Pacing::Closed => None,
    };
    let rates = || rows.iter().map(|row| row.rate);
    let (least, most) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
    let y = Axis::from_zero(most.max(asked.unwrap_or(0.0)), 4, rate_label);
    let said = format!("From {} to {} per second.", significant(least), significant(most));
    let mut chart = Chart::new("rate", 210.0, seconds_axis(rows), y)
        .described("Answers per second over time", said)
        .named("time", "per second");
    if let Some(asked) = asked {
        chart.level("target", asked);
        let text = format!("asked for: {}", significant(asked));
        let place = (chart.x.max(), asked);
        // Below the line, where there is always room: rates count from zero.
        chart.text("remark", place, -14.0, Anchor::End, &text);
    }
    chart.line("s1", rows.iter().map(|row| Some((place(row), row.rate))));
    chart.svg()
}

fn hits(rows: &[SeriesRow]) -> String {
    let ratios = || rows.iter().filter_map(|row| row.hit_ratio());
    let (least, most) = (ratios().fold(1.0, f64::min), ratios().fold(0.0, f64::max));
    let y = Axis::from_zero(1.0, 2, |ratio| format!("{:.0} %", ratio * 100.0));
    let mut chart = Chart::new("hits", 140.0, seconds_axis(rows), y)
        .described("Hit ratio over time", format!("From {} to {}.", percent(least), percent(most)))
        .named("time", "of lookups");
    chart.line("s4", rows.iter().map(|row| Some((place(row), row.hit_ratio()?))));
    chart.svg()
}

fn errors(rows: &[SeriesRow]) -> String {
    let of = |row: &SeriesRow| row.errors as f64 / row.length_seconds;
    let most = rows.iter().map(of).fold(0.0, f64::max);
    let total = rows.iter().map(|row| row.errors).sum();
    let y = Axis::from_zero(most, 2, rate_label);
    let mut chart = Chart::new("errors", 140.0, seconds_axis(rows), y)
        .described("Errors over time", format!("{}.", counted(total, "error")))
        .named("time", "per second");
    chart.line("bad", rows.iter().map(|row| Some((place(row), of(row)))));
    chart.svg()
}

/// `0`, `500`, `20k`, `1.5M`
pub fn rate_label(rate: f64) -> String {
    let (value, suffix) = match rate {
        rate if rate >= 1e6 => (rate / 1e6, "M"),
        rate if rate >= 1e3 => (rate / 1e3, "k"),
        rate => (rate, ""),
    };
    format!("{}{suffix}", (value * 1e3).round() / 1e3)
}
