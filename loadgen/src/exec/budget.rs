//! How many requests are still to be made, shared by the threads.

use std::sync::atomic::{AtomicU64, Ordering};

/// Requests that a thread takes from the common budget at a time, at most: taking each one alone
/// would pass a cache line between cores for every request.
const TAKEN_MAX: u64 = 1024;

#[derive(Debug)]
pub struct Budget {
    left: AtomicU64,
    threads: u64,
}

impl Budget {
    /// `None` is no limit.
    pub fn new(requests: Option<u64>, threads: usize) -> Budget {
        Budget { left: AtomicU64::new(requests.unwrap_or(u64::MAX)), threads: threads as u64 }
    }

    /// Takes a few: fewer towards the end, so that all threads end together. 0 when there are none.
    fn take(&self) -> u64 {
        let mut taken = 0;
        let update = |left: u64| {
            taken = (left / (4 * self.threads)).clamp(1, TAKEN_MAX).min(left);
            (left > 0).then(|| left - taken)
        };
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update) {
            Ok(_) => taken,
            Err(_) => 0,
        }
    }
}

/// One thread's part.
#[derive(Debug)]
pub struct Allowance<'a> {
    budget: &'a Budget,
    taken: u64,
}

impl<'a> Allowance<'a> {
    pub fn new(budget: &'a Budget) -> Allowance<'a> {
        Allowance { budget, taken: 0 }
    }

    /// Whether one more request may be made, which is then used up.
    #[inline]
    pub fn take(&mut self) -> bool {
        if self.taken == 0 {
            self.taken = self.budget.take();
        }
        let allowed = self.taken > 0;
        self.taken -= u64::from(allowed);
        allowed
    }

    /// How many of `wanted` requests may be made, which are then used up.
    pub fn take_up_to(&mut self, wanted: u64) -> u64 {
        let own = self.taken.min(wanted);
        self.taken -= own;
        let update = |left: u64| Some(left.saturating_sub(wanted - own));
        let left = self.budget.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        own + left.unwrap_or(0).min(wanted - own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_take_exactly_what_there_is() {
        for requests in [0, 1, 7, 10_000] {
            let budget = Budget::new(Some(requests), 3);
            let counts: Vec<u64> = std::thread::scope(|scope| {
                let count = || {
                    let mut allowance = Allowance::new(&budget);
                    (0..).take_while(|_| allowance.take()).count() as u64
                };
                let threads: Vec<_> = (0..3).map(|_| scope.spawn(count)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(counts.iter().sum::<u64>(), requests, "{counts:?}");
        }
        let budget = Budget::new(Some(100), 1);
        let mut allowance = Allowance::new(&budget);
        assert!(allowance.take());
        let taken = [50, 40, 30].map(|wanted| allowance.take_up_to(wanted));
        assert_eq!((taken, allowance.take()), ([50, 40, 9], false));

        let endless = Budget::new(None, 1);
        let mut allowance = Allowance::new(&endless);
        assert!((0..10_000).all(|_| allowance.take()));
    }
}
