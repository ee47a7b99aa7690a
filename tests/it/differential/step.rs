//! The units of a differential run, and when two replies to one of them agree.

use std::collections::BTreeSet;
use std::fmt;

use ringwell::text::double::DoubleText;

use crate::support::{Value, shown};

/// One command, whether it is answered, and how its replies are compared.
#[derive(Clone)]
pub struct Cmd {
    args: Vec<Vec<u8>>,
    pub answered: bool,
    /// Whether to wait behind it, until what it made expire is gone.
    pub waits: bool,
    pub compare: Compare,
}

/// What a run does next; each step runs on one connection, the next one perhaps on another.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sent in one write, unless some of them wait.
    Pipeline(Vec<Cmd>),
    /// A whole iteration, begun with this line; what it shows is compared as a set.
    Scan { line: Vec<String>, cursor_at: usize },
    /// Members of a set at random: they must be members, and as many.
    Choice(Cmd),
    /// Whatever key comes must exist.
    RandomKey,
    /// Both count keys that have expired until they have dropped them, which they do soon.
    DbSize,
}

impl Step {
    /// How many commands it sends at least.
    pub fn commands(&self) -> usize {
        match self {
            Step::Pipeline(cmds) => cmds.len(),
            Step::Scan { .. } | Step::Choice(_) | Step::RandomKey | Step::DbSize => 1,
        }
    }
}

/// How far two replies may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Exact,
    /// The same elements in any order.
    Unordered,
    /// Numbers of seconds or milliseconds, read at slightly different moments.
    Seconds,
    Milliseconds,
    /// The same types; the contents are each server's own.
    Shape,
    /// As `Exact`, without the server's version and the connection's id.
    Hello,
    /// A page of SCAN: cursors differ.
    Scan,
}

pub fn cmd<'a>(args: impl IntoIterator<Item = &'a str>) -> Cmd {
    let args = args.into_iter().map(|a| a.as_bytes().to_vec()).collect();
    Cmd { args, answered: true, waits: false, compare: Compare::Exact }
}

impl Cmd {
    pub fn arg(mut self, arg: impl AsRef<[u8]>) -> Cmd {
        self.args.push(arg.as_ref().to_vec());
        self
    }

    pub fn all(self, args: impl IntoIterator<Item = String>) -> Cmd {
        args.into_iter().fold(self, Cmd::arg)
    }

    pub fn without_last(mut self) -> Cmd {
        if self.args.len() > 1 {
            self.args.pop();
        }
        self
    }

    pub fn unanswered(mut self) -> Cmd {
        self.answered = false;
        self
    }

    pub fn answered(mut self) -> Cmd {
        self.answered = true;
        self
    }

    pub fn waits(mut self) -> Cmd {
        self.waits = true;
        self
    }

    pub fn compared(mut self, compare: Compare) -> Cmd {
        self.compare = compare;
        self
    }

    pub fn args(&self) -> &[Vec<u8>] {
        &self.args
    }

    pub fn into_args(self) -> Vec<Vec<u8>> {
        self.args
    }

    /// The n-th argument in upper case; empty if there is none.
    pub fn upper(&self, n: usize) -> String {
        self.args.get(n).map(|a| String::from_utf8_lossy(a).to_uppercase()).unwrap_or_default()
    }

    pub fn is(&self, name: &str) -> bool {
        self.upper(0) == name
    }
}

impl fmt::Debug for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, arg) in self.args.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            let plain = !arg.is_empty() && arg.iter().all(|b| b.is_ascii_graphic() && *b != b'"');
            match arg.len() {
                0..=100 if plain => f.write_str(&shown(arg))?,
                0..=100 => write!(f, "\"{}\"", shown(arg))?,
                length => write!(f, "\"{}...\" ({length} bytes)", shown(&arg[..40]))?,
            }
        }
        if self.answered { Ok(()) } else { f.write_str("  (unanswered)") }
    }
}

/// Whether both servers said the same.
pub fn agree(compare: Compare, a: &Value, b: &Value) -> bool {
    if a == b {
        return true;
    }
    match compare {
        // Redis 7.0 writes 17 digits.
        Compare::Exact => *a == shortened(b),
        Compare::Unordered => match (a, b) {
            (Value::Array(a), Value::Array(b)) | (Value::Set(a), Value::Set(b)) => {
                sorted(a) == sorted(b)
            }
            (Value::Map(_), Value::Map(_)) => {
                let pairs = [a, b].map(|map| BTreeSet::from_iter(map.pairs()));
                pairs[0] == pairs[1]
            }
            _ => false,
        },
        Compare::Seconds => near(a, b, 3),
        Compare::Milliseconds => near(a, b, 3000),
        Compare::Shape => same_shape(a, b),
        Compare::Hello => match (a, b) {
            (Value::Map(_), Value::Map(_)) | (Value::Array(_), Value::Array(_)) => {
                without_identity(a) == without_identity(b)
            }
            _ => false,
        },
        Compare::Scan => match (a, b) {
            (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a[1..] == b[1..],
            _ => false,
        },
    }
}

/// Doubles that are written with 17 digits, as Redis 7.0 does by C's `%.17g`, written as 7.2 does.
pub fn shortened(value: &Value) -> Value {
    let all = |values: &[Value]| values.iter().map(shortened).collect();
    match value {
        Value::Bulk(text) => Value::Bulk(shortened_text(text)),
        Value::Double(text) => Value::Double(shortened_text(text)),
        Value::Array(values) => Value::Array(all(values)),
        other => other.clone(),
    }
}

fn shortened_text(text: &[u8]) -> Vec<u8> {
    let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    match value.filter(|value| with_17_digits(*value).as_bytes() == text) {
        Some(value) => DoubleText::new(value).to_vec(),
        None => text.to_vec(),
    }
}

/// As C's `%.17g`.
fn with_17_digits(value: f64) -> String {
    let scientific = format!("{value:.16e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    if (-4..17).contains(&exponent) {
        return trimmed(&format!("{value:.*}", (16 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}

/// Special answers are small or negative and must be equal; times may be a little apart.
fn near(a: &Value, b: &Value, tolerance: u64) -> bool {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => *a >= 0 && *b >= 0 && a.abs_diff(*b) <= tolerance,
        _ => false,
    }
}

fn same_shape(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Simple(_), Value::Simple(_))
        | (Value::Int(_), Value::Int(_))
        | (Value::Bulk(_), Value::Bulk(_))
        | (Value::Verbatim(_), Value::Verbatim(_))
        | (Value::Double(_), Value::Double(_)) => true,
        (Value::Array(a), Value::Array(b)) | (Value::Set(a), Value::Set(b)) => {
            // Lists of commands differ in length.
            a.iter().zip(b).all(|(a, b)| same_shape(a, b))
        }
        _ => false,
    }
}

fn without_identity(hello: &Value) -> Vec<(Value, Value)> {
    let mut pairs = hello.pairs();
    pairs.retain(|(name, _)| *name != Value::bulk("version") && *name != Value::bulk("id"));
    pairs
}

fn sorted(values: &[Value]) -> Vec<Value> {
    let mut values = values.to_vec();
    values.sort();
    values
}
