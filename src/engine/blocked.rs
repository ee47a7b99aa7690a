//! Clients that wait for data, at the core of their connection: how a wait begins, and how it ends
//! with data, when the time is over, at CLIENT UNBLOCK or with the client. [`crate::shard`] is the
//! side of the shards that own the keys.

use std::sync::Arc;

use super::Engine;
use super::coordinate::{Kind, Share, Transaction};
use super::event::{ConnId, Outbox, ShardId};
use super::hops::Attempt;
use super::input::{list_output, settle};
use super::reply::ConnReply;
use super::reply::{reply_later, reply_now};
use super::state::Core;
use crate::commands::{CommandError, Row, Wait, WaitsAt};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::reply::Reply;
use crate::session::{Blocked, Session, Stall};
use crate::txn::{
    Fault, LockKey, LockMode, Message, Part, PartResult, TxnId, Waiter, Work, shard_of_key,
};

impl Core {
    /// Begins a command that may wait: serves it, or has its client wait until something is there.
    pub fn start_wait(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        args: Args<'_>,
        wait: &'static Wait,
        outbox: &mut Outbox,
    ) {
        let timeout_us = match (wait.timeout)(args) {
            Ok(timeout_us) => timeout_us,
            Err(error) => {
                self.stats.commands.count_call(row, Some(&error));
                return reply_now(session, |reply| reply.error_bytes(&error.message()));
            }
        };
        let id = self.new_txn();
        let (owned, run_as) = (OwnedArgs::from(args), session.client.run_as());
        let waiter = Arc::new(Waiter::new(id, session.conn, row, owned, run_as));
        let deadline_us =
            timeout_us.map(|timeout_us| self.site.now.monotonic_us.saturating_add(timeout_us));
        let blocked = |sequence| {
            let waiter = Arc::clone(&waiter);
            Box::new(Blocked { waiter, sequence, deadline_us, registered: false })
        };
        if let Some(shard) = self.may_wait_here(session, row, args) {
            let shard = self.shards.get_mut(shard);
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
            return self.block(session);
        }
        let shares = shares_of_wait(self, &waiter);
        let to = if shares.len() > 1 && matches!(wait.at, WaitsAt::FirstKey(_)) {
            let attempt = Attempt { waiter: Arc::clone(&waiter), first: true };
            let (kind, shares) = self.attempt(attempt);
            self.begin(session, row, kind, shares, outbox)
        } else {
            let kind = Kind::Wait { waiter: Arc::clone(&waiter), serving: false };
            self.begin(session, row, kind, shares, outbox)
        };
        session.blocked = Some(blocked(to.sequence));
    }

    /// The shard of all keys, if it is at hand and nobody holds any of them. Nothing else of the
    /// connection is under way.
    fn may_wait_here(
        &self,
        session: &Session,
        row: &'static Row,
        args: Args<'_>,
    ) -> Option<ShardId> {
        let mut keys = row.key_positions(args).map(|index| args.at(index));
        let first = keys.next();
        let shard =
            first.map_or(self.site.shard_id, |key| shard_of_key(key, self.site.shard_count));
        let free = keys.all(|key| shard_of_key(key, self.site.shard_count) == shard)
            && self.is_at_hand(session, shard)
            && !self.shards.get(shard).is_locked_for(row, args);
        free.then_some(shard)
    }

    /// The client waits, registered at all of its keys.
    fn block(&mut self, session: &mut Session) {
        let Some(blocked) = &mut session.blocked else { return };
        blocked.registered = true;
        session.stall.remove(Stall::TRANSACTION);
        session.stall.insert(Stall::BLOCKED);
        if let Some(deadline_us) = blocked.deadline_us {
            self.wait_deadlines.insert((deadline_us, session.conn));
        }
    }

    /// The wait of a session is over, and its reply is there.
    fn unblock(&mut self, session: &mut Session, reply: &[u8]) {
        let Some(blocked) = session.blocked.take() else { return };
        self.forget_deadline(session.conn, &blocked);
        session.output.fill(blocked.sequence, reply);
        session.stall.remove(Stall::BLOCKED);
        // It was not idle, however long ago it has sent something.
        session.client.active_us = self.site.now.monotonic_us;
    }

