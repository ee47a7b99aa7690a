//! The integration tests, in one binary: they start the built server and talk to it as clients do.
//!
//! Some need more than Ringwell (a stock redis-server, network namespaces, ...). Without it they
//! are reported as ignored, by name, or fail under `RINGWELL_TESTS_REQUIRE=all`; see
//! `ringwell_test_support::Need`. Random tests print their seed; `RINGWELL_TESTS_SEED` repeats it.

mod access;
mod blocking;
mod bounds;
mod clients;
mod command_table;
mod commandstats;
mod config;
mod connections;
mod decoder;
mod differential;
mod documents;
mod events;
mod eviction;
mod histories;
mod large_values;
mod lifecycle;
mod memory;
mod pipelines;
mod runtime;
mod spread;
mod support;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    ringwell_test_support::run(
        env!("CARGO_TARGET_TMPDIR"),
        &[
            access::trials,
            blocking::trials,
            bounds::trials,
            clients::trials,
            command_table::trials,
            commandstats::trials,
            config::trials,
            connections::trials,
            decoder::trials,
            differential::trials,
            documents::trials,
            events::trials,
            eviction::trials,
            histories::trials,
            large_values::trials,
            lifecycle::trials,
            memory::trials,
            pipelines::trials,
            runtime::trials,
            spread::trials,
            wire::trials,
        ],
    )
}
