//! Commands of which this shard runs one half and another shard the other, begun and under way.

use hashbrown::HashMap;

use super::reply::ConnReply;
use crate::commands::{Merge, Row};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::txn::{LockKey, LockMode, RunAs, ShardId, TxnId, Unit};

/// Pairs that have ended, kept with their buffers for the next ones.
const SPARES_MAX: usize = 64;
const SPARE_BYTES_MAX: usize = 8 * 1024;
/// The buffers that replies are put together in keep so much.
const KEPT_CAPACITY_MAX: usize = 64 * 1024;

/// A command of which another shard runs one half.
#[derive(Debug)]
pub(super) struct Pair {
    pub reply: ConnReply,
    pub txn: TxnId,
    pub row: &'static Row,
    pub merge: Merge,
    /// The client's; the halves answer in values.
    pub run_as: RunAs,
    pub other: ShardId,
    pub own_args: OwnedArgs,
    pub other_args: OwnedArgs,
    /// Of an EXEC, which has no arguments; the other half is on its way.
    pub units: Option<Units>,
    /// By key, or by command of an EXEC.
    pub owners: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct Units {
    pub own: Unit,
    pub other: Option<Box<Unit>>,
}

impl Pair {
    /// Bytes of the buffers, filled or not.
    pub fn memory(&self) -> usize {
        self.own_args.capacity_bytes()
            + self.other_args.capacity_bytes()
            + self.owners.capacity() * size_of::<usize>()
    }

    pub fn own_locks(&self) -> Vec<LockKey> {
        match &self.units {
            Some(units) => units.own.locks().collect(),
            None => locks_of(self.row, self.own_args.as_args()),
        }
    }
}

pub(super) fn locks_of(row: &'static Row, args: Args<'_>) -> Vec<LockKey> {
    let mode = LockMode::of(row);
    row.key_positions(args).map(|index| LockKey::new(args.at(index), mode)).collect()
}

#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "pairs move from list to list")]
pub(super) struct Pairs {
    /// Begun in this pass, nothing locked yet.
    pub begun: Vec<Box<Pair>>,
    /// Locked at the end of this pass, and not withdrawn yet.
    pub granted: Vec<ConnReply>,
    /// The messages with their halves, which lead this pass's `ordered`.
    pub messages: usize,
    /// By where their replies go, and so those of the other halves.
    pub under_way: HashMap<ConnReply, Box<Pair>>,
    spare: Vec<Box<Pair>>,
    spare_bytes: usize,
    /// Scratch.
    own_reply: Vec<u8>,
    reply: Vec<u8>,
}

impl Pairs {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty() && self.begun.is_empty()
    }

    /// Bytes kept for the next ones.
    pub fn memory(&self) -> usize {
        self.spare_bytes + self.own_reply.capacity() + self.reply.capacity()
    }

    /// Gives back what is kept for the next ones.
    pub fn trim(&mut self) {
        (self.spare, self.spare_bytes) = (Vec::new(), 0);
        (self.own_reply, self.reply) = (Vec::new(), Vec::new());
    }

    /// For the reply of an own half, and for the whole.
    pub fn take_buffers(&mut self) -> (Vec<u8>, Vec<u8>) {
        (std::mem::take(&mut self.own_reply), std::mem::take(&mut self.reply))
    }

    /// Keeps those for the next pair.
    pub fn keep_buffers(&mut self, own_reply: Vec<u8>, reply: Vec<u8>) {
        for (kept, mut used) in [(&mut self.own_reply, own_reply), (&mut self.reply, reply)] {
            used.clear();
            if used.capacity() <= KEPT_CAPACITY_MAX {
                *kept = used;
            }
        }
    }

    /// One that has been kept.
    pub fn take_spare(&mut self) -> Option<Box<Pair>> {
        let spare = self.spare.pop()?;
        self.spare_bytes -= spare.memory();
        Some(spare)
    }

    /// A pair is over: keeps it for the next one.
    pub fn keep(&mut self, mut pair: Box<Pair>) {
        let bytes = pair.memory();
        if self.spare.len() < SPARES_MAX && bytes <= SPARE_BYTES_MAX {
            pair.own_args.clear();
            pair.other_args.clear();
            pair.owners.clear();
            pair.units = None;
            self.spare_bytes += bytes;
            self.spare.push(pair);
        }
    }
}
