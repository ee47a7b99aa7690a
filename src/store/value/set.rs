//! A set that has grown out of one packed run.

use super::Dict;

/// Byte strings, each once, in no order.
#[derive(Clone, Debug)]
pub struct Set {
    members: Dict,
}

impl Set {
    /// An empty set. For the seed see [`Dict::new`].
    pub fn new(seed: u64) -> Set {
        Set { members: Dict::new(seed) }
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn heap_bytes(&self) -> usize {
        self.members.heap_bytes()
    }

    pub fn contains(&self, member: &[u8]) -> bool {
        self.members.contains(member)
    }

    /// Adds a member; false if it was there.
    pub fn insert(&mut self, member: &[u8]) -> bool {
        self.members.insert(member)
    }

    /// Removes a member; false if it was not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        self.members.remove(member, |_| ()).is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.members.iter().map(|item| item.key)
    }

    /// See [`Dict::scan`].
    pub fn scan(&self, cursor: u64, mut show: impl FnMut(&[u8])) -> u64 {
        self.members.scan(cursor, |item| show(item.key))
    }

    /// A member chosen by random numbers, every one as likely as any other.
    pub fn random(&self, next_random: impl FnMut() -> u64) -> Option<&[u8]> {
        self.members.random(next_random).map(|item| item.key)
    }

    /// See [`Dict::free_slice`].
    pub fn free_slice(&mut self, budget: usize) -> bool {
        self.members.free_slice(budget)
    }
}
