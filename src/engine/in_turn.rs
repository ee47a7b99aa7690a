//! An EXEC whose commands run one after the other, as a connection's commands run otherwise.

use std::sync::Arc;

use super::event::Outbox;
use super::local::run_here;
use super::reply::refuse;
use super::state::Core;
use super::{coordinate, exec, hops, operations, split};
use crate::commands::{CommandError, Handler, Row, Spread, reply_bytes_max};
use crate::protocol::Args;
use crate::session::{Reach, Session, Stall};
use crate::txn::{Message, Release, shard_of_key};

/// Runs the next commands of an EXEC whose commands run in turn, up to one that takes a while.
pub(super) fn advance(core: &mut Core, session: &mut Session, outbox: &mut Outbox) {
    while !session.stall.contains(Stall::TRANSACTION) {
        let Some(exec) = session.exec.as_mut().filter(|exec| exec.started) else { return };
        let (commands, index) = (Arc::clone(&exec.commands), exec.next);
        exec.next += 1;
        match commands.get(index) {
            Some((row, args)) => run_in_turn(core, session, row, args, outbox),
            None => return end(core, session, outbox),
        }
        if session.gone {
            session.output.discard_ready();
        }
    }
}

/// All commands have run: the locks go.
fn end(core: &Core, session: &mut Session, outbox: &mut Outbox) {
    let Some(exec) = session.exec.take() else { return };
    session.stall.remove(Stall::EXEC);
    let Some((txn, shards)) = exec.held else { return };
    debug_assert_eq!(txn.coordinator, core.site.shard_id);
    for shard in shards {
        let release = Release::of(txn);
        outbox.messages.push((shard, Message::Release(Box::new(release))));
    }
}

fn run_in_turn(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    outbox: &mut Outbox,
) {
    core.stats.commands.commands += 1;
    if session.output.unsent_bytes() > reply_bytes_max(&core.site.settings.config) {
        return refuse(&mut core.stats.commands, session, &CommandError::ReplyTooLong);
    }
    match row.handler {
        Handler::Keyed(_, spread) => run_keyed_in_turn(core, session, row, args, spread, outbox),
        Handler::Anywhere(_) => run_here(core, session, row, args),
        Handler::EveryShard(_, merge) => {
            split::start_every_shard(core, session, row, args, merge, outbox)
        }
        Handler::Cursor(_) => {
            coordinate::start_elsewhere(
                core,
                session,
                row,
                args,
                core.site.cursor_shard(args),
                outbox,
            );
        }
        Handler::Engine(parse) => operations::run(core, session, row, parse(args), outbox),
        Handler::Container => {
            debug_assert!(false, "{} was queued without a subcommand", row.name);
            refuse(&mut core.stats.commands, session, &CommandError::Syntax);
        }
    }
}

/// As [`run_keyed`] for a command of an EXEC whose commands run in turn. Everything goes by way of
/// messages, even to this shard, or it could overtake what an earlier one of them stores.
pub(super) fn run_keyed_in_turn(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    spread: Spread,
    outbox: &mut Outbox,
) {
    if core.site.shard_count == 1 {
        return run_here(core, session, row, args);
    }
    let key = row.first_key(args);
    let shard = key.map_or(core.site.shard_id, |key| shard_of_key(key, core.site.shard_count));
    match exec::reach_of(core, row, args, shard) {
        Reach::InTurn => match spread {
            Spread::Split(merge) => split::start_split(core, session, row, args, merge, outbox),
            Spread::Hops(_) | Spread::Reaching(_) | Spread::Wait(_) | Spread::OneKey => {
                hops::start_hops(core, session, row, args, outbox);
            }
        },
        _ => coordinate::start_elsewhere(core, session, row, args, shard, outbox),
    }
}
