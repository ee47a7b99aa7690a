//! The chunks of a list in a counted B+tree: every child is kept with the elements and the heap
//! bytes below it.

use super::super::packed::{End, Needle};
use super::chunk::Chunk;
use super::limit::Limit;
use crate::store::memory::good_size;

/// Chunks of a leaf, children of an inner node.
pub(super) const FANOUT: usize = 32;

/// One edit may add that many chunks to a leaf before it is split.
const EDIT_ADDS_MAX: usize = 2;

/// Neighbours are joined that together have no more than this.
const JOINED_MAX: usize = FANOUT / 2;

/// What is below a node, the memory of the nodes themselves included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub elements: usize,
    pub heap_bytes: usize,
}

#[derive(Debug)]
pub(super) enum Node {
    Leaf(Vec<Chunk>),
    Inner(Vec<Child>),
}

#[derive(Debug)]
pub(super) struct Child {
    pub node: Node,
    pub weight: Weight,
}

/// Where an edit goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// To the chunk of the element at that index.
    Index(usize),
    End(End),
}

impl Default for Child {
    fn default() -> Child {
        Child { node: Node::Leaf(Vec::new()), weight: Weight::default() }
    }
}

impl Clone for Child {
    fn clone(&self) -> Child {
        Child::new(match &self.node {
            Node::Leaf(chunks) => Node::Leaf(chunks.clone()),
            Node::Inner(children) => Node::Inner(children.clone()),
        })
    }
}

impl Node {
    fn len(&self) -> usize {
        match self {
            Node::Leaf(chunks) => chunks.len(),
            Node::Inner(children) => children.len(),
        }
    }

    fn weigh(&self) -> Weight {
        let mut weight = Weight { elements: 0, heap_bytes: self.own_bytes() };
        match self {
            Node::Leaf(chunks) => {
                for chunk in chunks {
                    weight.elements += chunk.elements();
                    weight.heap_bytes += chunk.heap_bytes();
                }
            }
            Node::Inner(children) => {
                for child in children {
                    weight.elements += child.weight.elements;
                    weight.heap_bytes += child.weight.heap_bytes;
                }
            }
        }
        weight
    }

    /// The node's own allocation.
    pub(super) fn own_bytes(&self) -> usize {
        let bytes = match self {
            Node::Leaf(chunks) => chunks.capacity() * size_of::<Chunk>(),
            Node::Inner(children) => children.capacity() * size_of::<Child>(),
        };
        if bytes == 0 { 0 } else { good_size(bytes) }
    }

    fn split_off(&mut self, at: usize) -> Node {
        match self {
            Node::Leaf(chunks) => Node::Leaf(chunks.split_off(at)),
            Node::Inner(children) => Node::Inner(children.split_off(at)),
        }
    }
}

/// Room for what one edit may add; nodes grow by doubling up to what they may have.
fn make_room<T>(items: &mut Vec<T>) {
    let len = items.len();
    if items.capacity() < len + EDIT_ADDS_MAX {
        let capacity = (2 * len).clamp(EDIT_ADDS_MAX, FANOUT + EDIT_ADDS_MAX);
        items.reserve_exact(capacity.max(len + EDIT_ADDS_MAX) - len);
    }
}

impl Child {
    pub(super) fn new(node: Node) -> Child {
        let weight = node.weigh();
        Child { node, weight }
    }

    /// The chunks of the leaf with the element, which one of them has it, and at which index there.
    pub(super) fn locate(&self, mut index: usize) -> Option<(&[Chunk], usize, usize)> {
        let mut node = &self.node;
        loop {
            match node {
                Node::Leaf(chunks) => {
                    let at = place(chunks.iter().map(Chunk::elements), &mut index)?;
                    return Some((chunks, at, index));
                }
                Node::Inner(children) => {
                    let at = place(children.iter().map(|c| c.weight.elements), &mut index)?;
                    node = &children.get(at)?.node;
                }
            }
        }
    }

    /// Lets `edit` change a leaf: it is given the chunks, which of them is meant, and the index
    /// within it; for an end that is the outermost. It may add two chunks. Gives what was split
    /// off.
    fn edit<R>(
        &mut self,
        target: Target,
        edit: impl FnOnce(&mut Vec<Chunk>, usize, usize) -> R,
    ) -> (R, Option<Child>) {
        let result = match &mut self.node {
            Node::Leaf(chunks) => {
                let (at, index) = target.within(chunks.iter().map(Chunk::elements));
                make_room(chunks);
                edit(chunks, at, index)
            }
            Node::Inner(children) => {
                let (at, index) = target.within(children.iter().map(|c| c.weight.elements));
                let below = match target {
                    Target::Index(_) => Target::Index(index),
                    Target::End(_) => target,
                };
                let (result, split) = children[at].edit(below, edit);
                match split {
                    Some(split) => {
                        make_room(children);
                        children.insert(at + 1, split);
                    }
                    None => join_around(children, at),
                }
                result
            }
        };
        let split = (self.node.len() > FANOUT).then(|| {
            // Whoever adds at an end leaves full nodes behind.
            let at = match target {
                Target::Index(_) => self.node.len() / 2,
                Target::End(End::Front) => 1,
                Target::End(End::Back) => self.node.len() - 1,
            };
            Child::new(self.node.split_off(at))
        });
        self.weight = self.node.weigh();
        (result, split)
    }

