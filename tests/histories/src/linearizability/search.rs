//! The search for a linearization.
//!
//! All configurations (which of the running operations have taken effect, and the state) that are
//! possible at one time, moved forward from completion to completion: J. Wing and C. Gong, "Testing
//! and Verifying Concurrent Objects", JPDC 1993, with the state caching and the just-in-time
//! linearization of G. Lowe, "Testing for linearizability", CCPE 2017. An operation takes effect
//! only when one that completes needs it, and what has completed is forgotten, so that the cost
//! grows with the number of concurrent operations and not with the length of the history.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::{Action, Operation, Pipelines, State};

/// After so many configurations at one completion the search gives up.
const CONFIGURATIONS_MAX: usize = 200_000;

#[derive(Clone, Copy, Debug)]
pub struct Interval {
    pub index: usize,
    pub process: u32,
    pub invoked: u64,
    pub completed: Option<u64>,
    pub action: Action,
}

impl Interval {
    pub fn new(index: usize, operation: &Operation) -> Self {
        let &Operation { process, invoked, completed, action, .. } = operation;
        Interval { index, process, invoked, completed, action }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Linearizable,
    /// At the completion of this operation, by its index.
    Stuck {
        operation: usize,
    },
    TooMany,
}

/// One bit per place in the table of running operations.
type Places = u128;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Configuration {
    /// Running, and has taken effect.
    done: Places,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    // At equal times first: then the two are concurrent.
    Invoked,
    Completed,
}

/// An operation that was invoked and has not completed.
#[derive(Clone, Copy)]
struct Running<'i> {
    interval: &'i Interval,
    /// Those that must take effect before it.
    after: Places,
}

pub fn search(intervals: &[Interval], initial: &BTreeSet<State>, pipelines: Pipelines) -> Outcome {
    let mut events: Vec<(u64, Event, usize)> = Vec::new();
    for (place, interval) in intervals.iter().enumerate() {
        let unanswered_read =
            interval.completed.is_none() && matches!(interval.action, Action::Get { .. });
        if unanswered_read {
            continue;
        }
        events.push((interval.invoked, Event::Invoked, place));
        events.extend(interval.completed.map(|end| (end, Event::Completed, place)));
    }
    events.sort_unstable();
    let mut running: Vec<Option<Running>> = Vec::new();
    let mut place_of = vec![0; intervals.len()];
    let mut configurations: HashSet<Configuration> =
        initial.iter().map(|&state| Configuration { done: 0, state }).collect();
    for (_, event, interval) in events {
        if event == Event::Invoked {
            let free = running.iter().position(Option::is_none);
            let place = free.unwrap_or(running.len());
            if place == running.len() {
                running.push(None);
            }
            if place >= Places::BITS as usize {
                return Outcome::TooMany;
            }
            let interval_at = &intervals[interval];
            let after = match pipelines {
                Pipelines::InOrder => earlier_of_process(&running, interval_at.process),
                Pipelines::AnyOrder => 0,
            };
            running[place] = Some(Running { interval: interval_at, after });
            place_of[interval] = place;
            continue;
        }
        let place = place_of[interval];
        let Some(after) = complete(&configurations, &running, place) else {
            return Outcome::TooMany;
        };
        if after.is_empty() {
            return Outcome::Stuck { operation: intervals[interval].index };
        }
        configurations = after;
        running[place] = None;
        for other in running.iter_mut().flatten() {
            other.after &= !(1 << place);
        }
    }
    Outcome::Linearizable
}

/// The running operations of a process. Those without an answer force nothing: they may never have
/// arrived.
fn earlier_of_process(running: &[Option<Running>], process: u32) -> Places {
    let earlier = |running: &Running| {
        running.interval.process == process && running.interval.completed.is_some()
    };
    let places =
        running.iter().enumerate().filter(|(_, running)| running.is_some_and(|r| earlier(&r)));
    places.fold(0, |places, (place, _)| places | (1 << place))
}

/// Every configuration in which the operation at `place` has taken effect, that place freed; `None`
/// if there are too many.
fn complete(
    configurations: &HashSet<Configuration>,
    running: &[Option<Running>],
    place: usize,
) -> Option<HashSet<Configuration>> {
    let mut seen = Seen::new(running);
    let mut open: VecDeque<Configuration> =
        configurations.iter().copied().filter(|&first| seen.insert(first)).collect();
    let mut after = HashSet::new();
    while let Some(configuration) = open.pop_front() {
        if configuration.done & (1 << place) != 0 {
            let done = configuration.done & !(1 << place);
            after.insert(Configuration { done, ..configuration });
            continue;
        }
        for (other, running) in running.iter().enumerate() {
            let Some(Running { interval, after }) = *running else { continue };
            if configuration.done & (1 << other) != 0 || after & !configuration.done != 0 {
                continue;
            }
            let state = match interval.completed {
                Some(_) => interval.action.run(configuration.state),
                None => interval.action.run_unanswered(configuration.state),
            };
            let Some(state) = state else { continue };
            let next = Configuration { done: configuration.done | (1 << other), state };
            if seen.insert(next) {
                open.push_back(next);
            }
        }
        if seen.count > CONFIGURATIONS_MAX {
            return None;
        }
    }
    Some(after)
}

/// The configurations that were looked at. One that differs from another only in that more
/// unanswered operations have taken effect can do nothing that the other cannot: nothing forces
/// those to take effect.
struct Seen {
    unanswered: Places,
    /// By state and what is done of the answered ones: what is done of the others.
    done: HashMap<(Places, State), Vec<Places>>,
    count: usize,
}

impl Seen {
    fn new(running: &[Option<Running>]) -> Self {
        let is_unanswered =
            |running: &Option<Running>| running.is_some_and(|r| r.interval.completed.is_none());
        let places = running.iter().enumerate().filter(|(_, running)| is_unanswered(running));
        let unanswered = places.fold(0, |places, (place, _)| places | (1 << place));
        Seen { unanswered, done: HashMap::new(), count: 0 }
    }

    /// Whether it is news.
    fn insert(&mut self, configuration: Configuration) -> bool {
        let key = (configuration.done & !self.unanswered, configuration.state);
        let extra = configuration.done & self.unanswered;
        let known = self.done.entry(key).or_default();
        let news = known.iter().all(|&known| known & !extra != 0);
        if news {
            known.push(extra);
            self.count += 1;
        }
        news
    }
}
