//! Commands with keys on several shards that are carried out in hops, at the coordinator and at the
//! shards; see [`crate::commands::hops`].

use std::sync::Arc;

use super::coordinate::{Begun, Kind, Share, Transaction};
use super::core::{ConnReply, Core};
use super::event::Outbox;
use crate::commands::hops::{Change, Decision, Finding, Findings, Looked};
use crate::commands::{CommandError, Handler, KeyFlags, KeyRanges, Row, Spread};
use crate::protocol::Args;
use crate::protocol::args::OwnedArgs;
use crate::protocol::reply::Reply;
use crate::session::Session;
use crate::shard::{Way, way_of};
use crate::store::Item;
use crate::txn::{
    Changes, LockKey, LockMode, PartResult, SharedCommand, Waiter, Work, shard_of_key,
};

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
    /// By key: the part of its shard.
    parts: Vec<usize>,
    /// Of a command whose client waits if it finds nothing.
    pub attempt: Option<Attempt>,
    /// How often something was taken at a key.
    asked: usize,
    /// The outcome. The reply is empty if the client is to wait.
    reply: Vec<u8>,
    /// Each with its part and the argument that is its key.
    changes: Vec<(usize, usize, Change)>,
}

impl Hopping {
    /// Bytes of the arguments.
    pub fn size(&self) -> usize {
        self.command.args.size()
    }
}

/// What is to happen next.
enum Next {
    Done(Vec<(usize, Change)>),
    Take(usize, Option<Item>),
    Serve(usize),
    Nothing,
}

impl Core {
    /// Begins a command that is carried out in hops.
    pub fn start_hops(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        args: Args<'_>,
        outbox: &mut Outbox,
    ) {
        let command =
            SharedCommand { row, args: OwnedArgs::from(args), run_as: session.client.run_as() };
        let (kind, shares) = self.look_everywhere(command, None);
        self.begin_or_run(session, row, kind, shares, outbox);
    }

    /// Runs the command of a client again that waits for its first key: under locks on all of its
    /// keys, as it needs more than one.
    pub fn start_attempt(&mut self, reply: ConnReply, waiter: &Arc<Waiter>, outbox: &mut Outbox) {
        let attempt = Attempt { waiter: Arc::clone(waiter), first: false };
        let (kind, shares) = self.attempt(attempt);
        let (row, run_as) = (waiter.row, waiter.run_as);
        let begun = Begun { reply, row, run_as, kind };
        let txn = self.new_txn();
        self.send_shares(txn, begun, shares, outbox);
    }

    pub fn attempt(&self, attempt: Attempt) -> (Kind, Vec<Share>) {
        let Waiter { row, args, run_as, .. } = &*attempt.waiter;
        let command = SharedCommand { row, args: args.clone(), run_as: *run_as };
        self.look_everywhere(command, Some(attempt))
    }

    /// What each shard is to lock and to look at.
    fn look_everywhere(
        &self,
        command: SharedCommand,
        attempt: Option<Attempt>,
    ) -> (Kind, Vec<Share>) {
        let command = Arc::new(command);
        let args = command.args.as_args();
        let mut part_of_shard = vec![None; self.shard_count];
        let mut shares: Vec<Share> = Vec::new();
        let (mut found, mut parts) = (Vec::new(), Vec::new());
        for range in command.row.key_ranges(args).unwrap_or(KeyRanges::NONE).iter() {
            let is_read = range.flags.contains(KeyFlags::RO);
            let mode = if is_read { LockMode::Shared } else { LockMode::Exclusive };
            for position in range.positions() {
                let key = args.at(position);
                let shard = shard_of_key(key, self.shard_count);
                let part = *part_of_shard[shard].get_or_insert_with(|| {
                    let work = Work::Look { command: Arc::clone(&command), positions: Vec::new() };
                    shares.push(Share { shard, locks: Vec::new(), whole_shard: false, work });
                    shares.len() - 1
                });
                let share = &mut shares[part];
                share.locks.push(LockKey::new(key, mode));
                if let Work::Look { positions, .. } = &mut share.work {
                    positions.push(position);
                }
                found.push((position, Ok(Finding::Nothing)));
                parts.push(part);
            }
        }
        for share in &mut shares {
            LockKey::merge(&mut share.locks);
        }
        let (reply, changes) = (Vec::new(), Vec::new());
        let hopping = Hopping { command, found, parts, attempt, asked: 0, reply, changes };
        (Kind::Hops(Box::new(hopping)), shares)
    }

