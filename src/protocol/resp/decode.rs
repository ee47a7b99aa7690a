//! Requests: from bytes, cut anywhere, to borrowed arguments.

use crate::protocol::args::{OwnedArgs, Span};
use crate::text::quote;

/// The longest inline command, and the longest `*` or `$` header line (Redis: PROTO_INLINE_MAX_SIZE).
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Redis accepts up to `INT_MAX` arguments; a million is more than any command means.
const ARGUMENTS_MAX: i64 = 1024 * 1024;
/// What a client may send before it has authenticated.
const UNAUTHENTICATED_ARGUMENTS_MAX: i64 = 10;
const UNAUTHENTICATED_BULK_BYTES_MAX: i64 = 16 * 1024;
/// Commands with fewer arguments are decoded from their start again when more bytes have come;
/// longer ones keep their place, so that the work stays linear in the bytes received.
const RESUME_ARGUMENTS_MIN: usize = 16;

/// The limits in force for one connection at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `proto-max-bulk-len`, bytes.
    pub bulk_bytes_max: u64,
    /// False while the connection still has to authenticate.
    pub authenticated: bool,
}

/// What [`Decoder::decode`] found at the start of its input.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A command, its arguments in the span list, in the first `consumed` bytes.
    Command { consumed: usize },
    /// A command whose arguments had to be unquoted: fetch them with [`Decoder::take_inline`].
    Inline { consumed: usize },
    /// Nothing to run: an empty line, `*0` or `*-1`.
    Nothing { consumed: usize },
    /// The input ends within a command.
    Incomplete,
}

/// Input that is not RESP. The connection gets `-ERR Protocol error: {self}` and is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    InvalidMultibulkLength,
    InvalidBulkLength,
    UnauthenticatedMultibulkLength,
    UnauthenticatedBulkLength,
    TooBigInlineRequest,
    TooBigMultibulkCount,
    TooBigBulkCount,
    UnbalancedQuotes,
    ExpectedBulk { got: u8 },
}

impl ProtocolError {
    /// Whether a line ran past its limit, which may be noticed before or after its end arrives.
    pub fn is_too_big(self) -> bool {
        matches!(
            self,
            Self::TooBigInlineRequest | Self::TooBigMultibulkCount | Self::TooBigBulkCount
        )
    }
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::InvalidBulkLength => "invalid bulk length",
            Self::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            Self::UnauthenticatedBulkLength => "unauthenticated bulk length",
            Self::TooBigInlineRequest => "too big inline request",
            Self::TooBigMultibulkCount => "too big mbulk count string",
            Self::TooBigBulkCount => "too big bulk count string",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::ExpectedBulk { got } => {
                // A line break would end the error reply early.
                let shown = if matches!(got, b'\r' | b'\n') { b' ' } else { *got };
                return write!(f, "expected '$', got '{}'", shown as char);
            }
        })
    }
}

impl std::error::Error for ProtocolError {}

/// What an incomplete command still needs, by what its client has announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Awaited {
    /// How long the command is at least; 0 if that is not known.
    pub bytes: usize,
    /// The length of the argument that is not whole, the last of those bytes but for its line end;
    /// 0 if that is not known.
    pub argument: usize,
}

/// One connection's decoder: what it must remember between two pieces of a command.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The input must reach this length before decoding it again can lead further.
    needed: usize,
    /// The length of the argument that goes so far.
    awaited_argument: usize,
    resume: Option<Box<Resume>>,
    inline: OwnedArgs,
}

/// How far a long command has been decoded.
#[derive(Debug)]
struct Resume {
    spans: Vec<Span>,
    position: usize,
    arguments: usize,
}

impl Decoder {
    /// Decodes the first command of `input` and appends its arguments to `spans`; nothing is
    /// appended unless it returns [`Decoded::Command`]. After `Incomplete` the next call must get
    /// the same bytes, perhaps with more behind them; after anything else, the bytes behind
    /// `consumed`.
    pub fn decode(
        &mut self,
        input: &[u8],
        spans: &mut Vec<Span>,
        limits: Limits,
    ) -> Result<Decoded, ProtocolError> {
        if input.len() < self.needed {
            return Ok(Decoded::Incomplete);
        }
        match input.first() {
            None => Ok(Decoded::Incomplete),
            Some(b'*') => self.multibulk(input, spans, limits),
            Some(_) => self.inline_line(input),
        }
    }

