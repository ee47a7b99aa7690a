//! `cargo bench --bench eviction -- TRACE...`: miss ratios of every eviction policy on the store
//! itself, no sockets. See [`USAGE`].

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use flate2::read::MultiGzDecoder;
use ringwell::store::{Encoding, Event, LfuSettings, Order, Policy, Shard, UnixMs};

const USAGE: &str = "\
usage: cargo bench --bench eviction -- [TRACE...]

Each TRACE is a text file, plain or .gz, with one key (u64, decimal) per line in the order of the
requests. Every policy serves it from a shard that holds 1 % and 10 % of the trace's distinct keys:
a get, and on a miss an insertion, before which an entry is evicted if the shard is full. All
entries are of one size. A request takes a millisecond of the shard's clock. Under the volatile
policies every entry has an expiry that is farther away than the trace is long.
";

/// Of the trace's distinct keys.
const CAPACITIES_PERCENT: [usize; 2] = [1, 10];
const START: UnixMs = 1_700_000_000_000;
const REQUEST_MS: u64 = 1;
const VALUE: [u8; 100] = [b'v'; 100];

/// The names of `maxmemory-policy`, but for `noeviction`.
const POLICIES: [(&str, Order, bool); 8] = [
    ("allkeys-s3fifo", Order::S3Fifo, false),
    ("allkeys-lru", Order::Lru, false),
    ("allkeys-lfu", Order::Lfu, false),
    ("allkeys-random", Order::Random, false),
    ("volatile-lru", Order::Lru, true),
    ("volatile-lfu", Order::Lfu, true),
    ("volatile-random", Order::Random, true),
    ("volatile-ttl", Order::Ttl, true),
];

fn main() -> io::Result<()> {
    // Cargo adds arguments of its own, such as --bench.
    let paths: Vec<PathBuf> =
        std::env::args_os().skip(1).map(PathBuf::from).filter(|arg| !is_option(arg)).collect();
    let mut traces = Vec::new();
    for path in &paths {
        traces.push(Trace::read(path)?);
    }
    if traces.is_empty() {
        println!("{USAGE}\nWithout a trace: requests drawn from a Zipf distribution.\n");
        traces.push(Trace::zipf());
    }
    report(&traces);
    Ok(())
}

fn is_option(argument: &Path) -> bool {
    argument.to_string_lossy().starts_with('-')
}

struct Trace {
    name: String,
    /// The keys, numbered in the order in which they come up first.
    requests: Vec<u32>,
    distinct: usize,
}

impl Trace {
    fn read(path: &Path) -> io::Result<Trace> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let with_path =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let file = File::open(path).map_err(with_path)?;
        let text: Box<dyn Read> = if name.ends_with(".gz") {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        let mut keys = Vec::new();
        for (index, line) in BufReader::new(text).lines().enumerate() {
            let line = line.map_err(with_path)?;
            let key = line.trim().parse::<u64>().map_err(|error| {
                let what = format!("line {}: {line:?} is no key: {error}", index + 1);
                with_path(io::Error::new(io::ErrorKind::InvalidData, what))
            })?;
            keys.push(key);
        }
        let name = name.trim_end_matches(".gz").trim_end_matches(".txt").to_string();
        Ok(Trace::new(name, keys))
    }

    fn new(name: String, keys: impl IntoIterator<Item = u64>) -> Trace {
        let mut numbers = HashMap::new();
        let requests = keys.into_iter().map(|key| {
            let next = numbers.len() as u32;
            *numbers.entry(key).or_insert(next)
        });
        Trace { name, requests: requests.collect(), distinct: numbers.len() }
    }

    /// Half a million requests for 50,000 keys; the n-th most wanted is asked for 1 / n as often as
    /// the first.
    fn zipf() -> Trace {
        const KEYS: u64 = 50_000;
        let mut sums = Vec::new();
        let mut sum = 0.0;
        for rank in 1..=KEYS {
            sum += 1.0 / rank as f64;
            sums.push(sum);
        }
        let mut state = 1_u64;
        let keys = (0..500_000).map(|_| {
            state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            let at = (state >> 11) as f64 / (1_u64 << 53) as f64 * sum;
            sums.partition_point(|sum| *sum < at) as u64
        });
        Trace::new("zipf".to_string(), keys)
    }
}

struct Outcome {
    miss_ratio: f64,
    nanoseconds_per_request: f64,
}

fn replay(trace: &Trace, capacity: usize, policy: Policy) -> Outcome {
    let mut shard = Shard::new(1);
    shard.set_policy(policy);
    let end = START + trace.requests.len() as u64 * REQUEST_MS;
    let expiry = policy.only_expiring.then_some(end + 1);
    let (mut now, mut misses) = (START, 0_u64);
    let start = Instant::now();
    for number in &trace.requests {
        now += REQUEST_MS;
        let key = u64::from(*number).to_be_bytes();
        if shard.read(0, &key, now).is_some() {
            continue;
        }
        misses += 1;
        while shard.db(0).len() >= capacity {
            assert!(shard.evict(now), "nothing can be evicted from a full shard");
        }
        shard.db_mut(0).set_string(&key, &VALUE, Encoding::Raw, expiry, now, Event::Set);
    }
    let requests = trace.requests.len() as f64;
    Outcome {
        miss_ratio: misses as f64 / requests,
        nanoseconds_per_request: start.elapsed().as_nanos() as f64 / requests,
    }
}

fn report(traces: &[Trace]) {
    let names = POLICIES.map(|(name, ..)| name).join(" | ");
    println!("Miss ratios, entries of one size:\n");
    println!("| trace | entries | requests | {names} |");
    println!("|---|---|---|{}", "---|".repeat(POLICIES.len()));
    let mut sums = POLICIES.map(|_| Outcome { miss_ratio: 0.0, nanoseconds_per_request: 0.0 });
    let mut rows = 0;
    for trace in traces {
        for percent in CAPACITIES_PERCENT {
            let capacity = (trace.distinct * percent / 100).max(1);
            let mut cells = String::new();
            for ((_, order, only_expiring), sum) in POLICIES.into_iter().zip(&mut sums) {
                let lfu = LfuSettings::default();
                let outcome =
                    replay(trace, capacity, Policy { order, only_expiring, samples: 5, lfu });
                cells += &format!(" {:.4} |", outcome.miss_ratio);
                sum.miss_ratio += outcome.miss_ratio;
                sum.nanoseconds_per_request += outcome.nanoseconds_per_request;
            }
            println!("| {} | {capacity} | {} |{cells}", trace.name, trace.requests.len());
            rows += 1;
        }
    }
    let mean = |of: fn(&Outcome) -> f64, digits: usize| {
        let cells = sums.iter().map(|sum| format!(" {:.*} |", digits, of(sum) / f64::from(rows)));
        cells.collect::<String>()
    };
    println!("| mean | | |{}", mean(|sum| sum.miss_ratio, 4));
    println!("| ns/request | | |{}", mean(|sum| sum.nanoseconds_per_request, 0));
}
