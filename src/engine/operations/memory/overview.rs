//! Where the memory of the process is: what INFO and MEMORY tell.

use std::sync::atomic::Ordering;

use super::super::super::report::CoreReport;
use super::super::facts::Facts;
use crate::store::Shard as Store;

/// Bytes, over all cores.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine) struct Overview {
    /// Of the tables, what is there without a key.
    pub startup: u64,
    /// What the process takes by itself: what was resident when it was ready.
    pub server: u64,
    /// What the pools of buffers have grown by since, and those between shards.
    pub pools: u64,
    /// The shards: entries and their tables.
    pub entries: u64,
    pub tables: u64,
    /// Everything held for clients.
    pub clients: u64,
    /// The most that was used at any tick or when anybody asked.
    pub peak: u64,
    pub rss: u64,
    /// What the allocator has taken from the system.
    pub committed: u64,
    pub keys: u64,
}

impl Overview {
    pub fn of(facts: &Facts<'_>) -> Overview {
        let shared = &facts.core.site.shared;
        let stored = facts.sum(|core| core.used_memory as u64);
        let entries = facts.sum(|core| core.entry_memory as u64);
        let clients: isize = facts.reports.iter().map(|core| core.client_memory).sum();
        let mapped = facts.sum(|core| core.mapped_memory as u64);
        let keys = |core: &CoreReport| core.keyspace.iter().map(|db| db.keys as u64).sum();
        let mut overview = Overview {
            startup: (Store::empty_bytes() * facts.reports.len()) as u64,
            server: shared.startup_bytes(),
            pools: shared.runtime_bytes() + facts.sum(|core| core.kept_memory as u64),
            entries,
            tables: stored.saturating_sub(entries),
            clients: clients.max(0) as u64,
            peak: 0,
            rss: facts.host.rss_bytes,
            committed: facts.host.allocator_committed_bytes + mapped,
            keys: facts.sum(keys),
        };
        let used = overview.used();
        let before = shared.peak_memory.fetch_max(used as usize, Ordering::Relaxed) as u64;
        overview.peak = before.max(used);
        overview
    }

    /// What the server needs by itself, and does not count as used.
    pub fn own(&self) -> u64 {
        self.server + self.pools
    }

    /// What is compared with `maxmemory`.
    pub fn used(&self) -> u64 {
        self.entries + self.tables + self.clients
    }

    pub fn overhead(&self) -> u64 {
        self.tables + self.clients
    }

    /// Of what the allocator has committed, what can be resident.
    pub fn allocator_resident(&self) -> u64 {
        self.committed.min(self.rss)
    }

    /// Percent of what was added since the start.
    pub fn dataset_percent(&self) -> f64 {
        percent(self.entries, self.used().saturating_sub(self.startup))
    }

    pub fn peak_percent(&self) -> f64 {
        percent(self.used(), self.peak)
    }

    pub fn bytes_per_key(&self) -> u64 {
        self.used().saturating_sub(self.startup).checked_div(self.keys).unwrap_or(0)
    }
}

/// How much larger one amount is than another that should be equal: as a ratio, and in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::engine) struct Excess {
    pub ratio: f64,
    pub bytes: i64,
}

impl Overview {
    /// What the process has in memory, and what of that is in use.
    pub fn fragmentation(&self) -> Excess {
        excess(self.rss, self.own() + self.used())
    }

    pub fn allocator_fragmentation(&self) -> Excess {
        excess(self.committed, self.own() + self.used())
    }

    pub fn allocator_rss(&self) -> Excess {
        excess(self.allocator_resident(), self.committed)
    }

    /// Code, stacks and whatever else is not the allocator's.
    pub fn rss_overhead(&self) -> Excess {
        excess(self.rss, self.allocator_resident())
    }
}

fn excess(whole: u64, part: u64) -> Excess {
    let bytes = i128::from(whole) - i128::from(part);
    Excess { ratio: whole as f64 / part.max(1) as f64, bytes: bytes as i64 }
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}
