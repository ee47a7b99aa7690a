//! What a history says about each key and each transaction, before any order is inferred.

use super::anomaly::{Anomaly, AnomalyKind};
use super::{Malformed, Map, describe};
use crate::history::{History, Op, Outcome};

pub type KeyId = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Register,
    List,
    Queue,
}

pub struct KeyFacts<'h> {
    pub name: &'h str,
    pub kind: Option<KeyKind>,
    /// Something may have deleted it: then nothing is known from its being absent.
    pub deletes: bool,
}

/// The one write of a value to a key.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    pub transaction: u32,
    /// No later operation of the transaction on this key: others may see it as the last one.
    pub last: bool,
    /// What the transaction wrote there before, unless it deleted the key since.
    pub previous: Option<u64>,
}

/// What a transaction read of the state before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'h> {
    Register(Option<u64>),
    List(&'h [u64]),
}

#[derive(Default)]
pub struct TransactionFacts<'h> {
    /// One read per key at most; only of transactions that were acknowledged.
    pub external: Vec<(KeyId, Seen<'h>)>,
    /// Every list that it read, its own appends included.
    pub lists: Vec<(KeyId, &'h [u64])>,
    /// The keys that it changed.
    pub written: Vec<KeyId>,
}

pub struct Facts<'h> {
    pub history: &'h History,
    pub keys: Vec<KeyFacts<'h>>,
    pub transactions: Vec<TransactionFacts<'h>>,
    pub writes: Map<(KeyId, u64), Write>,
    /// Acknowledged, or without an answer but with an effect that was seen.
    pub committed: Vec<bool>,
    /// When the effects were there at the latest: somebody had seen them.
    pub ends: Vec<u64>,
    pub anomalies: Vec<Anomaly>,
    ids: Map<&'h str, KeyId>,
}

/// What is known of a key in the middle of a transaction.
enum Local<'h> {
    Register { value: Option<Option<u64>> },
    List { base: Option<&'h [u64]>, own: Vec<u64> },
}

impl<'h> Facts<'h> {
    pub fn new(history: &'h History) -> Result<Self, Malformed> {
        let mut facts = Facts {
            history,
            keys: Vec::new(),
            transactions: Vec::new(),
            writes: Map::default(),
            committed: history.transactions.iter().map(|t| t.is_ok()).collect(),
            ends: history.transactions.iter().map(|t| t.completed().unwrap_or(u64::MAX)).collect(),
            anomalies: Vec::new(),
            ids: Map::default(),
        };
        for index in 0..history.transactions.len() {
            facts.learn_writes(index as u32)?;
        }
        for index in 0..history.transactions.len() {
            if history.transactions[index].is_ok() {
                facts.learn_reads(index as u32);
            }
        }
        Ok(facts)
    }

    pub fn is_failed(&self, transaction: u32) -> bool {
        self.history.transactions[transaction as usize].outcome == Outcome::Failed
    }

