//! What a run shows while it lasts: one line a second, and on a terminal a bar with the time left.
//! All of it goes to standard error; standard output is for results.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::exec::Progress;
use crate::plan::{Pacing, Plan, Stop};
use crate::report::units::{counted, grouped, percent, significant, time};
use crate::stats::summary::fraction;

/// A head for the columns as often as a terminal may have scrolled the last one away.
const LINES_PER_HEAD: u64 = 20;
const BAR_STEPS: u64 = 1000;

/// The display of one run. Give it every [`Progress`], and [`finish`](Live::finish) it before
/// anything else is printed.
#[derive(Debug)]
pub struct Live {
    /// What is being run, where there are several runs: `round 3 of 10, A`.
    label: String,
    stop: Stop,
    pacing: Pacing,
    lines: u64,
    warming_up: bool,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    Quiet,
    Lines,
    Terminal(ProgressBar),
}

impl Live {
    pub fn new(plan: &Plan, quiet: bool) -> Self {
        Self::labelled(plan, quiet, "")
    }

    /// With a few words in front of the bar.
    pub fn labelled(plan: &Plan, quiet: bool, label: &str) -> Self {
        let mode = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Mode::Quiet,
            (false, false) => Mode::Lines,
            (false, true) => Mode::Terminal(bar(label)),
        };
        let label = label.to_string();
        let live =
            Live { label, stop: plan.stop, pacing: plan.pacing, lines: 0, warming_up: false, mode };
        let preparing = match plan.workload.preload {
            true => format!("writing {}", counted(plan.workload.keys.count, "key")),
            false => "connecting".to_string(),
        };
        match &live.mode {
            Mode::Terminal(bar) => bar.set_message(preparing),
            Mode::Lines if plan.workload.preload => live.print(&preparing),
            Mode::Lines | Mode::Quiet => {}
        }
        live
    }

    pub fn observe(&mut self, progress: &Progress) {
        if let Mode::Terminal(bar) = &self.mode {
            bar.set_position((progress.done.clamp(0.0, 1.0) * BAR_STEPS as f64) as u64);
            bar.set_message(match (progress.warming_up, left(self.stop, progress)) {
                (true, _) => "warming up".to_string(),
                (false, Some(left)) => format!("{} left", clock(left)),
                (false, None) => String::new(),
            });
        }
        if progress.warming_up {
            if !std::mem::replace(&mut self.warming_up, true) && matches!(self.mode, Mode::Lines) {
                self.print("warming up");
            }
            return;
        }
        if self.lines.is_multiple_of(LINES_PER_HEAD) {
            let head = format!("{:<width$}{HEAD}", "", width = self.indent());
            self.print(&head);
        }
        self.lines += 1;
        let line = match &self.mode {
            Mode::Lines if !self.label.is_empty() => {
                format!("{}  {}", self.label, row(progress, self.pacing))
            }
            _ => row(progress, self.pacing),
        };
        self.print(&line);
    }

    /// Takes the bar away; the lines stay.
    pub fn finish(self) {
        if let Mode::Terminal(bar) = &self.mode {
            bar.finish_and_clear();
        }
    }

    /// Where there is no bar, the label stands in front of each line.
    fn indent(&self) -> usize {
        match &self.mode {
            Mode::Lines if !self.label.is_empty() => self.label.chars().count() + 2,
            _ => 0,
        }
    }

    fn print(&self, line: &str) {
        match &self.mode {
            Mode::Quiet => {}
            // Nobody is left to be told that standard error is closed.
            Mode::Lines => _ = writeln!(std::io::stderr(), "{line}"),
            Mode::Terminal(bar) => bar.println(line),
        }
    }
}

