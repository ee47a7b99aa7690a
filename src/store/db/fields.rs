//! Fields of hashes that expire: when the sweep is to look at their entries, and dropping them.

use super::change::{EntryMut, Slot};
use super::collection::CollectionMut;
use super::sweep::due_second;
use super::{Db, expiry_place};
use crate::store::arena::Handle;
use crate::store::changes::Event;
use crate::store::value::hash::{Fields, Layout, edit};
use crate::store::value::{Buffer, Hash};
use crate::store::{UnixMs, WrongType};

/// Fields that a command drops at once when it changes a large hash; the sweep has the rest.
const DROPPED_AT_ONCE_MAX: usize = 128;

impl Db {
    /// Has the sweep look at an entry when it or the first of its fields is due. Its block has a
    /// place for an expiry.
    #[inline]
    pub(super) fn schedule(&mut self, handle: Handle, now: UnixMs) {
        let due = self.arena.entry(handle).due().unwrap_or(UnixMs::MAX);
        self.arena.set_due(handle, due_second(due, now));
    }

    /// Drops up to about `count` expired fields of a hash, and the entry with its last field. Gives how
    /// many fields it was.
    pub(super) fn sweep_fields(&mut self, handle: Handle, now: UnixMs, count: usize) -> usize {
        let hash = self.hash(self.arena.entry(handle).key());
        let entry = EntryMut { db: self, handle, hash, now, untold: None };
        let (entry, dropped) = entry.drop_expired_fields(count);
        if entry.get().is_empty_hash() {
            entry.remove();
        }
        dropped
    }
}

impl<'a> Slot<'a> {
    /// Without those fields of a hash that have expired: the slot of `key` is vacant if it had no
    /// others.
    #[inline]
    pub fn without_expired_fields(self, key: &'a [u8]) -> Slot<'a> {
        match self {
            Slot::Occupied(entry) if entry.has_expired_fields() => entry.drop_or_vacate(key),
            slot => slot,
        }
    }
}

impl<'a> EntryMut<'a> {
    /// After a change of a hash of which `expired` says whether fields expired before it: has the
    /// sweep look at it in time.
    pub(super) fn fields_changed(&mut self, expired: bool) {
        let due = self.get().fields_due();
        self.db.field_expiring =
            self.db.field_expiring - usize::from(expired) + usize::from(due.is_some());
        if due.is_some() {
            self.place_expiry(expiry_place(self.expiry(), due));
        }
    }

    #[inline]
    fn has_expired_fields(&self) -> bool {
        self.get().fields_due().is_some_and(|at| at <= self.now)
    }

    #[cold]
    fn drop_or_vacate(self, key: &'a [u8]) -> Slot<'a> {
        let events = self.untold;
        let (mut entry, _) = self.drop_expired_fields(DROPPED_AT_ONCE_MAX);
        if !entry.get().is_empty_hash() {
            entry.untold = events;
            return Slot::Occupied(entry);
        }
        Slot::Vacant(entry.vacate(key, events.unwrap_or(Event::HDel.into())))
    }

    /// Drops fields of a hash that have expired, up to about `count`, which is told as `hexpired`;
    /// gives how many it was. What is left may be empty.
    fn drop_expired_fields(mut self, count: usize) -> (EntryMut<'a>, usize) {
        self.untold = Some(Event::HExpired.into());
        let now = self.now;
        let (entry, dropped) = match self.into_collection::<Hash>() {
            Ok(CollectionMut::Packed(mut run)) => {
                let expired = Fields::new(run.bytes(), Layout::Triples).expired(now);
                run.reschedule(|run| edit::remove_first(run, Layout::Triples, expired));
                (run.into_entry(), expired)
            }
            Ok(CollectionMut::Object(mut object)) => {
                let dropped = object.update(|hash| hash.drop_expired(now, count));
                (object.into_entry(), dropped)
            }
            Err(WrongType) => unreachable!("only of hashes do fields expire"),
        };
        entry.db.departures.expired_fields += dropped as u64;
        (entry, dropped)
    }
}
