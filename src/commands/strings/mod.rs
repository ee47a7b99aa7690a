//! Strings: every command that reads or writes a string value, bit commands excepted.

mod get;
mod lcs;
mod lifetime;
mod numbers;
mod ranges;
mod set;

use super::{Categories, Command, Docs, Flags, Group, Handler};

pub const COMMANDS: &[Command] = &[
    get::GET,
    get::GETDEL,
    get::GETEX,
    get::GETSET,
    get::MGET,
    get::STRLEN,
    lcs::LCS,
    numbers::DECR,
    numbers::DECRBY,
    numbers::INCR,
    numbers::INCRBY,
    numbers::INCRBYFLOAT,
    ranges::APPEND,
    ranges::GETRANGE,
    ranges::SETRANGE,
    ranges::SUBSTR,
    set::MSET,
    set::MSETNX,
    set::PSETEX,
    set::SET,
    set::SETEX,
    set::SETNX,
];

/// What all rows have in common, to be overwritten where it differs.
const ROW: Command = Command {
    name: "",
    arity: 0,
    flags: Flags::empty(),
    categories: Categories::STRING,
    keys: &[],
    handler: Handler::Container,
    docs: DOCS,
    tips: &[],
    subcommands: &[],
};
const DOCS: Docs =
    Docs { summary: "", since: "", group: Group::String, complexity: "O(1)", arguments: "" };
