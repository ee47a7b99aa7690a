//! The nodes above the leaves. Leaves are at one depth; a node has as many entries below each child
//! as it says.

use super::allocation;
use super::leaf::Entry;
use super::leaves::Leaves;
use super::node::{Child, FANOUT, JOINED_MAX, Node, SPARSE, Separator};
use crate::store::memory::good_size;

/// Two neighbouring nodes have three quarters of [`FANOUT`] children together at least, so 2^32
/// leaves are less than eight deep.
const HEIGHT_MAX: usize = 12;

#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: Vec<Option<Box<Node>>>,
    /// Numbers of nodes that are not there.
    free: Vec<u32>,
    /// A leaf, if there are no nodes.
    root: u32,
    /// Nodes above each leaf.
    height: usize,
}

/// The way from the root to a leaf. Good until the tree is changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// A node, and which of its children comes next.
    steps: [(u32, usize); HEIGHT_MAX],
    height: usize,
    leaf: u32,
}

/// Neighbouring leaves under one node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub left: u32,
    pub right: u32,
    /// Which child the left one is.
    at: usize,
}

impl Path {
    #[inline]
    pub fn leaf(&self) -> u32 {
        self.leaf
    }

    fn steps(&self) -> &[(u32, usize)] {
        &self.steps[..self.height]
    }
}

impl Tree {
    /// Of one leaf.
    pub fn new(leaf: u32) -> Tree {
        Tree { nodes: Vec::new(), free: Vec::new(), root: leaf, height: 0 }
    }

    fn node(&self, id: u32) -> &Node {
        match &self.nodes[id as usize] {
            Some(node) => node,
            None => unreachable!("no node that has gone is the child of another"),
        }
    }

    fn node_mut(&mut self, id: u32) -> &mut Node {
        match &mut self.nodes[id as usize] {
            Some(node) => node,
            None => unreachable!("no node that has gone is the child of another"),
        }
    }

    /// The way that `choose` leads: it is given a node, and how many levels of nodes are below.
    #[inline]
    fn path(&self, mut choose: impl FnMut(&Node, usize) -> usize) -> Path {
        let mut path = Path { steps: [(0, 0); HEIGHT_MAX], height: self.height, leaf: self.root };
        for level in 0..self.height {
            let node = self.node(path.leaf);
            let child = choose(node, self.height - 1 - level);
            path.steps[level] = (path.leaf, child);
            path.leaf = node.id(child);
        }
        path
    }

    /// To the leaf where an entry is, or belongs.
    #[inline]
    pub fn path_to(&self, leaves: &Leaves, entry: &Entry<'_>) -> Path {
        let separator = Separator::of(entry);
        self.path(|node, levels| {
            let (last, alike) = node.candidates(separator);
            let first = last - alike;
            first
                + partition_point(alike, |n| {
                    let child = self.first(leaves, node.id(first + 1 + n), levels);
                    // An empty leaf has been made for this very entry.
                    child.is_none_or(|child| child.order(entry).is_le())
                })
        })
    }

    /// To the leaf with the entry of an index, and the index within it.
    #[inline]
    pub fn path_to_index(&self, mut index: usize) -> (Path, usize) {
        let path = self.path(|node, _| {
            let child;
            (child, index) = node.child_of_index(index);
            child
        });
        (path, index)
    }

    pub fn path_by(&self, choose: impl Fn(&Node) -> usize) -> Path {
        self.path(|node, _| choose(node))
    }

