//! Commands that take a while end: the results are here, one reply leaves, the session goes on.

use std::sync::Arc;

use super::event::{ConnId, Outbox, Ticket};
use super::every_core::AnyRound;
use super::input::{settle, settle_woken};
use super::reply::ConnReply;
use super::state::{Core, Here};
use super::transaction::{Kind, Transaction};
use super::{results, waits, watch};
use crate::protocol::reply::{Encoding, Reply};
use crate::session::Stall;
use crate::txn::{
    Changes, Message, Part, PartDone, PartResult, Release, TxnId, Waiter, Work, planted,
};

/// What comes of a command over several shards.
#[derive(Default)]
struct EndOf {
    reply: Vec<u8>,
    /// By part.
    changes: Vec<Option<Changes>>,
    /// The locks stay until an EXEC is over.
    keeps_locks: bool,
    /// Its client waits from now on.
    waits: Option<Arc<Waiter>>,
}

pub(super) fn part_done(here: &mut Here<'_>, done: PartDone) {
    let number = done.txn.number;
    let Some(transaction) = here.core.coordinator.get_mut(number) else { return };
    let part = transaction.parts.iter().position(|(shard, _)| *shard == done.shard);
    let Some(part) = part.filter(|&part| transaction.results[part].is_none()) else {
        debug_assert!(false, "a part answered twice, or was never asked");
        return;
    };
    transaction.results[part] = Some(done.result);
    if planted!(here.core.site, ReleasedEarly) && transaction.parts[part].1 {
        transaction.parts[part].1 = false;
        let release = Release::of(done.txn);
        here.outbox.messages.push((done.shard, Message::Release(Box::new(release))));
    }
    transaction.waiting -= 1;
    if transaction.waiting == 0
        && let Some(transaction) = here.core.coordinator.take(number)
    {
        finish(here, number, transaction);
    }
}

/// Sends what parts are to do next, their locks being held; false if there is nothing.
fn send_next(here: &mut Here<'_>, number: u64, transaction: &mut Transaction) -> bool {
    // Its client has gone: it never runs.
    if let Some(attempt) = transaction.attempt()
        && !waits::is_blocked_with(here, &attempt.waiter)
    {
        return false;
    }
    let next = results::next_works(here.core, transaction);
    transaction.waiting = next.len();
    let txn = TxnId { coordinator: here.core.site.shard_id, number };
    for (part, work) in next {
        transaction.results[part] = None;
        let message = Part { txn, locks: Vec::new(), whole_shard: false, work };
        let message = Message::Part(Box::new(message));
        here.outbox.messages.push((transaction.parts[part].0, message));
    }
    transaction.waiting > 0
}

/// Every core has stopped its clients, but what it had sent for them may not have come to its
/// shard yet, or wait there for locks. Locking all shards comes behind all of that.
fn send_fence(here: &mut Here<'_>, number: u64, transaction: &mut Transaction) -> bool {
    let Kind::EveryCore { round, fenced } = &mut transaction.kind else { return false };
    if !round.is_fenced() || std::mem::replace(fenced, true) {
        return false;
    }
    let txn = TxnId { coordinator: here.core.site.shard_id, number };
    for (shard, locking) in &mut transaction.parts {
        *locking = true;
        let work = Work::Hold { watcher: None };
        let part = Part { txn, locks: Vec::new(), whole_shard: true, work };
        here.outbox.ordered.push((*shard, Message::Part(Box::new(part))));
    }
    transaction.results.fill_with(|| None);
    transaction.waiting = transaction.parts.len();
    true
}

/// Every result is here and every lock is held: this is the moment the command takes effect.
fn finish(here: &mut Here<'_>, number: u64, mut transaction: Transaction) {
    // Until here the results were held for this command, wherever they were.
    let results = transaction.results.iter().flatten();
    here.core.memory.received(results.map(PartResult::bytes).sum());
    if send_next(here, number, &mut transaction)
        || send_serve(here, number, &mut transaction) > 0
        || send_fence(here, number, &mut transaction)
    {
        here.core.coordinator.keep(number, transaction);
        return;
    }
    let mut end = end_of(here, number, &mut transaction);
    if planted!(here.core.site, LocksOfVanishedKept)
        && here.sessions.get_mut(transaction.reply.conn).is_none()
    {
        return;
    }
    if let Some(attempt) = transaction.attempt().filter(|attempt| attempt.first) {
        match end.reply.is_empty() {
            true => end.waits = Some(Arc::clone(&attempt.waiter)),
            false => forget_attempt(here, transaction.reply.conn),
        }
    }
    release_parts(here.core, number, &transaction, &mut end, here.outbox);
    match (&end.waits, transaction.attempt()) {
        (Some(waiter), _) => waits::begin_wait(here, transaction.reply, waiter),
        (None, Some(attempt)) if !attempt.first => {
            let reply = (!end.reply.is_empty()).then_some(&*end.reply);
            waits::end_new_attempt(here, &attempt.waiter, reply);
        }
        (None, _) => complete(here, transaction.reply, &end.reply),
    }
}

