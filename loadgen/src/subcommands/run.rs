//! `loadgen run`: one run and its report.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Args;

use crate::cli::{ClientArgs, OutputArgs, PacingArgs, StopArgs, TargetArgs, WorkloadArgs};
use crate::failure::Failure;
use crate::live::Live;
use crate::plan::Plan;
use crate::report::{self, Environment, Report, RunFile};
use crate::subcommands::figures::identity;
use crate::{exec, verdict};

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub pacing: PacingArgs,
    #[command(flatten)]
    pub clients: ClientArgs,
    #[command(flatten)]
    pub stop: StopArgs,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Exit with status 1 unless the verdict is VALID
    #[arg(long, help_heading = "Output")]
    pub strict: bool,
}

const EXAMPLES: &str = "\
Examples:
  Latency at a rate that you expect, with hits:
    loadgen run cache-1:6379 --rate 200k --arrivals poisson --duration 1m --preload -o report
  What the server gives at most, two pinned threads:
    loadgen run --clients 100 --pipeline 16 --cpus 2,3
  A cache as an application uses it, hot keys and all:
    loadgen run --rate 20k --mix get=1 --keys 1m --key-dist zipf:0.99 --ttl 10s-60s \\
                --on-miss set,delay=2ms
  Commands of your own:
    loadgen run --cmd 'ZADD board __rand__ user:__rand__@9' --cmd 'ZRANGE board 0 9 REV'
  Is every answer right?
    loadgen run --mix get=1,set=1 --verify --keys 10k --value-size 32-4k";

impl RunArgs {
    /// # Errors
    /// A usage failure where options contradict each other.
    pub fn plan(&self) -> Result<Plan, Failure> {
        self.clients.plan(
            self.target.target()?,
            self.workload.workload()?,
            self.workload.verify,
            self.pacing.pacing()?,
            self.stop.stop(),
            self.stop.warmup,
        )
    }
}

/// # Errors
/// When nothing was measured, or the report cannot be written. A run that a server ended early has
/// been reported, and gives status 1.
pub fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let plan = args.plan()?;
    if let Some(directory) = &args.output.output {
        report::check_directory(directory)?;
    }
    let mut live = Live::new(&plan, args.output.quiet);
    let result = exec::run(&plan, &mut |progress| live.observe(progress));
    live.finish();
    let outcome = result?;
    let verdict = verdict::judge(&plan, &outcome);
    let environment = Environment::of_this_host(identity(&plan.target));
    let report = Report {
        plan: &plan,
        outcome: &outcome,
        verdict: &verdict,
        environment: &environment,
        knee: None,
    };
    print(&report, args.output.json)?;
    if let Some(directory) = &args.output.output {
        report::write_directory(directory, &report)?;
    }
    if let Some(failure) = outcome.ended_by {
        return Err(failure);
    }
    let failed = args.strict && !verdict.is_valid();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Prints the table, or with `json` what `run.json` would hold.
///
/// # Errors
/// When standard output takes no more, other than because its reader has seen enough.
pub fn print(report: &Report<'_>, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let printed = if json {
        serde_json::to_writer_pretty(&mut out, &RunFile::new(report))
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        report::print_table(&mut out, report.plan, report.outcome, report.verdict)
    };
    match printed.and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::run(format!("cannot print the results: {error}")))
        }
        _ => Ok(()),
    }
}
