//! The one seam that every change of a database goes through.
//!
//! Whoever can change an entry says when borrowing it what the change is called ([`Event`]), since
//! [`Db`] lends none without. The first change that is made tells the database's
//! [`ChangeFeed`], before anything is overwritten; so do expiry, eviction, flushing and swapping.
//! The feed serves three kinds of listeners:
//!
//! - [`WatchedKeys`]: WATCH, and clients that wait for data at a key.
//! - A record of what happened, in the order of the whole shard, for those that need the values
//!   afterwards or none at all: see [`Shard::record_changes`](super::Shard::record_changes).
//! - An [`Observer`], which sees an entry before it changes.
//!
//! While nobody listens, a change costs the test of one word.

mod event;
#[cfg(all(test, not(miri)))]
mod tests;
mod watched;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use event::{Class, Classes, Event, Events};
use watched::WatchedKeys;
pub use watched::Watcher;

use super::{Db, EntryRef};

/// Something that happened to a shard's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Key {
        db: u8,
        key: Box<[u8]>,
        event: Event,
    },
    /// All keys of a database have gone at once. There is no event for any of them.
    Flushed {
        db: u8,
    },
    /// Two databases have changed their numbers.
    Swapped {
        a: u8,
        b: u8,
    },
}

/// Sees what is there before it is changed. It must be quick: the change waits for it.
pub trait Observer: Debug + Send {
    /// The entry at a key is about to be changed or removed; `None` if one is about to be created.
    /// Comes at least once for each change, and may come for one that is then not made.
    fn before_change(&mut self, key: &[u8], entry: Option<EntryRef<'_>>);

    /// All keys are about to go.
    fn before_flush(&mut self, db: &Db);
}

/// Who hears of one database's changes. It stays with the number of the database.
#[derive(Debug, Default)]
pub struct ChangeFeed {
    /// Somebody does; the word that each change tests.
    listening: bool,
    db: u8,
    watched: WatchedKeys,
    record: Record,
    observer: Option<Box<dyn Observer>>,
}

#[derive(Debug, Default)]
struct Record {
    classes: Classes,
    /// Numbers the changes of all databases of the shard. It is one thread's at a time.
    order: Arc<AtomicU64>,
    changes: Vec<(u64, Change)>,
}

impl ChangeFeed {
    fn update_listening(&mut self) {
        self.listening = self.watched.is_listening()
            || self.record.classes != Classes::NONE
            || self.observer.is_some();
    }

    // What the database tells.

    #[inline]
    pub(super) fn is_listening(&self) -> bool {
        self.listening
    }

    /// A key is about to change; `entry` is what is there until then. Comes before
    /// [`ChangeFeed::tell`]. Ask first whether anybody listens.
    #[cold]
    pub(super) fn show(&mut self, key: &[u8], entry: Option<EntryRef<'_>>) {
        if let Some(observer) = &mut self.observer {
            observer.before_change(key, entry);
        }
    }

    /// A key is changed now.
    #[cold]
    pub(super) fn tell(&mut self, key: &[u8], events: Events) {
        if !events.first().is_departure() {
            self.watched.modified(key);
        }
        for event in events.iter() {
            self.record.add(self.db, key, event);
        }
    }

    /// A key is created now.
    #[cold]
    pub(super) fn tell_new(&mut self, key: &[u8], events: Events) {
        self.record.add(self.db, key, Event::New);
        self.tell(key, events);
    }

    /// Watches are not told: whoever watched a key that was there looks whether it still is.
    pub(super) fn tell_flush(&mut self, former: &Db) {
        if let Some(observer) = &mut self.observer {
            observer.before_flush(former);
        }
        self.record.add_for_all(Change::Flushed { db: self.db });
    }

    /// The database is about to change places with another, whose feed is `other`. `modified` says
    /// which keys are or were in either.
    pub(super) fn tell_swap(&mut self, other: &mut ChangeFeed, modified: impl Fn(&[u8]) -> bool) {
        self.watched.modified_where(&modified);
        other.watched.modified_where(&modified);
        self.record.add_for_all(Change::Swapped { a: self.db, b: other.db });
    }

    // What the shard and its clients ask for.

    /// Records events of these classes, numbered by the counter that the databases of a shard have
    /// in common. `db` is the number of this one.
    pub(super) fn record(&mut self, classes: Classes, db: usize, order: &Arc<AtomicU64>) {
        self.db = db as u8;
        self.record = Record { classes, order: Arc::clone(order), changes: Vec::new() };
        self.update_listening();
    }

    pub(super) fn take_recorded(&mut self, into: &mut Vec<(u64, Change)>) {
        into.append(&mut self.record.changes);
    }

    /// From now on this one sees every entry of the database before it changes, instead of the one
    /// that did so far, which is given back.
    pub fn set_observer(
        &mut self,
        observer: Option<Box<dyn Observer>>,
    ) -> Option<Box<dyn Observer>> {
        let former = std::mem::replace(&mut self.observer, observer);
        self.update_listening();
        former
    }

    pub fn watch(&mut self, key: &[u8], watcher: Watcher) {
        self.watched.watch(key, watcher);
        self.listening = true;
    }

    /// Forgets that the key is watched by this one. Nothing happens if a change has broken the watch.
    pub fn unwatch(&mut self, key: &[u8], watcher: Watcher) {
        self.watched.unwatch(key, watcher);
        self.update_listening();
    }

    /// Whose watches have been broken since the last call, once for each key.
    pub fn take_broken(&mut self) -> Vec<Watcher> {
        self.watched.take_broken()
    }

    /// From now on changes of this key are told by [`ChangeFeed::take_touched`].
    pub fn expect(&mut self, key: &[u8]) {
        self.watched.expect(key);
        self.listening = true;
    }

    /// Nobody waits at this key any more.
    pub fn expect_no_more(&mut self, key: &[u8]) {
        self.watched.expect_no_more(key);
        self.update_listening();
    }

    /// Awaited keys that have been modified since the last call.
    pub fn take_touched(&mut self) -> Vec<Box<[u8]>> {
        self.watched.take_touched()
    }

    /// Whether nobody listens and nothing is still to be reported.
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty() && self.record.changes.is_empty()
    }
}

impl Record {
    fn add(&mut self, db: u8, key: &[u8], event: Event) {
        if self.classes.contains(event.class()) {
            self.push(Change::Key { db, key: key.into(), event });
        }
    }

    fn add_for_all(&mut self, change: Change) {
        if self.classes != Classes::NONE {
            self.push(change);
        }
    }

    fn push(&mut self, change: Change) {
        self.changes.push((self.order.fetch_add(1, Ordering::Relaxed), change));
    }
}
