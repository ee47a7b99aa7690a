//! Commands that every shard can run with its own keys, such as MGET or MSET: taken apart, and their
//! replies put together.

use super::coordinate::{Kind, Share, Transaction};
use super::core::Core;
use super::event::{Outbox, ShardId};
use super::merge::merge;
use crate::commands::{CommandError, Merge, Row, reply_bytes_max};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::resp::{Reply, Version};
use crate::session::Session;
use crate::txn::{LockKey, LockMode, PartResult, Work, shard_of_key};

/// What one shard is to be sent of a command.
struct Piece {
    shard: ShardId,
    keys: usize,
    /// Of the keys and of what belongs to them.
    bytes: usize,
}

impl Core {
    /// Sends every shard the command with its own keys and what belongs to them.
    pub fn start_split(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        args: Args<'_>,
        how: Merge,
        outbox: &mut Outbox,
    ) {
        if self.start_pair(session, row, args, how) {
            return;
        }
        let step = row.arguments_per_key();
        let (pieces, owners) = self.pieces(row, args, step);
        let command = args.at(0);
        let empty = |piece: &Piece| {
            let arguments = 1 + piece.keys * step;
            let mut own = OwnedArgs::with_capacity(arguments, command.len() + piece.bytes);
            own.push(command);
            (own, Vec::with_capacity(piece.keys))
        };
        let mut parts: Vec<(OwnedArgs, Vec<LockKey>)> = pieces.iter().map(empty).collect();
        let mode = LockMode::of(row);
        for (position, &part) in row.key_positions(args).zip(&owners) {
            let (own, locks) = &mut parts[part];
            locks.push(LockKey::new(args.at(position), mode));
            args.from(position).iter().take(step).for_each(|argument| own.push(argument));
        }
        let run_as = session.client.run_as();
        let share = |(piece, (args, mut locks)): (&Piece, (OwnedArgs, Vec<LockKey>))| {
            LockKey::merge(&mut locks);
            let work = Work::Run { row, args, run_as };
            Share { shard: piece.shard, locks, whole_shard: false, work }
        };
        let shares = pieces.iter().zip(parts).map(share).collect();
        let kind = Kind::Merge { merge: how, owners };
        self.begin(session, row, OwnedArgs::default(), kind, shares, outbox);
    }

    /// How much of the command goes where, so that each part is allocated once; and which piece
    /// each key belongs to.
    fn pieces(&self, row: &Row, args: Args<'_>, step: usize) -> (Vec<Piece>, Vec<usize>) {
        let mut piece_of_shard = vec![None; self.shard_count];
        let mut pieces: Vec<Piece> = Vec::new();
        let mut owners = Vec::with_capacity(args.len() / step);
        for position in row.key_positions(args) {
            let shard = shard_of_key(args.at(position), self.shard_count);
            let index = *piece_of_shard[shard].get_or_insert_with(|| {
                pieces.push(Piece { shard, keys: 0, bytes: 0 });
                pieces.len() - 1
            });
            owners.push(index);
            let piece = &mut pieces[index];
            piece.keys += 1;
            piece.bytes += args.from(position).iter().take(step).map(<[u8]>::len).sum::<usize>();
        }
        (pieces, owners)
    }

    /// Merges the replies of a command that ran in parts.
    pub fn merge_parts(&mut self, transaction: &mut Transaction) -> Vec<u8> {
        let mut out = Vec::new();
        let version = transaction.run_as.version;
        let Kind::Merge { merge: how, owners } = &transaction.kind else { return out };
        let mut replies = Vec::with_capacity(transaction.results.len());
        for result in transaction.results.iter_mut() {
            let Some(PartResult::Reply(reply)) = result.take() else { continue };
            replies.push(reply);
        }
        let replies: Vec<&[u8]> = replies.iter().map(Vec::as_slice).collect();
        self.merge_replies(transaction.row, *how, &replies, owners, version, &mut out);
        out
    }

    /// Merges the replies of all shards that had keys of a command into `out`, which is empty.
    pub fn merge_replies(
        &mut self,
        row: &'static Row,
        how: Merge,
        replies: &[&[u8]],
        owners: &[usize],
        version: Version,
        out: &mut Vec<u8>,
    ) {
        let further_parts = replies.len().saturating_sub(1) as u64;
        self.stats.by_command[row.id].further_parts += further_parts;
        // Only here are the values of several shards together.
        let bytes: usize = replies.iter().map(|reply| reply.len()).sum();
        if how == Merge::ByKey && bytes > reply_bytes_max(&self.settings.config) {
            let error = CommandError::ReplyTooLong;
            self.count_error(&error);
            return Reply::new(out, version).error_bytes(&error.message());
        }
        let random = self.shard.next_random();
        // The lengths of the parts' arrays make up for that of the whole's.
        out.reserve_exact(bytes + 16);
        merge(how, replies, owners, random, &mut Reply::new(out, version));
    }
}
