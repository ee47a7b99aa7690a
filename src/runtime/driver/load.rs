//! How many threads the load needs: decided by the first one, which is awake whenever any is.
//!
//! A thread that is busy nearly all the time is relieved by another one, if the processor of that one
//! has time to spare: on a host whose clients compute on the same processors it may have none, and
//! then more threads would only take it from them. One that has become too many is given up later
//! than it was taken, and the later the more often that was a mistake.
//!
//! Work that two threads share costs more than the same work on one, since they wake each other. So
//! what one thread less would have to do is estimated from what a byte of input cost when there was
//! one thread less.

use std::fs;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use super::{Driver, FIRST};
use crate::config::ThreadSpread;
use crate::runtime::inbox::Parcel;

/// Why all threads are active when the configuration says so, in a word for INFO.
pub const SPREAD_ALL: &str = "spread_all";
/// How often the load is looked at.
const LOOK_US: u64 = 10_000;
/// A thread that is busy for so many thousandths of the time is to be relieved.
const BUSY_PERMILLE: u64 = 850;
/// So long at least, with so much of the next processor's time idle.
const BUSY_US: u64 = 100_000;
const SPARE_PERMILLE: u64 = 400;
/// Threads that would be busy for no more than this with one fewer give that one up.
const CALM_PERMILLE: u64 = 500;
/// How long they must have been; doubled whenever another is needed again within that time.
const CALM_US: u64 = 1_000_000;
const CALM_MAX_US: u64 = 60_000_000;

/// What is known at one moment.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub at_us: u64,
    /// Processor time that each active thread has worked.
    pub used_us: Vec<u64>,
    /// Bytes of input received in all.
    pub input_bytes: u64,
}

/// Decides how many threads are to be active.
#[derive(Debug)]
pub struct Governor {
    threads_max: usize,
    last: Reading,
    /// Since when a thread is busy, and how long the next processor had been idle then.
    busy: Option<(u64, Option<u64>)>,
    calm_since_us: Option<u64>,
    calm_us: u64,
    narrowed_at_us: Option<u64>,
    /// A thread is busy, but the next one's processor has no time to spare.
    crowded: bool,
    /// Nanoseconds of processor time per byte of input, by how many threads were active.
    cost: Vec<Option<u64>>,
}

impl Governor {
    pub fn new(threads_max: usize) -> Governor {
        Governor {
            threads_max,
            last: Reading::default(),
            busy: None,
            calm_since_us: None,
            calm_us: CALM_US,
            narrowed_at_us: None,
            crowded: false,
            cost: vec![None; threads_max + 1],
        }
    }

    /// Why so many are active, in a word for INFO.
    pub fn why(&self, active: usize) -> &'static str {
        match active {
            _ if self.crowded => "no_idle_processor",
            1 => "one_is_enough",
            _ if active >= self.threads_max => "all_are_needed",
            _ => "so_many_are_needed",
        }
    }

    /// How many threads are to be active from now on. `idle_us` tells how long a thread's processor
    /// has been idle since the machine started.
    pub fn decide(&mut self, reading: Reading, idle_us: impl Fn(usize) -> Option<u64>) -> usize {
        let active = reading.used_us.len();
        let last = std::mem::replace(&mut self.last, reading);
        let now_us = self.last.at_us;
        let passed_us = now_us.saturating_sub(last.at_us);
        if last.used_us.len() != active || passed_us == 0 {
            (self.busy, self.calm_since_us) = (None, None);
            return active;
        }
        let used_us = |(now, before): (&u64, &u64)| now.saturating_sub(*before);
        let used: Vec<u64> = self.last.used_us.iter().zip(&last.used_us).map(used_us).collect();
        let (most_us, all_us) = (used.iter().max().copied().unwrap_or(0), used.iter().sum::<u64>());
        let bytes = self.last.input_bytes.saturating_sub(last.input_bytes);
        self.note_cost(active, all_us, bytes);

        if most_us * 1000 >= passed_us * BUSY_PERMILLE && active < self.threads_max {
            self.calm_since_us = None;
            return active + usize::from(self.is_to_be_relieved(active, idle_us));
        }
        (self.busy, self.crowded) = (None, false);
        let would_be_us = self.with_one_fewer(active, all_us, bytes);
        let fewer = active as u64 - 1;
        if fewer == 0 || would_be_us * 1000 > passed_us * CALM_PERMILLE * fewer {
            self.calm_since_us = None;
            return active;
        }
        let since_us = *self.calm_since_us.get_or_insert(now_us);
        if now_us - since_us < self.calm_us {
            return active;
        }
        self.calm_since_us = None;
        self.narrowed_at_us = Some(now_us);
        active - 1
    }

    /// Whether a thread has been busy for long while the processor of the next one was not.
    fn is_to_be_relieved(&mut self, active: usize, idle_us: impl Fn(usize) -> Option<u64>) -> bool {
        let now_us = self.last.at_us;
        let Some((since_us, idle_then)) = self.busy else {
            self.busy = Some((now_us, idle_us(active)));
            return false;
        };
        let passed_us = now_us - since_us;
        if passed_us < BUSY_US {
            return false;
        }
        let idle_now = idle_us(active);
        self.busy = Some((now_us, idle_now));
        // Where nobody says how idle a processor is, it counts as idle.
        let spare = idle_now.zip(idle_then).is_none_or(|(now, then)| {
            now.saturating_sub(then) * 1000 >= passed_us * SPARE_PERMILLE
        });
        self.crowded = !spare;
        if spare {
            self.busy = None;
            let soon = |at: u64| now_us - at < self.calm_us;
            self.calm_us = match self.narrowed_at_us.is_some_and(soon) {
                true => (self.calm_us * 2).min(CALM_MAX_US),
                false => CALM_US,
            };
        }
        spare
    }

    fn note_cost(&mut self, active: usize, used_us: u64, bytes: u64) {
        // Of a thread that has next to nothing to do it would say little.
        if bytes == 0 || used_us < LOOK_US / 5 {
            return;
        }
        let cost = used_us * 1000 / bytes;
        let known = self.cost[active].unwrap_or(cost);
        self.cost[active] = Some((known * 7 + cost) / 8);
    }

    /// What the same work would take of one thread fewer.
    fn with_one_fewer(&self, active: usize, used_us: u64, bytes: u64) -> u64 {
        let cost = active.checked_sub(1).and_then(|fewer| self.cost[fewer]);
        cost.map_or(used_us, |cost| used_us.min(bytes * cost / 1000))
    }
}

