//! CLIENT and its subcommands.

use crate::commands::help::{help_row, reply_help};
use crate::commands::{
    Categories, ClientAttribute, ClientFilter, ClientKill, ClientType, Command, CommandError,
    Context, Docs, Flags, Group, Handler, Operation, Outcome, ReplyMode,
};
use crate::protocol::Args;
use crate::text::number;

pub(super) const CLIENT: Command = Command {
    name: "client",
    arity: -2,
    flags: Flags::empty(),
    categories: Categories::empty(),
    keys: &[],
    handler: Handler::Container,
    docs: Docs {
        summary: "A container for client connection commands.",
        since: "2.4.0",
        group: Group::Connection,
        complexity: "Depends on subcommand.",
        arguments: "",
    },
    tips: &[],
    subcommands: &[
        GETNAME,
        GETREDIR,
        HELP,
        ID,
        INFO,
        KILL,
        LIST,
        NO_EVICT,
        NO_TOUCH,
        PAUSE,
        REPLY,
        SETINFO,
        SETNAME,
        TRACKINGINFO,
        UNBLOCK,
        UNPAUSE,
    ],
};

/// What every subcommand has in common, to be overwritten where it differs.
const SUBCOMMAND: Command = Command {
    name: "",
    arity: 2,
    flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE),
    categories: Categories::CONNECTION,
    keys: &[],
    handler: Handler::Container,
    docs: DOCS,
    tips: &[],
    subcommands: &[],
};
const DOCS: Docs =
    Docs { summary: "", since: "", group: Group::Connection, complexity: "O(1)", arguments: "" };
const ADMIN: Flags = SUBCOMMAND.flags.union(Flags::ADMIN);
const ON_OFF: &str = "<ON | OFF>";
const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const GETNAME: Command = Command {
    name: "getname",
    handler: Handler::Engine(|_| Ok(Operation::ClientGetName)),
    docs: Docs { summary: "Returns the name of the connection.", since: "2.6.9", ..DOCS },
    ..SUBCOMMAND
};

const GETREDIR: Command = Command {
    name: "getredir",
    handler: Handler::Engine(|_| Ok(Operation::ClientGetRedir)),
    docs: Docs {
        summary: "Returns the client ID to which the connection's tracking notifications are \
                  redirected.",
        since: "6.0.0",
        ..DOCS
    },
    ..SUBCOMMAND
};

const HELP: Command =
    Command { categories: Categories::CONNECTION, ..help_row(Group::Connection, "5.0.0", help) };

fn help(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    reply_help(
        context,
        "CLIENT",
        &[
            "GETREDIR",
            "    Return the client ID we are redirecting to when tracking is enabled.",
            "GETNAME",
            "    Return the name of the current connection.",
            "ID",
            "    Return the ID of the current connection.",
            "INFO",
            "    Return information about the current client connection.",
            "KILL <ip:port>",
            "    Kill connection made from <ip:port>.",
            "KILL <option> <value> [<option> <value> [...]]",
            "    Kill connections. Options are:",
            "    * ADDR (<ip:port>|<unixsocket>:0)",
            "      Kill connections made from the specified address",
            "    * LADDR (<ip:port>|<unixsocket>:0)",
            "      Kill connections made to specified local address",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Kill connections by type.",
            "    * USER <username>",
            "      Kill connections authenticated by <username>.",
            "    * SKIPME (YES|NO)",
            "      Skip killing current connection (default: yes).",
            "LIST [options ...]",
            "    Return information about client connections. Options:",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Return clients of specified type.",
            "UNPAUSE",
            "    Stop the current client pause, resuming traffic.",
            "PAUSE <timeout> [WRITE|ALL]",
            "    Suspend all, or just write, clients for <timeout> milliseconds.",
            "REPLY (ON|OFF|SKIP)",
            "    Control the replies sent to the current connection.",
            "SETNAME <name>",
            "    Assign the name <name> to the current connection.",
            "SETINFO <option> <value>",
            "    Set client meta attr. Options are:",
            "    * LIB-NAME: the client lib name.",
            "    * LIB-VER: the client lib version.",
            "UNBLOCK <clientid> [TIMEOUT|ERROR]",
            "    Unblock the specified blocked client.",
            "TRACKINGINFO",
            "    Report tracking status for the current connection.",
            "NO-EVICT (ON|OFF)",
            "    Protect current client connection from eviction.",
            "NO-TOUCH (ON|OFF)",
            "    Will not touch LRU/LFU stats when this mode is on.",
        ],
    )
}

