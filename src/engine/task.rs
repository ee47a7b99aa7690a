//! Work that every core does for one command: asked for by the core whose connection sent the
//! command, answered with a result, finished where it began.

use std::any::Any;
use std::sync::Arc;

use super::Engine;
use super::core::{CommandStats, Core, Pause};
use super::event::{Outbox, ShardId};
use super::operations;
use super::shared::Settings;
use crate::commands::{ClientFilter, Row};
use crate::session::Session;
use crate::store::ShardStats;
use crate::txn::{Message, Part, TxnId, Work};

use super::coordinate::{Kind, Transaction};
use super::dispatch::reply_later;
use crate::protocol::args::OwnedArgs;
use crate::session::Stall;

/// What each core is asked to do.
#[derive(Clone, Debug)]
pub(super) enum Task {
    ApplySettings(Arc<Settings>),
    ResetStat,
    ListClients(ClientFilter),
    KillClients(ClientFilter),
    Pause(Option<Pause>),
    /// Of clients blocked in a command.
    Unblock {
        id: u64,
    },
    SetActiveExpire(bool),
    Report,
}

/// What each core answers.
#[derive(Debug)]
pub(super) enum TaskResult {
    Done,
    /// CLIENT LIST's lines, by client id.
    Clients(Vec<(u64, String)>),
    Count(usize),
    Report(Box<CoreReport>),
}

/// What INFO needs to know of a core.
#[derive(Clone, Debug)]
pub(super) struct CoreReport {
    pub shard: ShardId,
    pub clients: usize,
    pub used_memory: usize,
    pub commands: u64,
    pub ops_per_sec: u64,
    pub errors: Vec<(Box<str>, u64)>,
    pub by_command: Vec<CommandStats>,
    pub stats: ShardStats,
    /// Keys and expiring keys of each database.
    pub keyspace: Vec<(usize, usize)>,
    /// The largest input kept, and the largest output unsent, of any client.
    pub input_bytes_max: usize,
    pub output_bytes_max: usize,
}

/// What becomes of the results, on the core that asked.
#[derive(Clone, Debug)]
pub(super) enum Finish {
    /// `+OK`.
    Ok,
    ClientList,
    /// The count, or for the old form `+OK` or an error. `kill_self`: the asking client is among
    /// those to be closed, after its reply.
    ClientKill {
        old_form: bool,
        kill_self: bool,
    },
    /// 1 or 0.
    Unblocked,
    /// INFO with these sections.
    Info(Vec<Vec<u8>>),
}

impl Core {
    /// Asks every core, this one included, and stalls the session until all have answered.
    pub fn ask_every_core(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        task: &Task,
        finish: Finish,
        outbox: &mut Outbox,
    ) {
        let reply = reply_later(session);
        let version = session.client.version;
        session.stall.insert(Stall::TRANSACTION);
        let shards = 0..self.shard_count;
        let number = self.start(Transaction::new(
            reply,
            row,
            OwnedArgs::default(),
            session.client.db,
            version,
            Kind::Task(finish),
            shards.map(|shard| (shard, false)).collect(),
        ));
        for shard in 0..self.shard_count {
            let part = Part {
                txn: TxnId { coordinator: self.shard_id, number },
                locks: Vec::new(),
                whole_shard: false,
                work: Work::Task(Box::new(task.clone())),
            };
            outbox.messages.push((shard, Message::Part(Box::new(part))));
        }
    }
}

impl Engine {
    pub(super) fn run_task(
        &mut self,
        task: Box<dyn Any + Send>,
        outbox: &mut Outbox,
    ) -> TaskResult {
        let Ok(task) = task.downcast::<Task>() else {
            debug_assert!(false, "a task of another type");
            return TaskResult::Done;
        };
        match *task {
            Task::ApplySettings(settings) => {
                if settings.version > self.core.settings.version {
                    self.core.settings = settings;
                }
            }
            Task::ResetStat => self.core.reset_stats(),
            Task::ListClients(filter) => {
                return TaskResult::Clients(operations::list_clients(self, &filter));
            }
            Task::KillClients(filter) => {
                return TaskResult::Count(operations::kill_clients(self, &filter, outbox));
            }
            Task::Pause(pause) => {
                self.core.pause = pause;
                if pause.is_none() {
                    self.end_pause(outbox);
                }
            }
            // No command blocks its client yet, so there is nobody to unblock.
            Task::Unblock { .. } => return TaskResult::Count(0),
            Task::SetActiveExpire(active) => self.core.active_expire = active,
            Task::Report => return TaskResult::Report(Box::new(self.report())),
        }
        TaskResult::Done
    }

    fn report(&self) -> CoreReport {
        let core = &self.core;
        let largest = |size: fn(&Session) -> usize| self.sessions.iter().map(size).max();
        CoreReport {
            shard: core.shard_id,
            clients: self.sessions.len(),
            used_memory: core.shard.allocated_bytes(),
            commands: core.stats.commands,
            ops_per_sec: core.stats.ops_per_sec,
            errors: core.stats.errors.iter().map(|(code, n)| (code.clone(), *n)).collect(),
            by_command: core.stats.by_command.clone(),
            stats: core.shard.stats,
            keyspace: core.shard.dbs().map(|db| (db.len(), db.expiring())).collect(),
            input_bytes_max: largest(|session| session.input.len()).unwrap_or(0),
            output_bytes_max: largest(|session| session.output.unsent_bytes()).unwrap_or(0),
        }
    }
}
