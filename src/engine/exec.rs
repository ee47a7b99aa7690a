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

use super::event::{Outbox, ShardId};
use super::part::PlannedPart;
use super::reply::{reply_now, suppress_reply};
use super::state::Core;
use super::transaction::Kind;
use super::{at_once, coordinate, pair};
use crate::commands::{Handler, Row};
use crate::protocol::Args;
use crate::session::{Destination, Exec, Multi, Reach, Session, Stall, Watching};
use crate::store::Watcher;
use crate::txn::{
    CommandList, LockKey, LockMode, OwnedWork, Request, Unit, Watched, Work, shard_of_key,
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
                    && !row.reaches(args)
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
    parts: Vec<ExecPart>,
}

#[derive(Default)]
struct ExecPart {
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
            self.parts.push(ExecPart { shard, ..ExecPart::default() });
            self.parts.len() - 1
        })
    }

    fn part(&mut self, shard: ShardId) -> &mut ExecPart {
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

impl ExecPart {
    fn into_part(mut self, work: Work) -> PlannedPart {
        if self.whole_shard {
            self.locks.clear();
        }
        LockKey::merge(&mut self.locks);
        PlannedPart { shard: self.shard, locks: self.locks, whole_shard: self.whole_shard, work }
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
    let queued = match at_once::may_run_at_once(core, session) {
        true => queued,
        false => match pair::start_pair_of_units(core, session, row, queued, watches) {
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
    let mut parts = Vec::with_capacity(plan.parts.len());
    for mut part in plan.parts {
        let commands = std::mem::take(&mut part.commands);
        let work = if watches {
            then.push(commands);
            Work::Hold { watcher: part.watcher }
        } else {
            Work::Exec { commands, run_as }
        };
        parts.push(part.into_part(work));
    }
    let kind = Kind::Exec { owners, then };
    coordinate::begin_or_run(core, session, row, kind, parts, outbox);
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
            Handler::Keyed(..) if !row.reaches(args) => plan.lock_keys(core, row, args),
            Handler::Keyed(..) | Handler::EveryShard(..) => {
                (0..core.site.shard_count).for_each(|shard| plan.part(shard).whole_shard = true);
            }
            Handler::Cursor(_) => plan.part(core.site.cursor_shard(args)).whole_shard = true,
            Handler::Anywhere(_) | Handler::Engine(_) | Handler::Container => {}
        }
    }
    let part = |part: ExecPart| {
        let work = Work::Hold { watcher: part.watcher };
        part.into_part(work)
    };
    let parts: Vec<PlannedPart> = plan.parts.into_iter().map(part).collect();
    let count = queued.len();
    let exec = Exec {
        commands: Arc::new(queued),
        next: 0,
        started: parts.is_empty(),
        held: None,
        skipped: false,
    };
    session.stall.insert(Stall::EXEC);
    if parts.is_empty() {
        let skipped = std::mem::take(&mut session.client.skip_reply);
        session.exec = Some(Box::new(Exec { skipped, ..exec }));
        reply_now(session, |reply| reply.array(count));
        return;
    }
    let skipped = session.client.skip_reply;
    coordinate::begin(core, session, row, Kind::Hold, parts, outbox);
    session.exec = Some(Box::new(Exec { skipped, ..exec }));
}
