//! What the engine wants done at the end of a pass.

use std::time::Duration;

use super::{Closing, Core, Driver, Role, key_of};
use crate::engine::{ConnControl, ConnId, Effect, ShardId};
use crate::runtime::control::Request;
use crate::runtime::inbox::Parcel;
use crate::runtime::linger::LINGER_BYTES_MAX;
use crate::runtime::ring::{Key, Report};

/// Output from so many bytes on may be what an engine waits for before it executes more.
const LARGE_OUTPUT_BYTES: usize = 64 * 1024;

impl<C: Core> Driver<C> {
    /// Empties the outbox. Its vectors keep their memory.
    pub(super) fn carry_out(&mut self) {
        self.deliver_messages();
        if !self.outbox.control.is_empty() {
            let mut control = std::mem::take(&mut self.outbox.control);
            control.drain(..).for_each(|(conn, what)| self.control(conn, what));
            self.outbox.control = control;
        }
        let mut output = std::mem::take(&mut self.outbox.output);
        output.drain(..).for_each(|conn| self.send_output(conn));
        self.outbox.output = output;
        while let Some(key) = self.ended.pop() {
            // Still owed something: it gets a moment, and no more.
            if self.ring.is_open(key) && !self.deadlines.push(key, self.now.monotonic_us) {
                self.drop_now(key);
            }
        }
        if !self.outbox.effects.is_empty() {
            for effect in std::mem::take(&mut self.outbox.effects) {
                self.start_effect(effect);
            }
        }
    }

    fn deliver_messages(&mut self) {
        let from = self.shard;
        if !self.outbox.messages.is_empty() {
            let mut messages = std::mem::take(&mut self.outbox.messages);
            for (to, message) in messages.drain(..) {
                self.put(to, Parcel::Message { from, message });
            }
            self.outbox.messages = messages;
        }
        if !self.outbox.ordered.is_empty() {
            let (core, outbox) = (&mut self.core, &mut self.outbox);
            let (to_wake, inbox) = (&mut self.to_wake, &self.inbox);
            self.process.post.put_ordered(|| {
                core.order(inbox.is_empty(), outbox);
                outbox.ordered.drain(..).map(|(to, message)| {
                    to_wake.push(to);
                    (to, Parcel::Message { from, message })
                })
            });
        }
        // One doorbell per core at most: the first one takes its flag down.
        for core in self.to_wake.drain(..) {
            let ring_peer = |ring| self.ring.ring_peer(ring, core as u32);
            let woken = self.process.post.wake_through(core, ring_peer);
            self.tally.doorbells += u64::from(woken);
        }
    }

    /// Puts a parcel for a core, which is woken when the messages of the pass are delivered.
    pub(super) fn put(&mut self, to: ShardId, parcel: Parcel) {
        self.process.post.put(to, parcel);
        self.to_wake.push(to);
        self.tally.parcels += 1;
    }

    fn control(&mut self, conn: ConnId, what: ConnControl) {
        let key = key_of(conn);
        if !self.ring.is_open(key) {
            return;
        }
        let Some(Role::Served { closing, .. }) = self.roles.get_mut(conn.index as usize) else {
            return;
        };
        match what {
            ConnControl::PauseReading => self.ring.pause(key),
            ConnControl::ResumeReading => {
                if *closing == Closing::No && self.is_receiving() {
                    self.ring.receive(key);
                }
            }
            ConnControl::CloseNow => self.drop_now(key),
            ConnControl::CloseAfterOutput => {
                if *closing == Closing::No {
                    *closing = Closing::Asked;
                }
                self.outbox.output.push(conn);
            }
        }
    }

    /// Sends what the engine has for a connection, unless a send is on its way already; then it
    /// is asked again when that is done.
    #[inline]
    fn send_output(&mut self, conn: ConnId) {
        let key = key_of(conn);
        if !self.ring.can_send(key) {
            if self.ring.is_open(key)
                && let Role::Served { more, .. } = &mut self.roles[conn.index as usize]
            {
                *more = true;
            }
            return;
        }
        let Role::Served { closing, .. } = self.roles[conn.index as usize] else { return };
        let mut buffer = self.ring.spare_buffer();
        self.core.take_output(conn, &mut buffer);
        if !buffer.is_empty() {
            // To close, or to read on from a client that had too much unsent, waits for the end
            // of this send; nothing else does.
            let waited_for = closing != Closing::No || buffer.len() >= LARGE_OUTPUT_BYTES;
            let report = if waited_for { Report::Soon } else { Report::Whenever };
            self.ring.send(key, buffer, report);
            return;
        }
        self.ring.recycle(buffer);
        match closing {
            Closing::No => {}
            Closing::Asked => self.linger(key),
            Closing::PeerEnded if self.core.awaits_replies(conn) => {}
            Closing::PeerEnded => self.drop_now(key),
        }
    }

    /// Everything is sent: ends the stream, and gives the peer time to read it.
    fn linger(&mut self, key: Key) {
        if !self.deadlines.push(key, self.now.monotonic_us) {
            self.drop_now(key);
            return;
        }
        self.forget(key);
        self.roles[key.index as usize] = Role::Lingering { bytes_left: LINGER_BYTES_MAX };
        self.ring.shutdown_write(key);
        // It may have been paused; what it still sends must be read.
        self.ring.receive(key);
    }

    fn start_effect(&mut self, effect: Effect) {
        let shard = self.shard;
        match effect {
            Effect::Sleep { ticket, micros } => {
                std::thread::sleep(Duration::from_micros(micros));
                self.process.post.put(shard, Parcel::EffectDone { ticket, result: Ok(()) });
            }
            Effect::RewriteConfig { ticket, config } => {
                self.process.control.ask(Request::RewriteConfig { shard, ticket, config });
            }
            Effect::Shutdown { now } => {
                self.process.control.ask(Request::Stop { now });
            }
        }
    }
}
