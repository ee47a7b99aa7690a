//! What one thread recorded, and how recordings of threads become one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};

use hdrhistogram::Histogram;

use super::interval::{Interval, OpenInterval};
use super::packed::{add, new_interval_histogram};
use super::{
    ERROR_TEXT_CHARS_MAX, ERROR_TEXTS_MAX, LONGEST_NS, OTHER_ERRORS, SIGNIFICANT_DIGITS, summary,
};

/// The three moments of a request, nanoseconds since the start of the measurement (which a warm-up
/// request may precede).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub intended_ns: i64,
    pub sent_ns: i64,
    pub done_ns: i64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Neither a hit nor a miss: a write, a PING.
    Done,
    Hit,
    Miss,
    /// The server answered with an error; see [`Recording::error_texts`].
    Error,
}

/// One command of the mix. `response.len()` is how many were answered.
#[derive(Clone, Debug)]
pub struct CommandRecord {
    pub title: String,
    pub hits: u64,
    pub misses: u64,
    pub errors: u64,
    /// Nanoseconds from the intended moment, and from the actual one, to the reply. In a closed
    /// loop `service` is filled by [`Recording::finish`], since the two are the same.
    pub response: Histogram<u64>,
    pub service: Histogram<u64>,
}

impl CommandRecord {
    fn new(title: &str, open_loop: bool) -> Self {
        CommandRecord {
            title: title.to_owned(),
            hits: 0,
            misses: 0,
            errors: 0,
            response: new_histogram(),
            // In a closed loop it becomes a copy of the other, and 270 KiB need not be touched before.
            service: if open_loop { new_histogram() } else { new_interval_histogram() },
        }
    }

    pub fn count(&self) -> u64 {
        self.response.len()
    }

    /// Of the reads that could hit, how many did: 0 to 1.
    pub fn hit_ratio(&self) -> Option<f64> {
        summary::fraction(self.hits, self.hits + self.misses)
    }

    fn merge(&mut self, other: &CommandRecord) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.errors += other.errors;
        add(&mut self.response, &other.response);
        add(&mut self.service, &other.service);
    }
}

/// [`CommandRecord`]s without their histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub answered: u64,
    pub hits: u64,
    pub misses: u64,
    pub errors: u64,
}

impl Counts {
    /// Of the reads that could hit, how many did: 0 to 1.
    pub fn hit_ratio(&self) -> Option<f64> {
        summary::fraction(self.hits, self.hits + self.misses)
    }
}

/// Everything recorded by one thread, or by all after [`Recording::merge`].
///
/// Nothing is allocated for a request: histograms are there from the start, and once a second the
/// one of the second that ended is packed.
#[derive(Clone, Debug)]
pub struct Recording {
    pub commands: Vec<CommandRecord>,
    /// Seconds that ended; see also [`Recording::seconds`].
    pub intervals: BTreeMap<u64, Interval>,
    /// Requests sent and replies received within the measurement.
    pub sent: u64,
    pub received: u64,
    /// Answers longer than the histograms reach.
    pub clipped: u64,
    pub lag_max_ns: u64,
    /// How far behind their intended moments requests were sent, nanoseconds, two significant
    /// digits; empty in a closed loop.
    pub lag: Histogram<u64>,
    /// Error replies, the first words of each with how often; bounded.
    pub error_texts: BTreeMap<String, u64>,
    open_loop: bool,
    current: OpenInterval,
    flaw: Flaw,
}

impl Recording {
    /// For commands with these titles, in the order in which [`Recording::record`] numbers them.
    pub fn new<T: AsRef<str>>(titles: &[T], open_loop: bool) -> Self {
        Recording {
            commands: titles
                .iter()
                .map(|title| CommandRecord::new(title.as_ref(), open_loop))
                .collect(),
            intervals: BTreeMap::new(),
            sent: 0,
            received: 0,
            clipped: 0,
            lag_max_ns: 0,
            lag: new_interval_histogram(),
            error_texts: BTreeMap::new(),
            open_loop,
            current: OpenInterval::new(),
            flaw: Flaw::planted(),
        }
    }

    /// A request was sent.
    #[inline]
    pub fn note_sent(&mut self, intended_ns: i64, sent_ns: i64) {
        self.note_sent_together(intended_ns, sent_ns, 1);
    }

