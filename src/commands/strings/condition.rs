//! Compare and set, compare and delete: what a key must hold for a command to change it.
//!
//! Options and commands are those of Redis 8.4 and Valkey 8.1 and 9.0.

use xxhash_rust::xxh3::xxh3_64;

use super::{DOCS, ROW};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeyRange, KeyRanges, KeySpec,
    Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::{EntryRef, Event};

/// What SET and DELEX may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition<'a> {
    #[default]
    Always,
    /// NX.
    Absent,
    /// XX.
    Present,
    /// IFEQ: holds exactly this.
    Equal(&'a [u8]),
    /// IFNE: does not hold this, and perhaps nothing.
    Unequal(&'a [u8]),
    /// IFDEQ: holds something with this digest.
    DigestEqual(u64),
    /// IFDNE: holds nothing with this digest.
    DigestUnequal(u64),
}

impl<'a> Condition<'a> {
    /// The comparison at `args[at]`, if it is one; it takes two arguments.
    pub fn comparison(args: Args<'a>, at: usize) -> Result<Option<Self>, CommandError> {
        let operand = || args.get(at + 1).ok_or(CommandError::Syntax);
        let word = args.at(at);
        Ok(Some(if word.eq_ignore_ascii_case(b"IFEQ") {
            Condition::Equal(operand()?)
        } else if word.eq_ignore_ascii_case(b"IFNE") {
            Condition::Unequal(operand()?)
        } else if word.eq_ignore_ascii_case(b"IFDEQ") {
            Condition::DigestEqual(parse_digest(operand()?)?)
        } else if word.eq_ignore_ascii_case(b"IFDNE") {
            Condition::DigestUnequal(parse_digest(operand()?)?)
        } else {
            return Ok(None);
        }))
    }

    /// Whether it looks at the value.
    pub fn compares(self) -> bool {
        !matches!(self, Condition::Always | Condition::Absent | Condition::Present)
    }

    /// Whether it holds of a key that does not exist.
    pub fn holds_of_nothing(self) -> bool {
        !matches!(self, Condition::Present | Condition::Equal(_) | Condition::DigestEqual(_))
    }

    /// Whether it holds of a key; only strings can be compared.
    pub fn holds_of(self, entry: EntryRef<'_>) -> Result<bool, CommandError> {
        Ok(match self {
            Condition::Always | Condition::Present => true,
            Condition::Absent => false,
            Condition::Equal(value) => *entry.as_string()? == *value,
            Condition::Unequal(value) => *entry.as_string()? != *value,
            Condition::DigestEqual(digest) => xxh3_64(&entry.as_string()?) == digest,
            Condition::DigestUnequal(digest) => xxh3_64(&entry.as_string()?) != digest,
        })
    }
}

/// A digest as clients write it: 16 hexadecimal digits, in either case.
fn parse_digest(text: &[u8]) -> Result<u64, CommandError> {
    let digits = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let digest = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    digest.ok_or(CommandError::text("ERR must be exactly 16 hexadecimal characters"))
}

pub const DIGEST: Command = Command {
    name: "digest",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    handler: Handler::Keyed(digest, Spread::OneKey),
    docs: Docs {
        summary: "Returns the XXH3 hash of the string stored at a key, in hexadecimal.",
        since: "8.4.0",
        complexity: "O(N) where N is the length of the string.",
        arguments: "key",
        ..DOCS
    },
    ..ROW
};

fn digest(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    match context.shard.read(context.db_index, args.at(1), context.now) {
        Some(entry) => {
            let digest = xxh3_64(&entry.as_string()?);
            context.reply.bulk(format!("{digest:016x}").as_bytes());
        }
        None => context.reply.null(),
    }
    Ok(())
}

pub const DELEX: Command = Command {
    name: "delex",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE).union(KeyFlags::VARIABLE_FLAGS))
        .or_by(keys_of_delex)],
    handler: Handler::Keyed(delex, Spread::OneKey),
    docs: Docs {
        summary: "Deletes a key on condition that the string stored there is, or is not, a certain \
                  one or one with a certain digest.",
        since: "8.4.0",
        complexity: "O(1), with IFDEQ and IFDNE O(N) where N is the length of the string.",
        arguments: "key [IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | \
                    IFDNE ifdne-digest]",
        ..DOCS
    },
    ..ROW
};

/// It reads its key only for a comparison.
fn keys_of_delex(args: Args<'_>) -> Option<KeyRanges> {
    let reads = if args.len() > 2 { KeyFlags::RW } else { KeyFlags::RM };
    Some(KeyRanges::NONE.with(KeyRange::new(1, 2, reads | KeyFlags::DELETE)))
}

fn delex(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let condition = match args.len() {
        2 => Condition::Always,
        4 => {
            let invalid = "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE";
            Condition::comparison(args, 2)?.ok_or(CommandError::text(invalid))?
        }
        _ => {
            let arity = "ERR wrong number of arguments for 'delex' command";
            return Err(CommandError::text(arity));
        }
    };
    let not_string = "ERR Key should be of string type if conditions are specified";
    delete_if(context, args.at(1), condition, CommandError::text(not_string))
}

