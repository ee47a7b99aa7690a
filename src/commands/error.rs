//! Errors that a command answers with; the texts are Redis's, as clients match on them.

use std::borrow::Cow;

use crate::store::WrongType;

/// An error reply, without the leading `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    WrongType,
    Syntax,
    NotInteger,
    NotFloat,
    OutOfRange,
    NoSuchKey,
    StringTooLong,
    ReplyTooLong,
    OutOfMemory,
    /// `SET`, `EXPIRE` and others: `invalid expire time in '<command>' command`.
    InvalidExpireTime(&'static str),
    /// Any other, its code included: `ERR ...`.
    Text(Cow<'static, str>),
    /// A text that quotes a client's bytes.
    Bytes(Vec<u8>),
}

impl CommandError {
    pub fn text(text: impl Into<Cow<'static, str>>) -> Self {
        CommandError::Text(text.into())
    }

    /// A text with a client's bytes in it. As C's formatting does in Redis, they end at the first
    /// NUL; line breaks at the very end are left out.
    pub fn quoting(before: &str, bytes: &[u8], after: &str) -> Self {
        let bytes = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        let mut text = [before.as_bytes(), bytes, after.as_bytes()].concat();
        while text.pop_if(|last| matches!(last, b'\r' | b'\n')).is_some() {}
        CommandError::Bytes(text)
    }

    /// The whole text, its code first.
    pub fn message(&self) -> Cow<'_, [u8]> {
        let text = match self {
            Self::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            Self::Syntax => "ERR syntax error",
            Self::NotInteger => "ERR value is not an integer or out of range",
            Self::NotFloat => "ERR value is not a valid float",
            Self::OutOfRange => "ERR index out of range",
            Self::NoSuchKey => "ERR no such key",
            Self::StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            Self::ReplyTooLong => {
                "ERR reply exceeds maximum allowed size (client-query-buffer-limit)"
            }
            Self::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            Self::InvalidExpireTime(command) => {
                let text = format!("ERR invalid expire time in '{command}' command");
                return Cow::Owned(text.into_bytes());
            }
            Self::Text(text) => text,
            Self::Bytes(bytes) => return Cow::Borrowed(bytes),
        };
        Cow::Borrowed(text.as_bytes())
    }
}

impl From<WrongType> for CommandError {
    fn from(_: WrongType) -> Self {
        CommandError::WrongType
    }
}
