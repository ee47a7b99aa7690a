//! `loadgen compare`: the same workload on two servers, in interleaved rounds.
//!
//! Machines have moods: what a server does in one minute may be 10 % off what it does in the next.
//! So the two are measured in turn, ABBA, each A is paired with its neighbour B, and what is
//! reported is the ratio within pairs. Before that, A is measured against itself in the same way:
//! whatever differs there is noise, and no difference between A and B below that counts.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ringwell::text::quote::split_args;

use super::figures::{self, Figure, Figures, Probe, Round};
use crate::cli::{
    ClientArgs, ConnectionArgs, EndpointArg, PacingArgs, WorkloadArgs, any_seed, parse,
};
use crate::exec::interrupt::Watch;
use crate::failure::Failure;
use crate::plan::{Endpoint, Plan, Stop};
use crate::report::{self, Comparison, ComparisonRow, Measure, compare_table};
use crate::server::ServerProcess;
use crate::stats::bootstrap::ratio_of_pairs;
use crate::stats::summary::median;

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CompareArgs {
    /// The servers A and B: host:port (IPv6 in brackets), unix:/path or
    /// redis://user:password@host:port/db. One that is started here may be left out: its command
    /// line names the port
    #[arg(value_name = "ENDPOINT", num_args = 0..=2)]
    pub endpoints: Vec<EndpointArg>,
    /// Start A with this command line, and end it afterwards
    #[arg(long, value_name = "COMMAND")]
    pub start_a: Option<String>,
    /// Start B with this command line, and end it afterwards
    #[arg(long, value_name = "COMMAND")]
    pub start_b: Option<String>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub rounds: RoundArgs,
    #[command(flatten)]
    pub pacing: PacingArgs,
    #[command(flatten)]
    pub clients: ClientArgs,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// No lines while it runs
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
}

/// How often and for how long.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Rounds")]
pub struct RoundArgs {
    /// Rounds of four runs: this many AAAA for the noise, then this many ABBA
    #[arg(long, value_name = "COUNT", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(3..=1000))]
    pub rounds: u16,
    /// How long each run measures
    #[arg(long, value_name = "TIME", default_value = "2s",
          value_parser = parse::positive_duration)]
    pub duration: Duration,
    /// Load before each measurement, not recorded
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = parse::duration)]
    pub warmup: Duration,
}

const EXAMPLES: &str = "\
Examples:
  Two servers that run:
    loadgen compare cache-a:6379 cache-b:6379 --rate 50k --preload
  A server that runs, and one that is started for it:
    loadgen compare 127.0.0.1:6379 --start-b 'redis-server --port 7777 --save \"\"' -P 16
  Two settings of the same server:
    loadgen compare --start-a 'redis-server --port 7001 --io-threads 1' \\
                    --start-b 'redis-server --port 7002 --io-threads 4'

It takes 8 x ROUNDS x (DURATION + WARMUP): 100 s unless told otherwise.";

/// # Errors
/// When a server cannot be reached or started, or a round could not be made to its end.
pub fn run(args: &CompareArgs) -> Result<ExitCode, Failure> {
    let endpoints = args.endpoints()?;
    // The same requests to both.
    let seed = args.clients.seed.unwrap_or_else(any_seed);
    let plans = [args.plan(&endpoints[0], seed)?, args.plan(&endpoints[1], seed)?];
    // Between rounds too, an interrupt must not leave a server behind.
    let watch = Watch::start();
    let mut servers = Vec::new();
    for (command, plan) in [&args.start_a, &args.start_b].into_iter().zip(&plans) {
        if let Some(command) = command {
            let endpoint = &plan.target.endpoints[0];
            servers.push(ServerProcess::start(command, endpoint, &plan.target)?);
        }
    }
    let mut bench = Bench::new(plans, args, &watch)?;
    let noise = bench.phase([0, 0], "A against A")?;
    let difference = bench.phase([0, 1], "A against B")?;
    let [a, b] = bench.titles;
    let comparison = Comparison {
        a,
        b,
        rounds: difference.len(),
        noise_rounds: noise.len(),
        rows: Figure::ALL
            .into_iter()
            .filter_map(|figure| row(figure, &noise, &difference, seed))
            .collect(),
    };
    let rounds = noise.iter().chain(&difference).flat_map(|pair| [&pair.first, &pair.second]);
    print(&comparison, &figures::doubts(rounds), seed)?;
    Ok(ExitCode::SUCCESS)
}

