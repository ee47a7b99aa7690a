//! Requests to other shards, gathered over a pass and sent as one batch each; and what their answers
//! are for.

use super::event::{Outbox, ShardId};
use super::memory::MemoryAccount;
use crate::protocol::Args;
use crate::shard::{Buffers, Shard};
use crate::txn::{Batch, Message, Request, Unit};

/// What is gathered for one peer; empty between two passes.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "batches travel in their boxes")]
struct Link {
    requests: Option<Box<Batch>>,
    /// The halves of pairs, see [`super::pair`].
    halves: Option<Box<Batch>>,
    /// Requests of this pass before those, in order.
    full: Vec<Box<Batch>>,
    used: bool,
    /// Requests, of whichever way, that have not been answered.
    unanswered: usize,
}

/// This core's links to all cores, itself included.
#[derive(Debug)]
pub(super) struct Links {
    links: Vec<Link>,
    buffers: Buffers,
    passes: u64,
    /// Scratch.
    halves: Vec<(ShardId, Message)>,
}

impl Links {
    pub fn new(shards: usize) -> Self {
        Links {
            links: (0..shards).map(|_| Link::default()).collect(),
            buffers: Buffers::default(),
            passes: 0,
            halves: Vec::new(),
        }
    }

    /// For the shards of this core, to answer with.
    #[inline]
    pub fn buffers_mut(&mut self) -> &mut Buffers {
        &mut self.buffers
    }

    /// Bytes of the buffers that are kept between two passes.
    pub fn memory(&self) -> usize {
        self.buffers.memory()
    }

    /// Passes since the start.
    pub fn passes(&self) -> u64 {
        self.passes
    }

    /// CONFIG RESETSTAT.
    pub fn reset_passes(&mut self) {
        self.passes = 0;
    }

    /// Whether the shard owes this core no answer.
    #[inline]
    pub fn is_answered(&self, shard: ShardId) -> bool {
        self.links[shard].unanswered == 0
    }

    /// One more request is answered later.
    pub fn expect_answer(&mut self, shard: ShardId) {
        self.links[shard].unanswered += 1;
    }

    /// So many answers have come, or requests have not been sent after all.
    pub fn answered(&mut self, shard: ShardId, requests: usize) {
        let unanswered = &mut self.links[shard].unanswered;
        debug_assert!(*unanswered >= requests, "shard {shard} answers more than it was asked");
        *unanswered = unanswered.saturating_sub(requests);
    }

    /// Sends a command to the shard that owns its keys, at the end of this pass.
    #[inline]
    pub fn send_request(&mut self, shard: ShardId, request: Request, args: Args<'_>) {
        let link = &mut self.links[shard];
        link.used = true;
        link.unanswered += 1;
        let requests = link.requests.get_or_insert_with(|| self.buffers.batch());
        requests.push(args, request);
        if Buffers::is_full(requests) {
            link.full.extend(link.requests.take());
        }
    }

    /// As [`Links::send_request`] for a unit.
    pub fn send_unit(&mut self, shard: ShardId, request: Request, unit: Box<Unit>) {
        let link = &mut self.links[shard];
        link.used = true;
        link.unanswered += 1;
        link.requests.get_or_insert_with(|| self.buffers.batch()).push_unit(unit, request);
    }

    /// Sends a request, of a unit or else of a command, that must come in order among the
    /// multi-shard commands.
    pub fn send_half(
        &mut self,
        shard: ShardId,
        request: Request,
        args: Args<'_>,
        unit: Option<Box<Unit>>,
    ) {
        self.expect_answer(shard);
        let halves = self.links[shard].halves.get_or_insert_with(|| self.buffers.batch());
        match unit {
            Some(unit) => halves.push_unit(unit, request),
            None => halves.push(args, request),
        }
        if Buffers::is_full(halves) {
            self.end_halves(shard);
        }
    }

    fn end_halves(&mut self, shard: ShardId) {
        if let Some(mut halves) = self.links[shard].halves.take() {
            self.buffers.send_along(&mut halves);
            self.halves.push((shard, Message::Requests(halves)));
        }
    }

    /// Puts the requests of [`Links::send_half`] in front of other messages; returns in how many.
    pub fn flush_halves(&mut self, ordered: &mut Vec<(ShardId, Message)>) -> usize {
        (0..self.links.len()).for_each(|shard| self.end_halves(shard));
        let count = self.halves.len();
        ordered.splice(0..0, self.halves.drain(..));
        count
    }

    /// Hands the batches of this pass to the runtime, and what a shard of this core has answered.
    pub fn flush(&mut self, own: &mut Shard, memory: &mut MemoryAccount, outbox: &mut Outbox) {
        self.passes += 1;
        for (core, link) in self.links.iter_mut().enumerate() {
            // Answers first: whoever waits for them has waited longest.
            own.take_answers(core, &mut self.buffers, |answers| {
                memory.sent(answers.size());
                outbox.messages.push((core, Message::Replies(answers)));
            });
            if !std::mem::take(&mut link.used) {
                continue;
            }
            let full = link.full.drain(..).map(|full| (core, Message::Requests(full)));
            outbox.messages.extend(full);
            if let Some(mut requests) = link.requests.take() {
                self.buffers.send_along(&mut requests);
                outbox.messages.push((core, Message::Requests(requests)));
            }
        }
    }
}
