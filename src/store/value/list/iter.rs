//! Walking a list: from chunk to chunk, and through the tree only from leaf to leaf.

use std::iter::FusedIterator;
use std::slice;

use super::super::packed::{self, Cursor, Element, End, Packed};
use super::List;
use super::chunk::Chunk;

/// The chunks of a list, from one on.
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    list: &'a List,
    /// What is left of the leaf.
    chunks: slice::Iter<'a, Chunk>,
    to: End,
    /// Elements in chunks that have not been given yet.
    left: usize,
}

impl<'a> Runs<'a> {
    /// From the chunk on that has the element of that index.
    pub(super) fn new(list: &'a List, index: usize, to: End) -> Runs<'a> {
        let mut runs = Runs { list, chunks: [].iter(), to, left: 0 };
        if let Some((chunks, at, within)) = list.locate(index) {
            let first = index - within;
            runs.left = match to {
                End::Back => list.len() - first,
                End::Front => first + chunks[at].elements(),
            };
            runs.chunks = part(chunks, at, to);
        }
        runs
    }

    fn next_chunk(&mut self) -> Option<&'a Chunk> {
        if self.left == 0 {
            return None;
        }
        if self.chunks.len() == 0 {
            let index = match self.to {
                End::Back => self.list.len() - self.left,
                End::Front => self.left - 1,
            };
            let (chunks, at, _) = self.list.locate(index)?;
            self.chunks = part(chunks, at, self.to);
        }
        let chunk = match self.to {
            End::Back => self.chunks.next()?,
            End::Front => self.chunks.next_back()?,
        };
        self.left = self.left.saturating_sub(chunk.elements());
        Some(chunk)
    }
}

/// The chunks from one on.
fn part(chunks: &[Chunk], at: usize, to: End) -> slice::Iter<'_, Chunk> {
    match to {
        End::Back => chunks[at..].iter(),
        End::Front => chunks[..=at].iter(),
    }
}

impl<'a> Iterator for Runs<'a> {
    type Item = Packed<'a>;

    fn next(&mut self) -> Option<Packed<'a>> {
        self.next_chunk().map(Chunk::run)
    }
}

/// The elements of a list, from one on.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    runs: Runs<'a>,
    elements: packed::Iter<'a>,
}

impl<'a> Iter<'a> {
    pub(super) fn new(list: &'a List, index: usize, to: End) -> Iter<'a> {
        let mut runs = Runs::new(list, index, to);
        let within = list.locate(index).map_or(0, |(_, _, within)| within);
        let elements = runs.next().and_then(|run| {
            let at: Cursor = run.seek(i64::try_from(within).ok()?)?;
            Some(match to {
                End::Back => run.iter_from(at),
                End::Front => run.iter_to(at),
            })
        });
        Iter { runs, elements: elements.unwrap_or_else(packed::Iter::empty) }
    }

    #[inline]
    fn next_of_chunk(&mut self) -> Option<Element<'a>> {
        match self.runs.to {
            End::Back => self.elements.next(),
            End::Front => self.elements.next_back(),
        }
    }

    /// Apart from `next`, so that this stays small enough for the loops that it is inlined into.
    #[cold]
    #[inline(never)]
    fn next_beyond_chunk(&mut self) -> Option<Element<'a>> {
        loop {
            self.elements = self.runs.next()?.iter();
            if let Some(element) = self.next_of_chunk() {
                return Some(element);
            }
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        match self.next_of_chunk() {
            Some(element) => Some(element),
            None => self.next_beyond_chunk(),
        }
    }
}

impl FusedIterator for Iter<'_> {}

impl List {
    /// Shows up to `count` elements from an index on. For long ranges: where an element begins is in
    /// a register here, and in memory between two calls of [`Iter::next`].
    pub fn visit(&self, index: usize, count: usize, to: End, mut show: impl FnMut(Element<'_>)) {
        let Iter { mut runs, mut elements } = self.iter_from(index, to);
        let mut left = count;
        while left > 0 {
            let wanted = left;
            let show = |element| {
                left -= 1;
                show(element);
            };
            match to {
                End::Back => elements.take(wanted).for_each(show),
                End::Front => elements.rev().take(wanted).for_each(show),
            }
            match runs.next() {
                Some(run) => elements = run.iter(),
                None => break,
            }
        }
    }
}
