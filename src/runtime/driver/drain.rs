//! The end of a core: stop accepting, answer what has arrived, flush, stop.
//!
//! When told to stop, a core goes on receiving for as many passes as there are bytes waiting
//! (bounded, because under load there always are), then stops receiving. From then on it only
//! finishes what it has begun, for its own clients and for other cores. When no core has had
//! anything to do for a moment, or the deadline is reached, all of them end.
//!
//! A moment is no proof: a core may be busy for longer with what another waits for. So a core with
//! a client that awaits a reply is not quiet, however little happens. Once it receives no more and
//! owes no reply, nothing makes it ask another core for anything again. That is why the cores may
//! look at each other one by one: who was quiet needs nobody any more.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Driver, Role, conn_of};
use crate::runtime::post::Flag;

/// Passes in which a stopping core still receives.
const HARVEST_PASSES_MAX: u32 = 64;
/// How long a core must have had nothing to do to count as quiet.
const QUIET_US: u64 = 20_000;
/// How often a stopping core looks.
const LOOK_US: u64 = 5_000;

/// Which cores have nothing left to do.
#[derive(Debug)]
pub struct Quiet<F = AtomicBool> {
    cores: Vec<F>,
}

impl<F: Flag> Quiet<F> {
    pub fn new(cores: usize) -> Quiet<F> {
        Quiet { cores: (0..cores).map(|_| F::new(false)).collect() }
    }

    /// Takes note of whether a core is quiet; true if all of them are.
    fn settle(&self, core: usize, quiet: bool) -> bool {
        self.cores[core].store(quiet, Ordering::SeqCst);
        quiet && self.cores.iter().all(|core| core.load(Ordering::SeqCst))
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

/// What follows from a pass of a stopping core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Receive,
    StopReceiving,
    /// Nothing is received any more.
    Finish {
        quiet: bool,
    },
}

impl Drain {
    fn new(now_us: u64, deadline_us: u64) -> Drain {
        Drain { deadline_us, passes: 0, receiving: true, active_us: now_us }
    }

    /// Takes note of a pass: whether it received bytes, and whether there was anything to do or
    /// there is anything left to do.
    fn pass(&mut self, now_us: u64, received: bool, busy: bool) -> Step {
        self.passes += 1;
        if busy {
            self.active_us = now_us;
        }
        if !self.receiving {
            return Step::Finish { quiet: now_us >= self.active_us + QUIET_US };
        }
        // The first pass after the news may not have entered the ring since; the second has.
        self.receiving = self.passes <= HARVEST_PASSES_MAX && (received || self.passes <= 2);
        if self.receiving { Step::Receive } else { Step::StopReceiving }
    }

    pub fn next_us(&self, now_us: u64) -> u64 {
        self.deadline_us.min(now_us + LOOK_US)
    }
}

impl Driver {
    pub(super) fn begin_drain(&mut self, deadline_us: u64) {
        if let Some(drain) = &mut self.stop {
            // Told twice: the earlier end counts.
            drain.deadline_us = drain.deadline_us.min(deadline_us);
            return;
        }
        for listener in 0..self.listeners.all().len() {
            self.ring.stop_accepting(listener as u32);
        }
        self.accept_again.clear();
        self.stop_moving();
        self.stop = Some(Drain::new(self.now.monotonic_us, deadline_us));
    }

    /// Called at the end of every pass of a stopping core; true when it may end.
    pub(super) fn drained(&mut self) -> bool {
        let now_us = self.now.monotonic_us;
        let received = self.tally.input_bytes > 0;
        let moved = self.tally.input_bytes + self.tally.output_bytes + self.tally.parcels;
        let has_mail = self.inboxes().any(|inbox| !inbox.is_empty());
        let busy = moved > 0 || self.ring.is_sending() || has_mail || self.owes_replies();
        let Some(drain) = &mut self.stop else { return false };
        match drain.pass(now_us, received, busy) {
            Step::Receive => false,
            Step::StopReceiving => {
                self.stop_receiving();
                false
            }
            Step::Finish { quiet } => {
                let overdue = now_us >= drain.deadline_us;
                self.process.drain.settle(self.thread, quiet) || overdue
            }
        }
    }

