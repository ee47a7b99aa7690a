//! Runs commands on shards that are at hand, their replies straight into the connection's output.

use bytes::Bytes;

use super::reply::suppress_reply;
use super::state::Core;
use crate::commands::Row;
use crate::protocol::Args;
use crate::session::Session;
use crate::shard::Shard;

/// Runs a command on this core's own shard.
#[inline]
pub(super) fn run_here(core: &mut Core, session: &mut Session, row: &'static Row, args: Args<'_>) {
    run_at(core.shards.home_mut(), session, row, args);
}

/// Runs a command on a shard, its reply straight into the connection's output.
#[inline]
pub(super) fn run_at(shard: &mut Shard, session: &mut Session, row: &'static Row, args: Args<'_>) {
    let suppressed = suppress_reply(session);
    let run_as = session.client.run_as();
    let sends_apart = !suppressed && session.output.may_add_apart();
    let out = session.output.buffer();
    let before = out.len();
    let apart = match &session.lent {
        None if sends_apart => shard.run_apart(row, args, run_as, out),
        None => {
            shard.run(row, args, run_as, out);
            None
        }
        Some(lent) => {
            shard.run_with(lent, row, args, run_as, out);
            None
        }
    };
    if suppressed {
        out.truncate(before);
    }
    session.output.wrote(before);
    if let Some(value) = apart {
        session.output.add_apart(Bytes::from_owner(value));
        session.output.buffer().extend_from_slice(b"\r\n");
    }
    shard.serve_waiters(None);
}
