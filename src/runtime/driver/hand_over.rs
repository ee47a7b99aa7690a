//! Cores given to other threads and taken from them.
//!
//! A core is given between two passes, when nothing of it is left in its outbox. Its inbox goes with
//! it: what is put there meanwhile waits, see [`crate::runtime::post`].

use std::sync::atomic::Ordering;

use super::Driver;
use crate::engine::{ShardId, ShardSet};
use crate::runtime::hosted::Hosted;
use crate::runtime::inbox::Parcel;
use crate::runtime::plan::Plan;

impl Driver {
    /// Follows the plan if it has changed since.
    pub(super) fn rearrange(&mut self) {
        let active = self.process.shared.active_threads();
        if active == self.arranged_for || !self.accepting || self.stop.is_some() {
            return;
        }
        if active != self.planned_for {
            self.planned_for = active;
            self.moves.begin();
        }
        let mut all_done = true;
        for at in (0..self.hosted.len()).rev() {
            let thread = Plan::thread_of(self.hosted[at].core, active);
            if thread != self.thread {
                all_done &= self.give(at, thread);
            }
        }
        if all_done {
            self.arranged_for = active;
        }
    }

    /// Gives a core to another thread, if nothing holds it here.
    fn give(&mut self, at: usize, thread: usize) -> bool {
        let hosted = &self.hosted[at];
        let core = hosted.core;
        if !hosted.outbox.is_empty() || core == self.thread && !self.leaves_home() {
            return false;
        }
        let mut shards = self.hosted[self.holder].engine.take_shards();
        let mut hosted = self.hosted.remove(at);
        hosted.engine.give_shards(shards.split_off(core));
        self.gather_shards(shards);
        for listener in self.listeners.of_core(hosted.core) {
            self.ring.stop_accepting(listener);
            self.accept_again.retain(|(again, _)| *again != listener);
        }
        tracing::debug!("shard {} goes from thread {} to {thread}", hosted.core, self.thread);
        self.process.post.deliver_to_thread(thread, Parcel::Core(Box::new(hosted)));
        true
    }

    /// A core is this thread's to run from now on.
    pub(super) fn take(&mut self, mut hosted: Hosted) {
        let core: ShardId = hosted.core;
        // Its time must not go back: its former thread may have run it since this pass began.
        self.now = self.clock.now();
        hosted.inbox.is_run_by(self.thread);
        self.process.shared.cores[core].thread.store(self.thread, Ordering::Relaxed);
        let mut shards = hosted.engine.take_shards();
        if let Some(holder) = self.hosted.get_mut(self.holder) {
            shards.adopt(holder.engine.take_shards());
        }
        let at = if core == self.thread { 0 } else { self.hosted.len() };
        self.hosted.insert(at, hosted);
        self.gather_shards(shards);
        self.accept_for(core);
        if core == self.thread {
            self.process.plan.set_at_home(core, true);
        }
        // It may be for another thread by now.
        self.arranged_for = 0;
    }

    /// Gives the shards of all cores to the first one.
    fn gather_shards(&mut self, shards: ShardSet) {
        self.holder = 0;
        if let Some(first) = self.hosted.first_mut() {
            first.engine.give_shards(shards);
        }
    }

    /// Whether the own core has no connections; none will come any more then.
    fn leaves_home(&mut self) -> bool {
        let (plan, thread) = (&self.process.plan, self.thread);
        let connections = &self.process.shared.cores[thread].connections;
        let mut leaves = false;
        if !self.gone.is_empty() || connections.load(Ordering::Relaxed) > 0 {
            return leaves;
        }
        // Who moves a connection looks under the same mutex whether the core is at home.
        self.process.post.put_ordered(|| {
            leaves = connections.load(Ordering::Relaxed) == 0;
            if leaves {
                plan.set_at_home(thread, false);
            }
            std::iter::empty()
        });
        leaves
    }
}
