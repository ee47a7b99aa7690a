//! A command with keys on several shards that is carried out in hops, from what is looked at to what
//! changes; see [`crate::commands::hops`].

use std::sync::Arc;

use super::part::PlannedPart;
use crate::commands::hops::{Change, Decision, Finding, Findings, Looked, Name, ReadNames};
use crate::commands::{CommandError, Handler, KeyFlags, KeyRanges, Spread};
use crate::config::Config;
use crate::protocol::reply::Reply;
use crate::shard::{Statistics, Way, way_of};
use crate::store::{Item, Shard as Store};
use crate::txn::{
    Changes, LockKey, LockMode, PartResult, SharedCommand, Waiter, Work, shard_of_key,
};

/// A command whose client waits if it finds nothing.
#[derive(Debug)]
pub(super) struct Attempt {
    pub waiter: Arc<Waiter>,
    /// It has not waited yet. Otherwise what it waits for may just have come.
    pub first: bool,
}

/// A command that is carried out in hops, at its coordinator.
#[derive(Debug)]
pub(super) struct Hopping {
    command: Arc<SharedCommand>,
    /// Each argument that is a key, and what was found there.
    found: Vec<(usize, Looked)>,
    /// By key: its part.
    owners: Vec<usize>,
    /// Of a command whose client waits if it finds nothing.
    attempt: Option<Attempt>,
    /// How often something was taken at a key.
    asked: usize,
    /// What was read at keys that were named on the way.
    read: ReadNames,
    /// It has named some.
    reads: bool,
    /// The outcome. The reply is empty if the client is to wait.
    reply: Vec<u8>,
    /// Each with its part and the argument that is its key.
    changes: Vec<(usize, usize, Change)>,
}

/// What a decision is given besides what was found.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub config: &'a Config,
    pub random: u64,
}

/// What is to happen next.
enum Next {
    Done(Vec<(usize, Change)>),
    Take(usize, Option<Item>),
    Read(Vec<Name>),
    Serve(usize),
    Nothing,
}

impl Hopping {
    /// With what each shard is to lock and to look at.
    pub fn new(
        command: SharedCommand,
        attempt: Option<Attempt>,
        shard_count: usize,
    ) -> (Hopping, Vec<PlannedPart>) {
        let command = Arc::new(command);
        let args = command.args.as_args();
        let mut part_of_shard = vec![None; shard_count];
        let mut parts: Vec<PlannedPart> = Vec::new();
        let (mut found, mut owners) = (Vec::new(), Vec::new());
        let look = || Work::Look { command: Arc::clone(&command), positions: Vec::new() };
        let reaches = command.row.reaches(args);
        if reaches {
            // Nobody knows yet which keys it will read: the part of each shard has its number.
            let whole =
                |shard| PlannedPart { whole_shard: true, ..PlannedPart::new(shard, look()) };
            parts.extend((0..shard_count).map(whole));
            part_of_shard = (0..shard_count).map(Some).collect();
        }
        for range in command.row.key_ranges(args).unwrap_or(KeyRanges::NONE).iter() {
            let is_read = range.flags.contains(KeyFlags::RO);
            let mode = if is_read { LockMode::Shared } else { LockMode::Exclusive };
            for position in range.positions() {
                let key = args.at(position);
                let shard = shard_of_key(key, shard_count);
                let owner = *part_of_shard[shard].get_or_insert_with(|| {
                    parts.push(PlannedPart::new(shard, look()));
                    parts.len() - 1
                });
                let part = &mut parts[owner];
                if !reaches {
                    part.locks.push(LockKey::new(key, mode));
                }
                if let Work::Look { positions, .. } = &mut part.work {
                    positions.push(position);
                }
                found.push((position, Ok(Finding::Nothing)));
                owners.push(owner);
            }
        }
        for part in &mut parts {
            LockKey::merge(&mut part.locks);
        }
        let (reply, changes) = (Vec::new(), Vec::new());
        let (read, reads) = (ReadNames::new(), false);
        let hopping =
            Hopping { command, found, owners, attempt, asked: 0, read, reads, reply, changes };
        (hopping, parts)
    }

    /// Bytes of the arguments.
    pub fn size(&self) -> usize {
        self.command.args.size()
    }

    /// Of a command whose client waits if it finds nothing.
    pub fn attempt(&self) -> Option<&Attempt> {
        self.attempt.as_ref()
    }

    /// All shards have looked, or what was asked for has come, and the locks are held: decides. If
    /// there is to be another hop, that is what these parts are to do next.
    pub fn next(
        &mut self,
        results: &mut [Option<PartResult>],
        given: Given<'_>,
        statistics: &mut Statistics,
    ) -> Vec<(usize, Work)> {
        if self.take_in(results) {
            return Vec::new();
        }
        let next = self.decide(given, statistics);
        let command = Arc::clone(&self.command);
        let (position, work) = match next {
            Next::Done(changes) => {
                for (position, change) in changes {
                    let part = self.part_of(position);
                    debug_assert!(part.is_some(), "argument {position} is no key");
                    let Some(part) = part else { continue };
                    self.changes.push((part, position, change));
                }
                return Vec::new();
            }
            Next::Nothing => return Vec::new(),
            Next::Read(names) => return self.works_of_reading(names, results.len()),
            Next::Take(position, with) => (position, Work::Take { command, position, with }),
            Next::Serve(position) => (position, Work::ServeFrom { command, position }),
        };
        let Some(part) = self.part_of(position) else { return Vec::new() };
        // Otherwise it would go on for ever.
        self.asked += 1;
        if self.asked > self.found.len() {
            debug_assert!(false, "a command asks a key twice");
            return Vec::new();
        }
        vec![(part, work)]
    }

