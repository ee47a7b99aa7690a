//! What the engines of one process share: the configuration in force, and counters that any core
//! may read. Nothing here is touched on the request path.

use std::sync::atomic::{AtomicIsize, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access::AccessPolicy;
use crate::config::Config;

/// The configuration and what is derived from it, as one immutable value. A core replaces its
/// copy whole; `version` rises with every CONFIG SET, so that an older one never wins.
#[derive(Debug)]
pub struct Settings {
    pub version: u64,
    pub config: Arc<Config>,
    pub access: AccessPolicy,
}

impl Settings {
    pub fn new(version: u64, config: Arc<Config>) -> Self {
        let access = AccessPolicy::new(&config);
        Settings { version, config, access }
    }
}

/// Counters of one core, written by its runtime and read by INFO on any core. Aligned so that the
/// cores, which all write theirs in every pass, share no cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct CoreCounters {
    /// Connections this core serves now.
    pub connections: AtomicUsize,
    pub connections_received: AtomicU64,
    /// Accepted here and handed to a core with fewer.
    pub connections_handed_over: AtomicU64,
    /// Moved to another core when it was at rest.
    pub connections_moved: AtomicU64,
    /// Bytes that the shard held at the end of its last pass.
    pub shard_memory: AtomicUsize,
    /// Bytes held for clients, likewise. Negative while more has come from other cores than was
    /// sent to them; the sum over all cores is right.
    pub client_memory: AtomicIsize,
    /// The second, since the Unix epoch, in which the shard's next victim was used last.
    pub coldest_second: AtomicU64,
    /// Bytes that the runtime's pools of buffers had from the start, and what they have grown by
    /// since; not counted above.
    pub fixed_memory: AtomicUsize,
    pub runtime_memory: AtomicUsize,
    pub passes: AtomicU64,
    /// Times the core went to sleep in its ring.
    pub parks: AtomicU64,
    /// Times it looked for work before it slept, and those among them that found none.
    pub polls: AtomicU64,
    pub vain_polls: AtomicU64,
    pub doorbells_rung: AtomicU64,
    pub net_input_bytes: AtomicU64,
    pub net_output_bytes: AtomicU64,
    /// The processor that the core's own thread is pinned to.
    pub cpu: AtomicUsize,
    /// The thread that runs the core: that of the core with this number.
    pub thread: AtomicUsize,
}

impl CoreCounters {
    /// Bytes that the core has last said it holds, in its shard and for its clients.
    pub fn memory(&self) -> isize {
        let shard = self.shard_memory.load(Ordering::Relaxed) as isize;
        shard + self.client_memory.load(Ordering::Relaxed)
    }
}

/// What the process is and uses, asked for by INFO; the runtime reads it from the system.
#[derive(Clone, Debug, Default)]
pub struct HostFacts {
    pub pid: u32,
    pub rss_bytes: u64,
    pub total_system_memory_bytes: u64,
    /// What the process may use of it: the machine's memory, or less if a control group says so.
    pub memory_limit_bytes: u64,
    /// What the allocator has in use of the system's memory, for whatever purpose.
    pub allocator_committed_bytes: u64,
    pub cpu_user_us: u64,
    pub cpu_sys_us: u64,
    pub cpu_user_children_us: u64,
    pub cpu_sys_children_us: u64,
    /// As `uname -srm` prints it.
    pub os: String,
    pub executable: String,
    /// Absolute; empty when the server was started without a file.
    pub config_file: String,
}

/// The runtime's side of [`HostFacts`]; the simulator has one of its own.
pub trait Host: Send + Sync {
    fn facts(&self) -> HostFacts;

    /// Makes the process follow a configuration that is in force from now on: what is logged, and
    /// how long silent peers are kept.
    fn apply(&self, _config: &Config) {}

    /// Gives memory back to the system that the allocator keeps for the calling thread.
    fn release_memory(&self) {}

    /// The allocator's own statistics, for people.
    fn allocator_report(&self) -> String {
        String::new()
    }
}

/// One per process, behind an [`Arc`] in every engine.
pub struct Shared {
    pub cores: Vec<CoreCounters>,
    pub access: crate::access::Counters,
    pub host: Box<dyn Host>,
    pub started_unix_ms: u64,
    /// 40 hexadecimal digits, new at every start.
    pub run_id: String,
    /// What `maxmemory` as a percentage is a part of; see [`HostFacts::memory_limit_bytes`].
    pub memory_limit_bytes: u64,
    /// The most that all shards and clients held at any tick.
    pub peak_memory: AtomicUsize,
    /// Rises when a core has said anew what it holds because `maxmemory` has changed: what others
    /// knew before does not count any more.
    pub memory_epoch: AtomicU64,
    /// What the server needs without a key or a client: what was resident when it was ready, and
    /// the buffers that will be as soon as they are used.
    startup_bytes: AtomicU64,
    newest: Mutex<Arc<Settings>>,
    /// So many threads, from the first on, are to run cores and have connections.
    active_threads: AtomicUsize,
    /// Why no more and no fewer; for INFO.
    why_active: Mutex<&'static str>,
}

impl Shared {
    pub fn new(
        shards: usize,
        config: Arc<Config>,
        host: Box<dyn Host>,
        started_unix_ms: u64,
        run_id: String,
    ) -> Self {
        let memory_limit_bytes = host.facts().memory_limit_bytes;
        Shared {
            memory_limit_bytes,
            peak_memory: AtomicUsize::new(0),
            memory_epoch: AtomicU64::new(0),
            cores: (0..shards).map(|_| CoreCounters::default()).collect(),
            access: Default::default(),
            host,
            started_unix_ms,
            run_id,
            startup_bytes: AtomicU64::new(0),
            newest: Mutex::new(Arc::new(Settings::new(0, config))),
            active_threads: AtomicUsize::new(1),
            why_active: Mutex::new("one_is_enough"),
        }
    }

    /// The newest settings. Held only while CONFIG SET computes the next ones.
    pub fn settings(&self) -> MutexGuard<'_, Arc<Settings>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many threads, from the first on, are to run cores and have connections.
    #[inline]
    pub fn active_threads(&self) -> usize {
        self.active_threads.load(Ordering::Relaxed)
    }

    /// Why no more and no fewer, in a word.
    pub fn why_active(&self) -> &'static str {
        *self.why_active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At least one is active, and none that there is not.
    pub fn set_active_threads(&self, active: usize, why: &'static str) {
        self.active_threads.store(active.clamp(1, self.cores.len().max(1)), Ordering::Relaxed);
        *self.why_active.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Notes what the process takes now that everything is set up.
    pub fn note_ready(&self) {
        let fixed = self.cores.iter().map(|core| core.fixed_memory.load(Ordering::Relaxed) as u64);
        let bytes = self.host.facts().rss_bytes + fixed.sum::<u64>();
        self.startup_bytes.store(bytes, Ordering::Relaxed);
    }

    pub fn startup_bytes(&self) -> u64 {
        self.startup_bytes.load(Ordering::Relaxed)
    }

    /// What the runtime's pools of buffers have grown by on all cores.
    pub fn runtime_bytes(&self) -> u64 {
        self.cores.iter().map(|core| core.runtime_memory.load(Ordering::Relaxed) as u64).sum()
    }

    pub fn connections(&self) -> usize {
        self.cores.iter().map(|core| core.connections.load(Ordering::Relaxed)).sum()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("cores", &self.cores.len()).finish_non_exhaustive()
    }
}
