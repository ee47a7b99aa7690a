//! MEMORY DOCTOR: what looks wrong, and what can be done about it.

use std::fmt::Write;

use super::super::facts::Facts;
use super::overview::{Excess, Overview};
use crate::text::memory::human;

/// Below this there is too little to judge by.
const USED_MIN: u64 = 5 << 20;
const PEAK_RATIO_MAX: f64 = 1.5;
const FRAGMENTATION_MAX: f64 = 1.4;
const ALLOCATOR_MAX: f64 = 1.1;
/// A ratio alone says little about small amounts.
const EXCESS_BYTES_MAX: i64 = 10 << 20;
const BYTES_PER_CLIENT_MAX: u64 = 200 * 1024;
/// Percent of the memory there is.
const FULL_PERCENT: u64 = 90;

/// What the diagnosis is made from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patient {
    pub memory: Overview,
    pub clients: u64,
    pub maxmemory: u64,
    /// What the process may use of the system's memory.
    pub limit: u64,
}

impl Patient {
    pub fn of(facts: &Facts<'_>) -> Patient {
        Patient {
            memory: Overview::of(facts),
            clients: facts.sum(|core| core.clients as u64),
            maxmemory: facts.core.site.maxmemory_bytes(),
            limit: facts.core.site.shared.memory_limit_bytes,
        }
    }
}

pub(super) fn diagnose(patient: &Patient) -> String {
    let memory = &patient.memory;
    let found = findings(patient);
    if found.is_empty() && memory.used() < USED_MIN {
        let used = human(memory.used());
        return format!("This server holds only {used} for keys and clients: too little to judge.");
    }
    if found.is_empty() {
        return "No memory problem was found.".to_owned();
    }
    let mut text = format!("Memory problems found: {}.\n", found.len());
    for finding in found {
        // Writing to a string does not fail.
        let _ = write!(text, "\n * {finding}\n");
    }
    text
}

fn findings(patient: &Patient) -> Vec<String> {
    let &Patient { memory, clients, maxmemory, limit } = patient;
    let mut found = Vec::new();
    let counted = memory.used();
    if maxmemory > 0 && counted > maxmemory {
        found.push(format!(
            "Full: {} are held and maxmemory is {}, so commands that need memory are refused \
             unless maxmemory-policy lets keys be evicted. Delete keys, raise maxmemory, or choose \
             another policy.",
            human(counted),
            human(maxmemory)
        ));
    }
    if limit > 0 && maxmemory > limit {
        found.push(format!(
            "Limit too high: maxmemory is {}, but the machine or the control group allows {}. The \
             kernel would end the server before maxmemory is reached. Lower maxmemory, for example \
             to 70%.",
            human(maxmemory),
            human(limit)
        ));
    } else if limit > 0 && memory.rss / FULL_PERCENT >= limit / 100 {
        found.push(format!(
            "Little memory left: {} of the {} that the machine or the control group allows are \
             resident. Set maxmemory lower, or give the server more.",
            human(memory.rss),
            human(limit)
        ));
    }
    let big_clients = memory.clients > clients.max(1).saturating_mul(BYTES_PER_CLIENT_MAX);
    if big_clients {
        found.push(format!(
            "Large client buffers: {} for {clients} clients. Somebody sends commands faster than \
             they run or does not read the replies; CLIENT LIST shows who (tot-mem). \
             client-output-buffer-limit and client-query-buffer-limit bound them.",
            human(memory.clients)
        ));
    }
    if counted < USED_MIN {
        return found;
    }
    if memory.peak as f64 > memory.used() as f64 * PEAK_RATIO_MAX {
        found.push(format!(
            "High peak: {} were in use once, now {}. What was freed may stay with the allocator \
             and show as fragmentation; MEMORY PURGE gives it back.",
            human(memory.peak),
            human(memory.used())
        ));
    }
    let is_high =
        |excess: Excess, most: f64| excess.ratio > most && excess.bytes > EXCESS_BYTES_MAX;
    let (total, allocator) = (memory.fragmentation(), memory.allocator_fragmentation());
    if is_high(total, FRAGMENTATION_MAX) {
        found.push(format!(
            "High fragmentation: resident memory is {:.2} times of what is in use ({} more). \
             MEMORY PURGE gives free memory back; what remains lies between values of changed \
             sizes and is used again by new ones.",
            total.ratio,
            human(total.bytes.unsigned_abs())
        ));
    } else if is_high(allocator, ALLOCATOR_MAX) && memory.allocator_resident() > memory.used() {
        found.push(format!(
            "Allocator overhead: it holds {:.2} times of what is in use ({} more). MEMORY PURGE \
             gives free memory back.",
            allocator.ratio,
            human(allocator.bytes.unsigned_abs())
        ));
    }
    let outside = memory.rss_overhead();
    if memory.committed > 0 && is_high(outside, ALLOCATOR_MAX) {
        found.push(format!(
            "Memory outside of the allocator: {} are resident besides what it holds: code, stacks, \
             and buffers shared with the kernel.",
            human(outside.bytes.unsigned_abs())
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn healthy() -> Patient {
        let memory = Overview {
            startup: 0,
            server: 9 * MB,
            pools: MB,
            entries: 80 * MB,
            tables: 10 * MB,
            clients: MB,
            peak: 100 * MB,
            rss: 105 * MB,
            committed: 103 * MB,
            keys: 1000,
        };
        Patient { memory, clients: 50, maxmemory: 200 * MB, limit: 1000 * MB }
    }

    #[test]
    fn healthy_and_empty_servers_have_no_problems() {
        assert_eq!(diagnose(&healthy()), "No memory problem was found.");
        let mut empty = healthy();
        empty.memory = Overview { server: 10 * MB, peak: 10 * MB, rss: 40 * MB, ..empty.memory };
        (empty.memory.entries, empty.memory.tables, empty.memory.clients) = (MB, MB, 0);
        assert!(diagnose(&empty).starts_with("This server holds only 2.00M "));
    }

    #[test]
    fn every_problem_is_named_and_alone() {
        type Harm = fn(&mut Patient);
        let harms: [(Harm, &str); 8] = [
            (|p| p.maxmemory = 90 * MB, "Full: "),
            (|p| p.maxmemory = 2000 * MB, "Limit too high: "),
            (|p| p.limit = 110 * MB * 10 / 10, "Limit too high: "),
            (|p| (p.maxmemory, p.limit) = (0, 110 * MB), "Little memory left: "),
            (|p| p.memory.clients = 11 * MB, "Large client buffers: "),
            (|p| p.memory.peak = 200 * MB, "High peak: "),
            (|p| (p.memory.rss, p.memory.committed) = (170 * MB, 170 * MB), "High fragmentation: "),
            (|p| p.memory.rss = 125 * MB, "Memory outside of the allocator: "),
        ];
        for (harm, expected) in harms {
            let mut patient = healthy();
            harm(&mut patient);
            let text = diagnose(&patient);
            assert!(text.starts_with("Memory problems found: 1.\n\n * "), "{text}");
            assert!(text.contains(&format!(" * {expected}")), "{expected} {text}");
        }
        let mut patient = healthy();
        (patient.memory.rss, patient.memory.committed) = (126 * MB, 120 * MB);
        assert!(diagnose(&patient).contains(" * Allocator overhead: "));
    }
}
