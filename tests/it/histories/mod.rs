//! What many connections see of a server under load is strictly serializable, and around commands
//! with several keys in the order in which each connection sent them.

mod workload;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::histories::linearizability::{self, Action, Operation, Pipelines};
use ::histories::{History, Op, Outcome, ProcessOrder, transactions};
use libtest_mimic::Trial;

use crate::support::{Client, Rng, Server, Value, encode, seed, test};
use workload::{EPOCHS, Keys, Transaction};

const SHARDS: usize = 4;
const CONNECTIONS: usize = 16;
const TRANSACTIONS: usize = 100_000;
/// Some compare-and-sets fail.
const ASKED_FOR: usize = 105_000;
const PIPELINE_MAX: usize = 6;

pub fn trials() -> Vec<Trial> {
    vec![
        test("histories::of_a_server_under_load", || of_a_server_under_load("all")),
        test("histories::of_a_server_whose_cores_move", || of_a_server_under_load("moving")),
        test("histories::a_stale_read_is_found", a_stale_read_is_found),
    ]
}

/// On a machine that is busy with other things too many operations may be under way at once for a
/// verdict. Then another history is recorded; one that is wrong is never given another chance.
const ATTEMPTS: u64 = 4;

fn of_a_server_under_load(spread: &str) {
    let first = seed();
    let undecided =
        (first..first + ATTEMPTS).find_map(|seed| match look_at_a_history(seed, spread) {
            Verdict::Right => Some(Ok(())),
            Verdict::Wrong(problems) => {
                Some(Err(format!("RINGWELL_TESTS_SEED={seed} may repeat this:\n{problems}")))
            }
            Verdict::Undecided(keys) => {
                println!("seed {seed}: too many operations at once on {keys:?}");
                None
            }
        });
    undecided.expect("no verdict on any history").unwrap_or_else(|problems| panic!("{problems}"));
}

fn look_at_a_history(seed: u64, spread: &str) -> Verdict {
    let started = Instant::now();
    let history = record(seed, ASKED_FOR, spread);
    let recorded = started.elapsed();
    // The others are EXECs that found what they watched changed.
    let answered = history.transactions.iter().filter(|transaction| transaction.is_ok()).count();
    let refused = history.transactions.len() - answered;
    assert!(answered >= TRANSACTIONS && refused < answered / 10, "{answered} and {refused}");
    let verdict = check(&history);
    println!("seed {seed}: recorded in {recorded:?}, checked by {:?}", started.elapsed());
    verdict
}

