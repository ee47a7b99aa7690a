//! Values as Redis serializes them: what DUMP gives and RESTORE takes.
//!
//! ```text
//! type      u8, see `types`
//! value     by type; lengths and strings as `reader` and `writer` have them
//! version   u16, little endian: of the format, so that an older server refuses what it cannot read
//! checksum  u64, little endian: CRC-64 of Redis's polynomial over all of the above
//! ```
//!
//! Payloads of Redis 7.0 to 8.x and of Valkey up to 9 can be read. Ours carry the lowest version that
//! has their type, so that servers that are older than this one read what they can.
//!
//! A payload comes from a client, who may have made it by hand: nothing is allocated because a
//! length says so, nothing in it is believed, and an error leaves nothing behind.
//!
//! Sources: Redis's `rdb.h` for the numbers of types and encodings, and
//! <https://rdb.fnordig.de/file_format.html> for the format.

mod load;
mod lzf;
mod reader;
mod save;
mod types;
mod writer;

pub use load::Making;

use crc::{CRC_64_REDIS, Crc};

use crate::store::{EntryRef, Item, UnixMs};
use reader::Reader;
use types::Origin;

const CHECKSUM: Crc<u64> = Crc::<u64>::new(&CRC_64_REDIS);

/// Version and checksum.
const FOOTER_BYTES: usize = 10;

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is no payload, has been damaged, or is of a server that this one does not know.
    Footer,
    /// The checksum is right, and what is in it is not.
    Content,
}

impl From<reader::Malformed> for Refused {
    fn from(_: reader::Malformed) -> Refused {
        Refused::Content
    }
}

/// The payload of a value, without its key and its expiry.
pub fn dump(entry: EntryRef<'_>, now: UnixMs) -> Vec<u8> {
    let (mut payload, version) = save::value(entry, now);
    payload.extend_from_slice(&version.to_le_bytes());
    let checksum = CHECKSUM.checksum(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

/// The value of a payload at a key, without an expiry.
///
/// # Errors
/// See [`Refused`].
pub fn restore(key: &[u8], payload: &[u8], making: &Making) -> Result<Item, Refused> {
    let (value, origin) = check_footer(payload).ok_or(Refused::Footer)?;
    let mut reader = Reader::new(value, making.inflated_bytes_max);
    let item = load::value(key, &mut reader, origin, making)?;
    // Redis's own loader ignores what follows a value; nothing honest has it.
    if reader.is_at_end() { Ok(item) } else { Err(Refused::Content) }
}

/// The payload without its footer, and whose it is.
fn check_footer(payload: &[u8]) -> Option<(&[u8], Origin)> {
    let (value, footer) = payload.split_at_checked(payload.len().checked_sub(FOOTER_BYTES)?)?;
    let (version, checksum) = footer.split_first_chunk::<2>()?;
    let origin = Origin::of_version(u16::from_le_bytes(*version))?;
    let expected = u64::from_le_bytes(checksum.try_into().ok()?);
    // As in Redis, 0 stands for a payload without a checksum.
    let checked = &payload[..value.len() + version.len()];
    (expected == 0 || expected == CHECKSUM.checksum(checked)).then_some((value, origin))
}