    /// What each of the shards is to read.
    fn works_of_reading(&mut self, names: Vec<Name>, shard_count: usize) -> Vec<(usize, Work)> {
        self.reads = true;
        let mut of_part: Vec<Vec<Name>> = vec![Vec::new(); shard_count];
        for name in names {
            of_part[shard_of_key(&name.key, shard_count)].push(name);
        }
        let works = of_part.into_iter().enumerate().filter(|(_, names)| !names.is_empty());
        let work = |names| Work::Read { command: Arc::clone(&self.command), names };
        works.map(|(part, names)| (part, work(names))).collect()
    }

    /// The part of the key that is this argument.
    fn part_of(&self, position: usize) -> Option<usize> {
        let key = self.found.iter().position(|(at, _)| *at == position)?;
        Some(self.owners[key])
    }

    /// Takes over what shards have found. Whether the reply came with it.
    fn take_in(&mut self, results: &mut [Option<PartResult>]) -> bool {
        for (part, result) in results.iter_mut().enumerate() {
            match result.take() {
                Some(PartResult::Found(looked)) => {
                    for (position, looked) in looked {
                        if let Some(known) = self.found.iter_mut().find(|(at, _)| *at == position) {
                            known.1 = looked;
                        }
                    }
                }
                Some(PartResult::Read(read)) => self.read.extend(read),
                Some(PartResult::Reply(reply)) => {
                    self.reply = reply;
                    return true;
                }
                _ => debug_assert!(self.asked > 0 || self.reads, "part {part} has found nothing"),
            }
        }
        false
    }

    /// Decides with what has been found. An error is the reply.
    fn decide(&mut self, given: Given<'_>, statistics: &mut Statistics) -> Next {
        let Hopping { command, found, read, reply: out, attempt, .. } = self;
        let SharedCommand { row, run_as, .. } = &**command;
        // Who waits already waits on at a key of another type.
        let unfit = matches!(found.first(), Some((_, Err(_))));
        let decided = match attempt {
            Some(attempt) if !attempt.first && unfit => Ok(Next::Nothing),
            _ => decision(command, (found, read), given, Reply::new(out, run_as.encoding)),
        };
        match &decided {
            // It does not wait.
            Ok(Next::Nothing) if attempt.is_none() => statistics.count_call(row, None),
            Ok(Next::Nothing) => out.clear(),
            Ok(Next::Done(_)) => statistics.count_call(row, None),
            // What it has answered so far it will answer again.
            Ok(Next::Read(_)) => out.clear(),
            Ok(Next::Take(..) | Next::Serve(_)) => {}
            Err(error) => {
                out.clear();
                Reply::new(out, run_as.encoding).error_bytes(&error.message());
                statistics.count_call(row, Some(error));
            }
        }
        decided.unwrap_or(Next::Done(Vec::new()))
    }

    /// The command is over: its reply, and the changes for each of so many parts. `store` takes what
    /// was found and not used after all, which may take long to free.
    pub fn end(&mut self, parts: usize, store: &mut Store) -> (Vec<u8>, Vec<Option<Changes>>) {
        for (_, looked) in self.found.drain(..) {
            if let Ok(Finding::Item(item)) = looked {
                store.discard(item);
            }
        }
        let mut changes: Vec<Option<Changes>> = (0..parts).map(|_| None).collect();
        for (part, position, change) in self.changes.drain(..) {
            let command = &self.command;
            let changes = changes[part].get_or_insert_with(|| Changes::of(Arc::clone(command)));
            changes.list.push((position, change));
        }
        (std::mem::take(&mut self.reply), changes)
    }
}

fn decision(
    command: &SharedCommand,
    (found, read): (&mut [(usize, Looked)], &ReadNames),
    Given { config, random }: Given<'_>,
    mut reply: Reply<'_>,
) -> Result<Next, CommandError> {
    let args = command.args.as_args();
    if let Handler::Keyed(_, Spread::Wait(wait)) = command.row.handler {
        (wait.timeout)(args)?;
    }
    match way_of(command.row) {
        Some(Way::Hops(hops)) => {
            let db_index = usize::from(command.run_as.db);
            let mut findings = Findings::new(found, read, config, db_index, random, reply);
            Ok(match (hops.decide)(&mut findings, args)? {
                Decision::Done(changes) => Next::Done(changes),
                Decision::Take(position) => Next::Take(position, None),
                Decision::Send(position, item) => Next::Take(position, Some(item)),
                Decision::Read(names) => Next::Read(names),
                Decision::Nothing => Next::Nothing,
            })
        }
        Some(Way::FirstReady(wait)) => {
            let is_ready = |looked: &Looked| looked.as_ref().is_ok_and(Finding::exists);
            let ready = found.iter().find(|(_, looked)| is_ready(looked));
            Ok(match ready {
                Some((position, _)) => Next::Serve(*position),
                None => {
                    (wait.nothing)(&mut reply);
                    Next::Nothing
                }
            })
        }
        None => Ok(Next::Done(Vec::new())),
    }
}
