//! What an operation works on, and what it can have done that takes a while.

use super::super::event::{Effect, Outbox, Ticket};
use super::super::every_core::EveryCore;
use super::super::reply::reply_later;
use super::super::state::Core;
use crate::commands::{Outcome, Row};
use crate::session::{Session, Stall};

/// What an operation works on.
pub(super) struct Asked<'a> {
    pub core: &'a mut Core,
    pub session: &'a mut Session,
    pub row: &'static Row,
    pub outbox: &'a mut Outbox,
}

impl Asked<'_> {
    /// Has every core do its part, this one included; the client is answered when all have.
    pub fn every_core(&mut self, command: impl EveryCore) -> Outcome {
        self.core.ask_every_core(self.session, self.row, command, self.outbox);
        Ok(())
    }

    /// Has the runtime do something; the client is answered, and goes on, when it is done.
    pub fn start_effect(&mut self, effect: impl FnOnce(Ticket) -> Effect) {
        self.session.stall.insert(Stall::TRANSACTION);
        let reply = reply_later(self.session, 0);
        self.core.start_effect(reply, effect, self.outbox);
    }
}
