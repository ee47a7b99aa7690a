//! From a command's arguments to its row, the checks that come before it, and the shard that runs it.

use std::ops::ControlFlow;

use super::closing::close_now;
use super::event::Outbox;
use super::local::run_here;
use super::operations::multi;
use super::pipeline::Route;
use super::reply::refuse;
use super::run::{run_keyed, run_on_shard};
use super::state::Core;
use super::{blocked, exec, in_turn, operations, split};
use crate::commands::{CommandError, Flags, Handler, Lookup, Row, Spread};
use crate::protocol::Args;
use crate::session::{Destination, Session, Stall};
use crate::store::Order;
use crate::txn::{ShardId, shard_of_key};

/// How much of unknown commands and their arguments an error text repeats.
const QUOTED_BYTES_MAX: usize = 128;

/// Looks a command up; arity has still to be checked.
#[inline]
pub(super) fn route(core: &Core, args: Args<'_>) -> Route {
    let lookup = core.table.lookup(args.at(0), args.get(1));
    let shard = match lookup {
        Lookup::Found(row) => {
            let key = row.first_key(args);
            key.map_or(core.site.shard_id, |key| shard_of_key(key, core.site.shard_count))
        }
        _ => core.site.shard_id,
    };
    Route { lookup, shard }
}

/// Carries out one command. `Break` means that it must be presented again once the session is no
/// longer stalled.
pub(super) fn execute(
    core: &mut Core,
    session: &mut Session,
    route: Route,
    args: Args<'_>,
    outbox: &mut Outbox,
) -> ControlFlow<()> {
    let row = match route.lookup {
        Lookup::Found(row) => row,
        unknown => {
            reject_unknown(core, session, args, unknown, outbox);
            return ControlFlow::Continue(());
        }
    };
    if let Err(error) = check(core, session, row, args, route.shard) {
        if matches!(error, CommandError::OutOfMemory) && may_free_memory(core, session) {
            session.stall.insert(Stall::ORDER);
            return ControlFlow::Break(());
        }
        core.stats.commands.count_rejected(row);
        reject(core, session, row, &error, outbox);
        return ControlFlow::Continue(());
    }
    if let Some(pause) = core.pause
        && (!pause.writes_only || multi::writes(session, row))
        && !row.flags.contains(Flags::UNPAUSES)
    {
        session.stall.insert(Stall::PAUSED);
        return ControlFlow::Break(());
    }
    if session.multi.is_some() && !row.flags.contains(Flags::UNQUEUED) {
        let reach = exec::reach_of(core, row, args, route.shard);
        multi::queue(core, session, row, args, reach, outbox);
        return ControlFlow::Continue(());
    }
    if session.output.awaited() > 0
        && let Some(destination) = destination_of(core, session, row, args, route.shard)
        && !session.allows(destination)
    {
        session.stall.insert(Stall::ORDER);
        return ControlFlow::Break(());
    }
    core.stats.commands.commands += 1;
    session.client.commands += 1;
    session.client.last_command = Some(row);
    match row.handler {
        Handler::Keyed(..) if row.lacks_keys(args) => {
            run_here(core, session, row, args);
        }
        Handler::Keyed(_, Spread::Wait(wait)) => {
            blocked::start_wait(core, session, row, args, wait, outbox)
        }
        Handler::Keyed(_, spread) => {
            run_keyed(core, session, row, args, spread, route.shard, outbox);
        }
        Handler::Anywhere(_) => run_here(core, session, row, args),
        Handler::Engine(parse) => {
            operations::run(core, session, row, parse(args), outbox);
            // EXEC may have begun.
            in_turn::advance(core, session, outbox);
        }
        Handler::EveryShard(_, merge) => {
            split::start_every_shard(core, session, row, args, merge, outbox)
        }
        Handler::Cursor(_) => {
            let shard = core.site.cursor_shard(args);
            run_on_shard(core, session, row, args, shard);
        }
        Handler::Container => {
            let error = wrong_arity(row);
            refuse(&mut core.stats.commands, session, &error);
        }
    }
    ControlFlow::Continue(())
}

/// Fetches what a command will read of this shard into the cache, if it is one of the usual kind.
#[inline]
pub(super) fn prefetch(core: &mut Core, session: &Session, route: Route, args: Args<'_>) {
    if let Lookup::Found(row) = route.lookup
        && core.shards.has(route.shard)
        && let Some(key) = row.first_key(args)
    {
        core.shards.get(route.shard).store().db(session.client.db).prefetch(key);
    }
}

/// What holds for every command, checked from its row alone.
#[inline]
fn check(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    shard: ShardId,
) -> Result<(), CommandError> {
    if !row.arity_allows(args.len()) {
        return Err(wrong_arity(row));
    }
    if !session.client.authenticated && !row.flags.contains(Flags::NO_AUTH) {
        return Err(CommandError::text("NOAUTH Authentication required."));
    }
    if session.multi.is_some() && row.flags.contains(Flags::NO_MULTI) {
        return Err(CommandError::text("ERR Command not allowed inside a transaction"));
    }
    if multi::takes_memory(session, row) && is_out_of_memory(core, session, shard) {
        return Err(CommandError::OutOfMemory);
    }
    if row.flags.contains(Flags::DEBUG) && !operations::debug_is_allowed(core, session) {
        return Err(CommandError::text(
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \
             \"local\", you can run it from a local connection, otherwise you need to set this \
             option in the configuration file, and then restart the server.",
        ));
    }
    Ok(())
}

