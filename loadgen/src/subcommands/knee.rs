//! `loadgen knee`: the highest rate that meets a latency objective.
//!
//! Open loop, response times from the intended moments: a server that cannot keep up shows at once.
//! The rate doubles until a step misses the objective, then the interval between the last that met
//! it and the first that missed it is halved. A step that misses is repeated once, so that one
//! hiccup of the machine does not end the climb.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::figures::identity;
use crate::cli::{ArrivalsArg, ClientArgs, OutputArgs, TargetArgs, WorkloadArgs, parse};
use crate::exec::interrupt::Watch;
use crate::exec::{self, Outcome};
use crate::failure::Failure;
use crate::live::Live;
use crate::plan::{Arrivals, Pacing, Plan, Stop};
use crate::report::units::{grouped, time};
use crate::report::{self, Environment, Knee, KneePoint, Report};
use crate::stats::{Percentile, percentile};
use crate::verdict::{Cause, Verdict, achieved_rate, judge, slowest_acceptable};

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct KneeArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// The objective: a percentile of the response time and its limit, such as p99.9=1ms
    #[arg(long, value_name = "PERCENTILE=TIME", required = true, value_parser = parse_objective,
          help_heading = "Search")]
    pub slo: Objective,
    /// The first rate tried, requests per second [default: what gives enough samples in one
    /// DURATION, at least 1k]
    #[arg(long, value_name = "RATE", value_parser = parse::rate, help_heading = "Search")]
    pub from: Option<f64>,
    /// Never try more than this
    #[arg(long, value_name = "RATE", default_value = "1g", value_parser = parse::rate,
          help_heading = "Search")]
    pub to: f64,
    /// How close the answer has to be, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = parse_precision,
          help_heading = "Search")]
    pub precision: f64,
    /// How long each step measures; longer where the percentile needs more samples
    #[arg(long, value_name = "TIME", default_value = "3s",
          value_parser = parse::positive_duration, help_heading = "Search")]
    pub duration: Duration,
    /// Load before each measurement, not recorded
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = parse::duration,
          help_heading = "Search")]
    pub warmup: Duration,
    /// How requests follow each other
    #[arg(long, value_name = "KIND", default_value = "poisson", help_heading = "Search")]
    pub arrivals: ArrivalsArg,
    #[command(flatten)]
    pub clients: ClientArgs,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

const EXAMPLES: &str = "\
Examples:
  loadgen knee --slo p99.9=1ms --preload
  loadgen knee cache-1:6379 --slo p99=500us --from 50k --threads 2 -o report";

/// A percentile and the response time that it may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    pub percentile: Percentile,
    pub limit: Duration,
}

fn parse_objective(text: &str) -> Result<Objective, String> {
    let (name, limit) = text.split_once('=').ok_or("it is such as p99.9=1ms")?;
    let percentile = Percentile::parse(name)
        .ok_or("the percentile is above 0 and below 100, such as p99 or p99.95")?;
    Ok(Objective { percentile, limit: parse::positive_duration(limit)? })
}

fn parse_precision(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is a number of percent".to_owned())?;
    if (0.1..=50.0).contains(&number) { Ok(number) } else { Err("from 0.1 to 50".to_owned()) }
}

/// # Errors
/// When a step could not be made, or none met the objective.
pub fn run(args: &KneeArgs) -> Result<ExitCode, Failure> {
    let bench = Bench::new(args)?;
    let mut search = Search::new(args);
    let watch = Watch::start();
    let (mut points, mut best) = (Vec::new(), None);
    while let Some(rate) = search.next() {
        let step = bench.step(rate)?;
        let point = step.point(args.slo);
        println!("{}", describe(&point, args.slo));
        for reason in client_faults(&step.verdict) {
            println!("    {reason}");
        }
        search.note(point.met);
        let is_best = best.as_ref().is_none_or(|best: &Step| best.offered < rate);
        if point.met && is_best {
            best = Some(step);
        }
        points.push(point);
        if watch.interrupted() {
            break;
        }
    }
    let knee = Knee {
        percentile: args.slo.percentile.label(),
        limit_ns: nanoseconds(args.slo.limit),
        points,
        rate: best.as_ref().map(|step| step.offered),
    };
    conclude(args, &knee, best, watch.interrupted())
}

