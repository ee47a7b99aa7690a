//! The connections of this core: their input, and why it sometimes has to wait.

use super::core::{Core, Held};
use super::dispatch::Route;
use super::event::{ConnControl, ConnId, Outbox};
use super::{close_after_output, close_now, dispatch, exec};
use crate::protocol::reply::Reply;
use crate::protocol::resp::{Decoded, Decoder, Limits, ProtocolError};
use crate::protocol::{Args, Span};
use crate::session::{Input, Session, Stall};
use crate::store::Incoming;

/// While a client leaves so many bytes unread, its commands are not executed. They are received: many
/// libraries send a pipeline, however long, before they read the first reply.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;
/// What a client may have sent ahead before it has authenticated.
const UNAUTHENTICATED_INPUT_BYTES_MAX: usize = 1024 * 1024;
/// However high `client-query-buffer-limit` is: arguments are found by 32-bit positions. What one
/// receive adds has room above.
const INPUT_BYTES_MAX: usize = u32::MAX as usize - (1 << 20);
/// A session that may not go on and has not authenticated is read from until so many bytes wait.
const UNAUTHENTICATED_STALLED_BYTES_MAX: usize = 64 * 1024;
/// So much kept input is executed at a time; then it is others' turn. Chunks of kept input that are
/// put together for one command count likewise.
const TURN_BYTES: usize = 64 * 1024;
const TURN_REFILLS_MAX: usize = 16;
/// Commands that are decoded before the first of them runs, at most.
const AHEAD_MAX: usize = 16;
/// More output than this is sent without waiting for what comes behind it.
const HELD_BYTES_MAX: usize = 16 * 1024;
/// The decoder's scratch may keep this much memory.
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
    pub fn insert(&mut self, session: Box<Session>) {
        let index = session.conn.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        let replaced = self.slots[index].replace(session);
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
    session.client.active_us = core.now.monotonic_us;
    session.client.input_bytes += bytes as u64;
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
                core.held.push_back(Held {
                    conn: session.conn,
                    since_pass: core.links.passes(),
                    since_us: core.now.monotonic_us,
                });
            }
        } else {
            list_output(session, outbox);
        }
    }
    core.memory.update(session);
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
            core.turns.push_back(session.conn);
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

