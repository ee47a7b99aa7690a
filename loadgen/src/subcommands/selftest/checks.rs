//! What the self-test proves.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::responder::{Behaviour, COMMAND, Responder, Truth};
use crate::exec::schedule::Schedule;
use crate::exec::{self, Outcome};
use crate::failure::Failure;
use crate::plan::{
    Arrivals, CommandSpec, Distribution, KeySpace, Pacing, Plan, Stop, Target, Threads, ValueSizes,
    Workload,
};
use crate::report::units::{percent, time};
use crate::stats::{new_histogram, summary};
use crate::verdict::{BUSY_MAX, Cause, judge};

const SEED: u64 = 1;

pub struct Check {
    pub title: &'static str,
    pub run: fn() -> Result<Finding, Failure>,
}

pub const CHECKS: &[Check] = &[
    Check { title: "a fixed delay of 20 ms", run: fixed },
    Check { title: "two delays: 1 ms, and 20 ms for 2 % of the requests", run: bimodal },
    Check { title: "a stall of 300 ms in an open loop, as derived", run: stall },
    Check { title: "Poisson arrivals as scheduled: mean and variance of the gaps", run: schedule },
    Check { title: "Poisson arrivals as they reach a server", run: arrivals },
    Check { title: "a client slowed by 20 µs a request counts them as work", run: slowed },
    Check { title: "a client at its limit is found", run: at_its_limit },
];

/// What a check found, with the facts in words.
#[derive(Clone, Debug)]
pub enum Finding {
    Passed(Vec<String>),
    /// Only bounds were broken that a busy machine may break too.
    Late(Vec<String>),
    Wrong(Vec<String>),
}

/// Collects facts, and what is wrong with them.
#[derive(Default)]
struct Examination {
    facts: Vec<String>,
    late: Vec<String>,
    wrong: Vec<String>,
}

impl Examination {
    fn finding(self) -> Finding {
        match (self.wrong.is_empty(), self.late.is_empty()) {
            (true, true) => Finding::Passed(self.facts),
            (true, false) => Finding::Late(self.late),
            (false, _) => Finding::Wrong([self.wrong, self.late].concat()),
        }
    }

    /// Requests sent, replies, samples in the histogram and requests that the responder saw.
    fn same_counts(&mut self, outcome: &Outcome, truth: &Truth, requests: u64) {
        let recording = &outcome.recording;
        let total = recording.total();
        let counts = [
            ("planned", requests),
            ("sent", recording.sent),
            ("answered", recording.received),
            ("in the histogram of response times", total.response.len()),
            ("in the histogram of service times", total.service.len()),
            ("read by the server", truth.arrivals_ns.len() as u64),
            ("answered by the server", truth.kept_ns.len() as u64),
        ];
        let text = counts.map(|(what, count)| format!("{count} {what}")).join(", ");
        if counts.iter().all(|(_, count)| *count == requests) {
            self.facts.push(text);
        } else {
            self.wrong.push(format!("the counts of requests differ: {text}"));
        }
    }

    /// `recorded` may not be below `least` (a histogram's resolution aside), and should not be
    /// above it by more than `margin`.
    fn at_least(&mut self, what: &str, recorded_ns: u64, least_ns: u64, margin: Duration) {
        let resolution_ns = least_ns / 1_000;
        let text = format!(
            "{what}: recorded {}, in truth {}",
            time(recorded_ns as f64),
            time(least_ns as f64)
        );
        if recorded_ns + resolution_ns < least_ns {
            self.wrong.push(format!("{text}: too short"));
        } else if recorded_ns > least_ns + resolution_ns + nanoseconds(margin) {
            self.late.push(format!("{text}: too long"));
        } else {
            self.facts.push(text);
        }
    }

    /// Within `tolerance` (a share) of what was derived.
    fn near(&mut self, what: &str, measured: f64, derived: f64, tolerance: f64) {
        let text = format!("{what}: measured {measured:.4}, derived {derived:.4}");
        if (measured / derived - 1.0).abs() <= tolerance {
            self.facts.push(text);
        } else {
            self.wrong.push(format!("{text}, tolerance {:.1} %", tolerance * 100.0));
        }
    }
}

/// Of the responder's own times.
fn histogram(times_ns: &[u64]) -> Histogram<u64> {
    let mut histogram = new_histogram();
    for time_ns in times_ns {
        histogram.saturating_record(*time_ns);
    }
    histogram
}

