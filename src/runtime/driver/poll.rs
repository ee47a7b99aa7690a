//! Looking for work for a moment before going to sleep.
//!
//! To fall asleep and to be woken costs a core more than most requests, and the client whose request
//! wakes it pays part of that. While sleeps are shorter than this anyway, to stay awake is cheaper
//! for both.

use std::hint::spin_loop;
use std::io;
use std::time::{Duration, Instant};

use super::{Driver, add};
use crate::config::BusyPoll;

/// How long `auto` looks, and how long sleeps must lately have been at most, nanoseconds.
const AUTO_LOOK_NS: u64 = 20_000;
const AUTO_SLEEP_NS: u64 = 12_000;
/// A longer sleep counts as this: one of them shall not be remembered for long.
const SLEEP_NS_MAX: u64 = 50_000;

/// How long a thread's moments without work have lately been.
#[derive(Debug)]
pub(super) struct Pauses {
    /// Moving average.
    ns: u64,
}

impl Default for Pauses {
    fn default() -> Self {
        Pauses { ns: SLEEP_NS_MAX }
    }
}

impl Pauses {
    fn note(&mut self, pause: Duration) {
        let ns = u64::try_from(pause.as_nanos()).unwrap_or(SLEEP_NS_MAX).min(SLEEP_NS_MAX);
        self.ns = (self.ns * 7 + ns) / 8;
    }

    fn look_for(&self, setting: BusyPoll) -> Duration {
        match setting {
            BusyPoll::Micros(micros) => Duration::from_micros(u64::from(micros)),
            BusyPoll::Auto if self.ns <= AUTO_SLEEP_NS => Duration::from_nanos(AUTO_LOOK_NS),
            BusyPoll::Auto => Duration::ZERO,
        }
    }
}

impl Driver {
    /// Hands what is queued to the kernel, and waits until there is something to do.
    pub(super) fn wait_for_work(&mut self) -> io::Result<()> {
        let began = Instant::now();
        let look_for = self.pauses.look_for(self.busy_poll());
        if look_for.is_zero() || !self.look_for_work(began, look_for)? {
            if self.park() {
                self.ring.enter(true)?;
                self.unpark();
                self.tally.parks += 1;
            } else {
                self.ring.enter(false)?;
            }
        }
        self.pauses.note(began.elapsed());
        Ok(())
    }

    /// Looks for work so long; true if there was some.
    fn look_for_work(&mut self, began: Instant, look_for: Duration) -> io::Result<bool> {
        self.tally.polls += 1;
        self.ring.enter(false)?;
        let found = loop {
            if self.ring.has_arrivals() || self.inboxes().any(|inbox| !inbox.is_empty()) {
                break true;
            }
            if began.elapsed() >= look_for {
                self.tally.vain_polls += 1;
                break false;
            }
            spin_loop();
        };
        // It has taken processor time, but that is no load.
        let looked_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(0);
        add(&self.process.clocks[self.thread].looked_ns, looked_ns);
        if found {
            self.ring.enter(false)?;
        }
        Ok(found)
    }

    /// As the cores of this thread have it; a thread without cores waits for one.
    fn busy_poll(&self) -> BusyPoll {
        self.hosted.first().map_or(BusyPoll::Micros(0), |hosted| hosted.engine.config().busy_poll)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_pauses_are_waited_out_awake() {
        let mut pauses = Pauses::default();
        assert_eq!(pauses.look_for(BusyPoll::Auto), Duration::ZERO);
        assert_eq!(pauses.look_for(BusyPoll::Micros(7)), Duration::from_micros(7));
        (0..50).for_each(|_| pauses.note(Duration::from_micros(2)));
        assert!(!pauses.look_for(BusyPoll::Auto).is_zero());
        assert_eq!(pauses.look_for(BusyPoll::Micros(0)), Duration::ZERO);
        (0..3).for_each(|_| pauses.note(Duration::from_secs(1)));
        assert_eq!(pauses.look_for(BusyPoll::Auto), Duration::ZERO, "the load has gone");
    }
}
