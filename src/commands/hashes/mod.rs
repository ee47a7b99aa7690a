//! Hashes: every command on fields with values, and on when fields expire.
//!
//! `form` reads and changes a hash in whichever form it has; the other files are the commands.

mod expiry;
pub(super) mod form;
mod get_and_expire;
mod named_fields;
mod numbers;
mod random;
mod read;
mod remove;
mod scan;
mod set;
#[cfg(test)]
mod tests;
use super::{Categories, Command, Docs, Flags, Group, Handler};

pub const COMMANDS: &[Command] = &[
    expiry::HEXPIRE,
    expiry::HEXPIREAT,
    expiry::HEXPIRETIME,
    expiry::HPERSIST,
    expiry::HPEXPIRE,
    expiry::HPEXPIREAT,
    expiry::HPEXPIRETIME,
    expiry::HPTTL,
    expiry::HTTL,
    get_and_expire::HGETEX,
    get_and_expire::HSETEX,
    numbers::HINCRBY,
    numbers::HINCRBYFLOAT,
    random::HRANDFIELD,
    read::HEXISTS,
    read::HGET,
    read::HGETALL,
    read::HKEYS,
    read::HLEN,
    read::HMGET,
    read::HSTRLEN,
    read::HVALS,
    remove::HDEL,
    remove::HGETDEL,
    scan::HSCAN,
    set::HMSET,
    set::HSET,
    set::HSETNX,
];

/// What all rows have in common, to be overwritten where it differs.
const ROW: Command = Command {
    name: "",
    arity: 0,
    flags: Flags::empty(),
    categories: Categories::HASH,
    keys: &[],
    handler: Handler::Container,
    docs: DOCS,
    tips: &[],
    subcommands: &[],
};
const DOCS: Docs =
    Docs { summary: "", since: "2.0.0", group: Group::Hash, complexity: "O(1)", arguments: "" };
