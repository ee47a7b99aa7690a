//! The dependency graph: transactions, and helper nodes that keep its edges few.

use std::collections::VecDeque;

use super::facts::KeyId;

pub type Node = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The target overwrote what the source wrote.
    Ww,
    /// The target read what the source wrote.
    Wr,
    /// The target overwrote what the source read.
    Rw,
    Process,
    Realtime,
    /// Out of a helper node: goes on with the edge that led into it.
    Link,
}

/// The weakest assumption that an edge rests on, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Data,
    Process,
    Realtime,
}

/// Why the source of an edge must come before its target, for the explanation.
#[derive(Clone, Copy, Debug)]
pub enum Reason {
    NextElement { key: KeyId, before: u64, after: u64 },
    Saw { key: KeyId, value: u64 },
    MissedElement { key: KeyId, element: u64 },
    NeverSeen { key: KeyId },
    TakenInOrder { key: KeyId, before: u64, after: u64 },
    StillThere { key: KeyId, element: u64 },
    Gone { key: KeyId, element: u64 },
    NeverTaken { key: KeyId },
    Replaced { key: KeyId, value: u64 },
    SawReplaced { key: KeyId, value: u64 },
    SawNothing { key: KeyId },
    WriterBeforeWriter { key: KeyId, value: Option<u64>, writer: Node },
    WriterBeforeReader { key: KeyId, value: u64, reader: Node },
    SameProcess,
    Earlier,
    Helper,
}

#[derive(Clone, Copy, Debug)]
pub struct Edge {
    pub from: Node,
    pub to: Node,
    pub kind: Kind,
    pub level: Level,
    pub reason: Reason,
}

#[derive(Debug, Default)]
pub struct Graph {
    pub nodes: usize,
    pub edges: Vec<Edge>,
}

impl Graph {
    pub fn add_node(&mut self) -> Node {
        self.nodes += 1;
        self.nodes as Node - 1
    }

    /// An edge between a transaction and itself says nothing and is left out.
    pub fn add(&mut self, from: Node, to: Node, kind: Kind, level: Level, reason: Reason) {
        if from != to {
            self.edges.push(Edge { from, to, kind, level, reason });
        }
    }

    pub fn link(&mut self, from: Node, to: Node, level: Level) {
        self.add(from, to, Kind::Link, level, Reason::Helper);
    }

    /// Edges from every source to every target but itself, as many as there are sources and
    /// targets together. `targets` are distinct.
    ///
    /// Two chains of helpers run over the targets, one each way; a source that is itself a target
    /// enters them behind and before its own place.
    pub fn add_all_to_all(&mut self, sources: &[(Node, Kind, Reason)], targets: &[Node]) {
        if sources.is_empty() || targets.is_empty() {
            return;
        }
        let chain = |graph: &mut Graph, targets: &mut dyn Iterator<Item = Node>| -> Vec<Node> {
            let mut helpers: Vec<Node> = Vec::new();
            for target in targets {
                let helper = graph.add_node();
                graph.link(helper, target, Level::Data);
                if let Some(&previous) = helpers.last() {
                    graph.link(helper, previous, Level::Data);
                }
                helpers.push(helper);
            }
            helpers
        };
        let up_to = chain(self, &mut targets.iter().copied());
        let last = up_to[up_to.len() - 1];
        let mut own_places: Vec<(Node, usize)> =
            targets.iter().enumerate().map(|(place, &target)| (target, place)).collect();
        own_places.sort_unstable();
        let mut down_to: Option<Vec<Node>> = None;
        for &(source, kind, reason) in sources {
            let Ok(found) = own_places.binary_search_by_key(&source, |&(target, _)| target) else {
                self.add(source, last, kind, Level::Data, reason);
                continue;
            };
            let place = own_places[found].1;
            if place > 0 {
                self.add(source, up_to[place - 1], kind, Level::Data, reason);
            }
            if place + 1 < targets.len() {
                let down_to =
                    down_to.get_or_insert_with(|| chain(self, &mut targets.iter().rev().copied()));
                let helper = down_to[targets.len() - 2 - place];
                self.add(source, helper, kind, Level::Data, reason);
            }
        }
    }

    pub fn adjacency(&self) -> Adjacency {
        let mut starts = vec![0u32; self.nodes + 1];
        for edge in &self.edges {
            starts[edge.from as usize + 1] += 1;
        }
        for node in 0..self.nodes {
            starts[node + 1] += starts[node];
        }
        let mut next = starts.clone();
        let mut edges = vec![0u32; self.edges.len()];
        for (index, edge) in self.edges.iter().enumerate() {
            let place = &mut next[edge.from as usize];
            edges[*place as usize] = index as u32;
            *place += 1;
        }
        Adjacency { starts, edges }
    }

    /// The nodes so that every edge points forward; `None` if there is a cycle.
    pub fn topological_order(&self, adjacency: &Adjacency) -> Option<Vec<Node>> {
        let mut incoming = vec![0u32; self.nodes];
        for edge in &self.edges {
            incoming[edge.to as usize] += 1;
        }
        let mut order: Vec<Node> =
            (0..self.nodes as Node).filter(|&n| incoming[n as usize] == 0).collect();
        let mut done = 0;
        while done < order.len() {
            for &index in adjacency.of(order[done]) {
                let to = self.edges[index as usize].to;
                incoming[to as usize] -= 1;
                if incoming[to as usize] == 0 {
                    order.push(to);
                }
            }
            done += 1;
        }
        (order.len() == self.nodes).then_some(order)
    }

