//! The figures of a run that `compare` and `check` look at, and how runs that are made for their
//! figures are made.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::exec::{self, Outcome};
use crate::failure::Failure;
use crate::live::Live;
use crate::plan::{Endpoint, Plan, Target};
use crate::report::units::{grouped, time};
use crate::report::{RunFile, ServerIdentity};
use crate::server::{Process, Server};
use crate::stats::{Percentile, percentile};
use crate::verdict::{Cause, Reason, achieved_rate, judge};

/// One figure, in the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Answers per second.
    Throughput,
    /// Response times in nanoseconds.
    Mean,
    P50,
    P99,
    P999,
    /// Processor time of the server per request, nanoseconds.
    ServerCpu,
}

impl Figure {
    pub const ALL: [Figure; 6] = [
        Figure::Throughput,
        Figure::Mean,
        Figure::P50,
        Figure::P99,
        Figure::P999,
        Figure::ServerCpu,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Figure::Throughput => "throughput",
            Figure::Mean => "mean",
            Figure::P50 => "p50",
            Figure::P99 => "p99",
            Figure::P999 => "p99.9",
            Figure::ServerCpu => "server CPU per request",
        }
    }

    pub fn higher_is_better(self) -> bool {
        self == Figure::Throughput
    }

    pub fn format(self, value: f64) -> String {
        match self {
            Figure::Throughput => format!("{}/s", grouped(value.round() as u64)),
            _ => time(value),
        }
    }
}

/// Those figures of one run that there were enough samples for; all positive.
pub type Figures = BTreeMap<Figure, f64>;

fn figures_of(pairs: impl IntoIterator<Item = (Figure, Option<f64>)>) -> Figures {
    pairs
        .into_iter()
        .filter_map(|(figure, value)| value.filter(|v| *v > 0.0).map(|v| (figure, v)))
        .collect()
}

fn of_outcome(outcome: &Outcome, server_cpu: Option<Duration>) -> Figures {
    let total = outcome.recording.total();
    let quantile = |wanted| percentile(&total.response, wanted).map(|ns| ns as f64);
    figures_of([
        (Figure::Throughput, Some(achieved_rate(outcome))),
        (Figure::Mean, Some(total.response.mean())),
        (Figure::P50, quantile(Percentile::P50)),
        (Figure::P99, quantile(Percentile::P99)),
        (Figure::P999, quantile(Percentile::P999)),
        (Figure::ServerCpu, server_cpu.map(|cpu| cpu.as_nanos() as f64)),
    ])
}

pub fn of_file(run: &RunFile) -> Figures {
    let response = &run.results.total.response;
    let quantile = |wanted| response.percentile_ns(wanted).map(|ns| ns as f64);
    figures_of([
        (Figure::Throughput, Some(run.results.rate)),
        (Figure::Mean, response.mean_ns),
        (Figure::P50, quantile(Percentile::P50)),
        (Figure::P99, quantile(Percentile::P99)),
        (Figure::P999, quantile(Percentile::P999)),
    ])
}

/// What one run among several gave.
#[derive(Clone, Debug)]
pub struct Round {
    pub figures: Figures,
    pub errors: u64,
    /// What spoke against it, apart from too few samples: then a figure is missing anyway.
    pub doubts: Vec<Reason>,
}

/// Makes one run. `label` is shown while it lasts.
///
/// # Errors
/// When it could not be made to its end, for whatever reason: half a round is no round.
pub fn measure(
    plan: &Plan,
    label: &str,
    quiet: bool,
    probe: Option<&mut Probe>,
) -> Result<Round, Failure> {
    let mut live = Live::labelled(plan, quiet, label);
    let mut run = || exec::run(plan, &mut |progress| live.observe(progress));
    let (result, server_cpu) = match probe {
        Some(probe) => probe.around(run),
        None => (run(), None),
    };
    live.finish();
    let outcome = result?;
    if let Some(failure) = outcome.ended_by {
        return Err(failure);
    }
    if outcome.interrupted {
        return Err(Failure::run(format!("interrupted in {label}; nothing is concluded")));
    }
    let doubts = judge(plan, &outcome)
        .reasons
        .into_iter()
        .filter(|reason| reason.cause != Cause::TooFewSamples)
        .collect();
    Ok(Round {
        figures: of_outcome(&outcome, server_cpu),
        errors: outcome.recording.counts().errors,
        doubts,
    })
}

/// The doubts of many rounds: each cause once, with how many rounds had it and what the first said.
pub fn doubts<'a>(rounds: impl IntoIterator<Item = &'a Round>) -> Vec<String> {
    let mut causes: Vec<(&Reason, usize)> = Vec::new();
    let mut count = 0;
    for round in rounds {
        count += 1;
        for doubt in &round.doubts {
            match causes.iter_mut().find(|(known, _)| known.cause == doubt.cause) {
                Some((_, times)) => *times += 1,
                None => causes.push((doubt, 1)),
            }
        }
    }
    causes
        .into_iter()
        .map(|(first, times)| format!("in {times} of {count} rounds: {}", first.text))
        .collect()
}

/// What the server calls itself, if it says so.
pub fn identity(target: &Target) -> Option<ServerIdentity> {
    let mut server = Server::connect(target.endpoints.first()?, target).ok()?;
    let software = server.info().ok()?.software()?;
    let (name, version) = software.split_once(' ')?;
    Some(ServerIdentity { name: name.to_owned(), version: version.to_owned() })
}

/// Looks at a server's process on this host: its processor time, and how many commands it was for.
#[derive(Debug)]
pub struct Probe {
    server: Server,
    process: Process,
}

impl Probe {
    /// `None` where the server runs elsewhere, or does not show its process.
    pub fn of(endpoint: &Endpoint, target: &Target) -> Option<Probe> {
        let mut server = Server::connect(endpoint, target).ok()?;
        let process = server.process()?;
        Some(Probe { server, process })
    }

    fn look(&mut self) -> Option<(Duration, u64)> {
        let commands = self.server.info().ok()?.commands_processed()?;
        Some((self.process.cpu()?, commands))
    }

    /// Does something, and tells the processor time per command meanwhile.
    fn around<T>(&mut self, action: impl FnOnce() -> T) -> (T, Option<Duration>) {
        let before = self.look();
        let result = action();
        let cost = before.zip(self.look()).and_then(|(before, after)| {
            let commands = u32::try_from(after.1.checked_sub(before.1)?).ok()?;
            after.0.checked_sub(before.0)?.checked_div(commands)
        });
        (result, cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_of_many_rounds_are_told_once() {
        let reason = |text: &str, cause| Reason { cause, text: text.to_owned() };
        let round = |doubts: Vec<Reason>| Round { figures: Figures::new(), errors: 0, doubts };
        let rounds = [
            round(vec![reason("thread 0 is busy", Cause::ClientBusy)]),
            round(vec![]),
            round(vec![
                reason("thread 1 is busy", Cause::ClientBusy),
                reason("2 error replies", Cause::Errors),
            ]),
        ];
        assert_eq!(
            doubts(&rounds),
            ["in 2 of 3 rounds: thread 0 is busy", "in 1 of 3 rounds: 2 error replies"]
        );
        assert!(doubts(&[]).is_empty());
    }

    #[test]
    fn figures_without_enough_samples_are_missing() {
        let figures = figures_of([
            (Figure::P999, None),
            (Figure::Throughput, Some(5.0)),
            (Figure::Mean, Some(0.0)),
        ]);
        assert_eq!(figures, Figures::from([(Figure::Throughput, 5.0)]));
    }
}
