//! Begins commands with keys on several shards that are carried out in hops.

use std::sync::Arc;

use super::coordinate;
use super::event::Outbox;
use super::hopping::{Attempt, Hopping};
use super::part::PlannedPart;
use super::reply::ConnReply;
use super::state::Core;
use super::transaction::{Kind, Transaction};
use crate::commands::Row;
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::session::Session;
use crate::txn::{SharedCommand, Waiter};

/// Begins a command that is carried out in hops.
pub(super) fn start_hops(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    outbox: &mut Outbox,
) {
    let command =
        SharedCommand { row, args: OwnedArgs::from(args), run_as: session.client.run_as() };
    let (kind, parts) = begin(core, command, None);
    coordinate::begin_or_run(core, session, row, kind, parts, outbox);
}

/// Runs the command of a client again that waits for its first key: under locks on all of its
/// keys, as it needs more than one.
pub(super) fn start_attempt(
    core: &mut Core,
    reply: ConnReply,
    waiter: &Arc<Waiter>,
    outbox: &mut Outbox,
) {
    let attempt = Attempt { waiter: Arc::clone(waiter), first: false };
    let (kind, parts) = look_for(core, attempt);
    let transaction = Transaction::new(reply, waiter.row, waiter.run_as, kind);
    let txn = core.new_txn();
    coordinate::send_parts(core, txn, transaction, parts, outbox);
}

/// What a command is to do whose client waits if it finds nothing.
pub(super) fn look_for(core: &Core, attempt: Attempt) -> (Kind, Vec<PlannedPart>) {
    let Waiter { row, args, run_as, .. } = &*attempt.waiter;
    let command = SharedCommand { row, args: args.clone(), run_as: *run_as };
    begin(core, command, Some(attempt))
}

fn begin(
    core: &Core,
    command: SharedCommand,
    attempt: Option<Attempt>,
) -> (Kind, Vec<PlannedPart>) {
    let (hopping, parts) = Hopping::new(command, attempt, core.site.shard_count);
    (Kind::Hops(Box::new(hopping)), parts)
}
