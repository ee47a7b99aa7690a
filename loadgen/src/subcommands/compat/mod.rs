//! `loadgen compat`: redis-benchmark's command line, tests and formats, over this program's
//! measurements.
//!
//! What differs on purpose: every reply has its own latency, resolved to the microsecond and not
//! clamped at 3 s; a test that the server refuses is reported and the next one runs; exactly `-n`
//! requests are sent; what the figures are worth is said on standard error.

mod arguments;
mod catalogue;
mod cluster;
mod format;
mod live;

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::cli::any_seed;
use crate::exec::client::Client;
use crate::exec::interrupt::Watch;
use crate::exec::value::Value;
use crate::exec::{self, Outcome};
use crate::failure::Failure;
use crate::plan::{
    CommandSpec, Distribution, Endpoint, KeySpace, Pacing, Plan, Stop, Target, Threads, ValueSizes,
    Workload,
};
use crate::report::endpoint as endpoint_name;
use crate::report::units::counted;
use crate::verdict::{Cause, judge};
use arguments::{Arguments, COMPATIBLE_WITH, HELP, Output, Request};
use cluster::Cluster;
use format::{CSV_HEADER, Figures, ServerConfig, Servers, Setting};
use live::Live;

/// redis-benchmark's arguments, which have a grammar of their own.
#[derive(Args, Clone, Debug)]
#[command(
    disable_help_flag = true,
    disable_version_flag = true,
    override_usage = "loadgen compat [OPTIONS] [COMMAND ARGS...]",
    after_help = "loadgen compat --help lists redis-benchmark's options."
)]
pub struct CompatArgs {
    /// redis-benchmark's options, and a command to run instead of the tests
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub words: Vec<String>,
}

/// Runs the tests. Exit status 1 if the server refused one of them.
///
/// # Errors
/// Bad arguments, or a server that cannot be reached.
pub fn run(args: &CompatArgs) -> Result<ExitCode, Failure> {
    match arguments::parse(&args.words)? {
        Request::Help => print(HELP)?,
        Request::Version => {
            print(&format!("{COMPATIBLE_WITH} (loadgen {})\n", env!("CARGO_PKG_VERSION")))?;
        }
        Request::Benchmark(arguments) => return benchmark(*arguments),
    }
    Ok(ExitCode::SUCCESS)
}

fn benchmark(mut arguments: Arguments) -> Result<ExitCode, Failure> {
    for warning in &arguments.warnings {
        eprintln!("{warning}");
    }
    if arguments.idle {
        return idle(&arguments);
    }
    if arguments.last_argument_from_stdin {
        arguments.command.push(last_argument()?);
    }
    let jobs_of = |tags: &[String]| jobs(&arguments, tags);
    jobs_of(&[])?;
    let cluster = match arguments.target.cluster {
        true => Some(Cluster::ask(&arguments.target)?),
        false => None,
    };
    let jobs = jobs_of(cluster.as_ref().map_or(&[], |cluster| &cluster.tags))?;
    let session =
        Session { setting: setting(&arguments, cluster.as_ref())?, arguments: &arguments };
    if let Some(cluster) = &cluster {
        print(&cluster.introduction())?;
    }
    session.run(&jobs)
}

/// One test, or the user's command.
struct Job {
    title: String,
    commands: Vec<CommandSpec>,
    payload_bytes: usize,
}

fn jobs(arguments: &Arguments, tags: &[String]) -> Result<Vec<Job>, Failure> {
    let command = &arguments.command;
    if !command.is_empty() {
        let title = command.join(" ");
        let commands = catalogue::commands(&title, command, false, tags);
        // As redis-benchmark does: the length of the request.
        let words: usize = command.iter().map(|word| resp_line(word.len()) + word.len() + 2).sum();
        return Ok(vec![Job { title, commands, payload_bytes: resp_line(command.len()) + words }]);
    }
    let data = catalogue::data(arguments.data_size);
    let tests = catalogue::select(arguments.tests.as_deref()).map_err(|unknown| {
        Failure::run(format!(
            "-t: there is no test {}; --help lists them",
            unknown.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
        ))
    })?;
    let job = |test: &&catalogue::Test| Job {
        title: test.title.to_owned(),
        commands: test.commands(&data, arguments.key_space.is_some(), tags),
        payload_bytes: arguments.data_size,
    };
    Ok(tests.iter().map(job).collect())
}

