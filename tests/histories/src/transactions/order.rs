//! The orders that hold whatever the data says: of a process, and of real time.

use super::facts::Facts;
use super::graph::{Graph, Kind, Level, Node, Reason};
use super::{Map, ProcessOrder};

/// Edges between transactions of one process. A transaction without an answer has none that leave
/// it: nobody knows when it ran.
pub fn add_process_order(facts: &Facts, graph: &mut Graph, order: ProcessOrder) {
    let mut processes: Map<u32, Vec<Node>> = Map::default();
    for index in 0..facts.committed.len() {
        if facts.committed[index] {
            let process = facts.history.transactions[index].process;
            processes.entry(process).or_default().push(index as Node);
        }
    }
    for mut nodes in processes.into_values() {
        nodes.sort_by_key(|&n| (facts.history.transactions[n as usize].invoked, n));
        match order {
            ProcessOrder::Total => add_chain(facts, graph, &nodes),
            ProcessOrder::AroundSeveralKeys => add_fenced_chains(facts, graph, &nodes),
            ProcessOrder::PerKey => add_chains_per_key(facts, graph, &nodes),
        }
    }
}

fn add_step(graph: &mut Graph, from: Node, to: Node) {
    graph.add(from, to, Kind::Process, Level::Process, Reason::SameProcess);
}

fn add_chain(facts: &Facts, graph: &mut Graph, nodes: &[Node]) {
    let mut last = None;
    for &node in nodes {
        if let Some(last) = last {
            add_step(graph, last, node);
        }
        if facts.history.transactions[node as usize].is_ok() {
            last = Some(node);
        }
    }
}

/// Transactions on several keys wait for all before them, and all after wait for them; between two
/// such, those on one key are in order.
fn add_fenced_chains(facts: &Facts, graph: &mut Graph, nodes: &[Node]) {
    let mut wide: Option<Node> = None;
    let mut narrow: Map<&str, Node> = Map::default();
    for &node in nodes {
        let transaction = &facts.history.transactions[node as usize];
        let Some(first) = transaction.ops.first().map(|op| op.key()) else { continue };
        let one_key = transaction.ops.iter().all(|op| op.key() == first);
        let (known, is_ok) = (wide, transaction.is_ok());
        if one_key {
            let before = narrow.get(first).copied().or(known);
            if let Some(before) = before {
                add_step(graph, before, node);
            }
            if is_ok {
                narrow.insert(first, node);
            }
        } else {
            for before in narrow.values().copied().chain(known) {
                add_step(graph, before, node);
            }
            if is_ok {
                narrow.clear();
                wide = Some(node);
            }
        }
    }
}

fn add_chains_per_key(facts: &Facts, graph: &mut Graph, nodes: &[Node]) {
    let mut last: Map<&str, Node> = Map::default();
    for &node in nodes {
        let transaction = &facts.history.transactions[node as usize];
        for op in &transaction.ops {
            if let Some(&before) = last.get(op.key()) {
                add_step(graph, before, node);
            }
            if transaction.is_ok() {
                last.insert(op.key(), node);
            }
        }
    }
}

/// A transaction that was acknowledged before another was sent comes before it. A chain of helper
/// nodes in the order of time stands for the quadratic number of such pairs.
pub fn add_real_time(facts: &Facts, graph: &mut Graph) {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    enum Event {
        // At equal times first: then the two count as concurrent.
        Invoked,
        Completed,
    }
    let mut events: Vec<(u64, Event, Node)> = Vec::new();
    for (index, transaction) in facts.history.transactions.iter().enumerate() {
        if facts.committed[index] {
            events.push((transaction.invoked, Event::Invoked, index as Node));
            if let Some(completed) = transaction.completed() {
                events.push((completed, Event::Completed, index as Node));
            }
        }
    }
    events.sort_unstable();
    let mut barrier: Option<Node> = None;
    let mut ended: Vec<Node> = Vec::new();
    for (_, event, node) in events {
        if event == Event::Completed {
            ended.push(node);
            continue;
        }
        if !ended.is_empty() {
            let next = graph.add_node();
            for ended in ended.drain(..) {
                graph.add(ended, next, Kind::Realtime, Level::Realtime, Reason::Earlier);
            }
            if let Some(barrier) = barrier {
                graph.link(barrier, next, Level::Realtime);
            }
            barrier = Some(next);
        }
        if let Some(barrier) = barrier {
            graph.link(barrier, node, Level::Realtime);
        }
    }
}
