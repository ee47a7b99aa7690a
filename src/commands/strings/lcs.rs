//! LCS: the longest common subsequence of two strings.
//!
//! The lengths of all pairs of prefixes are computed row by row (R. A. Wagner and M. J. Fischer,
//! "The string-to-string correction problem", JACM 21(1), 1974). Walking back takes one bit per
//! pair, where Redis keeps the length itself; what Redis would refuse for its memory is refused
//! all the same, as it bounds the time too.

use super::{DOCS, ROW};
use crate::commands::hops::{Decision, Finding, Hops, change_nothing, take_nothing};
use crate::commands::{
    Command, CommandError, Context, Docs, Flags, Handler, KeyFlags, KeySpec, Outcome, Spread,
};
use crate::config::Config;
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::store::{EntryRef, Text};
use crate::text::number;

pub const LCS: Command = Command {
    name: "lcs",
    arity: -3,
    flags: Flags::READONLY,
    keys: &[KeySpec::several(1, 2, KeyFlags::RO.union(KeyFlags::ACCESS))],
    handler: Handler::Keyed(lcs, Spread::Hops(&COMPARES)),
    docs: Docs {
        summary: "Finds the longest common subsequence of the strings at two keys.",
        since: "7.0.0",
        complexity: "O(N*M) where N and M are the lengths of the strings.",
        arguments: "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
        ..DOCS
    },
    ..ROW
};

#[derive(Clone, Copy, Debug, Default)]
struct LcsOptions {
    length_only: bool,
    indexes: bool,
    with_match_len: bool,
    match_len_min: usize,
}

