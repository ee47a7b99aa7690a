//! Commands that read here and write there, such as RENAME: copies of their entries come to one core,
//! the command runs on them, and what it wrote goes back.

use std::sync::Arc;

use hashbrown::HashMap;

use super::coordinate::{Begun, Kind, Share, Transaction};
use super::core::{ConnReply, Core};
use super::event::Outbox;
use crate::commands::blocking::first_ready;
use crate::commands::{Context, Handler, KeyFlags, KeyRanges, Row};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::reply::Reply;
use crate::session::Session;
use crate::store::Watcher;
use crate::txn::{LockKey, LockMode, PartResult, Stored, Waiter, Work, shard_of_key};

#[derive(Debug)]
pub(super) struct Attempt {
    pub waiter: Arc<Waiter>,
    /// It has not waited yet. Otherwise what it waits for may just have come.
    pub first: bool,
}

#[derive(Debug)]
pub(super) struct GatheredKey {
    part: usize,
    db: u8,
    key: Box<[u8]>,
    written: bool,
}

impl Core {
    /// Runs the command of a client again that waits for its first key: under locks on all of its
    /// keys, as it needs more than one.
    pub fn start_attempt(&mut self, reply: ConnReply, waiter: &Arc<Waiter>, outbox: &mut Outbox) {
        let (row, run_as, args) = (waiter.row, waiter.run_as, waiter.args.clone());
        let (keys, shares) = self.gathered(row, args.as_args(), usize::from(run_as.db));
        let attempt = Some(Attempt { waiter: Arc::clone(waiter), first: false });
        let begun = Begun { reply, row, args, run_as, kind: Kind::Gather { keys, attempt } };
        let txn = self.new_txn();
        self.send_shares(txn, begun, shares, outbox);
    }

    /// A command that reads here and writes there, such as RENAME: its keys come to this core.
    pub fn start_gather(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        args: Args<'_>,
        outbox: &mut Outbox,
    ) {
        let (keys, shares) = self.gathered(row, args, session.client.db);
        let kind = Kind::Gather { keys, attempt: None };
        self.begin(session, row, OwnedArgs::from(args), kind, shares, outbox);
    }

    /// The keys of a command that gathers them, and what each shard is to lock and to fetch.
    pub fn gathered(
        &self,
        row: &'static Row,
        args: Args<'_>,
        db: usize,
    ) -> (Vec<GatheredKey>, Vec<Share>) {
        let mut part_of_shard = vec![None; self.shard_count];
        let mut shares: Vec<Share> = Vec::new();
        let mut keys: Vec<GatheredKey> = Vec::new();
        let mut known: HashMap<(usize, &[u8]), usize> = HashMap::new();
        for range in row.key_ranges(args).unwrap_or(KeyRanges::NONE).iter() {
            let written = !range.flags.contains(KeyFlags::RO);
            let db = range.database(args, db);
            for position in range.positions() {
                let key = args.at(position);
                let shard = shard_of_key(key, self.shard_count);
                let part = *part_of_shard[shard].get_or_insert_with(|| {
                    let work = Work::Fetch { keys: Vec::new() };
                    shares.push(Share { shard, locks: Vec::new(), whole_shard: false, work });
                    shares.len() - 1
                });
                let index = *known.entry((db, key)).or_insert_with(|| {
                    keys.push(GatheredKey { part, db: db as u8, key: key.into(), written });
                    keys.len() - 1
                });
                keys[index].written |= written;
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
        (keys, shares)
    }

    /// Runs a gathered command on what was fetched. Returns its reply and what it left at each
    /// key that it may write, by part.
    pub fn run_gathered(&mut self, transaction: &mut Transaction) -> (Vec<u8>, Vec<Vec<Stored>>) {
        let mut stores: Vec<Vec<Stored>> = transaction.parts.iter().map(|_| Vec::new()).collect();
        let mut out = Vec::new();
        let Kind::Gather { keys, attempt } = &transaction.kind else { return (out, stores) };
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
            db_index: usize::from(transaction.run_as.db),
            now: self.now.unix_ms,
            config: &self.settings.config,
            reply: Reply::new(&mut out, transaction.run_as.encoding),
            shard_index: self.shard_id,
            shard_count: self.shard_count,
        };
        let args = transaction.args.as_args();
        let in_vain = attempt.as_ref().is_some_and(|Attempt { waiter, .. }| {
            let wait = waiter.wait();
            wait.is_none_or(|wait| first_ready(&context, args, wait, waiter.positions()).is_none())
        });
        let result = if in_vain { Ok(()) } else { handler(&mut context, args) };
        if !in_vain {
            self.stats.commands.count_call(transaction.row, result.as_ref().err());
        }
        if let Err(error) = &result {
            out.clear();
            Reply::new(&mut out, transaction.run_as.encoding).error_bytes(&error.message());
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
        // Nobody does the scratch shard's chores.
        self.shards.home_mut().store_mut().adopt_remains(&mut self.scratch);
        let gathered = self.scratch.stats();
        self.scratch.reset_stats();
        self.shards
            .home_mut()
            .store_mut()
            .count_reads(gathered.keyspace_hits, gathered.keyspace_misses);
        (out, stores)
    }
}
