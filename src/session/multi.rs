//! What MULTI and WATCH leave with a connection until EXEC.

use std::collections::{BTreeMap, BTreeSet};

use crate::commands::{Flags, Row};
use crate::protocol::Args;

use crate::txn::{CommandList, ShardId, Watcher};

/// Where the commands of a MULTI block lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Nowhere so far: no command has a key.
    #[default]
    Anywhere,
    /// All to one shard.
    One(ShardId),
    /// Each to one shard.
    Several,
    /// Some need several shards each, or concern the connection or the process: they run one after
    /// the other.
    InTurn,
}

impl Reach {
    pub fn and(self, other: Reach) -> Reach {
        match (self, other) {
            (Reach::InTurn, _) | (_, Reach::InTurn) => Reach::InTurn,
            (Reach::Anywhere, other) => other,
            (own, Reach::Anywhere) => own,
            (Reach::One(a), Reach::One(b)) if a == b => Reach::One(a),
            _ => Reach::Several,
        }
    }
}

/// A MULTI block: from MULTI to EXEC.
#[derive(Debug)]
pub struct Multi {
    pub queued: CommandList,
    /// Of all queued commands.
    pub flags: Flags,
    pub reach: Reach,
    /// A command could not be queued, so EXEC will refuse.
    pub aborted: bool,
}

impl Default for Multi {
    fn default() -> Self {
        Multi {
            queued: CommandList::default(),
            flags: Flags::empty(),
            reach: Reach::default(),
            aborted: false,
        }
    }
}

impl Multi {
    pub fn queue(&mut self, row: &'static Row, args: Args<'_>, reach: Reach) {
        self.queued.push(row, args);
        self.flags |= row.flags;
        self.reach = self.reach.and(reach);
    }
}

/// What a connection watches: from its first WATCH until EXEC, DISCARD, UNWATCH or its end.
#[derive(Debug)]
pub struct Watching {
    pub watcher: Watcher,
    /// A key has changed: EXEC will do nothing.
    pub broken: bool,
    keys: BTreeMap<ShardId, BTreeSet<KeyInDb>>,
    bytes: usize,
}

/// A key with its database.
type KeyInDb = (u8, Box<[u8]>);

/// What a watched key takes besides its own bytes, here and at its shard.
const WATCHED_KEY_BYTES: usize = 128;

impl Watching {
    pub fn new(watcher: Watcher) -> Self {
        Watching { watcher, broken: false, keys: BTreeMap::new(), bytes: 0 }
    }

    /// Adds a key; tells whether it is new.
    pub fn add(&mut self, shard: ShardId, db: usize, key: &[u8]) -> bool {
        let added = self.keys.entry(shard).or_default().insert((db as u8, key.into()));
        if added {
            self.bytes += Self::size_of(key);
        }
        added
    }

    /// Bytes that the watches hold, here and at their shards.
    pub fn size(&self) -> usize {
        self.bytes
    }

    /// Bytes that watching a key takes: it is kept three times.
    pub fn size_of(key: &[u8]) -> usize {
        3 * key.len() + WATCHED_KEY_BYTES
    }

    pub fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.keys.keys().copied()
    }

    /// The keys by shard.
    pub fn into_keys(self) -> impl Iterator<Item = (ShardId, Vec<Box<[u8]>>)> {
        let keys = self.keys.into_iter();
        keys.map(|(shard, keys)| (shard, keys.into_iter().map(|(_, key)| key).collect()))
    }

    /// The only shard with watched keys; `None` if there are several.
    pub fn only_shard(&self) -> Option<ShardId> {
        let mut shards = self.shards();
        shards.next().filter(|_| shards.next().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reaches_add_up() {
        use Reach::{Anywhere, InTurn, One, Several};
        for (a, b, both) in [
            (Anywhere, Anywhere, Anywhere),
            (Anywhere, One(1), One(1)),
            (One(1), Anywhere, One(1)),
            (One(1), One(1), One(1)),
            (One(1), One(2), Several),
            (Several, One(1), Several),
            (Anywhere, Several, Several),
            (InTurn, One(1), InTurn),
            (Several, InTurn, InTurn),
        ] {
            assert_eq!(a.and(b), both, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_key_is_watched_once_in_each_database() {
        let mut watching = Watching::new(Watcher { core: 0, number: 0 });
        assert!(watching.add(1, 0, b"a") && !watching.add(1, 0, b"a") && watching.add(1, 5, b"a"));
        assert_eq!(watching.only_shard(), Some(1));
        assert_eq!(watching.size(), 2 * Watching::size_of(b"a"));
        assert!(watching.add(2, 0, b"b"));
        assert_eq!(watching.only_shard(), None);
        let keys: usize = watching.into_keys().map(|(_, keys)| keys.len()).sum();
        assert_eq!(keys, 3);
    }
}
