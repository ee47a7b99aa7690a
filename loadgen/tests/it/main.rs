//! The integration tests, in one binary: they start the built program against real servers, and
//! against fake ones where a server has to misbehave.
//!
//! Some need redis-server or redis-benchmark. Without them they are reported as ignored, by name,
//! or fail under `RINGWELL_TESTS_REQUIRE=all`; see `ringwell_test_support::Need`.

mod bad_input;
mod check;
mod compare;
mod compat;
mod knee;
mod run;
mod selftest;
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    ringwell_test_support::run(
        env!("CARGO_TARGET_TMPDIR"),
        &[
            bad_input::trials,
            check::trials,
            compare::trials,
            compat::trials,
            knee::trials,
            run::trials,
            selftest::trials,
        ],
    )
}