/// The check itself: a single wrong value in a short history is not overlooked.
fn a_stale_read_is_found() {
    let mut history = record(seed(), 2_000, "all");
    assert_eq!(check(&history), Verdict::Right);
    let reads = history.transactions.iter_mut().flat_map(|transaction| &mut transaction.ops);
    let last = reads.filter_map(|op| match op {
        Op::ReadList { elements, .. } if elements.len() > 1 => Some(elements),
        _ => None,
    });
    // Among the last reads of everything: all appends were answered long before.
    last.last().expect("a list with elements").pop();
    match check(&history) {
        Verdict::Wrong(text) => assert!(text.starts_with("not strictly serializable: 1 found")),
        other => panic!("{other:?}"),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong(String),
    /// Nothing is wrong, but on these keys too much was under way at once to be sure.
    Undecided(Vec<String>),
}

fn check(history: &History) -> Verdict {
    let mut problems = String::new();
    let report = transactions::check(history, ProcessOrder::AroundSeveralKeys)
        .expect("a history that can be checked");
    if !report.is_clean() || report.inference_cut_short {
        problems = format!("{report}, cut short: {}\n", report.inference_cut_short);
    }
    let registers = linearizability::check(&single_keys(history), Pipelines::InOrder);
    if !registers.violations.is_empty() {
        problems.push_str(&registers.to_string());
    }
    match registers.undecided {
        _ if !problems.is_empty() => Verdict::Wrong(problems),
        keys if keys.is_empty() => Verdict::Right,
        keys => Verdict::Undecided(keys),
    }
}

/// The operations on registers, each by itself: that checker knows what the absence of a key after
/// a deletion means.
fn single_keys(history: &History) -> Vec<Operation> {
    let mut operations = Vec::new();
    let effective =
        |transaction: &&::histories::Transaction| transaction.outcome != Outcome::Failed;
    for transaction in history.transactions.iter().filter(effective) {
        for (place, op) in transaction.ops.iter().enumerate() {
            let action = match op {
                Op::Read { value, .. } => Action::Get { value: value.map(|value| value as i64) },
                Op::Write { value, .. } => Action::Set { value: *value as i64 },
                Op::Delete { .. } => Action::Delete { existed: None },
                _ => continue,
            };
            // Of a transaction's operations on a key, others see what the last write left, and the
            // first reads what others left.
            let same = |other: &Op| other.key() == op.key();
            let writes = |other: &Op| !matches!(other, Op::Read { .. });
            let visible = match op {
                Op::Read { .. } => !transaction.ops[..place].iter().any(same),
                _ => !transaction.ops[place + 1..].iter().any(|other| same(other) && writes(other)),
            };
            if visible {
                operations.push(Operation {
                    process: transaction.process,
                    key: op.key().to_owned(),
                    invoked: transaction.invoked,
                    completed: transaction.completed(),
                    action,
                });
            }
        }
    }
    operations
}

/// Lets all connections work until there are so many transactions, then reads every key. With the
/// spread `moving`, cores and connections are given from thread to thread meanwhile.
fn record(seed: u64, transactions: usize, spread: &str) -> History {
    let server = Server::ringwell(SHARDS, &[]);
    let working = AtomicBool::new(true);
    let (clock, begun) = (Instant::now(), AtomicUsize::new(0));
    let mut history = History::default();
    std::thread::scope(|scope| {
        if spread == "moving" {
            let mut admin = server.connect();
            let working = &working;
            scope.spawn(move || {
                for spread in ["auto", "all"].iter().cycle() {
                    assert_eq!(admin.command(&["CONFIG", "SET", "spread", spread]), Value::ok());
                    std::thread::sleep(Duration::from_millis(20));
                    if !working.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|process| {
                let (server, begun) = (&server, &begun);
                scope.spawn(move || {
                    let mut connection = Connection::new(server, process, clock);
                    connection.work(
                        &mut Rng::new(seed ^ (process as u64) << 32),
                        begun,
                        transactions,
                    );
                    connection.history
                })
            })
            .collect();
        for connection in connections {
            let own = connection.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            history.transactions.extend(own.transactions);
        }
        working.store(false, Ordering::Relaxed);
    });
    let mut last = Connection::new(&server, CONNECTIONS, clock);
    for epoch in 0..EPOCHS {
        last.run(vec![Transaction::read_all(&Keys::of(epoch))]);
    }
    history.transactions.extend(last.history.transactions);
    history
}

struct Connection {
    client: Client,
    process: usize,
    clock: Instant,
    history: History,
    values: u64,
}

impl Connection {
    fn new(server: &Server, process: usize, clock: Instant) -> Connection {
        let (client, history) = (server.connect(), History::default());
        Connection { client, process, clock, history, values: 0 }
    }

    fn work(&mut self, rng: &mut Rng, begun: &AtomicUsize, transactions: usize) {
        loop {
            let compares = rng.one_in(16);
            let depth = if compares { 1 } else { 1 + rng.below(PIPELINE_MAX) };
            let number = begun.fetch_add(depth, Ordering::Relaxed);
            if number >= transactions {
                return;
            }
            let keys = Keys::of(number * EPOCHS / transactions);
            let mut fresh = || {
                self.values += 1;
                self.process as u64 * 1_000_000_000 + self.values
            };
            if compares {
                let value = fresh();
                self.compare_and_set(&keys.register(rng), value);
                continue;
            }
            let pipeline =
                (0..depth).map(|_| Transaction::random(rng, &keys, &mut fresh)).collect();
            self.run(pipeline);
        }
    }

    /// Sets a key by WATCH and EXEC if nobody else does so in between.
    fn compare_and_set(&mut self, key: &str, value: u64) {
        assert_eq!(self.client.command(&["WATCH", key]), Value::ok());
        let seen = self.client.command(&["GET", key]);
        let transaction = Transaction::compare_and_set(key, value);
        let (invoked, writes) = (self.now(), transaction.writes());
        let index = self.history.invoke(self.process as u32, invoked, writes);
        self.send(std::slice::from_ref(&transaction));
        let replies = self.replies_to(&transaction);
        match replies.last() {
            Some(Value::NullArray) => self.history.fail(index),
            Some(Value::Array(items)) => {
                assert_eq!(items[0], seen, "EXEC has run though {key} had changed");
                let completed = self.now();
                self.history.complete(index, completed, transaction.ops(&replies));
            }
            other => panic!("{other:?} to EXEC"),
        }
    }

    fn send(&mut self, pipeline: &[Transaction]) {
        let requests = pipeline.iter().flat_map(Transaction::requests);
        let bytes: Vec<u8> = requests.flat_map(|request| encode(&request)).collect();
        self.client.send(&bytes);
    }

    fn replies_to(&mut self, transaction: &Transaction) -> Vec<Value> {
        transaction.requests().iter().map(|_| self.client.read_value()).collect()
    }

    fn now(&self) -> u64 {
        Duration::as_nanos(&self.clock.elapsed()) as u64
    }

    /// Sends all of these at once and takes their replies.
    fn run(&mut self, pipeline: Vec<Transaction>) {
        let invoked = self.now();
        let indices: Vec<usize> = pipeline
            .iter()
            .map(|transaction| {
                self.history.invoke(self.process as u32, invoked, transaction.writes())
            })
            .collect();
        self.send(&pipeline);
        for (transaction, index) in pipeline.iter().zip(indices) {
            let replies = self.replies_to(transaction);
            let completed = self.now();
            self.history.complete(index, completed, transaction.ops(&replies));
        }
    }
}