const ID: Command = Command {
    name: "id",
    handler: Handler::Engine(|_| Ok(Operation::ClientId)),
    docs: Docs {
        summary: "Returns the unique client ID of the connection.",
        since: "5.0.0",
        ..DOCS
    },
    ..SUBCOMMAND
};

const INFO: Command = Command {
    name: "info",
    handler: Handler::Engine(|_| Ok(Operation::ClientInfo)),
    docs: Docs { summary: "Returns information about the connection.", since: "6.2.0", ..DOCS },
    tips: &["nondeterministic_output"],
    ..SUBCOMMAND
};

const KILL: Command = Command {
    name: "kill",
    arity: -3,
    flags: ADMIN,
    handler: Handler::Engine(kill),
    docs: Docs {
        summary: "Terminates open connections.",
        since: "2.4.0",
        complexity: "O(N) where N is the number of client connections",
        arguments: "<ip:port | [ID client-id] [TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] \
                    [USER username] [ADDR ip:port] [LADDR ip:port] [SKIPME <YES | NO>]>",
        ..DOCS
    },
    ..SUBCOMMAND
};

fn kill(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    if args.len() == 3 {
        let filter = ClientFilter { addr: Some(args.at(2).to_vec()), ..ClientFilter::default() };
        return Ok(Operation::ClientKill(ClientKill { filter, skip_me: false, old_form: true }));
    }
    let mut filter = ClientFilter::default();
    let mut skip_me = true;
    let mut at = 2;
    while let Some(option) = args.get(at) {
        let value = args.get(at + 1).ok_or(CommandError::Syntax)?;
        at += 2;
        match option.to_ascii_lowercase().as_slice() {
            b"id" => {
                let id = number::parse_i64(value).filter(|&id| id > 0);
                let text = "ERR client-id should be greater than 0";
                let id = id.ok_or(CommandError::text(text))?;
                filter.ids = vec![id.unsigned_abs()];
            }
            b"type" => filter.kind = Some(client_type(value)?),
            b"addr" => filter.addr = Some(value.to_vec()),
            b"laddr" => filter.laddr = Some(value.to_vec()),
            // There is one user.
            b"user" if value == b"default" => filter.user = Some(value.to_vec()),
            b"user" => return Err(CommandError::quoting("ERR No such user '", value, "'")),
            b"skipme" => skip_me = yes_or_no(value)?,
            _ => return Err(CommandError::Syntax),
        }
    }
    Ok(Operation::ClientKill(ClientKill { filter, skip_me, old_form: false }))
}

fn client_type(name: &[u8]) -> Result<ClientType, CommandError> {
    match name.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(ClientType::Normal),
        b"master" => Ok(ClientType::Master),
        b"slave" | b"replica" => Ok(ClientType::Replica),
        b"pubsub" => Ok(ClientType::PubSub),
        _ => Err(CommandError::quoting("ERR Unknown client type '", name, "'")),
    }
}

fn yes_or_no(value: &[u8]) -> Result<bool, CommandError> {
    if value.eq_ignore_ascii_case(b"yes") {
        Ok(true)
    } else if value.eq_ignore_ascii_case(b"no") {
        Ok(false)
    } else {
        Err(CommandError::Syntax)
    }
}

const LIST: Command = Command {
    name: "list",
    arity: -2,
    flags: ADMIN,
    handler: Handler::Engine(list),
    docs: Docs {
        summary: "Lists open connections.",
        since: "2.4.0",
        complexity: "O(N) where N is the number of client connections",
        arguments: "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
        ..DOCS
    },
    tips: &["nondeterministic_output"],
    ..SUBCOMMAND
};

fn list(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    let mut filter = ClientFilter::default();
    match args.get(2) {
        None => {}
        Some(option) if args.len() == 4 && option.eq_ignore_ascii_case(b"TYPE") => {
            filter.kind = Some(client_type(args.at(3))?);
        }
        Some(option) if args.len() > 3 && option.eq_ignore_ascii_case(b"ID") => {
            for id in args.from(3).iter() {
                let id =
                    number::parse_i64(id).ok_or(CommandError::text("ERR Invalid client ID"))?;
                // A negative one is nobody's, as in Redis.
                filter.ids.push(u64::try_from(id).unwrap_or(u64::MAX));
            }
        }
        Some(_) => return Err(CommandError::Syntax),
    }
    Ok(Operation::ClientList(filter))
}

