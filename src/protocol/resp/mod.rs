//! RESP2, RESP3 and inline commands.
//!
//! Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/>; limits and error texts
//! as redis-server 7 has them.

mod check;
mod decode;
mod reply;
mod scan;

pub use check::check_pieces;
pub use decode::{Decoded, Decoder, Limits, ProtocolError};
pub use reply::{Reply, Version};
pub use scan::{Elements, array_elements, integer, is_null};