struct Bench<'a> {
    args: &'a KneeArgs,
    plan: Plan,
}

/// One rate, measured.
struct Step {
    offered: f64,
    plan: Plan,
    outcome: Outcome,
    verdict: Verdict,
    environment: Environment,
}

impl<'a> Bench<'a> {
    fn new(args: &'a KneeArgs) -> Result<Self, Failure> {
        if args.from.is_some_and(|from| from > args.to) {
            return Err(crate::cli::contradiction(
                &format!("--from {}", args.from.unwrap_or_default()),
                &format!("--to {}", args.to),
                "the search goes upwards",
            ));
        }
        if let Some(directory) = &args.output.output {
            report::check_directory(directory)?;
        }
        let plan = args.clients.plan(
            args.target.target()?,
            args.workload.workload()?,
            args.workload.verify,
            args.pacing(1.0),
            Stop { requests: None, duration: Some(args.duration) },
            args.warmup,
        )?;
        let mut bench = Bench { args, plan };
        bench.preload()?;
        Ok(bench)
    }

    /// Once and not for every step, unless keys expire.
    fn preload(&mut self) -> Result<(), Failure> {
        if self.plan.workload.preload && self.plan.workload.ttl.is_none() {
            let mut short = self.plan.clone();
            short.stop.duration = Some(Duration::from_millis(100));
            short.pacing = self.args.pacing(100.0);
            self.measure(&short, "filling")?;
            self.plan.workload.preload = false;
        }
        Ok(())
    }

    fn step(&self, rate: f64) -> Result<Step, Failure> {
        let mut plan = self.plan.clone();
        plan.pacing = self.args.pacing(rate);
        plan.stop.duration = Some(self.args.duration.max(enough(self.args.slo, rate)));
        let environment = Environment::of_this_host(identity(&plan.target));
        let label = format!("{}/s", grouped(rate.round() as u64));
        let outcome = self.measure(&plan, &label)?;
        if let Some(failure) = &outcome.ended_by {
            return Err(failure.clone());
        }
        let verdict = judge(&plan, &outcome);
        Ok(Step { offered: rate, plan, outcome, verdict, environment })
    }

    fn measure(&self, plan: &Plan, label: &str) -> Result<Outcome, Failure> {
        let mut live = Live::labelled(plan, self.args.output.quiet, label);
        let outcome = exec::run(plan, &mut |progress| live.observe(progress));
        live.finish();
        outcome
    }
}

impl KneeArgs {
    fn pacing(&self, rate_per_second: f64) -> Pacing {
        let arrivals = match self.arrivals {
            ArrivalsArg::Constant => Arrivals::Constant,
            ArrivalsArg::Poisson => Arrivals::Poisson,
        };
        Pacing::Open { rate_per_second, arrivals }
    }
}

/// How long this rate takes until the percentile has its samples, with a tenth to spare.
fn enough(slo: Objective, rate: f64) -> Duration {
    Duration::from_secs_f64(slo.percentile.samples_needed() as f64 * 1.1 / rate)
}

