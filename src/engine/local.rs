//! Runs commands on shards that are at hand, their replies straight into the connection's output.

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
    let out = session.output.buffer();
    let before = out.len();
    shard.run(row, args, run_as, out);
    if suppressed {
        out.truncate(before);
    }
    session.output.wrote(before);
    shard.serve_waiters(None);
}
