//! What an operation works on, and what it can have done that takes a while.

use std::sync::Arc;

use super::super::coordinate;
use super::super::event::{Effect, Outbox, Ticket};
use super::super::every_core::{self, EveryCore};
use super::super::part::PlannedPart;
use super::super::reply::reply_later;
use super::super::state::Core;
use super::super::transaction::Kind;
use crate::commands::{Outcome, Row};
use crate::session::{Session, Stall};
use crate::txn::Work;

/// What an operation works on.
pub(super) struct Asked<'a> {
    pub core: &'a mut Core,
    pub session: &'a mut Session,
    pub row: &'static Row,
    pub outbox: &'a mut Outbox,
}

impl Asked<'_> {
    /// Has every core do its part, this one included; the session is stalled until all have,
    /// and its client answered then.
    pub fn every_core(&mut self, command: impl EveryCore) -> Outcome {
        let (core, session) = (&mut *self.core, &mut *self.session);
        let round = every_core::round(command, core.site.shard_count);
        let part = |shard| PlannedPart::new(shard, Work::Task(Box::new(Arc::clone(&round))));
        let parts = (0..core.site.shard_count).map(part).collect();
        let kind = Kind::EveryCore { round, fenced: false };
        coordinate::begin(core, session, self.row, kind, parts, self.outbox);
        Ok(())
    }

    /// Has the runtime do something; the client is answered, and goes on, when it is done.
    pub fn start_effect(&mut self, effect: impl FnOnce(Ticket) -> Effect) {
        self.session.stall.insert(Stall::TRANSACTION);
        let reply = reply_later(self.session, 0);
        self.core.effects.start(reply, effect, self.outbox);
    }
}
