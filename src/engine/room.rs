//! Making room when memory is short, and the chores that give memory back.
//!
//! There is one budget for all cores. Whoever takes memory beyond it lets entries of its own shard
//! be evicted; and so that shards get what they deserve rather than equal slices, it asks the core
//! whose next victim has not been used for longest to evict as much as well. What that frees
//! is whose need comes first: a busy shard grows at the cost of an idle one.

use std::sync::atomic::Ordering;

use super::event::{Outbox, ShardId};
use super::memory::{Budget, publish_coldest};
use crate::config::{Config, EvictionPolicy};
use crate::store::{LfuSettings, Order, Policy, Shard as Store};
use crate::txn::Message;

/// Entries that are evicted for one command, and at the end of one pass: about a millisecond. The rest
/// follows.
const EVICTIONS_PER_COMMAND: usize = 512;
const EVICTIONS_PER_PASS: usize = 2048;
/// What cores know of each other is behind by a pass, which takes about so much; and a part of the
/// limit at the most, above what empty shards need.
const UNKNOWN_BYTES_PER_CORE: u64 = 128 * 1024;
const UNKNOWN_PART: u64 = 32;
/// A shard with less is not asked for room only because it is colder.
const DONOR_BYTES_MIN: isize = 64 * 1024;
/// At least so much is asked for at a time; and a part of the limit at the most, so that a small
/// cache is not emptied at once.
const ASKED_BYTES_MIN: usize = 256 * 1024;
const ASKED_PART: u64 = 16;
/// Entries that one step moves out of a sparse page, and the steps at the end of one pass.
const MOVES: usize = 128;
const COMPACTIONS_PER_PASS: usize = 8;
const RELEASE_US: u64 = 500_000;
/// The chores' ticks come so often while there are any.
pub(super) const CHORE_TICK_US: u64 = 5_000;

/// What is to be evicted, and what has been asked for.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Bytes that this core is still to evict for others.
    owed: usize,
    /// More is to be evicted than one pass allows.
    behind: bool,
    /// Bytes that were evicted here since the last tick.
    given: usize,
    /// To be sent at the end of the pass.
    asks: Vec<(ShardId, usize)>,
    /// When somebody was asked last.
    asked_us: Option<u64>,
    /// When the allocator last gave memory back.
    released_us: u64,
}

/// The store's policy for a configuration.
pub(super) fn policy(config: &Config) -> Policy {
    use EvictionPolicy::{
        AllkeysLfu, AllkeysLru, AllkeysRandom, AllkeysS3fifo, Noeviction, VolatileLfu, VolatileLru,
        VolatileRandom, VolatileTtl,
    };
    let (order, only_expiring) = match config.maxmemory_policy {
        Noeviction => (Order::Never, false),
        AllkeysS3fifo => (Order::S3Fifo, false),
        AllkeysLru => (Order::Lru, false),
        AllkeysLfu => (Order::Lfu, false),
        AllkeysRandom => (Order::Random, false),
        VolatileLru => (Order::Lru, true),
        VolatileLfu => (Order::Lfu, true),
        VolatileRandom => (Order::Random, true),
        VolatileTtl => (Order::Ttl, true),
    };
    let lfu =
        LfuSettings { log_factor: config.lfu_log_factor, decay_minutes: config.lfu_decay_time };
    Policy { order, only_expiring, samples: config.maxmemory_samples as usize, lfu }
}

impl Room {
    /// True if `maxmemory` is reached and nothing may be evicted, which makes commands that take
    /// memory fail. Whichever core takes a command, the shard of its keys makes room: `shard`, if
    /// they have one.
    #[inline]
    pub fn is_out_of_memory(&mut self, budget: &mut Budget<'_>, shard: ShardId) -> bool {
        let is_here = budget.shards.has(shard);
        if !is_over_limit(budget) {
            let shard = if is_here { shard } else { budget.site.shard_id };
            let now = budget.site.now.unix_ms;
            return budget.shards.get(shard).store().is_nearly_full()
                && !budget.shards.get_mut(shard).store_mut().evict(now);
        }
        let has_room = match is_here {
            true => self.make_room(budget, shard, EVICTIONS_PER_COMMAND, 0),
            false => can_make_room(budget),
        };
        let out = !has_room && !self.ask(budget, ASKED_BYTES_MIN);
        budget.note_exceeded(out);
        out
    }

    /// Evicts entries of a shard that is here until no more is over the limit than `left` bytes;
    /// false if none may.
    fn make_room(
        &mut self,
        budget: &mut Budget<'_>,
        shard: ShardId,
        evictions_max: usize,
        left: i64,
    ) -> bool {
        if budget.shards.get(shard).store().policy().order == Order::Never {
            return budget.shards.get(shard).store().dead_objects() > 0;
        }
        for _ in 0..evictions_max {
            if !is_over_limit_by(budget, left) {
                return true;
            }
            // What is being given back already comes first.
            if budget.shards.get(shard).store().dead_objects() > 0 {
                budget.shards.get_mut(shard).store_mut().free_slice();
                return true;
            }
            if !self.evict_one(budget, shard) {
                return false;
            }
        }
        true
    }

    fn evict_one(&mut self, budget: &mut Budget<'_>, shard: ShardId) -> bool {
        let now = budget.site.now.unix_ms;
        let store = budget.shards.get_mut(shard).store_mut();
        let before = store.allocated_bytes();
        let evicted = store.evict(now);
        let bytes = before.saturating_sub(store.allocated_bytes());
        self.given += bytes;
        if budget.shards.is_own(shard) {
            self.owed = self.owed.saturating_sub(bytes.max(1));
        }
        evicted
    }

