//! `loadgen check`: is the server still as good as when a baseline was recorded?
//!
//! The baseline's plan is repeated a few times. How much those rounds differ from each other says
//! what one more run of the same server could have been: the baseline is one run. Only a figure
//! that is worse than that counts as a regression.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::figures::{self, Figure, Figures, Round};
use crate::cli::{ConnectionArgs, EndpointArg, parse};
use crate::exec::interrupt::Watch;
use crate::failure::{Failure, FailureKind};
use crate::plan::{Plan, Target};
use crate::report::RunFile;
use crate::report::units::{grouped, percent};
use crate::stats::summary::median;

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// The run.json, or the directory, of the run to compare with
    #[arg(long, value_name = "FILE", required = true)]
    pub baseline: PathBuf,
    /// Load these servers instead of the baseline's
    #[arg(value_name = "ENDPOINT")]
    pub endpoints: Vec<EndpointArg>,
    /// Rounds, from whose differences the noise is taken
    #[arg(long, value_name = "COUNT", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(3..=1000))]
    pub rounds: u16,
    /// Measure each round for this long instead of as the baseline was
    #[arg(long, value_name = "TIME", value_parser = parse::positive_duration)]
    pub duration: Option<Duration>,
    /// Differences up to this many percent are none, whatever the noise
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0)]
    pub tolerance: f64,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// No lines while it runs
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  loadgen run --rate 50k --preload -o before       record the baseline
  loadgen check --baseline before                  after an upgrade: exit status 3 if it is worse
  loadgen check --baseline before cache-2:6379     is another host as good?";

/// # Errors
/// Status 3 if a figure is worse beyond the noise; status 1 if that could not be found out.
pub fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let baseline = RunFile::read(&args.baseline)?;
    if baseline.results.received == 0 {
        return Err(Failure::run(format!(
            "{} measured nothing; record another baseline",
            args.baseline.display()
        )));
    }
    let mut plan = baseline.plan.clone();
    plan.target = args.target(&plan)?;
    if let Some(duration) = args.duration {
        plan.stop.duration = Some(duration);
        plan.stop.requests = None;
    }
    let rounds = measure(args, &plan)?;
    let tolerance = 1.0 + args.tolerance.max(0.0) / 100.0;
    let mut worse = Vec::new();
    let before = figures::of_file(&baseline);
    for line in compare(&before, &rounds, tolerance) {
        println!("{}", line.describe());
        if line.is_regression() {
            worse.push(line.figure.name());
        }
    }
    if errors(&baseline, &rounds) {
        worse.push("errors");
    }
    if !baseline.valid {
        println!("the baseline's own verdict was NOT VALID: {}", baseline.verdict);
    }
    for doubt in figures::doubts(&rounds) {
        println!("NOT VALID {doubt}");
    }
    if worse.is_empty() {
        println!("no regression against {}", args.baseline.display());
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure {
        message: format!(
            "regression against {} beyond noise: {}",
            args.baseline.display(),
            worse.join(", ")
        ),
        kind: FailureKind::Regression,
    })
}

impl CheckArgs {
    /// The baseline's, with what the arguments override; passwords are never stored.
    fn target(&self, plan: &Plan) -> Result<Target, Failure> {
        let stored = &plan.target;
        let given = self.connection.target(&self.endpoints)?;
        Ok(Target {
            endpoints: match given.endpoints.is_empty() {
                true => stored.endpoints.clone(),
                false => given.endpoints,
            },
            user: given.user.or_else(|| stored.user.clone()),
            password: given.password,
            database: self.connection.db.unwrap_or(stored.database),
            resp3: given.resp3 || stored.resp3,
            cluster: given.cluster || stored.cluster,
        })
    }
}

fn measure(args: &CheckArgs, plan: &Plan) -> Result<Vec<Round>, Failure> {
    let watch = Watch::start();
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        let label = format!("round {number} of {}", args.rounds);
        if watch.interrupted() {
            return Err(Failure::run(format!("interrupted before {label}; nothing is concluded")));
        }
        rounds.push(figures::measure(plan, &label, args.quiet, None)?);
    }
    Ok(rounds)
}

/// One figure then and now.
#[derive(Clone, Debug)]
struct Line {
    figure: Figure,
    before: f64,
    now: f64,
    /// What one more run could differ by, as a ratio from 1 on.
    noise: f64,
    tolerance: f64,
}

/// Figures that the baseline and all rounds have.
fn compare(before: &Figures, rounds: &[Round], tolerance: f64) -> Vec<Line> {
    let line = |figure: Figure| {
        let values: Option<Vec<f64>> =
            rounds.iter().map(|round| round.figures.get(&figure).copied()).collect();
        let values = values?;
        Some(Line {
            figure,
            before: *before.get(&figure)?,
            now: median(&values)?,
            noise: noise(&values)?,
            tolerance,
        })
    };
    Figure::ALL.into_iter().filter_map(line).collect()
}

/// Student's t at 99.5 % for 2 to 9 degrees of freedom; more are taken as 9.
const STUDENT_T: [f64; 8] = [9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250];

