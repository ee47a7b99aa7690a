//! Which commands of a connection may be under way at once.

use crate::txn::ShardId;

/// Where the keys of a command, or of an EXEC, are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A command with one key, on this shard.
    OneKey(ShardId),
    /// All on this shard, as far as more than one command with one key is concerned.
    OneShard(ShardId),
    SeveralShards,
}

/// Where the commands of a connection are that have no answer yet; without meaning while there are
/// none.
///
/// Commands on one key each go wherever they lead. One on several keys is a fence: whatever the
/// client sent before it has been executed when it begins, and nothing that comes behind it begins
/// before it has been executed. Both are certain without waiting for answers only where all of them
/// go to one shard: what one core sends there arrives in order, and if some of it has to wait for
/// locks, [`crate::txn::Locks`] keeps the connection's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnderWay {
    /// Commands on one key each, on several shards.
    Scattered,
    /// All on this shard; `fence`: at least one is on several keys.
    OnOneShard { shard: ShardId, fence: bool },
}

impl UnderWay {
    /// The first command under way.
    pub fn only(destination: Destination) -> UnderWay {
        match destination {
            Destination::OneKey(shard) => UnderWay::OnOneShard { shard, fence: false },
            Destination::OneShard(shard) => UnderWay::OnOneShard { shard, fence: true },
            Destination::SeveralShards => UnderWay::Scattered,
        }
    }

    /// Whether a command may begin although these have no answer.
    #[inline]
    pub fn allows(self, next: Destination) -> bool {
        match (self, next) {
            (UnderWay::Scattered, Destination::OneKey(_)) => true,
            (UnderWay::Scattered, _) | (_, Destination::SeveralShards) => false,
            (UnderWay::OnOneShard { shard, fence }, Destination::OneKey(next)) => {
                !fence || next == shard
            }
            (UnderWay::OnOneShard { shard, .. }, Destination::OneShard(next)) => next == shard,
        }
    }

    /// These and one more, which they allow.
    #[inline]
    pub fn and(self, next: Destination) -> UnderWay {
        debug_assert!(self.allows(next), "{next:?} while {self:?}");
        match (self, UnderWay::only(next)) {
            (
                UnderWay::OnOneShard { shard, fence },
                UnderWay::OnOneShard { shard: next, fence: also },
            ) if shard == next => UnderWay::OnOneShard { shard, fence: fence || also },
            _ => UnderWay::Scattered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_shard_keeps_the_order_around_several_keys() {
        let single = UnderWay::only(Destination::OneKey(1));
        assert!(single.allows(Destination::OneKey(2)) && single.allows(Destination::OneShard(1)));
        assert!(
            !single.allows(Destination::OneShard(2)) && !single.allows(Destination::SeveralShards)
        );
        let scattered = single.and(Destination::OneKey(2));
        assert_eq!(scattered, UnderWay::Scattered);
        assert!(scattered.allows(Destination::OneKey(3)));
        assert!(
            !scattered.allows(Destination::OneShard(1))
                && !scattered.allows(Destination::SeveralShards)
        );
        let fence = single.and(Destination::OneShard(1)).and(Destination::OneKey(1));
        assert!(fence.allows(Destination::OneKey(1)) && fence.allows(Destination::OneShard(1)));
        assert!(!fence.allows(Destination::OneKey(2)) && !fence.allows(Destination::OneShard(2)));
        assert!(!fence.allows(Destination::SeveralShards));
    }
}
