//! Latency by percentile: a step for every nine.

use hdrhistogram::Histogram;

use super::axis::{Axis, Tick};
use super::chart::{Anchor, Chart, legend, time_label};
use crate::plan::Pacing;
use crate::report::{Report, units};
use crate::stats::{PERCENTILES, SAMPLES_BEYOND, percentile};

/// More commands than this would be a tangle.
const COMMANDS_MAX: usize = 6;

pub fn section(report: &Report) -> String {
    let total = report.outcome.recording.total();
    if total.response.is_empty() {
        return String::new();
    }
    let mut html = String::from("<section>\n<h2>Latency by percentile</h2>\n");
    let is_open = report.plan.pacing != Pacing::Closed;
    let mut curves = vec![Curve { class: "s1", name: "response time", of: &total.response }];
    if is_open {
        curves.push(Curve { class: "s2", name: "service time", of: &total.service });
    }
    html.push_str(&whole_run(&curves));
    let commands = &report.outcome.recording.commands;
    if (2..=COMMANDS_MAX).contains(&commands.len()) {
        html.push_str("<h3>By command</h3>\n");
        let curves: Vec<Curve> = commands
            .iter()
            .zip(["s1", "s2", "s3", "s4", "s5", "s6"])
            .filter(|(command, _)| !command.response.is_empty())
            .map(|(command, class)| Curve { class, name: &command.title, of: &command.response })
            .collect();
        html.push_str(&by_command(&curves));
    }
    html.push_str("</section>\n");
    html
}

struct Curve<'a> {
    class: &'static str,
    name: &'a str,
    of: &'a Histogram<u64>,
}

/// `nines` is the number of nines of a quantile: 1 for 90 %, 2 for 99 %.
fn nines(beyond: f64) -> f64 {
    -beyond.log10()
}

/// All of it, to the largest sample; the part that decides no printed percentile is shaded.
fn whole_run(curves: &[Curve]) -> String {
    let count = curves.iter().map(|curve| curve.of.len()).max().unwrap_or(1);
    // The largest sample is beyond all but itself; a little room lets it be seen.
    let end = nines(1.0 / count as f64).max(1.0) + 0.2;
    let mut chart = frame("curve", 340.0, "Latency by percentile", curves, end);
    let refused = last_place(count);
    if refused < end {
        chart.shade_from(refused);
        let place = (end, chart.y.ticks[0].value);
        let text = format!("under {SAMPLES_BEYOND} samples");
        chart.text("remark", place, 8.0, Anchor::End, &text);
    }
    for curve in curves.iter().rev() {
        chart.line(curve.class, steps(curve.of, end).map(Some));
    }
    marks(&mut chart, &curves[0]);
    with_legend(chart, curves)
}

/// Each as far as enough samples lie beyond: commands differ in that.
fn by_command(curves: &[Curve]) -> String {
    let last = |curve: &Curve| last_place(curve.of.len()).max(0.5);
    let end = curves.iter().map(last).fold(1.0, f64::max);
    let mut chart = frame("commands", 280.0, "Response time by command", curves, end);
    for curve in curves.iter().rev() {
        chart.line(curve.class, steps(curve.of, last(curve)).map(Some));
    }
    with_legend(chart, curves)
}

/// Beyond this place fewer samples lie than a percentile needs.
fn last_place(count: u64) -> f64 {
    nines(SAMPLES_BEYOND as f64 / count as f64).max(0.0)
}

fn frame(id: &'static str, height: f64, title: &str, curves: &[Curve], end: f64) -> Chart {
    let values = || curves.iter().flat_map(|curve| steps(curve.of, end)).map(|(_, value)| value);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(1.0, f64::max));
    let y = Axis::of_range(low.max(1.0), high, 6, time_label);
    let said: Vec<String> = curves.iter().map(said).collect();
    Chart::new(id, height, percent_axis(end), y)
        .described(title, said.join(" "))
        .named("percentile", "latency")
}

fn with_legend(chart: Chart, curves: &[Curve]) -> String {
    let entries: Vec<_> = curves.iter().map(|curve| (curve.class, curve.name.to_owned())).collect();
    let key = if curves.len() > 1 { legend(&entries) } else { String::new() };
    format!("{key}{}", chart.svg())
}

fn percent_axis(end: f64) -> Axis {
    let mut ticks = vec![
        Tick { value: 0.0, label: "0 %".into() },
        Tick { value: nines(0.5), label: "50 %".into() },
    ];
    ticks.extend((1..=end as usize).map(|nines| {
        let label = match nines {
            1 => "90 %".to_owned(),
            2 => "99 %".to_owned(),
            _ => format!("99.{} %", "9".repeat(nines - 2)),
        };
        Tick { value: nines as f64, label }
    }));
    Axis::with_ticks(0.0, end, ticks)
}

/// The corners of the cumulative distribution: every value at the share of samples beyond it, as
/// far as `end`.
fn steps(histogram: &Histogram<u64>, end: f64) -> impl Iterator<Item = (f64, f64)> + '_ {
    let count = histogram.len();
    let mut below = 0;
    let corners = histogram.iter_recorded().map(move |step| {
        let value = step.value_iterated_to() as f64;
        let place = |below: u64| match count - below {
            0 => end,
            beyond => nines(beyond as f64 / count as f64).min(end),
        };
        let from = place(below);
        below += step.count_at_value();
        [(from, value), (place(below), value)]
    });
    corners.take_while(move |[(from, _), _]| *from < end).flatten()
}

/// The percentiles of the table, and their values beside them.
fn marks(chart: &mut Chart, curve: &Curve) {
    for p in PERCENTILES {
        let Some(ns) = percentile(curve.of, p) else { continue };
        let place = (nines(1.0 - p.quantile()), ns as f64);
        let text = units::time(ns as f64);
        chart.dot(curve.class, place, &format!("{} {}: {text}", curve.name, p.label()));
        // Beside the end of the axis a text in the middle would be cut.
        let anchor = if p.quantile() < 0.6 { Anchor::Middle } else { Anchor::End };
        chart.text("value", place, 10.0, anchor, &text);
    }
}

fn said(curve: &Curve) -> String {
    let values: Vec<String> = PERCENTILES
        .iter()
        .filter_map(|&p| {
            Some(format!("{} {}", p.label(), units::time(percentile(curve.of, p)? as f64)))
        })
        .chain([format!("max {}", units::time(curve.of.max() as f64))])
        .collect();
    format!("{}: {}.", curve.name, values.join(", "))
}
