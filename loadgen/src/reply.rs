//! RESP2 and RESP3 replies, sans-io: where each reply ends and what kind it is, without building
//! trees.
//!
//! A [`Decoder`] is fed what a connection received, in whatever pieces it came, and yields one
//! [`Reply`] after the other. Nested replies cost a counter of the elements still to come, not a
//! stack, so their depth is not limited and takes no memory. What is kept between pieces is bounded:
//! a header line ([`LINE_MAX`]) and as much of a value as was asked for.

/// The longest line: a length, a number, a simple string, an error.
pub const LINE_MAX: usize = 64 * 1024;
/// The longest string that is believed to be one: eight times Redis's default `proto-max-bulk-len`.
pub const STRING_MAX: u64 = 4 << 30;
/// The most elements of one aggregate that are believed.
pub const ELEMENTS_MAX: u64 = 1 << 32;
/// Of an error that is not a line (RESP3's `!`), this much is kept.
const ERROR_MAX: usize = 512;

/// What a reply is, by its outermost element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    Error,
    /// A string, a number, a boolean.
    Scalar,
    /// An array, a set, a map.
    Aggregate,
    /// Not the answer to a request: RESP3's out-of-band data.
    Push,
}

/// One whole reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    pub kind: Kind,
    /// Innermost elements, and how many of them are null; both are 1 for [`Kind::Null`].
    pub leaves: u64,
    pub nulls: u64,
    /// The text of an error or of a scalar that is a line; of a scalar with a length, as many of
    /// its bytes as the decoder keeps. Empty for everything else.
    pub text: &'a [u8],
    /// The length of the scalar, kept or not.
    pub length: u64,
}

impl<'a> Reply<'a> {
    fn of(kind: Kind, text: &'a [u8], length: u64) -> Reply<'a> {
        Reply { kind, leaves: 1, nulls: 0, text, length }
    }

    /// Whether nothing was found: null, or an aggregate of nulls only (MGET of absent keys).
    pub fn is_miss(&self) -> bool {
        self.leaves > 0 && self.nulls == self.leaves
    }
}

/// The bytes are not RESP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Elements still to come of the reply under way; 0 between replies.
    left: u64,
    /// The outermost element, once seen.
    top: Option<Kind>,
    /// Inside attributes in front of the outermost element, which say nothing about it.
    skipping: bool,
    leaves: u64,
    nulls: u64,
    length: u64,
    /// How many bytes of a scalar with a length are kept.
    keep: usize,
    /// What is kept of a line or of a value that came in several pieces.
    kept: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// In front of an element, or in its first line, whose beginning is in `kept`.
    Line,
    /// In a string: so many bytes to come, its line end included.
    Body { left: u64, is_error: bool },
}

/// The first line of an element.
#[derive(Clone, Copy, Debug)]
enum Header {
    Leaf(Kind),
    Body { length: u64, is_error: bool },
    Aggregate { elements: u64, kind: Kind },
    Attributes { elements: u64 },
}

impl Decoder {
    /// A decoder that keeps up to `keep` bytes of scalars with a length.
    pub fn new(keep: usize) -> Decoder {
        Decoder {
            state: State::Line,
            left: 0,
            top: None,
            skipping: false,
            leaves: 0,
            nulls: 0,
            length: 0,
            keep,
            kept: Vec::new(),
        }
    }

