//! How long before a due moment to wake up, since timers and schedulers are late.
//!
//! Lateness differs: some microseconds on a machine of one's own, 60 in a virtual one whose
//! processor the hypervisor has to bring back. It is learnt therefore, and the rest of the wait is
//! spent without sleeping, but yielding to whoever else wants the processor.

/// Lateness beyond this is not the timer's but another program's on the same processor.
const MOST_NS: i64 = 100_000;
const LEAST_NS: i64 = 2_000;
const FIRST_NS: i64 = 20_000;

#[derive(Debug)]
pub struct Margin(i64);

impl Margin {
    pub fn new() -> Margin {
        Margin(FIRST_NS)
    }

    #[inline]
    pub fn get_ns(&self) -> i64 {
        self.0
    }

    /// A timer has woken the thread so much too late. The margin rises faster than it falls, and
    /// so covers most wake-ups, not half of them.
    pub fn woke(&mut self, late_ns: i64) {
        let off_ns = late_ns.min(MOST_NS) - self.0;
        self.0 += if off_ns > 0 { off_ns / 8 } else { off_ns / 32 };
        self.0 = self.0.clamp(LEAST_NS, MOST_NS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settles_where_most_wake_ups_are_in_time() {
        let mut margin = Margin::new();
        for round in 0..1_000 {
            margin.woke(if round % 10 == 0 { 4_000_000 } else { 40_000 + round % 5 * 5_000 });
        }
        assert!((50_000..80_000).contains(&margin.get_ns()), "{}", margin.get_ns());
        for _ in 0..1_000 {
            margin.woke(3_000);
        }
        assert!(margin.get_ns() < 4_000, "{}", margin.get_ns());
        for _ in 0..1_000 {
            margin.woke(0);
        }
        assert_eq!(margin.get_ns(), LEAST_NS);
    }
}
