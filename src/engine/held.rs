//! Output that is held back for the replies of other shards behind it.

use std::collections::VecDeque;

use crate::txn::ConnId;

/// How long output may wait for those.
const HELD_PASSES_MAX: u64 = 8;
const HELD_US_MAX: u64 = 2_000;

/// Connections whose output is held back, in the order in which that began; perhaps no longer.
#[derive(Debug, Default)]
pub(super) struct HeldOutput {
    queue: VecDeque<Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    conn: ConnId,
    since_pass: u64,
    since_us: u64,
}

impl HeldOutput {
    /// The output of a connection is held back from this pass on.
    pub fn hold(&mut self, conn: ConnId, since_pass: u64, since_us: u64) {
        self.queue.push_back(Held { conn, since_pass, since_us });
    }

    /// The next connection whose output has waited long enough.
    pub fn next_due(&mut self, pass: u64, now_us: u64) -> Option<ConnId> {
        let due = self.queue.pop_front_if(|held| {
            pass.saturating_sub(held.since_pass) >= HELD_PASSES_MAX
                || now_us >= held.since_us + HELD_US_MAX
        });
        due.map(|held| held.conn)
    }

    /// When time alone makes the first of them due, microseconds.
    pub fn due_us(&self) -> Option<u64> {
        self.queue.front().map(|held| held.since_us + HELD_US_MAX)
    }
}
