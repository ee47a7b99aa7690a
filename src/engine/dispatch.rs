//! From a command's arguments to its row, the checks that come before it, and the shard that runs it.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::core::{ConnReply, Core};
use super::event::Outbox;
use super::operations::transaction;
use super::{close_now, exec, operations};
use crate::commands::{
    CommandError, Flags, Handler, Lookup, Operation, ReplyMode, Row, Spread, keys,
};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::reply::Reply;
use crate::session::{Destination, Reach, Session, Stall};
use crate::shard::Shard;
use crate::store::Order;
use crate::txn::{OwnedWork, Request, ShardId, shard_of_key};

/// How much of unknown commands and their arguments an error text repeats.
const QUOTED_BYTES_MAX: usize = 128;

/// What a command line names, and where it leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    lookup: Lookup,
    /// The shard of its first key; this one if it has none.
    shard: ShardId,
}

/// Looks a command up; arity has still to be checked.
#[inline]
pub(super) fn route(core: &Core, args: Args<'_>) -> Route {
    let lookup = core.table.lookup(args.at(0), args.get(1));
    let shard = match lookup {
        Lookup::Found(row) => {
            let key = row.first_key(args);
            key.map_or(core.shard_id, |key| shard_of_key(key, core.shard_count))
        }
        _ => core.shard_id,
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
        && (!pause.writes_only || transaction::writes(session, row))
        && !row.flags.contains(Flags::UNPAUSES)
    {
        session.stall.insert(Stall::PAUSED);
        return ControlFlow::Break(());
    }
    if session.multi.is_some() && !row.flags.contains(Flags::UNQUEUED) {
        let reach = exec::reach_of(core, row, args, route.shard);
        transaction::queue(core, session, row, args, reach, outbox);
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
        Handler::Keyed(_, Spread::Wait(wait)) => core.start_wait(session, row, args, wait, outbox),
        Handler::Keyed(_, spread) => {
            run_keyed(core, session, row, args, spread, route.shard, outbox);
        }
        Handler::Anywhere(_) => run_here(core, session, row, args),
        Handler::Engine(parse) => run_operation(core, session, row, parse(args), outbox),
        Handler::EveryShard(_, merge) => core.start_every_shard(session, row, args, merge, outbox),
        Handler::Cursor(_) => {
            let shard = cursor_shard(core, args);
            run_on_shard(core, session, row, args, shard);
        }
        Handler::Container => {
            let error = wrong_arity(row);
            refuse(core, session, &error);
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
    if transaction::takes_memory(session, row) && is_out_of_memory(core, session, shard) {
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
            let one_shard = keys.all(|key| shard_of_key(key, core.shard_count) == shard);
            Some(if one_shard { Destination::OneShard(shard) } else { Destination::SeveralShards })
        }
        Handler::Cursor(_) => Some(Destination::OneShard(cursor_shard(core, args))),
        Handler::Engine(_) => transaction::destination_of_exec(core, session, row),
        // Nothing at a shard holds it back there until what its client sent before is done.
        Handler::EveryShard(..) if row.flags.contains(Flags::UNSYNCHRONIZED) => {
            Some(Destination::SeveralShards)
        }
        Handler::Anywhere(_) | Handler::EveryShard(..) | Handler::Container => None,
    }
}

pub(super) fn cursor_shard(core: &Core, args: Args<'_>) -> ShardId {
    keys::cursor_shard(args.at(1)).unwrap_or(0).min(core.shard_count - 1)
}

/// Runs a command with keys here, on another shard, or on several.
#[inline]
fn run_keyed(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    spread: Spread,
    shard: ShardId,
    outbox: &mut Outbox,
) {
    if core.shard_count == 1 && core.shards.home().is_unlocked() {
        return run_here(core, session, row, args);
    }
    let mut keys = row.key_positions(args).map(|index| args.at(index));
    if matches!(spread, Spread::OneKey)
        || keys.all(|key| shard_of_key(key, core.shard_count) == shard)
    {
        return run_on_shard(core, session, row, args, shard);
    }
    match spread {
        Spread::Split(merge) => core.start_split(session, row, args, merge, outbox),
        Spread::Hops(_) | Spread::Wait(_) | Spread::OneKey => {
            core.start_hops(session, row, args, outbox);
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
    if core.shard_count == 1 {
        return run_here(core, session, row, args);
    }
    let key = row.first_key(args);
    let shard = key.map_or(core.shard_id, |key| shard_of_key(key, core.shard_count));
    match exec::reach_of(core, row, args, shard) {
        Reach::InTurn => match spread {
            Spread::Split(merge) => core.start_split(session, row, args, merge, outbox),
            Spread::Hops(_) | Spread::Wait(_) | Spread::OneKey => {
                core.start_hops(session, row, args, outbox);
            }
        },
        _ => core.start_elsewhere(session, row, args, shard, outbox),
    }
}

/// Runs a command whose keys all belong to one shard.
#[inline]
fn run_on_shard(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    shard: ShardId,
) {
    let here = core.is_at_hand(session, shard);
    if here && core.shards.get(shard).is_unlocked() {
        return run_at(core.shards.get_mut(shard), session, row, args);
    }
    // Without a key, SCAN would not find that a neighbour's shard is yet to be told of the end of a
    // command that its client has been answered.
    let here = here && (core.shards.is_own(shard) || row.first_key(args).is_some());
    let mut request = Request::new(row, session.conn, 0, session.client.run_as());
    if here && !core.shards.get(shard).must_wait(core.shard_id, &request, args) {
        return run_at(core.shards.get_mut(shard), session, row, args);
    }
    let suppressed = suppress_reply(session);
    let fence = row.is_fence(args);
    let destination = if fence { Destination::OneShard(shard) } else { Destination::OneKey(shard) };
    request.sequence = session.await_reply(destination, suppressed, args.bytes().len());
    if here {
        let work = OwnedWork::Command(OwnedArgs::from(args));
        core.wait_for_locks(shard, request, work);
    } else {
        core.links.send_request(shard, request, args);
    }
}

/// Runs a command on this core's own shard.
#[inline]
pub(super) fn run_here(core: &mut Core, session: &mut Session, row: &'static Row, args: Args<'_>) {
    run_at(core.shards.home_mut(), session, row, args);
}

/// Runs a command on a shard, its reply straight into the connection's output.
#[inline]
fn run_at(shard: &mut Shard, session: &mut Session, row: &'static Row, args: Args<'_>) {
    let suppressed = suppress_reply(session);
    let run_as = session.client.run_as();
    let sends_apart = !suppressed && session.output.may_add_apart();
    let out = session.output.buffer();
    let before = out.len();
    let apart = match &session.lent {
        None if sends_apart => shard.run_apart(row, args, run_as, out),
        None => {
            shard.run(row, args, run_as, out);
            None
        }
        Some(lent) => {
            shard.run_with(lent, row, args, run_as, out);
            None
        }
    };
    if suppressed {
        out.truncate(before);
    }
    session.output.wrote(before);
    if let Some(value) = apart {
        session.output.add_apart(Bytes::from_owner(value));
        session.output.buffer().extend_from_slice(b"\r\n");
    }
    shard.serve_waiters(None);
}

/// Carries out what the engine itself is asked for, if the arguments are right.
pub(super) fn run_operation(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    parsed: Result<Operation<'_>, CommandError>,
    outbox: &mut Outbox,
) {
    core.stats.commands.of(row).calls += 1;
    match parsed {
        Ok(operation) => operations::carry_out(core, session, row, operation, outbox),
        Err(error) => fail(core, session, row, &error),
    }
}

/// Whether CLIENT REPLY drops the reply to the command now beginning.
#[inline]
pub(super) fn suppress_reply(session: &mut Session) -> bool {
    if let Some(exec) = &session.exec {
        return exec.skipped || session.client.reply_mode == ReplyMode::Off;
    }
    session.client.reply_mode == ReplyMode::Off || std::mem::take(&mut session.client.skip_reply)
}

/// Writes a reply that is ready now.
pub(super) fn reply_now(session: &mut Session, write: impl FnOnce(&mut Reply<'_>)) {
    let suppressed = suppress_reply(session);
    let encoding = session.client.encoding;
    let out = session.output.buffer();
    let before = out.len();
    write(&mut Reply::new(out, encoding));
    if suppressed {
        out.truncate(before);
    }
    session.output.wrote(before);
}

/// The reply slot of a command that is answered later, and of which `request_bytes` are held
/// meanwhile. The session is stalled, so that they are counted and need no bound.
pub(super) fn reply_later(session: &mut Session, request_bytes: usize) -> ConnReply {
    let suppressed = suppress_reply(session);
    ConnReply { conn: session.conn, sequence: session.output.reserve(suppressed, request_bytes) }
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
        transaction::forget(core, session, outbox);
        let text = error.message();
        let reason = text.strip_prefix(b"ERR ").unwrap_or(&text);
        let before = b"EXECABORT Transaction discarded because of: ";
        return refuse(core, session, &CommandError::Bytes([before, reason].concat()));
    }
    if let Some(multi) = &mut session.multi {
        multi.aborted = true;
    }
    refuse(core, session, error);
}

/// Answers with an error from before the handler ran.
pub(super) fn refuse(core: &mut Core, session: &mut Session, error: &CommandError) {
    core.stats.commands.count_error(error);
    reply_now(session, |reply| reply.error_bytes(&error.message()));
}

/// Answers with the error of a command whose call has been counted.
pub(super) fn fail(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    error: &CommandError,
) {
    core.stats.commands.of(row).failed += 1;
    refuse(core, session, error);
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
    refuse(core, session, &CommandError::Bytes(text));
}

/// Appends up to `max` bytes, up to the first NUL as C's formatting does; returns how many.
fn push_quoted(text: &mut Vec<u8>, bytes: &[u8], max: usize) -> usize {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()).min(max);
    text.extend_from_slice(&bytes[..end]);
    end
}
