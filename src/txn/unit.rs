//! Commands of a MULTI block: queued one by one, run as one.

use crate::commands::Row;
use crate::protocol::args::OwnedArgs;
use crate::protocol::{Args, Span};
use crate::store::Watcher;

use super::{LockKey, LockMode, RunAs};

/// Commands in order, with their own copy of their arguments in one buffer.
#[derive(Clone, Default)]
pub struct CommandList {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    commands: Vec<Listed>,
}

#[derive(Clone, Copy, Debug)]
struct Listed {
    row: &'static Row,
    /// Where its arguments end among the spans; they begin where those before it end.
    end_span: usize,
}

impl std::fmt::Debug for CommandList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|(_, args)| args)).finish()
    }
}

impl CommandList {
    /// Appends a command. Whoever does so keeps [`CommandList::size`] below 4 GiB, see
    /// [`CommandList::size_of`].
    pub fn push(&mut self, row: &'static Row, args: Args<'_>) {
        for argument in args.iter() {
            let start = self.bytes.len() as u32;
            self.spans.push(Span { start, len: argument.len() as u32 });
            self.bytes.extend_from_slice(argument);
        }
        self.commands.push(Listed { row, end_span: self.spans.len() });
    }

    pub fn len(&self) -> usize {
        self.commands.len()
    }

    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub fn get(&self, index: usize) -> Option<(&'static Row, Args<'_>)> {
        let listed = self.commands.get(index)?;
        let before = index.checked_sub(1).and_then(|before| self.commands.get(before));
        let first_span = before.map_or(0, |before| before.end_span);
        Some((listed.row, Args::new(&self.bytes, &self.spans[first_span..listed.end_span])))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static Row, Args<'_>)> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Bytes that the commands hold.
    pub fn size(&self) -> usize {
        self.bytes.len()
            + self.spans.len() * size_of::<Span>()
            + self.commands.len() * size_of::<Listed>()
    }

    /// Bytes that a command would hold.
    pub fn size_of(args: Args<'_>) -> usize {
        let bytes: usize = args.iter().map(<[u8]>::len).sum();
        bytes + args.len() * size_of::<Span>() + size_of::<Listed>()
    }

    /// All keys, each with the mode that its command wants; a key may come several times.
    pub fn locks(&self) -> impl Iterator<Item = LockKey> {
        self.iter().flat_map(|(row, args)| {
            let mode = LockMode::of(row);
            row.key_positions(args).map(move |index| LockKey::new(args.at(index), mode))
        })
    }
}

/// What an EXEC watches at one shard.
#[derive(Debug)]
pub struct Watched {
    pub watcher: Watcher,
    /// In whichever databases.
    pub keys: Vec<Box<[u8]>>,
}

/// Commands that one shard runs as one, nothing else between them.
#[derive(Debug)]
pub struct Unit {
    pub commands: CommandList,
    pub run_as: RunAs,
    /// If any of these has changed, nothing is run.
    pub watched: Option<Watched>,
}

impl Unit {
    /// All keys, those watched included; a key may come several times.
    pub fn locks(&self) -> impl Iterator<Item = LockKey> {
        let watched = self.watched.iter().flat_map(|watched| &watched.keys);
        self.commands.locks().chain(watched.map(|key| LockKey::new(key, LockMode::Shared)))
    }

    /// Bytes that the unit holds.
    pub fn size(&self) -> usize {
        let watched = self.watched.iter().flat_map(|watched| &watched.keys);
        self.commands.size() + watched.map(|key| key.len() + size_of::<Box<[u8]>>()).sum::<usize>()
    }
}

/// What waits for locks at its shard without having any.
#[derive(Debug)]
pub enum OwnedWork {
    Command(OwnedArgs),
    Unit(Box<Unit>),
}

impl OwnedWork {
    /// The keys it wants, each once, in the strongest mode.
    pub fn locks(&self, row: &Row) -> Vec<LockKey> {
        let mut locks: Vec<LockKey> = match self {
            OwnedWork::Command(args) => {
                let args = args.as_args();
                let positions = row.key_positions(args);
                positions.map(|index| LockKey::new(args.at(index), LockMode::of(row))).collect()
            }
            OwnedWork::Unit(unit) => unit.locks().collect(),
        };
        LockKey::merge(&mut locks);
        locks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table;
    use crate::protocol::reply::Encoding;

    fn list(lines: &[&str]) -> CommandList {
        let mut list = CommandList::default();
        for line in lines {
            let args: OwnedArgs = line.split(' ').map(str::as_bytes).collect();
            let row = table().get(args.as_args().at(0)).expect("a command");
            let before = list.size();
            list.push(row, args.as_args());
            assert_eq!(list.size() - before, CommandList::size_of(args.as_args()));
        }
        list
    }

    #[test]
    fn commands_come_back_as_they_were() {
        let list = list(&["SET a 1", "PING", "MGET a b"]);
        let shown: Vec<String> =
            list.iter().map(|(row, args)| format!("{} {args:?}", row.name)).collect();
        assert_eq!(
            shown,
            [r#"set ["SET", "a", "1"]"#, r#"ping ["PING"]"#, r#"mget ["MGET", "a", "b"]"#]
        );
        assert!(list.get(3).is_none() && list.len() == 3 && !list.is_empty());
    }

    #[test]
    fn a_unit_locks_each_key_once_in_the_strongest_mode() {
        let watcher = Watcher { core: 0, number: 0 };
        let keys = vec![b"w"[..].into(), b"a"[..].into()];
        let unit = Unit {
            commands: list(&["GET a", "SET a 1", "GET b", "GET a"]),
            run_as: RunAs { db: 0, encoding: Encoding::Resp2, no_touch: false },
            watched: Some(Watched { watcher, keys }),
        };
        let exec = table().get(b"exec").expect("EXEC");
        let locks = OwnedWork::Unit(Box::new(unit)).locks(exec);
        assert_eq!(locks.len(), 3);
        for (key, mode) in
            [(b"a", LockMode::Exclusive), (b"b", LockMode::Shared), (b"w", LockMode::Shared)]
        {
            assert!(locks.contains(&LockKey::new(key, mode)), "{key:?}: {locks:?}");
        }
    }
}
