//! EXEC: on one shard, on several at once, or one command after the other.
//!
//! - All keys on one shard, watched ones included: a [`Unit`] that goes where a command with one key
//!   would go.
//! - Each command on one shard: every shard runs its commands as its part of a multi-shard command.
//!   With watches, the parts first lock and look; the commands follow when all watches are whole.
//! - Anything else runs one by one under locks that were taken for all, as a connection's commands
//!   run otherwise: their replies follow EXEC's own in the connection's output. Once it has begun it
//!   ends even if the connection has gone.

use std::sync::Arc;

use super::Engine;
use super::coordinate::{Kind, Share, Transaction};
use super::dispatch::{cursor_shard, run_here, run_keyed_in_turn, run_operation};
use super::event::{Outbox, ShardId};
use super::reply::{refuse, reply_now, suppress_reply};
use super::state::Core;
use crate::commands::{CommandError, Handler, Row, reply_bytes_max};
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::session::{Destination, Exec, Multi, Reach, Session, Stall, Watching};
use crate::store::Watcher;
use crate::txn::{
    CommandList, Fault, LockKey, LockMode, Message, OwnedWork, PartResult, Release, Request, TxnId,
    Unit, Watched, Work, shard_of_key,
};

/// Where a command leads that is about to be queued; `shard` is that of its first key.
pub(super) fn reach_of(core: &Core, row: &Row, args: Args<'_>, shard: ShardId) -> Reach {
    match row.handler {
        Handler::Anywhere(_) => Reach::Anywhere,
        // It has no keys, or is only going to be refused.
        Handler::Keyed(..) if row.first_key(args).is_none() || row.lacks_keys(args) => {
            Reach::Anywhere
        }
        Handler::Keyed(..) => {
            let mut keys = row.key_positions(args).map(|index| args.at(index));
            if core.site.shard_count == 1
                || keys.all(|key| shard_of_key(key, core.site.shard_count) == shard)
            {
                Reach::One(shard)
            } else {
                Reach::InTurn
            }
        }
        Handler::EveryShard(..) | Handler::Cursor(_) | Handler::Engine(_) | Handler::Container => {
            Reach::InTurn
        }
    }
}

/// Where a MULTI block leads, with what its connection watches.
pub(super) fn reach_with(multi: &Multi, watching: Option<&Watching>) -> Reach {
    let watched = match watching {
        None => Reach::Anywhere,
        Some(watching) => watching.only_shard().map_or(Reach::Several, Reach::One),
    };
    multi.reach.and(watched)
}

/// Carries out what a MULTI block queued.
pub(super) fn start(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    multi: Multi,
    watching: Option<Watching>,
    outbox: &mut Outbox,
) {
    match reach_with(&multi, watching.as_ref()) {
        Reach::Anywhere => start_unit(core, session, row, multi, watching, core.site.shard_id),
        Reach::One(shard) => start_unit(core, session, row, multi, watching, shard),
        Reach::Several => start_parts(core, session, row, multi.queued, watching, outbox),
        Reach::InTurn => start_in_turn(core, session, row, multi.queued, watching, outbox),
    }
}

fn start_unit(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    multi: Multi,
    watching: Option<Watching>,
    shard: ShardId,
) {
    let run_as = session.client.run_as();
    let watched = watching.map(|watching| {
        let watcher = watching.watcher;
        Watched { watcher, keys: watching.into_keys().flat_map(|(_, keys)| keys).collect() }
    });
    let unit = Unit { commands: multi.queued, run_as, watched };
    let suppressed = suppress_reply(session);
    let mut request = Request::new(row, session.conn, 0, run_as);
    let here = core.is_at_hand(session, shard);
    if here && !core.shards.get(shard).unit_must_wait(core.site.shard_id, &request, &unit) {
        let out = session.output.buffer();
        let before = out.len();
        core.shards.get_mut(shard).run_unit(&unit, out, None);
        if suppressed {
            out.truncate(before);
        }
        return session.output.wrote(before);
    }
    let destination = Destination::OneShard(shard);
    request.sequence = session.await_reply(destination, suppressed, unit.size());
    let unit = Box::new(unit);
    if here {
        core.wait_for_locks(shard, request, OwnedWork::Unit(unit));
    } else {
        core.links.send_unit(shard, request, unit);
    }
}

/// The parts of an EXEC: what each shard is to lock, to look at and to run.
struct Plan {
    part_of_shard: Vec<Option<usize>>,
    parts: Vec<PlannedPart>,
}

#[derive(Default)]
struct PlannedPart {
    shard: ShardId,
    locks: Vec<LockKey>,
    whole_shard: bool,
    watcher: Option<Watcher>,
    commands: CommandList,
}

