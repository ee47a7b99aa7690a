//! How input is decoded and executed.

use std::collections::VecDeque;

use bytes::BufMut;

use super::super::Engine;
use super::super::event::{ConnId, Event, Now, Outbox};
use super::super::input::{AHEAD_MAX, TURN_BYTES};
use super::{engines, key_on, origin};
use crate::config::Config;
use crate::session::Apart;
use crate::txn::Message;

const NOW: Now = Now { unix_ms: 1, monotonic_us: 1 };
const CONN: ConnId = ConnId { index: 0, generation: 0 };
/// Of a value that is received where it is stored, and sent from there.
const LARGE_VALUE_BYTES: usize = 50_000;

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
        let engines = engines(2, Config::default());
        let mut pair = Pair {
            engines,
            messages: VecDeque::new(),
            received: Vec::new(),
            fetches: false,
            fetched: 0,
        };
        pair.handle(0, Event::Open { conn: CONN, origin: origin(1) });
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
            let (now, later) = data.split_at(missing.min(incoming.remaining_mut()).min(data.len()));
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
