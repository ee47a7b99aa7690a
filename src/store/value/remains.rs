//! What is left of values that are gone, on its way back to the system or the allocator.

use super::{Object, list};
use crate::store::large::{Payload, Unmapping};

/// Memory that takes so long to free that it goes in slices. Dropping it frees the rest at once.
#[derive(Debug)]
pub enum Remains {
    Mapping(Unmapping),
    Object(Object),
    /// Chunks of a list that lives on.
    List(list::Remains),
}

impl From<list::Remains> for Remains {
    fn from(chunks: list::Remains) -> Remains {
        Remains::List(chunks)
    }
}

impl Remains {
    /// What one slice frees of a mapping, and about how many allocations of a collection: well
    /// below a millisecond.
    const SLICE_BYTES: usize = 1 << 20;
    const SLICE_PIECES: usize = 1024;

    /// Frees a payload at once if that is quick.
    pub fn of_payload(payload: Payload) -> Option<Remains> {
        Unmapping::of(payload).map(Remains::Mapping)
    }

    /// Frees an object at once if that is quick.
    pub fn of_object(object: Object) -> Option<Remains> {
        object.takes_long_to_free().then_some(Remains::Object(object))
    }

    /// Whether what is left is more than is freed at once.
    pub fn takes_long_to_free(&self) -> bool {
        self.bytes() > Object::FREED_AT_ONCE_BYTES_MAX
    }

    pub fn bytes(&self) -> usize {
        match self {
            Remains::Mapping(mapping) => mapping.bytes(),
            Remains::Object(object) => object.heap_bytes(),
            Remains::List(chunks) => chunks.heap_bytes(),
        }
    }

    /// Of [`Remains::bytes`], what is in mappings of its own.
    pub fn mapped_bytes(&self) -> usize {
        match self {
            Remains::Mapping(mapping) => mapping.bytes(),
            Remains::Object(_) | Remains::List(_) => 0,
        }
    }

    /// Frees one slice; true while there is more.
    pub fn free_slice(&mut self) -> bool {
        match self {
            Remains::Mapping(mapping) => mapping.free_slice(Self::SLICE_BYTES),
            Remains::Object(object) => object.free_slice(Self::SLICE_PIECES),
            Remains::List(chunks) => chunks.free_slice(Self::SLICE_PIECES),
        }
    }
}
