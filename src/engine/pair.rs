//! Commands with keys on this shard and one other: half of each runs here, half runs there.
//!
//! Such a command need not lock anything on the other shard. Its own keys are locked first, then the
//! other half is sent as a request is that needs one shard only: it waits its turn, runs, and holds
//! nothing. When it runs every other lock is held, so that moment is where the command takes effect.
//! This shard's half runs when the answer is here, on keys that nobody could change meanwhile; then
//! their locks go. One message each way, and nothing to release.
//!
//! What rules out deadlocks is still that any two commands come to every shard that they part in
//! one order, that of the mutex: see [`crate::txn`]. The halves are put into the inboxes under it,
//! in front of this pass's parts, and at that moment this core's own inbox is empty. So what was
//! put there before has come to this shard before the locks were taken, and the rest comes behind.
//! If the inbox is not empty, or a key is not free, the command is sent as parts after all.

use super::coordinate;
use super::event::Outbox;
use super::key_parts::KeyParts;
use super::pairs::{Pair, Units, locks_of};
use super::part::PlannedPart;
use super::reply::{ConnReply, reply_later};
use super::state::Core;
use super::transaction::{Kind, Transaction};
use crate::commands::{Merge, Row};
use crate::protocol::Args;
use crate::session::{Session, Stall};
use crate::txn::{CommandList, Message, Request, TxnId, Unit, Work, planted, shard_of_key};

/// Arguments of so many bytes are not copied once more: as parts, they move.
const PAIR_BYTES_MAX: usize = 64 * 1024;
/// Whose half a key belongs to, as [`super::merge`] counts the parts.
const OWN: usize = 0;
const OTHERS: usize = 1;

/// Begins a command, which has been taken apart, if its keys are on this shard and exactly one other.
pub(super) fn start_pair(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    how: Merge,
    taken: &KeyParts,
) -> bool {
    // In an EXEC the locks are held already, and this shard's half may not overtake.
    if session.exec.is_some() || args.bytes().len() > PAIR_BYTES_MAX {
        return false;
    }
    let parts = taken.parts();
    let own = parts.iter().position(|part| part.shard == core.site.shard_id);
    let Some(own) = own.filter(|_| parts.len() == 2) else { return false };
    let other = 1 - own;
    let mut pair = new_pair(core, session, row, how);
    parts[own].args(args).iter().for_each(|argument| pair.own_args.push(argument));
    parts[other].args(args).iter().for_each(|argument| pair.other_args.push(argument));
    pair.other = parts[other].shard;
    let owner = |&part: &usize| if part == own { OWN } else { OTHERS };
    pair.owners.extend(taken.owners().iter().map(owner));
    let bytes = pair.own_args.size() + pair.other_args.size();
    begin_pair(core, session, pair, bytes);
    true
}

/// Begins an EXEC without watches if its commands are each on this shard or on exactly one
/// other; otherwise its commands come back.
pub(super) fn start_pair_of_units(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    queued: CommandList,
    watches: bool,
) -> Option<CommandList> {
    if watches || queued.size() > PAIR_BYTES_MAX {
        return Some(queued);
    }
    let mut pair = new_pair(core, session, row, Merge::ByKey);
    let (mut own, mut other) = (CommandList::default(), CommandList::default());
    let mut other_shard = None;
    let run_as = pair.run_as.for_values();
    for (row, args) in queued.iter() {
        let key = row.first_key(args);
        // What has no key runs here.
        let shard = key.map_or(core.site.shard_id, |key| shard_of_key(key, core.site.shard_count));
        let (owner, half): (usize, &mut CommandList) = if shard == core.site.shard_id {
            (OWN, &mut own)
        } else if *other_shard.get_or_insert(shard) == shard {
            (OTHERS, &mut other)
        } else {
            other_shard = None;
            break;
        };
        pair.owners.push(owner);
        half.push(row, args);
    }
    match other_shard {
        Some(shard) if own.locks().next().is_some() => {
            let unit = |commands| Unit { commands, run_as, watched: None };
            let bytes = own.size() + other.size();
            pair.other = shard;
            pair.units = Some(Units { own: unit(own), other: Some(Box::new(unit(other))) });
            begin_pair(core, session, pair, bytes);
            None
        }
        _ => {
            core.pairs.keep(pair);
            Some(queued)
        }
    }
}

fn begin_pair(core: &mut Core, session: &mut Session, mut pair: Box<Pair>, request_bytes: usize) {
    if !planted!(core.site, OvertakesOwn) {
        session.stall.insert(Stall::TRANSACTION);
    }
    pair.reply = reply_later(session, request_bytes);
    core.pairs.begun.push(pair);
}

