//! `ringwell [FILE] [--directive value ...]`, as redis-server.

use std::ffi::OsString;
use std::process::ExitCode;

use ringwell::config::{self, Config, Disk};
use ringwell::runtime;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let [only] = arguments.as_slice() {
        match only.to_str() {
            Some("--help" | "-h") => {
                print!("{}", config::help());
                return ExitCode::SUCCESS;
            }
            Some("--version" | "-v") => {
                print!("{}", config::version());
                return ExitCode::SUCCESS;
            }
            _ => {}
        }
    }
    match Config::load(&arguments, &Disk) {
        Ok((config, source)) => runtime::run(config, source),
        Err(error) => {
            eprintln!("ringwell: {error}");
            ExitCode::FAILURE
        }
    }
}
