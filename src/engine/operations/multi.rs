//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use super::super::closing::close_now;
use super::super::event::Outbox;
use super::super::part::PlannedPart;
use super::super::reply::reply_now;
use super::super::state::Core;
use super::super::transaction::Kind;
use super::super::{coordinate, exec, limits, watch};
use super::asked::Asked;
use crate::commands::{CommandError, Flags, Outcome, Row};
use crate::protocol::Args;
use crate::session::{Destination, Reach, Session, Watching};
use crate::txn::{CommandList, LockKey, LockMode, ShardId, Work, shard_of_key};

pub(super) fn multi(asked: &mut Asked<'_>) -> Outcome {
    if asked.session.multi.is_some() {
        return Err(CommandError::text("ERR MULTI calls can not be nested"));
    }
    asked.session.multi = Some(Box::default());
    reply_now(asked.session, |reply| reply.ok());
    Ok(())
}

pub(super) fn discard(asked: &mut Asked<'_>) -> Outcome {
    if asked.session.multi.is_none() {
        return Err(CommandError::text("ERR DISCARD without MULTI"));
    }
    forget(asked.core, asked.session, asked.outbox);
    reply_now(asked.session, |reply| reply.ok());
    Ok(())
}

/// Leaves nothing of MULTI and WATCH.
pub(in crate::engine) fn forget(core: &mut Core, session: &mut Session, outbox: &mut Outbox) {
    session.multi = None;
    watch::forget_watching(core, session.watching.take(), outbox);
}

pub(super) fn exec(asked: &mut Asked<'_>) -> Outcome {
    let Asked { core, session, row, outbox } = asked;
    let Some(multi) = session.multi.take() else {
        return Err(CommandError::text("ERR EXEC without MULTI"));
    };
    let watching = session.watching.take();
    if multi.aborted {
        watch::forget_watching(core, watching, outbox);
        let text = "EXECABORT Transaction discarded because of previous errors.";
        return Err(CommandError::text(text));
    }
    if watching.as_ref().is_some_and(|watching| watching.broken) {
        watch::forget_watching(core, watching, outbox);
        reply_now(session, |reply| reply.null_array());
        return Ok(());
    }
    exec::start(core, session, row, *multi, watching.map(|watching| *watching), outbox);
    Ok(())
}

/// Where EXEC leads; `None` for other commands.
pub(in crate::engine) fn destination_of_exec(
    core: &Core,
    session: &Session,
    row: &Row,
) -> Option<Destination> {
    let multi = session.multi.as_ref().filter(|_| row.flags.contains(Flags::RUNS_QUEUED))?;
    match exec::reach_with(multi, session.watching.as_deref()) {
        // Without keys it runs here, but not while somebody has locked the whole shard.
        Reach::Anywhere => Some(Destination::OneShard(core.site.shard_id)),
        Reach::One(shard) => Some(Destination::OneShard(shard)),
        Reach::Several | Reach::InTurn => Some(Destination::SeveralShards),
    }
}

/// Keeps a command for EXEC.
pub(in crate::engine) fn queue(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    reach: Reach,
    outbox: &mut Outbox,
) {
    let bytes = CommandList::size_of(args);
    if !may_hold(core, session, bytes, outbox) {
        return;
    }
    session.client.last_command = Some(row);
    let broken = session.watching.as_ref().is_some_and(|watching| watching.broken);
    if let Some(multi) = &mut session.multi
        && !multi.aborted
        && !broken
    {
        multi.queue(row, args, reach);
    }
    reply_now(session, |reply| reply.simple("QUEUED"));
}

/// Whether the session may hold so many bytes more for a transaction: they count as input that has
/// not been worked on. Otherwise it is closed.
fn may_hold(core: &Core, session: &mut Session, bytes: usize, outbox: &mut Outbox) -> bool {
    let held = session.transaction_memory().saturating_add(bytes);
    if held <= limits::input_bytes_max(core, session) {
        return true;
    }
    tracing::warn!(
        client = session.client.id,
        addr = session.client.addr,
        bytes = held,
        "closing a client whose transaction reached the query buffer limit"
    );
    close_now(session, outbox);
    false
}