/// The length of a line such as `$16`, with its end.
fn resp_line(number: usize) -> usize {
    3 + number.to_string().len()
}

struct Session<'a> {
    arguments: &'a Arguments,
    setting: Setting,
}

/// What a test came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Well,
    /// Its figures are worth less than they seem.
    Doubtful,
    /// The server refused it, or it did not reach its end.
    Badly,
}

/// How the tests go on after one of them.
enum Next {
    Go,
    /// The server is gone, or the user had enough.
    End,
}

impl Session<'_> {
    fn run(&self, jobs: &[Job]) -> Result<ExitCode, Failure> {
        let output = self.arguments.output;
        if output == Output::Csv {
            print(CSV_HEADER)?;
        }
        // Over all tests: an interrupt that comes between two of them ends the program too.
        let watch = Watch::start();
        let (mut all_well, mut not_valid) = (true, 0);
        'passes: loop {
            for job in jobs {
                if watch.interrupted() {
                    all_well = false;
                    break 'passes;
                }
                let (came, next) = self.run_job(job, &watch)?;
                all_well &= came != Came::Badly;
                not_valid += u64::from(came != Came::Well);
                if let Next::End = next {
                    break 'passes;
                }
            }
            if !self.arguments.endless || !all_well {
                break;
            }
        }
        if output != Output::Csv {
            print("\n")?;
        }
        match not_valid {
            0 => eprintln!("verdict: VALID"),
            count => eprintln!("verdict: NOT VALID: {}, see above", counted(count, "test")),
        }
        Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn run_job(&self, job: &Job, watch: &Watch) -> Result<(Came, Next), Failure> {
        let plan = self.plan(job);
        let mut live = Live::new(&job.title, self.arguments.output != Output::Csv);
        let outcome = match exec::run(&plan, &mut |progress| live.observe(progress)) {
            Ok(outcome) => outcome,
            Err(failure) => {
                live.end();
                if watch.interrupted() {
                    eprintln!("{}: {failure}", job.title);
                    return Ok((Came::Badly, Next::End));
                }
                // A server that is gone refuses all other tests in the same way.
                let endpoint = &self.arguments.target.endpoints[0];
                Client::set_up(endpoint, &self.arguments.target)?;
                eprintln!("Error from server: {failure}");
                return Ok((Came::Badly, Next::Go));
            }
        };
        live.end();
        self.report(job, &plan, &outcome)
    }

    fn report(&self, job: &Job, plan: &Plan, outcome: &Outcome) -> Result<(Came, Next), Failure> {
        let counts = outcome.recording.counts();
        let figures = Figures {
            title: job.title.clone(),
            elapsed: outcome.elapsed,
            latency: outcome.recording.total().response,
        };
        if counts.answered > 0 {
            let setting = Setting { payload_bytes: job.payload_bytes, ..self.setting.clone() };
            print(&match self.arguments.output {
                Output::Full => figures.full(&setting),
                Output::Quiet => figures.quiet(),
                Output::Csv => figures.csv(),
            })?;
        }
        let title = &job.title;
        for (text, count) in &outcome.recording.error_texts {
            eprintln!(
                "{title}: Error from server: {text} ({count} of {} replies)",
                counts.answered
            );
        }
        let doubts = doubts(plan, outcome);
        for doubt in &doubts {
            eprintln!("{title}: NOT VALID: {doubt}");
        }
        if let Some(failure) = &outcome.ended_by {
            eprintln!("{title}: {failure}");
        }
        let ended = outcome.interrupted || outcome.ended_by.is_some();
        let next = if ended { Next::End } else { Next::Go };
        let came = match (ended || counts.errors > 0, doubts.is_empty()) {
            (true, _) => Came::Badly,
            (false, true) => Came::Well,
            (false, false) => Came::Doubtful,
        };
        Ok((came, next))
    }

    fn plan(&self, job: &Job) -> Plan {
        let Arguments { target, clients, requests, pipeline, .. } = self.arguments;
        let threads = self.arguments.threads.clamp(1, *clients);
        Plan {
            target: target.clone(),
            threads: Threads {
                count: usize::try_from(*requests).map_or(threads, |n| threads.min(n)),
                cpus: Vec::new(),
            },
            clients: *clients,
            pipeline: *pipeline,
            keep_alive: self.arguments.keep_alive,
            pacing: Pacing::Closed,
            stop: Stop { requests: Some(*requests), duration: None },
            warmup: Duration::ZERO,
            workload: Workload {
                commands: job.commands.clone(),
                keys: KeySpace {
                    prefix: "key:".to_owned(),
                    // 0 leaves placeholders as they are; below 0 and below 1 there is only 0.
                    count: self.arguments.key_space.map_or(0, |count| count.max(1)),
                    distribution: Distribution::Uniform,
                },
                values: ValueSizes::Fixed(self.arguments.data_size),
                ttl: None,
                on_miss: None,
                preload: false,
            },
            verify: false,
            seed: self.arguments.seed.unwrap_or_else(any_seed),
        }
    }
}

