//! What a test needs besides this workspace, and against which servers it runs.

use libtest_mimic::Trial;
pub use ringwell_test_support::{Need, test, test_with};

use super::server::Kind;

/// A name, and a test that takes the kind of server.
pub type PerServer = (&'static str, fn(Kind));

/// Runs each test against redis-server and against ringwell.
pub fn on_both_servers(module: &str, tests: &[PerServer]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &(name, run) in tests {
        trials.push(test_with(
            &[Need::RedisServer],
            format!("{module}::{name}_on_redis"),
            move || {
                run(Kind::Redis);
            },
        ));
        trials.push(test(format!("{module}::{name}_on_ringwell"), move || run(Kind::Ringwell)));
    }
    trials
}
