//! SHUTDOWN and DEBUG, and the ends of work that the runtime did for a command.

use super::super::event::{Effect, Outbox};
use super::super::every_core::EveryCore;
use super::super::state::Core;
use super::super::{Engine, Ticket};
use super::asked::Asked;
use crate::commands::{CommandError, Outcome, Shutdown};
use crate::protocol::reply::Reply;
use crate::session::Session;

/// The client is not answered: its connection ends with the process.
pub(super) fn shutdown(asked: &mut Asked<'_>, shutdown: Shutdown) -> Outcome {
    if shutdown.abort {
        return Err(CommandError::text("ERR No shutdown in progress."));
    }
    let client = &asked.session.client;
    tracing::warn!(client = client.id, addr = client.addr, "a client requested the shutdown");
    asked.outbox.effects.push(Effect::Shutdown { now: shutdown.now });
    Ok(())
}

/// Whether `enable-debug-command` lets this client use DEBUG.
pub(in crate::engine) fn debug_is_allowed(core: &Core, session: &Session) -> bool {
    let local = session.client.peer.is_local();
    core.site.settings.config.enable_debug_command.allows(local)
}

pub(super) fn sleep(asked: &mut Asked<'_>, micros: u64) -> Outcome {
    let effect = |ticket| Effect::Sleep { ticket, micros };
    asked.start_effect(effect);
    Ok(())
}

pub(super) fn set_active_expire(asked: &mut Asked<'_>, active: bool) -> Outcome {
    asked.every_core(SetActiveExpire(active))
}

struct SetActiveExpire(bool);

impl EveryCore for SetActiveExpire {
    type Answer = ();

    fn run(&self, engine: &mut Engine, _: &mut Outbox) {
        engine.core.active_expire = self.0;
    }

    fn merge(&self, _: &mut Engine, _: &[&()], reply: &mut Reply<'_>) {
        reply.ok();
    }
}

impl Engine {
    /// A piece of blocking work has ended: its command is answered.
    pub(in crate::engine) fn effect_done(
        &mut self,
        ticket: Ticket,
        result: Result<(), String>,
        outbox: &mut Outbox,
    ) {
        let Some(to) = self.core.effects.remove(&ticket.0) else { return };
        let mut out = Vec::new();
        if let Some(session) = self.sessions.get_mut(to.conn) {
            let mut reply = Reply::new(&mut out, session.client.encoding);
            match result {
                Ok(()) => reply.ok(),
                Err(text) => reply.error(&format!("ERR {text}")),
            }
        }
        self.complete(to, &out, outbox);
    }
}
