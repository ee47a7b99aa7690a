//! Whether a run's figures may be believed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::exec::Outcome;
use crate::plan::{Pacing, Plan};
use crate::report::units::{counted, grouped, percent, significant, time};
use crate::stats::{OTHER_ERRORS, PERCENTILES, Percentile, SAMPLES_BEYOND, percentile};

/// Above this share of its processor's time, a load thread's own queueing shows in the latencies.
pub const BUSY_MAX: f64 = 0.80;

/// Requests of an open loop count as behind schedule if the p99 of how late they were sent is above
/// this, and above [`LAG_SHARE_MAX`] of the p99 response time. A single stall of the server is not
/// that: it is what response times are for, and they contain it. Being late most of the time means
/// that the rate was not the one asked for.
pub const LAG_MAX_NS: u64 = 1_000_000;
pub const LAG_SHARE_MAX: f64 = 0.10;
/// So is a rate below this share of the one asked for.
pub const RATE_SHARE_MIN: f64 = 0.99;

/// How far the hit ratio may be from what the workload implies.
pub const HIT_RATIO_TOLERANCE: f64 = 0.01;
/// Below this, what was measured is mostly misses.
pub const HIT_RATIO_MIN: f64 = 0.5;

/// VALID if there are no reasons against it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub reasons: Vec<Reason>,
    /// What a reader should know and that does not make the figures wrong.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub cause: Cause,
    /// Names the figure, and what to do.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    ClientBusy,
    BehindSchedule,
    TooFewSamples,
    HitRatio,
    Unanswered,
    CountsDiffer,
    ServerCount,
    WrongAnswers,
    Errors,
    Clipped,
    Interrupted,
    ServerLost,
}

impl Verdict {
    pub fn is_valid(&self) -> bool {
        self.reasons.is_empty()
    }

    pub fn has(&self, cause: Cause) -> bool {
        self.reasons.iter().any(|reason| reason.cause == cause)
    }

    fn against(&mut self, cause: Cause, text: String) {
        self.reasons.push(Reason { cause, text });
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_valid() { "verdict: VALID" } else { "verdict: NOT VALID" })?;
        for reason in &self.reasons {
            write!(f, "\n  - {}", reason.text)?;
        }
        for note in &self.notes {
            write!(f, "\n  note: {note}")?;
        }
        Ok(())
    }
}

/// Judges a run by what it measured about itself.
pub fn judge(plan: &Plan, outcome: &Outcome) -> Verdict {
    let mut verdict = Verdict::default();
    judge_end(outcome, &mut verdict);
    judge_client(outcome, &mut verdict);
    judge_schedule(plan, outcome, &mut verdict);
    judge_samples(outcome, &mut verdict);
    judge_hits(plan, outcome, &mut verdict);
    judge_counts(outcome, &mut verdict);
    judge_answers(outcome, &mut verdict);
    verdict
}

fn judge_end(outcome: &Outcome, verdict: &mut Verdict) {
    let after = time(outcome.elapsed.as_nanos() as f64);
    if let Some(failure) = &outcome.ended_by {
        verdict.against(Cause::ServerLost, format!("ended early, after {after}: {failure}"));
    } else if outcome.interrupted {
        let text = format!("interrupted after {after}; let it run to its end");
        verdict.against(Cause::Interrupted, text);
    }
}

fn judge_client(outcome: &Outcome, verdict: &mut Verdict) {
    let busy = || outcome.busy.iter().copied().enumerate().filter(|(_, busy)| *busy > BUSY_MAX);
    let Some((thread, most)) = busy().max_by(|a, b| a.1.total_cmp(&b.1)) else { return };
    let text = format!(
        "the client was the bottleneck, or near it: {} of {} over {} busy (thread {thread}: {}), so \
         latencies and rate are partly its own; give it more --threads, or cores of its own with \
         --cpus",
        busy().count(),
        counted(outcome.busy.len() as u64, "load thread"),
        percent(BUSY_MAX),
        percent(most),
    );
    verdict.against(Cause::ClientBusy, text);
}

