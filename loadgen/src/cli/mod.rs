//! Arguments to a plan; which options contradict each other.
//!
//! Subcommands put their options together from the groups here: [`TargetArgs`] (or
//! [`ConnectionArgs`] where endpoints are arguments of their own), [`WorkloadArgs`], [`ClientArgs`],
//! [`PacingArgs`], [`StopArgs`], [`OutputArgs`]. `ClientArgs::plan` makes the [`Plan`] of what the
//! other groups gave.
//!
//! [`Plan`]: crate::plan::Plan

mod load;
pub mod parse;
mod target;
mod workload;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use load::{
    ArrivalsArg, ClientArgs, DEFAULT_CLIENTS, OutputArgs, PacingArgs, StopArgs, any_seed,
};
pub use target::{ConnectionArgs, EndpointArg, TargetArgs};
pub use workload::WorkloadArgs;

use crate::failure::Failure;
use crate::subcommands;

/// A load generator for Redis-compatible servers whose figures can be trusted.
///
/// Latency counts from the moment at which a request was due, so that a stall of the server shows
/// in every request that it delayed; every run ends with a verdict on its own figures.
#[derive(Parser, Debug)]
#[command(
    name = "loadgen",
    version,
    propagate_version = true,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = EXAMPLES
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  loadgen run --rate 50k --preload           90 % GET, 10 % SET, 50,000 a second for 10 s
  loadgen run -c 100 -P 16 --mix get=1       as much as the server gives (closed loop)
  loadgen compat -t get,set -n 100000 -q     as redis-benchmark (also when called by that name)
  loadgen compare cache-1:6379 cache-2:6379  which of two servers is faster, beyond noise
  loadgen knee --slo p99.9=1ms               how much a server does while it is fast enough
  loadgen selftest                           proves the latencies against known delays

Exit status: 0; 1 the server, the network or this machine failed; 2 impossible options;
3 check found a regression.";

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make load and report latencies, rate, hits and errors
    Run(Box<subcommands::run::RunArgs>),
    /// redis-benchmark's options, tests and output formats
    Compat(subcommands::compat::CompatArgs),
    /// The same workload on two servers in turn: what differs beyond noise
    Compare(Box<subcommands::compare::CompareArgs>),
    /// The highest rate that meets a latency objective
    Knee(Box<subcommands::knee::KneeArgs>),
    /// Is the server still as good as when a baseline was recorded?
    Check(Box<subcommands::check::CheckArgs>),
    /// Prove the latencies that this program records against known delays
    Selftest(subcommands::selftest::SelftestArgs),
}

/// What a redis-benchmark would be called.
const COMPATIBLE_NAME: &str = "redis-benchmark";

