//! Connections that end, the end of the load, and what is counted then.

use super::super::pending::Pending;
use super::{Load, Source, WRONG_EXAMPLES_MAX};

/// What a thread counted beside its recording; see [`Outcome`](crate::exec::Outcome).
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub unmeasured: u64,
    pub unanswered: u64,
    pub unsent: u64,
    pub moved: u64,
    pub fills_dropped: u64,
    pub wrong: u64,
    pub wrong_examples: Vec<String>,
    /// When the last measured reply came; 0 before.
    pub last_done_ns: i64,
}

impl Load<'_> {
    /// The connection is gone, and with it the answers to what was in flight.
    pub fn lost(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        connection.is_lost = true;
        let unsent = connection.unsent;
        let in_flight = std::mem::take(&mut connection.in_flight);
        connection.unsent = 0;
        connection.output.clear();
        self.in_flight -= in_flight.len();
        let sent = in_flight.len() - unsent;
        for (position, pending) in in_flight.iter().enumerate() {
            self.tally.lose(pending, position < sent);
        }
    }

    /// A spent connection has been made anew since `since_ns`.
    pub fn renewed(&mut self, index: usize, since_ns: i64) {
        let connection = &mut self.connections[index];
        connection.connecting_since_ns = Some(since_ns);
        self.become_hungry(index);
    }

    /// Ends the making of requests at `now_ns`, before its time.
    pub fn cut_short(&mut self, now_ns: i64) {
        self.over = true;
        self.end_ns = self.end_ns.min(now_ns);
    }

    /// Gives up on what has not been answered, and counts it.
    pub fn give_up(&mut self) {
        for index in 0..self.connections.len() {
            self.lost(index);
        }
        for group in &mut self.groups {
            for (_, pending) in group.backlog.drain(..) {
                self.tally.lose(&pending, false);
            }
        }
        self.waiting = 0;
        if let Source::Open(schedule) = &mut self.source
            && self.end_ns != i64::MAX
        {
            // Nothing that the budget would not have allowed.
            self.tally.unsent += self.allowance.take_up_to(schedule.due_until(self.end_ns));
        }
        self.tally.fills_dropped = self.fills.dropped;
        self.fills.clear();
        self.over = true;
    }
}

impl Tally {
    fn lose(&mut self, pending: &Pending, sent: bool) {
        match (pending.is_measured(), sent) {
            (true, true) => self.unanswered += 1,
            (true, false) => self.unsent += 1,
            (false, _) => {}
        }
    }

    pub fn add(&mut self, other: Tally) {
        self.unmeasured += other.unmeasured;
        self.unanswered += other.unanswered;
        self.unsent += other.unsent;
        self.moved += other.moved;
        self.fills_dropped += other.fills_dropped;
        self.wrong += other.wrong;
        self.wrong_examples.extend(other.wrong_examples);
        self.wrong_examples.truncate(WRONG_EXAMPLES_MAX);
        self.last_done_ns = self.last_done_ns.max(other.last_done_ns);
    }
}
