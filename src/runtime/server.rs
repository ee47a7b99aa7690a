//! The order in which things start and end.
//!
//! Nothing starts half-way: what can fail is tried first, then every address is listened on, then
//! every core is built; only when all of them are ready does any of them accept.

use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Instant;

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use super::clock::{self, Clock};
use super::control::{self, Control, Ending, Request, Subject};
use super::driver::{Driver, Process, SPREAD_ALL};
use super::host::Machine;
use super::inbox::{Mail, Parcel, Post};
use super::limits::SmallPages;
use super::listener::{self, Listeners, Sockets};
use super::pidfile::PidFile;
use super::plan::Plan;
use super::ring::Options;
use super::startup::{StartupError, kernel};
use super::{cpus, limits, logging, notify};
use crate::config::{Config, Source, ThreadSpread};
use crate::engine::{Engine, EngineSetup, Shared};

/// The least that an executor of glommio takes for storage that we do not do.
const EXECUTOR_IO_MEMORY_BYTES: usize = 64 * 1024;
const EXECUTOR_RING_DEPTH: usize = 8;

/// Runs the server until it is told to end.
pub fn run(config: Config, source: Source) -> ExitCode {
    match start(config, source) {
        Ok(running) => running.serve(),
        Err(error) => {
            eprintln!("ringwell: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything is ready; nothing is accepted yet.
struct Running {
    control: Control,
    subject: Subject,
    cores: Vec<ExecutorJoinHandle<()>>,
    listeners: Listeners,
    pid_file: Option<PidFile>,
    small_pages: SmallPages,
}

fn start(mut config: Config, source: Source) -> Result<Running, StartupError> {
    logging::start(config.loglevel, config.logfile.as_deref())?;
    prepare_process()?;
    kernel::check()?;
    let cpus = cpus::place(&config)?;
    let spread = config.spread;
    let few_files = limits::fit_open_files(&mut config, cpus.len());
    let mut listeners = listener::listen(&config, cpus.len())?;
    announce(&config, &source, &cpus);
    few_files.iter().for_each(|warning| tracing::warn!("{warning}"));

    let failed = |what: &str, error: std::io::Error| StartupError::new(format!("{what}: {error}"));
    let machine = Machine::new(&source, std::mem::take(&mut listeners.tcp));
    let run_id = random_hex().map_err(|error| failed("cannot read /dev/urandom", error))?;
    let started_unix_ms = clock::unix_us() / 1000;
    let shared =
        Shared::new(cpus.len(), Arc::new(config), Box::new(machine), started_unix_ms, run_id);
    if spread == ThreadSpread::All {
        shared.set_active_threads(cpus.len(), SPREAD_ALL);
    }
    let shared = Arc::new(shared);
    let (post, mail) =
        Post::new(cpus.len()).map_err(|error| failed("cannot create doorbells", error))?;
    let (control, handle) =
        Control::new().map_err(|error| failed("cannot create a doorbell", error))?;
    let plan = Plan::new(cpus.len(), distinct(&cpus));
    let process = Arc::new(Process::new(Arc::clone(&shared), Arc::clone(&post), handle, plan));
    let started = Instant::now();
    let sockets = Arc::new(Sockets::new(std::mem::take(&mut listeners.by_core)));
    let threads = mail.into_iter().zip(&cpus).enumerate();
    let threads = threads.map(|(shard, (mail, &cpu))| CoreThread {
        shard,
        cpu,
        shares_cpu: cpus.iter().filter(|&&other| other == cpu).count() > 1,
        started,
        mail,
        listeners: Arc::clone(&sockets),
        process: Arc::clone(&process),
    });
    let small_pages = SmallPages::begin();
    let cores = start_cores(threads.collect())?;
    let pid_file = shared.settings().config.pidfile.as_deref().and_then(PidFile::write);
    let subject = Subject { post, shared, config_file: source.file, started };
    Ok(Running { control, subject, cores, listeners, pid_file, small_pages })
}

/// What a core and its thread are made from.
struct CoreThread {
    shard: usize,
    cpu: usize,
    /// With other shards.
    shares_cpu: bool,
    started: Instant,
    mail: Mail,
    listeners: Arc<Sockets>,
    process: Arc<Process>,
}

/// Starts a thread for each core and waits until all of them are ready.
fn start_cores(threads: Vec<CoreThread>) -> Result<Vec<ExecutorJoinHandle<()>>, StartupError> {
    let mut cores = Vec::with_capacity(threads.len());
    for thread in threads {
        let (ready, report) = mpsc::channel();
        let (shard, cpu) = (thread.shard, thread.cpu);
        thread.process.shared.cores[shard].cpu.store(cpu, std::sync::atomic::Ordering::Relaxed);
        let failed = |reason: String| {
            StartupError::new(format!("cannot start shard {shard} on core {cpu}: {reason}"))
        };
        let core = LocalExecutorBuilder::new(Placement::Fixed(cpu))
            .name("shard")
            .io_memory(EXECUTOR_IO_MEMORY_BYTES)
            .ring_depth(EXECUTOR_RING_DEPTH)
            .spawn(move || async move { thread.run(&ready) })
            .map_err(|error| failed(limits::explain_shortage(&error.into())))?;
        match report.recv() {
            Ok(Ok(())) => cores.push(core),
            Ok(Err(reason)) => return Err(failed(reason)),
            // The executor has ended before its task began.
            Err(mpsc::RecvError) => {
                let reason = core.join().err().map(|error| limits::explain_shortage(&error.into()));
                return Err(failed(reason.unwrap_or_else(|| "its executor ended".into())));
            }
        }
    }
    Ok(cores)
}

impl CoreThread {
    /// The only task of the thread's executor; it never waits for anything else there.
    fn run(self, ready: &Sender<Result<(), String>>) {
        let CoreThread { shard, started, mail, listeners, process, .. } = self;
        if self.shares_cpu {
            limits::take_turns();
        }
        let built = random_u64().and_then(|seed| {
            let setup = EngineSetup {
                shard,
                shards: process.post.cores(),
                shared: Arc::clone(&process.shared),
                seed,
                stopwatch: crate::runtime::clock::monotonic_ns,
            };
            let (engine, clock) = (Engine::new(setup), Clock::new(started));
            let process = Arc::clone(&process);
            Driver::new(shard, engine, mail, listeners, clock, process, Options::default())
        });
        let driver = match built {
            Ok(driver) => driver,
            Err(error) => {
                let _ = ready.send(Err(limits::explain_shortage(&error)));
                return;
            }
        };
        let _ = ready.send(Ok(()));
        let result = driver.run().map_err(|error| error.to_string());
        process.control.ask(Request::CoreEnded { shard, result });
    }
}

impl Running {
    fn serve(self) -> ExitCode {
        let Running { control, subject, cores, listeners, pid_file, small_pages } = self;
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .name("control")
            .io_memory(EXECUTOR_IO_MEMORY_BYTES)
            .ring_depth(EXECUTOR_RING_DEPTH)
            .make();
        let executor = match executor {
            Ok(executor) => executor,
            Err(error) => {
                let reason = limits::explain_shortage(&error.into());
                eprintln!("ringwell: cannot start the control executor: {reason}");
                return ExitCode::FAILURE;
            }
        };
        drop(small_pages);
        // Clients must not use up the descriptors that the control executor needs.
        let begin = |subject: &Subject| {
            subject.shared.note_ready();
            for thread in 0..subject.post.cores() {
                subject.post.deliver_to_thread(thread, Parcel::Start);
            }
            for address in &listeners.addresses {
                tracing::debug!("Listening on {address}");
            }
            tracing::info!("Ready to accept connections");
            notify::tell(notify::READY);
        };
        let ending = executor.run(control.run(subject, begin));
        // Removes the files of the unix socket and of the process id, however the process ends.
        drop((listeners, pid_file));
        match ending {
            Ok(Ending::Orderly) => {
                // A core that is stuck would keep us waiting; those that ended are done.
                drop(cores);
                tracing::warn!("Ringwell is now ready to exit, bye bye...");
                std::process::exit(0);
            }
            Ok(Ending::AtOnce) => std::process::exit(1),
            Err(error) => {
                tracing::error!("the control executor cannot go on: {error}");
                std::process::exit(1);
            }
        }
    }
}

/// What every thread inherits, set while there is only one.
fn prepare_process() -> Result<(), StartupError> {
    glommio::early_init();
    glommio::signal::block(&control::SIGNALS)
        .map_err(|error| StartupError::new(format!("cannot block signals: {error}")))?;
    for signal in [libc::SIGPIPE, libc::SIGHUP] {
        // SAFETY: ignoring a signal installs no code.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // A thread that panics would leave its clients and its peers waiting for ever.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    Ok(())
}

/// Says what starts and what is odd about it; a start that fails before says one line only.
fn announce(config: &Config, source: &Source, cpus: &[usize]) {
    tracing::info!(
        "Ringwell {} (compatible with Redis 7.2), pid {}, port {}, {} on {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        config.port,
        count(cpus.len(), "shard"),
        cpus::show(cpus)
    );
    match &source.file {
        Some(file) => tracing::info!("Configuration file {}", file.display()),
        None => tracing::info!("No configuration file; to start with one: ringwell FILE"),
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
        // Somebody who waits for a daemon to fork would not look for the reason in a file.
        if config.logfile.is_some() {
            eprintln!("ringwell: {warning}");
        }
    }
    if distinct(cpus) < cpus.len() && config.spread == ThreadSpread::All {
        tracing::warn!(
            "{} on {}: threads that share a core slow each other down ('spread auto' starts no \
             more than there are cores)",
            count(cpus.len(), "shard"),
            count(distinct(cpus), "core")
        );
    }
    warn_of_short_backlog(config);
}

fn distinct(cpus: &[usize]) -> usize {
    cpus.iter().collect::<std::collections::HashSet<_>>().len()
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn warn_of_short_backlog(config: &Config) {
    let path = "/proc/sys/net/core/somaxconn";
    let somaxconn = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
    if let Some(somaxconn) = somaxconn
        && config.tcp_backlog > somaxconn
    {
        tracing::warn!(
            "The tcp-backlog of {} cannot be enforced because {path} is {somaxconn}",
            config.tcp_backlog
        );
    }
}

fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn random_u64() -> std::io::Result<u64> {
    random().map(u64::from_ne_bytes)
}

/// 40 hexadecimal digits.
fn random_hex() -> std::io::Result<String> {
    Ok(random::<20>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}
