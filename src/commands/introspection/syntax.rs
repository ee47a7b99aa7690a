//! Reads the notation of a row's arguments, `key [NX | XX] [EX seconds]`, into the tree that COMMAND
//! DOCS shows.
//!
//! Words in capitals are tokens, others name arguments; `[ ]` is optional, `< | >` a choice, and
//! `x [x ...]` may be given several times. `x:double`, `:integer`, `:key` or `:string` says what
//! an argument holds where its name does not.

/// One argument, or several as a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Argument {
    pub name: String,
    pub kind: Kind,
    /// The word that stands before it, or all of a [`Kind::PureToken`].
    pub token: Option<String>,
    pub optional: bool,
    pub multiple: bool,
    /// With `multiple`: the token too stands before every one of them.
    pub multiple_token: bool,
    /// Of a block or a choice.
    pub arguments: Vec<Argument>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Double => "double",
            Kind::Key => "key",
            Kind::Pattern => "pattern",
            Kind::UnixTime => "unix-time",
            Kind::PureToken => "pure-token",
            Kind::OneOf => "oneof",
            Kind::Block => "block",
        }
    }

    /// Those that the notation can name.
    fn named(name: &str) -> Result<Kind, String> {
        let mut kinds = [Kind::String, Kind::Integer, Kind::Double, Kind::Key].into_iter();
        kinds.find(|kind| kind.name() == name).ok_or_else(|| format!("{name} is no kind"))
    }

    /// What an argument of this name holds. The names are those of Redis's documentation.
    fn of_name(name: &str) -> Kind {
        match name {
            "key" | "key1" | "key2" | "newkey" | "source" | "destination" => Kind::Key,
            "pattern" => Kind::Pattern,
            "unix-time-seconds" | "unix-time-milliseconds" => Kind::UnixTime,
            "client-id" | "count" | "cursor" | "db" | "decrement" | "destination-db" | "end"
            | "increment" | "index" | "index1" | "index2" | "len" | "milliseconds"
            | "min-match-len" | "num-matches" | "numfields" | "numkeys" | "offset" | "protover"
            | "rank" | "seconds" | "start" | "stop" | "timeout" | "version" => Kind::Integer,
            _ => Kind::String,
        }
    }
}

/// The arguments; an error tells what is wrong with the notation.
pub fn parse(notation: &str) -> Result<Vec<Argument>, String> {
    let mut parser = Parser { words: split(notation), at: 0 };
    let mut alternatives = parser.alternatives()?;
    match (parser.next(), alternatives.pop()) {
        (Some(word), _) => Err(format!("'{word}' closes nothing")),
        (None, Some(only)) if alternatives.is_empty() => Ok(only),
        (None, _) => Err("a choice needs '<' and '>' around it".to_owned()),
    }
}

/// Words, brackets and bars.
fn split(notation: &str) -> Vec<&str> {
    let is_mark = |c: char| matches!(c, '[' | ']' | '<' | '>' | '|');
    let mut words = Vec::new();
    for part in notation.split_whitespace() {
        let mut rest = part;
        while let Some(at) = rest.find(is_mark) {
            if at > 0 {
                words.push(&rest[..at]);
            }
            words.push(&rest[at..=at]);
            rest = &rest[at + 1..];
        }
        if !rest.is_empty() {
            words.push(rest);
        }
    }
    words
}

struct Parser<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.at += 1;
        Some(word)
    }

    /// Sequences with bars between them, up to a closing bracket or the end.
    fn alternatives(&mut self) -> Result<Vec<Vec<Argument>>, String> {
        let mut alternatives = vec![self.sequence()?];
        while self.peek() == Some("|") {
            self.at += 1;
            alternatives.push(self.sequence()?);
        }
        Ok(alternatives)
    }

    fn sequence(&mut self) -> Result<Vec<Argument>, String> {
        let mut sequence: Vec<Argument> = Vec::new();
        while let Some(word) = self.peek() {
            match word {
                "|" | "]" | ">" => break,
                "[" if self.repeats() => self.repetition(&mut sequence)?,
                _ => sequence.push(self.argument()?),
            }
        }
        Ok(sequence)
    }

    fn argument(&mut self) -> Result<Argument, String> {
        match self.next() {
            Some("[") => {
                let argument = self.group("]")?;
                Ok(Argument { optional: true, ..argument })
            }
            Some("<") => self.group(">"),
            Some(word) if is_token(word) => self.after_token(word),
            Some(word) => {
                let (name, kind) = match word.split_once(':') {
                    Some((name, kind)) => (name, Kind::named(kind)?),
                    None => (word, Kind::of_name(word)),
                };
                Ok(Argument { name: name.to_owned(), kind, ..Argument::default() })
            }
            None => Err("an argument is missing at the end".to_owned()),
        }
    }

    fn after_token(&mut self, token: &str) -> Result<Argument, String> {
        let takes_next =
            self.peek().is_some_and(|next| next == "<" || !is_token(next) && !is_bracket(next));
        if takes_next {
            let argument = self.argument()?;
            return Ok(Argument { token: Some(token.to_owned()), ..argument });
        }
        Ok(Argument {
            name: token.to_lowercase(),
            kind: Kind::PureToken,
            token: Some(token.to_owned()),
            ..Argument::default()
        })
    }

    fn group(&mut self, closing: &str) -> Result<Argument, String> {
        let alternatives = self.alternatives()?;
        if self.next() != Some(closing) {
            return Err(format!("'{closing}' is missing"));
        }
        let mut units: Vec<Argument> = alternatives.into_iter().map(unit).collect();
        if units.len() == 1 {
            return units.pop().ok_or_else(|| "an empty group".to_owned());
        }
        let names: Vec<&str> = units.iter().map(|unit| unit.name.as_str()).collect();
        Ok(Argument {
            name: names.join("_"),
            kind: Kind::OneOf,
            arguments: units,
            ..Argument::default()
        })
    }

    /// Whether the bracket that opens here holds an ellipsis at its end.
    fn repeats(&self) -> bool {
        let mut depth = 0;
        for (at, word) in self.words.iter().enumerate().skip(self.at) {
            match *word {
                "[" => depth += 1,
                "]" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return self.words[at - 1] == "...";
            }
        }
        false
    }

    /// `[x y ...]` behind `x y`: these may be given several times.
    fn repetition(&mut self, sequence: &mut Vec<Argument>) -> Result<(), String> {
        self.at += 1;
        let mut repeated = self.sequence()?;
        if self.next() != Some("]") || repeated.pop().is_none_or(|last| last.name != "...") {
            return Err("an ellipsis stands last in brackets of its own".to_owned());
        }
        let start = sequence.len().checked_sub(repeated.len());
        let Some(start) = start.filter(|_| !repeated.is_empty()) else {
            return Err("an ellipsis repeats what stands before it".to_owned());
        };
        let same = sequence[start..].iter().zip(&repeated);
        if same.clone().any(|(before, again)| before.name != again.name) {
            return Err("an ellipsis repeats what stands before it".to_owned());
        }
        let multiple_token = same.clone().all(|(_, again)| again.token.is_some());
        let mut argument = unit(sequence.split_off(start));
        if argument.kind == Kind::Block {
            argument.name = "data".to_owned();
        }
        sequence.push(Argument { multiple: true, multiple_token, ..argument });
        Ok(())
    }
}

