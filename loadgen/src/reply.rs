//! RESP2 and RESP3 replies, sans-io: where each reply ends and what kind it is, without building
//! trees.
//!
//! A [`Decoder`] is fed what a connection received, in whatever pieces it came, and yields one
//! [`Reply`] after the other. Nested replies cost a counter of the elements still to come, not a
//! stack, so their depth is not limited and takes no memory. What is kept between pieces is bounded:
//! a header line ([`LINE_MAX`]) and as much of a value as was asked for.

#[cfg(test)]
mod tests;

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
    /// Of the latest plain reply.
    shape: Shape,
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
            shape: Shape::NONE,
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
        if self.left == 0 && self.shape.fits(input) {
            return Ok((self.shape.bytes, Some(self.shape.reply(input))));
        }
        self.decode_other(input)
    }

    /// [`Decoder::decode`] of what is not like the reply before it.
    #[inline(never)]
    fn decode_other<'a>(
        &'a mut self,
        input: &'a [u8],
    ) -> Result<(usize, Option<Reply<'a>>), Malformed> {
        if self.left == 0 {
            if let Some(shape) = plain(input, self.keep) {
                self.shape = shape;
                return Ok((shape.bytes, Some(shape.reply(input))));
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

/// What plain replies have in common, so that the next one of the same kind and length need not be
/// parsed: pipelines bring rows of them.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// The first line as a number whose lowest byte comes first, and which of its bits count.
    header: u64,
    mask: u64,
    /// The whole reply, of which the last two are the line end.
    bytes: usize,
    text: (usize, usize),
    kind: Kind,
    length: u64,
}

impl Shape {
    /// Fits nothing.
    const NONE: Shape =
        Shape { header: 1, mask: 0, bytes: 0, text: (0, 0), kind: Kind::Null, length: 0 };

    /// Of a reply of `bytes` bytes whose first line has `header` bytes. Where that is more than
    /// eight it fits no other reply.
    fn new(
        input: &[u8],
        kind: Kind,
        (header, bytes): (usize, usize),
        text: (usize, usize),
        length: usize,
    ) -> Shape {
        let mut shape = Shape { bytes, text, kind, length: length as u64, ..Shape::NONE };
        if (1..=8).contains(&header) {
            let mut first = [0; 8];
            first[..header].copy_from_slice(&input[..header]);
            shape.header = u64::from_le_bytes(first);
            shape.mask = u64::MAX >> (64 - 8 * header);
        }
        shape
    }

    /// Whether `input` begins with a whole reply of this shape. Not found out where fewer than eight
    /// bytes are left.
    #[inline]
    fn fits(&self, input: &[u8]) -> bool {
        let Some(first) = input.first_chunk::<8>() else { return false };
        u64::from_le_bytes(*first) & self.mask == self.header
            && self.bytes <= input.len()
            && input[..self.bytes].ends_with(b"\r\n")
    }

    #[inline]
    fn reply<'a>(&self, input: &'a [u8]) -> Reply<'a> {
        let (start, end) = self.text;
        Reply {
            kind: self.kind,
            leaves: 1,
            nulls: u64::from(self.kind == Kind::Null),
            text: &input[start..end],
            length: self.length,
        }
    }
}

/// The shape of almost every reply: one string, line, number or null, whole in the input. Anything
/// else, well-formed or not, is for the decoder proper.
fn plain(input: &[u8], keep: usize) -> Option<Shape> {
    let (kind, rest) = input.split_first()?;
    match kind {
        b'$' if rest.starts_with(b"-1\r\n") => {
            Some(Shape::new(input, Kind::Null, (5, 5), (0, 0), 0))
        }
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
            let header = 1 + digits + 2;
            let text = (header, header + length.min(keep));
            Some(Shape::new(input, Kind::Scalar, (header, header + length + 2), text, length))
        }
        b'+' | b':' => {
            /// Further than OK and most numbers it is not worth looking.
            const NEAR: usize = 24;
            let near = &input[..input.len().min(NEAR)];
            let end = near.iter().position(|byte| *byte == b'\n')?;
            let length = near[1..end].strip_suffix(b"\r")?.len();
            Some(Shape::new(input, Kind::Scalar, (end + 1, end + 1), (1, 1 + length), length))
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
