//! Wire protocols, sans I/O: bytes in, borrowed arguments out; replies appended to a buffer.
//!
//! | module | what |
//! |---|---|
//! | [`args`] | a request's arguments |
//! | [`resp`] | RESP2, RESP3 and inline commands |
//! | [`reply`] | what commands write their replies to, whatever becomes of them |

pub mod args;
pub mod reply;
pub mod resp;

pub use args::{Args, Span};