impl Driver {
    /// On the first thread: decides how many threads are to be active.
    pub(super) fn look_at_load(&mut self) {
        let (now_us, plan) = (self.now.monotonic_us, &self.process.plan);
        if self.thread != FIRST || plan.threads() == 1 || now_us < self.looked_at_us + LOOK_US {
            return;
        }
        self.looked_at_us = now_us;
        let active = self.process.shared.active_threads();
        let Some(own) = self.hosted.first() else { return };
        let wanted = match own.engine.config().spread {
            ThreadSpread::All => plan.threads(),
            ThreadSpread::Auto if active > plan.auto_max() => plan.auto_max(),
            ThreadSpread::Auto => {
                let cores = &self.process.shared.cores;
                let reading = Reading {
                    at_us: now_us,
                    used_us: self.process.clocks[..active].iter().map(Clock::worked_us).collect(),
                    input_bytes: cores
                        .iter()
                        .map(|core| core.net_input_bytes.load(Ordering::Relaxed))
                        .sum(),
                };
                let cpu = |thread: usize| cores[thread].cpu.load(Ordering::Relaxed);
                self.governor.decide(reading, |thread| idle_us(cpu(thread)))
            }
        };
        let why = match own.engine.config().spread {
            ThreadSpread::All => SPREAD_ALL,
            ThreadSpread::Auto => self.governor.why(wanted),
        };
        if (wanted, why) != self.last_told {
            self.last_told = (wanted, why);
            self.process.shared.set_active_threads(wanted, why);
        }
        if wanted == active {
            return;
        }
        tracing::debug!("{wanted} of {} threads are active, {active} were", plan.threads());
        // Who sleeps would not see it.
        for thread in 1..wanted.max(active) {
            self.process.post.deliver_to_thread(thread, Parcel::Rearrange);
        }
    }

    /// When the first thread looks although nothing happens: nobody else would see the load fall.
    pub(super) fn looks_again_us(&self) -> Option<u64> {
        let looks =
            self.thread == FIRST && self.process.shared.active_threads() > 1 && self.is_auto();
        looks.then_some(self.looked_at_us + LOOK_US)
    }

    fn is_auto(&self) -> bool {
        self.hosted.first().is_some_and(|own| own.engine.config().spread == ThreadSpread::Auto)
    }
}

/// For how long a processor has been idle since the machine started; `None` if the kernel does not
/// say.
fn idle_us(cpu: usize) -> Option<u64> {
    idle_in(&fs::read_to_string("/proc/stat").ok()?, cpu)
}

/// Tells any thread how busy one of them has been.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Clock {
    /// Of the thread's processor time.
    id: AtomicI32,
    /// Nanoseconds spent looking for work.
    pub looked_ns: AtomicU64,
}

impl Clock {
    /// Called by the thread whose clock this is to be.
    pub fn is_of_this_thread(&self) {
        let mut id = libc::CLOCK_THREAD_CPUTIME_ID;
        // SAFETY: the thread is alive, and the number is written to a place of ours. If it has none,
        // the constant names the clock of whoever reads it.
        unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut id) };
        self.id.store(id, Ordering::Relaxed);
    }

    /// The processor time that the thread has worked; of one that has ended, none.
    pub fn worked_us(&self) -> u64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the kernel fills a structure that lives during the call.
        let known = unsafe { libc::clock_gettime(self.id.load(Ordering::Relaxed), &raw mut time) };
        if known != 0 {
            return 0;
        }
        let used_us = time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000;
        used_us.saturating_sub(self.looked_ns.load(Ordering::Relaxed) / 1000)
    }
}

