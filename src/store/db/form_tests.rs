//! Values in all of their forms, on their way from one to another.

use std::collections::HashMap;

use super::*;
use crate::store::entry::CollectionRef;
use crate::store::eviction::Order;
use crate::store::split_mix as random;
use crate::store::value::list::Limit;
use crate::store::value::{Buffer, Collection, End, List};
use crate::store::{Shard, WrongType};

fn db() -> Db {
    let policy = Policy { order: Order::S3Fifo, ..Policy::default() };
    Db::new(KeyHasher::new(7), Geometry::for_bytes(1 << 30), policy)
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(Vec<u8>),
    Packed(Vec<u8>),
    Elements(Vec<Vec<u8>>),
}

fn value_of(entry: EntryRef<'_>) -> Value {
    match entry.collection::<List>() {
        Ok(CollectionRef::Packed(bytes)) => {
            assert_eq!(entry.encoding(), Encoding::Listpack);
            Value::Packed(bytes.to_vec())
        }
        Ok(CollectionRef::Object(list)) => {
            assert_eq!(entry.encoding(), Encoding::Quicklist);
            Value::Elements(list.iter().map(|element| element.to_vec()).collect())
        }
        Err(WrongType) => Value::Text(entry.as_string().unwrap().to_vec()),
    }
}

fn list_of(elements: &[Vec<u8>]) -> List {
    let mut list = List::new();
    for element in elements {
        list.push(End::Back, element, Limit::default()).unwrap();
    }
    list
}

type Model = HashMap<Vec<u8>, (Value, Option<u64>)>;

fn key(state: &mut u64) -> Vec<u8> {
    match random(state) % 40 {
        0 => vec![b'k'; 8_080 + (random(state) % 20) as usize],
        _ => format!("key:{}", random(state) % 200).into_bytes(),
    }
}

fn bytes(state: &mut u64) -> Vec<u8> {
    let len = match random(state) % 10 {
        0 => 4_000 + random(state) % 5_000,
        1 => random(state) % 20_000,
        _ => random(state) % 100,
    };
    vec![random(state) as u8; len as usize]
}

/// Changes a collection that is there, in whatever form it is.
fn edit(entry: EntryMut<'_>, model: &mut Model, key: &[u8], state: &mut u64) {
    let Ok(collection) = entry.into_collection::<List>() else { return };
    let (value, _) = model.get_mut(key).unwrap();
    match (collection, value) {
        (CollectionMut::Packed(packed), value) if random(state).is_multiple_of(8) => {
            let elements = vec![bytes(state), packed.bytes().to_vec()];
            let converted = packed.convert(list_of(&elements));
            assert_eq!(converted.get().len(), 2);
            *value = Value::Elements(elements);
        }
        (CollectionMut::Packed(mut packed), Value::Packed(expected)) => {
            let at = (random(state) % (expected.len() as u64 + 1)) as usize;
            let removed = (random(state) % (expected.len() - at + 1) as u64) as usize / 2;
            let inserted = bytes(state);
            packed.splice(at, removed, inserted.len()).copy_from_slice(&inserted);
            expected.splice(at..at + removed, inserted);
            assert_eq!(packed.bytes(), expected);
        }
        (CollectionMut::Object(mut object), Value::Elements(expected)) => {
            if random(state).is_multiple_of(3) {
                let popped =
                    object.update_if(|list| list.pop(End::Front, |element| element.to_vec()));
                assert_eq!(popped.as_deref(), expected.first().map(Vec::as_slice));
                expected.remove(0);
                assert_eq!(object.remove_if_empty(), expected.is_empty());
                if expected.is_empty() {
                    model.remove(key);
                }
            } else if random(state).is_multiple_of(10) {
                object.convert(Encoding::Listpack, b"small again");
                model.get_mut(key).unwrap().0 = Value::Packed(b"small again".to_vec());
            } else {
                let element = bytes(state);
                let push = |list: &mut List| list.push(End::Back, &element, Limit::default());
                object.update(push).unwrap();
                expected.push(element);
            }
        }
        (_, value) => panic!("another form than {value:?}"),
    }
}

