//! Commands about the connection itself.

mod client;

use super::{
    Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, Hello, Operation,
    Outcome,
};
use crate::protocol::Args;
use crate::protocol::resp::Version;
use crate::store::DATABASES;
use crate::text::number;

pub const COMMANDS: &[Command] = &[AUTH, client::CLIENT, ECHO, HELLO, PING, QUIT, RESET, SELECT];

/// Flags of what a client may send before it is authenticated.
const BEFORE_AUTH: Flags = Flags::NOSCRIPT
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::FAST)
    .union(Flags::NO_AUTH)
    .union(Flags::ALLOW_BUSY);

const AUTH: Command = Command {
    name: "auth",
    arity: -2,
    flags: BEFORE_AUTH,
    categories: Categories::CONNECTION,
    keys: &[],
    handler: Handler::Engine(auth),
    docs: Docs {
        summary: "Authenticates the connection.",
        since: "1.0.0",
        group: Group::Connection,
        complexity: "O(N) where N is the number of passwords defined for the user",
        arguments: "[username] password",
    },
    tips: &[],
    subcommands: &[],
};

fn auth(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    match args.len() {
        2 => Ok(Operation::Auth { user: None, password: args.at(1) }),
        3 => Ok(Operation::Auth { user: Some(args.at(1)), password: args.at(2) }),
        _ => Err(CommandError::Syntax),
    }
}

const ECHO: Command = Command {
    name: "echo",
    arity: 2,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    categories: Categories::CONNECTION,
    keys: &[],
    handler: Handler::Anywhere(echo),
    docs: Docs {
        summary: "Returns the given string.",
        since: "1.0.0",
        group: Group::Connection,
        complexity: "O(1)",
        arguments: "message",
    },
    tips: &[],
    subcommands: &[],
};

fn echo(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    context.reply.bulk(args.at(1));
    Ok(())
}

const HELLO: Command = Command {
    name: "hello",
    arity: -1,
    flags: BEFORE_AUTH,
    categories: Categories::CONNECTION,
    keys: &[],
    handler: Handler::Engine(hello),
    docs: Docs {
        summary: "Handshakes with the Redis server.",
        since: "6.0.0",
        group: Group::Connection,
        complexity: "O(1)",
        arguments: "[protover [AUTH username password] [SETNAME clientname]]",
    },
    tips: &[],
    subcommands: &[],
};

fn hello(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    let mut hello = Hello::default();
    if let Some(version) = args.get(1) {
        hello.version = Some(match number::parse_i64(version) {
            Some(2) => Version::Resp2,
            Some(3) => Version::Resp3,
            Some(_) => return Err(CommandError::text("NOPROTO unsupported protocol version")),
            None => {
                return Err(CommandError::text(
                    "ERR Protocol version is not an integer or out of range",
                ));
            }
        });
    }
    let mut at = 2;
    while let Some(option) = args.get(at) {
        let value = args.get(at + 1);
        let second_value = args.get(at + 2);
        if option.eq_ignore_ascii_case(b"AUTH")
            && let (Some(user), Some(password)) = (value, second_value)
        {
            hello.auth = Some((user, password));
            at += 3;
        } else if option.eq_ignore_ascii_case(b"SETNAME")
            && let Some(name) = value
        {
            client::check_name(name)?;
            hello.name = Some(name);
            at += 2;
        } else {
            return Err(CommandError::quoting("ERR Syntax error in HELLO option '", option, "'"));
        }
    }
    Ok(Operation::Hello(hello))
}

const PING: Command = Command {
    name: "ping",
    arity: -1,
    flags: Flags::FAST,
    categories: Categories::CONNECTION,
    keys: &[],
    handler: Handler::Anywhere(ping),
    docs: Docs {
        summary: "Returns the server's liveliness response.",
        since: "1.0.0",
        group: Group::Connection,
        complexity: "O(1)",
        arguments: "[message]",
    },
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    subcommands: &[],
};

fn ping(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    match (args.len(), args.get(1)) {
        (..=1, _) => context.reply.simple("PONG"),
        (2, Some(message)) => context.reply.bulk(message),
        _ => return Err(CommandError::text("ERR wrong number of arguments for 'ping' command")),
    }
    Ok(())
}

const QUIT: Command = Command {
    name: "quit",
    arity: -1,
    flags: BEFORE_AUTH.union(Flags::UNQUEUED).union(Flags::ENDS_MULTI),
    categories: Categories::CONNECTION,
    keys: &[],
    handler: Handler::Engine(|_| Ok(Operation::Quit)),
    docs: Docs {
        summary: "Closes the connection.",
        since: "1.0.0",
        group: Group::Connection,
        complexity: "O(1)",
        arguments: "",
    },
    tips: &[],
    subcommands: &[],
};

