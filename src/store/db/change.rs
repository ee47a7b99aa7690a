//! Changing what is at a key.

use super::{Db, expiry_place};
use crate::store::arena::Handle;
use crate::store::changes::{Event, Events};
use crate::store::entry::{
    Encoding, EntryRef, NEVER, OBJECT_BYTES, Outside, PAYLOAD_BYTES, StoredValue, Text, fits_inline,
};
use crate::store::large::Payload;
use crate::store::value::{Content, Object, OwnedValue, Remains};
use crate::store::{Kind, UnixMs, WrongType};

/// A value that grows in its block gets room for this part of its length besides, within limits:
/// then it is not moved for every few bytes.
const SLACK_PART: usize = 4;
const SLACK_BYTES_MAX: usize = 512;
/// A block is exchanged for a smaller one when its value has left more than half of it unused, and
/// so many bytes.
const UNUSED_BYTES_MIN: usize = 64;
/// A payload that shrinks comes back into the block when it fills at most this part of it, so that
/// one that goes up and down by a few bytes is not copied each time.
const RETURN_PART: usize = 2;

/// What is at a key: see [`Db::slot`].
pub enum Slot<'a> {
    Occupied(EntryMut<'a>),
    Vacant(VacantSlot<'a>),
}

/// An entry borrowed for a change. Whoever listens is told by the events that it was borrowed with
/// before the first change, and of no further one.
pub struct EntryMut<'a> {
    pub(super) db: &'a mut Db,
    pub(super) handle: Handle,
    pub(super) hash: u64,
    pub(super) now: UnixMs,
    pub(super) untold: Option<Events>,
}

/// The place of a key that has no entry.
pub struct VacantSlot<'a> {
    db: &'a mut Db,
    key: &'a [u8],
    hash: u64,
    now: UnixMs,
    events: Events,
}

impl Db {
    /// The key's entry or, where there is none, its place. An entry counts as used; one that has
    /// expired makes room.
    #[inline]
    pub fn slot<'a>(
        &'a mut self,
        key: &'a [u8],
        now: UnixMs,
        event: impl Into<Events>,
    ) -> Slot<'a> {
        let events = event.into();
        let hash = self.hash(key);
        match self.find(hash, key) {
            Some(handle) if !self.arena.entry(handle).is_expired(now) => {
                self.eviction.used(&mut self.arena, handle, now);
                Slot::Occupied(EntryMut { db: self, handle, hash, now, untold: Some(events) })
            }
            found => {
                if let Some(handle) = found {
                    self.expire(hash, handle);
                }
                Slot::Vacant(VacantSlot { db: self, key, hash, now, events })
            }
        }
    }

    /// The entry at the key, to be changed, unless it has expired. It counts as used.
    #[inline]
    pub fn get_mut(
        &mut self,
        key: &[u8],
        now: UnixMs,
        event: impl Into<Events>,
    ) -> Option<EntryMut<'_>> {
        let hash = self.hash(key);
        let handle = self.find(hash, key)?;
        if self.arena.entry(handle).is_expired(now) {
            self.expire(hash, handle);
            return None;
        }
        self.eviction.used(&mut self.arena, handle, now);
        Some(EntryMut { db: self, handle, hash, now, untold: Some(event.into()) })
    }
}

impl<'a> VacantSlot<'a> {
    #[inline]
    fn tell(&mut self) {
        if self.db.changes.is_listening() {
            self.db.changes.show(self.key, None);
            self.db.changes.tell_new(self.key, self.events);
        }
    }

    #[inline]
    pub fn insert(
        mut self,
        value: &[u8],
        encoding: Encoding,
        expiry: Option<UnixMs>,
    ) -> EntryMut<'a> {
        self.tell();
        let VacantSlot { db, key, hash, now, .. } = self;
        let value = StoredValue::new(value, encoding);
        let kind = (Kind::String, value.encoding());
        let handle = db.create(hash, key, value.bytes(), kind, expiry, now);
        EntryMut { db, handle, hash, now, untold: None }
    }

    /// A collection in one packed run.
    pub fn insert_packed(mut self, kind: Kind, encoding: Encoding, bytes: &[u8]) -> EntryMut<'a> {
        self.tell();
        let VacantSlot { db, key, hash, now, .. } = self;
        let handle = db.create(hash, key, bytes, (kind, encoding), None, now);
        EntryMut { db, handle, hash, now, untold: None }
    }

    /// A collection on the heap.
    pub fn insert_object(mut self, object: Object) -> EntryMut<'a> {
        self.tell();
        let VacantSlot { db, key, hash, now, .. } = self;
        let value = OwnedValue {
            kind: object.kind(),
            encoding: object.encoding(),
            content: Content::Object(object),
        };
        let handle = db.create_owned(hash, key, value, None, now);
        EntryMut { db, handle, hash, now, untold: None }
    }
}

