//! Which shard has to do what with a command that every shard runs with its own keys; told by its
//! arguments' places, without copying them.

use super::event::ShardId;
use crate::commands::Row;
use crate::protocol::{Args, Span};
use crate::txn::shard_of_key;

/// The buffers below keep so much for the next command.
const KEPT_CAPACITY_MAX: usize = 64 * 1024;
const KEPT_SPANS_MAX: usize = 4 * 1024;

/// Scratch for commands that every shard runs with its own keys.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// The first ones are those of the command, the others empty.
    pub pieces: Vec<Piece>,
    /// By key: its piece.
    pub owners: Vec<usize>,
    pub replies: Vec<u8>,
}

/// What one shard has to do with a command.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub shard: ShardId,
    /// Of the command's bytes: its name, and the shard's keys with what belongs to them.
    pub spans: Vec<Span>,
    /// Where its reply ends.
    pub end: usize,
}

impl Pieces {
    /// Which argument goes where; returns to how many shards, or 0 if one of them is not here.
    pub fn share_out(
        &mut self,
        row: &Row,
        args: Args<'_>,
        shard_count: usize,
        is_here: impl Fn(ShardId) -> bool,
    ) -> usize {
        let step = row.arguments_per_key();
        let mut count = 0;
        self.owners.clear();
        for position in row.key_positions(args) {
            let shard = shard_of_key(args.at(position), shard_count);
            let known = self.pieces[..count].iter().position(|piece| piece.shard == shard);
            let index = match known {
                Some(index) => index,
                None if !is_here(shard) => return 0,
                None => {
                    if count == self.pieces.len() {
                        self.pieces.push(Piece::default());
                    }
                    let piece = &mut self.pieces[count];
                    piece.shard = shard;
                    piece.spans.clear();
                    piece.spans.extend(&args.spans()[..1]);
                    count += 1;
                    count - 1
                }
            };
            self.owners.push(index);
            let own = args.spans().get(position..position + step).unwrap_or(&[]);
            self.pieces[index].spans.extend(own);
        }
        count
    }

    /// Bytes that are kept.
    pub fn memory(&self) -> usize {
        let spans: usize = self.pieces.iter().map(|piece| piece.spans.capacity()).sum();
        spans * size_of::<Span>()
            + self.owners.capacity() * size_of::<usize>()
            + self.replies.capacity()
    }

    /// The command is over: keeps what is of use for another like most are.
    pub fn clear(&mut self) {
        self.replies.clear();
        if self.replies.capacity() > KEPT_CAPACITY_MAX {
            self.replies = Vec::new();
        }
        if self.owners.capacity() > KEPT_SPANS_MAX {
            (self.owners, self.pieces) = (Vec::new(), Vec::new());
        }
    }
}
