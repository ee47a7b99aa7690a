use super::*;
use std::sync::Mutex;

use crate::store::value::list::Limit;
use crate::store::{
    Collection, CollectionMut, Encoding, End, Item, List, Order, Policy, Shard, Slot,
};

const NOW: u64 = 1_000;
const WATCHER: Watcher = Watcher { core: 3, number: 7 };

fn breaks(change: impl FnOnce(&mut Shard)) -> bool {
    let mut shard = Shard::new(1);
    for (key, expiry) in [("there", None), ("mortal", Some(NOW + 1)), ("expired", Some(NOW))] {
        shard.db_mut(0).set_string(key.as_bytes(), b"v", Encoding::Raw, expiry, 0, Event::Set);
    }
    for key in ["there", "mortal", "expired", "none"] {
        shard.db_mut(0).changes.watch(key.as_bytes(), WATCHER);
        shard.db_mut(0).changes.expect(key.as_bytes());
    }
    change(&mut shard);
    let broken = shard.db_mut(0).changes.take_broken();
    assert!(broken.iter().all(|watcher| *watcher == WATCHER));
    let touched = shard.db_mut(0).changes.take_touched();
    assert_eq!(touched.is_empty(), broken.is_empty(), "those who wait hear of the same changes");
    assert!((0..2).all(|db| shard.db_mut(db).changes.take_broken().is_empty()));
    for key in ["there", "mortal", "expired", "none"] {
        shard.db_mut(0).changes.unwatch(key.as_bytes(), WATCHER);
        shard.db_mut(0).changes.expect_no_more(key.as_bytes());
    }
    assert!(shard.db(0).changes.is_empty());
    !broken.is_empty()
}

#[test]
fn every_way_to_change_an_entry_breaks_its_watch() {
    let string = |key: &str| Item::string(key.as_bytes(), b"w", Encoding::Raw, None);
    for key in ["there", "none", "expired"] {
        let bytes = key.as_bytes();
        assert!(breaks(|shard| {
            shard.db_mut(0).insert(string(key), NOW, Event::MoveTo);
        }));
        assert!(breaks(|shard| shard.db_mut(0).set_string(
            bytes,
            b"w",
            Encoding::Raw,
            None,
            NOW,
            Event::Set
        )));
        assert!(breaks(|shard| match shard.db_mut(0).slot(bytes, NOW, Event::Set) {
            Slot::Occupied(mut entry) => entry.replace_string(b"w", Encoding::Raw),
            Slot::Vacant(slot) => {
                slot.insert(b"w", Encoding::Raw, None);
            }
        }));
    }
    assert!(breaks(|shard| {
        let mut entry = shard.db_mut(0).get_mut(b"there", NOW, Event::Expire).expect("it is there");
        entry.set_expiry(Some(NOW + 5));
    }));
    assert!(breaks(|shard| assert!(shard.db_mut(0).remove(b"there", NOW, Event::Del))));
    assert!(breaks(|shard| {
        shard.db_mut(1).set_string(b"none", b"w", Encoding::Raw, None, NOW, Event::Set);
        shard.swap_dbs(0, 1, NOW);
    }));
    assert!(breaks(|shard| {
        shard.swap_dbs(0, 1, NOW);
        shard.swap_dbs(1, 0, NOW);
    }));
}

#[test]
fn what_changes_nothing_breaks_no_watch() {
    assert!(!breaks(|shard| {
        shard.db_mut(0).set_string(b"other", b"w", Encoding::Raw, None, NOW, Event::Set);
        shard.db_mut(1).set_string(b"there", b"w", Encoding::Raw, None, NOW, Event::Set);
    }));
    assert!(!breaks(|shard| {
        let entry = shard.db_mut(0).get_mut(b"there", NOW, Event::Expire).expect("it is there");
        assert!(entry.as_string().is_ok_and(|text| *text == *b"v"));
    }));
    assert!(!breaks(|shard| {
        assert!(!shard.db_mut(0).remove(b"none", NOW, Event::Del));
        assert!(!shard.db_mut(0).remove(b"expired", NOW, Event::Del));
    }));
    assert!(!breaks(|shard| {
        shard.db_mut(0).slot(b"expired", NOW, Event::Set);
    }));
    // Whoever watched a key that was there looks whether it still is.
    assert!(!breaks(|shard| {
        while shard.sweep_expired(100, NOW + 2_000) {}
        assert_eq!(shard.db(0).len(), 1);
    }));
    assert!(!breaks(Shard::clear));
    assert!(!breaks(|shard| {
        shard.clear();
        shard.swap_dbs(0, 1, NOW);
    }));
}