const RESET: Command = Command {
    name: "reset",
    arity: 1,
    flags: BEFORE_AUTH.union(Flags::UNQUEUED).union(Flags::ENDS_MULTI),
    categories: Categories::CONNECTION,
    keys: &[],
    handler: Handler::Engine(|_| Ok(Operation::Reset)),
    docs: Docs {
        summary: "Resets the connection.",
        since: "6.2.0",
        group: Group::Connection,
        complexity: "O(1)",
        arguments: "",
    },
    tips: &[],
    subcommands: &[],
};

const SELECT: Command = Command {
    name: "select",
    arity: 2,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    categories: Categories::CONNECTION,
    keys: &[],
    handler: Handler::Engine(select),
    docs: Docs {
        summary: "Changes the selected database.",
        since: "1.0.0",
        group: Group::Connection,
        complexity: "O(1)",
        arguments: "index",
    },
    tips: &[],
    subcommands: &[],
};

fn select(args: Args<'_>) -> Result<Operation<'_>, CommandError> {
    let index = number::parse_i64(args.at(1)).ok_or(CommandError::NotInteger)?;
    if i32::try_from(index).is_err() {
        return Err(CommandError::text(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ));
    }
    match usize::try_from(index) {
        Ok(index) if index < DATABASES => Ok(Operation::Select(index)),
        _ => Err(CommandError::text("ERR DB index is out of range")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_support::{parse_error, reply, words};

    #[test]
    fn auth_takes_a_password_or_a_user_and_a_password() {
        let args = words(&["auth", "secret"]);
        let parsed = auth(args.as_args());
        assert!(matches!(parsed, Ok(Operation::Auth { user: None, password: b"secret" })));
        let args = words(&["auth", "default", "secret"]);
        let parsed = auth(args.as_args());
        assert!(matches!(
            parsed,
            Ok(Operation::Auth { user: Some(b"default"), password: b"secret" })
        ));
        assert_eq!(parse_error(auth, &["auth", "a", "b", "c"]), "ERR syntax error");
    }

    #[test]
    fn hello_reads_its_options_in_any_order() {
        let args = words(&["hello", "3", "setname", "me", "auth", "default", "secret"]);
        let Ok(Operation::Hello(parsed)) = hello(args.as_args()) else {
            panic!("it is a HELLO");
        };
        assert_eq!(parsed.version, Some(Version::Resp3));
        assert_eq!(parsed.name, Some(b"me".as_slice()));
        assert_eq!(parsed.auth, Some((b"default".as_slice(), b"secret".as_slice())));
        let args = words(&["hello"]);
        let Ok(Operation::Hello(parsed)) = hello(args.as_args()) else {
            panic!("it is a HELLO");
        };
        assert!(parsed.version.is_none() && parsed.name.is_none() && parsed.auth.is_none());
    }

    #[test]
    fn hello_refuses_what_redis_refuses() {
        for (line, text) in [
            (&["hello", "4"][..], "NOPROTO unsupported protocol version"),
            (&["hello", "x"], "ERR Protocol version is not an integer or out of range"),
            (&["hello", "3", "auth"], "ERR Syntax error in HELLO option 'auth'"),
            (&["hello", "3", "AUTH", "a"], "ERR Syntax error in HELLO option 'AUTH'"),
            (&["hello", "3", "foo"], "ERR Syntax error in HELLO option 'foo'"),
            (
                &["hello", "3", "setname", "a b"],
                "ERR Client names cannot contain spaces, newlines or special characters.",
            ),
        ] {
            assert_eq!(parse_error(hello, line), text, "{line:?}");
        }
    }

    #[test]
    fn select_takes_the_sixteen_databases() {
        let args = words(&["select", "15"]);
        assert!(matches!(select(args.as_args()), Ok(Operation::Select(15))));
        for (index, text) in [
            ("16", "ERR DB index is out of range"),
            ("-1", "ERR DB index is out of range"),
            (
                "3000000000",
                "ERR value is out of range, value must between -2147483648 and 2147483647",
            ),
            ("x", "ERR value is not an integer or out of range"),
        ] {
            assert_eq!(parse_error(select, &["select", index]), text);
        }
    }

    #[test]
    fn ping_and_echo_answer_from_their_arguments() {
        assert_eq!(reply(&["ping"], Version::Resp2), "+PONG\r\n");
        assert_eq!(reply(&["ping", "hi"], Version::Resp2), "$2\r\nhi\r\n");
        assert_eq!(
            reply(&["ping", "a", "b"], Version::Resp2),
            "-ERR wrong number of arguments for 'ping' command\r\n"
        );
        assert_eq!(reply(&["echo", ""], Version::Resp3), "$0\r\n\r\n");
    }
}
