//! Changing what is at a key.

use super::Db;
use super::sweep::due_second;
use crate::store::arena::Handle;
use crate::store::entry::{Encoding, EntryRef, Shape, StoredValue, Text};
use crate::store::large::Payload;
use crate::store::{Kind, UnixMs, WrongType};

/// What is at a key: see [`Db::slot`].
pub enum Slot<'a> {
    Occupied(EntryMut<'a>),
    Vacant(VacantSlot<'a>),
}

/// An entry borrowed for a change.
pub struct EntryMut<'a> {
    db: &'a mut Db,
    handle: Handle,
    hash: u64,
    now: UnixMs,
}

/// The place of a key that has no entry.
pub struct VacantSlot<'a> {
    db: &'a mut Db,
    key: &'a [u8],
    hash: u64,
    now: UnixMs,
}

impl Db {
    /// The key's entry or, where there is none, its place. An entry counts as used; one that has
    /// expired makes room.
    #[inline]
    pub fn slot<'a>(&'a mut self, key: &'a [u8], now: UnixMs) -> Slot<'a> {
        let hash = self.hash(key);
        match self.find(hash, key) {
            Some(handle) if !self.arena.entry(handle).is_expired(now) => {
                self.eviction.used(&mut self.arena, handle, now);
                Slot::Occupied(EntryMut { db: self, handle, hash, now })
            }
            found => {
                if let Some(handle) = found {
                    self.departures.expired += 1;
                    self.dispose(hash, handle);
                }
                Slot::Vacant(VacantSlot { db: self, key, hash, now })
            }
        }
    }

    /// The entry at the key, to be changed, unless it has expired. It counts as used.
    #[inline]
    pub fn get_mut(&mut self, key: &[u8], now: UnixMs) -> Option<EntryMut<'_>> {
        let hash = self.hash(key);
        let handle = self.find(hash, key)?;
        if self.arena.entry(handle).is_expired(now) {
            return None;
        }
        self.eviction.used(&mut self.arena, handle, now);
        Some(EntryMut { db: self, handle, hash, now })
    }
}

impl<'a> VacantSlot<'a> {
    #[inline]
    pub fn insert(self, value: &[u8], encoding: Encoding, expiry: Option<UnixMs>) -> EntryMut<'a> {
        let VacantSlot { db, key, hash, now } = self;
        db.watched.modified(key);
        let handle = db.create(hash, key, &StoredValue::new(value, encoding), expiry, now);
        EntryMut { db, handle, hash, now }
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

    /// Replaces the value; key and expiry stay.
    #[inline]
    pub fn replace_string(&mut self, value: &[u8], encoding: Encoding) {
        let expiry = self.expiry();
        self.replace_string_and_expiry(value, encoding, expiry);
    }

    /// Replaces value and expiry; the key stays.
    #[inline]
    pub fn replace_string_and_expiry(
        &mut self,
        value: &[u8],
        encoding: Encoding,
        expiry: Option<UnixMs>,
    ) {
        let stored = StoredValue::new(value, encoding);
        self.reshape(stored.bytes().len(), 0, expiry);
        let mut view = self.db.arena.entry_mut(self.handle);
        view.set_encoding(stored.encoding());
        view.value_mut().copy_from_slice(stored.bytes());
    }

    /// Makes the string `len` bytes long, what is new of it zero, its encoding raw.
    pub fn resize_string(&mut self, len: usize) -> Result<&mut [u8], WrongType> {
        if self.encoding() == Encoding::Int {
            let digits = self.as_string()?.to_vec();
            self.replace_string(&digits, Encoding::Raw);
        }
        let kept = self.get().shape().value_len;
        let expiry = self.expiry();
        self.reshape(len, kept, expiry);
        let mut view = self.db.arena.entry_mut(self.handle);
        view.set_encoding(Encoding::Raw);
        Ok(view.value_mut())
    }

    pub fn set_expiry(&mut self, expiry: Option<UnixMs>) {
        let value_len = self.get().shape().value_len;
        self.reshape(value_len, value_len, expiry);
    }

