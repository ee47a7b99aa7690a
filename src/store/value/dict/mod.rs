//! A hash table from byte strings to byte strings, each with an expiry or without: what a large set
//! or hash is.
//!
//! It is a linear hash table whose buckets are small packed runs of bytes, so that an item costs
//! about seven bytes beyond its own: no pointer, no header, no allocation. One bucket at a time is
//! split or merged as items come and go; nothing ever moves all of them.
//!
//! A look-up reads the directory, the bucket's slots, and the one item that has the tag.
//!
//! In such a table all buckets are about equally large at any time, half as large once they have
//! been split, and so the sizes of block that they need come and go: what was freed of one size lies
//! idle, scattered among what is still used. A large dictionary is therefore made of several parts
//! with different loads, each half a round ahead of some other, which need blocks of all sizes at
//! all times.
//!
//! Sources: W. Litwin, "Linear hashing: a new tool for file and table addressing", VLDB 1980; the
//! cursor that counts in reversed bits is Pieter Noordhuis's, from Redis's SCAN.

mod bucket;
mod by_hash;
mod directory;
mod item;
mod longest;
mod part;
#[cfg(test)]
mod tests;

pub use item::Item;

use bucket::{Bucket, Place, Tag};
use part::Part;

use crate::store::UnixMs;
use crate::store::memory::good_size;
use crate::store::table::KeyHasher;

/// Items in 16 buckets of the only part of a small dictionary.
const LOAD: usize = 128;
/// The same for each part of a large one: they rise by a factor of two on the whole, since after as
/// much a part's buckets are what they were.
const LOADS: [usize; 16] =
    [91, 95, 99, 103, 108, 112, 117, 123, 128, 134, 140, 146, 152, 159, 166, 173];
/// A dictionary with more items is divided into parts, in well below a millisecond.
const UNDIVIDED_LEN_MAX: usize = 2048;

/// Attempts at a fair choice. About five are needed, so that many failures say that the numbers are
/// not random.
const ATTEMPTS_MAX: usize = 10_000;

#[derive(Debug)]
pub struct Dict {
    hasher: KeyHasher,
    /// One or as many as [`LOADS`]; the lowest bits of a hash choose among them.
    parts: Vec<Part>,
    len: usize,
    /// What the parts hold.
    part_bytes: usize,
    /// The largest of [`Part::numbers`].
    numbers_max: usize,
}

impl Dict {
    /// An empty table. The seed is a secret, so that nobody can choose keys that collide, and no
    /// other table's: to insert one table's items into another with the same seed would fill the
    /// buckets one after the other.
    pub fn new(seed: u64) -> Dict {
        Dict::of_parts(KeyHasher::new(seed), &[LOAD])
    }

    fn of_parts(hasher: KeyHasher, loads: &[usize]) -> Dict {
        let parts: Vec<Part> = loads.iter().map(|&load| Part::new(load)).collect();
        let part_bytes = parts.iter().map(Part::heap_bytes).sum();
        Dict { hasher, parts, len: 0, part_bytes, numbers_max: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What it holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.part_bytes + good_size(self.parts.capacity() * size_of::<Part>())
    }

    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<Item<'_>> {
        let hash = self.hasher.hash(key);
        self.parts[self.part_of(hash)].get(hash >> self.part_bits(), Tag::of_hash(hash), key)
    }

    #[inline]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Puts an item, in the place of one with the same key; whether there was none.
    pub fn set(&mut self, key: &[u8], value: &[u8], expiry: Option<UnixMs>) -> bool {
        self.put(Item { key, value, expiry }, Bucket::replace)
    }

    /// Adds a key, without a value, unless it is there; whether it was not.
    pub fn insert(&mut self, key: &[u8]) -> bool {
        self.put(Item::of_key(key), |_, _, _, _| {})
    }

    /// Takes an item out, shown before it goes.
    pub fn remove<R>(&mut self, key: &[u8], show: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        let (hash, bits) = (self.hasher.hash(key), self.part_bits());
        self.change(hash, |part, _| part.remove(hash >> bits, Tag::of_hash(hash), key, show))
    }