    /// [`Recording::note_sent`] of `count` requests at once.
    #[inline]
    pub fn note_sent_together(&mut self, intended_ns: i64, sent_ns: i64, count: u64) {
        self.enter(sent_ns);
        self.sent += count;
        self.current.counts.sent += count;
        if self.open_loop {
            let lag_ns = between(intended_ns, sent_ns).min(LONGEST_NS);
            self.lag.saturating_record_n(lag_ns, count);
            self.lag_max_ns = self.lag_max_ns.max(lag_ns);
            self.current.counts.lag_max_ns = self.current.counts.lag_max_ns.max(lag_ns);
        }
    }

    /// A reply to a request of the command numbered `command` was read.
    #[inline]
    pub fn record(&mut self, command: usize, times: Times, ending: Ending) {
        self.record_together(command, times, ending, 1);
    }

    /// [`Recording::record`] of `count` replies that have everything in common, as those of one
    /// pipeline often do.
    #[inline]
    pub fn record_together(&mut self, command: usize, times: Times, ending: Ending, count: u64) {
        if self.flaw == Flaw::None {
            self.add(command, times, ending, count);
        } else {
            self.record_with_flaw(command, times, ending, count);
        }
    }

    #[cold]
    fn record_with_flaw(&mut self, command: usize, times: Times, ending: Ending, count: u64) {
        for _ in 0..count {
            match self.flaw.distort(times, self.received) {
                Some(times) => self.add(command, times, ending, 1),
                None => self.received += 1,
            }
        }
    }

    fn add(&mut self, command: usize, times: Times, ending: Ending, count: u64) {
        self.enter(times.done_ns);
        self.received += count;
        let of_second = &mut self.current.counts;
        of_second.answered += count;
        let of_command = &mut self.commands[command];
        match ending {
            Ending::Done => {}
            Ending::Hit => {
                of_command.hits += count;
                of_second.hits += count;
            }
            Ending::Miss => {
                of_command.misses += count;
                of_second.misses += count;
            }
            Ending::Error => {
                of_command.errors += count;
                of_second.errors += count;
            }
        }
        let response_ns = between(times.intended_ns, times.done_ns);
        if response_ns > LONGEST_NS {
            self.clipped += count;
        }
        let response_ns = response_ns.min(LONGEST_NS);
        of_command.response.saturating_record_n(response_ns, count);
        self.current.response.saturating_record_n(response_ns, count);
        if self.open_loop {
            let service_ns = between(times.sent_ns, times.done_ns).min(LONGEST_NS);
            of_command.service.saturating_record_n(service_ns, count);
        }
    }

    /// The text of an error reply, beside recording its request with [`Ending::Error`].
    pub fn note_error(&mut self, text: &str) {
        // What follows is different each time, and would make every one an error of its own.
        let told = text.split(", with args beginning with").next().unwrap_or(text);
        let text: String = told
            .chars()
            .take(ERROR_TEXT_CHARS_MAX)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        self.count_error(text, 1);
    }

    /// Tells the time when nothing else does; returns the second that ended by it, if one did. The
    /// live line is made of these.
    pub fn advance(&mut self, now_ns: i64) -> Option<&Interval> {
        let ended = self.current.counts.second;
        (self.enter(now_ns) && now_ns >= 0).then(|| self.intervals.get(&ended)).flatten()
    }

    /// Ends the second being recorded. Before the recording is merged or read.
    pub fn finish(&mut self) {
        if !self.current.is_untouched() {
            let next = self.current.counts.second + 1;
            self.turn_to(next);
        }
        if !self.open_loop {
            for command in &mut self.commands {
                command.service = command.response.clone();
            }
        }
    }

    /// Adds a finished recording to a finished one of the same commands.
    pub fn merge(&mut self, other: &Recording) {
        debug_assert!(self.current.is_untouched() && other.current.is_untouched());
        debug_assert_eq!(self.commands.len(), other.commands.len());
        for (sum, part) in self.commands.iter_mut().zip(&other.commands) {
            sum.merge(part);
        }
        for interval in other.intervals.values() {
            self.insert(interval.clone());
        }
        self.sent += other.sent;
        self.received += other.received;
        self.clipped += other.clipped;
        self.lag_max_ns = self.lag_max_ns.max(other.lag_max_ns);
        add(&mut self.lag, &other.lag);
        for (text, count) in &other.error_texts {
            self.count_error(text.clone(), *count);
        }
    }

