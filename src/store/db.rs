//! One numbered database of one shard: the keys, which of them expire, and what they cost.

use std::ops::{Deref, DerefMut};

use super::entry::{Encoding, Entry};
use super::table::{KeyHasher, Place, Table, TableCursor, VacantPlace};
use super::watched::WatchedKeys;
use super::{ShardStats, UnixMs};

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
    pub fn allows(self, current: Option<UnixMs>, new: i64) -> bool {
        let current_or_ever = current.map_or(i64::MAX, |at| at.min(i64::MAX as u64) as i64);
        !(self.only_without && current.is_some()
            || self.only_with && current.is_none()
            || self.only_later && (current.is_none() || new <= current_or_ever)
            || self.only_earlier && current.is_some() && new >= current_or_ever)
    }
}

/// Where a SCAN of one database of one shard goes on.
pub type ScanCursor = TableCursor;

#[derive(Debug)]
pub struct Db {
    table: Table,
    /// Entries that have an expiry.
    expiring: usize,
    /// Bytes of the allocator that the entries hold.
    entry_bytes: usize,
    /// Where the sweep for expired entries goes on.
    sweep: TableCursor,
    hasher: KeyHasher,
    pub watched: WatchedKeys,
}

impl Db {
    pub fn new(hasher: KeyHasher) -> Self {
        Db {
            table: Table::new(hasher.clone()),
            expiring: 0,
            entry_bytes: 0,
            sweep: TableCursor::default(),
            hasher,
            watched: WatchedKeys::default(),
        }
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

    /// Bytes that the entries and their table hold.
    pub fn allocated_bytes(&self) -> usize {
        self.entry_bytes + self.table.allocated_bytes()
    }

    /// Bytes that the entries hold, without their table.
    pub fn entry_bytes(&self) -> usize {
        self.entry_bytes
    }

    /// The entry at the key, unless it has expired.
    #[inline]
    pub fn get(&self, key: &[u8], now: UnixMs) -> Option<&Entry> {
        self.table.get(key).filter(|entry| !entry.is_expired(now))
    }

    /// See [`Table::prefetch`].
    #[inline]
    pub fn prefetch(&self, key: &[u8]) {
        self.table.prefetch(key);
    }

    pub fn contains(&self, key: &[u8], now: UnixMs) -> bool {
        self.get(key, now).is_some()
    }

    /// The entry at the key, to be changed; what it then holds is accounted when the guard drops.
    #[inline]
    pub fn get_mut(&mut self, key: &[u8], now: UnixMs) -> Option<EntryMut<'_>> {
        let entry = self.table.get_mut(key).filter(|entry| !entry.is_expired(now))?;
        let accounts = Accounts {
            entry_bytes: &mut self.entry_bytes,
            expiring: &mut self.expiring,
            watched: &mut self.watched,
        };
        Some(EntryMut::new(entry, accounts))
    }

    /// The key's entry or, where there is none, its place; the table is searched once for both.
    #[inline]
    pub fn slot<'a>(&'a mut self, key: &'a [u8], now: UnixMs) -> Slot<'a> {
        let accounts = Accounts {
            entry_bytes: &mut self.entry_bytes,
            expiring: &mut self.expiring,
            watched: &mut self.watched,
        };
        match self.table.place(key) {
            Place::Occupied(entry) if entry.is_expired(now) => {
                Slot::Vacant(VacantSlot::Expired(EntryMut::new(entry, accounts)))
            }
            Place::Occupied(entry) => Slot::Occupied(EntryMut::new(entry, accounts)),
            Place::Vacant(place) => Slot::Vacant(VacantSlot::Empty { key, place, accounts }),
        }
    }

    /// Puts the entry at its key; what was there comes back, unless it had expired.
    pub fn insert(&mut self, entry: Entry, now: UnixMs) -> Option<Entry> {
        self.watched.modified(entry.key());
        self.entry_bytes += entry.allocated_bytes();
        self.expiring += usize::from(entry.expiry().is_some());
        let replaced = self.table.insert(entry)?;
        self.forget(&replaced);
        Some(replaced).filter(|entry| !entry.is_expired(now))
    }

    /// Sets the key to a string, whatever was there, with this expiry or none.
    #[inline]
    pub fn set_string(
        &mut self,
        key: &[u8],
        value: &[u8],
        encoding: Encoding,
        expiry: Option<UnixMs>,
    ) {
        // An expired entry may be overwritten like any other: nothing of it stays. Time 0 is before
        // every expiry.
        match self.slot(key, 0) {
            Slot::Occupied(mut entry) => entry.replace_string_and_expiry(value, encoding, expiry),
            Slot::Vacant(slot) => slot.insert(Entry::string(key, value, encoding, expiry)),
        }
    }