/// The prediction interval for one more run: with n rounds whose logarithms deviate by s, it lies
/// within t s sqrt(1 + 1/n) of their mean in 99 of 100 cases. As a ratio from 1 on.
fn noise(values: &[f64]) -> Option<f64> {
    let count = values.len();
    let freedom = count.checked_sub(1)?;
    let t = STUDENT_T[freedom.checked_sub(2)?.min(STUDENT_T.len() - 1)];
    let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    let mean = logs.iter().sum::<f64>() / count as f64;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / freedom as f64;
    Some((t * variance.sqrt() * (1.0 + 1.0 / count as f64).sqrt()).exp())
}

impl Line {
    fn is_regression(&self) -> bool {
        let worse = match self.figure.higher_is_better() {
            true => self.before / self.now,
            false => self.now / self.before,
        };
        worse > self.noise && worse > self.tolerance
    }

    fn describe(&self) -> String {
        let change = (self.now / self.before - 1.0) * 100.0;
        let what = if self.is_regression() {
            "REGRESSION"
        } else if (self.now / self.before).max(self.before / self.now)
            > self.noise.max(self.tolerance)
        {
            "better"
        } else {
            "within noise"
        };
        format!(
            "{:<11} {:>14}  baseline {:>14}  {change:>+7.1} %  noise ±{:.1} %  {what}",
            self.figure.name(),
            self.figure.format(self.now),
            self.figure.format(self.before),
            (self.noise - 1.0) * 100.0,
        )
    }
}

/// Whether errors are answered now, to more requests than before; says so.
fn errors(baseline: &RunFile, rounds: &[Round]) -> bool {
    let now: u64 = rounds.iter().map(|round| round.errors).sum();
    let share = baseline.results.errors as f64 / baseline.results.received as f64;
    if now == 0 || share > 0.0 {
        return false;
    }
    println!("{:<11} {:>14}  baseline {:>14}  REGRESSION", "errors", grouped(now), percent(share));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(rates: &[f64]) -> Vec<Round> {
        let round = |rate: &f64| Round {
            figures: Figures::from([(Figure::Throughput, *rate), (Figure::P99, 1e11 / rate)]),
            errors: 0,
            doubts: Vec::new(),
        };
        rates.iter().map(round).collect()
    }

    fn regressions(before: f64, now: &[f64]) -> Vec<Figure> {
        let before = Figures::from([(Figure::Throughput, before), (Figure::P99, 1e11 / before)]);
        let lines = compare(&before, &rounds(now), 1.02);
        lines.iter().filter(|line| line.is_regression()).map(|line| line.figure).collect()
    }

    #[test]
    fn only_what_is_worse_beyond_noise_is_a_regression() {
        let steady = [1_000.0, 1_004.0, 998.0, 1_001.0, 997.0];
        assert!(regressions(1_005.0, &steady).is_empty());
        assert!(regressions(800.0, &steady).is_empty(), "better is no regression");
        assert_eq!(regressions(1_150.0, &steady), [Figure::Throughput, Figure::P99]);
        let noisy = [1_000.0, 1_100.0, 900.0, 1_050.0, 960.0];
        assert!(regressions(1_150.0, &noisy).is_empty());
        assert_eq!(regressions(3_000.0, &noisy), [Figure::Throughput, Figure::P99]);
    }

    #[test]
    fn the_tolerance_is_the_least_that_counts() {
        let still = [1_000.0; 5];
        assert!(regressions(1_015.0, &still).is_empty());
        assert_eq!(regressions(1_025.0, &still).len(), 2);
    }

    #[test]
    fn the_noise_is_a_prediction_interval() {
        // Of five values whose logarithms deviate by 0.01: 4.604 * 0.01 * sqrt(1.2).
        let step = 0.01 * 2.0_f64.sqrt();
        let values = [-step, 0.0, 0.0, 0.0, step].map(f64::exp);
        let expected = (4.604_f64 * 0.01 * 1.2_f64.sqrt()).exp();
        assert!((noise(&values).expect("five values") - expected).abs() < 1e-9);
        assert_eq!(noise(&[1.0, 2.0]), None);
        assert!(noise(&[1.0; 50]).is_some_and(|noise| (noise - 1.0).abs() < 1e-12));
    }

    #[test]
    fn lines_say_what_to_think() {
        let before = Figures::from([(Figure::Throughput, 2_000.0)]);
        let lines = compare(&before, &rounds(&[1_000.0, 1_001.0, 999.0]), 1.02);
        let text = lines[0].describe();
        assert!(text.contains("1,000/s  baseline        2,000/s    -50.0 %"), "{text}");
        assert!(text.ends_with("REGRESSION"), "{text}");
    }

    #[test]
    fn a_figure_that_not_all_rounds_have_is_left_out() {
        let before = Figures::from([(Figure::Throughput, 1.0), (Figure::Mean, 1.0)]);
        let lines = compare(&before, &rounds(&[1.0, 1.0, 1.0]), 1.02);
        assert_eq!(lines.iter().map(|line| line.figure).collect::<Vec<_>>(), [Figure::Throughput]);
    }
}
