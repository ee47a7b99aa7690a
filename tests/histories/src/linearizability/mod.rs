//! Linearizability of single keys.
//!
//! A history is linearizable if every operation can be given one moment between its invocation and
//! its completion so that the results are those of running them one by one, and that holds if and
//! only if it holds for every key alone (Herlihy and Wing, "Linearizability: a correctness
//! condition for concurrent objects", TOPLAS 1990), so each key is searched by itself.

mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use search::{Interval, Outcome, search};

/// An operation on one key, with its result. An absent key is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Get {
        value: Option<i64>,
    },
    Set {
        value: i64,
    },
    /// `existed` is `None` where the reply does not tell.
    Delete {
        existed: Option<bool>,
    },
    /// An absent key counts as 0.
    Increment {
        by: i64,
        result: i64,
    },
    CompareAndSet {
        expected: Option<i64>,
        value: i64,
        swapped: bool,
    },
}

/// The value of a register.
type State = Option<i64>;

impl Action {
    /// The state after the operation, or `None` if it cannot have had its result in this state.
    fn run(self, state: State) -> Option<State> {
        match self {
            Action::Get { value } => (value == state).then_some(state),
            Action::Set { value } => Some(Some(value)),
            Action::Delete { existed } => {
                existed.is_none_or(|existed| existed == state.is_some()).then_some(None)
            }
            Action::Increment { by, result } => {
                let sum = state.unwrap_or(0).checked_add(by)?;
                (sum == result).then_some(Some(sum))
            }
            Action::CompareAndSet { expected, value, swapped } => match expected == state {
                true => swapped.then_some(Some(value)),
                false => (!swapped).then_some(state),
            },
        }
    }

    /// The same for an operation of which the result is not known.
    fn run_unanswered(self, state: State) -> Option<State> {
        match self {
            Action::Get { .. } => Some(state),
            Action::Set { value } => Some(Some(value)),
            Action::Delete { .. } => Some(None),
            Action::Increment { by, .. } => state.unwrap_or(0).checked_add(by).map(Some),
            Action::CompareAndSet { expected, value, .. } => {
                Some(if expected == state { Some(value) } else { state })
            }
        }
    }

    /// The states that it speaks of.
    fn states(self) -> [State; 2] {
        match self {
            Action::Get { value } => [value, None],
            Action::Set { value } => [Some(value), None],
            Action::Delete { .. } => [None, None],
            Action::Increment { by, result } => [Some(result), result.checked_sub(by)],
            Action::CompareAndSet { expected, value, .. } => [expected, Some(value)],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub process: u32,
    pub key: String,
    pub invoked: u64,
    /// `None`: no answer. It may take effect at any time after its invocation, or never, and the
    /// result in its action means nothing.
    pub completed: Option<u64>,
    pub action: Action,
}

/// Whether overlapping operations of one process on one key take effect in the order in which they
/// were invoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipelines {
    InOrder,
    AnyOrder,
}

/// A key whose history has no linearization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub key: String,
    /// The operation at whose completion no linearization was left.
    pub operation: usize,
    /// The shortest time before that which cannot be explained: what was invoked in it, and what
    /// was still running at its beginning. Indices in the order of invocation.
    pub window: Vec<usize>,
    /// Whether no state of the key before the window explains it; otherwise the window begins with
    /// the history, and only an absent key at its beginning does not.
    pub from_any_state: bool,
    pub explanation: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub violations: Vec<Violation>,
    /// Keys with too many operations at once: more than 128, or too many ways to order them.
    pub undecided: Vec<String>,
}

impl Verdict {
    pub fn is_linearizable(&self) -> bool {
        self.violations.is_empty() && self.undecided.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_linearizable() {
            return f.write_str("linearizable");
        }
        for violation in &self.violations {
            writeln!(f, "{}", violation.explanation)?;
        }
        for key in &self.undecided {
            writeln!(f, "{key}: undecided, too many operations at once")?;
        }
        Ok(())
    }
}

