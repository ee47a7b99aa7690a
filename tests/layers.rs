//! Holds the modules to the map in `src/lib.rs`: who may import whom, and that only `runtime`
//! touches the outside world.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What nothing but `runtime` may name.
const RUNTIME_ONLY: [&str; 6] =
    ["glommio", "io_uring", "std::net", "std::thread", "Instant::now", "SystemTime::now"];

/// For every top-level module, the others it may import.
type Rules = BTreeMap<String, Vec<String>>;

#[test]
fn imports_point_downwards_only() {
    let rules = rules_of_the_map(&read(Path::new("src/lib.rs")));
    assert!(rules.len() >= 10, "the map in src/lib.rs was not understood: {rules:?}");
    let mut problems = Vec::new();
    let mut checked = 0;
    for file in source_files(Path::new("src")) {
        let module = module_path(&file);
        let found = violations(&module, &read(&file), &rules);
        problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", file.display())));
        checked += 1;
    }
    assert!(checked > 10, "only {checked} files found");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The largest circle of files in a folder that import each other, and the aim. A debt is held here
/// so that it only shrinks.
const CIRCLES: [(&str, usize); 2] = [("src/engine", 3), ("src/shard", 3)];
const CIRCLE_FILES_AIM: usize = 3;

#[test]
fn circles_of_files_do_not_grow() {
    for (folder, largest_allowed) in CIRCLES {
        let files = source_files(Path::new(folder)).into_iter();
        let sources: Vec<(Vec<String>, String)> =
            files.map(|file| (module_path(&file), code_only(&read(&file)))).collect();
        let circles = circles(&imports_between(&sources));
        let largest = circles.iter().max_by_key(|circle| circle.len()).cloned().unwrap_or_default();
        assert!(
            largest.len() <= largest_allowed.max(CIRCLE_FILES_AIM),
            "{} files of {folder} import each other in a circle: {largest:?}",
            largest.len()
        );
        assert!(
            largest.len() >= largest_allowed || largest_allowed <= CIRCLE_FILES_AIM,
            "the largest circle of {folder} has only {} files: lower the bound",
            largest.len()
        );
    }
}

/// The files of the engine have layers of their own, in the table of its `mod.rs`.
#[test]
fn the_engine_keeps_to_its_layers() {
    const FOLDER: &str = "src/engine";
    let files = source_files(Path::new(FOLDER)).into_iter();
    let sources: Vec<(Vec<String>, String)> =
        files.map(|file| (module_path(&file), code_only(&read(&file)))).collect();
    let layers = layers_of_the_table(&read(&Path::new(FOLDER).join("mod.rs")));
    let problems = climbs("engine", &imports_between(&sources), &layers);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The layer of each file of a folder, counted from the top: the table's first column names a layer
/// or is empty, its second names a file in it.
fn layers_of_the_table(source: &str) -> BTreeMap<String, usize> {
    let mut layers = BTreeMap::new();
    let mut current = 0;
    for line in source.lines() {
        let cells: Vec<&str> = line.trim_start_matches("//!").split('|').map(str::trim).collect();
        if let ["", layer, file, _, ""] = cells[..]
            && let Some(file) = file.strip_prefix('`').and_then(|file| file.strip_suffix('`'))
        {
            current += usize::from(!layer.is_empty());
            layers.insert(file.to_string(), current);
        }
    }
    layers
}

/// Imports that lead to a higher layer, and files without a layer; but for tests.
fn climbs(
    folder: &str,
    imports: &BTreeMap<String, Vec<String>>,
    layers: &BTreeMap<String, usize>,
) -> Vec<String> {
    // What lies in a folder of the folder is part of it.
    let file = |module: &str| {
        let below = module.strip_prefix(folder).unwrap_or(module);
        let first = below.split("::").find(|name| !name.is_empty());
        first.unwrap_or("mod").to_string()
    };
    let mut problems = Vec::new();
    for (module, imported) in imports {
        let importer = file(module);
        if importer == "tests" {
            continue;
        }
        let Some(layer) = layers.get(&importer) else {
            problems.push(format!("{importer} has no layer"));
            continue;
        };
        for other in imported.iter().map(|other| file(other)) {
            if layers.get(&other).is_some_and(|other| other < layer) {
                problems.push(format!("{importer} imports {other}, of a higher layer"));
            }
        }
    }
    problems
}

/// Whom each module imports among these.
fn imports_between(sources: &[(Vec<String>, String)]) -> BTreeMap<String, Vec<String>> {
    let known: Vec<String> = sources.iter().map(|(module, _)| module.join("::")).collect();
    let imports = |(module, code): &(Vec<String>, String)| {
        let own = module.join("::");
        let mut found = names_above(code, module);
        // A folder's `mod.rs` names its children without a prefix.
        let children = known.iter().filter(|name| {
            let child = name.strip_prefix(&own).and_then(|rest| rest.strip_prefix("::"));
            child.is_some_and(|child| !child.contains("::") && is_named(code, child))
        });
        found.extend(children.cloned());
        // What is not a module of its own belongs to the one above.
        let owner = |name: &String| {
            let above = name.rsplit_once("::").map(|(above, _)| above);
            [Some(name.as_str()), above]
                .into_iter()
                .flatten()
                .find_map(|name| known.iter().find(|known| *known == name).cloned())
        };
        let mut owners: Vec<String> = found.iter().filter_map(owner).collect();
        owners.retain(|name| *name != own);
        (own, owners)
    };
    sources.iter().map(imports).collect()
}

/// Whether a path in the code begins with this name.
fn is_named(code: &str, first: &str) -> bool {
    let before = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.match_indices(&format!("{first}::")).any(|(at, _)| !code[..at].ends_with(before))
}

/// The names behind every `super::`, as paths from the crate's root.
fn names_above(code: &str, module: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let rest = code[at..].trim_start_matches("super::");
        let ups = (code.len() - at - rest.len()) / "super::".len();
        let Some(left) = module.len().checked_sub(ups).filter(|left| *left > 0) else { continue };
        let above = module[..left].join("::");
        names.extend(first_names(rest).into_iter().map(|name| format!("{above}::{name}")));
    }
    names
}

/// The groups of modules each of which imports, by some way, all others of its group.
fn circles(imports: &BTreeMap<String, Vec<String>>) -> Vec<Vec<String>> {
    let reached = |from: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = next.pop() {
            for imported in imports.get(&module).into_iter().flatten() {
                if seen.insert(imported.clone()) {
                    next.push(imported.clone());
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&String, BTreeSet<String>> =
        imports.keys().map(|module| (module, reached(module))).collect();
    let circle = |module: &&String| -> Vec<String> {
        let mutual = imports.keys().filter(|other| {
            reach[module].contains(*other) && reach[*other].contains(module.as_str())
        });
        mutual.cloned().collect()
    };
    let all: BTreeSet<Vec<String>> = imports.keys().map(|module| circle(&module)).collect();
    all.into_iter().filter(|circle| circle.len() > 1).collect()
}

/// Reads the rules from the table in the crate's documentation, so that there is one source.
fn rules_of_the_map(lib: &str) -> Rules {
    let mut rows: Vec<(String, String)> = Vec::new();
    for line in lib.lines() {
        let cells: Vec<&str> = line.trim_start_matches("//!").split('|').map(str::trim).collect();
        if let ["", module, _, may_import, ""] = cells[..]
            && let Some(name) = module.strip_prefix("[`").and_then(|m| m.strip_suffix("`]"))
        {
            rows.push((name.to_string(), may_import.to_string()));
        }
    }
    let names: Vec<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    let allowed = |n: usize, may_import: &str| match may_import {
        "everything" | "everything below" => names[n + 1..].to_vec(),
        "nothing" => Vec::new(),
        list => list.split(", ").map(str::to_string).collect(),
    };
    rows.iter().enumerate().map(|(n, (name, may))| (name.clone(), allowed(n, may))).collect()
}

/// What is wrong with one file. `module` is its path within the crate; empty for the crate's
/// root and `main`, which may import everything.
fn violations(module: &[String], source: &str, rules: &Rules) -> Vec<String> {
    let code = code_only(source);
    let mut problems = Vec::new();
    let own = module.first().map_or("", String::as_str);
    if own != "runtime" {
        let paths = paths_from(&code, "std::").into_iter().map(|p| format!("std::{p}"));
        let grouped: Vec<String> = paths.collect();
        for name in RUNTIME_ONLY {
            if contains_word(&code, name) || grouped.iter().any(|path| path == name) {
                problems.push(format!("names {name}, which only runtime may"));
            }
        }
    }
    if let Some(allowed) = rules.get(own) {
        let mut imported = paths_from(&code, "crate::");
        imported.extend(paths_above(&code, module.len()));
        for name in imported {
            if name != own && rules.contains_key(&name) && !allowed.contains(&name) {
                problems.push(format!("{own} imports {name}; it may import {allowed:?}"));
            }
        }
    } else if !own.is_empty() {
        problems.push(format!("{own} is not in the map of src/lib.rs"));
    }
    problems
}

/// The first names behind every `prefix` in the code, groups in braces taken apart.
fn paths_from(code: &str, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            names.extend(first_names(&code[at + prefix.len()..]));
        }
    }
    names
}

/// The first names behind `super::super::...` where that leads to the crate's root.
fn paths_above(code: &str, depth: usize) -> Vec<String> {
    if depth == 0 {
        return Vec::new();
    }
    let mut names = Vec::new();
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let rest = code[at..].trim_start_matches("super::");
        let ups = (code.len() - at - rest.len()) / "super::".len();
        if ups >= depth {
            names.extend(first_names(rest));
        }
    }
    names
}

/// `a::b` gives `a`; `{a::b, c}` gives `a` and `c`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

/// The source without comments, strings and the tests at its end.
fn code_only(source: &str) -> String {
    let shipped = match source.find("#[cfg(test)]\nmod tests {") {
        Some(at) => &source[..at],
        None => source,
    };
    let mut code = String::new();
    let mut rest = shipped;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            'r' if rest.starts_with("r#\"") => rest.find("\"#").map_or(rest.len(), |at| at + 2),
            '"' => string_length(rest),
            // The quote as a character is no beginning of a string.
            '\'' if rest.starts_with("'\"'") => 3,
            '\'' if rest.starts_with("'\\\"'") => 4,
            _ => 0,
        };
        if skipped > 0 {
            rest = &rest[skipped..];
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    code
}

/// The length of the string literal that `text` begins with.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn contains_word(code: &str, word: &str) -> bool {
    let part_of_a_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].ends_with(part_of_a_name)
            && !code[at + word.len()..].starts_with(part_of_a_name)
    })
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are `a::b`; `src/lib.rs` and `src/main.rs` the root.
fn module_path(file: &Path) -> Vec<String> {
    let relative = file.strip_prefix("src").expect("a path below src").with_extension("");
    let mut parts: Vec<String> =
        relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(source_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

mod the_checker_itself {
    use super::*;

    const MAP: &str = "\
//! | module | what | may import |
//! |---|---|---|
//! | [`runtime`] | the outside | everything |
//! | [`engine`] | a core | everything below |
//! | [`protocol`] | bytes | text |
//! | [`store`] | data | text |
//! | [`text`] | words | nothing |
";

    fn found(module: &[&str], source: &str) -> usize {
        let module: Vec<String> = module.iter().map(|m| m.to_string()).collect();
        violations(&module, source, &rules_of_the_map(MAP)).len()
    }

    #[test]
    fn reads_the_map() {
        let rules = rules_of_the_map(MAP);
        assert_eq!(rules["engine"], ["protocol", "store", "text"]);
        assert_eq!(rules["store"], ["text"]);
        assert!(rules["text"].is_empty());
    }

    #[test]
    fn finds_planted_imports() {
        assert_eq!(found(&["store"], "use crate::engine::Engine;"), 1);
        assert_eq!(found(&["store"], "use crate::{text, protocol::{resp, args}, engine};"), 2);
        assert_eq!(found(&["store", "table"], "let x = crate::protocol::parse();"), 1);
        assert_eq!(found(&["store", "table"], "use super::super::protocol::resp;"), 1);
        assert_eq!(found(&["store", "table"], "use super::super::{text, protocol};"), 1);
        assert_eq!(found(&["store", "table"], "use super::protocol::x;"), 0);
        assert_eq!(found(&["store"], "use crate::text::glob; use crate::store::db;"), 0);
        assert_eq!(found(&["nowhere"], "fn f() {}"), 1);
    }

    #[test]
    fn finds_circles() {
        let module = |path: &str| path.split("::").map(str::to_string).collect::<Vec<_>>();
        let sources = [
            ("a", "use b::B; pub struct A;"),
            ("a::b", "use super::c::C;"),
            ("a::c", "use super::{b, d::D};"),
            ("a::d", "use super::e::f::F;"),
            ("a::e", ""),
            ("a::e::f", "use super::super::A;"),
        ];
        let all = sources.map(|(path, code)| (module(path), code.to_string()));
        let whole = ["a", "a::b", "a::c", "a::d", "a::e", "a::e::f"];
        let first = circles(&imports_between(&all[1..4]));
        assert_eq!(first, [["a::b", "a::c"]]);
        // `e` itself imports nothing, but whoever names what lies in it is led through it.
        let all = all.map(|(path, code)| match path.len() {
            2 if path[1] == "e" => (path, "use f::F;".to_string()),
            _ => (path, code),
        });
        assert_eq!(circles(&imports_between(&all)), [whole]);
    }

    #[test]
    fn finds_climbs() {
        let table = "\
//! | layer | file | what it does |
//! |---|---|---|
//! | the whole | `mod` | all |
//! | upper | `b` | much |
//! | | `e` | something |
//! | lower | `c` | little |
";
        let layers = layers_of_the_table(table);
        let layers_of = |names: [&str; 4]| names.map(|name| layers[name]);
        assert_eq!(layers_of(["mod", "b", "e", "c"]), [1, 2, 2, 3]);
        let climbs = |module: &str, code: &str| {
            let path = |path: &str| path.split("::").map(str::to_string).collect::<Vec<_>>();
            let others = ["a", "a::b", "a::c", "a::e", "a::e::f"];
            let others = others.iter().filter(|other| **other != module);
            let others = others.map(|other| (path(other), String::new()));
            let sources: Vec<_> = others.chain([(path(module), code.to_string())]).collect();
            super::climbs("a", &imports_between(&sources), &layers)
        };
        assert!(climbs("a::b", "use super::{c, e::f::F};").is_empty());
        assert!(climbs("a::e::f", "use super::super::b::B;").is_empty());
        assert_eq!(climbs("a::c", "use super::e::f::F;"), ["c imports e, of a higher layer"]);
        assert_eq!(climbs("a::e::f", "use super::super::A;").len(), 1);
        assert_eq!(climbs("a::d", "use super::c::C;"), ["d has no layer"]);
        assert!(climbs("a::tests::d", "use super::super::A;").is_empty());
    }

    #[test]
    fn finds_planted_outside_names() {
        assert_eq!(found(&["store"], "use std::net::IpAddr;"), 1);
        assert_eq!(found(&["store"], "use std::{fmt, net::IpAddr, thread};"), 2);
        assert_eq!(found(&["engine"], "let now = Instant::now();"), 1);
        assert_eq!(found(&["engine"], "std::time::SystemTime::now()"), 1);
        assert_eq!(found(&["engine"], "use glommio::Task; io_uring::opcode"), 2);
        assert_eq!(found(&[], "std::thread::spawn(f);"), 1);
        assert_eq!(found(&["runtime", "ring"], "use std::net::TcpStream; use glommio::Task;"), 0);
    }

    #[test]
    fn ignores_comments_strings_and_tests() {
        assert_eq!(found(&["store"], "// crate::engine\n/* std::net */ fn f() {}"), 0);
        assert_eq!(found(&["store"], "let x = \"multiplexing_api:io_uring \\\" glommio\";"), 0);
        assert_eq!(found(&["store"], "let q = '\"'; use crate::engine::E; let r = '\"';"), 1);
        assert_eq!(found(&["store"], "#[cfg(test)]\nmod tests { use std::thread; }"), 0);
    }
}