impl CompareArgs {
    /// Of A and B.
    fn endpoints(&self) -> Result<[EndpointArg; 2], Failure> {
        let mut given = self.endpoints.iter().cloned();
        let missing = 2 - self.endpoints.len();
        let of = |command: &Option<String>, option| match command {
            Some(command) => port_of(command).ok_or_else(|| {
                Failure::usage(format!(
                    "{option}: the command line names no --port; give the endpoint of that server \
                     too"
                ))
            }),
            None => Err(Failure::usage(
                "two servers are compared: give the endpoints of A and B, or --start-a and \
                 --start-b",
            )),
        };
        // With one endpoint it is that of the server that is not started, or else of A.
        let derive_a =
            missing == 2 || missing == 1 && self.start_a.is_some() && self.start_b.is_none();
        let derive_b = missing == 2 || missing == 1 && !derive_a;
        let mut next = || given.next().ok_or_else(|| Failure::usage("an endpoint is missing"));
        let a = if derive_a { of(&self.start_a, "--start-a")? } else { next()? };
        let b = if derive_b { of(&self.start_b, "--start-b")? } else { next()? };
        if a == b {
            return Err(Failure::usage(
                "A and B are the same server; what differs would be noise, which is measured \
                 anyway",
            ));
        }
        Ok([a, b])
    }

    fn plan(&self, endpoint: &EndpointArg, seed: u64) -> Result<Plan, Failure> {
        let clients = ClientArgs { seed: Some(seed), ..self.clients.clone() };
        clients.plan(
            self.connection.target(std::slice::from_ref(endpoint))?,
            self.workload.workload()?,
            self.workload.verify,
            self.pacing.pacing()?,
            Stop { requests: None, duration: Some(self.rounds.duration) },
            self.rounds.warmup,
        )
    }
}

/// `--port 7777` or `--port=7777` of a server's command line, on this host.
fn port_of(command: &str) -> Option<EndpointArg> {
    let words = split_args(command.as_bytes()).ok()?;
    let mut words = words.iter().filter_map(|word| std::str::from_utf8(word).ok());
    let port = loop {
        match words.next()?.strip_prefix("--port") {
            Some("") => break words.next()?,
            Some(rest) => break rest.strip_prefix('=')?,
            None => {}
        }
    };
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let endpoint = Endpoint::Tcp { host: "127.0.0.1".to_owned(), port };
    Some(EndpointArg { endpoint, user: None, password: None, database: None })
}

struct Bench<'a> {
    plans: [Plan; 2],
    titles: [String; 2],
    probes: [Option<Probe>; 2],
    args: &'a CompareArgs,
    watch: &'a Watch,
}

/// Neighbours in time.
struct Pair {
    first: Round,
    second: Round,
}

impl<'a> Bench<'a> {
    fn new(plans: [Plan; 2], args: &'a CompareArgs, watch: &'a Watch) -> Result<Self, Failure> {
        let probe = |plan: &Plan| Probe::of(&plan.target.endpoints[0], &plan.target);
        let probes = [probe(&plans[0]), probe(&plans[1])];
        let titles = [title(&plans[0]), title(&plans[1])];
        let mut bench = Bench { plans, titles, probes, args, watch };
        bench.preload()?;
        Ok(bench)
    }

    /// Once and not for every round, unless keys expire.
    fn preload(&mut self) -> Result<(), Failure> {
        for (plan, name) in self.plans.iter_mut().zip(["A", "B"]) {
            if plan.workload.preload && plan.workload.ttl.is_none() {
                let mut short = plan.clone();
                short.stop = Stop { requests: None, duration: Some(Duration::from_millis(100)) };
                short.warmup = Duration::ZERO;
                figures::measure(&short, &format!("filling {name}"), self.args.quiet, None)?;
                plan.workload.preload = false;
            }
        }
        Ok(())
    }

    /// Rounds of first, second, second, first; two pairs each.
    fn phase(&mut self, [first, second]: [usize; 2], name: &str) -> Result<Vec<Pair>, Failure> {
        let rounds = self.args.rounds.rounds;
        let mut pairs = Vec::new();
        for round in 1..=rounds {
            let label = format!("{name}, round {round} of {rounds}");
            let [a, b, c, d] = [
                self.one(first, &label)?,
                self.one(second, &label)?,
                self.one(second, &label)?,
                self.one(first, &label)?,
            ];
            pairs.extend([Pair { first: a, second: b }, Pair { first: d, second: c }]);
        }
        Ok(pairs)
    }

    fn one(&mut self, server: usize, label: &str) -> Result<Round, Failure> {
        if self.watch.interrupted() {
            return Err(Failure::run(format!("interrupted before {label}; nothing is concluded")));
        }
        let probe = self.probes[server].as_mut();
        figures::measure(&self.plans[server], label, self.args.quiet, probe)
    }
}