/// What an entry takes, as far as the accounts of its database go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Footprint {
    block_bytes: usize,
    has_outside: bool,
    outside: Outside,
}

impl Db {
    #[inline]
    pub(super) fn footprint(&self, handle: Handle) -> Footprint {
        let entry = self.arena.entry(handle);
        let block_bytes = self.arena.class_bytes(self.arena.class_of_block(handle));
        Footprint { block_bytes, has_outside: entry.has_outside(), outside: entry.outside() }
    }

    /// Brings all accounts up to what an entry takes now, which was `before` the change. The only
    /// place that does.
    #[inline]
    pub(super) fn settle(&mut self, handle: Handle, before: Footprint) {
        let after = self.footprint(handle);
        if after != before {
            self.count_outside(before, after);
            let (old, new) = (before.bytes(), after.bytes());
            self.eviction.resized(&self.arena, handle, old, new);
        }
    }

    /// As [`Db::settle`] where nothing has changed but what an object holds, from `before` to `after`
    /// bytes: that is seldom, so its footprint is not looked at for every change of an object.
    #[cold]
    pub(super) fn settle_object(&mut self, handle: Handle, before: usize, after: usize) {
        let mut footprint = self.footprint(handle);
        footprint.outside.bytes = footprint.outside.bytes - after + before;
        self.settle(handle, footprint);
    }

    /// As [`Db::settle`] for what is in no queue, or about to come into one or to leave it.
    pub(super) fn count_outside(&mut self, before: Footprint, after: Footprint) {
        let (old, new) = (before.outside, after.outside);
        self.with_outside =
            self.with_outside - usize::from(before.has_outside) + usize::from(after.has_outside);
        self.outside.bytes = self.outside.bytes - old.bytes + new.bytes;
        self.outside.mapped_bytes = self.outside.mapped_bytes - old.mapped_bytes + new.mapped_bytes;
    }

    /// Lets a block stand in table and queues where another did.
    pub(super) fn take_place(&mut self, hash: u64, from: Handle, to: Handle) {
        let (previous, next) = self.arena.entry(from).neighbours();
        let mut view = self.arena.entry_mut(to);
        view.set_previous(previous);
        view.set_next(next);
        self.table.replace(hash, from, to);
        self.eviction.moved(&mut self.arena, from, to);
    }
}

impl Footprint {
    fn bytes(self) -> usize {
        self.block_bytes + self.outside.bytes
    }

    pub(super) fn outside_bytes(self) -> usize {
        self.outside.bytes
    }
}

