//! What a client may have the server hold for it, and for how long it may be idle.

use super::state::Core;
use crate::session::{OutputClass, Session, Stall};

/// What a client may have sent ahead before it has authenticated.
const UNAUTHENTICATED_INPUT_BYTES_MAX: usize = 1024 * 1024;
/// However high `client-query-buffer-limit` is: arguments are found by 32-bit positions. What one
/// receive adds has room above.
const INPUT_BYTES_MAX: usize = u32::MAX as usize - (1 << 20);

/// What a client may have the server hold before it is worked on, bytes.
pub(super) fn input_bytes_max(core: &Core, session: &Session) -> usize {
    if session.client.authenticated {
        (core.site.settings.config.client_query_buffer_limit as usize).min(INPUT_BYTES_MAX)
    } else {
        UNAUTHENTICATED_INPUT_BYTES_MAX
    }
}

pub(super) fn is_idle_too_long(core: &Core, session: &Session) -> bool {
    let timeout_us = core.site.settings.config.timeout.saturating_mul(1_000_000);
    timeout_us > 0
        && session.output.awaited() == 0
        && !session.stall.contains(Stall::PAUSED)
        && core.site.now.monotonic_us.saturating_sub(session.client.active_us) > timeout_us
}

/// Whether the session's unsent output is over its hard limit, or has been over the soft one
/// for as long as that allows.
pub(super) fn is_over_output(core: &mut Core, session: &mut Session) -> bool {
    let limit = match session.client.output_class() {
        OutputClass::Normal => core.site.settings.config.client_output_buffer_limit.normal,
    };
    let unsent = session.output.unsent_bytes() as u64;
    if limit.hard > 0 && unsent > limit.hard {
        return true;
    }
    if limit.soft == 0 || unsent <= limit.soft {
        session.client.over_soft_limit_since_us = None;
        return false;
    }
    core.agenda.watch_soft_limits(true);
    let now = core.site.now.monotonic_us;
    let since = *session.client.over_soft_limit_since_us.get_or_insert(now);
    now - since > limit.soft_seconds.saturating_mul(1_000_000)
}