/// What speaks against the figures, in this command line's words.
fn doubts(plan: &Plan, outcome: &Outcome) -> Vec<String> {
    let of_reason = |cause, text: String| match cause {
        // Printed as redis-benchmark does, whatever their number; and reported elsewhere here.
        Cause::TooFewSamples | Cause::Errors | Cause::ServerLost => None,
        Cause::HitRatio => {
            let ratio = outcome.recording.counts().hit_ratio().unwrap_or(0.0);
            Some(format!(
                "{:.1} % hits: mostly misses were measured, which cost less; before it run the test \
                 that writes, with the same -r and several times as large an -n",
                ratio * 100.0
            ))
        }
        _ => Some(text),
    };
    judge(plan, outcome)
        .reasons
        .into_iter()
        .filter_map(|reason| of_reason(reason.cause, reason.text))
        .collect()
}

/// Asks the servers what redis-benchmark asks first.
fn setting(arguments: &Arguments, cluster: Option<&Cluster>) -> Result<Setting, Failure> {
    let target = &arguments.target;
    let servers = match cluster {
        None => {
            let endpoint = &target.endpoints[0];
            let name = endpoint_name(endpoint);
            Client::connect(endpoint).map_err(|failure| {
                Failure::run(format!("Could not connect to Redis at {name}: {failure}"))
            })?;
            let config = config(endpoint, target)?;
            if config.is_none() {
                eprintln!("WARNING: Could not fetch server CONFIG");
            }
            Servers::One(config)
        }
        Some(cluster) => {
            let configs = cluster.nodes.iter().map(|node| config(node, target));
            Servers::Cluster(configs.collect::<Result<_, _>>()?)
        }
    };
    Ok(Setting {
        clients: arguments.clients,
        payload_bytes: arguments.data_size,
        keep_alive: arguments.keep_alive,
        threads: arguments.threads,
        servers,
    })
}

/// `None` where the server keeps it to itself.
fn config(endpoint: &Endpoint, target: &Target) -> Result<Option<ServerConfig>, Failure> {
    let mut client = Client::set_up(endpoint, target)?;
    let mut get = |name| match client.call(&["CONFIG", "GET", name])? {
        // A list of name and value, or nothing.
        Value::List(pair) => Ok(pair.get(1).and_then(Value::text)),
        _ => Ok(None),
    };
    let (save, appendonly) = (get("save")?, get("appendonly")?);
    Ok(save.zip(appendonly).map(|(save, appendonly)| ServerConfig { save, appendonly }))
}

fn idle(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let count = arguments.clients;
    print(&format!("Creating {count} idle connections and waiting forever (Ctrl+C when done)\n"))?;
    let endpoint = &arguments.target.endpoints[0];
    let connections = (0..count)
        .map(|_| Client::set_up(endpoint, &arguments.target))
        .collect::<Result<Vec<_>, _>>()?;
    print(&format!("clients: {}\n", connections.len()))?;
    loop {
        std::thread::park();
    }
}

fn last_argument() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| {
        Failure::run(format!("-x: standard input cannot be read as UTF-8 text: {error}"))
    })?;
    Ok(text)
}

/// Prints at once: the live line has no line end.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::run(format!("standard output: {error}")))
}
