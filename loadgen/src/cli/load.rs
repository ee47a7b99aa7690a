//! How load is made, for how long, and what becomes of the results.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::ValueEnum;

use super::{contradiction, parse};
use crate::failure::Failure;
use crate::plan::{Arrivals, Pacing, Plan, Stop, Target, Threads, Workload};
use crate::workload::Generator;

pub const DEFAULT_CLIENTS: usize = 50;
/// Requests that an open loop may have in flight on one connection: enough to go on sending
/// through a stall.
const DEFAULT_OPEN_PIPELINE: usize = 1024;
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
const MOST_CLIENTS: usize = 60_000;
const MOST_PIPELINE: usize = 10_000;
const MOST_IN_FLIGHT: usize = 10_000_000;

/// Threads and connections; shared by run, compare and knee.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub struct ClientArgs {
    /// Connections, all threads together
    #[arg(short = 'c', long, value_name = "COUNT", default_value_t = DEFAULT_CLIENTS,
          value_parser = parse_clients)]
    pub clients: usize,
    /// Requests in flight per connection: all the time in a closed loop [default: 1], at most with
    /// --rate [default: 1024]
    #[arg(short = 'P', long, value_name = "COUNT", value_parser = parse_pipeline)]
    pub pipeline: Option<usize>,
    /// Threads that make the load [default: one, or one per processor of --cpus]
    #[arg(long, value_name = "COUNT", value_parser = parse_threads)]
    pub threads: Option<usize>,
    /// Processors to pin the threads to, in order: 1,3-5
    #[arg(long, value_name = "LIST", value_parser = parse::cpus)]
    pub cpus: Option<parse::CpuList>,
    /// Number from which every random choice follows [default: a new one each time; it is reported]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
}

/// Open or closed loop; not for subcommands that choose rates themselves.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Load")]
pub struct PacingArgs {
    /// Requests per second, due whatever the server does (open loop): 200k, 1.5m. Without it every
    /// connection waits for its replies (closed loop)
    #[arg(long, value_name = "RATE", value_parser = parse::rate)]
    pub rate: Option<f64>,
    /// How requests follow each other in an open loop: constant gaps, or poisson, as independent
    /// users do [default: constant]
    #[arg(long, value_name = "constant|poisson", hide_possible_values = true)]
    pub arrivals: Option<ArrivalsArg>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrivalsArg {
    Constant,
    Poisson,
}

/// For how long.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Load")]
pub struct StopArgs {
    /// How long to measure [default: 10s, if there is no --requests]
    #[arg(long, value_name = "TIME", value_parser = parse::positive_duration)]
    pub duration: Option<Duration>,
    /// How many requests to measure, all threads together; with --duration, whichever is first
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = parse::count)]
    pub requests: Option<u64>,
    /// Load before the measurement, not recorded
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse::duration)]
    pub warmup: Duration,
}

/// What becomes of the results.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Write run.json, series.csv, response.hgrm, service.hgrm, intervals.hlog and report.html there
    #[arg(short = 'o', long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Print run.json instead of the table
    #[arg(long)]
    pub json: bool,
    /// No lines while it runs
    #[arg(short, long)]
    pub quiet: bool,
}

impl PacingArgs {
    /// # Errors
    /// A usage failure for `--arrivals` without `--rate`.
    pub fn pacing(&self) -> Result<Pacing, Failure> {
        match (self.rate, self.arrivals) {
            (None, None) => Ok(Pacing::Closed),
            (None, Some(_)) => Err(contradiction(
                "--arrivals",
                "a closed loop",
                "there the replies decide when requests are sent; add --rate",
            )),
            (Some(rate_per_second), arrivals) => {
                let arrivals = match arrivals {
                    None | Some(ArrivalsArg::Constant) => Arrivals::Constant,
                    Some(ArrivalsArg::Poisson) => Arrivals::Poisson,
                };
                Ok(Pacing::Open { rate_per_second, arrivals })
            }
        }
    }
}

impl StopArgs {
    pub fn stop(&self) -> Stop {
        match (self.requests, self.duration) {
            (None, None) => Stop { requests: None, duration: Some(DEFAULT_DURATION) },
            (requests, duration) => Stop { requests, duration },
        }
    }
}

