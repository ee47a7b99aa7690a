//! A linear hash table of buckets, one of several that make up a dictionary.

use super::bucket::{Bucket, Place, Tag};
use super::directory::Directory;
use super::item::Item;
use super::longest::Longest;

/// Loads are told as items in so many buckets.
pub(super) const LOAD_BUCKETS: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Part {
    buckets: Directory,
    longest: Longest,
    len: usize,
    /// What the buckets take.
    bucket_bytes: usize,
    /// Above this a bucket is split, up to three quarters of it two are merged.
    load_max: usize,
}

impl Part {
    pub(super) fn new(load_max: usize) -> Part {
        Part {
            buckets: Directory::new(),
            longest: Longest::new(),
            len: 0,
            bucket_bytes: 0,
            load_max,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bucket_bytes + self.buckets.heap_bytes()
    }

    #[inline]
    pub(super) fn get(&self, hash: u64, tag: Tag, key: &[u8]) -> Option<Item<'_>> {
        let bucket = self.bucket_of(hash);
        bucket.find(tag, key).ok().map(|place| bucket.item(place))
    }

    /// The bucket of a hash.
    #[inline]
    pub(super) fn bucket_of(&self, hash: u64) -> &Bucket {
        self.buckets.get(self.buckets.bucket_of(hash))
    }

    /// Puts an item; where there is one with its key, `put_again` decides. Whether there was none.
    /// `hash_of` gives the hashes of the other keys.
    pub(super) fn put(
        &mut self,
        hash: u64,
        tag: Tag,
        item: Item<'_>,
        put_again: impl FnOnce(&mut Bucket, Place, Tag, Item<'_>),
        hash_of: impl Fn(&[u8]) -> u64,
    ) -> bool {
        let is_new = self.change(hash, |bucket| match bucket.find(tag, item.key) {
            Ok(place) => {
                put_again(bucket, place, tag, item);
                false
            }
            Err(end) => {
                bucket.push(end, tag, item);
                true
            }
        });
        if is_new {
            self.len += 1;
            self.longest.note(&self.buckets, self.buckets.bucket_of(hash));
            if self.len * LOAD_BUCKETS > self.buckets.len() * self.load_max {
                self.split(hash_of);
            }
        }
        is_new
    }

    /// Takes an item out, shown before it goes.
    pub(super) fn remove<R>(
        &mut self,
        hash: u64,
        tag: Tag,
        key: &[u8],
        show: impl FnOnce(Item<'_>) -> R,
    ) -> Option<R> {
        let shown = self.change(hash, |bucket| {
            let place = bucket.find(tag, key).ok()?;
            let shown = show(bucket.item(place));
            bucket.remove(place);
            Some(shown)
        })?;
        self.len -= 1;
        let fewer = self.buckets.len() - 1;
        if fewer > 0 && self.len * LOAD_BUCKETS <= fewer * self.load_max / 4 * 3 {
            self.merge();
        }
        Some(shown)
    }

    /// Changes the bucket of a hash and keeps account of it.
    #[inline]
    pub(super) fn change<R>(&mut self, hash: u64, change: impl FnOnce(&mut Bucket) -> R) -> R {
        let bucket = self.buckets.get_mut(self.buckets.bucket_of(hash));
        let before = bucket.heap_bytes();
        let result = change(bucket);
        self.bucket_bytes = self.bucket_bytes - before + bucket.heap_bytes();
        result
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        self.buckets.iter().flat_map(Bucket::iter)
    }

    /// Shows the items of the bucket of a hash; gives how many of the hash's lowest bits they share.
    pub(super) fn scan(&self, hash: u64, show: impl FnMut(Item<'_>)) -> u32 {
        let bucket = self.buckets.bucket_of(hash);
        self.buckets.get(bucket).iter().for_each(show);
        (self.buckets.units() / self.buckets.places_of(bucket)).ilog2()
    }

    /// How many numbers [`Part::numbered`] takes.
    #[inline]
    pub(super) fn numbers(&self) -> usize {
        self.buckets.units() * self.longest.per_place()
    }

    /// Every item has one number below [`Part::numbers`]; most numbers have none.
    pub(super) fn numbered(&self, number: usize) -> Option<Item<'_>> {
        let per_place = self.longest.per_place();
        let (place, within) = (number / per_place, number % per_place);
        let bucket = self.buckets.bucket_of(place as u64);
        // The first of its places has the first of the items.
        let offset = if place == bucket { 0 } else { per_place };
        self.buckets.get(bucket).get(offset + within)
    }

    /// Frees buckets from the back, about `budget` allocations; gives how many. Afterwards it can
    /// only be freed further.
    pub(super) fn free(&mut self, budget: usize) -> usize {
        let mut freed = 0;
        while freed < budget
            && let Some(bucket) = self.buckets.pop()
        {
            freed += bucket.allocations();
            self.len -= bucket.len();
            self.bucket_bytes -= bucket.heap_bytes();
        }
        freed
    }

    /// Adds a bucket, with the items of its partner that now belong to it.
    fn split(&mut self, hash_of: impl Fn(&[u8]) -> u64) {
        let index = self.buckets.len();
        let partner = Directory::partner_of(index);
        let bit = (index - partner) as u64;
        let bucket = self.buckets.get_mut(partner);
        let before = bucket.heap_bytes();
        let moved = bucket.split_off(|key| hash_of(key) & bit != 0);
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

    /// Asserts what holds of every part; `place_of` gives the hash and the tag of a key.
    #[cfg(test)]
    pub(super) fn check(&self, place_of: impl Fn(&[u8]) -> (u64, Tag)) {
        let mut len = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            bucket.check();
            len += bucket.len();
            let places = self.buckets.places_of(index);
            assert!(bucket.len() <= self.longest.per_place() * places, "bucket {index}");
            for item in bucket.iter() {
                let (hash, tag) = place_of(item.key);
                assert_eq!(self.buckets.bucket_of(hash), index);
                assert_eq!(self.get(hash, tag, item.key), Some(item));
            }
        }
        assert_eq!(self.len, len);
        assert!(self.len * LOAD_BUCKETS <= self.buckets.len() * self.load_max);
        assert_eq!(self.bucket_bytes, self.buckets.iter().map(Bucket::heap_bytes).sum::<usize>());
        self.buckets.check();
    }
}