fn judge_schedule(plan: &Plan, outcome: &Outcome, verdict: &mut Verdict) {
    let Pacing::Open { rate_per_second, .. } = plan.pacing else { return };
    let recording = &outcome.recording;
    // Two digits only: a value that stands for its neighbours may lie above the exact maximum.
    let lag_ns = percentile(&recording.lag, Percentile::P99)
        .map_or(recording.lag_max_ns, |ns| ns.min(recording.lag_max_ns));
    let total = recording.total();
    let response_ns = percentile(&total.response, Percentile::P99).unwrap_or(total.response.max());
    let is_late = lag_ns > LAG_MAX_NS && lag_ns as f64 > LAG_SHARE_MAX * response_ns as f64;
    let rate = achieved_rate(outcome);
    let is_slow = rate < slowest_acceptable(rate_per_second, outcome);
    if is_late || is_slow || outcome.unsent > 0 {
        let unsent = match outcome.unsent {
            0 => String::new(),
            n => format!(", {} never sent", counted(n, "request")),
        };
        let text = format!(
            "behind schedule: {} of {} requests per second were answered; requests left up to {} \
             late (p99 {}){unsent}; the server or this client cannot keep up: lower --rate, or add \
             --clients, --pipeline or --threads if the client is what is slow",
            significant(rate),
            significant(rate_per_second),
            time(recording.lag_max_ns as f64),
            time(lag_ns as f64),
        );
        verdict.against(Cause::BehindSchedule, text);
    } else if recording.lag_max_ns > LAG_MAX_NS {
        verdict.notes.push(format!(
            "at worst a request was sent {} late (p99 {}); it is contained in the response times, \
             not in the service times",
            time(recording.lag_max_ns as f64),
            time(lag_ns as f64),
        ));
    }
}

/// 99 % of what was asked for; less by what Poisson arrivals vary in a short run (three deviations),
/// and by the one request that may be outstanding at the end.
pub(crate) fn slowest_acceptable(rate_per_second: f64, outcome: &Outcome) -> f64 {
    let seconds = outcome.elapsed.as_secs_f64();
    let due = rate_per_second * seconds;
    (due * RATE_SHARE_MIN - 3.0 * due.sqrt() - 1.0).max(0.0) / seconds.max(1e-9)
}

/// Answers per second of the measurement.
pub(crate) fn achieved_rate(outcome: &Outcome) -> f64 {
    outcome.recording.received as f64 / outcome.elapsed.as_secs_f64().max(1e-9)
}

fn judge_samples(outcome: &Outcome, verdict: &mut Verdict) {
    let recording = &outcome.recording;
    let refused = |count: u64| {
        PERCENTILES.iter().rev().take_while(move |p| count < p.samples_needed()).last().copied()
    };
    if let Some(first) = refused(recording.received) {
        let most = PERCENTILES[PERCENTILES.len() - 1].samples_needed();
        let text = format!(
            "too few samples: {} and beyond are not printed, since of {} fewer than \
             {SAMPLES_BEYOND} lie beyond them; {} requests are enough for all: measure longer",
            first.label(),
            counted(recording.received, "request"),
            grouped(most),
        );
        verdict.against(Cause::TooFewSamples, text);
    }
    if recording.commands.len() > 1 {
        let short: Vec<String> = recording
            .commands
            .iter()
            .filter_map(|c| refused(c.count()).map(|p| format!("{} from {}", c.title, p.label())))
            .collect();
        if !short.is_empty() && refused(recording.received).is_none() {
            verdict.notes.push(format!(
                "too few samples of single commands for all of their percentiles: {}",
                short.join(", ")
            ));
        }
    }
}