impl LcsOptions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = LcsOptions::default();
        let mut words = args.from(3).iter();
        while let Some(word) = words.next() {
            if word.eq_ignore_ascii_case(b"LEN") {
                options.length_only = true;
            } else if word.eq_ignore_ascii_case(b"IDX") {
                options.indexes = true;
            } else if word.eq_ignore_ascii_case(b"WITHMATCHLEN") {
                options.with_match_len = true;
            } else if word.eq_ignore_ascii_case(b"MINMATCHLEN") {
                let value = words.next().ok_or(CommandError::Syntax)?;
                let len = number::parse_i64(value).ok_or(CommandError::NotInteger)?;
                options.match_len_min = usize::try_from(len).unwrap_or(0);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if options.length_only && options.indexes {
            return Err(CommandError::text(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

fn lcs(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (a, b) = (args.at(1), args.at(2));
    // Counted first and then looked up again, as both are needed at one time.
    context.read(a);
    context.read(b);
    let db = context.shard.db(context.db_index);
    let string_at = |key| string_of(db.get(key, context.now));
    let (a, b) = (string_at(a)?, string_at(b)?);
    let (a, b) = (a.as_deref().unwrap_or_default(), b.as_deref().unwrap_or_default());
    compare(a, b, args, context.config, &mut context.reply)
}

/// Both strings are needed whole.
static COMPARES: Hops = Hops {
    look: |context, args, position| {
        let value = string_of(context.read(args.at(position)))?;
        Ok(value.map_or(Finding::Nothing, |value| Finding::Bytes(value.to_vec())))
    },
    decide: |findings, args| {
        let [a, b] = [findings.take(1)?, findings.take(2)?].map(Finding::into_bytes);
        compare(&a, &b, args, findings.config, &mut findings.reply)?;
        Ok(Decision::Done(Vec::new()))
    },
    take: take_nothing,
    apply: change_nothing,
};

fn string_of(entry: Option<EntryRef<'_>>) -> Result<Option<Text<'_>>, CommandError> {
    let value = entry.map(EntryRef::as_string).transpose();
    value.map_err(|_| CommandError::text("ERR The specified keys must contain string values"))
}

fn compare(a: &[u8], b: &[u8], args: Args<'_>, config: &Config, reply: &mut Reply<'_>) -> Outcome {
    let options = LcsOptions::parse(args)?;
    check_size(a, b, config.proto_max_bulk_len)?;
    if options.length_only {
        let len = walk_rows(a, b, |_, _, _| {});
        reply.integer(i64::from(len));
        return Ok(());
    }
    let paths = Paths::new(a, b);
    if options.indexes {
        paths.reply_with_matches(reply, a, b, options);
    } else {
        reply.bulk(&paths.subsequence(a, b));
    }
    Ok(())
}

/// Refuses what would take Redis a table of more than `bytes_max` bytes, at four per pair.
fn check_size(a: &[u8], b: &[u8], bytes_max: u64) -> Result<(), CommandError> {
    let pairs = (a.len() as u64 + 1).checked_mul(b.len() as u64 + 1);
    let bytes = pairs.and_then(|pairs| pairs.checked_mul(4));
    if bytes.is_none_or(|bytes| bytes > bytes_max) {
        return Err(CommandError::text(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    Ok(())
}

/// Computes the lengths for all prefixes `a[..=i]` and `b[..=j]` and visits every pair with
/// whether dropping the last byte of `a`'s prefix leaves more in common than dropping that of
/// `b`'s. Gives the length for the whole strings.
fn walk_rows(a: &[u8], b: &[u8], mut visit: impl FnMut(usize, usize, bool)) -> u32 {
    let mut row = vec![0_u32; b.len() + 1];
    for (i, &x) in a.iter().enumerate() {
        let mut diagonal = 0;
        for (j, &y) in b.iter().enumerate() {
            let (above, left) = (row[j + 1], row[j]);
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(left) };
            visit(i, j, above > left);
            diagonal = above;
        }
    }
    row[b.len()]
}

/// For every pair of prefixes, which of them the way back shortens where their last bytes differ.
struct Paths {
    len: u32,
    bits: Vec<u64>,
    width: usize,
}

/// A run of bytes that both strings have, by the indexes of its first bytes.
struct Match {
    a: usize,
    b: usize,
    len: usize,
}

impl Paths {
    fn new(a: &[u8], b: &[u8]) -> Self {
        let width = b.len();
        let mut bits = vec![0; (a.len() * width).div_ceil(64)];
        let len = walk_rows(a, b, |i, j, shorten_a| {
            let at = i * width + j;
            bits[at / 64] |= u64::from(shorten_a) << (at % 64);
        });
        Paths { len, bits, width }
    }

    /// Visits the indexes of the bytes in common, last ones first.
    fn walk_back(&self, a: &[u8], b: &[u8], mut visit: impl FnMut(usize, usize)) {
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            let at = (i - 1) * self.width + j - 1;
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                visit(i, j);
            } else if self.bits[at / 64] >> (at % 64) & 1 == 1 {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }

    fn subsequence(&self, a: &[u8], b: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len as usize);
        self.walk_back(a, b, |i, _| bytes.push(a[i]));
        bytes.reverse();
        bytes
    }

    /// Runs of bytes in common, last ones first.
    fn matches(&self, a: &[u8], b: &[u8]) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        self.walk_back(a, b, |i, j| match matches.last_mut() {
            Some(last) if last.a == i + 1 && last.b == j + 1 => {
                *last = Match { a: i, b: j, len: last.len + 1 };
            }
            _ => matches.push(Match { a: i, b: j, len: 1 }),
        });
        matches
    }

    fn reply_with_matches(&self, reply: &mut Reply<'_>, a: &[u8], b: &[u8], options: LcsOptions) {
        let mut matches = self.matches(a, b);
        matches.retain(|found| found.len >= options.match_len_min);
        reply.map(2);
        reply.bulk(b"matches");
        reply.array(matches.len());
        for found in matches {
            reply.array(if options.with_match_len { 3 } else { 2 });
            for start in [found.a, found.b] {
                reply.array(2);
                reply.integer(start as i64);
                reply.integer((start + found.len - 1) as i64);
            }
            if options.with_match_len {
                reply.integer(found.len as i64);
            }
        }
        reply.bulk(b"len");
        reply.integer(i64::from(self.len));
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::test_support::Server;
    use crate::protocol::resp::Version;

    const MATCHES: &str = "$7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6";

    #[test]
    fn replies() {
        let mut server = Server::new();
        server.check(&[
            ("mset a ohmytext b mynewtext e ''", "+OK"),
            ("lcs a b", "$6 mytext"),
            ("lcs a b len", ":6"),
            ("lcs a b idx", &format!("*4 {MATCHES}")),
            ("lcs a b idx minmatchlen -4", &format!("*4 {MATCHES}")),
            (
                "lcs a b IDX WITHMATCHLEN",
                "*4 $7 matches *2 *3 *2 :4 :7 *2 :5 :8 :4 *3 *2 :2 :3 *2 :0 :1 :2 $3 len :6",
            ),
            ("lcs a b idx minmatchlen 4", "*4 $7 matches *1 *2 *2 :4 :7 *2 :5 :8 $3 len :6"),
            ("lcs a b len minmatchlen 2 withmatchlen", ":6"),
            ("lcs a a", "$8 ohmytext"),
            ("lcs a none", "$0 "),
            ("lcs none a len", ":0"),
            ("lcs e a", "$0 "),
            ("lcs none none idx", "*4 $7 matches *0 $3 len :0"),
        ]);
        server.encoding = Version::Resp3.into();
        server.check(&[("lcs a b idx", &format!("%2 {MATCHES}"))]);
    }

    #[test]
    fn errors() {
        let mut server = Server::new();
        server.check(&[
            ("mset a ohmytext b mynewtext", "+OK"),
            ("lcs a b foo", "-ERR syntax error"),
            ("lcs a b minmatchlen", "-ERR syntax error"),
            ("lcs a b minmatchlen abc", "-ERR value is not an integer or out of range"),
            (
                "lcs a b len idx",
                "-ERR If you want both the length and indexes, please just use IDX.",
            ),
        ]);
        server.config.proto_max_bulk_len = 9 * 10 * 4 - 1;
        let refused =
            "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
        server.check(&[("lcs a b", refused), ("lcs a b len", refused)]);
    }
}