    fn forget_deadline(&mut self, conn: ConnId, blocked: &Blocked) {
        if let Some(deadline_us) = blocked.deadline_us {
            self.wait_deadlines.remove(&(deadline_us, conn));
        }
    }

    /// Tells the shards where somebody waits that it is over, but for the one that knows.
    fn end_wait_everywhere(
        &mut self,
        waiter: &Waiter,
        knows: Option<ShardId>,
        outbox: &mut Outbox,
    ) {
        for shard in waiter.shards(self.site.shard_count) {
            if Some(shard) == knows {
                continue;
            }
            if self.shards.is_own(shard) {
                self.shards.home_mut().end_wait(waiter.id);
            } else {
                outbox.messages.push((shard, Message::EndWait(waiter.id)));
            }
        }
    }

    /// A client has gone, or is about to: nothing is to be taken for it any more.
    pub fn forget_wait(&mut self, session: &mut Session, outbox: &mut Outbox) {
        if self.site.planted.is(Fault::ServedThoughVanished) {
            return;
        }
        let Some(blocked) = session.blocked.take() else { return };
        blocked.waiter.end();
        self.forget_deadline(session.conn, &blocked);
        // Otherwise its attempt is under way, and ends it.
        if blocked.registered {
            self.end_wait_everywhere(&blocked.waiter, None, outbox);
        }
    }
}

/// What each shard does at first: one alone tries and has the client wait; several look.
fn shares_of_wait(core: &Core, waiter: &Arc<Waiter>) -> Vec<Share> {
    let args = waiter.args.as_args();
    let mut shares: Vec<Share> = Vec::new();
    for position in waiter.row.key_positions(args) {
        let key = args.at(position);
        let shard = shard_of_key(key, core.site.shard_count);
        let lock = LockKey::new(key, LockMode::Exclusive);
        match shares.iter_mut().find(|share| share.shard == shard) {
            Some(share) => share.locks.push(lock),
            None => {
                let work = Work::Wait { waiter: Arc::clone(waiter), alone: false };
                shares.push(Share { shard, locks: vec![lock], whole_shard: false, work });
            }
        }
    }
    if let [share] = &mut shares[..]
        && let Work::Wait { alone, .. } = &mut share.work
    {
        *alone = true;
    }
    for share in &mut shares {
        LockKey::merge(&mut share.locks);
    }
    shares
}

impl Engine {
    /// All shards have looked for a waiter, and the locks are held. If one of its keys is ready its
    /// shard is to serve it, and the number of parts that are awaited comes back.
    pub(super) fn send_serve(
        &mut self,
        number: u64,
        transaction: &mut Transaction,
        outbox: &mut Outbox,
    ) -> usize {
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
        let txn = TxnId { coordinator: self.core.site.shard_id, number };
        let work = Work::Serve { waiter: Arc::clone(waiter), position };
        let message = Part { txn, locks: Vec::new(), whole_shard: false, work };
        transaction.results[part] = None;
        transaction.waiting = 1;
        outbox.messages.push((transaction.parts[part].0, Message::Part(Box::new(message))));
        1
    }

    /// The attempt of a command that may wait is over. Tells its reply, or `None` if its client
    /// waits; then `waiter` is to be registered at each shard, unless there is only one.
    pub(super) fn end_attempt(
        &mut self,
        transaction: &mut Transaction,
        waiter: &Waiter,
    ) -> Option<Vec<u8>> {
        let replies = transaction.results.iter_mut().filter_map(|result| match result {
            Some(PartResult::Reply(reply)) => Some(std::mem::take(reply)),
            _ => None,
        });
        let reply = replies.last();
        let shard = self.core.shards.home_mut();
        let reply = reply.or_else(|| (!waiter.may_wait()).then(|| shard.answer_nothing(waiter)));
        if reply.is_some() {
            self.forget_attempt(transaction.reply.conn);
        }
        reply
    }

