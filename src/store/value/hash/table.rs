//! A large hash: a table of its fields, and an index of those that expire.

use std::collections::BTreeSet;

use super::{Field, FieldExpiry, Fields};
use crate::store::UnixMs;
use crate::store::value::dict::Dict;
use crate::text::number::Digits;

/// Bytes of the index for a field that expires: 16 in nodes that are at least half full.
const DUE_BYTES: usize = 32;

/// Invariant: `due` holds, for every field that expires, when, and the hash of its name.
#[derive(Clone, Debug)]
pub struct Hash {
    fields: Dict,
    due: BTreeSet<(UnixMs, u64)>,
}

impl Hash {
    /// See [`Dict::new`] about the seed.
    pub fn new(seed: u64) -> Hash {
        Hash { fields: Dict::new(seed), due: BTreeSet::new() }
    }

    pub fn from_fields(fields: Fields<'_>, seed: u64) -> Hash {
        let mut hash = Hash::new(seed);
        let (mut name, mut value) = (Digits::default(), Digits::default());
        for field in fields.iter() {
            let expiry = field.expiry.map_or(FieldExpiry::Clear, FieldExpiry::At);
            hash.set(field.name.text(&mut name), field.value.text(&mut value), expiry, 0);
        }
        hash
    }

    /// Fields, those included that have expired and were not dropped yet.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Fields that have expired and were not dropped yet; takes time by their number.
    pub fn expired(&self, now: UnixMs) -> usize {
        self.due.range(..=(now, u64::MAX)).count()
    }

    pub fn heap_bytes(&self) -> usize {
        self.fields.heap_bytes() + self.due.len() * DUE_BYTES
    }

    /// When the first field is due, if any expires.
    #[inline]
    pub fn earliest(&self) -> Option<UnixMs> {
        self.due.first().map(|&(at, _)| at)
    }

    #[inline]
    pub fn get(&self, name: &[u8], now: UnixMs) -> Option<Field<'_>> {
        self.fields.get(name).map(Field::from).filter(|field| !field.is_expired(now))
    }

    /// Gives a field a value; whether there was none.
    pub fn set(&mut self, name: &[u8], value: &[u8], expiry: FieldExpiry, now: UnixMs) -> bool {
        if self.due.is_empty() && !matches!(expiry, FieldExpiry::At(_)) {
            return self.fields.set(name, value, None);
        }
        let stored = self.fields.get(name).and_then(|item| item.expiry);
        let expired = stored.is_some_and(|at| at <= now);
        let new = expiry.resolve(stored.filter(|_| !expired));
        self.reindex(name, stored, new);
        self.fields.set(name, value, new) || expired
    }

    /// Removes a field, shown before it goes.
    pub fn remove<R>(
        &mut self,
        name: &[u8],
        now: UnixMs,
        show: impl FnOnce(Field<'_>) -> R,
    ) -> Option<R> {
        let (expiry, shown) = self.fields.remove(name, |item| {
            let field = Field::from(item);
            (field.expiry, (!field.is_expired(now)).then(|| show(field)))
        })?;
        self.reindex(name, expiry, None);
        shown
    }

    /// Gives a field that is there this expiry or none.
    pub fn set_expiry(&mut self, name: &[u8], expiry: Option<UnixMs>) {
        let Some(stored) = self.fields.get(name).map(|item| item.expiry) else { return };
        self.reindex(name, stored, expiry);
        self.fields.set_expiry(name, expiry);
    }

    fn reindex(&mut self, name: &[u8], old: Option<UnixMs>, new: Option<UnixMs>) {
        if old == new {
            return;
        }
        let hash = self.fields.hash_of(name);
        if let Some(at) = old {
            self.due.remove(&(at, hash));
        }
        if let Some(at) = new {
            self.due.insert((at, hash));
        }
    }

    /// Drops up to `count` fields that have expired; gives how many there were.
    pub fn drop_expired(&mut self, now: UnixMs, count: usize) -> usize {
        let mut dropped = 0;
        while dropped < count
            && let Some(&(at, hash)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            dropped += self.fields.remove_of_hash(hash, |item| item.expiry == Some(at));
        }
        dropped
    }

    pub fn iter(&self, now: UnixMs) -> impl Iterator<Item = Field<'_>> {
        self.fields.iter().map(Field::from).filter(move |field| !field.is_expired(now))
    }

    /// See [`Dict::scan`].
    pub fn scan(&self, cursor: u64, now: UnixMs, mut show: impl FnMut(Field<'_>)) -> u64 {
        self.fields.scan(cursor, |item| {
            let field = Field::from(item);
            if !field.is_expired(now) {
                show(field);
            }
        })
    }

    /// A field chosen by random numbers, every one as likely as any other.
    pub fn random(&self, now: UnixMs, mut next_random: impl FnMut() -> u64) -> Option<Field<'_>> {
        const ATTEMPTS: usize = 100;
        for _ in 0..ATTEMPTS {
            let field = Field::from(self.fields.random(&mut next_random)?);
            if !field.is_expired(now) {
                return Some(field);
            }
        }
        // Nearly all have expired.
        let live = (self.len() - self.expired(now).min(self.len())) as u64;
        let nth = next_random().checked_rem(live)?;
        self.iter(now).nth(usize::try_from(nth).ok()?)
    }

    /// Frees some of what it holds, about `budget` allocations; true while there is more.
    pub fn free_slice(&mut self, budget: usize) -> bool {
        for _ in 0..budget {
            if self.due.pop_first().is_none() {
                return self.fields.free_slice(budget);
            }
        }
        true
    }
}