/// Every time recorded is at least what the responder kept that request for, so every percentile
/// is too; and the way through the loopback device and two threads adds little.
fn compare_percentiles(
    examination: &mut Examination,
    outcome: &Outcome,
    truth: &Truth,
    quantiles: &[f64],
    margin: Duration,
) {
    let response = outcome.recording.total().response;
    let kept = histogram(&truth.kept_ns);
    for quantile in quantiles {
        let what = format!("p{}", quantile * 100.0);
        let recorded_ns = response.value_at_quantile(*quantile);
        examination.at_least(&what, recorded_ns, kept.value_at_quantile(*quantile), margin);
    }
}

fn fixed() -> Result<Finding, Failure> {
    const REQUESTS: u64 = 400;
    let behaviour = Behaviour::Fixed(Duration::from_millis(20));
    let (outcome, truth) =
        run(behaviour, Pacing::Closed, Shape { threads: 1, clients: 16 }, REQUESTS)?;
    let mut examination = Examination::default();
    examination.same_counts(&outcome, &truth, REQUESTS);
    // Below 5 % of the delay, so that an error of 10 % shows.
    let margin = Duration::from_millis(1);
    compare_percentiles(&mut examination, &outcome, &truth, &[0.1, 0.25, 0.5], margin);
    Ok(examination.finding())
}

/// Two threads, whose histograms are merged.
fn bimodal() -> Result<Finding, Failure> {
    const REQUESTS: u64 = 6_000;
    let (usual, rare) = (Duration::from_millis(1), Duration::from_millis(20));
    let behaviour = Behaviour::Bimodal { usual, rare, one_in: 50 };
    let (outcome, truth) =
        run(behaviour, Pacing::Closed, Shape { threads: 2, clients: 8 }, REQUESTS)?;
    let mut examination = Examination::default();
    examination.same_counts(&outcome, &truth, REQUESTS);
    let margin = Duration::from_millis(1);
    compare_percentiles(&mut examination, &outcome, &truth, &[0.25, 0.5, 0.9], margin);
    // p99 lies in the middle of the 2 % that are slow.
    compare_percentiles(&mut examination, &outcome, &truth, &[0.99], margin * 4);
    let response = outcome.recording.total().response;
    let slow = response.len() - response.count_between(0, nanoseconds(rare) - 1_000_000);
    let derived = REQUESTS / 50;
    let text = format!("{slow} of {REQUESTS} requests took 20 ms, {derived} were kept for it");
    match slow {
        _ if slow < derived => examination.wrong.push(text),
        // A busy machine may hold up some of the others.
        _ if slow > derived + REQUESTS / 1_000 => examination.late.push(text),
        _ => examination.facts.push(text),
    }
    Ok(examination.finding())
}

/// In an open loop of rate r for a time T, a stall of length S delays all requests due in it; the
/// one due x after its start by S - x. So a share (S - v) / T of all response times is above v, and
/// the response time at the quantile q is S - (1 - q) T.
///
/// Connections with little room let only few requests be sent into the stall. Measured from the
/// actual send, only those would be slow, which is the mistake that this check is about: the
/// recorded service times must show just that.
fn stall() -> Result<Finding, Failure> {
    const RATE: f64 = 1_000.0;
    const REQUESTS: u64 = 1_200;
    const CLIENTS: usize = 4;
    let length = Duration::from_millis(300);
    let behaviour = Behaviour::Stall { after: Duration::from_millis(400), length };
    let pacing = Pacing::Open { rate_per_second: RATE, arrivals: Arrivals::Constant };
    let (outcome, truth) =
        run(behaviour, pacing, Shape { threads: 1, clients: CLIENTS }, REQUESTS)?;
    let mut examination = Examination::default();
    examination.same_counts(&outcome, &truth, REQUESTS);
    let total = outcome.recording.total();
    let (stall_ns, run_ns) = (truth.stall_ns as f64, REQUESTS as f64 / RATE * 1e9);
    // Two gaps: the stall starts between two requests, and a quantile lies between two others.
    let slack_ns = 2.0 * 1e9 / RATE;
    // What waited goes through few connections, one request each at a time.
    let drain = Duration::from_millis(40);
    for quantile in [0.85, 0.9, 0.95, 0.99, 0.999] {
        let derived_ns = stall_ns - (1.0 - quantile) * run_ns;
        examination.at_least(
            &format!("p{}", quantile * 100.0),
            total.response.value_at_quantile(quantile),
            (derived_ns - slack_ns) as u64,
            drain + Duration::from_nanos(2 * slack_ns as u64),
        );
    }
    // Half of the requests came long before the stall or after its end.
    examination.at_least("p50", total.response.value_at_quantile(0.5), 0, Duration::from_millis(5));
    let sent_into_it = total.service.len() - total.service.count_between(0, stall_ns as u64 / 4);
    let text = format!(
        "{sent_into_it} of {REQUESTS} service times are those of the stall, {CLIENTS} connections"
    );
    match sent_into_it {
        0 => examination.wrong.push(text),
        n if n > CLIENTS as u64 => examination.late.push(text),
        _ => examination.facts.push(text),
    }
    Ok(examination.finding())
}

