//! Commands over several shards all of which are at hand: they run at once, shard by shard, without
//! messages and without locks. Nothing can come between on one thread, so it is as if all locks had
//! been taken at this moment and let go at its end; what somebody else has locked, it waits for as
//! others do, by way of messages.

use super::coordinate::{Kind, Share, Transaction};
use super::event::ShardId;
use super::exec::merge_replies;
use super::pieces::{Piece, Pieces};
use super::reply::ConnReply;
use super::reply::reply_now;
use super::state::Core;
use crate::commands::{Merge, Row};
use crate::protocol::Args;
use crate::protocol::reply::{Reply, Values};
use crate::session::Session;
use crate::txn::RunAs;

impl Core {
    /// Whether commands over several shards may find all of them at hand.
    #[inline]
    pub fn may_run_at_once(&self, session: &Session) -> bool {
        // In an EXEC the locks are held already, and nothing may overtake.
        self.shards.has_neighbours() && session.exec.is_none() && session.output.awaited() == 0
    }

    /// Runs a command of which every shard runs its part, if all are at hand and nobody else locks
    /// what it needs.
    pub fn split_at_once(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        args: Args<'_>,
        how: Merge,
    ) -> bool {
        if !self.may_run_at_once(session) {
            return false;
        }
        let mut scratch = std::mem::take(&mut self.pieces);
        let count =
            scratch.share_out(row, args, self.site.shard_count, |shard| self.shards.has(shard));
        let Pieces { pieces, owners, replies } = &mut scratch;
        let pieces = &mut pieces[..count];
        let is_free = |piece: &Piece| {
            let shard = self.shards.get(piece.shard);
            let args = Args::new(args.bytes(), &piece.spans);
            shard.is_unlocked() || !shard.is_locked_for(row, args)
        };
        let runs = count > 0 && pieces.iter().all(is_free);
        if runs {
            let run_as = session.client.run_as().for_values();
            for piece in &mut *pieces {
                let own = Args::new(args.bytes(), &piece.spans);
                self.shards.get_mut(piece.shard).run(row, own, run_as, replies);
                piece.end = replies.len();
            }
            self.serve_at(pieces.iter().map(|piece| piece.shard));
            let mut start = 0;
            let values = pieces.iter().map(|piece| {
                let values = Values::new(&replies[start..piece.end]);
                start = piece.end;
                values
            });
            let values: Vec<Values<'_>> = values.collect();
            reply_now(session, |reply| self.merge_values(row, how, &values, owners, reply));
        }
        scratch.clear();
        self.pieces = scratch;
        runs
    }

    /// A command is over at these shards: serves who waits for what it left.
    fn serve_at(&mut self, shards: impl Iterator<Item = ShardId>) {
        shards.for_each(|shard| self.shards.get_mut(shard).serve_waiters(None));
    }

    /// Whether the shares of a command can be run at once: see [`Core::run_at_once`].
    pub fn are_at_hand(&self, session: &Session, shares: &[Share]) -> bool {
        let is_free = |share: &Share| {
            self.shards.has(share.shard) && {
                let shard = self.shards.get(share.shard);
                let locks = share.locks.iter().copied();
                // What needs no lock must not see a shard to which a release is still on its way
                // with what the client was told of: until it comes, something is locked there.
                let may_look = !share.whole_shard && !share.locks.is_empty();
                shard.is_unlocked() || may_look && !shard.is_any_locked(locks)
            }
        };
        self.may_run_at_once(session) && shares.iter().all(is_free)
    }

    /// Runs a command whose shares are at hand.
    pub fn run_at_once(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        kind: Kind,
        shares: Vec<Share>,
    ) {
        let run_as = session.client.run_as();
        let reply = ConnReply { conn: session.conn, sequence: 0 };
        let parts = shares.iter().map(|share| (share.shard, false)).collect();
        let work = |share: Share| Some(self.shards.get_mut(share.shard).carry_out(share.work));
        let results = shares.into_iter().map(work).collect();
        let mut transaction = Transaction { reply, row, run_as, kind, parts, results, waiting: 0 };
        loop {
            let next = self.next_works(&mut transaction);
            if next.is_empty() {
                break;
            }
            for (part, work) in next {
                let shard = transaction.parts[part].0;
                let result = self.shards.get_mut(shard).carry_out(work);
                transaction.results[part] = Some(result);
            }
        }
        let reply = self.end_at_once(&mut transaction, run_as);
        self.serve_at(transaction.parts.iter().map(|(shard, _)| *shard));
        reply_now(session, |to| to.raw(&reply));
    }

    /// What such a command is answered with; what it has decided to change is changed.
    fn end_at_once(&mut self, transaction: &mut Transaction, run_as: RunAs) -> Vec<u8> {
        match &transaction.kind {
            Kind::Merge { .. } => self.merge_parts(transaction),
            Kind::Hops(_) => {
                let (reply, changes) = self.end_hops(transaction);
                for (&(shard, _), changes) in transaction.parts.iter().zip(changes) {
                    if let Some(changes) = changes {
                        self.shards.get_mut(shard).apply(changes);
                    }
                }
                reply
            }
            Kind::Exec { owners, .. } => {
                let mut out = Vec::new();
                let reply = &mut Reply::new(&mut out, run_as.encoding);
                merge_replies(&mut transaction.results, owners, reply);
                out
            }
            kind => {
                debug_assert!(false, "{kind:?} does not run at once");
                Vec::new()
            }
        }
    }
}