fn new_pair(core: &mut Core, session: &Session, row: &'static Row, how: Merge) -> Box<Pair> {
    let run_as = session.client.run_as();
    let txn = core.new_txn();
    let reply = ConnReply { conn: session.conn, sequence: 0 };
    let Some(mut spare) = core.pairs.take_spare() else {
        let (own_args, other_args) = Default::default();
        let (merge, other, units, owners) = (how, 0, None, Vec::new());
        return Box::new(Pair {
            reply,
            txn,
            row,
            merge,
            run_as,
            other,
            own_args,
            other_args,
            units,
            owners,
        });
    };
    (spare.reply, spare.txn, spare.row, spare.merge) = (reply, txn, row, how);
    spare.run_as = run_as;
    spare
}

/// Locks the own keys of the pairs begun in this pass and sends the others' halves, in front of
/// what is `ordered` already. [`super::Engine::order`] must follow.
pub(super) fn flush_pairs(core: &mut Core, outbox: &mut Outbox) {
    debug_assert!(core.pairs.granted.is_empty(), "nobody asked for their order");
    if core.pairs.begun.is_empty() {
        return;
    }
    let mut begun = std::mem::take(&mut core.pairs.begun);
    for mut pair in begun.drain(..) {
        if !core.shards.home_mut().try_lock(pair.txn, pair.own_locks()) {
            send_as_parts(core, pair, outbox);
            continue;
        }
        let ConnReply { conn, sequence } = pair.reply;
        let request = Request::new(pair.row, conn, sequence, pair.run_as.for_values());
        let unit = pair.units.as_mut().and_then(|units| units.other.take());
        core.links.send_half(pair.other, request, pair.other_args.as_args(), unit);
        core.pairs.granted.push(pair.reply);
        core.pairs.under_way.insert(pair.reply, pair);
    }
    core.pairs.begun = begun;
    core.pairs.messages = core.links.flush_halves(&mut outbox.ordered);
    if planted!(core.site, ReleasedEarly) {
        let mut all: Vec<TxnId> = core.pairs.under_way.values().map(|pair| pair.txn).collect();
        all.sort_unstable();
        all.into_iter().for_each(|txn| core.shards.home_mut().unlock_by_mistake(txn));
    }
}

/// See [`super::Engine::order`].
fn withdraw_pairs(core: &mut Core, outbox: &mut Outbox) {
    for (shard, message) in outbox.ordered.drain(..std::mem::take(&mut core.pairs.messages)) {
        let Message::Requests(mut batch) = message else { continue };
        core.links.answered(shard, batch.requests.len());
        let mut units = std::mem::take(&mut batch.units);
        for request in batch.requests.iter().filter(|request| request.is_unit()) {
            let to = ConnReply { conn: request.conn, sequence: request.sequence };
            if let Some(pair) = core.pairs.under_way.get_mut(&to)
                && let Some(own) = &mut pair.units
            {
                own.other = request.take_unit(&mut units);
            }
        }
    }
    for reply in std::mem::take(&mut core.pairs.granted) {
        let Some(pair) = core.pairs.under_way.remove(&reply) else { continue };
        core.shards.home_mut().unlock(pair.txn);
        send_as_parts(core, pair, outbox);
    }
}

/// Sends the command to both shards as one that locks there.
fn send_as_parts(core: &mut Core, mut pair: Box<Pair>, outbox: &mut Outbox) {
    let Pair { reply, txn, row, merge, run_as, other, .. } = *pair;
    let owners = std::mem::take(&mut pair.owners);
    let (parts, kind) = match pair.units.take() {
        Some(Units { own, other: unit }) => {
            let commands = [Some(own), unit.map(|unit| *unit)].into_iter().flatten();
            let shards = [core.site.shard_id, other].into_iter();
            let parts = shards.zip(commands).map(|(shard, Unit { commands, .. })| {
                let locks = commands.locks().collect();
                PlannedPart::locking(shard, locks, Work::Exec { commands, run_as })
            });
            (parts.collect(), Kind::Exec { owners, then: Vec::new() })
        }
        None => {
            let halves = [(core.site.shard_id, &mut pair.own_args), (other, &mut pair.other_args)];
            // Their answers are merged as the halves' would have been.
            let run_as = run_as.for_values();
            let parts = halves.into_iter().map(|(shard, args)| {
                let (locks, args) = (locks_of(row, args.as_args()), std::mem::take(args));
                let run_as = run_as.for_values();
                PlannedPart::locking(shard, locks, Work::Run { row, args, run_as })
            });
            (parts.collect(), Kind::Merge { merge, owners })
        }
    };
    let transaction = Transaction::new(reply, row, run_as, kind);
    coordinate::send_parts(core, txn, transaction, parts, outbox);
    core.pairs.keep(pair);
}

/// Settles the order of this pass's pairs: see [`super::Engine::order`].
pub(super) fn order(core: &mut Core, inbox_is_empty: bool, outbox: &mut Outbox) {
    if !inbox_is_empty && !planted!(core.site, OrderNotSettled) {
        withdraw_pairs(core, outbox);
    }
    core.pairs.granted.clear();
    core.pairs.messages = 0;
}
