//! The order of the versions of lists: every read tells the whole past of its key.

use std::collections::HashSet;

use super::Map;
use super::anomaly::AnomalyKind;
use super::describe;
use super::facts::{Facts, KeyId, KeyKind, Seen};
use super::graph::{Graph, Kind, Level, Node, Reason};

/// A list from its creation until it is deleted; a key that nobody deletes has one.
struct Life<'h> {
    /// The longest read, of which all other reads are prefixes.
    elements: &'h [u64],
    reader: u32,
}

/// The lives of every list key, by first element; keys with contradictory reads are left out.
pub struct Lists<'h> {
    lives: Map<KeyId, Map<u64, Life<'h>>>,
}

impl<'h> Lists<'h> {
    /// Finds the longest reads, reports what contradicts them, and marks transactions without an
    /// answer whose elements were seen as committed.
    pub fn new(facts: &mut Facts<'h>) -> Self {
        let mut lists = Lists { lives: Map::default() };
        let mut reads: Vec<(KeyId, u32, &'h [u64])> = Vec::new();
        for (index, transaction) in facts.transactions.iter().enumerate() {
            reads.extend(transaction.lists.iter().map(|&(key, list)| (key, index as u32, list)));
        }
        for &(key, reader, elements) in &reads {
            let lives = lists.lives.entry(key).or_default();
            let Some(&first) = elements.first() else { continue };
            let life = lives.entry(first).or_insert(Life { elements, reader });
            if elements.len() > life.elements.len() {
                *life = Life { elements, reader };
            }
        }
        let mut bad: HashSet<KeyId> = HashSet::new();
        for &(key, reader, elements) in &reads {
            let Some(first) = elements.first() else { continue };
            let life = &lists.lives[&key][first];
            if !life.elements.starts_with(elements) && bad.insert(key) {
                lists.report_incompatible(facts, key, (reader, elements), life);
            }
        }
        for (&key, lives) in &lists.lives {
            if !lists.check_lives(facts, key, lives) {
                bad.insert(key);
            }
        }
        lists.lives.retain(|key, _| !bad.contains(key));
        lists
    }

    fn report_incompatible(
        &self,
        facts: &mut Facts<'h>,
        key: KeyId,
        (reader, elements): (u32, &[u64]),
        life: &Life,
    ) {
        let name = facts.key(key).name;
        let (one, other) = (describe::list(elements), describe::list(life.elements));
        let why = format!("{name} was read as {one} and as {other}");
        facts.report(AnomalyKind::IncompatibleOrder, &[reader, life.reader], why);
    }

    /// Whether the longest reads can be trusted to tell the order.
    fn check_lives(&self, facts: &mut Facts<'h>, key: KeyId, lives: &Map<u64, Life<'h>>) -> bool {
        let mut seen_in: Map<u64, u64> = Map::default();
        let mut good = true;
        let name = facts.key(key).name;
        let mut firsts: Vec<u64> = lives.keys().copied().collect();
        firsts.sort_unstable();
        for &first in &firsts {
            let life = &lives[&first];
            for &element in life.elements {
                match seen_in.insert(element, first) {
                    Some(other) if other == first => {
                        let why = format!("{name} has {element} twice");
                        facts.report(AnomalyKind::DuplicateElements, &[life.reader], why);
                        good = false;
                    }
                    Some(other) => {
                        let read = (life.reader, life.elements);
                        self.report_incompatible(facts, key, read, &lives[&other]);
                        return false;
                    }
                    None => good &= facts.note_read(key, element, life.reader),
                }
                let write = facts.writes.get(&(key, element)).copied();
                if let Some(write) = write
                    && let Some(previous) = write.previous
                    && seen_in.get(&previous) != Some(&first)
                {
                    let why = format!(
                        "{name} has {element} without the {previous} that was appended before it"
                    );
                    let transactions = [life.reader, write.transaction];
                    facts.report(AnomalyKind::IncompatibleOrder, &transactions, why);
                    good = false;
                }
            }
        }
        if firsts.len() > 1 && !facts.key(key).deletes {
            let life = &lives[&firsts[0]];
            let read = (life.reader, life.elements);
            self.report_incompatible(facts, key, read, &lives[&firsts[1]]);
            return false;
        }
        good
    }

    pub fn add_edges(&self, facts: &mut Facts<'h>, graph: &mut Graph) {
        // The readers of the newest version that anybody saw, per key that nobody deletes.
        let mut newest: Map<KeyId, Vec<Node>> = Map::default();
        let mut places: Map<(KeyId, u64), Option<u64>> = Map::default();
        for (&key, lives) in &self.lives {
            for life in lives.values() {
                self.add_version_edges(facts, graph, key, life, &mut places);
            }
        }
        for reader in 0..facts.transactions.len() as Node {
            for place in 0..facts.transactions[reader as usize].external.len() {
                let (key, seen) = facts.transactions[reader as usize].external[place];
                let Seen::List(elements) = seen else { continue };
                let Some(lives) = self.lives.get(&key) else { continue };
                let next = match elements.last() {
                    Some(&last) => {
                        self.add_read_edges(facts, graph, (key, reader), last);
                        places[&(key, last)]
                    }
                    None if facts.key(key).deletes => continue,
                    None => lives.keys().next().copied(),
                };
                if let Some(element) = next {
                    let writer = facts.writes[&(key, element)].transaction;
                    let reason = Reason::MissedElement { key, element };
                    graph.add(reader, writer, Kind::Rw, Level::Data, reason);
                } else if !facts.key(key).deletes {
                    newest.entry(key).or_default().push(reader);
                }
            }
        }
        self.add_unseen(facts, graph, newest, &places);
    }

    /// Appends in their order, and for every element the one after it.
    fn add_version_edges(
        &self,
        facts: &Facts,
        graph: &mut Graph,
        key: KeyId,
        life: &Life,
        places: &mut Map<(KeyId, u64), Option<u64>>,
    ) {
        let writer = |element: u64| facts.writes[&(key, element)].transaction;
        for (place, &before) in life.elements.iter().enumerate() {
            let after = life.elements.get(place + 1).copied();
            places.insert((key, before), after);
            if let Some(after) = after {
                let reason = Reason::NextElement { key, before, after };
                graph.add(writer(before), writer(after), Kind::Ww, Level::Data, reason);
            }
        }
    }

    fn add_read_edges(
        &self,
        facts: &mut Facts,
        graph: &mut Graph,
        (key, reader): (KeyId, Node),
        last: u64,
    ) {
        let write = facts.writes[&(key, last)];
        let reason = Reason::Saw { key, value: last };
        graph.add(write.transaction, reader, Kind::Wr, Level::Data, reason);
        if !write.last {
            facts.report_intermediate(key, last, reader);
        }
    }

    /// Appends that were acknowledged and that no read saw come after everything that was read.
    fn add_unseen(
        &self,
        facts: &Facts,
        graph: &mut Graph,
        newest: Map<KeyId, Vec<Node>>,
        places: &Map<(KeyId, u64), Option<u64>>,
    ) {
        let mut unseen: Map<KeyId, Vec<Node>> = Map::default();
        for (&(key, element), write) in &facts.writes {
            let known = facts.key(key).kind == Some(KeyKind::List)
                && self.lives.contains_key(&key)
                && !facts.key(key).deletes
                && facts.committed[write.transaction as usize];
            if known && !places.contains_key(&(key, element)) {
                unseen.entry(key).or_default().push(write.transaction);
            }
        }
        for (key, mut targets) in unseen {
            targets.sort_unstable();
            targets.dedup();
            let reason = Reason::NeverSeen { key };
            let mut sources: Vec<(Node, Kind, Reason)> = Vec::new();
            for &reader in newest.get(&key).into_iter().flatten() {
                sources.push((reader, Kind::Rw, reason));
            }
            let last = self.lives[&key].values().next().and_then(|life| life.elements.last());
            if let Some(&last) = last {
                let writer = facts.writes[&(key, last)].transaction;
                sources.push((writer, Kind::Ww, reason));
            }
            graph.add_all_to_all(&sources, &targets);
        }
    }
}
