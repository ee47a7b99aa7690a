//! A client that waits for data at keys of one or several shards.

use std::sync::atomic::{AtomicU8, Ordering};

use super::{ConnId, RunAs, ShardId, TxnId, shard_of_key};
use crate::commands::{Flags, Handler, Row, Spread, Wait};
use crate::protocol::args::OwnedArgs;

/// The command of a waiting client, shared by the core of its connection and all shards where it
/// waits. Whoever would end the wait, be it with data, because the time is over or because the
/// client has gone, claims it first; so it ends once.
pub struct Waiter {
    pub id: TxnId,
    pub conn: ConnId,
    pub row: &'static Row,
    pub args: OwnedArgs,
    pub run_as: RunAs,
    state: AtomicU8,
}

/// Anybody may end the wait.
const WAITING: u8 = 0;
/// The core of the connection runs the command again; nobody else may end the wait meanwhile.
const TRYING: u8 = 1;
/// The wait is over, or was never to begin.
const ENDED: u8 = 2;

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
        run_as: RunAs,
    ) -> Waiter {
        Waiter { id, conn, row, args, run_as, state: AtomicU8::new(WAITING) }
    }

    /// At a shard, to serve it: whether it is the caller who ends the wait.
    pub fn claim(&self) -> bool {
        self.change(WAITING, ENDED)
    }

    /// At a shard that can't serve it alone: whether the core of the connection is to try.
    pub fn claim_to_try(&self) -> bool {
        self.change(WAITING, TRYING)
    }

    /// At the core of the connection, where attempts are: whether it was the caller who has ended
    /// the wait. An attempt under way then comes to nothing.
    pub fn end(&self) -> bool {
        self.state.swap(ENDED, Ordering::AcqRel) != ENDED
    }

    /// The attempt was in vain.
    pub fn wait_on(&self) {
        self.change(TRYING, WAITING);
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub fn wait(&self) -> Option<&'static Wait> {
        match self.row.handler {
            Handler::Keyed(_, Spread::Wait(wait)) => Some(wait),
            _ => None,
        }
    }

    /// Whether its client waits if nothing is there.
    pub fn may_wait(&self) -> bool {
        self.row.flags.contains(Flags::BLOCKING)
    }

    /// Where among the arguments the keys are at which it waits.
    pub fn positions(&self) -> impl Iterator<Item = usize> + use<> {
        self.row.awaited_positions(self.args.as_args())
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

/// What a shard keeps about a waiter at a key, if it is the only one there: the queue with its place
/// in it, the key once more, and their places in two tables.
const PER_KEY_BYTES: usize = 640;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{Lookup, table};
    use crate::protocol::reply::Encoding;

    fn waiter(words: &[&str]) -> Waiter {
        let args: OwnedArgs = words.iter().map(|word| word.as_bytes()).collect();
        let Lookup::Found(row) = table().lookup(words[0].as_bytes(), None) else {
            panic!("no such command: {words:?}")
        };
        let id = TxnId { coordinator: 0, number: 1 };
        let run_as = RunAs { db: 0, encoding: Encoding::Resp2, no_touch: false };
        Waiter::new(id, ConnId { index: 0, generation: 0 }, row, args, run_as)
    }

    #[test]
    fn it_waits_where_its_command_says() {
        let pops = waiter(&["blpop", "a", "b", "a", "0"]);
        assert_eq!(pops.positions().collect::<Vec<_>>(), [1, 2, 3]);
        let shards = pops.shards(64);
        assert_eq!(shards.len(), 2);
        for shard in shards {
            let found: Vec<usize> = pops.positions_of(shard, 64).collect();
            assert!(found == [1, 3] || found == [2], "{found:?}");
        }
        let moves = waiter(&["brpoplpush", "a", "b", "0"]);
        assert_eq!(moves.positions().collect::<Vec<_>>(), [1], "it does not wait at what it fills");
    }

    #[test]
    fn it_is_ended_once() {
        let fresh = || waiter(&["blpop", "a", "0"]);
        let served = fresh();
        assert!(served.claim() && !served.claim() && !served.claim_to_try() && !served.end());
        let given_up = fresh();
        assert!(given_up.end() && !given_up.end() && !given_up.claim());
        let tried = fresh();
        assert!(tried.claim_to_try() && !tried.claim() && !tried.claim_to_try());
        tried.wait_on();
        assert!(tried.claim_to_try() && tried.end());
        tried.wait_on();
        assert!(!tried.claim(), "the end of an attempt does not begin a wait again");
    }
}
