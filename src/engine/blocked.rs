//! Clients that wait for data, at the core of their connection: how a wait begins, and how it ends
//! with data, when the time is over, at CLIENT UNBLOCK or with the client. [`crate::shard`] is the
//! side of the shards that own the keys.

use std::sync::Arc;

use super::event::{ConnId, Outbox, ShardId};
use super::hopping::Attempt;
use super::part::PlannedPart;
use super::reply::{reply_later, reply_now};
use super::state::{Core, Here};
use super::transaction::Kind;
use super::{coordinate, hops};
use crate::commands::{CommandError, Row, Wait, WaitsAt};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::reply::Reply;
use crate::session::{Blocked, Session, Stall};
use crate::txn::{LockKey, LockMode, Message, Waiter, Work, planted, shard_of_key};

/// What each shard does at first: one alone tries and has the client wait; several look.
fn parts_of_wait(core: &Core, waiter: &Arc<Waiter>) -> Vec<PlannedPart> {
    let args = waiter.args.as_args();
    let mut parts: Vec<PlannedPart> = Vec::new();
    for position in waiter.row.key_positions(args) {
        let key = args.at(position);
        let shard = shard_of_key(key, core.site.shard_count);
        let lock = LockKey::new(key, LockMode::Exclusive);
        match parts.iter_mut().find(|part| part.shard == shard) {
            Some(part) => part.locks.push(lock),
            None => {
                let work = Work::Wait { waiter: Arc::clone(waiter), alone: false };
                parts.push(PlannedPart { shard, locks: vec![lock], whole_shard: false, work });
            }
        }
    }
    if let [part] = &mut parts[..]
        && let Work::Wait { alone, .. } = &mut part.work
    {
        *alone = true;
    }
    for part in &mut parts {
        LockKey::merge(&mut part.locks);
    }
    parts
}

/// Begins a command that may wait: serves it, or has its client wait until something is there.
pub(super) fn start_wait(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    wait: &'static Wait,
    outbox: &mut Outbox,
) {
    let timeout_us = match (wait.timeout)(args) {
        Ok(timeout_us) => timeout_us,
        Err(error) => {
            core.stats.commands.count_call(row, Some(&error));
            return reply_now(session, |reply| reply.error_bytes(&error.message()));
        }
    };
    let id = core.new_txn();
    let (owned, run_as) = (OwnedArgs::from(args), session.client.run_as());
    let waiter = Arc::new(Waiter::new(id, session.conn, row, owned, run_as));
    let deadline_us =
        timeout_us.map(|timeout_us| core.site.now.monotonic_us.saturating_add(timeout_us));
    let blocked = |sequence| {
        let waiter = Arc::clone(&waiter);
        Box::new(Blocked { waiter, sequence, deadline_us, registered: false })
    };
    if let Some(shard) = may_wait_here(core, session, row, args) {
        let shard = core.shards.get_mut(shard);
        if let Some(position) = shard.first_ready(&waiter) {
            let served = shard.serve_at(&waiter, position);
            reply_now(session, |reply| reply.raw(&served));
            return shard.serve_waiters(None);
        }
        if !waiter.may_wait() {
            let nothing = shard.answer_nothing(&waiter);
            return reply_now(session, |reply| reply.raw(&nothing));
        }
        shard.register_waiter(&waiter);
        let to = reply_later(session, waiter.size());
        session.blocked = Some(blocked(to.sequence));
        return block(core, session);
    }
    let parts = parts_of_wait(core, &waiter);
    let to = if parts.len() > 1 && matches!(wait.at, WaitsAt::FirstKey(_)) {
        let attempt = Attempt { waiter: Arc::clone(&waiter), first: true };
        let (kind, parts) = hops::look_for(core, attempt);
        coordinate::begin(core, session, row, kind, parts, outbox)
    } else {
        let kind = Kind::Wait { waiter: Arc::clone(&waiter), serving: false };
        coordinate::begin(core, session, row, kind, parts, outbox)
    };
    session.blocked = Some(blocked(to.sequence));
}

