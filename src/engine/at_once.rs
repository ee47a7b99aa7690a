//! Commands over several shards all of which are at hand: they run at once, shard by shard, without
//! messages and without locks. Nothing can come between on one thread, so it is as if all locks had
//! been taken at this moment and let go at its end; what somebody else has locked, it waits for as
//! others do, by way of messages.

use super::event::ShardId;
use super::pieces::{Piece, Pieces};
use super::reply::{ConnReply, reply_now};
use super::results;
use super::share::Share;
use super::state::Core;
use super::transaction::{Kind, Transaction};
use crate::commands::{Merge, Row};
use crate::protocol::Args;
use crate::protocol::reply::{Reply, Values};
use crate::session::Session;
use crate::txn::RunAs;

/// Whether commands over several shards may find all of them at hand.
#[inline]
pub(super) fn may_run_at_once(core: &Core, session: &Session) -> bool {
    // In an EXEC the locks are held already, and nothing may overtake.
    core.shards.has_neighbours() && session.exec.is_none() && session.output.awaited() == 0
}

/// Runs a command of which every shard runs its part, if all are at hand and nobody else locks
/// what it needs.
pub(super) fn split_at_once(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    how: Merge,
) -> bool {
    if !may_run_at_once(core, session) {
        return false;
    }
    let mut scratch = std::mem::take(&mut core.pieces);
    let count = scratch.share_out(row, args, core.site.shard_count, |shard| core.shards.has(shard));
    let Pieces { pieces, owners, replies } = &mut scratch;
    let pieces = &mut pieces[..count];
    let is_free = |piece: &Piece| {
        let shard = core.shards.get(piece.shard);
        let args = Args::new(args.bytes(), &piece.spans);
        shard.is_unlocked() || !shard.is_locked_for(row, args)
    };
    let runs = count > 0 && pieces.iter().all(is_free);
    if runs {
        let run_as = session.client.run_as().for_values();
        for piece in &mut *pieces {
            let own = Args::new(args.bytes(), &piece.spans);
            core.shards.get_mut(piece.shard).run(row, own, run_as, replies);
            piece.end = replies.len();
        }
        serve_at(core, pieces.iter().map(|piece| piece.shard));
        let mut start = 0;
        let values = pieces.iter().map(|piece| {
            let values = Values::new(&replies[start..piece.end]);
            start = piece.end;
            values
        });
        let values: Vec<Values<'_>> = values.collect();
        reply_now(session, |reply| results::merge_values(core, row, how, &values, owners, reply));
    }
    scratch.clear();
    core.pieces = scratch;
    runs
}

/// A command is over at these shards: serves who waits for what it left.
fn serve_at(core: &mut Core, shards: impl Iterator<Item = ShardId>) {
    shards.for_each(|shard| core.shards.get_mut(shard).serve_waiters(None));
}

/// Whether the shares of a command can be run at once: see [`Core::run_at_once`].
pub(super) fn are_at_hand(core: &Core, session: &Session, shares: &[Share]) -> bool {
    let is_free = |share: &Share| {
        core.shards.has(share.shard) && {
            let shard = core.shards.get(share.shard);
            let locks = share.locks.iter().copied();
            // What needs no lock must not see a shard to which a release is still on its way
            // with what the client was told of: until it comes, something is locked there.
            let may_look = !share.whole_shard && !share.locks.is_empty();
            shard.is_unlocked() || may_look && !shard.is_any_locked(locks)
        }
    };
    may_run_at_once(core, session) && shares.iter().all(is_free)
}

/// Runs a command whose shares are at hand.
pub(super) fn run_at_once(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    kind: Kind,
    shares: Vec<Share>,
) {
    let run_as = session.client.run_as();
    let reply = ConnReply { conn: session.conn, sequence: 0 };
    let parts = shares.iter().map(|share| (share.shard, false)).collect();
    let work = |share: Share| Some(core.shards.get_mut(share.shard).carry_out(share.work));
    let results = shares.into_iter().map(work).collect();
    let mut transaction = Transaction::new(reply, row, run_as, kind);
    (transaction.parts, transaction.results) = (parts, results);
    loop {
        let next = results::next_works(core, &mut transaction);
        if next.is_empty() {
            break;
        }
        for (part, work) in next {
            let shard = transaction.parts[part].0;
            let result = core.shards.get_mut(shard).carry_out(work);
            transaction.results[part] = Some(result);
        }
    }
    let reply = end_at_once(core, &mut transaction, run_as);
    serve_at(core, transaction.parts.iter().map(|(shard, _)| *shard));
    reply_now(session, |to| to.raw(&reply));
}

/// What such a command is answered with; what it has decided to change is changed.
fn end_at_once(core: &mut Core, transaction: &mut Transaction, run_as: RunAs) -> Vec<u8> {
    match &mut transaction.kind {
        Kind::Merge { .. } => results::merge_parts(core, transaction),
        Kind::Hops(hopping) => {
            let (reply, changes) =
                hopping.end(transaction.parts.len(), core.shards.home_mut().store_mut());
            for (&(shard, _), changes) in transaction.parts.iter().zip(changes) {
                if let Some(changes) = changes {
                    core.shards.get_mut(shard).apply(changes);
                }
            }
            reply
        }
        Kind::Exec { owners, .. } => {
            let mut out = Vec::new();
            let reply = &mut Reply::new(&mut out, run_as.encoding);
            results::merge_replies(&mut transaction.results, owners, reply);
            out
        }
        kind => {
            debug_assert!(false, "{kind:?} does not run at once");
            Vec::new()
        }
    }
}
