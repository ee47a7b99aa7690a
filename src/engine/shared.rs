//! What the engines of one process share: the configuration in force, and counters that any core
//! may read. Nothing here is touched on the request path.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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
    /// Bytes that the shard holds; kept up only while `maxmemory` is set.
    pub shard_memory: AtomicUsize,
    pub passes: AtomicU64,
    /// Times the core went to sleep in its ring.
    pub parks: AtomicU64,
    pub doorbells_rung: AtomicU64,
    pub net_input_bytes: AtomicU64,
    pub net_output_bytes: AtomicU64,
    /// The processor the core is pinned to.
    pub cpu: AtomicUsize,
}

/// What the process is and uses, asked for by INFO; the runtime reads it from the system.
#[derive(Clone, Debug, Default)]
pub struct HostFacts {
    pub pid: u32,
    pub rss_bytes: u64,
    pub total_system_memory_bytes: u64,
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
}

/// One per process, behind an [`Arc`] in every engine.
pub struct Shared {
    pub cores: Vec<CoreCounters>,
    pub access: crate::access::Counters,
    pub host: Box<dyn Host>,
    pub started_unix_ms: u64,
    /// 40 hexadecimal digits, new at every start.
    pub run_id: String,
    /// The memory of the machine or of the control group, for `maxmemory` as a percentage.
    pub total_memory_bytes: u64,
    /// Resident bytes when the server was ready: what it needs without a key or a client.
    startup_bytes: AtomicU64,
    newest: Mutex<Arc<Settings>>,
}

impl Shared {
    pub fn new(
        shards: usize,
        config: Arc<Config>,
        host: Box<dyn Host>,
        started_unix_ms: u64,
        run_id: String,
    ) -> Self {
        let total_memory_bytes = host.facts().total_system_memory_bytes;
        Shared {
            total_memory_bytes,
            cores: (0..shards).map(|_| CoreCounters::default()).collect(),
            access: Default::default(),
            host,
            started_unix_ms,
            run_id,
            startup_bytes: AtomicU64::new(0),
            newest: Mutex::new(Arc::new(Settings::new(0, config))),
        }
    }

    /// The newest settings. Held only while CONFIG SET computes the next ones.
    pub fn settings(&self) -> MutexGuard<'_, Arc<Settings>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the process takes now that everything is set up.
    pub fn note_ready(&self) {
        self.startup_bytes.store(self.host.facts().rss_bytes, Ordering::Relaxed);
    }

    pub fn startup_bytes(&self) -> u64 {
        self.startup_bytes.load(Ordering::Relaxed)
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
