//! One bucket: a few items in one allocation.
//!
//! ```text
//! item 0 | item 1 | ... | item n-1 | free | slot n-1 | ... | slot 1 | slot 0 | n (u32)
//! ```
//!
//! Items grow from the front, their slots from the back, so that adding one moves nothing. A slot
//! is two bytes: seven bits of the key's hash with one that says whether the item is plain, and the
//! item's length. So a look-up reads the slots, which are together, and then mostly the one item
//! that it is after. A longer item is an allocation of its own and has nothing among the others.

use super::item::{EncodedItem, Item};
use crate::store::memory::{good_size, held_bytes};

const COUNT_BYTES: usize = size_of::<u32>();
const SLOT_BYTES: usize = 2;

#[derive(Clone, Debug, Default)]
pub(super) struct Bucket {
    /// As long as the block that the allocator gives.
    packed: Box<[u8]>,
    long: Option<Box<LongItems>>,
}

/// Seven bits of a hash, the lowest bit clear.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u8);

impl Tag {
    /// The highest bits, since the lowest ones choose the bucket.
    pub(super) fn of_hash(hash: u64) -> Tag {
        Tag((hash >> 56) as u8 & !Slot::HAS_HEAD)
    }
}

#[derive(Clone, Copy)]
struct Slot {
    tag: u8,
    size: u8,
}

impl Slot {
    const HAS_HEAD: u8 = 1;
    /// The size of an item that is not among the others.
    const LONG: u8 = u8::MAX;

    fn new(tag: Tag, item: &EncodedItem<'_>) -> Slot {
        let head = if item.is_plain() { 0 } else { Slot::HAS_HEAD };
        Slot { tag: tag.0 | head, size: u8::try_from(item.len()).unwrap_or(Slot::LONG) }
    }

    fn has(self, tag: Tag) -> bool {
        self.tag & !Slot::HAS_HEAD == tag.0
    }

    fn is_plain(self) -> bool {
        self.tag & Slot::HAS_HEAD == 0
    }

    fn is_long(self) -> bool {
        self.size == Slot::LONG
    }

    /// What the item takes among the others.
    fn packed_bytes(self) -> usize {
        if self.is_long() { 0 } else { usize::from(self.size) }
    }
}

/// Where an item is. Good until the bucket is changed.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    slot: usize,
    /// Bytes and long items ahead of it.
    at: usize,
    long: usize,
}

impl Place {
    fn behind(self, slot: Slot) -> Place {
        Place {
            slot: self.slot + 1,
            at: self.at + slot.packed_bytes(),
            long: self.long + usize::from(slot.is_long()),
        }
    }
}

impl Bucket {
    pub(super) fn len(&self) -> usize {
        self.packed.last_chunk().map_or(0, |count| u32::from_le_bytes(*count) as usize)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.packed.len() + self.long.as_ref().map_or(0, |long| long.heap_bytes())
    }

    /// Allocations that freeing it takes.
    pub(super) fn allocations(&self) -> usize {
        1 + self.long.as_ref().map_or(0, |long| long.items.len())
    }

    /// Where the key is, or else the end.
    #[inline]
    pub(super) fn find(&self, tag: Tag, key: &[u8]) -> Result<Place, Place> {
        let mut place = Place::default();
        for slot in self.slots() {
            if slot.has(tag) && self.read(place, slot).key == key {
                return Ok(place);
            }
            place = place.behind(slot);
        }
        Err(place)
    }

