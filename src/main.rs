//! `ringwell [FILE] [--directive value ...]`, as redis-server; see `--help`.

use std::ffi::OsString;
use std::process::ExitCode;

use ringwell::config::{self, Disk, Start};
use ringwell::runtime;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match config::start(&arguments, &Disk) {
        Ok(Start::Run(config, source)) => runtime::run(*config, source),
        Ok(Start::Print(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
