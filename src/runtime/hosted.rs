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
    /// When it wants a tick, as of the end of its last pass: nothing changes that in between.
    tick_at_us: Option<u64>,
}

impl Hosted {
    pub fn new(core: ShardId, engine: Engine, inbox: Inbox) -> Hosted {
        // Only the end of a pass tells when the first tick is wanted.
        Hosted { core, engine, inbox, outbox: Outbox::default(), told: true, tick_at_us: None }
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
        let tick_in_us = self.engine.tick_in_us(now);
        self.tick_at_us = tick_in_us.map(|delay| now.monotonic_us.saturating_add(delay));
    }

    /// When a tick is to be told.
    #[inline]
    pub fn tick_at_us(&self) -> Option<u64> {
        self.tick_at_us
    }
}

impl std::fmt::Debug for Hosted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosted").field("core", &self.core).finish_non_exhaustive()
    }
}
