//! Commands over several shards all of which are at hand: they run at once, shard by shard, without
//! messages and without locks. Nothing can come between on one thread, so it is as if all locks had
//! been taken at this moment and let go at its end; what somebody else has locked, it waits for as
//! others do, by way of messages.

use super::event::ShardId;
use super::key_parts::{KeyPart, KeyParts};
use super::part::PlannedPart;
use super::reply::{ConnReply, reply_now};
use super::results;
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
    taken: &mut KeyParts,
) -> bool {
    let is_free = |part: &KeyPart| {
        core.shards.has(part.shard) && {
            let shard = core.shards.get(part.shard);
            shard.is_unlocked() || !shard.is_locked_for(row, part.args(args))
        }
    };
    if !may_run_at_once(core, session) || !taken.parts().iter().all(is_free) {
        return false;
    }
    let run_as = session.client.run_as().for_values();
    let (mut replies, mut ends) =
        (std::mem::take(&mut taken.replies), std::mem::take(&mut taken.ends));
    for part in taken.parts() {
        core.shards.get_mut(part.shard).run(row, part.args(args), run_as, &mut replies);
        ends.push(replies.len());
    }
    serve_at(core, taken.parts().iter().map(|part| part.shard));
    let starts = [0].into_iter().chain(ends.iter().copied());
    let values = starts.zip(&ends).map(|(start, &end)| Values::new(&replies[start..end]));
    let values: Vec<Values<'_>> = values.collect();
    let owners = taken.owners();
    reply_now(session, |reply| results::merge_values(core, row, how, &values, owners, reply));
    (taken.replies, taken.ends) = (replies, ends);
    true
}

/// A command is over at these shards: serves who waits for what it left.
fn serve_at(core: &mut Core, shards: impl Iterator<Item = ShardId>) {
    shards.for_each(|shard| core.shards.get_mut(shard).serve_waiters(None));
}

/// Whether the parts of a command can be run at once: see [`run_at_once`].
pub(super) fn are_at_hand(core: &Core, session: &Session, parts: &[PlannedPart]) -> bool {
    let is_free = |part: &PlannedPart| {
        core.shards.has(part.shard) && {
            let shard = core.shards.get(part.shard);
            let locks = part.locks.iter().copied();
            // What needs no lock must not see a shard to which a release is still on its way
            // with what the client was told of: until it comes, something is locked there.
            let may_look = !part.whole_shard && !part.locks.is_empty();
            shard.is_unlocked() || may_look && !shard.is_any_locked(locks)
        }
    };
    may_run_at_once(core, session) && parts.iter().all(is_free)
}

/// Runs a command whose parts are at hand.
pub(super) fn run_at_once(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    kind: Kind,
    parts: Vec<PlannedPart>,
) {
    let run_as = session.client.run_as();
    let reply = ConnReply { conn: session.conn, sequence: 0 };
    let places = parts.iter().map(|part| (part.shard, false)).collect();
    let work = |part: PlannedPart| Some(core.shards.get_mut(part.shard).carry_out(part.work));
    let results = parts.into_iter().map(work).collect();
    let mut transaction = Transaction::new(reply, row, run_as, kind);
    (transaction.parts, transaction.results) = (places, results);
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
