//! A small seeded generator, so that every random test can be repeated from the seed that it
//! prints.

/// SplitMix64: <https://prng.di.unimi.it/splitmix64.c>.
pub struct Rng(u64);

impl Rng {
    /// The subject of a test may seed the same generator with the same number, as an engine does,
    /// and must not draw the numbers that decide what happens to it.
    pub fn new(seed: u64) -> Rng {
        Rng(seed ^ 0xD1B5_4A32_D192_ED03)
    }

    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it never ends, so there is no Option")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not zero.
    #[inline]
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in `n`.
    #[inline]
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// True so many times in a hundred.
    #[inline]
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// The seed of this run: `RINGWELL_TESTS_SEED`, or one from the clock.
pub fn seed() -> u64 {
    match std::env::var("RINGWELL_TESTS_SEED") {
        Ok(text) => text.parse().expect("RINGWELL_TESTS_SEED is a number"),
        Err(_) => {
            let now = std::time::SystemTime::now();
            let since = now.duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
            since.as_nanos() as u64 % 1_000_000_007
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_what_the_reference_draws() {
        let mut rng = Rng(1_234_567);
        let drawn = [(); 3].map(|()| rng.next());
        assert_eq!(
            drawn,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn a_seed_repeats_what_it_drew() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            [(); 8].map(|()| rng.below(1000))
        };
        assert_eq!(draw(17), draw(17));
        assert_ne!(draw(17), draw(18));
    }
}