impl Plan {
    fn new(core: &Core, watching: Option<Watching>) -> Plan {
        let mut plan = Plan { part_of_shard: vec![None; core.site.shard_count], parts: Vec::new() };
        let Some(watching) = watching else { return plan };
        let watcher = watching.watcher;
        for (shard, keys) in watching.into_keys() {
            let part = plan.part(shard);
            part.watcher = Some(watcher);
            let lock = |key: Box<[u8]>| LockKey::new(&key, LockMode::Shared);
            part.locks.extend(keys.into_iter().map(lock));
        }
        plan
    }

    fn index(&mut self, shard: ShardId) -> usize {
        *self.part_of_shard[shard].get_or_insert_with(|| {
            self.parts.push(PlannedPart { shard, ..PlannedPart::default() });
            self.parts.len() - 1
        })
    }

    fn part(&mut self, shard: ShardId) -> &mut PlannedPart {
        let index = self.index(shard);
        &mut self.parts[index]
    }

    fn lock_keys(&mut self, core: &Core, row: &'static Row, args: Args<'_>) {
        let mode = LockMode::of(row);
        for position in row.key_positions(args) {
            let key = args.at(position);
            let lock = LockKey::new(key, mode);
            self.part(shard_of_key(key, core.site.shard_count)).locks.push(lock);
        }
    }
}

impl PlannedPart {
    fn into_share(mut self, work: Work) -> Share {
        if self.whole_shard {
            self.locks.clear();
        }
        LockKey::merge(&mut self.locks);
        Share { shard: self.shard, locks: self.locks, whole_shard: self.whole_shard, work }
    }
}

fn start_parts(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    queued: CommandList,
    watching: Option<Watching>,
    outbox: &mut Outbox,
) {
    let run_as = session.client.run_as();
    let watches = watching.is_some();
    let queued = match core.may_run_at_once(session) {
        true => queued,
        false => match core.start_pair_of_units(session, row, queued, watches) {
            Some(queued) => queued,
            None => return,
        },
    };
    let mut plan = Plan::new(core, watching);
    for (row, args) in queued.iter() {
        plan.lock_keys(core, row, args);
    }
    let mut owners = Vec::with_capacity(queued.len());
    for (row, args) in queued.iter() {
        let key = row.first_key(args);
        // What has no key runs with the first part: there are several.
        let owner = key.map_or(0, |key| plan.index(shard_of_key(key, core.site.shard_count)));
        plan.parts[owner].commands.push(row, args);
        owners.push(owner);
    }
    let mut then = Vec::new();
    let mut shares = Vec::with_capacity(plan.parts.len());
    for mut part in plan.parts {
        let commands = std::mem::take(&mut part.commands);
        let work = if watches {
            then.push(commands);
            Work::Hold { watcher: part.watcher }
        } else {
            Work::Exec { commands, run_as }
        };
        shares.push(part.into_share(work));
    }
    let kind = Kind::Exec { owners, then };
    core.begin_or_run(session, row, kind, shares, outbox);
}

/// Whether all parts of an EXEC found what they watch as it was.
fn watches_are_whole(results: &[Option<PartResult>]) -> bool {
    results.iter().all(|result| matches!(result, Some(PartResult::Held(true))))
}

impl Core {
    /// All locks of an EXEC with watches are held. If nothing has changed, its commands are what its
    /// parts are to do next; otherwise it has ended.
    pub fn works_of_exec(&mut self, transaction: &mut Transaction) -> Vec<(usize, Work)> {
        let Kind::Exec { then, .. } = &mut transaction.kind else { return Vec::new() };
        let some_whole = self.site.planted.is(Fault::WatchesNotAgreed)
            && transaction.results.iter().any(|r| matches!(r, Some(PartResult::Held(true))));
        if then.is_empty() || !(watches_are_whole(&transaction.results) || some_whole) {
            return Vec::new();
        }
        let run_as = transaction.run_as;
        let mut works = Vec::with_capacity(then.len());
        for (part, commands) in std::mem::take(then).into_iter().enumerate() {
            if commands.is_empty() {
                let none = PartResult::Replies { bytes: Vec::new(), lens: Vec::new() };
                transaction.results[part] = Some(none);
            } else {
                works.push((part, Work::Exec { commands, run_as }));
            }
        }
        works
    }
}

impl Engine {
    /// All locks of an EXEC are held whose commands run in turn. If what it watches is whole, it
    /// begins; tells what EXEC replies before those of the commands, and whether the locks stay.
    pub(super) fn hold_for_exec(
        &mut self,
        number: u64,
        transaction: &Transaction,
    ) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let reply = &mut Reply::new(&mut out, transaction.run_as.encoding);
        let Some(session) = self.sessions.get_mut(transaction.reply.conn) else {
            return (out, false);
        };
        let Some(exec) = &mut session.exec else { return (out, false) };
        let holds = watches_are_whole(&transaction.results);
        if holds {
            let txn = TxnId { coordinator: self.core.site.shard_id, number };
            let shards = transaction.parts.iter().map(|(shard, _)| *shard).collect();
            exec.held = Some((txn, shards));
            exec.started = true;
            reply.array(exec.commands.len());
        } else {
            session.exec = None;
            session.stall.remove(Stall::EXEC);
            reply.null_array();
        }
        (out, holds)
    }
}

