//! Commands with keys on several shards: parts go out, results come in, one reply leaves.
//!
//! A command begins when all that its client sent before has been answered, and while it is under
//! way the session runs nothing else: see [`crate::session::UnderWay`]. A command on every shard
//! need not wait to begin: its parts come behind what the client sent to each shard before, and are
//! granted when that has been executed.

use hashbrown::HashMap;

use super::Engine;
use super::core::{ConnReply, Core};
use super::dispatch::{reply_later, reply_now};
use super::event::{Outbox, ShardId};
use super::exec::{is_running, merge_replies};
use super::merge::merge;
use super::operations;
use super::sessions::settle;
use super::task::{Finish, TaskResult};
use crate::commands::{CommandError, Context, Handler, KeyFlags, Merge, Row};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::resp::{Reply, Version};
use crate::session::{Session, Stall};
use crate::store::Watcher;
use crate::txn::{
    CommandList, Fault, Grant, LockKey, LockMode, Message, Part, PartDone, PartResult, Release,
    Stored, TxnId, Work, shard_of_key,
};

/// A command under way on several shards, kept by the core whose connection sent it.
#[derive(Debug)]
pub(super) struct Transaction {
    pub reply: ConnReply,
    row: &'static Row,
    args: OwnedArgs,
    pub db: usize,
    pub version: Version,
    pub kind: Kind,
    /// The shards with a part, and whether it holds locks there until the release.
    pub parts: Vec<(ShardId, bool)>,
    /// By part.
    pub results: Vec<Option<PartResult>>,
    pub waiting: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The parts' replies are merged; `owners[i]` is the part of key `i`.
    Merge {
        merge: Merge,
        owners: Vec<usize>,
    },
    /// Entries are fetched, the command runs on them here, and what it wrote goes back.
    Gather {
        keys: Vec<GatheredKey>,
    },
    Task(Finish),
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

#[derive(Debug)]
pub(super) struct GatheredKey {
    part: usize,
    db: u8,
    key: Box<[u8]>,
    written: bool,
}

/// A command whose parts are about to be sent.
pub(super) struct Begun {
    pub reply: ConnReply,
    pub row: &'static Row,
    pub args: OwnedArgs,
    pub db: usize,
    pub version: Version,
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

impl Core {
    /// Sends the shares of a command to their shards, and stalls the session until it is over. In an
    /// EXEC whose commands run in turn, the locks are held already.
    pub fn begin(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        args: OwnedArgs,
        kind: Kind,
        mut shares: Vec<Share>,
        outbox: &mut Outbox,
    ) {
        if !self.planted.is(Fault::OvertakesOwn) || session.exec.is_some() {
            session.stall.insert(Stall::TRANSACTION);
        }
        let txn = self.new_txn();
        let bytes = args.size() + shares.iter().map(|share| share.work.bytes()).sum::<usize>();
        if session.exec.is_some() {
            shares.iter_mut().for_each(|share| (share.locks, share.whole_shard) = (vec![], false));
        }
        let reply = reply_later(session, bytes);
        let (db, version) = (session.client.db, session.client.version);
        let begun = Begun { reply, row, args, db, version, kind };
        self.send_shares(txn, begun, shares, outbox);
    }

    pub fn new_txn(&mut self) -> TxnId {
        self.next_txn += 1;
        TxnId { coordinator: self.shard_id, number: self.next_txn }
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
            let messages = if locking { &mut outbox.ordered } else { &mut outbox.messages };
            messages.push((shard, Message::Part(Box::new(part))));
        }
        let Begun { reply, row, args, db, version, kind } = begun;
        let transaction = Transaction {
            reply,
            row,
            args,
            db,
            version,
            kind,
            waiting: parts.len(),
            results: parts.iter().map(|_| None).collect(),
            parts,
        };
        self.transactions.insert(txn.number, transaction);
    }

