//! What ends the program: one line that says what to do.

use std::process::ExitCode;

/// A failure as its user reads it. `Display` is the whole line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub message: String,
    pub kind: FailureKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Options that make no sense, alone or together. Exit status 2.
    Usage,
    /// The server, the network, or this machine. Exit status 1.
    Run,
    /// `check` found a regression. Exit status 3.
    Regression,
}

impl Failure {
    pub fn usage(message: impl Into<String>) -> Self {
        Failure { message: message.into(), kind: FailureKind::Usage }
    }

    pub fn run(message: impl Into<String>) -> Self {
        Failure { message: message.into(), kind: FailureKind::Run }
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            FailureKind::Run => 1,
            FailureKind::Usage => 2,
            FailureKind::Regression => 3,
        })
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