impl Step {
    fn point(&self, slo: Objective) -> KneePoint {
        let response = self.outcome.recording.total().response;
        let objective_ns = percentile(&response, slo.percentile);
        // Requests that were never sent, never answered or answered with an error have no response
        // time that the objective could be held against. Being late is not among that: response
        // times contain it.
        let missing = self.outcome.unsent > 0
            || achieved_rate(&self.outcome) < slowest_acceptable(self.offered, &self.outcome)
            || [Cause::Unanswered, Cause::Errors, Cause::Interrupted]
                .into_iter()
                .any(|cause| self.verdict.has(cause));
        KneePoint {
            offered: self.offered,
            rate: achieved_rate(&self.outcome),
            p50_ns: percentile(&response, Percentile::P50),
            p99_ns: percentile(&response, Percentile::P99),
            objective_ns,
            met: !missing && objective_ns.is_some_and(|ns| ns <= nanoseconds(slo.limit)),
            valid: self.verdict.reasons.iter().all(|r| r.cause == Cause::TooFewSamples),
        }
    }
}

/// What says that a step was about this program rather than about the server.
fn client_faults(verdict: &Verdict) -> impl Iterator<Item = &str> {
    let causes = [Cause::ClientBusy, Cause::BehindSchedule, Cause::Errors, Cause::ServerCount];
    let reasons = verdict.reasons.iter().filter(move |reason| causes.contains(&reason.cause));
    reasons.map(|reason| reason.text.as_str())
}

fn describe(point: &KneePoint, slo: Objective) -> String {
    let shown = |ns: Option<u64>| ns.map_or("-".to_owned(), |ns| time(ns as f64));
    format!(
        "{:>12}/s  answered {:>12}/s  p50 {:>8}  {} {:>8}  {}",
        grouped(point.offered.round() as u64),
        grouped(point.rate.round() as u64),
        shown(point.p50_ns),
        slo.percentile.label(),
        shown(point.objective_ns),
        if point.met { "met" } else { "missed" },
    )
}

