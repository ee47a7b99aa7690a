//! The line that redis-benchmark keeps rewriting while a test runs.

use super::format::LiveLine;
use crate::exec::Progress;

#[derive(Debug)]
pub struct Live {
    title: String,
    shown: bool,
    line: LiveLine,
    /// Answers so far, and the sum of their latencies in nanoseconds.
    answered: u64,
    sum_ns: f64,
}

impl Live {
    pub fn new(title: &str, shown: bool) -> Self {
        Live { title: title.to_owned(), shown, line: LiveLine::default(), answered: 0, sum_ns: 0.0 }
    }

    pub fn observe(&mut self, progress: &Progress) {
        if !self.shown {
            return;
        }
        let text = self.update(progress);
        // Losing this line is no reason to end a test.
        let _ = super::print(&text);
    }

    /// Before anything else is printed.
    pub fn end(&mut self) {
        if self.shown {
            let _ = super::print(&self.line.erase());
        }
    }

    fn update(&mut self, progress: &Progress) -> String {
        let new = progress.answered.saturating_sub(self.answered);
        self.answered = progress.answered;
        self.sum_ns += progress.mean_ns * new as f64;
        let overall_ns = self.sum_ns / self.answered.max(1) as f64;
        let seconds = progress.elapsed.as_secs_f64();
        let overall_rps = if seconds > 0.0 { self.answered as f64 / seconds } else { 0.0 };
        self.line.update(
            &self.title,
            [progress.rate, overall_rps],
            [progress.mean_ns / 1e6, overall_ns / 1e6],
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn overall_figures_weigh_each_second_by_its_answers() {
        let mut live = Live::new("GET", false);
        let progress = |seconds, answered, rate, mean_ns| Progress {
            elapsed: Duration::from_secs(seconds),
            answered,
            rate,
            mean_ns,
            ..Progress::default()
        };
        live.update(&progress(1, 100, 100.0, 1e6));
        let line = live.update(&progress(2, 400, 300.0, 2e6));
        let expected = "GET: rps=300.0 (overall: 200.0) avg_msec=2.000 (overall: 1.750)\r";
        assert!(line.ends_with(expected), "{line:?}");
    }
}
