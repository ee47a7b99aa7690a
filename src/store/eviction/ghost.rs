//! Which keys have been evicted of late.

/// Fingerprints per bucket: one half of a cache line.
const BUCKET: usize = 16;

/// About the last so many hashes. Each bucket remembers the last of those that fall into it, so
/// nothing has ever to be cleared, and a step takes the same time whatever the length. Hashes are
/// known by 16 bits: one in four thousand of the others seems to be among them; nothing but the
/// place of a new entry depends on it.
#[derive(Debug, Default)]
pub struct Ghost {
    latest: Buckets,
    /// What there was when the length changed, until as many hashes again have come.
    former: Buckets,
    /// Since the length changed.
    inserted: usize,
}

/// In each bucket the last hash comes first; zero where there is none.
#[derive(Debug, Default)]
struct Buckets(Box<[[u16; BUCKET]]>);

impl Ghost {
    pub fn allocated_bytes(&self) -> usize {
        (self.latest.0.len() + self.former.0.len()) * size_of::<[u16; BUCKET]>()
    }

    /// Remembers a hash, of `len` in all.
    pub fn insert(&mut self, hash: u64, len: usize) {
        let (wanted, buckets) = (len.div_ceil(BUCKET).max(1), self.latest.0.len());
        // Not for every change: a new table begins with nothing.
        if wanted > buckets + buckets / 4 || wanted < buckets / 2 {
            let latest = Buckets(vec![[0; BUCKET]; wanted].into());
            self.former = std::mem::replace(&mut self.latest, latest);
            self.inserted = 0;
        }
        self.latest.insert(hash);
        self.inserted += 1;
        if self.inserted >= self.former.0.len() * BUCKET {
            self.former = Buckets::default();
        }
    }

    pub fn contains(&self, hash: u64) -> bool {
        self.latest.contains(hash) || self.former.contains(hash)
    }
}

impl Buckets {
    fn place(&self, hash: u64) -> Option<(usize, u16)> {
        let buckets = self.0.len() as u64;
        // Independent of the bits that the table uses for its buckets.
        let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let bucket = ((mixed >> 32) * buckets) >> 32;
        (buckets > 0).then_some((bucket as usize, (mixed as u16).max(1)))
    }

    fn insert(&mut self, hash: u64) {
        let Some((bucket, fingerprint)) = self.place(hash) else { return };
        let bucket = &mut self.0[bucket];
        let given_up = bucket.iter().position(|other| *other == fingerprint).unwrap_or(BUCKET - 1);
        bucket.copy_within(..given_up, 1);
        bucket[0] = fingerprint;
    }

    fn contains(&self, hash: u64) -> bool {
        self.place(hash).is_some_and(|(bucket, fingerprint)| self.0[bucket].contains(&fingerprint))
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    fn hash(number: u64) -> u64 {
        let mixed = number.wrapping_add(1).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ mixed >> 31).wrapping_mul(0x94D0_49BB_1331_11EB)
    }

    fn known(ghost: &Ghost, numbers: Range<u64>) -> usize {
        numbers.filter(|number| ghost.contains(hash(*number))).count()
    }

    #[test]
    fn remembers_about_the_last_so_many() {
        let mut ghost = Ghost::default();
        (0..100_000).for_each(|number| ghost.insert(hash(number), 10_000));
        let recent = known(&ghost, 95_000..100_000);
        let about_as_many = known(&ghost, 0..100_000);
        let long_gone = known(&ghost, 0..80_000);
        assert!(recent > 4_950, "{recent}");
        assert!((9_950..10_080).contains(&about_as_many), "{about_as_many}");
        assert!(long_gone < 60, "{long_gone}");
        assert!(known(&ghost, 200_000..300_000) < 60);
        assert!(ghost.allocated_bytes() <= 10_000 * 2 + 32);
    }

    #[test]
    fn a_hash_that_comes_again_is_the_latest() {
        let mut ghost = Ghost::default();
        for number in 0..BUCKET as u64 * 10 {
            ghost.insert(hash(0), 1);
            ghost.insert(hash(number), 1);
        }
        assert!(ghost.contains(hash(0)));
        assert_eq!(ghost.allocated_bytes(), 32);
    }

    /// What was remembered stays for as long as it would have.
    #[test]
    fn the_length_may_change() {
        for (before, after) in [(1_000, 4_000), (4_000, 1_000)] {
            let mut ghost = Ghost::default();
            (0..10_000).for_each(|number| ghost.insert(hash(number), before));
            (10_000..10_100).for_each(|number| ghost.insert(hash(number), after));
            assert!(known(&ghost, 9_600..10_100) > 490);
            (10_100..20_000).for_each(|number| ghost.insert(hash(number), after));
            assert!(known(&ghost, 0..10_000) < 20);
            assert!(known(&ghost, 20_000 - after as u64 / 2..20_000) > after * 49 / 100);
            assert!(ghost.allocated_bytes() <= after * 2 + 32);
        }
    }
}
