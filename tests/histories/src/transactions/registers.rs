//! What reads of registers say: a value names its writer, but not when it was overwritten.

use super::Map;
use super::anomaly::{AnomalyKind, Cycle, Needs};
use super::facts::{Facts, KeyId, KeyKind, Seen};
use super::graph::{Graph, Kind, Level, Node, Reason};

/// Reports reads of values that nobody wrote or that failed, and marks transactions without an
/// answer whose values were seen as committed.
pub fn check_values(facts: &mut Facts) {
    for reader in 0..facts.transactions.len() as Node {
        facts.for_each_register_read(reader, |facts, key, value| {
            if let Some(value) = value {
                facts.note_read(key, value, reader);
            }
        });
    }
}

pub fn add_edges(facts: &mut Facts, graph: &mut Graph) {
    let mut found_nothing: Map<KeyId, Vec<Node>> = Map::default();
    let mut readers: Map<(KeyId, u64), Vec<Node>> = Map::default();
    for reader in 0..facts.transactions.len() as Node {
        facts.for_each_register_read(reader, |facts, key, value| {
            let Some(value) = value else {
                if !facts.key(key).deletes {
                    found_nothing.entry(key).or_default().push(reader);
                }
                return;
            };
            let Some(&write) = facts.writes.get(&(key, value)) else { return };
            if !facts.committed[write.transaction as usize] {
                return;
            }
            let reason = Reason::Saw { key, value };
            graph.add(write.transaction, reader, Kind::Wr, Level::Data, reason);
            readers.entry((key, value)).or_default().push(reader);
            if !write.last {
                facts.report_intermediate(key, value, reader);
            } else if facts.transactions[reader as usize].written.contains(&key) {
                let reason = Reason::Replaced { key, value };
                graph.add(write.transaction, reader, Kind::Ww, Level::Data, reason);
            }
        });
        report_half_seen(facts, reader);
    }
    for ((key, value), readers) in readers {
        let replaces = |&node: &Node| facts.transactions[node as usize].written.contains(&key);
        let reason = Reason::SawReplaced { key, value };
        let replacing: Vec<Node> = readers.iter().copied().filter(replaces).collect();
        let sources: Vec<_> = readers.iter().map(|&node| (node, Kind::Rw, reason)).collect();
        add_few_or_all(graph, &sources, &replacing);
    }
    let mut writers: Map<KeyId, Vec<Node>> = Map::default();
    for (index, transaction) in facts.transactions.iter().enumerate() {
        for &key in transaction.written.iter().filter(|_| facts.committed[index]) {
            writers.entry(key).or_default().push(index as Node);
        }
    }
    for (key, readers) in found_nothing {
        let reason = Reason::SawNothing { key };
        let sources: Vec<_> = readers.into_iter().map(|node| (node, Kind::Rw, reason)).collect();
        add_few_or_all(graph, &sources, writers.get(&key).map_or(&[], Vec::as_slice));
    }
}

/// The helper nodes pay for themselves only with several targets.
fn add_few_or_all(graph: &mut Graph, sources: &[(Node, Kind, Reason)], targets: &[Node]) {
    if let [target] = *targets {
        for &(source, kind, reason) in sources {
            graph.add(source, target, kind, Level::Data, reason);
        }
    } else {
        graph.add_all_to_all(sources, targets);
    }
}

/// Read skew in its plainest form: two values of two transactions that wrote both keys. In either
/// order of the two, the reader missed a half.
fn report_half_seen(facts: &mut Facts, reader: Node) {
    let mut sources: Vec<(Node, KeyId, u64)> = Vec::new();
    facts.for_each_register_read(reader, |facts, key, value| {
        let write = value.and_then(|value| Some((value, facts.writes.get(&(key, value))?)));
        if let Some((value, write)) = write {
            sources.push((write.transaction, key, value));
        }
    });
    for (place, &(one, one_key, one_value)) in sources.iter().enumerate() {
        for &(other, other_key, other_value) in &sources[..place] {
            let wrote = |node: Node, key| facts.transactions[node as usize].written.contains(&key);
            if one == other || !wrote(one, other_key) || !wrote(other, one_key) {
                continue;
            }
            let (one_key, other_key) = (facts.key(one_key).name, facts.key(other_key).name);
            let why = format!(
                "T{reader} read {one_key} = {one_value} of T{one} and {other_key} = {other_value} of \
                 T{other}, though both wrote both"
            );
            let kind = AnomalyKind::Cycle(Cycle::GSingle, Needs::Nothing);
            facts.report(kind, &[reader, one, other], why);
            return;
        }
    }
}

/// Two transactions that read one version and changed it: the later of them must have read what
/// the earlier one made of it.
pub fn report_lost_updates(facts: &mut Facts) {
    let mut changed: Map<(KeyId, Option<u64>), Node> = Map::default();
    for node in 0..facts.transactions.len() as Node {
        let transaction = &facts.transactions[node as usize];
        let mut lost = Vec::new();
        for &(key, seen) in &transaction.external {
            let version = match seen {
                Seen::Register(value) => value,
                Seen::List(elements) => elements.last().copied(),
            };
            let ambiguous = version.is_none() && facts.key(key).deletes;
            if ambiguous || !transaction.written.contains(&key) {
                continue;
            }
            if let Some(other) = changed.insert((key, version), node) {
                lost.push((key, version, other));
            }
        }
        for (key, version, other) in lost {
            let version = version.map_or("nothing".to_owned(), |value| value.to_string());
            let name = facts.key(key).name;
            let why = format!("T{other} and T{node} both read {version} in {name} and changed it");
            facts.report(AnomalyKind::LostUpdate, &[other, node], why);
        }
    }
}

impl Facts<'_> {
    pub fn for_each_register_read(
        &mut self,
        reader: Node,
        mut each: impl FnMut(&mut Self, KeyId, Option<u64>),
    ) {
        for place in 0..self.transactions[reader as usize].external.len() {
            if let (key, Seen::Register(value)) = self.transactions[reader as usize].external[place]
                && self.key(key).kind == Some(KeyKind::Register)
            {
                each(self, key, value);
            }
        }
    }

    /// Someone read this value: its writer must exist, and has committed. Returns whether it can.
    pub fn note_read(&mut self, key: KeyId, value: u64, reader: u32) -> bool {
        let name = self.key(key).name;
        let Some(write) = self.writes.get(&(key, value)).copied() else {
            let why = format!("T{reader} read {value} in {name}, which nobody wrote");
            self.report(AnomalyKind::GarbageRead, &[reader], why);
            return false;
        };
        let writer = write.transaction;
        if self.is_failed(writer) {
            let why = format!("T{reader} read {value} in {name}, which T{writer} wrote and failed");
            self.report(AnomalyKind::AbortedRead, &[reader, writer], why);
            return false;
        }
        self.committed[writer as usize] = true;
        let end = &mut self.ends[writer as usize];
        *end = (*end).min(self.history.transactions[reader as usize].completed().unwrap_or(*end));
        true
    }

    pub fn report_intermediate(&mut self, key: KeyId, value: u64, reader: u32) {
        let writer = self.writes[&(key, value)].transaction;
        let name = self.key(key).name;
        let why = format!(
            "T{reader} read {value} in {name}, which its writer T{writer} changed again before its end"
        );
        self.report(AnomalyKind::IntermediateRead, &[reader, writer], why);
    }
}
