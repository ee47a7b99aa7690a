//! The search for a linearization.
//!
//! All configurations (which of the running operations have taken effect, and the state) that are
//! possible at one time, moved forward from completion to completion: J. Wing and C. Gong, "Testing
//! and Verifying Concurrent Objects", JPDC 1993, with the state caching and the just-in-time
//! linearization of G. Lowe, "Testing for linearizability", CCPE 2017. An operation takes effect
//! only when one that completes needs it, and what has completed is forgotten, so that the cost
//! grows with the number of concurrent operations and not with the length of the history.

use std::collections::{BTreeSet, HashSet};

use super::{Action, Operation, State};

/// After so many configurations at one completion the search gives up.
const CONFIGURATIONS_MAX: usize = 200_000;

#[derive(Clone, Copy, Debug)]
pub struct Interval {
    pub index: usize,
    pub invoked: u64,
    pub completed: Option<u64>,
    pub action: Action,
}

impl Interval {
    pub fn new(index: usize, operation: &Operation) -> Self {
        let &Operation { invoked, completed, action, .. } = operation;
        Interval { index, invoked, completed, action }
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

pub fn search(intervals: &[Interval], initial: &BTreeSet<State>) -> Outcome {
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
    let mut running: Vec<Option<&Interval>> = Vec::new();
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
            running[place] = Some(&intervals[interval]);
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
    }
    Outcome::Linearizable
}

/// Every configuration in which the operation at `place` has taken effect, that place freed; `None`
/// if there are too many.
fn complete(
    configurations: &HashSet<Configuration>,
    running: &[Option<&Interval>],
    place: usize,
) -> Option<HashSet<Configuration>> {
    let mut seen = configurations.clone();
    let mut open: Vec<Configuration> = configurations.iter().copied().collect();
    let mut after = HashSet::new();
    while let Some(configuration) = open.pop() {
        if configuration.done & (1 << place) != 0 {
            after.insert(Configuration {
                done: configuration.done & !(1 << place),
                ..configuration
            });
            continue;
        }
        for (other, interval) in running.iter().enumerate() {
            let Some(interval) = interval.filter(|_| configuration.done & (1 << other) == 0) else {
                continue;
            };
            let state = match interval.completed {
                Some(_) => interval.action.run(configuration.state),
                None => interval.action.run_unanswered(configuration.state),
            };
            let Some(state) = state else { continue };
            let next = Configuration { done: configuration.done | (1 << other), state };
            if seen.insert(next) {
                open.push(next);
            }
        }
        if seen.len() > CONFIGURATIONS_MAX {
            return None;
        }
    }
    Some(after)
}