impl<'a> EntryMut<'a> {
    /// As [`EntryMut::remove`]; gives the place of the entry's key to what is told by `events`.
    pub(super) fn vacate(mut self, key: &'a [u8], events: Events) -> VacantSlot<'a> {
        self.dispose();
        let EntryMut { db, hash, now, .. } = self;
        VacantSlot { db, key, hash, now, events }
    }
}

impl EntryMut<'_> {
    #[inline]
    pub fn get(&self) -> EntryRef<'_> {
        self.db.arena.entry(self.handle)
    }

    pub fn key(&self) -> &[u8] {
        self.get().key()
    }

    pub fn kind(&self) -> Kind {
        self.get().kind()
    }

    pub fn encoding(&self) -> Encoding {
        self.get().encoding()
    }

    pub fn expiry(&self) -> Option<UnixMs> {
        self.get().expiry()
    }

    #[inline]
    pub fn as_string(&self) -> Result<Text<'_>, WrongType> {
        self.get().as_string()
    }

    /// Tells whoever listens, if it has not been told yet. Comes before the change.
    #[inline]
    pub(super) fn tell(&mut self) {
        if self.db.changes.is_listening() {
            self.tell_once();
        }
    }

    #[cold]
    fn tell_once(&mut self) {
        if let Some(events) = self.untold.take() {
            self.db.tell(self.handle, events);
        }
    }

    /// As [`EntryMut::tell`] where it is only known afterwards whether there is a change: shows
    /// what there is to those who look before it.
    #[inline]
    pub(super) fn show(&mut self) {
        if self.db.changes.is_listening() && self.untold.is_some() {
            let entry = self.db.arena.entry(self.handle);
            self.db.changes.show(entry.key(), Some(entry));
        }
    }

    /// As [`EntryMut::tell`], after [`EntryMut::show`] and the change.
    #[inline]
    pub(super) fn tell_after(&mut self) {
        if self.db.changes.is_listening()
            && let Some(events) = self.untold.take()
        {
            self.db.changes.tell(self.db.arena.entry(self.handle).key(), events);
        }
    }

    /// From now on changes are told as this event.
    pub fn set_event(&mut self, event: Event) {
        self.untold = Some(event.into());
    }

    /// Removes the entry. That is told as `del`, after the event that it was borrowed with: as
    /// Redis does when a collection has lost its last element.
    pub fn remove(mut self) {
        self.dispose();
    }

    fn dispose(&mut self) {
        if self.db.changes.is_listening() {
            self.untold = self.untold.filter(|events| *events != Event::Del.into());
            self.tell_once();
            self.set_event(Event::Del);
            self.tell_once();
        }
        self.db.dispose(self.hash, self.handle);
    }

    /// Replaces the value by a string; key and expiry stay.
    #[inline]
    pub fn replace_string(&mut self, value: &[u8], encoding: Encoding) {
        let expiry = self.expiry();
        self.replace_string_and_expiry(value, encoding, expiry);
    }

    /// Replaces value and expiry by those of a string; the key stays.
    #[inline]
    pub fn replace_string_and_expiry(
        &mut self,
        value: &[u8],
        encoding: Encoding,
        expiry: Option<UnixMs>,
    ) {
        let stored = StoredValue::new(value, encoding);
        self.replace_bytes(stored.bytes(), (Kind::String, stored.encoding()), expiry);
    }

    /// Replaces the value by a collection in one packed run; key and expiry stay.
    pub fn replace_packed(&mut self, kind: Kind, encoding: Encoding, bytes: &[u8]) {
        let place = self.get().expiry_place();
        self.replace_bytes(bytes, (kind, encoding), place);
    }

    /// Replaces the value by a collection on the heap; key and expiry stay.
    pub fn replace_object(&mut self, object: Object) {
        self.tell();
        let fields_expired = self.get().fields_due().is_some();
        let before = self.db.footprint(self.handle);
        self.drop_value();
        self.refit(OBJECT_BYTES, self.get().expiry_place());
        self.db.arena.entry_mut(self.handle).put_object(object);
        self.db.settle(self.handle, before);
        self.fields_changed(fields_expired);
    }

    /// `place` is what is put into the place for an expiry, as for those below.
    #[inline]
    fn replace_bytes(
        &mut self,
        bytes: &[u8],
        (kind, encoding): (Kind, Encoding),
        place: Option<UnixMs>,
    ) {
        self.tell();
        let entry = self.get();
        let is_or_was_hash = entry.kind() == Kind::Hash || kind == Kind::Hash;
        let fields_expired = entry.fields_due().is_some();
        let inline = fits_inline(entry.key_bytes(), bytes.len());
        let stays = inline && entry.is_inline() && entry.expires() == place.is_some();
        let mut written = false;
        if stays && entry.value_bytes() == bytes.len() {
            self.write_expiry(place);
        } else if stays || inline && !entry.has_outside() {
            // Nothing outside of the block, before and after.
            let before = self.db.footprint(self.handle);
            self.db.arena.entry_mut(self.handle).set_inline_len(0);
            self.refit(bytes.len(), place);
            self.db.settle(self.handle, before);
        } else {
            self.replace_with_outside(bytes, inline, place);
            written = true;
        }
        let mut view = self.db.arena.entry_mut(self.handle);
        view.set_kind(kind, encoding);
        if !written {
            view.write_inline(bytes);
        }
        if is_or_was_hash {
            self.fields_changed(fields_expired);
        }
    }

    /// Where the old value or the new one lies outside of the block.
    fn replace_with_outside(&mut self, bytes: &[u8], inline: bool, place: Option<UnixMs>) {
        let before = self.db.footprint(self.handle);
        let old = self.db.arena.entry_mut(self.handle).take_payload();
        match old {
            // Memory that is there already is written again.
            Some(mut payload)
                if !inline
                    && self.db.lent.is_none()
                    && payload.grows_in_place(bytes.len())
                    && !payload.gives_much_back(bytes.len()) =>
            {
                payload.resize(bytes.len());
                payload.as_mut_slice().copy_from_slice(bytes);
                self.refit(PAYLOAD_BYTES, place);
                self.db.arena.entry_mut(self.handle).put_payload(payload);
            }
            old => {
                self.db.free_payload(old);
                self.drop_value();
                if inline {
                    self.refit(bytes.len(), place);
                    self.db.arena.entry_mut(self.handle).write_inline(bytes);
                } else {
                    self.refit(PAYLOAD_BYTES, place);
                    let payload = self.db.payload_of(bytes);
                    self.db.arena.entry_mut(self.handle).put_payload(payload);
                }
            }
        }
        self.db.settle(self.handle, before);
    }

    /// Leaves an empty value, to be replaced.
    fn drop_value(&mut self) {
        let (payload, object) = {
            let mut view = self.db.arena.entry_mut(self.handle);
            (view.take_payload(), view.take_object())
        };
        self.db.arena.entry_mut(self.handle).set_inline_len(0);
        self.db.free_payload(payload);
        self.db.free_object(object);
    }

    /// Makes the string `len` bytes long, what is new of it zero, its encoding raw.
    pub fn resize_string(&mut self, len: usize) -> Result<&mut [u8], WrongType> {
        self.make_raw()?;
        self.resize_value(len);
        Ok(self.db.arena.entry_mut(self.handle).value_mut())
    }

    /// Appends to the string, whose encoding is raw then; returns its length.
    pub fn append_string(&mut self, bytes: &[u8]) -> Result<usize, WrongType> {
        self.make_raw()?;
        let len = self.get().stored_value().len();
        self.splice(len, 0, bytes.len()).copy_from_slice(bytes);
        Ok(len + bytes.len())
    }

    fn make_raw(&mut self) -> Result<(), WrongType> {
        if self.encoding() == Encoding::Int {
            let digits = self.as_string()?.to_vec();
            self.replace_string(&digits, Encoding::Raw);
        } else if self.kind() != Kind::String {
            return Err(WrongType);
        }
        self.tell();
        self.db.arena.entry_mut(self.handle).set_kind(Kind::String, Encoding::Raw);
        Ok(())
    }

    pub fn set_expiry(&mut self, expiry: Option<UnixMs>) {
        self.tell();
        self.place_expiry(expiry_place(expiry, self.get().fields_due()));
    }

    /// Has this in the entry's place for an expiry, or no such place.
    pub(super) fn place_expiry(&mut self, place: Option<UnixMs>) {
        if place.is_some() == self.get().expires() {
            self.write_expiry(place);
            return;
        }
        let before = self.db.footprint(self.handle);
        self.move_to(self.get().value_bytes(), place);
        self.db.settle(self.handle, before);
    }

    /// The bytes of a value that is inline or a payload, to be changed where they lie.
    pub(super) fn value_mut(&mut self) -> &mut [u8] {
        self.tell();
        self.db.arena.entry_mut(self.handle).value_mut()
    }

    /// Replaces the `removed` bytes at `at` of a value that is inline or a payload by `added` ones,
    /// which are given to be written. In its block a value grows in place as long as there is room.
    pub(super) fn splice(&mut self, at: usize, removed: usize, added: usize) -> &mut [u8] {
        self.tell();
        let old = self.get().stored_value().len();
        debug_assert!(at + removed <= old, "{at} and {removed} of {old}");
        let len = old - removed + added;
        if len > old {
            self.fit_value(len);
        }
        if added != removed {
            let value = self.db.arena.entry_mut(self.handle).value_mut();
            value.copy_within(at + removed..old, at + added);
        }
        if len < old {
            self.fit_value(len);
        }
        &mut self.db.arena.entry_mut(self.handle).value_mut()[at..at + added]
    }

    /// Changes the length of a value that is inline or a payload; new bytes are zero.
    fn resize_value(&mut self, len: usize) {
        self.tell();
        self.fit_value(len);
    }

    #[inline]
    fn fit_value(&mut self, len: usize) {
        let entry = self.get();
        let old = entry.stored_value().len();
        if old == len {
            return;
        }
        if entry.is_inline() && fits_inline(entry.key_bytes(), len) {
            let room = self.db.arena.room(self.handle);
            if len <= room && room - len <= UNUSED_BYTES_MIN.max(len) {
                self.db.arena.entry_mut(self.handle).set_inline_len(len);
                return;
            }
        }
        self.change_form(len);
    }

    /// As [`EntryMut::fit_value`], where a value needs another block or memory outside of it.
    #[inline(never)]
    fn change_form(&mut self, len: usize) {
        let before = self.db.footprint(self.handle);
        let key_bytes = self.get().key_bytes();
        match self.db.arena.entry_mut(self.handle).take_payload() {
            None if fits_inline(key_bytes, len) => {
                let old = self.get().value_bytes();
                self.db.arena.entry_mut(self.handle).set_inline_len(old.min(len));
                self.move_to(len + slack(key_bytes, len), self.get().expiry_place());
                self.db.arena.entry_mut(self.handle).set_inline_len(len);
            }
            None => {
                let payload = Payload::starting_with(self.get().stored_value(), len);
                self.db.arena.entry_mut(self.handle).set_inline_len(0);
                self.refit(PAYLOAD_BYTES, self.get().expiry_place());
                self.db.arena.entry_mut(self.handle).put_payload(payload);
            }
            Some(payload) if fits_inline(key_bytes, len * RETURN_PART) => {
                self.move_to(len + slack(key_bytes, len), self.get().expiry_place());
                let kept = &payload.as_slice()[..len.min(payload.len())];
                let mut view = self.db.arena.entry_mut(self.handle);
                view.write_inline(kept);
                view.set_inline_len(len);
                self.db.free_payload(Some(payload));
            }
            Some(payload) if payload.gives_much_back(len) => {
                let shorter = Payload::starting_with(payload.as_slice(), len);
                self.db.arena.entry_mut(self.handle).put_payload(shorter);
                self.db.free_payload(Some(payload));
            }
            Some(mut payload) => {
                payload.resize(len);
                self.db.arena.entry_mut(self.handle).put_payload(payload);
            }
        }
        self.db.settle(self.handle, before);
    }

    /// Fills the place for an expiry, which is there if anything is to be put into it, and tells the
    /// sweep.
    #[inline]
    fn write_expiry(&mut self, place: Option<UnixMs>) {
        if let Some(at) = place {
            let had_expiry = self.get().expiry().is_some();
            self.db.expiring =
                self.db.expiring - usize::from(had_expiry) + usize::from(at != NEVER);
            self.db.arena.entry_mut(self.handle).write_expiry(at);
            self.db.schedule(self.handle, self.now);
        }
    }

    /// Puts this into the entry's place for an expiry, or leaves it without one, in the smallest
    /// block that has room for `room` bytes of value. Whoever changes what is outside of it settles
    /// the accounts.
    #[inline]
    fn refit(&mut self, room: usize, place: Option<UnixMs>) {
        let arena = &self.db.arena;
        let class = arena.class_for(self.handle, room, place.is_some());
        if class == arena.class_of_block(self.handle) {
            self.write_expiry(place);
        } else {
            self.move_to(room, place);
        }
    }

    /// Moves the entry to a new block; see [`EntryMut::refit`].
    fn move_to(&mut self, room: usize, place: Option<UnixMs>) {
        let db = &mut *self.db;
        let had_expiry = db.arena.entry(self.handle).expiry().is_some();
        let has_expiry = place.is_some_and(|at| at != NEVER);
        let handle = db.arena.move_entry(self.handle, room, place);
        db.expiring = db.expiring - usize::from(had_expiry) + usize::from(has_expiry);
        if place.is_some() {
            db.schedule(handle, self.now);
        }
        db.take_place(self.hash, self.handle, handle);
        db.arena.free(self.handle);
        self.handle = handle;
    }
}

/// What a value that grows gets besides its length.
fn slack(key_bytes: usize, len: usize) -> usize {
    let slack = (len / SLACK_PART).min(SLACK_BYTES_MAX);
    if fits_inline(key_bytes, len + slack) { slack } else { 0 }
}

impl Db {
    pub(super) fn free_payload(&mut self, payload: Option<Payload>) {
        self.remains.extend(payload.and_then(Remains::of_payload));
    }

    pub(super) fn free_object(&mut self, object: Option<Object>) {
        self.remains.extend(object.and_then(Remains::of_object));
    }
}
