//! A hash table from byte strings to byte strings, each with an expiry or without: what a large set
//! or hash is.
//!
//! It is a linear hash table whose buckets are small packed runs of bytes, so that an item costs
//! about seven bytes beyond its own: no pointer, no header, no allocation. One bucket at a time is
//! split or merged as items come and go; nothing ever moves all of them.
//!
//! A look-up reads the directory, the bucket's slots, and the one item that has the tag.
//!
//! Sources: W. Litwin, "Linear hashing: a new tool for file and table addressing", VLDB 1980; the
//! cursor that counts in reversed bits is Pieter Noordhuis's, from Redis's SCAN.

mod bucket;
mod by_hash;
#[cfg(test)]
mod check;
mod directory;
mod item;
mod longest;
#[cfg(test)]
mod tests;

pub use item::Item;

use bucket::{Bucket, Place, Tag};
use directory::Directory;
use longest::Longest;

use crate::store::UnixMs;
use crate::store::table::KeyHasher;

/// Items per bucket, on average, above which a bucket is split, and up to which two are merged.
const LOAD_MAX: usize = 8;
const LOAD_MIN: usize = 6;

/// Attempts at a fair choice. About four are needed, so that many failures say that the numbers are
/// not random.
const ATTEMPTS_MAX: usize = 10_000;

#[derive(Clone, Debug)]
pub struct Dict {
    hasher: KeyHasher,
    buckets: Directory,
    longest: Longest,
    len: usize,
    /// What the buckets take.
    bucket_bytes: usize,
}

impl Dict {
    /// An empty table. The seed is a secret, so that nobody can choose keys that collide, and no
    /// other table's: to insert one table's items into another with the same seed would fill the
    /// buckets one after the other.
    pub fn new(seed: u64) -> Dict {
        Dict {
            hasher: KeyHasher::new(seed),
            buckets: Directory::new(),
            longest: Longest::new(),
            len: 0,
            bucket_bytes: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What it holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.bucket_bytes + self.buckets.heap_bytes()
    }

    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<Item<'_>> {
        let hash = self.hasher.hash(key);
        let bucket = self.buckets.get(self.buckets.bucket_of(hash));
        bucket.find(Tag::of_hash(hash), key).ok().map(|place| bucket.item(place))
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
        let shown = self.change(key, |bucket, tag, _| {
            let place = bucket.find(tag, key).ok()?;
            let shown = show(bucket.item(place));
            bucket.remove(place);
            Some(shown)
        })?;
        self.len -= 1;
        if self.buckets.len() > 1 && self.len <= (self.buckets.len() - 1) * LOAD_MIN {
            self.merge();
        }
        Some(shown)
    }