/// Whether a command is to be refused when out of memory: inside MULTI all that would be queued,
/// and EXEC if it would run such a command.
pub(in crate::engine) fn takes_memory(session: &Session, row: &Row) -> bool {
    match &session.multi {
        None => row.flags.contains(Flags::DENYOOM),
        Some(multi) if row.flags.contains(Flags::RUNS_QUEUED) => {
            multi.flags.contains(Flags::DENYOOM)
        }
        Some(_) => !row.flags.contains(Flags::ENDS_MULTI),
    }
}

/// Whether a command writes: EXEC does if one of the queued commands does.
pub(in crate::engine) fn writes(session: &Session, row: &Row) -> bool {
    row.writes()
        || row.flags.contains(Flags::RUNS_QUEUED)
            && session.multi.as_ref().is_some_and(|multi| multi.flags.contains(Flags::WRITE))
}

pub(super) fn watch(asked: &mut Asked<'_>, args: Args<'_>) -> Outcome {
    let Asked { core, session, row, outbox } = asked;
    if session.multi.is_some() {
        return Err(CommandError::text("ERR WATCH inside MULTI is not allowed"));
    }
    if session.watching.as_ref().is_some_and(|watching| watching.broken) {
        reply_now(session, |reply| reply.ok());
        return Ok(());
    }
    let keys = row.key_positions(args).map(|position| args.at(position));
    let bytes = keys.map(Watching::size_of).sum();
    if !may_hold(core, session, bytes, outbox) {
        return Ok(());
    }
    let parts = parts_of_watch(core, session, row, args);
    let free = |part: &PlannedPart| {
        let locks = part.locks.iter().copied();
        core.is_at_hand(session, part.shard) && !core.shards.get(part.shard).is_any_locked(locks)
    };
    if parts.iter().all(free) {
        for part in parts {
            if let Work::Watch { watcher, conn, keys } = part.work {
                core.shards.get_mut(part.shard).watch(watcher, conn, keys);
            }
        }
        reply_now(session, |reply| reply.ok());
    } else {
        let Some(watcher) = session.watching.as_ref().map(|watching| watching.watcher) else {
            debug_assert!(false, "it has just begun to watch");
            return Ok(());
        };
        let kind = Kind::Watch { watcher };
        coordinate::begin(core, session, row, kind, parts, outbox);
    }
    Ok(())
}

/// What each shard is to watch that was not watched before. The keys are locked: what was done to
/// them before WATCH, as clients see it, must not count as a change.
fn parts_of_watch(
    core: &mut Core,
    session: &mut Session,
    row: &Row,
    args: Args<'_>,
) -> Vec<PlannedPart> {
    let (db, conn) = (session.client.db, session.conn);
    let watching =
        session.watching.get_or_insert_with(|| Box::new(Watching::new(core.new_watcher())));
    let mut keys_of_shard: Vec<Vec<Box<[u8]>>> = vec![Vec::new(); core.site.shard_count];
    for key in row.key_positions(args).map(|position| args.at(position)) {
        let shard = shard_of_key(key, core.site.shard_count);
        if watching.add(shard, db, key) {
            keys_of_shard[shard].push(key.into());
        }
    }
    let watcher = watching.watcher;
    let part = |(shard, keys): (ShardId, Vec<Box<[u8]>>)| {
        let locks = keys.iter().map(|key| LockKey::new(key, LockMode::Shared)).collect();
        let keys = keys.into_iter().map(|key| (db as u8, key)).collect();
        PlannedPart::locking(shard, locks, Work::Watch { watcher, conn, keys })
    };
    let parts = keys_of_shard.into_iter().enumerate();
    parts.filter(|(_, keys)| !keys.is_empty()).map(part).collect()
}

pub(super) fn unwatch(asked: &mut Asked<'_>) -> Outcome {
    watch::forget_watching(asked.core, asked.session.watching.take(), asked.outbox);
    reply_now(asked.session, |reply| reply.ok());
    Ok(())
}
