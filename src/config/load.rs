//! From a configuration file and arguments to a [`Config`].
//!
//! `ringwell [FILE] [--directive value ...]`: the file is read first, the arguments override it.
//! Nothing is half-way: the first thing that is wrong is the answer, as one line that names its
//! place and the remedy.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::directive::{Directive, Effect, Replace, split_words};
use super::files::Files;
use super::{Config, DIRECTIVES, Source, find, help};
use crate::text::glob;

/// What is wrong with a configuration: one line, which names the place and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// What the program shall do.
#[derive(Debug)]
pub enum Start {
    Run(Box<Config>, Source),
    /// Print this, and end well: help or version.
    Print(String),
}

/// Understands what the program was started with, its own name left out.
pub fn start(arguments: &[OsString], files: &dyn Files) -> Result<Start, ConfigError> {
    match arguments.first().and_then(|first| first.to_str()) {
        Some("--help" | "-h") => return Ok(Start::Print(help::help())),
        Some("--version" | "-v") => return Ok(Start::Print(help::version())),
        _ => {}
    }
    let (config, source) = Config::load(arguments, files)?;
    Ok(Start::Run(Box::new(config), source))
}

impl Config {
    /// Reads what the program was started with, its own name left out.
    pub fn load(
        arguments: &[OsString],
        files: &dyn Files,
    ) -> Result<(Config, Source), ConfigError> {
        let bytes = |argument: &OsString| argument.as_encoded_bytes().to_vec();
        let arguments: Vec<Vec<u8>> = arguments.iter().map(bytes).collect();
        let mut loader = Loader::new(files);
        let mut source = Source::default();
        let mut options = arguments.as_slice();
        if let [file, rest @ ..] = options
            && !file.starts_with(b"--")
        {
            let path = path(file);
            loader.file(path, 0).map_err(|error| match error {
                FileError::Unreadable(reason) => ConfigError(format!(
                    "cannot read the configuration file '{}': {reason}: give the path of a \
                     file, and directives as --name value",
                    path.display()
                )),
                FileError::Bad(error) => error,
            })?;
            let absolute = files.absolute(path);
            source.file = Some(absolute.unwrap_or_else(|_| path.into()));
            options = rest;
        }
        loader.arguments(options)?;
        Ok((loader.finish()?, source))
    }

    /// Reads the text of one file and what it includes, as a server started with that file alone
    /// would; the path is for errors and for finding the included files.
    pub fn parse(path: &Path, text: &[u8], files: &dyn Files) -> Result<Config, ConfigError> {
        Loader::new(files).whole_text(path, text)?.finish()
    }

    /// As [`Config::parse`], for a text that arguments may complete: what only the whole
    /// configuration tells is not checked.
    pub(super) fn evaluate(
        path: &Path,
        text: &[u8],
        files: &dyn Files,
    ) -> Result<Config, ConfigError> {
        Ok(Loader::new(files).whole_text(path, text)?.config)
    }
}

/// A path of any bytes but NUL, as the system has them.
fn path(word: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(word))
}

/// A word as it is shown in an error, on one line.
fn shown(word: &[u8]) -> String {
    String::from_utf8_lossy(word).escape_debug().to_string()
}

/// The byte order mark of UTF-8, which some editors leave at the start of a file.
pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// How deep files may include files.
const INCLUDE_DEPTH_MAX: usize = 16;
/// How many files one configuration may consist of; cycles of patterns would multiply.
const FILES_MAX: usize = 1000;

struct Loader<'a> {
    files: &'a dyn Files,
    config: Config,
    /// Where each directive that was given was given last.
    places: HashMap<&'static str, Place>,
    /// Whether directives that add up have begun anew in the layer (file or arguments) at hand.
    begun: HashMap<&'static str, Layer>,
    files_read: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    File,
    Arguments,
}