fn step(db: &mut Db, model: &mut Model, state: &mut u64, now: u64) {
    let key = key(state);
    let expiry = random(state).is_multiple_of(2).then(|| now + random(state) % 2_000_000);
    if model.get(&key).is_some_and(|(_, expiry)| expiry.is_some_and(|at| at <= now)) {
        model.remove(&key);
    }
    match random(state) % 12 {
        0 => {
            let text = bytes(state);
            db.set_string(&key, &text, Encoding::of_value(&text), expiry, now, Event::Set);
            model.insert(key, (Value::Text(text), expiry));
        }
        1 => match db.get_mut(&key, now, Event::Set) {
            Some(mut entry) => {
                entry.set_expiry(expiry);
                model.get_mut(&key).unwrap().1 = expiry;
            }
            None => assert!(!model.contains_key(&key)),
        },
        2 => {
            let other = [&key[..], b"'"].concat();
            assert_eq!(db.rename(&key, &other, now), model.contains_key(&key));
            if let Some(moved) = model.remove(&key) {
                model.insert(other, moved);
            }
        }
        3 => {
            let copy = db.get(&key, now).map(|entry| Item::copy_of(entry).with_key(b"copy"));
            if let Some(item) = copy {
                db.insert(item, now, Event::Set);
                model.insert(b"copy".to_vec(), model[&key].clone());
            }
        }
        4 => assert_eq!(db.remove(&key, now, Event::Del), model.remove(&key).is_some()),
        5 => {
            db.compact(20);
        }
        6 => {
            db.sweep_expired(10, 50, now);
        }
        _ => match db.slot(&key, now, Event::Set) {
            Slot::Vacant(slot) if random(state).is_multiple_of(2) => {
                let elements = vec![bytes(state), bytes(state)];
                slot.insert_object(list_of(&elements).into_object());
                model.insert(key, (Value::Elements(elements), None));
            }
            Slot::Vacant(slot) => {
                let packed = bytes(state);
                slot.insert_packed(Kind::List, Encoding::Listpack, &packed);
                model.insert(key, (Value::Packed(packed), None));
            }
            Slot::Occupied(mut entry) if entry.kind() == Kind::String => {
                let appended = bytes(state);
                let len = entry.append_string(&appended).unwrap();
                let Value::Text(text) = &mut model.get_mut(&key).unwrap().0 else { panic!() };
                text.extend(appended);
                assert_eq!(len, text.len());
            }
            Slot::Occupied(mut entry) => {
                assert_eq!(entry.as_string().map(|text| text.len()), Err(WrongType));
                assert_eq!(entry.append_string(b"x"), Err(WrongType));
                assert_eq!(entry.resize_string(5), Err(WrongType));
                edit(entry, model, &key, state);
            }
        },
    }
}

#[test]
fn values_of_every_form_behave_like_a_models() {
    for seed in 1..4 {
        let (mut db, mut model, mut state) = (db(), Model::new(), seed);
        let steps = if cfg!(miri) { 400 } else { 20_000 };
        for number in 1..steps {
            let now = number * 100;
            step(&mut db, &mut model, &mut state, now);
            if number % 500 == 0 {
                db.check();
            }
        }
        let now = steps * 100;
        db.check();
        for (key, (value, expiry)) in &model {
            let found = db.get(key, now).map(value_of);
            let is_there = expiry.is_none_or(|at| at > now);
            assert_eq!(found.as_ref(), is_there.then_some(value));
        }
        while db.evict(now) {}
        db.check();
        assert_eq!((db.len(), db.entry_bytes()), (0, 0));
    }
}

/// A list that takes one small element after the other is moved seldom.
#[test]
fn a_packed_run_grows_in_its_block() {
    let mut db = db();
    let Slot::Vacant(slot) = db.slot(b"k", 0, Event::Set) else { panic!() };
    slot.insert_packed(Kind::List, Encoding::Listpack, b"");
    let (mut places, mut last) = (0, None);
    for _ in 0..500 {
        let entry = db.get_mut(b"k", 0, Event::Set).unwrap();
        let Ok(CollectionMut::Packed(mut packed)) = entry.into_collection::<List>() else {
            panic!()
        };
        packed.splice(0, 0, 10).fill(b'x');
        let place = Some(db.get(b"k", 0).unwrap().address());
        places += usize::from(place != last);
        last = place;
    }
    assert!(places < 40, "{places} blocks for 500 elements");
    db.check();
}

