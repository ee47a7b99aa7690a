//! What people read: `--help`, `--version` and the sample file, made from the table.

use super::directive::{Change, Directive, Effect, quoted, split_words};
use super::table::DIRECTIVES;

/// What `--version` prints.
pub fn version() -> String {
    format!("ringwell {} (compatible with Redis 7.2)\n", env!("CARGO_PKG_VERSION"))
}

/// What `--help` prints: how to start the server, and every directive that does something.
pub fn help() -> String {
    let file = clap::Arg::new("FILE")
        .help("Configuration file in the syntax of redis.conf; the directives override it");
    let mut command = clap::Command::new("ringwell")
        .about("A Redis-compatible cache server: one io_uring shard per pinned core")
        .override_usage("ringwell [FILE] [--directive value ...]")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .next_line_help(true)
        .arg(file)
        .arg(flag("help", 'h', "Print this help"))
        .arg(flag("version", 'v', "Print the version"))
        .after_help(compatibility());
    for directive in DIRECTIVES.iter().filter(|d| d.effect == Effect::Here) {
        command = command.arg(argument(directive));
    }
    command.render_help().to_string()
}

fn flag(name: &'static str, short: char, text: &'static str) -> clap::Arg {
    clap::Arg::new(name).long(name).short(short).help(text).action(clap::ArgAction::SetTrue)
}

fn argument(directive: &'static Directive) -> clap::Arg {
    let mut notes = vec![match directive.default {
        "" => "default: empty".to_string(),
        default => format!("default: {default}"),
    }];
    let limits = directive.limits();
    if !limits.is_empty() {
        notes.push(limits);
    }
    notes.extend(change_note(directive).map(str::to_string));
    clap::Arg::new(directive.name)
        .long(directive.name)
        .value_name(directive.placeholder())
        .help_heading(directive.group)
        .help(wrap(&format!("{} [{}]", prose(directive), notes.join("; ")), 88).join("\n"))
}

fn compatibility() -> String {
    let names: Vec<_> =
        DIRECTIVES.iter().filter(|d| d.effect == Effect::None).map(|d| d.name).collect();
    let list = wrap(&names.join(" "), 98);
    format!(
        "Accepted so that files and clients made for Redis work, without effect here:\n  {}",
        list.join("\n  ")
    )
}

fn prose(directive: &Directive) -> String {
    directive.documentation.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

fn change_note(directive: &Directive) -> Option<&'static str> {
    match directive.change {
        Change::Anytime => None,
        Change::AtStart => Some("at start only"),
        Change::Protected => Some("CONFIG SET needs enable-protected-configs"),
    }
}

/// The commented sample file: every directive with its documentation, at its default.
pub fn sample_config() -> String {
    let mut out = INTRODUCTION.to_string();
    let mut group = "";
    for directive in DIRECTIVES.iter().filter(|d| d.effect == Effect::Here) {
        if directive.group != group {
            group = directive.group;
            push_heading(&mut out, group);
        }
        push_sample(&mut out, directive);
    }
    push_heading(&mut out, "Accepted without effect");
    out.push_str(WITHOUT_EFFECT);
    for directive in DIRECTIVES.iter().filter(|d| d.effect == Effect::None) {
        push_sample(&mut out, directive);
    }
    out
}

const INTRODUCTION: &str = "\
# Ringwell's configuration, every directive at its default.
#
# Start the server with this file as the first argument; arguments override it:
#
#     ringwell /etc/ringwell.conf --port 7000
#
# The syntax is that of redis.conf: one directive per line, values in quotes where they hold spaces
# (\"...\" with \\n, \\\", \\x00 and so on, or '...'), comments on lines of their own. Amounts of
# memory take units: 1k is 1000 bytes and 1kb is 1024, then m, mb, g, gb. The last line of a
# directive wins, except for those that say they may be repeated. Other files are read where a line
# says so, patterns allowed, paths relative to this file:
#
#     include conf.d/*.conf
#
# CONFIG SET changes most directives while the server runs, CONFIG REWRITE writes the changes here.
";

const WITHOUT_EFFECT: &str = "
# These are read, kept and shown by CONFIG GET, so that files and clients made for Redis work; they
# do nothing else in Ringwell.
";

fn push_heading(out: &mut String, title: &str) {
    let title = format!("#### {title} ");
    out.push_str(&format!("\n{title:#<98}\n"));
}

fn push_sample(out: &mut String, directive: &Directive) {
    let mut text = prose(directive);
    if let (Effect::Here, Some(note)) = (directive.effect, change_note(directive)) {
        text.push_str(&format!(" ({note})"));
    }
    out.push('\n');
    for line in wrap(&text, 96) {
        out.push_str(&format!("# {line}\n"));
    }
    for line in default_lines(directive) {
        out.push_str(&format!("# {line}\n"));
    }
}

/// The default as the file would have it.
fn default_lines(directive: &Directive) -> Vec<String> {
    let words = split_words(directive.default.as_bytes()).unwrap_or_default();
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    let name = directive.name;
    match words.as_slice() {
        [] => vec![format!("{name} \"\"")],
        // The one repeatable default: a line for each class.
        words if directive.shape.repeatable => {
            words.chunks(4).map(|class| format!("{name} {}", class.join(" "))).collect()
        }
        words => vec![format!("{name} {}", words.join(" "))],
    }
}

/// Breaks text at spaces into lines of at most so many characters, if its words allow.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let full = lines.last().is_some_and(|l| !l.is_empty() && l.len() + 1 + word.len() > width);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Disk};

    /// `RINGWELL_BLESS=1 cargo test sample` writes the file anew.
    #[test]
    fn the_checked_in_sample_is_the_generated_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ringwell.conf");
        if std::env::var_os("RINGWELL_BLESS").is_some() {
            std::fs::write(&path, sample_config()).expect("the sample can be written");
        }
        let checked_in = std::fs::read_to_string(&path).expect("the sample is checked in");
        assert!(checked_in == sample_config(), "run: RINGWELL_BLESS=1 cargo test sample");
    }

    #[test]
    fn the_sample_is_the_defaults_commented_or_not() {
        let parse = |text: &str| {
            Config::parse(Path::new("ringwell.conf"), text.as_bytes(), &Disk)
                .expect("the sample is valid")
        };
        let sample = sample_config();
        assert_eq!(parse(&sample), Config::default());
        let is_directive = |line: &&str| {
            let name = line.split(' ').next().unwrap_or_default();
            DIRECTIVES
                .iter()
                .any(|d| d.name == name && default_lines(d).contains(&line.to_string()))
        };
        let commented = sample.lines().filter_map(|line| line.strip_prefix("# "));
        let uncommented: Vec<_> = commented.filter(is_directive).collect();
        let expected: usize = DIRECTIVES.iter().map(|d| default_lines(d).len()).sum();
        assert_eq!(uncommented.len(), expected);
        assert_eq!(parse(&uncommented.join("\n")), Config::default());
        assert!(sample.lines().all(|line| line.len() <= 100 && line.trim_end() == line));
    }

    #[test]
    fn help_names_every_directive() {
        let help = help();
        for directive in DIRECTIVES {
            assert!(help.contains(directive.name), "{}", directive.name);
            let option = format!("--{} ", directive.name);
            assert_eq!(help.contains(&option), directive.effect == Effect::Here, "{option}");
        }
        for expected in ["ringwell [FILE] [--directive value ...]", "default: 6379", "Network:"] {
            assert!(help.contains(expected), "{expected}\n{help}");
        }
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
        assert!(version().starts_with("ringwell 0."));
    }
}
