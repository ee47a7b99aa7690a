//! Commands that every shard can run with its own keys, such as MGET or MSET: taken apart, and their
//! replies put together.

use super::event::{Outbox, ShardId};
use super::local::run_here;
use super::reply::reply_now;
use super::share::Share;
use super::state::Core;
use super::transaction::Kind;
use super::{at_once, coordinate, pair, results};
use crate::commands::{Flags, Merge, Row};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::reply::Values;
use crate::session::Session;
use crate::txn::{LockKey, LockMode, Work, shard_of_key};

/// What one shard is to be sent of a command.
struct Piece {
    shard: ShardId,
    keys: usize,
    /// Of the keys and of what belongs to them.
    bytes: usize,
}

/// Sends every shard the command with its own keys and what belongs to them.
pub(super) fn start_split(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    how: Merge,
    outbox: &mut Outbox,
) {
    if at_once::split_at_once(core, session, row, args, how)
        || pair::start_pair(core, session, row, args, how)
    {
        return;
    }
    let step = row.arguments_per_key();
    let (pieces, owners) = pieces(core, row, args, step);
    let command = args.at(0);
    let empty = |piece: &Piece| {
        let arguments = 1 + piece.keys * step;
        let mut own = OwnedArgs::with_capacity(arguments, command.len() + piece.bytes);
        own.push(command);
        (own, Vec::with_capacity(piece.keys))
    };
    let mut parts: Vec<(OwnedArgs, Vec<LockKey>)> = pieces.iter().map(empty).collect();
    let mode = LockMode::of(row);
    for (position, &part) in row.key_positions(args).zip(&owners) {
        let (own, locks) = &mut parts[part];
        locks.push(LockKey::new(args.at(position), mode));
        args.from(position).iter().take(step).for_each(|argument| own.push(argument));
    }
    let run_as = session.client.run_as().for_values();
    let share = |(piece, (args, mut locks)): (&Piece, (OwnedArgs, Vec<LockKey>))| {
        LockKey::merge(&mut locks);
        let work = Work::Run { row, args, run_as };
        Share { shard: piece.shard, locks, whole_shard: false, work }
    };
    let shares = pieces.iter().zip(parts).map(share).collect();
    let kind = Kind::Merge { merge: how, owners };
    coordinate::begin(core, session, row, kind, shares, outbox);
}

/// How much of the command goes where, so that each part is allocated once; and which piece
/// each key belongs to.
fn pieces(core: &Core, row: &Row, args: Args<'_>, step: usize) -> (Vec<Piece>, Vec<usize>) {
    let mut piece_of_shard = vec![None; core.site.shard_count];
    let mut pieces: Vec<Piece> = Vec::new();
    let mut owners = Vec::with_capacity(args.len() / step);
    for position in row.key_positions(args) {
        let shard = shard_of_key(args.at(position), core.site.shard_count);
        let index = *piece_of_shard[shard].get_or_insert_with(|| {
            pieces.push(Piece { shard, keys: 0, bytes: 0 });
            pieces.len() - 1
        });
        owners.push(index);
        let piece = &mut pieces[index];
        piece.keys += 1;
        piece.bytes += args.from(position).iter().take(step).map(<[u8]>::len).sum::<usize>();
    }
    (pieces, owners)
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
    let share = |shard| Share {
        shard,
        locks: Vec::new(),
        whole_shard,
        work: Work::Run { row, args: args.clone(), run_as },
    };
    let shares = (0..core.site.shard_count).map(share).collect();
    let kind = Kind::Merge { merge: how, owners: Vec::new() };
    coordinate::begin_or_run(core, session, row, kind, shares, outbox);
}
