//! WATCH at the shard that owns the keys: who watches what, and whether it is still as it was.

use hashbrown::HashMap;

use super::coordinate::{Kind, Transaction};
use super::core::Core;
use super::event::{ConnId, Outbox, ShardId};
use super::{Engine, exec};
use crate::session::Watching;
use crate::store::{DATABASES, Watcher};
use crate::txn::{Fault, Message};

/// The watchers of this shard's keys.
///
/// The store tells which watches changes have broken. It does not tell of keys that expire or are
/// evicted: it is remembered whether a key was there, and looked up in the end.
#[derive(Debug, Default)]
pub(super) struct Watches {
    by_watcher: HashMap<Watcher, Watch>,
    /// Broken, and their connections have not been told.
    untold: Vec<(Watcher, ConnId)>,
}

#[derive(Debug)]
struct Watch {
    conn: ConnId,
    broken: bool,
    keys: Vec<WatchedKey>,
}

#[derive(Debug)]
struct WatchedKey {
    db: usize,
    key: Box<[u8]>,
    /// There was such a key when WATCH ran.
    present: bool,
}

impl Watches {
    pub fn len(&self) -> usize {
        self.by_watcher.len()
    }

    /// As far as is known since the last collection.
    pub fn is_broken(&self, watcher: Watcher) -> bool {
        self.by_watcher.get(&watcher).is_some_and(|watch| watch.broken)
    }
}

impl Core {
    /// The identity of a connection's next watches.
    pub fn new_watcher(&mut self) -> Watcher {
        self.next_watcher += 1;
        Watcher { core: self.shard_id, number: self.next_watcher }
    }

    /// Watches keys of this shard; the caller has seen to it that each is new to this watcher.
    pub fn watch(&mut self, watcher: Watcher, conn: ConnId, keys: Vec<(u8, Box<[u8]>)>) {
        let fresh = || Watch { conn, broken: false, keys: Vec::new() };
        let watch = self.watches.by_watcher.entry(watcher).or_insert_with(fresh);
        if watch.broken {
            return;
        }
        for (db, key) in keys {
            let db = usize::from(db);
            let present = self.shard.db(db).contains(&key, self.now.unix_ms);
            self.shard.db_mut(db).changes.watch(&key, watcher);
            watch.keys.push(WatchedKey { db, key, present });
        }
    }

    /// Ends a watch. Tells whether all of its keys are as they were.
    pub fn end_watch(&mut self, watcher: Watcher) -> bool {
        self.collect_broken_watches();
        let Some(watch) = self.watches.by_watcher.remove(&watcher) else { return false };
        let mut whole = !watch.broken;
        for WatchedKey { db, key, present } in watch.keys {
            whole &= !present || self.shard.db(db).contains(&key, self.now.unix_ms);
            self.shard.db_mut(db).changes.unwatch(&key, watcher);
        }
        whole || self.planted.is(Fault::WatchNotLookedAt)
    }

    /// Finds out whose watches have been broken by what ran since the last time.
    pub fn collect_broken_watches(&mut self) {
        if self.watches.by_watcher.is_empty() {
            return;
        }
        for db in 0..DATABASES {
            for watcher in self.shard.db_mut(db).changes.take_broken() {
                let Some(watch) = self.watches.by_watcher.get_mut(&watcher) else { continue };
                if watch.broken || self.planted.is(Fault::ChangeUnnoticed) {
                    continue;
                }
                watch.broken = true;
                self.watches.untold.push((watcher, watch.conn));
                // Nothing more can happen to it.
                for other in std::mem::take(&mut watch.keys) {
                    self.shard.db_mut(other.db).changes.unwatch(&other.key, watcher);
                }
            }
        }
    }

    /// Tells connections, wherever they are, that their watches are broken. They could wait for
    /// EXEC to see it; so an EXEC in vain needs no locks.
    pub fn report_broken_watches(&mut self, outbox: &mut Outbox) {
        self.collect_broken_watches();
        for (watcher, conn) in self.watches.untold.drain(..) {
            outbox.messages.push((watcher.core, Message::WatchBroken { conn, watcher }));
        }
    }

    /// Ends what a connection watches, at all shards.
    pub fn forget_watching(&mut self, watching: Option<Box<Watching>>, outbox: &mut Outbox) {
        let Some(watching) = watching else { return };
        for shard in watching.shards() {
            self.forget_watcher(shard, watching.watcher, outbox);
        }
    }

    pub fn forget_watcher(&mut self, shard: ShardId, watcher: Watcher, outbox: &mut Outbox) {
        if shard == self.shard_id {
            self.end_watch(watcher);
        } else {
            outbox.messages.push((shard, Message::Unwatch(watcher)));
        }
    }
}

impl Engine {
    pub(super) fn watch_broken(&mut self, conn: ConnId, watcher: Watcher) {
        if let Some(session) = self.sessions.get_mut(conn)
            && let Some(watching) = &mut session.watching
            && watching.watcher == watcher
        {
            watching.broken = true;
        }
    }

    /// All keys of a WATCH are watched. If the connection has gone, nobody else will forget them.
    pub(super) fn finish_watch(&mut self, transaction: &Transaction, outbox: &mut Outbox) {
        let Kind::Watch { watcher } = transaction.kind else { return };
        if self.sessions.get_mut(transaction.reply.conn).is_none() {
            for &(shard, _) in &transaction.parts {
                self.core.forget_watcher(shard, watcher, outbox);
            }
        }
    }

    /// A connection has ended: what it had queued and watched is forgotten. An EXEC that has begun
    /// goes on to its end.
    pub(super) fn forget_connection(&mut self, conn: ConnId, outbox: &mut Outbox) {
        let session = self.sessions.get_mut(conn).filter(|session| !session.gone);
        let Some(session) = session else { return };
        session.multi = None;
        self.core.forget_wait(session, outbox);
        let watching = session.watching.take();
        if exec::is_running(session) {
            session.gone = true;
            self.sessions.detach(conn);
        } else if let Some(session) = self.sessions.remove(conn) {
            self.core.memory.forget(&session);
        }
        if !self.core.planted.is(Fault::WatchesOfVanishedKept) {
            self.core.forget_watching(watching, outbox);
        }
    }
}