    /// A command on every shard, such as DBSIZE: each is held still until all have answered.
    pub fn start_every_shard(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        args: Args<'_>,
        how: Merge,
        outbox: &mut Outbox,
    ) {
        let (db, version) = (session.client.db, session.client.version);
        if self.shard_count == 1 && self.locks.is_idle() {
            let mut part = Vec::new();
            self.run_handler(row, args, db, version, &mut part);
            let random = self.shard.next_random();
            return reply_now(session, |reply| merge(how, &[&part], &[], random, reply));
        }
        let args = OwnedArgs::from(args);
        let share = |shard| Share {
            shard,
            locks: Vec::new(),
            whole_shard: true,
            work: Work::Run { row, args: args.clone(), db: db as u8, version },
        };
        let shares = (0..self.shard_count).map(share).collect();
        let kind = Kind::Merge { merge: how, owners: Vec::new() };
        self.begin(session, row, OwnedArgs::default(), kind, shares, outbox);
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
        let (db, version) = (session.client.db as u8, session.client.version);
        let work = Work::Run { row, args: OwnedArgs::from(args), db, version };
        let share = Share { shard, locks: Vec::new(), whole_shard: false, work };
        let (args, kind) = (OwnedArgs::default(), Kind::Elsewhere);
        self.begin(session, row, args, kind, vec![share], outbox);
    }

    /// A command that reads here and writes there, such as RENAME: its keys come to this core.
    pub fn start_gather(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        args: Args<'_>,
        outbox: &mut Outbox,
    ) {
        let mut part_of_shard = vec![None; self.shard_count];
        let mut shares: Vec<Share> = Vec::new();
        let mut keys: Vec<GatheredKey> = Vec::new();
        let mut known: HashMap<(usize, &[u8]), usize> = HashMap::new();
        for spec in row.keys {
            let written = !spec.flags.contains(KeyFlags::RO);
            for position in spec.positions(args.len()) {
                let key = args.at(position);
                let shard = shard_of_key(key, self.shard_count);
                let part = *part_of_shard[shard].get_or_insert_with(|| {
                    let work = Work::Fetch { keys: Vec::new() };
                    shares.push(Share { shard, locks: Vec::new(), whole_shard: false, work });
                    shares.len() - 1
                });
                for db in row.databases(args, session.client.db) {
                    let index = *known.entry((db, key)).or_insert_with(|| {
                        keys.push(GatheredKey { part, db: db as u8, key: key.into(), written });
                        keys.len() - 1
                    });
                    keys[index].written |= written;
                }
            }
        }
        for key in &keys {
            let share = &mut shares[key.part];
            let mode = if key.written { LockMode::Exclusive } else { LockMode::Shared };
            share.locks.push(LockKey::new(&key.key, mode));
            if let Work::Fetch { keys } = &mut share.work {
                keys.push((key.db, key.key.clone()));
            }
        }
        for share in &mut shares {
            LockKey::merge(&mut share.locks);
        }
        self.begin(session, row, OwnedArgs::from(args), Kind::Gather { keys }, shares, outbox);
    }

    /// Runs a gathered command on what was fetched. Returns its reply and what it left at each
    /// key that it may write, by part.
    fn run_gathered(&mut self, transaction: &mut Transaction) -> (Vec<u8>, Vec<Vec<Stored>>) {
        let mut stores: Vec<Vec<Stored>> = transaction.parts.iter().map(|_| Vec::new()).collect();
        let mut out = Vec::new();
        let Kind::Gather { keys } = &transaction.kind else { return (out, stores) };
        let Handler::Keyed(handler, _) = transaction.row.handler else { return (out, stores) };
        for result in transaction.results.iter_mut() {
            let Some(PartResult::Entries(entries)) = result.take() else { continue };
            for (db, entry) in entries {
                self.scratch.db_mut(usize::from(db)).insert(entry, 0);
            }
        }
        // Only what the command modifies goes back: the rest must not break anybody's watch.
        for (index, key) in keys.iter().enumerate().filter(|(_, key)| key.written) {
            let watcher = Watcher { core: self.shard_id, number: index as u64 };
            self.scratch.db_mut(usize::from(key.db)).watched.watch(&key.key, watcher);
        }
        let mut context = Context {
            shard: &mut self.scratch,
            db_index: transaction.db,
            now: self.now.unix_ms,
            config: &self.settings.config,
            reply: Reply::new(&mut out, transaction.version),
            shard_index: self.shard_id,
            shard_count: self.shard_count,
        };
        let result = handler(&mut context, transaction.args.as_args());
        self.count_call(transaction.row, result.as_ref().err());
        if let Err(error) = &result {
            out.clear();
            Reply::new(&mut out, transaction.version).error_bytes(&error.message());
        }
        let mut modified = vec![false; keys.len()];
        for (index, key) in keys.iter().enumerate() {
            let watched = &mut self.scratch.db_mut(usize::from(key.db)).watched;
            let watcher = Watcher { core: self.shard_id, number: index as u64 };
            watched.unwatch(&key.key, watcher);
            for watcher in watched.take_broken() {
                modified[watcher.number as usize] = true;
            }
        }
        for (key, modified) in keys.iter().zip(modified) {
            let entry = self.scratch.db_mut(usize::from(key.db)).take(&key.key, 0);
            if modified && result.is_ok() {
                stores[key.part].push(Stored { db: key.db, key: key.key.clone(), entry });
            }
        }
        let gathered = self.scratch.stats();
        self.scratch.reset_stats();
        self.shard.count_reads(gathered.keyspace_hits, gathered.keyspace_misses);
        (out, stores)
    }

