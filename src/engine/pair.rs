//! Commands with keys on this shard and one other: half of each runs here, half runs there.
//!
//! Such a command need not lock anything on the other shard. Its own keys are locked first, then the
//! other half is sent as a request is that needs one shard only: it waits its turn, runs, and holds
//! nothing. When it runs every other lock is held, so that moment is where the command takes effect.
//! This shard's half runs when the answer is here, on keys that nobody could change meanwhile; then
//! their locks go. One message each way, and nothing to release.
//!
//! What rules out deadlocks is still that any two commands come to every shard that they share in
//! one order, that of the mutex: see [`crate::txn`]. The halves are put into the inboxes under it,
//! in front of this pass's parts, and at that moment this core's own inbox is empty. So what was
//! put there before has come to this shard before the locks were taken, and the rest comes behind.
//! If the inbox is not empty, or a key is not free, the command is sent as parts after all.

use hashbrown::HashMap;

use super::Engine;
use super::coordinate::{Begun, Kind, Share};
use super::core::{ConnReply, Core};
use super::dispatch::reply_later;
use super::event::{Outbox, ShardId};
use crate::commands::{Merge, Row};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::resp::Version;
use crate::session::{Session, Stall};
use crate::txn::{Fault, LockKey, LockMode, RemoteReply, Request, TxnId, Work, shard_of_key};

/// Pairs that have ended, kept with their buffers for the next ones.
const SPARES_MAX: usize = 64;
const SPARE_BYTES_MAX: usize = 8 * 1024;
/// The buffers that replies are put together in keep so much.
const KEPT_CAPACITY_MAX: usize = 64 * 1024;

/// Whose half a key belongs to, as [`super::merge::merge`] counts the parts.
const OWN: usize = 0;
const OTHERS: usize = 1;

/// A command of which another shard runs one half.
#[derive(Debug)]
struct Pair {
    reply: ConnReply,
    txn: TxnId,
    row: &'static Row,
    merge: Merge,
    db: u8,
    version: Version,
    other: ShardId,
    own_args: OwnedArgs,
    other_args: OwnedArgs,
    /// By key.
    owners: Vec<usize>,
}

impl Pair {
    /// Bytes of the buffers, filled or not.
    fn memory(&self) -> usize {
        self.own_args.capacity_bytes()
            + self.other_args.capacity_bytes()
            + self.owners.capacity() * size_of::<usize>()
    }
}

#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "pairs move from list to list")]
pub(super) struct Pairs {
    /// Begun in this pass, nothing locked yet.
    begun: Vec<Box<Pair>>,
    /// Locked at the end of this pass, and not withdrawn yet.
    granted: Vec<ConnReply>,
    /// The messages with their halves, which lead this pass's `ordered`.
    messages: usize,
    /// By where their replies go, and so those of the other halves.
    under_way: HashMap<ConnReply, Box<Pair>>,
    spare: Vec<Box<Pair>>,
    spare_bytes: usize,
    /// Scratch.
    own_reply: Vec<u8>,
    reply: Vec<u8>,
}

impl Pairs {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty() && self.begun.is_empty()
    }

    /// Bytes kept for the next ones.
    pub fn memory(&self) -> usize {
        self.spare_bytes + self.own_reply.capacity() + self.reply.capacity()
    }

    fn keep(&mut self, mut pair: Box<Pair>) {
        let bytes = pair.memory();
        if self.spare.len() < SPARES_MAX && bytes <= SPARE_BYTES_MAX {
            pair.own_args.clear();
            pair.other_args.clear();
            pair.owners.clear();
            self.spare_bytes += bytes;
            self.spare.push(pair);
        }
    }
}

