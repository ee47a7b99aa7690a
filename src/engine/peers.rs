//! Requests to other shards and answers to theirs, gathered over a pass and sent as one batch each.
//! The buffers travel back and forth between two shards, so that a steady stream allocates nothing.
//!
//! Between two passes no peer has a buffer of its own: all lie in one pool, whose bound does not
//! depend on how many peers there are, and which gives back what it has not lent for a second.

use super::Engine;
use super::core::Core;
use super::event::{Outbox, ShardId};
use super::sessions::settle;
use crate::commands::{CommandError, Context, Flags, Handler, Outcome, Row};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::reply::Reply;
use crate::store::Shard;
use crate::txn::{
    Batch, Holder, LockMode, Message, OwnedRequest, RemoteReply, Replies, Request, RunAs, Turn,
    Unit, Waiting,
};

/// Buffers that a core keeps for its next batches, of each kind.
const POOL_BYTES_MAX: usize = 1024 * 1024;
const POOL_BUFFERS_MAX: usize = 128;
/// What was not used for so long is given back.
const IDLE_US: u64 = 1_000_000;
/// Requests or answers that have so many bytes are sent as they are; what follows goes into another
/// buffer. Buffers of about one size can be used again, by whichever side; and positions in a batch
/// have 32 bits, one request with all that came before it in a pass could have more.
const BATCH_BYTES_FULL: usize = 128 * 1024;
const KEPT_BYTES_MAX: usize = 3 * BATCH_BYTES_FULL;

/// What is gathered for one peer; empty between two passes.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "batches travel in their boxes")]
struct Link {
    requests: Option<Box<Batch>>,
    replies: Option<Box<Replies>>,
    /// The halves of pairs, see [`super::pair`].
    halves: Option<Box<Batch>>,
    /// Requests and answers of this pass before those, in order.
    full_requests: Vec<Box<Batch>>,
    full_replies: Vec<Box<Replies>>,
    used: bool,
}

#[derive(Debug)]
pub(super) struct Peers {
    links: Vec<Link>,
    requests: Pool<Batch>,
    replies: Pool<Replies>,
    /// When the pools last gave back what was idle.
    trimmed_us: u64,
    /// Passes since the start.
    pub passes: u64,
    /// Scratch.
    halves: Vec<(ShardId, Message)>,
}

/// Empty buffers to be filled again. The one that was put back last is taken first, so those that
/// nobody needs gather at the bottom.
#[derive(Debug)]
struct Pool<T> {
    buffers: Vec<Box<T>>,
    bytes: usize,
    /// The fewest buffers there have been since the last [`Pool::trim`].
    fewest: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Pool { buffers: Vec::new(), bytes: 0, fewest: 0 }
    }
}

impl<T: Buffer> Pool<T> {
    #[inline]
    fn pop(&mut self) -> Option<Box<T>> {
        let buffer = self.buffers.pop()?;
        self.bytes -= buffer.held_bytes();
        self.fewest = self.fewest.min(self.buffers.len());
        Some(buffer)
    }

    #[inline]
    fn take(&mut self) -> Box<T> {
        self.pop().unwrap_or_default()
    }

    /// Keeps an empty buffer unless there are enough, or it has become too large to keep.
    fn keep(&mut self, buffer: Box<T>) {
        let bytes = buffer.held_bytes();
        if self.buffers.len() < POOL_BUFFERS_MAX
            && bytes <= KEPT_BYTES_MAX
            && self.bytes + bytes <= POOL_BYTES_MAX
        {
            self.bytes += bytes;
            self.buffers.push(buffer);
        }
    }

    /// Gives back what was not needed since the last call.
    fn trim(&mut self) {
        let idle = self.buffers.drain(..self.fewest);
        self.bytes -= idle.map(|buffer| buffer.held_bytes()).sum::<usize>();
        self.fewest = self.buffers.len();
    }
}

/// What lies in a [`Pool`].
trait Buffer: Default {
    /// Bytes of its memory, used or not.
    fn held_bytes(&self) -> usize;
}

impl Buffer for Batch {
    fn held_bytes(&self) -> usize {
        size_of::<Batch>() + self.memory()
    }
}

impl Buffer for Replies {
    fn held_bytes(&self) -> usize {
        size_of::<Replies>() + self.memory()
    }
}

impl Peers {
    pub fn new(shards: usize) -> Self {
        Peers {
            links: (0..shards).map(|_| Link::default()).collect(),
            requests: Pool::default(),
            replies: Pool::default(),
            trimmed_us: 0,
            passes: 0,
            halves: Vec::new(),
        }
    }