    /// All commands as one. For their numbers alone [`Recording::counts`] is a thousand times
    /// cheaper.
    pub fn total(&self) -> CommandRecord {
        let Some((first, others)) = self.commands.split_first() else {
            return CommandRecord::new("total", true);
        };
        let mut total = CommandRecord { title: "total".to_owned(), ..first.clone() };
        for command in others {
            total.merge(command);
        }
        total
    }

    /// What all commands together were answered.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for command in &self.commands {
            counts.answered += command.count();
            counts.hits += command.hits;
            counts.misses += command.misses;
            counts.errors += command.errors;
        }
        counts
    }

    /// Every second from the first to the last, also those in which nothing happened: a stall must
    /// show.
    pub fn seconds(&self) -> impl Iterator<Item = Interval> + '_ {
        let after = self.intervals.last_key_value().map_or(0, |(second, _)| second + 1);
        (0..after).map(|second| {
            self.intervals.get(&second).cloned().unwrap_or_else(|| Interval::new(second))
        })
    }

    pub fn is_open_loop(&self) -> bool {
        self.open_loop
    }

    /// Makes the second of `now_ns` the current one; whether that ended another.
    #[inline]
    fn enter(&mut self, now_ns: i64) -> bool {
        let second = now_ns.max(0).unsigned_abs() / 1_000_000_000;
        let turns = second != self.current.counts.second;
        if turns {
            self.turn_to(second);
        }
        turns
    }

    #[cold]
    fn turn_to(&mut self, second: u64) {
        let untouched = self.current.is_untouched();
        let sealed = self.current.replace(second);
        if !untouched {
            self.insert(sealed);
        }
    }

    fn insert(&mut self, interval: Interval) {
        self.intervals
            .entry(interval.second)
            .and_modify(|present| present.merge(&interval))
            .or_insert(interval);
    }

    fn count_error(&mut self, text: String, count: u64) {
        let known = self.error_texts.contains_key(&text);
        let room = self.error_texts.len() < ERROR_TEXTS_MAX;
        let key = if known || room { text } else { OTHER_ERRORS.to_owned() };
        *self.error_texts.entry(key).or_default() += count;
    }
}

pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, SIGNIFICANT_DIGITS)
        .expect("the bounds are constants that hdrhistogram accepts")
}

/// Nanoseconds from one moment to a later one; 0 if it is not later.
#[inline]
fn between(from_ns: i64, to_ns: i64) -> u64 {
    to_ns.saturating_sub(from_ns).max(0).unsigned_abs()
}

/// A mistake that load generators make, planted on purpose: the self-test has to notice each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flaw {
    None,
    /// Response time from the actual send: coordinated omission.
    MeasureFromSend,
    /// One reply in a thousand is counted but not recorded.
    LoseOneInThousand,
    /// Every reply recorded is 10 % slow.
    TenPercentSlow,
}

static PLANTED: AtomicU8 = AtomicU8::new(Flaw::None as u8);

/// Plants a mistake in every recording that this process starts from now on.
pub fn plant(flaw: Flaw) {
    PLANTED.store(flaw as u8, Ordering::Relaxed);
}

impl Flaw {
    fn planted() -> Flaw {
        let planted = PLANTED.load(Ordering::Relaxed);
        [Flaw::MeasureFromSend, Flaw::LoseOneInThousand, Flaw::TenPercentSlow]
            .into_iter()
            .find(|flaw| *flaw as u8 == planted)
            .unwrap_or(Flaw::None)
    }

