//! An entry outside of any database: on its way to another key, database or shard.

use super::UnixMs;
use super::entry::{Encoding, EntryRef, Kind, StoredValue};
use super::value::{Collection, Content, OwnedValue};

/// An owned key, value and expiry. A value that does not lie in a block is carried as a pointer: a
/// move copies none of its bytes.
///
/// Dropping one frees its value at once, however long that takes; see
/// [`Shard::discard`](super::Shard::discard).
#[derive(Clone, Debug)]
pub struct Item {
    pub(super) key: Box<[u8]>,
    pub(super) value: OwnedValue,
    pub(super) expiry: Option<UnixMs>,
}

impl Item {
    pub fn string(key: &[u8], value: &[u8], encoding: Encoding, expiry: Option<UnixMs>) -> Item {
        let stored = StoredValue::new(value, encoding);
        let content = Content::Bytes(stored.bytes().into());
        let value = OwnedValue { kind: Kind::String, encoding: stored.encoding(), content };
        Item { key: key.into(), value, expiry }
    }

    /// A collection in one packed run of bytes, which is sound.
    pub fn packed(key: &[u8], kind: Kind, encoding: Encoding, run: Vec<u8>) -> Item {
        let value = OwnedValue { kind, encoding, content: Content::Bytes(run.into()) };
        Item { key: key.into(), value, expiry: None }
    }

    /// A collection on the heap.
    pub fn object(key: &[u8], collection: impl Collection) -> Item {
        let object = collection.into_object();
        let (kind, encoding) = (object.kind(), object.encoding());
        let value = OwnedValue { kind, encoding, content: Content::Object(object) };
        Item { key: key.into(), value, expiry: None }
    }

    #[must_use]
    pub fn with_expiry(self, expiry: Option<UnixMs>) -> Item {
        Item { expiry, ..self }
    }

    /// As large as the entry: of a payload or an object every byte is copied.
    pub fn copy_of(entry: EntryRef<'_>) -> Item {
        Item { key: entry.key().into(), value: entry.owned_value(), expiry: entry.expiry() }
    }

    /// The same value and expiry under another key.
    #[must_use]
    pub fn with_key(self, key: &[u8]) -> Item {
        Item { key: key.into(), ..self }
    }

    pub fn key(&self) -> &[u8] {
        &self.key
    }

    pub fn kind(&self) -> Kind {
        self.value.kind
    }

    pub fn expiry(&self) -> Option<UnixMs> {
        self.expiry
    }

    /// Bytes of the key and the value.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.bytes()
    }
}
