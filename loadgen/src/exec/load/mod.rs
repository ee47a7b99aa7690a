//! One thread's load without its I/O: which request goes to which connection when, and what the
//! replies mean. The ring ([`super::worker`]) only moves the bytes.
//!
//! # The times of a request
//!
//! A request is made when it is due, *intended* then, and *sent* when its bytes are handed to the
//! ring, one clock reading for all of a pass. Its reply is *done* when the piece of input that
//! completes it is read, one clock reading per piece: replies that arrive together are done
//! together, and what a request waits for earlier ones of its pipeline is its own time, never
//! theirs.
//!
//! # Preloading, warming up
//!
//! Requests carry `measured`; others leave no trace in the recording.

mod ending;
mod replies;

use std::collections::VecDeque;
use std::sync::Arc;

use super::budget::Allowance;
use super::cluster::{Router, SlotMap};
use super::loads::Loads;
use super::pending::{Moment, Pending};
use super::schedule::{Fills, Schedule};
use crate::plan::{Pacing, Plan, ValueSizes};
use crate::reply::Decoder;
use crate::stats::Recording;
use crate::workload::Generator;

pub use ending::Tally;

/// Requests in flight per connection while preloading, and their bytes.
const PRELOAD_PIPELINE_MAX: usize = 64;
const PRELOAD_BYTES: usize = 256 * 1024;
/// Requests for one node of a cluster that wait for room on its connections. When so many do, the
/// schedule waits too.
const BACKLOG_MAX: usize = 4096;
const WRONG_EXAMPLES_MAX: usize = 10;

pub struct Load<'a> {
    pub connections: Vec<Connection>,
    /// Connections with output that has not been handed over.
    pub dirty: Vec<usize>,
    /// Without keep-alive: connections whose last reply has come.
    pub spent: Vec<usize>,
    pub recording: Recording,
    pub tally: Tally,
    /// Nothing new is made; what is in flight is awaited.
    pub over: bool,
    plan: &'a Plan,
    generator: Generator,
    source: Source,
    allowance: Allowance<'a>,
    fills: Fills,
    /// One, or in a cluster one per node.
    groups: Vec<Group>,
    routing: Option<Routing<'a>>,
    /// In a closed loop: connections with room.
    hungry: Vec<usize>,
    in_flight: usize,
    /// Requests in [`Group::backlog`]s.
    waiting: usize,
    /// Of warming up, if that is wanted, else of the measurement.
    start_ns: i64,
    end_ns: i64,
    any_reply: bool,
}

pub struct Connection {
    pub output: Vec<u8>,
    decoder: Decoder,
    in_flight: VecDeque<Pending>,
    /// Requests at the end of `in_flight` whose bytes are still in `output`.
    unsent: usize,
    group: usize,
    /// Its place in the group.
    member: usize,
    is_dirty: bool,
    is_hungry: bool,
    is_lost: bool,
    /// Without keep-alive: when connecting for the requests to come began.
    connecting_since_ns: Option<i64>,
}

struct Group {
    /// Its connections.
    members: Vec<usize>,
    loads: Loads,
    backlog: VecDeque<(Vec<u8>, Pending)>,
}

struct Routing<'a> {
    router: &'a Router,
    map: Arc<SlotMap>,
    version: u64,
    scratch: Vec<u8>,
}

enum Source {
    Nothing,
    Preload(Box<dyn Iterator<Item = u64> + Send>),
    Closed,
    Open(Schedule),
}

/// What a pass may sleep for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Replies, or the time of something that need not be punctual.
    Replies,
    /// A request is due then.
    Due(i64),
}

