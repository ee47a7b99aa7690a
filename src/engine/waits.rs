//! Clients that wait for data go on: served, tried again, or because their time is over.

use std::sync::Arc;

use super::blocked;
use super::hops;
use super::input::{list_output, settle, settle_woken};
use super::reply::ConnReply;
use super::state::Here;
use crate::txn::{Message, ShardId, Waiter};

/// The client of an attempt that found nothing waits from now on.
pub(super) fn begin_wait(here: &mut Here<'_>, to: ConnReply, waiter: &Waiter) {
    match here.sessions.get_mut(to.conn) {
        Some(session) if session.is_blocked_with(waiter.id) => {
            blocked::block(here.core, session);
            settle(here.core, session, here.outbox);
            // If the client has said that it sends no more, that is the end now.
            if !session.listed {
                list_output(session, here.outbox);
            }
        }
        _ => blocked::end_wait_everywhere(here.core, waiter, None, here.outbox),
    }
}

pub(super) fn is_blocked_with(here: &mut Here<'_>, waiter: &Waiter) -> bool {
    let session = here.sessions.get_mut(waiter.conn);
    session.is_some_and(|session| session.is_blocked_with(waiter.id) && !session.dropped)
}

/// A shard has served a client of this core's.
pub(super) fn served(here: &mut Here<'_>, by: ShardId, waiter: &Waiter, reply: &Vec<u8>) {
    here.core.memory.received(reply.capacity());
    blocked::end_wait_everywhere(here.core, waiter, Some(by), here.outbox);
    if let Some(session) = here.sessions.get_mut(waiter.conn)
        && session.is_blocked_with(waiter.id)
    {
        blocked::unblock(here.core, session, reply);
        settle(here.core, session, here.outbox);
    }
}

/// Something may be there for a client of this core's, which has been claimed for it: its
/// command runs as if it had just been sent.
pub(super) fn try_again(here: &mut Here<'_>, waiter: &Arc<Waiter>) {
    let session = here.sessions.get_mut(waiter.conn);
    let Some(blocked) = session.and_then(|session| session.blocked.as_ref()) else { return };
    if blocked.waiter.id == waiter.id {
        let to = ConnReply { conn: waiter.conn, sequence: blocked.sequence };
        hops::start_attempt(here.core, to, waiter, here.outbox);
    }
}

/// A waiter's command has run again, or found that it can't. `reply` is `None` if what it waits
/// for is not there any more.
pub(super) fn end_new_attempt(here: &mut Here<'_>, waiter: &Arc<Waiter>, reply: Option<&[u8]>) {
    if let Some(reply) = reply {
        waiter.end();
        // The shard where it waits waits for the outcome.
        blocked::end_wait_everywhere(here.core, waiter, None, here.outbox);
        if let Some(session) = here.sessions.get_mut(waiter.conn) {
            blocked::unblock(here.core, session, reply);
            settle(here.core, session, here.outbox);
        }
        return;
    }
    // Without its client it does not wait anywhere.
    if !is_blocked_with(here, waiter) {
        return;
    }
    waiter.wait_on();
    for shard in waiter.shards(here.core.site.shard_count) {
        if here.core.shards.is_own(shard) {
            here.core.shards.home_mut().wait_on(waiter.id);
        } else {
            here.outbox.messages.push((shard, Message::WaitOn(waiter.id)));
        }
    }
}

/// Ends the waits whose time is over.
pub(super) fn end_overdue_waits(here: &mut Here<'_>) {
    let now_us = here.core.site.now.monotonic_us;
    while let Some(conn) = here.core.agenda.next_overdue(now_us) {
        blocked::end_wait_unserved(here, conn, None);
        settle_woken(here);
    }
}
