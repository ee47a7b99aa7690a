//! Ranges of scores and of members, as arguments give them.

use super::form::{self, SortedSetRef};
use crate::commands::CommandError;
use crate::store::End;
use crate::text::number::parse_f64;

/// Which entries of a sorted set: the index of the first and how many.
pub type Span = (usize, usize);

/// Scores from one to another, each included or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    min: f64,
    min_is_out: bool,
    max: f64,
    max_is_out: bool,
}

impl ScoreRange {
    pub fn parse(min: &[u8], max: &[u8]) -> Result<ScoreRange, CommandError> {
        let error = CommandError::text("ERR min or max is not a float");
        let bounds = score_bound(min).zip(score_bound(max));
        let ((min, min_is_out), (max, max_is_out)) = bounds.ok_or(error)?;
        Ok(ScoreRange { min, min_is_out, max, max_is_out })
    }

    pub fn span(self, set: SortedSetRef<'_>) -> Span {
        let ScoreRange { min, min_is_out, max, max_is_out } = self;
        let is_before = |score: f64| score < min || min_is_out && score == min;
        let first = form::count_scores(set, is_before);
        // Not all that is before the range is ahead of its end: it may be empty.
        let end = form::count_scores(set, |score| score < max || !max_is_out && score == max);
        (first, end.saturating_sub(first))
    }
}

/// A score, and whether it is left out, as `(` says.
fn score_bound(argument: &[u8]) -> Option<(f64, bool)> {
    match argument {
        [b'(', score @ ..] => Some((lenient_score(score)?, true)),
        score => Some((lenient_score(score)?, false)),
    }
}

/// Reads a double as C's `strtod` does a whole string: one that ends at its first NUL, may begin with
/// white space, is 0 if it is empty, and infinite or 0 where it is out of range.
fn lenient_score(argument: &[u8]) -> Option<f64> {
    let text = argument.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\x0B';
    let start = text.iter().position(|byte| !is_space(byte))?;
    let number = &text[start..];
    let in_range = || parse_f64(number);
    let out_of_range = || std::str::from_utf8(number).ok()?.parse().ok();
    in_range().or_else(out_of_range).filter(|score: &f64| !score.is_nan())
}

/// Members from one to another, each included or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberRange<'a> {
    min: Bound<'a>,
    max: Bound<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound<'a> {
    /// `-`, ahead of every member.
    First,
    In(&'a [u8]),
    Out(&'a [u8]),
    /// `+`, behind every member.
    Last,
}

impl<'a> Bound<'a> {
    fn parse(argument: &'a [u8]) -> Option<Bound<'a>> {
        match argument {
            b"-" => Some(Bound::First),
            b"+" => Some(Bound::Last),
            [b'[', member @ ..] => Some(Bound::In(member)),
            [b'(', member @ ..] => Some(Bound::Out(member)),
            _ => None,
        }
    }
}

impl<'a> MemberRange<'a> {
    pub fn parse(min: &'a [u8], max: &'a [u8]) -> Result<MemberRange<'a>, CommandError> {
        let error = CommandError::text("ERR min or max not valid string range item");
        let (min, max) = Bound::parse(min).zip(Bound::parse(max)).ok_or(error)?;
        Ok(MemberRange { min, max })
    }

    fn is_before(self, member: &[u8]) -> bool {
        match self.min {
            Bound::First => false,
            Bound::In(min) => member < min,
            Bound::Out(min) => member <= min,
            Bound::Last => true,
        }
    }

    fn is_behind(self, member: &[u8]) -> bool {
        match self.max {
            Bound::First => true,
            Bound::In(max) => member > max,
            Bound::Out(max) => member >= max,
            Bound::Last => false,
        }
    }

    /// Whether no member can be in it, whatever the scores are.
    fn is_empty(self) -> bool {
        match (self.min, self.max) {
            (Bound::First, _) | (_, Bound::Last) => false,
            (Bound::Last, _) | (_, Bound::First) => true,
            (Bound::In(min), Bound::In(max)) => min > max,
            (Bound::In(min) | Bound::Out(min), Bound::In(max) | Bound::Out(max)) => min >= max,
        }
    }

    /// Looked for from that end, where that matters; see [`form::span_of_members`].
    pub fn span(self, set: SortedSetRef<'_>, from: End) -> Span {
        if self.is_empty() {
            return (0, 0);
        }
        let (is_before, is_behind) = (|m: &[u8]| self.is_before(m), |m: &[u8]| self.is_behind(m));
        form::span_of_members(set, from, is_before, is_behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taken and refused by ZCOUNT of redis-server 7.0.
    #[test]
    fn bounds_are_read_as_strtod_reads_them() {
        for (text, expected) in [
            ("1", Some((1.0, false))),
            ("(1", Some((1.0, true))),
            ("( 1.5", Some((1.5, true))),
            (" \t1", Some((1.0, false))),
            ("", Some((0.0, false))),
            ("(", Some((0.0, true))),
            ("1\0x", Some((1.0, false))),
            ("0x10", Some((16.0, false))),
            ("1e400", Some((f64::INFINITY, false))),
            ("-inf", Some((f64::NEG_INFINITY, false))),
            ("(+inf", Some((f64::INFINITY, true))),
            ("1e-400", Some((0.0, false))),
            ("1 ", None),
            (" ", None),
            ("nan", None),
            ("((1", None),
            ("[1", None),
            ("one", None),
        ] {
            assert_eq!(score_bound(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn ranges_of_members_know_when_they_are_empty() {
        for (min, max, is_empty) in [
            ("-", "+", false),
            ("+", "-", true),
            ("+", "+", false),
            ("-", "-", false),
            ("[a", "[a", false),
            ("[a", "(a", true),
            ("(a", "[a", true),
            ("(a", "(b", false),
            ("[b", "[a", true),
        ] {
            let range = MemberRange::parse(min.as_bytes(), max.as_bytes()).unwrap();
            assert_eq!(range.is_empty(), is_empty, "{min} {max}");
        }
    }
}
