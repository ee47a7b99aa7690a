//! A client that waits for data at keys of one or several shards.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{ConnId, ShardId, TxnId, shard_of_key};
use crate::commands::{Handler, Row, Spread, Wait};
use crate::protocol::args::OwnedArgs;
use crate::protocol::resp::Version;

/// The command of a waiting client, shared by the core of its connection and all shards where it
/// waits. Whoever would end the wait, be it with data, because the time is over or because the
/// client has gone, claims it first; so it ends once.
pub struct Waiter {
    pub id: TxnId,
    pub conn: ConnId,
    pub row: &'static Row,
    pub args: OwnedArgs,
    pub db: u8,
    pub version: Version,
    claimed: AtomicBool,
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TxnId { coordinator, number } = self.id;
        write!(f, "{coordinator}.{number} {:?}", self.args.as_args())
    }
}

impl Waiter {
    /// The row must be one with [`Spread::Wait`].
    pub fn new(
        id: TxnId,
        conn: ConnId,
        row: &'static Row,
        args: OwnedArgs,
        db: u8,
        version: Version,
    ) -> Waiter {
        Waiter { id, conn, row, args, db, version, claimed: AtomicBool::new(false) }
    }

    /// Whether it is the caller who may end the wait.
    pub fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    /// Whoever has claimed it could not end the wait.
    pub fn wait_on(&self) {
        self.claimed.store(false, Ordering::Release);
    }

    pub fn wait(&self) -> Option<&'static Wait> {
        match self.row.handler {
            Handler::Keyed(_, Spread::Wait(wait)) => Some(wait),
            _ => None,
        }
    }

    /// Where among the arguments the keys are at which it waits.
    pub fn positions(&self) -> impl Iterator<Item = usize> + use<> {
        self.row.awaited_positions(self.args.as_args().len())
    }

    /// Those of them that belong to a shard.
    pub fn positions_of(&self, shard: ShardId, shards: usize) -> impl Iterator<Item = usize> {
        let args = self.args.as_args();
        self.positions().filter(move |&at| shard_of_key(args.at(at), shards) == shard)
    }

    /// The shards where it waits, each once.
    pub fn shards(&self, shards: usize) -> Vec<ShardId> {
        let args = self.args.as_args();
        let mut all: Vec<ShardId> =
            self.positions().map(|at| shard_of_key(args.at(at), shards)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Bytes held while it waits, registered at each of its keys.
    pub fn size(&self) -> usize {
        let args = self.args.as_args();
        let keys = self.positions().map(|at| args.at(at).len() + PER_KEY_BYTES);
        size_of::<Waiter>() + self.args.size() + keys.sum::<usize>()
    }
}

/// What a shard keeps about a waiter at a key: its places in the queue and in the table of queues.
const PER_KEY_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{Lookup, table};

    fn waiter(words: &[&str]) -> Waiter {
        let args: OwnedArgs = words.iter().map(|word| word.as_bytes()).collect();
        let Lookup::Found(row) = table().lookup(b"debug", Some(words[1].as_bytes())) else {
            panic!("no such command: {words:?}")
        };
        let id = TxnId { coordinator: 0, number: 1 };
        Waiter::new(id, ConnId { index: 0, generation: 0 }, row, args, 0, Version::Resp2)
    }

    #[test]
    fn it_waits_where_its_command_says() {
        let pops = waiter(&["debug", "pop-byte", "a", "b", "a", "0"]);
        assert_eq!(pops.positions().collect::<Vec<_>>(), [2, 3, 4]);
        let shards = pops.shards(64);
        assert_eq!(shards.len(), 2);
        for shard in shards {
            let found: Vec<usize> = pops.positions_of(shard, 64).collect();
            assert!(found == [2, 4] || found == [3], "{found:?}");
        }
        let moves = waiter(&["debug", "move-byte", "a", "b", "0"]);
        assert_eq!(moves.positions().collect::<Vec<_>>(), [2], "it does not wait at what it fills");
    }

    #[test]
    fn it_is_claimed_once() {
        let waiter = waiter(&["debug", "pop-byte", "a", "0"]);
        assert!(waiter.claim() && !waiter.claim());
        waiter.wait_on();
        assert!(waiter.claim());
    }
}
