//! ZSCAN: all members of a sorted set, a few at a time.

use super::form;
use super::{DOCS, ROW};
use crate::commands::scanning::{Names, ScanOptions, parse_cursor};
use crate::commands::{Command, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread};
use crate::protocol::Args;
use crate::store::{CollectionRef, End, SortedSet};
use crate::text::double::DoubleText;
use crate::text::number::Digits;

pub const ZSCAN: Command = Command {
    name: "zscan",
    arity: -3,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(zscan, Spread::OneKey),
    docs: Docs {
        summary: "Returns some members of a sorted set with their scores and the cursor to go on \
                  with; 0 begins and ends.",
        since: "2.8.0",
        complexity: "O(1) for every call, O(N) until the cursor is 0 again, where N is the number \
                     of members.",
        arguments: "key cursor [MATCH pattern] [COUNT count]",
        ..DOCS
    },
    tips: &["nondeterministic_output"],
    ..ROW
};

fn zscan(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let cursor = parse_cursor(args.at(2))?;
    let entry = context.shard.read(context.db_index, args.at(1), context.now);
    let Some(entry) = entry else {
        // Whatever the options are, as in Redis.
        context.reply.array(2);
        context.reply.bulk_integer(0);
        context.reply.array(0);
        return Ok(());
    };
    let set = entry.collection::<SortedSet>()?;
    let options = ScanOptions::parse(args.from(3), false)?;
    let mut names = Names::default();
    let mut show = |member: &[u8], score: f64| {
        if options.pattern.matches(member) {
            names.push(member);
            names.push(&DoubleText::new(score));
        }
    };
    let next = match set {
        // As in Redis all of it at once.
        run @ CollectionRef::Packed(_) => {
            form::visit(run, 0, usize::MAX, End::Back, |member, score| {
                show(member.text(&mut Digits::default()), score);
            });
            0
        }
        CollectionRef::Object(set) => {
            set.scan(cursor, options.count, |entry| show(entry.member, entry.score))
        }
    };
    context.reply.array(2);
    context.reply.bulk_integer(next as i64);
    names.write(&mut context.reply);
    context.check_reply()
}