    pub(super) fn item(&self, place: Place) -> Item<'_> {
        self.read(place, self.slot(place.slot))
    }

    /// The item of that index.
    pub(super) fn get(&self, index: usize) -> Option<Item<'_>> {
        self.iter().nth(index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        let mut place = Place::default();
        self.slots().map(move |slot| {
            let item = self.read(place, slot);
            place = place.behind(slot);
            item
        })
    }

    /// Adds an item whose key is not there, at the end.
    pub(super) fn push(&mut self, end: Place, tag: Tag, item: Item<'_>) {
        let item = item.encoded();
        let new = Slot::new(tag, &item);
        self.reserve(end, new.packed_bytes(), 1);
        self.set_len(end.slot + 1);
        self.set_slot(end.slot, new);
        self.write(end, new, &item);
    }

    /// Puts an item in the place of one with the same key.
    pub(super) fn replace(&mut self, place: Place, tag: Tag, item: Item<'_>) {
        let item = item.encoded();
        let (old, new) = (self.slot(place.slot), Slot::new(tag, &item));
        if old.packed_bytes() != new.packed_bytes() {
            let end = self.end();
            if let Some(more) = new.packed_bytes().checked_sub(old.packed_bytes()) {
                self.reserve(end, more, 0);
            }
            let behind = place.at + old.packed_bytes();
            self.packed.copy_within(behind..end.at, place.at + new.packed_bytes());
        }
        if old.is_long() {
            self.take_long(place.long);
        }
        self.set_slot(place.slot, new);
        self.write(place, new, &item);
        self.shrink_if_sparse();
    }

    pub(super) fn remove(&mut self, place: Place) {
        let slot = self.slot(place.slot);
        let end = self.end();
        self.packed.copy_within(place.at + slot.packed_bytes()..end.at, place.at);
        if slot.is_long() {
            self.take_long(place.long);
        }
        let slots_behind = self.slot_at(end.slot - 1)..self.slot_at(place.slot);
        self.packed.copy_within(slots_behind.clone(), slots_behind.start + SLOT_BYTES);
        self.set_len(end.slot - 1);
        self.shrink_if_sparse();
    }

    /// Takes out the items whose keys `moves` chooses.
    pub(super) fn split_off(&mut self, mut moves: impl FnMut(&[u8]) -> bool) -> Bucket {
        let mut moved = Bucket { packed: vec![0; self.packed.len()].into(), long: None };
        let (mut kept, mut gone) = (Place::default(), Place::default());
        let mut at = 0;
        for index in 0..self.len() {
            let slot = self.slot(index);
            let bytes = at..at + slot.packed_bytes();
            at = bytes.end;
            // The long items that have moved are no longer ahead of it.
            let place = Place { slot: index, at: bytes.start, long: kept.long };
            if moves(self.read(place, slot).key) {
                moved.packed[gone.at..gone.at + bytes.len()].copy_from_slice(&self.packed[bytes]);
                moved.set_slot(gone.slot, slot);
                if slot.is_long()
                    && let Some(item) = self.take_long(kept.long)
                {
                    moved.put_long(gone.long, item);
                }
                gone = gone.behind(slot);
            } else {
                self.packed.copy_within(bytes, kept.at);
                self.set_slot(kept.slot, slot);
                kept = kept.behind(slot);
            }
        }
        self.set_len(kept.slot);
        self.fit();
        moved.set_len(gone.slot);
        moved.fit();
        moved
    }

    /// Adds the items of another bucket, none of which is here.
    pub(super) fn append(&mut self, mut other: Bucket) {
        let (end, added) = (self.end(), other.end());
        if added.slot == 0 {
            return;
        }
        self.reserve(end, added.at, added.slot);
        self.packed[end.at..end.at + added.at].copy_from_slice(&other.packed[..added.at]);
        let len = end.slot + added.slot;
        let slots = self.slot_at(len - 1)..self.slot_at(len - 1) + added.slot * SLOT_BYTES;
        let others = other.slot_at(added.slot - 1)..other.packed.len() - COUNT_BYTES;
        self.packed[slots].copy_from_slice(&other.packed[others]);
        self.set_len(len);
        for n in 0..added.long {
            if let Some(item) = other.take_long(0) {
                self.put_long(end.long + n, item);
            }
        }
        self.fit();
    }

    fn read(&self, place: Place, slot: Slot) -> Item<'_> {
        let bytes = match &self.long {
            Some(long) if slot.is_long() => &long.items[place.long],
            _ => &self.packed[place.at..place.at + slot.packed_bytes()],
        };
        Item::decode(bytes, slot.is_plain())
    }

    fn write(&mut self, place: Place, slot: Slot, item: &EncodedItem<'_>) {
        if slot.is_long() {
            self.put_long(place.long, item.to_box());
        } else {
            item.write(&mut self.packed[place.at..place.at + slot.packed_bytes()]);
        }
    }

    fn put_long(&mut self, index: usize, item: Box<[u8]>) {
        self.long.get_or_insert_default().insert(index, item);
    }

    fn take_long(&mut self, index: usize) -> Option<Box<[u8]>> {
        let long = self.long.as_mut()?;
        let item = long.remove(index);
        if long.items.is_empty() {
            self.long = None;
        }
        Some(item)
    }

    /// The slots in the order of their items.
    #[inline]
    fn slots(&self) -> impl Iterator<Item = Slot> {
        let end = self.packed.len().saturating_sub(COUNT_BYTES);
        let slots = &self.packed[end - self.len() * SLOT_BYTES..end];
        slots.rchunks_exact(SLOT_BYTES).map(|slot| Slot { tag: slot[0], size: slot[1] })
    }

    fn slot_at(&self, index: usize) -> usize {
        self.packed.len() - COUNT_BYTES - (index + 1) * SLOT_BYTES
    }

    fn slot(&self, index: usize) -> Slot {
        let at = self.slot_at(index);
        Slot { tag: self.packed[at], size: self.packed[at + 1] }
    }

    fn set_slot(&mut self, index: usize, slot: Slot) {
        let at = self.slot_at(index);
        self.packed[at..at + SLOT_BYTES].copy_from_slice(&[slot.tag, slot.size]);
    }

    fn set_len(&mut self, len: usize) {
        if let Some(count) = self.packed.last_chunk_mut() {
            *count = (len as u32).to_le_bytes();
        }
    }

    fn end(&self) -> Place {
        self.slots().fold(Place::default(), Place::behind)
    }

    fn needed_bytes(end: Place) -> usize {
        end.at + end.slot * SLOT_BYTES + COUNT_BYTES
    }

    /// Makes room for so many more bytes of items, and slots.
    fn reserve(&mut self, end: Place, bytes: usize, slots: usize) {
        let needed = Self::needed_bytes(end) + bytes + slots * SLOT_BYTES;
        if needed > self.packed.len() {
            self.lay_out(end, good_size(needed));
        }
    }

    /// Gives back what it does not need.
    fn fit(&mut self) {
        let end = self.end();
        let capacity = if end.slot == 0 { 0 } else { good_size(Self::needed_bytes(end)) };
        if capacity != self.packed.len() {
            self.lay_out(end, capacity);
        }
    }

    /// As [`Bucket::fit`], but only where that is worth while.
    fn shrink_if_sparse(&mut self) {
        let needed = Self::needed_bytes(self.end());
        if self.len() == 0 || good_size(needed + needed / 8) < self.packed.len() {
            self.fit();
        }
    }

    fn lay_out(&mut self, end: Place, capacity: usize) {
        let mut packed = vec![0; capacity].into_boxed_slice();
        if end.slot > 0 {
            let slots_and_count = end.slot * SLOT_BYTES + COUNT_BYTES;
            let to = capacity - slots_and_count;
            let from = self.packed.len() - slots_and_count;
            packed[..end.at].copy_from_slice(&self.packed[..end.at]);
            packed[to..].copy_from_slice(&self.packed[from..]);
        }
        self.packed = packed;
    }
}