    pub fn key(&self, key: KeyId) -> &KeyFacts<'h> {
        &self.keys[key as usize]
    }

    pub fn report(&mut self, kind: AnomalyKind, transactions: &[u32], why: String) {
        let mut text = why;
        for &index in transactions {
            text.push_str("\n  ");
            text.push_str(&describe::transaction(self.history, index as usize));
        }
        let transactions = transactions.iter().map(|&t| t as usize).collect();
        self.anomalies.push(Anomaly { kind, transactions, explanation: text });
    }

    pub fn known_key(&self, name: &str) -> Option<KeyId> {
        self.ids.get(name).copied()
    }

    fn key_id(&mut self, name: &'h str) -> KeyId {
        let keys = &mut self.keys;
        *self.ids.entry(name).or_insert_with(|| {
            keys.push(KeyFacts { name, kind: None, deletes: false });
            keys.len() as KeyId - 1
        })
    }

    fn learn_writes(&mut self, index: u32) -> Result<(), Malformed> {
        let transaction = &self.history.transactions[index as usize];
        if transaction.completed().is_some_and(|completed| completed < transaction.invoked) {
            return Err(Malformed::EndsBeforeItBegins { transaction: index as usize });
        }
        let mut written: Vec<(KeyId, Option<u64>)> = Vec::new();
        for op in &transaction.ops {
            let key = self.key_id(op.key());
            let kind = match op {
                Op::Read { .. } | Op::Write { .. } => Some(KeyKind::Register),
                Op::ReadList { .. } | Op::ReadLength { .. } | Op::Append { .. } => {
                    Some(KeyKind::List)
                }
                Op::ReadQueue { .. } | Op::Enqueue { .. } | Op::Dequeue { .. } => {
                    Some(KeyKind::Queue)
                }
                Op::Delete { .. } => None,
            };
            let facts = &mut self.keys[key as usize];
            if facts.kind.is_some() && kind.is_some() && facts.kind != kind {
                return Err(Malformed::SeveralKinds { key: op.key().to_owned() });
            }
            facts.kind = facts.kind.or(kind);
            let value = match op {
                Op::Write { value, .. }
                | Op::Append { element: value, .. }
                | Op::Enqueue { element: value, .. } => Some(*value),
                Op::Delete { .. } | Op::Dequeue { .. } => None,
                Op::Read { .. }
                | Op::ReadList { .. }
                | Op::ReadLength { .. }
                | Op::ReadQueue { .. } => continue,
            };
            facts.deletes |=
                matches!(op, Op::Delete { .. }) && transaction.outcome != Outcome::Failed;
            // What this transaction wrote there before is not its last word any more.
            let previous = match written.iter_mut().find(|(other, _)| *other == key) {
                Some(entry) => std::mem::replace(&mut entry.1, value),
                None => {
                    written.push((key, value));
                    None
                }
            };
            if let Some(write) = previous.and_then(|value| self.writes.get_mut(&(key, value))) {
                write.last = false;
            }
            if let Some(value) = value {
                let write = Write { transaction: index, last: true, previous };
                match self.writes.insert((key, value), write) {
                    None => {}
                    // Moved there twice, of which the recorder is innocent.
                    Some(other) if matches!(op, Op::Enqueue { .. }) => {
                        let why = format!("{value} came to {} twice", op.key());
                        let transactions = [other.transaction, index];
                        self.report(AnomalyKind::DuplicateElements, &transactions, why);
                    }
                    Some(_) => {
                        return Err(Malformed::WrittenTwice { key: op.key().to_owned(), value });
                    }
                }
            }
        }
        let written = written.into_iter().map(|(key, _)| key).collect();
        self.transactions.push(TransactionFacts { written, ..TransactionFacts::default() });
        Ok(())
    }

    /// Splits what the transaction read into its own writes and the state before it.
    fn learn_reads(&mut self, index: u32) {
        let history = self.history;
        let mut local: Vec<(KeyId, Local<'h>)> = Vec::new();
        for op in &history.transactions[index as usize].ops {
            let key = self.key_id(op.key());
            let place = match local.iter().position(|(other, _)| *other == key) {
                Some(place) => place,
                None => {
                    local.push((key, unknown(self.key(key).kind)));
                    local.len() - 1
                }
            };
            let known = &mut local[place].1;
            let seen = match (op, known) {
                (Op::Write { value, .. }, Local::Register { value: known }) => {
                    *known = Some(Some(*value));
                    continue;
                }
                (Op::Append { element, .. }, Local::List { own, .. }) => {
                    own.push(*element);
                    continue;
                }
                (Op::Delete { .. }, Local::Register { value: known }) => {
                    *known = Some(None);
                    continue;
                }
                (Op::Delete { .. }, Local::List { base, own }) => {
                    *base = Some(&[]);
                    own.clear();
                    continue;
                }
                (Op::Read { value, .. }, Local::Register { value: known }) => match *known {
                    Some(expected) if expected != *value => None,
                    Some(_) => continue,
                    None => {
                        *known = Some(*value);
                        Some(Seen::Register(*value))
                    }
                },
                (Op::ReadList { elements, .. }, Local::List { base, own }) => {
                    self.transactions[index as usize].lists.push((key, elements));
                    match (elements.strip_suffix(own.as_slice()), *base) {
                        (Some(before), Some(expected)) if before == expected => continue,
                        (Some(before), None) => {
                            *base = Some(before);
                            Some(Seen::List(before))
                        }
                        _ => None,
                    }
                }
                // A key has one kind: see `learn_writes`. Of queues see `queues`.
                _ => continue,
            };
            match seen {
                Some(seen) if !self.is_from_the_future(index, key, seen) => {
                    self.transactions[index as usize].external.push((key, seen));
                }
                _ => {
                    let why = format!(
                        "a transaction contradicts itself: {} does not fit its earlier operations",
                        describe::op(op)
                    );
                    self.report(AnomalyKind::Internal, &[index], why);
                }
            }
        }
    }

    /// Whether the transaction read what it wrote only later.
    fn is_from_the_future(&self, reader: u32, key: KeyId, seen: Seen) -> bool {
        let own = |value: &u64| {
            self.writes.get(&(key, *value)).is_some_and(|write| write.transaction == reader)
        };
        match seen {
            Seen::Register(value) => value.as_ref().is_some_and(own),
            Seen::List(elements) => elements.last().is_some_and(own),
        }
    }
}

fn unknown<'h>(kind: Option<KeyKind>) -> Local<'h> {
    match kind {
        Some(KeyKind::List) => Local::List { base: None, own: Vec::new() },
        Some(KeyKind::Register | KeyKind::Queue) | None => Local::Register { value: None },
    }
}
