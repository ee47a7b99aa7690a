//! Keys, whatever they hold: deleting, expiring, moving, listing, looking into.

mod databases;
mod dump;
mod existence;
pub(super) mod expiry;
mod listing;
mod object;
mod relocation;
mod scan;
mod sort;

pub use scan::cursor_shard;

use super::Command;

pub const COMMANDS: &[Command] = &[
    databases::DBSIZE,
    databases::FLUSHALL,
    databases::FLUSHDB,
    databases::SWAPDB,
    dump::DUMP,
    dump::RESTORE,
    existence::DEL,
    existence::EXISTS,
    existence::TOUCH,
    existence::TYPE,
    existence::UNLINK,
    expiry::EXPIRE,
    expiry::EXPIREAT,
    expiry::EXPIRETIME,
    expiry::PERSIST,
    expiry::PEXPIRE,
    expiry::PEXPIREAT,
    expiry::PEXPIRETIME,
    expiry::PTTL,
    expiry::TTL,
    listing::KEYS,
    listing::RANDOMKEY,
    object::OBJECT,
    relocation::COPY,
    relocation::MOVE,
    relocation::RENAME,
    relocation::RENAMENX,
    scan::SCAN,
    sort::SORT,
    sort::SORT_RO,
];
