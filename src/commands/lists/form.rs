//! A list at a key, in whichever form it has: one packed run in its entry (`listpack`), or chunks
//! in an object (`quicklist`). The forms change into each other where Redis's do.

use super::too_large;
use crate::commands::CommandError;
use crate::store::value::list::{Limit, Side};
use crate::store::value::packed::{self, Cursor, Element, Full, Needle, Packed};
use crate::store::{
    Buffer, Collection, CollectionMut, CollectionRef, Encoding, End, EntryMut, Kind, List,
    ObjectMut, PackedMut, VacantSlot, WrongType,
};

/// A list to read.
pub type ListRef<'a> = CollectionRef<'a, List>;

pub fn len(list: ListRef<'_>) -> usize {
    match list {
        CollectionRef::Packed(run) => Packed::new(run).len(),
        CollectionRef::Object(list) => list.len(),
    }
}

/// The element of an index, a negative one counting from the back.
pub fn get(list: ListRef<'_>, index: i64) -> Option<Element<'_>> {
    match list {
        CollectionRef::Packed(run) => Packed::new(run).get(index),
        CollectionRef::Object(list) => list.get(list.index(index)?),
    }
}

/// Shows up to `count` elements from an index on, towards an end.
#[inline]
pub fn visit(
    list: ListRef<'_>,
    index: usize,
    count: usize,
    to: End,
    show: impl FnMut(Element<'_>),
) {
    match list {
        CollectionRef::Packed(run) => visit_run(Packed::new(run), index, count, to, show),
        CollectionRef::Object(list) => list.visit(index, count, to, show),
    }
}

fn visit_run(run: Packed<'_>, index: usize, count: usize, to: End, show: impl FnMut(Element<'_>)) {
    let Some(at) = i64::try_from(index).ok().and_then(|index| run.seek(index)) else { return };
    match to {
        End::Back => run.iter_from(at).take(count).for_each(show),
        End::Front => run.iter_to(at).rev().take(count).for_each(show),
    }
}

/// A list to change. What changes nothing tells nobody who watches the key.
pub struct ListMut<'a> {
    form: CollectionMut<'a, List>,
    limit: Limit,
}

impl<'a> ListMut<'a> {
    #[inline]
    pub fn new(entry: EntryMut<'a>, limit: Limit) -> Result<ListMut<'a>, WrongType> {
        Ok(ListMut { form: entry.into_collection()?, limit })
    }

    /// A new list of these elements, of which there is at least one.
    pub fn create<'v>(
        slot: VacantSlot<'a>,
        end: End,
        values: impl ExactSizeIterator<Item = &'v [u8]> + DoubleEndedIterator + Clone,
        limit: Limit,
    ) -> Result<(), CommandError> {
        let mut run = packed::new().to_vec();
        if limit.admits(run.len().saturating_add(bytes_of(values.clone())), values.len()) {
            push_to_run(&mut run, end, values)?;
            slot.insert_packed(Kind::List, Encoding::Listpack, &run);
        } else {
            let mut list = List::new();
            push_to_list(&mut list, end, values, limit)?;
            slot.insert_object(list.into_object());
        }
        Ok(())
    }

    #[inline]
    pub fn as_ref(&self) -> ListRef<'_> {
        match &self.form {
            CollectionMut::Packed(run) => CollectionRef::Packed(run.bytes()),
            CollectionMut::Object(object) => CollectionRef::Object(object.get()),
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        len(self.as_ref())
    }

