//! One numbered database of one shard: the keys, their values, which of them expire, and what they
//! cost.

mod change;
mod collection;
mod compaction;
mod fields;
// They need more pages than there are under Miri.
#[cfg(all(test, not(miri)))]
mod edge_tests;
#[cfg(test)]
mod form_tests;
mod sweep;
#[cfg(test)]
mod tests;

use change::Footprint;
pub use change::{EntryMut, Slot, VacantSlot};
pub use collection::{CollectionMut, ObjectMut, PackedMut};

use super::arena::{Arena, Geometry, Handle};
use super::changes::{ChangeFeed, Event, Events};
use super::entry::{
    Encoding, EntryRef, Kind, NEVER, OBJECT_BYTES, Outside, PAYLOAD_BYTES, fits_inline,
    key_bytes_of,
};
use super::eviction::{Eviction, Policy, Usage};
use super::large::Payload;
use super::table::{KeyHasher, Table, TableCursor};
use super::value::{Content, OwnedValue, Remains, fields_due_of_run};
use super::{Item, UnixMs};

/// So many of a command's keys are brought into the cache together. The processor keeps hardly more
/// requests under way, and what is fetched too early is gone again.
pub const PREFETCHED_KEYS: usize = 16;

/// When EXPIRE and its like change an expiry; the NX, XX, GT and LT options. Without an expiry a
/// key counts as living for ever, so GT never applies to it and LT always does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpiryCondition {
    pub only_without: bool,
    pub only_with: bool,
    pub only_later: bool,
    pub only_earlier: bool,
}

impl ExpiryCondition {
    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        ExpiryCondition {
            only_without: self.only_without || other.only_without,
            only_with: self.only_with || other.only_with,
            only_later: self.only_later || other.only_later,
            only_earlier: self.only_earlier || other.only_earlier,
        }
    }

    pub fn allows(self, current: Option<UnixMs>, new: i64) -> bool {
        let current_or_ever = current.map_or(i64::MAX, |at| at.min(i64::MAX as u64) as i64);
        !(self.only_without && current.is_some()
            || self.only_with && current.is_none()
            || self.only_later && (current.is_none() || new <= current_or_ever)
            || self.only_earlier && current.is_some() && new >= current_or_ever)
    }
}

/// What is put into an entry's place for an expiry, if it needs one.
#[inline]
fn expiry_place(expiry: Option<UnixMs>, fields_due: Option<UnixMs>) -> Option<UnixMs> {
    expiry.or(fields_due.map(|_| NEVER))
}

/// Where a SCAN of one database of one shard goes on.
pub type ScanCursor = TableCursor;

/// What has left a database without a client's asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departures {
    pub expired: u64,
    pub expired_fields: u64,
    pub evicted: u64,
}

/// Invariants: the table holds the handle of each live block of the arena exactly once, by the hash
/// of its key, and each is in exactly one of the eviction queues. A test checks them all.
#[derive(Debug)]
pub struct Db {
    pub(super) table: Table,
    pub(super) arena: Arena,
    pub(super) eviction: Eviction,
    /// Entries that have an expiry.
    expiring: usize,
    /// Hashes of which fields expire.
    field_expiring: usize,
    /// Entries that hold something outside of the arena, and what that is.
    with_outside: usize,
    outside: Outside,
    /// Memory that a value may lie in which is about to be stored: see [`Db::lend`].
    lent: Option<Payload>,
    /// Large values that are still to be freed, in slices.
    pub(super) remains: Vec<Remains>,
    pub(super) departures: Departures,
    pub changes: ChangeFeed,
    /// Where the sweep for expired entries goes on.
    sweep: sweep::Place,
    compaction: compaction::Place,
    /// While the database is taken apart: what is left of a segment, for the sake of what is outside.
    dying: Vec<Handle>,
}

impl Db {
    pub fn new(hasher: KeyHasher, geometry: Geometry, policy: Policy) -> Self {
        Db {
            table: Table::new(hasher),
            arena: Arena::new(geometry),
            eviction: Eviction::new(policy),
            expiring: 0,
            field_expiring: 0,
            with_outside: 0,
            outside: Outside::default(),
            lent: None,
            remains: Vec::new(),
            departures: Departures::default(),
            changes: ChangeFeed::default(),
            sweep: sweep::Place::default(),
            compaction: compaction::Place::default(),
            dying: Vec::new(),
        }
    }