fn bar(label: &str) -> ProgressBar {
    let bar = ProgressBar::new(BAR_STEPS);
    let style = ProgressStyle::with_template("{prefix}{bar:40} {percent:>3} %  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(if label.is_empty() { String::new() } else { format!("{label}  ") });
    bar
}

const HEAD: &str = "   time          sent      answered         rate      lag      p50      p99    p99.9      max     \
                    hits  errors";

/// One line; cells as wide as those of [`HEAD`].
fn row(progress: &Progress, pacing: Pacing) -> String {
    let at = |ns: u64| time(ns as f64);
    let hits = fraction(progress.hits, progress.hits + progress.misses);
    format!(
        "{:>7} {:>13} {:>13} {:>12} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7}",
        clock(progress.elapsed),
        grouped(progress.sent),
        grouped(progress.answered),
        format!("{}/s", significant(progress.rate)),
        if pacing == Pacing::Closed { "-".to_string() } else { at(progress.lag_max_ns) },
        at(progress.p50_ns),
        at(progress.p99_ns),
        at(progress.p999_ns),
        at(progress.max_ns),
        hits.map_or("-".to_string(), percent),
        grouped(progress.errors),
    )
}

/// The time until the end: as the plan says, or as the requests have gone so far.
fn left(stop: Stop, progress: &Progress) -> Option<Duration> {
    let by_time = stop.duration.map(|total| total.saturating_sub(progress.elapsed));
    let by_requests = stop.requests.filter(|_| progress.answered > 0).map(|requests| {
        let open = requests.saturating_sub(progress.answered) as f64;
        Duration::try_from_secs_f64(
            progress.elapsed.as_secs_f64() * open / progress.answered as f64,
        )
        .unwrap_or(Duration::MAX)
    });
    by_time.into_iter().chain(by_requests).min()
}

/// `7 s`, `2:05`, `1:00:00`, rounded.
fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_millis() >= 500);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Arrivals;

    fn progress() -> Progress {
        Progress {
            elapsed: Duration::from_millis(3002),
            done: 0.3,
            sent: 600_010,
            answered: 600_000,
            hits: 540_000,
            misses: 0,
            rate: 200_013.0,
            p50_ns: 85_300,
            p99_ns: 310_000,
            p999_ns: 1_200_000,
            max_ns: 12_345_678_900,
            lag_max_ns: 900,
            ..Progress::default()
        }
    }

    #[test]
    fn cells_stand_under_their_heads() {
        let open = Pacing::Open { rate_per_second: 1.0, arrivals: Arrivals::Poisson };
        let line = row(&progress(), open);
        let ends = |text: &str| -> Vec<usize> {
            let chars: Vec<char> = text.chars().chain([' ']).collect();
            // Cells are apart by two blanks, or by one where a unit does not follow.
            (1..chars.len()).filter(|i| chars[*i] == ' ' && chars[i - 1] != ' ').collect()
        };
        let (line_ends, head_ends) = (ends(&line), ends(HEAD));
        for end in &head_ends {
            assert!(line_ends.contains(end), "no cell ends at {end}:\n{HEAD}\n{line}");
        }
        assert_eq!(line.chars().count(), HEAD.chars().count());
    }

    #[test]
    fn lookups_that_never_happened_have_no_ratio() {
        let none = Progress { hits: 0, misses: 0, ..progress() };
        let line = row(&none, Pacing::Closed);
        assert!(line.matches(" - ").count() == 2, "neither hits nor lag: {line}");
    }

    #[test]
    fn the_nearer_end_counts() {
        let stop = |requests, seconds: Option<u64>| Stop {
            requests,
            duration: seconds.map(Duration::from_secs),
        };
        let seconds = |stop| left(stop, &progress()).map(|left| left.as_secs_f64().round());
        assert_eq!(seconds(stop(None, Some(10))), Some(7.0));
        assert_eq!(seconds(stop(Some(1_000_000), None)), Some(2.0));
        assert_eq!(seconds(stop(Some(1_000_000), Some(4))), Some(1.0));
        assert_eq!(seconds(stop(Some(5), Some(2))), Some(0.0));
        assert_eq!(left(stop(Some(5), None), &Progress::default()), None);
    }

    #[test]
    fn clocks() {
        for (ms, text) in
            [(400, "0 s"), (59_600, "1:00"), (125_000, "2:05"), (3_600_000, "1:00:00")]
        {
            assert_eq!(clock(Duration::from_millis(ms)), text);
        }
    }
}
