//! The keys of one database whose changes somebody wants to hear of: WATCH, whose watches are broken
//! by the first one, and clients that wait for data, who hear of every one.
//!
//! Only changes are noted here. That a key is gone can be seen when it matters, so expiry and
//! eviction need not tell: a watch on a key that was there also fails if it no longer is. And a key
//! that is put back is modified.

use hashbrown::HashMap;

/// Somebody who watches keys; unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Watcher {
    /// The core whose connection it is.
    pub core: usize,
    /// Chosen by that core, never twice.
    pub number: u64,
}

#[derive(Debug, Default)]
pub struct WatchedKeys {
    watchers: HashMap<Box<[u8]>, Vec<Watcher>>,
    broken: Vec<Watcher>,
    /// Keys at which clients wait for data, and whether each is among those `touched`.
    awaited: HashMap<Box<[u8]>, bool>,
    /// Those of them that have been modified, in that order, each once.
    touched: Vec<Box<[u8]>>,
}

impl WatchedKeys {
    pub fn watch(&mut self, key: &[u8], watcher: Watcher) {
        self.watchers.entry(key.into()).or_default().push(watcher);
    }

    /// Forgets that the key is watched by this one. Nothing happens if a change has broken the watch.
    pub fn unwatch(&mut self, key: &[u8], watcher: Watcher) {
        if let Some(watchers) = self.watchers.get_mut(key) {
            watchers.retain(|other| *other != watcher);
            if watchers.is_empty() {
                self.watchers.remove(key);
            }
        }
        if self.watchers.is_empty() {
            self.watchers = HashMap::new();
        }
    }

    /// The value or the expiry at the key has been changed, or set to what it was.
    #[inline]
    pub fn modified(&mut self, key: &[u8]) {
        if !self.watchers.is_empty() || !self.awaited.is_empty() {
            self.tell(key);
        }
    }

    #[cold]
    fn tell(&mut self, key: &[u8]) {
        if let Some(watchers) = self.watchers.remove(key) {
            self.broken.extend(watchers);
        }
        if let Some(listed) = self.awaited.get_mut(key)
            && !std::mem::replace(listed, true)
        {
            self.touched.push(key.into());
        }
    }

    /// As [`WatchedKeys::modified`] for all watched keys that are chosen. They are modified at once,
    /// so they are told in an order that does not depend on the tables' seeds.
    pub fn modified_where(&mut self, chosen: impl Fn(&[u8]) -> bool) {
        let (broken, touched) = (self.broken.len(), self.touched.len());
        let watchers = self.watchers.extract_if(|key, _| chosen(key));
        self.broken.extend(watchers.flat_map(|(_, watchers)| watchers));
        self.broken[broken..].sort_unstable();
        for (key, listed) in self.awaited.iter_mut().filter(|(key, _)| chosen(key)) {
            if !std::mem::replace(listed, true) {
                self.touched.push(key.clone());
            }
        }
        self.touched[touched..].sort_unstable();
    }

    /// Whether no key is watched or awaited, and no change of one is still to be reported.
    pub fn is_empty(&self) -> bool {
        self.watchers.is_empty()
            && self.broken.is_empty()
            && self.awaited.is_empty()
            && self.touched.is_empty()
    }

    /// Whose watches have been broken since the last call, once for each key.
    pub fn take_broken(&mut self) -> Vec<Watcher> {
        std::mem::take(&mut self.broken)
    }

    /// From now on changes of this key are told by [`WatchedKeys::take_touched`].
    pub fn expect(&mut self, key: &[u8]) {
        self.awaited.insert(key.into(), false);
    }

    /// Nobody waits at this key any more.
    pub fn expect_no_more(&mut self, key: &[u8]) {
        self.awaited.remove(key);
        if self.awaited.is_empty() {
            (self.awaited, self.touched) = (HashMap::new(), Vec::new());
        }
    }

