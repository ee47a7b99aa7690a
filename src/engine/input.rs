//! What clients send: decoded and run command by command, and why that sometimes has to wait.

use super::closing::{close_after_output, close_now};
use super::event::{ConnControl, Outbox};
use super::pipeline::{Ahead, Pipeline};
use super::state::{Core, Here};
use super::{dispatch, in_turn, limits};
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::protocol::resp::{Decoded, Decoder, Limits, ProtocolError};
use crate::session::{Input, Session, Stall};
use crate::store::Incoming;

/// While a client leaves so many bytes unread, its commands are not executed. They are received: many
/// libraries send a pipeline, however long, before they read the first reply.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;
/// A session that may not go on and has not authenticated is read from until so many bytes wait.
const UNAUTHENTICATED_STALLED_BYTES_MAX: usize = 64 * 1024;
/// So much kept input is executed at a time; then it is others' turn. Chunks of kept input that are
/// put together for one command count likewise.
pub(super) const TURN_BYTES: usize = 64 * 1024;
const TURN_REFILLS_MAX: usize = 16;
/// Commands that are decoded before the first of them runs, at most.
pub(super) const AHEAD_MAX: usize = 16;
/// More output than this is sent without waiting for what comes behind it.
const HELD_BYTES_MAX: usize = 16 * 1024;

/// Bytes have come: runs the commands in them, keeps what is left.
pub(super) fn receive(core: &mut Core, session: &mut Session, data: &[u8], outbox: &mut Outbox) {
    note_received(core, session, data.len());
    if session.is_closing() {
        return;
    }
    if !session.may_run() {
        session.input.queue(data);
    } else if session.input.is_empty() {
        let used = run(core, session, data, usize::MAX, outbox);
        let left = &data[used..];
        if session.may_run() {
            session.input.extend(left, session.decoder.awaited());
        } else {
            session.input.queue(left);
        }
    } else {
        session.input.extend(data, session.decoder.awaited());
    }
    settle(core, session, outbox);
}

/// See [`super::Engine::room`].
pub(super) fn room(session: &mut Session) -> Option<(&mut Incoming, usize)> {
    let awaited = session.decoder.awaited();
    if session.may_run() { session.input.room(awaited) } else { None }
}

/// Bytes have come to where there was [`room`] for them.
pub(super) fn fetched(core: &mut Core, session: &mut Session, bytes: usize, outbox: &mut Outbox) {
    note_received(core, session, bytes);
    settle(core, session, outbox);
}

fn note_received(core: &mut Core, session: &mut Session, bytes: usize) {
    core.stats.reads += 1;
    session.client.active_us = core.site.now.monotonic_us;
    session.client.input_bytes += bytes as u64;
}

/// Decides what follows from the session's state: whether it may go on, whether it is read from,
/// whether it has output to send. Called after everything that changed it.
pub(super) fn settle(core: &mut Core, session: &mut Session, outbox: &mut Outbox) {
    if session.exec.is_some() {
        in_turn::advance(core, session, outbox);
    }
    if session.gone {
        return;
    }
    if session.stall.contains(Stall::OUTPUT) && !is_output_full(session) {
        session.stall.remove(Stall::OUTPUT);
    }
    if session.output.awaited() == 0 {
        session.stall.remove(Stall::ORDER);
    }
    if session.may_run() && !session.input.is_empty() {
        run_kept_input(core, session, outbox);
    }
    if session.is_closing() {
        session.input = Input::default();
        if session.close_when_answered && session.output.awaited() == 0 {
            session.close_when_answered = false;
            outbox.control.push((session.conn, ConnControl::CloseAfterOutput));
        }
    } else {
        check_limits(core, session, outbox);
        let pause = is_far_behind(session);
        if pause != session.reading_paused {
            session.reading_paused = pause;
            let control =
                if pause { ConnControl::PauseReading } else { ConnControl::ResumeReading };
            outbox.control.push((session.conn, control));
        }
    }
    if session.output.has_ready() && !session.listed {
        if may_hold(session) {
            if !session.held {
                session.held = true;
                core.agenda.hold_output(
                    session.conn,
                    core.links.passes(),
                    core.site.now.monotonic_us,
                );
            }
        } else {
            list_output(session, outbox);
        }
    }
    core.memory.update(session);
}

/// Lets the sessions go on that something has woken.
pub(super) fn settle_woken(here: &mut Here<'_>) {
    for conn in here.core.agenda.take_woken() {
        if let Some(session) = here.sessions.get_mut(conn) {
            settle(here.core, session, here.outbox);
        }
    }
}

