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

    /// Whether any key is watched or awaited.
    pub fn is_listening(&self) -> bool {
        !self.watchers.is_empty() || !self.awaited.is_empty()
    }

    /// The value or the expiry at the key is changed, or set to what it was.
    pub fn modified(&mut self, key: &[u8]) {
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
