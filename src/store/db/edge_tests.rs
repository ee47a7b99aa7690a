//! Situations at the edges of what a database promises: pages that change their use while they are
//! emptied, clocks that jump, values that are huge.

use super::*;
use crate::store::eviction::Order;

const START: UnixMs = 1_700_000_000_123;
const HOUR: UnixMs = 3_600_000;

fn db() -> Db {
    let policy = Policy { order: Order::S3Fifo, ..Policy::default() };
    Db::new(KeyHasher::new(7), Geometry::for_bytes(1 << 30), policy)
}

fn set(db: &mut Db, number: u64, len: usize, expiry: Option<UnixMs>, now: UnixMs) {
    let value = vec![number as u8; len];
    db.set_string(&number.to_be_bytes(), &value, Encoding::Raw, expiry, now, Event::Set);
}

fn sweep_all(db: &mut Db, now: UnixMs) {
    for _ in 0..100_000 {
        if !db.sweep_expired(usize::MAX, 100, now).more {
            return;
        }
    }
    panic!("the sweep does not come to an end");
}

/// A page that is being emptied loses its last entries to clients and is used for another size.
#[test]
fn compaction_forgets_a_page_that_was_given_up() {
    for moved_first in [1, 20, 50] {
        let mut db = db();
        let count = 60_000;
        for number in 0..count {
            set(&mut db, number, 100, None, 0);
        }
        for number in (0..count).filter(|number| number % 10 != 0) {
            db.remove(&number.to_be_bytes(), 0, Event::Del);
        }
        assert!(db.compact(moved_first), "there is something to do");
        // All pages go, and come back with blocks of other sizes.
        for number in (0..count).step_by(10) {
            db.remove(&number.to_be_bytes(), 0, Event::Del);
        }
        for number in 0..30_000 {
            set(&mut db, number, 333, None, 0);
        }
        for number in (0..30_000_u64).filter(|number| number % 10 != 0) {
            db.remove(&number.to_be_bytes(), 0, Event::Del);
        }
        for _ in 0..2_000 {
            db.compact(20);
        }
        db.check();
        for number in (0..30_000_u64).step_by(10) {
            let entry = db.get(&number.to_be_bytes(), 0).unwrap();
            assert_eq!(&*entry.as_string().unwrap(), &[number as u8; 333]);
        }
    }
}

/// Between steps that empty a page to the last block, that page is used for another size.
#[test]
fn compaction_forgets_a_page_that_it_has_emptied() {
    let mut db = db();
    for number in 0..60_000 {
        set(&mut db, number, 100, None, 0);
    }
    for number in (0..60_000_u64).filter(|number| number % 10 != 0) {
        db.remove(&number.to_be_bytes(), 0, Event::Del);
    }
    for step in 0..4_000 {
        db.compact(1 + step % 7);
        set(&mut db, 100_000 + step as u64, 200 + step % 800, None, 0);
    }
    db.check();
}

/// Full pages cannot be emptied, whatever their blocks' size.
#[test]
fn full_pages_are_not_sparse() {
    for len in [30, 1_000, 5_000, 7_000, 8_060] {
        for expiry in [None, Some(START + HOUR)] {
            let mut db = db();
            for number in 0..60_000_000 / len as u64 {
                set(&mut db, number, len, expiry, START);
            }
            assert!(!db.compact(10), "{len} {expiry:?}");
            let held = db.arena.held_bytes() as f64 / db.arena.live_bytes() as f64;
            assert!(held < 1.1, "{len} {expiry:?} {held}");
        }
    }
}

/// However many pages a round has, it ends.
#[test]
fn a_round_of_the_sweep_ends() {
    let mut db = db();
    for number in 0..10_000_u64 {
        set(&mut db, number, 100, Some(START + HOUR), START);
    }
    let pages = db.arena.expiring_pages();
    assert!(pages > 4);
    let mut steps = 1;
    while db.sweep_expired(2, 100, START).more {
        steps += 1;
        assert!(steps <= pages, "{pages} pages");
    }
    assert!(steps >= pages / 2);
}

