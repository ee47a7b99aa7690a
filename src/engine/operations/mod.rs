//! Commands that concern a connection or the whole process.

mod client;
mod session;

use std::borrow::Cow;

use super::core::{ConnReply, Core};
use super::dispatch::{fail, reply_now};
use super::event::Outbox;
use super::task::{Finish, Task, TaskResult};
use super::{Engine, Ticket};
use crate::commands::{CommandError, Operation, Row};
use crate::protocol::resp::{Reply, Version};
use crate::session::Session;

pub(super) use client::{kill_clients, list_clients};

/// Carries out an operation: answers at once, or stalls the session until it can be.
pub(super) fn carry_out(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    operation: Operation<'_>,
    outbox: &mut Outbox,
) {
    let result = match operation {
        Operation::Auth { user, password } => session::auth(core, session, user, password),
        Operation::Hello(hello) => session::hello(core, session, hello),
        Operation::Quit => session::quit(session, outbox),
        Operation::Reset => session::reset(core, session),
        Operation::Select(index) => session::select(session, index),
        Operation::ClientId => {
            let id = session.client.id as i64;
            reply_now(session, |reply| reply.integer(id));
            Ok(())
        }
        Operation::ConfigResetStat => {
            core.ask_every_core(session, row, &Task::ResetStat, Finish::Ok, outbox);
            Ok(())
        }
        _ => Err(CommandError::Text(Cow::Borrowed("ERR (being written)"))),
    };
    if let Err(error) = result {
        fail(core, session, row, &error);
    }
}

/// The reply to an operation that every core took part in.
pub(super) fn finish(
    engine: &mut Engine,
    finish: Finish,
    results: Vec<TaskResult>,
    version: Version,
    to: ConnReply,
    outbox: &mut Outbox,
) -> Vec<u8> {
    let _ = (engine, to, outbox, results);
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, version);
    match finish {
        Finish::Ok => reply.ok(),
        _ => reply.error("ERR (being written)"),
    }
    out
}

/// Whether `enable-debug-command` lets this client use DEBUG.
pub(super) fn debug_is_allowed(core: &Core, session: &Session) -> bool {
    let _ = (core, session);
    false
}

impl Engine {
    /// A piece of blocking work has ended: its command is answered.
    pub(super) fn effect_done(
        &mut self,
        ticket: Ticket,
        result: Result<(), String>,
        outbox: &mut Outbox,
    ) {
        let Some(to) = self.core.effects.remove(&ticket.0) else { return };
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, Version::Resp2);
        match result {
            Ok(()) => reply.ok(),
            Err(text) => reply.error(&format!("ERR {text}")),
        }
        self.complete(to, &out, outbox);
    }
}