    fn store(&mut self, left: Vec<Stored>) {
        let now = self.now.unix_ms;
        for stored in left {
            let db = self.shard.db_mut(usize::from(stored.db));
            match stored.entry {
                Some(item) => db.insert(item, now),
                None => {
                    db.remove(&stored.key, now);
                }
            }
        }
    }

    pub fn count_call(&mut self, row: &'static Row, error: Option<&CommandError>) {
        let stats = &mut self.stats.by_command[row.id];
        stats.calls += 1;
        if let Some(error) = error {
            stats.failed += 1;
            self.count_error(error);
        }
    }
}

impl Engine {
    pub(super) fn receive_part(&mut self, part: Box<Part>, outbox: &mut Outbox) {
        let granted = if part.is_locking() { self.core.locks.arrive(part) } else { Some(part) };
        if let Some(part) = granted {
            self.run_part(*part, outbox);
        }
    }

    fn run_part(&mut self, part: Part, outbox: &mut Outbox) {
        let result = match part.work {
            Work::Run { row, args, db, version } => {
                let mut out = Vec::new();
                self.core.run_handler(row, args.as_args(), usize::from(db), version, &mut out);
                PartResult::Reply(out)
            }
            Work::Fetch { keys } => PartResult::Entries(self.core.fetch(keys)),
            Work::Watch { watcher, conn, keys } => {
                self.core.watch(watcher, conn, keys);
                PartResult::Done
            }
            Work::Hold { watcher } => {
                PartResult::Held(watcher.is_none_or(|watcher| self.core.end_watch(watcher)))
            }
            Work::Exec { commands, db, version } => self.core.run_exec_part(&commands, db, version),
            Work::Task(task) => PartResult::Task(Box::new(self.run_task(task, outbox))),
        };
        self.core.memory.sent(result.bytes());
        let done = PartDone { txn: part.txn, shard: self.core.shard_id, result };
        if part.txn.coordinator == self.core.shard_id {
            self.core.own_results.push_back(done);
        } else {
            outbox.messages.push((part.txn.coordinator, Message::PartDone(Box::new(done))));
        }
    }

    /// Takes in the results of parts that this core asked itself for. Not where they arise: what a
    /// result lets go on may have parts that have waited here, and so on, each a few calls deeper.
    pub(super) fn take_own_results(&mut self, outbox: &mut Outbox) {
        while let Some(done) = self.core.own_results.pop_front() {
            self.part_done(done, outbox);
        }
    }

    pub(super) fn part_done(&mut self, done: PartDone, outbox: &mut Outbox) {
        let number = done.txn.number;
        let Some(transaction) = self.core.transactions.get_mut(&number) else { return };
        let part = transaction.parts.iter().position(|(shard, _)| *shard == done.shard);
        let Some(part) = part.filter(|&part| transaction.results[part].is_none()) else {
            debug_assert!(false, "a part answered twice, or was never asked");
            return;
        };
        transaction.results[part] = Some(done.result);
        if self.core.planted.is(Fault::ReleasedEarly) && transaction.parts[part].1 {
            transaction.parts[part].1 = false;
            let release = Release { txn: done.txn, store: Vec::new() };
            outbox.messages.push((done.shard, Message::Release(Box::new(release))));
        }
        transaction.waiting -= 1;
        if transaction.waiting == 0
            && let Some(transaction) = self.core.transactions.remove(&number)
        {
            self.finish(number, transaction, outbox);
        }
    }