impl Core {
    /// Begins a command if its keys are on this shard and exactly one other.
    pub fn start_pair(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        args: Args<'_>,
        how: Merge,
    ) -> bool {
        // In an EXEC the locks are held already, and this shard's half may not overtake.
        if session.exec.is_some() {
            return false;
        }
        let Some(mut pair) = self.split_in_two(row, args, how, session) else { return false };
        if !self.planted.is(Fault::OvertakesOwn) {
            session.stall.insert(Stall::TRANSACTION);
        }
        pair.reply = reply_later(session, pair.own_args.size() + pair.other_args.size());
        self.pairs.begun.push(pair);
        true
    }

    fn split_in_two(
        &mut self,
        row: &'static Row,
        args: Args<'_>,
        how: Merge,
        session: &Session,
    ) -> Option<Box<Pair>> {
        let step = row.keys.first().map_or(1, |spec| spec.step);
        let (db, version) = (session.client.db as u8, session.client.version);
        let txn = TxnId { coordinator: self.shard_id, number: self.next_txn };
        let reply = ConnReply { conn: session.conn, sequence: 0 };
        let mut pair = match self.pairs.spare.pop() {
            Some(mut spare) => {
                self.pairs.spare_bytes -= spare.memory();
                (spare.reply, spare.txn, spare.row, spare.merge) = (reply, txn, row, how);
                (spare.db, spare.version) = (db, version);
                spare
            }
            None => Box::new(Pair {
                reply,
                txn,
                row,
                merge: how,
                db,
                version,
                other: 0,
                own_args: OwnedArgs::default(),
                other_args: OwnedArgs::default(),
                owners: Vec::new(),
            }),
        };
        let mut other = None;
        pair.own_args.push(args.at(0));
        pair.other_args.push(args.at(0));
        for position in row.key_positions(args.len()) {
            let shard = shard_of_key(args.at(position), self.shard_count);
            let (owner, half) = if shard == self.shard_id {
                (OWN, &mut pair.own_args)
            } else if *other.get_or_insert(shard) == shard {
                (OTHERS, &mut pair.other_args)
            } else {
                self.pairs.keep(pair);
                return None;
            };
            pair.owners.push(owner);
            args.from(position).iter().take(step).for_each(|argument| half.push(argument));
        }
        match other {
            Some(other) if pair.own_args.as_args().len() > 1 => {
                pair.other = other;
                self.next_txn += 1;
                Some(pair)
            }
            _ => {
                self.pairs.keep(pair);
                None
            }
        }
    }

    /// Locks the own keys of the pairs begun in this pass and sends the others' halves, in front of
    /// what is `ordered` already. [`Engine::order`] must follow.
    pub fn flush_pairs(&mut self, outbox: &mut Outbox) {
        debug_assert!(self.pairs.granted.is_empty(), "nobody asked for their order");
        if self.pairs.begun.is_empty() {
            return;
        }
        let mut begun = std::mem::take(&mut self.pairs.begun);
        for pair in begun.drain(..) {
            let args = pair.own_args.as_args();
            let keys = pair.row.key_positions(args.len()).map(|index| args.at(index));
            if !self.locks.try_hold(pair.txn, keys, LockMode::of(pair.row)) {
                self.send_as_parts(pair, outbox);
                continue;
            }
            let ConnReply { conn, sequence } = pair.reply;
            let db = usize::from(pair.db);
            let request = Request::new(pair.row, conn, sequence, db, pair.version);
            self.peers.send_half(pair.other, request, pair.other_args.as_args());
            self.pairs.granted.push(pair.reply);
            self.pairs.under_way.insert(pair.reply, pair);
        }
        self.pairs.begun = begun;
        self.pairs.messages = self.peers.flush_halves(&mut outbox.ordered);
        if self.planted.is(Fault::ReleasedEarly) {
            for pair in self.pairs.under_way.values() {
                self.locks.release(pair.txn, &mut Vec::new());
            }
        }
    }

