//! What the tests of this workspace's packages have in common.
//!
//! | file | what |
//! |---|---|
//! | `lists` | list commands for workloads whose history is checked |
//! | `need` | tests, and what they need besides this workspace |
//! | `rng` | random numbers that a seed repeats |
//! | `scratch` | a directory for one test |
//! | `server` | a server's process for one test, and a port for it |
//! | `wait` | how long a test waits |
//!
//! Cargo tells only a package's own integration tests where its programs and its scratch space are,
//! so they pass these in.

mod lists;
mod need;
mod rng;
mod scratch;
mod server;
mod wait;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

pub use lists::{ListCommand, ListKeys, ListReply};
pub use need::{Need, test, test_where, test_with};
pub use rng::{Rng, seed};
pub use scratch::Scratch;
pub use server::{ServerProcess, free_port, signal};
pub use wait::{PATIENCE, wait_for};

/// The `main` of a test binary: runs the trials of its modules as the command line says.
/// `scratch_root` is where [`Scratch`] makes its directories: `env!("CARGO_TARGET_TMPDIR")`.
pub fn run(scratch_root: &'static str, modules: &[fn() -> Vec<Trial>]) -> ExitCode {
    scratch::set_root(scratch_root);
    // The message itself stands in the list of failures at the end.
    std::panic::set_hook(Box::new(|info| {
        if let Some(location) = info.location() {
            eprintln!("a test panicked at {location}");
        }
    }));
    let arguments = Arguments::from_args();
    let trials = modules.iter().flat_map(|trials| trials()).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