/// Whether to stop receiving from a client for now. Only from one that has not authenticated: others
/// may send a whole pipeline before they read, up to `client-query-buffer-limit`, and only who is
/// read from is seen to go.
fn is_far_behind(session: &Session) -> bool {
    !session.client.authenticated
        && !session.stall.is_empty()
        && session.input.len() > UNAUTHENTICATED_STALLED_BYTES_MAX
}

/// Whether what is ready had better wait for the replies of other shards that come behind it: one
/// send costs more than everything else about a small reply. It waits for a few passes at most, or
/// two milliseconds where there are none. Before an EXEC on several shards that is what MULTI and
/// all that it queued are answered with.
fn may_hold(session: &Session) -> bool {
    session.output.awaited() > 0
        && Stall::TRANSACTION.union(Stall::ORDER).contains(session.stall)
        && session.output.ready_bytes() < HELD_BYTES_MAX
}

/// Puts the connection into the list of those with output.
pub(super) fn list_output(session: &mut Session, outbox: &mut Outbox) {
    session.listed = true;
    session.held = false;
    outbox.output.push(session.conn);
}

/// Executes one turn's worth of the input that is kept; if there is more, another turn follows.
fn run_kept_input(core: &mut Core, session: &mut Session, outbox: &mut Outbox) {
    let mut input = std::mem::take(&mut session.input);
    let (mut bytes_left, mut refills_left) = (TURN_BYTES, TURN_REFILLS_MAX);
    loop {
        session.lent = input.payload();
        let used = run(core, session, input.front(), bytes_left, outbox);
        session.lent = None;
        input.consume(used);
        bytes_left = bytes_left.saturating_sub(used);
        if !session.stall.is_empty() || input.is_empty() {
            break;
        }
        if bytes_left == 0 || refills_left == 0 {
            session.awaits_turn = true;
            core.agenda.add_turn(session.conn);
            break;
        }
        // What is left has not all of its bytes yet.
        if !input.refill(session.decoder.awaited()) {
            break;
        }
        refills_left -= 1;
    }
    session.input = input;
}

/// It is this session's turn again.
pub(super) fn go_on(core: &mut Core, session: &mut Session, outbox: &mut Outbox) {
    if session.awaits_turn {
        session.awaits_turn = false;
        settle(core, session, outbox);
    }
}

/// See [`super::Engine::has_more_to_run`].
pub(super) fn has_more_to_run(session: &Session) -> bool {
    let waits = Stall::BLOCKED | Stall::PAUSED | Stall::CLOSING;
    // Without a stall, what is left has not all of its bytes.
    !session.input.is_empty()
        && (session.awaits_turn || !session.stall.is_empty())
        && !session.stall.intersects(waits)
}

/// Runs the commands at the start of `input`, none behind its first `bytes_max`; returns how many
/// bytes they took.
///
/// Commands are decoded a few at a time, and what their keys' look-ups will read is fetched into
/// the cache for all of them before the first runs: a pipeline then waits for memory once, not
/// once per command. With 100,000 keys that halves the time of a GET. No more are decoded than
/// will probably run before one must be waited for: the others would be decoded again.
fn run(
    core: &mut Core,
    session: &mut Session,
    input: &[u8],
    bytes_max: usize,
    outbox: &mut Outbox,
) -> usize {
    let bytes_max = bytes_max.min(input.len());
    let mut pipeline = std::mem::take(&mut core.pipeline);
    let mut at = 0;
    while session.stall.is_empty() && at < bytes_max {
        let next = decode_ahead(core, session, &input[at..], &mut pipeline);
        #[cfg(test)]
        {
            core.decoded += pipeline.commands.len();
        }
        if pipeline.commands.is_empty() {
            match run_other(core, session, next, outbox) {
                Some(consumed) => at += consumed,
                None => break,
            }
            continue;
        }
        let ran = run_ahead(core, session, &input[at..], &pipeline, outbox);
        if let Some(last) = ran.checked_sub(1) {
            at += pipeline.commands[last].end;
        }
        if ran < pipeline.commands.len() {
            // What was decoded in vain will be decoded again, from another place.
            session.decoder = Decoder::default();
        }
        session.note_ran(ran as u32);
    }
    pipeline.trim();
    core.pipeline = pipeline;
    at
}

