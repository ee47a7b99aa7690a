//! Whether bytes from outside are a run.

use std::fmt;

use super::{EMPTY_BYTES, END_MARK, HEADER_BYTES, Packed, element};

/// The bytes are not a packed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a packed run")
    }
}

impl std::error::Error for Corrupt {}

/// Reads all of it: header, every entry with its back length, the end mark, the count; nothing is
/// left over. Gives the number of elements.
pub fn check(bytes: &[u8]) -> Result<usize, Corrupt> {
    let sound = bytes.len() >= EMPTY_BYTES
        && bytes.first_chunk::<4>().map(|total| u32::from_le_bytes(*total) as usize)
            == Some(bytes.len())
        && bytes.last() == Some(&END_MARK);
    if !sound {
        return Err(Corrupt);
    }
    let end = bytes.len() - 1;
    let mut at = HEADER_BYTES;
    let mut count = 0;
    while at < end {
        at = element::check(bytes, at).ok_or(Corrupt)?;
        count += 1;
    }
    match Packed::new(bytes).stored_count() {
        Some(stored) if stored != count => Err(Corrupt),
        _ => Ok(count),
    }
}
