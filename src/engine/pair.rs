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
use super::event::{Outbox, ShardId};
use super::reply::ConnReply;
use super::reply::reply_later;
use super::state::Core;
use crate::commands::{Merge, Row};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::reply::{Reply, Values};
use crate::session::{Session, Stall};
use crate::txn::{
    CommandList, Fault, Holder, LockKey, LockMode, Message, RemoteReply, Request, RunAs, TxnId,
    Unit, Work, shard_of_key,
};

/// Pairs that have ended, kept with their buffers for the next ones.
const SPARES_MAX: usize = 64;
const SPARE_BYTES_MAX: usize = 8 * 1024;
/// Arguments of so many bytes are not copied once more: as parts, they move.
const PAIR_BYTES_MAX: usize = 64 * 1024;
/// The buffers that replies are put together in keep so much.
const KEPT_CAPACITY_MAX: usize = 64 * 1024;

/// Whose half a key belongs to, as [`super::merge`] counts the parts.
const OWN: usize = 0;
const OTHERS: usize = 1;

/// A command of which another shard runs one half.
#[derive(Debug)]
struct Pair {
    reply: ConnReply,
    txn: TxnId,
    row: &'static Row,
    merge: Merge,
    /// The client's; the halves answer in values.
    run_as: RunAs,
    other: ShardId,
    own_args: OwnedArgs,
    other_args: OwnedArgs,
    /// Of an EXEC, which has no arguments; the other half is on its way.
    units: Option<Units>,
    /// By key, or by command of an EXEC.
    owners: Vec<usize>,
}

#[derive(Debug)]
struct Units {
    own: Unit,
    other: Option<Box<Unit>>,
}

impl Pair {
    /// Bytes of the buffers, filled or not.
    fn memory(&self) -> usize {
        self.own_args.capacity_bytes()
            + self.other_args.capacity_bytes()
            + self.owners.capacity() * size_of::<usize>()
    }

    fn own_locks(&self) -> Vec<LockKey> {
        match &self.units {
            Some(units) => units.own.locks().collect(),
            None => locks_of(self.row, self.own_args.as_args()),
        }
    }
}

