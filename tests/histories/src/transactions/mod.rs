//! Strict serializability of transactions over many keys.

mod anomaly;
mod clocks;
mod cycles;
mod describe;
mod facts;
mod graph;
mod inference;
mod lengths;
mod lists;
mod order;
mod queues;
mod registers;

use std::collections::{HashMap, hash_map};
use std::fmt;
use std::hash::BuildHasherDefault;

pub use anomaly::{Anomaly, AnomalyKind, Cycle, Needs};

use crate::history::History;
use facts::Facts;
use graph::Graph;

/// Iterates in the same order in every run, so that a seed that fails gives the same report again.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<hash_map::DefaultHasher>>;

/// Which transactions of one process (connection) are in order even if they overlap in time, as
/// pipelined ones do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessOrder {
    /// All, in the order in which they were sent.
    Total,
    /// Those that share a key, and any two of which one is on several keys.
    AroundSeveralKeys,
    /// Those that share a key.
    PerKey,
}

/// A history that cannot be checked: the fault of who recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    WrittenTwice { key: String, value: u64 },
    SeveralKinds { key: String },
    EndsBeforeItBegins { transaction: usize },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::WrittenTwice { key, value } => {
                write!(f, "{value} is written to {key} twice: write unique values")
            }
            Malformed::SeveralKinds { key } => {
                write!(f, "{key} is used as two of register, list and queue: use two keys")
            }
            Malformed::EndsBeforeItBegins { transaction } => {
                write!(f, "T{transaction} ends before it begins: use one monotonic clock")
            }
        }
    }
}

impl std::error::Error for Malformed {}

/// What the checker found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// None: nothing speaks against the history.
    pub anomalies: Vec<Anomaly>,
    /// The order of writes to registers was not inferred from that of transactions: too many of
    /// them are concurrent (or without an answer) for the memory that this takes.
    pub inference_cut_short: bool,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.anomalies.is_empty()
    }

    pub fn has(&self, kind: AnomalyKind) -> bool {
        self.anomalies.iter().any(|anomaly| anomaly.kind == kind)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 20;
        if self.is_clean() {
            return f.write_str("no anomalies");
        }
        writeln!(f, "not strictly serializable: {} found", self.anomalies.len())?;
        for anomaly in self.anomalies.iter().take(SHOWN) {
            writeln!(f, "\n{anomaly}")?;
        }
        if self.anomalies.len() > SHOWN {
            writeln!(f, "\nand {} more", self.anomalies.len() - SHOWN)?;
        }
        Ok(())
    }
}

/// Looks for proof that the history is not strictly serializable.
pub fn check(history: &History, order: ProcessOrder) -> Result<Report, Malformed> {
    let history = &*lengths::resolve(history);
    let mut facts = Facts::new(history)?;
    let lists = lists::Lists::new(&mut facts);
    let queues = queues::Queues::new(&mut facts);
    registers::check_values(&mut facts);
    registers::report_lost_updates(&mut facts);
    let mut graph = Graph { nodes: history.transactions.len(), edges: Vec::new() };
    lists.add_edges(&mut facts, &mut graph);
    queues.add_edges(&mut facts, &mut graph);
    registers::add_edges(&mut facts, &mut graph);
    order::add_process_order(&facts, &mut graph, order);
    order::add_real_time(&facts, &mut graph);
    let mut adjacency = graph.adjacency();
    let mut inference_cut_short = false;
    if let Some(in_order) = graph.topological_order(&adjacency) {
        match inference::infer(&facts, &graph, &adjacency, &in_order) {
            Ok(edges) => graph.edges.extend(edges),
            Err(inference::TooConcurrent) => inference_cut_short = true,
        }
        adjacency = graph.adjacency();
    }
    if graph.topological_order(&adjacency).is_none() {
        let cycles = cycles::find(&facts, &graph, &adjacency);
        facts.anomalies.extend(cycles);
    }
    Ok(Report { anomalies: facts.anomalies, inference_cut_short })
}