    /// Takes the entry out, unless it has expired (then it is dropped).
    pub fn remove(&mut self, key: &[u8], now: UnixMs) -> Option<Entry> {
        let entry = self.table.remove(key)?;
        self.forget(&entry);
        let removed = Some(entry).filter(|entry| !entry.is_expired(now))?;
        self.watched.modified(key);
        Some(removed)
    }

    /// Drops everything; returns how many keys there were.
    pub fn clear(&mut self) -> usize {
        let len = self.len();
        let watched = std::mem::take(&mut self.watched);
        *self = Db { watched, ..Db::new(self.hasher.clone()) };
        len
    }

    /// See [`Table::scan`]; expired entries are not shown.
    pub fn scan(
        &self,
        cursor: ScanCursor,
        count: usize,
        now: UnixMs,
        mut visit: impl FnMut(&Entry),
    ) -> Option<ScanCursor> {
        self.table.scan(cursor, count, |entry| {
            if !entry.is_expired(now) {
                visit(entry);
            }
        })
    }

    pub fn iter(&self, now: UnixMs) -> impl Iterator<Item = &Entry> {
        self.table.iter().filter(move |entry| !entry.is_expired(now))
    }

    /// A key chosen at random; `None` if there is none that has not expired.
    pub fn random(&self, now: UnixMs, mut next_random: impl FnMut() -> u64) -> Option<&Entry> {
        for _ in 0..100 {
            let entry = self.table.random(&mut next_random)?;
            if !entry.is_expired(now) {
                return Some(entry);
            }
        }
        self.iter(now).next()
    }

    /// Looks at about `count` entries and drops those that have expired.
    pub fn sweep_expired(&mut self, count: usize, now: UnixMs, stats: &mut ShardStats) {
        if self.expiring == 0 {
            return;
        }
        let mut expired: Vec<Box<[u8]>> = Vec::new();
        let next = self.table.scan(self.sweep, count, |entry| {
            if entry.is_expired(now) {
                expired.push(entry.key().into());
            }
        });
        self.sweep = next.unwrap_or_default();
        for key in expired {
            // A key that the scan showed twice is gone the second time.
            if let Some(entry) = self.table.remove(&key) {
                self.forget(&entry);
                stats.expired_keys += 1;
            }
        }
    }

    fn forget(&mut self, entry: &Entry) {
        self.entry_bytes -= entry.allocated_bytes();
        self.expiring -= usize::from(entry.expiry().is_some());
    }
}

/// What is at a key: see [`Db::slot`].
pub enum Slot<'a> {
    Occupied(EntryMut<'a>),
    Vacant(VacantSlot<'a>),
}

/// The place of a key that has no entry, or one that has expired.
pub enum VacantSlot<'a> {
    Expired(EntryMut<'a>),
    Empty { key: &'a [u8], place: VacantPlace<'a>, accounts: Accounts<'a> },
}

impl VacantSlot<'_> {
    /// Puts the entry there; its key must be the one that the slot was asked for.
    #[inline]
    pub fn insert(self, entry: Entry) {
        match self {
            VacantSlot::Expired(mut expired) => {
                debug_assert_eq!(entry.key(), expired.key());
                *expired = entry;
            }
            VacantSlot::Empty { key, place, accounts } => {
                debug_assert_eq!(entry.key(), key);
                *accounts.entry_bytes += entry.allocated_bytes();
                *accounts.expiring += usize::from(entry.expiry().is_some());
                accounts.watched.modified(key);
                place.insert(entry);
            }
        }
    }
}

/// What in a database follows every change of an entry.
pub struct Accounts<'a> {
    entry_bytes: &'a mut usize,
    expiring: &'a mut usize,
    watched: &'a mut WatchedKeys,
}

/// An entry borrowed for a change, which keeps the database's accounts right.
pub struct EntryMut<'a> {
    entry: &'a mut Entry,
    bytes_before: usize,
    expired_before: bool,
    modified: bool,
    accounts: Accounts<'a>,
}

impl<'a> EntryMut<'a> {
    #[inline]
    fn new(entry: &'a mut Entry, accounts: Accounts<'a>) -> Self {
        EntryMut {
            bytes_before: entry.allocated_bytes(),
            expired_before: entry.expiry().is_some(),
            modified: false,
            entry,
            accounts,
        }
    }
}

impl Deref for EntryMut<'_> {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        self.entry
    }
}

impl DerefMut for EntryMut<'_> {
    fn deref_mut(&mut self) -> &mut Entry {
        self.modified = true;
        self.entry
    }
}

