//! What has run since the start or the last CONFIG RESETSTAT: how often, for how long, and with which
//! errors.

use hashbrown::HashMap;

use super::latency::Latencies;
use crate::commands::{CommandError, Row, table};

/// Codes of errors that are counted one by one, as in Redis. Codes are ours; the bound holds
/// whatever a text might begin with.
const ERROR_CODES_MAX: usize = 128;

/// One in so many calls of a command is timed; a rare one's first calls are all.
const SAMPLED_CALLS: u64 = 32;
/// A command whose last call took so long is timed again: reading the clock costs 1 % of that.
const SLOW_NANOS: u64 = 5_000;

/// Counts of a shard, or of what a core does without one.
#[derive(Clone, Debug)]
pub struct Statistics {
    pub commands: u64,
    /// All error replies, and those of each code.
    pub error_replies: u64,
    pub errors: HashMap<Box<str>, u64>,
    /// By the row's place in the table.
    by_command: Vec<CommandStats>,
    /// Of the calls that were timed.
    latencies: Latencies,
}

impl Default for Statistics {
    fn default() -> Self {
        Statistics {
            commands: 0,
            error_replies: 0,
            errors: HashMap::new(),
            by_command: vec![CommandStats::default(); table().by_id().len()],
            latencies: Latencies::default(),
        }
    }
}

impl Statistics {
    /// Of a command.
    #[inline]
    pub fn of(&mut self, row: &Row) -> &mut CommandStats {
        &mut self.by_command[row.id]
    }

    /// By the row's place in the table.
    pub fn by_command(&self) -> &[CommandStats] {
        &self.by_command
    }

    /// How long the calls took that were timed.
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// A call that is about to be counted took so long. Seldom called, so not inlined.
    #[inline(never)]
    pub fn time_call(&mut self, row: &Row, nanos: u64, tracked: bool) {
        let calls = self.of(row).timed(nanos);
        if tracked {
            self.latencies.record(row.id, nanos, calls);
        }
    }

    pub fn count_call(&mut self, row: &Row, error: Option<&CommandError>) {
        let stats = self.of(row);
        stats.calls += 1;
        if let Some(error) = error {
            stats.failed += 1;
            self.count_error(error);
        }
    }

    pub fn count_error(&mut self, error: &CommandError) {
        let message = error.message();
        let code = message.split(|&byte| byte == b' ').next().unwrap_or(&[]);
        let code = String::from_utf8_lossy(code);
        self.error_replies += 1;
        if let Some(count) = self.errors.get_mut(&*code) {
            *count += 1;
        } else if self.errors.len() < ERROR_CODES_MAX {
            self.errors.insert(code.into_owned().into_boxed_str(), 1);
        }
    }

    /// Refuses a command before its handler runs.
    pub fn count_rejected(&mut self, row: &Row) {
        self.of(row).rejected += 1;
    }

    /// Adds the counts of another.
    pub fn add(&mut self, other: &Statistics) {
        self.commands += other.commands;
        self.error_replies += other.error_replies;
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
        for (own, other) in self.by_command.iter_mut().zip(&other.by_command) {
            own.add(other);
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct CommandStats {
    /// On this shard, be it only with the part of the keys that are here.
    pub calls: u64,
    /// Calls of several shards that were one for the client, without the first of each: counted by
    /// the core that put their replies together.
    pub further_parts: u64,
    /// Spent in the handler: measured while the command is slow or rare, estimated from samples
    /// otherwise.
    pub nanos: u64,
    /// The calls that `nanos` stands for.
    pub timed_calls: u64,
    /// The last call that was timed took long, so that timing the next one costs nothing.
    pub is_slow: bool,
    /// Refused before the handler ran.
    pub rejected: u64,
    /// The handler answered with an error.
    pub failed: u64,
}

impl CommandStats {
    /// Adds those of another.
    pub fn add(&mut self, other: &CommandStats) {
        self.calls += other.calls;
        self.further_parts += other.further_parts;
        self.nanos += other.nanos;
        self.rejected += other.rejected;
        self.failed += other.failed;
    }

    /// Whether to time the next call. Reading a clock would cost a fast command a third of its time.
    #[inline]
    pub fn is_next_timed(&self) -> bool {
        self.is_slow || self.calls < SAMPLED_CALLS || self.calls.is_multiple_of(SAMPLED_CALLS)
    }

    /// The call has been timed, and stands for those before it that were not: returns how many
    /// they are together.
    pub fn timed(&mut self, nanos: u64) -> u64 {
        let stands_for = (self.calls + 1).saturating_sub(self.timed_calls);
        self.nanos += nanos.saturating_mul(stands_for);
        self.timed_calls = self.calls + 1;
        self.is_slow = nanos >= SLOW_NANOS;
        stands_for
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many codes there have been, those that are known are counted, and all together.
    #[test]
    fn known_codes_of_errors_are_counted_beyond_the_bound() {
        let mut statistics = Statistics::default();
        for _ in 0..2 {
            for code in 0..ERROR_CODES_MAX + 10 {
                statistics.count_error(&CommandError::text(format!("CODE{code} has happened")));
            }
        }
        assert_eq!(statistics.errors.len(), ERROR_CODES_MAX);
        assert!(statistics.errors.values().all(|count| *count == 2));
        assert_eq!(statistics.error_replies, 2 * (ERROR_CODES_MAX as u64 + 10));
    }
}
