//! Command lines at random, as each row of the command table documents its arguments: a new command
//! takes part in every test that asks for lines.

use ringwell::commands::introspection::syntax::{self, Argument, Kind};
use ringwell::commands::{Flags, Row, table};

use super::Rng;

/// Where the values of arguments come from.
pub trait Values {
    fn rng(&mut self) -> &mut Rng;
    /// A value for an argument, sensible or absurd. Not for words, choices, blocks and the
    /// numbers of keys and fields.
    fn value(&mut self, row: &Row, argument: &Argument) -> Vec<u8>;
}

/// Whether Redis 7.0, which the tests have as a peer, has the command with these options.
pub fn is_in_redis_7_0(row: &Row, line: &[Vec<u8>]) -> bool {
    const NEWER: [&str; 4] = ["7.4.0", "8.0.0", "8.4.0", "9.0.0"];
    const COMPARISONS: [&[u8]; 4] = [b"IFEQ", b"IFNE", b"IFDEQ", b"IFDNE"];
    let is_comparison = |word: &Vec<u8>| COMPARISONS.contains(&&word.to_ascii_uppercase()[..]);
    !NEWER.contains(&row.docs.since)
        && match row.name {
            "set" => !line.iter().any(is_comparison),
            "zrank" | "zrevrank" => line.len() <= 3,
            _ => true,
        }
}

/// How many of an argument that may be given several times.
const REPEATED_MAX: usize = 4;

/// All rows that can be carried out, subcommands instead of their containers.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    let is_shown = |row: &&Row| row.subcommands.is_empty() && !row.flags.contains(Flags::DEBUG);
    table().by_id().iter().copied().filter(is_shown)
}

/// A command line of this row. Options come in any order, now and then twice or against each other,
/// and a number of keys may be wrong.
pub fn line(row: &Row, values: &mut dyn Values) -> Vec<Vec<u8>> {
    let name = row.full_name.split('|').map(|word| in_some_case(word, values.rng()));
    let mut line: Vec<Vec<u8>> = name.collect();
    let arguments = syntax::parse(row.docs.arguments).expect("the table's tests read them all");
    let mut writer = Writer { row, values, line: &mut line, repeated: None };
    writer.sequence(&arguments);
    if writer.values.rng().one_in(6) {
        let options: Vec<Argument> = arguments.into_iter().filter(|a| a.optional).collect();
        writer.sequence(&options);
    }
    line
}

fn in_some_case(word: &str, rng: &mut Rng) -> Vec<u8> {
    if rng.one_in(3) { word.to_lowercase().into_bytes() } else { word.to_uppercase().into_bytes() }
}

struct Writer<'a> {
    row: &'a Row,
    values: &'a mut dyn Values,
    line: &'a mut Vec<Vec<u8>>,
    /// How often the last argument came that may come several times: what belongs to it, as the
    /// identifiers of XREAD belong to its streams, comes as often.
    repeated: Option<usize>,
}

impl Writer<'_> {
    fn sequence(&mut self, arguments: &[Argument]) {
        let mut count_at = None;
        for run in arguments.chunk_by(|a, b| a.optional && b.optional) {
            let mut order: Vec<&Argument> = run.iter().collect();
            for at in (1..order.len()).rev() {
                order.swap(at, self.values.rng().below(at + 1));
            }
            for argument in order {
                if argument.optional && !self.values.rng().one_in(3) {
                    continue;
                }
                if ["numkeys", "numfields"].contains(&argument.name.as_str()) {
                    count_at = Some(self.line.len());
                    self.line.push(Vec::new());
                    continue;
                }
                let before = self.line.len();
                self.argument(argument);
                if let Some(at) = count_at.take() {
                    let written = self.line.len() - before;
                    let counted = written / argument.arguments.len().max(1);
                    self.line[at] = self.count(counted).into_bytes();
                }
            }
        }
    }

    /// A number of keys or fields, mostly the right one.
    fn count(&mut self, keys: usize) -> String {
        let rng = self.values.rng();
        match rng.below(12) {
            0 => rng.pick(&["0", "-1", "x", "", "1.5", "100", "9223372036854775807"]).to_owned(),
            1 => (keys + 1).to_string(),
            2 => rng.below(keys + 1).to_string(),
            _ => keys.to_string(),
        }
    }

    fn argument(&mut self, argument: &Argument) {
        let times = match (argument.multiple, self.repeated) {
            (false, _) => 1,
            (true, Some(times)) if self.values.rng().below(10) > 0 => times,
            (true, _) => 1 + self.values.rng().below(REPEATED_MAX),
        };
        if argument.multiple {
            self.repeated = Some(times);
        }
        for time in 0..times {
            if let Some(token) = &argument.token
                && (time == 0 || argument.multiple_token)
            {
                let word = in_some_case(token, self.values.rng());
                self.line.push(word);
            }
            match argument.kind {
                Kind::PureToken => {}
                Kind::OneOf => {
                    let chosen = self.values.rng().below(argument.arguments.len());
                    self.argument(&argument.arguments[chosen]);
                }
                Kind::Block => self.sequence(&argument.arguments),
                _ => {
                    let value = self.values.value(self.row, argument);
                    self.line.push(value);
                }
            }
        }
    }
}
