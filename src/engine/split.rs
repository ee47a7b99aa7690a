//! Commands that every shard can run with its own keys, such as MGET or MSET: taken apart, and their
//! replies put together.

use super::event::Outbox;
use super::key_parts::KeyPart;
use super::local::run_here;
use super::part::PlannedPart;
use super::reply::reply_now;
use super::state::Core;
use super::transaction::Kind;
use super::{at_once, coordinate, pair, results};
use crate::commands::{Flags, Merge, Row};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::reply::Values;
use crate::session::Session;
use crate::txn::{LockKey, LockMode, Work};

/// Has every shard run the command with its own keys and what belongs to them.
pub(super) fn start_split(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    how: Merge,
    outbox: &mut Outbox,
) {
    let mut taken = std::mem::take(&mut core.key_parts);
    taken.deal(row, args, core.site.shard_count);
    if !at_once::split_at_once(core, session, row, args, how, &mut taken)
        && !pair::start_pair(core, session, row, args, how, &taken)
    {
        let mode = LockMode::of(row);
        let run_as = session.client.run_as().for_values();
        let part = |part: &KeyPart| {
            let args = part.args(args);
            let keys = row.key_positions(args);
            let locks = keys.map(|index| LockKey::new(args.at(index), mode)).collect();
            let work = Work::Run { row, args: OwnedArgs::from(args), run_as };
            PlannedPart::locking(part.shard, locks, work)
        };
        let parts = taken.parts().iter().map(part).collect();
        let kind = Kind::Merge { merge: how, owners: taken.owners().to_vec() };
        coordinate::begin(core, session, row, kind, parts, outbox);
    }
    taken.clear();
    core.key_parts = taken;
}

/// A command on every shard. Each is held still until all have answered, as for KEYS, unless
/// the row says that each may answer for a moment of its own, as for DBSIZE.
pub(super) fn start_every_shard(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    how: Merge,
    outbox: &mut Outbox,
) {
    let run_as = session.client.run_as().for_values();
    let whole_shard = !row.flags.contains(Flags::UNSYNCHRONIZED);
    if core.site.shard_count == 1 && (core.shards.home().is_unlocked() || !whole_shard) {
        if how != Merge::Weighted {
            // One shard's answer is all there is to say.
            return run_here(core, session, row, args);
        }
        let mut part = Vec::new();
        let shard = core.shards.home_mut();
        shard.run(row, args, run_as, &mut part);
        shard.serve_waiters(None);
        let parts = [Values::new(&part)];
        return reply_now(session, |reply| {
            results::merge_values(core, row, how, &parts, &[], reply)
        });
    }
    let args = OwnedArgs::from(args);
    let part = |shard| PlannedPart {
        shard,
        locks: Vec::new(),
        whole_shard,
        work: Work::Run { row, args: args.clone(), run_as },
    };
    let parts = (0..core.site.shard_count).map(part).collect();
    let kind = Kind::Merge { merge: how, owners: Vec::new() };
    coordinate::begin_or_run(core, session, row, kind, parts, outbox);
}