    /// Whether a client awaits a reply that another shard, or the control executor, has to give.
    fn owes_replies(&mut self) -> bool {
        self.ring.keys().into_iter().any(|key| {
            matches!(self.roles[key.index as usize], Role::Served { .. })
                && self.awaits_replies(conn_of(key))
        })
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::runtime::post::model::{Model, ModelFlag, NO_FAULT, explore, finds};
    use crate::runtime::post::{Inbox, Post};

    const REQUEST: u8 = 1;
    const REPLY: u8 = 2;

    type ModelPost = Post<Model<NO_FAULT>, u8>;
    type ModelInbox = Inbox<Model<NO_FAULT>, u8>;
    type ModelQuiet = Quiet<ModelFlag<NO_FAULT>>;

    /// A stopping core, for a few passes: then its deadline has come. Before the first one, core 0
    /// has received what it needs core 1 for. True if it ended because all were quiet.
    fn run(
        core: usize,
        post: &ModelPost,
        inbox: &ModelInbox,
        all: &ModelQuiet,
        wait: bool,
    ) -> bool {
        let mut drain = Drain::new(0, u64::MAX);
        let mut awaited = false;
        for pass in 1..6 {
            let mut moved = false;
            if core == 0 && pass == 1 {
                post.deliver(1, REQUEST);
                (moved, awaited) = (true, true);
            }
            while let Some(parcel) = inbox.take() {
                moved = true;
                match parcel {
                    REQUEST => post.deliver(0, REPLY),
                    _ => awaited = false,
                }
            }
            let busy = moved || !inbox.is_empty() || wait && awaited;
            // Every pass lasts long enough to be quiet, however far the other core has got.
            let step = drain.pass(pass * QUIET_US, moved && core == 0, busy);
            if let Step::Finish { quiet } = step
                && all.settle(core, quiet)
            {
                assert!(!awaited, "ended without the reply");
                return true;
            }
        }
        false
    }

    fn two_cores(wait: bool, agreed: &AtomicUsize) {
        let (post, mut mail) = ModelPost::new(2).unwrap();
        let all = Arc::new(ModelQuiet::new(2));
        let (last, first) = (mail.pop().unwrap().core, mail.pop().unwrap().core);
        let other = {
            let (post, all) = (Arc::clone(&post), Arc::clone(&all));
            loom::thread::spawn(move || run(1, &post, &last, &all, wait))
        };
        let ended = run(0, &post, &first, &all, wait);
        if other.join().unwrap() && ended {
            agreed.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn no_core_ends_while_a_reply_is_due() {
        let agreed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&agreed);
        explore(3, move || two_cores(true, &count));
        assert!(agreed.load(Ordering::Relaxed) > 0, "nobody ever ended before its deadline");
        finds("ended without the reply", 2, || two_cores(false, &AtomicUsize::new(0)));
    }

    #[test]
    fn what_has_arrived_is_harvested_first() {
        let mut drain = Drain::new(0, u64::MAX);
        let steps = [false, true, true, false].map(|received| drain.pass(0, received, received));
        assert_eq!(steps, [Step::Receive, Step::Receive, Step::Receive, Step::StopReceiving]);
        assert_eq!(drain.pass(QUIET_US - 1, false, false), Step::Finish { quiet: false });
        assert_eq!(drain.pass(QUIET_US, false, false), Step::Finish { quiet: true });
        let mut drain = Drain::new(0, u64::MAX);
        let receiving = |_: &u32| drain.pass(0, true, true) == Step::Receive;
        assert_eq!((0..1000).take_while(receiving).count(), HARVEST_PASSES_MAX as usize);
    }
}
