//! What a test needs besides Ringwell. Where it is missing, the test is reported as ignored, with
//! the missing thing in its name; with `RINGWELL_TESTS_REQUIRE=all` (CI) it fails instead.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use libtest_mimic::{Failed, Trial};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    RedisServer,
    RedisCli,
    RedisBenchmark,
    RedisPy,
    /// Root, and `ip` with network namespaces and veth pairs.
    NetworkNamespaces,
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Need::RedisServer => "redis-server",
            Need::RedisCli => "redis-cli",
            Need::RedisBenchmark => "redis-benchmark",
            Need::RedisPy => "redis-py",
            Need::NetworkNamespaces => "network namespaces",
        }
    }

    fn is_met(self) -> bool {
        static MET: [OnceLock<bool>; 5] = [const { OnceLock::new() }; 5];
        *MET[self as usize].get_or_init(|| match self {
            Need::RedisServer => runs("redis-server", &["--version"]),
            Need::RedisCli => runs("redis-cli", &["--version"]),
            Need::RedisBenchmark => runs("redis-benchmark", &["--version"]),
            Need::RedisPy => runs("python3", &["-c", "import redis"]),
            Need::NetworkNamespaces => super::netns::usable(),
        })
    }
}

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

/// A test that runs anywhere Ringwell does.
pub fn test(name: impl Into<String>, run: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        run();
        Ok(())
    })
}

/// A test that needs more than Ringwell.
pub fn test_with(
    needs: &[Need],
    name: impl Into<String>,
    run: impl FnOnce() + Send + 'static,
) -> Trial {
    let missing: Vec<&str> = needs.iter().filter(|n| !n.is_met()).map(|n| n.name()).collect();
    if missing.is_empty() {
        return test(name, run);
    }
    let missing = missing.join(", ");
    if std::env::var("RINGWELL_TESTS_REQUIRE").is_ok_and(|v| v == "all") {
        let message = format!("missing here: {missing}; RINGWELL_TESTS_REQUIRE=all demands it");
        return Trial::test(name, move || Err(Failed::from(message)));
    }
    Trial::test(name, || Ok(())).with_kind(format!("no {missing}")).with_ignored_flag(true)
}

fn runs(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