    /// Removes elements from an index on. What goes as a whole is added to `removed`.
    fn remove_range(&mut self, start: usize, count: usize, limit: Limit, removed: &mut Vec<Child>) {
        match &mut self.node {
            Node::Leaf(chunks) => {
                let whole = cut(chunks, start, count, Chunk::elements, Chunk::delete);
                if !whole.is_empty() {
                    removed.push(Child::new(Node::Leaf(chunks.drain(whole).collect())));
                }
                tidy_chunks(chunks, limit);
            }
            Node::Inner(children) => {
                let elements = |child: &Child| child.weight.elements;
                let whole = cut(children, start, count, elements, |child, start, count| {
                    child.remove_range(start, count, limit, removed);
                });
                removed.extend(children.drain(whole));
                tidy_children(children);
            }
        }
        self.weight = self.node.weigh();
    }

    fn remove_matching(
        &mut self,
        from: End,
        needle: &Needle<'_>,
        count: usize,
        limit: Limit,
    ) -> usize {
        let mut removed = 0;
        match &mut self.node {
            Node::Leaf(chunks) => {
                in_direction(chunks, from, |chunk| {
                    let deleted = chunk.delete_matching(from, needle, count - removed);
                    if deleted > 0 {
                        chunk.shrink();
                    }
                    removed += deleted;
                    removed < count
                });
                if removed > 0 {
                    tidy_chunks(chunks, limit);
                }
            }
            Node::Inner(children) => {
                in_direction(children, from, |child| {
                    removed += child.remove_matching(from, needle, count - removed, limit);
                    removed < count
                });
                if removed > 0 {
                    tidy_children(children);
                }
            }
        }
        if removed > 0 {
            self.weight = self.node.weigh();
        }
        removed
    }

    /// Takes the outermost leaf off the back.
    fn pop_leaf(&mut self) -> Vec<Chunk> {
        let leaf = match &mut self.node {
            Node::Leaf(chunks) => std::mem::take(chunks),
            Node::Inner(children) => {
                let leaf = children.last_mut().map(Child::pop_leaf).unwrap_or_default();
                if children.last().is_some_and(|last| last.node.len() == 0) {
                    children.pop();
                }
                leaf
            }
        };
        self.weight = self.node.weigh();
        leaf
    }
}

impl Target {
    /// Which item is meant among ones with so many elements each, and the index within it. An index
    /// beyond all is behind the last.
    fn within(self, counts: impl ExactSizeIterator<Item = usize>) -> (usize, usize) {
        let last = counts.len().saturating_sub(1);
        match self {
            Target::End(End::Front) => (0, 0),
            Target::End(End::Back) => (last, 0),
            Target::Index(mut index) => (place(counts, &mut index).unwrap_or(last), index),
        }
    }
}

/// Which of the items has the element; the index becomes the one within it.
fn place(counts: impl Iterator<Item = usize>, index: &mut usize) -> Option<usize> {
    for (at, count) in counts.enumerate() {
        if *index < count {
            return Some(at);
        }
        *index -= count;
    }
    None
}

/// Visits until told to stop by false.
fn in_direction<T>(items: &mut [T], from: End, mut visit: impl FnMut(&mut T) -> bool) {
    match from {
        End::Front => items.iter_mut().all(&mut visit),
        End::Back => items.iter_mut().rev().all(&mut visit),
    };
}

/// Cuts a range of elements out of the items that it covers in part, and gives the items that it
/// covers as a whole.
fn cut<T>(
    items: &mut [T],
    start: usize,
    count: usize,
    elements: impl Fn(&T) -> usize,
    mut delete: impl FnMut(&mut T, usize, usize),
) -> std::ops::Range<usize> {
    let end = start + count;
    let mut whole = 0..0;
    let mut from = 0;
    for (at, item) in items.iter_mut().enumerate() {
        let to = from + elements(item);
        if from >= start && to <= end {
            whole = if whole.is_empty() { at..at + 1 } else { whole.start..at + 1 };
        } else if from < end && to > start {
            let first = start.max(from);
            delete(item, first - from, end.min(to) - first);
        }
        from = to;
    }
    whole
}

/// Drops empty chunks, shrinks those that have lost elements and joins sparse neighbours.
pub(super) fn tidy_chunks(chunks: &mut Vec<Chunk>, limit: Limit) {
    chunks.retain(|chunk| !chunk.is_empty());
    join_chunks(chunks, 0..chunks.len(), limit);
    chunks.iter_mut().for_each(Chunk::shrink);
}

