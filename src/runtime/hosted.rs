//! A core, and what belongs to it whichever thread runs it.

use super::inbox::Inbox;
use crate::engine::{ConnId, Engine, Event, Now, Outbox, ShardId};
use crate::session::Session;

/// See [`super::driver`] for who runs it.
pub struct Hosted {
    pub core: ShardId,
    pub engine: Engine,
    pub inbox: Inbox,
    pub outbox: Outbox,
    /// It was told something, and its pass has not ended since.
    told: bool,
}

impl Hosted {
    pub fn new(core: ShardId, engine: Engine, inbox: Inbox) -> Hosted {
        Hosted { core, engine, inbox, outbox: Outbox::default(), told: false }
    }

    #[inline]
    pub fn tell(&mut self, now: Now, event: Event<'_>) {
        self.told = true;
        self.engine.handle(now, event, &mut self.outbox);
    }

    /// See [`Engine::take_over`].
    pub fn take_over(&mut self, now: Now, conn: ConnId, session: Box<Session>) {
        self.told = true;
        self.engine.take_over(now, conn, session, &mut self.outbox);
    }

    /// Whether there is a pass to end.
    #[inline]
    pub fn was_told(&self) -> bool {
        self.told
    }

    #[inline]
    pub fn end_pass(&mut self, now: Now) {
        self.told = false;
        self.engine.end_pass(now, &mut self.outbox);
    }
}

impl std::fmt::Debug for Hosted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosted").field("core", &self.core).finish_non_exhaustive()
    }
}