#[test]
fn sweeps_what_had_expired_when_it_came() {
    for start in (START..START + 20 * HOUR).step_by(HOUR as usize) {
        let mut db = db();
        for (number, at) in [0, 1, 999, START / 2, start - 10 * HOUR, start].into_iter().enumerate()
        {
            set(&mut db, number as u64, 10, Some(at), start);
        }
        set(&mut db, 100, 10, Some(u64::MAX), start);
        set(&mut db, 101, 10, Some(i64::MAX as u64), start);
        sweep_all(&mut db, start + 1_000);
        assert_eq!(db.len(), 2, "at {start}");
        db.check();
    }
}

/// A machine may sleep for longer than blocks can tell.
#[test]
fn sweeps_after_a_long_sleep() {
    for hours in 1..40 {
        let mut db = db();
        for number in 0..3_000 {
            set(&mut db, number, 10, Some(START + 1_000 + number * 5_000), START);
        }
        let now = START + hours * HOUR + 1_000;
        sweep_all(&mut db, now);
        let left = |now| (0..3_000).filter(|number| START + 1_000 + number * 5_000 > now).count();
        // A second late at the most.
        let (kept, late) = (left(now), left(now - 1_000));
        assert!((kept..=late).contains(&db.len()), "{hours}: {} of {kept}", db.len());
        sweep_all(&mut db, START + 60 * HOUR);
        assert_eq!(db.len(), 0);
    }
}

/// Setting the clock back delays nothing by more than that.
#[test]
fn sweeps_after_the_clock_was_set_back() {
    for hours in [1, 5, 8, 10, 17, 20, 30] {
        let mut db = db();
        for number in 0..1_000 {
            set(&mut db, number, 10, Some(START + number * 60_000), START);
        }
        let mut now = START - hours * HOUR;
        while now < START + 17 * HOUR {
            sweep_all(&mut db, now);
            let kept = (0..1_000).filter(|number| START + number * 60_000 > now).count();
            let late = (0..1_000).filter(|number| START + number * 60_000 + 1_000 > now).count();
            assert!((kept..=late).contains(&db.len()), "{hours}: {} of {kept}", db.len());
            now += HOUR / 2;
        }
        sweep_all(&mut db, START + 17 * HOUR);
        assert_eq!(db.len(), 0);
    }
}

/// Entries that were moved are due when they were before.
#[test]
fn sweeps_what_compaction_has_moved() {
    for start in (START..START + 20 * HOUR).step_by(HOUR as usize) {
        let mut db = db();
        let count = 60_000;
        for number in 0..count {
            set(&mut db, number, 100, Some(start + 100_000), start);
        }
        for number in (0..count).filter(|number| number % 20 != 0) {
            db.remove(&number.to_be_bytes(), start, Event::Del);
        }
        for _ in 0..1_000 {
            db.compact(50);
        }
        sweep_all(&mut db, start + 101_000);
        assert_eq!(db.len(), 0, "at {start}");
        db.check();
    }
}

#[test]
fn an_expiry_leaves_a_large_value_where_it_is() {
    let mut db = db();
    for len in [10_000, 8 << 20] {
        set(&mut db, 1, len, None, START);
        let place = |db: &Db| {
            let entry = db.get(&1_u64.to_be_bytes(), START).unwrap();
            assert_eq!(entry.stored_value(), vec![1; len]);
            entry.stored_value().as_ptr()
        };
        let before = place(&db);
        for expiry in [Some(START + HOUR), None, Some(START + 2 * HOUR), Some(START + 3 * HOUR)] {
            db.get_mut(&1_u64.to_be_bytes(), START, Event::Expire).unwrap().set_expiry(expiry);
            assert_eq!(place(&db), before, "{len} {expiry:?}");
            assert_eq!(db.get(&1_u64.to_be_bytes(), START).unwrap().expiry(), expiry);
            db.check();
        }
    }
    sweep_all(&mut db, START + 3 * HOUR + 1_000);
    assert_eq!((db.len(), db.expiring(), db.with_outside, db.outside.bytes), (0, 0, 0, 0));
    db.check();
}

