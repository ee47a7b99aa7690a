//! A command's words with placeholders to RESP fragments.
//!
//! What never changes is encoded once; digits of keys have a fixed width and are written over the
//! copy. Only a value whose length varies, and a TTL, split a command into several fragments.

use rand::rngs::SmallRng;
use ringwell::text::number::push_u64;

use super::distribution::{KeyChooser, below};
use super::values::Values;
use super::verify::{self, Description};
use crate::plan::SecondsRange;

/// Width of a key's number, as in redis-benchmark.
const DIGITS: usize = 12;
/// As many keys as the digits can tell apart.
pub const MOST_KEYS: u64 = 1_000_000_000_000;

/// What may stand in a template's words, alone or embedded, with its meaning.
pub const PLACEHOLDERS: &[(&str, &str)] = &[
    ("__key__", "a key: the prefix and 12 digits, chosen by the distribution"),
    ("__rand__", "12 digits, uniform over the key space"),
    ("__rand_int__", "the same, by its name in redis-benchmark"),
    ("__value__", "a value, its size as told"),
];

/// A command ready to be appended to an output buffer.
#[derive(Clone, Debug)]
pub struct Template {
    pieces: Vec<Piece>,
    /// The size of all values, where they have the same.
    fixed_size: Option<usize>,
    /// The word that names the slot, for cluster routing.
    pub routing_word: usize,
    /// How often `__key__` stands in it.
    pub keys: usize,
}

#[derive(Clone, Debug)]
enum Piece {
    Bytes {
        bytes: Box<[u8]>,
        patches: Box<[Patch]>,
    },
    /// Draws a value's size and writes the header of the word that holds it `values` times, with
    /// `rest` other bytes.
    Header {
        values: usize,
        rest: usize,
    },
    Value,
    /// The whole word: header, digits, line end.
    Ttl(SecondsRange),
}

#[derive(Clone, Copy, Debug)]
struct Patch {
    at: usize,
    number: Number,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Key,
    Rand,
}

#[derive(Clone, Debug)]
enum Part<'a> {
    Text(&'a str),
    Number(Number),
    Value,
}

/// What placeholders are filled from.
#[derive(Clone, Debug)]
pub struct Draws {
    pub rng: SmallRng,
    pub keys: KeyChooser,
    /// 0: placeholders of numbers stay as they are written.
    pub key_count: u64,
    pub values: Values,
}

impl Draws {
    /// Out of line: hardly a command has a second key.
    #[inline(never)]
    fn another_key(&mut self) -> u64 {
        self.keys.choose(&mut self.rng)
    }
}

impl Template {
    /// `ttl` becomes an EX behind the words.
    ///
    /// # Errors
    /// When there are no words.
    pub fn new(
        words: &[String],
        prefix: &str,
        ttl: Option<SecondsRange>,
        draws: &Draws,
    ) -> Result<Self, String> {
        if words.is_empty() {
            return Err("a command has no words".into());
        }
        let mut encoder = Encoder::default();
        let count = words.len() + if ttl.is_some() { 2 } else { 0 };
        encoder.header(b'*', count);
        for word in words {
            encoder.word(&split(word, prefix, draws.key_count > 0), draws.values.fixed_size());
        }
        if let Some(ttl) = ttl {
            encoder.word(&[Part::Text("EX")], None);
            encoder.ttl(ttl);
        }
        Ok(encoder.finish(words, draws))
    }

    /// As an inline command: the words with a space between them.
    ///
    /// # Errors
    /// When there are no words, or one that a line cannot hold.
    pub fn inline(words: &[String], prefix: &str, draws: &Draws) -> Result<Self, String> {
        let plain = |word: &String| {
            !word.is_empty()
                && !word.contains("__value__")
                && !word.contains(|c: char| c.is_whitespace() || c == '"' || c == '\'')
        };
        if words.is_empty() || !words.iter().all(plain) {
            return Err("an inline command is made of plain words, without __value__".into());
        }
        let mut encoder = Encoder::default();
        for (index, word) in words.iter().enumerate() {
            if index > 0 {
                encoder.bytes.push(b' ');
            }
            encoder.parts(&split(word, prefix, draws.key_count > 0));
        }
        encoder.bytes.extend_from_slice(b"\r\n");
        Ok(encoder.finish(words, draws))
    }

