//! The end of a core: stop accepting, answer what has arrived, flush, stop.
//!
//! When told to stop, a core goes on receiving for as many passes as there are bytes waiting
//! (bounded, because under load there always are), then stops receiving. From then on it only
//! finishes what it has begun, for its own clients and for other cores. When no core has had
//! anything to do for a moment, or the deadline is reached, all of them end.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Core, Driver, Role};

/// Passes in which a stopping core still receives.
const HARVEST_PASSES_MAX: u32 = 64;
/// How long a core must have had nothing to do to count as quiet.
const QUIET_US: u64 = 20_000;
/// How often a stopping core looks.
const LOOK_US: u64 = 5_000;

/// Which cores have nothing left to do.
#[derive(Debug)]
pub struct Quiet {
    cores: Vec<AtomicBool>,
}

impl Quiet {
    pub fn new(cores: usize) -> Quiet {
        Quiet { cores: (0..cores).map(|_| AtomicBool::new(false)).collect() }
    }

    fn all(&self) -> bool {
        self.cores.iter().all(|core| core.load(Ordering::SeqCst))
    }
}

/// The state of a stopping core.
#[derive(Debug)]
pub(super) struct Drain {
    deadline_us: u64,
    passes: u32,
    receiving: bool,
    /// When there was something to do last.
    active_us: u64,
}

impl Drain {
    pub fn next_us(&self, now_us: u64) -> u64 {
        self.deadline_us.min(now_us + LOOK_US)
    }
}

impl<C: Core> Driver<C> {
    pub(super) fn begin_drain(&mut self, deadline_us: u64) {
        if let Some(drain) = &mut self.stop {
            // Told twice: the earlier end counts.
            drain.deadline_us = drain.deadline_us.min(deadline_us);
            return;
        }
        for listener in 0..self.listeners.len() {
            self.ring.stop_accepting(listener as u32);
        }
        self.accept_again.clear();
        self.stop = Some(Drain {
            deadline_us,
            passes: 0,
            receiving: true,
            active_us: self.now.monotonic_us,
        });
    }

    /// Called at the end of every pass of a stopping core; true when it may end.
    pub(super) fn drained(&mut self) -> bool {
        let now_us = self.now.monotonic_us;
        let sending = self.ring.is_sending();
        let mail = !self.inbox.is_empty();
        let received = self.tally.input_bytes > 0;
        let Some(drain) = &mut self.stop else { return false };
        drain.passes += 1;
        let moved = self.tally.input_bytes + self.tally.output_bytes + self.tally.parcels;
        if moved > 0 || sending || mail {
            drain.active_us = now_us;
        }
        // The first pass after the news may not have entered the ring since; the second has.
        let harvested = drain.passes > 2 && !received || drain.passes > HARVEST_PASSES_MAX;
        if drain.receiving && harvested {
            drain.receiving = false;
            self.stop_receiving();
            return false;
        }
        let quiet = !drain.receiving && now_us >= drain.active_us + QUIET_US;
        self.process.drain.cores[self.shard].store(quiet, Ordering::SeqCst);
        now_us >= drain.deadline_us && !drain.receiving || quiet && self.process.drain.all()
    }

    /// Whether new bytes are still wanted.
    pub(super) fn is_receiving(&self) -> bool {
        self.stop.as_ref().is_none_or(|drain| drain.receiving)
    }

    fn stop_receiving(&mut self) {
        for key in self.ring.keys() {
            if matches!(self.roles[key.index as usize], Role::Served { .. }) {
                self.ring.pause(key);
            }
        }
    }

    /// Ends every stream, so that clients read what they were sent and then the end.
    pub(super) fn say_goodbye(&mut self) {
        for key in self.ring.keys() {
            self.ring.shutdown_write(key);
        }
    }
}