const NO_EVICT: Command = Command {
    name: "no-evict",
    arity: 3,
    flags: ADMIN,
    handler: Handler::Engine(|args| on_or_off(args.at(2)).map(Operation::ClientNoEvict)),
    docs: Docs {
        summary: "Sets the client eviction mode of the connection.",
        since: "7.0.0",
        arguments: ON_OFF,
        ..DOCS
    },
    ..SUBCOMMAND
};

const NO_TOUCH: Command = Command {
    name: "no-touch",
    arity: 3,
    handler: Handler::Engine(|args| on_or_off(args.at(2)).map(Operation::ClientNoTouch)),
    docs: Docs {
        summary: "Controls whether commands sent by the client affect the LRU/LFU of accessed \
                  keys.",
        since: "7.2.0",
        arguments: ON_OFF,
        ..DOCS
    },
    ..SUBCOMMAND
};

fn on_or_off(value: &[u8]) -> Result<bool, CommandError> {
    if value.eq_ignore_ascii_case(b"on") {
        Ok(true)
    } else if value.eq_ignore_ascii_case(b"off") {
        Ok(false)
    } else {
        Err(CommandError::Syntax)
    }
}

const PAUSE: Command = Command {
    name: "pause",
    arity: -3,
    flags: ADMIN,
    handler: Handler::Engine(pause),
    docs: Docs {
        summary: "Suspends commands processing.",
        since: "2.9.50",
        arguments: "timeout [WRITE | ALL]",
        ..DOCS
    },
    ..SUBCOMMAND
};

fn pause(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    let writes_only = match args.get(3) {
        None => false,
        Some(_) if args.len() > 4 => return Err(unknown_or_arity(args)),
        Some(mode) if mode.eq_ignore_ascii_case(b"WRITE") => true,
        Some(mode) if mode.eq_ignore_ascii_case(b"ALL") => false,
        Some(_) => {
            return Err(CommandError::text("ERR CLIENT PAUSE mode must be WRITE or ALL"));
        }
    };
    let Some(millis) = number::parse_i64(args.at(2)) else {
        return Err(CommandError::text("ERR timeout is not an integer or out of range"));
    };
    let millis =
        u64::try_from(millis).map_err(|_| CommandError::text("ERR timeout is negative"))?;
    if millis > PAUSE_MS_MAX {
        return Err(CommandError::text("ERR timeout is out of range"));
    }
    Ok(Operation::ClientPause { millis, writes_only })
}

/// The longest pause, such that its end as Unix milliseconds fits an `i64` until the year 10889.
const PAUSE_MS_MAX: u64 = i64::MAX as u64 - (1 << 48);

const REPLY: Command = Command {
    name: "reply",
    arity: 3,
    handler: Handler::Engine(reply),
    docs: Docs {
        summary: "Instructs the server whether to reply to commands.",
        since: "3.2.0",
        arguments: "<ON | OFF | SKIP>",
        ..DOCS
    },
    ..SUBCOMMAND
};

fn reply(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    let mode = match args.at(2).to_ascii_lowercase().as_slice() {
        b"on" => ReplyMode::On,
        b"off" => ReplyMode::Off,
        b"skip" => ReplyMode::Skip,
        _ => return Err(CommandError::Syntax),
    };
    Ok(Operation::ClientReply(mode))
}

const SETINFO: Command = Command {
    name: "setinfo",
    arity: 4,
    handler: Handler::Engine(set_info),
    docs: Docs {
        summary: "Sets information specific to the client or connection.",
        since: "7.2.0",
        arguments: "<LIB-NAME libname | LIB-VER libver>",
        ..DOCS
    },
    tips: ALL_NODES,
    ..SUBCOMMAND
};

fn set_info(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    let (name, value) = (args.at(2), args.at(3));
    let attribute = if name.eq_ignore_ascii_case(b"LIB-NAME") {
        ClientAttribute::LibName
    } else if name.eq_ignore_ascii_case(b"LIB-VER") {
        ClientAttribute::LibVer
    } else {
        return Err(CommandError::quoting("ERR Unrecognized option '", name, "'"));
    };
    if !is_plain(value) {
        let text = " cannot contain spaces, newlines or special characters.";
        return Err(CommandError::quoting("ERR ", name, text));
    }
    Ok(Operation::ClientSetInfo { attribute, value })
}

