//! The order of the elements of queues: a read is a window on all that ever were in one.
//!
//! Elements come in at the back and go out at the front, so they go out in the order in which they
//! came in. Which order that is follows from reads: of two neighbours in one, nothing ever came in
//! between.

use std::collections::HashSet;

use super::Map;
use super::anomaly::AnomalyKind;
use super::describe;
use super::facts::{Facts, KeyId, KeyKind};
use super::graph::{Graph, Kind, Level, Node, Reason};
use crate::history::{Op, Outcome};

/// An operation: its transaction, and its place in that.
type Place = (Node, usize);

#[derive(Default)]
struct Queue<'h> {
    put: Map<u64, Place>,
    taken: Map<u64, Place>,
    /// Of the elements that somebody saw side by side.
    next: Map<u64, u64>,
    previous: Map<u64, u64>,
    reads: Vec<(Place, &'h [u64])>,
    /// Something may have been taken by a transaction without an answer.
    may_lack: bool,
}

pub struct Queues<'h> {
    /// Keys with contradictory reads are left out.
    queues: Vec<(KeyId, Queue<'h>)>,
}

impl<'h> Queues<'h> {
    /// Learns what came and went and in which order, reports what contradicts that, and marks
    /// transactions without an answer whose elements were seen as committed.
    pub fn new(facts: &mut Facts<'h>) -> Queues<'h> {
        let history = facts.history;
        let mut queues: Map<KeyId, Queue<'h>> = Map::default();
        for (index, transaction) in history.transactions.iter().enumerate() {
            if transaction.outcome == Outcome::Failed {
                continue;
            }
            for (at, op) in transaction.ops.iter().enumerate() {
                let place = (index as Node, at);
                let Some(key) = facts.queue_id(op) else { continue };
                let queue = queues.entry(key).or_default();
                match op {
                    Op::Enqueue { element, .. } => {
                        queue.put.insert(*element, place);
                    }
                    Op::Dequeue { element: None, .. } => queue.may_lack = true,
                    _ => {}
                }
            }
        }
        let mut bad: HashSet<KeyId> = HashSet::new();
        for (index, transaction) in history.transactions.iter().enumerate() {
            let answered = transaction.ops.iter().enumerate().filter(|_| transaction.is_ok());
            for (at, op) in answered {
                let Some(key) = facts.queue_id(op) else { continue };
                let queue = queues.entry(key).or_default();
                if !queue.learn(facts, key, (index as Node, at), op) {
                    bad.insert(key);
                }
            }
        }
        queues.retain(|key, _| !bad.contains(key));
        Queues { queues: queues.into_iter().collect() }
    }

    pub fn add_edges(&self, facts: &mut Facts<'h>, graph: &mut Graph) {
        for (key, queue) in &self.queues {
            queue.add_order(facts, graph, *key);
            for &(reader, elements) in &queue.reads {
                queue.add_read(facts, graph, *key, reader, elements);
            }
            for (element, &taker) in &queue.taken {
                let reason = Reason::Saw { key: *key, value: *element };
                add(facts, graph, queue.put[element], taker, Kind::Wr, reason);
            }
            queue.add_never_taken(facts, graph, *key);
        }
    }
}

impl<'h> Queue<'h> {
    /// What an operation of a transaction that was answered says; false if it cannot be.
    fn learn(&mut self, facts: &mut Facts<'h>, key: KeyId, place: Place, op: &'h Op) -> bool {
        let name = facts.key(key).name;
        match op {
            Op::Dequeue { element: Some(element), .. } => {
                if let Some((other, _)) = self.taken.insert(*element, place) {
                    let why = format!("{element} was taken off {name} twice");
                    facts.report(AnomalyKind::DuplicateElements, &[place.0, other], why);
                    return false;
                }
                facts.note_read(key, *element, place.0)
            }
            Op::ReadQueue { elements, .. } => {
                self.reads.push((place, elements));
                let mut distinct = HashSet::new();
                if let Some(twice) = elements.iter().find(|element| !distinct.insert(**element)) {
                    let why = format!("{name} has {twice} twice");
                    facts.report(AnomalyKind::DuplicateElements, &[place.0], why);
                    return false;
                }
                let neighbours = elements.iter().zip(elements.iter().skip(1));
                let fits = neighbours.into_iter().all(|(&before, &after)| {
                    *self.next.entry(before).or_insert(after) == after
                        && *self.previous.entry(after).or_insert(before) == before
                });
                if !fits {
                    let read = describe::list(elements);
                    let why = format!("{name} was read as {read}, and in another order");
                    facts.report(AnomalyKind::IncompatibleOrder, &[place.0], why);
                }
                let known = elements.iter().all(|&element| facts.note_read(key, element, place.0));
                fits && known
            }
            _ => true,
        }
    }

