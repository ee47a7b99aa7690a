//! `report.html`: one file that needs nothing else. No scripts, no fonts or pictures from
//! elsewhere; the charts are SVG in the page, light or dark as the reader's system is.

mod axis;
mod chart;
mod curve;
mod escape;
mod knee;
mod time;

use std::fmt::Write;

use super::columns::Columns;
use super::describe::describe;
use super::environment::rfc3339;
use super::table::{response_columns, service_columns, summary_lines, unit_of};
use super::units::{self, grouped, percent, significant};
use super::{Knee, Report};
use crate::plan::Pacing;
use crate::stats::{Percentile, percentile};
use crate::verdict::{Verdict, achieved_rate};
use escape::Escaped;

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub fn page(report: &Report) -> String {
    let title = title(report);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{0}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header>\n<h1>{0}</h1>\n<p>{1}</p>\n</header>\n",
        Escaped(&title),
        Escaped(&subtitle(report)),
    );
    page.push_str(&verdict(report.verdict));
    page.push_str(&figures(report));
    if let Some(knee) = report.knee {
        page.push_str(&knee_html(knee));
    }
    page.push_str(&curve::section(report));
    page.push_str(&time::section(report));
    page.push_str(&tables(report));
    page.push_str(&configuration(report));
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// The throughput-latency curve of a search, as a section of a page.
pub fn knee_html(knee: &Knee) -> String {
    knee::section(knee)
}

fn title(report: &Report) -> String {
    let target = report.plan.target.endpoints.first().map(super::describe::endpoint);
    let target = target.unwrap_or_default();
    match &report.environment.server {
        Some(server) => format!("{} {} at {target} under load", server.name, server.version),
        None => format!("{target} under load"),
    }
}

fn subtitle(report: &Report) -> String {
    let environment = report.environment;
    let pacing = match report.plan.pacing {
        Pacing::Closed => format!("closed loop of {} connections", report.plan.clients),
        Pacing::Open { rate_per_second, .. } => {
            format!("open loop, {} requests per second", significant(rate_per_second))
        }
    };
    format!(
        "{pacing} for {}; {}; measured by loadgen {} on {}",
        units::time(report.outcome.elapsed.as_nanos() as f64),
        rfc3339(report.outcome.started).replace('T', " ").replace('Z', " UTC"),
        environment.loadgen_version,
        environment.host,
    )
}

fn verdict(verdict: &Verdict) -> String {
    let (class, word) = match verdict.is_valid() {
        true => ("valid", "VALID"),
        false => ("invalid", "NOT VALID"),
    };
    let list = |class: &str, texts: &mut dyn Iterator<Item = &String>| {
        let items: String = texts.map(|text| format!("<li>{}</li>\n", Escaped(text))).collect();
        match items.is_empty() {
            true => items,
            false => format!("<ul class=\"{class}\">\n{items}</ul>\n"),
        }
    };
    format!(
        "<section class=\"verdict {class}\">\n<h2>{word}</h2>\n{}{}</section>\n",
        list("reasons", &mut verdict.reasons.iter().map(|reason| &reason.text)),
        list("notes", &mut verdict.notes.iter()),
    )
}

/// The few figures that one looks for first.
fn figures(report: &Report) -> String {
    let total = report.outcome.recording.total();
    let time = |value: Option<u64>| value.map_or("-".into(), |ns| units::time(ns as f64));
    let mut figures = vec![("answers per second", significant(achieved_rate(report.outcome)))];
    for (label, wanted) in
        [("p50", Percentile::P50), ("p99", Percentile::P99), ("p99.9", Percentile::P999)]
    {
        figures.push((label, time(percentile(&total.response, wanted))));
    }
    figures.push(("max", time((!total.response.is_empty()).then(|| total.response.max()))));
    if let Some(ratio) = total.hit_ratio() {
        figures.push(("hit ratio", percent(ratio)));
    }
    figures.push(("errors", grouped(total.errors)));
    let mut html = String::from("<dl class=\"figures\">\n");
    for (name, value) in figures {
        put(&mut html, format_args!("<div><dt>{name}</dt><dd>{}</dd></div>\n", Escaped(&value)));
    }
    html.push_str("</dl>\n");
    html
}

fn tables(report: &Report) -> String {
    let unit = unit_of(report.outcome);
    let symbol = unit.symbol();
    let mut html = String::from("<section>\n<h2>Figures</h2>\n");
    if report.plan.pacing == Pacing::Closed {
        let caption = format!("Response time in {symbol}");
        html.push_str(&table(&caption, &response_columns(report.outcome, unit)));
    } else {
        let caption = format!("Response time in {symbol}, from the intended moment of sending");
        html.push_str(&table(&caption, &response_columns(report.outcome, unit)));
        let caption = format!("Service time in {symbol}, from the actual moment of sending");
        html.push_str(&table(&caption, &service_columns(report.outcome, unit)));
    }
    html.push_str("<ul class=\"summary\">\n");
    for line in summary_lines(report.plan, report.outcome) {
        put(&mut html, format_args!("<li>{}</li>\n", Escaped(&line)));
    }
    html.push_str("</ul>\n</section>\n");
    html
}

