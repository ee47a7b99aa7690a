//! The decoder against a naive model: random streams, bytes flipped in them, cut into random
//! pieces. Whatever the pieces, the same commands and the same error must come out.

use libtest_mimic::Trial;
use ringwell::protocol::Args;
use ringwell::protocol::resp::{Decoded, Decoder, Limits};

use crate::support::{Rng, encode, seed, shown, test};

const STREAMS: usize = 30_000;
const BULK_BYTES_MAX: u64 = 600;

/// What a stream comes to: its commands, and the error that ended it, if one did.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    commands: Vec<Vec<Vec<u8>>>,
    error: Option<String>,
}

pub fn trials() -> Vec<Trial> {
    vec![test("decoder::agrees_with_a_naive_model", agrees_with_a_naive_model)]
}

fn agrees_with_a_naive_model() {
    let seed = seed();
    let mut rng = Rng::new(seed);
    let (mut commands, mut errors) = (0, 0);
    for n in 0..STREAMS {
        let stream = random_stream(&mut rng);
        let authenticated = !rng.one_in(4);
        let expected = Model { input: &stream, at: 0, authenticated }.run();
        commands += expected.commands.len();
        errors += usize::from(expected.error.is_some());
        for piece_max in [usize::MAX, 1, 1 + rng.below(40)] {
            let outcome = decode(&mut rng, &stream, piece_max, authenticated);
            assert!(
                outcome == expected,
                "RINGWELL_TESTS_SEED={seed}, stream {n}, pieces up to {piece_max} bytes\n\
                 stream   {}\nexpected {expected:?}\ngot      {outcome:?}",
                shown(&stream)
            );
        }
    }
    // Streams that all end early, or never, would test little.
    assert!(commands > STREAMS && errors > STREAMS / 10, "{commands} commands, {errors} errors");
}

/// As a session does it: what is incomplete stays in front of the next piece.
fn decode(rng: &mut Rng, stream: &[u8], piece_max: usize, authenticated: bool) -> Outcome {
    let limits = Limits { bulk_bytes_max: BULK_BYTES_MAX, authenticated };
    let mut decoder = Decoder::default();
    let mut spans = Vec::new();
    let mut outcome = Outcome::default();
    let (mut held, mut rest) = (Vec::new(), stream);
    while !rest.is_empty() {
        let length = if piece_max >= rest.len() { rest.len() } else { 1 + rng.below(piece_max) };
        let (piece, later) = rest.split_at(length.min(rest.len()));
        rest = later;
        held.extend_from_slice(piece);
        loop {
            spans.clear();
            let consumed = match decoder.decode(&held, &mut spans, limits) {
                Ok(Decoded::Command { consumed }) => {
                    outcome.commands.push(owned(Args::new(&held, &spans)));
                    consumed
                }
                Ok(Decoded::Inline { consumed }) => {
                    outcome.commands.push(owned(decoder.take_inline().as_args()));
                    consumed
                }
                Ok(Decoded::Nothing { consumed }) => consumed,
                Ok(Decoded::Incomplete) => break,
                Err(error) => {
                    outcome.error = Some(error.to_string());
                    return outcome;
                }
            };
            held.drain(..consumed);
        }
    }
    outcome
}

fn owned(args: Args<'_>) -> Vec<Vec<u8>> {
    args.iter().map(<[u8]>::to_vec).collect()
}

fn random_stream(rng: &mut Rng) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..1 + rng.below(6) {
        match rng.below(10) {
            0..5 => stream.extend(random_command(rng)),
            5 | 6 => stream.extend(random_inline(rng)),
            7 => {
                let piece: &[&[u8]] =
                    &[b"*0\r\n", b"*-1\r\n", b"\r\n", b"\n", b"  \r\n", b"*-7\r\n"];
                stream.extend_from_slice(rng.pick(piece));
            }
            8 if rng.one_in(3) => {
                let piece: &[&[u8]] = &[
                    b"*1\r\n$4\nPING\r\n",
                    b"*+1\r\n",
                    b"*01\r\n",
                    b"*11\r\n",
                    b"*1\r\n:1\r\n",
                    b"*1\r\n$-1\r\n",
                    b"*1\r\n$04\r\n",
                    b"*1\r\n$601\r\n",
                    b"*1048577\r\n",
                    b"*99999999999999999999\r\n",
                    b"*1\r\n\xff4\r\n",
                    b"*1\rX$1\rXaXY",
                ];
                stream.extend_from_slice(rng.pick(piece));
            }
            _ => stream.extend(random_command(rng)),
        }
    }
    if rng.one_in(3) {
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(stream.len());
            match rng.below(4) {
                0 => stream[at] ^= 1 << rng.below(8),
                1 => stream[at] = b"*$\r\n0123456789-+\0\"' "[rng.below(20)],
                2 => {
                    stream.remove(at);
                }
                _ => stream.truncate(at),
            }
            if stream.is_empty() {
                break;
            }
        }
    }
    stream
}

fn random_command(rng: &mut Rng) -> Vec<u8> {
    let count = if rng.one_in(20) { 12 + rng.below(40) } else { 1 + rng.below(6) };
    let args: Vec<Vec<u8>> = (0..count).map(|_| random_bytes(rng)).collect();
    encode(&args)
}

fn random_bytes(rng: &mut Rng) -> Vec<u8> {
    let length = if rng.one_in(10) { rng.below(BULK_BYTES_MAX as usize) } else { rng.below(14) };
    (0..length).map(|_| b"ab\r\n*$0 \0\xff\"'\\x"[rng.below(14)]).collect()
}

