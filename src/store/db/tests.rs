use std::collections::{HashMap, HashSet};

use super::*;
use crate::store::eviction::Order;
use crate::store::split_mix as random;

fn db_with(order: Order) -> Db {
    let policy = Policy { order, samples: 5, ..Policy::default() };
    Db::new(KeyHasher::new(7), Geometry::for_bytes(1 << 30), policy)
}

fn db() -> Db {
    db_with(Order::S3Fifo)
}

impl Db {
    /// Every invariant that the parts of a database have in common.
    pub(crate) fn check(&self) {
        let handles: Vec<Handle> = self.table.iter().collect();
        let distinct: HashSet<Handle> = handles.iter().copied().collect();
        assert_eq!(distinct.len(), handles.len());
        assert_eq!(self.len(), handles.len());
        let entries = || handles.iter().map(|handle| self.arena.entry(*handle));
        assert_eq!(self.expiring, entries().filter(|entry| entry.expiry().is_some()).count());
        let field_expiring = entries().filter(|entry| entry.fields_due().is_some()).count();
        assert_eq!(self.field_expiring, field_expiring);
        assert!(entries().all(|entry| entry.expires() || entry.due().is_none()));
        assert_eq!(self.with_outside, entries().filter(|entry| entry.has_outside()).count());
        let outside = |of: fn(Outside) -> usize| entries().map(|e| of(e.outside())).sum::<usize>();
        assert_eq!(self.outside.bytes, outside(|outside| outside.bytes));
        assert_eq!(self.outside.mapped_bytes, outside(|outside| outside.mapped_bytes));
        let block = |handle: Handle| self.arena.class_bytes(self.arena.class_of_block(handle));
        assert_eq!(self.arena.live_bytes(), handles.iter().map(|handle| block(*handle)).sum());
        for handle in &handles {
            let entry = self.arena.entry(*handle);
            assert!(entry.value_bytes() <= self.arena.room(*handle));
            assert_eq!(self.arena.class_of_block(*handle).expires(), entry.expires());
            assert_eq!(self.find(self.hash(entry.key()), entry.key()), Some(*handle));
            assert_eq!(entry.handle_in(&self.arena), *handle);
        }
        let queued = self.eviction.check(&self.arena);
        assert_eq!(queued, distinct);
        self.arena.check(handles.len());
    }
}

/// A naive database.
#[derive(Default)]
struct Model(HashMap<Vec<u8>, (Vec<u8>, Option<u64>)>);

impl Model {
    fn get(&self, key: &[u8], now: u64) -> Option<&[u8]> {
        let (value, expiry) = self.0.get(key)?;
        expiry.is_none_or(|at| at > now).then_some(value)
    }
}

/// Lengths on both sides of every change of form.
fn value(state: &mut u64) -> Vec<u8> {
    let len = match random(state) % 12 {
        0 => return (random(state) as i64 >> (random(state) % 64)).to_string().into_bytes(),
        1 => 8_000 + random(state) % 400,
        2 => random(state) % 20_000,
        3 if cfg!(not(miri)) && random(state).is_multiple_of(20) => {
            (1 << 20) - 20 + random(state) % 5_000
        }
        _ => random(state) % 200,
    };
    let byte = random(state) as u8;
    vec![byte; len as usize]
}