/// The items of a bucket that are allocations of their own, in the order of their slots.
#[derive(Debug, Default)]
struct LongItems {
    items: Vec<Box<[u8]>>,
    /// What the items take.
    bytes: usize,
}

impl LongItems {
    fn heap_bytes(&self) -> usize {
        let list = self.items.capacity() * size_of::<Box<[u8]>>();
        good_size(size_of::<LongItems>()) + held_bytes(list) + self.bytes
    }

    fn insert(&mut self, index: usize, item: Box<[u8]>) {
        self.bytes += held_bytes(item.len());
        if self.items.len() == self.items.capacity() {
            // There is seldom a second one.
            self.items.reserve_exact(self.items.len().max(1));
        }
        self.items.insert(index, item);
    }

    fn remove(&mut self, index: usize) -> Box<[u8]> {
        let item = self.items.remove(index);
        self.bytes -= held_bytes(item.len());
        item
    }
}

impl Clone for LongItems {
    fn clone(&self) -> LongItems {
        let mut items = Vec::with_capacity(self.items.capacity());
        items.extend_from_slice(&self.items);
        LongItems { items, bytes: self.bytes }
    }
}

#[cfg(test)]
impl Bucket {
    pub(super) fn check(&self) {
        let end = self.end();
        let needed = if end.slot == 0 { 0 } else { Bucket::needed_bytes(end) };
        assert!(needed <= self.packed.len());
        assert!(self.packed.len() <= good_size(needed + needed / 8), "{needed}");
        if !self.packed.is_empty() {
            assert_eq!(good_size(self.packed.len()), self.packed.len(), "a whole block");
        }
        let long: Vec<usize> = match &self.long {
            Some(long) => long.items.iter().map(|item| item.len()).collect(),
            None => Vec::new(),
        };
        assert_eq!(end.long, long.len());
        assert!(long.iter().all(|&len| len >= usize::from(Slot::LONG)));
        let held = long.into_iter().map(held_bytes).sum::<usize>();
        assert_eq!(self.long.as_ref().map_or(0, |long| long.bytes), held);
    }
}