    /// Bytes of the buffers that are kept between two passes.
    pub fn memory(&self) -> usize {
        self.requests.bytes + self.replies.bytes
    }

    /// Whether there is anything to be given back one day.
    pub fn has_kept(&self) -> bool {
        self.memory() > 0
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
        let halves = link.halves.get_or_insert_with(|| self.requests.take());
        match unit {
            Some(unit) => halves.push_unit(unit, request),
            None => halves.push(args, request),
        }
        if halves.bytes.len() >= BATCH_BYTES_FULL {
            self.end_halves(shard);
        }
    }

    fn end_halves(&mut self, shard: ShardId) {
        if let Some(mut halves) = self.links[shard].halves.take() {
            halves.spent = self.replies.pop();
            self.halves.push((shard, Message::Requests(halves)));
        }
    }

    /// Puts the requests of [`Peers::send_half`] in front of other messages; returns in how many.
    pub fn flush_halves(&mut self, ordered: &mut Vec<(ShardId, Message)>) -> usize {
        (0..self.links.len()).for_each(|shard| self.end_halves(shard));
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
        let requests = link.requests.get_or_insert_with(|| self.peers.requests.take());
        requests.push(args, request);
        if requests.bytes.len() >= BATCH_BYTES_FULL {
            link.full_requests.extend(link.requests.take());
        }
    }

    /// As [`Core::send_request`] for a unit.
    pub fn send_unit(&mut self, shard: ShardId, request: Request, unit: Box<Unit>) {
        let link = &mut self.peers.links[shard];
        link.used = true;
        let requests = link.requests.get_or_insert_with(|| self.peers.requests.take());
        requests.push_unit(unit, request);
    }

    /// Keeps a command of this core's own connection until the locks on its keys are gone.
    pub fn wait_for_locks(&mut self, request: Request, work: Waiting) {
        self.locks.wait(Box::new(OwnedRequest { from: self.shard_id, request, work }));
    }

