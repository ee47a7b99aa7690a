//! Strings: every command that reads or writes a string value, bit commands excepted.

mod get;
mod lcs;
mod lifetime;
mod numbers;
mod ranges;
mod set;

use super::Command;

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