    /// Changes when an item expires; false if there is no such item.
    pub fn set_expiry(&mut self, key: &[u8], expiry: Option<UnixMs>) -> bool {
        self.change(key, |bucket, tag, _| {
            let Ok(place) = bucket.find(tag, key) else { return false };
            let value = bucket.item(place).value.to_vec();
            bucket.replace(place, tag, Item { key, value: &value, expiry });
            true
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        self.buckets.iter().flat_map(Bucket::iter)
    }

    /// Shows one bucket's items and says where to go on; 0 begins, and is the end. Any number is a
    /// valid cursor.
    ///
    /// An item that is there from the first call to the last is shown, however the table grows and
    /// shrinks meanwhile; it may be shown twice. The cursor is a hash whose bits, reversed, count
    /// upwards: a bucket holds an interval of those, and so does every one that it is split into or
    /// merged to.
    pub fn scan(&self, cursor: u64, show: impl FnMut(Item<'_>)) -> u64 {
        let bucket = self.buckets.bucket_of(cursor);
        self.buckets.get(bucket).iter().for_each(show);
        let hashes = self.buckets.units() / self.buckets.places_of(bucket);
        // All bits that the bucket's hashes do not share are ones in the last of them.
        (cursor | !(hashes as u64 - 1)).reverse_bits().wrapping_add(1).reverse_bits()
    }

    /// An item chosen by random numbers, every one as likely as any other.
    ///
    /// A place among those of the hashes is chosen, then a number below what any place may hold:
    /// where there is an item of that number, it is taken. Otherwise both are chosen again.
    pub fn random(&self, mut next_random: impl FnMut() -> u64) -> Option<Item<'_>> {
        if self.is_empty() {
            return None;
        }
        for _ in 0..ATTEMPTS_MAX {
            let random = next_random();
            let index = self.buckets.bucket_of(random & u64::from(u32::MAX));
            let bound = (self.longest.per_place() * self.buckets.places_of(index)) as u64;
            // D. Lemire, "Fast random integer generation in an interval", ACM TOMACS 29(1), 2019.
            let scaled = (random >> 32) * bound;
            let remainder = scaled & u64::from(u32::MAX);
            if remainder < bound && remainder < (1 << 32) % bound {
                continue;
            }
            let bucket = self.buckets.get(index);
            let number = (scaled >> 32) as usize;
            if number < bucket.len() {
                return bucket.get(number);
            }
        }
        self.iter().next()
    }

    /// Frees buckets from the back, about `budget` allocations; true while there is more.
    /// Afterwards it can only be freed further.
    pub fn free_slice(&mut self, budget: usize) -> bool {
        let mut freed = 0;
        while freed < budget
            && let Some(bucket) = self.buckets.pop()
        {
            freed += bucket.allocations();
            self.len -= bucket.len();
            self.bucket_bytes -= bucket.heap_bytes();
        }
        self.buckets.len() > 0
    }

    fn put(
        &mut self,
        item: Item<'_>,
        put_again: impl FnOnce(&mut Bucket, Place, Tag, Item<'_>),
    ) -> bool {
        let added_to =
            self.change(item.key, |bucket, tag, index| match bucket.find(tag, item.key) {
                Ok(place) => {
                    put_again(bucket, place, tag, item);
                    None
                }
                Err(end) => {
                    bucket.push(end, tag, item);
                    Some(index)
                }
            });
        let Some(index) = added_to else { return false };
        self.len += 1;
        self.longest.note(&self.buckets, index);
        if self.len > self.buckets.len() * LOAD_MAX {
            self.split();
        }
        true
    }

    /// Changes the bucket of a key, which is told its tag and the bucket's number, and keeps account
    /// of it.
    #[inline]
    fn change<R>(&mut self, key: &[u8], change: impl FnOnce(&mut Bucket, Tag, usize) -> R) -> R {
        let hash = self.hasher.hash(key);
        let index = self.buckets.bucket_of(hash);
        let bucket = self.buckets.get_mut(index);
        let before = bucket.heap_bytes();
        let result = change(bucket, Tag::of_hash(hash), index);
        self.bucket_bytes = self.bucket_bytes - before + bucket.heap_bytes();
        result
    }

    /// Adds a bucket, with the items of its partner that now belong to it.
    fn split(&mut self) {
        let index = self.buckets.len();
        let partner = Directory::partner_of(index);
        let bit = index - partner;
        let bucket = self.buckets.get_mut(partner);
        let before = bucket.heap_bytes();
        let moved = bucket.split_off(|key| self.hasher.hash(key) as usize & bit != 0);
        self.bucket_bytes = self.bucket_bytes - before + bucket.heap_bytes() + moved.heap_bytes();
        self.buckets.push(moved);
        self.longest.grown(&self.buckets);
    }

    /// Gives the items of the last bucket to its partner.
    fn merge(&mut self) {
        let Some(last) = self.buckets.pop() else { return };
        let partner = self.buckets.get_mut(Directory::partner_of(self.buckets.len()));
        let before = partner.heap_bytes() + last.heap_bytes();
        partner.append(last);
        self.bucket_bytes = self.bucket_bytes - before + partner.heap_bytes();
        self.longest.shrunk(&self.buckets);
    }
}