/// Decodes commands as long as they are whole and plain; what comes behind them is returned.
fn decode_ahead(
    core: &Core,
    session: &mut Session,
    input: &[u8],
    pipeline: &mut Pipeline,
) -> Result<Decoded, ProtocolError> {
    pipeline.clear();
    let Pipeline { spans, commands: ahead } = pipeline;
    let limits = Limits {
        bulk_bytes_max: core.site.settings.config.proto_max_bulk_len,
        authenticated: session.client.authenticated,
    };
    // AUTH lifts limits for what comes behind it.
    let ahead_max = match limits.authenticated {
        true => AHEAD_MAX.min(session.expected_to_run() as usize),
        false => 1,
    };
    let mut start = 0;
    loop {
        let first_span = spans.len();
        match session.decoder.decode(&input[start..], spans, limits)? {
            Decoded::Command { consumed } => {
                let end = start + consumed;
                let args = Args::new(&input[start..end], &spans[first_span..]);
                let route = dispatch::route(core, args);
                ahead.push(Ahead { start, end, first_span, route });
                start = end;
                if ahead.len() == ahead_max || start == input.len() {
                    return Ok(Decoded::Incomplete);
                }
            }
            other => return Ok(other),
        }
    }
}

/// Runs what was decoded ahead; returns how many commands ran.
fn run_ahead(
    core: &mut Core,
    session: &mut Session,
    input: &[u8],
    pipeline: &Pipeline,
    outbox: &mut Outbox,
) -> usize {
    let commands = &pipeline.commands;
    if commands.len() > 1 {
        for (index, command) in commands.iter().enumerate() {
            dispatch::prefetch(core, session, command.route, pipeline.args(index, input));
        }
    }
    let mut ran = 0;
    for (index, command) in commands.iter().enumerate() {
        let args = pipeline.args(index, input);
        if dispatch::execute(core, session, command.route, args, outbox).is_break() {
            break;
        }
        ran += 1;
        stall_if_output_is_full(session);
        if !session.stall.is_empty() {
            break;
        }
    }
    ran
}

/// Handles what is not a plain command; returns how many bytes it took, or `None` to stop here.
fn run_other(
    core: &mut Core,
    session: &mut Session,
    decoded: Result<Decoded, ProtocolError>,
    outbox: &mut Outbox,
) -> Option<usize> {
    match decoded {
        Ok(Decoded::Inline { consumed }) => {
            let args = session.decoder.take_inline();
            let args = args.as_args();
            let route = dispatch::route(core, args);
            let flow = dispatch::execute(core, session, route, args, outbox);
            stall_if_output_is_full(session);
            flow.is_continue().then_some(consumed)
        }
        Ok(Decoded::Nothing { consumed }) => Some(consumed),
        Ok(Decoded::Incomplete | Decoded::Command { .. }) => None,
        Err(error) => {
            protocol_error(session, error);
            None
        }
    }
}

fn protocol_error(session: &mut Session, error: ProtocolError) {
    let before = session.output.buffer().len();
    let encoding = session.client.encoding;
    let mut reply = Reply::new(session.output.buffer(), encoding);
    reply.error(&format!("ERR Protocol error: {error}"));
    session.output.wrote(before);
    tracing::debug!(client = session.client.id, %error, "protocol error");
    close_after_output(session);
}

/// To be called behind every command, or a client that does not read could go on asking.
#[inline]
fn stall_if_output_is_full(session: &mut Session) {
    if is_output_full(session) {
        session.stall.insert(Stall::OUTPUT);
    }
}

#[inline]
fn is_output_full(session: &Session) -> bool {
    session.output.unsent_bytes() > UNSENT_BYTES_MAX || session.output.awaits_enough()
}

/// Closes a connection whose buffers are over their limits.
fn check_limits(core: &mut Core, session: &mut Session, outbox: &mut Outbox) {
    let input_bytes = session.input.len() + session.transaction_memory();
    if input_bytes > limits::input_bytes_max(core, session) {
        tracing::warn!(
            client = session.client.id,
            addr = session.client.addr,
            bytes = input_bytes,
            "closing a client that reached the query buffer limit"
        );
        close_now(session, outbox);
    } else if limits::is_over_output(core, session) {
        tracing::warn!(
            client = session.client.id,
            addr = session.client.addr,
            bytes = session.output.unsent_bytes(),
            "closing a client that reached its output buffer limit"
        );
        close_now(session, outbox);
    }
}
