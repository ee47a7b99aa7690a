//! What a test needs besides Ringwell, and on how many shards it runs.

use libtest_mimic::Trial;
pub use ringwell_test_support::{Need, test, test_where, test_with};

/// Root, and `ip` with network namespaces and veth pairs.
pub const NETWORK_NAMESPACES: Need =
    Need::Other { name: "network namespaces", is_met: super::netns::usable };

/// A name, and a test that takes the number of shards.
pub type PerShards = (&'static str, fn(usize));

/// Runs each test on one shard and on four.
pub fn on_one_and_four_shards(module: &str, needs: &[Need], tests: &[PerShards]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &(name, run) in tests {
        for shards in [1, 4] {
            let name = format!("{module}::{name}_on_{shards}_shards");
            trials.push(test_with(needs, name, move || run(shards)));
        }
    }
    trials
}