    /// Decodes until one reply is whole or `input` has been used up; says how much of it was used.
    ///
    /// # Errors
    /// Bytes that are not RESP. The decoder is of no use afterwards.
    #[inline]
    pub fn decode<'a>(
        &'a mut self,
        input: &'a [u8],
    ) -> Result<(usize, Option<Reply<'a>>), Malformed> {
        if self.left == 0 {
            if let Some((used, reply)) = plain(input, self.keep) {
                return Ok((used, Some(reply)));
            }
            self.begin();
        }
        self.decode_on(input)
    }

    /// [`Decoder::decode`] of what is not plain and whole.
    fn decode_on<'a>(
        &'a mut self,
        input: &'a [u8],
    ) -> Result<(usize, Option<Reply<'a>>), Malformed> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            let (used, whole) = match self.state {
                State::Line => self.line(rest)?,
                State::Body { left, is_error } => self.body(rest, left, is_error)?,
            };
            at += used;
            match whole {
                Progress::Starved => return Ok((at, None)),
                Progress::Further => {}
                Progress::Leaf { kind, text } => {
                    if self.leaf(kind) {
                        let text = match text {
                            Text::None => &[][..],
                            Text::Kept => &self.kept[..],
                            Text::Input { start, end } => &rest[start..end],
                        };
                        return Ok((at, Some(self.reply(text))));
                    }
                    self.kept.clear();
                }
                Progress::Empty => {
                    if self.element_over() {
                        return Ok((at, Some(self.reply(&[]))));
                    }
                }
            }
        }
    }

    fn begin(&mut self) {
        self.left = 1;
        self.top = None;
        self.skipping = false;
        self.leaves = 0;
        self.nulls = 0;
        self.length = 0;
        self.kept.clear();
    }

    fn reply<'a>(&self, text: &'a [u8]) -> Reply<'a> {
        let kind = self.top.unwrap_or(Kind::Aggregate);
        let scalar = !matches!(kind, Kind::Aggregate | Kind::Push);
        Reply {
            kind,
            leaves: self.leaves,
            nulls: self.nulls,
            text: if scalar { text } else { &[] },
            length: if scalar { self.length } else { 0 },
        }
    }

    /// Reads a header line, and with it everything that needs no second look.
    #[inline]
    fn line(&mut self, input: &[u8]) -> Result<(usize, Progress), Malformed> {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            if self.kept.len() + input.len() > LINE_MAX {
                return Err(too_long(if self.kept.is_empty() { input } else { &self.kept }));
            }
            self.kept.extend_from_slice(input);
            return Ok((input.len(), Progress::Starved));
        };
        let in_one_piece = self.kept.is_empty();
        if !in_one_piece {
            self.kept.extend_from_slice(&input[..=end]);
        }
        let line = if in_one_piece { &input[..=end] } else { &self.kept[..] };
        if line.len() > LINE_MAX {
            return Err(too_long(line));
        }
        let header = Header::parse(line)?;
        let text_length = line.len().saturating_sub(3);
        let used = end + 1;
        match header {
            Header::Leaf(kind) => {
                self.length = text_length as u64;
                let text = match kind {
                    Kind::Null => Text::None,
                    _ if in_one_piece => Text::Input { start: 1, end: 1 + text_length },
                    _ => {
                        self.kept.truncate(1 + text_length);
                        self.kept.drain(..1);
                        Text::Kept
                    }
                };
                return Ok((used, Progress::Leaf { kind, text }));
            }
            Header::Body { length, is_error } => {
                self.length = length;
                self.state = State::Body { left: length + 2, is_error };
            }
            Header::Aggregate { elements, kind } => {
                let kind = if self.left > 1 || self.top.is_some() { Kind::Aggregate } else { kind };
                if !self.skipping {
                    self.top.get_or_insert(kind);
                }
                self.add(elements)?;
                self.kept.clear();
                return Ok((used, Progress::Empty));
            }
            Header::Attributes { elements } => {
                self.skipping |= self.top.is_none() && elements > 0;
                self.add(elements)?;
            }
        }
        self.kept.clear();
        Ok((used, Progress::Further))
    }

    /// Reads on in a string of which `left` bytes, line end included, are to come.
    #[inline]
    fn body(
        &mut self,
        input: &[u8],
        left: u64,
        is_error: bool,
    ) -> Result<(usize, Progress), Malformed> {
        if input.is_empty() {
            return Ok((0, Progress::Starved));
        }
        let keep = if is_error { ERROR_MAX } else { self.keep };
        let keep = self.length.min(keep as u64) as usize;
        let used = left.min(input.len() as u64) as usize;
        let whole = left == used as u64;
        // Where in the line end does this piece stop?
        let line_end = &b"\r\n"[2 - left.min(2) as usize..];
        let of_line_end =
            if left > 2 { (used as u64).saturating_sub(left - 2) } else { used as u64 };
        let of_line_end = of_line_end as usize;
        if input[used - of_line_end..used] != line_end[..of_line_end] {
            return Err(Malformed("a string is longer than its length says".into()));
        }
        let kind = if is_error { Kind::Error } else { Kind::Scalar };
        let in_one_piece = whole && left == self.length + 2;
        if in_one_piece {
            self.state = State::Line;
            return Ok((used, Progress::Leaf { kind, text: Text::Input { start: 0, end: keep } }));
        }
        let room = keep.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&input[..room.min(used - of_line_end)]);
        if whole {
            self.state = State::Line;
            return Ok((used, Progress::Leaf { kind, text: Text::Kept }));
        }
        self.state = State::Body { left: left - used as u64, is_error };
        Ok((used, Progress::Starved))
    }

    /// Counts a leaf; true if the reply is whole with it.
    #[inline]
    fn leaf(&mut self, kind: Kind) -> bool {
        if !self.skipping {
            self.top.get_or_insert(kind);
            self.leaves += 1;
            self.nulls += u64::from(kind == Kind::Null);
        }
        self.element_over()
    }

    #[inline]
    fn element_over(&mut self) -> bool {
        self.left -= 1;
        if self.skipping && self.left == 1 {
            self.skipping = false;
        }
        self.left == 0
    }

    fn add(&mut self, elements: u64) -> Result<(), Malformed> {
        let left = self.left.checked_add(elements);
        self.left = left.ok_or_else(|| Malformed("a reply with endless elements".into()))?;
        Ok(())
    }
}