pub const DELIFEQ: Command = Command {
    name: "delifeq",
    arity: 3,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RM.union(KeyFlags::DELETE))],
    handler: Handler::Keyed(delifeq, Spread::OneKey),
    docs: Docs {
        summary: "Deletes a key if the string stored there is a certain one.",
        since: "9.0.0",
        arguments: "key value",
        ..DOCS
    },
    ..ROW
};

fn delifeq(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    delete_if(context, args.at(1), Condition::Equal(args.at(2)), CommandError::WrongType)
}

/// `not_string` is the error where a comparison comes upon something else than a string.
fn delete_if(
    context: &mut Context<'_>,
    key: &[u8],
    condition: Condition<'_>,
    not_string: CommandError,
) -> Outcome {
    let found = context.shard.db_mut(context.db_index).get_mut(key, context.now, Event::Del);
    let is_deleted = match found {
        Some(entry) => {
            let holds = condition.holds_of(entry.get()).map_err(|_| not_string)?;
            if holds {
                entry.remove();
            }
            holds
        }
        None => false,
    };
    context.reply.integer(i64::from(is_deleted));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;

    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    const SYNTAX: &str = "-ERR syntax error";
    const NO_DIGEST: &str = "-ERR must be exactly 16 hexadecimal characters";

    /// As observed with valkey-server 9.1.2.
    #[test]
    fn set_if_equal() {
        Server::new().check(&[
            ("set k a", "+OK"),
            ("set k b ifeq a", "+OK"),
            ("set k c ifeq a", "$-1"),
            ("get k", "$1 b"),
            ("set none x ifeq a", "$-1"),
            ("exists none", ":0"),
            ("set k c ifeq b get", "$1 b"),
            ("set k d ifeq b get", "$1 c"),
            ("get k", "$1 c"),
            ("set none f ifeq e get", "$-1"),
            ("set k d ifeq", SYNTAX),
            ("set k d ifeq c nx", SYNTAX),
            ("set k d ifeq c xx", SYNTAX),
            ("set k d nx ifeq c", SYNTAX),
            ("set k d ifeq c ifeq d", SYNTAX),
            ("set k d ifeq c ifne d", SYNTAX),
            ("set k d IFEQ c ex 100", "+OK"),
            ("ttl k", ":100"),
            ("set k 5 ifeq d keepttl", "+OK"),
            ("set k 6 ifeq 5", "+OK"),
            ("ttl k", ":-1"),
            ("lpush l a", ":1"),
            ("set l x ifeq a", WRONG),
            ("set l x ifeq a get", WRONG),
            ("set l x ifne a", WRONG),
            ("set k f ifeq x ex -1", "-ERR invalid expire time in 'set' command"),
        ]);
    }

    #[test]
    fn set_if_unequal() {
        Server::new().check(&[
            ("set none a ifne b", "+OK"),
            ("set none c ifne a", "$-1"),
            ("set none c ifne b", "+OK"),
            ("set none d ifne x get", "$1 c"),
            ("set none e ifne d get", "$1 d"),
            ("get none", "$1 d"),
        ]);
    }

    /// Digests: the XXH3 of nothing and of "a", from the algorithm's reference implementation.
    #[test]
    fn digests() {
        Server::new().check(&[
            ("set k ''", "+OK"),
            ("digest k", "$16 2d06800538d394c2"),
            ("set k a", "+OK"),
            ("digest k", "$16 e6c632b61e964e1f"),
            ("digest none", "$-1"),
            ("lpush l a", ":1"),
            ("digest l", WRONG),
            ("set k b ifdeq E6C632B61E964E1F", "+OK"),
            ("set k c ifdeq e6c632b61e964e1f", "$-1"),
            ("set k c ifdne e6c632b61e964e1f", "+OK"),
            ("set new c ifdeq e6c632b61e964e1f", "$-1"),
            ("set new a ifdne e6c632b61e964e1f", "+OK"),
            ("set new c ifdne e6c632b61e964e1f", "$-1"),
            ("set k d ifdeq e6c632b61e964e1", NO_DIGEST),
            ("set k d ifdne +6c632b61e964e1f", NO_DIGEST),
            ("delex new ifdne e6c632b61e964e1f", ":0"),
            ("delex new ifdeq e6c632b61e964e1f", ":1"),
            ("delex k ifdeq x", NO_DIGEST),
        ]);
    }

    #[test]
    fn compare_and_delete() {
        let not_string = "-ERR Key should be of string type if conditions are specified";
        Server::new().check(&[
            ("set k e", "+OK"),
            ("delifeq k x", ":0"),
            ("delifeq k e", ":1"),
            ("delifeq k e", ":0"),
            ("lpush l a", ":1"),
            ("delifeq l a", WRONG),
            ("set k 12", "+OK"),
            ("delex k ifeq 1", ":0"),
            ("delex k ifne 12", ":0"),
            ("delex k ifeq 12", ":1"),
            ("delex k ifne 12", ":0"),
            ("set k 12", "+OK"),
            ("delex k ifne 1", ":1"),
            ("delex l ifeq a", not_string),
            ("delex l foo a", "-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"),
            ("delex l ifeq", "-ERR wrong number of arguments for 'delex' command"),
            ("delex l", ":1"),
            ("delex l", ":0"),
        ]);
    }
}