/// The gaps of a Poisson process are exponential: their standard deviation is their mean, and of N
/// gaps the mean has the relative error 1/sqrt(N), the variance sqrt(8/N). Four deviations.
fn schedule() -> Result<Finding, Failure> {
    const GAPS: usize = 1_000_000;
    const RATE: f64 = 10_000.0;
    let mut examination = Examination::default();
    for thread in 0..2 {
        let mut schedule = Schedule::new(RATE, Arrivals::Poisson, (thread, 2), 0, 1);
        let mut moments_ns = Vec::with_capacity(GAPS + 1);
        for _ in 0..=GAPS {
            moments_ns.push(schedule.next_ns() as f64);
            schedule.advance();
        }
        let title = format!("thread {thread}: gaps");
        exponential(&mut examination, &title, &moments_ns, 2.0 * 1e9 / RATE);
    }
    let mut constant = Schedule::new(RATE, Arrivals::Constant, (0, 1), 0, 1);
    let first_ns = constant.next_ns();
    (0..GAPS).for_each(|_| constant.advance());
    let span_ns = (constant.next_ns() - first_ns) as f64;
    examination.near("constant gaps in ns", span_ns / GAPS as f64, 1e9 / RATE, 1e-6);
    Ok(examination.finding())
}

/// The requests reach a server at the moments of the schedule, whose gaps have been checked: but
/// for a constant way, as far as threads wake up in time.
fn arrivals() -> Result<Finding, Failure> {
    const REQUESTS: u64 = 1_000;
    const RATE: f64 = 1_000.0;
    let pacing = Pacing::Open { rate_per_second: RATE, arrivals: Arrivals::Poisson };
    let behaviour = Behaviour::Fixed(Duration::ZERO);
    let (outcome, truth) = run(behaviour, pacing, Shape { threads: 1, clients: 8 }, REQUESTS)?;
    let mut examination = Examination::default();
    examination.same_counts(&outcome, &truth, REQUESTS);
    let mut arrived_ns: Vec<f64> = truth.arrivals_ns.iter().map(|ns| *ns as f64).collect();
    arrived_ns.sort_by(f64::total_cmp);
    let mut schedule = Schedule::new(RATE, Arrivals::Poisson, (0, 1), 0, SEED);
    let ways_ns: Vec<f64> = arrived_ns
        .iter()
        .map(|arrived_ns| {
            let due_ns = schedule.next_ns() as f64;
            schedule.advance();
            arrived_ns - due_ns
        })
        .collect();
    // Constant gaps, or gaps of another rate, would stray by the mean gap times the root of the
    // count: 30 ms.
    let deviation_ns = summary::median_absolute_deviation(&ways_ns).unwrap_or(f64::INFINITY);
    let text = format!("half of the requests arrive within {} of schedule", time(deviation_ns));
    match deviation_ns {
        0.0..3e6 => examination.facts.push(text),
        _ => examination.late.push(text),
    }
    let below = arrived_ns.windows(2).filter(|pair| pair[1] - pair[0] < 1e9 / RATE).count();
    let share = below as f64 / (arrived_ns.len() - 1).max(1) as f64;
    // Of exponential gaps 1 - 1/e are below their mean, of constant ones half or so; four deviations
    // of a binomial share are 6 %. A busy machine gathers arrivals, which makes more short gaps.
    let derived = 1.0 - (-1.0_f64).exp();
    let text = format!("gaps below the mean: measured {share:.3}, derived {derived:.3}");
    match share - derived {
        -0.06..0.25 => examination.facts.push(text),
        _ => examination.late.push(text),
    }
    Ok(examination.finding())
}

