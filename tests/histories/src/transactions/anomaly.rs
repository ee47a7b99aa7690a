//! The names of what can be wrong.

use std::fmt;

/// What kind of dependencies a cycle is made of, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cycle {
    /// Write cycle: `ww` only.
    G0,
    /// Circular information flow: `ww` and `wr`.
    G1c,
    /// Read skew: exactly one `rw`.
    GSingle,
    /// Several `rw`, such as write skew.
    G2Item,
}

/// Which order a cycle needs besides what the data says. A violation of `Process` or `Realtime`
/// alone may still be serializable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Needs {
    Nothing,
    ProcessOrder,
    /// Real time, or an order of writes that was inferred with the help of it.
    Realtime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnomalyKind {
    /// G1a: a value of a transaction that failed.
    AbortedRead,
    /// G1b: a value that its transaction overwrote.
    IntermediateRead,
    /// A value that nobody wrote.
    GarbageRead,
    /// An element twice in one list, or twice put into a queue or taken off it.
    DuplicateElements,
    /// Two lists of one key, neither a prefix of the other.
    IncompatibleOrder,
    /// A transaction contradicts itself: its own write not seen, or a read not repeated.
    Internal,
    /// Two transactions read one version and both changed it.
    LostUpdate,
    Cycle(Cycle, Needs),
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            AnomalyKind::AbortedRead => "G1a (aborted read)",
            AnomalyKind::IntermediateRead => "G1b (intermediate read)",
            AnomalyKind::GarbageRead => "garbage read",
            AnomalyKind::DuplicateElements => "duplicate elements",
            AnomalyKind::IncompatibleOrder => "incompatible order",
            AnomalyKind::Internal => "internal",
            AnomalyKind::LostUpdate => "lost update",
            AnomalyKind::Cycle(cycle, needs) => {
                f.write_str(match cycle {
                    Cycle::G0 => "G0",
                    Cycle::G1c => "G1c",
                    Cycle::GSingle => "G-single",
                    Cycle::G2Item => "G2-item",
                })?;
                match needs {
                    Needs::Nothing => "",
                    Needs::ProcessOrder => "-process",
                    Needs::Realtime => "-realtime",
                }
            }
        };
        f.write_str(name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    pub kind: AnomalyKind,
    /// Indices into the history; of a cycle, in its order.
    pub transactions: Vec<usize>,
    /// In words, several lines.
    pub explanation: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.explanation)
    }
}