#[derive(Clone)]
enum Place {
    Line { file: PathBuf, number: usize },
    Argument(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line { file, number } => write!(f, "{}:{number}", file.display()),
            Place::Argument(argument) => write!(f, "argument '{argument}'"),
        }
    }
}

enum FileError {
    /// The file itself, for the one who asked for it to name.
    Unreadable(String),
    Bad(ConfigError),
}

impl From<ConfigError> for FileError {
    fn from(error: ConfigError) -> Self {
        FileError::Bad(error)
    }
}

impl<'a> Loader<'a> {
    fn new(files: &'a dyn Files) -> Self {
        Loader {
            files,
            config: Config::default(),
            places: HashMap::new(),
            begun: HashMap::new(),
            files_read: 0,
        }
    }

    fn whole_text(mut self, path: &Path, text: &[u8]) -> Result<Self, ConfigError> {
        match self.text(path, text, 0) {
            Ok(()) => Ok(self),
            Err(FileError::Bad(error)) => Err(error),
            Err(FileError::Unreadable(reason)) => Err(ConfigError(reason)),
        }
    }

    fn file(&mut self, path: &Path, depth: usize) -> Result<(), FileError> {
        self.files_read += 1;
        if self.files_read > FILES_MAX {
            return Err(FileError::Unreadable(format!("more than {FILES_MAX} files are included")));
        }
        let text = self.files.read(path).map_err(|e| FileError::Unreadable(e.to_string()))?;
        self.text(path, &text, depth)
    }

