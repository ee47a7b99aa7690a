//! Directives whose values have a type of their own.

use core::net::IpAddr;

use super::cidr::Cidr;
use super::directive::{Replace, Rule, Shape};
use super::value::{TextValue, join_quoted, named_values};
use crate::text::{memory, number};

named_values! {
    /// What is evicted when `maxmemory` is reached.
    EvictionPolicy("policy") {
        VolatileLru = "volatile-lru",
        VolatileLfu = "volatile-lfu",
        VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl",
        AllkeysLru = "allkeys-lru",
        AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random",
        /// Scan-resistant; not a policy of Redis.
        AllkeysS3fifo = "allkeys-s3fifo",
        #[default]
        Noeviction = "noeviction",
    }
}

named_values! {
    /// How much is logged, from most to least.
    LogLevel("level") {
        Debug = "debug",
        Verbose = "verbose",
        #[default]
        Notice = "notice",
        Warning = "warning",
        Nothing = "nothing",
    }
}

named_values! {
    /// Who may do something that is off by default.
    Permission("no|local|yes") {
        #[default]
        No = "no",
        Yes = "yes",
        /// Loopback and unix-socket clients only.
        Local = "local",
    }
}

impl Permission {
    /// Whether a client may; `local` tells that it came over loopback or a unix socket.
    pub fn allows(self, local: bool) -> bool {
        match self {
            Permission::No => false,
            Permission::Yes => true,
            Permission::Local => local,
        }
    }
}

named_values! {
    /// When the append-only file would be synced.
    AppendFsync("when") {
        #[default]
        Everysec = "everysec",
        Always = "always",
        No = "no",
    }
}

named_values! {
    /// Which service manager runs the server.
    Supervised("manager") {
        Upstart = "upstart",
        Systemd = "systemd",
        Auto = "auto",
        #[default]
        No = "no",
    }
}

named_values! {
    /// On how many threads the shards run.
    ThreadSpread("auto|all") {
        /// As many as the load needs.
        #[default]
        Auto = "auto",
        /// One for each shard.
        All = "all",
    }
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddress {
    pub ip: IpAddr,
    /// An address that may be missing on this host without that being an error (`-` before it).
    pub optional: bool,
    /// As written, without the `-`: `*` and `0.0.0.0` are the same address.
    text: String,
}

impl BindAddress {
    /// Every address of its family, which is what protected mode guards against.
    pub fn is_wildcard(&self) -> bool {
        self.ip.to_canonical().is_unspecified()
    }

    fn parse(word: &str) -> Result<Self, String> {
        let text = word.strip_prefix('-').unwrap_or(word);
        let ip = match text {
            "*" => IpAddr::from([0, 0, 0, 0]),
            "::*" => IpAddr::from([0; 16]),
            address => address.parse().map_err(|_| {
                format!(
                    "'{address}' is not an IP address: give IPv4 or IPv6 addresses, '*' or '::*'"
                )
            })?,
        };
        Ok(BindAddress { ip, optional: text.len() < word.len(), text: text.into() })
    }
}

impl std::fmt::Display for BindAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.optional { "-" } else { "" }, self.text)
    }
}

impl TextValue for Vec<BindAddress> {
    const SHAPE: Shape = Shape::words("address ...");

    fn read(words: &[String], _: &Rule, _: &Self, _: Replace) -> Result<Self, String> {
        let mut addresses: Vec<BindAddress> = Vec::new();
        for word in words.iter().filter(|word| !word.is_empty()) {
            let address = BindAddress::parse(word)?;
            if addresses.iter().any(|other| other.ip == address.ip) {
                return Err(format!("'{}' is listed twice: list each address once", address.text));
            }
            if addresses.len() == BIND_MAX {
                return Err(format!("more than {BIND_MAX} addresses: use '*' and '::*' instead"));
            }
            addresses.push(address);
        }
        Ok(addresses)
    }

    fn show(&self, _: &Rule) -> String {
        join(self)
    }

    fn lines(&self, _: &Rule) -> Vec<String> {
        let words: Vec<_> = self.iter().map(ToString::to_string).collect();
        vec![join_quoted(words.iter().map(String::as_str))]
    }
}

/// `CONFIG_BINDADDR_MAX` of Redis.
const BIND_MAX: usize = 16;

impl TextValue for Vec<Cidr> {
    const SHAPE: Shape = Shape::repeatable("block ...");