    /// Gives the entry this length of value and this expiry. Of the old value at least the first
    /// `kept` bytes stay; new ones are zero.
    #[inline]
    fn reshape(&mut self, value_len: usize, kept: usize, expiry: Option<UnixMs>) {
        self.db.watched.modified(self.db.arena.entry(self.handle).key());
        let mut old = self.get().shape();
        let new = Shape { value_len, expires: expiry.is_some(), ..old };
        if Payload::gives_much_back(old.payload_len(), new.payload_len()) {
            self.rebuild(new, kept, expiry);
            return;
        }
        let moved = Shape { expires: new.expires, ..old };
        if old.expires != new.expires && old.is_large() && moved.is_large() && new.is_large() {
            self.move_payload(expiry);
            old = moved;
        }
        let is_same_form = old.expires == new.expires && old.is_large() == new.is_large();
        if !is_same_form || old.class(&self.db.arena) != new.class(&self.db.arena) {
            self.rebuild(new, kept, expiry);
            return;
        }
        if old.is_large() {
            self.resize_payload(old, new);
        } else if old.value_len != value_len {
            self.db.arena.entry_mut(self.handle).set_value_len(value_len);
        }
        if let Some(at) = expiry {
            self.db.arena.entry_mut(self.handle).write_expiry(at);
            self.db.arena.set_due(self.handle, due_second(at, self.now));
        }
    }

    fn resize_payload(&mut self, old: Shape, new: Shape) {
        let db = &mut *self.db;
        if old.value_len != new.value_len {
            db.arena.entry_mut(self.handle).resize_payload(new.value_len);
        }
        let (before, after) = (old.payload_bytes(), new.payload_bytes());
        db.payload_bytes = db.payload_bytes - before + after;
        db.huge_bytes = db.huge_bytes - old.huge_bytes() + new.huge_bytes();
        db.eviction.resized(&db.arena, self.handle, before, after);
    }

    /// Moves a large entry to a block that has an expiry or one that has none.
    fn move_payload(&mut self, expiry: Option<UnixMs>) {
        let db = &mut *self.db;
        let before = db.eviction.bytes_of(&db.arena, self.handle);
        let handle = db.arena.allocate_for_payload_of(self.handle, expiry);
        match expiry {
            Some(at) => {
                db.expiring += 1;
                db.arena.set_due(handle, due_second(at, self.now));
            }
            None => db.expiring -= 1,
        }
        db.take_place(self.hash, self.handle, handle);
        let after = db.eviction.bytes_of(&db.arena, handle);
        db.eviction.resized(&db.arena, handle, before, after);
        db.arena.free(self.handle);
        self.handle = handle;
    }

    /// Moves the entry to a block of another form.
    fn rebuild(&mut self, new: Shape, kept: usize, expiry: Option<UnixMs>) {
        let db = &mut *self.db;
        let old = db.arena.entry(self.handle);
        let (history, encoding, queue) = (old.history(), old.encoding(), old.queue());
        let bytes_before = db.eviction.bytes_of(&db.arena, self.handle);
        let kept = kept.min(new.value_len).min(old.shape().value_len);
        let mut scratch = std::mem::take(&mut db.scratch);
        scratch.clear();
        scratch.extend_from_slice(old.key());
        scratch.extend_from_slice(&old.stored_value()[..kept]);
        let (key, value) = scratch.split_at(new.key_len);
        let handle = db.arena.allocate_entry(key, value, new.value_len, expiry, queue);
        let mut view = db.arena.entry_mut(handle);
        view.copy_history(history);
        view.set_encoding(encoding);
        scratch.shrink_to(64 * 1024);
        db.scratch = scratch;
        db.account(handle, expiry, self.now);
        db.take_place(self.hash, self.handle, handle);
        let bytes_after = db.eviction.bytes_of(&db.arena, handle);
        db.eviction.resized(&db.arena, handle, bytes_before, bytes_after);
        db.free_block(self.handle);
        self.handle = handle;
    }
}

impl Db {
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
