//! Which shard has to do what with a command that every shard runs with its own keys; told by its
//! arguments' places, without copying them.

use crate::commands::Row;
use crate::protocol::{Args, Span};
use crate::txn::{ShardId, shard_of_key};

/// The buffers below keep so much for the next command.
const KEPT_CAPACITY_MAX: usize = 64 * 1024;
const KEPT_SPANS_MAX: usize = 4 * 1024;

/// A command taken apart by the shards of its keys: scratch that is used again.
#[derive(Debug, Default)]
pub(super) struct KeyParts {
    /// The first so many are those of the command, the others empty.
    parts: Vec<KeyPart>,
    count: usize,
    /// By key: its part.
    owners: Vec<usize>,
    /// For the parts' replies, and where each ends.
    pub replies: Vec<u8>,
    pub ends: Vec<usize>,
}

/// What one shard has to do with a command.
#[derive(Debug, Default)]
pub(super) struct KeyPart {
    pub shard: ShardId,
    /// Of the command's bytes: its name, and the shard's keys with what belongs to them.
    spans: Vec<Span>,
}

impl KeyPart {
    /// Of the whole command's arguments, those of this part.
    #[inline]
    pub fn args<'a>(&'a self, whole: Args<'a>) -> Args<'a> {
        Args::new(whole.bytes(), &self.spans)
    }
}

impl KeyParts {
    /// Takes a command apart.
    pub fn deal(&mut self, row: &Row, args: Args<'_>, shard_count: usize) {
        let step = row.arguments_per_key();
        self.count = 0;
        self.owners.clear();
        for position in row.key_positions(args) {
            let shard = shard_of_key(args.at(position), shard_count);
            let known = self.parts[..self.count].iter().position(|part| part.shard == shard);
            let part = known.unwrap_or_else(|| self.add(shard, args.spans()));
            self.owners.push(part);
            let own = args.spans().get(position..position + step).unwrap_or(&[]);
            self.parts[part].spans.extend(own);
        }
    }

    /// One more part, with the command's name.
    fn add(&mut self, shard: ShardId, spans: &[Span]) -> usize {
        if self.count == self.parts.len() {
            self.parts.push(KeyPart::default());
        }
        let part = &mut self.parts[self.count];
        part.shard = shard;
        part.spans.clear();
        part.spans.extend(&spans[..1]);
        self.count += 1;
        self.count - 1
    }

    /// In the order of their first keys.
    #[inline]
    pub fn parts(&self) -> &[KeyPart] {
        &self.parts[..self.count]
    }

    /// By key: its part.
    #[inline]
    pub fn owners(&self) -> &[usize] {
        &self.owners
    }

    /// Bytes that are kept.
    pub fn memory(&self) -> usize {
        let spans: usize = self.parts.iter().map(|part| part.spans.capacity()).sum();
        spans * size_of::<Span>()
            + (self.owners.capacity() + self.ends.capacity()) * size_of::<usize>()
            + self.replies.capacity()
    }

    /// The command is over: keeps what is of use for another like most are.
    pub fn clear(&mut self) {
        self.count = 0;
        self.replies.clear();
        self.ends.clear();
        if self.replies.capacity() > KEPT_CAPACITY_MAX {
            self.replies = Vec::new();
        }
        if self.owners.capacity() > KEPT_SPANS_MAX {
            (self.owners, self.parts) = (Vec::new(), Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table;
    use crate::protocol::args::OwnedArgs;

    #[test]
    fn every_key_goes_to_its_shard_with_what_belongs_to_it() {
        let mut taken = KeyParts::default();
        // Used again, for more and for less.
        for keys in [3, 9, 1, 5] {
            let names: Vec<String> = (0..keys).map(|key| format!("key:{key}")).collect();
            let pairs = names.iter().flat_map(|name| [name.as_bytes(), b"value"]);
            let command: OwnedArgs = [&b"mset"[..]].into_iter().chain(pairs).collect();
            let args = command.as_args();
            let row = table().get(b"mset").expect("MSET");
            taken.deal(row, args, 4);
            assert_eq!(taken.owners().len(), keys);
            let mut dealt: Vec<_> = taken.parts().iter().map(|part| part.args(args)).collect();
            for (name, &owner) in names.iter().zip(taken.owners()) {
                assert_eq!(taken.parts()[owner].shard, shard_of_key(name.as_bytes(), 4));
                // Each part has its keys in their order, behind its name.
                let (next, part) = (&dealt[owner], taken.parts()[owner].args(args));
                assert_eq!(part.at(0), b"mset");
                assert_eq!((next.at(1), next.at(2)), (name.as_bytes(), &b"value"[..]));
                dealt[owner] = next.from(2);
            }
            assert!(dealt.iter().all(|left| left.len() == 1));
            taken.clear();
            assert!(taken.parts().is_empty());
        }
    }
}
