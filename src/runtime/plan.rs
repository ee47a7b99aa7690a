//! Who runs which core: by the first few threads, as many as the load needs.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::ShardId;

/// The plan that all threads follow, with the number of those that are active, which is
/// [`Shared`](crate::engine::Shared)'s. Each looks at it once in a pass.
#[derive(Debug)]
pub struct Plan {
    threads: usize,
    /// More would share processors.
    auto_max: usize,
    /// By core: whether its own thread runs it.
    at_home: Vec<AtomicBool>,
}

impl Plan {
    pub fn new(threads: usize, processors: usize) -> Plan {
        Plan {
            threads,
            auto_max: threads.min(processors),
            at_home: (0..threads).map(|_| AtomicBool::new(true)).collect(),
        }
    }

    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The most threads that the load is given, unless all are asked for.
    pub fn auto_max(&self) -> usize {
        self.auto_max
    }

    /// Whether a core's own thread runs it, so that it can have connections.
    pub fn is_at_home(&self, core: ShardId) -> bool {
        self.at_home[core].load(Ordering::Relaxed)
    }

    pub fn set_at_home(&self, core: ShardId, is_at_home: bool) {
        self.at_home[core].store(is_at_home, Ordering::Relaxed);
    }

    /// The thread that is to run a core when so many are active: its own if that one is.
    pub fn thread_of(core: ShardId, active: usize) -> usize {
        if core < active { core } else { core % active }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_run_by_its_own_thread_if_that_is_active() {
        for active in 1..=8 {
            let mut cores = vec![0; active];
            for core in 0..8 {
                let thread = Plan::thread_of(core, active);
                assert!(thread < active && (core >= active || thread == core));
                cores[thread] += 1;
            }
            let (least, most) = (cores.iter().min().unwrap(), cores.iter().max().unwrap());
            assert!(most - least <= 1, "{active} threads: {cores:?}");
        }
    }
}
