//! Access by the hash of a key, for indexes that know no more of an item.

use super::{Dict, Item};

impl Dict {
    /// The same for as long as the table lives.
    #[inline]
    pub fn hash_of(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    /// Removes the items whose keys have this hash and that are wanted: mostly one. Gives how many
    /// there were.
    pub fn remove_of_hash(&mut self, hash: u64, wanted: impl Fn(Item<'_>) -> bool) -> usize {
        let bucket = self.parts[self.part_of(hash)].bucket_of(hash >> self.part_bits());
        let found = bucket.iter().filter(|item| wanted(*item) && self.hash_of(item.key) == hash);
        let keys: Vec<Box<[u8]>> = found.map(|item| item.key.into()).collect();
        keys.iter().filter(|key| self.remove(key, |_| ()).is_some()).count()
    }
}