/// Almost every reply: one string, line or number, whole in the input. Anything else, well-formed or
/// not, is for the decoder proper.
#[inline]
fn plain(input: &[u8], keep: usize) -> Option<(usize, Reply<'_>)> {
    let (kind, rest) = input.split_first()?;
    match kind {
        b'$' => {
            let mut length = 0;
            let mut digits = 0;
            // Nine digits do not overflow.
            while let Some(digit) = rest.get(digits).map(|byte| byte.wrapping_sub(b'0'))
                && digit < 10
                && digits < 9
            {
                length = length * 10 + usize::from(digit);
                digits += 1;
            }
            let body = rest.get(digits..digits + 2 + length + 2)?;
            if digits == 0 || body[..2] != *b"\r\n" || body[2 + length..] != *b"\r\n" {
                return None;
            }
            let text = &body[2..2 + length.min(keep)];
            Some((1 + digits + body.len(), Reply::of(Kind::Scalar, text, length as u64)))
        }
        b'+' | b':' => {
            /// Further than OK and most numbers it is not worth looking.
            const NEAR: usize = 24;
            let near = &rest[..rest.len().min(NEAR)];
            let end = near.iter().position(|byte| *byte == b'\n')?;
            let text = near[..end].strip_suffix(b"\r")?;
            Some((end + 2, Reply::of(Kind::Scalar, text, text.len() as u64)))
        }
        _ => None,
    }
}

/// How far a step of the decoder got.
enum Progress {
    /// The input is used up.
    Starved,
    Further,
    Leaf {
        kind: Kind,
        text: Text,
    },
    /// The head of an aggregate, itself an element.
    Empty,
}

enum Text {
    None,
    Kept,
    Input { start: usize, end: usize },
}

impl Header {
    /// Parses a line that ends with a line feed.
    fn parse(line: &[u8]) -> Result<Header, Malformed> {
        let [kind, text @ .., b'\r', b'\n'] = line else {
            return Err(Malformed(format!("a line without its end: {}", excerpt(line))));
        };
        let unknown = || Malformed(format!("not a reply: {}", excerpt(line)));
        Ok(match kind {
            b'+' | b':' | b',' | b'#' | b'(' => Header::Leaf(Kind::Scalar),
            b'-' => Header::Leaf(Kind::Error),
            b'_' => Header::Leaf(Kind::Null),
            b'$' | b'*' if text == b"-1" => Header::Leaf(Kind::Null),
            b'$' | b'=' | b'!' => {
                let length = count(text, STRING_MAX).ok_or_else(unknown)?;
                Header::Body { length, is_error: *kind == b'!' }
            }
            b'*' | b'~' | b'>' => {
                let elements = count(text, ELEMENTS_MAX).ok_or_else(unknown)?;
                let kind = if *kind == b'>' { Kind::Push } else { Kind::Aggregate };
                Header::Aggregate { elements, kind }
            }
            b'%' | b'|' => {
                let elements = 2 * count(text, ELEMENTS_MAX).ok_or_else(unknown)?;
                match kind {
                    b'%' => Header::Aggregate { elements, kind: Kind::Aggregate },
                    _ => Header::Attributes { elements },
                }
            }
            _ => return Err(unknown()),
        })
    }
}

/// A decimal number up to `max`.
#[inline]
fn count(digits: &[u8], max: u64) -> Option<u64> {
    if digits.is_empty() || digits.len() > 12 {
        return None;
    }
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(digit - b'0');
    }
    (number <= max).then_some(number)
}

fn too_long(line: &[u8]) -> Malformed {
    Malformed(format!("a line of more than {LINE_MAX} bytes: {}", excerpt(line)))
}

