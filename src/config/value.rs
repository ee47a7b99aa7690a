//! The types of directives: how each is read, shown by CONFIG GET and written to a file.

use std::path::PathBuf;

use super::directive::{Replace, Rule, Shape, quoted};
use crate::text::{memory, number};

/// A type that a directive can have, in bytes: what a file, an argument or a client says need not be
/// text. Nearly every type is one of text, see [`TextValue`].
pub trait Value: Sized {
    const SHAPE: Shape;

    /// Reads the words of one line: exactly one unless the shape takes many. `current` is the value
    /// so far, for types whose lines add up.
    fn read(
        words: &[Vec<u8>],
        rule: &Rule,
        current: &Self,
        replace: Replace,
    ) -> Result<Self, String>;

    /// As CONFIG GET shows it.
    fn show(&self, rule: &Rule) -> Vec<u8>;

    /// As a file has it: what follows the name, for each line that is needed.
    fn lines(&self, rule: &Rule) -> Vec<String>;
}

/// A [`Value`] whose words are valid UTF-8.
pub trait TextValue: Sized {
    const SHAPE: Shape;

    /// See [`Value::read`].
    fn read(
        words: &[String],
        rule: &Rule,
        current: &Self,
        replace: Replace,
    ) -> Result<Self, String>;

    /// See [`Value::show`].
    fn show(&self, rule: &Rule) -> String;

    /// See [`Value::lines`].
    fn lines(&self, rule: &Rule) -> Vec<String> {
        vec![quoted(self.show(rule).as_bytes())]
    }
}

impl<T: TextValue> Value for T {
    const SHAPE: Shape = <T as TextValue>::SHAPE;

    fn read(
        words: &[Vec<u8>],
        rule: &Rule,
        current: &Self,
        replace: Replace,
    ) -> Result<Self, String> {
        let text = |word: &Vec<u8>| String::from_utf8(word.clone());
        let words: Result<Vec<String>, _> = words.iter().map(text).collect();
        let words = words.map_err(|_| "the value must be valid UTF-8".to_string())?;
        TextValue::read(&words, rule, current, replace)
    }

    fn show(&self, rule: &Rule) -> Vec<u8> {
        TextValue::show(self, rule).into_bytes()
    }

    fn lines(&self, rule: &Rule) -> Vec<String> {
        TextValue::lines(self, rule)
    }
}

impl TextValue for bool {
    const SHAPE: Shape = Shape::one("yes|no");

    fn read(words: &[String], _: &Rule, _: &Self, _: Replace) -> Result<Self, String> {
        match words[0].to_ascii_lowercase().as_str() {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err("argument must be 'yes' or 'no'".into()),
        }
    }

    fn show(&self, _: &Rule) -> String {
        if *self { "yes".into() } else { "no".into() }
    }
}

impl TextValue for i64 {
    const SHAPE: Shape = Shape::one("number");

    fn read(words: &[String], rule: &Rule, _: &Self, _: Replace) -> Result<Self, String> {
        let word = words[0].as_bytes();
        if *rule == Rule::Permissions {
            return i64::from_str_radix(&words[0], 8)
                .ok()
                .filter(|mode| (0..=0o777).contains(mode) && word[0].is_ascii_digit())
                .ok_or_else(|| "argument must be file permissions in octal, such as 700".into());
        }
        let value = number::parse_i64(word)
            .ok_or_else(|| "argument couldn't be parsed into an integer".to_string())?;
        match *rule {
            Rule::Within(min, max) if !(min..=max).contains(&value) => {
                Err(format!("argument must be between {min} and {max} inclusive"))
            }
            Rule::Clamped(min, max) => Ok(value.clamp(min, max)),
            _ => Ok(value),
        }
    }

    fn show(&self, rule: &Rule) -> String {
        if *rule == Rule::Permissions { format!("{self:o}") } else { self.to_string() }
    }
}

/// Narrower integers read as `i64`; their rules keep them in range.
macro_rules! narrow {
    ($($type:ty),*) => { $(
        impl TextValue for $type {
            const SHAPE: Shape = <i64 as TextValue>::SHAPE;

            fn read(words: &[String], rule: &Rule, _: &Self, replace: Replace) -> Result<Self, String> {
                let value = <i64 as TextValue>::read(words, rule, &0, replace)?;
                <$type>::try_from(value)
                    .map_err(|_| "argument is out of range".into())
            }

            fn show(&self, rule: &Rule) -> String {
                TextValue::show(&i64::from(*self), rule)
            }
        }
    )* };
}
narrow!(u16, u32);

