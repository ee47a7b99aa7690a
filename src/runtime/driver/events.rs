//! What happened, told to the engines.

use std::io::ErrorKind;

use bytes::BufMut;

use super::{Closing, Driver, Role, conn_of};
use crate::engine::Event;
use crate::runtime::inbox::Parcel;
use crate::runtime::ring::{Chunk, Completion, Key};

/// Who sends so much at once may have begun a large argument.
const LARGE_RECEIVE_BYTES: usize = 4096;
/// Parts of a large argument that are fetched at a time; then it is others' turn.
const FETCHES_MAX: usize = 8;

impl Driver {
    /// Everything that has happened to this thread since the last pass.
    pub(super) fn take_events(&mut self) {
        // Cores first: they come between two passes of those that are here.
        while let Some(parcel) = self.inbox.take() {
            self.tally.parcels += 1;
            match parcel {
                Parcel::Start => self.start_accepting(),
                Parcel::Stop { deadline_us } => self.begin_drain(deadline_us),
                Parcel::Core(hosted) => self.take(*hosted),
                Parcel::Rearrange => {}
                other => debug_assert!(false, "not for a thread: {other:?}"),
            }
        }
        let mut gone = std::mem::take(&mut self.gone);
        for conn in gone.drain(..) {
            self.tell_own(Event::Closed { conn });
        }
        self.gone = gone;
        while let Some(completion) = self.ring.next() {
            self.completed(completion);
        }
        self.due();
    }

    /// Tells the core that has the connections of this ring.
    pub(super) fn tell_own(&mut self, event: Event<'_>) {
        let now = self.now;
        match self.own().is_some() {
            true => self.turn_to(0).tell(now, event),
            false => debug_assert!(false, "a connection without its core: {event:?}"),
        }
    }

    fn completed(&mut self, completion: Completion) {
        match completion {
            Completion::Received { key, chunk } => self.received(key, chunk),
            Completion::Readable { key } => self.fetch(key),
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
        let bytes = chunk.len();
        self.tally.input_bytes += bytes as u64;
        match &mut self.roles[key.index as usize] {
            Role::Served { closing: Closing::No, .. } => {
                if self.own().is_some() {
                    self.turn_to(0);
                    let data = self.ring.data(&chunk);
                    self.hosted[0].tell(self.now, Event::Bytes { conn: conn_of(key), data });
                }
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
        if bytes >= LARGE_RECEIVE_BYTES {
            self.fetch(key);
        }
    }

    /// Receives the rest of a large argument, as far as it has come, to where it will stay.
    fn fetch(&mut self, key: Key) {
        let is_served =
            matches!(self.roles[key.index as usize], Role::Served { closing: Closing::No, .. });
        if !is_served || self.own().is_none() {
            return;
        }
        self.turn_to(0);
        let conn = conn_of(key);
        for _ in 0..FETCHES_MAX {
            let Some((incoming, missing)) = self.hosted[0].engine.room(conn) else { return };
            let asked = missing.min(incoming.remaining_mut());
            let bytes = match self.ring.fetch(key, incoming, missing) {
                Ok(bytes @ 1..) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The ring reports it.
                Ok(_) | Err(_) => return,
            };
            self.tally.input_bytes += bytes as u64;
            self.hosted[0].tell(self.now, Event::Fetched { conn, bytes });
            if bytes < asked {
                break;
            }
        }
        if self.hosted[0].engine.room(conn).is_some() {
            self.ring.fetch_next(key);
        }
    }

    fn sent(&mut self, key: Key, bytes: usize) {
        self.tally.output_bytes += bytes as u64;
        let Role::Served { more, closing } = &mut self.roles[key.index as usize] else { return };
        let (again, conn) = (std::mem::take(more) || *closing != Closing::No, conn_of(key));
        self.tell_own(Event::Sent { conn, bytes });
        if again {
            self.list_output(conn);
        }
    }

    /// The peer will send no more, but it may still read: it is sent what it is owed first.
    fn peer_ended(&mut self, key: Key) {
        match &mut self.roles[key.index as usize] {
            Role::Served { closing, .. } => {
                *closing = Closing::PeerEnded;
                self.list_output(conn_of(key));
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
        let has_more = is_served
            && self.ring.is_open(key)
            && self.own().is_some_and(|own| own.engine.has_more_to_run(conn_of(key)));
        if !has_more || !self.deadlines.push(key, self.now.monotonic_us) {
            self.drop_now(key);
        }
    }

    /// What is to be done at certain times.
    fn due(&mut self) {
        let now_us = self.now.monotonic_us;
        while let Some(key) = self.deadlines.pop_due(now_us) {
            self.time_is_up(key);
        }
        if !self.accept_again.is_empty() {
            self.accept_again_if_due();
        }
    }
}