/// The reply of an EXEC whose commands ran in parts; `owners[i]` is the part of command `i`.
pub(super) fn merge_replies(
    results: &mut [Option<PartResult>],
    owners: &[usize],
    reply: &mut Reply<'_>,
) {
    let taken = results.iter_mut().map(Option::take);
    let parts: Option<Vec<(Vec<u8>, Vec<usize>)>> = taken
        .map(|result| match result {
            Some(PartResult::Replies { bytes, lens }) => Some((bytes, lens)),
            _ => None,
        })
        .collect();
    // A watch that is broken.
    let Some(parts) = parts else { return reply.null_array() };
    reply.array(owners.len());
    let mut next: Vec<(usize, usize)> = vec![(0, 0); parts.len()];
    for &owner in owners {
        let ((bytes, lens), (index, start)) = (&parts[owner], &mut next[owner]);
        let len = lens.get(*index).copied().unwrap_or(0);
        debug_assert!(len > 0, "a command without a reply");
        reply.raw(&bytes[*start..*start + len]);
        (*index, *start) = (*index + 1, *start + len);
    }
}

fn start_in_turn(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    queued: CommandList,
    watching: Option<Watching>,
    outbox: &mut Outbox,
) {
    let mut plan = Plan::new(core, watching);
    for (row, args) in queued.iter() {
        match row.handler {
            Handler::Keyed(..) => plan.lock_keys(core, row, args),
            Handler::EveryShard(..) => {
                (0..core.site.shard_count).for_each(|shard| plan.part(shard).whole_shard = true);
            }
            Handler::Cursor(_) => plan.part(cursor_shard(core, args)).whole_shard = true,
            Handler::Anywhere(_) | Handler::Engine(_) | Handler::Container => {}
        }
    }
    let share = |part: PlannedPart| {
        let work = Work::Hold { watcher: part.watcher };
        part.into_share(work)
    };
    let shares: Vec<Share> = plan.parts.into_iter().map(share).collect();
    let count = queued.len();
    let exec = Exec {
        commands: Arc::new(queued),
        next: 0,
        started: shares.is_empty(),
        held: None,
        skipped: false,
    };
    session.stall.insert(Stall::EXEC);
    if shares.is_empty() {
        let skipped = std::mem::take(&mut session.client.skip_reply);
        session.exec = Some(Box::new(Exec { skipped, ..exec }));
        reply_now(session, |reply| reply.array(count));
        return advance(core, session, outbox);
    }
    let skipped = session.client.skip_reply;
    core.begin(session, row, Kind::Hold, shares, outbox);
    session.exec = Some(Box::new(Exec { skipped, ..exec }));
}

/// Whether commands of an EXEC have begun to run, so that the others must follow.
pub(super) fn is_running(session: &Session) -> bool {
    session.exec.as_ref().is_some_and(|exec| exec.started)
}

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
        Handler::EveryShard(_, merge) => core.start_every_shard(session, row, args, merge, outbox),
        Handler::Cursor(_) => {
            core.start_elsewhere(session, row, args, cursor_shard(core, args), outbox);
        }
        Handler::Engine(parse) => run_operation(core, session, row, parse(args), outbox),
        Handler::Container => {
            debug_assert!(false, "{} was queued without a subcommand", row.name);
            refuse(&mut core.stats.commands, session, &CommandError::Syntax);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::resp::Version;

    #[test]
    fn replies_come_in_the_order_of_the_commands() {
        let part = |replies: &[&str]| {
            let bytes = replies.concat().into_bytes();
            let lens = replies.iter().map(|reply| reply.len()).collect();
            Some(PartResult::Replies { bytes, lens })
        };
        let merged = |results: &mut [Option<PartResult>], owners: &[usize]| {
            let mut out = Vec::new();
            merge_replies(results, owners, &mut Reply::new(&mut out, Version::Resp2));
            String::from_utf8(out).unwrap()
        };
        let mut results = [part(&["+OK\r\n", ":1\r\n"]), part(&[]), part(&["$-1\r\n"])];
        assert_eq!(merged(&mut results, &[0, 2, 0]), "*3\r\n+OK\r\n$-1\r\n:1\r\n");
        assert_eq!(merged(&mut [part(&[]), part(&[])], &[]), "*0\r\n");
        let broken = &mut [Some(PartResult::Held(true)), Some(PartResult::Held(false))];
        assert_eq!(merged(broken, &[0]), "*-1\r\n");
    }
}
