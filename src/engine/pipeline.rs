//! Commands that have been decoded and not run yet.

use crate::commands::Lookup;
use crate::protocol::{Args, Span};
use crate::txn::ShardId;

/// What a command line names, and where it leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub lookup: Lookup,
    /// The shard of its first key; this one if it has none.
    pub shard: ShardId,
}

/// A command that has been decoded and not run yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    pub start: usize,
    pub end: usize,
    pub first_span: usize,
    pub route: Route,
}

/// Commands of one connection, decoded ahead: scratch that is used again.
#[derive(Debug, Default)]
pub(super) struct Pipeline {
    /// Of all commands, in order.
    pub spans: Vec<Span>,
    pub commands: Vec<Ahead>,
}

/// The spans may keep so much memory.
const KEPT_BYTES_MAX: usize = 64 * 1024;

impl Pipeline {
    pub fn clear(&mut self) {
        self.spans.clear();
        self.commands.clear();
    }

    /// The arguments of a command of `input`.
    #[inline]
    pub fn args<'a>(&'a self, index: usize, input: &'a [u8]) -> Args<'a> {
        let Ahead { start, end, first_span, .. } = self.commands[index];
        let next = self.commands.get(index + 1);
        let end_span = next.map_or(self.spans.len(), |next| next.first_span);
        Args::new(&input[start..end], &self.spans[first_span..end_span])
    }

    /// The commands have run: keeps what is of use for others like most are.
    pub fn trim(&mut self) {
        if self.memory() > KEPT_BYTES_MAX {
            self.spans = Vec::new();
        }
    }

    /// Bytes that are kept.
    pub fn memory(&self) -> usize {
        self.spans.capacity() * size_of::<Span>()
    }
}