const SETNAME: Command = Command {
    name: "setname",
    arity: 3,
    handler: Handler::Engine(set_name),
    docs: Docs {
        summary: "Sets the connection name.",
        since: "2.6.9",
        arguments: "connection-name",
        ..DOCS
    },
    tips: ALL_NODES,
    ..SUBCOMMAND
};

fn set_name(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    let name = args.at(2);
    check_name(name)?;
    Ok(Operation::ClientSetName(name))
}

/// A name must not break the lines of CLIENT LIST.
pub(super) fn check_name(name: &[u8]) -> Result<(), CommandError> {
    if is_plain(name) {
        return Ok(());
    }
    let text = "ERR Client names cannot contain spaces, newlines or special characters.";
    Err(CommandError::text(text))
}

fn is_plain(value: &[u8]) -> bool {
    value.iter().all(u8::is_ascii_graphic)
}

const TRACKINGINFO: Command = Command {
    name: "trackinginfo",
    handler: Handler::Engine(|_| Ok(Operation::ClientTrackingInfo)),
    docs: Docs {
        summary: "Returns information about server-assisted client-side caching for the \
                  connection.",
        since: "6.2.0",
        ..DOCS
    },
    ..SUBCOMMAND
};

const UNBLOCK: Command = Command {
    name: "unblock",
    arity: -3,
    flags: ADMIN,
    handler: Handler::Engine(unblock),
    docs: Docs {
        summary: "Unblocks a client blocked by a blocking command from a different connection.",
        since: "5.0.0",
        complexity: "O(log N) where N is the number of client connections",
        arguments: "client-id [TIMEOUT | ERROR]",
        ..DOCS
    },
    ..SUBCOMMAND
};

fn unblock(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    let with_error = match args.get(3) {
        None => false,
        Some(_) if args.len() > 4 => return Err(unknown_or_arity(args)),
        Some(reason) if reason.eq_ignore_ascii_case(b"TIMEOUT") => false,
        Some(reason) if reason.eq_ignore_ascii_case(b"ERROR") => true,
        Some(_) => {
            let text = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR";
            return Err(CommandError::text(text));
        }
    };
    let id = number::parse_i64(args.at(2)).ok_or(CommandError::NotInteger)?;
    Ok(Operation::ClientUnblock { id: u64::try_from(id).unwrap_or(u64::MAX), with_error })
}

const UNPAUSE: Command = Command {
    name: "unpause",
    flags: ADMIN.union(Flags::UNPAUSES),
    handler: Handler::Engine(|_| Ok(Operation::ClientUnpause)),
    docs: Docs {
        summary: "Resumes processing commands from paused clients.",
        since: "6.2.0",
        complexity: "O(N) Where N is the number of paused clients",
        ..DOCS
    },
    ..SUBCOMMAND
};