/// Amounts of memory in bytes where the rule says so; counts and times otherwise.
impl TextValue for u64 {
    const SHAPE: Shape = Shape::one("number");

    fn read(words: &[String], rule: &Rule, _: &Self, replace: Replace) -> Result<Self, String> {
        let Rule::Memory(min, max) = *rule else {
            let value = <i64 as TextValue>::read(words, rule, &0, replace)?;
            return u64::try_from(value).map_err(|_| "argument is out of range".into());
        };
        let value = memory::parse(words[0].as_bytes())
            .ok_or_else(|| "argument must be a memory value".to_string())?;
        if !(min..=max).contains(&value) {
            return Err(format!("argument must be between {min} and {max} inclusive"));
        }
        Ok(value)
    }

    fn show(&self, _: &Rule) -> String {
        self.to_string()
    }

    fn lines(&self, rule: &Rule) -> Vec<String> {
        vec![if matches!(rule, Rule::Memory(..)) { memory::exact(*self) } else { self.to_string() }]
    }
}

impl TextValue for String {
    const SHAPE: Shape = Shape::one("text");

    fn read(words: &[String], _: &Rule, _: &Self, _: Replace) -> Result<Self, String> {
        Ok(words[0].clone())
    }

    fn show(&self, _: &Rule) -> String {
        self.clone()
    }
}

/// Several words that are kept as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl TextValue for Words {
    const SHAPE: Shape = Shape::words("words");

    fn read(words: &[String], _: &Rule, _: &Self, _: Replace) -> Result<Self, String> {
        Ok(Words(words.iter().filter(|word| !word.is_empty()).cloned().collect()))
    }

    fn show(&self, _: &Rule) -> String {
        self.0.join(" ")
    }

    fn lines(&self, _: &Rule) -> Vec<String> {
        vec![join_quoted(self.0.iter().map(String::as_str))]
    }
}

/// A line's words; the empty list is written as `""`.
pub(super) fn join_quoted<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let line = words.map(|word| quoted(word.as_bytes())).collect::<Vec<_>>().join(" ");
    if line.is_empty() { quoted(b"") } else { line }
}

/// A file; the empty text is none.
impl TextValue for Option<PathBuf> {
    const SHAPE: Shape = Shape::one("path");

    fn read(words: &[String], _: &Rule, _: &Self, _: Replace) -> Result<Self, String> {
        if words[0].contains('\0') {
            return Err("a path cannot hold a NUL byte".into());
        }
        Ok(Some(PathBuf::from(&words[0])).filter(|path| !path.as_os_str().is_empty()))
    }

    fn show(&self, _: &Rule) -> String {
        self.as_ref().map_or_else(String::new, |path| path.to_string_lossy().into_owned())
    }
}

/// A password in clear text, of any bytes as in Redis, which Redis's CONFIG GET and CONFIG REWRITE need; everything else
/// should hold an [`crate::access::Password`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The clear text: to be hashed, or shown to a client who may see the configuration.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_empty() { "Secret(none)" } else { "Secret(set)" })
    }
}

impl Value for Secret {
    const SHAPE: Shape =
        Shape { placeholder: "password", many_words: false, repeatable: false, secret: true };

    fn read(words: &[Vec<u8>], _: &Rule, _: &Self, _: Replace) -> Result<Self, String> {
        Ok(Secret(words[0].clone()))
    }

    fn show(&self, _: &Rule) -> Vec<u8> {
        self.0.clone()
    }

    fn lines(&self, _: &Rule) -> Vec<String> {
        vec![quoted(&self.0)]
    }
}

/// Defines an enumeration whose variants have names in the configuration.
macro_rules! named_values {
    ($(#[$meta:meta])* $type:ident($placeholder:literal) {
        $($(#[$variant_meta:meta])* $variant:ident = $name:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $type {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $type {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As in the configuration file.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        impl TextValue for $type {
            const SHAPE: Shape = Shape::one($placeholder);

            fn read(words: &[String], _: &Rule, _: &Self, _: Replace) -> Result<Self, String> {
                let word = &words[0];
                Self::ALL.iter().copied().find(|v| v.name().eq_ignore_ascii_case(word)).ok_or_else(|| {
                    let names: Vec<_> = Self::ALL.iter().map(|v| v.name()).collect();
                    format!("argument(s) must be one of the following: {}", names.join(", "))
                })
            }

            fn show(&self, _: &Rule) -> String {
                self.name().into()
            }
        }
    };
}
pub(super) use named_values;
