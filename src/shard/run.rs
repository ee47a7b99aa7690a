//! Runs commands on the shard's own keys: one, or the list of an EXEC.

use super::{Shard, Store};
use crate::commands::{CommandError, Context, Flags, Handler, Outcome, Row, reply_bytes_max};
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::store::Payload;
use crate::txn::{CommandList, Holder, PartResult, RunAs, Unit, planted};

impl Shard {
    /// Runs a command on this shard and appends its reply.
    #[inline]
    pub fn run(&mut self, row: &'static Row, args: Args<'_>, run_as: RunAs, out: &mut Vec<u8>) {
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
            self.store.set_touching(false);
        }
        let timed = self.statistics.of(row).is_next_timed();
        let started = timed.then(|| (self.stopwatch)());
        let result = handler(&mut self.context(run_as, out), args);
        if no_touch {
            self.store.set_touching(true);
        }
        if let Some(started) = started {
            let nanos = (self.stopwatch)().saturating_sub(started);
            self.statistics.time_call(row, nanos, self.config.latency_tracking);
        }
        self.statistics.count_call(row, result.as_ref().err());
        if let Err(error) = result {
            out.truncate(before);
            Reply::new(out, run_as.encoding).error_bytes(&error.message());
        }
    }

    /// As [`Shard::run`]; a large value that the reply ends with may be left out of it, with its line
    /// end, and is returned then.
    #[inline]
    pub fn run_apart(
        &mut self,
        row: &'static Row,
        args: Args<'_>,
        run_as: RunAs,
        out: &mut Vec<u8>,
    ) -> Option<Payload> {
        self.store.set_sends_apart(true);
        self.run(row, args, run_as, out);
        self.store.set_sends_apart(false);
        self.store.take_apart()
    }

    /// As [`Shard::run`] of a command of which a large argument lies in this memory, to be stored
    /// without a copy.
    pub fn run_with(
        &mut self,
        lent: &Payload,
        row: &'static Row,
        args: Args<'_>,
        run_as: RunAs,
        out: &mut Vec<u8>,
    ) {
        self.store.db_mut(usize::from(run_as.db)).lend(Some(lent.share()));
        self.run(row, args, run_as, out);
        self.store.db_mut(usize::from(run_as.db)).lend(None);
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
        let mut nothing = Store::new(0);
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
        self.statistics.count_call(row, Some(&error));
        Reply::new(out, run_as.encoding).error_bytes(&error.message());
    }

    /// Runs the commands of a unit, if what it watches is whole, and appends EXEC's reply. `holder`:
    /// whose locks it runs under, if it has any.
    pub fn run_unit(&mut self, unit: &Unit, out: &mut Vec<u8>, holder: Option<Holder>) {
        let watched = unit.watched.as_ref();
        if watched.is_none_or(|watched| self.end_watch(watched.watcher)) {
            Reply::new(out, unit.run_as.encoding).array(unit.commands.len());
            self.run_list(&unit.commands, unit.run_as, out, |_| {});
        } else {
            Reply::new(out, unit.run_as.encoding).null_array();
        }
        self.serve_waiters(holder);
    }

    /// Runs commands and appends their replies; `replied` is called behind each with the length of
    /// the output.
    fn run_list(
        &mut self,
        commands: &CommandList,
        run_as: RunAs,
        out: &mut Vec<u8>,
        mut replied: impl FnMut(usize),
    ) {
        for (row, args) in commands.iter() {
            if let Some(key) = row.first_key(args) {
                self.store.db(usize::from(run_as.db)).prefetch(key);
            }
        }
        let (start, bytes_max) = (out.len(), reply_bytes_max(&self.config));
        self.statistics.commands += commands.len() as u64;
        for (row, args) in commands.iter() {
            if out.len() - start > bytes_max {
                self.statistics.count_error(&CommandError::ReplyTooLong);
                Reply::new(out, run_as.encoding).error_bytes(&CommandError::ReplyTooLong.message());
            } else {
                self.run(row, args, run_as, out);
            }
            if planted!(self, ServedBeforeTheEnd) {
                self.serve_waiters(None);
            }
            replied(out.len());
        }
    }

    /// A part of an EXEC whose locks are held.
    pub(super) fn run_exec_part(&mut self, commands: &CommandList, run_as: RunAs) -> PartResult {
        let (mut bytes, mut lens, mut end) = (Vec::new(), Vec::new(), 0);
        self.run_list(commands, run_as, &mut bytes, |len| {
            lens.push(len - std::mem::replace(&mut end, len));
        });
        PartResult::Replies { bytes, lens }
    }

    /// What a handler works on.
    pub(super) fn context<'a>(&'a mut self, run_as: RunAs, out: &'a mut Vec<u8>) -> Context<'a> {
        Context {
            shard: &mut self.store,
            db_index: usize::from(run_as.db),
            now: self.now,
            config: &self.config,
            reply: Reply::new(out, run_as.encoding),
            shard_index: self.id,
            shard_count: self.count,
        }
    }
}
