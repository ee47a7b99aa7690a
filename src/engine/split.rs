//! Commands that every shard can run with its own keys, such as MGET or MSET: taken apart, and their
//! replies put together.

use super::coordinate::{Kind, Share, Transaction};
use super::event::{Outbox, ShardId};
use super::merge::Merging;
use super::state::Core;
use crate::commands::{Merge, Row, reply_bytes_max};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::reply::{Reply, Values};
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
        if self.split_at_once(session, row, args, how) || self.start_pair(session, row, args, how) {
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
        let run_as = session.client.run_as().for_values();
        let share = |(piece, (args, mut locks)): (&Piece, (OwnedArgs, Vec<LockKey>))| {
            LockKey::merge(&mut locks);
            let work = Work::Run { row, args, run_as };
            Share { shard: piece.shard, locks, whole_shard: false, work }
        };
        let shares = pieces.iter().zip(parts).map(share).collect();
        let kind = Kind::Merge { merge: how, owners };
        self.begin(session, row, kind, shares, outbox);
    }

    /// How much of the command goes where, so that each part is allocated once; and which piece
    /// each key belongs to.
    fn pieces(&self, row: &Row, args: Args<'_>, step: usize) -> (Vec<Piece>, Vec<usize>) {
        let mut piece_of_shard = vec![None; self.site.shard_count];
        let mut pieces: Vec<Piece> = Vec::new();
        let mut owners = Vec::with_capacity(args.len() / step);
        for position in row.key_positions(args) {
            let shard = shard_of_key(args.at(position), self.site.shard_count);
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

    /// Merges what the parts of a command answered.
    pub fn merge_parts(&mut self, transaction: &mut Transaction) -> Vec<u8> {
        let mut out = Vec::new();
        let Kind::Merge { merge, owners } = &transaction.kind else { return out };
        let mut parts = Vec::with_capacity(transaction.results.len());
        for result in transaction.results.iter().flatten() {
            let PartResult::Reply(bytes) = result else { continue };
            parts.push(Values::new(bytes));
        }
        let mut reply = Reply::new(&mut out, transaction.run_as.encoding);
        self.merge_values(transaction.row, *merge, &parts, owners, &mut reply);
        out
    }

    /// Merges what all shards answered that had keys of a command.
    pub fn merge_values(
        &mut self,
        row: &'static Row,
        how: Merge,
        parts: &[Values<'_>],
        owners: &[usize],
        reply: &mut Reply<'_>,
    ) {
        let further_parts = parts.len().saturating_sub(1) as u64;
        self.stats.commands.of(row).further_parts += further_parts;
        let random = self.shards.home_mut().store_mut().next_random();
        let bytes_max = reply_bytes_max(&self.site.settings.config);
        self.write_merged(&Merging { how, owners, random, bytes_max }, parts, reply);
    }

    /// Merges what the two units answered that an EXEC was taken apart into, each of them within the
    /// bound of a reply.
    pub fn merge_unit_values(
        &mut self,
        parts: &[Values<'_>],
        owners: &[usize],
        reply: &mut Reply<'_>,
    ) {
        let merging = Merging { how: Merge::ByKey, owners, random: 0, bytes_max: usize::MAX };
        self.write_merged(&merging, parts, reply);
    }

    fn write_merged(&mut self, how: &Merging<'_>, parts: &[Values<'_>], reply: &mut Reply<'_>) {
        let start = reply.position();
        if let Err(error) = how.write(parts, reply) {
            self.stats.commands.count_error(&error);
            reply.truncate(start);
            reply.error_bytes(&error.message());
        }
    }
}
