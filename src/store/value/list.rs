//! A list that is too large to be one packed run.

use std::collections::VecDeque;

use crate::store::memory::good_size;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Front,
    Back,
}

/// Elements in an order.
#[derive(Clone, Debug, Default)]
pub struct List {
    elements: VecDeque<Box<[u8]>>,
    /// Of the elements.
    bytes: usize,
}

impl List {
    pub fn new() -> List {
        List::default()
    }

    pub fn len(&self) -> usize {
        self.elements.len()
    }

    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Bytes that the list holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.bytes + self.elements.capacity() * size_of::<Box<[u8]>>()
    }

    pub fn push(&mut self, end: End, element: &[u8]) {
        self.bytes += good_size(element.len());
        match end {
            End::Front => self.elements.push_front(element.into()),
            End::Back => self.elements.push_back(element.into()),
        }
    }

    pub fn pop(&mut self, end: End) -> Option<Box<[u8]>> {
        let element = match end {
            End::Front => self.elements.pop_front(),
            End::Back => self.elements.pop_back(),
        }?;
        self.bytes -= good_size(element.len());
        Some(element)
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.elements.iter().map(|element| &**element)
    }

    /// Frees about `budget` elements; true while there are more.
    pub fn free_slice(&mut self, budget: usize) -> bool {
        for _ in 0..budget {
            if self.pop(End::Back).is_none() {
                return false;
            }
        }
        !self.is_empty()
    }
}
