//! DUMP and RESTORE: values as bytes that other servers understand, too.

use crate::commands::rdb::{self, Making, Refused};
use crate::commands::{
    Categories, Command, CommandError, Context, Docs, Flags, Group, Handler, KeyFlags, KeySpec,
    Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::{Event, UnixMs, Usage};
use crate::text::number;

pub const DUMP: Command = Command {
    name: "dump",
    arity: 2,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(dump, Spread::OneKey),
    docs: Docs {
        summary: "Returns a value as bytes from which RESTORE makes it again, here or elsewhere.",
        since: "2.6.0",
        group: Group::Generic,
        complexity: "O(N) where N is the size of the value.",
        arguments: "key",
    },
    tips: &["nondeterministic_output"],
    subcommands: &[],
};

fn dump(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let now = context.now;
    match context.glance(args.at(1)).map(|entry| rdb::dump(entry, now)) {
        Some(payload) => context.reply.bulk(&payload),
        None => context.reply.null(),
    }
    Ok(())
}

pub const RESTORE: Command = Command {
    name: "restore",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    handler: Handler::Keyed(restore, Spread::OneKey),
    docs: Docs {
        summary: "Makes a value of what DUMP has returned, here or elsewhere.",
        since: "2.6.0",
        group: Group::Generic,
        complexity: "O(N) where N is the size of the value; of a sorted set O(N*log(N)).",
        arguments: "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
    },
    tips: &[],
    subcommands: &[],
};

#[derive(Clone, Copy, Debug, Default)]
struct RestoreOptions {
    replace: bool,
    /// The time to live is a moment.
    absolute: bool,
    usage: Option<Usage>,
}

impl RestoreOptions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = RestoreOptions::default();
        let mut words = args.from(4).iter().peekable();
        while let Some(word) = words.next() {
            if word.eq_ignore_ascii_case(b"REPLACE") {
                options.replace = true;
            } else if word.eq_ignore_ascii_case(b"ABSTTL") {
                options.absolute = true;
            } else if word.eq_ignore_ascii_case(b"IDLETIME")
                && words.peek().is_some()
                && !matches!(options.usage, Some(Usage::Frequency(_)))
            {
                let seconds = integer(words.next())?;
                let seconds = u64::try_from(seconds)
                    .map_err(|_| CommandError::text("ERR Invalid IDLETIME value, must be >= 0"))?;
                options.usage = Some(Usage::IdleSeconds(seconds));
            } else if word.eq_ignore_ascii_case(b"FREQ")
                && words.peek().is_some()
                && !matches!(options.usage, Some(Usage::IdleSeconds(_)))
            {
                let frequency = u8::try_from(integer(words.next())?).map_err(|_| {
                    CommandError::text("ERR Invalid FREQ value, must be >= 0 and <= 255")
                })?;
                options.usage = Some(Usage::Frequency(frequency));
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

fn integer(argument: Option<&[u8]>) -> Result<i64, CommandError> {
    argument.and_then(number::parse_i64).ok_or(CommandError::NotInteger)
}

fn restore(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (key, now) = (args.at(1), context.now);
    let options = RestoreOptions::parse(args)?;
    if !options.replace && context.db().contains(key, now) {
        return Err(CommandError::text("BUSYKEY Target key name already exists."));
    }
    let expiry = expiry(integer(args.get(2))?, options.absolute, now)?;
    let making = Making::new(context);
    let item = rdb::restore(key, args.at(3), &making).map_err(refused)?;
    let db = context.db_mut();
    if expiry.is_some_and(|at| at <= now) {
        db.remove(key, now, Event::Del);
    } else {
        db.insert(item.with_expiry(expiry), now, Event::Restore);
        if let Some(usage) = options.usage {
            db.set_usage(key, usage, now);
        }
    }
    context.reply.ok();
    Ok(())
}

/// When the value expires; 0 stands for never.
fn expiry(ttl: i64, absolute: bool, now: UnixMs) -> Result<Option<UnixMs>, CommandError> {
    let ttl = u64::try_from(ttl)
        .map_err(|_| CommandError::text("ERR Invalid TTL value, must be >= 0"))?;
    Ok((ttl != 0).then(|| if absolute { ttl } else { now.saturating_add(ttl) }))
}

fn refused(refused: Refused) -> CommandError {
    CommandError::text(match refused {
        Refused::Footer => "ERR DUMP payload version or checksum are wrong",
        Refused::Content => "ERR Bad data format",
    })
}

#[cfg(test)]
mod tests;
