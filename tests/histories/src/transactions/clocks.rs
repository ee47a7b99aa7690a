//! Which transactions come before which, answered at once: vector clocks over chains.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::facts::Facts;
use super::graph::{Adjacency, Graph, Node};

/// 256 MB of clocks.
const ENTRIES_MAX: usize = 64 << 20;

/// Committed transactions divided into chains, each of which is in order (who follows began
/// after the effects of who precedes had been seen), and for every
/// node of the graph how far it has each chain behind it.
///
/// C. Fidge, "Timestamps in message-passing systems that preserve the partial ordering", 1988, with
/// chains in place of processes, since pipelined transactions of a process overlap.
pub struct Clocks {
    pub chains: usize,
    chain_of: Vec<u32>,
    /// From 1.
    place_of: Vec<u32>,
    entries: Vec<u32>,
    /// Where edges lead that were learnt later.
    learnt: Vec<Vec<Node>>,
}

impl Clocks {
    /// `None` if there are too many concurrent transactions for a table in memory.
    pub fn new(
        facts: &Facts,
        graph: &Graph,
        adjacency: &Adjacency,
        in_order: &[Node],
    ) -> Option<Self> {
        let transactions = facts.committed.len();
        let mut clocks = Clocks {
            chains: 0,
            chain_of: vec![0; transactions],
            place_of: vec![0; transactions],
            entries: Vec::new(),
            learnt: vec![Vec::new(); transactions],
        };
        clocks.divide(facts);
        let size = clocks.chains.checked_mul(graph.nodes).filter(|&size| size <= ENTRIES_MAX)?;
        clocks.entries = vec![0; size];
        for &node in in_order {
            let at = node as usize * clocks.chains;
            if (node as usize) < transactions && clocks.place_of[node as usize] > 0 {
                let own = &mut clocks.entries[at + clocks.chain_of[node as usize] as usize];
                *own = (*own).max(clocks.place_of[node as usize]);
            }
            for &index in adjacency.of(node) {
                clocks.pass_on(node, graph.edges[index as usize].to);
            }
        }
        Some(clocks)
    }

    /// Returns whether the target learnt anything.
    fn pass_on(&mut self, from: Node, to: Node) -> bool {
        let (from, to) = (from as usize * self.chains, to as usize * self.chains);
        let mut news = false;
        for chain in 0..self.chains {
            let seen = self.entries[from + chain];
            let entry = &mut self.entries[to + chain];
            news |= seen > *entry;
            *entry = (*entry).max(seen);
        }
        news
    }

    /// One more edge, between transactions, that makes no cycle.
    pub fn learn(&mut self, graph: &Graph, adjacency: &Adjacency, from: Node, to: Node) {
        self.learnt[from as usize].push(to);
        if !self.pass_on(from, to) {
            return;
        }
        let mut changed = vec![to];
        while let Some(node) = changed.pop() {
            for &index in adjacency.of(node) {
                let next = graph.edges[index as usize].to;
                if self.pass_on(node, next) {
                    changed.push(next);
                }
            }
            for place in 0..self.learnt.get(node as usize).map_or(0, Vec::len) {
                let next = self.learnt[node as usize][place];
                if self.pass_on(node, next) {
                    changed.push(next);
                }
            }
        }
    }

    /// As many chains as transactions were ever concurrent.
    fn divide(&mut self, facts: &Facts) {
        let mut order: Vec<Node> =
            (0..facts.committed.len() as Node).filter(|&n| facts.committed[n as usize]).collect();
        order.sort_by_key(|&n| facts.history.transactions[n as usize].invoked);
        let mut free_at: BinaryHeap<Reverse<(u64, u32, u32)>> = BinaryHeap::new();
        for node in order {
            let invoked = facts.history.transactions[node as usize].invoked;
            let (chain, place) = match free_at.peek() {
                Some(&Reverse((end, chain, length))) if end < invoked => {
                    free_at.pop();
                    (chain, length + 1)
                }
                _ => {
                    self.chains += 1;
                    (self.chains as u32 - 1, 1)
                }
            };
            self.chain_of[node as usize] = chain;
            self.place_of[node as usize] = place;
            free_at.push(Reverse((facts.ends[node as usize], chain, place)));
        }
    }

    pub fn chain(&self, transaction: Node) -> u32 {
        self.chain_of[transaction as usize]
    }

    pub fn place(&self, transaction: Node) -> u32 {
        self.place_of[transaction as usize]
    }

    /// How much of the chain is behind the node, itself included.
    pub fn behind(&self, node: Node, chain: u32) -> u32 {
        self.entries[node as usize * self.chains + chain as usize]
    }

    pub fn is_before(&self, one: Node, other: Node) -> bool {
        one != other && self.behind(other, self.chain(one)) >= self.place(one)
    }
}
