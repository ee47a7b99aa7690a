//! What the tests are made of: the program, servers real and fake, what a test needs.

pub mod fake;
pub mod need;
pub mod program;
pub mod server;

pub use need::{Need, on_both_servers, test, test_with};
pub use program::{Output, loadgen, loadgen_line, loadgen_with, program, spawn};
pub use server::{Kind, Scratch, Server};

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Tests whose subject is time, alone on the machine as far as this binary is concerned, and all
/// others.
static MACHINE: RwLock<()> = RwLock::new(());

pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

pub fn beside_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}
