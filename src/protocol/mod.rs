//! Wire protocols, sans I/O: bytes in, borrowed arguments out; replies appended to a buffer.

pub mod args;
pub mod resp;

pub use args::{Args, Span};
