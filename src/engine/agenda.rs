//! Connections that a core has to come back to, and why.

use std::collections::{BTreeSet, VecDeque};

use crate::txn::ConnId;

/// How long output may wait for the replies of other shards behind it.
const HELD_PASSES_MAX: u64 = 8;
const HELD_US_MAX: u64 = 2_000;

/// Connections that this core has to come back to. One that has gone meanwhile may still be there.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// They may go on because of what is happening just now.
    woken: Vec<ConnId>,
    /// Their input is executed when it is their turn.
    turns: VecDeque<ConnId>,
    /// Their output is held back, in the order in which that began; perhaps no longer.
    held: VecDeque<Held>,
    /// When they stop waiting for data, microseconds.
    deadlines: BTreeSet<(u64, ConnId)>,
    /// One may be over its soft output limit.
    soft_limits: bool,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    conn: ConnId,
    since_pass: u64,
    since_us: u64,
}

impl Agenda {
    /// A connection may go on: it is settled when what is happening is over.
    pub fn wake(&mut self, conn: ConnId) {
        self.woken.push(conn);
    }

    pub fn take_woken(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.woken)
    }

    /// A connection has had its turn, and wants another.
    pub fn add_turn(&mut self, conn: ConnId) {
        self.turns.push_back(conn);
    }

    pub fn next_turn(&mut self) -> Option<ConnId> {
        self.turns.pop_front()
    }

    /// How many wait for their turn.
    pub fn turns(&self) -> usize {
        self.turns.len()
    }

    /// The output of a connection is held back from this pass on.
    pub fn hold_output(&mut self, conn: ConnId, since_pass: u64, since_us: u64) {
        self.held.push_back(Held { conn, since_pass, since_us });
    }

    /// The next connection whose output has been held back long enough.
    pub fn next_held(&mut self, pass: u64, now_us: u64) -> Option<ConnId> {
        let due = self.held.pop_front_if(|held| {
            pass.saturating_sub(held.since_pass) >= HELD_PASSES_MAX
                || now_us >= held.since_us + HELD_US_MAX
        });
        due.map(|held| held.conn)
    }

    /// A connection waits for data until then.
    pub fn add_deadline(&mut self, deadline_us: u64, conn: ConnId) {
        self.deadlines.insert((deadline_us, conn));
    }

    pub fn remove_deadline(&mut self, deadline_us: u64, conn: ConnId) {
        self.deadlines.remove(&(deadline_us, conn));
    }

    /// The next connection that has waited for data long enough.
    pub fn next_overdue(&mut self, now_us: u64) -> Option<ConnId> {
        let (deadline_us, _) = self.deadlines.first()?;
        if *deadline_us > now_us {
            return None;
        }
        self.deadlines.pop_first().map(|(_, conn)| conn)
    }

    /// How many wait for data, and not for ever.
    pub fn deadlines(&self) -> usize {
        self.deadlines.len()
    }

    /// When time alone makes something due, microseconds.
    pub fn due_us(&self) -> Option<u64> {
        let held = self.held.front().map(|held| held.since_us + HELD_US_MAX);
        let deadline = self.deadlines.first().map(|(deadline_us, _)| *deadline_us);
        held.into_iter().chain(deadline).min()
    }

    /// A session may be over its soft output limit: to be looked at in every tick while set.
    pub fn watch_soft_limits(&mut self, watch: bool) {
        self.soft_limits = watch;
    }

    pub fn watches_soft_limits(&self) -> bool {
        self.soft_limits
    }
}