    fn text(&mut self, path: &Path, text: &[u8], depth: usize) -> Result<(), FileError> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        for (i, line) in text.split(|&b| b == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let place = Place::Line { file: path.into(), number: i + 1 };
            let words =
                split_words(line).map_err(|reason| ConfigError(format!("{place}: {reason}")))?;
            let [name, values @ ..] = words.as_slice() else { continue };
            if name.eq_ignore_ascii_case(b"include") {
                self.include(path, values, &place, depth)?;
            } else {
                self.directive(name, values, place, Layer::File)?;
            }
        }
        Ok(())
    }

    /// Reads the files that a path or a pattern names, relative to the directory of the file that
    /// includes them. A pattern that matches nothing is no error.
    fn include(
        &mut self,
        from: &Path,
        values: &[Vec<u8>],
        place: &Place,
        depth: usize,
    ) -> Result<(), ConfigError> {
        if values.is_empty() {
            return Err(ConfigError(format!("{place}: include needs the path of a file")));
        }
        if depth >= INCLUDE_DEPTH_MAX {
            return Err(ConfigError(format!(
                "{place}: files include each other more than {INCLUDE_DEPTH_MAX} deep: does one \
                 include itself?"
            )));
        }
        let base = from.parent().unwrap_or(Path::new(""));
        for value in values {
            for path in expand(&base.join(path(value)), self.files) {
                self.file(&path, depth + 1).map_err(|error| match error {
                    FileError::Unreadable(reason) => ConfigError(format!(
                        "{place}: cannot include '{}': {reason}",
                        path.display()
                    )),
                    FileError::Bad(error) => error,
                })?;
            }
        }
        Ok(())
    }

    /// `--name value ...`, as redis-server takes them, and `--name=value`.
    fn arguments(&mut self, arguments: &[Vec<u8>]) -> Result<(), ConfigError> {
        let mut rest = arguments;
        while let [option, after @ ..] = rest {
            let Some(text) = option.strip_prefix(b"--") else {
                return Err(ConfigError(format!(
                    "argument '{}': only one configuration file can be given, before the \
                     directives: put -- before the name of a directive",
                    shown(option)
                )));
            };
            let (name, mut values) = self.split_option(text);
            let end = after.iter().position(|word| self.begins_option(word)).unwrap_or(after.len());
            values.extend_from_slice(&after[..end]);
            rest = &after[end..];
            let place = Place::Argument(format!("--{}", shown(&name)));
            if name.eq_ignore_ascii_case(b"include") {
                self.include(Path::new(""), &values, &place, 0)?;
                continue;
            }
            // `--save` alone has always meant no snapshots.
            if values.is_empty() && name.eq_ignore_ascii_case(b"save") {
                values.push(Vec::new());
            }
            self.directive(&name, &values, place, Layer::Arguments)?;
        }
        Ok(())
    }

    /// A value may begin with dashes too: only what can be a name after them begins a directive.
    fn begins_option(&self, word: &[u8]) -> bool {
        word.strip_prefix(b"--")
            .is_some_and(|name| name.first().is_some_and(u8::is_ascii_alphabetic))
    }

    fn split_option(&self, text: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut parts = text.splitn(2, |&b| b == b'=');
        if let (Some(name), Some(value)) = (parts.next(), parts.next())
            && find(name).is_some()
        {
            return (name.into(), vec![value.into()]);
        }
        // One shell word can hold a whole line: '--save 60 1'.
        match split_words(text).unwrap_or_default().as_slice() {
            [name, values @ ..] => (name.clone(), values.to_vec()),
            [] => (text.into(), Vec::new()),
        }
    }

    fn directive(
        &mut self,
        name: &[u8],
        values: &[Vec<u8>],
        place: Place,
        layer: Layer,
    ) -> Result<(), ConfigError> {
        let Some(directive) = find(name) else {
            return Err(ConfigError(format!(
                "{place}: {}",
                unknown(&String::from_utf8_lossy(name))
            )));
        };
        let replace = match self.begun.insert(directive.name, layer) {
            Some(before) if before == layer && directive.shape.repeatable => Replace::Nothing,
            _ => Replace::All,
        };
        directive
            .read(&mut self.config, values, replace)
            .and_then(|()| self.keep_or_refuse(directive, &place))
            .map_err(|reason| {
                let reason: String =
                    reason.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
                ConfigError(bad_value(&place, directive, values, &reason))
            })?;
        self.places.insert(directive.name, place);
        Ok(())
    }

    /// Values that promise what this server does not do: refused, or kept with a warning where
    /// nothing is lost by starting anyway.
    fn keep_or_refuse(&mut self, directive: &Directive, place: &Place) -> Result<(), String> {
        let warning = match directive.name {
            "save" if !self.config.save.0.is_empty() => {
                self.config.save.0.clear();
                "'save' is ignored: Ringwell is a cache and writes no snapshots; remove the line"
            }
            "daemonize" if self.config.daemonize => {
                self.config.daemonize = false;
                "'daemonize yes' is ignored: Ringwell stays in the foreground; run it under systemd"
            }
            _ => return self.config.refuse_promises(directive),
        };
        self.config.warnings.push(format!("{place}: {warning}"));
        Ok(())
    }

    /// What only the whole configuration tells.
    fn finish(self) -> Result<Config, ConfigError> {
        let config = self.config;
        let at = |name: &str| {
            self.places.get(name).map_or_else(|| "default".into(), ToString::to_string)
        };
        let no_tcp = config.port == 0 || config.bind.is_empty();
        if no_tcp && config.unixsocket.is_none() {
            let (name, what) =
                if config.port == 0 { ("port", "port 0") } else { ("bind", "an empty bind") };
            return Err(ConfigError(format!(
                "{}: nothing to listen on: {what} needs a unixsocket: set one, or change {name}",
                at(name)
            )));
        }
        if config.unixsocketperm != 0 && config.unixsocket.is_none() {
            return Err(ConfigError(format!(
                "{}: unixsocketperm without a unixsocket: set unixsocket to a path, or remove it",
                at("unixsocketperm")
            )));
        }
        Ok(config)
    }
}

