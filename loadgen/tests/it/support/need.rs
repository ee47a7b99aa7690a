//! What a test needs besides this workspace. Where it is missing, the test is reported as ignored,
//! with the missing thing in its name; with `RINGWELL_TESTS_REQUIRE=all` (CI) it fails instead.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use libtest_mimic::{Failed, Trial};

use super::server::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    RedisServer,
    RedisBenchmark,
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Need::RedisServer => "redis-server",
            Need::RedisBenchmark => "redis-benchmark",
        }
    }

    fn is_met(self) -> bool {
        static MET: [OnceLock<bool>; 2] = [const { OnceLock::new() }; 2];
        *MET[self as usize].get_or_init(|| runs(self.name(), &["--version"]))
    }
}

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

/// A test that runs anywhere.
pub fn test(name: impl Into<String>, run: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        run();
        Ok(())
    })
}

/// A test that needs more.
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
