//! WATCH: who watches what, and whether it is still as it was.

use hashbrown::HashMap;

use super::Shard;
use crate::store::{DATABASES, Watcher};
use crate::txn::{ConnId, Message, planted};

/// The watchers of this shard's keys.
///
/// The store tells which watches changes have broken. It does not tell of keys that expire or are
/// evicted: it is remembered whether a key was there, and looked up in the end.
#[derive(Debug, Default)]
pub(super) struct Watches {
    by_watcher: HashMap<Watcher, Watch>,
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
    pub fn is_empty(&self) -> bool {
        self.by_watcher.is_empty()
    }
}

impl Shard {
    /// Whether a watch is broken, as far as is known since [`Shard::find_broken_watches`].
    pub fn is_watch_broken(&self, watcher: Watcher) -> bool {
        self.watches.by_watcher.get(&watcher).is_some_and(|watch| watch.broken)
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
            let present = self.store.db(db).contains(&key, self.now);
            self.store.db_mut(db).changes.watch(&key, watcher);
            watch.keys.push(WatchedKey { db, key, present });
        }
    }

    /// Ends a watch. Tells whether all of its keys are as they were.
    pub fn end_watch(&mut self, watcher: Watcher) -> bool {
        self.find_broken_watches();
        let Some(watch) = self.watches.by_watcher.remove(&watcher) else { return false };
        let mut whole = !watch.broken;
        for WatchedKey { db, key, present } in watch.keys {
            whole &= !present || self.store.db(db).contains(&key, self.now);
            self.store.db_mut(db).changes.unwatch(&key, watcher);
        }
        whole || planted!(self, WatchNotLookedAt)
    }

    /// Finds out whose watches have been broken by what ran since the last time, and tells their
    /// connections, wherever they are. They could wait for EXEC to see it; so an EXEC in vain needs
    /// no locks.
    pub fn find_broken_watches(&mut self) {
        if self.watches.by_watcher.is_empty() {
            return;
        }
        for db in 0..DATABASES {
            for watcher in self.store.db_mut(db).changes.take_broken() {
                let Some(watch) = self.watches.by_watcher.get_mut(&watcher) else { continue };
                if watch.broken || planted!(self, ChangeUnnoticed) {
                    continue;
                }
                watch.broken = true;
                let broken = Message::WatchBroken { conn: watch.conn, watcher };
                self.outbox.push(watcher.core, broken);
                // Nothing more can happen to it.
                for other in std::mem::take(&mut watch.keys) {
                    self.store.db_mut(other.db).changes.unwatch(&other.key, watcher);
                }
            }
        }
    }
}