/// The shard of all keys, if it is at hand and nobody holds any of them. Nothing else of the
/// connection is under way.
fn may_wait_here(
    core: &Core,
    session: &Session,
    row: &'static Row,
    args: Args<'_>,
) -> Option<ShardId> {
    let mut keys = row.key_positions(args).map(|index| args.at(index));
    let first = keys.next();
    let shard = first.map_or(core.site.shard_id, |key| shard_of_key(key, core.site.shard_count));
    let free = keys.all(|key| shard_of_key(key, core.site.shard_count) == shard)
        && core.is_at_hand(session, shard)
        && !core.shards.get(shard).is_locked_for(row, args);
    free.then_some(shard)
}

/// The client waits, registered at all of its keys.
pub(super) fn block(core: &mut Core, session: &mut Session) {
    let Some(blocked) = &mut session.blocked else { return };
    blocked.registered = true;
    session.stall.remove(Stall::TRANSACTION);
    session.stall.insert(Stall::BLOCKED);
    if let Some(deadline_us) = blocked.deadline_us {
        core.agenda.add_deadline(deadline_us, session.conn);
    }
}

/// The wait of a session is over, and its reply is there.
pub(super) fn unblock(core: &mut Core, session: &mut Session, reply: &[u8]) {
    let Some(blocked) = session.blocked.take() else { return };
    forget_deadline(core, session.conn, &blocked);
    session.output.fill(blocked.sequence, reply);
    session.stall.remove(Stall::BLOCKED);
    // It was not idle, however long ago it has sent something.
    session.client.active_us = core.site.now.monotonic_us;
}

fn forget_deadline(core: &mut Core, conn: ConnId, blocked: &Blocked) {
    if let Some(deadline_us) = blocked.deadline_us {
        core.agenda.remove_deadline(deadline_us, conn);
    }
}

/// Tells the shards where somebody waits that it is over, but for the one that knows.
pub(super) fn end_wait_everywhere(
    core: &mut Core,
    waiter: &Waiter,
    knows: Option<ShardId>,
    outbox: &mut Outbox,
) {
    for shard in waiter.shards(core.site.shard_count) {
        if Some(shard) == knows {
            continue;
        }
        if core.shards.is_own(shard) {
            core.shards.home_mut().end_wait(waiter.id);
        } else {
            outbox.messages.push((shard, Message::EndWait(waiter.id)));
        }
    }
}

/// A client has gone, or is about to: nothing is to be taken for it any more.
pub(super) fn forget_wait(core: &mut Core, session: &mut Session, outbox: &mut Outbox) {
    if planted!(core.site, ServedThoughVanished) {
        return;
    }
    let Some(blocked) = session.blocked.take() else { return };
    blocked.waiter.end();
    forget_deadline(core, session.conn, &blocked);
    // Otherwise its attempt is under way, and ends it.
    if blocked.registered {
        end_wait_everywhere(core, &blocked.waiter, None, outbox);
    }
}

/// CLIENT UNBLOCK for a client that may be one of this core's: whether it waited.
pub(super) fn unblock_client(here: &mut Here<'_>, id: u64, with_error: bool) -> bool {
    let session = here.sessions.iter().find(|session| session.client.id == id);
    let Some(conn) = session.map(|session| session.conn) else { return false };
    let text = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
    let error = with_error.then(|| CommandError::text(text));
    end_wait_unserved(here, conn, error)
}

/// Ends the wait of a client without data, unless it has just been served; the client goes on. Whether
/// it did.
pub(super) fn end_wait_unserved(
    here: &mut Here<'_>,
    conn: ConnId,
    error: Option<CommandError>,
) -> bool {
    let Some(session) = here.sessions.get_mut(conn) else { return false };
    let Some(blocked) = session.blocked.as_ref().filter(|blocked| blocked.registered) else {
        return false;
    };
    let waiter = Arc::clone(&blocked.waiter);
    let Some(wait) = waiter.wait().filter(|_| waiter.end()) else { return false };
    let mut out = Vec::new();
    let reply = &mut Reply::new(&mut out, session.client.encoding);
    match &error {
        None => (wait.nothing)(reply),
        Some(error) => reply.error_bytes(&error.message()),
    }
    here.core.stats.commands.count_call(waiter.row, error.as_ref());
    unblock(here.core, session, &out);
    here.wake(conn);
    end_wait_everywhere(here.core, &waiter, None, here.outbox);
    true
}
