//! Requests to other shards and answers to theirs, gathered over a pass and sent as one batch each.
//! The buffers travel back and forth between two shards, so that a steady stream allocates nothing.

use super::Engine;
use super::core::Core;
use super::event::{Outbox, ShardId};
use super::sessions::settle;
use crate::commands::{Flags, Handler, Row};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::reply::Reply;
use crate::txn::{
    Batch, LockMode, Message, OwnedRequest, RemoteReply, Replies, Request, RunAs, Turn, Unit,
    Waiting,
};

/// One in so many calls of a fast command is timed.
const SAMPLED_CALLS: u64 = 32;
/// Buffers kept per peer for the next batches.
const SPARES_MAX: usize = 4;
/// Requests or answers that have so many bytes are sent as they are; what follows goes into another
/// buffer. Buffers of about one size can be used again, by whichever side; and positions in a batch
/// have 32 bits, one request with all that came before it in a pass could have more.
const BATCH_BYTES_FULL: usize = 128 * 1024;
const SPARE_BYTES_MAX: usize = 2 * BATCH_BYTES_FULL;

#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "batches travel in their boxes")]
struct Link {
    requests: Box<Batch>,
    replies: Box<Replies>,
    /// The halves of pairs, see [`super::pair`].
    halves: Box<Batch>,
    /// Requests and answers of this pass before those, in order.
    full_requests: Vec<Box<Batch>>,
    full_replies: Vec<Box<Replies>>,
    /// Batches of ours that came back, and answers' buffers of the peer's to be sent home.
    spare_requests: Vec<Box<Batch>>,
    spare_replies: Vec<Box<Replies>>,
    /// Bytes of the buffers above, as of the last pass that used them.
    accounted_bytes: usize,
    used: bool,
}

impl Link {
    /// Bytes of the buffers that are kept between two passes.
    fn memory(&self) -> usize {
        let requests = self.spare_requests.iter().map(|batch| batch.memory());
        let replies = self.spare_replies.iter().map(|batch| batch.memory());
        self.requests.memory()
            + self.halves.memory()
            + self.replies.memory()
            + requests.sum::<usize>()
            + replies.sum::<usize>()
    }

    fn take_halves(&mut self) -> Box<Batch> {
        let next = self.spare_requests.pop().unwrap_or_default();
        let mut halves = std::mem::replace(&mut self.halves, next);
        halves.spent = self.spare_replies.pop();
        halves
    }
}

#[derive(Debug)]
pub(super) struct Peers {
    links: Vec<Link>,
    /// Passes since the start.
    pub passes: u64,
    /// Scratch.
    halves: Vec<(ShardId, Message)>,
}

impl Peers {
    pub fn new(shards: usize) -> Self {
        Peers {
            links: (0..shards).map(|_| Link::default()).collect(),
            passes: 0,
            halves: Vec::new(),
        }
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
        let link = &mut self.links[shard];
        link.used = true;
        match unit {
            Some(unit) => link.halves.push_unit(unit, request),
            None => link.halves.push(args, request),
        }
        if link.halves.bytes.len() >= BATCH_BYTES_FULL {
            self.halves.push((shard, Message::Requests(link.take_halves())));
        }
    }

    /// Puts the requests of [`Peers::send_half`] in front of other messages; returns in how many.
    pub fn flush_halves(&mut self, ordered: &mut Vec<(ShardId, Message)>) -> usize {
        for (shard, link) in self.links.iter_mut().enumerate() {
            if !link.halves.requests.is_empty() {
                self.halves.push((shard, Message::Requests(link.take_halves())));
            }
        }
        let count = self.halves.len();
        ordered.splice(0..0, self.halves.drain(..));
        count
    }
}

impl Core {
    /// Sends a command to the shard that owns its keys, at the end of this pass.
    #[inline]
    pub fn send_request(&mut self, shard: ShardId, request: Request, args: Args<'_>) {
        let link = &mut self.peers.links[shard];
        link.used = true;
        link.requests.push(args, request);
        if link.requests.bytes.len() >= BATCH_BYTES_FULL {
            let next = link.spare_requests.pop().unwrap_or_default();
            link.full_requests.push(std::mem::replace(&mut link.requests, next));
        }
    }

    /// As [`Core::send_request`] for a unit.
    pub fn send_unit(&mut self, shard: ShardId, request: Request, unit: Box<Unit>) {
        let link = &mut self.peers.links[shard];
        link.used = true;
        link.requests.push_unit(unit, request);
    }