    /// Runs the commands of another shard's batch and gathers the answers.
    pub fn serve_batch(&mut self, from: ShardId, mut batch: Box<Batch>) {
        if let Some(spare) = batch.spent.take() {
            self.peers.replies.keep(spare);
        }
        for request in &batch.requests {
            if let Some(key) = request.row.first_key(batch.args(request)) {
                self.shard.db(usize::from(request.run_as.db)).prefetch(key);
            }
        }
        let mut replies = self.take_answers(from);
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
            let keys = row.key_positions(args).map(|index| args.at(index));
            if !self.locks.is_idle()
                && (self.locks.is_out_of_turn(Turn::of(from, request, Some(args)))
                    || self.locks.must_wait(keys, LockMode::of(row)))
            {
                let work = Waiting::Command(OwnedArgs::from(args));
                self.locks.wait(Box::new(OwnedRequest { from, request: *request, work }));
                continue;
            }
            self.answer_into(&mut replies, from, request, args, None);
        }
        batch.clear();
        match replies.spent {
            None => replies.spent = Some(batch),
            Some(_) => self.peers.requests.keep(batch),
        }
        self.put_answers(from, replies);
    }

    /// The answers that have been gathered for a shard.
    #[inline]
    fn take_answers(&mut self, from: ShardId) -> Box<Replies> {
        let gathered = self.peers.links[from].replies.take();
        gathered.unwrap_or_else(|| self.peers.replies.take())
    }

    #[inline]
    fn put_answers(&mut self, from: ShardId, replies: Box<Replies>) {
        let link = &mut self.peers.links[from];
        link.replies = Some(replies);
        link.used = true;
    }

    fn serve_unit(
        &mut self,
        replies: &mut Box<Replies>,
        from: ShardId,
        request: &Request,
        unit: Box<Unit>,
    ) {
        if self.locks.is_out_of_turn(Turn::of(from, request, None))
            || self.locks.all_must_wait(unit.locks())
        {
            let work = Waiting::Unit(unit);
            self.locks.wait(Box::new(OwnedRequest { from, request: *request, work }));
            return;
        }
        let before = replies.bytes.len();
        self.run_unit(&unit, &mut replies.bytes, None);
        self.end_answer(replies, from, request, before);
    }

    /// Runs what waited for locks and now holds them, and adds its answer to the batch of the shard
    /// that sent it.
    pub fn answer(&mut self, waited: OwnedRequest, holder: Holder) {
        let OwnedRequest { from, request, work } = waited;
        let mut replies = self.take_answers(from);
        match work {
            Waiting::Command(args) => {
                self.answer_into(&mut replies, from, &request, args.as_args(), Some(holder));
            }
            Waiting::Unit(unit) => {
                let before = replies.bytes.len();
                self.run_unit(&unit, &mut replies.bytes, Some(holder));
                self.end_answer(&mut replies, from, &request, before);
            }
        }
        self.put_answers(from, replies);
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
        holder: Option<Holder>,
    ) {
        let before = replies.bytes.len();
        self.run_handler(request.row, args, request.run_as, &mut replies.bytes);
        self.serve_waiters(holder);
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
            let full = std::mem::replace(replies, self.peers.replies.take());
            self.peers.links[from].full_replies.push(full);
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
        if row.lacks_keys(args) {
            return self.run_on_nothing(row, handler, args, run_as, out);
        }
        let before = out.len();
        let no_touch = run_as.no_touch && !row.flags.contains(Flags::TOUCHES);
        if no_touch {
            self.shard.set_touching(false);
        }
        let timed = self.stats.by_command[row.id].is_next_timed();
        let started = timed.then(|| (self.stopwatch)());
        let result = handler(&mut self.context(run_as, out), args);
        if no_touch {
            self.shard.set_touching(true);
        }
        if let Some(started) = started {
            let nanos = (self.stopwatch)().saturating_sub(started);
            self.time_call(row, nanos);
        }
        self.count_call(row, result.as_ref().err());
        if let Err(error) = result {
            out.truncate(before);
            Reply::new(out, run_as.encoding).error_bytes(&error.message());
        }
    }

    /// Runs a command of which the arguments do not say where its keys are, on an empty shard, for
    /// the error that its handler answers with.
    #[cold]
    fn run_on_nothing(
        &mut self,
        row: &'static Row,
        handler: fn(&mut Context<'_>, Args<'_>) -> Outcome,
        args: Args<'_>,
        run_as: RunAs,
        out: &mut Vec<u8>,
    ) {
        let mut nothing = Shard::new(0);
        let mut reply = Vec::new();
        let mut context = Context {
            shard: &mut nothing,
            reply: Reply::new(&mut reply, run_as.encoding),
            ..self.context(run_as, out)
        };
        let error = match handler(&mut context, args) {
            Err(error) => error,
            Ok(()) => {
                debug_assert!(false, "{} runs without its keys: {args:?}", row.full_name);
                CommandError::Syntax
            }
        };
        self.count_call(row, Some(&error));
        Reply::new(out, run_as.encoding).error_bytes(&error.message());
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
                self.memory.sent(full.size());
                outbox.messages.push((shard, Message::Replies(full)));
            }
            if let Some(mut replies) = link.replies.take() {
                if replies.replies.is_empty() {
                    // Nothing was answered, because all of it waits for locks.
                    if let Some(spent) = replies.spent.take() {
                        self.peers.requests.keep(spent);
                    }
                    self.peers.replies.keep(replies);
                } else {
                    self.memory.sent(replies.size());
                    outbox.messages.push((shard, Message::Replies(replies)));
                }
            }
            for full in link.full_requests.drain(..) {
                outbox.messages.push((shard, Message::Requests(full)));
            }
            if let Some(mut requests) = link.requests.take() {
                requests.spent = self.peers.replies.pop();
                outbox.messages.push((shard, Message::Requests(requests)));
            }
        }
    }

    /// In every tick: gives the buffers back that have not been used for a while.
    pub fn give_idle_buffers_back(&mut self) {
        let peers = &mut self.peers;
        if self.now.monotonic_us < peers.trimmed_us.saturating_add(IDLE_US) {
            return;
        }
        peers.trimmed_us = self.now.monotonic_us;
        peers.requests.trim();
        peers.replies.trim();
        if !peers.has_kept() {
            self.pairs.trim();
        }
    }

    /// Gives all buffers back that nothing is in.
    pub fn give_buffers_back(&mut self) {
        (self.peers.requests, self.peers.replies) = Default::default();
        self.pairs.trim();
    }
}

impl Engine {
    /// Answers from another shard: each fills its connection's slot.
    pub(super) fn take_replies(&mut self, mut replies: Box<Replies>, outbox: &mut Outbox) {
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
        self.core.memory.received(replies.size());
        if let Some(spare) = replies.spent.take() {
            self.core.peers.requests.keep(spare);
        }
        replies.clear();
        self.core.peers.replies.keep(replies);
    }
}
