//! README.md and tests/deviations.md against the code: what they name exists, and what exists is
//! named. The tests of the command table read from here which differences are meant.

use std::collections::{BTreeMap, BTreeSet};

use libtest_mimic::Trial;
use ringwell::commands::table;
use ringwell::config::DIRECTIVES;

use crate::support::{Server, test};

const README: &str = include_str!("../../README.md");
const DEVIATIONS: &str = include_str!("../deviations.md");

pub fn trials() -> Vec<Trial> {
    vec![
        test("documents::the_readme_lists_every_command", the_readme_lists_every_command),
        test("documents::what_the_readme_misses_is_missing", what_the_readme_misses_is_missing),
        test("documents::what_deviations_name_exists", what_deviations_name_exists),
        test("documents::missing_subcommands_are_missing", missing_subcommands_are_missing),
    ]
}

/// A difference from redis-server in what COMMAND says of a command.
pub struct Explained {
    /// As in COMMAND: `client|setinfo`.
    pub command: String,
    pub field: String,
    pub why: String,
}

/// The differences that are meant in the answer to this question.
pub fn explained(asked: &str) -> Vec<Explained> {
    let rows = rows_below(DEVIATIONS, "## What COMMAND answers");
    let rows = rows.into_iter().filter(|row| in_backticks(row[0]) == [asked]);
    rows.map(|row| match row[..] {
        [_, command, field, why] => {
            Explained { command: name_in(command), field: field.to_owned(), why: why.to_owned() }
        }
        _ => panic!("four cells: {row:?}"),
    })
    .collect()
}

/// Subcommands that Ringwell does not have, and why.
pub fn missing_subcommands() -> Vec<(String, String)> {
    let rows = rows_below(DEVIATIONS, "## Subcommands that are missing");
    rows.into_iter().map(|row| (name_in(row[0]), row[1].to_owned())).collect()
}

/// The cells of the first table below this heading, its head left out.
fn rows_below<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, below) =
        page.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let lines = below.lines().skip_while(|line| !line.starts_with('|'));
    let table: Vec<&str> = lines.take_while(|line| line.starts_with('|')).skip(2).collect();
    assert!(!table.is_empty(), "no table below {heading}");
    let cells = |line: &'a str| line.trim_matches('|').split('|').map(str::trim).collect();
    table.into_iter().map(cells).collect()
}

fn in_backticks(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The one command that the cell names, as in COMMAND.
fn name_in(cell: &str) -> String {
    match in_backticks(cell)[..] {
        [name] => full_name(name),
        _ => panic!("one command in backticks: {cell}"),
    }
}

fn full_name(words: &str) -> String {
    words.to_lowercase().replace(' ', "|")
}

fn is_command(words: &str) -> bool {
    table().by_id().iter().any(|row| row.full_name == full_name(words))
}

fn is_directive(words: &str) -> bool {
    words.split(' ').next().is_some_and(|first| DIRECTIVES.iter().any(|d| d.name == first))
}

/// How README calls a group of COMMAND DOCS.
fn family(group: &str) -> &str {
    match group {
        "generic" => "keys",
        "string" => "strings",
        "list" => "lists",
        "set" => "sets",
        "hash" => "hashes",
        "sorted-set" => "sorted sets",
        "stream" => "streams",
        other => other,
    }
}

fn the_readme_lists_every_command() {
    let mut families: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in table().rows() {
        let family = families.entry(family(row.docs.group.name()).to_owned()).or_default();
        family.insert(row.name.to_uppercase());
    }
    let listed = rows_below(README, "## Commands").into_iter().map(|row| match row[..] {
        [family, commands] => {
            let words: Vec<String> = commands.split(' ').map(str::to_owned).collect();
            assert!(words.is_sorted(), "in order: {commands}");
            (family.to_owned(), words.into_iter().collect())
        }
        _ => panic!("two cells: {row:?}"),
    });
    assert_eq!(listed.collect::<BTreeMap<_, BTreeSet<_>>>(), families);
}

/// README ends its list of commands with those that are not there.
fn what_the_readme_misses_is_missing() {
    let (_, commands) = README.split_once("## Commands\n").expect("a section");
    let sentence = commands.split("\n\n").find(|text| text.contains("not there yet"));
    let sentence = sentence.expect("what is missing");
    let words = sentence.split(|c: char| !c.is_ascii_alphanumeric());
    let is_name = |word: &&str| word.len() > 2 && word.bytes().all(|b| b.is_ascii_uppercase());
    let names: Vec<&str> = words.filter(is_name).filter(|name| *name != "ERR").collect();
    assert!(!names.is_empty(), "{sentence}");
    for name in names {
        assert!(!is_command(name), "{name} is there by now");
    }
    let families = sentence.split(" are not there yet").next().unwrap_or_default().to_lowercase();
    let missing: Vec<&str> =
        families.split(',').flat_map(|part| part.split(" and ")).map(str::trim).collect();
    for row in table().rows() {
        let family = family(row.docs.group.name());
        assert!(!missing.contains(&family), "{}: {family} are there", row.name);
    }
}

fn what_deviations_name_exists() {
    let server = Server::ringwell(1, &[]);
    let info = server.connect().run("INFO everything").text();
    let fields: BTreeSet<&str> =
        info.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    let is_value = |word: &str| {
        DIRECTIVES.iter().any(|d| d.placeholder().split('|').any(|value| value == word))
    };
    let mut named = 0;
    for row in rows_below(DEVIATIONS, "## Behaviour") {
        assert_eq!(row.len(), 4, "{row:?}");
        for name in in_backticks(row[0]) {
            assert!(is_command(name) || is_directive(name), "{name} is neither: {row:?}");
            named += 1;
        }
        for name in row[1..].iter().flat_map(|cell| in_backticks(cell)) {
            let exists = is_command(name) || is_directive(name);
            assert!(exists || fields.contains(name) || is_value(name), "{name}: {row:?}");
        }
        // A name outside of backticks would escape the check.
        for word in row[0].split('`').step_by(2).flat_map(|text| text.split([' ', ',', '('])) {
            let is_upper = word.len() > 1 && word.bytes().all(|b| b.is_ascii_uppercase());
            assert!(!(is_upper && is_command(word)), "{word} without backticks: {row:?}");
        }
    }
    assert!(named > 10, "{named}");
    for asked in ["COMMAND INFO", "COMMAND DOCS"] {
        for Explained { command, .. } in explained(asked) {
            assert!(is_command(&command), "{command}");
        }
    }
}

fn missing_subcommands_are_missing() {
    for (name, _) in missing_subcommands() {
        let (container, _) = name.split_once('|').expect("a subcommand");
        assert!(is_command(container), "{container}");
        assert!(!is_command(&name), "{name} is there by now");
    }
}