    /// Appends the command. `key` fills the first `__key__`; every further one is drawn anew.
    /// Values describe themselves where `description` is given.
    #[inline]
    pub fn append(
        &self,
        key: u64,
        description: Option<Description>,
        draws: &mut Draws,
        out: &mut Vec<u8>,
    ) {
        let mut own_key = Some(key);
        let mut size = self.fixed_size.unwrap_or(0);
        for piece in &self.pieces {
            match piece {
                Piece::Bytes { bytes, patches } => {
                    let start = out.len();
                    out.extend_from_slice(bytes);
                    for patch in patches {
                        let number = match patch.number {
                            Number::Key => match own_key.take() {
                                Some(key) => key,
                                None => draws.another_key(),
                            },
                            Number::Rand => below(&mut draws.rng, draws.key_count),
                        };
                        let at = start + patch.at;
                        write_digits(&mut out[at..at + DIGITS], number);
                    }
                }
                Piece::Header { values, rest } => {
                    size = draws.values.size(&mut draws.rng);
                    push_header(out, b'$', values * size + rest);
                }
                Piece::Value => append_value(size, description, draws, out),
                Piece::Ttl(range) => {
                    let span = (range.max - range.min).saturating_add(1);
                    let seconds = range.min + below(&mut draws.rng, span);
                    push_header(out, b'$', digits_of(seconds));
                    push_u64(out, seconds);
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
    }
}

fn append_value(
    size: usize,
    description: Option<Description>,
    draws: &mut Draws,
    out: &mut Vec<u8>,
) {
    let at = rand::RngCore::next_u64(&mut draws.rng);
    let start = out.len();
    draws.values.append(size, at, out);
    if let Some(description) = description {
        verify::describe(&mut out[start..], description);
    }
}

/// The parts of a word. Numbers are left as they are written where there is no key space.
fn split<'a>(word: &'a str, prefix: &'a str, numbers: bool) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let mut rest = word;
    while !rest.is_empty() {
        let found = PLACEHOLDERS
            .iter()
            .filter(|(name, _)| numbers || *name == "__value__")
            .filter_map(|(name, _)| rest.find(name).map(|at| (at, *name)))
            .min();
        let Some((at, name)) = found else {
            parts.push(Part::Text(rest));
            break;
        };
        parts.push(Part::Text(&rest[..at]));
        match name {
            "__key__" => parts.extend([Part::Text(prefix), Part::Number(Number::Key)]),
            "__value__" => parts.push(Part::Value),
            _ => parts.push(Part::Number(Number::Rand)),
        }
        rest = &rest[at + name.len()..];
    }
    parts
}

/// Collects pieces; bytes go to the last one as long as nothing variable comes between.
#[derive(Default)]
struct Encoder {
    pieces: Vec<Piece>,
    bytes: Vec<u8>,
    patches: Vec<Patch>,
    keys: usize,
}

impl Encoder {
    fn header(&mut self, kind: u8, count: usize) {
        push_header(&mut self.bytes, kind, count);
    }

    fn word(&mut self, parts: &[Part<'_>], fixed_size: Option<usize>) {
        let values = parts.iter().filter(|p| matches!(p, Part::Value)).count();
        let rest = parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.len(),
                Part::Number(_) => DIGITS,
                Part::Value => 0,
            })
            .sum();
        match fixed_size {
            _ if values == 0 => self.header(b'$', rest),
            Some(size) => self.header(b'$', values * size + rest),
            None => self.piece(Piece::Header { values, rest }),
        }
        self.parts(parts);
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn parts(&mut self, parts: &[Part<'_>]) {
        for part in parts {
            match part {
                Part::Text(text) => self.bytes.extend_from_slice(text.as_bytes()),
                Part::Number(number) => {
                    self.keys += usize::from(*number == Number::Key);
                    self.patches.push(Patch { at: self.bytes.len(), number: *number });
                    self.bytes.extend_from_slice(&[b'0'; DIGITS]);
                }
                Part::Value => self.piece(Piece::Value),
            }
        }
    }

    fn ttl(&mut self, range: SecondsRange) {
        if range.min == range.max {
            self.word(&[Part::Text(&range.min.to_string())], None);
        } else {
            self.piece(Piece::Ttl(range));
        }
    }

    fn piece(&mut self, piece: Piece) {
        self.flush();
        self.pieces.push(piece);
    }

    fn flush(&mut self) {
        if !self.bytes.is_empty() {
            self.pieces.push(Piece::Bytes {
                bytes: std::mem::take(&mut self.bytes).into(),
                patches: std::mem::take(&mut self.patches).into(),
            });
        }
    }

    fn finish(mut self, words: &[String], draws: &Draws) -> Template {
        self.flush();
        let with_key = words.iter().position(|word| word.contains("__key__"));
        Template {
            pieces: self.pieces,
            fixed_size: draws.values.fixed_size(),
            routing_word: with_key.unwrap_or(1),
            keys: self.keys,
        }
    }
}

#[inline]
fn push_header(out: &mut Vec<u8>, kind: u8, count: usize) {
    out.push(kind);
    push_u64(out, count as u64);
    out.extend_from_slice(b"\r\n");
}

fn digits_of(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Writes the number with leading zeros over all of `digits`, which are [`DIGITS`].
#[inline]
pub fn write_digits(digits: &mut [u8], number: u64) {
    const LOW: u64 = 100_000_000;
    let (high, low) = digits.split_at_mut(DIGITS - 8);
    match number / LOW {
        // Of all but the largest key spaces.
        0 => high.fill(b'0'),
        above => high.copy_from_slice(&eight_digits(above)[4..]),
    }
    low.copy_from_slice(&eight_digits(number % LOW));
}

/// The digits of a number below 10^8. They are split in halves, quarters and eighths of one word,
/// all parts of it by one multiplication each: an eighth of the divisions, one after the other,
/// that digit by digit would take.
#[inline]
fn eight_digits(number: u64) -> [u8; 8] {
    // Parts of four digits, two, and one; the part with the higher digits in the lower bits. The
    // factors are 1/100 and 1/10, rounded up and exact for parts of four and of two digits.
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007F_0000_007F;
    let twos = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((twos * 103) >> 10) & 0x000F_000F_000F_000F;
    let ones = tens | ((twos - tens * 10) << 8);
    (ones + 0x3030_3030_3030_3030).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::plan::{Distribution, ValueSizes};

    fn draws(keys: u64, sizes: &ValueSizes) -> Draws {
        Draws {
            rng: SmallRng::seed_from_u64(1),
            keys: KeyChooser::new(Distribution::Sequential, keys.max(1), 0, 1).expect("valid"),
            key_count: keys,
            values: Values::new(sizes, 1).expect("valid"),
        }
    }

    fn encode(words: &[&str], draws: &mut Draws, ttl: Option<SecondsRange>) -> String {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let template = Template::new(&words, "key:", ttl, draws).expect("valid");
        let mut out = Vec::new();
        template.append(42, None, draws, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn words_alone_and_embedded_byte_for_byte() {
        let mut one = draws(1, &ValueSizes::Fixed(0));
        for (words, expected) in [
            (&["PING"][..], "*1\r\n$4\r\nPING\r\n"),
            (&["GET", "__key__"], "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000042\r\n"),
            (&["INCR", "a__key__b"], "*2\r\n$4\r\nINCR\r\n$18\r\nakey:000000000042b\r\n"),
            (
                &["X", "__rand____rand_int__"],
                "*2\r\n$1\r\nX\r\n$24\r\n000000000000000000000000\r\n",
            ),
            (&["SET", "k", "__value__"], "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n"),
            (&["SET", "k", "<__value__>"], "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n<>\r\n"),
            (&["ECHO", "__keys__ äß"], "*2\r\n$4\r\nECHO\r\n$13\r\n__keys__ äß\r\n"),
            (&["ECHO", ""], "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n"),
        ] {
            assert_eq!(encode(words, &mut one, None), expected);
        }
    }

    #[test]
    fn inline_commands_are_lines() {
        let one = &mut draws(1, &ValueSizes::Fixed(3));
        let mut out = Vec::new();
        let words = ["GET", "a__key__"].map(String::from);
        let template = Template::inline(&words, "key:", one).expect("plain words");
        template.append(42, None, one, &mut out);
        assert_eq!(out, b"GET akey:000000000042\r\n");
        for word in ["", "two words", "__value__", "line\n", "\""] {
            assert!(Template::inline(&[word.to_string()], "key:", one).is_err(), "{word:?}");
        }
    }

    #[test]
    fn further_keys_are_drawn_anew() {
        let mut two = draws(2, &ValueSizes::Fixed(0));
        assert_eq!(
            encode(&["MGET", "__key__", "__key__", "__key__"], &mut two, None),
            "*4\r\n$4\r\nMGET\r\n$16\r\nkey:000000000042\r\n\
             $16\r\nkey:000000000000\r\n$16\r\nkey:000000000001\r\n"
        );
    }

    #[test]
    fn without_a_key_space_numbers_stay_as_they_are_written() {
        let mut none = draws(0, &ValueSizes::Fixed(0));
        assert_eq!(
            encode(&["GET", "key:__rand_int__"], &mut none, None),
            "*2\r\n$3\r\nGET\r\n$16\r\nkey:__rand_int__\r\n"
        );
    }

    #[test]
    fn a_ttl_follows_a_set() {
        let mut one = draws(1, &ValueSizes::Fixed(0));
        let fixed = Some(SecondsRange { min: 10, max: 10 });
        assert_eq!(
            encode(&["SET", "k", "v"], &mut one, fixed),
            "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$2\r\nEX\r\n$2\r\n10\r\n"
        );
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let text = encode(&["SET", "k", "v"], &mut one, Some(SecondsRange { min: 8, max: 11 }));
            let ttl = text.strip_prefix("*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$2\r\nEX\r\n");
            seen.insert(ttl.expect("only the last word varies").to_string());
        }
        let expected = ["$1\r\n8\r\n", "$1\r\n9\r\n", "$2\r\n10\r\n", "$2\r\n11\r\n"];
        assert_eq!(seen, expected.into_iter().map(String::from).collect());
    }

    #[test]
    fn a_varying_value_has_the_length_that_its_header_says() {
        let mut one = draws(1, &ValueSizes::Range { min: 0, max: 300 });
        let words = ["SET", "k", "a__value__b__value__"].map(String::from);
        let template = Template::new(&words, "key:", None, &one).expect("valid");
        for _ in 0..300 {
            let mut out = Vec::new();
            template.append(0, None, &mut one, &mut out);
            let rest = out.strip_prefix(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$").expect("fixed words");
            let end = rest.iter().position(|b| *b == b'\r').expect("a header's end");
            let length: usize =
                std::str::from_utf8(&rest[..end]).expect("digits").parse().expect("a number");
            assert_eq!(rest.len(), end + 2 + length + 2);
            assert_eq!(length % 2, 0, "both values have the same size");
            assert!(rest.ends_with(b"\r\n"));
        }
    }

    #[test]
    fn digits_fill_their_width() {
        // Every group of four digits, in each of the three places.
        let groups = (0..10_000).flat_map(|group| [1, 10_000, 100_000_000].map(|at| group * at));
        for number in groups.chain([99_999_999, 123_456_789_012, MOST_KEYS - 1]) {
            let mut digits = [0; DIGITS];
            write_digits(&mut digits, number);
            assert_eq!(std::str::from_utf8(&digits), Ok(format!("{number:012}").as_str()));
        }
    }
}
