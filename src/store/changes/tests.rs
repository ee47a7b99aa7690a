use super::*;
use crate::store::{Encoding, Item, Shard, Slot};

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