impl ClientArgs {
    /// Puts the parts together and looks for contradictions between them.
    ///
    /// # Errors
    /// A usage failure that names the options.
    pub fn plan(
        &self,
        target: Target,
        workload: Workload,
        verify: bool,
        pacing: Pacing,
        stop: Stop,
        warmup: Duration,
    ) -> Result<Plan, Failure> {
        let pipeline = self.pipeline.unwrap_or(match pacing {
            Pacing::Closed => 1,
            Pacing::Open { .. } => {
                (MOST_IN_FLIGHT / self.clients.max(1)).clamp(1, DEFAULT_OPEN_PIPELINE)
            }
        });
        if self.clients.saturating_mul(pipeline) > MOST_IN_FLIGHT {
            return Err(contradiction(
                &format!("--clients {}", self.clients),
                &format!("--pipeline {pipeline}"),
                "together they keep more than ten million requests in flight",
            ));
        }
        check_endpoints(&target, &workload, verify)?;
        let threads = self.threads()?;
        check_requests(stop, &threads)?;
        let plan = Plan {
            target,
            threads,
            clients: self.clients,
            pipeline,
            keep_alive: true,
            pacing,
            stop,
            warmup,
            workload,
            verify,
            seed: self.seed.unwrap_or_else(any_seed),
        };
        check_workload(&plan)?;
        Ok(plan)
    }

    fn threads(&self) -> Result<Threads, Failure> {
        let cpus = self.cpus.as_ref().map_or_else(Vec::new, |list| list.0.clone());
        let count = self.threads.unwrap_or(cpus.len().max(1));
        if !cpus.is_empty() && count > cpus.len() {
            return Err(contradiction(
                &format!("--threads {count}"),
                &format!("--cpus with {}", cpus.len()),
                "each thread wants a processor of its own",
            ));
        }
        if count > self.clients {
            return Err(contradiction(
                &format!("--threads {count}"),
                &format!("--clients {}", self.clients),
                "a thread without a connection makes no load",
            ));
        }
        let present: Vec<usize> =
            core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
        if let Some(missing) = cpus.iter().find(|cpu| !present.is_empty() && !present.contains(cpu))
        {
            return Err(Failure::usage(format!(
                "--cpus: this process may not run on processor {missing}; it may on {present:?}"
            )));
        }
        Ok(Threads { count, cpus })
    }
}

/// Keys are spread over independent servers by connection, not by key.
fn check_endpoints(target: &Target, workload: &Workload, verify: bool) -> Result<(), Failure> {
    let first = target.endpoints.first();
    if target.cluster || target.endpoints.iter().all(|endpoint| Some(endpoint) == first) {
        return Ok(());
    }
    let option = match (workload.preload, verify) {
        (true, _) => "--preload",
        (false, true) => "--verify",
        (false, false) => return Ok(()),
    };
    Err(contradiction(
        option,
        "several endpoints",
        "a key is written to one and read from any of them; name one, or with --cluster its nodes",
    ))
}

fn check_requests(stop: Stop, threads: &Threads) -> Result<(), Failure> {
    match stop.requests {
        Some(requests) if requests < threads.count as u64 => Err(contradiction(
            &format!("--requests {requests}"),
            &format!("--threads {}", threads.count),
            "some threads would have nothing to send",
        )),
        _ => Ok(()),
    }
}

/// What the generators of all threads would refuse.
fn check_workload(plan: &Plan) -> Result<(), Failure> {
    let generator = Generator::new(&plan.workload, plan.seed, 0, plan.threads.count)?;
    if plan.verify {
        generator.verifying(&plan.workload)?;
    }
    Ok(())
}

/// Of 32 bits, so that it is short enough to be typed and exact wherever JSON is read.
pub fn any_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() >> 32
}

fn parse_clients(text: &str) -> Result<usize, String> {
    within(text, MOST_CLIENTS, "one process cannot open more connections to one server")
}

fn parse_pipeline(text: &str) -> Result<usize, String> {
    within(text, MOST_PIPELINE, "no connection is given more requests at once; use more --clients")
}

fn parse_threads(text: &str) -> Result<usize, String> {
    within(text, 1024, "no machine has more")
}

fn within(text: &str, most: usize, why: &str) -> Result<usize, String> {
    let number = parse::count(text)? as usize;
    if number > most { Err(format!("it is above {most}: {why}")) } else { Ok(number) }
}
