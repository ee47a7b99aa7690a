//! Finds the worst kind of cycle in every tangle of the graph, and the shortest of that kind.

use super::anomaly::{Anomaly, AnomalyKind, Cycle, Needs};
use super::describe;
use super::facts::Facts;
use super::graph::{Adjacency, Edge, Graph, Kind, Level, Node, PathFinder};

/// After looking at so many edges the shortest cycle found so far has to do.
const VISITS_PER_SEARCH: usize = 2_000_000;

const OUTSIDE: u32 = u32::MAX;

/// From the strongest claim to the weakest.
const LEVELS: [Level; 3] = [Level::Data, Level::Process, Level::Realtime];
const CYCLES: [Cycle; 4] = [Cycle::G0, Cycle::G1c, Cycle::GSingle, Cycle::G2Item];

/// One anomaly per strongly connected component of the whole graph.
pub fn find(facts: &Facts, graph: &Graph, adjacency: &Adjacency) -> Vec<Anomaly> {
    let all = 0..graph.nodes as Node;
    let tangles = graph.components(adjacency, all, |_| true);
    let mut tangle_of = vec![OUTSIDE; graph.nodes];
    for (number, tangle) in tangles.iter().enumerate() {
        for &node in tangle {
            tangle_of[node as usize] = number as u32;
        }
    }
    let mut finder = PathFinder::new(graph, adjacency);
    let mut found = vec![false; tangles.len()];
    let mut anomalies = Vec::new();
    for level in LEVELS {
        for class in CYCLES {
            let open = |node: Node| match tangle_of[node as usize] {
                OUTSIDE => false,
                tangle => !found[tangle as usize],
            };
            let follow = |edge: &Edge| open(edge.from) && open(edge.to) && fits(edge, class, level);
            let roots = tangles.iter().flatten().copied().filter(|&node| open(node));
            let components = graph.components(adjacency, roots, follow);
            for component in components {
                let tangle = tangle_of[component[0] as usize] as usize;
                if found[tangle] {
                    continue;
                }
                if let Some(cycle) =
                    shortest(&mut finder, graph, adjacency, component, class, level)
                {
                    found[tangle] = true;
                    anomalies.push(explain(facts, graph, &cycle, class));
                }
            }
        }
    }
    anomalies
}

/// Whether cycles of the class may contain the edge.
fn fits(edge: &Edge, class: Cycle, level: Level) -> bool {
    let kind = match edge.kind {
        Kind::Ww | Kind::Process | Kind::Realtime | Kind::Link => true,
        Kind::Wr => class != Cycle::G0,
        Kind::Rw => matches!(class, Cycle::GSingle | Cycle::G2Item),
    };
    kind && edge.level <= level
}

/// The kind of edge that every cycle of the class has.
fn hallmark(class: Cycle) -> Kind {
    match class {
        Cycle::G0 => Kind::Ww,
        Cycle::G1c => Kind::Wr,
        Cycle::GSingle | Cycle::G2Item => Kind::Rw,
    }
}

fn shortest(
    finder: &mut PathFinder,
    graph: &Graph,
    adjacency: &Adjacency,
    mut component: Vec<Node>,
    class: Cycle,
    level: Level,
) -> Option<Vec<u32>> {
    component.sort_unstable();
    let inside = |node: Node| component.binary_search(&node).is_ok();
    let start = finder.visits;
    let mut best: Option<Vec<u32>> = None;
    let mut limit = u32::MAX - 1;
    // Exactly one rw edge: the way back has none.
    let way_back = if class == Cycle::GSingle { Cycle::G1c } else { class };
    for &node in &component {
        for &index in adjacency.of(node) {
            let edge = &graph.edges[index as usize];
            if edge.kind != hallmark(class) || edge.level > level || !inside(edge.to) {
                continue;
            }
            if finder.visits - start > VISITS_PER_SEARCH {
                return best;
            }
            let follow = |edge: &Edge| fits(edge, way_back, level) && inside(edge.to);
            if let Some(path) = finder.path(edge.to, edge.from, limit, follow) {
                let steps = path.iter().filter(|&&i| graph.edges[i as usize].kind != Kind::Link);
                let steps = steps.count() as u32;
                best = Some([vec![index], path].concat());
                if steps <= 1 {
                    return best;
                }
                limit = steps - 1;
            }
        }
    }
    best
}

fn explain(facts: &Facts, graph: &Graph, cycle: &[u32], class: Cycle) -> Anomaly {
    // Where a step leads through helpers, its first edge has the reason.
    let steps: Vec<&Edge> = cycle
        .iter()
        .map(|&index| &graph.edges[index as usize])
        .filter(|edge| edge.kind != Kind::Link)
        .collect();
    let needs = match steps.iter().map(|edge| edge.level).max() {
        Some(Level::Realtime) => Needs::Realtime,
        Some(Level::Process) => Needs::ProcessOrder,
        Some(Level::Data) | None => Needs::Nothing,
    };
    let mut text = format!("a cycle of {} transactions", steps.len());
    for edge in &steps {
        text.push_str("\n  ");
        text.push_str(&describe::transaction(facts.history, edge.from as usize));
    }
    for (place, edge) in steps.iter().enumerate() {
        let next = steps[(place + 1) % steps.len()];
        text.push_str("\n  ");
        text.push_str(&describe::step(facts, edge, next.from));
    }
    let transactions = steps.iter().map(|edge| edge.from as usize).collect();
    Anomaly { kind: AnomalyKind::Cycle(class, needs), transactions, explanation: text }
}