    /// At the end of a pass: keeps to the limit, evicts for others, and does some chores.
    pub fn end_pass(&mut self, budget: &mut Budget<'_>, outbox: &mut Outbox) {
        self.behind = false;
        // What neighbours' shards have grown by, these evict when they end this pass.
        let theirs = budget.growth_of_neighbours().max(0) as i64;
        if is_over_limit_by(budget, theirs) {
            let room = self.make_room(budget, budget.site.shard_id, EVICTIONS_PER_PASS, theirs);
            budget.note_exceeded(!room);
            self.behind = room && is_over_limit_by(budget, theirs);
        }
        self.pay_debts(budget);
        let shard = budget.shards.home_mut();
        if shard.store().has_chores() {
            shard.store_mut().free_slice();
            // As fast as a busy pass makes holes: about 150 us at the most.
            (0..COMPACTIONS_PER_PASS).all(|_| shard.store_mut().compact(MOVES));
        }
        for (shard, bytes) in self.asks.drain(..) {
            outbox.messages.push((shard, Message::MakeRoom { bytes }));
        }
    }

    /// Evicts what others have asked for, as long as memory is short: room that they have found
    /// elsewhere, or that a higher limit has made, need not be made once more.
    fn pay_debts(&mut self, budget: &mut Budget<'_>) {
        for _ in 0..EVICTIONS_PER_PASS {
            if self.owed == 0 {
                return;
            }
            let asked = (budget.site.maxmemory_bytes() / ASKED_PART) as i64;
            if !is_over_limit_by(budget, -asked) || !self.evict_one(budget, budget.site.shard_id) {
                self.owed = 0;
            }
        }
    }

    /// Another limit or policy is in force here: what was asked for under the former is forgotten.
    /// Its client is told when that is so on every core: until then each has said exactly what it
    /// holds under it, and none goes by what it knew of the others before.
    pub fn limit_changed(&mut self, budget: &mut Budget<'_>) {
        (self.owed, self.given) = (0, 0);
        self.asks.clear();
        self.asked_us = None;
        budget.account.publish(budget.site, budget.shards);
        publish_coldest(budget.site, budget.shards);
        budget.site.shared.memory_epoch.fetch_add(1, Ordering::Release);
    }

    /// In every tick: has other shards share in what this one had to
    /// give since the last.
    pub fn tick(&mut self, budget: &mut Budget<'_>) {
        publish_coldest(budget.site, budget.shards);
        let given = std::mem::take(&mut self.given);
        if given == 0 {
            return;
        }
        self.release_memory(budget);
        let now = budget.site.now.unix_ms;
        let own = u64::from(budget.shards.home().store().oldest_idle_seconds(now));
        if let Some((_, idle)) = budget.coldest_other(DONOR_BYTES_MIN)
            && idle > own + own / 4 + 1
        {
            self.ask(budget, given);
        }
    }

    /// In every tick: notes how much the process holds at most, and whether too much still.
    pub fn sample(&mut self, budget: &mut Budget<'_>) {
        budget.note_peak();
        if budget.account.is_exceeded() {
            let exceeded = self.is_out_of_memory(budget, budget.site.shard_id);
            // Without a limit nothing is exceeded either.
            budget.note_exceeded(exceeded);
        }
    }

    /// While entries are evicted, the allocator keeps what was freed besides them: tables, buffers of
    /// clients. It gives that back when told to, which took 0.3 ms at most when it was measured.
    fn release_memory(&mut self, budget: &Budget<'_>) {
        let now_us = budget.site.now.monotonic_us;
        if now_us >= self.released_us + RELEASE_US {
            self.released_us = now_us;
            budget.site.shared.host.release_memory();
        }
    }

    /// Asks the coldest other core to evict `bytes`, once in a pass; false if there is none.
    fn ask(&mut self, budget: &Budget<'_>, bytes: usize) -> bool {
        let now_us = budget.site.now.monotonic_us;
        if self.asked_us == Some(now_us) {
            return true;
        }
        let Some((core, _)) = budget.coldest_other(0) else { return false };
        self.asked_us = Some(now_us);
        let part = (budget.site.maxmemory_bytes() / ASKED_PART) as usize;
        self.asks.push((core, bytes.max(ASKED_BYTES_MIN).min(part)));
        true
    }

    /// Another core asks for room, of a shard that holds so many bytes.
    pub fn owe(&mut self, bytes: usize, held_bytes: usize) {
        // Two of them may ask at once; neither needs more than there is.
        self.owed = self.owed.saturating_add(bytes).min(held_bytes);
    }

    /// Whether there is more to evict, so that a tick should come soon although nothing happens.
    pub fn has_chores(&self) -> bool {
        self.owed > 0 || self.behind
    }
}

/// Whether something of this or of another shard may be evicted, or is being freed.
fn can_make_room(budget: &Budget<'_>) -> bool {
    let store = budget.shards.home().store();
    store.can_evict() || store.dead_objects() > 0 || budget.coldest_other(0).is_some()
}

/// Whether more is held than may be. What the others hold is asked for once in a pass.
#[inline]
fn is_over_limit(budget: &mut Budget<'_>) -> bool {
    is_over_limit_by(budget, 0)
}

/// Whether more is held than may be by so many bytes; if negative, whether less than so many
/// are left.
#[inline]
fn is_over_limit_by(budget: &mut Budget<'_>, bytes: i64) -> bool {
    let max = budget.site.maxmemory_bytes();
    if max == 0 {
        return false;
    }
    let unknown = match budget.site.shard_count {
        1 => 0,
        cores => {
            let empty = (Store::empty_bytes() * cores) as u64;
            let room = max.saturating_sub(empty);
            (UNKNOWN_BYTES_PER_CORE * cores as u64).min(room / UNKNOWN_PART)
        }
    };
    budget.used() > (max - unknown).saturating_add_signed(bytes)
}