fn judge_hits(plan: &Plan, outcome: &Outcome, verdict: &mut Verdict) {
    let Some(ratio) = outcome.recording.counts().hit_ratio() else { return };
    let workload = &plan.workload;
    match workload.expected_hit_ratio() {
        Some(implied) if (ratio - implied).abs() > HIT_RATIO_TOLERANCE => {
            let text = format!(
                "hit ratio {}, but the workload implies {}: the server evicted keys (see its \
                 maxmemory), they expired, or somebody else removes them; use fewer or smaller \
                 values, or a larger maxmemory",
                percent(ratio),
                percent(implied),
            );
            verdict.against(Cause::HitRatio, text);
        }
        Some(_) => {}
        None if ratio < HIT_RATIO_MIN && workload.on_miss.is_none() => {
            let text = format!(
                "hit ratio {}: mostly misses were measured, which cost less than hits; fill the \
                 database first with --preload, or fill misses with --on-miss set",
                percent(ratio),
            );
            verdict.against(Cause::HitRatio, text);
        }
        None => {}
    }
    if outcome.fills_dropped > 0 {
        verdict.notes.push(format!(
            "{} not filled, because too many fills waited already",
            counted(outcome.fills_dropped, "miss"),
        ));
    }
}

fn judge_counts(outcome: &Outcome, verdict: &mut Verdict) {
    let Outcome { recording, unanswered, server_commands, .. } = outcome;
    if *unanswered > 0 {
        let text = format!(
            "{} sent and never answered; their response times, the longest of all, are missing: \
             see whether the server died or stalled",
            counted(*unanswered, "request"),
        );
        verdict.against(Cause::Unanswered, text);
    }
    let recorded = recording.counts().answered;
    if recording.sent != recording.received + unanswered || recorded != recording.received {
        let text = format!(
            "counts differ: {} sent, {} answered, {} unanswered, {} in the histogram; this is a \
             fault of the load generator: please report it with run.json",
            grouped(recording.sent),
            grouped(recording.received),
            grouped(*unanswered),
            grouped(recorded),
        );
        verdict.against(Cause::CountsDiffer, text);
    }
    match *server_commands {
        Some(counted_there) if counted_there > recording.sent => {
            let text = format!(
                "the server counted {} commands, {} more than were sent from here: somebody else \
                 uses it, so the figures are not of this load alone; measure a server of its own",
                grouped(counted_there),
                grouped(counted_there - recording.sent),
            );
            verdict.against(Cause::ServerCount, text);
        }
        Some(counted_there) if counted_there < recording.sent => {
            let text = format!(
                "the server counted {} commands, {} fewer than were sent from here: it refused or \
                 lost some, or its statistics were reset during the run; see the errors",
                grouped(counted_there),
                grouped(recording.sent - counted_there),
            );
            verdict.against(Cause::ServerCount, text);
        }
        Some(_) => {}
        None => verdict.notes.push(
            "the server's own count of commands could not be read, so it is not compared".into(),
        ),
    }
}