    /// The first attempt for a client has been its last.
    pub(super) fn forget_attempt(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn) {
            session.blocked = None;
        }
    }

    /// The client of an attempt that found nothing waits from now on.
    pub(super) fn begin_wait(&mut self, to: ConnReply, waiter: &Waiter, outbox: &mut Outbox) {
        match self.sessions.get_mut(to.conn) {
            Some(session) if session.is_blocked_with(waiter.id) => {
                self.core.block(session);
                settle(&mut self.core, session, outbox);
                // If the client has said that it sends no more, that is the end now.
                if !session.listed {
                    list_output(session, outbox);
                }
            }
            _ => self.core.end_wait_everywhere(waiter, None, outbox),
        }
    }

    pub(super) fn is_blocked_with(&mut self, waiter: &Waiter) -> bool {
        let session = self.sessions.get_mut(waiter.conn);
        session.is_some_and(|session| session.is_blocked_with(waiter.id) && !session.dropped)
    }

    /// A shard has served a client of this core's.
    pub(super) fn served(
        &mut self,
        by: ShardId,
        waiter: &Waiter,
        reply: &Vec<u8>,
        outbox: &mut Outbox,
    ) {
        self.core.memory.received(reply.capacity());
        self.core.end_wait_everywhere(waiter, Some(by), outbox);
        if let Some(session) = self.sessions.get_mut(waiter.conn)
            && session.is_blocked_with(waiter.id)
        {
            self.core.unblock(session, reply);
            settle(&mut self.core, session, outbox);
        }
    }

    /// Something may be there for a client of this core's, which has been claimed for it: its
    /// command runs as if it had just been sent.
    pub(super) fn try_again(&mut self, waiter: &Arc<Waiter>, outbox: &mut Outbox) {
        let session = self.sessions.get_mut(waiter.conn);
        let Some(blocked) = session.and_then(|session| session.blocked.as_ref()) else { return };
        if blocked.waiter.id == waiter.id {
            let to = ConnReply { conn: waiter.conn, sequence: blocked.sequence };
            self.core.start_attempt(to, waiter, outbox);
        }
    }

    /// A waiter's command has run again, or found that it can't. `reply` is `None` if what it waits
    /// for is not there any more.
    pub(super) fn end_new_attempt(
        &mut self,
        waiter: &Arc<Waiter>,
        reply: Option<&[u8]>,
        outbox: &mut Outbox,
    ) {
        if let Some(reply) = reply {
            waiter.end();
            // The shard where it waits waits for the outcome.
            self.core.end_wait_everywhere(waiter, None, outbox);
            if let Some(session) = self.sessions.get_mut(waiter.conn) {
                self.core.unblock(session, reply);
                settle(&mut self.core, session, outbox);
            }
            return;
        }
        // Without its client it does not wait anywhere.
        if !self.is_blocked_with(waiter) {
            return;
        }
        waiter.wait_on();
        for shard in waiter.shards(self.core.site.shard_count) {
            if self.core.shards.is_own(shard) {
                self.core.shards.home_mut().wait_on(waiter.id);
            } else {
                outbox.messages.push((shard, Message::WaitOn(waiter.id)));
            }
        }
    }

    /// Ends the waits whose time is over.
    pub(super) fn end_overdue_waits(&mut self, outbox: &mut Outbox) {
        while let Some(&(deadline_us, conn)) = self.core.wait_deadlines.first()
            && deadline_us <= self.core.site.now.monotonic_us
        {
            self.core.wait_deadlines.pop_first();
            self.end_wait_unserved(conn, None, outbox);
        }
    }

    /// CLIENT UNBLOCK for a client that may be one of this core's: whether it waited.
    pub(super) fn unblock_client(
        &mut self,
        id: u64,
        with_error: bool,
        outbox: &mut Outbox,
    ) -> bool {
        let session = self.sessions.iter().find(|session| session.client.id == id);
        let Some(conn) = session.map(|session| session.conn) else { return false };
        let text = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
        let error = with_error.then(|| CommandError::text(text));
        self.end_wait_unserved(conn, error, outbox)
    }

    /// Ends the wait of a client without data, unless it has just been served. Whether it did.
    fn end_wait_unserved(
        &mut self,
        conn: ConnId,
        error: Option<CommandError>,
        outbox: &mut Outbox,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(conn) else { return false };
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
        self.core.stats.commands.count_call(waiter.row, error.as_ref());
        self.core.unblock(session, &out);
        settle(&mut self.core, session, outbox);
        self.core.end_wait_everywhere(&waiter, None, outbox);
        true
    }
}
