//! CONFIG GET and CONFIG SET, as functions of one configuration.

use std::fmt;

use super::directive::{Change, Directive, Replace, split_words};
use super::{Config, DIRECTIVES, find};
use crate::text::glob;

/// Why CONFIG SET was refused, in Redis's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// No such directive.
    Unknown { name: String },
    /// A directive refused its value or to be changed.
    Failed { name: String, reason: String },
}

impl fmt::Display for SetError {
    /// The text of the error reply, without `-ERR ` in front.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetError::Unknown { name } => {
                write!(f, "Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            SetError::Failed { name, reason } => {
                write!(f, "CONFIG SET failed (possibly related to argument '{name}') - {reason}")
            }
        }
    }
}

impl std::error::Error for SetError {}

impl Config {
    /// The directives that names or patterns ask for, each once, in the order of the table. The
    /// older names of a directive are directives of their own here. As in Redis, what is asked for
    /// by its name is called as it was asked for, in whatever case, and the first who asks decides.
    pub fn get<P: AsRef<[u8]>>(&self, asked: &[P]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let called = |name: &'static str| {
            asked.iter().map(AsRef::as_ref).find_map(|asked| {
                if is_pattern(asked) {
                    glob::matches(asked, name.as_bytes(), true).then(|| name.as_bytes().to_vec())
                } else {
                    asked.eq_ignore_ascii_case(name.as_bytes()).then(|| asked.to_vec())
                }
            })
        };
        let named = |d: &'static Directive| {
            std::iter::once(d.name).chain(d.aliases.iter().copied()).map(move |name| (d, name))
        };
        DIRECTIVES
            .iter()
            .flat_map(named)
            .filter_map(|(directive, name)| Some((called(name)?, directive.show(self))))
            .collect()
    }

    /// The configuration with some directives changed: all of them, or none and the reason.
    /// `local` tells that the client came over loopback or a unix socket, which
    /// `enable-protected-configs local` asks for.
    pub fn with_changes(&self, pairs: &[(&[u8], &[u8])], local: bool) -> Result<Config, SetError> {
        let mut chosen: Vec<&Directive> = Vec::with_capacity(pairs.len());
        for (name, _) in pairs {
            let directive =
                find(name).ok_or_else(|| SetError::Unknown { name: printable(name) })?;
            let reason = match directive.change {
                Change::AtStart => "can't set immutable config",
                Change::Protected if !self.enable_protected_configs.allows(local) => {
                    "can't set protected config"
                }
                _ if chosen.iter().any(|other| std::ptr::eq(*other, directive)) => {
                    "duplicate parameter"
                }
                _ => {
                    chosen.push(directive);
                    continue;
                }
            };
            return Err(failed(name, reason));
        }
        let mut config = self.clone();
        for (directive, (name, value)) in chosen.into_iter().zip(pairs) {
            set(directive, &mut config, value).map_err(|reason| failed(name, &reason))?;
            config.refuse_promises(directive).map_err(|reason| failed(name, &reason))?;
        }
        Ok(config)
    }
}

fn set(directive: &Directive, config: &mut Config, value: &[u8]) -> Result<(), String> {
    let words = if directive.shape.many_words { split_words(value)? } else { vec![value.into()] };
    let words = if words.is_empty() { vec![Vec::new()] } else { words };
    directive.read(config, &words, Replace::All)
}

/// Whether CONFIG GET looks for more than this one name. A backslash alone makes no pattern.
fn is_pattern(asked: &[u8]) -> bool {
    asked.iter().any(|byte| b"[*?".contains(byte))
}

fn failed(name: &[u8], reason: &str) -> SetError {
    SetError::Failed { name: printable(name), reason: reason.into() }
}

