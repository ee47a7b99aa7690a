use super::super::arena::Geometry;
use super::*;

struct Keys {
    table: Table,
    arena: Arena,
}

impl Keys {
    fn new() -> Keys {
        let arena = Arena::new(Geometry::for_bytes(1 << 30));
        Keys { table: Table::new(KeyHasher::new(1)), arena }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.table.hasher.hash(key)
    }

    fn insert(&mut self, key: &[u8]) {
        let handle = self.arena.allocate_entry(key, 0, None, 1);
        self.table.insert(&self.arena, self.hash(key), handle);
    }

    fn remove(&mut self, key: &[u8]) {
        let hash = self.hash(key);
        let handle = self.table.find(&self.arena, hash, key).unwrap();
        self.table.remove(&self.arena, hash, handle);
        self.arena.free(handle);
    }

    fn check(&self) {
        let Table { directory, segments, depth, .. } = &self.table;
        assert_eq!(directory.len(), 1 << depth);
        let bytes: usize = segments.iter().map(|s| good_size_of(&s.entries)).sum();
        assert_eq!(self.table.buckets_bytes, bytes);
        assert_eq!(self.table.len, segments.iter().map(|s| s.entries.len()).sum::<usize>());
        let deepest = segments.iter().filter(|segment| segment.depth == *depth).count();
        assert_eq!(self.table.deepest, deepest);
        for handle in self.table.iter() {
            let key = self.arena.entry(handle).key();
            assert_eq!(self.table.find(&self.arena, self.hash(key), key), Some(handle));
        }
    }
}

fn key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// Cursors have no room for more buckets than a segment is meant to have.
#[test]
#[cfg(not(miri))]
fn segments_full_of_removed_entries_do_not_grow() {
    let hasher = KeyHasher::new(1);
    // One key for each of the lowest buckets, so that removing them leaves tombstones: between
    // full buckets a place cannot simply be empty again.
    let full = SEGMENT_BUCKETS_MAX * 7 / 8;
    let mut of_bucket = vec![None; full];
    for number in 0..50_000 {
        let bucket = hasher.hash(&key(number)) as usize % SEGMENT_BUCKETS_MAX;
        if let Some(found @ None) = of_bucket.get_mut(bucket) {
            *found = Some(number);
        }
    }
    let numbers: Vec<u64> = of_bucket.into_iter().map(|found| found.unwrap()).collect();
    for stays in (600..1200).step_by(25) {
        let mut keys = Keys::new();
        for &number in &numbers {
            keys.insert(&key(number));
        }
        for &number in &numbers[100..100 + full - stays] {
            keys.remove(&key(number));
        }
        for number in 50_000..50_100 {
            keys.insert(&key(number));
        }
        let segments = &keys.table.segments;
        let largest = segments.iter().map(|segment| segment.entries.num_buckets()).max();
        assert_eq!(largest, Some(SEGMENT_BUCKETS_MAX), "with {stays} entries");
    }
}

#[test]
fn a_table_that_is_emptied_becomes_small_again() {
    let count = if cfg!(miri) { 4_000 } else { 100_000 };
    let mut keys = Keys::new();
    for round in 0..3 {
        for number in 0..count {
            keys.insert(&key(number));
        }
        keys.check();
        assert!(keys.table.directory.len() > 1);
        for number in 0..count {
            // From both ends, and not in the order of growth.
            keys.remove(&key(if number % 2 == 0 { number / 2 } else { count - 1 - number / 2 }));
            if number % (count / 4) == 0 {
                keys.check();
            }
        }
        keys.check();
        assert_eq!(keys.table.directory.len(), 1, "round {round}");
        assert!(keys.table.allocated_bytes() < 16_384, "{}", keys.table.allocated_bytes());
    }
}