/// What Redis says where a subcommand's arity allows more arguments than it takes.
fn unknown_or_arity(args: Args<'_>) -> CommandError {
    let text = "ERR unknown subcommand or wrong number of arguments for '";
    CommandError::quoting(text, args.at(1), "'. Try CLIENT HELP.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_support::{parse_error, words};

    #[test]
    fn kill_has_an_old_and_a_new_form() {
        let args = words(&["client", "kill", "127.0.0.1:5000"]);
        let Ok(Operation::ClientKill(parsed)) = kill(args.as_args()) else {
            panic!("it is a CLIENT KILL");
        };
        assert!(parsed.old_form && !parsed.skip_me);
        assert_eq!(parsed.filter.addr.as_deref(), Some(b"127.0.0.1:5000".as_slice()));

        let line =
            ["client", "kill", "ID", "7", "TYPE", "slave", "SKIPME", "no", "user", "default"];
        let args = words(&line);
        let Ok(Operation::ClientKill(parsed)) = kill(args.as_args()) else {
            panic!("it is a CLIENT KILL");
        };
        assert!(!parsed.old_form && !parsed.skip_me);
        assert_eq!(parsed.filter.ids, [7]);
        assert_eq!(parsed.filter.kind, Some(ClientType::Replica));
        assert_eq!(parsed.filter.user.as_deref(), Some(b"default".as_slice()));
    }

    #[test]
    fn kill_refuses_what_redis_refuses() {
        for (options, text) in [
            (&["id", "0"][..], "ERR client-id should be greater than 0"),
            (&["id", "x"], "ERR client-id should be greater than 0"),
            (&["type", "foo"], "ERR Unknown client type 'foo'"),
            (&["user", "foo"], "ERR No such user 'foo'"),
            (&["skipme", "foo"], "ERR syntax error"),
            (&["id", "5", "foo"], "ERR syntax error"),
            (&["id", "5", "foo", "bar"], "ERR syntax error"),
        ] {
            assert_eq!(parse_error(kill, &[&["client", "kill"], options].concat()), text);
        }
    }

    #[test]
    fn list_takes_a_type_or_ids() {
        let args = words(&["client", "list", "id", "3", "1", "-5"]);
        let Ok(Operation::ClientList(filter)) = list(args.as_args()) else {
            panic!("it is a CLIENT LIST");
        };
        assert_eq!(filter.ids, [3, 1, u64::MAX]);
        for (options, text) in [
            (&["type", "foo"][..], "ERR Unknown client type 'foo'"),
            (&["type"], "ERR syntax error"),
            (&["id"], "ERR syntax error"),
            (&["id", "x"], "ERR Invalid client ID"),
            (&["id", ""], "ERR Invalid client ID"),
            (&["foo"], "ERR syntax error"),
            (&["type", "normal", "foo"], "ERR syntax error"),
        ] {
            assert_eq!(parse_error(list, &[&["client", "list"], options].concat()), text);
        }
    }

    #[test]
    fn pause_checks_its_timeout_and_mode() {
        let args = words(&["client", "pause", "100", "write"]);
        assert!(matches!(
            pause(args.as_args()),
            Ok(Operation::ClientPause { millis: 100, writes_only: true })
        ));
        for (options, text) in [
            (&["x"][..], "ERR timeout is not an integer or out of range"),
            (&["9999999999999999999"], "ERR timeout is not an integer or out of range"),
            (&["9223372036854775807"], "ERR timeout is out of range"),
            (&["-1"], "ERR timeout is negative"),
            (&["0", "foo"], "ERR CLIENT PAUSE mode must be WRITE or ALL"),
            (
                &["1", "write", "3"],
                "ERR unknown subcommand or wrong number of arguments for 'pause'. Try CLIENT HELP.",
            ),
        ] {
            assert_eq!(parse_error(pause, &[&["client", "pause"], options].concat()), text);
        }
    }

    #[test]
    fn unblock_checks_its_id_and_reason() {
        let args = words(&["client", "unblock", "3", "error"]);
        assert!(matches!(
            unblock(args.as_args()),
            Ok(Operation::ClientUnblock { id: 3, with_error: true })
        ));
        for (options, text) in [
            (&["x"][..], "ERR value is not an integer or out of range"),
            (&["x", "foo"], "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        ] {
            assert_eq!(parse_error(unblock, &[&["client", "unblock"], options].concat()), text);
        }
    }

    #[test]
    fn names_and_attributes_hold_only_visible_characters() {
        let args = words(&["client", "setname", ""]);
        assert!(matches!(set_name(args.as_args()), Ok(Operation::ClientSetName(b""))));
        let text = "ERR Client names cannot contain spaces, newlines or special characters.";
        for name in ["a b", "a\n", "\u{7f}", "é"] {
            assert_eq!(parse_error(set_name, &["client", "setname", name]), text);
        }
        let args = words(&["client", "setinfo", "LIB-name", "redis-py"]);
        assert!(matches!(
            set_info(args.as_args()),
            Ok(Operation::ClientSetInfo {
                attribute: ClientAttribute::LibName,
                value: b"redis-py"
            })
        ));
        assert_eq!(
            parse_error(set_info, &["client", "setinfo", "lib-ver", "1 2"]),
            "ERR lib-ver cannot contain spaces, newlines or special characters."
        );
        assert_eq!(
            parse_error(set_info, &["client", "setinfo", "foo", "1"]),
            "ERR Unrecognized option 'foo'"
        );
    }

    #[test]
    fn switches_take_their_two_or_three_words() {
        let args = words(&["client", "reply", "Skip"]);
        assert!(matches!(reply(args.as_args()), Ok(Operation::ClientReply(ReplyMode::Skip))));
        assert_eq!(parse_error(reply, &["client", "reply", "foo"]), "ERR syntax error");
        assert_eq!(on_or_off(b"ON"), Ok(true));
        assert_eq!(on_or_off(b"off"), Ok(false));
        assert_eq!(on_or_off(b"yes"), Err(CommandError::Syntax));
    }
}