fn change(db: &mut Db, model: &mut Model, state: &mut u64, now: u64) {
    let key = match random(state) % 200 {
        0 => vec![b'k'; 8_000 + (random(state) % 300) as usize],
        _ => format!("key:{}", random(state) % 3_000).into_bytes(),
    };
    let expiry = random(state).is_multiple_of(2).then(|| now + random(state) % 5_000_000);
    let expected = model.get(&key, now).map(<[u8]>::to_vec);
    match random(state) % 9 {
        0 | 1 => {
            let value = value(state);
            db.set_string(&key, &value, Encoding::of_value(&value), expiry, now, Event::Set);
            model.0.insert(key, (value, expiry));
        }
        2 => {
            assert_eq!(db.remove(&key, now, Event::Del), expected.is_some());
            model.0.remove(&key);
        }
        3 => {
            let found = db.use_entry(&key, now).map(|entry| entry.as_string().unwrap().to_vec());
            assert_eq!(found, expected);
        }
        4 => match db.slot(&key, now, Event::Set) {
            Slot::Occupied(mut entry) => {
                let expected = expected.unwrap();
                let len = (expected.len() as u64 + random(state) % 300).saturating_sub(100);
                let value = entry.resize_string(len as usize).unwrap().to_vec();
                let mut resized = expected;
                resized.resize(len as usize, 0);
                assert_eq!(value, resized);
                model.0.get_mut(&key).unwrap().0 = resized;
            }
            Slot::Vacant(slot) => {
                assert_eq!(expected, None);
                slot.insert(b"new", Encoding::EmbStr, None);
                model.0.insert(key, (b"new".to_vec(), None));
            }
        },
        5 => {
            if let Some(mut entry) = db.get_mut(&key, now, Event::Expire) {
                assert_eq!(Some(entry.as_string().unwrap().to_vec()), expected);
                entry.set_expiry(expiry);
                model.0.get_mut(&key).unwrap().1 = expiry;
            }
        }
        6 => {
            let item = db.take(&key, now, Event::MoveFrom);
            let taken = item.as_ref().map(|item| item.key());
            assert_eq!(taken, expected.as_ref().map(|_| &key[..]));
            model.0.remove(&key);
            if let Some(item) = item {
                let (expiry, other) = (item.expiry(), [&key[..], b"'"].concat());
                db.insert(item.with_key(&other), now, Event::MoveTo);
                model.0.insert(other, (expected.unwrap(), expiry));
            }
        }
        7 => {
            db.sweep_expired(10, 50, now);
        }
        _ => {
            db.compact(20);
        }
    }
}

#[test]
fn behaves_like_a_map_and_keeps_its_accounts() {
    for order in [Order::S3Fifo, Order::Lru, Order::Lfu, Order::Random] {
        let (mut db, mut model, mut state) = (db_with(order), Model::default(), 1);
        let operations = if cfg!(miri) { 1_000 } else { 60_000 };
        for step in 1..operations {
            let now = step * 100;
            change(&mut db, &mut model, &mut state, now);
            if step % 10_000 == 0 {
                db.check();
            }
        }
        let now = operations * 100;
        db.check();
        for key in model.0.keys() {
            let found = db.get(key, now).map(|entry| entry.as_string().unwrap().to_vec());
            assert_eq!(found.as_deref(), model.get(key, now));
        }
        while db.take_apart() {}
        assert_eq!((db.with_outside, db.outside), (0, Outside::default()));
    }
}

/// What is evicted is gone, whatever the policy; everything else is as it was.
#[test]
fn evicts_under_every_policy() {
    let orders = [Order::S3Fifo, Order::Lru, Order::Lfu, Order::Random, Order::Ttl];
    for (order, only_expiring) in orders.into_iter().flat_map(|o| [(o, false), (o, true)]) {
        let policy = Policy { order, only_expiring, samples: 5, ..Policy::default() };
        let mut db = Db::new(KeyHasher::new(7), Geometry::for_bytes(1 << 30), policy);
        let mut state = 9;
        for number in 0..2_000_u64 {
            let expiry = number.is_multiple_of(2).then_some(1_000_000 + number);
            let value = value(&mut state);
            db.set_string(&number.to_be_bytes(), &value, Encoding::Raw, expiry, 1_000, Event::Set);
            db.use_entry(&(random(&mut state) % 2_000).to_be_bytes(), 1_000);
        }
        let can_go = if only_expiring { db.expiring() } else { db.len() };
        for gone in 0..can_go {
            assert!(db.evict(2_000), "{order:?} {only_expiring} {gone}");
            if gone % 500 == 0 {
                db.check();
            }
        }
        db.check();
        assert!(!db.evict(2_000));
        assert_eq!(db.len(), 2_000 - can_go);
        assert_eq!(db.departures.evicted, can_go as u64);
    }
}

#[test]
fn nothing_is_evicted_where_nothing_may_be() {
    let mut db = db_with(Order::Never);
    db.set_string(b"k", b"v", Encoding::EmbStr, Some(5), 0, Event::Set);
    assert!(!db.evict(0));
}