    /// Adds elements at an end, one after the other, so that the last becomes the outermost.
    #[inline]
    pub fn push<'v>(
        mut self,
        end: End,
        values: impl ExactSizeIterator<Item = &'v [u8]> + DoubleEndedIterator + Clone,
    ) -> Result<ListMut<'a>, CommandError> {
        let limit = self.limit;
        match &mut self.form {
            CollectionMut::Packed(run) => {
                let (bytes, len) = (run.bytes().len(), Packed::new(run.bytes()).len());
                let added = bytes_of(values.clone());
                if limit.admits(bytes.saturating_add(added), len + values.len()) {
                    push_to_run(run, end, values)?;
                    return Ok(self);
                }
            }
            CollectionMut::Object(object) => {
                object.update(|list| push_to_list(list, end, values, limit))?;
                return Ok(self);
            }
        }
        self.convert(|list| push_to_list(list, end, values, limit))
    }

    /// Takes the element off an end, shown before it goes; the key goes with the last one.
    #[inline]
    pub fn pop<R>(mut self, end: End, show: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        match self.form {
            CollectionMut::Packed(ref mut run) => {
                let packed = Packed::new(run.bytes());
                if packed.len() > 1 {
                    return packed::pop(run, end, show);
                }
                let shown = packed.get(0).map(show);
                self.remove();
                shown
            }
            CollectionMut::Object(ref mut object) => {
                let shown = object.update_if(|list| list.pop(end, show));
                self.shrink();
                shown
            }
        }
    }

    /// Takes the element off one end and adds it at one.
    pub fn rotate(mut self, from: End, to: End) -> Result<Vec<u8>, CommandError> {
        let taken = match &mut self.form {
            CollectionMut::Packed(run) => packed::pop(run, from, |element| element.to_vec()),
            CollectionMut::Object(object) => {
                object.update_if(|list| list.pop(from, |element| element.to_vec()))
            }
        };
        let value = taken.unwrap_or_default();
        self.push(to, std::iter::once(&value[..]))?.shrink();
        Ok(value)
    }

    /// Removes up to `count` elements from an index on, and the key if none is left.
    pub fn remove_range(mut self, index: usize, count: usize) {
        let len = self.len();
        let count = count.min(len.saturating_sub(index));
        if count == 0 {
            return;
        }
        if count == len {
            return self.remove();
        }
        let limit = self.limit;
        match &mut self.form {
            CollectionMut::Packed(run) => {
                if let Some(at) = seek(run, index) {
                    packed::delete_range(run, at, count);
                }
            }
            CollectionMut::Object(object) => {
                let remains = object.update(|list| list.remove_range(index, count, limit));
                object.free_later(remains);
                self.shrink();
            }
        }
    }

    /// Keeps only so many elements from an index on; the key goes if there are none. As in Redis
    /// this is a change even where all are kept.
    pub fn keep_range(mut self, index: usize, count: usize) {
        let len = self.len();
        let kept = count.min(len.saturating_sub(index));
        if kept == len {
            return self.touch();
        }
        if kept == 0 {
            return self.remove();
        }
        let (end, limit) = (index + kept, self.limit);
        match &mut self.form {
            CollectionMut::Packed(run) => {
                if let Some(at) = seek(run, end) {
                    packed::delete_range(run, at, len - end);
                }
                if index > 0
                    && let Some(at) = seek(run, 0)
                {
                    packed::delete_range(run, at, index);
                }
            }
            CollectionMut::Object(object) => {
                let behind = object.update(|list| list.remove_range(end, len - end, limit));
                let before = object.update(|list| list.remove_range(0, index, limit));
                object.free_later(behind);
                object.free_later(before);
                self.shrink();
            }
        }
    }

    /// Puts a value in the place of the element of that index, a negative one counting from the
    /// back; whether there is one.
    pub fn set(mut self, index: i64, value: &[u8]) -> Result<bool, CommandError> {
        let limit = self.limit;
        match &mut self.form {
            CollectionMut::Packed(run) => {
                let packed = Packed::new(run.bytes());
                let Some(at) = packed.seek(index) else { return Ok(false) };
                // Redis makes room for one element more, although none comes.
                if limit.admits(packed.bytes().len().saturating_add(value.len()), packed.len() + 1)
                {
                    packed::replace(run, at, Element::from(value)).map_err(full)?;
                    return Ok(true);
                }
            }
            CollectionMut::Object(object) => {
                let Some(index) = object.get().index(index) else { return Ok(false) };
                object.update(|list| list.set(index, value, limit)).map_err(full)?;
                self.shrink();
                return Ok(true);
            }
        }
        self.convert(|list| {
            let index = list.index(index).unwrap_or(0);
            list.set(index, value, limit).map_err(full).map(|_| ())
        })?
        .shrink();
        Ok(true)
    }

    /// Puts a value beside the first element that matches; gives the list's length then, or `None`
    /// if nothing matches.
    pub fn insert_beside(
        mut self,
        pivot: &[u8],
        side: Side,
        value: &[u8],
    ) -> Result<Option<usize>, CommandError> {
        let (pivot, limit, len) = (Needle::new(pivot), self.limit, self.len() + 1);
        match &mut self.form {
            CollectionMut::Packed(run) => {
                let packed = Packed::new(run.bytes());
                let found = packed.first().and_then(|first| packed.find(first, &pivot, 0));
                let Some(found) = found else { return Ok(None) };
                if limit.admits(packed.bytes().len().saturating_add(value.len()), len) {
                    let at = match side {
                        Side::Before => Some(found),
                        Side::After => packed.next(found),
                    };
                    match at {
                        Some(at) => packed::insert(run, at, Element::from(value)),
                        None => packed::push(run, End::Back, Element::from(value)),
                    }
                    .map_err(full)?;
                    return Ok(Some(len));
                }
            }
            CollectionMut::Object(object) => {
                let inserted = object.update_if(|list| {
                    let inserted = list.insert_beside(&pivot, side, value, limit);
                    inserted.map(|inserted| inserted.then_some(())).transpose()
                });
                return inserted.transpose().map_err(full).map(|done| done.map(|()| len));
            }
        }
        self.convert(|list| {
            list.insert_beside(&pivot, side, value, limit).map_err(full).map(|_| ())
        })?;
        Ok(Some(len))
    }

    /// Removes up to `count` elements that match, seen from an end, and the key if none is left;
    /// gives how many there were.
    pub fn remove_matching(mut self, from: End, value: &[u8], count: usize) -> usize {
        let (needle, limit) = (Needle::new(value), self.limit);
        match &mut self.form {
            CollectionMut::Packed(run) => {
                let packed = Packed::new(run.bytes());
                let matching = packed.iter().filter(|element| element.matches(&needle)).count();
                let removed = matching.min(count);
                if removed == 0 {
                    return 0;
                }
                if removed == packed.len() {
                    self.remove();
                    return removed;
                }
                let mut kept = match from {
                    End::Front => 0,
                    End::Back => matching - removed,
                };
                let mut left = removed;
                packed::retain(run, |element| {
                    if left == 0 || !element.matches(&needle) {
                        return true;
                    }
                    if kept > 0 {
                        kept -= 1;
                        return true;
                    }
                    left -= 1;
                    false
                });
                removed
            }
            CollectionMut::Object(object) => {
                let removed = object.update_if(|list| {
                    let removed = list.remove_matching(from, &needle, count, limit);
                    (removed > 0).then_some(removed)
                });
                if removed.is_some() {
                    self.shrink();
                }
                removed.unwrap_or(0)
            }
        }
    }

    /// Turns a packed run into chunks, changed on the way.
    fn convert(
        self,
        change: impl FnOnce(&mut List) -> Result<(), CommandError>,
    ) -> Result<ListMut<'a>, CommandError> {
        let limit = self.limit;
        let object: ObjectMut<'a, List> = match self.form {
            CollectionMut::Packed(run) => {
                let run: PackedMut<'a> = run;
                let mut list = List::from_packed(run.bytes());
                change(&mut list)?;
                run.convert(list)
            }
            CollectionMut::Object(mut object) => {
                object.update(change)?;
                object
            }
        };
        Ok(ListMut { form: CollectionMut::Object(object), limit })
    }

    /// After elements have gone: the key of an empty list goes, and chunks become one run again
    /// where Redis's do.
    fn shrink(self) {
        let CollectionMut::Object(object) = self.form else { return };
        if object.get().is_empty() {
            object.remove();
        } else if let Some(run) = object.get().to_packed_if_small(self.limit) {
            object.convert(Encoding::Listpack, &run);
        }
    }

    /// Tells who watches the key.
    fn touch(self) {
        match self.form {
            CollectionMut::Packed(mut run) => {
                run.bytes_mut();
            }
            CollectionMut::Object(mut object) => object.update(|_| ()),
        }
    }

    fn remove(self) {
        match self.form {
            CollectionMut::Packed(run) => run.remove(),
            CollectionMut::Object(object) => object.remove(),
        }
    }
}