/// The proof that nothing is copied: the value is where it was.
#[test]
#[cfg(not(miri))]
fn a_value_outside_of_its_block_stays_where_it_is_whatever_its_key() {
    let mut shard = Shard::new(1);
    let long_key = vec![b'l'; 2 << 20];
    let mut entry = match shard.db_mut(0).slot(b"start", 0, Event::Set) {
        Slot::Vacant(slot) => slot.insert(b"", Encoding::Raw, None),
        Slot::Occupied(_) => panic!(),
    };
    entry.resize_string(512 << 20).unwrap()[300 << 20] = b'x';
    let place = |shard: &Shard, db: usize, key: &[u8]| {
        let value = shard.db(db).get(key, 0).unwrap().stored_value();
        assert_eq!((value.len(), value[300 << 20]), (512 << 20, b'x'));
        value.as_ptr()
    };
    let before = place(&shard, 0, b"start");
    assert!(shard.db_mut(0).rename(b"start", &long_key, 0));
    assert_eq!(place(&shard, 0, &long_key), before);
    assert!(shard.move_entry(&long_key, 0, 5, 0));
    assert_eq!(place(&shard, 5, &long_key), before);
    let item = shard.db_mut(5).take(&long_key, 0, Event::Del).unwrap().with_key(b"end");
    let mut other = Shard::new(2);
    other.db_mut(0).insert(item, 0, Event::Set);
    assert_eq!(place(&other, 0, b"end"), before);
    other.db_mut(0).get_mut(b"end", 0, Event::Set).unwrap().set_expiry(Some(5));
    assert_eq!(place(&other, 0, b"end"), before);
    assert!(shard.db(5).is_empty() && shard.db(0).is_empty());
    shard.db(0).check();
    shard.db(5).check();
    other.db(0).check();
}

/// However a list of many elements goes, its elements are freed later, a few at a time.
#[test]
#[cfg(not(miri))]
fn large_collections_are_freed_in_slices() {
    let many: Vec<Vec<u8>> = (0..100_000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    let ways: [fn(&mut Shard); 6] = [
        |shard| assert!(shard.db_mut(0).remove(b"k", 0, Event::Del)),
        |shard| shard.db_mut(0).set_string(b"k", b"v", Encoding::Raw, None, 0, Event::Set),
        |shard| {
            shard.db_mut(0).set_string(b"other", b"v", Encoding::Raw, None, 0, Event::Set);
            assert!(shard.db_mut(0).rename(b"other", b"k", 0));
        },
        |shard| assert!(shard.db_mut(0).evict(0) || shard.db_mut(0).remove(b"k", 0, Event::Del)),
        |shard| assert_eq!(shard.clear_db(0), 1),
        |shard| {
            let item = shard.db_mut(0).take(b"k", 0, Event::Del).unwrap();
            shard.discard(item);
        },
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let mut shard = Shard::new(1);
        let Slot::Vacant(slot) = shard.db_mut(0).slot(b"k", 0, Event::Set) else { panic!() };
        // A chunk for each element.
        let mut list = List::new();
        for element in &many {
            list.push(End::Back, element, Limit::from_directive(1)).unwrap();
        }
        slot.insert_object(list.into_object());
        let held = shard.allocated_bytes();
        assert!(held > 800_000);
        way(&mut shard);
        assert!(shard.allocated_bytes() < held - 800_000, "way {number}");
        assert!(shard.dead_bytes() > 800_000, "way {number}");
        let mut slices = 1;
        while shard.free_slice() {
            slices += 1;
        }
        assert!(slices > 50, "way {number}: {slices}");
        assert_eq!((shard.dead_bytes(), shard.dead_objects()), (0, 0), "way {number}");
    }
}
