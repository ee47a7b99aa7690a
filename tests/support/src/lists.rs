//! List commands for workloads whose history is checked.

use histories::Op;

use crate::Rng;

/// Seconds that a client waits for an element.
const TIMEOUT: &str = "0.003";

/// The keys of a workload's lists: those that only grow, and the queues, whose names alone have a
/// `q` in them. Elements move from a queue to a later one only, so that none comes to a key twice.
#[derive(Clone, Debug)]
pub struct ListKeys {
    pub grown: Vec<String>,
    pub queues: Vec<String>,
}

/// One command on lists of numbers, none of which is pushed twice.
#[derive(Clone, Debug)]
pub enum ListCommand {
    Push { key: String, element: u64 },
    Read(String),
    Length(String),
    Pop(String),
    PopOrWait(Vec<String>),
    Move { from: String, to: String },
    MoveOrWait { from: String, to: String },
}

/// The replies that list commands have.
#[derive(Clone, Debug)]
pub enum ListReply {
    Null,
    Integer(i64),
    Bulk(String),
    Array(Vec<String>),
}

impl ListKeys {
    pub fn new(grown: &[&str], queues: &[&str]) -> ListKeys {
        let owned = |keys: &[&str]| keys.iter().map(|key| key.to_string()).collect();
        ListKeys { grown: owned(grown), queues: owned(queues) }
    }

    pub fn all(&self) -> impl Iterator<Item = &String> {
        self.grown.iter().chain(&self.queues)
    }

    /// Reads of all of them.
    pub fn reads(&self) -> Vec<ListCommand> {
        self.all().cloned().map(ListCommand::Read).collect()
    }
}

fn is_queue(key: &str) -> bool {
    key.contains('q')
}

impl ListCommand {
    /// `fresh` gives numbers that nobody else pushes.
    pub fn random(rng: &mut Rng, keys: &ListKeys, fresh: &mut impl FnMut() -> u64) -> ListCommand {
        let one = |rng: &mut Rng, of: &[String]| of[rng.below(of.len())].clone();
        let any = |rng: &mut Rng| match rng.one_in(3) {
            true => one(rng, &keys.grown),
            false => one(rng, &keys.queues),
        };
        let way = |rng: &mut Rng| {
            let from = rng.below(keys.queues.len() - 1);
            let to = from + 1 + rng.below(keys.queues.len() - 1 - from);
            (keys.queues[from].clone(), keys.queues[to].clone())
        };
        match rng.below(14) {
            0..4 => ListCommand::Push { key: any(rng), element: fresh() },
            4..7 => ListCommand::Read(any(rng)),
            7 => ListCommand::Length(one(rng, &keys.grown)),
            8 => ListCommand::Pop(one(rng, &keys.queues)),
            9 => {
                let (one, other) = way(rng);
                ListCommand::PopOrWait(vec![other, one])
            }
            10..13 => {
                let (from, to) = way(rng);
                ListCommand::Move { from, to }
            }
            _ => {
                let (from, to) = way(rng);
                ListCommand::MoveOrWait { from, to }
            }
        }
    }

    pub fn words(&self) -> Vec<String> {
        let owned = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
        match self {
            ListCommand::Push { key, element } => owned(&["RPUSH", key, &element.to_string()]),
            ListCommand::Read(key) => owned(&["LRANGE", key, "0", "-1"]),
            ListCommand::Length(key) => owned(&["LLEN", key]),
            ListCommand::Pop(key) => owned(&["LPOP", key]),
            ListCommand::PopOrWait(keys) => {
                [&owned(&["BLPOP"]), &keys[..], &owned(&[TIMEOUT])].concat()
            }
            ListCommand::Move { from, to } => owned(&["LMOVE", from, to, "LEFT", "RIGHT"]),
            ListCommand::MoveOrWait { from, to } => {
                owned(&["BLMOVE", from, to, "LEFT", "RIGHT", TIMEOUT])
            }
        }
    }

    /// Whether it takes an element that only the reply names: such a command is not to be sent by a
    /// client that goes before it has the reply.
    pub fn takes(&self) -> bool {
        self.writes().iter().any(|op| matches!(op, Op::Dequeue { .. }))
    }

    /// What it may do as long as there is no reply.
    pub fn writes(&self) -> Vec<Op> {
        match self {
            ListCommand::Push { key, element } if is_queue(key) => vec![Op::enqueue(key, *element)],
            ListCommand::Push { key, element } => vec![Op::append(key, *element)],
            ListCommand::Read(_) | ListCommand::Length(_) => Vec::new(),
            ListCommand::PopOrWait(keys) => keys.iter().map(|key| Op::dequeue(key, None)).collect(),
            ListCommand::Pop(key)
            | ListCommand::Move { from: key, .. }
            | ListCommand::MoveOrWait { from: key, .. } => vec![Op::dequeue(key, None)],
        }
    }

    /// What it did, as the reply tells; `None` if it cannot be answered like that.
    pub fn ops(&self, reply: &ListReply) -> Option<Vec<Op>> {
        let number = |text: &String| text.parse::<u64>().ok();
        match (self, reply) {
            (ListCommand::Push { key, .. }, ListReply::Integer(length)) => {
                let mut ops = self.writes();
                if !is_queue(key) {
                    ops.push(Op::read_length(key, usize::try_from(*length).ok()?));
                }
                Some(ops)
            }
            (ListCommand::Read(key), ListReply::Array(elements)) => {
                let elements: Vec<u64> = elements.iter().map(number).collect::<Option<_>>()?;
                Some(vec![match is_queue(key) {
                    true => Op::read_queue(key, &elements),
                    false => Op::read_list(key, &elements),
                }])
            }
            (ListCommand::Length(key), ListReply::Integer(length)) => {
                Some(vec![Op::read_length(key, usize::try_from(*length).ok()?)])
            }
            (ListCommand::Pop(key), ListReply::Bulk(element)) => {
                Some(vec![Op::dequeue(key, Some(number(element)?))])
            }
            (ListCommand::Pop(key) | ListCommand::Move { from: key, .. }, ListReply::Null) => {
                Some(vec![Op::read_queue(key, &[])])
            }
            (ListCommand::PopOrWait(keys), ListReply::Array(pair)) => match &pair[..] {
                [key, element] if keys.contains(key) => {
                    Some(vec![Op::dequeue(key, Some(number(element)?))])
                }
                _ => None,
            },
            (
                ListCommand::Move { from, to } | ListCommand::MoveOrWait { from, to },
                ListReply::Bulk(element),
            ) => {
                let element = number(element)?;
                Some(vec![Op::dequeue(from, Some(element)), Op::enqueue(to, element)])
            }
            // At what moment there was nothing is not told.
            (ListCommand::PopOrWait(_) | ListCommand::MoveOrWait { .. }, ListReply::Null) => {
                Some(Vec::new())
            }
            _ => None,
        }
    }
}
