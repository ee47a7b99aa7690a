//! What clients did and saw: the input of the transaction checker.

/// One operation of a transaction, with its result where it has one.
///
/// A key is a register (`Read`, `Write`), a list (`ReadList`, `ReadLength`, `Append`) or a queue
/// (`ReadQueue`, `Enqueue`, `Dequeue`) for a whole history; `Delete` applies to registers and lists.
/// Values written to a register, and elements added to a list or a queue, are unique per key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// `None`: the key did not exist.
    Read {
        key: String,
        value: Option<u64>,
    },
    Write {
        key: String,
        value: u64,
    },
    /// All elements, oldest first; empty if the key did not exist.
    ReadList {
        key: String,
        elements: Vec<u64>,
    },
    /// How many elements there were.
    ReadLength {
        key: String,
        length: usize,
    },
    Append {
        key: String,
        element: u64,
    },
    /// All elements, the next one to go first; also what a dequeue that found nothing is.
    ReadQueue {
        key: String,
        elements: Vec<u64>,
    },
    /// Comes in at the back.
    Enqueue {
        key: String,
        element: u64,
    },
    /// Goes out at the front. `None`: nobody knows which, since there was no answer.
    Dequeue {
        key: String,
        element: Option<u64>,
    },
    /// Record a deletion that is known to have found nothing as a read of nothing: that says more.
    Delete {
        key: String,
    },
}

impl Op {
    pub fn read(key: &str, value: Option<u64>) -> Op {
        Op::Read { key: key.to_owned(), value }
    }

    pub fn write(key: &str, value: u64) -> Op {
        Op::Write { key: key.to_owned(), value }
    }

    pub fn read_list(key: &str, elements: &[u64]) -> Op {
        Op::ReadList { key: key.to_owned(), elements: elements.to_vec() }
    }

    pub fn append(key: &str, element: u64) -> Op {
        Op::Append { key: key.to_owned(), element }
    }

    pub fn read_length(key: &str, length: usize) -> Op {
        Op::ReadLength { key: key.to_owned(), length }
    }

    pub fn read_queue(key: &str, elements: &[u64]) -> Op {
        Op::ReadQueue { key: key.to_owned(), elements: elements.to_vec() }
    }

    pub fn enqueue(key: &str, element: u64) -> Op {
        Op::Enqueue { key: key.to_owned(), element }
    }

    pub fn dequeue(key: &str, element: Option<u64>) -> Op {
        Op::Dequeue { key: key.to_owned(), element }
    }

    pub fn delete(key: &str) -> Op {
        Op::Delete { key: key.to_owned() }
    }

    pub fn key(&self) -> &str {
        match self {
            Op::Read { key, .. }
            | Op::Write { key, .. }
            | Op::ReadList { key, .. }
            | Op::ReadLength { key, .. }
            | Op::Append { key, .. }
            | Op::ReadQueue { key, .. }
            | Op::Enqueue { key, .. }
            | Op::Dequeue { key, .. }
            | Op::Delete { key } => key,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged at this time.
    Ok { completed: u64 },
    /// Refused: surely without effect, now and later.
    Failed,
    /// No answer: it may have taken effect, may still do so, or never.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The connection: see [`crate::ProcessOrder`].
    pub process: u32,
    /// In any unit, as long as all processes read the same clock.
    pub invoked: u64,
    pub outcome: Outcome,
    /// In the order in which the transaction executes them. The results of reads count only if the
    /// outcome is `Ok`.
    pub ops: Vec<Op>,
}

impl Transaction {
    pub fn completed(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Ok { completed } => Some(completed),
            Outcome::Failed | Outcome::Unknown => None,
        }
    }

    pub fn is_ok(&self) -> bool {
        self.completed().is_some()
    }
}

/// Transactions are named by their index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub transactions: Vec<Transaction>,
}

impl History {
    /// Records that a transaction was sent; until more is known its outcome is unknown.
    pub fn invoke(&mut self, process: u32, at: u64, ops: Vec<Op>) -> usize {
        self.transactions.push(Transaction {
            process,
            invoked: at,
            outcome: Outcome::Unknown,
            ops,
        });
        self.transactions.len() - 1
    }

    /// Records the answer; `ops` are the invoked ones with the results filled in.
    pub fn complete(&mut self, transaction: usize, at: u64, ops: Vec<Op>) {
        let transaction = &mut self.transactions[transaction];
        transaction.outcome = Outcome::Ok { completed: at };
        transaction.ops = ops;
    }

    pub fn fail(&mut self, transaction: usize) {
        self.transactions[transaction].outcome = Outcome::Failed;
    }
}