/// One argument as it is; several as a block, which takes the token that leads them.
fn unit(mut sequence: Vec<Argument>) -> Argument {
    if sequence.len() == 1
        && let Some(only) = sequence.pop()
    {
        return only;
    }
    let mut block = Argument { kind: Kind::Block, ..Argument::default() };
    if let Some(first) = sequence.first_mut()
        && first.kind != Kind::PureToken
        && !first.optional
    {
        block.token = first.token.take();
    }
    block.name = match &block.token {
        Some(token) => token.to_lowercase(),
        None => {
            sequence.iter().map(|argument| argument.name.as_str()).collect::<Vec<_>>().join("_")
        }
    };
    block.arguments = sequence;
    block
}

fn is_token(word: &str) -> bool {
    word.contains(|c: char| c.is_ascii_uppercase()) || word.bytes().all(|b| b.is_ascii_digit())
}

fn is_bracket(word: &str) -> bool {
    matches!(word, "[" | "]" | "<" | ">" | "|")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A short form for comparing: `name:kind=TOKEN?+(arguments)`.
    fn short(arguments: &[Argument]) -> String {
        let each = arguments.iter().map(|argument| {
            let mut text = format!("{}:{}", argument.name, argument.kind.name());
            if let Some(token) = &argument.token {
                text += &format!("={token}");
            }
            text += if argument.optional { "?" } else { "" };
            text += if argument.multiple { "+" } else { "" };
            text += if argument.multiple_token { "t" } else { "" };
            if !argument.arguments.is_empty() {
                text += &format!("({})", short(&argument.arguments));
            }
            text
        });
        each.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn reads_the_notation() {
        for (notation, expected) in [
            ("", ""),
            ("key", "key:key"),
            ("key [key ...]", "key:key+"),
            ("key value [key value ...]", "data:block+(key:key value:string)"),
            (
                "key value [NX | XX] [GET]",
                "key:key value:string nx_xx:oneof?(nx:pure-token=NX xx:pure-token=XX) \
                 get:pure-token=GET?",
            ),
            (
                "[EX seconds | EXAT unix-time-seconds | KEEPTTL]",
                "seconds_unix-time-seconds_keepttl:oneof?(seconds:integer=EX \
                 unix-time-seconds:unix-time=EXAT keepttl:pure-token=KEEPTTL)",
            ),
            (
                "cursor [MATCH pattern] [COUNT count]",
                "cursor:integer pattern:pattern=MATCH? count:integer=COUNT?",
            ),
            (
                "[protover [AUTH username password] [SETNAME clientname]]",
                "protover_auth_clientname:block?(protover:integer \
                 auth:block=AUTH?(username:string password:string) clientname:string=SETNAME?)",
            ),
            (
                "[TYPE <NORMAL | PUBSUB>] [ID client-id [client-id ...]]",
                "normal_pubsub:oneof=TYPE?(normal:pure-token=NORMAL pubsub:pure-token=PUBSUB) \
                 client-id:integer=ID?+",
            ),
            ("[GET pattern [GET pattern ...]]", "pattern:pattern=GET?+t"),
            ("timeout:double", "timeout:double"),
            ("<0 | 1>", "0_1:oneof(0:pure-token=0 1:pure-token=1)"),
        ] {
            let parsed = parse(notation).unwrap_or_else(|error| panic!("{notation}: {error}"));
            assert_eq!(short(&parsed), expected, "{notation}");
        }
    }

    #[test]
    fn refuses_what_is_not_well_formed() {
        for notation in ["[key", "key]", "a | b", "<a | b", "[key ...]", "a [b ...]", "[a | b>"] {
            assert!(parse(notation).is_err(), "{notation}");
        }
    }
}
