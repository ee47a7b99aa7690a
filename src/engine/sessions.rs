//! The connections of this core: their input, and why it sometimes has to wait.

use super::core::Core;
use super::event::{ConnControl, ConnId, Outbox};
use super::{close_after_output, close_now, dispatch};
use crate::protocol::Args;
use crate::protocol::resp::{Decoded, Limits, ProtocolError, Reply};
use crate::session::{Session, Stall};

/// A client that leaves so many bytes unread, those included that it is expected to be sent, is
/// not read from until it takes some.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;
/// Replies that one connection may await from other shards.
const AWAITED_MAX: usize = 4096;
/// What a client may have sent ahead before it has authenticated.
const UNAUTHENTICATED_INPUT_BYTES_MAX: usize = 1024 * 1024;
/// An empty input buffer may keep this much memory.
const KEPT_CAPACITY_MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Sessions {
    slots: Vec<Option<Box<Session>>>,
    len: usize,
}

impl Sessions {
    #[inline]
    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        let session = self.slots.get_mut(conn.index as usize)?.as_deref_mut()?;
        (session.conn == conn).then_some(session)
    }

    pub fn insert(&mut self, session: Session) {
        let index = session.conn.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.len += usize::from(self.slots[index].is_none());
        self.slots[index] = Some(Box::new(session));
    }

    pub fn remove(&mut self, conn: ConnId) {
        if self.get_mut(conn).is_some() {
            self.slots[conn.index as usize] = None;
            self.len -= 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.slots.iter().flatten().map(|session| &**session)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.slots.iter_mut().flatten().map(|session| &mut **session)
    }
}

/// Bytes have come: runs the commands in them, keeps what is left.
pub(super) fn receive(core: &mut Core, session: &mut Session, data: &[u8], outbox: &mut Outbox) {
    core.stats.reads += 1;
    session.client.active_us = core.now.monotonic_us;
    session.client.input_bytes += data.len() as u64;
    if session.is_closing() {
        return;
    }
    if session.input.is_empty() {
        let used = run(core, session, data, outbox);
        session.input.extend_from_slice(&data[used..]);
    } else {
        session.input.extend_from_slice(data);
        run_kept_input(core, session, outbox);
    }
    settle(core, session, outbox);
}

/// Decides what follows from the session's state: whether it may go on, whether it is read from,
/// whether it has output to send. Called after everything that changed it.
pub(super) fn settle(core: &mut Core, session: &mut Session, outbox: &mut Outbox) {
    if session.stall.contains(Stall::OUTPUT) && !is_output_full(session) {
        session.stall.remove(Stall::OUTPUT);
    }
    if session.stall.is_empty() && !session.input.is_empty() {
        run_kept_input(core, session, outbox);
    }
    if session.is_closing() {
        session.input = Vec::new();
        if session.close_when_answered && session.output.awaited() == 0 {
            session.close_when_answered = false;
            outbox.control.push((session.conn, ConnControl::CloseAfterOutput));
        }
    } else {
        check_limits(core, session, outbox);
        let pause = !session.stall.is_empty() && !session.input.is_empty();
        if pause != session.reading_paused {
            session.reading_paused = pause;
            let control =
                if pause { ConnControl::PauseReading } else { ConnControl::ResumeReading };
            outbox.control.push((session.conn, control));
        }
    }
    if session.output.has_ready() && !session.listed {
        session.listed = true;
        outbox.output.push(session.conn);
    }
}

fn run_kept_input(core: &mut Core, session: &mut Session, outbox: &mut Outbox) {
    let mut input = std::mem::take(&mut session.input);
    let used = run(core, session, &input, outbox);
    if used == input.len() && input.capacity() > KEPT_CAPACITY_MAX {
        return;
    }
    input.drain(..used);
    session.input = input;
}

/// Runs the commands at the start of `input`; returns how many bytes they took.
fn run(core: &mut Core, session: &mut Session, input: &[u8], outbox: &mut Outbox) -> usize {
    let mut spans = std::mem::take(&mut core.spans);
    let mut at = 0;
    while session.stall.is_empty() && at < input.len() {
        let limits = Limits {
            bulk_bytes_max: core.settings.config.proto_max_bulk_len,
            authenticated: session.client.authenticated,
        };
        match session.decoder.decode(&input[at..], &mut spans, limits) {
            Ok(Decoded::Command { consumed }) => {
                let args = Args::new(&input[at..at + consumed], &spans);
                if dispatch::execute(core, session, args, outbox).is_break() {
                    break;
                }
                at += consumed;
            }
            Ok(Decoded::Inline { consumed }) => {
                let args = session.decoder.take_inline();
                if dispatch::execute(core, session, args.as_args(), outbox).is_break() {
                    break;
                }
                at += consumed;
            }
            Ok(Decoded::Nothing { consumed }) => at += consumed,
            Ok(Decoded::Incomplete) => break,
            Err(error) => {
                protocol_error(session, error);
                break;
            }
        }
        if is_output_full(session) {
            session.stall.insert(Stall::OUTPUT);
        }
    }
    core.spans = spans;
    at
}

fn protocol_error(session: &mut Session, error: ProtocolError) {
    let before = session.output.buffer().len();
    let version = session.client.version;
    let mut reply = Reply::new(session.output.buffer(), version);
    reply.error(&format!("ERR Protocol error: {error}"));
    session.output.wrote(before);
    tracing::debug!(client = session.client.id, %error, "protocol error");
    close_after_output(session);
}

#[inline]
fn is_output_full(session: &Session) -> bool {
    session.output.expected_bytes() > UNSENT_BYTES_MAX || session.output.awaited() >= AWAITED_MAX
}

/// Closes a connection whose buffers are over their limits.
fn check_limits(core: &mut Core, session: &mut Session, outbox: &mut Outbox) {
    let input_max = if session.client.authenticated {
        core.settings.config.client_query_buffer_limit as usize
    } else {
        UNAUTHENTICATED_INPUT_BYTES_MAX
    };
    if session.input.len() > input_max {
        tracing::warn!(
            client = session.client.id,
            addr = session.client.addr,
            bytes = session.input.len(),
            "closing a client that reached the query buffer limit"
        );
        close_now(session, outbox);
    } else if core.is_over_output_limit(session) {
        tracing::warn!(
            client = session.client.id,
            addr = session.client.addr,
            bytes = session.output.unsent_bytes(),
            "closing a client that reached its output buffer limit"
        );
        close_now(session, outbox);
    }
}