/// At 20,000 requests a second a thread never sleeps: the replies come while it spins, and what it
/// does with them is work all the same.
fn slowed() -> Result<Finding, Failure> {
    const REQUESTS: u64 = 8_000;
    let handicap = Duration::from_micros(20);
    let (_, outcome, truth) = run_slowed(REQUESTS, handicap)?;
    let mut examination = Examination::default();
    examination.same_counts(&outcome, &truth, REQUESTS);
    // It was wasted for certain; the rest is the work proper.
    let used_ns = outcome.cpu.as_nanos() as u64 / REQUESTS;
    let text = format!(
        "CPU time per request: {}, wasted on purpose {}; busy {}, spinning {}",
        time(used_ns as f64),
        time(handicap.as_nanos() as f64),
        percent(outcome.busy[0]),
        percent(outcome.spinning[0]),
    );
    match used_ns >= nanoseconds(handicap) {
        true => examination.facts.push(text),
        false => examination.wrong.push(format!("{text}: work is not counted")),
    }
    Ok(examination.finding())
}

/// What each reply costs allows a quarter of the rate asked for.
fn at_its_limit() -> Result<Finding, Failure> {
    const REQUESTS: u64 = 2_000;
    let (plan, outcome, truth) = run_slowed(REQUESTS, Duration::from_micros(200))?;
    let verdict = judge(&plan, &outcome);
    let mut examination = Examination::default();
    examination.same_counts(&outcome, &truth, REQUESTS);
    let text = format!("busy {}: {verdict}", percent(outcome.busy[0]));
    match verdict.has(Cause::ClientBusy) {
        true => examination.facts.push(text),
        // Another program may have had the processor.
        false if outcome.busy[0] < BUSY_MAX => examination.late.push(text),
        false => examination.wrong.push(text),
    }
    Ok(examination.finding())
}

fn exponential(examination: &mut Examination, title: &str, moments_ns: &[f64], mean_ns: f64) {
    let gaps: Vec<f64> = moments_ns.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let count = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / count;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / (count - 1.0);
    examination.near(&format!("{title}, mean in ns"), mean, mean_ns, 4.0 / count.sqrt());
    examination.near(
        &format!("{title}, variance over squared mean"),
        variance / (mean * mean),
        1.0,
        4.0 * (8.0 / count).sqrt(),
    );
}

/// An open loop of 20,000 requests a second by a slowed client, whose threads do not sleep.
fn run_slowed(requests: u64, handicap: Duration) -> Result<(Plan, Outcome, Truth), Failure> {
    let responder = Responder::start(Behaviour::Fixed(Duration::ZERO))?;
    let pacing = Pacing::Open { rate_per_second: 20_000.0, arrivals: Arrivals::Constant };
    let plan = plan(&responder, pacing, Shape { threads: 1, clients: 8 }, requests);
    let outcome = exec::run_slowed(&plan, handicap)?;
    Ok((plan, outcome, responder.finish()))
}

struct Shape {
    threads: usize,
    clients: usize,
}

/// Runs so many requests, one at a time on each connection, against a responder.
fn run(
    behaviour: Behaviour,
    pacing: Pacing,
    shape: Shape,
    requests: u64,
) -> Result<(Outcome, Truth), Failure> {
    let responder = Responder::start(behaviour)?;
    let outcome = exec::run(&plan(&responder, pacing, shape, requests), &mut |_| {})?;
    Ok((outcome, responder.finish()))
}

fn plan(responder: &Responder, pacing: Pacing, shape: Shape, requests: u64) -> Plan {
    let command = CommandSpec {
        title: COMMAND.to_owned(),
        template: vec![COMMAND.to_owned()],
        weight: 1.0,
        inline: false,
    };
    Plan {
        target: Target {
            endpoints: vec![responder.endpoint()],
            user: None,
            password: None,
            database: 0,
            resp3: false,
            cluster: false,
        },
        threads: Threads { count: shape.threads, cpus: Vec::new() },
        clients: shape.clients,
        pipeline: 1,
        keep_alive: true,
        pacing,
        stop: Stop { requests: Some(requests), duration: None },
        warmup: Duration::ZERO,
        workload: Workload {
            commands: vec![command],
            keys: KeySpace {
                prefix: "key:".to_owned(),
                count: 1,
                distribution: Distribution::Uniform,
            },
            values: ValueSizes::Fixed(1),
            ttl: None,
            on_miss: None,
            preload: false,
        },
        verify: false,
        seed: SEED,
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
