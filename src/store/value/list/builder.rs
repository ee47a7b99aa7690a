//! A list that is made as a whole, in the form that it then has.

use super::super::packed::{self, Element, End, Full};
use super::{Limit, List};
use crate::store::{Collection, Encoding, Item, Kind};

/// Takes elements from front to back: into one run as long as the limit admits it, then into chunks.
#[derive(Debug)]
pub struct Builder {
    run: Vec<u8>,
    elements: usize,
    chunks: List,
    limit: Limit,
}

impl Builder {
    pub fn new(limit: Limit) -> Builder {
        Builder { run: packed::new().to_vec(), elements: 0, chunks: List::new(), limit }
    }

    pub fn push(&mut self, value: &[u8]) -> Result<(), Full> {
        self.elements += 1;
        if self.chunks.is_empty() {
            let bytes = self.run.len().saturating_add(value.len());
            if self.limit.admits(bytes, self.elements) {
                return packed::push(&mut self.run, End::Back, Element::from(value));
            }
            self.chunks = List::from_packed(&self.run);
        }
        self.chunks.push(End::Back, value, self.limit)
    }

    /// `None` if it has no elements: such a list is never stored.
    pub fn into_item(self, key: &[u8]) -> Option<Item> {
        if !self.chunks.is_empty() {
            return Some(Item::object(key, self.chunks.into_object()));
        }
        (self.elements > 0)
            .then(|| Item::packed(key, Kind::List, Encoding::Listpack, self.run.into()))
    }
}