fn random_inline(rng: &mut Rng) -> Vec<u8> {
    let words: [&[u8]; 14] = [
        b"PING",
        b"a",
        b"\"a b\"",
        b"'x y'",
        b"\"\\x41\\n\\q\"",
        b"''",
        b"\"\"",
        b"a\"b\"",
        b"\\",
        b"'it\\'s'",
        b"\"\\xg\"",
        b"\"open",
        b"\"a\"b",
        b"\0tail",
    ];
    let mut line = Vec::new();
    for _ in 0..1 + rng.below(4) {
        // The broken words at the end come seldom.
        let from = if rng.one_in(12) { words.len() } else { words.len() - 3 };
        line.extend_from_slice(words[rng.below(from)]);
        line.extend_from_slice(rng.pick(&[&b" "[..], b"\t", b"  "]));
    }
    // A star at the front would make it another kind of request.
    line.extend_from_slice(rng.pick(&[&b"\r\n"[..], b"\n", b"\r\r\n"]));
    line
}

/// The protocol as written in Redis's documentation and seen in its answers, with no thought for
/// speed or for input that comes in pieces.
struct Model<'a> {
    input: &'a [u8],
    at: usize,
    authenticated: bool,
}

/// Why a request cannot be read.
enum Stop {
    InputEnds,
    Error(String),
}

impl Model<'_> {
    fn run(mut self) -> Outcome {
        let mut outcome = Outcome::default();
        loop {
            match self.request() {
                Ok(args) if args.is_empty() => {}
                Ok(args) => outcome.commands.push(args),
                Err(Stop::InputEnds) => return outcome,
                Err(Stop::Error(text)) => {
                    outcome.error = Some(text);
                    return outcome;
                }
            }
        }
    }

    fn request(&mut self) -> Result<Vec<Vec<u8>>, Stop> {
        let start = *self.input.get(self.at).ok_or(Stop::InputEnds)?;
        if start != b'*' {
            return self.inline();
        }
        let count = match number(&self.header()?[1..]) {
            Some(count) if count <= 1024 * 1024 => count,
            _ => return error("invalid multibulk length"),
        };
        if count > 10 && !self.authenticated {
            return error("unauthenticated multibulk length");
        }
        (0..count.max(0)).map(|_| self.bulk()).collect()
    }

    fn bulk(&mut self) -> Result<Vec<u8>, Stop> {
        let header = self.header()?;
        let first = *header.first().unwrap_or(&b'\r');
        if first != b'$' {
            let shown = if matches!(first, b'\r' | b'\n') { ' ' } else { char::from(first) };
            return error(&format!("expected '$', got '{shown}'"));
        }
        let length = match number(&header[1..]) {
            Some(length) if (0..=BULK_BYTES_MAX as i64).contains(&length) => length as usize,
            _ => return error("invalid bulk length"),
        };
        let text = self.input.get(self.at..self.at + length).ok_or(Stop::InputEnds)?;
        self.at += length + 2;
        if self.at > self.input.len() {
            return Err(Stop::InputEnds);
        }
        Ok(text.to_vec())
    }

    /// The line up to a carriage return; that and the byte behind it are passed over.
    fn header(&mut self) -> Result<Vec<u8>, Stop> {
        let rest = &self.input[self.at..];
        let end = rest.iter().position(|b| *b == b'\r').ok_or(Stop::InputEnds)?;
        if end + 1 >= rest.len() {
            return Err(Stop::InputEnds);
        }
        self.at += end + 2;
        Ok(rest[..end].to_vec())
    }

    fn inline(&mut self) -> Result<Vec<Vec<u8>>, Stop> {
        let rest = &self.input[self.at..];
        let end = rest.iter().position(|b| *b == b'\n').ok_or(Stop::InputEnds)?;
        self.at += end + 1;
        let line = rest[..end].split(|b| *b == 0).next().unwrap_or_default();
        words(line).ok_or(Stop::Error("unbalanced quotes in request".into()))
    }
}

fn error<T>(text: &str) -> Result<T, Stop> {
    Err(Stop::Error(text.to_string()))
}

fn number(text: &[u8]) -> Option<i64> {
    let number: i64 = str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

/// Words between blanks; `None` when a quote stays open or is closed inside a word.
fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let blank = |b: &u8| b.is_ascii_whitespace() || *b == 0x0b;
    let mut words = Vec::new();
    let mut bytes = line.iter().copied().peekable();
    loop {
        while bytes.next_if(blank).is_some() {}
        if bytes.peek().is_none() {
            return Some(words);
        }
        let mut word = Vec::new();
        while let Some(b) = bytes.next_if(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            if b != b'"' && b != b'\'' {
                word.push(b);
                continue;
            }
            loop {
                match bytes.next()? {
                    quote if quote == b => break,
                    b'\\' if b == b'\'' => match bytes.next_if_eq(&b'\'') {
                        Some(quote) => word.push(quote),
                        None => word.push(b'\\'),
                    },
                    b'\\' => {
                        let hex: Vec<u8> = bytes.clone().take(3).collect();
                        match hex[..] {
                            [b'x', high, low]
                                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
                            {
                                bytes.nth(2);
                                let digits = String::from_utf8(vec![high, low]).ok()?;
                                word.push(u8::from_str_radix(&digits, 16).ok()?);
                            }
                            _ => word.push(match bytes.next()? {
                                b'n' => b'\n',
                                b'r' => b'\r',
                                b't' => b'\t',
                                b'b' => 8,
                                b'a' => 7,
                                other => other,
                            }),
                        }
                    }
                    other => word.push(other),
                }
            }
            if bytes.peek().is_some_and(|b| !blank(b)) {
                return None;
            }
            break;
        }
        words.push(word);
    }
}
