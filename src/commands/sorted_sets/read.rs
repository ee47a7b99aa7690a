//! Reading scores, ranks and numbers of members.

use super::bounds::{MemberRange, ScoreRange};
use super::form::{self, SortedSetRef};
use super::{DOCS, ROW};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::{End, SortedSet};

pub const ZCARD: Command = Command {
    name: "zcard",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    handler: Handler::Keyed(zcard, Spread::OneKey),
    docs: Docs {
        summary: "Returns the number of members of a sorted set.",
        since: "1.2.0",
        complexity: "O(1)",
        arguments: "key",
        ..DOCS
    },
    ..ROW
};

fn zcard(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let len = match context.glance(args.at(1)) {
        Some(entry) => form::len(entry.collection()?),
        None => 0,
    };
    context.reply.integer(len as i64);
    Ok(())
}

/// The sorted set at a key that a client reads.
fn read<'c>(
    context: &'c mut Context<'_>,
    key: &[u8],
) -> Result<Option<SortedSetRef<'c>>, CommandError> {
    let entry = context.shard.read(context.db_index, key, context.now);
    Ok(entry.map(|entry| entry.collection::<SortedSet>()).transpose()?)
}

pub const ZSCORE: Command = Command {
    name: "zscore",
    arity: 3,
    flags: ZCARD.flags,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(zscore, Spread::OneKey),
    docs: Docs {
        summary: "Returns the score of a member of a sorted set.",
        arguments: "key member",
        ..ZCARD.docs
    },
    ..ROW
};

fn zscore(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let score = read(context, args.at(1))?.and_then(|set| form::score(set, args.at(2)));
    write_score(context, score);
    Ok(())
}

fn write_score(context: &mut Context<'_>, score: Option<f64>) {
    match score {
        Some(score) => context.reply.double(score),
        None => context.reply.null(),
    }
}

pub const ZMSCORE: Command = Command {
    name: "zmscore",
    arity: -3,
    handler: Handler::Keyed(zmscore, Spread::OneKey),
    docs: Docs {
        summary: "Returns the scores of several members of a sorted set.",
        since: "6.2.0",
        complexity: "O(N) where N is the number of members asked for.",
        arguments: "key member [member ...]",
        ..DOCS
    },
    ..ZSCORE
};

fn zmscore(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let members = args.from(2);
    let entry = context.shard.read(context.db_index, args.at(1), context.now);
    let set = entry.map(|entry| entry.collection::<SortedSet>()).transpose()?;
    let reply = &mut context.reply;
    reply.array(members.len());
    for member in members.iter() {
        match set.and_then(|set| form::score(set, member)) {
            Some(score) => reply.double(score),
            None => reply.null(),
        }
    }
    Ok(())
}

pub const ZRANK: Command = Command {
    name: "zrank",
    arity: -3,
    handler: Handler::Keyed(
        |context, args| rank(context, args, &ZRANK, End::Front),
        Spread::OneKey,
    ),
    docs: Docs {
        summary: "Returns how many members of a sorted set are ahead of this one, and its score.",
        since: "2.0.0",
        complexity: "O(log(N)) where N is the number of members of the sorted set.",
        arguments: "key member [WITHSCORE]",
        ..DOCS
    },
    ..ZSCORE
};

pub const ZREVRANK: Command = Command {
    name: "zrevrank",
    handler: Handler::Keyed(
        |context, args| rank(context, args, &ZREVRANK, End::Back),
        Spread::OneKey,
    ),
    docs: Docs {
        summary: "Returns how many members of a sorted set are behind this one, and its score.",
        ..ZRANK.docs
    },
    ..ZRANK
};

/// Counted from an end.
fn rank(context: &mut Context<'_>, args: Args<'_>, row: &Command, from: End) -> Outcome {
    let with_score = match args.get(3) {
        Some(word) if word.eq_ignore_ascii_case(b"WITHSCORE") && args.len() == 4 => true,
        None => false,
        Some(_) if args.len() > 4 => {
            let text = format!("ERR wrong number of arguments for '{}' command", row.name);
            return Err(CommandError::text(text));
        }
        Some(_) => return Err(CommandError::Syntax),
    };
    let found = read(context, args.at(1))?.and_then(|set| {
        let (rank, score) = form::rank(set, args.at(2))?;
        let rank = match from {
            End::Front => rank,
            End::Back => form::len(set) - 1 - rank,
        };
        Some((rank, score))
    });
    match (found, with_score) {
        (Some((rank, _)), false) => context.reply.integer(rank as i64),
        (Some((rank, score)), true) => {
            context.reply.array(2);
            context.reply.integer(rank as i64);
            context.reply.double(score);
        }
        (None, false) => context.reply.null(),
        (None, true) => context.reply.null_array(),
    }
    Ok(())
}

pub const ZCOUNT: Command = Command {
    name: "zcount",
    arity: 4,
    handler: Handler::Keyed(zcount, Spread::OneKey),
    docs: Docs {
        summary: "Returns how many members of a sorted set have scores in this range.",
        since: "2.0.0",
        complexity: "O(log(N)) where N is the number of members of the sorted set.",
        arguments: "key min:double max:double",
        ..DOCS
    },
    ..ZSCORE
};

fn zcount(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let range = ScoreRange::parse(args.at(2), args.at(3))?;
    let (_, count) = read(context, args.at(1))?.map_or((0, 0), |set| range.span(set));
    context.reply.integer(count as i64);
    Ok(())
}

pub const ZLEXCOUNT: Command = Command {
    name: "zlexcount",
    handler: Handler::Keyed(zlexcount, Spread::OneKey),
    docs: Docs {
        summary: "Returns how many members of a sorted set, all of one score, are in this range.",
        since: "2.8.9",
        arguments: "key min max",
        ..ZCOUNT.docs
    },
    ..ZCOUNT
};

fn zlexcount(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let range = MemberRange::parse(args.at(2), args.at(3))?;
    let (_, count) = read(context, args.at(1))?.map_or((0, 0), |set| range.span(set, End::Front));
    context.reply.integer(count as i64);
    Ok(())
}