    /// See [`Engine::order`].
    fn withdraw_pairs(&mut self, outbox: &mut Outbox) {
        outbox.ordered.drain(..std::mem::take(&mut self.pairs.messages));
        for reply in std::mem::take(&mut self.pairs.granted) {
            let Some(pair) = self.pairs.under_way.remove(&reply) else { continue };
            let mut granted = Vec::new();
            self.locks.release(pair.txn, &mut granted);
            debug_assert!(granted.is_empty(), "somebody has waited for what was only just locked");
            self.send_as_parts(pair, outbox);
        }
    }

    /// Sends the command to both shards as one that locks there.
    fn send_as_parts(&mut self, mut pair: Box<Pair>, outbox: &mut Outbox) {
        let Pair { reply, txn, row, merge, db, version, other, .. } = *pair;
        let share = |shard, args: OwnedArgs| {
            let mode = LockMode::of(row);
            let positions = row.key_positions(args.as_args().len());
            let mut locks =
                positions.map(|index| LockKey::new(args.as_args().at(index), mode)).collect();
            LockKey::merge(&mut locks);
            let work = Work::Run { row, args, db, version };
            Share { shard, locks, whole_shard: false, work }
        };
        let shares = vec![
            share(self.shard_id, std::mem::take(&mut pair.own_args)),
            share(other, std::mem::take(&mut pair.other_args)),
        ];
        let kind = Kind::Merge { merge, owners: std::mem::take(&mut pair.owners) };
        let begun = Begun { reply, row, args: OwnedArgs::default(), db: db.into(), version, kind };
        self.send_shares(txn, begun, shares, outbox);
        self.pairs.keep(pair);
    }
}

impl Engine {
    /// Settles the order of this pass's multi-shard commands. The driver calls it once for every
    /// [`Engine::end_pass`], under the mutex that it puts `ordered` into the inboxes with, before it
    /// does; if there is nothing `ordered`, at any time.
    ///
    /// If something has come into this core's inbox since it was looked into, that may be a command
    /// which meets another shard before ours do and this one behind them.
    pub fn order(&mut self, inbox_is_empty: bool, outbox: &mut Outbox) {
        if !inbox_is_empty && !self.core.planted.is(Fault::OrderNotSettled) {
            self.core.withdraw_pairs(outbox);
        }
        self.core.pairs.granted.clear();
        self.core.pairs.messages = 0;
    }

    /// Ends the command, if it is one, whose other half this is the answer to; otherwise false.
    #[inline]
    pub(super) fn is_half(
        &mut self,
        answer: &RemoteReply,
        reply: &[u8],
        outbox: &mut Outbox,
    ) -> bool {
        if self.core.pairs.under_way.is_empty() {
            return false;
        }
        let to = ConnReply { conn: answer.conn, sequence: answer.sequence };
        let Some(pair) = self.core.pairs.under_way.remove(&to) else { return false };
        self.finish_pair(pair, reply, outbox);
        true
    }

    fn finish_pair(&mut self, pair: Box<Pair>, other_reply: &[u8], outbox: &mut Outbox) {
        let core = &mut self.core;
        let mut own_reply = std::mem::take(&mut core.pairs.own_reply);
        let mut reply = std::mem::take(&mut core.pairs.reply);
        let (args, db) = (pair.own_args.as_args(), usize::from(pair.db));
        core.run_handler(pair.row, args, db, pair.version, &mut own_reply);
        let parts = [&own_reply[..], other_reply];
        core.merge_replies(pair.merge, &parts, &pair.owners, pair.version, &mut reply);
        let (to, txn) = (pair.reply, pair.txn);
        core.pairs.keep(pair);
        if !core.planted.is(Fault::LocksOfVanishedKept) || self.sessions.get_mut(to.conn).is_some()
        {
            self.run_granted(txn, outbox);
        }
        self.complete(to, &reply, outbox);
        for (kept, mut used) in
            [(&mut self.core.pairs.own_reply, own_reply), (&mut self.core.pairs.reply, reply)]
        {
            used.clear();
            if used.capacity() <= KEPT_CAPACITY_MAX {
                *kept = used;
            }
        }
    }
}
