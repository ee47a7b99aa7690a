//! Starting where it cannot run says what to do: one line for each cause, before anything starts.

pub mod kernel;

use std::fmt;

/// Why the server cannot start: one line, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupError(String);

impl StartupError {
    pub fn new(message: impl Into<String>) -> StartupError {
        StartupError(message.into())
    }
}

impl fmt::Display for StartupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartupError {}