fn bad_value(place: &Place, directive: &Directive, values: &[Vec<u8>], reason: &str) -> String {
    let shown = match values {
        _ if directive.shape.secret => String::new(),
        [] => String::new(),
        values => format!(" '{}'", shown(&values.join(&b' '))),
    };
    let mut remedy = format!("write {} <{}>", directive.name, directive.placeholder());
    let limits = directive.limits();
    if !limits.is_empty() {
        remedy.push_str(&format!(" ({limits})"));
    }
    if values.iter().skip(1).any(|word| word.starts_with(b"#")) {
        remedy = "a comment needs a line of its own".into();
    }
    // Reasons of our own say what to do; Redis's short ones do not.
    if reason.contains(": ") {
        return format!("{place}: bad value{shown} for '{}': {reason}", directive.name);
    }
    let reason = reason.trim_end_matches('.');
    format!("{place}: bad value{shown} for '{}': {reason}: {remedy}", directive.name)
}

/// Directives of Redis that ask for something that would be missed: ignoring them is no choice.
const REFUSED: &[(&str, &str)] = &[
    ("replicaof", "Ringwell has no replication: remove it"),
    ("slaveof", "Ringwell has no replication: remove it"),
    ("masterauth", "Ringwell has no replication: remove it"),
    ("masteruser", "Ringwell has no replication: remove it"),
    ("user", "Ringwell has no ACL users: use requirepass and allow-from"),
    ("aclfile", "Ringwell has no ACL users: use requirepass and allow-from"),
    ("rename-command", "Ringwell cannot rename commands: remove it, and use allow-from"),
    ("loadmodule", "Ringwell has no modules: remove it"),
    ("sentinel", "Ringwell is not a Sentinel: remove it"),
];

fn unknown(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let shown = lower.escape_debug();
    if let Some((_, remedy)) = REFUSED.iter().find(|(refused, _)| *refused == lower) {
        return format!("'{shown}' is not available: {remedy}");
    }
    if lower.starts_with("tls-") {
        return format!(
            "'{shown}' is not available: Ringwell has no TLS: put a TLS proxy in front"
        );
    }
    match nearest(&lower) {
        Some(name) => format!("unknown directive '{shown}': did you mean '{name}'?"),
        None => format!("unknown directive '{shown}': see ringwell --help for all of them"),
    }
}

/// The directive that differs least, if it is near enough to be a slip.
fn nearest(name: &str) -> Option<&'static str> {
    let names = || DIRECTIVES.iter().filter(|d| d.effect == Effect::Here).map(|d| d.name);
    let rest = || DIRECTIVES.iter().filter(|d| d.effect == Effect::None).map(|d| d.name);
    // Those that matter come first, and `min_by_key` keeps the first of equals.
    names()
        .chain(rest())
        .map(|candidate| (distance(name, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 5)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance where two letters that changed places count as one slip, with names that
/// are too long for any directive cut.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().collect();
    // The rows of the table of distances between beginnings; the last three are enough.
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let change = above[j] + usize::from(x != y);
            let mut least = change.min(row[j] + 1).min(above[j + 1] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

/// The paths that a path with `*`, `?` or `[...]` in its components stands for, sorted; a path
/// without them stands for itself, whether it exists or not.
fn expand(pattern: &Path, files: &dyn Files) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::new()];
    for component in pattern.components() {
        let text = component.as_os_str().to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            paths.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        paths = paths
            .iter()
            .flat_map(|directory| {
                let here = Path::new(".");
                let listed = if directory.as_os_str().is_empty() { here } else { directory };
                let mut names = files.list(listed).unwrap_or_default();
                names.retain(|name| {
                    // As in a shell, hidden files are named only by patterns that begin with a dot.
                    name.starts_with('.') == text.starts_with('.')
                        && glob::matches(text.as_bytes(), name.as_bytes(), false)
                });
                names.sort();
                names
                    .into_iter()
                    .map(|name| directory.join(name))
                    .take(FILES_MAX)
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    paths
}

#[cfg(test)]
#[path = "load_tests.rs"]
pub(super) mod tests;
