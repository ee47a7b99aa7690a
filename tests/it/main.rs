//! The integration tests, in one binary: they start the built server and talk to it as clients do.
//!
//! Some need more than Ringwell (a stock redis-server, network namespaces, ...). Without it they
//! are reported as ignored, by name, or fail under `RINGWELL_TESTS_REQUIRE=all`; see
//! `support::need`. Random tests print their seed; `RINGWELL_TESTS_SEED` repeats it.

mod access;
mod bounds;
mod clients;
mod command_table;
mod commandstats;
mod config;
mod connections;
mod decoder;
mod differential;
mod eviction;
mod histories;
mod lifecycle;
mod memory;
mod runtime;
mod support;
mod wire;

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
    trials.extend(access::trials());
    trials.extend(bounds::trials());
    trials.extend(clients::trials());
    trials.extend(command_table::trials());
    trials.extend(commandstats::trials());
    trials.extend(config::trials());
    trials.extend(connections::trials());
    trials.extend(decoder::trials());
    trials.extend(differential::trials());
    trials.extend(eviction::trials());
    trials.extend(histories::trials());
    trials.extend(lifecycle::trials());
    trials.extend(memory::trials());
    trials.extend(runtime::trials());
    trials.extend(wire::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