    /// After [`Decoded::Incomplete`]: what the command still needs.
    #[inline]
    pub fn awaited(&self) -> Awaited {
        match self.needed {
            0 => Awaited::default(),
            bytes => Awaited { bytes, argument: self.awaited_argument },
        }
    }

    /// Bytes held between two pieces of a command.
    #[inline]
    pub fn memory(&self) -> usize {
        let resume = self.resume.as_deref();
        let resume = resume
            .map_or(0, |resume| size_of::<Resume>() + resume.spans.capacity() * size_of::<Span>());
        resume + self.inline.capacity_bytes()
    }

    /// The arguments of the last [`Decoded::Inline`].
    pub fn take_inline(&mut self) -> OwnedArgs {
        std::mem::take(&mut self.inline)
    }

    fn multibulk(
        &mut self,
        input: &[u8],
        spans: &mut Vec<Span>,
        limits: Limits,
    ) -> Result<Decoded, ProtocolError> {
        if let Some(resume) = self.resume.take() {
            return self.go_on(resume, input, spans, limits);
        }
        let (count, mut position) = match header(input, 1) {
            Header::Number(count, next) => (count, next),
            Header::Incomplete => {
                return incomplete_line(input.len(), ProtocolError::TooBigMultibulkCount);
            }
            Header::Invalid => return Err(ProtocolError::InvalidMultibulkLength),
        };
        if count > ARGUMENTS_MAX {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        if count > UNAUTHENTICATED_ARGUMENTS_MAX && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        if count <= 0 {
            self.needed = 0;
            return Ok(Decoded::Nothing { consumed: position });
        }
        let arguments = count as usize;
        let first = spans.len();
        let result = bulks(input, &mut position, spans, first + arguments, limits);
        if let Ok(true) = result {
            self.needed = 0;
            return Ok(Decoded::Command { consumed: position });
        }
        if result.is_ok() {
            self.await_bulk(input, position);
            if spans.len() - first >= RESUME_ARGUMENTS_MIN {
                let spans = spans.split_off(first);
                self.resume = Some(Box::new(Resume { spans, position, arguments }));
            }
        }
        spans.truncate(first);
        result.map(|_| Decoded::Incomplete)
    }

    /// Goes on with a long command. Its spans move once, when it is whole: a client may send the
    /// bytes behind a million arguments one by one.
    fn go_on(
        &mut self,
        mut resume: Box<Resume>,
        input: &[u8],
        spans: &mut Vec<Span>,
        limits: Limits,
    ) -> Result<Decoded, ProtocolError> {
        let Resume { spans: decoded, position, arguments } = &mut *resume;
        if bulks(input, position, decoded, *arguments, limits)? {
            spans.append(decoded);
            self.needed = 0;
            return Ok(Decoded::Command { consumed: *position });
        }
        self.await_bulk(input, *position);
        self.resume = Some(resume);
        Ok(Decoded::Incomplete)
    }

    /// Notes at least how long the input must become for the bulk at `position` to be whole.
    fn await_bulk(&mut self, input: &[u8], position: usize) {
        (self.needed, self.awaited_argument) = match header(input, position + 1) {
            Header::Number(len, start) if len >= 0 => {
                (start.saturating_add(len as usize + 2), len as usize)
            }
            _ => (input.len() + 1, 0),
        }
    }

    fn inline_line(&mut self, input: &[u8]) -> Result<Decoded, ProtocolError> {
        let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
            return incomplete_line(input.len(), ProtocolError::TooBigInlineRequest);
        };
        if end > LINE_BYTES_MAX {
            return Err(ProtocolError::TooBigInlineRequest);
        }
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        self.inline.clear();
        let arguments = quote::split_args(line).map_err(|_| ProtocolError::UnbalancedQuotes)?;
        for argument in &arguments {
            self.inline.push(argument);
        }
        let consumed = end + 1;
        Ok(if arguments.is_empty() {
            Decoded::Nothing { consumed }
        } else {
            Decoded::Inline { consumed }
        })
    }
}

/// A header or inline line without its end is fine until it is too long.
fn incomplete_line(len: usize, too_big: ProtocolError) -> Result<Decoded, ProtocolError> {
    if len > LINE_BYTES_MAX { Err(too_big) } else { Ok(Decoded::Incomplete) }
}