/// At lengths where an expiry decides whether an entry is large.
#[test]
fn expiries_come_and_go_at_the_edge_of_large() {
    let mut db = db();
    for len in 8_050..8_200 {
        for (old, new) in [(None, Some(START + HOUR)), (Some(START + HOUR), None)] {
            for new_len in [len - 9, len, len + 9] {
                set(&mut db, 1, len, old, START);
                set(&mut db, 1, new_len, new, START);
                let mut entry = db.get_mut(&1_u64.to_be_bytes(), START, Event::Expire).unwrap();
                assert_eq!(&*entry.as_string().unwrap(), &vec![1; new_len][..]);
                entry.set_expiry(old);
                assert_eq!(&*entry.as_string().unwrap(), &vec![1; new_len][..]);
                assert_eq!(entry.expiry(), old);
            }
        }
        db.check();
    }
}

/// What a huge value leaves behind goes back in slices, whatever takes its place.
#[test]
fn huge_values_that_shrink_go_back_in_slices() {
    for len in [0, 100, 20_000, 1 << 20, 3 << 20] {
        let mut db = db();
        set(&mut db, 1, 32 << 20, None, START);
        set(&mut db, 1, len, None, START);
        assert_eq!(db.remains.len(), 1, "{len}");
        let entry = db.get(&1_u64.to_be_bytes(), START).unwrap();
        assert_eq!(&*entry.as_string().unwrap(), &vec![1; len][..]);
        db.check();
    }
}

/// A database that was large once keeps few free pages.
#[test]
fn pages_of_an_emptied_database_go_back() {
    let mut db = db();
    for number in 0..40_000_u64 {
        set(&mut db, number, 2_000, None, START);
    }
    for number in 0..40_000_u64 {
        db.remove(&number.to_be_bytes(), START, Event::Del);
    }
    assert!(db.arena.free_bytes() <= 20 << 16, "{}", db.arena.free_bytes());
    db.check();
}

#[test]
fn an_entry_was_not_idle_for_weeks_when_the_clock_was_set_back() {
    let mut db = db();
    set(&mut db, 1, 10, None, START);
    let idle = |now| db.get(&1_u64.to_be_bytes(), now).unwrap().idle_seconds(now);
    assert_eq!(idle(START + 5_000), 5);
    assert_eq!(idle(START - 5_000), 0);
    assert_eq!(idle(START + 40 * 24 * HOUR), 40 * 24 * 3_600);
}

/// What is being taken apart counts less and less.
#[test]
fn taking_apart_lowers_the_account() {
    let mut db = db();
    for number in 0..20_000 {
        set(&mut db, number, if number % 100 == 0 { 20_000 } else { 500 }, None, START);
    }
    // Some free pages of both kinds.
    for number in 0..10_000_u64 {
        db.remove(&number.to_be_bytes(), START, Event::Del);
    }
    let (mut last, mut steps) = (db.allocated_bytes(), 0);
    while db.take_apart() {
        let now = db.allocated_bytes();
        assert!(now <= last);
        assert!(db.arena.held_bytes() < 1 << 30);
        (last, steps) = (now, steps + 1);
    }
    assert!(steps > 5);
    assert_eq!((db.entry_bytes(), db.with_outside), (0, 0));
}

/// However many payloads there are, a step frees few of them.
#[test]
fn taking_apart_frees_few_payloads_at_once() {
    let mut db = db();
    (0..1_500).for_each(|number| set(&mut db, number, 9_000, None, START));
    let mut last = db.with_outside;
    while db.take_apart() {
        assert!(last - db.with_outside <= 128, "{last} {}", db.with_outside);
        last = db.with_outside;
    }
    assert_eq!((last, db.outside.bytes, db.entry_bytes()), (0, 0, 0));
}