fn table(caption: &str, columns: &Columns) -> String {
    let mut html =
        format!("<div class=\"wide\"><table>\n<caption>{}</caption>\n", Escaped(caption));
    for (i, row) in columns.rows().iter().enumerate() {
        html.push_str("<tr>");
        for (j, cell) in row.iter().enumerate() {
            let cell = Escaped(cell);
            html.push_str(&match (i, j) {
                (0, _) => format!("<th scope=\"col\">{cell}</th>"),
                (_, 0) => format!("<th scope=\"row\">{cell}</th>"),
                _ => format!("<td>{cell}</td>"),
            });
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></div>\n");
    html
}

fn configuration(report: &Report) -> String {
    let environment = report.environment;
    let mut rows: Vec<(&str, String)> = describe(report.plan);
    rows.push((
        "client",
        format!(
            "{}: {}, {} processors, Linux {}",
            environment.host, environment.cpu_model, environment.cpus, environment.kernel
        ),
    ));
    let mut html = String::from("<section>\n<h2>Configuration</h2>\n<dl class=\"plan\">\n");
    for (name, text) in rows {
        put(&mut html, format_args!("<dt>{name}</dt><dd>{}</dd>\n", Escaped(&text)));
    }
    html.push_str("</dl>\n</section>\n");
    html
}

/// Writing to a String cannot fail.
fn put(html: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = html.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Outcome;
    use crate::plan::{Endpoint, Plan};
    use crate::report::sample_run::{closed_plan, environment, knee, open_plan, outcome};
    use crate::report::{Environment, ServerIdentity};
    use crate::verdict::judge;

    fn page_of(plan: &Plan, outcome: &Outcome, environment: &Environment) -> String {
        let verdict = judge(plan, outcome);
        page(&Report { plan, outcome, verdict: &verdict, environment, knee: Some(&knee()) })
    }

    /// Every element is closed, in order; every id is the only one.
    fn assert_well_formed(page: &str) {
        let mut open: Vec<&str> = Vec::new();
        for tag in page.split('<').skip(1).filter(|tag| !tag.starts_with('!')) {
            let (inside, _) = tag.split_once('>').expect("every < has its >");
            let name = inside.trim_matches('/').split_whitespace().next().unwrap();
            match inside {
                _ if inside.starts_with('/') => assert_eq!(open.pop(), Some(name), "{tag}"),
                _ if inside.ends_with('/') || name == "meta" => {}
                _ => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
        let mut ids: Vec<&str> =
            page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{ids:?}");
        for labels in page.split("aria-labelledby=\"").skip(1) {
            for id in labels.split('"').next().unwrap().split(' ') {
                assert!(ids.contains(&id), "{id}");
            }
        }
    }

    #[test]
    fn pages_are_well_formed_and_need_nothing_else() {
        for plan in [open_plan(), closed_plan()] {
            let page = page_of(&plan, &outcome(&plan), &environment());
            assert_well_formed(&page);
            for needs in ["<script", "<link", "<img", "http", "@import", "url(", "NaN", "inf "] {
                assert!(!page.contains(needs), "{needs}");
            }
            assert!(page.len() < 100_000, "{} bytes", page.len());
        }
    }

    #[test]
    fn it_shows_everything() {
        let plan = open_plan();
        let page = page_of(&plan, &outcome(&plan), &environment());
        for part in [
            "<h1>redis 7.2.0 at 127.0.0.1:7000 under load</h1>",
            "<h2>VALID</h2>",
            "open loop, 12,000 requests per second for 10.0 s; 2026-01-01 00:00:00.250 UTC",
            "<dt>answers per second</dt><dd>12,000</dd>",
            "<title id=\"curve-t\">",
            "response time: p50 119 µs, p90 270 µs, p99 900 µs, p99.9 900 µs, p99.99 20.0 ms, max",
            "<title id=\"commands-t\">",
            "<title id=\"latency-t\">",
            "<title id=\"rate-t\">",
            "<title id=\"hits-t\">",
            "<title id=\"knee-t\">",
            "137,500 requests per second meet p99.9 at most 1.00 ms.",
            "Response time in µs, from the intended moment of sending",
            "Service time in µs",
            "<dt>load</dt><dd>open loop: 12,000 requests per second, evenly spaced</dd>",
            "Example 9000",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("<title id=\"errors-t\">"));
        assert!(!page.contains("hunter2"));
    }

    #[test]
    fn text_from_elsewhere_stays_text() {
        let evil = "\"><script>alert('x')</script><!--";
        let mut plan = open_plan();
        plan.target.endpoints = vec![Endpoint::Tcp { host: evil.into(), port: 1 }];
        plan.target.user = Some(evil.into());
        plan.workload.keys.prefix = evil.into();
        for command in &mut plan.workload.commands {
            command.title = evil.into();
            command.template.push(evil.into());
        }
        let mut outcome = outcome(&plan);
        outcome.recording.commands[0].errors = 5;
        outcome.recording.note_error(evil);
        outcome.wrong = 1;
        outcome.wrong_examples = vec![evil.into()];
        outcome.ended_by = Some(crate::failure::Failure::run(evil));
        let environment = Environment {
            host: evil.into(),
            cpu_model: evil.into(),
            kernel: evil.into(),
            loadgen_version: evil.into(),
            server: Some(ServerIdentity { name: evil.into(), version: evil.into() }),
            ..environment()
        };
        let mut search = knee();
        search.percentile = evil.into();
        let verdict = judge(&plan, &outcome);
        let page = page(&Report {
            plan: &plan,
            outcome: &outcome,
            verdict: &verdict,
            environment: &environment,
            knee: Some(&search),
        });
        assert!(!page.contains("<script") && !page.contains("<!--"), "markup got through");
        assert!(page.matches("&lt;script&gt;").count() > 15);
        assert_well_formed(&page);
    }

    #[test]
    fn a_run_without_answers_has_a_page() {
        let plan = closed_plan();
        let mut nothing = outcome(&plan);
        nothing.recording = crate::stats::Recording::new(&["GET", "SET"], false);
        nothing.elapsed = std::time::Duration::ZERO;
        let page = page_of(&plan, &nothing, &environment());
        assert_well_formed(&page);
        assert!(page.contains("NOT VALID"));
    }
}
