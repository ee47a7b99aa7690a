//! Reading sets: their members, one by one or all.

use super::form::SetRef;
use super::{DOCS, ROW, reply_members};
use crate::commands::scanning::{Names, ScanOptions, parse_cursor};
use crate::commands::{
    Command, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread, reply_bytes_max,
};
use crate::protocol::Args;
use crate::store::value::packed::Needle;
use crate::text::number::{self, Digits};

pub const SCARD: Command = Command {
    name: "scard",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    handler: Handler::Keyed(scard, Spread::OneKey),
    docs: Docs {
        summary: "Returns the number of members of a set.",
        since: "1.0.0",
        arguments: "key",
        ..DOCS
    },
    ..ROW
};

fn scard(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let len = match context.read(args.at(1)) {
        Some(entry) => SetRef::of_entry(entry)?.len(),
        None => 0,
    };
    context.reply.integer(len as i64);
    Ok(())
}

pub const SISMEMBER: Command = Command {
    name: "sismember",
    arity: 3,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    handler: Handler::Keyed(sismember, Spread::OneKey),
    docs: Docs {
        summary: "Tells whether a set has this member.",
        since: "1.0.0",
        arguments: "key member",
        ..DOCS
    },
    ..ROW
};

fn sismember(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let is_member = match context.read(args.at(1)) {
        Some(entry) => SetRef::of_entry(entry)?.contains(&Needle::new(args.at(2))),
        None => false,
    };
    context.reply.integer(i64::from(is_member));
    Ok(())
}

pub const SMISMEMBER: Command = Command {
    name: "smismember",
    arity: -3,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(smismember, Spread::OneKey),
    docs: Docs {
        summary: "Tells of each of these whether a set has it as a member.",
        since: "6.2.0",
        complexity: "O(N) where N is the number of elements being checked for membership",
        arguments: "key member [member ...]",
        ..DOCS
    },
    ..ROW
};

fn smismember(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let members = args.from(2);
    let found = context.shard.read(context.db_index, args.at(1), context.now);
    let set = found.map(SetRef::of_entry).transpose()?;
    context.reply.array(members.len());
    for member in members.iter() {
        let is_member = set.is_some_and(|set| set.contains(&Needle::new(member)));
        context.reply.integer(i64::from(is_member));
    }
    Ok(())
}

pub const SMEMBERS: Command = Command {
    name: "smembers",
    arity: 2,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(smembers, Spread::OneKey),
    docs: Docs {
        summary: "Returns all members of a set.",
        since: "1.0.0",
        complexity: "O(N) where N is the set cardinality.",
        arguments: "key",
        ..DOCS
    },
    tips: &["nondeterministic_output_order"],
    ..ROW
};

fn smembers(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let bytes_max = reply_bytes_max(context.config);
    match context.shard.read(context.db_index, args.at(1), context.now) {
        Some(entry) => reply_members(&mut context.reply, SetRef::of_entry(entry)?, bytes_max),
        None => {
            context.reply.set(0);
            Ok(())
        }
    }
}

pub const SSCAN: Command = Command {
    name: "sscan",
    arity: -3,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(sscan, Spread::OneKey),
    docs: Docs {
        summary: "Returns some members of a set and the cursor to go on with; 0 begins and ends.",
        since: "2.8.0",
        complexity: "O(1) for every call, O(N) until the cursor is 0 again, where N is the number \
                     of members.",
        arguments: "key cursor [MATCH pattern] [COUNT count]",
        ..DOCS
    },
    tips: &["nondeterministic_output"],
    ..ROW
};

/// A set that is one run is shown at once, as in Redis.
fn sscan(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let cursor = parse_cursor(args.at(2))?;
    let found = context.shard.read(context.db_index, args.at(1), context.now);
    let mut names = Names::default();
    let mut next = 0;
    if let Some(entry) = found {
        let set = SetRef::of_entry(entry)?;
        let options = ScanOptions::parse(args.from(3), false)?;
        let mut show = |member: &[u8]| {
            if options.pattern.matches(member) {
                names.push(member);
            }
        };
        match set {
            SetRef::Table(table) => {
                next = cursor;
                let (mut shown, mut buckets) = (0, options.count.saturating_mul(10));
                while shown < options.count && buckets > 0 {
                    buckets -= 1;
                    next = table.scan(next, |member| {
                        shown += 1;
                        show(member);
                    });
                    if next == 0 {
                        break;
                    }
                }
            }
            run => run.iter().for_each(|member| show(member.text(&mut Digits::default()))),
        }
    }
    context.reply.array(2);
    let mut digits = Vec::with_capacity(20);
    number::push_u64(&mut digits, next);
    context.reply.bulk(&digits);
    names.write(&mut context.reply);
    context.check_reply()
}
