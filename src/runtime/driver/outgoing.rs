//! What the engine wants done at the end of a pass.

use std::time::Duration;

use super::{Closing, Driver, Role, key_of};
use crate::engine::{ConnControl, ConnId, Effect, ShardId};
use crate::runtime::control::Request;
use crate::runtime::hosted::Hosted;
use crate::runtime::inbox::Parcel;
use crate::runtime::linger::LINGER_BYTES_MAX;
use crate::runtime::ring::{Key, Report};
use crate::session::Apart;

/// Output from so many bytes on may be what an engine waits for before it executes more.
const LARGE_OUTPUT_BYTES: usize = 256 * 1024;

impl Driver {
    /// The connection is asked for output at the end of this pass.
    pub(super) fn list_output(&mut self, conn: ConnId) {
        if let Some(own) = self.own() {
            own.outbox.output.push(conn);
        }
    }

    /// Does what a core wants done with its connections and with the process. The vectors of its
    /// outbox keep their memory.
    pub(super) fn carry_out(&mut self, at: usize) {
        if !self.hosted[at].outbox.control.is_empty() {
            let mut control = std::mem::take(&mut self.hosted[at].outbox.control);
            control.drain(..).for_each(|(conn, what)| self.control(conn, what));
            self.hosted[at].outbox.control = control;
        }
        if !self.hosted[at].outbox.output.is_empty() {
            let mut output = std::mem::take(&mut self.hosted[at].outbox.output);
            output.drain(..).for_each(|conn| self.send_output(conn));
            self.hosted[at].outbox.output = output;
        }
        if !self.hosted[at].outbox.effects.is_empty() {
            let core = self.hosted[at].core;
            for effect in std::mem::take(&mut self.hosted[at].outbox.effects) {
                self.start_effect(core, effect);
            }
        }
    }

    /// Peers that have ended and are still owed something get a moment, and no more.
    pub(super) fn end_streams(&mut self) {
        while let Some(key) = self.ended.pop() {
            if self.ring.is_open(key) && !self.deadlines.push(key, self.now.monotonic_us) {
                self.drop_now(key);
            }
        }
    }

    /// Puts a core's messages into the inboxes of those that they are for.
    pub(super) fn deliver_messages(&mut self, at: usize) {
        let hosted = &mut self.hosted[at];
        let from = hosted.core;
        let to_wake = &mut self.to_wake;
        for (to, message) in hosted.outbox.messages.drain(..) {
            self.process.post.put(to, Parcel::Message { from, message });
            to_wake.push(to);
            self.tally.parcels += 1;
        }
        if !hosted.outbox.ordered.is_empty() {
            let Hosted { engine, outbox, inbox, .. } = hosted;
            self.process.post.put_ordered(|| {
                engine.order(inbox.is_empty(), outbox);
                outbox.ordered.drain(..).map(|(to, message)| {
                    to_wake.push(to);
                    (to, Parcel::Message { from, message })
                })
            });
        }
        self.wake_cores();
    }

    /// Wakes the threads of the cores that parcels were put for, each at most once: the first one
    /// takes its flag down.
    pub(super) fn wake_cores(&mut self) {
        for core in self.to_wake.drain(..) {
            // What is for a core of this thread is found before it sleeps.
            if self.hosted.iter().any(|hosted| hosted.core == core) {
                continue;
            }
            let ring_peer = |thread, ring| self.ring.ring_peer(ring, thread as u32);
            let woken = self.process.post.wake_through(core, ring_peer);
            self.tally.doorbells += u64::from(woken);
        }
    }

    /// Puts a parcel for a core, which is woken when the next messages are delivered.
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
            ConnControl::PauseReading => {
                self.ring.pause(key);
                self.moves.forget(key);
            }
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
                self.list_output(conn);
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
        let (apart, has_more) = match self.own() {
            Some(own) => own.engine.take_output_with_apart(conn, &mut buffer),
            None => (None, false),
        };
        if !buffer.is_empty() {
            if has_more && let Role::Served { more, .. } = &mut self.roles[conn.index as usize] {
                *more = true;
            }
            // To close, to send more, or to read on from a client that had too much unsent, waits
            // for the end of this send; nothing else does.
            let bytes = buffer.len() + apart.as_ref().map_or(0, |apart| apart.bytes.len());
            let waited_for = closing != Closing::No || has_more || bytes >= LARGE_OUTPUT_BYTES;
            let report = if waited_for { Report::Soon } else { Report::Whenever };
            match apart {
                None => self.ring.send(key, buffer, report),
                Some(Apart { at, bytes }) => {
                    self.ring.send_around(key, buffer, at, bytes, report);
                }
            }
            return;
        }
        self.ring.recycle(buffer);
        match closing {
            Closing::No => {}
            Closing::Asked => self.linger(key),
            Closing::PeerEnded if self.awaits_replies(conn) => {}
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

    /// Whether the core owes this connection replies.
    pub(super) fn awaits_replies(&mut self, conn: ConnId) -> bool {
        self.own().is_some_and(|own| own.engine.awaits_replies(conn))
    }

    fn start_effect(&mut self, shard: ShardId, effect: Effect) {
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