/// A row of the table; a figure that no pair has is left out.
fn row(figure: Figure, noise: &[Pair], difference: &[Pair], seed: u64) -> Option<ComparisonRow> {
    let values = |pairs: &[Pair]| -> Vec<(f64, f64)> {
        let value = |figures: &Figures| figures.get(&figure).copied();
        let both = |pair: &Pair| value(&pair.first.figures).zip(value(&pair.second.figures));
        pairs.iter().filter_map(both).collect()
    };
    let (same, pairs) = (values(noise), values(difference));
    let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    Some(ComparisonRow {
        metric: figure.name().to_owned(),
        measure: if figure.higher_is_better() { Measure::Rate } else { Measure::Time },
        a: Some(median(&a)?),
        b: median(&b),
        ratio: ratio_of_pairs(&pairs, seed),
        noise: ratio_of_pairs(&same, seed),
    })
}

fn print(comparison: &Comparison, doubts: &[String], seed: u64) -> Result<(), Failure> {
    let mut out = Vec::new();
    compare_table(&mut out, comparison)
        .and_then(|()| {
            for doubt in doubts {
                writeln!(out, "NOT VALID {doubt}")?;
            }
            writeln!(out, "Seed: {seed}.")?;
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(&out)
        })
        .map_err(|error| Failure::run(format!("standard output: {error}")))
}

/// What a server calls itself, and where it is.
fn title(plan: &Plan) -> String {
    let endpoint = &plan.target.endpoints[0];
    let address = report::endpoint(endpoint);
    match figures::identity(&plan.target) {
        Some(server) => format!("{} {} at {address}", server.name, server.version),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::report::Finding;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: CompareArgs,
    }

    fn endpoints(words: &[&str]) -> Result<[u16; 2], String> {
        let words = ["compare"].iter().chain(words);
        let args = Cli::try_parse_from(words).map_err(|error| error.to_string())?.args;
        let endpoints = args.endpoints().map_err(|failure| failure.message)?;
        Ok(endpoints.map(|endpoint| match endpoint.endpoint {
            Endpoint::Tcp { port, .. } => port,
            Endpoint::Unix(path) => panic!("{path:?}"),
        }))
    }

    #[test]
    fn endpoints_are_given_or_derived_from_command_lines() {
        let start = "redis-server --port 7 --save ''";
        assert_eq!(endpoints(&["h:1", "h:2"]), Ok([1, 2]));
        assert_eq!(endpoints(&["h:1", "--start-b", start]), Ok([1, 7]));
        assert_eq!(endpoints(&["h:1", "--start-a", start]), Ok([7, 1]));
        assert_eq!(endpoints(&["h:1", "--start-b", "'x y' '--port' \"7\""]), Ok([1, 7]));
        assert_eq!(endpoints(&["--start-a", start, "--start-b", "x --port=8"]), Ok([7, 8]));
        assert_eq!(endpoints(&["h:1", "h:2", "--start-b", "server.sh"]), Ok([1, 2]));
        assert_eq!(endpoints(&["h:1", "--start-a", "x", "--start-b", start]), Ok([1, 7]));
        for (words, part) in [
            (&["h:1"][..], "two servers"),
            (&[], "two servers"),
            (&["h:1", "h:1"], "the same server"),
            (&["h:1", "--start-b", "server.sh"], "--start-b: the command line names no --port"),
            (&["h:1", "h:2", "h:3"], "unexpected"),
        ] {
            let message = endpoints(words).expect_err(part);
            assert!(message.contains(part), "{message}");
        }
    }

    fn pairs(ratios: &[f64]) -> Vec<Pair> {
        let round = |rate: f64| Round {
            figures: Figures::from([(Figure::Throughput, rate), (Figure::P99, 1e9 / rate)]),
            errors: 0,
            doubts: Vec::new(),
        };
        let pair = |ratio: &f64| Pair { first: round(1000.0), second: round(1000.0 * ratio) };
        ratios.iter().map(pair).collect()
    }

    #[test]
    fn rows_have_medians_and_both_ratios() {
        let noise = pairs(&[0.99, 1.01, 1.0, 1.005, 0.995]);
        let faster = pairs(&[1.10, 1.11, 1.09, 1.10, 1.12]);
        let throughput = row(Figure::Throughput, &noise, &faster, 1).expect("all have it");
        assert_eq!((throughput.a, throughput.b), (Some(1000.0), Some(1100.0)));
        assert!(matches!(throughput.finding(), Finding::Better(_)), "{throughput:?}");
        let p99 = row(Figure::P99, &noise, &faster, 1).expect("all have it");
        assert!(matches!(p99.finding(), Finding::Better(_)), "{p99:?}");
        assert_eq!(row(Figure::ServerCpu, &noise, &faster, 1), None);
    }

    #[test]
    fn a_difference_below_the_noise_is_none() {
        let noise = pairs(&[0.8, 1.3, 1.1, 1.25, 0.9]);
        let faster = pairs(&[1.10, 1.11, 1.09, 1.10, 1.12]);
        let throughput = row(Figure::Throughput, &noise, &faster, 1).expect("all have it");
        assert_eq!(throughput.finding(), Finding::WithinNoise);
    }
}