/// Source: proc_stat(5). The fourth field counts idle time, the fifth what was spent waiting for
/// input and output, in hundredths of a second.
fn idle_in(stat: &str, cpu: usize) -> Option<u64> {
    const TICK_US: u64 = 10_000;
    let name = format!("cpu{cpu} ");
    let fields = stat.lines().find_map(|line| line.strip_prefix(&name))?;
    let mut fields = fields.split_ascii_whitespace().skip(3);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some((next()? + next()?) * TICK_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with as many threads as are wanted, looked at every ten milliseconds.
    struct Machine {
        governor: Governor,
        active: usize,
        reading: Reading,
        /// Of the processor of the next thread.
        idle_us: u64,
    }

    impl Machine {
        fn new(threads: usize) -> Machine {
            let reading = Reading { at_us: LOOK_US, used_us: vec![0], input_bytes: 0 };
            Machine { governor: Governor::new(threads), active: 1, reading, idle_us: 0 }
        }

        /// Lets time pass with so much of it spent by every active thread, and bytes received.
        fn pass(&mut self, looks: usize, busy: f64, bytes: u64, idle: f64) {
            for _ in 0..looks {
                let reading = &mut self.reading;
                reading.at_us += LOOK_US;
                reading.used_us.resize(self.active, 0);
                reading.used_us.iter_mut().for_each(|us| *us += (LOOK_US as f64 * busy) as u64);
                reading.input_bytes += bytes;
                self.idle_us += (LOOK_US as f64 * idle) as u64;
                let idle_us = self.idle_us;
                self.active = self.governor.decide(reading.clone(), |_| Some(idle_us));
            }
        }
    }

    #[test]
    fn a_busy_thread_is_relieved_if_there_is_a_processor_for_it() {
        let mut machine = Machine::new(3);
        machine.pass(100, 0.8, 1000, 1.0);
        assert_eq!(machine.active, 1, "not busy enough");
        machine.pass(100, 0.95, 1000, 0.2);
        assert_eq!(machine.active, 1, "the clients need the other processor");
        machine.pass(9, 0.95, 1000, 0.9);
        assert_eq!(machine.active, 1, "not for long enough");
        machine.pass(30, 0.95, 1000, 0.9);
        assert!(machine.active > 1, "busy, and room for another");
        machine.pass(100, 0.95, 1000, 0.9);
        assert_eq!(machine.active, 3, "as many as there are");
    }

    #[test]
    fn threads_that_are_too_many_are_given_up_later() {
        let mut machine = Machine::new(2);
        machine.pass(40, 0.9, 1000, 0.9);
        assert_eq!(machine.active, 2);
        machine.pass(90, 0.2, 200, 0.9);
        assert_eq!(machine.active, 2, "it may come back");
        machine.pass(20, 0.2, 200, 0.9);
        assert_eq!(machine.active, 1);
        // It came back: from now on more patience.
        machine.pass(30, 0.9, 1000, 0.9);
        assert_eq!(machine.active, 2);
        machine.pass(150, 0.2, 200, 0.9);
        assert_eq!(machine.active, 2);
        machine.pass(60, 0.2, 200, 0.9);
        assert_eq!(machine.active, 1);
    }

    /// On two threads the same work may cost twice as much: that must not keep both of them.
    #[test]
    fn what_threads_cost_each_other_does_not_count() {
        let mut machine = Machine::new(2);
        machine.pass(40, 0.9, 1000, 0.9);
        assert_eq!(machine.active, 2);
        // Of one thread this would take 0.45.
        machine.pass(150, 0.6, 500, 0.9);
        assert_eq!(machine.active, 1);
    }

    #[test]
    fn looking_for_work_is_not_work() {
        let clock = Clock::default();
        clock.is_of_this_thread();
        let began = std::time::Instant::now();
        while began.elapsed().as_millis() < 20 {
            std::hint::spin_loop();
        }
        let worked_us = clock.worked_us();
        assert!(worked_us > 0);
        clock.looked_ns.store(worked_us * 1000, Ordering::Relaxed);
        assert!(clock.worked_us() < worked_us);
    }

    #[test]
    fn idle_time_is_found_by_processor() {
        let stat = "cpu  9 9 9 9 9 0 0 0 0 0\ncpu1 1 2 3 40 5 6 7 8 9 0\ncpu10 1 2 3 70 0 6 7 8\n";
        assert_eq!(idle_in(stat, 1), Some(450_000));
        assert_eq!(idle_in(stat, 10), Some(700_000));
        assert_eq!(idle_in(stat, 0), None);
        assert!(idle_us(0).is_some(), "this kernel says");
    }
}