fn conclude(
    args: &KneeArgs,
    knee: &Knee,
    best: Option<Step>,
    interrupted: bool,
) -> Result<ExitCode, Failure> {
    let objective = format!("{} <= {}", knee.percentile, time(knee.limit_ns as f64));
    let Some(best) = best else {
        let lowest = knee.points.iter().map(|p| p.offered).fold(f64::INFINITY, f64::min);
        return Err(Failure::run(format!(
            "no rate that was tried meets {objective}, down to {}/s; start lower (--from), or see \
             what the verdicts above say",
            grouped(lowest.round() as u64)
        )));
    };
    let missed = knee.points.iter().filter(|p| !p.met).map(|p| p.offered);
    let next = missed.filter(|rate| *rate > best.offered).fold(f64::INFINITY, f64::min);
    let bound = if next.is_finite() {
        format!("{}/s does not", grouped(next.round() as u64))
    } else {
        "nothing higher was tried".to_owned()
    };
    let rate = grouped(best.offered.round() as u64);
    println!("\n{rate}/s meets {objective}; {bound}");
    if knee.points.iter().any(|point| !point.valid && point.offered >= best.offered) {
        println!(
            "what ended the climb may be this client rather than the server: see the lines above"
        );
    }
    let report = Report {
        plan: &best.plan,
        outcome: &best.outcome,
        verdict: &best.verdict,
        environment: &best.environment,
        knee: Some(knee),
    };
    if args.output.json {
        super::run::print(&report, true)?;
    }
    if let Some(directory) = &args.output.output {
        report::write_directory(directory, &report)?;
    }
    Ok(if interrupted { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Which rate comes next: doubling, then halving of what is between. Pure.
#[derive(Debug)]
struct Search {
    /// The highest that met the objective, and the lowest that missed it.
    met: Option<f64>,
    missed: Option<f64>,
    current: f64,
    /// The current rate has missed once.
    repeating: bool,
    most: f64,
    /// As a ratio from 1 on.
    precision: f64,
    /// Steps left to go down when not even the first rate meets the objective.
    descents: u32,
}

const DESCENTS: u32 = 6;

impl Search {
    fn new(args: &KneeArgs) -> Self {
        let first = args.from.unwrap_or_else(|| {
            let needed = args.slo.percentile.samples_needed() as f64 * 1.1;
            (needed / args.duration.as_secs_f64()).clamp(1_000.0, 50_000.0)
        });
        Search {
            met: None,
            missed: None,
            current: first.min(args.to),
            repeating: false,
            most: args.to,
            precision: 1.0 + args.precision / 100.0,
            descents: DESCENTS,
        }
    }

    fn next(&self) -> Option<f64> {
        let narrow = self
            .met
            .zip(self.missed)
            .is_some_and(|(met, missed)| !self.repeating && missed <= met * self.precision);
        let at_the_top = self.met.is_some_and(|met| met >= self.most);
        (!narrow && !at_the_top && self.descents > 0).then_some(self.current)
    }

    /// What came of the rate that was next.
    fn note(&mut self, met: bool) {
        if !met && !self.repeating {
            self.repeating = true;
            return;
        }
        self.repeating = false;
        if met {
            self.met = Some(self.current);
        } else {
            self.missed = Some(self.current);
        }
        self.current = match (self.met, self.missed) {
            (Some(met), Some(missed)) => f64::midpoint(met, missed),
            (Some(met), None) => (met * 2.0).min(self.most),
            (None, _) => {
                self.descents -= 1;
                self.current / 2.0
            }
        };
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(first: f64, most: f64) -> Search {
        Search {
            met: None,
            missed: None,
            current: first,
            repeating: false,
            most,
            precision: 1.05,
            descents: DESCENTS,
        }
    }

    /// The rates tried on a server that keeps the objective up to `knee`.
    fn rates(mut search: Search, knee: f64) -> (Vec<f64>, Option<f64>) {
        let mut tried = Vec::new();
        while let Some(rate) = search.next() {
            tried.push(rate);
            search.note(rate <= knee);
            assert!(tried.len() < 100, "{tried:?}");
        }
        (tried, search.met)
    }

    #[test]
    fn it_climbs_then_bisects() {
        let (tried, met) = rates(search(1_000.0, 1e9), 5_300.0);
        assert_eq!(tried[..6], [1_000.0, 2_000.0, 4_000.0, 8_000.0, 8_000.0, 6_000.0]);
        let met = met.expect("some met it");
        assert!(met <= 5_300.0 && met * 1.05 >= 5_300.0, "{met}");
        assert!(tried.len() <= 14, "{tried:?}");
    }

    #[test]
    fn it_goes_down_when_the_first_rate_is_too_much_and_gives_up() {
        let (tried, met) = rates(search(8_000.0, 1e9), 1_500.0);
        assert_eq!(tried[..4], [8_000.0, 8_000.0, 4_000.0, 4_000.0]);
        assert!(met.is_some_and(|met| met <= 1_500.0 && met > 1_400.0), "{met:?}");
        let (tried, met) = rates(search(8_000.0, 1e9), 1.0);
        assert_eq!((tried.len(), met), (2 * DESCENTS as usize, None));
    }

    #[test]
    fn it_stops_at_the_top() {
        assert_eq!(
            rates(search(1_000.0, 3_000.0), 1e9),
            (vec![1_000.0, 2_000.0, 3_000.0], Some(3_000.0))
        );
    }

    #[test]
    fn one_hiccup_does_not_end_the_climb() {
        let mut search = search(1_000.0, 2_000.0);
        search.note(false);
        assert_eq!(search.next(), Some(1_000.0));
        search.note(true);
        assert_eq!(search.next(), Some(2_000.0));
    }

    #[test]
    fn objectives() {
        let objective = parse_objective("p99.9=1ms").expect("an objective");
        assert_eq!(objective.percentile.label(), "p99.9");
        assert_eq!(objective.limit, Duration::from_millis(1));
        assert_eq!(enough(objective, 1_000.0), Duration::from_secs(11));
        for bad in ["p99.9", "p100=1ms", "p99=0", "=1ms", "p99=1x"] {
            assert!(parse_objective(bad).is_err(), "{bad}");
        }
    }
}
