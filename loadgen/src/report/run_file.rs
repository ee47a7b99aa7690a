//! `run.json`: a run's plan, environment and results, to be read by programs and by `check`.
//!
//! `schema/run.schema.json` describes it; a test holds the two together.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::environment::{Environment, read_time, write_time};
use super::hdr_files::{decode, encode};
use super::series::{SeriesRow, series};
use super::{Knee, Report};
use crate::exec::Outcome;
use crate::failure::Failure;
use crate::plan::Plan;
use crate::stats::{CommandRecord, PERCENTILES, Percentile, percentile};
use crate::verdict::{Verdict, achieved_rate};

/// Changes when a reader of the former would misunderstand.
pub const FORMAT_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// Always `loadgen-run`.
    pub format: String,
    pub format_version: u32,
    pub plan: Plan,
    pub environment: Environment,
    pub results: Results,
    pub valid: bool,
    pub verdict: Verdict,
    /// Where the run belongs to a search for the highest rate that meets an objective.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub knee: Option<Knee>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub started: SystemTime,
    pub elapsed_seconds: f64,
    pub sent: u64,
    pub received: u64,
    pub unanswered: u64,
    pub unsent: u64,
    /// Answers per second.
    pub rate: f64,
    pub errors: u64,
    pub error_texts: BTreeMap<String, u64>,
    pub moved: u64,
    pub fills_dropped: u64,
    pub clipped: u64,
    pub lag_max_ns: u64,
    pub lag_p99_ns: Option<u64>,
    /// Of each load thread, 0 to 1.
    pub busy: Vec<f64>,
    /// Of each load thread, 0 to 1. Files of earlier versions do not have it.
    #[serde(default)]
    pub spinning: Vec<f64>,
    /// Without spinning, as `busy`.
    pub cpu_seconds: f64,
    pub cpu_ns_per_request: f64,
    pub server_commands: Option<u64>,
    pub wrong: u64,
    pub wrong_examples: Vec<String>,
    pub interrupted: bool,
    pub ended_by: Option<String>,
    pub total: CommandResult,
    pub commands: Vec<CommandResult>,
    pub series: Vec<SeriesRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandResult {
    pub title: String,
    pub count: u64,
    /// Answers per second.
    pub rate: f64,
    pub hits: u64,
    pub misses: u64,
    pub errors: u64,
    pub response: Latency,
    pub service: Latency,
}

/// A histogram and what is usually asked of it. Percentiles of too few samples are `None`, as are
/// the others if there are no samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    pub mean_ns: Option<f64>,
    pub stdev_ns: Option<f64>,
    pub min_ns: Option<u64>,
    /// By label: `p50`, `p99.9`.
    pub percentiles_ns: BTreeMap<String, Option<u64>>,
    pub max_ns: Option<u64>,
    /// HdrHistogram V2, compressed, base64; values in nanoseconds.
    pub histogram: String,
}

impl RunFile {
    pub fn new(report: &Report) -> Self {
        RunFile {
            format: "loadgen-run".into(),
            format_version: FORMAT_VERSION,
            plan: report.plan.clone(),
            environment: report.environment.clone(),
            results: Results::new(report.outcome),
            valid: report.verdict.is_valid(),
            verdict: report.verdict.clone(),
            knee: report.knee.cloned(),
        }
    }

    /// Reads a `run.json`, or the one in a report's directory.
    ///
    /// # Errors
    /// If there is none, or it is none of this version's.
    pub fn read(path: &Path) -> Result<RunFile, Failure> {
        let file = if path.is_dir() { path.join("run.json") } else { path.to_owned() };
        let shown = file.display();
        let text = fs::read_to_string(&file).map_err(|error| {
            Failure::run(format!(
                "cannot read {shown}: {error}; give the run.json of `loadgen run -o DIR`, or DIR"
            ))
        })?;
        let not_ours = |why: String| {
            Failure::run(format!("{shown} is not a run.json of this version of loadgen: {why}"))
        };
        let head: Head =
            serde_json::from_str(&text).map_err(|error| not_ours(error.to_string()))?;
        if head.format != "loadgen-run" || head.format_version != FORMAT_VERSION {
            return Err(not_ours(format!(
                "its format is {:?}, version {}; expected \"loadgen-run\", version {FORMAT_VERSION}",
                head.format, head.format_version,
            )));
        }
        let run: RunFile =
            serde_json::from_str(&text).map_err(|error| not_ours(error.to_string()))?;
        let records = run.results.commands.iter().chain([&run.results.total]);
        for (record, latency) in records.flat_map(|c| [(c, &c.response), (c, &c.service)]) {
            if latency.read_histogram().is_none_or(|histogram| histogram.len() != record.count) {
                return Err(not_ours(format!("the histogram of {:?} is damaged", record.title)));
            }
        }
        Ok(run)
    }
}

