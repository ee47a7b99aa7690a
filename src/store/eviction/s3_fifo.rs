//! S3-FIFO: what is used once never pushes out what is used often.
//!
//! New entries come into the small queue. From its back one that has been used goes to the front
//! of the main queue, any other is evicted and remembered by the ghost; whatever the ghost
//! remembers comes back into the main queue at once. At the back of the main queue an entry goes
//! round again once for each of its uses, of which up to three count.
//!
//! An entry is often used several times in a row and then never again. Such uses must not take it
//! into the main queue, so in the small one those soon after its arrival do not count (Clock2Q+'s
//! correlation window) and a single later one is enough. The paper asks for two uses at any time
//! instead, which lets pairs of uses in and keeps out what comes round once in a while.
//!
//! Sources: J. Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023; Y. Zhai et
//! al., "Clock2Q+: A Simple and Efficient Replacement Algorithm for Metadata Cache in VMware vSAN",
//! <https://arxiv.org/abs/2511.21958>.

use super::{Eviction, MAIN, SMALL};
use crate::store::arena::{Arena, Handle};

/// The small queue is to hold a tenth of everything.
const SMALL_PART: usize = 10;
/// Uses that count; the lowest bits of an entry's statistics.
const USES_MAX: u8 = 3;
const USES_BITS: u32 = 2;
/// Entries that get another round before one is evicted whatever its uses: this bounds a step.
const SECOND_CHANCES_MAX: usize = 128;

/// While so many new entries arrive as the small queue is to hold, so many ticks pass. Entries in
/// it carry the tick of their arrival in the other bits of their statistics.
const TICKS: u32 = 16;
const TICK_MASK: u8 = u8::MAX >> USES_BITS;
/// For so many ticks uses of a new entry do not count.
const IGNORED_TICKS: u8 = 4;

/// How far the small queue has moved on.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// In 2^-16 ticks.
    position: u32,
}

impl Arrivals {
    fn tick(&self) -> u8 {
        (self.position >> 16) as u8 & TICK_MASK
    }

    /// Another entry has come into a small queue that is to hold `len`.
    fn advance(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX).max(1);
        self.position = self.position.wrapping_add((TICKS << 16) / len);
    }

    /// Ticks since the one in the statistics of an entry of the small queue. Modulo 64: what stays
    /// for as long as four small queues may seem to be new for a while.
    fn since(&self, statistics: u8) -> u8 {
        self.tick().wrapping_sub(statistics >> USES_BITS) & TICK_MASK
    }
}

impl Eviction {
    /// Statistics and queue of a new entry.
    #[inline]
    pub(super) fn s3_fifo_place(&mut self, hash: u64) -> (u8, u8) {
        if self.ghost.contains(hash) {
            return (0, MAIN);
        }
        let statistics = self.arrivals.tick() << USES_BITS;
        let part = (self.small.len() + self.main.len()) / SMALL_PART;
        self.arrivals.advance(part.min(self.small.len()));
        (statistics, SMALL)
    }

    #[inline]
    pub(super) fn s3_fifo_used(&self, arena: &mut Arena, handle: Handle) {
        let mut entry = arena.entry_mut(handle);
        let statistics = entry.get().statistics();
        let in_small = entry.get().queue() == SMALL;
        let uses_max = if in_small { 1 } else { USES_MAX };
        let counts = !in_small || self.arrivals.since(statistics) >= IGNORED_TICKS;
        if counts && statistics & USES_MAX < uses_max {
            entry.set_statistics(statistics + 1);
        }
    }

    pub(super) fn s3_fifo_victim(&mut self, arena: &mut Arena) -> Option<Handle> {
        for _ in 0..SECOND_CHANCES_MAX {
            let total = self.small.bytes() + self.main.bytes();
            let small_is_due = self.small.bytes() > total / SMALL_PART;
            let (back, from_small) = match (self.small.back(), self.main.back()) {
                (Some(back), None) => (back, true),
                (Some(back), Some(_)) if small_is_due => (back, true),
                (_, Some(back)) => (back, false),
                (None, None) => return None,
            };
            let uses = arena.entry(back).statistics() & USES_MAX;
            if uses == 0 {
                return Some(back);
            }
            let bytes = self.bytes_of(arena, back);
            let queue = if from_small { &mut self.small } else { &mut self.main };
            queue.unlink(arena, back, bytes);
            // An entry new to the main queue has to show its worth again.
            let uses_left = if from_small { 0 } else { uses - 1 };
            arena.entry_mut(back).set_statistics(uses_left);
            self.main.push_front(arena, back, bytes);
        }
        self.main.back().or(self.small.back())
    }
}
