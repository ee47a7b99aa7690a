//! RESP2, RESP3 and inline commands.
//!
//! Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/>; limits and error texts
//! as redis-server 7 has them.

mod check;
mod decode;
pub mod encode;

pub use check::check_pieces;
pub use decode::{Awaited, Decoded, Decoder, Limits, ProtocolError};

/// The version of the protocol that a connection chose with HELLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    #[default]
    Resp2,
    Resp3,
}