    /// An empty database for the place of this one, with all that does not belong to its entries.
    pub(super) fn fresh(&mut self) -> Db {
        let hasher = self.table.hasher().clone();
        let mut fresh = Db::new(hasher, self.arena.geometry().clone(), self.eviction.policy());
        fresh.departures = self.departures;
        fresh.changes = std::mem::take(&mut self.changes);
        fresh
    }

    /// Keys, those included whose expiry has passed and whose memory the sweep has yet to reclaim.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn expiring(&self) -> usize {
        self.expiring
    }

    /// Hashes of which fields expire.
    pub fn field_expiring(&self) -> usize {
        self.field_expiring
    }

    /// Whether there is anything for the sweep to wait for.
    pub fn has_due(&self) -> bool {
        self.expiring > 0 || self.field_expiring > 0
    }

    /// Bytes that the entries and everything that is kept about them hold.
    #[inline]
    pub fn allocated_bytes(&self) -> usize {
        self.entry_bytes()
            + self.table.allocated_bytes()
            + self.arena.table_bytes()
            + self.eviction.allocated_bytes()
    }

    /// Bytes that the entries hold.
    #[inline]
    pub fn entry_bytes(&self) -> usize {
        self.arena.live_bytes() + self.outside.bytes
    }

    /// Bytes of the pages that entries are in, beyond those of the entries.
    pub fn unused_bytes(&self) -> usize {
        self.arena.held_bytes() - self.arena.live_bytes()
    }

    /// Bytes of pages and of mapped payloads.
    pub fn mapped_bytes(&self) -> usize {
        self.arena.resident_bytes() + self.outside.mapped_bytes
    }

    /// Whether there may be no room for what a command brings.
    pub fn is_nearly_full(&self) -> bool {
        self.arena.is_nearly_full()
    }

    /// Bytes that an entry of this database costs: its block, what it holds outside of it and its
    /// part of the table.
    pub fn cost_of(&self, entry: EntryRef<'_>) -> usize {
        let block = self.arena.class_bytes(self.arena.class_of_block(entry.handle_in(&self.arena)));
        block + entry.outside().bytes + self.table.allocated_bytes().div_ceil(self.len().max(1))
    }

    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<Handle> {
        self.table.find(&self.arena, hash, key)
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        self.table.hasher().hash(key)
    }

    /// The entry at the key, unless it has expired. This does not count as a use of it.
    #[inline]
    pub fn get(&self, key: &[u8], now: UnixMs) -> Option<EntryRef<'_>> {
        let entry = self.arena.entry(self.find(self.hash(key), key)?);
        (!entry.is_expired(now)).then_some(entry)
    }

    /// The entry at the key, unless it has expired, as used now.
    #[inline]
    pub fn use_entry(&mut self, key: &[u8], now: UnixMs) -> Option<EntryRef<'_>> {
        let handle = self.find(self.hash(key), key)?;
        if self.arena.entry(handle).is_expired(now) {
            self.expire(self.hash(key), handle);
            return None;
        }
        self.eviction.used(&mut self.arena, handle, now);
        Some(self.arena.entry(handle))
    }

    /// Brings what a look-up of the key will read into the cache.
    #[inline]
    pub fn prefetch(&self, key: &[u8]) {
        self.table.prefetch(&self.arena, key);
    }

    /// As [`Db::prefetch`] for the next [`PREFETCHED_KEYS`] of a command's keys.
    pub fn prefetch_some<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        keys.take(PREFETCHED_KEYS).for_each(|key| self.prefetch(key));
    }

    pub fn contains(&self, key: &[u8], now: UnixMs) -> bool {
        self.get(key, now).is_some()
    }

    /// Puts the item at its key, whatever was there. The key counts as new, as in Redis those of
    /// RENAME, MOVE and COPY do.
    pub fn insert(&mut self, item: Item, now: UnixMs, event: Event) {
        let Item { key, value, expiry } = item;
        self.put(&key, (value, expiry), now, event, true);
    }

    /// As [`Db::insert`], but a key that is there already is no new one, as that of ZUNIONSTORE is
    /// none in Redis.
    pub fn overwrite(&mut self, item: Item, now: UnixMs, event: Event) {
        let Item { key, value, expiry } = item;
        self.put(&key, (value, expiry), now, event, false);
    }

    /// Says of an entry how it was used elsewhere, as far as the eviction policy keeps that.
    pub fn set_usage(&mut self, key: &[u8], usage: Usage, now: UnixMs) {
        if let Some(handle) = self.find(self.hash(key), key) {
            self.eviction.set_usage(&mut self.arena, handle, usage, now);
        }
    }

    fn put(
        &mut self,
        key: &[u8],
        (value, expiry): (OwnedValue, Option<UnixMs>),
        now: UnixMs,
        event: Event,
        is_always_new: bool,
    ) {
        let hash = self.hash(key);
        let mut old = self.find(hash, key);
        if let Some(expired) = old.take_if(|old| self.arena.entry(*old).is_expired(now)) {
            self.expire(hash, expired);
        }
        if self.changes.is_listening() {
            self.changes.show(key, old.map(|old| self.arena.entry(old)));
            match old {
                Some(_) if !is_always_new => self.changes.tell(key, event.into()),
                _ => self.changes.tell_new(key, event.into()),
            }
        }
        if let Some(old) = old {
            self.dispose(hash, old);
        }
        self.create_owned(hash, key, value, expiry, now);
    }

    /// Gives the entry at `key` the name `new_key`, whatever was there; whether there was one that
    /// had not expired. Its value is copied only as far as it lies in its block.
    pub fn rename(&mut self, key: &[u8], new_key: &[u8], now: UnixMs) -> bool {
        let taken = self.take_value(key, now, Event::RenameFrom);
        let is_there = taken.is_some();
        if let Some(taken) = taken {
            self.put(new_key, taken, now, Event::RenameTo, true);
        }
        is_there
    }

    /// Sets the key to a string, whatever was there, with this expiry or none.
    #[inline]
    pub fn set_string(
        &mut self,
        key: &[u8],
        value: &[u8],
        encoding: Encoding,
        expiry: Option<UnixMs>,
        now: UnixMs,
        event: impl Into<Events>,
    ) {
        match self.slot(key, now, event) {
            Slot::Occupied(mut entry) => entry.replace_string_and_expiry(value, encoding, expiry),
            Slot::Vacant(slot) => {
                slot.insert(value, encoding, expiry);
            }
        }
    }

    /// Drops the entry at a key; whether there was one that had not expired.
    pub fn remove(&mut self, key: &[u8], now: UnixMs, event: Event) -> bool {
        let hash = self.hash(key);
        let Some(handle) = self.find(hash, key) else { return false };
        if self.arena.entry(handle).is_expired(now) {
            self.expire(hash, handle);
            return false;
        }
        self.tell(handle, event.into());
        self.dispose(hash, handle);
        true
    }

    /// Takes the entry out, unless it has expired (then it is dropped).
    pub fn take(&mut self, key: &[u8], now: UnixMs, event: Event) -> Option<Item> {
        let (value, expiry) = self.take_value(key, now, event)?;
        Some(Item { key: key.into(), value, expiry })
    }

    fn take_value(
        &mut self,
        key: &[u8],
        now: UnixMs,
        event: Event,
    ) -> Option<(OwnedValue, Option<UnixMs>)> {
        let hash = self.hash(key);
        let handle = self.find(hash, key)?;
        let entry = self.arena.entry(handle);
        let expiry = entry.expiry();
        if entry.is_expired(now) {
            self.expire(hash, handle);
            return None;
        }
        self.tell(handle, event.into());
        let before = self.footprint(handle);
        let fields_expired = self.arena.entry(handle).fields_due().is_some();
        let value = self.arena.entry_mut(handle).take_value();
        // What lies in the block stays there until that is freed.
        let fields_expire = self.arena.entry(handle).fields_due().is_some();
        self.field_expiring -= usize::from(fields_expired) - usize::from(fields_expire);
        self.settle(handle, before);
        self.dispose(hash, handle);
        Some((value, expiry))
    }

    /// Visits entries from `cursor` on until about `count` have been seen, and says where to go on;
    /// `None` at the end. Expired entries are not shown.
    pub fn scan(
        &self,
        cursor: ScanCursor,
        count: usize,
        now: UnixMs,
        mut visit: impl FnMut(EntryRef<'_>),
    ) -> Option<ScanCursor> {
        self.table.scan(cursor, count, |handle| {
            let entry = self.arena.entry(handle);
            if !entry.is_expired(now) {
                visit(entry);
            }
        })
    }

    pub fn iter(&self, now: UnixMs) -> impl Iterator<Item = EntryRef<'_>> {
        let entries = self.table.iter().map(|handle| self.arena.entry(handle));
        entries.filter(move |entry| !entry.is_expired(now))
    }

    /// A key chosen at random; `None` if there is none that has not expired.
    pub fn random(
        &self,
        now: UnixMs,
        mut next_random: impl FnMut() -> u64,
    ) -> Option<EntryRef<'_>> {
        for _ in 0..100 {
            let entry = self.arena.entry(self.table.random(&mut next_random)?);
            if !entry.is_expired(now) {
                return Some(entry);
            }
        }
        self.iter(now).next()
    }

    /// Until it is taken back, a value that is stored from this very memory is not copied.
    pub fn lend(&mut self, lent: Option<Payload>) {
        self.lent = lent;
    }

    /// A payload of these bytes.
    fn payload_of(&self, bytes: &[u8]) -> Payload {
        let lent = self.lent.as_ref().filter(|lent| std::ptr::eq(lent.as_slice(), bytes));
        lent.map_or_else(|| Payload::copy_of(bytes), Payload::share)
    }

    pub(super) fn set_policy(&mut self, policy: Policy) {
        self.eviction.set_policy(policy);
    }

    /// Gives memory that nothing lives in back to the system.
    pub fn trim(&mut self) {
        self.arena.trim();
    }

    /// Tells whoever listens that an entry is about to change.
    #[inline]
    pub(super) fn tell(&mut self, handle: Handle, events: Events) {
        if self.changes.is_listening() {
            let entry = self.arena.entry(handle);
            self.changes.show(entry.key(), Some(entry));
            self.changes.tell(entry.key(), events);
        }
    }

    // Blocks.

    /// A new entry in the table, the queues and the accounts.
    #[inline]
    fn create(
        &mut self,
        hash: u64,
        key: &[u8],
        bytes: &[u8],
        (kind, encoding): (Kind, Encoding),
        expiry: Option<UnixMs>,
        now: UnixMs,
    ) -> Handle {
        let inline = fits_inline(key_bytes_of(key.len()), bytes.len());
        let room = if inline { bytes.len() } else { PAYLOAD_BYTES };
        let place = expiry_place(expiry, fields_due_of_run(encoding, bytes));
        let handle = self.arena.allocate_entry(key, room, place, Eviction::FIRST_QUEUE);
        let payload = (!inline).then(|| self.payload_of(bytes));
        let mut view = self.arena.entry_mut(handle);
        view.set_kind(kind, encoding);
        match payload {
            None => view.write_inline(bytes),
            Some(payload) => view.put_payload(payload),
        }
        self.enlist(hash, handle, now);
        handle
    }

    /// As [`Db::create`] of a value that is there already.
    fn create_owned(
        &mut self,
        hash: u64,
        key: &[u8],
        value: OwnedValue,
        expiry: Option<UnixMs>,
        now: UnixMs,
    ) -> Handle {
        let place = expiry_place(expiry, value.fields_due());
        let OwnedValue { kind, encoding, content } = value;
        let room = match &content {
            Content::Bytes(bytes) => {
                return self.create(hash, key, bytes, (kind, encoding), expiry, now);
            }
            Content::Payload(_) => PAYLOAD_BYTES,
            Content::Object(_) => OBJECT_BYTES,
        };
        let handle = self.arena.allocate_entry(key, room, place, Eviction::FIRST_QUEUE);
        let mut view = self.arena.entry_mut(handle);
        view.set_kind(kind, encoding);
        match content {
            Content::Bytes(bytes) => view.write_inline(&bytes),
            Content::Payload(payload) => view.put_payload(payload),
            Content::Object(object) => view.put_object(object),
        }
        self.enlist(hash, handle, now);
        handle
    }

    /// Puts a new block into the table, the queues and the accounts.
    #[inline]
    fn enlist(&mut self, hash: u64, handle: Handle, now: UnixMs) {
        self.arena.entry_mut(handle).set_accessed(now);
        self.table.insert(&self.arena, hash, handle);
        let entry = self.arena.entry(handle);
        if entry.expires() {
            self.expiring += usize::from(entry.expiry().is_some());
            self.field_expiring += usize::from(entry.fields_due().is_some());
            self.schedule(handle, now);
        }
        if self.arena.entry(handle).has_outside() {
            let after = self.footprint(handle);
            self.count_outside(Footprint::default(), after);
        }
        self.eviction.added(&mut self.arena, handle, hash);
    }

    /// Drops an entry.
    fn dispose(&mut self, hash: u64, handle: Handle) {
        self.table.remove(&self.arena, hash, handle);
        self.eviction.removed(&mut self.arena, handle);
        self.free_block(handle);
    }

    /// Frees a block that table and queues have forgotten, and what it holds outside; returns how
    /// much that was.
    fn free_block(&mut self, handle: Handle) -> usize {
        let entry = self.arena.entry(handle);
        if entry.expires() {
            self.expiring -= usize::from(entry.expiry().is_some());
            self.field_expiring -= usize::from(entry.fields_due().is_some());
        }
        let mut outside_bytes = 0;
        if entry.has_outside() {
            let before = self.footprint(handle);
            self.count_outside(before, Footprint::default());
            outside_bytes = before.outside_bytes();
            let mut view = self.arena.entry_mut(handle);
            let (payload, object) = (view.take_payload(), view.take_object());
            let key = view.take_key_payload();
            self.free_payload(payload);
            self.free_object(object);
            self.free_payload(key);
        }
        self.arena.free(handle);
        outside_bytes
    }

    /// Drops an entry whose expiry has passed.
    #[cold]
    pub(super) fn expire(&mut self, hash: u64, handle: Handle) {
        self.departures.expired += 1;
        self.tell(handle, Event::Expired.into());
        self.dispose(hash, handle);
    }

    /// Drops an entry to make room, and returns the hash of its key.
    pub(super) fn drop_victim(&mut self, handle: Handle) -> u64 {
        let hash = self.hash(self.arena.entry(handle).key());
        self.departures.evicted += 1;
        self.tell(handle, Event::Evicted.into());
        self.dispose(hash, handle);
        hash
    }

    /// Takes the database apart piece by piece; false when nothing is left.
    pub(super) fn take_apart(&mut self) -> bool {
        /// Segments with up to 2,048 handles each, entries that hold something outside of their
        /// blocks and how much that is, and pages of memory.
        const SEGMENTS: usize = 16;
        const ENTRIES: usize = 128;
        const OUTSIDE_BYTES: usize = 1 << 20;
        const PAGES: usize = 16;
        if let Some(last) = self.remains.last_mut() {
            if !last.free_slice() {
                self.remains.pop();
            }
            return true;
        }
        let mut freed_bytes = 0;
        for _ in 0..ENTRIES {
            if self.with_outside == 0 || freed_bytes >= OUTSIDE_BYTES {
                break;
            }
            freed_bytes += self.free_dying();
        }
        if self.with_outside > 0 {
            return true;
        }
        for _ in 0..SEGMENTS {
            if self.table.take_apart().is_none() {
                return self.arena.take_apart(PAGES);
            }
        }
        true
    }
}

impl Db {
    /// Frees one entry of a database that is taken apart, and returns how much that was outside of
    /// its block.
    fn free_dying(&mut self) -> usize {
        while self.dying.is_empty() {
            let Some(handles) = self.table.take_apart() else { return 0 };
            self.dying.extend(handles);
        }
        self.dying.pop().map_or(0, |handle| self.free_block(handle))
    }
}

impl Drop for Db {
    /// What lies outside of the arena is the only memory that does not go by itself.
    fn drop(&mut self) {
        while self.with_outside > 0 {
            self.free_dying();
        }
    }
}
