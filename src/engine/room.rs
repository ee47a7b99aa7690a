//! Making room when memory is short, and the chores that give memory back.
//!
//! There is one budget for all cores. Whoever takes memory beyond it lets entries of its own shard
//! be evicted; and so that shards get what they deserve rather than equal slices, it asks the core
//! whose next victim has not been used for longest to evict as much as well. What that frees
//! is whose need comes first: a busy shard grows at the cost of an idle one.

use std::sync::atomic::Ordering;

use super::core::Core;
use super::event::{Outbox, ShardId};
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
/// In place of a second: no entry may be evicted.
const NOTHING_TO_GIVE: u64 = u64::MAX;
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

impl Core {
    /// True if `maxmemory` is reached and nothing may be evicted, which makes commands that take
    /// memory fail. Whichever core takes a command, the shard of its keys makes room: `shard`, if
    /// they have one.
    #[inline]
    pub fn is_out_of_memory(&mut self, shard: ShardId) -> bool {
        let is_here = self.shards.has(shard);
        if !self.is_over_limit() {
            let shard = if is_here { shard } else { self.shard_id };
            return self.shards.get(shard).store().is_nearly_full()
                && !self.shards.get_mut(shard).store_mut().evict(self.now.unix_ms);
        }
        let has_room = match is_here {
            true => self.make_room(shard, EVICTIONS_PER_COMMAND, 0),
            false => self.can_make_room(),
        };
        let out = !has_room && !self.ask_for_room(ASKED_BYTES_MIN);
        self.note_exceeded(out);
        out
    }

    /// Whether something of this or of another shard may be evicted, or is being freed.
    fn can_make_room(&self) -> bool {
        self.shards.home().store().can_evict()
            || self.shards.home().store().dead_objects() > 0
            || self.coldest_other(0).is_some()
    }

    /// Whether more is held than may be. What the others hold is asked for once in a pass.
    #[inline]
    fn is_over_limit(&mut self) -> bool {
        self.is_over_limit_by(0)
    }

    /// Whether more is held than may be by so many bytes; if negative, whether less than so many
    /// are left.
    #[inline]
    fn is_over_limit_by(&mut self, bytes: i64) -> bool {
        let max = self.maxmemory_bytes();
        if max == 0 {
            return false;
        }
        let unknown = match self.shard_count {
            1 => 0,
            cores => {
                let empty = (Store::empty_bytes() * cores) as u64;
                let room = max.saturating_sub(empty);
                (UNKNOWN_BYTES_PER_CORE * cores as u64).min(room / UNKNOWN_PART)
            }
        };
        self.all_memory() > (max - unknown).saturating_add_signed(bytes)
    }

    /// Evicts entries of a shard that is here until no more is over the limit than `left` bytes;
    /// false if none may.
    fn make_room(&mut self, shard: ShardId, evictions_max: usize, left: i64) -> bool {
        if self.shards.get(shard).store().policy().order == Order::Never {
            return self.shards.get(shard).store().dead_objects() > 0;
        }
        for _ in 0..evictions_max {
            if !self.is_over_limit_by(left) {
                return true;
            }
            // What is being given back already comes first.
            if self.shards.get(shard).store().dead_objects() > 0 {
                self.shards.get_mut(shard).store_mut().free_slice();
                return true;
            }
            if !self.let_one_go(shard) {
                return false;
            }
        }
        true
    }

    fn let_one_go(&mut self, shard: ShardId) -> bool {
        let now = self.now.unix_ms;
        let store = self.shards.get_mut(shard).store_mut();
        let before = store.allocated_bytes();
        let evicted = store.evict(now);
        let bytes = before.saturating_sub(store.allocated_bytes());
        self.room.given += bytes;
        if self.shards.is_own(shard) {
            self.room.owed = self.room.owed.saturating_sub(bytes.max(1));
        }
        evicted
    }

    /// At the end of a pass: keeps to the limit, evicts for others, and does some chores.
    pub fn end_pass_of_room(&mut self, outbox: &mut Outbox) {
        self.room.behind = false;
        // What neighbours' shards have grown by, these evict when they end this pass.
        let theirs = self.growth_of_neighbours().max(0) as i64;
        if self.is_over_limit_by(theirs) {
            let room = self.make_room(self.shard_id, EVICTIONS_PER_PASS, theirs);
            self.note_exceeded(!room);
            self.room.behind = room && self.is_over_limit_by(theirs);
        }
        self.pay_debts();
        if self.shards.home().store().has_chores() {
            self.shards.home_mut().store_mut().free_slice();
            // As fast as a busy pass makes holes: about 150 us at the most.
            (0..COMPACTIONS_PER_PASS).all(|_| self.shards.home_mut().store_mut().compact(MOVES));
        }
        for (shard, bytes) in self.room.asks.drain(..) {
            outbox.messages.push((shard, Message::MakeRoom { bytes }));
        }
    }

