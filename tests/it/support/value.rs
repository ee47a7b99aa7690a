//! Replies as trees, read strictly: anything that is not well-formed RESP is an error, so two
//! trees are equal exactly when the bytes were.

use std::fmt;

/// One reply. Numbers that have several spellings (doubles, big numbers) keep their text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Int(i64),
    Bulk(Vec<u8>),
    /// RESP2's `$-1`.
    NullBulk,
    /// RESP2's `*-1`.
    NullArray,
    Array(Vec<Value>),
    /// RESP3's `_`.
    Null,
    Bool(bool),
    Double(Vec<u8>),
    BigNumber(Vec<u8>),
    /// Three letters of format, a colon and the text, as on the wire.
    Verbatim(Vec<u8>),
    Map(Vec<(Value, Value)>),
    Set(Vec<Value>),
    Push(Vec<Value>),
}

/// Why bytes are not a reply.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The bytes so far are the beginning of a reply.
    Incomplete,
    Malformed(String),
}

impl Value {
    /// Reads one reply from the front of `bytes`; returns it and its length.
    pub fn read(bytes: &[u8]) -> Result<(Value, usize), ReadError> {
        let mut at = 0;
        let value = read_at(bytes, &mut at)?;
        Ok((value, at))
    }

    /// The text of a status, an error or a string.
    pub fn text(&self) -> String {
        match self {
            Value::Simple(b) | Value::Error(b) | Value::Bulk(b) => lossy(b),
            Value::Verbatim(b) => lossy(&b[4..]),
            other => panic!("not a text: {other:?}"),
        }
    }

    pub fn int(&self) -> i64 {
        match self {
            Value::Int(n) => *n,
            other => panic!("not an integer: {other:?}"),
        }
    }

    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => items,
            other => panic!("not an array: {other:?}"),
        }
    }

    /// A map, or the flat array that RESP2 has in its place, as pairs.
    pub fn pairs(&self) -> Vec<(Value, Value)> {
        match self {
            Value::Map(pairs) => pairs.clone(),
            Value::Array(items) => {
                items.chunks_exact(2).map(|p| (p[0].clone(), p[1].clone())).collect()
            }
            other => panic!("not a map: {other:?}"),
        }
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }

    pub fn bulk(text: impl AsRef<[u8]>) -> Value {
        Value::Bulk(text.as_ref().to_vec())
    }

    pub fn ok() -> Value {
        Value::Simple(b"OK".to_vec())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Simple(b) => write!(f, "+{}", shown(b)),
            Value::Error(b) => write!(f, "-{}", shown(b)),
            Value::Int(n) => write!(f, ":{n}"),
            Value::Bulk(b) => write!(f, "\"{}\"", shown(b)),
            Value::NullBulk => write!(f, "$-1"),
            Value::NullArray => write!(f, "*-1"),
            Value::Array(items) => f.debug_list().entries(items).finish(),
            Value::Null => write!(f, "_"),
            Value::Bool(b) => write!(f, "#{b}"),
            Value::Double(b) => write!(f, ",{}", shown(b)),
            Value::BigNumber(b) => write!(f, "({}", shown(b)),
            Value::Verbatim(b) => write!(f, "={}", shown(b)),
            Value::Map(pairs) => f.debug_map().entries(pairs.iter().map(|(k, v)| (k, v))).finish(),
            Value::Set(items) => f.debug_set().entries(items).finish(),
            Value::Push(items) => f.debug_tuple(">").field(items).finish(),
        }
    }
}

/// Bytes with everything unprintable escaped, long ones cut.
pub fn shown(bytes: &[u8]) -> String {
    const LENGTH_MAX: usize = 300;
    let head = &bytes[..bytes.len().min(LENGTH_MAX)];
    let mut text = head.escape_ascii().to_string();
    if bytes.len() > LENGTH_MAX {
        text.push_str(&format!("... ({} bytes)", bytes.len()));
    }
    text
}

pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn read_at(bytes: &[u8], at: &mut usize) -> Result<Value, ReadError> {
    let line = line(bytes, at)?;
    let (kind, rest) = line.split_first().ok_or_else(|| malformed("an empty line", line))?;
    match kind {
        b'+' => Ok(Value::Simple(rest.to_vec())),
        b'-' => Ok(Value::Error(rest.to_vec())),
        b':' => Ok(Value::Int(integer(rest)?)),
        b'$' if rest == b"-1" => Ok(Value::NullBulk),
        b'$' => Ok(Value::Bulk(blob(bytes, at, rest)?)),
        b'=' => {
            let text = blob(bytes, at, rest)?;
            if text.len() < 4 || text[3] != b':' {
                return Err(malformed("a verbatim string without a format", &text));
            }
            Ok(Value::Verbatim(text))
        }
        b'*' if rest == b"-1" => Ok(Value::NullArray),
        b'*' => Ok(Value::Array(sequence(bytes, at, rest)?)),
        b'~' => Ok(Value::Set(sequence(bytes, at, rest)?)),
        b'>' => Ok(Value::Push(sequence(bytes, at, rest)?)),
        b'%' => {
            let length = count(rest)?;
            let mut pairs = Vec::new();
            for _ in 0..length {
                pairs.push((read_at(bytes, at)?, read_at(bytes, at)?));
            }
            Ok(Value::Map(pairs))
        }
        b'_' if rest.is_empty() => Ok(Value::Null),
        b'#' if rest == b"t" => Ok(Value::Bool(true)),
        b'#' if rest == b"f" => Ok(Value::Bool(false)),
        b',' if !rest.is_empty() => Ok(Value::Double(rest.to_vec())),
        b'(' if !rest.is_empty() => Ok(Value::BigNumber(rest.to_vec())),
        _ => Err(malformed("an unknown type", line)),
    }
}

fn sequence(bytes: &[u8], at: &mut usize, length: &[u8]) -> Result<Vec<Value>, ReadError> {
    let mut items = Vec::new();
    for _ in 0..count(length)? {
        items.push(read_at(bytes, at)?);
    }
    Ok(items)
}

fn blob(bytes: &[u8], at: &mut usize, length: &[u8]) -> Result<Vec<u8>, ReadError> {
    let length = count(length)?;
    let text = bytes.get(*at..*at + length).ok_or(ReadError::Incomplete)?;
    match bytes.get(*at + length..*at + length + 2) {
        Some(b"\r\n") => {}
        Some(other) => return Err(malformed("a string that runs on", other)),
        None => return Err(ReadError::Incomplete),
    }
    *at += length + 2;
    Ok(text.to_vec())
}

fn line<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], ReadError> {
    let rest = &bytes[*at..];
    let end = rest.windows(2).position(|w| w == b"\r\n").ok_or(ReadError::Incomplete)?;
    let line = &rest[..end];
    if line.contains(&b'\n') || line.contains(&b'\r') {
        return Err(malformed("a line break inside a line", line));
    }
    *at += end + 2;
    Ok(line)
}

fn integer(text: &[u8]) -> Result<i64, ReadError> {
    let number = str::from_utf8(text).ok().and_then(|t| t.parse::<i64>().ok());
    match number {
        Some(n) if n.to_string().as_bytes() == text => Ok(n),
        _ => Err(malformed("an integer", text)),
    }
}

fn count(text: &[u8]) -> Result<usize, ReadError> {
    usize::try_from(integer(text)?).map_err(|_| malformed("a length", text))
}

fn malformed(what: &str, bytes: &[u8]) -> ReadError {
    ReadError::Malformed(format!("{what}: {:?}", shown(bytes)))
}