/// What comes of a command whose results are all here.
fn end_of(here: &mut Here<'_>, number: u64, transaction: &mut Transaction) -> EndOf {
    let mut end = EndOf::default();
    let encoding = transaction.run_as.encoding;
    end.reply = match &mut transaction.kind {
        Kind::Merge { .. } => results::merge_parts(here.core, transaction),
        Kind::Hops(hopping) => {
            let store = here.core.shards.home_mut().store_mut();
            let (reply, changes) = hopping.end(transaction.parts.len(), store);
            end.changes = changes;
            reply
        }
        Kind::Wait { waiter, .. } => {
            let waiter = Arc::clone(waiter);
            let reply = end_attempt(here, transaction, &waiter);
            end.waits = reply.is_none().then_some(waiter);
            reply.unwrap_or_default()
        }
        Kind::EveryCore { round, .. } => finish_round(here, &**round, encoding),
        Kind::Elsewhere => match transaction.results.first_mut().and_then(Option::take) {
            Some(PartResult::Reply(reply)) => reply,
            _ => Vec::new(),
        },
        Kind::Watch { .. } => {
            finish_watch(here, transaction);
            let mut out = Vec::new();
            Reply::new(&mut out, encoding).ok();
            out
        }
        Kind::Exec { owners, .. } => {
            let mut out = Vec::new();
            let reply = &mut Reply::new(&mut out, encoding);
            results::merge_replies(&mut transaction.results, owners, reply);
            out
        }
        Kind::Hold => {
            let (reply, holds) = hold_for_exec(here, number, transaction);
            end.keeps_locks = holds && !planted!(here.core.site, ExecInterleaved);
            reply
        }
    };
    end
}

/// Fills the slot of a command that stalled its session, and lets the session go on.
pub(super) fn complete(here: &mut Here<'_>, to: ConnReply, reply: &[u8]) {
    if let Some(session) = here.sessions.get_mut(to.conn) {
        session.output.fill(to.sequence, reply);
        session.stall.remove(Stall::TRANSACTION);
        session.client.active_us = here.core.site.now.monotonic_us;
        settle(here.core, session, here.outbox);
        if session.gone
            && !session.is_exec_running()
            && let Some(session) = here.sessions.forget(to.conn)
        {
            here.core.memory.forget(&session);
        }
    }
}

/// A command is over: its shards get its changes, and the locks go unless it keeps them.
fn release_parts(
    core: &mut Core,
    number: u64,
    transaction: &Transaction,
    end: &mut EndOf,
    outbox: &mut Outbox,
) {
    let txn = TxnId { coordinator: core.site.shard_id, number };
    let mut changes = std::mem::take(&mut end.changes).into_iter();
    for &(shard, locking) in &transaction.parts {
        let changes = changes.next().flatten();
        // Under the locks of an EXEC, what changes goes without a lock of its own.
        if locking && !end.keeps_locks || changes.is_some() {
            // A shard that is the only one has it wait already.
            let late = planted!(core.site, WaitsTooLate);
            let waiter = end.waits.clone().filter(|_| late || transaction.parts.len() > 1);
            let release = Release { txn, changes, waiter };
            core.memory.sent(release.bytes());
            if core.shards.is_own(shard) {
                core.release(release);
            } else {
                outbox.messages.push((shard, Message::Release(Box::new(release))));
            }
        }
    }
}

/// All shards have looked for a waiter, and the locks are held. If one of its keys is ready its
/// shard is to serve it, and the number of parts that are awaited comes back.
pub(super) fn send_serve(here: &mut Here<'_>, number: u64, transaction: &mut Transaction) -> usize {
    let Kind::Wait { waiter, serving } = &mut transaction.kind else { return 0 };
    let ready = |result: &Option<PartResult>| match result {
        Some(PartResult::Ready(position)) => *position,
        _ => None,
    };
    let first = transaction.results.iter().enumerate();
    let first = first.filter_map(|(part, result)| Some((ready(result)?, part))).min();
    let Some((position, part)) = first else { return 0 };
    // If its client has gone meanwhile there is nobody to be served.
    if std::mem::replace(serving, true) || !waiter.claim() {
        return 0;
    }
    let txn = TxnId { coordinator: here.core.site.shard_id, number };
    let work = Work::Serve { waiter: Arc::clone(waiter), position };
    let message = Part { txn, locks: Vec::new(), whole_shard: false, work };
    transaction.results[part] = None;
    transaction.waiting = 1;
    here.outbox.messages.push((transaction.parts[part].0, Message::Part(Box::new(message))));
    1
}

