//! The end of a connection, as the engine decides on it.

use super::event::{ConnControl, Outbox};
use crate::session::{Session, Stall};

/// Ends a connection at once, even one that waits for its client to read the rest; what it had not
/// been sent is lost.
pub(super) fn close_now(session: &mut Session, outbox: &mut Outbox) {
    if !session.dropped {
        session.dropped = true;
        session.stall.insert(Stall::CLOSING);
        if let Some(blocked) = &session.blocked {
            // Nobody serves it any more; the rest follows when the connection has ended.
            blocked.waiter.end();
        }
        outbox.control.push((session.conn, ConnControl::CloseNow));
    }
}

/// Ends a connection when its output has been sent, replies of other shards included: `settle`
/// tells the runtime once all are there.
pub(super) fn close_after_output(session: &mut Session) {
    if !session.stall.contains(Stall::CLOSING) {
        session.stall.insert(Stall::CLOSING);
        session.close_when_answered = true;
    }
}
