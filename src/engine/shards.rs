//! The shards that this core owns: one, which lives and dies with it.
//!
//! Whoever runs a command on a key asks for the shard by its id, so that a core could own others.

use super::event::{Now, ShardId};
use crate::shard::{Shard, ShardSetup};

pub(super) struct Shards {
    id: ShardId,
    own: Box<Shard>,
}

impl Shards {
    pub fn new(setup: ShardSetup) -> Shards {
        Shards { id: setup.id, own: Box::new(Shard::new(setup)) }
    }

    #[inline]
    pub fn owns(&self, id: ShardId) -> bool {
        id == self.id
    }

    /// The shard of this id, which must be one that this core owns.
    #[inline]
    pub fn own(&mut self, id: ShardId) -> &mut Shard {
        debug_assert_eq!(id, self.id, "somebody else owns this shard");
        &mut self.own
    }

    /// The shard for what needs any: commands without a key.
    #[inline]
    pub fn home(&self) -> &Shard {
        &self.own
    }

    #[inline]
    pub fn home_mut(&mut self) -> &mut Shard {
        &mut self.own
    }

    #[inline]
    pub fn set_now(&mut self, now: Now) {
        self.own.set_now(now.unix_ms);
    }
}