/// What tells a reader whether to read on.
#[derive(Deserialize)]
struct Head {
    format: String,
    format_version: u32,
}

impl Results {
    fn new(outcome: &Outcome) -> Self {
        let recording = &outcome.recording;
        let total = recording.total();
        let elapsed_seconds = outcome.elapsed.as_secs_f64();
        let result = |record: &CommandRecord| CommandResult::new(record, elapsed_seconds);
        let cpu_seconds = outcome.cpu.as_secs_f64();
        Results {
            started: outcome.started,
            elapsed_seconds,
            sent: recording.sent,
            received: recording.received,
            unanswered: outcome.unanswered,
            unsent: outcome.unsent,
            rate: achieved_rate(outcome),
            errors: total.errors,
            error_texts: recording.error_texts.clone(),
            moved: outcome.moved,
            fills_dropped: outcome.fills_dropped,
            clipped: recording.clipped,
            lag_max_ns: recording.lag_max_ns,
            lag_p99_ns: percentile(&recording.lag, Percentile::P99),
            busy: outcome.busy.clone(),
            spinning: outcome.spinning.clone(),
            cpu_seconds,
            cpu_ns_per_request: cpu_seconds * 1e9 / recording.received.max(1) as f64,
            server_commands: outcome.server_commands,
            wrong: outcome.wrong,
            wrong_examples: outcome.wrong_examples.clone(),
            interrupted: outcome.interrupted,
            ended_by: outcome.ended_by.as_ref().map(ToString::to_string),
            total: result(&total),
            commands: recording.commands.iter().map(result).collect(),
            series: series(outcome),
        }
    }
}

impl CommandResult {
    fn new(record: &CommandRecord, elapsed_seconds: f64) -> Self {
        CommandResult {
            title: record.title.clone(),
            count: record.count(),
            rate: record.count() as f64 / elapsed_seconds.max(1e-9),
            hits: record.hits,
            misses: record.misses,
            errors: record.errors,
            response: Latency::new(&record.response),
            service: Latency::new(&record.service),
        }
    }
}

impl Latency {
    fn new(histogram: &Histogram<u64>) -> Self {
        let measured = !histogram.is_empty();
        Latency {
            mean_ns: measured.then(|| histogram.mean()),
            stdev_ns: measured.then(|| histogram.stdev()),
            min_ns: measured.then(|| histogram.min()),
            percentiles_ns: PERCENTILES
                .iter()
                .map(|&p| (p.label(), percentile(histogram, p)))
                .collect(),
            max_ns: measured.then(|| histogram.max()),
            histogram: encode(histogram),
        }
    }

    /// The histogram itself; `None` if its encoding is damaged.
    pub fn read_histogram(&self) -> Option<Histogram<u64>> {
        decode(&self.histogram)
    }

