//! What SORT is asked for: its options, and the patterns that name other keys.

use crate::commands::CommandError;
use crate::protocol::Args;
use crate::store::Kind;
use crate::text::number;

/// The options of a SORT.
#[derive(Debug, Default)]
pub struct Request<'a> {
    pub by: By<'a>,
    pub descending: bool,
    /// As strings, not as numbers.
    pub alpha: bool,
    pub limit: Option<Limit>,
    pub gets: Vec<Get<'a>>,
    /// The argument that is the destination.
    pub store: Option<usize>,
}

/// What the elements are sorted by.
#[derive(Clone, Copy, Debug, Default)]
pub enum By<'a> {
    #[default]
    Element,
    /// They are not: the pattern is the same for all.
    Nothing,
    Pattern(Pattern<'a>),
}

/// What is answered for an element.
#[derive(Clone, Copy, Debug)]
pub enum Get<'a> {
    Element,
    /// The pattern names no key.
    Nothing,
    Pattern(Pattern<'a>),
}

#[derive(Clone, Copy, Debug)]
pub struct Limit {
    offset: i64,
    count: i64,
}

/// `prefix*suffix` or `prefix*suffix->field`: with an element in the place of the star, the name of a
/// string, or of a hash that has the field.
#[derive(Clone, Copy, Debug)]
pub struct Pattern<'a> {
    prefix: &'a [u8],
    suffix: &'a [u8],
    pub field: Option<&'a [u8]>,
}

impl<'a> Pattern<'a> {
    /// `None` if there is no star: it names no key.
    fn new(pattern: &'a [u8]) -> Option<Pattern<'a>> {
        let star = pattern.iter().position(|byte| *byte == b'*')?;
        let (prefix, rest) = (&pattern[..star], &pattern[star + 1..]);
        let arrow = rest.windows(2).position(|pair| pair == b"->");
        Some(match arrow.filter(|at| at + 2 < rest.len()) {
            Some(at) => Pattern { prefix, suffix: &rest[..at], field: Some(&rest[at + 2..]) },
            None => Pattern { prefix, suffix: rest, field: None },
        })
    }

    pub fn key_for(&self, element: &[u8]) -> Vec<u8> {
        [self.prefix, element, self.suffix].concat()
    }
}

impl Limit {
    /// Which of so many elements are meant.
    pub fn range(self, len: usize) -> std::ops::Range<usize> {
        let start = usize::try_from(self.offset).unwrap_or(0).min(len);
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        start..start.saturating_add(count).min(len)
    }
}

impl<'a> Request<'a> {
    /// `stores`: whether the command knows STORE, as SORT_RO does not.
    pub fn parse(args: Args<'a>, stores: bool) -> Result<Request<'a>, CommandError> {
        let mut request = Request::default();
        let mut at = 2;
        while at < args.len() {
            let (word, left) = (args.at(at), args.len() - at - 1);
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            let taken = if is(b"ASC") {
                request.descending = false;
                0
            } else if is(b"DESC") {
                request.descending = true;
                0
            } else if is(b"ALPHA") {
                request.alpha = true;
                0
            } else if is(b"LIMIT") && left >= 2 {
                let integer = |at| number::parse_i64(args.at(at)).ok_or(CommandError::NotInteger);
                let (offset, count) = (integer(at + 1)?, integer(at + 2)?);
                request.limit = Some(Limit { offset, count });
                2
            } else if stores && is(b"STORE") && left >= 1 {
                request.store = Some(at + 1);
                1
            } else if is(b"BY") && left >= 1 {
                request.by = Pattern::new(args.at(at + 1)).map_or(By::Nothing, By::Pattern);
                1
            } else if is(b"GET") && left >= 1 {
                request.gets.push(match (args.at(at + 1), Pattern::new(args.at(at + 1))) {
                    (b"#", _) => Get::Element,
                    (_, Some(pattern)) => Get::Pattern(pattern),
                    (_, None) => Get::Nothing,
                });
                1
            } else {
                return Err(CommandError::Syntax);
            };
            at += 1 + taken;
        }
        Ok(request)
    }

    /// What is different for a value of this kind: a set has no order, so its elements are sorted by
    /// themselves if what comes of it is stored, even if nothing was asked for.
    pub fn fit(&mut self, kind: Kind) {
        if kind == Kind::Set && self.store.is_some() && matches!(self.by, By::Nothing) {
            (self.by, self.alpha) = (By::Element, true);
        }
    }

    /// Whether the elements are not sorted, but left in the order that they have.
    pub fn keeps_order(&self) -> bool {
        matches!(self.by, By::Nothing)
    }

    /// Whether it names keys by what is sorted.
    pub fn has_patterns(&self) -> bool {
        let gets = || self.gets.iter().any(|get| matches!(get, Get::Pattern(_)));
        matches!(self.by, By::Pattern(_)) || gets()
    }
}
