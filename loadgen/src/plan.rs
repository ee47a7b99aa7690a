//! Everything that defines a run. It is stored in `run.json`, so that a run can be repeated.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One run. The workload is the same for every target; `compare` and `knee` run plans that differ
/// in target or pacing only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub target: Target,
    pub threads: Threads,
    /// Connections, all threads together; a multiple of neither threads nor endpoints is needed.
    pub clients: usize,
    /// Requests in flight per connection in a closed loop; the bound per connection in an open one.
    pub pipeline: usize,
    /// False: a connection is closed after its replies (all of one pipeline) and made anew for the
    /// next, as redis-benchmark does with `-k 0`; connecting counts into the response time. Closed
    /// loop only.
    #[serde(default = "yes")]
    pub keep_alive: bool,
    pub pacing: Pacing,
    pub stop: Stop,
    /// Load before the measurement starts; recorded nowhere.
    pub warmup: Duration,
    pub workload: Workload,
    /// Write self-describing values and check every value read.
    pub verify: bool,
    /// Every random choice follows from it.
    pub seed: u64,
}

/// Where the load goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// At least one; connections are dealt out to them in turn, or by slot with `cluster`.
    pub endpoints: Vec<Endpoint>,
    pub user: Option<String>,
    /// Never written to reports.
    #[serde(skip)]
    pub password: Option<String>,
    pub database: u32,
    pub resp3: bool,
    /// Ask CLUSTER SLOTS and send each key to its owner.
    pub cluster: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Endpoint {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// The threads that make the load, each with a ring and histograms of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threads {
    pub count: usize,
    /// The processors to pin them to, in order; empty: not pinned.
    pub cpus: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Pacing {
    /// Each connection keeps `pipeline` requests in flight.
    Closed,
    /// Requests are due at times that do not depend on the server.
    Open { rate_per_second: f64, arrivals: Arrivals },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arrivals {
    Constant,
    Poisson,
}

/// When a run ends: at whichever of the two comes first. At least one is set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// Requests measured, all threads together.
    pub requests: Option<u64>,
    /// Measured time, warm-up not included.
    pub duration: Option<Duration>,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// At least one, chosen by weight.
    pub commands: Vec<CommandSpec>,
    pub keys: KeySpace,
    pub values: ValueSizes,
    /// Given to every SET of the mix and of cache-aside filling.
    pub ttl: Option<SecondsRange>,
    pub on_miss: Option<OnMiss>,
    /// Before the run: write every key of the key space once.
    pub preload: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandSpec {
    /// In reports.
    pub title: String,
    /// Words as the user wrote them, with `__key__`, `__rand__`, `__value__` inside.
    pub template: Vec<String>,
    pub weight: f64,
    /// Sent as an inline command: the words, a space between them, and a line end.
    #[serde(default)]
    pub inline: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeySpace {
    /// `key:` unless told otherwise; 12 decimal digits follow, as in redis-benchmark.
    pub prefix: String,
    pub count: u64,
    pub distribution: Distribution,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Distribution {
    Uniform,
    /// Rank r is chosen with probability proportional to r^-exponent; ranks are scattered over the
    /// key space.
    Zipf {
        exponent: f64,
    },
    /// Around the middle of the key space; the deviation as a fraction of it.
    Gaussian {
        deviation: f64,
    },
    /// `accesses` of the requests go to the first `keys` of the key space (fractions).
    Hotspot {
        keys: f64,
        accesses: f64,
    },
    Sequential,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ValueSizes {
    Fixed(usize),
    /// Uniform, both ends included.
    Range {
        min: usize,
        max: usize,
    },
    /// Sizes with weights.
    Weighted(Vec<(usize, f64)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondsRange {
    pub min: u64,
    pub max: u64,
}

/// What an application does with a miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnMiss {
    /// How long it takes to get the value from elsewhere; then it is SET.
    pub delay: Duration,
}
