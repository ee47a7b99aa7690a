//! The numbers of types and of versions.

/// What the first byte of a payload says of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    String,
    /// Elements, one after the other.
    List,
    Set,
    /// Members with scores as text.
    SortedSetOfText,
    Hash,
    /// Members with scores as eight bytes.
    SortedSet,
    IntSet,
    HashListpack,
    SortedSetListpack,
    /// Nodes that are a packed run or a single element each.
    Quicklist,
    SetListpack,
    /// Fields each with a time, which is relative to the earliest.
    HashWithExpiries,
    /// Triplets of field, value and time.
    HashListpackEx,
    /// Fields each with a time, absolute: Valkey's.
    HashOfValkey,
}

const TYPES: [(u8, Type); 13] = [
    (0, Type::String),
    (1, Type::List),
    (2, Type::Set),
    (3, Type::SortedSetOfText),
    (4, Type::Hash),
    (5, Type::SortedSet),
    (11, Type::IntSet),
    (16, Type::HashListpack),
    (17, Type::SortedSetListpack),
    (18, Type::Quicklist),
    (20, Type::SetListpack),
    (24, Type::HashWithExpiries),
    (25, Type::HashListpackEx),
];

/// What a node of a quicklist is: one element, or a packed run.
pub const PLAIN_NODE: usize = 1;
pub const PACKED_NODE: usize = 2;

/// In Redis this number was another type's, before it was released.
const HASH_OF_VALKEY: u8 = 22;

/// Whose payload it is: the two lines of servers have numbered differently since they parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Redis,
    Valkey,
}

/// Redis 8's.
const REDIS_VERSION_MAX: u16 = 12;
/// Valkey 9's; what is between is kept free for Redis's.
const VALKEY_VERSION: u16 = 80;

impl Origin {
    /// `None` if the version is newer than what can be read.
    pub fn of_version(version: u16) -> Option<Origin> {
        match version {
            ..=REDIS_VERSION_MAX => Some(Origin::Redis),
            VALKEY_VERSION => Some(Origin::Valkey),
            _ => None,
        }
    }
}

impl Type {
    pub fn from_number(number: u8, origin: Origin) -> Option<Type> {
        if number == HASH_OF_VALKEY && origin == Origin::Valkey {
            return Some(Type::HashOfValkey);
        }
        TYPES.iter().find(|(known, _)| *known == number).map(|(_, kind)| *kind)
    }

    pub fn number(self) -> u8 {
        TYPES.iter().find(|(_, kind)| *kind == self).map_or(HASH_OF_VALKEY, |(number, _)| *number)
    }

    /// The lowest version that has the type: that of Redis 7.0, 7.2 or 7.4.
    pub fn version(self) -> u16 {
        match self {
            Type::HashWithExpiries | Type::HashListpackEx => 12,
            Type::SetListpack => 11,
            Type::HashOfValkey => VALKEY_VERSION,
            _ => 10,
        }
    }
}
