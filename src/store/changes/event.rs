//! What can happen to a key, by the names that Redis's notifications have for it.

/// The classes of `notify-keyspace-events` that a key's events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    Expired,
    Evicted,
    New,
}

/// Some of the classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u16);

macro_rules! events {
    ($($class:ident: $($variant:ident $name:literal),+;)+) => {
        /// What a change of a key is. A command that can change an entry names its event when it
        /// borrows the entry, and whoever listens hears of it once there is a change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Event {
            $($($variant,)+)+
        }

        impl Event {
            pub const ALL: &'static [Event] = &[$($(Event::$variant,)+)+];

            /// As `__keyevent@0__:` has it at its end.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Event::$variant => $name,)+)+
                }
            }

            pub const fn class(self) -> Class {
                match self {
                    $($(Event::$variant => Class::$class,)+)+
                }
            }
        }
    };
}

events! {
    Generic:
        Del "del", Expire "expire", Persist "persist",
        RenameFrom "rename_from", RenameTo "rename_to",
        MoveFrom "move_from", MoveTo "move_to", CopyTo "copy_to", Restore "restore";
    String:
        Set "set", Append "append", SetRange "setrange", IncrBy "incrby",
        IncrByFloat "incrbyfloat";
    List:
        LPush "lpush", RPush "rpush", LPop "lpop", RPop "rpop", LInsert "linsert", LSet "lset",
        LRem "lrem", LTrim "ltrim", SortStore "sortstore";
    Set:
        SAdd "sadd", SRem "srem", SPop "spop", SInterStore "sinterstore",
        SUnionStore "sunionstore", SDiffStore "sdiffstore";
    SortedSet:
        ZAdd "zadd", ZIncr "zincr", ZRem "zrem", ZRemByRank "zremrangebyrank",
        ZRemByScore "zremrangebyscore", ZRemByLex "zremrangebylex", ZPopMin "zpopmin",
        ZPopMax "zpopmax", ZRangeStore "zrangestore", ZInterStore "zinterstore",
        ZUnionStore "zunionstore", ZDiffStore "zdiffstore";
    Hash:
        HSet "hset", HIncrBy "hincrby", HIncrByFloat "hincrbyfloat", HDel "hdel",
        HExpire "hexpire", HPersist "hpersist", HExpired "hexpired";
    Expired: Expired "expired";
    Evicted: Evicted "evicted";
    New: New "new";
}

/// What one change of a key is told as: an event, and for some a second one, as SET with EX is told
/// as `set` and as `expire`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    first: Event,
    second: Option<Event>,
}

impl Class {
    /// The letter for it in `notify-keyspace-events`.
    pub const fn letter(self) -> char {
        match self {
            Class::Generic => 'g',
            Class::String => '$',
            Class::List => 'l',
            Class::Set => 's',
            Class::SortedSet => 'z',
            Class::Hash => 'h',
            Class::Expired => 'x',
            Class::Evicted => 'e',
            Class::New => 'n',
        }
    }
}

impl Classes {
    pub const NONE: Classes = Classes(0);
    pub const ALL: Classes = Classes(u16::MAX);

    #[must_use]
    pub const fn with(self, class: Class) -> Classes {
        Classes(self.0 | 1 << class as u8)
    }

    pub const fn contains(self, class: Class) -> bool {
        self.0 & 1 << class as u8 != 0
    }
}

impl Event {
    #[must_use]
    pub const fn and(self, second: Event) -> Events {
        Events { first: self, second: Some(second) }
    }

    /// The entry has gone without a client's asking.
    pub const fn is_departure(self) -> bool {
        matches!(self, Event::Expired | Event::Evicted)
    }
}

impl Events {
    pub const fn first(self) -> Event {
        self.first
    }

    pub fn iter(self) -> impl Iterator<Item = Event> {
        [Some(self.first), self.second].into_iter().flatten()
    }
}

impl From<Event> for Events {
    #[inline]
    fn from(first: Event) -> Events {
        Events { first, second: None }
    }
}