    #[cold]
    fn distort(self, times: Times, received: u64) -> Option<Times> {
        match self {
            Flaw::None => Some(times),
            Flaw::MeasureFromSend => Some(Times { intended_ns: times.sent_ns, ..times }),
            Flaw::LoseOneInThousand => (received % 1000 != 999).then_some(times),
            Flaw::TenPercentSlow => {
                let extra_ns = (times.done_ns - times.intended_ns) / 10;
                Some(Times { done_ns: times.done_ns + extra_ns, ..times })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn open_loop() -> Recording {
        Recording::new(&["GET", "SET"], true)
    }

    fn request(recording: &mut Recording, command: usize, times: Times, ending: Ending) {
        recording.note_sent(times.intended_ns, times.sent_ns);
        recording.record(command, times, ending);
    }

    fn times(intended_ns: i64, sent_ns: i64, done_ns: i64) -> Times {
        Times { intended_ns, sent_ns, done_ns }
    }

    #[test]
    fn response_counts_from_the_intended_moment_and_service_from_the_actual_one() {
        let mut recording = open_loop();
        request(&mut recording, 0, times(0, 4 * MS, 5 * MS), Ending::Hit);
        request(&mut recording, 1, times(10 * MS, 9 * MS, 12 * MS), Ending::Done);
        recording.finish();
        let close = |histogram: &Histogram<u64>, ms: u64| {
            assert!(histogram.equivalent(histogram.max(), ms * 1_000_000), "{}", histogram.max());
        };
        close(&recording.commands[0].response, 5);
        close(&recording.commands[0].service, 1);
        close(&recording.commands[1].response, 2);
        close(&recording.commands[1].service, 3);
        assert_eq!(recording.lag_max_ns, 4_000_000);
        assert_eq!(recording.lag.len(), 2);
        assert_eq!((recording.sent, recording.received), (2, 2));
        assert_eq!(recording.commands[0].hit_ratio(), Some(1.0));
        assert_eq!(recording.commands[1].hit_ratio(), None);
    }

    #[test]
    fn together_is_one_after_the_other() {
        let (mut together, mut single) = (open_loop(), open_loop());
        let at = times(0, MS, 900 * MS);
        together.note_sent_together(0, MS, 3);
        together.record_together(1, at, Ending::Miss, 3);
        for _ in 0..3 {
            single.note_sent(0, MS);
            single.record(1, at, Ending::Miss);
        }
        together.finish();
        single.finish();
        assert_eq!(together.intervals, single.intervals);
        assert_eq!((together.sent, together.received), (3, 3));
        assert_eq!(together.commands[1].misses, 3);
        assert_eq!(together.commands[1].response, single.commands[1].response);
        assert_eq!(together.commands[1].service, single.commands[1].service);
        assert_eq!(together.lag, single.lag);
    }

    #[test]
    fn in_a_closed_loop_service_is_response() {
        let mut recording = Recording::new(&["PING"], false);
        request(&mut recording, 0, times(0, 0, MS), Ending::Done);
        recording.finish();
        assert_eq!(recording.commands[0].service, recording.commands[0].response);
        assert_eq!(recording.lag.len(), 0);
    }

    #[test]
    fn seconds_are_those_of_sending_and_of_the_reply_and_a_stall_leaves_empty_ones() {
        let mut recording = open_loop();
        request(&mut recording, 0, times(100 * MS, 100 * MS, 101 * MS), Ending::Miss);
        request(&mut recording, 0, times(900 * MS, 950 * MS, 3_200 * MS), Ending::Error);
        recording.finish();
        let seconds: Vec<Interval> = recording.seconds().collect();
        let counts: Vec<_> = seconds.iter().map(|s| (s.second, s.sent, s.answered)).collect();
        assert_eq!(counts, [(0, 2, 1), (1, 0, 0), (2, 0, 0), (3, 0, 1)]);
        assert_eq!(seconds[0].lag_max_ns, 50_000_000);
        assert_eq!((seconds[0].misses, seconds[3].errors), (1, 1));
        assert_eq!(seconds[3].response.unpack().len(), 1);
    }

    #[test]
    fn events_out_of_order_still_land_in_their_second() {
        let mut recording = open_loop();
        recording.note_sent(999 * MS, 999 * MS);
        recording.note_sent(1_000 * MS, 1_000 * MS);
        recording.record(0, times(998 * MS, 998 * MS, 999 * MS), Ending::Done);
        recording.record(0, times(999 * MS, 999 * MS, 1_001 * MS), Ending::Done);
        recording.finish();
        let counts: Vec<_> = recording.seconds().map(|s| (s.sent, s.answered)).collect();
        assert_eq!(counts, [(1, 1), (1, 1)]);
    }

    #[test]
    fn advance_gives_each_ended_second_once() {
        let mut recording = open_loop();
        assert!(recording.advance(-5).is_none());
        request(&mut recording, 0, times(0, 0, MS), Ending::Done);
        assert!(recording.advance(999 * MS).is_none());
        assert_eq!(recording.advance(1_001 * MS).map(|s| (s.second, s.answered)), Some((0, 1)));
        assert!(recording.advance(1_002 * MS).is_none());
        assert!(recording.advance(2_002 * MS).is_none(), "nothing happened in second 1");
    }

    #[test]
    fn merging_threads_equals_one_thread_doing_it_all() {
        let mut parts = [open_loop(), open_loop(), open_loop()];
        let mut whole = open_loop();
        for i in 0..3_000_i64 {
            let intended_ns = i * MS;
            let times = times(intended_ns, intended_ns + i % 7, intended_ns + 50 + i * i % 90_000);
            let ending = [Ending::Hit, Ending::Miss, Ending::Error][i as usize % 3];
            request(&mut parts[i as usize % 3], i as usize % 2, times, ending);
            request(&mut whole, i as usize % 2, times, ending);
        }
        whole.note_error("ERR a");
        parts[1].note_error("ERR a");
        for recording in parts.iter_mut().chain([&mut whole]) {
            recording.finish();
        }
        let [mut merged, second, third] = parts;
        merged.merge(&second);
        merged.merge(&third);
        for (left, right) in merged.commands.iter().zip(&whole.commands) {
            assert_eq!(left.response, right.response);
            assert_eq!(left.service, right.service);
            assert_eq!((left.hits, left.misses), (right.hits, right.misses));
        }
        assert_eq!(merged.intervals, whole.intervals);
        assert_eq!(merged.error_texts, whole.error_texts);
        assert_eq!((merged.sent, merged.received), (3_000, 3_000));
        let total = merged.total();
        let counts = merged.counts();
        assert_eq!((total.count(), counts.answered), (3_000, 3_000));
        assert_eq!((total.title.as_str(), total.service.len()), ("total", 3_000));
        assert_eq!(
            (total.hits, total.misses, total.errors),
            (counts.hits, counts.misses, counts.errors)
        );
        assert_eq!(total.hit_ratio(), counts.hit_ratio());
    }

    #[test]
    fn longer_than_an_hour_is_clipped_and_counted() {
        let mut recording = open_loop();
        request(&mut recording, 0, times(0, 0, 4_000_000_000_000), Ending::Done);
        request(&mut recording, 0, times(0, 0, i64::MAX), Ending::Done);
        recording.finish();
        assert_eq!(recording.clipped, 2);
        assert_eq!(recording.commands[0].count(), 2);
    }

    #[test]
    fn error_texts_are_bounded() {
        let mut recording = open_loop();
        for i in 0..1_000 {
            recording.note_error(&format!("ERR {i}\r\n{}", "x".repeat(10_000)));
        }
        assert!(recording.error_texts.len() <= ERROR_TEXTS_MAX + 1);
        assert_eq!(recording.error_texts.values().sum::<u64>(), 1_000);
        assert_eq!(recording.error_texts[OTHER_ERRORS], 1_000 - ERROR_TEXTS_MAX as u64);
        assert!(recording.error_texts.keys().all(|text| text.len() <= ERROR_TEXT_CHARS_MAX));
        let mut recording = Recording::new(&["GET"], false);
        for key in ["a", "b"] {
            recording.note_error(&format!("ERR unknown 'X', with args beginning with: '{key}'"));
        }
        assert_eq!(
            recording.error_texts["ERR unknown 'X'"], 2,
            "arguments do not tell errors apart"
        );
    }

    #[test]
    fn planted_flaws_distort_what_is_recorded() {
        let mut flawed = open_loop();
        flawed.flaw = Flaw::MeasureFromSend;
        request(&mut flawed, 0, times(0, 4 * MS, 5 * MS), Ending::Done);
        assert!(flawed.commands[0].response.max() < 2_000_000);
        flawed.flaw = Flaw::LoseOneInThousand;
        for _ in 0..2_000 {
            request(&mut flawed, 0, times(0, 0, MS), Ending::Done);
        }
        assert_eq!((flawed.received, flawed.commands[0].count()), (2_001, 1_999));
        flawed.flaw = Flaw::TenPercentSlow;
        request(&mut flawed, 1, times(0, 0, 100 * MS), Ending::Done);
        assert!(
            flawed.commands[1].response.equivalent(flawed.commands[1].response.max(), 110_000_000)
        );
    }
}
