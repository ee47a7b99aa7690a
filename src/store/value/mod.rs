//! Forms that values take.

pub mod list;
pub mod packed;
