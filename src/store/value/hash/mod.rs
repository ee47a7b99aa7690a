//! Hashes: fields with values, of which some may expire.
//!
//! A small one is a packed run ([`Fields`]), a large one a table ([`struct@Hash`]). In both, a field that
//! has expired is still there until somebody drops it, and never shown.

mod fields;
mod table;
#[cfg(test)]
mod tests;

pub use fields::{Fields, Layout, Place, edit};
pub use table::Hash;

use super::dict::Item;
use super::packed::Element;
use crate::store::UnixMs;

/// A field as it is read, whatever the form of its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub name: Element<'a>,
    pub value: Element<'a>,
    pub expiry: Option<UnixMs>,
}

impl Field<'_> {
    pub fn is_expired(&self, now: UnixMs) -> bool {
        self.expiry.is_some_and(|at| at <= now)
    }
}

impl<'a> From<Item<'a>> for Field<'a> {
    fn from(item: Item<'a>) -> Field<'a> {
        let (name, value) = (Element::Bytes(item.key), Element::Bytes(item.value));
        Field { name, value, expiry: item.expiry }
    }
}

/// What becomes of the expiry of a field that is given a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldExpiry {
    /// It has none from then on.
    Clear,
    Keep,
    At(UnixMs),
}

impl FieldExpiry {
    /// What is to be kept of `old`, or comes instead.
    pub fn resolve(self, old: Option<UnixMs>) -> Option<UnixMs> {
        match self {
            FieldExpiry::Clear => None,
            FieldExpiry::Keep => old,
            FieldExpiry::At(at) => Some(at),
        }
    }
}
