//! The integration tests, in one binary: they start the built server and talk to it as clients do.
//!
//! Some need more than Ringwell (a stock redis-server, network namespaces, ...). Without it they
//! are reported as ignored, by name, or fail under `RINGWELL_TESTS_REQUIRE=all`; see
//! `support::need`. Random tests print their seed; `RINGWELL_TESTS_SEED` repeats it.

mod support;
mod wire;

use libtest_mimic::Arguments;

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    trials.extend(wire::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