    /// Lets go what others have asked for, as long as memory is short: room that they have found
    /// elsewhere, or that a higher limit has made, need not be made once more.
    fn pay_debts(&mut self) {
        for _ in 0..EVICTIONS_PER_PASS {
            if self.room.owed == 0 {
                return;
            }
            let asked = (self.maxmemory_bytes() / ASKED_PART) as i64;
            if !self.is_over_limit_by(-asked) || !self.let_one_go(self.shard_id) {
                self.room.owed = 0;
            }
        }
    }

    /// The limit or the policy has changed: what was asked for under the former is forgotten.
    pub fn forget_debts(&mut self) {
        (self.room.owed, self.room.given) = (0, 0);
        self.room.asks.clear();
        self.room.asked_us = None;
    }

    /// In every tick: has other shards share in what this one had to give since the last.
    pub fn tick_of_room(&mut self) {
        self.publish_coldest();
        let given = std::mem::take(&mut self.room.given);
        if given == 0 {
            return;
        }
        self.release_memory();
        let own = u64::from(self.shards.home().store().oldest_idle_seconds(self.now.unix_ms));
        if let Some((_, idle)) = self.coldest_other(DONOR_BYTES_MIN)
            && idle > own + own / 4 + 1
        {
            self.ask_for_room(given);
        }
    }

    /// While entries are evicted, the allocator keeps what was freed besides them: tables, buffers of
    /// clients. It gives that back when told to, which took 0.3 ms at most when it was measured.
    fn release_memory(&mut self) {
        if self.now.monotonic_us >= self.room.released_us + RELEASE_US {
            self.room.released_us = self.now.monotonic_us;
            self.shared.host.release_memory();
        }
    }

    /// Tells the other cores whether this one has something to give, and how cold that is.
    pub fn publish_coldest(&mut self) {
        let now = self.now.unix_ms;
        let second = if self.shards.home().store().can_evict() {
            (now / 1000)
                .saturating_sub(u64::from(self.shards.home().store().oldest_idle_seconds(now)))
        } else {
            NOTHING_TO_GIVE
        };
        self.shared.cores[self.shard_id].coldest_second.store(second, Ordering::Relaxed);
    }

    /// The other core, of those with at least so many bytes, whose next victim has not been used for
    /// longest, and for how many seconds.
    fn coldest_other(&self, bytes_min: isize) -> Option<(ShardId, u64)> {
        let now = self.now.unix_ms / 1000;
        let others = self.shared.cores.iter().enumerate();
        let others = others.filter(|(core, counters)| {
            let bytes = counters.shard_memory.load(Ordering::Relaxed) as isize;
            let gives = counters.coldest_second.load(Ordering::Relaxed) != NOTHING_TO_GIVE;
            *core != self.shard_id && bytes >= bytes_min && gives
        });
        let idle = |second: u64| now.saturating_sub(second);
        others
            .map(|(core, counters)| (core, idle(counters.coldest_second.load(Ordering::Relaxed))))
            .max_by_key(|(_, idle)| *idle)
    }

    /// Asks the coldest other core to evict `bytes`, once in a pass; false if there is none.
    fn ask_for_room(&mut self, bytes: usize) -> bool {
        if self.room.asked_us == Some(self.now.monotonic_us) {
            return true;
        }
        let Some((core, _)) = self.coldest_other(0) else { return false };
        self.room.asked_us = Some(self.now.monotonic_us);
        let part = (self.maxmemory_bytes() / ASKED_PART) as usize;
        self.room.asks.push((core, bytes.max(ASKED_BYTES_MIN).min(part)));
        true
    }

    /// Another core asks for room.
    pub fn owe_room(&mut self, bytes: usize) {
        // Two of them may ask at once; neither needs more than there is.
        self.room.owed =
            self.room.owed.saturating_add(bytes).min(self.shards.home().store().allocated_bytes());
    }

    /// Whether a tick should come soon, although nothing happens.
    pub fn has_chores(&self) -> bool {
        self.room.owed > 0
            || self.room.behind
            || self.shards.home().store().has_chores()
            || self.sweep_goes_on
    }
}