    /// Of any percentile, not only those listed; `None` if there are too few samples.
    pub fn percentile_ns(&self, wanted: Percentile) -> Option<u64> {
        percentile(&self.read_histogram()?, wanted)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::plan::{Distribution, OnMiss, SecondsRange, ValueSizes};
    use crate::report::sample_run::{closed_plan, environment, knee, open_plan, outcome};
    use crate::verdict::judge;

    const SCHEMA: &str = include_str!("../../schema/run.schema.json");

    fn json(plan: &Plan, outcome: &Outcome, knee: Option<&Knee>) -> Value {
        let (verdict, environment) = (judge(plan, outcome), environment());
        let report = Report { plan, outcome, verdict: &verdict, environment: &environment, knee };
        serde_json::to_value(RunFile::new(&report)).unwrap()
    }

    fn assert_described(value: &Value) {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        assert!(jsonschema::meta::is_valid(&schema));
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }

    #[test]
    fn the_schema_describes_runs_of_every_kind() {
        let mut plan = open_plan();
        assert_described(&json(&plan, &outcome(&plan), Some(&knee())));
        plan.workload.values = ValueSizes::Weighted(vec![(10, 0.5), (2_000, 0.5)]);
        plan.workload.ttl = Some(SecondsRange { min: 5, max: 10 });
        plan.workload.on_miss = Some(OnMiss { delay: std::time::Duration::from_millis(2) });
        assert_described(&json(&plan, &outcome(&plan), None));
        let mut plan = closed_plan();
        for distribution in [
            Distribution::Uniform,
            Distribution::Gaussian { deviation: 0.1 },
            Distribution::Hotspot { keys: 0.2, accesses: 0.8 },
            Distribution::Sequential,
        ] {
            plan.workload.keys.distribution = distribution;
            plan.workload.values = ValueSizes::Range { min: 1, max: 2 };
            plan.stop.requests = Some(120_000);
            let mut outcome = outcome(&plan);
            outcome.ended_by = Some(Failure::run("gone"));
            outcome.server_commands = None;
            outcome.recording.note_error("ERR x");
            (outcome.busy, outcome.spinning) = (vec![1.0], vec![0.0]);
            assert_described(&json(&plan, &outcome, None));
        }
        let mut nothing = outcome(&plan);
        nothing.recording = crate::stats::Recording::new(&["GET", "SET"], false);
        assert_described(&json(&plan, &nothing, None));
    }

    #[test]
    fn the_schema_refuses_what_is_missing_or_unknown() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let good = json(&open_plan(), &outcome(&open_plan()), None);
        for path in ["/results/total", "/plan/workload", "/environment", "/verdict", ""] {
            let mut bad = good.clone();
            bad.pointer_mut(path).unwrap()["surprise"] = Value::from(1);
            assert!(!validator.is_valid(&bad), "unknown member at {path:?}");
            let members: Vec<String> =
                good.pointer(path).unwrap().as_object().unwrap().keys().cloned().collect();
            for member in members.into_iter().filter(|m| m != "keep_alive") {
                let mut bad = good.clone();
                bad.pointer_mut(path).unwrap().as_object_mut().unwrap().remove(&member);
                assert!(!validator.is_valid(&bad), "{member} missing at {path:?}");
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let plan = open_plan();
        let outcome = outcome(&plan);
        let verdict = judge(&plan, &outcome);
        let environment = environment();
        let knee = knee();
        let report = Report {
            plan: &plan,
            outcome: &outcome,
            verdict: &verdict,
            environment: &environment,
            knee: Some(&knee),
        };
        let file = RunFile::new(&report);
        let directory = std::env::temp_dir().join(format!("loadgen-run-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let text = serde_json::to_string(&file).unwrap();
        assert!(!text.contains("hunter2"), "passwords are not written");
        fs::write(directory.join("run.json"), &text).unwrap();
        let mut read = RunFile::read(&directory).unwrap();
        assert_eq!(read.results.total.response.read_histogram().unwrap().len(), 120_000);
        assert_eq!(
            read.results.total.response.percentile_ns(Percentile::parse("p99.5").unwrap()),
            Some(900_095)
        );
        assert_eq!(read.plan.target.password, None);
        read.plan.target.password = plan.target.password.clone();
        assert_eq!(read, file);

        let damaged = text.replace("\"count\":120000", "\"count\":120001");
        fs::write(directory.join("run.json"), damaged).unwrap();
        let failure = RunFile::read(&directory).unwrap_err();
        assert!(failure.message.contains("the histogram of \"total\" is damaged"), "{failure}");
        fs::write(directory.join("run.json"), text.replace("_version\":1", "_version\":9"))
            .unwrap();
        assert!(RunFile::read(&directory).unwrap_err().message.contains("version 9; expected"));
        fs::write(directory.join("run.json"), "{}").unwrap();
        assert!(RunFile::read(&directory).unwrap_err().message.contains("is not a run.json"));
        fs::remove_dir_all(&directory).unwrap();
        assert!(RunFile::read(&directory).unwrap_err().message.contains("cannot read"));
    }
}
