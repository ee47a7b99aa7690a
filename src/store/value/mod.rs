//! Values: what a key holds, apart from the entry that holds it.
//!
//! A value has one of three forms, which its entry's header tells:
//!
//! | form | where | what for |
//! |---|---|---|
//! | inline | in the entry's block | strings and packed collections of up to about 8 KB |
//! | payload | an allocation of its own (`Payload`) | longer ones |
//! | object | on the heap, behind a pointer ([`Object`]) | collections that have grown out of one packed run |
//!
//! The key stays in the block whatever the form, so a value changes its form, its key, its database
//! or its shard by a move of its pointer.
//!
//! # Another kind of collection
//!
//! It takes a variant of [`Kind`], its names in [`Encoding`], and a line of `collections!`.

pub mod dict;
pub mod hash;
pub mod intset;
pub mod list;
pub mod packed;
mod remains;
mod set;
pub mod sorted_set;

pub use dict::Dict;
pub use hash::Hash;
pub use list::List;
pub use packed::{Buffer, End};
pub(super) use remains::Remains;
pub use set::Set;
pub use sorted_set::SortedSet;

use super::UnixMs;
use super::entry::{Encoding, Kind};
use super::large::Payload;
use super::memory::good_size;
use hash::{Fields, Layout};

/// A type of collection that an entry keeps behind a pointer.
///
/// # Safety
/// `Object::into_bits` of an object of kind `KIND` is the address of a `Box<Self>`.
pub unsafe trait Collection: Sized + Send + 'static {
    const KIND: Kind;

    fn is_empty(&self) -> bool;

    fn into_object(self) -> Object;

    /// The object, if it is one of this type.
    fn of_object(object: &Object) -> Option<&Self>;

    fn from_object(object: Object) -> Option<Box<Self>>;
}

/// Every type of collection: its kind, and the encoding that OBJECT ENCODING tells of an object of it.
macro_rules! collections {
    ($($kind:ident $type:ident $encoding:ident;)+) => {
        /// A collection on the heap, of any kind. It knows what it holds without being walked.
        #[derive(Clone, Debug)]
        pub enum Object {
            $($kind(Box<$type>),)+
        }

        /// An object that stays where it is.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum ObjectRef<'a> {
            $($kind(&'a $type),)+
        }

        $(
            // SAFETY: the variant of this kind holds a box of this type.
            unsafe impl Collection for $type {
                const KIND: Kind = Kind::$kind;

                fn is_empty(&self) -> bool {
                    $type::is_empty(self)
                }

                fn into_object(self) -> Object {
                    Object::$kind(Box::new(self))
                }

                fn of_object(object: &Object) -> Option<&Self> {
                    match object {
                        Object::$kind(object) => Some(object),
                        _ => None,
                    }
                }

                fn from_object(object: Object) -> Option<Box<Self>> {
                    match object {
                        Object::$kind(object) => Some(object),
                        _ => None,
                    }
                }
            }
        )+

        impl Object {
            pub fn kind(&self) -> Kind {
                match self {
                    $(Object::$kind(_) => Kind::$kind,)+
                }
            }

            pub fn encoding(&self) -> Encoding {
                match self {
                    $(Object::$kind(_) => Encoding::$encoding,)+
                }
            }

            fn as_ref(&self) -> ObjectRef<'_> {
                match self {
                    $(Object::$kind(object) => ObjectRef::$kind(object),)+
                }
            }

            /// Frees some of what it holds, about `budget` allocations; true while there is more.
            pub(super) fn free_slice(&mut self, budget: usize) -> bool {
                match self {
                    $(Object::$kind(object) => object.free_slice(budget),)+
                }
            }

            /// Gives the address away; [`Object::from_bits`] takes it back.
            pub(super) fn into_bits(self) -> u64 {
                let address = match self {
                    $(Object::$kind(object) => Box::into_raw(object).expose_provenance(),)+
                };
                address as u64
            }

            /// # Safety
            /// `bits` come from [`Object::into_bits`] of an object of this kind, and nobody else
            /// makes an object of them.
            pub(super) unsafe fn from_bits(kind: Kind, bits: u64) -> Object {
                let address = bits as usize;
                match kind {
                    $(
                        // SAFETY: the caller's.
                        Kind::$kind => Object::$kind(unsafe {
                            Box::from_raw(std::ptr::with_exposed_provenance_mut(address))
                        }),
                    )+
                    kind => unreachable!("no {} is ever an object", kind.name()),
                }
            }
        }

        impl ObjectRef<'_> {
            /// # Safety
            /// `bits` are those of an object of this kind, which lives for so long and does not
            /// change.
            pub unsafe fn from_bits(kind: Kind, bits: u64) -> Self {
                let address = bits as usize;
                match kind {
                    $(
                        // SAFETY: the caller's.
                        Kind::$kind => ObjectRef::$kind(unsafe {
                            &*std::ptr::with_exposed_provenance(address)
                        }),
                    )+
                    kind => unreachable!("no {} is ever an object", kind.name()),
                }
            }

            pub fn heap_bytes(self) -> usize {
                match self {
                    $(
                        ObjectRef::$kind(object) => {
                            good_size(size_of::<$type>()) + object.heap_bytes()
                        }
                    )+
                }
            }

            pub fn to_object(self) -> Object {
                match self {
                    $(ObjectRef::$kind(object) => object.clone().into_object(),)+
                }
            }
        }
    };
}

