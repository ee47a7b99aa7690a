//! Replies to clients: written at once, or into a slot that is filled later.

use crate::commands::{CommandError, ReplyMode, Row};
use crate::protocol::reply::Reply;
use crate::session::Session;
use crate::shard::Statistics;
use crate::txn::ConnId;

/// A reply slot of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ConnReply {
    pub conn: ConnId,
    pub sequence: u32,
}

/// Whether CLIENT REPLY drops the reply to the command now beginning.
#[inline]
pub(super) fn suppress_reply(session: &mut Session) -> bool {
    if let Some(exec) = &session.exec {
        return exec.skipped || session.client.reply_mode == ReplyMode::Off;
    }
    session.client.reply_mode == ReplyMode::Off || std::mem::take(&mut session.client.skip_reply)
}

/// Writes a reply that is ready now.
pub(super) fn reply_now(session: &mut Session, write: impl FnOnce(&mut Reply<'_>)) {
    let suppressed = suppress_reply(session);
    let encoding = session.client.encoding;
    let out = session.output.buffer();
    let before = out.len();
    write(&mut Reply::new(out, encoding));
    if suppressed {
        out.truncate(before);
    }
    session.output.wrote(before);
}

/// The reply slot of a command that is answered later, and of which `request_bytes` are held
/// meanwhile. The session is stalled, so that they are counted and need no bound.
pub(super) fn reply_later(session: &mut Session, request_bytes: usize) -> ConnReply {
    let suppressed = suppress_reply(session);
    ConnReply { conn: session.conn, sequence: session.output.reserve(suppressed, request_bytes) }
}

/// Answers with an error from before the handler ran.
pub(super) fn refuse(statistics: &mut Statistics, session: &mut Session, error: &CommandError) {
    statistics.count_error(error);
    reply_now(session, |reply| reply.error_bytes(&error.message()));
}

/// Answers with the error of a command whose call has been counted.
pub(super) fn fail(
    statistics: &mut Statistics,
    session: &mut Session,
    row: &'static Row,
    error: &CommandError,
) {
    statistics.of(row).failed += 1;
    refuse(statistics, session, error);
}
