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
        let hosted = &mut self.hosted[at];
        if is_first_round && hosted.engine.tick_in_us(now) == Some(0) {
            hosted.tell(now, Event::Tick);
        }
        // A core with connections counts its passes: some of its output waits for a few.
        if !hosted.was_told() && !(is_first_round && hosted.core == self.thread) {
            return false;
        }
        hosted.end_pass(now);
        self.deliver_messages(at);
        true
    }

    fn unpack(&mut self, at: usize, parcel: Parcel) {
        let (now, hosted) = (self.now, &mut self.hosted[at]);
        match parcel {
            Parcel::Message { from, message } => {
                hosted.tell(now, Event::Message { from, message });
            }
            Parcel::EffectDone { ticket, result } => {
                hosted.tell(now, Event::EffectDone { ticket, result });
            }
            Parcel::Moved { socket, session } => self.take_over(at, socket, session),
            Parcel::Connection(accepted) => self.serve(accepted),
            Parcel::Arrived(accepted) => self.admit(accepted),
            other => debug_assert!(false, "not for a core: {other:?}"),
        }
    }
}