/// Joins sparse neighbours among the chunks of a range.
pub(super) fn join_chunks(chunks: &mut Vec<Chunk>, range: std::ops::Range<usize>, limit: Limit) {
    let mut at = range.start;
    let mut end = range.end.min(chunks.len());
    while at + 1 < end {
        let (left, right) = (&chunks[at], &chunks[at + 1]);
        let bytes = left.run_bytes() + right.run_bytes();
        let joined = limit.admits_joined(bytes, left.elements() + right.elements());
        if joined {
            let right = chunks.remove(at + 1);
            let fits = chunks[at].append(End::Back, &right);
            debug_assert!(fits.is_ok(), "both are far below what a run can be");
            end -= 1;
        } else {
            at += 1;
        }
    }
}

fn tidy_children(children: &mut Vec<Child>) {
    children.retain(|child| child.node.len() > 0);
    let mut at = 0;
    while at + 1 < children.len() {
        if !join(children, at) {
            at += 1;
        }
    }
}

/// What an edit of one child may have left to be done: it is empty, or sparse like a neighbour.
fn join_around(children: &mut Vec<Child>, at: usize) {
    if children[at].node.len() == 0 {
        children.remove(at);
        return;
    }
    join(children, at);
    if at > 0 {
        join(children, at - 1);
    }
}

/// Joins a child with the next one, if both are sparse.
fn join(children: &mut Vec<Child>, at: usize) -> bool {
    let Some(next) = children.get(at + 1) else { return false };
    if children[at].node.len() + next.node.len() > JOINED_MAX {
        return false;
    }
    let next = children.remove(at + 1);
    let child = &mut children[at];
    match (&mut child.node, next.node) {
        (Node::Leaf(chunks), Node::Leaf(more)) => chunks.extend(more),
        (Node::Inner(children), Node::Inner(more)) => children.extend(more),
        _ => unreachable!("all leaves are at the same depth"),
    }
    child.weight = child.node.weigh();
    true
}

/// The whole tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    root: Child,
}

impl Tree {
    pub(super) fn weight(&self) -> Weight {
        self.root.weight
    }

    pub(super) fn is_empty(&self) -> bool {
        self.root.weight.elements == 0
    }

    pub(super) fn locate(&self, index: usize) -> Option<(&[Chunk], usize, usize)> {
        self.root.locate(index)
    }

    /// As [`Child::edit`], at the root.
    pub(super) fn edit<R>(
        &mut self,
        target: Target,
        edit: impl FnOnce(&mut Vec<Chunk>, usize, usize) -> R,
    ) -> R {
        let (result, split) = self.root.edit(target, edit);
        match split {
            Some(split) => {
                let first = std::mem::take(&mut self.root);
                self.root = Child::new(Node::Inner(vec![first, split]));
            }
            None => self.lower(),
        }
        result
    }

    pub(super) fn push(&mut self, end: End, chunk: Chunk) {
        self.edit(Target::End(end), |chunks, _, _| match end {
            End::Front => chunks.insert(0, chunk),
            End::Back => chunks.push(chunk),
        });
    }

    pub(super) fn pop(&mut self, end: End) -> Option<Chunk> {
        if self.is_empty() {
            return None;
        }
        self.edit(Target::End(end), |chunks, _, _| match end {
            End::Front => Some(chunks.remove(0)),
            End::Back => chunks.pop(),
        })
    }

    pub(super) fn peek(&self, end: End) -> Option<&Chunk> {
        let index = match end {
            End::Front => 0,
            End::Back => self.weight().elements.checked_sub(1)?,
        };
        let (chunks, at, _) = self.locate(index)?;
        chunks.get(at)
    }

    /// Gives what went as whole chunks.
    pub(super) fn remove_range(&mut self, start: usize, count: usize, limit: Limit) -> Vec<Child> {
        let mut removed = Vec::new();
        if count > 0 {
            self.root.remove_range(start, count, limit, &mut removed);
            self.lower();
        }
        removed
    }

    pub(super) fn remove_matching(
        &mut self,
        from: End,
        needle: &Needle<'_>,
        count: usize,
        limit: Limit,
    ) -> usize {
        if count == 0 {
            return 0;
        }
        let removed = self.root.remove_matching(from, needle, count, limit);
        self.lower();
        removed
    }

    pub(super) fn pop_leaf(&mut self) -> Vec<Chunk> {
        let leaf = self.root.pop_leaf();
        self.lower();
        leaf
    }

    pub(super) fn into_root(self) -> Child {
        self.root
    }

    #[cfg(test)]
    pub(super) fn root(&self) -> &Child {
        &self.root
    }

    /// A root of one child is not needed, one of no children is an empty leaf.
    fn lower(&mut self) {
        while let Node::Inner(children) = &mut self.root.node
            && children.len() <= 1
        {
            self.root = children.pop().unwrap_or_default();
        }
        if self.is_empty() {
            self.root = Child::default();
        }
    }
}
