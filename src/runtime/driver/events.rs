//! What happened, told to the engine.

use super::{Closing, Core, Driver, PARCELS_MAX, Role, conn_of};
use crate::engine::Event;
use crate::runtime::inbox::Parcel;
use crate::runtime::ring::{Chunk, Completion, Key};

impl<C: Core> Driver<C> {
    /// Everything that has happened since the last pass.
    pub(super) fn take_events(&mut self) {
        for conn in self.gone.drain(..) {
            self.core.handle(self.now, Event::Closed { conn }, &mut self.outbox);
        }
        while let Some(completion) = self.ring.next() {
            self.completed(completion);
        }
        for _ in 0..PARCELS_MAX {
            let Some(parcel) = self.inbox.take() else { break };
            // It may be younger than this pass, if the thread had to wait in between. What its
            // sender's client saw expire must have expired here.
            self.now = self.clock.now();
            self.tally.parcels += 1;
            self.unpack(parcel);
        }
        self.due();
    }

    fn completed(&mut self, completion: Completion) {
        match completion {
            Completion::Received { key, chunk } => self.received(key, chunk),
            Completion::Sent { key, bytes } => self.sent(key, bytes),
            Completion::Ended { key, error: None } => self.peer_ended(key),
            Completion::Ended { key, .. } | Completion::SendFailed { key, .. } => {
                self.drop_now(key)
            }
            Completion::Accepted { listener, socket } => self.accepted(listener, socket),
            Completion::AcceptFailed { listener, error } => self.accept_failed(listener, &error),
            Completion::Doorbell => {}
            Completion::NotRung { peer } => {
                // An older kernel: doorbells it is, for all of them.
                self.process.post.not_rung(peer as usize);
            }
            Completion::Timer => self.timer_at_us = None,
        }
    }

    fn received(&mut self, key: Key, chunk: Chunk) {
        self.tally.input_bytes += chunk.len() as u64;
        match &mut self.roles[key.index as usize] {
            Role::Served { closing: Closing::No, .. } => {
                let data = self.ring.data(&chunk);
                let conn = conn_of(key);
                self.core.handle(self.now, Event::Bytes { conn, data }, &mut self.outbox);
            }
            // Nothing it sends now is wanted.
            Role::Served { .. } | Role::Vacant => {}
            Role::Lingering { bytes_left } => {
                *bytes_left = bytes_left.saturating_sub(chunk.len());
                if *bytes_left == 0 {
                    self.ring.close(key);
                }
            }
        }
        self.ring.give_back(chunk);
    }

    fn sent(&mut self, key: Key, bytes: usize) {
        self.tally.output_bytes += bytes as u64;
        let Role::Served { more, closing } = &mut self.roles[key.index as usize] else { return };
        let (again, conn) = (std::mem::take(more) || *closing != Closing::No, conn_of(key));
        self.core.handle(self.now, Event::Sent { conn, bytes }, &mut self.outbox);
        if again {
            self.outbox.output.push(conn);
        }
    }

    /// The peer will send no more, but it may still read: it is sent what it is owed first.
    fn peer_ended(&mut self, key: Key) {
        match &mut self.roles[key.index as usize] {
            Role::Served { closing, .. } => {
                *closing = Closing::PeerEnded;
                self.outbox.output.push(conn_of(key));
                self.ended.push(key);
            }
            Role::Lingering { .. } | Role::Vacant => self.ring.close(key),
        }
    }

    /// Closes at once, and tells the engine if it knows the connection.
    pub(super) fn drop_now(&mut self, key: Key) {
        if !self.ring.is_open(key) {
            return;
        }
        self.ring.close(key);
        self.forget(key);
    }

    /// The engine shall forget this connection in the next pass.
    pub(super) fn forget(&mut self, key: Key) {
        let role = &mut self.roles[key.index as usize];
        if matches!(role, Role::Served { .. }) {
            *role = Role::Vacant;
            self.gone.push(conn_of(key));
            self.count_connection_closed();
        }
    }

    /// A connection has had its moment to end. Not before all that it sent has been executed: some
    /// programs end the stream behind the last of many commands, and then read.
    fn time_is_up(&mut self, key: Key) {
        let is_served = matches!(self.roles[key.index as usize], Role::Served { .. });
        let has_more =
            is_served && self.ring.is_open(key) && self.core.has_more_to_run(conn_of(key));
        if !has_more || !self.deadlines.push(key, self.now.monotonic_us) {
            self.drop_now(key);
        }
    }

    fn unpack(&mut self, parcel: Parcel) {
        let now = self.now;
        match parcel {
            Parcel::Message { from, message } => {
                self.core.handle(now, Event::Message { from, message }, &mut self.outbox);
            }
            Parcel::EffectDone { ticket, result } => {
                self.core.handle(now, Event::EffectDone { ticket, result }, &mut self.outbox);
            }
            Parcel::Connection(accepted) => self.serve(accepted),
            Parcel::Start => self.start_accepting(),
            Parcel::Stop { deadline_us } => self.begin_drain(deadline_us),
        }
    }

    /// What is to be done at certain times.
    fn due(&mut self) {
        let now_us = self.now.monotonic_us;
        if self.core.tick_in_us(self.now) == Some(0) {
            self.core.handle(self.now, Event::Tick, &mut self.outbox);
        }
        while let Some(key) = self.deadlines.pop_due(now_us) {
            self.time_is_up(key);
        }
        if !self.accept_again.is_empty() {
            self.accept_again_if_due();
        }
    }
}