    /// Changes when an item expires; false if there is no such item.
    pub fn set_expiry(&mut self, key: &[u8], expiry: Option<UnixMs>) -> bool {
        let (hash, bits, tag) = {
            let hash = self.hasher.hash(key);
            (hash, self.part_bits(), Tag::of_hash(hash))
        };
        self.change(hash, |part, _| {
            part.change(hash >> bits, |bucket| {
                let Ok(place) = bucket.find(tag, key) else { return false };
                let value = bucket.item(place).value.to_vec();
                bucket.replace(place, tag, Item { key, value: &value, expiry });
                true
            })
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        self.parts.iter().flat_map(Part::iter)
    }

    /// Shows one bucket's items and says where to go on; 0 begins, and is the end. Any number is a
    /// valid cursor.
    ///
    /// An item that is there from the first call to the last is shown, however the table grows and
    /// shrinks meanwhile; it may be shown twice. The cursor is a hash whose bits, reversed, count
    /// upwards: a bucket holds an interval of those, and so does every one that it is split into or
    /// merged to, and every part.
    pub fn scan(&self, cursor: u64, show: impl FnMut(Item<'_>)) -> u64 {
        let bits = self.part_bits();
        let shared = bits + self.parts[self.part_of(cursor)].scan(cursor >> bits, show);
        // All bits that the bucket's hashes do not share are ones in the last of them.
        (cursor | u64::MAX << shared).reverse_bits().wrapping_add(1).reverse_bits()
    }

    /// An item chosen by random numbers, every one as likely as any other.
    ///
    /// A part is chosen, and a number below those that any part has; where there is an item of that
    /// number, it is taken. Otherwise both are chosen again.
    pub fn random(&self, mut next_random: impl FnMut() -> u64) -> Option<Item<'_>> {
        if self.is_empty() {
            return None;
        }
        let bound = self.numbers_max as u64;
        for _ in 0..ATTEMPTS_MAX {
            let random = next_random();
            let part = &self.parts[self.part_of(random)];
            // D. Lemire, "Fast random integer generation in an interval", ACM TOMACS 29(1), 2019.
            let scaled = u128::from(random >> self.part_bits()) * u128::from(bound);
            let range_bits = u64::BITS - self.part_bits();
            let remainder = (scaled & ((1 << range_bits) - 1)) as u64;
            if remainder < bound
                && u128::from(remainder) < (1_u128 << range_bits) % u128::from(bound)
            {
                continue;
            }
            let number = (scaled >> range_bits) as usize;
            if number < part.numbers()
                && let Some(item) = part.numbered(number)
            {
                return Some(item);
            }
        }
        self.iter().next()
    }

    /// Frees buckets from the back, about `budget` allocations; true while there is more.
    /// Afterwards it can only be freed further.
    pub fn free_slice(&mut self, budget: usize) -> bool {
        let mut freed = 0;
        while freed < budget
            && let Some(part) = self.parts.last_mut()
        {
            let before = (part.len(), part.heap_bytes());
            freed += part.free(budget - freed);
            self.len -= before.0 - part.len();
            self.part_bytes = self.part_bytes - before.1 + part.heap_bytes();
            if freed < budget
                && let Some(part) = self.parts.pop()
            {
                self.part_bytes -= part.heap_bytes();
            }
        }
        !self.parts.is_empty()
    }

    fn put(
        &mut self,
        item: Item<'_>,
        put_again: impl FnOnce(&mut Bucket, Place, Tag, Item<'_>),
    ) -> bool {
        let (hash, bits) = (self.hasher.hash(item.key), self.part_bits());
        let is_new = self.change(hash, |part, hasher| {
            let hash_of = |key: &[u8]| hasher.hash(key) >> bits;
            part.put(hash >> bits, Tag::of_hash(hash), item, put_again, hash_of)
        });
        if self.len > UNDIVIDED_LEN_MAX && self.parts.len() == 1 {
            self.divide();
        }
        is_new
    }

    #[cold]
    fn divide(&mut self) {
        let mut divided = Dict::of_parts(self.hasher.clone(), &LOADS);
        for Item { key, value, expiry } in self.iter() {
            divided.set(key, value, expiry);
        }
        *self = divided;
    }

    /// Changes the part of a hash and keeps account of it.
    #[inline]
    fn change<R>(&mut self, hash: u64, change: impl FnOnce(&mut Part, &KeyHasher) -> R) -> R {
        let index = self.part_of(hash);
        let part = &mut self.parts[index];
        let (len, bytes, numbers) = (part.len(), part.heap_bytes(), part.numbers());
        let result = change(part, &self.hasher);
        self.len = self.len - len + part.len();
        self.part_bytes = self.part_bytes - bytes + part.heap_bytes();
        if part.numbers() > self.numbers_max {
            self.numbers_max = part.numbers();
        } else if part.numbers() < numbers && numbers == self.numbers_max {
            self.numbers_max = self.parts.iter().map(Part::numbers).max().unwrap_or(0);
        }
        result
    }

    #[inline]
    fn part_of(&self, hash: u64) -> usize {
        hash as usize & (self.parts.len() - 1)
    }

    /// How many bits of a hash choose the part.
    #[inline]
    fn part_bits(&self) -> u32 {
        self.parts.len().trailing_zeros()
    }
}

impl Clone for Dict {
    fn clone(&self) -> Dict {
        let mut parts = Vec::with_capacity(self.parts.capacity());
        parts.extend_from_slice(&self.parts);
        let part_bytes = parts.iter().map(Part::heap_bytes).sum();
        Dict { hasher: self.hasher.clone(), parts, part_bytes, ..*self }
    }
}

#[cfg(test)]
impl Dict {
    fn check(&self) {
        for (index, part) in self.parts.iter().enumerate() {
            part.check(|key| {
                let hash = self.hasher.hash(key);
                assert_eq!(self.part_of(hash), index);
                (hash >> self.part_bits(), Tag::of_hash(hash))
            });
        }
        let sum = |of: fn(&Part) -> usize| self.parts.iter().map(of).sum::<usize>();
        assert_eq!((self.len, self.part_bytes), (sum(Part::len), sum(Part::heap_bytes)));
        assert_eq!(Some(self.numbers_max), self.parts.iter().map(Part::numbers).max());
    }
}
