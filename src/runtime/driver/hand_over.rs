//! Cores given to other threads and taken from them.
//!
//! A core is given between two passes, when nothing of it is left in its outbox. Its inbox goes with
//! it: what is put there meanwhile waits, see [`crate::runtime::post`].

use super::{Driver, Role};
use crate::engine::ShardId;
use crate::runtime::hosted::Hosted;
use crate::runtime::inbox::Parcel;
use crate::runtime::plan::Plan;

impl Driver {
    /// Follows the plan if it has changed since.
    pub(super) fn rearrange(&mut self) {
        let active = self.process.plan.active();
        if active == self.arranged_for || !self.accepting || self.stop.is_some() {
            return;
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
        if !hosted.outbox.is_empty() || hosted.core == self.thread && self.serves_anybody() {
            return false;
        }
        let hosted = self.hosted.remove(at);
        for listener in self.listeners.of_core(hosted.core) {
            self.ring.stop_accepting(listener);
            self.accept_again.retain(|(again, _)| *again != listener);
        }
        tracing::debug!("shard {} goes from thread {} to {thread}", hosted.core, self.thread);
        self.process.post.deliver_to_thread(thread, Parcel::Core(Box::new(hosted)));
        true
    }

    /// A core is this thread's to run from now on.
    pub(super) fn take(&mut self, hosted: Hosted) {
        let core: ShardId = hosted.core;
        hosted.inbox.is_run_by(self.thread);
        let at = if core == self.thread { 0 } else { self.hosted.len() };
        self.hosted.insert(at, hosted);
        self.accept_for(core);
        // It may be for another thread by now.
        self.arranged_for = 0;
    }

    /// Whether there is a connection that the own core knows, or has still to be told the end of.
    fn serves_anybody(&self) -> bool {
        !self.gone.is_empty() || self.roles.iter().any(|role| matches!(role, Role::Served { .. }))
    }
}