/// What has been recorded since the last call, as `database:event:key`.
fn recorded(shard: &mut Shard) -> Vec<String> {
    let shown = |change| match change {
        Change::Key { db, key, event } => {
            format!("{db}:{}:{}", event.name(), String::from_utf8_lossy(&key))
        }
        Change::Flushed { db } => format!("{db}:flushed"),
        Change::Swapped { a, b } => format!("{a}:swapped:{b}"),
    };
    shard.take_changes().into_iter().map(shown).collect()
}

fn set(shard: &mut Shard, db: usize, key: &str, expiry: Option<u64>) {
    shard.db_mut(db).set_string(key.as_bytes(), b"v", Encoding::Raw, expiry, NOW, Event::Set);
}

#[test]
fn changes_are_recorded_in_the_order_of_the_shard() {
    let mut shard = Shard::new(1);
    set(&mut shard, 5, "unheard", None);
    shard.record_changes(Classes::ALL);
    set(&mut shard, 5, "a", None);
    set(&mut shard, 0, "b", None);
    set(&mut shard, 5, "a", None);
    assert!(shard.move_entry(b"a", 5, 3, NOW));
    assert!(shard.db_mut(0).rename(b"b", b"c", NOW));
    shard.clear_db(5);
    shard.clear_db(5);
    shard.swap_dbs(3, 0, NOW);
    assert!(shard.db_mut(3).remove(b"c", NOW, Event::Del));
    assert_eq!(
        recorded(&mut shard),
        [
            "5:new:a",
            "5:set:a",
            "0:new:b",
            "0:set:b",
            "5:set:a",
            "5:move_from:a",
            "3:new:a",
            "3:move_to:a",
            "0:rename_from:b",
            "0:new:c",
            "0:rename_to:c",
            "5:flushed",
            "3:swapped:0",
            "3:del:c",
        ]
    );
    shard.record_changes(Classes::NONE.with(Class::String));
    set(&mut shard, 1, "a", None);
    assert!(shard.db_mut(1).remove(b"a", NOW, Event::Del));
    assert_eq!(recorded(&mut shard), ["1:set:a"]);
    set(&mut shard, 1, "a", None);
    shard.record_changes(Classes::NONE);
    set(&mut shard, 1, "a", None);
    assert!(recorded(&mut shard).is_empty());
    assert!(shard.dbs().all(|db| !db.changes.is_listening() && db.changes.is_empty()));
}

