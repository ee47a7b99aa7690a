//! MSETEX: several strings that expire together, on condition that all of their keys exist, or none.

use super::condition::Condition;
use super::lifetime::Lifetime;
use super::{DOCS, ROW};
use crate::commands::hops::{Change, Decision, Finding, Hops, Looked, take_nothing};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::{Encoding, Event, Slot, UnixMs};
use crate::text::number;

pub const MSETEX: Command = Command {
    name: "msetex",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::counted_pairs(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    handler: Handler::Keyed(msetex, Spread::Hops(&SETS_IF)),
    docs: Docs {
        summary: "Sets several keys to strings and when they expire, on condition that all exist, or \
                  none.",
        since: "8.4.0",
        complexity: "O(N) where N is the number of keys.",
        arguments: "numkeys key value [key value ...] [NX | XX] [EX seconds | PX milliseconds | \
                    EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
        ..DOCS
    },
    ..ROW
};

/// What it is asked for besides keys and values.
struct Options {
    condition: Condition<'static>,
    keeps_expiry: bool,
    expiry: Option<UnixMs>,
}

impl Options {
    fn parse(args: Args<'_>, now: UnixMs) -> Result<Options, CommandError> {
        let count = number::parse_i64(args.at(1)).and_then(|count| i32::try_from(count).ok());
        let count = count.and_then(|count| usize::try_from(count).ok()).filter(|&count| count > 0);
        let invalid = "ERR invalid numkeys value or out of range";
        let mut at = 2 + 2 * count.ok_or(CommandError::text(invalid))?;
        if at > args.len() {
            return Err(CommandError::Syntax);
        }
        let (mut condition, mut lifetime) = (Condition::Always, Lifetime::Unsaid);
        while at < args.len() {
            let (word, before) = (args.at(at), condition);
            if word.eq_ignore_ascii_case(b"NX") {
                condition = Condition::Absent;
            } else if word.eq_ignore_ascii_case(b"XX") {
                condition = Condition::Present;
            } else {
                match lifetime.read(args, at)? {
                    0 => return Err(CommandError::Syntax),
                    taken => at += taken,
                }
                continue;
            }
            if before != Condition::Always && before != condition {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        let expiry = match lifetime {
            Lifetime::Persist => return Err(CommandError::Syntax),
            Lifetime::Until(time) => Some(time.resolve("msetex", now)?),
            Lifetime::Unsaid | Lifetime::Keep => None,
        };
        Ok(Options { condition, keeps_expiry: lifetime == Lifetime::Keep, expiry })
    }

    /// Whether keys may be set of which it is known whether they exist.
    fn allow(&self, mut exist: impl Iterator<Item = bool>) -> bool {
        match self.condition {
            Condition::Absent => exist.all(|exists| !exists),
            Condition::Present => exist.all(|exists| exists),
            _ => true,
        }
    }

    /// Sets the key that is the argument of this index to the one behind it.
    fn set(&self, context: &mut Context<'_>, args: Args<'_>, position: usize) {
        let (key, value, now) = (args.at(position), args.at(position + 1), context.now);
        let encoding = Encoding::of_value(value);
        let events = match self.expiry {
            Some(_) => Event::Set.and(Event::Expire),
            None => Event::Set.into(),
        };
        let db = context.db_mut();
        match db.slot(key, now, events) {
            Slot::Occupied(mut entry) => {
                let kept = if self.keeps_expiry { entry.expiry() } else { None };
                entry.replace_string_and_expiry(value, encoding, self.expiry.or(kept));
            }
            Slot::Vacant(slot) => {
                slot.insert(value, encoding, self.expiry);
            }
        }
        if self.expiry.is_some_and(|at| at <= now) {
            db.remove(key, now, Event::Expired);
        }
    }
}

fn msetex(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let options = Options::parse(args, context.now)?;
    let keys = || MSETEX.key_positions(args);
    let may_set = options.allow(keys().map(|at| context.peek(args.at(at)).is_some()));
    if may_set {
        keys().for_each(|at| options.set(context, args, at));
    }
    context.reply.integer(i64::from(may_set));
    Ok(())
}

static SETS_IF: Hops = Hops {
    look: |context, args, position| {
        Options::parse(args, context.now)?;
        Ok(Finding::of_existence(context.peek(args.at(position)).is_some()))
    },
    decide: |findings, args| {
        if let Some(Err(error)) =
            findings.all().iter().map(|(_, looked)| looked).find(|l| l.is_err())
        {
            return Err(error.clone());
        }
        // What is wrong with the arguments has been found at the first look.
        let options = Options::parse(args, 0)?;
        let exists = |looked: &Looked| looked.as_ref().is_ok_and(Finding::exists);
        let may_set = options.allow(findings.all().iter().map(|(_, looked)| exists(looked)));
        findings.reply.integer(i64::from(may_set));
        let all = findings.all().iter().filter(|_| may_set);
        Ok(Decision::Done(all.map(|(position, _)| (*position, Change::Plain)).collect()))
    },
    take: take_nothing,
    apply: |context, args, position, _| {
        if let Ok(options) = Options::parse(args, context.now) {
            options.set(context, args, position);
        }
    },
};

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;

    /// As observed with valkey-server 9.1.2.
    #[test]
    fn sets_several_keys() {
        const SYNTAX: &str = "-ERR syntax error";
        const INVALID_COUNT: &str = "-ERR invalid numkeys value or out of range";
        const INVALID_TIME: &str = "-ERR invalid expire time in 'msetex' command";
        Server::new().check(&[
            ("msetex 2 a 1 b 2", ":1"),
            ("msetex 2 a 1 b 2 nx", ":0"),
            ("msetex 2 a 1 c 2 xx", ":0"),
            ("msetex 2 a 1 b 2 xx ex 100", ":1"),
            ("ttl a", ":100"),
            ("msetex 2 a 1 b 2 keepttl", ":1"),
            ("ttl a", ":100"),
            ("msetex 2 a 1 b 2", ":1"),
            ("ttl a", ":-1"),
            ("msetex 2 a 1 b", SYNTAX),
            ("msetex 0 a 1", INVALID_COUNT),
            ("msetex -1 a 1", INVALID_COUNT),
            ("msetex x a 1 foo", INVALID_COUNT),
            ("msetex 2147483648 a 1", INVALID_COUNT),
            ("msetex 2147483647 a 1", SYNTAX),
            ("msetex 1 a 1 b 2", SYNTAX),
            ("msetex 2 a 1 b 2 foo", SYNTAX),
            ("msetex 2 a 1 b 2 nx xx", SYNTAX),
            ("msetex 2 a 1 b 2 ex 0", INVALID_TIME),
            ("msetex 2 a 1 b 2 ex -1", INVALID_TIME),
            ("msetex 1 a 1 ex 9223372036854775807", INVALID_TIME),
            ("msetex 2 a 1 b 2 ex x", "-ERR value is not an integer or out of range"),
            ("msetex 2 a 1 b 2 ex", SYNTAX),
            ("msetex 2 a 1 b 2 ex 10 px 10", SYNTAX),
            ("msetex 2 a 1 b 2 ex 10 keepttl", SYNTAX),
            ("msetex 2 a 1 b 2 persist", SYNTAX),
            ("msetex 2 a 1 b 2 ex 10 nx", ":0"),
            ("msetex 2 c 1 d 2 nx px 100000", ":1"),
            ("ttl c", ":100"),
            ("msetex 2 a 1 a 2", ":1"),
            ("get a", "$1 2"),
            ("msetex 1 a 1 exat 1", ":1"),
            ("exists a", ":0"),
            ("lpush l a", ":1"),
            ("msetex 1 l 5", ":1"),
            ("get l", "$1 5"),
            ("msetex 2 a 1 nx ex", ":1"),
            ("get nx", "$2 ex"),
        ]);
    }
}
