//! CLIENT.

use super::super::Engine;
use super::super::event::Outbox;
use crate::commands::ClientFilter;

/// CLIENT LIST's lines for this core's clients, by client id.
pub(in super::super) fn list_clients(engine: &Engine, filter: &ClientFilter) -> Vec<(u64, String)> {
    let _ = (engine, filter);
    Vec::new()
}

/// Closes this core's clients that the filter names; says how many.
pub(in super::super) fn kill_clients(
    engine: &mut Engine,
    filter: &ClientFilter,
    outbox: &mut Outbox,
) -> usize {
    let _ = (engine, filter, outbox);
    0
}
