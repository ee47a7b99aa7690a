//! What one shard is to do for a command.

use crate::txn::{LockKey, ShardId, Work};

/// One shard's part of a command about to begin.
pub(super) struct PlannedPart {
    pub shard: ShardId,
    /// Each key once.
    pub locks: Vec<LockKey>,
    pub whole_shard: bool,
    pub work: Work,
}

impl PlannedPart {
    /// Without locks.
    pub fn new(shard: ShardId, work: Work) -> PlannedPart {
        PlannedPart { shard, locks: Vec::new(), whole_shard: false, work }
    }

    /// Under locks on these keys, each of which may come several times.
    pub fn locking(shard: ShardId, mut locks: Vec<LockKey>, work: Work) -> PlannedPart {
        LockKey::merge(&mut locks);
        PlannedPart { shard, locks, whole_shard: false, work }
    }
}