    /// Awaited keys that have been modified since the last call.
    pub fn take_touched(&mut self) -> Vec<Box<[u8]>> {
        for key in &self.touched {
            if let Some(listed) = self.awaited.get_mut(key) {
                *listed = false;
            }
        }
        std::mem::take(&mut self.touched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Encoding, Item, Shard, Slot};

    const NOW: u64 = 1_000;
    const WATCHER: Watcher = Watcher { core: 3, number: 7 };

    fn breaks(change: impl FnOnce(&mut Shard)) -> bool {
        let mut shard = Shard::new(1);
        for (key, expiry) in [("there", None), ("mortal", Some(NOW + 1)), ("expired", Some(NOW))] {
            shard.db_mut(0).set_string(key.as_bytes(), b"v", Encoding::Raw, expiry, 0);
        }
        for key in ["there", "mortal", "expired", "none"] {
            shard.db_mut(0).watched.watch(key.as_bytes(), WATCHER);
            shard.db_mut(0).watched.expect(key.as_bytes());
        }
        change(&mut shard);
        let broken = shard.db_mut(0).watched.take_broken();
        assert!(broken.iter().all(|watcher| *watcher == WATCHER));
        let touched = shard.db_mut(0).watched.take_touched();
        assert_eq!(
            touched.is_empty(),
            broken.is_empty(),
            "those who wait hear of the same changes"
        );
        assert!((0..2).all(|db| shard.db_mut(db).watched.take_broken().is_empty()));
        for key in ["there", "mortal", "expired", "none"] {
            shard.db_mut(0).watched.unwatch(key.as_bytes(), WATCHER);
            shard.db_mut(0).watched.expect_no_more(key.as_bytes());
        }
        assert!(shard.db(0).watched.is_empty());
        !broken.is_empty()
    }

    #[test]
    fn every_way_to_change_an_entry_breaks_its_watch() {
        let string = |key: &str| Item::string(key.as_bytes(), b"w", Encoding::Raw, None);
        for key in ["there", "none", "expired"] {
            let bytes = key.as_bytes();
            assert!(breaks(|shard| {
                shard.db_mut(0).insert(string(key), NOW);
            }));
            assert!(breaks(|shard| shard.db_mut(0).set_string(
                bytes,
                b"w",
                Encoding::Raw,
                None,
                NOW
            )));
            assert!(breaks(|shard| match shard.db_mut(0).slot(bytes, NOW) {
                Slot::Occupied(mut entry) => entry.replace_string(b"w", Encoding::Raw),
                Slot::Vacant(slot) => {
                    slot.insert(b"w", Encoding::Raw, None);
                }
            }));
        }
        assert!(breaks(|shard| {
            let mut entry = shard.db_mut(0).get_mut(b"there", NOW).expect("it is there");
            entry.set_expiry(Some(NOW + 5));
        }));
        assert!(breaks(|shard| assert!(shard.db_mut(0).remove(b"there", NOW))));
        assert!(breaks(|shard| {
            shard.db_mut(1).set_string(b"none", b"w", Encoding::Raw, None, NOW);
            shard.swap_dbs(0, 1, NOW);
        }));
        assert!(breaks(|shard| {
            shard.swap_dbs(0, 1, NOW);
            shard.swap_dbs(1, 0, NOW);
        }));
    }

    #[test]
    fn what_changes_nothing_breaks_no_watch() {
        assert!(!breaks(|shard| {
            shard.db_mut(0).set_string(b"other", b"w", Encoding::Raw, None, NOW);
            shard.db_mut(1).set_string(b"there", b"w", Encoding::Raw, None, NOW);
        }));
        assert!(!breaks(|shard| {
            let entry = shard.db_mut(0).get_mut(b"there", NOW).expect("it is there");
            assert!(entry.as_string().is_ok_and(|text| *text == *b"v"));
        }));
        assert!(!breaks(|shard| {
            assert!(!shard.db_mut(0).remove(b"none", NOW));
            assert!(!shard.db_mut(0).remove(b"expired", NOW));
        }));
        assert!(!breaks(|shard| {
            shard.db_mut(0).slot(b"expired", NOW);
        }));
        // Whoever watched a key that was there looks whether it still is.
        assert!(!breaks(|shard| {
            while shard.sweep_expired(100, NOW + 2_000) {}
            assert_eq!(shard.db(0).len(), 1);
        }));
        assert!(!breaks(Shard::clear));
        assert!(!breaks(|shard| {
            shard.clear();
            shard.swap_dbs(0, 1, NOW);
        }));
    }
}