    /// Every result is here and every lock is held: this is the moment the command takes effect.
    fn finish(&mut self, number: u64, mut transaction: Transaction, outbox: &mut Outbox) {
        // Until here the results were held for this command, wherever they were.
        let results = transaction.results.iter().flatten();
        self.core.memory.received(results.map(PartResult::bytes).sum());
        if self.send_exec_parts(number, &mut transaction, outbox) > 0 {
            self.core.transactions.insert(number, transaction);
            return;
        }
        let mut stores = Vec::new();
        let mut keeps_locks = false;
        let reply = match &transaction.kind {
            Kind::Merge { .. } => self.core.merge_parts(&mut transaction),
            Kind::Gather { .. } => {
                let (reply, written) = self.core.run_gathered(&mut transaction);
                stores = written;
                reply
            }
            Kind::Task(finish) => {
                let finish = finish.clone();
                let results = task_results(&mut transaction.results);
                let version = transaction.version;
                operations::finish(self, finish, results, version, transaction.reply)
            }
            Kind::Elsewhere => match transaction.results.first_mut().and_then(Option::take) {
                Some(PartResult::Reply(reply)) => reply,
                _ => Vec::new(),
            },
            Kind::Watch { .. } => {
                self.finish_watch(&transaction, outbox);
                b"+OK\r\n".to_vec()
            }
            Kind::Exec { owners, .. } => {
                let mut out = Vec::new();
                let reply = &mut Reply::new(&mut out, transaction.version);
                merge_replies(&mut transaction.results, owners, reply);
                out
            }
            Kind::Hold => {
                let (reply, holds) = self.hold_for_exec(number, &transaction);
                keeps_locks = holds && !self.core.planted.is(Fault::ExecInterleaved);
                reply
            }
        };
        if self.core.planted.is(Fault::LocksOfVanishedKept)
            && self.sessions.get_mut(transaction.reply.conn).is_none()
        {
            return;
        }
        let txn = TxnId { coordinator: self.core.shard_id, number };
        let mut stores = stores.into_iter();
        for &(shard, locking) in &transaction.parts {
            let store = stores.next().unwrap_or_default();
            // Under the locks of an EXEC, what is stored goes without a lock of its own.
            if locking && !keeps_locks || !store.is_empty() {
                let release = Release { txn, store };
                self.core.memory.sent(release.bytes());
                if shard == self.core.shard_id {
                    self.release(release, outbox);
                } else {
                    outbox.messages.push((shard, Message::Release(Box::new(release))));
                }
            }
        }
        self.complete(transaction.reply, &reply, outbox);
    }

    /// Fills the slot of a command that stalled its session, and lets the session go on.
    pub(super) fn complete(&mut self, to: ConnReply, reply: &[u8], outbox: &mut Outbox) {
        if let Some(session) = self.sessions.get_mut(to.conn) {
            session.output.fill(to.sequence, reply);
            session.stall.remove(Stall::TRANSACTION);
            settle(&mut self.core, session, outbox);
            if session.gone
                && !is_running(session)
                && let Some(session) = self.sessions.forget(to.conn)
            {
                self.core.memory.forget(&session);
            }
        }
    }

    /// A multi-shard command is over: stores what it left here, and runs what waited for it.
    pub(super) fn release(&mut self, release: Release, outbox: &mut Outbox) {
        self.core.memory.received(release.bytes());
        if self.core.planted.is(Fault::StoredAfterRelease) {
            self.run_granted(release.txn, outbox);
        }
        if !self.core.planted.is(Fault::StoreLost) {
            self.core.store(release.store);
        }
        self.run_granted(release.txn, outbox);
    }

    pub(super) fn run_granted(&mut self, released: TxnId, outbox: &mut Outbox) {
        let mut granted = Vec::new();
        self.core.locks.release(released, &mut granted);
        for grant in granted {
            match grant {
                Grant::Part(part) => self.run_part(*part, outbox),
                Grant::Request(waited) => self.core.answer(*waited),
            }
        }
    }
}

fn task_results(results: &mut [Option<PartResult>]) -> Vec<TaskResult> {
    let tasks = results.iter_mut().filter_map(|result| match result.take() {
        Some(PartResult::Task(task)) => task.downcast::<TaskResult>().ok(),
        _ => None,
    });
    tasks.map(|result| *result).collect()
}
