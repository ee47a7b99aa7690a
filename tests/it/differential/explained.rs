//! The differences that are meant: what Redis 7.2 does otherwise than the 7.0 that Debian ships,
//! and Ringwell's own deviations, each with its reason.

use std::collections::BTreeMap;
use std::fmt;

use crate::support::Value;

use super::step::Cmd;

struct Explanation {
    reason: &'static str,
    /// The command and, if it has one, the subcommand, in upper case.
    command: &'static [&'static str],
    holds: fn(cmd: &Cmd, ours: &Value, theirs: &Value) -> bool,
}

const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        reason: "CLIENT NO-TOUCH is new in 7.2",
        command: &["CLIENT", "NO-TOUCH"],
        holds: |_, _, theirs| is_unknown_subcommand(theirs),
    },
    Explanation {
        reason: "CLIENT SETINFO is new in 7.2",
        command: &["CLIENT", "SETINFO"],
        holds: |_, _, theirs| is_unknown_subcommand(theirs),
    },
    Explanation {
        reason: "Redis shares small integers, but not with copies; Ringwell shares nothing and \
                 answers by the value",
        command: &["OBJECT", "REFCOUNT"],
        holds: |_, ours, theirs| *ours == Value::Int(2147483647) && *theirs == Value::Int(1),
    },
    Explanation {
        reason: "a short list is a listpack in 7.2, and always a quicklist in 7.0",
        command: &["OBJECT", "ENCODING"],
        holds: |_, ours, theirs| is_text(ours, "listpack") && is_text(theirs, "quicklist"),
    },
    Explanation {
        reason: "a short set is a listpack in 7.2, and in 7.0 a hashtable",
        command: &["OBJECT", "ENCODING"],
        holds: |_, ours, theirs| is_text(ours, "listpack") && is_text(theirs, "hashtable"),
    },
    Explanation {
        reason: "Redis makes a skiplist of a sorted set to sort its members",
        command: &["OBJECT", "ENCODING"],
        holds: |_, ours, theirs| is_text(ours, "listpack") && is_text(theirs, "skiplist"),
    },
    Explanation {
        reason: "a stored difference has the form of a new set, while Redis leaves it the form of \
                 what it was taken from",
        command: &["OBJECT", "ENCODING"],
        holds: |_, ours, theirs| is_text(ours, "intset") && is_text(theirs, "hashtable"),
    },
    Explanation {
        reason: "Redis looks for keys behind a count that only begins like a number, although the \
                 command itself refuses it",
        command: &["COMMAND", "GETKEYS"],
        holds: |cmd, ours, _| counts_keys(cmd) && is_invalid_arguments(ours),
    },
    Explanation {
        reason: "Redis looks for SORT's destination among the values of its options, too",
        command: &["COMMAND", "GETKEYS"],
        holds: |cmd, _, _| sorts(cmd),
    },
    Explanation {
        reason: "as for GETKEYS of SORT",
        command: &["COMMAND", "GETKEYSANDFLAGS"],
        holds: |cmd, _, _| sorts(cmd),
    },
    Explanation {
        reason: "as for GETKEYS",
        command: &["COMMAND", "GETKEYSANDFLAGS"],
        holds: |cmd, ours, _| counts_keys(cmd) && is_invalid_arguments(ours),
    },
];

fn sorts(cmd: &Cmd) -> bool {
    cmd.upper(2) == "SORT"
}

fn counts_keys(cmd: &Cmd) -> bool {
    const COMMANDS: [&str; 12] = [
        "LMPOP",
        "BLMPOP",
        "SINTERCARD",
        "ZMPOP",
        "BZMPOP",
        "ZUNION",
        "ZINTER",
        "ZDIFF",
        "ZINTERCARD",
        "ZUNIONSTORE",
        "ZINTERSTORE",
        "ZDIFFSTORE",
    ];
    COMMANDS.contains(&&*cmd.upper(2))
}

fn is_invalid_arguments(value: &Value) -> bool {
    matches!(value, Value::Error(text) if text == b"ERR Invalid arguments specified for command")
}

fn is_text(value: &Value, expected: &str) -> bool {
    matches!(value, Value::Bulk(text) if text == expected.as_bytes())
}

fn is_unknown_subcommand(theirs: &Value) -> bool {
    matches!(theirs, Value::Error(text) if text.starts_with(b"ERR unknown subcommand"))
}

/// How often each explanation was used.
#[derive(Default)]
pub struct Tally(BTreeMap<&'static str, usize>);

impl Tally {
    pub fn explain(&mut self, cmd: &Cmd, ours: &Value, theirs: &Value) -> bool {
        let found = EXPLANATIONS.iter().find(|e| {
            e.command.iter().enumerate().all(|(n, word)| cmd.upper(n) == *word)
                && (e.holds)(cmd, ours, theirs)
        });
        if let Some(explanation) = found {
            *self.0.entry(explanation.reason).or_default() += 1;
        }
        found.is_some()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no difference");
        }
        let parts: Vec<String> = self.0.iter().map(|(why, n)| format!("{n} x {why}")).collect();
        write!(f, "explained: {}", parts.join(", "))
    }
}
