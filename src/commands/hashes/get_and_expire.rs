//! Reading or setting fields together with when they expire.

use super::expiry::{check_type, moment};
use super::form::{HashMut, Limits, slot};
use super::named_fields::{change_each, named_fields};
use super::read::reply_value;
use super::set::{FLAGS, pairs_of};
use super::{DOCS, ROW};
use crate::commands::strings::lifetime::time_option;
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::value::hash::FieldExpiry;
use crate::store::{Event, Slot, UnixMs};
use crate::text::number;

pub const HGETEX: Command = Command {
    name: "hgetex",
    arity: -5,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))
        .with_notes("RW and UPDATE because it changes the TTL")],
    handler: Handler::Keyed(hgetex, Spread::OneKey),
    docs: Docs {
        summary: "Returns the values of fields of a hash and changes when the fields expire.",
        since: "8.0.0",
        complexity: "O(N) where N is the number of fields given.",
        arguments: "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
                    PXAT unix-time-milliseconds | PERSIST] <FIELDS numfields field [field ...]>",
        ..DOCS
    },
    ..ROW
};

/// What HGETEX does to the fields that it finds.
#[derive(Clone, Copy)]
enum Change {
    Nothing,
    Persist,
    ExpireAt(UnixMs),
}

fn hgetex(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (key, now) = (args.at(1), context.now);
    check_type(context, key)?;
    let (change, fields_at) = if args.at(2).eq_ignore_ascii_case(b"PERSIST") {
        (Change::Persist, 3)
    } else {
        match moment_of_option(args, 2, "hgetex", now)? {
            Some(at) => (Change::ExpireAt(at), 4),
            None => (Change::Nothing, 2),
        }
    };
    if args.len() < fields_at + 2 {
        return Err(wrong_arity("hgetex"));
    }
    let names = named_fields(args, fields_at)?;
    let event = match change {
        Change::ExpireAt(at) if at <= now => Event::HDel,
        Change::ExpireAt(_) => Event::HExpire,
        Change::Persist | Change::Nothing => Event::HPersist,
    };
    change_each(
        context,
        key,
        names,
        event,
        |reply| reply.null(),
        |hash, reply, name| {
            let found = hash.as_ref().get(name);
            reply_value(reply, found.map(|field| field.value));
            let Some(expiry) = found.map(|field| field.expiry) else { return Ok(()) };
            match change {
                Change::Nothing => {}
                Change::Persist if expiry.is_none() => {}
                Change::Persist => hash.set_expiry(name, None)?,
                Change::ExpireAt(at) if at > now => hash.set_expiry(name, Some(at))?,
                Change::ExpireAt(_) => {
                    hash.remove(name, |_| ());
                }
            }
            Ok(())
        },
    )
}

/// The moment that EX or its like at `at` names, if there is one.
fn moment_of_option(
    args: Args<'_>,
    at: usize,
    command: &'static str,
    now: UnixMs,
) -> Result<Option<UnixMs>, CommandError> {
    let Some((unit, base)) = time_option(args.at(at)) else { return Ok(None) };
    let value = args.get(at + 1).ok_or_else(|| wrong_arity(command))?;
    moment(value, command, unit.in_ms() as i64, base.moment(now)).map(Some)
}

fn wrong_arity(command: &str) -> CommandError {
    CommandError::text(format!("ERR wrong number of arguments for '{command}' command"))
}

pub const HSETEX: Command = Command {
    name: "hsetex",
    arity: -6,
    flags: FLAGS,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    handler: Handler::Keyed(hsetex, Spread::OneKey),
    docs: Docs {
        summary: "Sets fields of a hash and when they expire, on condition that all exist, or none.",
        since: "8.0.0",
        complexity: "O(N) where N is the number of fields given.",
        arguments: "key [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
                    PXAT unix-time-milliseconds | KEEPTTL] \
                    <FIELDS numfields field value [field value ...]>",
        ..DOCS
    },
    ..ROW
};

/// What HSETEX is asked for.
struct SetAndExpire<'a> {
    /// Whether the fields must be there, or must not.
    condition: Option<bool>,
    expiry: Option<FieldExpiry>,
    /// Fields and their values.
    pairs: Args<'a>,
}