/// The beginning of `bytes`, printable, for messages.
pub fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 60;
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let text = shown.trim_ascii_end().escape_ascii().to_string();
    let more = if bytes.len() > SHOWN { "..." } else { "" };
    format!("\"{text}{more}\"")
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// What a server may say, as a tree.
    #[derive(Clone, Debug)]
    enum Tree {
        Null(&'static str),
        Line(u8, Vec<u8>),
        Body(u8, Vec<u8>),
        Many(u8, Vec<Tree>),
        Attributed(Vec<Tree>, Box<Tree>),
    }

    impl Tree {
        fn random(rng: &mut SmallRng, depth: usize) -> Tree {
            let text: Vec<u8> = {
                let length = [0, 1, 2, 3, 10, 200][rng.random_range(0..6)];
                (0..length).map(|_| rng.random_range(b' '..b'~')).collect()
            };
            match rng.random_range(0..if depth == 0 { 8 } else { 14 }) {
                0 => Tree::Null(["$-1\r\n", "*-1\r\n", "_\r\n"][rng.random_range(0..3)]),
                1..4 => Tree::Line(b"+-:,#("[rng.random_range(0..6)], text),
                4..8 => {
                    let binary = text.iter().map(|byte| if byte % 9 == 0 { b'\n' } else { *byte });
                    Tree::Body(b"$$$=!"[rng.random_range(0..5)], binary.collect())
                }
                8..13 => {
                    let kind = b"*~%>"[rng.random_range(0..4)];
                    let count = rng.random_range(0..4) * if kind == b'%' { 2 } else { 1 };
                    Tree::Many(kind, (0..count).map(|_| Tree::random(rng, depth - 1)).collect())
                }
                _ => {
                    let count = 2 * rng.random_range(0..3);
                    let attributes = (0..count).map(|_| Tree::random(rng, depth - 1)).collect();
                    Tree::Attributed(attributes, Box::new(Tree::random(rng, depth - 1)))
                }
            }
        }

        fn encode(&self, out: &mut Vec<u8>) {
            match self {
                Tree::Null(text) => out.extend_from_slice(text.as_bytes()),
                Tree::Line(kind, text) => {
                    out.push(*kind);
                    out.extend_from_slice(text);
                    out.extend_from_slice(b"\r\n");
                }
                Tree::Body(kind, text) => {
                    out.push(*kind);
                    out.extend_from_slice(format!("{}\r\n", text.len()).as_bytes());
                    out.extend_from_slice(text);
                    out.extend_from_slice(b"\r\n");
                }
                Tree::Many(kind, trees) => {
                    let count = trees.len() / if *kind == b'%' { 2 } else { 1 };
                    out.push(*kind);
                    out.extend_from_slice(format!("{count}\r\n").as_bytes());
                    trees.iter().for_each(|tree| tree.encode(out));
                }
                Tree::Attributed(attributes, tree) => {
                    out.extend_from_slice(format!("|{}\r\n", attributes.len() / 2).as_bytes());
                    attributes.iter().for_each(|tree| tree.encode(out));
                    tree.encode(out);
                }
            }
        }

        fn leaves_and_nulls(&self) -> (u64, u64) {
            match self {
                Tree::Null(_) => (1, 1),
                Tree::Line(..) | Tree::Body(..) => (1, 0),
                Tree::Many(_, trees) => trees.iter().fold((0, 0), |(leaves, nulls), tree| {
                    let (more_leaves, more_nulls) = tree.leaves_and_nulls();
                    (leaves + more_leaves, nulls + more_nulls)
                }),
                // Attributes inside an aggregate count: only in front of a reply they do not.
                Tree::Attributed(attributes, tree) => {
                    let (leaves, nulls) = Tree::Many(b'*', attributes.clone()).leaves_and_nulls();
                    let (more_leaves, more_nulls) = tree.leaves_and_nulls();
                    (leaves + more_leaves, nulls + more_nulls)
                }
            }
        }

        fn summary(&self, keep: usize) -> Summary {
            let (leaves, nulls) = self.leaves_and_nulls();
            let (kind, text, length) = match self {
                Tree::Null(_) => (Kind::Null, &[][..], None),
                Tree::Line(b'-', text) => (Kind::Error, &text[..], Some(text.len())),
                Tree::Line(_, text) => (Kind::Scalar, &text[..], Some(text.len())),
                Tree::Body(b'!', text) => (Kind::Error, &text[..], Some(text.len())),
                Tree::Body(_, text) => {
                    (Kind::Scalar, &text[..text.len().min(keep)], Some(text.len()))
                }
                Tree::Many(b'>', _) => (Kind::Push, &[][..], Some(0)),
                Tree::Many(..) => (Kind::Aggregate, &[][..], Some(0)),
                Tree::Attributed(_, tree) => return tree.summary(keep),
            };
            Summary { kind, leaves, nulls, text: text.to_vec(), length }
        }
    }

    #[derive(Debug, PartialEq)]
    struct Summary {
        kind: Kind,
        leaves: u64,
        nulls: u64,
        text: Vec<u8>,
        length: Option<usize>,
    }

    fn summarize(reply: &Reply<'_>) -> Summary {
        Summary {
            kind: reply.kind,
            leaves: reply.leaves,
            nulls: reply.nulls,
            text: reply.text.to_vec(),
            length: (reply.kind != Kind::Null).then_some(reply.length as usize),
        }
    }

    fn feed(decoder: &mut Decoder, mut input: &[u8], out: &mut Vec<Summary>) {
        loop {
            let (used, reply) = decoder.decode(input).unwrap();
            let Some(reply) = reply else {
                assert_eq!(used, input.len());
                return;
            };
            out.push(summarize(&reply));
            input = &input[used..];
        }
    }

    #[test]
    fn every_cut_and_random_chunks_agree_with_the_tree() {
        let mut rng = SmallRng::seed_from_u64(7);
        for keep in [0, 5, 1000] {
            for _ in 0..300 {
                let trees: Vec<_> = (0..3).map(|_| Tree::random(&mut rng, 3)).collect();
                let mut bytes = Vec::new();
                trees.iter().for_each(|tree| tree.encode(&mut bytes));
                let expected: Vec<_> = trees.iter().map(|tree| tree.summary(keep)).collect();
                for cut in 0..=bytes.len() {
                    let (mut decoder, mut out) = (Decoder::new(keep), Vec::new());
                    feed(&mut decoder, &bytes[..cut], &mut out);
                    feed(&mut decoder, &bytes[cut..], &mut out);
                    assert_eq!(out, expected, "cut at {cut} of {}", bytes.escape_ascii());
                }
                let (mut decoder, mut out, mut rest) = (Decoder::new(keep), Vec::new(), &bytes[..]);
                while !rest.is_empty() {
                    let (chunk, more) = rest.split_at(rng.random_range(0..=rest.len().min(9)));
                    feed(&mut decoder, chunk, &mut out);
                    rest = more;
                }
                assert_eq!(out, expected, "{}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn misses_are_nulls_and_aggregates_of_nulls() {
        let cases: [(&[u8], bool); 7] = [
            (b"$-1\r\n", true),
            (b"_\r\n", true),
            (b"*2\r\n$-1\r\n_\r\n", true),
            (b"*2\r\n$-1\r\n$0\r\n\r\n", false),
            (b"*0\r\n", false),
            (b"$0\r\n\r\n", false),
            (b"-ERR no\r\n", false),
        ];
        for (bytes, miss) in cases {
            let mut decoder = Decoder::new(0);
            let (used, reply) = decoder.decode(bytes).unwrap();
            assert_eq!((used, reply.unwrap().is_miss()), (bytes.len(), miss));
        }
    }

    #[test]
    fn what_is_not_resp_is_refused() {
        let cases: [&[u8]; 9] = [
            b"HTTP/1.1 400 Bad Request\r\n",
            b"+OK\n",
            b"\n",
            b"$3\r\nabcd\r\n",
            b"$3\r\nabc\rx",
            b"$?\r\n",
            b"$-2\r\n",
            b"*99999999999\r\n",
            b"$99999999999\r\n",
        ];
        for bytes in cases {
            for cut in 0..bytes.len() {
                let mut decoder = Decoder::new(0);
                let first = decoder.decode(&bytes[..cut]).map(|_| ());
                let refused = first.is_err() || decoder.decode(&bytes[cut..]).is_err();
                assert!(refused, "{}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn lines_and_nesting_are_bounded() {
        let mut decoder = Decoder::new(0);
        let endless = [b'x'; 1000];
        decoder.decode(b"+").unwrap();
        let refused = (0..100).any(|_| decoder.decode(&endless).is_err());
        assert!(refused && decoder.kept.len() <= LINE_MAX);

        let mut decoder = Decoder::new(0);
        for _ in 0..100_000 {
            assert_eq!(decoder.decode(b"*1\r\n").unwrap(), (4, None));
        }
        assert!(decoder.decode(b":1\r\n").unwrap().1.is_some());
        assert!(decoder.kept.capacity() < 1000);
    }

    #[test]
    fn random_bytes_do_no_harm() {
        let mut rng = SmallRng::seed_from_u64(11);
        for _ in 0..20_000 {
            let length = rng.random_range(1..30);
            let alphabet = b"+-:$*%~>|_!=,#(0123459\r\n\r\nx";
            let bytes: Vec<u8> =
                (0..length).map(|_| alphabet[rng.random_range(0..alphabet.len())]).collect();
            let (mut decoder, mut rest) = (Decoder::new(8), &bytes[..]);
            while let Ok((used, Some(_))) = decoder.decode(rest) {
                assert!(used > 0);
                rest = &rest[used..];
            }
        }
    }
}
