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

/// The writers of a key, by chain, each in the chain's order.
type Writers = Map<KeyId, Vec<(u32, Vec<Node>)>>;

/// The edges that follow in one step and are not implied by those there are.
pub fn infer(
    facts: &Facts,
    graph: &Graph,
    adjacency: &Adjacency,
    in_order: &[Node],
) -> Result<Vec<Edge>, TooConcurrent> {
    if !facts.keys.iter().any(|key| key.kind == Some(KeyKind::Register)) {
        return Ok(Vec::new());
    }
    let clocks = Clocks::new(facts, graph, adjacency, in_order).ok_or(TooConcurrent)?;
    let writers = writers(facts, &clocks);
    let (mut missed, mut before_source) = (Vec::new(), Vec::new());
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
            let read = Read { key, value, reader: reader as Node, source };
            for (chain, writers) in writers.get(&key).into_iter().flatten() {
                missed.extend(read.before_later_writer(&clocks, writers));
                before_source.extend(read.source_after_writer(&clocks, *chain, writers));
            }
        }
    }
    // The first rule alone as long as it adds anything: then a cycle shows the read that missed a
    // write, and not a cycle of writes that no client ever saw.
    let mut edges = if missed.is_empty() { before_source } else { missed };
    edges.sort_unstable_by_key(|edge| (edge.from, edge.to));
    edges.dedup_by_key(|edge| (edge.from, edge.to));
    if edges.first().is_some_and(|edge| edge.kind == Kind::Ww) {
        // Of two that contradict each other one is enough, for the same end.
        let pairs: Vec<(Node, Node)> = edges.iter().map(|edge| (edge.from, edge.to)).collect();
        let reversed = |edge: &Edge| pairs.binary_search(&(edge.to, edge.from)).is_ok();
        edges.retain(|edge| edge.from < edge.to || !reversed(edge));
    }
    Ok(edges)
}

fn writers(facts: &Facts, clocks: &Clocks) -> Writers {
    let mut by_chain: Map<(KeyId, u32), Vec<Node>> = Map::default();
    for (node, transaction) in facts.transactions.iter().enumerate() {
        let register = |key: &&KeyId| facts.key(**key).kind == Some(KeyKind::Register);
        for &key in transaction.written.iter().filter(|_| facts.committed[node]).filter(register) {
            let chain = clocks.chain(node as Node);
            by_chain.entry((key, chain)).or_default().push(node as Node);
        }
    }
    let mut writers = Writers::default();
    for ((key, chain), mut nodes) in by_chain {
        nodes.sort_by_key(|&node| clocks.place(node));
        writers.entry(key).or_default().push((chain, nodes));
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

impl Read {
    fn before_later_writer(&self, clocks: &Clocks, chain: &[Node]) -> Option<Edge> {
        let first = match self.source {
            Some(source) => chain.partition_point(|&writer| !clocks.is_before(source, writer)),
            None => 0,
        };
        // The source itself is not before itself, nor are those before it in the chain.
        let later = chain[first..].iter().copied().find(|&writer| writer != self.reader)?;
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

    fn source_after_writer(&self, clocks: &Clocks, chain: u32, writers: &[Node]) -> Option<Edge> {
        let (source, value) = (self.source?, self.value?);
        let behind = clocks.behind(self.reader, chain);
        let count = writers.partition_point(|&writer| clocks.place(writer) <= behind);
        let other = |writer: &Node| *writer != source && *writer != self.reader;
        let earlier = writers[..count].iter().rev().copied().find(other)?;
        if clocks.is_before(earlier, source) {
            return None;
        }
        let reason = Reason::WriterBeforeReader { key: self.key, value, reader: self.reader };
        Some(Edge { from: earlier, to: source, kind: Kind::Ww, level: Level::Realtime, reason })
    }
}
