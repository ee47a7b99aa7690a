//! Commands with keys on several shards: parts go out, results come in, one reply leaves.
//!
//! A command begins when all that its client sent before has been answered, and while it is under
//! way the session runs nothing else: see [`crate::session::UnderWay`]. A command that locks every
//! shard need not wait to begin: its parts come behind what the client sent to each shard before,
//! and are granted when that has been executed.

use super::at_once;
use super::event::Outbox;
use super::part::PlannedPart;
use super::reply::{ConnReply, reply_later};
use super::state::Core;
use super::transaction::{Kind, Transaction};
use crate::commands::Row;
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::session::{Session, Stall};
use crate::txn::{Message, Part, ShardId, TxnId, Work, planted};

/// Sends the parts of a command to their shards, and stalls the session until it is over. In an
/// EXEC whose commands run in turn, the locks are held already. Returns the reply's place.
pub(super) fn begin(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    kind: Kind,
    mut parts: Vec<PlannedPart>,
    outbox: &mut Outbox,
) -> ConnReply {
    if !planted!(core.site, OvertakesOwn) || session.exec.is_some() {
        session.stall.insert(Stall::TRANSACTION);
    }
    let txn = core.new_txn();
    let bytes = parts.iter().map(|part| part.work.bytes()).sum::<usize>();
    let partd = match &kind {
        Kind::Wait { waiter, .. } => waiter.size(),
        Kind::Hops(hopping) => hopping.size(),
        _ => 0,
    };
    if session.exec.is_some() {
        parts.iter_mut().for_each(|part| (part.locks, part.whole_shard) = (vec![], false));
    }
    let reply = reply_later(session, bytes + partd);
    let transaction = Transaction::new(reply, row, session.client.run_as(), kind);
    send_parts(core, txn, transaction, parts, outbox);
    reply
}

/// As [`begin`] for a command that only has to run; if all of it is at hand, it has.
pub(super) fn begin_or_run(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    kind: Kind,
    parts: Vec<PlannedPart>,
    outbox: &mut Outbox,
) {
    if at_once::are_at_hand(core, session, &parts) {
        at_once::run_at_once(core, session, row, kind, parts);
    } else {
        begin(core, session, row, kind, parts, outbox);
    }
}

/// Sends the parts of a command whose session is stalled already.
pub(super) fn send_parts(
    core: &mut Core,
    txn: TxnId,
    mut transaction: Transaction,
    parts: Vec<PlannedPart>,
    outbox: &mut Outbox,
) {
    transaction.waiting = parts.len();
    transaction.results = parts.iter().map(|_| None).collect();
    transaction.parts = Vec::with_capacity(parts.len());
    for PlannedPart { shard, locks, whole_shard, work } in parts {
        let part = Part { txn, locks, whole_shard, work };
        let locking = part.is_locking();
        transaction.parts.push((shard, locking));
        // What every core does comes to all at one moment, or a connection that moves meanwhile
        // could be met twice, or never.
        let task = matches!(part.work, Work::Task(_));
        let ordered = locking || task && !planted!(core.site, TasksNotOrdered);
        let messages = if ordered { &mut outbox.ordered } else { &mut outbox.messages };
        messages.push((shard, Message::Part(Box::new(part))));
    }
    core.coordinator.keep(txn.number, transaction);
}

/// A command with its keys on one shard, when it cannot go there as usual: the locks on its keys
/// are its own.
pub(super) fn start_elsewhere(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    shard: ShardId,
    outbox: &mut Outbox,
) {
    let run_as = session.client.run_as();
    let work = Work::Run { row, args: OwnedArgs::from(args), run_as };
    let part = PlannedPart::new(shard, work);
    begin(core, session, row, Kind::Elsewhere, vec![part], outbox);
}
