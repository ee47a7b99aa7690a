//! What makes room when memory is short.
//!
//! Every entry is in one of two queues, linked through the entries. S3-FIFO uses both; LRU keeps
//! the main one in the order of use. The other policies compare a few entries chosen at random, as
//! Redis does. `benches/eviction.rs` measures what they are worth.

mod evict;
mod ghost;
mod lfu;
mod s3_fifo;
#[cfg(test)]
mod tests;

use ghost::Ghost;
pub use lfu::{LfuSettings, frequency};
use s3_fifo::Arrivals;

use super::arena::{Arena, Handle};
use super::queue::Queue;
use super::{UnixMs, split_mix};

/// Which entries are evicted, and in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub order: Order,
    /// Only entries that have an expiry.
    pub only_expiring: bool,
    /// How many entries the policies that choose at random compare.
    pub samples: usize,
    pub lfu: LfuSettings,
}

/// How an entry was used where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It was last used so long ago.
    IdleSeconds(u64),
    /// On the logarithmic scale of the LFU policies.
    Frequency(u8),
}

/// An entry remembers no more.
const IDLE_SECONDS_MAX: u64 = 47 * 24 * 60 * 60;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// None is evicted.
    #[default]
    Never,
    S3Fifo,
    /// Least recently used first.
    Lru,
    /// Least frequently used first.
    Lfu,
    Random,
    /// Soonest to expire first.
    Ttl,
}

const SMALL: u8 = 1;
const MAIN: u8 = 2;

/// An entry that was put at the front of the queue while the last of so many parts of it came there
/// is left where it is: the queue is as good as in order.
const LRU_PARTS: usize = 64;
/// Other policies leave lower statistics in entries of the main queue that have not been used.
const LRU_FIRST_EPOCH: u8 = 6;

#[derive(Debug)]
pub struct Eviction {
    policy: Policy,
    small: Queue,
    main: Queue,
    ghost: Ghost,
    /// Under S3-FIFO.
    arrivals: Arrivals,
    /// Under LRU entries carry the epoch in which they were last put at the front.
    epoch: u8,
    put_in_epoch: usize,
    random_state: u64,
    /// Uses do not count at the moment.
    untouched: bool,
}

impl Eviction {
    /// What a new entry carries before [`Eviction::added`].
    pub const FIRST_QUEUE: u8 = SMALL;

    pub fn new(policy: Policy) -> Eviction {
        Eviction {
            policy,
            small: Queue::new(SMALL),
            main: Queue::new(MAIN),
            ghost: Ghost::default(),
            arrivals: Arrivals::default(),
            epoch: LRU_FIRST_EPOCH,
            put_in_epoch: 0,
            random_state: 0,
            untouched: false,
        }
    }

    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Whether uses count from now on; they do at first.
    pub(super) fn set_touching(&mut self, touching: bool) {
        self.untouched = !touching;
    }

    /// The queues stay: whatever their order, the next policy goes on from it.
    pub fn set_policy(&mut self, policy: Policy) {
        if policy.order != self.policy.order {
            self.ghost = Ghost::default();
            self.epoch = LRU_FIRST_EPOCH;
        }
        self.policy = policy;
    }

    /// Bytes of what is remembered about entries that are gone.
    #[inline]
    pub fn allocated_bytes(&self) -> usize {
        self.ghost.allocated_bytes()
    }

    /// What the policy accounts for an entry.
    #[inline]
    pub(super) fn bytes_of(&self, arena: &Arena, handle: Handle) -> usize {
        let block = arena.class_bytes(arena.class_of_block(handle));
        let entry = arena.entry(handle);
        block + entry.outside().bytes
    }

    fn queue(&mut self, id: u8) -> &mut Queue {
        if id == SMALL { &mut self.small } else { &mut self.main }
    }

    /// A new entry, in no queue yet.
    #[inline]
    pub(super) fn added(&mut self, arena: &mut Arena, handle: Handle, hash: u64) {
        let bytes = self.bytes_of(arena, handle);
        let (statistics, into) = match self.policy.order {
            Order::S3Fifo => self.s3_fifo_place(hash),
            Order::Lru => (self.lru_stamp(), MAIN),
            Order::Lfu => (lfu::INITIAL, MAIN),
            Order::Never | Order::Random | Order::Ttl => (0, MAIN),
        };
        arena.entry_mut(handle).set_statistics(statistics);
        self.queue(into).push_front(arena, handle, bytes);
    }

