//! Which keys have been evicted of late.

/// Fingerprints per bucket: one half of a cache line.
const BUCKET: usize = 16;
/// A generation is at least so long.
const GENERATION_MIN: usize = 16;

/// The last so many hashes, in two generations: when the newer one is full the older one is
/// forgotten. It knows them by 16 bits, so one in three thousand of the others seems to be among
/// them; nothing but the place of a new entry depends on it.
#[derive(Debug, Default)]
pub struct Ghost {
    newer: Generation,
    older: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    /// Zero where there is none.
    fingerprints: Box<[[u16; BUCKET]]>,
    count: usize,
    capacity: usize,
}

impl Ghost {
    pub fn allocated_bytes(&self) -> usize {
        (self.newer.fingerprints.len() + self.older.fingerprints.len()) * size_of::<[u16; BUCKET]>()
    }

    /// Remembers a hash. A generation that begins now is `generation` hashes long.
    pub fn insert(&mut self, hash: u64, generation: usize) {
        if self.newer.count >= self.newer.capacity {
            let next = Generation::new(generation.max(GENERATION_MIN));
            self.older = std::mem::replace(&mut self.newer, next);
        }
        self.newer.insert(hash);
    }

    pub fn contains(&self, hash: u64) -> bool {
        self.newer.contains(hash) || self.older.contains(hash)
    }
}

impl Generation {
    fn new(capacity: usize) -> Generation {
        // A bucket that overflows forgets one of its own: at this filling, one in fifty does.
        let buckets = (capacity * 3 / 2).div_ceil(BUCKET);
        Generation { fingerprints: vec![[0; BUCKET]; buckets].into(), count: 0, capacity }
    }

    fn place(&self, hash: u64) -> Option<(usize, u16)> {
        let buckets = self.fingerprints.len() as u64;
        // Independent of the bits that the table uses for its buckets.
        let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let bucket = ((mixed >> 32) * buckets) >> 32;
        (buckets > 0).then_some((bucket as usize, (mixed as u16).max(1)))
    }

    fn insert(&mut self, hash: u64) {
        let Some((bucket, fingerprint)) = self.place(hash) else { return };
        let bucket = &mut self.fingerprints[bucket];
        let free = bucket.iter().position(|other| *other == 0 || *other == fingerprint);
        bucket[free.unwrap_or(self.count % BUCKET)] = fingerprint;
        self.count += 1;
    }

    fn contains(&self, hash: u64) -> bool {
        self.place(hash)
            .is_some_and(|(bucket, fingerprint)| self.fingerprints[bucket].contains(&fingerprint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> u64 {
        let mixed = number.wrapping_add(1).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ mixed >> 31).wrapping_mul(0x94D0_49BB_1331_11EB)
    }

    #[test]
    fn remembers_one_to_two_generations() {
        let mut ghost = Ghost::default();
        for number in 0..10_000 {
            ghost.insert(hash(number), 1_000);
        }
        let known = |range: std::ops::Range<u64>| {
            range.filter(|number| ghost.contains(hash(*number))).count()
        };
        assert!(known(9_000..10_000) >= 990, "{}", known(9_000..10_000));
        assert!(known(0..8_000) < 20, "{}", known(0..8_000));
        assert!(known(20_000..30_000) < 20);
        assert!(ghost.allocated_bytes() < 2 * 1_000 * 4);
    }
}
