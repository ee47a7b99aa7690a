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
