//! The lines of INFO.

use std::fmt::{Display, Write};

/// Lines `name:value`. Writing to a string does not fail.
#[derive(Default)]
pub(super) struct Fields {
    pub text: String,
}

impl Fields {
    pub fn add(&mut self, name: impl Display, value: impl Display) {
        let _ = write!(self.text, "{name}:{value}\r\n");
    }

    /// Fields whose value never changes here, because what they count does not exist.
    pub fn constants<T: Display>(&mut self, names: &[&str], value: T) {
        for name in names {
            self.add(name, &value);
        }
    }

    /// An amount of memory, for programs and for people.
    pub fn bytes(&mut self, name: &str, bytes: u64) {
        self.add(name, bytes);
        self.add(format_args!("{name}_human"), crate::text::memory::human(bytes));
    }
}
