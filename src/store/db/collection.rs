//! Changing a collection at a key.

use std::marker::PhantomData;

use super::change::EntryMut;
use crate::store::entry::CollectionRef;
use crate::store::value::{Buffer, Collection, Remains};
use crate::store::{Encoding, Kind, WrongType};

/// A collection to change, in the form that it has.
pub enum CollectionMut<'a, T> {
    Packed(PackedMut<'a>),
    Object(ObjectMut<'a, T>),
}

/// A value in one packed run of bytes, to be edited where it lies: in its block, where it has slack
/// to grow into, or in a payload. The first splice tells whoever listens.
pub struct PackedMut<'a> {
    entry: EntryMut<'a>,
}

/// A collection on the heap, to be edited.
pub struct ObjectMut<'a, T> {
    entry: EntryMut<'a>,
    object: PhantomData<T>,
}

impl<'a> EntryMut<'a> {
    /// A value of this type of collection.
    pub fn collection<T: Collection>(&self) -> Result<CollectionRef<'_, T>, WrongType> {
        self.get().collection()
    }

    /// A value of this type of collection, to be changed.
    #[inline]
    pub fn into_collection<T: Collection>(self) -> Result<CollectionMut<'a, T>, WrongType> {
        let entry = self.get();
        if entry.kind() != T::KIND {
            return Err(WrongType);
        }
        Ok(match entry.is_object() {
            false => CollectionMut::Packed(PackedMut { entry: self }),
            true => CollectionMut::Object(ObjectMut { entry: self, object: PhantomData }),
        })
    }
}

impl<'a> PackedMut<'a> {
    pub fn kind(&self) -> Kind {
        self.entry.kind()
    }

    pub fn encoding(&self) -> Encoding {
        self.entry.encoding()
    }

    /// Replaces the packed run by a collection on the heap; key and expiry stay.
    pub fn convert<T: Collection>(mut self, collection: T) -> ObjectMut<'a, T> {
        self.entry.replace_object(collection.into_object());
        ObjectMut { entry: self.entry, object: PhantomData }
    }

    /// Changes the run of a hash some of whose fields expire, now or then.
    pub fn reschedule<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        let expired = self.entry.get().fields_due().is_some();
        let result = change(self);
        self.entry.fields_changed(expired);
        result
    }

    pub(super) fn into_entry(self) -> EntryMut<'a> {
        self.entry
    }

    /// Replaces the whole run.
    pub fn replace(&mut self, bytes: &[u8]) {
        let (kind, encoding) = (self.kind(), self.encoding());
        self.entry.replace_packed(kind, encoding, bytes);
    }

    /// Replaces the whole run by one of another encoding.
    pub fn replace_as(&mut self, encoding: Encoding, bytes: &[u8]) {
        let kind = self.kind();
        self.entry.replace_packed(kind, encoding, bytes);
    }

    /// Removes the entry, whose last element has gone.
    pub fn remove(self) {
        self.entry.remove();
    }
}

impl Buffer for PackedMut<'_> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.entry.get().stored_value()
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.entry.value_mut()
    }

    #[inline]
    fn splice(&mut self, at: usize, removed: usize, added: usize) -> &mut [u8] {
        self.entry.splice(at, removed, added)
    }
}

impl<'a, T: Collection> ObjectMut<'a, T> {
    /// The collection as it is.
    pub fn get(&self) -> &T {
        match self.entry.collection() {
            Ok(CollectionRef::Object(object)) => object,
            _ => unreachable!("an `ObjectMut` is made of an object only, and keeps it"),
        }
    }

    /// Changes the collection, tells whoever listens and settles the accounts.
    #[inline]
    pub fn update<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        match self.update_if(|object| Some(change(object))) {
            Some(result) => result,
            None => unreachable!("the closure above returns no `None`"),
        }
    }

    /// As [`ObjectMut::update`], but nobody is told if the closure returns `None`, which says that
    /// it has changed nothing.
    #[inline]
    pub fn update_if<R>(&mut self, change: impl FnOnce(&mut T) -> Option<R>) -> Option<R> {
        let before = self.entry.get().value_size();
        let fields_expired = T::KIND == Kind::Hash && self.entry.get().fields_due().is_some();
        self.entry.show();
        let object = self.entry.db.arena.entry_mut(self.entry.handle).object_mut::<T>()?;
        let result = change(object);
        let after = self.entry.get().value_size();
        if after != before {
            self.entry.db.settle_object(self.entry.handle, before, after);
        }
        if T::KIND == Kind::Hash {
            self.entry.fields_changed(fields_expired);
        }
        if result.is_some() {
            self.entry.tell_after();
        }
        result
    }

    pub(super) fn into_entry(self) -> EntryMut<'a> {
        self.entry
    }

    /// Replaces the collection by one packed run, as some are when they have become small.
    pub fn convert(mut self, encoding: Encoding, bytes: &[u8]) -> PackedMut<'a> {
        self.entry.replace_packed(T::KIND, encoding, bytes);
        PackedMut { entry: self.entry }
    }

    /// Has what the collection gave away freed in slices.
    pub fn free_later(&mut self, remains: impl Into<Remains>) {
        let remains = remains.into();
        if remains.takes_long_to_free() {
            self.entry.db.remains.push(remains);
        }
    }

    /// Removes the entry if the collection is empty, as no key holds an empty one; whether it was.
    pub fn remove_if_empty(self) -> bool {
        let is_empty = self.get().is_empty();
        if is_empty {
            self.remove();
        }
        is_empty
    }

    /// Removes the entry and all that its collection still has.
    pub fn remove(self) {
        self.entry.remove();
    }
}
