//! Which processor each core of the server is pinned to.

use super::cgroups;
use super::startup::StartupError;
use crate::config::{Config, ShardCount};

/// One processor per shard.
///
/// # Errors
/// A processor of `cpus` that this host lacks or this process may not use.
pub fn place(config: &Config) -> Result<Vec<usize>, StartupError> {
    let allowed: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let quota = cgroups::millicpus();
    choose(config.shards, &config.cpus.0, &allowed, &parse_list(&online), quota)
}

fn choose(
    shards: ShardCount,
    cpus: &[usize],
    allowed: &[usize],
    online: &[usize],
    quota_millicpus: Option<u64>,
) -> Result<Vec<usize>, StartupError> {
    for cpu in cpus {
        if allowed.contains(cpu) {
            continue;
        }
        let usable = show_list(allowed);
        return Err(StartupError::new(if online.contains(cpu) {
            format!(
                "'cpus' names core {cpu}, which this process may not use (taskset, or a cpuset \
                 of its control group): choose from {usable}"
            )
        } else {
            format!("'cpus' names core {cpu}, which this host does not have: choose from {usable}")
        }));
    }
    let usable = if cpus.is_empty() { allowed } else { cpus };
    if usable.is_empty() {
        return Err(StartupError::new(
            "cannot tell which cores this process may use: name them with --cpus",
        ));
    }
    let count = match shards {
        ShardCount::Auto => covered(usable.len(), quota_millicpus),
        ShardCount::Fixed(count) => usize::from(count),
    };
    Ok((0..count).map(|shard| usable[shard % usable.len()]).collect())
}

/// So many of the processors as a quota covers whole, at least one: a shard that only a part of a
/// processor is left for would be stopped in each period, and whoever waits for it too.
fn covered(processors: usize, quota_millicpus: Option<u64>) -> usize {
    let whole = quota_millicpus.map_or(usize::MAX, |quota| (quota / 1000) as usize);
    processors.min(whole.max(1))
}

/// Reads a list as the kernel writes it: `0-3,8`.
fn parse_list(text: &str) -> Vec<usize> {
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(number(first)?..=number(last)?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// The processors that are used, in their order: `cores 0-3`.
pub fn show(cpus: &[usize]) -> String {
    let mut distinct: Vec<usize> = Vec::new();
    for &cpu in cpus {
        if !distinct.contains(&cpu) {
            distinct.push(cpu);
        }
    }
    let noun = if distinct.len() == 1 { "core" } else { "cores" };
    format!("{noun} {}", show_list(&distinct))
}

fn show_list(cpus: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &cpu in cpus {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => ranges.push((cpu, cpu)),
        }
    }
    let show = |(first, last)| {
        if first == last { format!("{first}") } else { format!("{first}-{last}") }
    };
    ranges.into_iter().map(show).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_go_round_the_cores() {
        let placed = |shards, cpus: &[usize]| choose(shards, cpus, &[0, 1, 4], &[0, 1, 2, 4], None);
        assert_eq!(placed(ShardCount::Auto, &[]).unwrap(), [0, 1, 4]);
        assert_eq!(placed(ShardCount::Fixed(2), &[]).unwrap(), [0, 1]);
        assert_eq!(placed(ShardCount::Fixed(5), &[]).unwrap(), [0, 1, 4, 0, 1]);
        assert_eq!(placed(ShardCount::Auto, &[4, 0]).unwrap(), [4, 0]);
        let missing = placed(ShardCount::Auto, &[0, 999]).unwrap_err().to_string();
        assert!(missing.contains("core 999, which this host does not have"), "{missing}");
        assert!(missing.contains("choose from 0-1,4"), "{missing}");
        let forbidden = placed(ShardCount::Auto, &[2]).unwrap_err().to_string();
        assert!(forbidden.contains("core 2, which this process may not use"), "{forbidden}");
    }

    #[test]
    fn auto_starts_no_more_shards_than_a_quota_covers() {
        let placed = |shards, cpus: &[usize], quota| {
            choose(shards, cpus, &[0, 1, 2, 3], &[0, 1, 2, 3], Some(quota)).unwrap().len()
        };
        for (quota, expected) in [(100, 1), (1_000, 1), (1_999, 1), (2_000, 2), (64_000, 4)] {
            assert_eq!(placed(ShardCount::Auto, &[], quota), expected, "{quota}");
        }
        assert_eq!(placed(ShardCount::Auto, &[1, 2, 3], 2_500), 2);
        assert_eq!(placed(ShardCount::Fixed(4), &[], 1_000), 4, "who names a number gets it");
    }

    #[test]
    fn lists_of_the_kernel() {
        assert_eq!(parse_list("0-2,7\n"), [0, 1, 2, 7]);
        assert_eq!(parse_list(""), [0usize; 0]);
        assert_eq!(show_list(&[0, 1, 2, 7, 9, 10]), "0-2,7,9-10");
        assert_eq!(show(&[0, 1, 0, 1, 0]), "cores 0-1");
        assert_eq!(show(&[4, 4]), "core 4");
    }
}
