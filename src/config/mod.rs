//! The configuration: one table of directives, and what is made of it.
//!
//! | file | what it is |
//! |---|---|
//! | `table` | the directives, and with them the fields of [`Config`] |
//! | `directive`, `value`, `types`, `cidr` | what a directive is; how each type is read and written |
//! | `load` | a file in redis.conf syntax and arguments to a [`Config`] |
//! | `change` | CONFIG GET and CONFIG SET |
//! | `rewrite` | CONFIG REWRITE |
//! | `help` | `--help` and the sample file |
//! | `files` | how files are read |

mod change;
mod cidr;
mod directive;
mod files;
mod help;
mod load;
mod rewrite;
mod table;
mod types;
mod value;

pub use change::SetError;
pub use cidr::Cidr;
pub use directive::{Change, Directive, Effect, Rule, Shape};
pub use files::{Disk, Files};
pub use help::sample_config;
pub use load::{ConfigError, Start, start};
pub use rewrite::rewrite;
pub use table::{Config, DIRECTIVES};
pub use types::{
    AppendFsync, BindAddress, BusyPoll, CpuList, EvictionPolicy, KeyspaceEvents, LogLevel,
    MemoryLimit, OutputLimit, OutputLimits, Percentiles, Permission, SavePoints, ShardCount,
    Supervised, ThreadSpread,
};
pub use value::{Secret, Words};

use std::fmt;
use std::path::PathBuf;

/// Where a configuration came from, for CONFIG REWRITE and INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The absolute path of the configuration file; none when there were only arguments.
    pub file: Option<PathBuf>,
}

/// The directive of this name or older name, in any case.
pub fn find(name: impl AsRef<[u8]>) -> Option<&'static Directive> {
    let named = |candidate: &str| candidate.as_bytes().eq_ignore_ascii_case(name.as_ref());
    DIRECTIVES.iter().find(|d| named(d.name) || d.aliases.iter().any(|alias| named(alias)))
}

impl Config {
    /// Refuses values of a directive that promise what this server does not do, where believing the
    /// promise would lose data or protection.
    pub(self) fn refuse_promises(&self, directive: &Directive) -> Result<(), String> {
        let refusal = match directive.name {
            "appendonly" if self.appendonly => {
                "Ringwell is a cache and keeps nothing on disk: only 'appendonly no' is possible"
            }
            "save" if !self.save.0.is_empty() => {
                "Ringwell is a cache and keeps nothing on disk: only 'save \"\"' is possible"
            }
            "cluster-enabled" if self.cluster_enabled => {
                "Ringwell is not a node of a Redis Cluster: only 'cluster-enabled no' is possible"
            }
            "tls-port" if self.tls_port != 0 => {
                "Ringwell has no TLS: put a TLS proxy in front and leave 'tls-port 0'"
            }
            _ => return Ok(()),
        };
        Err(refusal.into())
    }
}

impl Default for Config {
    /// Every directive at its default.
    fn default() -> Self {
        let mut config = Config::blank();
        for directive in DIRECTIVES {
            // The table's own defaults; a test reads each of them.
            let read = directive.reset(&mut config);
            debug_assert_eq!(read, Ok(()), "default of {}", directive.name);
        }
        config
    }
}

impl PartialEq for Config {
    /// Every directive has the same value; warnings do not count.
    fn eq(&self, other: &Self) -> bool {
        DIRECTIVES.iter().all(|directive| directive.show(self) == directive.show(other))
    }
}

impl Eq for Config {}

impl fmt::Debug for Config {
    /// The directives that are not at their defaults, without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = Config::default();
        let changed = DIRECTIVES.iter().filter(|d| d.show(self) != d.show(&default));
        let shown = changed.map(|directive| {
            let secret = directive.shape.secret;
            let value = if secret { b"(set)".to_vec() } else { directive.show(self) };
            (directive.name, String::from_utf8_lossy(&value).into_owned())
        });
        f.debug_map().entries(shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_table_is_sound() {
        let mut names = HashSet::new();
        let mut config = Config::blank();
        for directive in DIRECTIVES {
            for name in std::iter::once(&directive.name).chain(directive.aliases) {
                assert!(names.insert(*name), "{name} stands twice");
                assert_eq!(name.to_ascii_lowercase(), **name);
            }
            assert_eq!(directive.reset(&mut config), Ok(()), "default of {}", directive.name);
            let last = directive.documentation.last().map_or("", |line| line.trim());
            assert!(last.ends_with('.'), "documentation of {}", directive.name);
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let config = Config::default().with_changes(&[(b"requirepass", b"s3cret")], true);
        let config = config.expect("a password");
        let shown = format!("{config:?} {:?}", config.requirepass);
        assert!(shown.contains("requirepass") && shown.contains("set"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert_eq!(config.requirepass.expose(), b"s3cret");
    }

    #[test]
    fn old_names_and_any_case_are_found() {
        assert_eq!(find("Slave-Priority").map(|d| d.name), Some("replica-priority"));
        assert_eq!(find("lua-time-limit").map(|d| d.name), Some("busy-reply-threshold"));
        assert!(find("maxmemry").is_none());
    }
}
