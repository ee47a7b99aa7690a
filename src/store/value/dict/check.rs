//! What holds of every table, for the tests.

use super::bucket::{Bucket, Tag};
use super::{Dict, LOAD_MAX};

impl Dict {
    pub(super) fn check(&self) {
        let mut len = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            bucket.check();
            len += bucket.len();
            let places = self.buckets.places_of(index);
            assert!(bucket.len() <= self.longest.per_place() * places, "bucket {index}");
            for item in bucket.iter() {
                let hash = self.hasher.hash(item.key);
                assert_eq!(self.buckets.bucket_of(hash), index);
                let found = bucket.find(Tag::of_hash(hash), item.key).map(|at| bucket.item(at));
                assert_eq!(found.ok(), Some(item));
            }
        }
        assert_eq!(self.len, len);
        assert!(self.len <= self.buckets.len() * LOAD_MAX);
        assert_eq!(self.bucket_bytes, self.buckets.iter().map(Bucket::heap_bytes).sum::<usize>());
        self.buckets.check();
    }
}