    fn read(words: &[String], _: &Rule, current: &Self, replace: Replace) -> Result<Self, String> {
        // An empty value clears what lines before it, and included files, have listed.
        let anew = replace == Replace::All || words.iter().all(String::is_empty);
        let mut blocks = if anew { Vec::new() } else { current.clone() };
        for word in words.iter().filter(|word| !word.is_empty()) {
            let block: Cidr = word.parse()?;
            if !blocks.contains(&block) {
                blocks.push(block);
            }
        }
        Ok(blocks)
    }

    fn show(&self, _: &Rule) -> String {
        join(self)
    }

    fn lines(&self, _: &Rule) -> Vec<String> {
        let words: Vec<_> = self.iter().map(ToString::to_string).collect();
        vec![join_quoted(words.iter().map(String::as_str))]
    }
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// How many shards to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShardCount {
    /// One per core that may be used.
    #[default]
    Auto,
    Fixed(u16),
}

/// Most shards that one process runs.
const SHARDS_MAX: i64 = 1024;

impl TextValue for ShardCount {
    const SHAPE: Shape = Shape::one("auto|N");

    fn read(words: &[String], _: &Rule, _: &Self, _: Replace) -> Result<Self, String> {
        if words[0].eq_ignore_ascii_case("auto") {
            return Ok(ShardCount::Auto);
        }
        match number::parse_i64(words[0].as_bytes()) {
            Some(count @ 1..=SHARDS_MAX) => Ok(ShardCount::Fixed(count as u16)),
            _ => Err(format!("argument must be 'auto' or between 1 and {SHARDS_MAX} inclusive")),
        }
    }

    fn show(&self, _: &Rule) -> String {
        match self {
            ShardCount::Auto => "auto".into(),
            ShardCount::Fixed(count) => count.to_string(),
        }
    }
}

/// How long a core looks for work before it sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BusyPoll {
    /// For a moment, while sleeps have lately been shorter than waking up takes.
    #[default]
    Auto,
    /// For so many microseconds; 0 for not at all.
    Micros(u32),
}

/// A second: whoever never wants to sleep has that with less.
const BUSY_POLL_MAX_US: i64 = 1_000_000;

impl TextValue for BusyPoll {
    const SHAPE: Shape = Shape::one("auto|MICROSECONDS");

    fn read(words: &[String], _: &Rule, _: &Self, _: Replace) -> Result<Self, String> {
        if words[0].eq_ignore_ascii_case("auto") {
            return Ok(BusyPoll::Auto);
        }
        match number::parse_i64(words[0].as_bytes()) {
            Some(micros @ 0..=BUSY_POLL_MAX_US) => Ok(BusyPoll::Micros(micros as u32)),
            _ => Err(format!(
                "argument must be 'auto' or between 0 and {BUSY_POLL_MAX_US} inclusive"
            )),
        }
    }

    fn show(&self, _: &Rule) -> String {
        match self {
            BusyPoll::Auto => "auto".into(),
            BusyPoll::Micros(micros) => micros.to_string(),
        }
    }
}

/// Processors by their number, in the order given; empty means that the server chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuList(pub Vec<usize>);

/// Numbers above this are not processors of a machine that Linux runs on (`NR_CPUS`).
const CPU_MAX: usize = 8191;

impl CpuList {
    fn parse(list: &str) -> Result<Self, String> {
        let mut cpus = Vec::new();
        let number = |text: &str| {
            number::parse_u64(text.as_bytes()).filter(|n| *n <= CPU_MAX as u64).map(|n| n as usize)
        };
        for part in list.split(',').filter(|_| !list.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Some(first), Some(last)) = (number(first), number(last)) else {
                return Err(format!(
                    "'{part}' is not a core or a range: write a list such as 0-3,8"
                ));
            };
            if first > last {
                return Err(format!("the range '{part}' is empty: write {last}-{first}"));
            }
            for cpu in first..=last {
                if cpus.contains(&cpu) {
                    return Err(format!("core {cpu} is listed twice: list each core once"));
                }
                cpus.push(cpu);
            }
        }
        Ok(CpuList(cpus))
    }
}

impl TextValue for CpuList {
    const SHAPE: Shape = Shape::one("list");

    fn read(words: &[String], _: &Rule, _: &Self, _: Replace) -> Result<Self, String> {
        CpuList::parse(&words[0])
    }

