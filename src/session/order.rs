//! Which commands of a connection may be under way at once.

use crate::txn::ShardId;

/// Where the keys of a command are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It has one key, on this shard.
    OneKey(ShardId),
    /// It has several, all on this shard.
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
    pub fn only(reach: Reach) -> UnderWay {
        match reach {
            Reach::OneKey(shard) => UnderWay::OnOneShard { shard, fence: false },
            Reach::OneShard(shard) => UnderWay::OnOneShard { shard, fence: true },
            Reach::SeveralShards => UnderWay::Scattered,
        }
    }

    /// Whether a command may begin although these have no answer.
    #[inline]
    pub fn allows(self, next: Reach) -> bool {
        match (self, next) {
            (UnderWay::Scattered, Reach::OneKey(_)) => true,
            (UnderWay::Scattered, _) | (_, Reach::SeveralShards) => false,
            (UnderWay::OnOneShard { shard, fence }, Reach::OneKey(next)) => !fence || next == shard,
            (UnderWay::OnOneShard { shard, .. }, Reach::OneShard(next)) => next == shard,
        }
    }

    /// These and one more, which they allow.
    #[inline]
    pub fn and(self, next: Reach) -> UnderWay {
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
        let single = UnderWay::only(Reach::OneKey(1));
        assert!(single.allows(Reach::OneKey(2)) && single.allows(Reach::OneShard(1)));
        assert!(!single.allows(Reach::OneShard(2)) && !single.allows(Reach::SeveralShards));
        let scattered = single.and(Reach::OneKey(2));
        assert_eq!(scattered, UnderWay::Scattered);
        assert!(scattered.allows(Reach::OneKey(3)));
        assert!(!scattered.allows(Reach::OneShard(1)) && !scattered.allows(Reach::SeveralShards));
        let fence = single.and(Reach::OneShard(1)).and(Reach::OneKey(1));
        assert!(fence.allows(Reach::OneKey(1)) && fence.allows(Reach::OneShard(1)));
        assert!(!fence.allows(Reach::OneKey(2)) && !fence.allows(Reach::OneShard(2)));
        assert!(!fence.allows(Reach::SeveralShards));
    }
}