impl<'a> Load<'a> {
    /// For connections of which `groups` tells the node (all 0 without a cluster).
    pub fn new(
        plan: &'a Plan,
        generator: Generator,
        allowance: Allowance<'a>,
        router: Option<&'a Router>,
        groups: &[usize],
    ) -> Load<'a> {
        let mut titles: Vec<&str> =
            plan.workload.commands.iter().map(|command| command.title.as_str()).collect();
        if plan.workload.on_miss.is_some() {
            titles.push("SET (fill)");
        }
        let keep = if plan.verify { longest(&plan.workload.values) } else { 0 };
        let mut members = vec![Vec::new(); groups.iter().max().map_or(1, |last| last + 1)];
        let connections = groups.iter().enumerate().map(|(index, group)| {
            members[*group].push(index);
            Connection::new(keep, *group, members[*group].len() - 1)
        });
        let connections = connections.collect();
        let delay = plan.workload.on_miss.map_or(Default::default(), |on_miss| on_miss.delay);
        Load {
            connections,
            dirty: Vec::new(),
            spent: Vec::new(),
            recording: Recording::new(&titles, plan.pacing != Pacing::Closed),
            tally: Tally::default(),
            over: true,
            plan,
            generator,
            source: Source::Nothing,
            allowance,
            fills: Fills::new(super::clock::nanoseconds(delay)),
            groups: members.into_iter().map(|members| Group::new(members, 1)).collect(),
            routing: router.map(Routing::new),
            hungry: Vec::new(),
            in_flight: 0,
            waiting: 0,
            start_ns: i64::MIN,
            end_ns: i64::MAX,
            any_reply: false,
        }
    }

    /// Begins to write every key that is this thread's.
    pub fn begin_preload(&mut self) {
        let window = PRELOAD_BYTES / longest(&self.plan.workload.values).max(1);
        let window = window.clamp(1, PRELOAD_PIPELINE_MAX);
        self.begin(Source::Preload(Box::new(self.generator.own_keys())), window);
    }

    /// Begins the load, which ends at `end_ns` at the latest. An open loop brings its schedule.
    pub fn begin_load(&mut self, schedule: Option<Schedule>, end_ns: Option<i64>) {
        self.start_ns = -super::clock::nanoseconds(self.plan.warmup);
        self.end_ns = end_ns.unwrap_or(i64::MAX);
        self.tally = Tally::default();
        let source = schedule.map_or(Source::Closed, Source::Open);
        self.begin(source, self.plan.pipeline.max(1));
        for index in 0..self.connections.len() {
            self.become_hungry(index);
        }
    }

    fn begin(&mut self, source: Source, window: usize) {
        self.source = source;
        self.over = false;
        for group in &mut self.groups {
            group.loads = Loads::new(group.members.len(), window);
        }
    }

    /// Whether everything has been made and answered.
    pub fn is_finished(&self) -> bool {
        self.over && self.in_flight == 0 && self.waiting == 0
    }

    /// Requests sent, or about to be, and not answered.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    // Making requests.

    /// Makes what is due and for which there is room.
    pub fn make(&mut self, now_ns: i64) {
        if now_ns < self.start_ns {
            return;
        }
        if let Some(routing) = &mut self.routing {
            routing.follow();
            self.send_backlogs();
        }
        match self.source {
            Source::Nothing => {}
            Source::Preload(_) => self.make_preload(),
            Source::Closed if self.routing.is_some() => self.make_window(now_ns),
            Source::Closed => self.make_closed(now_ns),
            Source::Open(_) => self.make_open(now_ns),
        }
    }

    fn make_preload(&mut self) {
        while !self.over && self.has_room() {
            let Source::Preload(keys) = &mut self.source else { return };
            match keys.next() {
                Some(key) => self.dispatch(Some(key), Moment::unmeasured()),
                None => self.over = true,
            }
        }
    }

    /// Each connection keeps its pipeline full.
    fn make_closed(&mut self, now_ns: i64) {
        while let Some(index) = self.hungry.pop() {
            let connection = &mut self.connections[index];
            connection.is_hungry = false;
            if connection.is_lost {
                continue;
            }
            let since_ns = connection.connecting_since_ns;
            let moment = match since_ns {
                Some(since_ns) => Moment::at(since_ns),
                None => Moment::on_sending(now_ns),
            };
            while self.connections[index].in_flight.len() < self.plan.pipeline.max(1) {
                match self.next_closed(now_ns) {
                    Some(fill) => self.encode_for(index, fill, moment),
                    None => break,
                }
            }
            self.connections[index].connecting_since_ns = None;
        }
    }

    /// In a cluster the key decides the connection: all of them together keep their pipelines full.
    fn make_window(&mut self, now_ns: i64) {
        let window = self.connections.len() * self.plan.pipeline.max(1);
        while self.in_flight + self.waiting < window {
            match self.next_closed(now_ns) {
                Some(fill) => self.dispatch(fill, Moment::on_sending(now_ns)),
                None => break,
            }
        }
    }

    /// The next of a closed loop: a key to fill, or `Some(None)` for a request of the mix.
    #[inline]
    fn next_closed(&mut self, now_ns: i64) -> Option<Option<u64>> {
        if self.over || now_ns >= self.end_ns {
            self.over = true;
            return None;
        }
        if let Some((_, key)) = self.fills.take_due(now_ns) {
            return Some(Some(key));
        }
        if now_ns >= 0 && !self.allowance.take() {
            self.over = true;
            return None;
        }
        Some(None)
    }

    /// Everything that is due, as far as there is room. What has none keeps its moment.
    fn make_open(&mut self, now_ns: i64) {
        while self.has_room() {
            let Source::Open(schedule) = &mut self.source else { return };
            let due_ns = if self.over { i64::MAX } else { schedule.next_ns() };
            if let Some(fill_ns) = self.fills.next_ns()
                && fill_ns <= due_ns
                && !self.over
            {
                let Some((due_ns, key)) = self.fills.take_due(now_ns) else { return };
                self.dispatch(Some(key), Moment::at(due_ns));
                continue;
            }
            if due_ns >= self.end_ns {
                self.over = true;
            }
            if self.over || due_ns > now_ns {
                return;
            }
            if due_ns >= 0 && !self.allowance.take() {
                self.over = true;
                return;
            }
            schedule.advance();
            self.dispatch(None, Moment::at(due_ns));
        }
    }

    /// Whether one more request can be placed, whichever key it has.
    fn has_room(&mut self) -> bool {
        match &mut self.groups[..] {
            [group] => group.loads.with_room().is_some(),
            groups => groups.iter().all(|group| group.backlog.len() < BACKLOG_MAX),
        }
    }

    /// Makes one request and gives it to the least loaded connection that may serve it.
    fn dispatch(&mut self, fill: Option<u64>, moment: Moment) {
        let Some(routing) = &mut self.routing else {
            if let Some(member) = self.groups[0].loads.with_room() {
                self.groups[0].loads.add(member);
                self.encode_for(self.groups[0].members[member], fill, moment);
            }
            return;
        };
        let mut encoded = std::mem::take(&mut routing.scratch);
        encoded.clear();
        let request = match fill {
            Some(key) => self.generator.fill(key, &mut encoded),
            None => self.generator.next(&mut encoded),
        };
        let node = routing.map.owner(self.generator.slot(&request, &encoded));
        let pending = Pending::new(&request, moment);
        let group = &mut self.groups[node];
        match group.loads.with_room() {
            Some(member) if group.backlog.is_empty() => {
                group.loads.add(member);
                let index = group.members[member];
                self.connections[index].output.extend_from_slice(&encoded);
                self.enqueue(index, pending);
            }
            _ => {
                group.backlog.push_back((encoded.clone(), pending));
                self.waiting += 1;
            }
        }
        if let Some(routing) = &mut self.routing {
            routing.scratch = encoded;
        }
    }

    fn send_backlogs(&mut self) {
        for node in 0..self.groups.len() {
            while self.waiting > 0
                && let Some(member) = self.groups[node].loads.with_room()
                && let Some((encoded, pending)) = self.groups[node].backlog.pop_front()
            {
                self.waiting -= 1;
                self.groups[node].loads.add(member);
                let index = self.groups[node].members[member];
                self.connections[index].output.extend_from_slice(&encoded);
                self.enqueue(index, pending);
            }
        }
    }

    #[inline]
    fn encode_for(&mut self, index: usize, fill: Option<u64>, moment: Moment) {
        let output = &mut self.connections[index].output;
        let request = match fill {
            Some(key) => self.generator.fill(key, output),
            None => self.generator.next(output),
        };
        self.enqueue(index, Pending::new(&request, moment));
    }

    #[inline]
    fn enqueue(&mut self, index: usize, pending: Pending) {
        let connection = &mut self.connections[index];
        connection.in_flight.push_back(pending);
        connection.unsent += 1;
        self.in_flight += 1;
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push(index);
        }
    }

    /// The connection's output is being handed to the ring.
    pub fn sent(&mut self, index: usize, now_ns: i64) {
        let connection = &mut self.connections[index];
        connection.is_dirty = false;
        let first = connection.in_flight.len() - connection.unsent;
        connection.unsent = 0;
        let mut together = 0;
        for pending in connection.in_flight.range_mut(first..) {
            pending.sent_ns = now_ns;
            if pending.is_intended_on_sending() {
                pending.intended_ns = now_ns;
            }
            if !pending.is_measured() {
                self.tally.unmeasured += 1;
            } else if pending.intended_ns == now_ns {
                together += 1;
            } else {
                self.recording.note_sent(pending.intended_ns, now_ns);
            }
        }
        if together > 0 {
            self.recording.note_sent_together(now_ns, now_ns, together);
        }
    }

    fn become_hungry(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if !connection.is_hungry {
            connection.is_hungry = true;
            self.hungry.push(index);
        }
    }

    /// What to sleep for.
    pub fn wake(&mut self, now_ns: i64) -> Wake {
        if now_ns < self.start_ns {
            return Wake::Due(self.start_ns);
        }
        if self.over || !self.has_room() {
            return Wake::Replies;
        }
        match &self.source {
            Source::Open(schedule) => {
                let due_ns = schedule.next_ns().min(self.end_ns);
                Wake::Due(self.fills.next_ns().map_or(due_ns, |fill_ns| fill_ns.min(due_ns)))
            }
            _ => Wake::Replies,
        }
    }
}

/// The size of the largest value.
fn longest(sizes: &ValueSizes) -> usize {
    match sizes {
        ValueSizes::Fixed(size) => *size,
        ValueSizes::Range { max, .. } => *max,
        ValueSizes::Weighted(sizes) => sizes.iter().map(|(size, _)| *size).max().unwrap_or(0),
    }
}

impl Connection {
    fn new(keep: usize, group: usize, member: usize) -> Connection {
        Connection {
            output: Vec::new(),
            decoder: Decoder::new(keep),
            in_flight: VecDeque::new(),
            unsent: 0,
            group,
            member,
            is_dirty: false,
            is_hungry: false,
            is_lost: false,
            connecting_since_ns: None,
        }
    }

    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }
}

impl Group {
    fn new(members: Vec<usize>, window: usize) -> Group {
        Group { loads: Loads::new(members.len(), window), members, backlog: VecDeque::new() }
    }
}

impl<'a> Routing<'a> {
    fn new(router: &'a Router) -> Routing<'a> {
        let (map, version) = router.map();
        Routing { router, map, version, scratch: Vec::new() }
    }

    fn follow(&mut self) {
        if self.router.version() != self.version {
            (self.map, self.version) = self.router.map();
        }
    }
}