#[inline]
fn is_out_of_memory(core: &mut Core, session: &mut Session, shard: ShardId) -> bool {
    core.is_out_of_memory(shard) && {
        // What the session was last settled with may be gone by now.
        core.memory.update(session);
        core.is_out_of_memory(shard)
    }
}

/// Whether the session's own commands, on their way to other shards, hold memory that will be free
/// when they are answered. A cache that has evicted all it had to make room for them refuses
/// nothing yet.
fn may_free_memory(core: &Core, session: &Session) -> bool {
    session.output.awaited() > 0 && core.shards.home().store().policy().order != Order::Never
}

/// Where a command leads that is to be kept in its connection's order; `shard` is that of its first
/// key. `None` for those that see to that themselves: what goes to every shard comes behind all
/// that went there before, waits for it, and stalls the session.
fn destination_of(
    core: &Core,
    session: &Session,
    row: &'static Row,
    args: Args<'_>,
    shard: ShardId,
) -> Option<Destination> {
    match row.handler {
        Handler::Keyed(..) if row.lacks_keys(args) => None,
        // It must not wait before what its client sent ahead of it has been answered.
        Handler::Keyed(_, Spread::Wait(_)) => Some(Destination::SeveralShards),
        Handler::Keyed(..) if !row.is_fence(args) => Some(Destination::OneKey(shard)),
        Handler::Keyed(..) => {
            let mut keys = row.key_positions(args).map(|index| args.at(index));
            let one_shard = keys.all(|key| shard_of_key(key, core.site.shard_count) == shard)
                && (core.site.shard_count == 1 || !row.reaches(args));
            Some(if one_shard { Destination::OneShard(shard) } else { Destination::SeveralShards })
        }
        Handler::Cursor(_) => Some(Destination::OneShard(core.site.cursor_shard(args))),
        Handler::Engine(_) => multi::destination_of_exec(core, session, row),
        // Nothing at a shard holds it back there until what its client sent before is done.
        Handler::EveryShard(..) if row.flags.contains(Flags::UNSYNCHRONIZED) => {
            Some(Destination::SeveralShards)
        }
        Handler::Anywhere(_) | Handler::EveryShard(..) | Handler::Container => None,
    }
}

/// Refuses a command that would be run or queued: it spoils the MULTI block that it belongs to.
fn reject(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    error: &CommandError,
    outbox: &mut Outbox,
) {
    if row.flags.contains(Flags::RUNS_QUEUED) {
        multi::forget(core, session, outbox);
        let text = error.message();
        let reason = text.strip_prefix(b"ERR ").unwrap_or(&text);
        let before = b"EXECABORT Transaction discarded because of: ";
        return refuse(
            &mut core.stats.commands,
            session,
            &CommandError::Bytes([before, reason].concat()),
        );
    }
    if let Some(multi) = &mut session.multi {
        multi.aborted = true;
    }
    refuse(&mut core.stats.commands, session, error);
}

fn wrong_arity(row: &'static Row) -> CommandError {
    let name = &row.full_name;
    CommandError::text(format!("ERR wrong number of arguments for '{name}' command"))
}

fn reject_unknown(
    core: &mut Core,
    session: &mut Session,
    args: Args<'_>,
    unknown: Lookup,
    outbox: &mut Outbox,
) {
    let name = args.at(0);
    // What a browser sends that was lured to this port: nothing of it may run.
    if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
        tracing::warn!(
            addr = session.client.addr,
            "possible cross-protocol attack: closing a client that sent an HTTP request"
        );
        return close_now(session, outbox);
    }
    let mut text;
    match unknown {
        Lookup::UnknownSubcommand(row) => {
            text = b"ERR unknown subcommand '".to_vec();
            push_quoted(&mut text, args.get(1).unwrap_or(&[]), QUOTED_BYTES_MAX);
            text.extend_from_slice(b"'. Try ");
            text.extend_from_slice(row.name.to_uppercase().as_bytes());
            text.extend_from_slice(b" HELP.");
        }
        _ => {
            text = b"ERR unknown command '".to_vec();
            push_quoted(&mut text, name, QUOTED_BYTES_MAX);
            text.extend_from_slice(b"', with args beginning with: ");
            let mut room = QUOTED_BYTES_MAX;
            for argument in args.from(1).iter() {
                if room == 0 {
                    break;
                }
                text.push(b'\'');
                let quoted = push_quoted(&mut text, argument, room);
                text.extend_from_slice(b"' ");
                room = room.saturating_sub(quoted + 3);
            }
        }
    }
    if let Some(multi) = &mut session.multi {
        multi.aborted = true;
    }
    refuse(&mut core.stats.commands, session, &CommandError::Bytes(text));
}

/// Appends up to `max` bytes, up to the first NUL as C's formatting does; returns how many.
fn push_quoted(text: &mut Vec<u8>, bytes: &[u8], max: usize) -> usize {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()).min(max);
    text.extend_from_slice(&bytes[..end]);
    end
}