    /// Keeps a command of this core's own connection until the locks on its keys are gone.
    pub fn wait_for_locks(&mut self, request: Request, work: Waiting) {
        self.locks.wait(Box::new(OwnedRequest { from: self.shard_id, request, work }));
    }

    /// Runs the commands of another shard's batch and gathers the answers.
    pub fn serve_batch(&mut self, from: ShardId, mut batch: Box<Batch>) {
        if let Some(spare) = batch.spent.take() {
            keep_spare(&mut self.peers.links[from].spare_replies, spare);
        }
        for request in &batch.requests {
            if let Some(key) = batch.args(request).get(request.row.first_key.max(1)) {
                self.shard.db(usize::from(request.run_as.db)).prefetch(key);
            }
        }
        let mut replies = std::mem::take(&mut self.peers.links[from].replies);
        let mut units = std::mem::take(&mut batch.units);
        for request in &batch.requests {
            if request.is_unit() {
                if let Some(unit) = request.take_unit(&mut units) {
                    self.serve_unit(&mut replies, from, request, unit);
                }
                continue;
            }
            let args = batch.args(request);
            let row = request.row;
            let keys = row.key_positions(args.len()).map(|index| args.at(index));
            if !self.locks.is_idle()
                && (self.locks.is_out_of_turn(Turn::of(from, request, args.len()))
                    || self.locks.must_wait(keys, LockMode::of(row)))
            {
                let work = Waiting::Command(OwnedArgs::from(args));
                self.locks.wait(Box::new(OwnedRequest { from, request: *request, work }));
                continue;
            }
            self.answer_into(&mut replies, from, request, args);
        }
        batch.clear();
        let link = &mut self.peers.links[from];
        match replies.spent {
            None => replies.spent = Some(batch),
            Some(_) => keep_spare(&mut link.spare_requests, batch),
        }
        link.replies = replies;
        link.used = true;
    }

    fn serve_unit(
        &mut self,
        replies: &mut Box<Replies>,
        from: ShardId,
        request: &Request,
        unit: Box<Unit>,
    ) {
        if self.locks.is_out_of_turn(Turn::of(from, request, 0))
            || self.locks.all_must_wait(unit.locks())
        {
            let work = Waiting::Unit(unit);
            self.locks.wait(Box::new(OwnedRequest { from, request: *request, work }));
            return;
        }
        let before = replies.bytes.len();
        self.run_unit(&unit, &mut replies.bytes);
        self.end_answer(replies, from, request, before);
    }

    /// Runs what waited for locks and adds its answer to the batch of the shard that sent it.
    pub fn answer(&mut self, waited: OwnedRequest) {
        let OwnedRequest { from, request, work } = waited;
        let mut replies = std::mem::take(&mut self.peers.links[from].replies);
        match work {
            Waiting::Command(args) => {
                self.answer_into(&mut replies, from, &request, args.as_args());
            }
            Waiting::Unit(unit) => {
                let before = replies.bytes.len();
                self.run_unit(&unit, &mut replies.bytes);
                self.end_answer(&mut replies, from, &request, before);
            }
        }
        self.peers.links[from].replies = replies;
        self.peers.links[from].used = true;
    }

    /// Runs one command for the shard `from`; the batch of answers is in hand, as taking it out is
    /// not free.
    #[inline]
    fn answer_into(
        &mut self,
        replies: &mut Box<Replies>,
        from: ShardId,
        request: &Request,
        args: Args<'_>,
    ) {
        let before = replies.bytes.len();
        self.run_handler(request.row, args, request.run_as, &mut replies.bytes);
        self.serve_waiters(None);
        self.end_answer(replies, from, request, before);
    }

    /// The answer to a request has been written, from `before` on.
    #[inline]
    fn end_answer(
        &mut self,
        replies: &mut Box<Replies>,
        from: ShardId,
        request: &Request,
        before: usize,
    ) {
        let len = replies.bytes.len() - before;
        replies.replies.push(RemoteReply { conn: request.conn, sequence: request.sequence, len });
        if replies.bytes.len() >= BATCH_BYTES_FULL {
            let link = &mut self.peers.links[from];
            let next = link.spare_replies.pop().unwrap_or_default();
            link.full_replies.push(std::mem::replace(replies, next));
        }
    }

