//! What a core has done, and how fast.

use std::sync::atomic::Ordering;

use super::event::TICK_US;
use super::site::Site;
use crate::shard::Statistics;

/// What this core has done since the start or the last CONFIG RESETSTAT.
#[derive(Debug, Default)]
pub(super) struct CoreStatistics {
    /// Of what runs without a shard.
    pub commands: Statistics,
    /// Pieces of input received and of output sent.
    pub reads: u64,
    pub writes: u64,
    rates: Rates,
    /// What had been counted when the rates were measured last.
    sampled: Counts,
    sampled_us: u64,
}

/// Per second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rates {
    pub commands: u64,
    pub input_bytes: u64,
    pub output_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    commands: u64,
    input_bytes: u64,
    output_bytes: u64,
}

impl CoreStatistics {
    /// Between the last two ticks.
    pub fn rates(&self) -> Rates {
        self.rates
    }

    /// Whether the rates are to be measured again although nothing happens. `shard` counts what the
    /// core's own shard has run.
    pub fn want_tick(&self, shard: &Statistics) -> bool {
        self.run_with(shard) != self.sampled.commands || self.rates.commands > 0
    }

    /// Commands that have run, on the shard and without.
    fn run_with(&self, shard: &Statistics) -> u64 {
        self.commands.commands + shard.commands
    }

    /// In every tick: measures the rates of commands and bytes since the last.
    pub fn sample(&mut self, site: &Site, shard: &Statistics) {
        let elapsed_us = site.now.monotonic_us.saturating_sub(self.sampled_us);
        if elapsed_us < TICK_US / 2 {
            return;
        }
        let counters = &site.shared.cores[site.shard_id];
        let counts = Counts {
            commands: self.run_with(shard),
            input_bytes: counters.net_input_bytes.load(Ordering::Relaxed),
            output_bytes: counters.net_output_bytes.load(Ordering::Relaxed),
        };
        let rate = |of: fn(&Counts) -> u64| {
            let count = of(&counts).saturating_sub(of(&self.sampled));
            count.saturating_mul(1_000_000) / elapsed_us
        };
        self.rates = Rates {
            commands: rate(|counts| counts.commands),
            input_bytes: rate(|counts| counts.input_bytes),
            output_bytes: rate(|counts| counts.output_bytes),
        };
        self.sampled = counts;
        self.sampled_us = site.now.monotonic_us;
    }

    /// CONFIG RESETSTAT, with the counters that the runtime keeps.
    pub fn reset(&mut self, site: &Site) {
        *self = CoreStatistics { sampled_us: self.sampled_us, ..CoreStatistics::default() };
        let counters = &site.shared.cores[site.shard_id];
        for counter in
            [&counters.connections_received, &counters.net_input_bytes, &counters.net_output_bytes]
        {
            counter.store(0, Ordering::Relaxed);
        }
    }
}