/// The memory of expired entries comes back, those included whose expiry is far away.
#[test]
fn sweeps_what_has_expired_and_nothing_else() {
    let mut db = db();
    let mut state = 4;
    let (start, hour) = (1_700_000_000_123, 3_600_000);
    let mut expiries = Vec::new();
    for number in 0..5_000_u64 {
        let at = start + random(&mut state) % (48 * hour);
        expiries.push(at);
        db.set_string(&number.to_be_bytes(), b"v", Encoding::EmbStr, Some(at), start, Event::Set);
    }
    // Ticks that skip: nobody looks for hours, as in a suspended machine.
    for now in (start..start + 50 * hour).step_by(hour as usize / 3) {
        // A second later at the most, and one more round.
        while db.sweep_expired(usize::MAX, 100, now + 1_000).more {}
        let kept = expiries.iter().filter(|at| **at > now + 1_000).count();
        assert!(db.len() >= kept);
        let late = expiries.iter().filter(|at| **at > now).count();
        assert!(db.len() <= late, "{} entries, {late} may be there", db.len());
    }
    assert_eq!(db.len(), 0);
    assert_eq!(db.departures.expired, 5_000);
    db.check();
}

/// After values of one size have made room for others, pages are no more than what lives in them
/// and a little.
#[test]
fn compaction_gives_pages_back() {
    let mut db = db();
    let count = if cfg!(miri) { 300 } else { 100_000_u64 };
    for number in 0..count {
        db.set_string(&number.to_be_bytes(), &[1; 100], Encoding::Raw, None, 0, Event::Set);
    }
    for number in 0..count {
        if number % 10 != 0 {
            db.remove(&number.to_be_bytes(), 0, Event::Del);
        }
    }
    let sparse = db.arena.held_bytes();
    while db.compact(50) {}
    db.check();
    assert!(cfg!(miri) || db.arena.held_bytes() * 3 < sparse);
    for number in (0..count).step_by(10) {
        let entry = db.get(&number.to_be_bytes(), 0).unwrap();
        assert_eq!(&*entry.as_string().unwrap(), &[1; 100]);
    }
}

#[test]
fn scan_shows_everything_that_stays_while_the_table_grows_and_shrinks() {
    let mut state = 3;
    for round in 0..if cfg!(miri) { 1 } else { 20 } {
        let mut db = db();
        let stays = if cfg!(miri) { 100 } else { 3_000 };
        for i in 0..stays {
            db.set_string(format!("stay:{i}").as_bytes(), b"", Encoding::Raw, None, 0, Event::Set);
        }
        // Some rounds begin large and become smaller all the while.
        let shrinks = round % 2 == 1;
        if shrinks {
            for i in 0..(1_000 << (round % 5)) {
                db.set_string(
                    format!("churn:{i}").as_bytes(),
                    b"",
                    Encoding::Raw,
                    None,
                    0,
                    Event::Set,
                );
            }
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
                if shrinks || random(&mut state).is_multiple_of(3) {
                    db.remove(key.as_bytes(), 0, Event::Del);
                } else {
                    db.set_string(key.as_bytes(), b"x", Encoding::Raw, None, 0, Event::Set);
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
        db.set_string(format!("{i}").as_bytes(), b"", Encoding::Raw, None, 0, Event::Set);
    }
    let mut state = 5;
    for _ in 0..10_000 {
        let cursor = ScanCursor::from_bits(random(&mut state));
        db.scan(cursor, 1, 0, |_| {});
    }
}

#[test]
#[cfg(not(miri))]
fn huge_values_are_neither_copied_for_an_expiry_nor_freed_at_once() {
    let mut db = db();
    let huge = vec![b'v'; 8 << 20];
    db.set_string(b"key", &huge, Encoding::Raw, None, 0, Event::Set);
    let address = |db: &Db| db.get(b"key", 0).unwrap().stored_value().as_ptr();
    let before = address(&db);
    for expiry in [Some(5_000), Some(6_000), None] {
        db.get_mut(b"key", 0, Event::Expire).unwrap().set_expiry(expiry);
        let entry = db.get(b"key", 0).unwrap();
        assert_eq!((entry.expiry(), entry.stored_value() == huge), (expiry, true));
        assert_eq!((address(&db), db.expiring()), (before, usize::from(expiry.is_some())));
        db.check();
    }
    for len in [2 << 20, 20_000] {
        db.set_string(b"key", &huge, Encoding::Raw, None, 0, Event::Set);
        db.remains.clear();
        db.set_string(b"key", &huge[..len], Encoding::Raw, None, 0, Event::Set);
        assert_eq!(db.remains.len(), 1, "{len}");
        assert_eq!(db.get(b"key", 0).unwrap().stored_value().len(), len);
        db.check();
    }
}
