//! Commands with keys on several shards: parts go out, results come in, one reply leaves.
//!
//! A command begins when all that its client sent before has been answered, and while it is under
//! way the session runs nothing else: see [`crate::session::UnderWay`]. A command that locks every
//! shard need not wait to begin: its parts come behind what the client sent to each shard before,
//! and are granted when that has been executed.

use std::sync::Arc;

use hashbrown::HashMap;

use super::Engine;
use super::dispatch::run_here;
use super::event::{Outbox, ShardId};
use super::every_core::AnyRound;
use super::exec::{is_running, merge_replies};
use super::hops::{Attempt, Hopping};
use super::input::settle;
use super::reply::ConnReply;
use super::reply::{reply_later, reply_now};
use super::state::Core;
use crate::commands::{Flags, Merge, Row};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::reply::{Reply, Values};
use crate::session::{Session, Stall};
use crate::store::Watcher;
use crate::txn::{
    Changes, CommandList, Fault, LockKey, Message, Part, PartDone, PartResult, Release, RunAs,
    TxnId, Waiter, Work,
};

/// A command under way on several shards, kept by the core whose connection sent it.
#[derive(Debug)]
pub(super) struct Transaction {
    pub reply: ConnReply,
    pub row: &'static Row,
    pub run_as: RunAs,
    pub kind: Kind,
    /// The shards with a part, and whether it holds locks there until the release.
    pub parts: Vec<(ShardId, bool)>,
    /// By part.
    pub results: Vec<Option<PartResult>>,
    pub waiting: usize,
}