fn seek(run: &PackedMut<'_>, index: usize) -> Option<Cursor> {
    Packed::new(run.bytes()).seek(i64::try_from(index).ok()?)
}

fn bytes_of<'v>(values: impl Iterator<Item = &'v [u8]>) -> usize {
    values.map(<[u8]>::len).fold(0, usize::saturating_add)
}

#[inline]
fn push_to_run<'v>(
    run: &mut impl Buffer,
    end: End,
    mut values: impl ExactSizeIterator<Item = &'v [u8]> + DoubleEndedIterator + Clone,
) -> Result<(), CommandError> {
    let pushed = match (values.len(), end) {
        (1, _) => match values.next() {
            Some(value) => packed::push(run, end, Element::from(value)),
            None => Ok(()),
        },
        (_, End::Front) => packed::push_many(run, end, values.rev().map(Element::from)),
        (_, End::Back) => packed::push_many(run, end, values.map(Element::from)),
    };
    pushed.map_err(full)
}

fn push_to_list<'v>(
    list: &mut List,
    end: End,
    mut values: impl Iterator<Item = &'v [u8]>,
    limit: Limit,
) -> Result<(), CommandError> {
    values.try_for_each(|value| list.push(end, value, limit)).map_err(full)
}

/// No run is that long whose elements have been checked.
fn full(_: Full) -> CommandError {
    too_large()
}