    fn show(&self, _: &Rule) -> String {
        let mut parts: Vec<(usize, usize)> = Vec::new();
        for &cpu in &self.0 {
            match parts.last_mut() {
                Some((_, last)) if *last + 1 == cpu => *last = cpu,
                _ => parts.push((cpu, cpu)),
            }
        }
        let text = |(first, last)| {
            if first == last { format!("{first}") } else { format!("{first}-{last}") }
        };
        parts.into_iter().map(text).collect::<Vec<_>>().join(",")
    }
}

/// An amount of memory, or a part of the machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    Bytes(u64),
    /// 1 to 100.
    Percent(u8),
}

impl MemoryLimit {
    /// The limit in bytes on a machine with so much memory; 0 is none.
    pub fn bytes(self, total_system_memory_bytes: u64) -> u64 {
        match self {
            MemoryLimit::Bytes(bytes) => bytes,
            MemoryLimit::Percent(percent) => {
                (u128::from(total_system_memory_bytes) * u128::from(percent) / 100) as u64
            }
        }
    }
}

impl Default for MemoryLimit {
    fn default() -> Self {
        MemoryLimit::Bytes(0)
    }
}

impl TextValue for MemoryLimit {
    const SHAPE: Shape = Shape::one("bytes|N%");

    fn read(words: &[String], _: &Rule, _: &Self, _: Replace) -> Result<Self, String> {
        if let Some(percent) = words[0].strip_suffix('%') {
            return match number::parse_u64(percent.as_bytes()) {
                Some(percent @ 1..=100) => Ok(MemoryLimit::Percent(percent as u8)),
                _ => Err("a percentage of the machine's memory must be 1% to 100%".into()),
            };
        }
        let bytes = memory::parse(words[0].as_bytes());
        bytes.map(MemoryLimit::Bytes).ok_or_else(|| "argument must be a memory value".into())
    }

    fn show(&self, _: &Rule) -> String {
        match self {
            MemoryLimit::Bytes(bytes) => bytes.to_string(),
            MemoryLimit::Percent(percent) => format!("{percent}%"),
        }
    }

    fn lines(&self, rule: &Rule) -> Vec<String> {
        match self {
            MemoryLimit::Bytes(bytes) => vec![memory::exact(*bytes)],
            MemoryLimit::Percent(_) => vec![self.show(rule)],
        }
    }
}

/// How much unsent output a client may cause before it is closed; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes; the client is closed at once above so many.
    pub hard: u64,
    /// Bytes; the client is closed after `soft_seconds` above so many.
    pub soft: u64,
    pub soft_seconds: u64,
}

/// The limits by class of client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    /// Kept for files made for Redis: this server has no replicas.
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}

impl TextValue for OutputLimits {
    const SHAPE: Shape = Shape::repeatable("class hard soft seconds");

    /// Classes that are not mentioned keep what they have, as in Redis.
    fn read(words: &[String], _: &Rule, current: &Self, _: Replace) -> Result<Self, String> {
        let mut limits = *current;
        if !words.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        for group in words.chunks(4) {
            let class = match group[0].to_ascii_lowercase().as_str() {
                "normal" => &mut limits.normal,
                "slave" | "replica" => &mut limits.replica,
                "pubsub" => &mut limits.pubsub,
                _ => {
                    let reason = "Invalid client class specified in buffer limit configuration.";
                    return Err(reason.into());
                }
            };
            let amount = |at: usize| memory::parse(group[at].as_bytes());
            let seconds = number::parse_u64(group[3].as_bytes()).filter(|s| *s <= SECONDS_MAX);
            let (Some(hard), Some(soft), Some(soft_seconds)) = (amount(1), amount(2), seconds)
            else {
                let reason =
                    "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
                return Err(reason.into());
            };
            *class = OutputLimit { hard, soft, soft_seconds };
        }
        Ok(limits)
    }

    fn show(&self, _: &Rule) -> String {
        let class = |name: &str, limit: &OutputLimit| {
            format!("{name} {} {} {}", limit.hard, limit.soft, limit.soft_seconds)
        };
        let (normal, replica) = (class("normal", &self.normal), class("slave", &self.replica));
        format!("{normal} {replica} {}", class("pubsub", &self.pubsub))
    }

    fn lines(&self, _: &Rule) -> Vec<String> {
        let class = |name: &str, limit: &OutputLimit| {
            let (hard, soft) = (memory::exact(limit.hard), memory::exact(limit.soft));
            format!("{name} {hard} {soft} {}", limit.soft_seconds)
        };
        vec![
            class("normal", &self.normal),
            class("replica", &self.replica),
            class("pubsub", &self.pubsub),
        ]
    }
}