    /// Runs a command on this shard and appends its reply.
    #[inline]
    pub fn run_handler(
        &mut self,
        row: &'static Row,
        args: Args<'_>,
        run_as: RunAs,
        out: &mut Vec<u8>,
    ) {
        let (Handler::Keyed(handler, _)
        | Handler::EveryShard(handler, _)
        | Handler::Cursor(handler)
        | Handler::Anywhere(handler)) = row.handler
        else {
            debug_assert!(false, "{} has no handler for a shard", row.name);
            return;
        };
        let before = out.len();
        let no_touch = run_as.no_touch && !row.flags.contains(Flags::TOUCHES);
        if no_touch {
            self.shard.set_touching(false);
        }
        let timed = self.begins_timed(row);
        let started = timed.map(|_| (self.stopwatch)());
        let result = handler(&mut self.context(run_as, out), args);
        if no_touch {
            self.shard.set_touching(true);
        }
        if let (Some(stands_for), Some(started)) = (timed, started) {
            let nanos = (self.stopwatch)().saturating_sub(started);
            self.stats.by_command[row.id].nanos += nanos.saturating_mul(stands_for);
        }
        self.count_call(row, result.as_ref().err());
        if let Err(error) = result {
            out.truncate(before);
            Reply::new(out, run_as.encoding).error_bytes(&error.message());
        }
    }

    /// Whether to time this call of a command, and for how many calls the result stands. Reading a
    /// clock would cost a fast command a third of its time.
    #[inline]
    fn begins_timed(&self, row: &Row) -> Option<u64> {
        if !row.flags.contains(Flags::FAST) {
            return Some(1);
        }
        let calls = self.stats.by_command[row.id].calls;
        calls.is_multiple_of(SAMPLED_CALLS).then_some(calls.clamp(1, SAMPLED_CALLS))
    }

    /// Hands the batches of this pass to the runtime.
    pub fn flush_peers(&mut self, outbox: &mut Outbox) {
        self.peers.passes += 1;
        for (shard, link) in self.peers.links.iter_mut().enumerate() {
            if !std::mem::take(&mut link.used) {
                continue;
            }
            // Answers first: whoever waits for them has waited longest.
            for full in link.full_replies.drain(..) {
                self.memory.sent(full.memory());
                outbox.messages.push((shard, Message::Replies(full)));
            }
            if !link.replies.replies.is_empty() {
                let next = link.spare_replies.pop().unwrap_or_default();
                let replies = std::mem::replace(&mut link.replies, next);
                self.memory.sent(replies.memory());
                outbox.messages.push((shard, Message::Replies(replies)));
            }
            for full in link.full_requests.drain(..) {
                outbox.messages.push((shard, Message::Requests(full)));
            }
            if !link.requests.requests.is_empty() {
                let next = link.spare_requests.pop().unwrap_or_default();
                let mut requests = std::mem::replace(&mut link.requests, next);
                requests.spent = link.spare_replies.pop();
                outbox.messages.push((shard, Message::Requests(requests)));
            }
            let bytes = link.memory();
            self.memory.batches_changed(link.accounted_bytes, bytes);
            link.accounted_bytes = bytes;
        }
    }
}

impl Engine {
    /// Answers from another shard: each fills its connection's slot.
    pub(super) fn take_replies(
        &mut self,
        from: ShardId,
        mut replies: Box<Replies>,
        outbox: &mut Outbox,
    ) {
        let mut start = 0;
        // The replies to a pipeline stand together: its session is settled once.
        for of_one in replies.replies.chunk_by(|a, b| a.conn == b.conn) {
            // A command of two halves is the only one under way of its connection.
            if let [answer] = of_one
                && self.is_half(answer, &replies.bytes[start..start + answer.len], outbox)
            {
                start += answer.len;
                continue;
            }
            let mut session = self.sessions.get_mut(of_one[0].conn);
            for reply in of_one {
                let end = start + reply.len;
                if let Some(session) = &mut session {
                    session.output.fill(reply.sequence, &replies.bytes[start..end]);
                }
                start = end;
            }
            if let Some(session) = session {
                settle(&mut self.core, session, outbox);
            }
        }
        self.core.memory.received(replies.memory());
        let link = &mut self.core.peers.links[from];
        link.used = true;
        if let Some(spare) = replies.spent.take() {
            keep_spare(&mut link.spare_requests, spare);
        }
        replies.clear();
        keep_spare(&mut link.spare_replies, replies);
    }
}

/// Keeps a buffer for later unless there are enough, or it has become too large to keep.
fn keep_spare<T: Spare>(spares: &mut Vec<Box<T>>, spare: Box<T>) {
    if spares.len() < SPARES_MAX && spare.kept_bytes() <= SPARE_BYTES_MAX {
        spares.push(spare);
    }
}

trait Spare {
    fn kept_bytes(&self) -> usize;
}

impl Spare for Batch {
    fn kept_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Spare for Replies {
    fn kept_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}
