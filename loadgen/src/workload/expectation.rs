//! What a workload implies: hits, and which of its options mean something.

use super::commands;
use crate::plan::Workload;

impl Workload {
    /// Whether a command reads what a SET of its key would have filled.
    pub fn has_fillable_reads(&self) -> bool {
        self.commands.iter().any(|c| commands::reads_own_string(&c.template))
    }

    /// Whether a command is a SET, to which a TTL can be given.
    pub fn has_sets(&self) -> bool {
        self.commands.iter().any(|c| commands::takes_ttl(&c.template))
    }

    /// What part of the lookups finds something, where that follows from the workload alone:
    /// after preloading everything is found as long as nothing expires or is removed (a server
    /// that evicts is what a difference would show). `None` where it depends on what the database
    /// held before, or nothing is looked up.
    pub fn expected_hit_ratio(&self) -> Option<f64> {
        let mut lookups = self
            .commands
            .iter()
            .filter(|c| c.weight > 0.0 && commands::nil_is_a_miss(&c.template))
            .peekable();
        lookups.peek()?;
        let of_preloaded_strings = lookups.all(|c| commands::looks_up_strings(&c.template));
        let kept = self.commands.iter().all(|c| commands::keeps_keys(&c.template));
        (self.preload && self.ttl.is_none() && of_preloaded_strings && kept).then_some(1.0)
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::{CommandSpec, Distribution, KeySpace, SecondsRange, ValueSizes, Workload};

    fn ratio(commands: &[&str], preload: bool, ttl: Option<SecondsRange>) -> Option<f64> {
        let spec = |words: &&str| CommandSpec {
            title: words.to_string(),
            template: words.split(' ').map(String::from).collect(),
            weight: 1.0,
            inline: false,
        };
        let workload = Workload {
            commands: commands.iter().map(spec).collect(),
            keys: KeySpace {
                prefix: "key:".into(),
                count: 10,
                distribution: Distribution::Uniform,
            },
            values: ValueSizes::Fixed(3),
            ttl,
            on_miss: None,
            preload,
        };
        workload.expected_hit_ratio()
    }

    #[test]
    fn only_a_preloaded_key_space_that_stays_whole_implies_hits() {
        let set = "SET __key__ __value__";
        assert_eq!(ratio(&["GET __key__", set], true, None), Some(1.0));
        assert_eq!(ratio(&["MGET __key__ __key__", "INCR n:__key__"], true, None), Some(1.0));
        assert_eq!(ratio(&["GET __key__", set], false, None), None);
        assert_eq!(ratio(&["GET __key__"], true, Some(SecondsRange { min: 1, max: 2 })), None);
        assert_eq!(ratio(&["GET __key__", "DEL __key__"], true, None), None);
        assert_eq!(ratio(&["GET __key__", "SET __key__ v EX 1"], true, None), None);
        assert_eq!(ratio(&["GETEX __key__ EX 1"], true, None), None);
        assert_eq!(ratio(&["HGET h:__key__ f"], true, None), None);
        assert_eq!(ratio(&["GET other"], true, None), None);
        assert_eq!(ratio(&[set, "PING"], true, None), None);
    }
}
