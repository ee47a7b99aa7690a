//! Arguments to a plan; which options contradict each other.

use std::process::ExitCode;

pub fn main() -> ExitCode {
    eprintln!("(being written)");
    ExitCode::FAILURE
}