collections! {
    List List Quicklist;
    Hash Hash HashTable;
    Set Set HashTable;
    SortedSet SortedSet SkipList;
}

impl Object {
    /// Above this a collection is freed in slices.
    const FREED_AT_ONCE_BYTES_MAX: usize = 64 * 1024;

    /// Bytes that it holds, its own box included.
    pub fn heap_bytes(&self) -> usize {
        self.as_ref().heap_bytes()
    }

    pub(super) fn takes_long_to_free(&self) -> bool {
        self.heap_bytes() > Self::FREED_AT_ONCE_BYTES_MAX
    }
}

/// A value outside of any entry.
#[derive(Debug)]
pub(super) struct OwnedValue {
    pub kind: Kind,
    pub encoding: Encoding,
    pub content: Content,
}

/// What an entry's value consists of.
#[derive(Debug)]
pub(super) enum Content {
    /// Short enough to lie in a block, or about to be looked at.
    Bytes(Box<[u8]>),
    Payload(Payload),
    Object(Object),
}

impl OwnedValue {
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Bytes(bytes) => bytes.len(),
            Content::Payload(payload) => payload.len(),
            Content::Object(object) => object.heap_bytes(),
        }
    }

    /// When the first of a hash's fields is due, if one expires.
    pub fn fields_due(&self) -> Option<UnixMs> {
        match &self.content {
            Content::Bytes(bytes) => fields_due_of_run(self.encoding, bytes),
            Content::Payload(payload) => fields_due_of_run(self.encoding, payload.as_slice()),
            Content::Object(object) => object.as_ref().fields_due(),
        }
    }
}

impl ObjectRef<'_> {
    /// See [`OwnedValue::fields_due`].
    pub fn fields_due(self) -> Option<UnixMs> {
        match self {
            ObjectRef::Hash(hash) => hash.earliest(),
            _ => None,
        }
    }
}

/// As [`OwnedValue::fields_due`], of a value that is one run of bytes.
#[inline]
pub(super) fn fields_due_of_run(encoding: Encoding, bytes: &[u8]) -> Option<UnixMs> {
    match encoding {
        Encoding::ListpackEx => Fields::new(bytes, Layout::Triples).earliest(),
        _ => None,
    }
}

impl Clone for OwnedValue {
    fn clone(&self) -> Self {
        let content = match &self.content {
            Content::Bytes(bytes) => Content::Bytes(bytes.clone()),
            Content::Payload(payload) => Content::Payload(Payload::copy_of(payload.as_slice())),
            Content::Object(object) => Content::Object(object.clone()),
        };
        OwnedValue { kind: self.kind, encoding: self.encoding, content }
    }
}
