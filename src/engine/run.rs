//! Runs commands with keys here, on another shard, or on several.

use super::event::Outbox;
use super::local::{run_at, run_here};
use super::reply::suppress_reply;
use super::state::Core;
use super::{hops, split};
use crate::commands::{Row, Spread};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::session::{Destination, Session};
use crate::txn::{OwnedWork, Request, ShardId, shard_of_key};

/// Runs a command with keys here, on another shard, or on several.
#[inline]
pub(super) fn run_keyed(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    spread: Spread,
    shard: ShardId,
    outbox: &mut Outbox,
) {
    if core.site.shard_count == 1 && core.shards.home().is_unlocked() {
        return run_here(core, session, row, args);
    }
    let mut keys = row.key_positions(args).map(|index| args.at(index));
    if matches!(spread, Spread::OneKey)
        || keys.all(|key| shard_of_key(key, core.site.shard_count) == shard) && !row.reaches(args)
    {
        return run_on_shard(core, session, row, args, shard);
    }
    match spread {
        Spread::Split(merge) => split::start_split(core, session, row, args, merge, outbox),
        Spread::Hops(_) | Spread::Reaching(_) | Spread::Wait(_) | Spread::OneKey => {
            hops::start_hops(core, session, row, args, outbox);
        }
    }
}

/// Runs a command whose keys all belong to one shard.
#[inline]
pub(super) fn run_on_shard(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    shard: ShardId,
) {
    let here = core.is_at_hand(session, shard);
    if here && core.shards.get(shard).is_unlocked() {
        return run_at(core.shards.get_mut(shard), session, row, args);
    }
    // Without a key, SCAN would not find that a neighbour's shard is yet to be told of the end of a
    // command that its client has been answered.
    let here = here && (core.shards.is_own(shard) || row.first_key(args).is_some());
    let mut request = Request::new(row, session.conn, 0, session.client.run_as());
    if here && !core.shards.get(shard).must_wait(core.site.shard_id, &request, args) {
        return run_at(core.shards.get_mut(shard), session, row, args);
    }
    let suppressed = suppress_reply(session);
    let fence = row.is_fence(args);
    let destination = if fence { Destination::OneShard(shard) } else { Destination::OneKey(shard) };
    request.sequence = session.await_reply(destination, suppressed, args.bytes().len());
    if here {
        let work = OwnedWork::Command(OwnedArgs::from(args));
        core.wait_for_locks(shard, request, work);
    } else {
        core.links.send_request(shard, request, args);
    }
}
