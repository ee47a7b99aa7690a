//! Commands that every core does its part of: CLIENT LIST, CONFIG SET, INFO and their like.
//!
//! Such a command is one type and its [`EveryCore`]: what each core does, and how the answers become
//! the reply. It takes no locks, so each core does its part when the message comes, behind what the
//! same core has sent it before. The messages come to all cores at one moment among the moves of
//! connections (see [`super::moves`]), so each connection is met once.
//!
//! The command itself is shared by all cores, and each puts its answer into a place of its own
//! there, before it says that it is done. So nobody waits for anybody, and answers keep their type.

use std::fmt::{Debug, Formatter};
use std::sync::{Arc, OnceLock};

use super::Engine;
use super::coordinate::{Kind, Share};
use super::event::{Outbox, ShardId};
use super::state::Core;
use crate::commands::Row;
use crate::protocol::reply::{Encoding, Reply};
use crate::session::Session;
use crate::txn::{Message, Part, PartDone, PartResult, Work};

/// A command that every core does its part of.
pub(super) trait EveryCore: Send + Sync + 'static {
    /// What one core has to say.
    type Answer: Send + Sync + 'static;

    /// One core's part.
    fn run(&self, engine: &mut Engine, outbox: &mut Outbox) -> Self::Answer;

    /// Writes the reply, on the core of the client, when all have answered; `answers` by core.
    fn merge(&self, engine: &mut Engine, answers: &[&Self::Answer], reply: &mut Reply<'_>);

    /// Whether it is answered only when all that cores had sent each other before is over.
    fn is_fenced(&self) -> bool {
        false
    }
}

impl Core {
    /// Has every core do its part, this one included, and stalls the session until all have.
    pub fn ask_every_core(
        &mut self,
        session: &mut Session,
        row: &'static Row,
        command: impl EveryCore,
        outbox: &mut Outbox,
    ) {
        let round = Round::start(command, self.site.shard_count);
        let share = |shard| Share {
            shard,
            locks: Vec::new(),
            whole_shard: false,
            work: Work::Task(Box::new(Arc::clone(&round))),
        };
        let shares = (0..self.site.shard_count).map(share).collect();
        let kind = Kind::EveryCore { round, fenced: false };
        self.begin(session, row, kind, shares, outbox);
    }
}

impl Engine {
    /// This core's part of a command that every core does.
    pub(super) fn run_task(&mut self, part: Part, outbox: &mut Outbox) {
        let Part { txn, work: Work::Task(task), .. } = part else { return };
        // The layer that carries messages cannot name the type; nothing else is ever put in.
        match task.downcast::<Arc<dyn AnyRound>>() {
            Ok(round) => round.run(self, outbox),
            // The answer is missing: the client gets an error.
            Err(_) => debug_assert!(false, "a task of another type"),
        }
        let done = PartDone { txn, shard: self.core.site.shard_id, result: PartResult::Done };
        if txn.coordinator == self.core.site.shard_id {
            self.part_done(done, outbox);
        } else {
            outbox.messages.push((txn.coordinator, Message::PartDone(Box::new(done))));
        }
    }

    /// The reply, when every core has done its part.
    pub(super) fn finish_round(&mut self, round: &dyn AnyRound, encoding: Encoding) -> Vec<u8> {
        let mut out = Vec::new();
        round.finish(self, &mut Reply::new(&mut out, encoding));
        out
    }
}

/// A command under way and its answers, by core.
struct Round<C: EveryCore> {
    command: C,
    answers: Box<[OnceLock<C::Answer>]>,
}

impl<C: EveryCore> Round<C> {
    fn start(command: C, cores: usize) -> Arc<dyn AnyRound> {
        Arc::new(Round { command, answers: (0..cores).map(|_| OnceLock::new()).collect() })
    }
}

/// A [`Round`] of any command.
pub(super) trait AnyRound: Send + Sync {
    fn run(&self, engine: &mut Engine, outbox: &mut Outbox);
    fn finish(&self, engine: &mut Engine, reply: &mut Reply<'_>);
    fn is_fenced(&self) -> bool;
}

impl<C: EveryCore> AnyRound for Round<C> {
    fn run(&self, engine: &mut Engine, outbox: &mut Outbox) {
        let answer = self.command.run(engine, outbox);
        let core: ShardId = engine.core.site.shard_id;
        // One core writes to one place once, so this never waits.
        let is_first = self.answers.get(core).map(|place| place.set(answer).is_ok());
        debug_assert_eq!(is_first, Some(true), "a core answered twice, or is none of them");
    }

    fn finish(&self, engine: &mut Engine, reply: &mut Reply<'_>) {
        let answers: Vec<&C::Answer> = self.answers.iter().filter_map(OnceLock::get).collect();
        if answers.len() < self.answers.len() {
            debug_assert!(false, "a core has not answered");
            return reply.error("ERR internal error: a core has not answered");
        }
        self.command.merge(engine, &answers, reply);
    }

    fn is_fenced(&self) -> bool {
        self.command.is_fenced()
    }
}

impl Debug for dyn AnyRound {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Round")
    }
}
