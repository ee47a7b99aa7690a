//! What a shard has ready for cores, until its holder fetches it.

use std::collections::VecDeque;

use super::buffers::Buffers;
use crate::txn::{Message, Replies, ShardId};

#[derive(Debug)]
pub(super) struct Outbox {
    messages: VecDeque<(ShardId, Message)>,
    /// By core.
    answers: Vec<Answers>,
}

/// To the requests of one core.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "batches travel in their boxes")]
struct Answers {
    open: Option<Box<Replies>>,
    /// Before those, in order.
    full: Vec<Box<Replies>>,
    used: bool,
}

impl Outbox {
    pub fn new(cores: usize) -> Self {
        let answers = (0..cores).map(|_| Answers::default()).collect();
        Outbox { messages: VecDeque::new(), answers }
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.answers.iter().all(|answers| !answers.used)
    }

    #[inline]
    pub fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }

    pub fn push(&mut self, core: ShardId, message: Message) {
        self.messages.push_back((core, message));
    }

    pub fn pop(&mut self) -> Option<(ShardId, Message)> {
        self.messages.pop_front()
    }

    /// The answers that are being gathered for a core; to be put back.
    #[inline]
    pub fn open_answers(&mut self, to: ShardId, buffers: &mut Buffers) -> Box<Replies> {
        self.answers[to].open.take().unwrap_or_else(|| buffers.replies.take())
    }

    #[inline]
    pub fn put_back(&mut self, to: ShardId, answers: Box<Replies>) {
        let link = &mut self.answers[to];
        link.open = Some(answers);
        link.used = true;
    }

    /// Nothing more goes into these.
    pub fn end_answers(&mut self, to: ShardId, answers: Box<Replies>) {
        self.answers[to].full.push(answers);
    }

    /// See [`super::Shard::take_answers`].
    #[inline]
    pub fn take_answers(
        &mut self,
        to: ShardId,
        buffers: &mut Buffers,
        mut send: impl FnMut(Box<Replies>),
    ) {
        let link = &mut self.answers[to];
        if !std::mem::take(&mut link.used) {
            return;
        }
        link.full.drain(..).for_each(&mut send);
        let Some(mut replies) = link.open.take() else { return };
        if !replies.replies.is_empty() {
            return send(replies);
        }
        // Nothing was answered, because all of it waits for locks.
        if let Some(spent) = replies.spent.take() {
            buffers.requests.keep(spent);
        }
        buffers.replies.keep(replies);
    }
}
