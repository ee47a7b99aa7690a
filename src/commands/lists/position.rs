//! LPOS: where an element is.

use super::{DOCS, ROW, symmetric_integer};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
};
use crate::protocol::Args;
use crate::store::value::packed::{Element, Needle, Packed};
use crate::store::{CollectionRef, End, List};
use crate::text::number;

pub const LPOS: Command = Command {
    name: "lpos",
    arity: -3,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(lpos, Spread::OneKey),
    docs: Docs {
        summary: "Returns the index of an element in a list, or of several that match.",
        since: "6.0.6",
        complexity: "O(N) where N is the number of elements compared.",
        arguments: "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
        ..DOCS
    },
    ..ROW
};

/// What is searched for.
#[derive(Clone, Copy, Debug)]
struct Search {
    from: End,
    /// Matches that are passed over.
    skipped: usize,
    /// How many are wanted; `None` if COUNT is not given, and then one.
    count: Option<usize>,
    /// How many elements are compared at most.
    compared_max: usize,
}

impl Search {
    fn parse(args: Args<'_>) -> Result<Search, CommandError> {
        let mut search =
            Search { from: End::Front, skipped: 0, count: None, compared_max: usize::MAX };
        let mut words = args.from(3).iter();
        while let Some(word) = words.next() {
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            if !(is(b"RANK") || is(b"COUNT") || is(b"MAXLEN")) {
                return Err(CommandError::Syntax);
            }
            let value = words.next().ok_or(CommandError::Syntax)?;
            if is(b"RANK") {
                let rank = symmetric_integer(value)?;
                let text = "ERR RANK can't be zero: use 1 to start from the first match, 2 from \
                            the second ... or use negative to start from the end of the list";
                let distance = usize::try_from(rank.unsigned_abs()).unwrap_or(usize::MAX);
                search.skipped = distance.checked_sub(1).ok_or(CommandError::text(text))?;
                search.from = if rank < 0 { End::Back } else { End::Front };
            } else if is(b"COUNT") {
                search.count = Some(unlimited_if_zero(value, "ERR COUNT can't be negative")?);
            } else {
                search.compared_max = unlimited_if_zero(value, "ERR MAXLEN can't be negative")?;
            }
        }
        Ok(search)
    }
}

fn unlimited_if_zero(argument: &[u8], error: &'static str) -> Result<usize, CommandError> {
    let count = number::parse_i64(argument).and_then(|count| usize::try_from(count).ok());
    match count.ok_or(CommandError::text(error))? {
        0 => Ok(usize::MAX),
        count => Ok(count),
    }
}

fn lpos(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let search = Search::parse(args)?;
    let needle = Needle::new(args.at(2));
    let found = match context.read(args.at(1)) {
        Some(entry) => positions(entry.collection()?, &needle, search),
        None => Vec::new(),
    };
    if search.count.is_some() {
        context.reply.array(found.len());
        found.iter().for_each(|&index| context.reply.integer(index as i64));
    } else if let Some(&index) = found.first() {
        context.reply.integer(index as i64);
    } else {
        context.reply.null();
    }
    Ok(())
}

fn positions(list: CollectionRef<'_, List>, needle: &Needle<'_>, search: Search) -> Vec<usize> {
    let of_run = |elements: &mut dyn Iterator<Item = Element<'_>>, last: usize| {
        let compared = elements.take(search.compared_max).enumerate();
        let matching = compared.filter(|(_, element)| element.matches(needle));
        let indexes = matching.map(|(n, _)| match search.from {
            End::Front => n,
            End::Back => last - n,
        });
        wanted(indexes, search)
    };
    match (list, search.from) {
        (CollectionRef::Object(list), from) => {
            wanted(list.positions(from, needle, search.compared_max), search)
        }
        (CollectionRef::Packed(run), End::Front) => of_run(&mut Packed::new(run).iter(), 0),
        (CollectionRef::Packed(run), End::Back) => {
            let run = Packed::new(run);
            of_run(&mut run.iter().rev(), run.len().saturating_sub(1))
        }
    }
}

fn wanted(indexes: impl Iterator<Item = usize>, search: Search) -> Vec<usize> {
    indexes.skip(search.skipped).take(search.count.unwrap_or(1)).collect()
}
