//! The accounts of what sessions hold, and of the time over the limit.

use std::sync::Arc;

use super::super::event::{ConnId, Event, Now, Outbox};
use super::super::memory::ExceededTime;
use super::super::{Engine, Settings};
use super::{engines, origin};
use crate::config::Config;

const NOW: Now = Now { unix_ms: 1, monotonic_us: 1 };

struct Rig {
    engine: Engine,
    outbox: Outbox,
}

impl Rig {
    fn new(config: Config) -> Rig {
        Rig { engine: engines(1, config).remove(0), outbox: Outbox::default() }
    }

    fn handle(&mut self, now: Now, event: Event<'_>) {
        self.engine.handle(now, event, &mut self.outbox);
        self.engine.end_pass(now, &mut self.outbox);
    }

    fn open(&mut self, generation: u32) -> ConnId {
        let conn = ConnId { index: 0, generation };
        self.handle(NOW, Event::Open { conn, origin: origin(u64::from(generation)) });
        conn
    }

    fn exceeded_time(&self) -> ExceededTime {
        let core = &self.engine.core;
        core.memory.exceeded_time(core.site.now.monotonic_us)
    }

    /// The sum that is kept, which must be the sum over the sessions.
    fn sessions(&self) -> usize {
        let walked: usize = self.engine.sessions.memory();
        assert_eq!(self.engine.core.memory.sessions(), walked);
        walked
    }
}

/// The runtime may use a connection's place again before it says that the connection is gone.
#[test]
fn a_place_may_be_taken_before_it_was_given_up() {
    let mut rig = Rig::new(Config::default());
    let first = rig.open(1);
    let one = rig.sessions();
    rig.handle(NOW, Event::Bytes { conn: first, data: b"*2\r\n$3\r\nGET\r\n$9\r\nab" });
    assert!(rig.sessions() > one);
    let second = rig.open(2);
    assert_eq!(rig.sessions(), one);
    rig.handle(NOW, Event::Closed { conn: first });
    assert_eq!(rig.sessions(), one);
    rig.handle(NOW, Event::Closed { conn: second });
    assert_eq!(rig.sessions(), 0);
}

#[test]
fn buffers_count_until_their_output_is_sent() {
    let mut rig = Rig::new(Config::default());
    let conn = rig.open(1);
    let idle = rig.sessions();
    let echo = [b"*2\r\n$4\r\nECHO\r\n$70000\r\n".as_slice(), &[b'x'; 70_000], b"\r\n"].concat();
    rig.handle(NOW, Event::Bytes { conn, data: &echo });
    assert!(rig.sessions() > idle + 70_000);
    let mut buffer = Vec::new();
    rig.engine.take_output(conn, &mut buffer);
    assert!(rig.sessions() > idle + 70_000, "still to be sent");
    rig.handle(NOW, Event::Sent { conn, bytes: buffer.len() });
    assert!(rig.sessions() < idle + 1000);
}

#[test]
fn the_time_over_the_limit_is_measured_until_it_ends() {
    let config = Config::default().with_changes(&[(b"maxmemory", b"1000")], true);
    let mut rig = Rig::new(config.expect("a good value"));
    let conn = rig.open(1);
    let at = |millis: u64| Now { unix_ms: 1 + millis, monotonic_us: 1 + millis * 1000 };
    // The empty tables are more than that.
    rig.handle(at(0), Event::Bytes { conn, data: b"SET k v\r\n" });
    assert!(rig.engine.tick_in_us(at(0)).is_some(), "somebody must look whether it ends");
    rig.handle(at(200), Event::Tick);
    let expected = ExceededTime { current_us: 200_000, total_us: 200_000 };
    assert_eq!(rig.exceeded_time(), expected);
    rig.engine.core.site.settings = Arc::new(Settings::new(9, Arc::default()));
    rig.handle(at(400), Event::Tick);
    let expected = ExceededTime { current_us: 0, total_us: 400_000 };
    assert_eq!(rig.exceeded_time(), expected);
}