/// Looks for a linearization of every key; all are absent at first.
pub fn check(operations: &[Operation], pipelines: Pipelines) -> Verdict {
    let mut keys: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, operation) in operations.iter().enumerate() {
        keys.entry(&operation.key).or_default().push(index);
    }
    let mut verdict = Verdict::default();
    for (key, mut indices) in keys {
        indices.sort_by_key(|&index| operations[index].invoked);
        let intervals: Vec<Interval> =
            indices.iter().map(|&index| Interval::new(index, &operations[index])).collect();
        match search(&without_unseen_sets(&intervals), &BTreeSet::from([None]), pipelines) {
            Outcome::Linearizable => {}
            Outcome::TooMany => verdict.undecided.push(key.to_owned()),
            Outcome::Stuck { operation } => {
                verdict.violations.push(shrink(operations, &intervals, operation, pipelines));
            }
        }
    }
    verdict
}

/// Sets that had no answer, and of which nobody saw the value, explain nothing that cannot be
/// explained without them, as long as nothing else tells whether the key exists. Each that stays
/// may double the search.
fn without_unseen_sets(intervals: &[Interval]) -> Vec<Interval> {
    let plain = |interval: &Interval| {
        let action = interval.action;
        matches!(action, Action::Get { .. } | Action::Set { .. } | Action::Delete { existed: None })
    };
    if !intervals.iter().all(plain) {
        return intervals.to_vec();
    }
    let seen: BTreeSet<i64> = intervals
        .iter()
        .filter_map(|interval| match interval.action {
            Action::Get { value } if interval.completed.is_some() => value,
            _ => None,
        })
        .collect();
    let explains = |interval: &&Interval| match interval.action {
        Action::Set { value } => interval.completed.is_some() || seen.contains(&value),
        _ => true,
    };
    intervals.iter().filter(explains).copied().collect()
}

/// Finds the latest beginning of a window that ends with the operation and has no explanation.
fn shrink(
    operations: &[Operation],
    intervals: &[Interval],
    stuck: usize,
    pipelines: Pipelines,
) -> Violation {
    let end = operations[stuck].completed.unwrap_or(u64::MAX);
    let before: Vec<Interval> =
        intervals.iter().filter(|interval| interval.invoked <= end).copied().collect();
    let mut states: BTreeSet<State> = BTreeSet::from([None]);
    states.extend(before.iter().flat_map(|interval| interval.action.states()));
    // What overlaps an edge of the window may take effect in it, or not, with any result.
    let window = |start: u64| -> Vec<Interval> {
        let running = before.iter().filter(|i| i.completed.is_none_or(|end| end >= start));
        running
            .map(|interval| {
                let inside = interval.invoked >= start && interval.completed <= Some(end);
                let completed = interval.completed.filter(|_| inside);
                Interval { completed, ..*interval }
            })
            .collect()
    };
    let stuck_from = |start: u64| {
        let window = without_unseen_sets(&window(start));
        matches!(search(&window, &states, pipelines), Outcome::Stuck { .. })
    };
    let mut starts: Vec<u64> = before.iter().map(|interval| interval.invoked).collect();
    starts.dedup();
    // Widen quickly, then narrow: most windows are short, and long ones cost.
    let mut width = 1;
    while width < starts.len() && !stuck_from(starts[starts.len() - width]) {
        width *= 2;
    }
    let (first, last) = (starts.len().saturating_sub(width), starts.len() - width / 2);
    let count = starts[first..last].partition_point(|&start| stuck_from(start));
    let from_any_state = count > 0;
    let start = starts[(first + count).saturating_sub(1)];
    let start = if from_any_state { start } else { 0 };
    let indices = window(start).iter().map(|interval| interval.index).collect();
    explain(operations, stuck, indices, from_any_state)
}

fn explain(
    operations: &[Operation],
    stuck: usize,
    window: Vec<usize>,
    from_any_state: bool,
) -> Violation {
    const SHOWN: usize = 40;
    let key = operations[stuck].key.clone();
    let initial = if from_any_state { "whatever it held before" } else { "absent at first" };
    let mut explanation =
        format!("{key}: not linearizable, {initial}; nothing is left at operation {stuck}");
    for &index in window.iter().rev().take(SHOWN).rev() {
        let Operation { process, invoked, completed, action, .. } = &operations[index];
        let end = completed.map_or("no answer".to_owned(), |end| format!("to {end}"));
        explanation += &format!("\n  {index} (process {process}, {invoked} {end}): {action:?}");
    }
    Violation { key, operation: stuck, window, from_any_state, explanation }
}
