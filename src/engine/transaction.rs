//! Commands under way on several shards, at the core that coordinates them.

use std::sync::Arc;

use hashbrown::HashMap;

use super::every_core::AnyRound;
use super::hopping::{Attempt, Hopping};
use super::reply::ConnReply;
use crate::commands::{Merge, Row};
use crate::store::Watcher;
use crate::txn::{CommandList, PartResult, RunAs, ShardId, Waiter};

/// A command under way on several shards, kept by the core whose connection sent it.
#[derive(Debug)]
pub(super) struct Transaction {
    pub reply: ConnReply,
    pub row: &'static Row,
    pub run_as: RunAs,
    pub kind: Kind,
    /// The shards with a part, and whether it holds locks there until the release.
    pub parts: Vec<(ShardId, bool)>,
    /// By part.
    pub results: Vec<Option<PartResult>>,
    pub waiting: usize,
}

impl Transaction {
    /// A command none of whose parts has been sent.
    pub fn new(reply: ConnReply, row: &'static Row, run_as: RunAs, kind: Kind) -> Transaction {
        let (parts, results) = (Vec::new(), Vec::new());
        Transaction { reply, row, run_as, kind, parts, results, waiting: 0 }
    }

    /// Of a command whose client waits if it finds nothing.
    pub fn attempt(&self) -> Option<&Attempt> {
        match &self.kind {
            Kind::Hops(hopping) => hopping.attempt(),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The parts' replies are merged; `owners[i]` is the part of key `i`.
    Merge {
        merge: Merge,
        owners: Vec<usize>,
    },
    /// What is needed is looked at, or taken, and what changes goes with the releases.
    Hops(Box<Hopping>),
    /// Looks whether what a client wants is there, or else has it wait. `serving`: one shard has
    /// been told to serve it.
    Wait {
        waiter: Arc<Waiter>,
        serving: bool,
    },
    /// `fenced`: what was sent from core to core before is being waited for.
    EveryCore {
        round: Arc<dyn AnyRound>,
        fenced: bool,
    },
    /// There is one part, and its reply is the reply.
    Elsewhere,
    Watch {
        watcher: Watcher,
    },
    /// An EXEC whose commands run in parts; `owners[i]` is the part of command `i`. With watches,
    /// `then` is what each part runs when all have been found whole.
    Exec {
        owners: Vec<usize>,
        then: Vec<CommandList>,
    },
    /// The locks of an EXEC whose commands run in turn.
    Hold,
}

/// The commands over several shards that this core has begun and not ended.
#[derive(Debug, Default)]
pub(super) struct Coordinator {
    under_way: HashMap<u64, Transaction>,
    last_number: u64,
}

impl Coordinator {
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    pub fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub fn keep(&mut self, number: u64, transaction: Transaction) {
        self.under_way.insert(number, transaction);
    }

    pub fn get_mut(&mut self, number: u64) -> Option<&mut Transaction> {
        self.under_way.get_mut(&number)
    }

    pub fn take(&mut self, number: u64) -> Option<Transaction> {
        self.under_way.remove(&number)
    }
}
