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
