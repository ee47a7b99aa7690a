//! The order of writes to registers, inferred from all that is known of the order of transactions.
//!
//! In any serial order a read returns the last write before it. So for `r` that read the value of
//! `w` in `x`, and any other writer `v` of `x`:
//!
//! - if `w` is before `v`, then `r` is before `v`, or it would have seen `v`;
//! - if `v` is before `r`, then `v` is before `w`, for the same reason.
//!
//! Applied until nothing new follows. This is the saturation of R. Biswas and C. Enea, "On the
//! Complexity of Checking Transactional Consistency", OOPSLA 2019: what it adds holds in every
//! serial order there is, so that a cycle proves that there is none. The converse needs a search
//! that takes exponential time.

use super::Map;
use super::clocks::Clocks;
use super::facts::{Facts, KeyId, KeyKind, Seen};
use super::graph::{Adjacency, Edge, Graph, Kind, Level, Node, Reason};

pub struct TooConcurrent;

/// The writers of one key in one chain, with their places, in the chain's order.
struct Writers {
    chain: u32,
    nodes: Vec<(u32, Node)>,
}

/// All edges that follow, or as many as it takes to close a cycle.
pub fn infer(
    facts: &Facts,
    graph: &Graph,
    adjacency: &Adjacency,
    in_order: &[Node],
) -> Result<Vec<Edge>, TooConcurrent> {
    let reads = reads(facts);
    if reads.is_empty() {
        return Ok(Vec::new());
    }
    let mut clocks = Clocks::new(facts, graph, adjacency, in_order).ok_or(TooConcurrent)?;
    let writers = writers(facts, &clocks);
    let of_key = |key: KeyId| writers.get(&key).map_or(&[][..], Vec::as_slice);
    let mut edges: Vec<Edge> = Vec::new();
    loop {
        let known = edges.len();
        for read in &reads {
            for writers in of_key(read.key) {
                let Some(edge) = read.before_later_writer(&clocks, writers) else { continue };
                edges.push(edge);
                if clocks.is_before(edge.to, edge.from) {
                    return Ok(edges);
                }
                clocks.learn(graph, adjacency, edge.from, edge.to);
            }
        }
        // A cycle with a read that missed a write tells more than one of writes whose order no
        // client saw, and the first rule finds it in the next round, as a rule.
        let mut contradiction = None;
        for read in &reads {
            for writers in of_key(read.key) {
                let Some(edge) = read.source_after_writer(&clocks, writers) else { continue };
                if clocks.is_before(edge.to, edge.from) {
                    contradiction = Some(edge);
                } else {
                    edges.push(edge);
                    clocks.learn(graph, adjacency, edge.from, edge.to);
                }
            }
        }
        if edges.len() == known {
            edges.extend(contradiction);
            return Ok(edges);
        }
    }
}

fn writers(facts: &Facts, clocks: &Clocks) -> Map<KeyId, Vec<Writers>> {
    let mut by_chain: Map<(KeyId, u32), Vec<(u32, Node)>> = Map::default();
    for (node, transaction) in facts.transactions.iter().enumerate() {
        let register = |key: &&KeyId| facts.key(**key).kind == Some(KeyKind::Register);
        for &key in transaction.written.iter().filter(|_| facts.committed[node]).filter(register) {
            let (chain, place) = (clocks.chain(node as Node), clocks.place(node as Node));
            by_chain.entry((key, chain)).or_default().push((place, node as Node));
        }
    }
    let mut writers: Map<KeyId, Vec<Writers>> = Map::default();
    for ((key, chain), mut nodes) in by_chain {
        nodes.sort_unstable();
        writers.entry(key).or_default().push(Writers { chain, nodes });
    }
    writers
}

struct Read {
    key: KeyId,
    value: Option<u64>,
    reader: Node,
    /// `None`: the state before all writes.
    source: Option<Node>,
}

/// The reads of which it is known what they read, in the order of time.
fn reads(facts: &Facts) -> Vec<Read> {
    let mut reads = Vec::new();
    for (reader, transaction) in facts.transactions.iter().enumerate() {
        for &(key, seen) in &transaction.external {
            let Seen::Register(value) = seen else { continue };
            let source = match value {
                None if facts.key(key).deletes => continue,
                None => None,
                Some(value) => match facts.writes.get(&(key, value)) {
                    Some(write) if facts.committed[write.transaction as usize] => {
                        Some(write.transaction)
                    }
                    _ => continue,
                },
            };
            reads.push(Read { key, value, reader: reader as Node, source });
        }
    }
    reads.sort_by_key(|read| facts.history.transactions[read.reader as usize].invoked);
    reads
}

impl Read {
    fn before_later_writer(&self, clocks: &Clocks, writers: &Writers) -> Option<Edge> {
        let later = match self.source {
            None => writers.nodes.as_slice(),
            Some(source) => {
                // None of those behind the source is after it; only concurrent ones are few.
                let behind = clocks.behind(source, writers.chain);
                let start = writers.nodes.partition_point(|&(place, _)| place <= behind);
                let nodes = &writers.nodes[start..];
                let after = nodes.iter().position(|&(_, node)| clocks.is_before(source, node))?;
                &nodes[after..]
            }
        };
        let &(_, later) = later.iter().find(|&&(_, node)| node != self.reader)?;
        if clocks.is_before(self.reader, later) {
            return None;
        }
        let reason = match self.source {
            Some(writer) => Reason::WriterBeforeWriter { key: self.key, value: self.value, writer },
            None => Reason::SawNothing { key: self.key },
        };
        let (from, to) = (self.reader, later);
        Some(Edge { from, to, kind: Kind::Rw, level: Level::Realtime, reason })
    }

    fn source_after_writer(&self, clocks: &Clocks, writers: &Writers) -> Option<Edge> {
        let (source, value) = (self.source?, self.value?);
        let behind = clocks.behind(self.reader, writers.chain);
        let count = writers.nodes.partition_point(|&(place, _)| place <= behind);
        let other = |node: Node| node != source && node != self.reader;
        let earlier = writers.nodes[..count].iter().rev().find(|&&(_, node)| other(node));
        let &(_, earlier) = earlier?;
        if clocks.is_before(earlier, source) {
            return None;
        }
        let reason = Reason::WriterBeforeReader { key: self.key, value, reader: self.reader };
        Some(Edge { from: earlier, to: source, kind: Kind::Ww, level: Level::Realtime, reason })
    }
}
