//! Work that the runtime does for commands, and who waits for its end.

use hashbrown::HashMap;

use super::event::{Effect, Outbox, Ticket};
use super::reply::ConnReply;

/// Effects under way, each with the reply slot that its end fills.
#[derive(Debug, Default)]
pub(super) struct Effects {
    under_way: HashMap<Ticket, ConnReply>,
    next_ticket: u64,
}

impl Effects {
    /// Asks the runtime for work that blocks.
    pub fn start(
        &mut self,
        reply: ConnReply,
        effect: impl FnOnce(Ticket) -> Effect,
        outbox: &mut Outbox,
    ) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.under_way.insert(ticket, reply);
        outbox.effects.push(effect(ticket));
    }

    /// The work has ended.
    pub fn end(&mut self, ticket: Ticket) -> Option<ConnReply> {
        self.under_way.remove(&ticket)
    }
}
