//! The integration tests, in one binary: they start the built program against real servers, and
//! against fake ones where a server has to misbehave.
//!
//! Some need redis-server or redis-benchmark. Without them they are reported as ignored, by name,
//! or fail under `RINGWELL_TESTS_REQUIRE=all`; see `support::need`.

mod bad_input;
mod check;
mod compare;
mod compat;
mod knee;
mod run;
mod selftest;
mod support;

use libtest_mimic::Arguments;

fn main() {
    // The message itself stands in the list of failures at the end.
    std::panic::set_hook(Box::new(|info| {
        if let Some(location) = info.location() {
            eprintln!("a test panicked at {location}");
        }
    }));
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    trials.extend(bad_input::trials());
    trials.extend(check::trials());
    trials.extend(compare::trials());
    trials.extend(compat::trials());
    trials.extend(knee::trials());
    trials.extend(run::trials());
    trials.extend(selftest::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