    /// To the last leaf for whose first entry this is true, or to the first leaf.
    pub fn path_by_first(&self, leaves: &Leaves, is_before: impl Fn(Entry<'_>) -> bool) -> Path {
        self.path(|node, levels| {
            partition_point(node.len() - 1, |n| {
                self.first(leaves, node.id(n + 1), levels).is_some_and(&is_before)
            })
        })
    }

    /// The first entry below a child that has so many levels of nodes below it.
    fn first<'l>(&self, leaves: &'l Leaves, mut id: u32, levels: usize) -> Option<Entry<'l>> {
        for _ in 0..levels {
            id = self.node(id).id(0);
        }
        leaves.get(id).first()
    }

    /// Entries in the leaves ahead of the path's.
    pub fn count_before(&self, path: &Path) -> usize {
        path.steps().iter().map(|(node, child)| self.node(*node).count_before(*child)).sum()
    }

    pub fn add_to_counts(&mut self, path: &Path, added: usize) {
        for (node, child) in path.steps() {
            *self.node_mut(*node).count_mut(*child) += added;
        }
    }

    pub fn subtract_from_counts(&mut self, path: &Path, removed: usize) {
        for (node, child) in path.steps() {
            *self.node_mut(*node).count_mut(*child) -= removed;
        }
    }

    /// The path's leaf with each of its neighbours under the same node.
    pub fn pairs(&self, path: &Path) -> impl Iterator<Item = Pair> {
        let bottom = path.steps().last().map(|(node, child)| (self.node(*node), *child));
        bottom.into_iter().flat_map(|(node, child)| {
            let pairs = child.saturating_sub(1)..(child + 1).min(node.len() - 1);
            pairs.map(|at| Pair { left: node.id(at), right: node.id(at + 1), at })
        })
    }

    /// Puts a leaf behind the path's, which has given entries to it and keeps so many.
    pub fn insert_behind(&mut self, path: Path, mut kept: usize, mut new: Child) {
        for (id, at) in path.steps().iter().rev().copied() {
            let node = self.node_mut(id);
            *node.count_mut(at) = kept;
            if !node.is_full() {
                node.insert(at + 1, new);
                return;
            }
            // Whoever adds in order leaves full nodes behind.
            let cut = if at + 1 == FANOUT { FANOUT } else { FANOUT / 2 };
            let mut rest = node.split_off(cut);
            if at < cut && cut < FANOUT {
                node.insert(at + 1, new);
            } else {
                rest.insert(at + 1 - cut, new);
            }
            kept = node.total();
            let (separator, count) = (rest.separator(0), rest.total());
            new = Child { separator, id: self.add_node(rest), count };
        }
        let first = Child { separator: Separator::MIN, id: self.root, count: kept };
        self.root = self.add_node(Node::new(&[first, new]));
        self.height += 1;
    }

    /// Removes the path's leaf, which has no entries any more.
    pub fn remove(&mut self, path: Path) {
        if let Some((node, child)) = path.steps().last() {
            self.node_mut(*node).remove(*child);
        }
        self.tidy(path);
    }

    /// Two leaves have become one, which has this number.
    pub fn join(&mut self, path: Path, pair: Pair, id: u32) {
        if let Some((node, _)) = path.steps().last() {
            self.node_mut(*node).join(pair.at, id);
        }
        self.tidy(path);
    }

    /// After children of the path's last node have gone: removes nodes that are empty and joins those
    /// that are nearly so.
    fn tidy(&mut self, path: Path) {
        let steps = path.steps();
        for (level, (id, _)) in steps.iter().enumerate().skip(1).rev() {
            let (parent, at) = steps[level - 1];
            let len = self.node(*id).len();
            if len == 0 {
                self.node_mut(parent).remove(at);
                self.remove_node(*id);
                continue;
            }
            let pairs = at.saturating_sub(1)..(at + 1).min(self.node(parent).len() - 1);
            let mut pairs =
                pairs.map(|at| (at, self.node(parent).id(at), self.node(parent).id(at + 1)));
            let joined = pairs.find(|(_, left, right)| {
                self.node(*left).len() + self.node(*right).len() <= JOINED_MAX
            });
            let Some((at, left, right)) = joined.filter(|_| len < SPARSE) else { return };
            if let Some(gone) = self.remove_node(right) {
                self.node_mut(left).append(&gone, 0);
                self.node_mut(parent).join(at, left);
            }
        }
        while self.height > 0 && self.node(self.root).len() == 1 {
            let root = self.root;
            self.root = self.node(root).id(0);
            self.height -= 1;
            self.remove_node(root);
        }
    }

    /// The leaf with that first entry gets another number.
    pub fn set_leaf(&mut self, leaves: &Leaves, first: &Entry<'_>, id: u32) {
        let path = self.path_to(leaves, first);
        match path.steps().last() {
            Some((node, child)) => self.node_mut(*node).set_id(*child, id),
            None => self.root = id,
        }
    }

    fn add_node(&mut self, node: Node) -> u32 {
        let node = Some(Box::new(node));
        match self.free.pop() {
            Some(id) => {
                self.nodes[id as usize] = node;
                id
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        }
    }

    fn remove_node(&mut self, id: u32) -> Option<Box<Node>> {
        let node = self.nodes[id as usize].take();
        self.free.push(id);
        if self.height == 0 {
            (self.nodes, self.free) = Default::default();
        }
        node
    }

    /// Frees a node, after which it is no tree any more; false if there was none left.
    pub fn free_node(&mut self) -> bool {
        let freed = self.nodes.pop().is_some();
        self.free.clear();
        if !freed {
            (self.nodes, self.free) = Default::default();
        }
        freed
    }

    pub fn heap_bytes(&self) -> usize {
        (self.nodes.len() - self.free.len()) * good_size(size_of::<Node>())
            + allocation(self.nodes.capacity() * size_of::<Option<Box<Node>>>())
            + allocation(self.free.capacity() * size_of::<u32>())
    }
}

/// As `slice::partition_point`, of the numbers below `len`.
fn partition_point(len: usize, mut is_before: impl FnMut(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = usize::midpoint(low, high);
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
impl Tree {
    /// Counts are right, separators in order, leaves at one depth. Gives the leaves, each with the
    /// count and the separator that it has.
    pub fn check(&self) -> Vec<(u32, Option<usize>, Separator)> {
        let mut leaves = Vec::new();
        self.check_child(self.root, None, Separator::MIN, self.height, &mut leaves);
        assert!(self.height == 0 || self.node(self.root).len() > 1, "a root of one child");
        leaves
    }

    fn check_child(
        &self,
        id: u32,
        count: Option<usize>,
        separator: Separator,
        levels: usize,
        leaves: &mut Vec<(u32, Option<usize>, Separator)>,
    ) {
        let Some(levels) = levels.checked_sub(1) else {
            return leaves.push((id, count, separator));
        };
        let node = self.node(id);
        assert!(node.len() > 0 && node.len() <= FANOUT);
        assert!(count.is_none_or(|count| count == node.total()));
        assert_eq!(node.separator(0), separator);
        for at in 0..node.len() {
            assert!(at == 0 || node.separator(at - 1) <= node.separator(at));
            self.check_child(node.id(at), Some(node.count(at)), node.separator(at), levels, leaves);
        }
    }

    pub fn walked_bytes(&self) -> usize {
        self.nodes.iter().flatten().map(|_| good_size(size_of::<Node>())).sum::<usize>()
            + allocation(self.nodes.capacity() * size_of::<Option<Box<Node>>>())
            + allocation(self.free.capacity() * size_of::<u32>())
    }
}