impl<'a> SetAndExpire<'a> {
    fn parse(args: Args<'a>, now: UnixMs) -> Result<SetAndExpire<'a>, CommandError> {
        let (mut condition, mut expiry) = (None, None);
        let mut at = 2;
        while at < args.len() {
            let word = args.at(at);
            let exist = word.eq_ignore_ascii_case(b"FXX");
            if word.eq_ignore_ascii_case(b"FIELDS") {
                let pairs = Self::pairs(args, at)?;
                return Ok(SetAndExpire { condition, expiry, pairs });
            } else if exist || word.eq_ignore_ascii_case(b"FNX") {
                if condition.replace(exist).is_some() {
                    let text = "ERR Only one of FXX or FNX arguments can be specified";
                    return Err(CommandError::text(text));
                }
                at += 1;
                continue;
            }
            let keeps = word.eq_ignore_ascii_case(b"KEEPTTL");
            if !keeps && time_option(word).is_none() {
                return Err(CommandError::quoting("ERR unknown argument: ", word, ""));
            }
            if expiry.is_some() {
                let text =
                    "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
                return Err(CommandError::text(text));
            }
            let moment = moment_of_option(args, at, "hsetex", now)?;
            expiry = Some(moment.map_or(FieldExpiry::Keep, FieldExpiry::At));
            at += if keeps { 1 } else { 2 };
        }
        Err(wrong_arity("hsetex"))
    }

    /// Those of `FIELDS numfields field value ...` at `at`.
    fn pairs(args: Args<'a>, at: usize) -> Result<Args<'a>, CommandError> {
        if args.len() < at + 4 {
            return Err(wrong_arity("hsetex"));
        }
        let count = args.get(at + 1).and_then(number::parse_i64);
        let count = count.filter(|count| (1..=i64::from(i32::MAX)).contains(count));
        let count = count.ok_or_else(|| CommandError::text("ERR invalid number of fields"))?;
        let pairs = args.from(at + 2);
        match pairs.len() as i64 == 2 * count {
            true => Ok(pairs),
            false => Err(wrong_arity("hsetex")),
        }
    }
}

fn hsetex(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (key, now) = (args.at(1), context.now);
    let SetAndExpire { condition, expiry, pairs } = SetAndExpire::parse(args, now)?;
    // What has expired already is set all the same, as far as others are told, and then deleted.
    let is_past = matches!(expiry, Some(FieldExpiry::At(at)) if at <= now);
    let expiry = expiry.filter(|_| !is_past).unwrap_or(FieldExpiry::Clear);
    let events = match expiry {
        FieldExpiry::At(_) => Event::HSet.and(Event::HExpire),
        FieldExpiry::Clear | FieldExpiry::Keep => Event::HSet.into(),
    };
    let limits = Limits::new(context);
    let is_set = match slot(context.shard, context.db_index, key, now, events) {
        Slot::Occupied(entry) => {
            let mut hash = HashMut::new(entry, limits, now)?;
            let is_there = |name| hash.as_ref().get(name).is_some();
            let may_set = condition
                .is_none_or(|exist| pairs_of(pairs).all(|(name, _)| is_there(name) == exist));
            if may_set {
                hash = hash.expect(pairs.len() / 2);
                for (name, value) in pairs_of(pairs) {
                    hash = hash.set(name, value, expiry)?.0;
                }
            }
            may_set
        }
        Slot::Vacant(_) if condition == Some(true) => false,
        Slot::Vacant(slot) => {
            HashMut::create(slot, pairs_of(pairs), expiry, limits)?;
            true
        }
    };
    if is_set
        && is_past
        && let Slot::Occupied(entry) = slot(context.shard, context.db_index, key, now, Event::HDel)
    {
        let mut hash = HashMut::new(entry, limits, now)?;
        for (name, _) in pairs_of(pairs) {
            hash.remove(name, |_| ());
        }
        hash.finish();
    }
    context.reply.integer(i64::from(is_set));
    Ok(())
}