fn judge_answers(outcome: &Outcome, verdict: &mut Verdict) {
    let recording = &outcome.recording;
    if outcome.wrong > 0 {
        let example = outcome
            .wrong_examples
            .first()
            .map_or(String::new(), |text| format!(", such as: {text}"));
        let text = format!(
            "{} wrong, torn or stale{example}; do not use this server before that is explained",
            counted(outcome.wrong, "answer"),
        );
        verdict.against(Cause::WrongAnswers, text);
    }
    let total = recording.counts();
    if total.errors > 0 {
        let most = recording
            .error_texts
            .iter()
            .filter(|(text, _)| *text != OTHER_ERRORS)
            .max_by_key(|(_, count)| **count)
            .map_or(String::new(), |(text, count)| format!(", {} times: {text}", grouped(*count)));
        let moved = match outcome.moved {
            0 => "an error is often answered faster than the command would be",
            _ => "the slots moved: use --cluster, or wait until the cluster is stable",
        };
        let text = format!(
            "{} ({} of all){most}; {moved}",
            counted(total.errors, "error reply"),
            percent(total.errors as f64 / recording.received.max(1) as f64),
        );
        verdict.against(Cause::Errors, text);
    }
    if recording.clipped > 0 {
        let text = format!(
            "{} took more than an hour and {} recorded as an hour; lower the load",
            counted(recording.clipped, "request"),
            if recording.clipped == 1 { "is" } else { "are" },
        );
        verdict.against(Cause::Clipped, text);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::failure::Failure;
    use crate::plan::OnMiss;
    use crate::report::sample_run::{closed_plan, open_plan, outcome};
    use crate::stats::{Ending, Times};

    /// The only reason, and that its text has what it should.
    fn only(verdict: &Verdict, cause: Cause, parts: &[&str]) {
        let causes: Vec<Cause> = verdict.reasons.iter().map(|reason| reason.cause).collect();
        assert_eq!(causes, [cause], "{verdict}");
        for part in parts {
            assert!(verdict.reasons[0].text.contains(part), "{part:?} in {verdict}");
        }
    }

    #[test]
    fn a_good_run_is_valid() {
        for plan in [open_plan(), closed_plan()] {
            let verdict = judge(&plan, &outcome(&plan));
            assert_eq!(
                verdict.to_string(),
                "verdict: VALID\n  note: too few samples of single commands for all of their \
                 percentiles: SET from p99.99"
            );
        }
    }

    #[test]
    fn a_busy_client() {
        let plan = closed_plan();
        let mut outcome = outcome(&plan);
        outcome.busy = vec![0.4, 0.93, 0.805];
        let parts = ["2 of 3 load threads over 80.0 % busy", "thread 1: 93.0 %", "--threads"];
        only(&judge(&plan, &outcome), Cause::ClientBusy, &parts);
        outcome.busy = vec![0.8];
        assert!(judge(&plan, &outcome).is_valid());
    }

    #[test]
    fn a_rate_that_was_not_reached() {
        let mut plan = open_plan();
        let outcome = outcome(&plan);
        if let Pacing::Open { rate_per_second, .. } = &mut plan.pacing {
            *rate_per_second *= 1.05;
        }
        let parts = ["behind schedule: 12,000 of 12,600 requests per second", "--rate"];
        only(&judge(&plan, &outcome), Cause::BehindSchedule, &parts);
    }

    #[test]
    fn requests_that_were_never_sent() {
        let plan = open_plan();
        let mut outcome = outcome(&plan);
        outcome.unsent = 17;
        only(&judge(&plan, &outcome), Cause::BehindSchedule, &["17 requests never sent"]);
    }

    #[test]
    fn lateness_counts_if_it_is_the_rule_and_is_noted_if_it_is_an_exception() {
        let plan = open_plan();
        let mut late = outcome(&plan);
        late.recording.lag.saturating_record_n(2_000_000, 100_000);
        late.recording.lag_max_ns = 2_000_000;
        only(&judge(&plan, &late), Cause::BehindSchedule, &["(p99 2.00 ms)"]);

        let mut once = outcome(&plan);
        once.recording.lag_max_ns = 30_000_000;
        let verdict = judge(&plan, &once);
        assert!(verdict.is_valid(), "{verdict}");
        assert!(verdict.to_string().contains("note: at worst a request was sent 30.0 ms late"));

        let mut closed = outcome(&closed_plan());
        closed.recording.lag_max_ns = 30_000_000;
        assert!(!judge(&closed_plan(), &closed).to_string().contains("late"));
    }

    #[test]
    fn too_few_samples() {
        let plan = closed_plan();
        let mut outcome = outcome(&plan);
        outcome.recording = crate::stats::Recording::new(&["PING"], false);
        for i in 0..9_999 {
            let at = i * 1_000;
            outcome.recording.note_sent(at, at);
            let times = Times { intended_ns: at, sent_ns: at, done_ns: at + 900 };
            outcome.recording.record(0, times, Ending::Done);
        }
        outcome.recording.finish();
        outcome.server_commands = Some(9_999);
        let parts = ["p99.9 and beyond are not printed", "9,999 requests", "100,000 requests"];
        only(&judge(&plan, &outcome), Cause::TooFewSamples, &parts);
    }

    #[test]
    fn few_samples_of_one_command_are_noted() {
        let plan = closed_plan();
        let mut outcome = outcome(&plan);
        outcome.recording.commands[1].response.reset();
        outcome.recording.commands[1].response.saturating_record_n(90_000, 5_000);
        let sets = outcome.recording.commands[1].count();
        outcome.recording.received = outcome.recording.commands[0].count() + sets;
        outcome.recording.sent = outcome.recording.received;
        outcome.server_commands = Some(outcome.recording.sent);
        let verdict = judge(&plan, &outcome);
        assert!(verdict.is_valid(), "{verdict}");
        assert!(verdict.notes[0].contains("SET from p99.9"), "{verdict}");
    }

    #[test]
    fn keys_that_went_missing() {
        let plan = closed_plan();
        let mut outcome = outcome(&plan);
        let get = &mut outcome.recording.commands[0];
        (get.hits, get.misses) = (90_000, 10_000);
        let parts = ["hit ratio 90.0 %", "implies 100 %", "maxmemory"];
        only(&judge(&plan, &outcome), Cause::HitRatio, &parts);
    }

    #[test]
    fn an_empty_database() {
        let mut plan = closed_plan();
        plan.workload.preload = false;
        let mut outcome = outcome(&plan);
        let get = &mut outcome.recording.commands[0];
        (get.hits, get.misses) = (0, 100_000);
        only(&judge(&plan, &outcome), Cause::HitRatio, &["hit ratio 0 %", "--preload"]);
        plan.workload.on_miss = Some(OnMiss { delay: Duration::ZERO });
        assert!(judge(&plan, &outcome).is_valid(), "cache-aside fills as it goes");
    }

    #[test]
    fn requests_without_answers() {
        let plan = closed_plan();
        let mut outcome = outcome(&plan);
        outcome.recording.sent += 1;
        outcome.unanswered = 1;
        outcome.server_commands = Some(outcome.recording.sent);
        only(&judge(&plan, &outcome), Cause::Unanswered, &["1 request sent and never answered"]);
    }

    #[test]
    fn counts_that_differ() {
        let plan = closed_plan();
        let mut outcome = outcome(&plan);
        outcome.recording.received -= 1;
        only(&judge(&plan, &outcome), Cause::CountsDiffer, &["please report it"]);
    }

    #[test]
    fn the_server_counted_something_else() {
        let plan = closed_plan();
        let mut outcome = outcome(&plan);
        outcome.server_commands = Some(outcome.recording.sent + 2);
        only(&judge(&plan, &outcome), Cause::ServerCount, &["2 more", "somebody else"]);
        outcome.server_commands = Some(outcome.recording.sent - 3);
        only(&judge(&plan, &outcome), Cause::ServerCount, &["3 fewer"]);
        outcome.server_commands = None;
        let verdict = judge(&plan, &outcome);
        assert!(verdict.is_valid() && verdict.to_string().contains("could not be read"));
    }

    #[test]
    fn wrong_answers() {
        let plan = closed_plan();
        let mut outcome = outcome(&plan);
        outcome.wrong = 2;
        outcome.wrong_examples = vec!["key:7 held version 3, 5 was acknowledged".into()];
        only(&judge(&plan, &outcome), Cause::WrongAnswers, &["2 answers", "such as: key:7"]);
    }

    #[test]
    fn error_replies() {
        let plan = closed_plan();
        let mut outcome = outcome(&plan);
        outcome.recording.commands[1].errors = 120;
        outcome.recording.note_error("OOM command not allowed");
        let parts = ["120 error replies (0.10 % of all)", "1 times: OOM command not allowed"];
        only(&judge(&plan, &outcome), Cause::Errors, &parts);
        outcome.moved = 120;
        only(&judge(&plan, &outcome), Cause::Errors, &["--cluster"]);
    }

    #[test]
    fn clipped_samples() {
        let plan = closed_plan();
        let mut outcome = outcome(&plan);
        outcome.recording.clipped = 1;
        only(&judge(&plan, &outcome), Cause::Clipped, &["1 request took more than an hour"]);
    }

    #[test]
    fn runs_that_ended_early() {
        let plan = closed_plan();
        let mut outcome = outcome(&plan);
        outcome.interrupted = true;
        only(&judge(&plan, &outcome), Cause::Interrupted, &["after 10.0 s"]);
        outcome.ended_by = Some(Failure::run("127.0.0.1:7000 closed the connection"));
        only(&judge(&plan, &outcome), Cause::ServerLost, &["127.0.0.1:7000 closed"]);
    }
}
