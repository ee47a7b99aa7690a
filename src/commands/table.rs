//! The table of all commands and the search in it.

use std::sync::LazyLock;

use super::row::{Command, Handler};
use super::{access, connection, keys, server, strings};

/// Slots of the name index; a power of two several times the number of commands.
const INDEX_SLOTS: usize = 1024;
const EMPTY: u16 = u16::MAX;

/// All commands, found by name in any case.
pub struct CommandTable {
    rows: Vec<&'static Command>,
    index: Box<[u16; INDEX_SLOTS]>,
}

/// What a command line names.
#[derive(Clone, Copy, Debug)]
pub enum Lookup {
    Found(&'static Command),
    UnknownCommand,
    /// The container exists, the subcommand doesn't (or is missing, if the line is too short).
    UnknownSubcommand(&'static Command),
}

/// The table, built at its first use.
pub fn table() -> &'static CommandTable {
    static TABLE: LazyLock<CommandTable> = LazyLock::new(|| {
        CommandTable::new([
            access::COMMANDS,
            connection::COMMANDS,
            keys::COMMANDS,
            server::COMMANDS,
            strings::COMMANDS,
        ])
    });
    &TABLE
}

impl CommandTable {
    fn new<const N: usize>(families: [&'static [Command]; N]) -> Self {
        let rows: Vec<&'static Command> = families.into_iter().flatten().collect();
        assert!(rows.len() * 2 < INDEX_SLOTS, "the name index is too small");
        let mut index = Box::new([EMPTY; INDEX_SLOTS]);
        for (position, row) in rows.iter().enumerate() {
            let mut slot = name_hash(row.name.as_bytes());
            while index[slot] != EMPTY {
                slot = (slot + 1) % INDEX_SLOTS;
            }
            index[slot] = position as u16;
        }
        CommandTable { rows, index }
    }

    /// All rows, subcommands not included.
    pub fn rows(&self) -> &[&'static Command] {
        &self.rows
    }

    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&'static Command> {
        let mut slot = name_hash(name);
        loop {
            let row = *self.rows.get(usize::from(self.index[slot]))?;
            if row.name.as_bytes().eq_ignore_ascii_case(name) {
                return Some(row);
            }
            slot = (slot + 1) % INDEX_SLOTS;
        }
    }

    /// The row for a command line of which `name` is the first and `second` the second argument.
    #[inline]
    pub fn lookup(&self, name: &[u8], second: Option<&[u8]>) -> Lookup {
        let Some(row) = self.get(name) else { return Lookup::UnknownCommand };
        if !matches!(row.handler, Handler::Container) {
            return Lookup::Found(row);
        }
        match second {
            // Arity of the container is what is wrong then.
            None => Lookup::Found(row),
            Some(second) => match row.subcommand(second) {
                Some(subcommand) => Lookup::Found(subcommand),
                None => Lookup::UnknownSubcommand(row),
            },
        }
    }
}

/// A slot from the length and the first eight letters; clearing bit 5 ignores their case.
#[inline]
fn name_hash(name: &[u8]) -> usize {
    let mut word = name.len() as u64;
    for &byte in name.iter().take(8) {
        word = (word << 7) ^ u64::from(byte & 0xDF);
    }
    (word.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - INDEX_SLOTS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_row_in_any_case_and_nothing_else() {
        for row in table().rows() {
            for name in [row.name.to_owned(), row.name.to_uppercase()] {
                let found = table().get(name.as_bytes()).expect("every row is in the index");
                assert_eq!(found.name, row.name);
            }
            assert!(table().get(format!("{}x", row.name).as_bytes()).is_none());
        }
        assert!(table().get(b"").is_none());
    }

    #[test]
    fn rows_are_consistent() {
        let mut names: Vec<&str> = table().rows().iter().map(|row| row.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "a name stands in two rows");
        for row in table().rows() {
            assert_eq!(row.name, row.name.to_lowercase());
            assert!(row.arity != 0, "{}", row.name);
            let is_container = matches!(row.handler, Handler::Container);
            assert_eq!(is_container, !row.subcommands.is_empty(), "{}", row.name);
            if let Handler::Keyed(..) = row.handler {
                assert!(!row.keys.is_empty(), "{} routes by its keys", row.name);
            }
        }
    }
}