/// A command that has been decoded and not run yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    start: usize,
    end: usize,
    first_span: usize,
    route: Route,
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
    let mut ahead = std::mem::take(&mut core.ahead);
    let mut spans = std::mem::take(&mut core.spans);
    let mut at = 0;
    while session.stall.is_empty() && at < bytes_max {
        let next = decode_ahead(core, session, &input[at..], &mut ahead, &mut spans);
        #[cfg(test)]
        {
            core.decoded += ahead.len();
        }
        if ahead.is_empty() {
            match run_other(core, session, next, outbox) {
                Some(consumed) => at += consumed,
                None => break,
            }
            continue;
        }
        let ran = run_ahead(core, session, &input[at..], &ahead, &spans, outbox);
        if let Some(last) = ran.checked_sub(1) {
            at += ahead[last].end;
        }
        if ran < ahead.len() {
            // What was decoded in vain will be decoded again, from another place.
            session.decoder = Decoder::default();
        }
        session.note_ran(ran as u32);
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
    ahead: &[Ahead],
    spans: &[Span],
    outbox: &mut Outbox,
) -> usize {
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
    let mut ran = 0;
    for (index, command) in ahead.iter().enumerate() {
        if dispatch::execute(core, session, command.route, args(index), outbox).is_break() {
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use bytes::BufMut;

    use super::super::event::{ClientOrigin, Event, Now};
    use super::super::shared::{Host, HostFacts, Shared};
    use super::super::{Engine, EngineSetup};
    use super::*;
    use crate::access::Peer;
    use crate::config::Config;
    use crate::session::Apart;
    use crate::txn::{Message, shard_of_key};

    const NOW: Now = Now { unix_ms: 1, monotonic_us: 1 };
    const CONN: ConnId = ConnId { index: 0, generation: 0 };
    /// Of a value that is received where it is stored, and sent from there.
    const LARGE_VALUE_BYTES: usize = 50_000;

    struct NoHost;

    impl Host for NoHost {
        fn facts(&self) -> HostFacts {
            HostFacts::default()
        }
    }

    /// Two shards, and a client at the first.
    struct Pair {
        engines: Vec<Engine>,
        messages: VecDeque<(usize, usize, Message)>,
        received: Vec<u8>,
        /// Large arguments are put where the engine has room for them.
        fetches: bool,
        fetched: usize,
    }

    impl Pair {
        fn new() -> Pair {
            let config = Arc::new(Config::default());
            let shared = Arc::new(Shared::new(2, config, Box::new(NoHost), 1, "0".repeat(40)));
            let engine = |shard| {
                let shared = Arc::clone(&shared);
                Engine::new(EngineSetup { shard, shards: 2, shared, seed: 1, stopwatch: || 0 })
            };
            let engines = vec![engine(0), engine(1)];
            let mut pair = Pair {
                engines,
                messages: VecDeque::new(),
                received: Vec::new(),
                fetches: false,
                fetched: 0,
            };
            let (addr, laddr) = ("/test:0".to_owned(), "/test:0".to_owned());
            let origin = ClientOrigin { id: 1, peer: Peer::Unix, addr, laddr, fd: 3 };
            pair.handle(0, Event::Open { conn: CONN, origin });
            pair
        }

        fn handle(&mut self, core: usize, event: Event<'_>) {
            let mut outbox = Outbox::default();
            let engine = &mut self.engines[core];
            engine.handle(NOW, event, &mut outbox);
            engine.end_pass(NOW, &mut outbox);
            engine.order(true, &mut outbox);
            let all = outbox.messages.into_iter().chain(outbox.ordered);
            self.messages.extend(all.map(|(to, message)| (core, to, message)));
            if !outbox.output.is_empty() {
                let mut bytes = Vec::new();
                engine.take_output(CONN, &mut bytes);
                self.received.extend_from_slice(&bytes);
                self.handle(core, Event::Sent { conn: CONN, bytes: bytes.len() });
            }
        }

        /// Sends a request; returns the replies and how many commands were decoded.
        fn run(&mut self, request: &str) -> (String, usize) {
            let before = self.engines[0].core.decoded;
            let mut data = request.as_bytes();
            while self.fetches
                && let Some((incoming, missing)) = self.engines[0].room(CONN)
                && !data.is_empty()
            {
                let (now, later) =
                    data.split_at(missing.min(incoming.remaining_mut()).min(data.len()));
                incoming.put_slice(now);
                self.fetched += now.len();
                self.handle(0, Event::Fetched { conn: CONN, bytes: now.len() });
                data = later;
            }
            if !data.is_empty() {
                self.handle(0, Event::Bytes { conn: CONN, data });
            }
            loop {
                if let Some((from, to, message)) = self.messages.pop_front() {
                    self.handle(to, Event::Message { from, message });
                } else if self.engines[0].has_turns() {
                    self.handle(0, Event::Tick);
                } else {
                    break;
                }
            }
            let replies = String::from_utf8(std::mem::take(&mut self.received)).expect("text");
            (replies, self.engines[0].core.decoded - before)
        }
    }

    fn command(words: &[&str]) -> String {
        let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
        format!("*{}\r\n{}", words.len(), words.collect::<String>())
    }

    fn key_on(shard: usize) -> String {
        let mut keys = (0..100).map(|n| format!("key:{n}"));
        keys.find(|key| shard_of_key(key.as_bytes(), 2) == shard).expect("a key of this shard")
    }

    /// Commands that must be waited for end what is decoded ahead.
    #[test]
    fn commands_over_several_shards_are_not_decoded_again_and_again() {
        const TIMES: usize = 500;
        let mut pair = Pair::new();
        let (here, there) = (key_on(0), key_on(1));
        let mget = command(&["MGET", &here, &there]);
        let (replies, decoded) = pair.run(&mget.repeat(TIMES));
        assert_eq!(replies, "*2\r\n$-1\r\n$-1\r\n".repeat(TIMES));
        assert!(decoded <= TIMES + AHEAD_MAX, "{decoded} of {TIMES} commands");
        let block = [
            command(&["MULTI"]),
            command(&["GET", &here]),
            command(&["GET", &there]),
            command(&["EXEC"]),
        ];
        let (replies, decoded) = pair.run(&block.concat().repeat(TIMES));
        let reply = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$-1\r\n$-1\r\n";
        assert_eq!(replies, reply.repeat(TIMES));
        assert!(decoded <= 4 * TIMES + AHEAD_MAX, "{decoded} of {}", 4 * TIMES);
        let gets = command(&["GET", &here]).repeat(3) + &mget + &command(&["GET", &there]);
        let (_, decoded) = pair.run(&gets.repeat(TIMES));
        // Every second run is one command long: that is not foreseen. Sixteen at a time are 30.
        assert!(decoded <= 15 * TIMES, "{decoded} of {}", 5 * TIMES);
    }

    /// Much that could be executed at once is executed in turns, which the driver is told of.
    #[test]
    fn kept_input_is_executed_in_turns() {
        const TIMES: usize = 20_000;
        let mut pair = Pair::new();
        let key = key_on(0);
        pair.run(&command(&["CLIENT", "PAUSE", "1000", "ALL"]));
        let set = command(&["SET", &key, "value"]);
        pair.handle(0, Event::Bytes { conn: CONN, data: set.repeat(TIMES).as_bytes() });
        assert_eq!(pair.received, b"");
        let later = Now { unix_ms: 2_000, monotonic_us: 2_000_000 };
        let mut outbox = Outbox::default();
        pair.engines[0].handle(later, Event::Tick, &mut outbox);
        let mut most = 0;
        while pair.engines[0].has_turns() {
            assert_eq!(pair.engines[0].tick_in_us(later), Some(0));
            let before = pair.engines[0].core.stats.commands.commands;
            pair.engines[0].handle(later, Event::Tick, &mut outbox);
            most = most.max(pair.engines[0].core.stats.commands.commands - before);
        }
        assert!(most as usize * set.len() <= TURN_BYTES + set.len() * AHEAD_MAX);
        let mut replies = Vec::new();
        pair.engines[0].take_output(CONN, &mut replies);
        assert_eq!(replies.len(), TIMES * "+OK\r\n".len());
    }

    /// Long arguments, two in one command and another command behind them, in pieces of many sizes.
    #[test]
    fn long_arguments_arrive_in_pieces() {
        const PIECES: [usize; 9] = [1, 97, 4_096, 16_383, 16_384, 16_385, 65_536, 100_000, 1 << 20];
        let keys = [key_on(0), key_on(1)];
        for (piece, fetches) in PIECES.iter().flat_map(|&piece| [(piece, false), (piece, true)]) {
            let long = |len: usize| -> String {
                (0..len).map(|at| char::from(b'a' + (at * 7 + at / 1000) as u8 % 26)).collect()
            };
            // A byte at a time is slow.
            let scale = if piece == 1 { 16 } else { 1 };
            let values = [long(300_001 / scale), long(65_536 / scale)];
            let mset = command(&["MSET", &keys[0], &values[0], &keys[1], &values[1]]);
            let set = command(&["SET", &keys[0], &values[1]]);
            let gets = command(&["GET", &keys[0]]) + &command(&["GET", &keys[1]]);
            let requests = mset + &gets + &set + &gets;
            let mut pair = Pair::new();
            pair.fetches = fetches;
            let mut replies = String::new();
            for start in (0..requests.len()).step_by(piece) {
                let end = requests.len().min(start + piece);
                replies += &pair.run(&requests[start..end]).0;
            }
            let bulk = |value: &str| format!("${}\r\n{value}\r\n", value.len());
            let [first, second] = values.each_ref().map(|value| bulk(value));
            let expected = format!("+OK\r\n{first}{second}+OK\r\n{second}{second}");
            assert!(replies == expected, "pieces of {piece} bytes");
            let some_fetched = fetches && scale == 1 && piece < 65_536;
            assert!(pair.fetched > 0 || !some_fetched, "pieces of {piece} bytes");
        }
    }

    /// With what comes before and behind it cut anywhere, and another command at its heels.
    #[test]
    fn a_large_value_is_stored_where_it_was_received() {
        let value = "v".repeat(LARGE_VALUE_BYTES);
        let key = key_on(0);
        let request = command(&["SET", &key, &value, "EX", "100"]) + &command(&["STRLEN", &key]);
        let head = request.find('v').expect("a value");
        let behind = head + value.len();
        // By then there is memory for all of it.
        let begun = head + 40_000;
        for cut in (begun..begun + 3).chain(behind - 2..request.len()) {
            let mut pair = Pair::new();
            pair.fetches = true;
            let (mut replies, _) = pair.run(&request[..begun]);
            let (incoming, _) = pair.engines[0].room(CONN).expect("a large value on its way");
            let received_at = incoming.bytes().as_ptr();
            replies += &pair.run(&request[begun..cut]).0;
            replies += &pair.run(&request[cut..]).0;
            assert_eq!(replies, format!("+OK\r\n:{}\r\n", value.len()), "cut at {cut}");
            let db = pair.engines[0].store().db(0);
            let entry = db.get(key.as_bytes(), NOW.unix_ms).expect("it was stored");
            let stored = entry.share_large().expect("a large value");
            assert_eq!(stored.as_slice(), value.as_bytes());
            assert_eq!(stored.as_slice().as_ptr(), received_at.wrapping_add(head), "cut at {cut}");
        }
    }

    /// What the client is sent is what there was when it asked.
    #[test]
    fn a_large_value_is_sent_from_where_it_lies() {
        let (key, value) = (key_on(0), "v".repeat(LARGE_VALUE_BYTES));
        let mut pair = Pair::new();
        pair.run(&command(&["SET", &key, &value]));
        let requests = command(&["GET", &key])
            + &command(&["SETRANGE", &key, "0", "new"])
            + &command(&["GET", &key]);
        let mut outbox = Outbox::default();
        let engine = &mut pair.engines[0];
        engine.handle(NOW, Event::Bytes { conn: CONN, data: requests.as_bytes() }, &mut outbox);
        let mut sent = Vec::new();
        let mut apart_bytes = 0;
        loop {
            let mut bytes = Vec::new();
            let (apart, more) = engine.take_output_with_apart(CONN, &mut bytes);
            if let Some(Apart { at, bytes: apart }) = apart {
                apart_bytes += apart.len();
                bytes.splice(at..at, apart);
            }
            sent.extend_from_slice(&bytes);
            if !more {
                break;
            }
        }
        let changed = format!("new{}", &value[3..]);
        let len = value.len();
        let expected = format!("${len}\r\n{value}\r\n:{len}\r\n${len}\r\n{changed}\r\n");
        assert!(sent == expected.as_bytes());
        assert_eq!(apart_bytes, 2 * len);
    }

    /// The memory of a session follows what its client has sent.
    #[test]
    fn an_announced_length_takes_little_memory() {
        let mut pair = Pair::new();
        pair.run("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n");
        let session = pair.engines[0].sessions.get_mut(CONN).expect("a client");
        assert!(session.input.memory() <= 20 * 1024, "{}", session.input.memory());
        let piece = "x".repeat(16 * 1024);
        for received in (1..).map(|pieces| pieces * piece.len()).take(512) {
            pair.run(&piece);
            let session = pair.engines[0].sessions.get_mut(CONN).expect("a client");
            let input = session.input.memory();
            assert!(session.input.len() >= received);
            // Blocks have four sizes per doubling.
            assert!(input <= (3 << 19).max(2 * received + received / 2), "{input}");
        }
    }
}
