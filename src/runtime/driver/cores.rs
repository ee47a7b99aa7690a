//! A pass of the cores that this thread runs.

use super::Driver;
use crate::engine::Event;
use crate::runtime::inbox::Parcel;

/// Parcels taken from an inbox at a time; the rest waits for the next round.
const PARCELS_MAX: usize = 1024;
/// How often the cores of a thread are gone through in one pass, because they have sent each other
/// something. A command of several shards takes up to six messages one after the other.
const ROUNDS_MAX: usize = 8;

impl Driver {
    /// Lets every core that was told something end its pass, until they have nothing for each other.
    pub(super) fn run_cores(&mut self) {
        for round in 0..ROUNDS_MAX {
            let mut any = false;
            for at in 0..self.hosted.len() {
                any |= self.run_core(at, round == 0);
            }
            if !any {
                break;
            }
        }
        // Only now, so that what several rounds have for one connection is one send.
        for at in 0..self.hosted.len() {
            self.carry_out(at);
        }
        self.end_streams();
        self.wake_cores();
    }

    /// Whether the core had something to do.
    fn run_core(&mut self, at: usize, is_first_round: bool) -> bool {
        for _ in 0..PARCELS_MAX {
            let Some(parcel) = self.hosted[at].inbox.take() else { break };
            // It may be younger than this pass, if the thread had to wait in between. What its
            // sender's client saw expire must have expired here.
            self.now = self.clock.now();
            self.tally.parcels += 1;
            self.unpack(at, parcel);
        }
        let now = self.now;
        if self.hosted[at].tick_at_us().is_some_and(|tick_at| tick_at <= now.monotonic_us)
            && is_first_round
        {
            self.turn_to(at).tell(now, Event::Tick);
        }
        let hosted = &self.hosted[at];
        // A core with connections counts its passes: some of its output waits for a few.
        let counts = is_first_round && hosted.core == self.thread;
        if !(counts || hosted.was_told()) {
            return false;
        }
        self.end_pass(at);
        // Before any output leaves: what was done to a neighbour's shard is for its core to tell.
        while let Some(touched) = self.hosted[self.holder].engine.next_touched() {
            let Some(at) = self.hosted.iter().position(|hosted| hosted.core == touched) else {
                debug_assert!(false, "shard {touched} was run on without its core");
                break;
            };
            self.end_pass(at);
        }
        true
    }

    fn end_pass(&mut self, at: usize) {
        let now = self.now;
        self.turn_to(at).end_pass(now);
        self.deliver_messages(at);
    }

    fn unpack(&mut self, at: usize, parcel: Parcel) {
        let now = self.now;
        let hosted = self.turn_to(at);
        match parcel {
            Parcel::Message { from, message } => {
                hosted.tell(now, Event::Message { from, message });
            }
            Parcel::EffectDone { ticket, result } => {
                hosted.tell(now, Event::EffectDone { ticket, result });
            }
            Parcel::Moved { socket, session } => self.take_over(at, socket, session),
            Parcel::Connection(accepted) => {
                let core = hosted.core;
                self.serve(accepted, core);
            }
            Parcel::Arrived(accepted) => self.admit(accepted),
            other => debug_assert!(false, "not for a core: {other:?}"),
        }
    }
}
