//! The connections of this core: their input, and why it sometimes has to wait.

use super::core::{Core, Held};
use super::dispatch::Route;
use super::event::{ConnControl, ConnId, Outbox};
use super::{close_after_output, close_now, dispatch, exec};
use crate::protocol::reply::Reply;
use crate::protocol::resp::{Decoded, Decoder, Limits, ProtocolError};
use crate::protocol::{Args, Span};
use crate::session::{Session, Stall};

/// A client that leaves so many bytes unread is not read from until it takes some.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;
/// What a client may have sent ahead before it has authenticated.
const UNAUTHENTICATED_INPUT_BYTES_MAX: usize = 1024 * 1024;
/// However high `client-query-buffer-limit` is: arguments are found by 32-bit positions. What one
/// receive adds has room above.
const INPUT_BYTES_MAX: usize = u32::MAX as usize - (1 << 20);
/// A session that may not go on is read from until so many bytes wait: to stop reading and to begin
/// again costs more than most commands do.
const STALLED_INPUT_BYTES_MAX: usize = 64 * 1024;
/// As much of a client that waits for data, perhaps for long: only who is read from is seen to go.
const BLOCKED_INPUT_BYTES_MAX: usize = 1024 * 1024;
/// Commands that are decoded before the first of them runs.
const AHEAD_MAX: usize = 16;
/// More output than this is sent without waiting for what comes behind it.
const HELD_BYTES_MAX: usize = 16 * 1024;
/// An empty input buffer may keep this much memory.
const KEPT_CAPACITY_MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Sessions {
    slots: Vec<Option<Box<Session>>>,
    len: usize,
    /// Those whose connection is gone and whose EXEC is still under way.
    #[expect(clippy::vec_box, reason = "they move from their slots")]
    detached: Vec<Box<Session>>,
}

impl Sessions {
    #[inline]
    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        if !self.detached.is_empty()
            && let Some(at) = self.detached.iter().position(|session| session.conn == conn)
        {
            return Some(&mut self.detached[at]);
        }
        let session = self.slots.get_mut(conn.index as usize)?.as_deref_mut()?;
        (session.conn == conn).then_some(session)
    }

    /// The connection that has the place which `conn` is to have.
    pub fn in_place_of(&self, conn: ConnId) -> Option<ConnId> {
        let session = self.slots.get(conn.index as usize)?.as_deref()?;
        Some(session.conn)
    }

    /// Its place must be free.
    pub fn insert(&mut self, session: Session) {
        let index = session.conn.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        let replaced = self.slots[index].replace(Box::new(session));
        debug_assert!(replaced.is_none());
        self.len += usize::from(replaced.is_none());
    }

    pub fn remove(&mut self, conn: ConnId) -> Option<Box<Session>> {
        if self.in_place_of(conn) != Some(conn) {
            return None;
        }
        self.len -= 1;
        self.slots[conn.index as usize].take()
    }

    /// Keeps a session without its connection, until [`Sessions::forget`].
    pub fn detach(&mut self, conn: ConnId) {
        if self.in_place_of(conn) == Some(conn)
            && let Some(session) = self.slots[conn.index as usize].take()
        {
            self.len -= 1;
            self.detached.push(session);
        }
    }

    /// Forgets a detached session.
    pub fn forget(&mut self, conn: ConnId) -> Option<Box<Session>> {
        let at = self.detached.iter().position(|session| session.conn == conn)?;
        Some(self.detached.swap_remove(at))
    }

    pub fn detached(&self) -> usize {
        self.detached.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all sessions, by walking over them.
    pub fn memory(&self) -> usize {
        self.iter().chain(self.detached.iter().map(|session| &**session)).map(Session::memory).sum()
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
    if session.exec.is_some() {
        exec::advance(core, session, outbox);
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
        let input_max = match session.is_blocked() {
            true => BLOCKED_INPUT_BYTES_MAX,
            false => STALLED_INPUT_BYTES_MAX,
        };
        let pause = !session.stall.is_empty() && session.input.len() > input_max;
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
                core.held.push_back(Held {
                    conn: session.conn,
                    since_pass: core.peers.passes,
                    since_us: core.now.monotonic_us,
                });
            }
        } else {
            list_output(session, outbox);
        }
    }
    core.memory.update(session);
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

