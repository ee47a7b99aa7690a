//! Operations, transactions and edges in words.

use super::facts::Facts;
use super::graph::{Edge, Kind, Reason};
use crate::history::{History, Op, Outcome};

/// The end of a longer list is what matters.
const ELEMENTS_SHOWN: usize = 12;

pub fn op(op: &Op) -> String {
    match op {
        Op::Read { key, value: Some(value) } => format!("{key} = {value}"),
        Op::Read { key, value: None } => format!("{key} = nothing"),
        Op::Write { key, value } => format!("{key} := {value}"),
        Op::ReadList { key, elements } | Op::ReadQueue { key, elements } => {
            format!("{key} = {}", list(elements))
        }
        Op::ReadLength { key, length } => format!("length of {key} = {length}"),
        Op::Append { key, element } | Op::Enqueue { key, element } => format!("{key} += {element}"),
        Op::Dequeue { key, element: Some(element) } => format!("{element} off {key}"),
        Op::Dequeue { key, element: None } => format!("something off {key}"),
        Op::Delete { key } => format!("delete {key}"),
    }
}

pub fn list(elements: &[u64]) -> String {
    let hidden = elements.len().saturating_sub(ELEMENTS_SHOWN);
    let shown: Vec<String> = elements[hidden..].iter().map(u64::to_string).collect();
    let before = if hidden > 0 { format!("{hidden} more, ") } else { String::new() };
    format!("[{before}{}]", shown.join(", "))
}

/// `T5 (process 2, 10 to 17): x = 3; y := 4`.
pub fn transaction(history: &History, index: usize) -> String {
    let transaction = &history.transactions[index];
    let end = match transaction.outcome {
        Outcome::Ok { completed } => format!("to {completed}"),
        Outcome::Failed => "failed".to_owned(),
        Outcome::Unknown => "no answer".to_owned(),
    };
    let ops: Vec<String> = transaction.ops.iter().map(op).collect();
    let (process, invoked) = (transaction.process, transaction.invoked);
    format!("T{index} (process {process}, {invoked} {end}): {}", ops.join("; "))
}

/// One step of a cycle; `edge` leaves a transaction, `to` is the next transaction.
pub fn step(facts: &Facts, edge: &Edge, to: u32) -> String {
    let from = edge.from;
    let kind = match edge.kind {
        Kind::Ww => "ww",
        Kind::Wr => "wr",
        Kind::Rw => "rw",
        Kind::Process => "process",
        Kind::Realtime | Kind::Link => "real time",
    };
    let name = |key: u32| facts.key(key).name;
    let why = match edge.reason {
        Reason::NextElement { key, before, after } => {
            format!("{after} of T{to} follows {before} of T{from} in {}", name(key))
        }
        Reason::Saw { key, value } => {
            format!("T{to} read {value} in {}, which T{from} wrote", name(key))
        }
        Reason::MissedElement { key, element } => {
            format!("T{from} read {} without {element}, which T{to} appended", name(key))
        }
        Reason::NeverSeen { key } => {
            format!("no read of {} saw what T{to} appended, the longest included", name(key))
        }
        Reason::TakenInOrder { key, before, after } => {
            format!("T{to} took {after} off {}, behind {before}, which T{from} took", name(key))
        }
        Reason::StillThere { key, element } => {
            format!("T{from} read {} with {element} still in it, which T{to} took", name(key))
        }
        Reason::Gone { key, element } => {
            format!("T{to} read {} without {element}, which T{from} had taken", name(key))
        }
        Reason::NeverTaken { key } => {
            format!("T{from} read {} without what T{to} added and nobody took", name(key))
        }
        Reason::Replaced { key, value } => {
            format!("T{to} read {value} of T{from} in {} and changed it", name(key))
        }
        Reason::SawReplaced { key, value } => {
            format!("T{from} read {value} in {}, which T{to} read too and changed", name(key))
        }
        Reason::SawNothing { key } => {
            format!("T{from} found no {}, which T{to} wrote", name(key))
        }
        Reason::WriterBeforeWriter { key, value, writer } => {
            let value = value.map_or("nothing".to_owned(), |value| value.to_string());
            format!(
                "T{from} read {} = {value}, written by T{writer}, which must be before T{to}, which \
                 changed it",
                name(key)
            )
        }
        Reason::WriterBeforeReader { key, value, reader } => format!(
            "T{reader}, which must be after T{from}, read {} = {value} of T{to} and not what T{from} \
             made of it",
            name(key)
        ),
        Reason::SameProcess => {
            let process = facts.history.transactions[from as usize].process;
            format!("process {process} sent T{to} after it")
        }
        Reason::Earlier | Reason::Helper => {
            let end = facts.history.transactions[from as usize].completed().unwrap_or(u64::MAX);
            let start = facts.history.transactions[to as usize].invoked;
            format!("T{from} had ended at {end} when T{to} began at {start}")
        }
    };
    format!("T{from} before T{to} ({kind}): {why}")
}