/// The attempt of a command that may wait is over. Tells its reply, or `None` if its client
/// waits; then `waiter` is to be registered at each shard, unless there is only one.
pub(super) fn end_attempt(
    here: &mut Here<'_>,
    transaction: &mut Transaction,
    waiter: &Waiter,
) -> Option<Vec<u8>> {
    let replies = transaction.results.iter_mut().filter_map(|result| match result {
        Some(PartResult::Reply(reply)) => Some(std::mem::take(reply)),
        _ => None,
    });
    let reply = replies.last();
    let shard = here.core.shards.home_mut();
    let reply = reply.or_else(|| (!waiter.may_wait()).then(|| shard.answer_nothing(waiter)));
    if reply.is_some() {
        forget_attempt(here, transaction.reply.conn);
    }
    reply
}

/// All locks of an EXEC are held whose commands run in turn. If what it watches is whole, it
/// begins; tells what EXEC replies before those of the commands, and whether the locks stay.
pub(super) fn hold_for_exec(
    here: &mut Here<'_>,
    number: u64,
    transaction: &Transaction,
) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let reply = &mut Reply::new(&mut out, transaction.run_as.encoding);
    let Some(session) = here.sessions.get_mut(transaction.reply.conn) else {
        return (out, false);
    };
    let Some(exec) = &mut session.exec else { return (out, false) };
    let holds = results::watches_are_whole(&transaction.results);
    if holds {
        let txn = TxnId { coordinator: here.core.site.shard_id, number };
        let shards = transaction.parts.iter().map(|(shard, _)| *shard).collect();
        exec.held = Some((txn, shards));
        exec.started = true;
        reply.array(exec.commands.len());
    } else {
        session.exec = None;
        session.stall.remove(Stall::EXEC);
        reply.null_array();
    }
    (out, holds)
}

/// All keys of a WATCH are watched. If the connection has gone, nobody else will forget them.
pub(super) fn finish_watch(here: &mut Here<'_>, transaction: &Transaction) {
    let Kind::Watch { watcher } = transaction.kind else { return };
    if here.sessions.get_mut(transaction.reply.conn).is_none() {
        for &(shard, _) in &transaction.parts {
            watch::forget_watcher(here.core, shard, watcher, here.outbox);
        }
    }
}

/// This core's part of a command that every core does.
pub(super) fn run_task(here: &mut Here<'_>, part: Part) {
    let Part { txn, work: Work::Task(task), .. } = part else { return };
    // The layer that carries messages cannot name the type; nothing else is ever put in.
    match task.downcast::<Arc<dyn AnyRound>>() {
        Ok(round) => round.run(here),
        // The answer is missing: the client gets an error.
        Err(_) => debug_assert!(false, "a task of another type"),
    }
    settle_woken(here);
    let done = PartDone { txn, shard: here.core.site.shard_id, result: PartResult::Done };
    if txn.coordinator == here.core.site.shard_id {
        part_done(here, done);
    } else {
        here.outbox.messages.push((txn.coordinator, Message::PartDone(Box::new(done))));
    }
}

/// The reply, when every core has done its part.
pub(super) fn finish_round(
    here: &mut Here<'_>,
    round: &dyn AnyRound,
    encoding: Encoding,
) -> Vec<u8> {
    let mut out = Vec::new();
    round.finish(here, &mut Reply::new(&mut out, encoding));
    out
}

/// The first attempt for a client has been its last.
pub(super) fn forget_attempt(here: &mut Here<'_>, conn: ConnId) {
    if let Some(session) = here.sessions.get_mut(conn) {
        session.blocked = None;
    }
}

/// A piece of blocking work has ended: its command is answered.
pub(super) fn effect_done(here: &mut Here<'_>, ticket: Ticket, result: Result<(), String>) {
    let Some(to) = here.core.effects.end(ticket) else { return };
    let mut out = Vec::new();
    if let Some(session) = here.sessions.get_mut(to.conn) {
        let mut reply = Reply::new(&mut out, session.client.encoding);
        match result {
            Ok(()) => reply.ok(),
            Err(text) => reply.error(&format!("ERR {text}")),
        }
    }
    complete(here, to, &out);
}