    /// The strongly connected components of more than one node, over the edges that `follow`
    /// accepts, among what is reachable from `roots`.
    ///
    /// R. Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1(2), 1972;
    /// with a stack of its own, because histories are longer than threads' stacks are deep.
    pub fn components(
        &self,
        adjacency: &Adjacency,
        roots: impl Iterator<Item = Node>,
        follow: impl Fn(&Edge) -> bool,
    ) -> Vec<Vec<Node>> {
        const UNSEEN: u32 = u32::MAX;
        let mut number = vec![UNSEEN; self.nodes];
        let mut low = vec![0u32; self.nodes];
        let mut on_stack = vec![false; self.nodes];
        let (mut stack, mut components, mut count) = (Vec::new(), Vec::new(), 0);
        let mut calls: Vec<(Node, usize)> = Vec::new();
        for root in roots {
            if number[root as usize] != UNSEEN {
                continue;
            }
            calls.push((root, 0));
            while let Some((node, progress)) = calls.pop() {
                let at = node as usize;
                if progress == 0 {
                    (number[at], low[at]) = (count, count);
                    count += 1;
                    stack.push(node);
                    on_stack[at] = true;
                }
                let mut deeper = None;
                let outgoing = adjacency.of(node);
                for (place, &index) in outgoing.iter().enumerate().skip(progress.saturating_sub(1))
                {
                    let edge = &self.edges[index as usize];
                    if !follow(edge) {
                        continue;
                    }
                    let to = edge.to as usize;
                    if number[to] == UNSEEN {
                        deeper = Some((place, edge.to));
                        break;
                    } else if on_stack[to] {
                        // Right for both a finished child and a back edge: while a node is on the
                        // stack its number and its low are in the same component.
                        low[at] = low[at].min(low[to]);
                    }
                }
                if let Some((place, child)) = deeper {
                    calls.push((node, place + 1));
                    calls.push((child, 0));
                } else if low[at] == number[at] {
                    let start = stack.iter().rposition(|&n| n == node).unwrap_or(0);
                    let component: Vec<Node> = stack.drain(start..).collect();
                    for &member in &component {
                        on_stack[member as usize] = false;
                    }
                    if component.len() > 1 {
                        components.push(component);
                    }
                }
            }
        }
        components
    }
}

/// The edges that leave each node.
#[derive(Debug)]
pub struct Adjacency {
    starts: Vec<u32>,
    edges: Vec<u32>,
}

impl Adjacency {
    pub fn of(&self, node: Node) -> &[u32] {
        let node = node as usize;
        &self.edges[self.starts[node] as usize..self.starts[node + 1] as usize]
    }
}

/// Shortest paths, counted in transactions: links are free. Keeps its tables between searches.
pub struct PathFinder<'g> {
    graph: &'g Graph,
    adjacency: &'g Adjacency,
    distance: Vec<u32>,
    arrived_by: Vec<u32>,
    touched: Vec<Node>,
    /// Edges looked at since the beginning.
    pub visits: usize,
}

impl<'g> PathFinder<'g> {
    pub fn new(graph: &'g Graph, adjacency: &'g Adjacency) -> Self {
        PathFinder {
            graph,
            adjacency,
            distance: vec![u32::MAX; graph.nodes],
            arrived_by: vec![0; graph.nodes],
            touched: Vec::new(),
            visits: 0,
        }
    }

    /// The edges of a shortest path of at most `limit` steps, over edges that `follow` accepts.
    pub fn path(
        &mut self,
        from: Node,
        to: Node,
        limit: u32,
        follow: impl Fn(&Edge) -> bool,
    ) -> Option<Vec<u32>> {
        for node in self.touched.drain(..) {
            self.distance[node as usize] = u32::MAX;
        }
        let mut queue = VecDeque::from([(from, 0)]);
        self.distance[from as usize] = 0;
        self.touched.push(from);
        while let Some((node, distance)) = queue.pop_front() {
            if node == to {
                return Some(self.walk_back(from, to));
            }
            if distance > self.distance[node as usize] {
                continue;
            }
            for &index in self.adjacency.of(node) {
                self.visits += 1;
                let edge = &self.graph.edges[index as usize];
                let step = u32::from(edge.kind != Kind::Link);
                let known = &mut self.distance[edge.to as usize];
                if distance + step > limit || distance + step >= *known || !follow(edge) {
                    continue;
                }
                if *known == u32::MAX {
                    self.touched.push(edge.to);
                }
                *known = distance + step;
                self.arrived_by[edge.to as usize] = index;
                if step == 0 {
                    queue.push_front((edge.to, distance));
                } else {
                    queue.push_back((edge.to, distance + 1));
                }
            }
        }
        None
    }

    fn walk_back(&self, from: Node, to: Node) -> Vec<u32> {
        let (mut path, mut node) = (Vec::new(), to);
        while node != from {
            let index = self.arrived_by[node as usize];
            path.push(index);
            node = self.graph.edges[index as usize].from;
        }
        path.reverse();
        path
    }
}
