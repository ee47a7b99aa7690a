//! Connections at rest that go on at another core.
//!
//! Whoever drives the engines takes a session from one and gives it to the other; the client notices
//! nothing. Three things are asked of the driver:
//!
//! - All that the first engine had for others has been delivered before the session leaves it. So
//!   whatever this client has had done is ahead of what it will ask for next, everywhere.
//! - The session is taken, and put into the inbox of the second core, under the mutex of
//!   [`Outbox::ordered`](super::Outbox::ordered), behind what this pass has there, and only if the
//!   inbox of the first core is empty then. So what every core does its part of (CLIENT KILL,
//!   CONFIG SET) meets each session once: the parts come to all cores at one moment under that mutex,
//!   either before the move, and the first core has done its part, or after it, and the second has
//!   the session before its part.
//! - Whatever becomes of the connection on the way, its session is taken over.

use super::connections;
use super::event::{ConnId, Now, Outbox};
use super::{Engine, route_if_needed};
use crate::session::Session;

impl Engine {
    /// Whether a connection could go on at another core now: it is at rest. Neither must bytes from
    /// its client or the end of a send be on their way to this engine.
    pub fn may_move(&mut self, conn: ConnId) -> bool {
        self.sessions.get_mut(conn).is_some_and(|session| session.is_at_rest())
    }

    /// The session of a connection that leaves this core, or `None` if it may not. Between two
    /// passes; see the head of `moves.rs` for when.
    pub fn give_up(&mut self, conn: ConnId) -> Option<Box<Session>> {
        if !self.may_move(conn) {
            return None;
        }
        let session = self.sessions.remove(conn)?;
        // On its way it counts as a message does.
        self.core.memory.forget(&session);
        self.core.memory.sent(session.accounted_bytes);
        Some(session)
    }

    /// A session that another core has given up has no connection any more, and no place here.
    pub fn lose(&mut self, session: Box<Session>) {
        self.core.memory.received(session.accounted_bytes);
    }

    /// A connection goes on here, as `conn`, that another core has given up. As with
    /// [`Event::Open`](super::Event::Open), its place may be taken by one whose end is still to be
    /// told. Call [`Engine::end_pass`] afterwards.
    pub fn take_over(
        &mut self,
        now: Now,
        conn: ConnId,
        mut session: Box<Session>,
        outbox: &mut Outbox,
    ) {
        debug_assert!(session.is_at_rest(), "something was under way when it was given up");
        self.core.set_now(now);
        if let Some(predecessor) = self.sessions.in_place_of(conn) {
            connections::forget_connection(&mut self.here(outbox), predecessor);
        }
        session.conn = conn;
        self.core.memory.received(std::mem::take(&mut session.accounted_bytes));
        self.core.memory.update(&mut session);
        self.sessions.insert(session);
        route_if_needed(&mut self.here(outbox));
    }
}