fn locks_of(row: &'static Row, args: Args<'_>) -> Vec<LockKey> {
    let mode = LockMode::of(row);
    row.key_positions(args).map(|index| LockKey::new(args.at(index), mode)).collect()
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

    /// Gives back what is kept for the next ones.
    pub fn trim(&mut self) {
        (self.spare, self.spare_bytes) = (Vec::new(), 0);
        (self.own_reply, self.reply) = (Vec::new(), Vec::new());
    }

    fn keep(&mut self, mut pair: Box<Pair>) {
        let bytes = pair.memory();
        if self.spare.len() < SPARES_MAX && bytes <= SPARE_BYTES_MAX {
            pair.own_args.clear();
            pair.other_args.clear();
            pair.owners.clear();
            pair.units = None;
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
        if session.exec.is_some() || args.bytes().len() > PAIR_BYTES_MAX {
            return false;
        }
        let pair = self.new_pair(session, row, how);
        let Some(pair) = self.split_in_two(pair, args) else { return false };
        let bytes = pair.own_args.size() + pair.other_args.size();
        self.begin_pair(session, pair, bytes);
        true
    }

    /// Begins an EXEC without watches if its commands are each on this shard or on exactly one
    /// other; otherwise its commands come back.
    pub fn start_pair_of_units(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        queued: CommandList,
        watches: bool,
    ) -> Option<CommandList> {
        if watches || queued.size() > PAIR_BYTES_MAX {
            return Some(queued);
        }
        let mut pair = self.new_pair(session, row, Merge::ByKey);
        let (mut own, mut other) = (CommandList::default(), CommandList::default());
        let mut other_shard = None;
        let run_as = pair.run_as.for_values();
        for (row, args) in queued.iter() {
            let key = row.first_key(args);
            // What has no key runs here.
            let shard =
                key.map_or(self.site.shard_id, |key| shard_of_key(key, self.site.shard_count));
            let (owner, half): (usize, &mut CommandList) = if shard == self.site.shard_id {
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
                self.begin_pair(session, pair, bytes);
                None
            }
            _ => {
                self.pairs.keep(pair);
                Some(queued)
            }
        }
    }

    fn begin_pair(&mut self, session: &mut Session, mut pair: Box<Pair>, request_bytes: usize) {
        if !self.site.planted.is(Fault::OvertakesOwn) {
            session.stall.insert(Stall::TRANSACTION);
        }
        pair.reply = reply_later(session, request_bytes);
        self.pairs.begun.push(pair);
    }

    fn new_pair(&mut self, session: &Session, row: &'static Row, how: Merge) -> Box<Pair> {
        let run_as = session.client.run_as();
        let txn = self.new_txn();
        let reply = ConnReply { conn: session.conn, sequence: 0 };
        let Some(mut spare) = self.pairs.spare.pop() else {
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
        self.pairs.spare_bytes -= spare.memory();
        (spare.reply, spare.txn, spare.row, spare.merge) = (reply, txn, row, how);
        spare.run_as = run_as;
        spare
    }

    fn split_in_two(&mut self, mut pair: Box<Pair>, args: Args<'_>) -> Option<Box<Pair>> {
        let row = pair.row;
        let step = row.arguments_per_key();
        let mut other = None;
        pair.own_args.push(args.at(0));
        pair.other_args.push(args.at(0));
        for position in row.key_positions(args) {
            let shard = shard_of_key(args.at(position), self.site.shard_count);
            let (owner, half) = if shard == self.site.shard_id {
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
        for mut pair in begun.drain(..) {
            if !self.shards.home_mut().try_lock(pair.txn, pair.own_locks()) {
                self.send_as_parts(pair, outbox);
                continue;
            }
            let ConnReply { conn, sequence } = pair.reply;
            let request = Request::new(pair.row, conn, sequence, pair.run_as.for_values());
            let unit = pair.units.as_mut().and_then(|units| units.other.take());
            self.links.send_half(pair.other, request, pair.other_args.as_args(), unit);
            self.pairs.granted.push(pair.reply);
            self.pairs.under_way.insert(pair.reply, pair);
        }
        self.pairs.begun = begun;
        self.pairs.messages = self.links.flush_halves(&mut outbox.ordered);
        if self.site.planted.is(Fault::ReleasedEarly) {
            let mut all: Vec<TxnId> = self.pairs.under_way.values().map(|pair| pair.txn).collect();
            all.sort_unstable();
            all.into_iter().for_each(|txn| self.shards.home_mut().unlock_by_mistake(txn));
        }
    }

    /// See [`Engine::order`].
    fn withdraw_pairs(&mut self, outbox: &mut Outbox) {
        for (shard, message) in outbox.ordered.drain(..std::mem::take(&mut self.pairs.messages)) {
            let Message::Requests(mut batch) = message else { continue };
            self.links.answered(shard, batch.requests.len());
            let mut units = std::mem::take(&mut batch.units);
            for request in batch.requests.iter().filter(|request| request.is_unit()) {
                let to = ConnReply { conn: request.conn, sequence: request.sequence };
                if let Some(pair) = self.pairs.under_way.get_mut(&to)
                    && let Some(own) = &mut pair.units
                {
                    own.other = request.take_unit(&mut units);
                }
            }
        }
        for reply in std::mem::take(&mut self.pairs.granted) {
            let Some(pair) = self.pairs.under_way.remove(&reply) else { continue };
            self.shards.home_mut().unlock(pair.txn);
            self.send_as_parts(pair, outbox);
        }
    }

    /// Sends the command to both shards as one that locks there.
    fn send_as_parts(&mut self, mut pair: Box<Pair>, outbox: &mut Outbox) {
        let Pair { reply, txn, row, merge, run_as, other, .. } = *pair;
        let share = |shard, mut locks, work| {
            LockKey::merge(&mut locks);
            Share { shard, locks, whole_shard: false, work }
        };
        let owners = std::mem::take(&mut pair.owners);
        let (shares, kind) = match pair.units.take() {
            Some(Units { own, other: unit }) => {
                let commands = [Some(own), unit.map(|unit| *unit)].into_iter().flatten();
                let shards = [self.site.shard_id, other].into_iter();
                let shares = shards.zip(commands).map(|(shard, Unit { commands, .. })| {
                    let locks = commands.locks().collect();
                    share(shard, locks, Work::Exec { commands, run_as })
                });
                (shares.collect(), Kind::Exec { owners, then: Vec::new() })
            }
            None => {
                let halves =
                    [(self.site.shard_id, &mut pair.own_args), (other, &mut pair.other_args)];
                // Their answers are merged as the halves' would have been.
                let run_as = run_as.for_values();
                let shares = halves.into_iter().map(|(shard, args)| {
                    let (locks, args) = (locks_of(row, args.as_args()), std::mem::take(args));
                    let run_as = run_as.for_values();
                    share(shard, locks, Work::Run { row, args, run_as })
                });
                (shares.collect(), Kind::Merge { merge, owners })
            }
        };
        let begun = Begun { reply, row, run_as, kind };
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
        if !inbox_is_empty && !self.core.site.planted.is(Fault::OrderNotSettled) {
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
        let (row, owners) = (pair.row, &pair.owners);
        let into = &mut Reply::new(&mut reply, pair.run_as.encoding);
        match &pair.units {
            Some(units) => {
                let holder = Some(Holder::Part(pair.txn));
                core.shards.home_mut().run_unit(&units.own, &mut own_reply, holder);
                let parts = [Values::new(&own_reply), Values::new(other_reply)];
                core.merge_unit_values(&parts, owners, into);
            }
            None => {
                let run_as = pair.run_as.for_values();
                let shard = core.shards.home_mut();
                shard.run(row, pair.own_args.as_args(), run_as, &mut own_reply);
                let parts = [Values::new(&own_reply), Values::new(other_reply)];
                core.merge_values(row, pair.merge, &parts, owners, into);
            }
        }
        let (to, txn) = (pair.reply, pair.txn);
        core.pairs.keep(pair);
        if !core.site.planted.is(Fault::LocksOfVanishedKept)
            || self.sessions.get_mut(to.conn).is_some()
        {
            let core = &mut self.core;
            core.shards.home_mut().end(txn, core.links.buffers_mut());
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