/// Decodes bulks from `position` on until there are `end` spans; false if the input ends before.
#[inline(always)]
fn bulks(
    input: &[u8],
    position: &mut usize,
    spans: &mut Vec<Span>,
    end: usize,
    limits: Limits,
) -> Result<bool, ProtocolError> {
    while spans.len() < end {
        let Some((span, next)) = bulk(input, *position, limits)? else { return Ok(false) };
        spans.push(span);
        *position = next;
    }
    Ok(true)
}

/// One `$<len>\r\n<bytes>\r\n` at `position`: its bytes and where the next one starts.
#[inline(always)]
fn bulk(
    input: &[u8],
    position: usize,
    limits: Limits,
) -> Result<Option<(Span, usize)>, ProtocolError> {
    let (len, start) = match header(input, position + 1) {
        Header::Number(len, start) => (len, start),
        Header::Incomplete => {
            if input.len().saturating_sub(position) > LINE_BYTES_MAX {
                return Err(ProtocolError::TooBigBulkCount);
            }
            // The line may end where its type should stand.
            return match input.get(position..) {
                Some([b'\r', _, ..]) => Err(ProtocolError::ExpectedBulk { got: b'\r' }),
                _ => Ok(None),
            };
        }
        Header::Invalid => {
            return Err(match input[position] {
                b'$' => ProtocolError::InvalidBulkLength,
                got => ProtocolError::ExpectedBulk { got },
            });
        }
    };
    if input[position] != b'$' {
        return Err(ProtocolError::ExpectedBulk { got: input[position] });
    }
    if len < 0 || len as u64 > limits.bulk_bytes_max {
        return Err(ProtocolError::InvalidBulkLength);
    }
    if len > UNAUTHENTICATED_BULK_BYTES_MAX && !limits.authenticated {
        return Err(ProtocolError::UnauthenticatedBulkLength);
    }
    let end = start + len as usize;
    // As Redis: the two bytes behind the argument are skipped, whatever they are.
    if end + 2 > input.len() {
        return Ok(None);
    }
    Ok(Some((Span { start: start as u32, len: len as u32 }, end + 2)))
}

enum Header {
    /// The number, and the position behind its line.
    Number(i64, usize),
    Invalid,
    Incomplete,
}

/// The number in `input[position..]` up to `\r` and one more byte. As in Redis, only `\r` ends
/// the line and the byte behind it is skipped unseen.
#[inline(always)]
fn header(input: &[u8], position: usize) -> Header {
    // Nearly every header is one to four digits without sign or leading zero.
    let mut value = 0i64;
    let mut index = position;
    while index < input.len() && index < position + 8 {
        let digit = input[index].wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value * 10 + i64::from(digit);
        index += 1;
    }
    let digits = index - position;
    if digits > 0
        && index + 1 < input.len()
        && input[index] == b'\r'
        && (digits == 1 || input[position] != b'0')
    {
        return Header::Number(value, index + 2);
    }
    uncommon_header(input, position)
}

#[cold]
fn uncommon_header(input: &[u8], position: usize) -> Header {
    let rest = input.get(position..).unwrap_or(&[]);
    let Some(end) = rest.iter().position(|&byte| byte == b'\r') else {
        return Header::Incomplete;
    };
    if end + 1 >= rest.len() {
        return Header::Incomplete;
    }
    match crate::text::number::parse_i64(&rest[..end]) {
        Some(value) => Header::Number(value, position + end + 2),
        None => Header::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever has been decoded, another byte costs no more.
    #[test]
    fn bytes_behind_many_arguments_are_cheap() {
        let limits = Limits { bulk_bytes_max: 1 << 29, authenticated: true };
        let arguments = 10_000;
        let mut input = format!("*{arguments}\r\n").into_bytes();
        input.extend_from_slice(&b"$0\r\n\r\n".repeat(arguments - 1));
        let head = input.len();
        input.extend_from_slice(b"$1\r\nx\r\n");
        let mut decoder = Decoder::default();
        let mut decode =
            |end: usize, spans: &mut Vec<Span>| decoder.decode(&input[..end], spans, limits);
        assert_eq!(decode(head, &mut Vec::new()), Ok(Decoded::Incomplete));
        let mut spans = Vec::new();
        for end in head + 1..input.len() {
            assert_eq!(decode(end, &mut spans), Ok(Decoded::Incomplete));
            assert_eq!(spans.capacity(), 0, "what had been decoded was copied");
        }
        let whole = Decoded::Command { consumed: input.len() };
        assert_eq!(decode(input.len(), &mut spans), Ok(whole));
        assert_eq!(spans.len(), arguments);
    }
}