/// Parses the arguments of this process and does what they say.
pub fn main() -> ExitCode {
    let words = as_compat(std::env::args_os().collect());
    let cli = Cli::parse_from(words);
    match dispatch(cli.command) {
        Ok(status) => status,
        Err(failure) => {
            eprintln!("loadgen: {failure}");
            failure.exit_code()
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(args) => subcommands::run::run(&args),
        Command::Compat(args) => subcommands::compat::run(&args),
        Command::Compare(args) => subcommands::compare::run(&args),
        Command::Knee(args) => subcommands::knee::run(&args),
        Command::Check(args) => subcommands::check::run(&args),
        Command::Selftest(args) => subcommands::selftest::run(&args),
    }
}

/// `redis-benchmark ...` is `loadgen compat ...`.
fn as_compat(words: Vec<OsString>) -> Vec<OsString> {
    let called = words.first().map(Path::new).and_then(Path::file_name);
    if called.is_some_and(|name| name == COMPATIBLE_NAME) {
        let rest = words.into_iter().skip(1);
        ["loadgen".into(), "compat".into()].into_iter().chain(rest).collect()
    } else {
        words
    }
}

/// Two options that make no sense together, and why.
pub fn contradiction(one: &str, other: &str, why: &str) -> Failure {
    Failure::usage(format!("{one} and {other} contradict each other: {why}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::plan::{Arrivals, Distribution, Pacing, Plan};

    fn plan(line: &str) -> Result<Plan, String> {
        let words = ringwell::text::quote::split_args(line.as_bytes()).expect("balanced");
        let words = words.into_iter().map(|w| String::from_utf8(w).expect("UTF-8"));
        let words = ["loadgen".to_string(), "run".to_string()].into_iter().chain(words);
        let cli = Cli::try_parse_from(words).map_err(|e| e.to_string())?;
        let Command::Run(args) = cli.command else { panic!("{line} is no run") };
        args.plan().map_err(|failure| failure.message)
    }

    #[test]
    fn the_table_of_options_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults() {
        let plan = plan("").expect("nothing is needed");
        assert_eq!((plan.clients, plan.pipeline, plan.threads.count), (50, 1, 1));
        assert_eq!(plan.pacing, Pacing::Closed);
        assert_eq!(plan.stop.duration.map(|d| d.as_secs()), Some(10));
        assert_eq!(plan.workload.keys.distribution, Distribution::Uniform);
        let titles: Vec<&str> = plan.workload.commands.iter().map(|c| c.title.as_str()).collect();
        assert_eq!(titles, ["GET", "SET"]);
    }

    #[test]
    fn options_reach_the_plan() {
        let plan = plan(
            "unix:/tmp/a.sock --rate 200k/s --arrivals poisson -c 8 -P 16 --threads 2 -n 1m \
             --keys 1m --key-dist zipf:1.2 --ttl 10s-60s --mix get=9,set=1 --on-miss set,delay=2ms \
             --seed 7 --warmup 0 --resp 3 --db 2",
        )
        .expect("all of it fits together");
        assert_eq!(
            plan.pacing,
            Pacing::Open { rate_per_second: 200_000.0, arrivals: Arrivals::Poisson }
        );
        assert_eq!((plan.stop.requests, plan.stop.duration), (Some(1_000_000), None));
        assert_eq!((plan.clients, plan.pipeline, plan.threads.count), (8, 16, 2));
        assert_eq!((plan.seed, plan.target.database, plan.target.resp3), (7, 2, true));
        assert!(plan.workload.on_miss.is_some() && plan.workload.ttl.is_some());
    }

    #[test]
    fn contradictions_name_both_sides_in_one_line() {
        for (line, parts) in [
            ("--verify --cmd PING", ["--verify", "--cmd"]),
            ("--mix get=1 --cmd PING", ["--mix", "--cmd"]),
            ("--cluster unix:/a", ["--cluster", "unix socket"]),
            ("--arrivals poisson", ["--arrivals", "closed loop"]),
            ("--on-miss set --mix set=1", ["--on-miss", "--mix"]),
            ("--on-miss set --cmd PING", ["--on-miss", "--cmd"]),
            ("--threads 4 -c 2", ["--threads 4", "--clients 2"]),
            ("--threads 2 --cpus 0", ["--threads 2", "--cpus"]),
            ("--threads 2 -n 1", ["--threads 2", "--requests 1"]),
            ("-c 50000 -P 10000", ["--clients 50000", "--pipeline 10000"]),
            ("--cmd PING --cmd PING --cmd-weight 1", ["2 of --cmd", "1 of --cmd-weight"]),
            ("--cmd PING --key-dist zipf", ["--key-dist", "--cmd"]),
            ("--cmd PING --keys 5", ["--keys", "--cmd"]),
            ("--mix get=1 -d 5", ["--value-size", "--mix"]),
            ("--mix get=1 --ttl 5", ["--ttl", "--mix"]),
            ("--cluster --db 1", ["--cluster", "database 1"]),
            ("h:1 h:2 --preload", ["--preload", "several endpoints"]),
            ("h:1 h:2 --verify", ["--verify", "several endpoints"]),
        ] {
            let message = plan(line).expect_err(line);
            assert!(parts.iter().all(|part| message.contains(part)), "{line}: {message}");
            assert!(message.contains("contradict") && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn several_endpoints_that_are_one_or_a_cluster_are_no_contradiction() {
        for line in ["h:1 h:1 --preload --verify", "h:1 h:2 --preload --cluster", "h:1 h:2"] {
            assert!(plan(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn what_is_impossible_alone_is_refused() {
        for line in [
            "--pipeline 1000000",
            "--duration 0",
            "--requests 0",
            "--rate 0",
            "--clients 0",
            "--threads 0",
            "--keys 0",
            "--keys 2000g",
            "--cmd-weight 1",
            "--cmd ''",
            "--cmd PING@0",
            "--cpus 4095",
            "--verify -d 31",
            "--verify --mix get=1,mset=1",
            "--key-dist zipf:21",
            "--resp 4",
            "--user me",
            "host:0",
        ] {
            assert!(plan(line).is_err(), "{line} was taken");
        }
    }

    #[test]
    fn called_as_redis_benchmark_it_is_compat() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(
            as_compat(words("/usr/bin/redis-benchmark -h host -q")),
            words("loadgen compat -h host -q")
        );
        assert_eq!(as_compat(words("./loadgen run")), words("./loadgen run"));
    }

    #[test]
    fn help_fits_a_terminal_and_has_no_loose_ends() {
        let mut command = Cli::command();
        command.build();
        for name in command.get_subcommands().map(|c| c.get_name().to_owned()).collect::<Vec<_>>() {
            let sub = command.find_subcommand_mut(&name).expect("just listed");
            assert!(sub.get_about().is_some(), "{name} says nothing about itself");
            let silent: Vec<_> = sub
                .get_arguments()
                .filter(|a| a.get_help().is_none() && !a.is_hide_set())
                .map(|a| a.get_id().to_string())
                .collect();
            assert!(silent.is_empty(), "{name}: no help for {silent:?}");
        }
    }
}
