//! Choosing what to evict.

use super::{Eviction, MAIN, Order, frequency};
use crate::store::arena::Handle;
use crate::store::db::Db;
use crate::store::{UnixMs, split_mix};

/// Looks for an entry with an expiry among blocks chosen at random.
const LOOKS_PER_SAMPLE: usize = 8;

impl Db {
    /// Drops the entry that is worth the least. False if none may be dropped.
    pub fn evict(&mut self, now: UnixMs) -> bool {
        let victim = self.victim(now);
        if let Some(victim) = victim {
            self.give_way(victim);
        }
        victim.is_some()
    }

    /// The entry that is to be evicted, with the queues as they are then.
    pub(super) fn victim(&mut self, now: UnixMs) -> Option<Handle> {
        let policy = self.eviction.policy;
        match policy.order {
            Order::Never => None,
            Order::S3Fifo if !policy.only_expiring => self.eviction.s3_fifo_victim(&mut self.arena),
            Order::Lru if !policy.only_expiring => self.eviction.lru_victim(),
            _ => self.sampled_victim(now),
        }
    }

    pub(super) fn give_way(&mut self, victim: Handle) {
        let from_small = self.arena.entry(victim).queue() != MAIN;
        let remembered = self.eviction.remembered();
        let hash = self.drop_victim(victim);
        if from_small && self.eviction.policy.order == Order::S3Fifo {
            self.eviction.ghost.insert(hash, remembered);
        }
    }

    /// The worst of a few entries chosen at random.
    fn sampled_victim(&mut self, now: UnixMs) -> Option<Handle> {
        let policy = self.eviction.policy;
        let samples = if policy.order == Order::Random { 1 } else { policy.samples.max(1) };
        let mut worst: Option<(u64, Handle)> = None;
        for _ in 0..samples {
            let Some(handle) = self.random_candidate(policy.only_expiring) else { break };
            let entry = self.arena.entry(handle);
            let worth = match policy.order {
                Order::Lfu => {
                    let recent = u64::from(u32::MAX - entry.idle_seconds(now));
                    u64::from(frequency(entry, policy.lfu, now)) << 32 | recent
                }
                Order::Ttl => entry.expiry().unwrap_or(u64::MAX),
                _ => u64::from(u32::MAX - entry.idle_seconds(now)),
            };
            if worst.is_none_or(|(least, _)| worth < least) {
                worst = Some((worth, handle));
            }
        }
        worst.map(|(_, handle)| handle)
    }

    fn random_candidate(&mut self, only_expiring: bool) -> Option<Handle> {
        let state = &mut self.eviction.random_state;
        if !only_expiring {
            return self.table.random(|| split_mix(state));
        }
        for _ in 0..LOOKS_PER_SAMPLE {
            if let Some(handle) = self.arena.random_expiring(split_mix(state))
                && self.arena.entry(handle).expiry().is_some()
            {
                return Some(handle);
            }
        }
        self.any_expiring()
    }

    /// Some entry with an expiry: not a hash that is among them for the sake of its fields.
    fn any_expiring(&self) -> Option<Handle> {
        if self.expiring() == 0 {
            return None;
        }
        self.arena.all_expiring().find(|handle| self.arena.entry(*handle).expiry().is_some())
    }
}

impl Eviction {
    fn lru_victim(&self) -> Option<Handle> {
        // What another policy left in the small queue has not been used since.
        self.small.back().or(self.main.back())
    }

    /// How many evicted keys are remembered, at two bytes each: three for every four entries.
    fn remembered(&self) -> usize {
        (self.small.len() + self.main.len()) / 4 * 3
    }
}

impl Db {
    /// Seconds since the entry that would be evicted next was last used; `None` if there is none.
    pub fn oldest_idle_seconds(&self, now: UnixMs) -> Option<u32> {
        self.eviction.oldest_idle_seconds(&self.arena, now)
    }
}