/// A name from a client, fit for an error line and of bounded length.
fn printable(name: &[u8]) -> String {
    const LONGEST: usize = 128;
    String::from_utf8_lossy(&name[..name.len().min(LONGEST)])
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        Config::default().with_changes(&pairs, true).map_err(|error| error.to_string())
    }

    fn shown(config: &Config, name: &str) -> String {
        let values = config.get(&[name]).into_iter().map(|(_, value)| value);
        String::from_utf8(values.collect::<Vec<_>>().concat()).expect("the value is text")
    }

    #[test]
    fn get_takes_several_globs_and_answers_each_directive_once() {
        let config = Config::default();
        let names = |patterns: &[&str]| {
            let found = config.get(patterns).into_iter();
            found.map(|(name, _)| String::from_utf8(name).expect("text")).collect::<Vec<_>>()
        };
        assert_eq!(names(&["port"]), ["port"]);
        assert_eq!(names(&["p?rt", "PORT", "timeout"]), ["port", "timeout"]);
        assert_eq!(names(&["timeout", "port"]), ["port", "timeout"], "in the order of the table");
        assert_eq!(names(&["nosuch"]), [""; 0]);
        let zset = names(&["zset-max-*-entries"]);
        assert_eq!(zset, ["zset-max-listpack-entries", "zset-max-ziplist-entries"]);
        let rows: usize = DIRECTIVES.iter().map(|d| 1 + d.aliases.len()).sum();
        assert_eq!(names(&["*"]).len(), rows);
    }

    /// As redis-server 7.0 does.
    #[test]
    fn get_calls_a_directive_as_it_was_asked_for() {
        let config = Config::default();
        let names = |asked: &[&str]| {
            let found = config.get(asked).into_iter();
            found.map(|(name, _)| String::from_utf8(name).expect("text")).collect::<Vec<_>>()
        };
        assert_eq!(names(&["MaxMemory"]), ["MaxMemory"]);
        assert_eq!(names(&["MaxMemory", "maxmemory", "maxmemor[xy]"]), ["MaxMemory"]);
        assert_eq!(names(&["maxmemor?", "MAXMEMORY"]), ["maxmemory"]);
        assert_eq!(names(&["MAXMEMOR[y]"]), ["maxmemory"]);
        assert_eq!(names(&["po\\rt"]), [""; 0], "a backslash is none of a pattern's marks");
        assert_eq!(
            names(&["Slave-Priority", "replica-PRIORITY"]),
            ["replica-PRIORITY", "Slave-Priority"]
        );
    }

    #[test]
    fn a_password_is_bytes_and_everything_else_text() {
        let config = Config::default();
        let password = b"\0p\xe4ss \xff\"'";
        let changed = config.with_changes(&[(b"requirepass", password)], true).expect("bytes");
        assert_eq!(changed.requirepass.expose(), password);
        assert_eq!(changed.get(&["requirepass"])[0].1, password);
        let refused = config.with_changes(&[(b"proc-title-template", b"\xff")], true);
        assert!(refused.expect_err("not text").to_string().contains("valid UTF-8"));
    }

    #[test]
    fn benchmarks_and_clients_get_what_they_ask_for() {
        let config = Config::default();
        for (name, expected) in [
            ("save", ""),
            ("appendonly", "no"),
            ("maxmemory", "0"),
            ("maxmemory-policy", "allkeys-s3fifo"),
            ("databases", "16"),
            ("proto-max-bulk-len", "536870912"),
            ("bind", "* -::*"),
            ("unixsocketperm", "0"),
            (
                "client-output-buffer-limit",
                "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
            ),
            ("slave-priority", "100"),
            ("proc-title-template", "{title} {listen-addr} {server-mode}"),
        ] {
            assert_eq!(shown(&config, name), expected, "{name}");
        }
    }

    /// The answers of redis-server 7.0, and of 7.2 where that differs.
    #[test]
    fn set_refuses_in_the_words_of_redis() {
        let failed = |name: &str, reason: &str| {
            format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}")
        };
        let unknown =
            |name: &str| format!("Unknown option or number of arguments for CONFIG SET - '{name}'");
        for (pairs, expected) in [
            (&[("nosuch", "1")][..], unknown("nosuch")),
            (&[("maxmemory", "1"), ("nosuch", "2")], unknown("nosuch")),
            (&[("no\r\nx", "1")], unknown("no  x")),
            (&[("port", "1")], failed("port", "can't set immutable config")),
            (&[("tcp-backlog", "1")], failed("tcp-backlog", "can't set immutable config")),
            (&[("dir", "/tmp")], failed("dir", "can't set protected config")),
            (&[("hz", "1"), ("HZ", "2")], failed("HZ", "duplicate parameter")),
            (
                &[("slave-priority", "1"), ("replica-priority", "2")],
                failed("replica-priority", "duplicate parameter"),
            ),
            (
                &[("timeout", "-1")],
                failed("timeout", "argument must be between 0 and 2147483647 inclusive"),
            ),
            (
                &[("timeout", "99999999999")],
                failed("timeout", "argument must be between 0 and 2147483647 inclusive"),
            ),
            (
                &[("timeout", "abc")],
                failed("timeout", "argument couldn't be parsed into an integer"),
            ),
            (&[("maxmemory", "12x")], failed("maxmemory", "argument must be a memory value")),
            (&[("maxmemory", "-1")], failed("maxmemory", "argument must be a memory value")),
            (
                &[("client-query-buffer-limit", "1")],
                failed(
                    "client-query-buffer-limit",
                    "argument must be between 1048576 and 9223372036854775807 inclusive",
                ),
            ),
            (
                &[("maxclients", "0")],
                failed("maxclients", "argument must be between 1 and 4294967295 inclusive"),
            ),
            (
                &[("protected-mode", "maybe")],
                failed("protected-mode", "argument must be 'yes' or 'no'"),
            ),
            (
                &[("loglevel", "foo")],
                failed(
                    "loglevel",
                    "argument(s) must be one of the following: debug, verbose, notice, warning, \
                     nothing",
                ),
            ),
            (
                &[("appendfsync", "x")],
                failed(
                    "appendfsync",
                    "argument(s) must be one of the following: everysec, always, no",
                ),
            ),
            (
                &[("client-output-buffer-limit", "normal 1 2")],
                failed(
                    "client-output-buffer-limit",
                    "Wrong number of arguments in buffer limit configuration.",
                ),
            ),
            (
                &[("client-output-buffer-limit", "foo 1 2 3")],
                failed(
                    "client-output-buffer-limit",
                    "Invalid client class specified in buffer limit configuration.",
                ),
            ),
            (
                &[("client-output-buffer-limit", "normal 1mb 2 -3")],
                failed(
                    "client-output-buffer-limit",
                    "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
                ),
            ),
            (&[("save", "abc")], failed("save", "Invalid save parameters")),
            (&[("save", "1 2 3")], failed("save", "Invalid save parameters")),
            (
                &[("notify-keyspace-events", "zZ")],
                failed(
                    "notify-keyspace-events",
                    "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
                ),
            ),
            // The second value is bad: the first must not have been set either.
            (
                &[("maxmemory", "5"), ("hz", "x")],
                failed("hz", "argument couldn't be parsed into an integer"),
            ),
        ] {
            assert_eq!(change(pairs).err(), Some(expected), "{pairs:?}");
        }
    }

    #[test]
    fn set_changes_what_it_is_given() {
        let config = change(&[
            ("MaxMemory", "1gb"),
            ("hz", "1000"),
            ("client-output-buffer-limit", "normal 1mb 2mb 3 replica 5 6 7"),
            ("notify-keyspace-events", "KEA"),
            ("allow-from", "10.0.0.0/8 fd00::/8"),
            ("requirepass", "s3 cret"),
            ("zset-max-ziplist-entries", "3"),
            ("lazyfree-lazy-eviction", "YES"),
            ("stream-node-max-bytes", "1kb"),
        ])
        .expect("good values");
        for (name, expected) in [
            ("maxmemory", "1073741824"),
            ("hz", "500"),
            (
                "client-output-buffer-limit",
                "normal 1048576 2097152 3 slave 5 6 7 pubsub 33554432 8388608 60",
            ),
            ("notify-keyspace-events", "AKE"),
            ("allow-from", "10.0.0.0/8 fd00::/8"),
            ("requirepass", "s3 cret"),
            ("zset-max-listpack-entries", "3"),
            ("lazyfree-lazy-eviction", "yes"),
            ("stream-node-max-bytes", "1024"),
        ] {
            assert_eq!(shown(&config, name), expected, "{name}");
        }
        let none = config.with_changes(&[(b"allow-from", b"")], true).expect("clears the list");
        assert!(none.allow_from.is_empty());
    }

    #[test]
    fn promises_that_would_lose_data_are_refused() {
        for (name, value) in [("appendonly", "yes"), ("save", "900 1")] {
            let error = change(&[(name, value)]).expect_err(name);
            assert!(error.contains("keeps nothing on disk"), "{error}");
        }
        assert!(change(&[("save", ""), ("appendonly", "no")]).is_ok());
    }

    #[test]
    fn protected_directives_follow_their_permission() {
        let pairs = [(&b"dir"[..], &b"/tmp"[..])];
        for (permission, local, allowed) in [
            ("no", true, false),
            ("local", true, true),
            ("local", false, false),
            ("yes", false, true),
        ] {
            let mut config = Config::default();
            let directive = find("enable-protected-configs").expect("in the table");
            directive.read(&mut config, &[permission.into()], Replace::All).expect("a permission");
            assert_eq!(config.with_changes(&pairs, local).is_ok(), allowed, "{permission} {local}");
        }
    }
}
