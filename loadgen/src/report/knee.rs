//! The search for the highest rate that meets an objective.

use serde::{Deserialize, Serialize};

/// What the search found, for the throughput-latency curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knee {
    /// The percentile of the objective: `p99.9`.
    pub percentile: String,
    /// The response time that it may have.
    pub limit_ns: u64,
    /// In the order in which they were measured.
    pub points: Vec<KneePoint>,
    /// The highest rate that met the objective, requests per second.
    pub rate: Option<f64>,
}

/// One step of the search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KneePoint {
    /// Requests per second asked for, and answered.
    pub offered: f64,
    pub rate: f64,
    pub p50_ns: Option<u64>,
    pub p99_ns: Option<u64>,
    /// The response time at the objective's percentile.
    pub objective_ns: Option<u64>,
    pub met: bool,
    /// Its verdict.
    pub valid: bool,
}