impl Transaction {
    /// Of a command whose client waits if it finds nothing.
    fn attempt(&self) -> Option<&Attempt> {
        match &self.kind {
            Kind::Hops(hopping) => hopping.attempt.as_ref(),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The parts' replies are merged; `owners[i]` is the part of key `i`.
    Merge {
        merge: Merge,
        owners: Vec<usize>,
    },
    /// What is needed is looked at, or taken, and what changes goes with the releases.
    Hops(Box<Hopping>),
    /// Looks whether what a client wants is there, or else has it wait. `serving`: one shard has
    /// been told to serve it.
    Wait {
        waiter: Arc<Waiter>,
        serving: bool,
    },
    /// `fenced`: what was sent from core to core before is being waited for.
    EveryCore {
        round: Arc<dyn AnyRound>,
        fenced: bool,
    },
    /// There is one part, and its reply is the reply.
    Elsewhere,
    Watch {
        watcher: Watcher,
    },
    /// An EXEC whose commands run in parts; `owners[i]` is the part of command `i`. With watches,
    /// `then` is what each part runs when all have been found whole.
    Exec {
        owners: Vec<usize>,
        then: Vec<CommandList>,
    },
    /// The locks of an EXEC whose commands run in turn.
    Hold,
}

/// A command whose parts are about to be sent.
pub(super) struct Begun {
    pub reply: ConnReply,
    pub row: &'static Row,
    pub run_as: RunAs,
    pub kind: Kind,
}

/// One shard's share of a command about to begin.
pub(super) struct Share {
    pub shard: ShardId,
    /// Each key once.
    pub locks: Vec<LockKey>,
    pub whole_shard: bool,
    pub work: Work,
}

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

/// The commands over several shards that this core has begun and not ended.
#[derive(Debug, Default)]
pub(super) struct Coordinator {
    under_way: HashMap<u64, Transaction>,
    last_number: u64,
}

impl Coordinator {
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn keep(&mut self, number: u64, transaction: Transaction) {
        self.under_way.insert(number, transaction);
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Transaction> {
        self.under_way.get_mut(&number)
    }

    fn take(&mut self, number: u64) -> Option<Transaction> {
        self.under_way.remove(&number)
    }
}

impl Core {
    /// A command is over: its shards get its changes, and the locks go unless it keeps them.
    fn release_parts(
        &mut self,
        number: u64,
        transaction: &Transaction,
        end: &mut EndOf,
        outbox: &mut Outbox,
    ) {
        let txn = TxnId { coordinator: self.site.shard_id, number };
        let mut changes = std::mem::take(&mut end.changes).into_iter();
        for &(shard, locking) in &transaction.parts {
            let changes = changes.next().flatten();
            // Under the locks of an EXEC, what changes goes without a lock of its own.
            if locking && !end.keeps_locks || changes.is_some() {
                // A shard that is the only one has it wait already.
                let late = self.site.planted.is(Fault::WaitsTooLate);
                let waiter = end.waits.clone().filter(|_| late || transaction.parts.len() > 1);
                let release = Release { txn, changes, waiter };
                self.memory.sent(release.bytes());
                if self.shards.is_own(shard) {
                    self.release(release);
                } else {
                    outbox.messages.push((shard, Message::Release(Box::new(release))));
                }
            }
        }
    }

    /// Sends the shares of a command to their shards, and stalls the session until it is over. In an
    /// EXEC whose commands run in turn, the locks are held already. Returns the reply's place.
    pub fn begin(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        kind: Kind,
        mut shares: Vec<Share>,
        outbox: &mut Outbox,
    ) -> ConnReply {
        if !self.site.planted.is(Fault::OvertakesOwn) || session.exec.is_some() {
            session.stall.insert(Stall::TRANSACTION);
        }
        let txn = self.new_txn();
        let bytes = shares.iter().map(|share| share.work.bytes()).sum::<usize>();
        let shared = match &kind {
            Kind::Wait { waiter, .. } => waiter.size(),
            Kind::Hops(hopping) => hopping.size(),
            _ => 0,
        };
        if session.exec.is_some() {
            shares.iter_mut().for_each(|share| (share.locks, share.whole_shard) = (vec![], false));
        }
        let reply = reply_later(session, bytes + shared);
        let begun = Begun { reply, row, run_as: session.client.run_as(), kind };
        self.send_shares(txn, begun, shares, outbox);
        reply
    }

    /// As [`Core::begin`] for a command that only has to run; if all of it is at hand, it has.
    pub fn begin_or_run(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        kind: Kind,
        shares: Vec<Share>,
        outbox: &mut Outbox,
    ) {
        if self.are_at_hand(session, &shares) {
            self.run_at_once(session, row, kind, shares);
        } else {
            self.begin(session, row, kind, shares, outbox);
        }
    }

    /// What parts are to do next, their results being here and their locks held. Each by the number
    /// of its part.
    pub fn next_works(&mut self, transaction: &mut Transaction) -> Vec<(usize, Work)> {
        match transaction.kind {
            Kind::Exec { .. } => self.works_of_exec(transaction),
            Kind::Hops(_) => self.works_of_hops(transaction),
            _ => Vec::new(),
        }
    }

    pub fn new_txn(&mut self) -> TxnId {
        TxnId { coordinator: self.site.shard_id, number: self.coordinator.next_number() }
    }

    /// Sends the shares of a command whose session is stalled already.
    pub fn send_shares(
        &mut self,
        txn: TxnId,
        begun: Begun,
        shares: Vec<Share>,
        outbox: &mut Outbox,
    ) {
        let mut parts = Vec::with_capacity(shares.len());
        for Share { shard, locks, whole_shard, work } in shares {
            let part = Part { txn, locks, whole_shard, work };
            let locking = part.is_locking();
            parts.push((shard, locking));
            // What every core does comes to all at one moment, or a connection that moves meanwhile
            // could be met twice, or never.
            let task = matches!(part.work, Work::Task(_));
            let ordered = locking || task && !self.site.planted.is(Fault::TasksNotOrdered);
            let messages = if ordered { &mut outbox.ordered } else { &mut outbox.messages };
            messages.push((shard, Message::Part(Box::new(part))));
        }
        let Begun { reply, row, run_as, kind } = begun;
        let transaction = Transaction {
            reply,
            row,
            run_as,
            kind,
            waiting: parts.len(),
            results: parts.iter().map(|_| None).collect(),
            parts,
        };
        self.coordinator.keep(txn.number, transaction);
    }

    /// A command on every shard. Each is held still until all have answered, as for KEYS, unless
    /// the row says that each may answer for a moment of its own, as for DBSIZE.
    pub fn start_every_shard(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        args: Args<'_>,
        how: Merge,
        outbox: &mut Outbox,
    ) {
        let run_as = session.client.run_as().for_values();
        let whole_shard = !row.flags.contains(Flags::UNSYNCHRONIZED);
        if self.site.shard_count == 1 && (self.shards.home().is_unlocked() || !whole_shard) {
            if how != Merge::Weighted {
                // One shard's answer is all there is to say.
                return run_here(self, session, row, args);
            }
            let mut part = Vec::new();
            let shard = self.shards.home_mut();
            shard.run(row, args, run_as, &mut part);
            shard.serve_waiters(None);
            let parts = [Values::new(&part)];
            return reply_now(session, |reply| self.merge_values(row, how, &parts, &[], reply));
        }
        let args = OwnedArgs::from(args);
        let share = |shard| Share {
            shard,
            locks: Vec::new(),
            whole_shard,
            work: Work::Run { row, args: args.clone(), run_as },
        };
        let shares = (0..self.site.shard_count).map(share).collect();
        let kind = Kind::Merge { merge: how, owners: Vec::new() };
        self.begin_or_run(session, row, kind, shares, outbox);
    }

    /// A command with its keys on one shard, when it cannot go there as usual: the locks on its keys
    /// are its own.
    pub fn start_elsewhere(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        args: Args<'_>,
        shard: ShardId,
        outbox: &mut Outbox,
    ) {
        let run_as = session.client.run_as();
        let work = Work::Run { row, args: OwnedArgs::from(args), run_as };
        let share = Share { shard, locks: Vec::new(), whole_shard: false, work };
        self.begin(session, row, Kind::Elsewhere, vec![share], outbox);
    }
}

impl Engine {
    pub(super) fn part_done(&mut self, done: PartDone, outbox: &mut Outbox) {
        let number = done.txn.number;
        let Some(transaction) = self.core.coordinator.get_mut(number) else { return };
        let part = transaction.parts.iter().position(|(shard, _)| *shard == done.shard);
        let Some(part) = part.filter(|&part| transaction.results[part].is_none()) else {
            debug_assert!(false, "a part answered twice, or was never asked");
            return;
        };
        transaction.results[part] = Some(done.result);
        if self.core.site.planted.is(Fault::ReleasedEarly) && transaction.parts[part].1 {
            transaction.parts[part].1 = false;
            let release = Release::of(done.txn);
            outbox.messages.push((done.shard, Message::Release(Box::new(release))));
        }
        transaction.waiting -= 1;
        if transaction.waiting == 0
            && let Some(transaction) = self.core.coordinator.take(number)
        {
            self.finish(number, transaction, outbox);
        }
    }

    /// Sends what parts are to do next, their locks being held; false if there is nothing.
    fn send_next(
        &mut self,
        number: u64,
        transaction: &mut Transaction,
        outbox: &mut Outbox,
    ) -> bool {
        // Its client has gone: it never runs.
        if let Some(attempt) = transaction.attempt()
            && !self.is_blocked_with(&attempt.waiter)
        {
            return false;
        }
        let next = self.core.next_works(transaction);
        transaction.waiting = next.len();
        let txn = TxnId { coordinator: self.core.site.shard_id, number };
        for (part, work) in next {
            transaction.results[part] = None;
            let message = Part { txn, locks: Vec::new(), whole_shard: false, work };
            let message = Message::Part(Box::new(message));
            outbox.messages.push((transaction.parts[part].0, message));
        }
        transaction.waiting > 0
    }

    /// Every core has stopped its clients, but what it had sent for them may not have come to its
    /// shard yet, or wait there for locks. Locking all shards comes behind all of that.
    fn send_fence(
        &mut self,
        number: u64,
        transaction: &mut Transaction,
        outbox: &mut Outbox,
    ) -> bool {
        let Kind::EveryCore { round, fenced } = &mut transaction.kind else { return false };
        if !round.is_fenced() || std::mem::replace(fenced, true) {
            return false;
        }
        let txn = TxnId { coordinator: self.core.site.shard_id, number };
        for (shard, locking) in &mut transaction.parts {
            *locking = true;
            let work = Work::Hold { watcher: None };
            let part = Part { txn, locks: Vec::new(), whole_shard: true, work };
            outbox.ordered.push((*shard, Message::Part(Box::new(part))));
        }
        transaction.results.fill_with(|| None);
        transaction.waiting = transaction.parts.len();
        true
    }

    /// Every result is here and every lock is held: this is the moment the command takes effect.
    fn finish(&mut self, number: u64, mut transaction: Transaction, outbox: &mut Outbox) {
        // Until here the results were held for this command, wherever they were.
        let results = transaction.results.iter().flatten();
        self.core.memory.received(results.map(PartResult::bytes).sum());
        if self.send_next(number, &mut transaction, outbox)
            || self.send_serve(number, &mut transaction, outbox) > 0
            || self.send_fence(number, &mut transaction, outbox)
        {
            self.core.coordinator.keep(number, transaction);
            return;
        }
        let mut end = self.end_of(number, &mut transaction, outbox);
        if self.core.site.planted.is(Fault::LocksOfVanishedKept)
            && self.sessions.get_mut(transaction.reply.conn).is_none()
        {
            return;
        }
        if let Some(attempt) = transaction.attempt().filter(|attempt| attempt.first) {
            match end.reply.is_empty() {
                true => end.waits = Some(Arc::clone(&attempt.waiter)),
                false => self.forget_attempt(transaction.reply.conn),
            }
        }
        self.core.release_parts(number, &transaction, &mut end, outbox);
        match (&end.waits, transaction.attempt()) {
            (Some(waiter), _) => self.begin_wait(transaction.reply, waiter, outbox),
            (None, Some(attempt)) if !attempt.first => {
                let reply = (!end.reply.is_empty()).then_some(&*end.reply);
                self.end_new_attempt(&attempt.waiter, reply, outbox);
            }
            (None, _) => self.complete(transaction.reply, &end.reply, outbox),
        }
    }

    /// What comes of a command whose results are all here.
    fn end_of(&mut self, number: u64, transaction: &mut Transaction, outbox: &mut Outbox) -> EndOf {
        let mut end = EndOf::default();
        let encoding = transaction.run_as.encoding;
        end.reply = match &transaction.kind {
            Kind::Merge { .. } => self.core.merge_parts(transaction),
            Kind::Hops(_) => {
                let (reply, changes) = self.core.end_hops(transaction);
                end.changes = changes;
                reply
            }
            Kind::Wait { waiter, .. } => {
                let waiter = Arc::clone(waiter);
                let reply = self.end_attempt(transaction, &waiter);
                end.waits = reply.is_none().then_some(waiter);
                reply.unwrap_or_default()
            }
            Kind::EveryCore { round, .. } => self.finish_round(&**round, encoding),
            Kind::Elsewhere => match transaction.results.first_mut().and_then(Option::take) {
                Some(PartResult::Reply(reply)) => reply,
                _ => Vec::new(),
            },
            Kind::Watch { .. } => {
                self.finish_watch(transaction, outbox);
                let mut out = Vec::new();
                Reply::new(&mut out, encoding).ok();
                out
            }
            Kind::Exec { owners, .. } => {
                let mut out = Vec::new();
                let reply = &mut Reply::new(&mut out, encoding);
                merge_replies(&mut transaction.results, owners, reply);
                out
            }
            Kind::Hold => {
                let (reply, holds) = self.hold_for_exec(number, transaction);
                end.keeps_locks = holds && !self.core.site.planted.is(Fault::ExecInterleaved);
                reply
            }
        };
        end
    }

    /// Fills the slot of a command that stalled its session, and lets the session go on.
    pub(super) fn complete(&mut self, to: ConnReply, reply: &[u8], outbox: &mut Outbox) {
        if let Some(session) = self.sessions.get_mut(to.conn) {
            session.output.fill(to.sequence, reply);
            session.stall.remove(Stall::TRANSACTION);
            session.client.active_us = self.core.site.now.monotonic_us;
            settle(&mut self.core, session, outbox);
            if session.gone
                && !is_running(session)
                && let Some(session) = self.sessions.forget(to.conn)
            {
                self.core.memory.forget(&session);
            }
        }
    }
}
