//! Strings: every command that reads or writes a string value, bit commands excepted.

mod condition;
mod get;
mod lcs;
pub(super) mod lifetime;
mod msetex;
mod numbers;
mod ranges;
mod set;

use super::{Categories, Command, Docs, Flags, Group, Handler};

pub const COMMANDS: &[Command] = &[
    condition::DELEX,
    condition::DELIFEQ,
    condition::DIGEST,
    get::GET,
    get::GETDEL,
    get::GETEX,
    get::GETSET,
    get::MGET,
    get::STRLEN,
    lcs::LCS,
    msetex::MSETEX,
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

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;
    use crate::store::value::list::Limit;
    use crate::store::{Collection, Encoding, End, Event, Kind, List, Slot};

    const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

    /// A packed list and one on the heap, at `packed` and at `object`.
    fn server_with_lists() -> Server {
        let mut server = Server::new();
        let Slot::Vacant(slot) = server.shard.db_mut(0).slot(b"packed", 0, Event::RPush) else {
            panic!()
        };
        slot.insert_packed(Kind::List, Encoding::Listpack, b"12");
        let mut list = List::new();
        list.push(End::Back, b"12", Limit::default()).unwrap();
        let Slot::Vacant(slot) = server.shard.db_mut(0).slot(b"object", 0, Event::RPush) else {
            panic!()
        };
        slot.insert_object(list.into_object());
        server
    }

    #[test]
    fn a_list_is_no_string() {
        let mut server = server_with_lists();
        for key in ["packed", "object"] {
            for command in [
                "get K",
                "getdel K",
                "getex K",
                "getset K v",
                "strlen K",
                "lcs K none",
                "incr K",
                "decrby K 2",
                "incrbyfloat K 1.5",
                "append K v",
                "getrange K 0 -1",
                "setrange K 1 v",
                "set K v get",
            ] {
                // LCS has an error of its own.
                let reply = server.run(&command.replace('K', key));
                if command.starts_with("lcs") {
                    assert!(reply.starts_with("-ERR The specified keys must"), "{reply}");
                } else {
                    assert_eq!(reply, WRONG_TYPE, "{command}");
                }
            }
            assert_eq!(server.run(&format!("mget {key}")), "*1 $-1");
            assert_eq!(server.run(&format!("type {key}")), "+list");
            assert_eq!(server.run(&format!("object refcount {key}")), ":1");
        }
        server.check(&[
            ("object encoding packed", "$8 listpack"),
            ("object encoding object", "$9 quicklist"),
            ("rename object moved", "+OK"),
            ("copy moved copied", ":1"),
            ("move copied 3", ":1"),
            ("type moved", "+list"),
            ("set moved v", "+OK"),
            ("get moved", "$1 v"),
            ("del packed", ":1"),
        ]);
    }
}
