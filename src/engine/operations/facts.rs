//! What every core has told, put together.

use super::super::report::CoreReport;
use super::super::shared::HostFacts;
use super::super::state::Core;

/// What INFO and MEMORY tell is made from this.
pub(super) struct Facts<'a> {
    pub core: &'a Core,
    /// By shard.
    pub reports: &'a [&'a CoreReport],
    pub host: HostFacts,
}

impl<'a> Facts<'a> {
    /// From what every core has reported.
    pub fn new(core: &'a Core, reports: &'a [&'a CoreReport]) -> Facts<'a> {
        Facts { core, reports, host: core.site.shared.host.facts() }
    }

    pub fn sum(&self, of: impl Fn(&CoreReport) -> u64) -> u64 {
        self.reports.iter().map(|report| of(report)).sum()
    }

    pub fn max(&self, of: impl Fn(&CoreReport) -> usize) -> usize {
        self.reports.iter().map(|report| of(report)).max().unwrap_or(0)
    }
}
