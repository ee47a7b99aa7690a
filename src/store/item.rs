//! An entry outside of any database: on its way to another key, database or shard.

use super::UnixMs;
use super::entry::{Encoding, EntryRef, StoredValue, Text};

/// An owned key and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    key: Box<[u8]>,
    text: Box<[u8]>,
    encoding: Encoding,
    expiry: Option<UnixMs>,
}

impl Item {
    pub fn string(key: &[u8], value: &[u8], encoding: Encoding, expiry: Option<UnixMs>) -> Item {
        Item { key: key.into(), text: value.into(), encoding, expiry }
    }

    pub fn copy_of(entry: EntryRef<'_>) -> Item {
        let text = match entry.as_string() {
            Ok(Text::Stored(bytes)) => bytes.into(),
            Ok(digits) => (*digits).into(),
            // There are no other kinds of values.
            Err(_) => Box::default(),
        };
        Item { key: entry.key().into(), text, encoding: entry.encoding(), expiry: entry.expiry() }
    }

    /// The same value and expiry under another key.
    #[must_use]
    pub fn with_key(self, key: &[u8]) -> Item {
        Item { key: key.into(), ..self }
    }

    pub fn key(&self) -> &[u8] {
        &self.key
    }

    pub fn expiry(&self) -> Option<UnixMs> {
        self.expiry
    }

    /// Bytes of the key and the value.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.text.len()
    }

    pub(super) fn stored_value(&self) -> StoredValue<'_> {
        StoredValue::new(&self.text, self.encoding)
    }
}
