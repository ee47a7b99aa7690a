//! Requests of cores: batches are run and answered, and what meets a lock waits for it.

use super::buffers::BATCH_BYTES_FULL;
use super::{Buffers, Shard};
use crate::protocol::args::OwnedArgs;
use crate::txn::{
    Batch, Holder, OwnedRequest, OwnedWork, RemoteReply, Replies, Request, ShardId, Turn, Unit,
};

impl Shard {
    /// Keeps a command that the core `from` sent until the locks on its keys are gone.
    pub fn wait_for_locks(&mut self, from: ShardId, request: Request, work: OwnedWork) {
        self.locks.wait(Box::new(OwnedRequest { from, request, work }));
    }

    /// Runs the commands of a core's batch and gathers the answers.
    pub fn serve_batch(&mut self, from: ShardId, mut batch: Box<Batch>, buffers: &mut Buffers) {
        if let Some(spare) = batch.spent.take() {
            buffers.replies.keep(spare);
        }
        for request in &batch.requests {
            if let Some(key) = request.row.first_key(batch.args(request)) {
                self.store.db(usize::from(request.run_as.db)).prefetch(key);
            }
        }
        let mut replies = self.outbox.open_answers(from, buffers);
        let mut units = std::mem::take(&mut batch.units);
        for request in &batch.requests {
            if request.is_unit() {
                if let Some(unit) = request.take_unit(&mut units) {
                    self.serve_unit(&mut replies, from, request, unit, buffers);
                }
                continue;
            }
            let args = batch.args(request);
            if self.must_wait(from, request, args) {
                self.wait_for_locks(from, *request, OwnedWork::Command(OwnedArgs::from(args)));
                continue;
            }
            let before = replies.bytes.len();
            self.run(request.row, args, request.run_as, &mut replies.bytes);
            self.serve_waiters(None);
            self.end_answer(&mut replies, from, request, before, buffers);
        }
        batch.clear();
        match replies.spent {
            None => replies.spent = Some(batch),
            Some(_) => buffers.requests.keep(batch),
        }
        self.outbox.put_back(from, replies);
    }

    fn serve_unit(
        &mut self,
        replies: &mut Box<Replies>,
        from: ShardId,
        request: &Request,
        unit: Box<Unit>,
        buffers: &mut Buffers,
    ) {
        if self.unit_must_wait(from, request, &unit) {
            return self.wait_for_locks(from, *request, OwnedWork::Unit(unit));
        }
        let before = replies.bytes.len();
        self.run_unit(&unit, &mut replies.bytes, None);
        self.end_answer(replies, from, request, before, buffers);
    }

    /// As [`Shard::must_wait`] for a unit.
    pub fn unit_must_wait(&self, from: ShardId, request: &Request, unit: &Unit) -> bool {
        self.locks.is_out_of_turn(Turn::of(from, request, None))
            || self.locks.all_must_wait(unit.locks())
    }

    /// Runs what waited for locks and now holds them, and adds its answer to the batch of the core
    /// that sent it.
    pub(super) fn answer(&mut self, waited: OwnedRequest, holder: Holder, buffers: &mut Buffers) {
        let OwnedRequest { from, request, work } = waited;
        let mut replies = self.outbox.open_answers(from, buffers);
        let before = replies.bytes.len();
        match work {
            OwnedWork::Command(args) => {
                self.run(request.row, args.as_args(), request.run_as, &mut replies.bytes);
                self.serve_waiters(Some(holder));
            }
            OwnedWork::Unit(unit) => self.run_unit(&unit, &mut replies.bytes, Some(holder)),
        }
        self.end_answer(&mut replies, from, &request, before, buffers);
        self.outbox.put_back(from, replies);
    }

    /// The answer to a request has been written, from `before` on.
    #[inline]
    fn end_answer(
        &mut self,
        replies: &mut Box<Replies>,
        from: ShardId,
        request: &Request,
        before: usize,
        buffers: &mut Buffers,
    ) {
        let len = replies.bytes.len() - before;
        replies.replies.push(RemoteReply { conn: request.conn, sequence: request.sequence, len });
        if replies.bytes.len() >= BATCH_BYTES_FULL {
            let full = std::mem::replace(replies, buffers.replies.take());
            self.outbox.end_answers(from, full);
        }
    }
}
