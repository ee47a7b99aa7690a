//! Where a command's keys are among its arguments, and what it does with them: Redis's key
//! specifications (<https://redis.io/docs/latest/develop/reference/key-specs/>).
//!
//! A specification says where to begin and which arguments from there on are keys. A row has one for
//! each thing that it does with keys. For the few commands whose keys cannot be described like that,
//! a function finds them. Whichever way, they come as at most [`RANGES_MAX`] ranges of arguments, so
//! that finding them allocates nothing.

use bitflags::bitflags;

use crate::protocol::Args;
use crate::text::number;

/// As many ranges as a command's keys can come in.
pub const RANGES_MAX: usize = 3;

/// Keys that a command does the same with.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    pub begin: BeginSearch,
    pub find: FindKeys,
    pub flags: KeyFlags,
    /// What COMMAND INFO adds in words; empty if nothing.
    pub notes: &'static str,
    /// Finds all of the row's keys where its specifications do not; at most one of a row has it.
    pub get_keys: Option<GetKeys>,
    /// The database of these keys, where the arguments name one; otherwise it is the selected one.
    pub database: Option<NamedDatabase>,
}

/// Finds all keys of a command. `None` if the arguments are such that there is no telling.
pub type GetKeys = fn(Args<'_>) -> Option<KeyRanges>;
pub type NamedDatabase = fn(Args<'_>) -> Option<usize>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginSearch {
    /// At this argument.
    Index(usize),
    /// Behind this word, in any case. `start_from` is the argument where to look for it first; if
    /// negative it counts from the end, and the search goes backwards.
    Keyword { keyword: &'static str, start_from: i32 },
    /// There is no rule: [`KeySpec::get_keys`] tells.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindKeys {
    Range {
        /// The last key: counted from the first, or from the end if negative (-1 is the last
        /// argument).
        last: i32,
        step: usize,
        /// With `last` -1, how much of the rest are keys: 2 for one half; 0 and 1 for all.
        limit: usize,
    },
    /// So many keys as an argument says; both places are counted from where the search began.
    KeyNum { count_at: usize, first: usize, step: usize },
    /// There is no rule: [`KeySpec::get_keys`] tells.
    Unknown,
}

bitflags! {
    /// What a command does with a key.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KeyFlags: u32 {
        const RO = 1 << 0;
        const RW = 1 << 1;
        const OW = 1 << 2;
        const RM = 1 << 3;
        const ACCESS = 1 << 4;
        const UPDATE = 1 << 5;
        const INSERT = 1 << 6;
        const DELETE = 1 << 7;
        const NOT_KEY = 1 << 8;
        const INCOMPLETE = 1 << 9;
        const VARIABLE_FLAGS = 1 << 10;
    }
}

impl KeySpec {
    pub const fn one(first: usize, flags: KeyFlags) -> Self {
        KeySpec::several(first, 1, flags)
    }

    /// So many keys, one after the other.
    pub const fn several(first: usize, count: usize, flags: KeyFlags) -> Self {
        KeySpec::range(first, count as i32 - 1, 1, flags)
    }

    /// From `first` to the last argument.
    pub const fn to_end(first: usize, step: usize, flags: KeyFlags) -> Self {
        KeySpec::range(first, -1, step, flags)
    }

    /// From `first` to `last` as in [`FindKeys::Range`].
    pub const fn range(first: usize, last: i32, step: usize, flags: KeyFlags) -> Self {
        KeySpec::new(BeginSearch::Index(first), FindKeys::Range { last, step, limit: 0 }, flags)
    }

    /// The argument of this index says how many keys follow it.
    pub const fn counted(count_at: usize, flags: KeyFlags) -> Self {
        let find = FindKeys::KeyNum { count_at: 0, first: 1, step: 1 };
        KeySpec::new(BeginSearch::Index(count_at), find, flags)
    }

    /// As many keys as an argument says, each with an argument of its own behind it.
    pub const fn counted_pairs(count_at: usize, flags: KeyFlags) -> Self {
        let find = FindKeys::KeyNum { count_at: 0, first: 1, step: 2 };
        KeySpec::new(BeginSearch::Index(count_at), find, flags)
    }

    /// The key behind a word, or with [`KeySpec::to`] several; see [`BeginSearch::Keyword`].
    pub const fn behind(keyword: &'static str, start_from: i32, flags: KeyFlags) -> Self {
        let begin = BeginSearch::Keyword { keyword, start_from };
        KeySpec::new(begin, FindKeys::Range { last: 0, step: 1, limit: 0 }, flags)
    }

    pub const fn unknown(flags: KeyFlags) -> Self {
        KeySpec::new(BeginSearch::Unknown, FindKeys::Unknown, flags)
    }

    const fn new(begin: BeginSearch, find: FindKeys, flags: KeyFlags) -> Self {
        KeySpec { begin, find, flags, notes: "", get_keys: None, database: None }
    }

    /// Ends at `last`, or where so much of the rest is over; see [`FindKeys::Range`].
    pub const fn to(self, last: i32, limit: usize) -> Self {
        KeySpec { find: FindKeys::Range { last, step: 1, limit }, ..self }
    }

    pub const fn with_notes(self, notes: &'static str) -> Self {
        KeySpec { notes, ..self }
    }

    pub const fn or_by(self, get_keys: GetKeys) -> Self {
        KeySpec { get_keys: Some(get_keys), ..self }
    }

    pub const fn in_database(self, database: NamedDatabase) -> Self {
        KeySpec { database: Some(database), ..self }
    }

    /// The argument of the first key, if it is the same in every command line that is long enough.
    pub fn fixed_first(&self) -> Option<usize> {
        match (self.begin, self.find) {
            _ if self.flags.intersects(KeyFlags::INCOMPLETE.union(KeyFlags::NOT_KEY)) => None,
            (BeginSearch::Index(first), FindKeys::Range { .. }) => Some(first),
            _ => None,
        }
    }

    /// As clients know it that are older than key specifications: the first key, the last, counted
    /// from the end if negative, and the step. `None` if this is no such range.
    pub fn fixed_range(&self) -> Option<(i64, i64, i64)> {
        let (BeginSearch::Index(first), FindKeys::Range { last, step, .. }) =
            (self.begin, self.find)
        else {
            return None;
        };
        let first = first as i64;
        let last = if last < 0 { i64::from(last) } else { first + i64::from(last) };
        Some((first, last, step as i64))
    }

    /// Whether every command line that is long enough has keys here, and is complete.
    pub fn always_holds(&self) -> bool {
        self.fixed_first().is_some() && !matches!(self.find, FindKeys::Range { step: 2.., .. })
    }

    /// The arguments that are keys. `None` if there is no telling: a word or a count is missing, or
    /// the count is none.
    pub fn keys(&self, args: Args<'_>) -> Option<KeyRange> {
        let begin = self.begin.argument(args)?;
        let (first, last, step) = match self.find {
            FindKeys::Range { last, step, limit } => {
                let end = if limit > 1 {
                    begin + args.len().checked_sub(begin)? / limit
                } else {
                    args.len()
                };
                let last = match usize::try_from(last) {
                    Ok(further) => begin + further,
                    Err(_) => end.checked_sub(last.unsigned_abs() as usize)?,
                };
                (begin, last, step)
            }
            FindKeys::KeyNum { count_at, first, step } => {
                let count = number::parse_i64(args.get(begin + count_at)?)?;
                let first = begin + first;
                if count == 0 {
                    return Some(KeyRange { first, end: first, step, ..self.range_of() });
                }
                let further = usize::try_from(count).ok()?.checked_sub(1)?.checked_mul(step)?;
                (first, first.checked_add(further)?, step)
            }
            FindKeys::Unknown => return None,
        };
        let exists = first <= last && last < args.len();
        exists.then(|| KeyRange { first, end: last + 1, step, ..self.range_of() })
    }

    fn range_of(&self) -> KeyRange {
        KeyRange { flags: self.flags, database: self.database, ..KeyRange::NONE }
    }

    /// Whether every key has all the arguments that go with it, as MSET's have their values.
    pub fn is_complete(&self, args: Args<'_>) -> bool {
        let FindKeys::Range { last: -1, step, limit: 0 | 1 } = self.find else { return true };
        let begin = self.begin.argument(args);
        begin.is_some_and(|begin| args.len().saturating_sub(begin).is_multiple_of(step))
    }
}

impl BeginSearch {
    fn argument(self, args: Args<'_>) -> Option<usize> {
        let (keyword, start_from) = match self {
            BeginSearch::Index(index) => return Some(index),
            BeginSearch::Keyword { keyword, start_from } => (keyword.as_bytes(), start_from),
            BeginSearch::Unknown => return None,
        };
        let is_keyword = |&at: &usize| args.at(at).eq_ignore_ascii_case(keyword);
        let found = match usize::try_from(start_from) {
            Ok(start) => (start..args.len()).find(is_keyword),
            Err(_) => {
                let start = args.len().checked_sub(start_from.unsigned_abs() as usize)?;
                (2..=start).rev().find(is_keyword)
            }
        };
        Some(found? + 1)
    }
}

/// Arguments that are keys: every `step`-th from `first`, before `end`.
#[derive(Clone, Copy, Debug)]
pub struct KeyRange {
    pub first: usize,
    pub end: usize,
    pub step: usize,
    pub flags: KeyFlags,
    database: Option<NamedDatabase>,
}

impl KeyRange {
    const NONE: KeyRange =
        KeyRange { first: 0, end: 0, step: 1, flags: KeyFlags::empty(), database: None };

    pub const fn new(first: usize, end: usize, flags: KeyFlags) -> Self {
        KeyRange { first, end, flags, ..KeyRange::NONE }
    }

    pub fn positions(self) -> impl Iterator<Item = usize> {
        (self.first..self.end).step_by(self.step)
    }

    /// The database in which these keys are meant.
    pub fn database(&self, args: Args<'_>, selected: usize) -> usize {
        self.database.and_then(|named| named(args)).unwrap_or(selected)
    }
}

/// All keys of a command.
#[derive(Clone, Copy, Debug)]
pub struct KeyRanges {
    ranges: [KeyRange; RANGES_MAX],
    len: usize,
}

impl KeyRanges {
    pub const NONE: KeyRanges = KeyRanges { ranges: [KeyRange::NONE; RANGES_MAX], len: 0 };

    /// Adds a range. There is room for `RANGES_MAX`.
    pub fn with(mut self, range: KeyRange) -> Self {
        debug_assert!(self.len < RANGES_MAX, "more ranges of keys than any command has");
        if let Some(slot) = self.ranges.get_mut(self.len) {
            *slot = range;
            self.len += 1;
        }
        self
    }

    pub fn iter(self) -> impl Iterator<Item = KeyRange> {
        self.ranges.into_iter().take(self.len)
    }

    pub fn positions(self) -> impl Iterator<Item = usize> {
        self.iter().flat_map(KeyRange::positions)
    }
}

#[cfg(test)]
mod tests;