impl Drop for EntryMut<'_> {
    fn drop(&mut self) {
        if !self.modified {
            return;
        }
        let Accounts { entry_bytes, expiring, watched } = &mut self.accounts;
        watched.modified(self.entry.key());
        **entry_bytes = **entry_bytes - self.bytes_before + self.entry.allocated_bytes();
        **expiring = **expiring - usize::from(self.expired_before)
            + usize::from(self.entry.expiry().is_some());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn db() -> Db {
        Db::new(KeyHasher::new(7))
    }

    /// SplitMix64, for choices that only have to be repeatable.
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[test]
    fn behaves_like_a_map_and_keeps_its_accounts() {
        let mut db = db();
        let mut model: HashMap<Vec<u8>, (Vec<u8>, Option<u64>)> = HashMap::new();
        let mut state = 1;
        let operations = if cfg!(miri) { 2_000 } else { 200_000 };
        for now in 1..operations {
            let key = format!("key:{}", random(&mut state) % 5_000).into_bytes();
            let live = |entry: &(Vec<u8>, Option<u64>)| entry.1.is_none_or(|at| at > now);
            match random(&mut state) % 6 {
                5 => {
                    let expected = model.get(&key).filter(|entry| live(entry)).map(|e| &e.0[..]);
                    match db.slot(&key, now) {
                        Slot::Occupied(mut entry) => {
                            assert_eq!(Some(entry.as_string().unwrap()), expected);
                            entry.replace_string(b"changed", Encoding::Raw);
                            model.get_mut(&key).unwrap().0 = b"changed".to_vec();
                        }
                        Slot::Vacant(slot) => {
                            assert_eq!(expected, None);
                            slot.insert(Entry::string(&key, b"new", Encoding::Raw, None));
                            model.insert(key.clone(), (b"new".to_vec(), None));
                        }
                    };
                }
                0 | 1 => {
                    let value = vec![b'v'; (random(&mut state) % 200) as usize];
                    let expiry = random(&mut state).is_multiple_of(2).then_some(now + 1_000);
                    db.set_string(&key, &value, Encoding::Raw, expiry);
                    model.insert(key, (value, expiry));
                }
                2 => {
                    let expected = model.remove(&key).filter(live).map(|entry| entry.0);
                    let found = db.remove(&key, now);
                    assert_eq!(found.map(|e| e.as_string().unwrap().to_vec()), expected);
                }
                3 => {
                    let expected = model.get(&key).filter(|entry| live(entry)).map(|e| &e.0[..]);
                    assert_eq!(db.get(&key, now).map(|e| e.as_string().unwrap()), expected);
                }
                _ => {
                    let mut stats = ShardStats::default();
                    db.sweep_expired(10, now, &mut stats);
                }
            }
        }
        let entries: Vec<&Entry> = db.table.iter().collect();
        assert_eq!(db.entry_bytes, entries.iter().map(|e| e.allocated_bytes()).sum::<usize>());
        assert_eq!(db.expiring, entries.iter().filter(|e| e.expiry().is_some()).count());
        assert_eq!(db.len(), entries.len());
    }

    #[test]
    fn scan_shows_everything_that_stays_while_the_table_grows_and_shrinks() {
        let mut state = 3;
        for round in 0..if cfg!(miri) { 1 } else { 20 } {
            let mut db = db();
            let stays = if cfg!(miri) { 100 } else { 3_000 };
            for i in 0..stays {
                db.set_string(format!("stay:{i}").as_bytes(), b"", Encoding::Raw, None);
            }
            let mut seen = HashSet::new();
            let mut cursor = ScanCursor::default();
            let mut steps = 0;
            loop {
                let next = db.scan(cursor, 10, 0, |entry| {
                    seen.insert(entry.key().to_vec());
                });
                for _ in 0..random(&mut state) % 60 {
                    let key = format!("churn:{}", random(&mut state) % (1_000 << (round % 5)));
                    if random(&mut state).is_multiple_of(3) {
                        db.remove(key.as_bytes(), 0);
                    } else {
                        db.set_string(key.as_bytes(), b"x", Encoding::Raw, None);
                    }
                }
                steps += 1;
                assert!(steps < 20_000, "a scan must end");
                match next {
                    // Cursors travel through clients as numbers.
                    Some(next) => cursor = ScanCursor::from_bits(next.to_bits()),
                    None => break,
                }
            }
            for i in 0..stays {
                assert!(seen.contains(format!("stay:{i}").as_bytes()), "stay:{i} was missed");
            }
        }
    }

    #[test]
    fn any_number_is_a_cursor() {
        let mut db = db();
        for i in 0..5_000 {
            db.set_string(format!("{i}").as_bytes(), b"", Encoding::Raw, None);
        }
        let mut state = 5;
        for _ in 0..10_000 {
            let cursor = ScanCursor::from_bits(random(&mut state));
            db.scan(cursor, 1, 0, |_| {});
        }
    }
}