    /// Decides with what has been found. An error is the reply.
    fn decide(&mut self, hopping: &mut Hopping) -> Next {
        let random = self.shards.home_mut().store_mut().next_random();
        let Hopping { command, found, reply: out, attempt, .. } = hopping;
        let SharedCommand { row, run_as, .. } = &**command;
        // Who waits already waits on at a key of another type.
        let unfit = matches!(found.first(), Some((_, Err(_))));
        let decided = match attempt {
            Some(attempt) if !attempt.first && unfit => Ok(Next::Nothing),
            _ => self.decision(command, found, random, Reply::new(out, run_as.encoding)),
        };
        match &decided {
            // It does not wait.
            Ok(Next::Nothing) if attempt.is_none() => self.stats.commands.count_call(row, None),
            Ok(Next::Nothing) => out.clear(),
            Ok(Next::Done(_)) => self.stats.commands.count_call(row, None),
            Ok(Next::Take(..) | Next::Serve(_)) => {}
            Err(error) => {
                out.clear();
                Reply::new(out, run_as.encoding).error_bytes(&error.message());
                self.stats.commands.count_call(row, Some(error));
            }
        }
        decided.unwrap_or(Next::Done(Vec::new()))
    }

    fn decision(
        &self,
        command: &SharedCommand,
        found: &mut [(usize, Looked)],
        random: u64,
        mut reply: Reply<'_>,
    ) -> Result<Next, CommandError> {
        let args = command.args.as_args();
        if let Handler::Keyed(_, Spread::Wait(wait)) = command.row.handler {
            (wait.timeout)(args)?;
        }
        match way_of(command.row) {
            Some(Way::Hops(hops)) => {
                let (config, db_index) = (&self.settings.config, usize::from(command.run_as.db));
                let mut findings = Findings::new(found, config, db_index, random, reply);
                Ok(match (hops.decide)(&mut findings, args)? {
                    Decision::Done(changes) => Next::Done(changes),
                    Decision::Take(position) => Next::Take(position, None),
                    Decision::Send(position, item) => Next::Take(position, Some(item)),
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

    /// Takes over what shards have found. Whether the reply came with it.
    fn take_in(&mut self, hopping: &mut Hopping, results: &mut [Option<PartResult>]) -> bool {
        for (part, result) in results.iter_mut().enumerate() {
            match result.take() {
                Some(PartResult::Found(looked)) => {
                    for (position, looked) in looked {
                        if let Some(known) =
                            hopping.found.iter_mut().find(|(at, _)| *at == position)
                        {
                            known.1 = looked;
                        }
                    }
                }
                Some(PartResult::Reply(reply)) => {
                    hopping.reply = reply;
                    return true;
                }
                _ => debug_assert!(hopping.asked > 0, "part {part} has found nothing"),
            }
        }
        false
    }

    /// The command is over: its reply, and the changes for each part.
    pub fn end_hops(&mut self, transaction: &mut Transaction) -> (Vec<u8>, Vec<Option<Changes>>) {
        let Kind::Hops(hopping) = &mut transaction.kind else { return Default::default() };
        // What was found and not used after all may take long to free.
        for (_, looked) in hopping.found.drain(..) {
            if let Ok(Finding::Item(item)) = looked {
                self.shards.home_mut().store_mut().discard(item);
            }
        }
        let mut changes: Vec<Option<Changes>> = transaction.parts.iter().map(|_| None).collect();
        for (part, position, change) in hopping.changes.drain(..) {
            let command = &hopping.command;
            let changes = changes[part].get_or_insert_with(|| Changes::of(Arc::clone(command)));
            changes.list.push((position, change));
        }
        (std::mem::take(&mut hopping.reply), changes)
    }
}

impl Core {
    /// All shards have looked, or what was asked for has come, and the locks are held: decides. If
    /// there is to be another hop, that is what its part is to do next.
    pub fn works_of_hops(&mut self, transaction: &mut Transaction) -> Vec<(usize, Work)> {
        let Kind::Hops(hopping) = &mut transaction.kind else { return Vec::new() };
        if self.take_in(hopping, &mut transaction.results) {
            return Vec::new();
        }
        let next = self.decide(hopping);
        let part_of = |at: usize| hopping.found.iter().position(|(position, _)| *position == at);
        let command = Arc::clone(&hopping.command);
        let (position, work) = match next {
            Next::Done(changes) => {
                for (position, change) in changes {
                    let key = part_of(position);
                    debug_assert!(key.is_some(), "argument {position} is no key");
                    let Some(part) = key.map(|key| hopping.parts[key]) else { continue };
                    hopping.changes.push((part, position, change));
                }
                return Vec::new();
            }
            Next::Nothing => return Vec::new(),
            Next::Take(position, with) => (position, Work::Take { command, position, with }),
            Next::Serve(position) => (position, Work::ServeFrom { command, position }),
        };
        let Some(part) = part_of(position).map(|key| hopping.parts[key]) else {
            return Vec::new();
        };
        // Otherwise it would go on for ever.
        hopping.asked += 1;
        if hopping.asked > hopping.found.len() {
            debug_assert!(false, "a command asks a key twice");
            return Vec::new();
        }
        vec![(part, work)]
    }
}
