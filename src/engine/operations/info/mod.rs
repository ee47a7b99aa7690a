//! INFO: Redis's sections and field names, and a section of ours on the shards.

mod fields;
mod sections;

use std::fmt::Write;

use super::super::every_core::EveryCore;
use super::super::report::{self, CoreReport};
use super::super::state::Here;
use super::asked::Asked;
use super::facts::Facts;
use crate::commands::Outcome;
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use fields::Fields;

pub(super) fn info(asked: &mut Asked<'_>, sections: Args<'_>) -> Outcome {
    let wanted = sections.iter().map(<[u8]>::to_ascii_lowercase).collect();
    asked.every_core(Info { wanted })
}

struct Info {
    /// The words that name sections, in lower case.
    wanted: Vec<Vec<u8>>,
}

impl EveryCore for Info {
    type Answer = CoreReport;

    fn run(&self, here: &mut Here<'_>) -> CoreReport {
        let mut report = report::of(here.core, here.sessions);
        if SECTIONS
            .iter()
            .any(|section| section.name == LATENCYSTATS && section.is_wanted(&self.wanted))
        {
            report.latencies = here.core.shards.home().statistics().latencies().clone();
        }
        report
    }

    fn merge(&self, here: &mut Here<'_>, reports: &[&CoreReport], reply: &mut Reply<'_>) {
        reply.verbatim(&text(&Facts::new(here.core, reports), &self.wanted));
    }
}

/// Which general words include a section.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// `default`, `all` and `everything`; no word at all means `default`.
    Default,
    /// `all` and `everything`.
    All,
}

struct Section {
    /// As its heading; asked for in any case.
    name: &'static str,
    shown: Shown,
    write: fn(&Facts<'_>, &mut Fields),
}

impl Section {
    /// Whether one of the words names it.
    fn is_wanted(&self, words: &[Vec<u8>]) -> bool {
        let named = |word: &Vec<u8>| match word.as_slice() {
            b"default" => self.shown == Shown::Default,
            b"all" | b"everything" => true,
            word => self.name.as_bytes().eq_ignore_ascii_case(word),
        };
        words.is_empty() && self.shown == Shown::Default || words.iter().any(named)
    }
}

/// The section that the histograms of latencies are copied for.
const LATENCYSTATS: &str = "Latencystats";

/// In Redis's order.
const SECTIONS: &[Section] = &[
    Section { name: "Server", shown: Shown::Default, write: sections::server },
    Section { name: "Clients", shown: Shown::Default, write: sections::clients },
    Section { name: "Memory", shown: Shown::Default, write: sections::memory },
    Section { name: "Persistence", shown: Shown::Default, write: sections::persistence },
    Section { name: "Stats", shown: Shown::Default, write: sections::stats },
    Section { name: "Replication", shown: Shown::Default, write: sections::replication },
    Section { name: "CPU", shown: Shown::Default, write: sections::cpu },
    Section { name: "Modules", shown: Shown::Default, write: |_, _| {} },
    Section { name: "Commandstats", shown: Shown::All, write: sections::commandstats },
    Section { name: "Errorstats", shown: Shown::Default, write: sections::errorstats },
    Section { name: LATENCYSTATS, shown: Shown::All, write: sections::latencystats },
    Section { name: "Cluster", shown: Shown::Default, write: sections::cluster },
    Section { name: "Shards", shown: Shown::Default, write: sections::shards },
    Section { name: "Keyspace", shown: Shown::Default, write: sections::keyspace },
];

/// The sections that one of the words names, with an empty line between them. Words that name
/// nothing add nothing.
fn text(facts: &Facts<'_>, wanted: &[Vec<u8>]) -> String {
    let mut fields = Fields::default();
    for section in SECTIONS.iter().filter(|section| section.is_wanted(wanted)) {
        if !fields.text.is_empty() {
            fields.text.push_str("\r\n");
        }
        let _ = write!(fields.text, "# {}\r\n", section.name);
        (section.write)(facts, &mut fields);
    }
    fields.text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use super::super::super::event::Now;
    use super::super::super::shared::{Host, HostFacts, Shared};
    use super::super::super::{Engine, EngineSetup};
    use crate::config::Config;
    use crate::store::Event;

    struct FixedHost;

    impl Host for FixedHost {
        fn facts(&self) -> HostFacts {
            HostFacts { pid: 7, rss_bytes: 3 << 20, ..HostFacts::default() }
        }
    }

    fn engine() -> Engine {
        let config = Arc::new(Config::default());
        let run_id = "0123456789".repeat(4);
        let shared = Arc::new(Shared::new(1, config, Box::new(FixedHost), 1000, run_id));
        let mut engine =
            Engine::new(EngineSetup { shard: 0, shards: 1, shared, seed: 1, stopwatch: || 0 });
        engine.core.site.now = Now { unix_ms: 91_000, monotonic_us: 1 };
        engine
    }

    fn info(engine: &Engine, wanted: &[&str]) -> String {
        let report = report::of(&engine.core, &engine.sessions);
        let wanted: Vec<Vec<u8>> = wanted.iter().map(|word| word.as_bytes().to_vec()).collect();
        let facts = Facts { core: &engine.core, reports: &[&report], host: FixedHost.facts() };
        text(&facts, &wanted)
    }

    fn headings(text: &str) -> Vec<&str> {
        text.lines().filter_map(|line| line.strip_prefix("# ")).collect()
    }

    #[test]
    fn words_choose_the_sections() {
        let engine = engine();
        let default = info(&engine, &[]);
        assert_eq!(default, info(&engine, &["default"]));
        assert_eq!(headings(&default).len(), SECTIONS.len() - 2);
        assert_eq!(headings(&info(&engine, &["all"])).len(), SECTIONS.len());
        assert_eq!(headings(&info(&engine, &["keyspace", "cpu"])), ["CPU", "Keyspace"]);
        let both = info(&engine, &["default", "commandstats"]);
        assert!(headings(&both).contains(&"Commandstats"));
        assert_eq!(info(&engine, &["nosuch"]), "");
        assert_eq!(info(&engine, &["modules"]), "# Modules\r\n");
    }

    #[test]
    fn every_line_is_a_heading_or_a_field() {
        let text = info(&engine(), &["everything"]);
        let mut names = Vec::new();
        for line in text.split_terminator("\r\n").filter(|line| !line.is_empty()) {
            if let Some((name, _)) = line.split_once(':') {
                names.push(name);
            } else {
                assert!(line.starts_with("# "), "{line}");
            }
        }
        assert!(names.len() > 150, "{}", names.len());
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a field stands twice");
        assert!(text.contains("process_id:7\r\n") && text.contains("uptime_in_seconds:90\r\n"));
        assert!(text.contains("used_memory_rss_human:3.00M\r\n"), "{text}");
    }

    #[test]
    fn keyspace_counts_keys_and_averages_what_they_have_left() {
        let mut engine = engine();
        let now = engine.core.site.now.unix_ms;
        for (key, expiry) in [("a", None), ("b", Some(now + 1000)), ("c", Some(now + 3000))] {
            let encoding = crate::store::Encoding::Raw;
            let db = engine.core.shards.home_mut().store_mut().db_mut(3);
            db.set_string(key.as_bytes(), b"v", encoding, expiry, 0, Event::Set);
        }
        let text = info(&engine, &["keyspace"]);
        assert_eq!(text, "# Keyspace\r\ndb3:keys=3,expires=2,avg_ttl=2000,subexpiry=0\r\n");
        let shards = info(&engine, &["shards"]);
        assert!(shards.contains("shard0:cpu=0,connections=0,keys=3,expires=2,"), "{shards}");
    }
}
