//! What one shard is to do for a command.

use crate::txn::{LockKey, ShardId, Work};

/// One shard's share of a command about to begin.
pub(super) struct Share {
    pub shard: ShardId,
    /// Each key once.
    pub locks: Vec<LockKey>,
    pub whole_shard: bool,
    pub work: Work,
}

impl Share {
    /// Work under a lock on the whole shard.
    pub fn of_whole(shard: ShardId, work: Work) -> Share {
        Share { shard, locks: Vec::new(), whole_shard: true, work }
    }
}