type Way = (&'static str, fn(&mut Shard));

#[test]
fn every_way_to_expire_is_told_once() {
    let expire: [Way; 8] = [
        ("use", |shard| assert!(shard.db_mut(0).use_entry(b"k", NOW + 5).is_none())),
        ("get_mut", |shard| {
            assert!(shard.db_mut(0).get_mut(b"k", NOW + 5, Event::Append).is_none());
        }),
        ("slot", |shard| {
            assert!(matches!(shard.db_mut(0).slot(b"k", NOW + 5, Event::Append), Slot::Vacant(_)));
        }),
        ("remove", |shard| assert!(!shard.db_mut(0).remove(b"k", NOW + 5, Event::Del))),
        ("take", |shard| assert!(shard.db_mut(0).take(b"k", NOW + 5, Event::MoveFrom).is_none())),
        ("rename", |shard| assert!(!shard.db_mut(0).rename(b"k", b"j", NOW + 5))),
        ("move", |shard| assert!(!shard.move_entry(b"k", 0, 1, NOW + 5))),
        ("sweep", |shard| while shard.sweep_expired(10, NOW + 2_000) {}),
    ];
    for (way, expire) in expire {
        let mut shard = Shard::new(1);
        set(&mut shard, 0, "k", Some(NOW + 5));
        shard.record_changes(Classes::ALL);
        expire(&mut shard);
        assert_eq!(recorded(&mut shard), ["0:expired:k"], "{way}");
        assert_eq!(shard.stats().expired_keys, 1, "{way}");
        assert_eq!((shard.db(0).len(), shard.db(0).expiring()), (0, 0), "{way}");
    }
    let mut shard = Shard::new(1);
    set(&mut shard, 0, "k", Some(NOW + 5));
    shard.record_changes(Classes::ALL);
    let item = Item::string(b"k", b"w", Encoding::Raw, None);
    shard.db_mut(0).insert(item, NOW + 5, Event::CopyTo);
    assert_eq!(recorded(&mut shard), ["0:expired:k", "0:new:k", "0:copy_to:k"]);
}

#[test]
fn eviction_is_told() {
    let mut shard = Shard::new(1);
    shard.set_policy(Policy { order: Order::Lru, ..Policy::default() });
    set(&mut shard, 0, "k", None);
    shard.record_changes(Classes::NONE.with(Class::Evicted));
    assert!(shard.evict(NOW));
    assert_eq!(recorded(&mut shard), ["0:evicted:k"]);
    assert_eq!(shard.stats().evicted_keys, 1);
}

/// However many steps a change takes, such as the elements of one LPUSH.
#[test]
fn an_entry_tells_once_for_what_it_was_borrowed_for() {
    let mut shard = Shard::new(1);
    set(&mut shard, 0, "k", None);
    shard.record_changes(Classes::ALL);
    let db = shard.db_mut(0);
    let mut entry = db.get_mut(b"k", NOW, Event::SetRange).expect("it is there");
    entry.resize_string(10).expect("it is a string").fill(1);
    entry.append_string(b"more").expect("it is a string");
    entry.set_expiry(Some(NOW + 10));
    let Slot::Vacant(slot) = db.slot(b"new", NOW, Event::Set.and(Event::Expire)) else {
        panic!("there is no such key")
    };
    let mut entry = slot.insert(b"", Encoding::Raw, Some(NOW + 1));
    entry.append_string(b"more").expect("it is a string");
    let entry = db.get_mut(b"k", NOW, Event::LPop).expect("it is there");
    entry.remove();
    let entry = db.get_mut(b"new", NOW, Event::Del).expect("it is there");
    entry.remove();
    // Nothing happens to this one.
    assert!(db.get_mut(b"k", NOW, Event::Append).is_none());
    assert_eq!(
        recorded(&mut shard),
        [
            "0:setrange:k",
            "0:new:new",
            "0:set:new",
            "0:expire:new",
            "0:lpop:k",
            "0:del:k",
            "0:del:new"
        ]
    );
}

#[test]
fn a_collection_tells_when_it_has_changed() {
    let mut shard = Shard::new(1);
    let db = shard.db_mut(0);
    let Slot::Vacant(slot) = db.slot(b"k", NOW, Event::RPush) else { panic!("nothing is there") };
    slot.insert_object(List::default().into_object());
    shard.record_changes(Classes::ALL);
    let update = |shard: &mut Shard, event, changes: bool| {
        let entry = shard.db_mut(0).get_mut(b"k", NOW, event).expect("it is there");
        let Ok(CollectionMut::Object(mut list)) = entry.into_collection::<List>() else {
            panic!("it is a list on the heap");
        };
        let change = |list: &mut List| {
            changes
                .then(|| list.push(End::Back, b"element", Limit::default()).expect("it has room"))
        };
        list.update_if(change);
        list.update_if(change);
    };
    update(&mut shard, Event::RPush, true);
    update(&mut shard, Event::LRem, false);
    assert_eq!(recorded(&mut shard), ["0:rpush:k"]);
}

/// Keys and what was there before they changed.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Observer for Seen {
    fn before_change(&mut self, key: &[u8], entry: Option<EntryRef<'_>>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let value = entry.map_or("none".into(), |entry| {
            entry.as_string().map_or("a collection".into(), |value| text(&value))
        });
        self.0.lock().expect("no test panics with it").push(format!("{}={value}", text(key)));
    }

    fn before_flush(&mut self, db: &Db) {
        self.0.lock().expect("no test panics with it").push(format!("{} keys", db.len()));
    }
}

#[test]
fn an_observer_sees_what_was_there() {
    let mut shard = Shard::new(1);
    let seen = Seen::default();
    shard.db_mut(0).changes.set_observer(Some(Box::new(seen.clone())));
    let write = |shard: &mut Shard, key: &str, value: &str| {
        let (key, value) = (key.as_bytes(), value.as_bytes());
        shard.db_mut(0).set_string(key, value, Encoding::Raw, Some(NOW + 5), NOW, Event::Set);
    };
    write(&mut shard, "k", "one");
    write(&mut shard, "k", "another");
    let mut entry = shard.db_mut(0).get_mut(b"k", NOW, Event::Append).expect("it is there");
    entry.append_string(b" and more").expect("it is a string");
    write(&mut shard, "j", "old");
    assert!(shard.db_mut(0).rename(b"k", b"j", NOW));
    assert!(shard.db_mut(0).use_entry(b"j", NOW + 5).is_none());
    write(&mut shard, "k", "last");
    assert_eq!(shard.clear_db(0), 1);
    assert!(shard.db_mut(0).changes.set_observer(None).is_some());
    write(&mut shard, "k", "unseen");
    let expected = [
        "k=none",
        "k=one",
        "k=another",
        "j=none",
        "k=another and more",
        "j=old",
        "j=another and more",
        "k=none",
        "1 keys",
    ];
    assert_eq!(*seen.0.lock().expect("no test panics with it"), expected);
}

#[test]
fn names_are_told_apart() {
    for (number, event) in Event::ALL.iter().enumerate() {
        let same = Event::ALL.iter().filter(|other| other.name() == event.name());
        assert_eq!(same.count(), 1, "{event:?}");
        assert_eq!(*event as usize, number);
        assert!(Classes::ALL.contains(event.class()));
        assert!(Classes::NONE.with(event.class()).contains(event.class()));
        assert!(!Classes::NONE.contains(event.class()));
    }
}
