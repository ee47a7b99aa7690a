//! A multi-shard command's work here: it waits for its locks, runs, keeps them, and ends with the
//! release.

use super::{Buffers, Shard};
use crate::txn::{
    Grant, Holder, Message, Part, PartDone, PartResult, Release, TxnId, Work, planted,
};

impl Shard {
    /// A part has come: runs it once its locks are held.
    pub fn receive(&mut self, part: Box<Part>) {
        let granted = if part.is_locking() { self.locks.arrive(part) } else { Some(part) };
        if let Some(part) = granted {
            self.run_part(*part);
        }
    }

    fn run_part(&mut self, part: Part) {
        let result = self.carry_out(part.work);
        let done = PartDone { txn: part.txn, shard: self.id, result };
        self.outbox.push(part.txn.coordinator, Message::PartDone(Box::new(done)));
    }

    /// Does a part's work; nobody else holds what it needs.
    pub fn carry_out(&mut self, work: Work) -> PartResult {
        match work {
            Work::Run { row, args, run_as } => {
                let mut out = Vec::new();
                self.run(row, args.as_args(), run_as, &mut out);
                PartResult::Reply(out)
            }
            Work::Look { command, positions } => self.look(&command, &positions),
            Work::Take { command, position, with } => self.take(&command, position, with),
            Work::Read { command, names } => self.read(&command, names),
            Work::ServeFrom { command, position } => self.serve_from(&command, position),
            Work::Watch { watcher, conn, keys } => {
                self.watch(watcher, conn, keys);
                PartResult::Done
            }
            Work::Hold { watcher } => {
                PartResult::Held(watcher.is_none_or(|watcher| self.end_watch(watcher)))
            }
            Work::Exec { commands, run_as } => self.run_exec_part(&commands, run_as),
            Work::Wait { waiter, alone } => self.run_wait_part(&waiter, alone),
            Work::Serve { waiter, position } => PartResult::Reply(self.serve_at(&waiter, position)),
            Work::Task(_) => {
                debug_assert!(false, "a task is a core's, not a shard's");
                PartResult::Done
            }
        }
    }

    /// A multi-shard command is over: changes what it has decided to here, and
    /// runs what waited for it.
    pub fn release(&mut self, release: Release, buffers: &mut Buffers) {
        let holder = Holder::Part(release.txn);
        if planted!(self, StoredAfterRelease) {
            self.run_granted(holder, buffers);
        }
        if let Some(changes) = release.changes
            && !planted!(self, StoreLost)
        {
            self.apply(changes);
        }
        let late = planted!(self, WaitsTooLate);
        if let Some(waiter) = release.waiter.as_ref().filter(|_| !late) {
            self.register_waiter(waiter);
        }
        match planted!(self, ReleaseServesNobody) {
            true => self.forget_ready(),
            false => self.serve_waiters(Some(holder)),
        }
        self.run_granted(holder, buffers);
        if let Some(waiter) = release.waiter.filter(|_| late) {
            self.register_waiter(&waiter);
            self.forget_ready();
        }
    }

    /// A multi-shard command whose locks [`Shard::try_lock`] took is over: serves who waits for what
    /// it left, and runs what waited for it.
    pub fn end(&mut self, txn: TxnId, buffers: &mut Buffers) {
        let holder = Holder::Part(txn);
        self.serve_waiters(Some(holder));
        self.run_granted(holder, buffers);
    }

    /// Somebody is over, and who waits for what it left has been served: its locks go, and what
    /// waited for them runs. One after the other: a command of one shard is over, and has served,
    /// before what waits behind it is granted.
    fn run_granted(&mut self, released: Holder, buffers: &mut Buffers) {
        self.locks.release(released);
        while let Some((holder, grant)) = self.locks.next_granted() {
            match grant {
                Grant::Part(part) => self.run_part(*part),
                Grant::Request(waited) => {
                    if planted!(self, LetGoBeforeRun) {
                        self.locks.release(holder);
                    }
                    self.answer(*waited, holder, buffers);
                    self.locks.release(holder);
                }
            }
        }
    }
}
