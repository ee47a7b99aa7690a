//! Where an engine is: which core of the process, under which settings, at what time.

use std::sync::Arc;

use super::event::{Now, ShardId};
use super::shared::{Settings, Shared};
use crate::commands::keys;
use crate::protocol::Args;
use crate::txn::Planted;

/// What a core's work depends on, and hardly ever changes.
pub(super) struct Site {
    /// Of the core's own shard, and of how many.
    pub shard_id: ShardId,
    pub shard_count: usize,
    pub shared: Arc<Shared>,
    /// In force on this core.
    pub settings: Arc<Settings>,
    pub now: Now,
    pub planted: Planted,
}

impl Site {
    /// What `maxmemory` comes to; 0 for no limit.
    pub fn maxmemory_bytes(&self) -> u64 {
        self.settings.config.maxmemory.bytes(self.shared.memory_limit_bytes)
    }

    /// The shard that a cursor, the first argument, goes on at.
    pub fn cursor_shard(&self, args: Args<'_>) -> ShardId {
        keys::cursor_shard(args.at(1)).unwrap_or(0).min(self.shard_count - 1)
    }
}
