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

use super::state::Here;
use crate::protocol::reply::Reply;
use crate::txn::ShardId;

/// A command that every core does its part of.
pub(super) trait EveryCore: Send + Sync + 'static {
    /// What one core has to say.
    type Answer: Send + Sync + 'static;

    /// One core's part.
    fn run(&self, here: &mut Here<'_>) -> Self::Answer;

    /// Writes the reply, on the core of the client, when all have answered; `answers` by core.
    fn merge(&self, here: &mut Here<'_>, answers: &[&Self::Answer], reply: &mut Reply<'_>);

    /// Whether it is answered only when all that cores had sent each other before is over.
    fn is_fenced(&self) -> bool {
        false
    }
}

/// A command under way and its answers, by core.
struct Round<C: EveryCore> {
    command: C,
    answers: Box<[OnceLock<C::Answer>]>,
}

/// A command that so many cores are to do their part of.
pub(super) fn round(command: impl EveryCore, cores: usize) -> Arc<dyn AnyRound> {
    Arc::new(Round { command, answers: (0..cores).map(|_| OnceLock::new()).collect() })
}

/// A [`Round`] of any command.
pub(super) trait AnyRound: Send + Sync {
    fn run(&self, here: &mut Here<'_>);
    fn finish(&self, here: &mut Here<'_>, reply: &mut Reply<'_>);
    fn is_fenced(&self) -> bool;
}

impl<C: EveryCore> AnyRound for Round<C> {
    fn run(&self, here: &mut Here<'_>) {
        let answer = self.command.run(here);
        let core: ShardId = here.core.site.shard_id;
        // One core writes to one place once, so this never waits.
        let is_first = self.answers.get(core).map(|place| place.set(answer).is_ok());
        debug_assert_eq!(is_first, Some(true), "a core answered twice, or is none of them");
    }

    fn finish(&self, here: &mut Here<'_>, reply: &mut Reply<'_>) {
        let answers: Vec<&C::Answer> = self.answers.iter().filter_map(OnceLock::get).collect();
        if answers.len() < self.answers.len() {
            debug_assert!(false, "a core has not answered");
            return reply.error("ERR internal error: a core has not answered");
        }
        self.command.merge(here, &answers, reply);
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