fn run_kept_input(core: &mut Core, session: &mut Session, outbox: &mut Outbox) {
    let mut input = std::mem::take(&mut session.input);
    let used = run(core, session, &input, outbox);
    if used == input.len() && input.capacity() > KEPT_CAPACITY_MAX {
        return;
    }
    input.drain(..used);
    if used > 0 && input.capacity() > KEPT_CAPACITY_MAX {
        // What made the buffer so large has just run.
        input.shrink_to(KEPT_CAPACITY_MAX);
    }
    session.input = input;
}

/// A command that has been decoded and not run yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    start: usize,
    end: usize,
    first_span: usize,
    route: Route,
}

/// Runs the commands at the start of `input`; returns how many bytes they took.
///
/// Commands are decoded a few at a time, and what their keys' look-ups will read is fetched into
/// the cache for all of them before the first runs: a pipeline then waits for memory once, not
/// once per command. With 100,000 keys that halves the time of a GET.
fn run(core: &mut Core, session: &mut Session, input: &[u8], outbox: &mut Outbox) -> usize {
    let mut ahead = std::mem::take(&mut core.ahead);
    let mut spans = std::mem::take(&mut core.spans);
    let mut at = 0;
    while session.stall.is_empty() && at < input.len() {
        let next = decode_ahead(core, session, &input[at..], &mut ahead, &mut spans);
        if ahead.is_empty() {
            match run_other(core, session, next, outbox) {
                Some(consumed) => at += consumed,
                None => break,
            }
            continue;
        }
        let ran = run_ahead(core, session, &input[at..], &ahead, &spans, outbox);
        at += ran.map_or(0, |last| ahead[last].end);
        if ran.is_none_or(|last| last + 1 < ahead.len()) {
            // What was decoded in vain will be decoded again, from another place.
            session.decoder = Decoder::default();
        }
    }
    core.ahead = ahead;
    if spans.capacity() * size_of::<Span>() <= KEPT_CAPACITY_MAX {
        core.spans = spans;
    }
    at
}

/// Decodes commands as long as they are whole and plain; what comes behind them is returned.
fn decode_ahead(
    core: &Core,
    session: &mut Session,
    input: &[u8],
    ahead: &mut Vec<Ahead>,
    spans: &mut Vec<Span>,
) -> Result<Decoded, ProtocolError> {
    ahead.clear();
    spans.clear();
    let limits = Limits {
        bulk_bytes_max: core.settings.config.proto_max_bulk_len,
        authenticated: session.client.authenticated,
    };
    // AUTH lifts limits for what comes behind it.
    let ahead_max = if limits.authenticated { AHEAD_MAX } else { 1 };
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

/// Runs what was decoded ahead; returns the index of the last command that ran.
fn run_ahead(
    core: &mut Core,
    session: &mut Session,
    input: &[u8],
    ahead: &[Ahead],
    spans: &[Span],
    outbox: &mut Outbox,
) -> Option<usize> {
    let args = |index: usize| {
        let Ahead { start, end, first_span, .. } = ahead[index];
        let end_span = ahead.get(index + 1).map_or(spans.len(), |next| next.first_span);
        Args::new(&input[start..end], &spans[first_span..end_span])
    };
    if ahead.len() > 1 {
        for (index, command) in ahead.iter().enumerate() {
            dispatch::prefetch(core, session, command.route, args(index));
        }
    }
    let mut last = None;
    for (index, command) in ahead.iter().enumerate() {
        if dispatch::execute(core, session, command.route, args(index), outbox).is_break() {
            break;
        }
        last = Some(index);
        stall_if_output_is_full(session);
        if !session.stall.is_empty() {
            break;
        }
    }
    last
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

/// What a client may have the server hold before it is worked on, bytes.
pub(super) fn input_bytes_max(core: &Core, session: &Session) -> usize {
    if session.client.authenticated {
        (core.settings.config.client_query_buffer_limit as usize).min(INPUT_BYTES_MAX)
    } else {
        UNAUTHENTICATED_INPUT_BYTES_MAX
    }
}

/// Closes a connection whose buffers are over their limits.
fn check_limits(core: &mut Core, session: &mut Session, outbox: &mut Outbox) {
    let input_bytes = session.input.len() + session.transaction_memory();
    if input_bytes > input_bytes_max(core, session) {
        tracing::warn!(
            client = session.client.id,
            addr = session.client.addr,
            bytes = input_bytes,
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