/// Seconds are a C `int` in Redis, which bounds every sum made from them here too.
const SECONDS_MAX: u64 = i32::MAX as u64;

/// Snapshot points: after so many seconds with so many changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavePoints(pub Vec<(u64, u64)>);

impl TextValue for SavePoints {
    const SHAPE: Shape = Shape::repeatable("seconds changes ...");

    fn read(words: &[String], _: &Rule, current: &Self, replace: Replace) -> Result<Self, String> {
        if let [empty] = words
            && empty.is_empty()
        {
            return Ok(SavePoints::default());
        }
        let mut points = if replace == Replace::All { Vec::new() } else { current.0.clone() };
        let number = |word: &String| number::parse_u64(word.as_bytes());
        for pair in words.chunks(2) {
            match (number(&pair[0]), pair.get(1).and_then(number)) {
                (Some(seconds @ 1..), Some(changes)) => points.push((seconds, changes)),
                _ => return Err("Invalid save parameters".into()),
            }
        }
        Ok(SavePoints(points))
    }

    fn show(&self, _: &Rule) -> String {
        let points = self.0.iter().map(|(seconds, changes)| format!("{seconds} {changes}"));
        points.collect::<Vec<_>>().join(" ")
    }

    fn lines(&self, rule: &Rule) -> Vec<String> {
        let line = self.show(rule);
        vec![if line.is_empty() { "\"\"".into() } else { line }]
    }
}

/// Which keyspace events are published: a set of the classes that Redis names by letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceEvents(u32);

/// The classes that `A` stands for, in the order in which Redis writes them.
const EVENTS_ALL: &str = "g$lshzxetd";
/// The others.
const EVENTS_MORE: &str = "KEmn";

impl KeyspaceEvents {
    /// Whether the class of events is published; `K` and `E` choose the kinds of channel.
    pub fn contains(self, class: char) -> bool {
        event_bit(class).is_some_and(|bit| self.0 & bit != 0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

fn event_bit(class: char) -> Option<u32> {
    EVENTS_ALL.chars().chain(EVENTS_MORE.chars()).position(|c| c == class).map(|at| 1 << at)
}

impl TextValue for KeyspaceEvents {
    const SHAPE: Shape = Shape::one("classes");

    fn read(words: &[String], _: &Rule, _: &Self, _: Replace) -> Result<Self, String> {
        let mut events = 0;
        for class in words[0].chars() {
            events |= match class {
                'A' => (1 << EVENTS_ALL.len()) - 1,
                class => event_bit(class).ok_or_else(|| {
                    "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_string()
                })?,
            };
        }
        Ok(KeyspaceEvents(events))
    }

    fn show(&self, _: &Rule) -> String {
        let all = EVENTS_ALL.chars().all(|class| self.contains(class));
        let first = if all { "A" } else { EVENTS_ALL };
        let chosen = first.chars().filter(|class| all || self.contains(*class));
        chosen.chain(EVENTS_MORE.chars().filter(|class| self.contains(*class))).collect()
    }
}

/// The percentiles of latencies that INFO shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Percentiles(Vec<f64>);

impl Percentiles {
    /// Each as it is shown, and its value from 0 to 100.
    pub fn iter(&self) -> impl Iterator<Item = (String, f64)> {
        self.0.iter().map(|&percentile| (Percentiles::text(percentile), percentile))
    }

    /// To six decimals, as in Redis, without zeros at the end.
    fn text(percentile: f64) -> String {
        let text = format!("{percentile:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl TextValue for Percentiles {
    const SHAPE: Shape = Shape::words("percentile ...");

    fn read(words: &[String], _: &Rule, _: &Self, _: Replace) -> Result<Self, String> {
        let percentile = |word: &String| {
            let value = number::parse_f64(word.as_bytes());
            let value = value.ok_or("Invalid latency-tracking-info-percentiles parameters")?;
            let within = (0.0..=100.0).contains(&value);
            within.then_some(value).ok_or(
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
            )
        };
        let percentiles = words.iter().filter(|word| !word.is_empty()).map(percentile);
        let percentiles: Result<Vec<f64>, &str> = percentiles.collect();
        Ok(Percentiles(percentiles?))
    }

    fn show(&self, _: &Rule) -> String {
        let percentiles: Vec<String> = self.iter().map(|(text, _)| text).collect();
        percentiles.join(" ")
    }

    fn lines(&self, rule: &Rule) -> Vec<String> {
        let line = self.show(rule);
        vec![if line.is_empty() { "\"\"".into() } else { line }]
    }
}
