//! An entry outside of any database: on its way to another key, database or shard.

use super::entry::{CollectionRef, Encoding, EntryRef, Kind, StoredValue};
use super::value::{Collection, Content, Object, OwnedValue};
use super::{UnixMs, WrongType};

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

    /// A collection in one packed run, without an expiry.
    pub fn packed(key: &[u8], kind: Kind, encoding: Encoding, run: Box<[u8]>) -> Item {
        let value = OwnedValue { kind, encoding, content: Content::Bytes(run) };
        Item { key: key.into(), value, expiry: None }
    }

    /// A collection on the heap, without an expiry.
    pub fn object(key: &[u8], object: Object) -> Item {
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

    pub fn encoding(&self) -> Encoding {
        self.value.encoding
    }

    /// A value of this type of collection.
    pub fn collection<T: Collection>(&self) -> Result<CollectionRef<'_, T>, WrongType> {
        if self.kind() != T::KIND {
            return Err(WrongType);
        }
        match &self.value.content {
            Content::Bytes(run) => Ok(CollectionRef::Packed(run)),
            Content::Payload(run) => Ok(CollectionRef::Packed(run.as_slice())),
            Content::Object(object) => {
                T::of_object(object).map(CollectionRef::Object).ok_or(WrongType)
            }
        }
    }

    /// The value, if it is one of this type of collection.
    pub fn into_collection<T: Collection>(self) -> Option<OwnedCollection<T>> {
        let OwnedValue { kind, encoding, content } = self.value;
        let packed = |bytes| (kind == T::KIND).then_some(OwnedCollection::Packed(encoding, bytes));
        match content {
            Content::Bytes(run) => packed(run.into_vec()),
            Content::Payload(run) => packed(run.as_slice().to_vec()),
            Content::Object(object) => T::from_object(object).map(OwnedCollection::Object),
        }
    }

    pub fn expiry(&self) -> Option<UnixMs> {
        self.expiry
    }

    /// Bytes of the key and the value.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.bytes()
    }
}

/// A collection outside of any entry, to be changed.
pub enum OwnedCollection<T> {
    Packed(Encoding, Vec<u8>),
    Object(Box<T>),
}
