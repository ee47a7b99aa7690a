//! The table of all commands and the search in it.

use std::ops::Deref;
use std::sync::LazyLock;

use super::key_spec::KeySpec;
use super::row::Command;
use super::{
    access, connection, hashes, introspection, keys, lists, server, sets, sorted_sets, strings,
    transactions,
};
use crate::protocol::Args;

/// Slots of the name index; a power of two several times the number of commands.
const INDEX_SLOTS: usize = 1024;

/// A command as the table holds it.
#[derive(Debug)]
pub struct Row {
    command: Command,
    /// Its place among all rows, subcommands included: an index for statistics.
    pub id: usize,
    /// The name, or `container|subcommand`.
    pub full_name: String,
    /// The argument of the first key; 0 if it has none, or not always the same.
    first_key: usize,
    /// Whether there are command lines of the right arity that do not say where the keys are.
    keys_vary: bool,
    has_exact_key: bool,
    pub subcommands: Vec<&'static Row>,
}

impl Deref for Row {
    type Target = Command;

    #[inline]
    fn deref(&self) -> &Command {
        &self.command
    }
}

impl Row {
    /// Whether these arguments do not say where the keys are: nothing is to be run but for an error.
    #[inline]
    pub fn lacks_keys(&self, args: Args<'_>) -> bool {
        self.keys_vary && !self.finds_keys(args)
    }

    /// The first key that these arguments name. Arity need not have been checked.
    #[inline]
    pub fn first_key<'a>(&self, args: Args<'a>) -> Option<&'a [u8]> {
        match self.first_key {
            0 if self.keys_vary => self.key_positions(args).next().map(|at| args.at(at)),
            0 => None,
            fixed => args.get(fixed),
        }
    }

    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Row> {
        self.subcommands.iter().copied().find(|row| row.name.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// All commands, found by name in any case.
pub struct CommandTable {
    rows: Vec<&'static Row>,
    /// Rows and subcommands, by [`Row::id`].
    by_id: Vec<&'static Row>,
    index: Box<[Option<(NameKey, &'static Row)>; INDEX_SLOTS]>,
}

/// What a command line names.
#[derive(Clone, Copy, Debug)]
pub enum Lookup {
    Found(&'static Row),
    UnknownCommand,
    /// The container exists, the subcommand doesn't.
    UnknownSubcommand(&'static Row),
}

/// The table, built at its first use.
pub fn table() -> &'static CommandTable {
    static TABLE: LazyLock<CommandTable> = LazyLock::new(|| {
        CommandTable::new(&[
            access::COMMANDS,
            connection::COMMANDS,
            hashes::COMMANDS,
            introspection::COMMANDS,
            keys::COMMANDS,
            lists::COMMANDS,
            server::COMMANDS,
            sets::COMMANDS,
            sorted_sets::COMMANDS,
            strings::COMMANDS,
            transactions::COMMANDS,
        ])
    });
    &TABLE
}

impl CommandTable {
    fn new(families: &[&'static [Command]]) -> Self {
        let mut table = CommandTable {
            rows: Vec::new(),
            by_id: Vec::new(),
            index: Box::new([None; INDEX_SLOTS]),
        };
        for command in families.iter().copied().flatten() {
            let row = table.add(command, None);
            let key = NameKey::new(row.name.as_bytes());
            let mut slot = key.slot();
            while table.index[slot].is_some() {
                slot = (slot + 1) % INDEX_SLOTS;
            }
            table.index[slot] = Some((key, row));
            table.rows.push(row);
        }
        assert!(table.rows.len() * 2 < INDEX_SLOTS, "the name index is too small");
        table
    }

    /// Rows live as long as the process: requests refer to them from every core.
    fn add(&mut self, command: &'static Command, container: Option<&str>) -> &'static Row {
        let full_name = match container {
            None => command.name.to_owned(),
            Some(container) => format!("{container}|{}", command.name),
        };
        let subcommands =
            command.subcommands.iter().map(|sub| self.add(sub, Some(command.name))).collect();
        let row: &'static Row = Box::leak(Box::new(Row {
            command: *command,
            id: self.by_id.len(),
            full_name,
            first_key: command.keys.first().and_then(KeySpec::fixed_first).unwrap_or(0),
            keys_vary: !command.keys.iter().all(KeySpec::always_holds),
            has_exact_key: NameKey::is_exact(command.name.as_bytes()),
            subcommands,
        }));
        self.by_id.push(row);
        row
    }

    /// All commands, subcommands not included.
    pub fn rows(&self) -> &[&'static Row] {
        &self.rows
    }

    /// All commands and subcommands; the index is [`Row::id`].
    pub fn by_id(&self) -> &[&'static Row] {
        &self.by_id
    }

    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&'static Row> {
        let key = NameKey::new(name);
        let mut slot = key.slot();
        loop {
            let (candidate, row) = self.index[slot]?;
            if candidate == key
                && (row.has_exact_key || row.name.as_bytes().eq_ignore_ascii_case(name))
            {
                return Some(row);
            }
            slot = (slot + 1) % INDEX_SLOTS;
        }
    }

    /// The row for a command line of which `name` is the first and `second` the second argument.
    #[inline]
    pub fn lookup(&self, name: &[u8], second: Option<&[u8]>) -> Lookup {
        let Some(row) = self.get(name) else { return Lookup::UnknownCommand };
        if row.subcommands.is_empty() {
            return Lookup::Found(row);
        }
        match second {
            // COMMAND alone is a command; of the others the arity is wrong.
            None => Lookup::Found(row),
            Some(second) => match row.subcommand(second) {
                Some(subcommand) => Lookup::Found(subcommand),
                None => Lookup::UnknownSubcommand(row),
            },
        }
    }
}

/// A name in any case as two numbers, so that comparing it is two comparisons. Setting bit 5 of a
/// byte lets the two cases of a letter coincide, and nothing else with a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NameKey {
    /// The first and the last eight bytes; they overlap in names shorter than sixteen.
    ends: [u64; 2],
    len: usize,
}

impl NameKey {
    const CASE: u64 = 0x2020_2020_2020_2020;

    #[inline]
    fn new(name: &[u8]) -> Self {
        let ends = match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => [u64::from_le_bytes(*first), u64::from_le_bytes(*last)],
            _ => [short_word(name), 0],
        };
        NameKey { ends: ends.map(|word| word | Self::CASE), len: name.len() }
    }

    #[inline]
    fn slot(&self) -> usize {
        let mixed = self.ends[0] ^ self.ends[1].rotate_left(29) ^ self.len as u64;
        (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - INDEX_SLOTS.ilog2())) as usize
    }

    /// Whether equal keys mean equal names: nothing but letters, none of them outside the key.
    fn is_exact(name: &[u8]) -> bool {
        name.len() <= 16 && name.iter().all(u8::is_ascii_alphabetic)
    }
}

/// Up to seven bytes, distinct for names of the same length.
#[inline]
fn short_word(name: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
    }
    name.iter().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Handler;

    #[test]
    fn finds_every_row_in_any_case_and_nothing_else() {
        for row in table().rows() {
            for name in [row.name.to_owned(), row.name.to_uppercase()] {
                let found = table().get(name.as_bytes()).expect("every row is in the index");
                assert_eq!(found.name, row.name);
            }
            assert!(table().get(format!("{}~", row.name).as_bytes()).is_none());
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
            if let Handler::Container = row.handler {
                assert!(!row.subcommands.is_empty(), "{}", row.name);
            }
            if let Handler::Keyed(..) = row.handler {
                assert!(!row.keys.is_empty(), "{} routes by its keys", row.name);
            }
        }
    }
}
