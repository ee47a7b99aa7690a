//! SHUTDOWN and DEBUG, and the ends of work that the runtime did for a command.

use super::super::event::Effect;
use super::super::every_core::EveryCore;
use super::super::state::{Core, Here};
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

    fn run(&self, here: &mut Here<'_>) {
        here.core.expiry.is_active = self.0;
    }

    fn merge(&self, _: &mut Here<'_>, _: &[&()], reply: &mut Reply<'_>) {
        reply.ok();
    }
}
