//! What a test needs besides this workspace. Where it is missing, the test is reported as ignored,
//! with the missing thing in its name; with `RINGWELL_TESTS_REQUIRE=all` (CI) it fails instead.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use libtest_mimic::{Failed, Trial};

#[derive(Clone, Copy, Debug)]
pub enum Need {
    RedisServer,
    RedisCli,
    RedisBenchmark,
    RedisPy,
    /// What only the tests of one package need. Whether it is there is asked once.
    Other {
        name: &'static str,
        is_met: fn() -> bool,
    },
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Need::RedisServer => "redis-server",
            Need::RedisCli => "redis-cli",
            Need::RedisBenchmark => "redis-benchmark",
            Need::RedisPy => "redis-py",
            Need::Other { name, .. } => name,
        }
    }

    fn is_met(self) -> bool {
        static MET: Mutex<BTreeMap<&str, bool>> = Mutex::new(BTreeMap::new());
        let mut met = MET.lock().unwrap_or_else(PoisonError::into_inner);
        *met.entry(self.name()).or_insert_with(|| match self {
            Need::RedisServer | Need::RedisCli | Need::RedisBenchmark => {
                runs(self.name(), &["--version"])
            }
            Need::RedisPy => runs("python3", &["-c", "import redis"]),
            Need::Other { is_met, .. } => is_met(),
        })
    }
}

/// A test that runs anywhere.
pub fn test(name: impl Into<String>, run: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        run();
        Ok(())
    })
}

/// A test that needs more than this workspace.
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

/// A test of what some machines do not let be done, whatever is installed on them: there it counts as
/// ignored.
pub fn test_where(
    is_possible: bool,
    name: impl Into<String>,
    run: impl FnOnce() + Send + 'static,
) -> Trial {
    match is_possible {
        true => test(name, run),
        false => Trial::test(name, || Ok(())).with_kind("not here").with_ignored_flag(true),
    }
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
