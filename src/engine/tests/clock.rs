//! How often the clock is read to time commands.

use std::cell::Cell;

use super::super::Engine;
use super::super::event::{ConnId, Event, Now, Outbox};
use super::{origin, timed_engines};
use crate::config::Config;

thread_local! {
    static LOOKS: Cell<u64> = const { Cell::new(0) };
    static STEP_NANOS: Cell<u64> = const { Cell::new(0) };
}

/// Counts how often it is read; a command takes as long as the step between two looks.
fn stopwatch() -> u64 {
    LOOKS.set(LOOKS.get() + 1);
    LOOKS.get() * STEP_NANOS.get()
}

fn engine() -> Engine {
    timed_engines(1, Config::default(), stopwatch).remove(0)
}

/// Calls SET so often; returns how often the clock was read.
fn set(engine: &mut Engine, calls: usize) -> u64 {
    let conn = ConnId { index: 0, generation: 1 };
    let (now, mut outbox) = (Now { unix_ms: 1, monotonic_us: 1 }, Outbox::default());
    engine.handle(now, Event::Open { conn, origin: origin(1) }, &mut outbox);
    let before = LOOKS.get();
    for _ in 0..calls {
        engine.handle(now, Event::Bytes { conn, data: b"SET k v\r\n" }, &mut outbox);
    }
    engine.end_pass(now, &mut outbox);
    engine.handle(now, Event::Closed { conn }, &mut outbox);
    LOOKS.get() - before
}

#[test]
fn a_fast_command_seldom_reads_the_clock() {
    STEP_NANOS.set(300);
    let mut engine = engine();
    let looks = set(&mut engine, 3_200);
    assert!(looks <= 2 * (32 + 100), "{looks} looks at the clock");
    let row = engine.core.table.by_id().iter().find(|row| row.full_name == "set").expect("SET");
    let stats = engine.core.shards.home().statistics().by_command()[row.id];
    assert_eq!(stats.calls, 3_200);
    // The samples stand for the others.
    assert!((stats.calls - 32..=stats.calls).contains(&(stats.nanos / 300)), "{stats:?}");
}

#[test]
fn a_slow_command_is_timed_each_time() {
    STEP_NANOS.set(5_000);
    assert_eq!(set(&mut engine(), 1_000), 2_000);
}