    /// What is behind an element came in after it and goes out after it.
    fn add_order(&self, facts: &mut Facts, graph: &mut Graph, key: KeyId) {
        for (&before, &after) in &self.next {
            let reason = Reason::NextElement { key, before, after };
            add(facts, graph, self.put[&before], self.put[&after], Kind::Ww, reason);
            let Some(&taker) = self.taken.get(&after) else { continue };
            match self.taken.get(&before) {
                Some(&earlier) => {
                    let reason = Reason::TakenInOrder { key, before, after };
                    add(facts, graph, earlier, taker, Kind::Ww, reason);
                }
                None => self.report_overtaken(facts, key, before, after, taker.0),
            }
        }
    }

    fn report_overtaken(&self, facts: &mut Facts, key: KeyId, before: u64, after: u64, node: Node) {
        if !self.may_lack {
            let name = facts.key(key).name;
            let why = format!("{before} was ahead of {after} in {name}, and nobody took it");
            facts.report(AnomalyKind::IncompatibleOrder, &[node], why);
        }
    }

    fn add_read(
        &self,
        facts: &mut Facts,
        graph: &mut Graph,
        key: KeyId,
        reader: Place,
        elements: &[u64],
    ) {
        let (Some(&first), Some(&last)) = (elements.first(), elements.last()) else { return };
        let reason = Reason::Saw { key, value: last };
        add(facts, graph, self.put[&last], reader, Kind::Wr, reason);
        if let Some(&element) = self.next.get(&last) {
            let reason = Reason::MissedElement { key, element };
            add(facts, graph, reader, self.put[&element], Kind::Rw, reason);
        }
        if let Some((&element, &taker)) =
            elements.iter().find_map(|element| Some((element, self.taken.get(element)?)))
        {
            let reason = Reason::StillThere { key, element };
            add(facts, graph, reader, taker, Kind::Rw, reason);
        }
        if let Some(&element) = self.previous.get(&first) {
            match self.taken.get(&element) {
                Some(&taker) => {
                    let reason = Reason::Gone { key, element };
                    add(facts, graph, taker, reader, Kind::Wr, reason);
                }
                None => self.report_overtaken(facts, key, element, first, reader.0),
            }
        }
    }

    /// An element that nobody took is there from the moment on at which it came in: a read without
    /// it was before that.
    fn add_never_taken(&self, facts: &Facts, graph: &mut Graph, key: KeyId) {
        if self.may_lack {
            return;
        }
        let committed = |place: &Place| facts.committed[place.0 as usize];
        let left: Map<u64, Place> = self
            .put
            .iter()
            .filter(|(element, place)| committed(place) && !self.taken.contains_key(element))
            .map(|(&element, &place)| (element, place))
            .collect();
        let seen: HashSet<u64> =
            self.reads.iter().flat_map(|(_, elements)| elements.iter().copied()).collect();
        let writers = |wanted: &dyn Fn(u64) -> bool| {
            let places = left.iter().filter(|(element, _)| wanted(**element));
            let mut writers: Vec<Node> = places.map(|(_, place)| place.0).collect();
            writers.sort_unstable();
            writers.dedup();
            writers
        };
        let readers = |wanted: &dyn Fn(&[u64]) -> bool| -> Vec<(Node, Kind, Reason)> {
            let reads = self.reads.iter().filter(|(_, elements)| wanted(elements));
            reads.map(|&((node, _), _)| (node, Kind::Rw, Reason::NeverTaken { key })).collect()
        };
        // Those that saw some of them are ordered by the neighbours of what they saw.
        let saw_none =
            |elements: &[u64]| !elements.iter().any(|element| left.contains_key(element));
        graph.add_all_to_all(&readers(&saw_none), &writers(&|_| true));
        graph.add_all_to_all(&readers(&|_| true), &writers(&|element| !seen.contains(&element)));
    }
}

/// An edge between two operations. Within one transaction their places must agree with it.
fn add(facts: &mut Facts, graph: &mut Graph, from: Place, to: Place, kind: Kind, reason: Reason) {
    if from.0 == to.0 && from.1 > to.1 {
        let why = "a transaction contradicts itself: it does not see what it did".to_owned();
        facts.report(AnomalyKind::Internal, &[from.0], why);
    }
    graph.add(from.0, to.0, kind, Level::Data, reason);
}

impl Facts<'_> {
    /// The key of an operation on a queue.
    fn queue_id(&self, op: &Op) -> Option<KeyId> {
        let key = self.known_key(op.key())?;
        (self.key(key).kind == Some(KeyKind::Queue)).then_some(key)
    }
}
