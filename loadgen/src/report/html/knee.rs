//! The throughput-latency curve.

use super::axis::Axis;
use super::chart::{Anchor, Chart, legend, time_label};
use super::escape::Escaped;
use super::time::rate_label;
use crate::report::units::{significant, time};
use crate::report::{Knee, KneePoint};

pub fn section(knee: &Knee) -> String {
    let objective = format!("{} at most {}", knee.percentile, time(knee.limit_ns as f64));
    let found = match knee.rate {
        Some(rate) => format!("{} requests per second meet {objective}", significant(rate)),
        None => format!("No rate that was tried meets {objective}"),
    };
    format!(
        "<section>\n<h2>Throughput and latency</h2>\n<p>{}.</p>\n{}</section>\n",
        Escaped(&found),
        chart(knee, &found),
    )
}

/// Its class, its name, its value at a point.
type Line = (&'static str, String, fn(&KneePoint) -> Option<u64>);

fn chart(knee: &Knee, found: &str) -> String {
    let mut points: Vec<&KneePoint> = knee.points.iter().collect();
    points.sort_by(|a, b| a.offered.total_cmp(&b.offered));
    let mut lines: Vec<Line> = vec![("s3", knee.percentile.clone(), |point| point.objective_ns)];
    if knee.percentile != "p99" {
        lines.push(("s2", "p99".into(), |point| point.p99_ns));
    }
    if knee.percentile != "p50" {
        lines.push(("s1", "p50".into(), |point| point.p50_ns));
    }
    let values = || {
        let of_lines = points.iter().flat_map(|point| lines.iter().filter_map(|l| (l.2)(point)));
        of_lines.chain([knee.limit_ns])
    };
    let low = values().min().unwrap_or(1).max(1) as f64;
    let high = values().max().unwrap_or(1).max(1) as f64;
    let most = points.last().map_or(1.0, |point| point.offered);
    let x = Axis::from_zero(most, 8, rate_label);
    let mut chart = Chart::new("knee", 340.0, x, Axis::of_range(low, high, 6, time_label))
        .described("Latency by offered rate", format!("{found}."))
        .named("requests per second", "response time");
    chart.level("target", knee.limit_ns as f64);
    let limit = format!("objective: {} at most {}", knee.percentile, time(knee.limit_ns as f64));
    chart.text("remark", (0.0, knee.limit_ns as f64), 6.0, Anchor::Start, &format!(" {limit}"));
    if let Some(rate) = knee.rate {
        chart.upright("found", rate);
        let anchor = if rate > chart.x.max() / 2.0 { Anchor::End } else { Anchor::Start };
        let text = format!(" {} per second ", significant(rate));
        chart.text("value", (rate, chart.y.max()), -12.0, anchor, &text);
    }
    for (class, name, of) in lines.iter().rev() {
        chart.line(class, points.iter().map(|point| Some((point.offered, of(point)? as f64))));
        for point in &points {
            let Some(ns) = of(point) else { continue };
            let tip = format!(
                "{name} {} at {} offered, {} answered per second{}{}",
                time(ns as f64),
                significant(point.offered),
                significant(point.rate),
                if point.met { "" } else { "; misses the objective" },
                if point.valid { "" } else { "; not valid" },
            );
            let class = if point.met { (*class).to_owned() } else { format!("{class} missed") };
            chart.dot(&class, (point.offered, ns as f64), &tip);
        }
    }
    let mut entries: Vec<_> =
        lines.iter().rev().map(|(class, name, _)| (*class, name.clone())).collect();
    entries.push(("hollow", "misses the objective".into()));
    legend(&entries) + &chart.svg()
}