    /// An entry has been read or written.
    #[inline]
    pub(super) fn used(&mut self, arena: &mut Arena, handle: Handle, now: UnixMs) {
        if self.untouched {
            return;
        }
        match self.policy.order {
            Order::S3Fifo => self.s3_fifo_used(arena, handle),
            Order::Lru => self.move_to_front(arena, handle),
            Order::Lfu => {
                let random = split_mix(&mut self.random_state);
                let mut entry = arena.entry_mut(handle);
                let used =
                    self.policy.lfu.used(frequency(entry.get(), self.policy.lfu, now), random);
                entry.set_statistics(used);
            }
            Order::Never | Order::Random | Order::Ttl => {}
        }
        arena.entry_mut(handle).set_accessed(now);
    }

    /// As if an entry had been used like that here.
    pub(super) fn set_usage(
        &mut self,
        arena: &mut Arena,
        handle: Handle,
        usage: Usage,
        now: UnixMs,
    ) {
        match (usage, self.policy.order) {
            (Usage::Frequency(frequency), Order::Lfu) => {
                arena.entry_mut(handle).set_statistics(frequency);
            }
            (Usage::Frequency(_), _) | (_, Order::Lfu) => {}
            (Usage::IdleSeconds(seconds), _) => {
                let accessed = now.saturating_sub(seconds.min(IDLE_SECONDS_MAX) * 1000);
                arena.entry_mut(handle).set_accessed(accessed);
            }
        }
    }

    /// The epoch, for an entry that now comes to the front of the main queue.
    fn lru_stamp(&mut self) -> u8 {
        let epoch = self.epoch;
        self.put_in_epoch += 1;
        if self.put_in_epoch > (self.small.len() + self.main.len()) / LRU_PARTS {
            self.put_in_epoch = 0;
            self.epoch = epoch.wrapping_add(1);
        }
        epoch
    }

    fn move_to_front(&mut self, arena: &mut Arena, handle: Handle) {
        let entry = arena.entry(handle);
        if entry.statistics() == self.epoch && entry.queue() == MAIN {
            return;
        }
        arena.entry_mut(handle).set_statistics(self.lru_stamp());
        if arena.entry(handle).queue() == MAIN {
            self.main.move_to_front(arena, handle);
        } else {
            let bytes = self.bytes_of(arena, handle);
            self.small.unlink(arena, handle, bytes);
            self.main.push_front(arena, handle, bytes);
        }
    }

    /// An entry that is about to be freed.
    #[inline]
    pub(super) fn removed(&mut self, arena: &mut Arena, handle: Handle) {
        let bytes = self.bytes_of(arena, handle);
        let id = arena.entry(handle).queue();
        self.queue(id).unlink(arena, handle, bytes);
    }

    /// An entry now lies in the block `to`.
    pub(super) fn moved(&mut self, arena: &mut Arena, from: Handle, to: Handle) {
        let id = arena.entry(to).queue();
        self.queue(id).replace(arena, from, to);
    }

    #[inline]
    pub(super) fn resized(&mut self, arena: &Arena, handle: Handle, before: usize, after: usize) {
        let id = arena.entry(handle).queue();
        self.queue(id).resized(before, after);
    }

    /// Seconds since the entry that is evicted next was last used.
    pub(super) fn oldest_idle_seconds(&self, arena: &Arena, now: UnixMs) -> Option<u32> {
        let back = self.main.back().or(self.small.back())?;
        Some(arena.entry(back).idle_seconds(now))
    }
}

#[cfg(test)]
impl Eviction {
    /// Checks the queues and returns what is in them.
    pub fn check(&self, arena: &Arena) -> std::collections::HashSet<Handle> {
        let mut all = std::collections::HashSet::new();
        for queue in [&self.small, &self.main] {
            for (handle, bytes) in queue.check(arena, |handle| self.bytes_of(arena, handle)) {
                assert!(bytes > 0 && all.insert(handle), "{handle:?} is in a queue twice");
            }
        }
        all
    }
}
