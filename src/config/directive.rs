//! What a directive is: one row of the table in [`super::table`].

use super::Config;
use crate::text::quote;

/// One directive, with everything that the parser, CONFIG, `--help` and the sample file need.
pub struct Directive {
    pub name: &'static str,
    /// Older names that Redis keeps; CONFIG GET lists them as Redis does, as directives of their own.
    pub aliases: &'static [&'static str],
    /// The heading it stands under in the help and the sample file.
    pub group: &'static str,
    /// As it would be written in a file.
    pub default: &'static str,
    pub rule: Rule,
    pub change: Change,
    pub effect: Effect,
    /// Lines of prose.
    pub documentation: &'static [&'static str],
    pub shape: Shape,
    pub(super) read: ReadFn,
    pub(super) show: fn(&Config) -> Vec<u8>,
    pub(super) lines: fn(&Config) -> Vec<String>,
}

/// Sets the field from words; the last argument tells that values of earlier lines are replaced.
/// The error is the reason only, in Redis's words where Redis has some.
pub(super) type ReadFn = fn(&mut Config, &[Vec<u8>], Replace) -> Result<(), String>;

/// Whether a directive that may be repeated begins anew or adds to what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    All,
    Nothing,
}

/// Limits of a value, where its type alone does not say them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Any,
    /// An integer; both ends are allowed.
    Within(i64, i64),
    /// An integer, moved to the nearer end if it is outside.
    Clamped(i64, i64),
    /// An amount of memory in bytes, which may be written with a unit; both ends are allowed.
    Memory(u64, u64),
    /// File permissions, written in octal.
    Permissions,
}

/// When a directive may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// By CONFIG SET at any time.
    Anytime,
    /// By the file or the arguments only.
    AtStart,
    /// By CONFIG SET only where `enable-protected-configs` allows it.
    Protected,
}

/// Whether a directive does anything in this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Here,
    /// Accepted, kept and shown, so that files and clients made for Redis work; nothing else.
    None,
}

/// What values look like, decided by the type of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// See [`Directive::placeholder`].
    pub placeholder: &'static str,
    /// Takes any number of words; otherwise exactly one.
    pub many_words: bool,
    /// Lines add up instead of the last one winning.
    pub repeatable: bool,
    /// Never shown by `Debug`, logs or errors.
    pub secret: bool,
}

impl Shape {
    pub const fn one(placeholder: &'static str) -> Self {
        Shape { placeholder, many_words: false, repeatable: false, secret: false }
    }

    pub const fn words(placeholder: &'static str) -> Self {
        Shape { placeholder, many_words: true, repeatable: false, secret: false }
    }

    pub const fn repeatable(placeholder: &'static str) -> Self {
        Shape { placeholder, many_words: true, repeatable: true, secret: false }
    }
}

impl Directive {
    /// Sets the directive from the words of a line or of an argument.
    pub(super) fn read(
        &self,
        config: &mut Config,
        words: &[Vec<u8>],
        replace: Replace,
    ) -> Result<(), String> {
        if words.is_empty() || (!self.shape.many_words && words.len() > 1) {
            return Err("wrong number of arguments".into());
        }
        (self.read)(config, words, replace)
    }

    /// Sets the directive to its default.
    pub(super) fn reset(&self, config: &mut Config) -> Result<(), String> {
        let words = split_words(self.default.as_bytes())?;
        let words = if words.is_empty() { vec![Vec::new()] } else { words };
        (self.read)(config, &words, Replace::All)
    }

    /// The value as CONFIG GET shows it.
    pub fn show(&self, config: &Config) -> Vec<u8> {
        (self.show)(config)
    }

    /// The value as a file has it: what follows the name, for each line that is needed.
    pub(super) fn lines(&self, config: &Config) -> Vec<String> {
        (self.lines)(config)
    }

    /// What a value looks like, for the help: `yes|no`, `bytes`.
    pub fn placeholder(&self) -> &'static str {
        match self.rule {
            Rule::Memory(..) => "bytes",
            _ => self.shape.placeholder,
        }
    }

    /// What a value must be, for error messages and the help; empty where the type says it all.
    pub fn limits(&self) -> String {
        // Bounds that are only those of a machine's integers say nothing to people.
        const UNBOUNDED: i64 = i32::MAX as i64;
        let exact = crate::text::memory::exact;
        match self.rule {
            Rule::Any | Rule::Memory(0, _) => String::new(),
            Rule::Within(min, UNBOUNDED..) if min < -UNBOUNDED => String::new(),
            Rule::Within(min, UNBOUNDED..) => format!("{min} or more"),
            Rule::Within(min, max) | Rule::Clamped(min, max) => format!("{min} to {max}"),
            Rule::Memory(min, max) if max > u64::from(u32::MAX) => {
                format!("{} or more", exact(min))
            }
            Rule::Memory(min, max) => format!("{} to {}", exact(min), exact(max)),
            Rule::Permissions => "octal, such as 700".into(),
        }
    }
}

/// Splits a line into words, which may be of any bytes.
pub(super) fn split_words(line: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    quote::split_args(line)
        .map_err(|_| "unbalanced quotes: close the quote, and put a space after it".to_string())
}

/// Quotes a word for a file where it needs quotes; the result is ASCII.
pub(super) fn quoted(word: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\');
    let mut out = Vec::new();
    if !word.is_empty() && !word.starts_with(b"#") && word.iter().all(plain) {
        out.extend(word);
    } else {
        quote::push_repr(&mut out, word);
    }
    out.into_iter().map(char::from).collect()
}

/// Defines [`Config`] and the table of its directives from one list. A row is: prose, name, older
/// names, field, type, default, rule, when it may change, whether it has an effect.
macro_rules! directives {
    ($( $group:literal { $(
        $(#[doc = $doc:literal])+
        $name:literal $([$($alias:literal),+])? $field:ident: $type:ty = $default:literal,
        $rule:expr, $change:ident, $effect:ident;
    )* } )*) => {
        /// The whole configuration: one field per directive, typed and validated.
        ///
        /// Clone it, change the clone through [`Config::with_changes`], put it in force whole.
        #[derive(Clone)]
        pub struct Config {
            $($(
                $(#[doc = $doc])+
                pub $field: $type,
            )*)*
            /// What the operator should know about values that were accepted but cannot be
            /// honoured; one line each, to be logged at start.
            pub warnings: Vec<String>,
        }

        impl Config {
            /// Every field at its type's own default; [`Config::default`] sets the directives'.
            pub(super) fn blank() -> Self {
                Config { $($( $field: Default::default(), )*)* warnings: Vec::new() }
            }
        }

        /// Every directive, in the order of the sample file.
        pub static DIRECTIVES: &[Directive] = &[$($(
            Directive {
                name: $name,
                aliases: &[$($($alias),+)?],
                group: $group,
                default: $default,
                rule: $rule,
                change: Change::$change,
                effect: Effect::$effect,
                documentation: &[$($doc),+],
                shape: <$type as Value>::SHAPE,
                read: |config, words, replace| {
                    config.$field = Value::read(words, &$rule, &config.$field, replace)?;
                    Ok(())
                },
                show: |config| Value::show(&config.$field, &$rule),
                lines: |config| Value::lines(&config.$field, &$rule),
            },
        )*)*];
    };
}
pub(super) use directives;
