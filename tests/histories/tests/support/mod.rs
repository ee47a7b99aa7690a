//! Histories for the tests: made by hand, by a simulated store, and by a broken one.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::collections::{BTreeMap, VecDeque};

use histories::{History, Op, Outcome, Transaction};
pub use ringwell_test_support::Rng;

pub fn ok(process: u32, invoked: u64, completed: u64, ops: Vec<Op>) -> Transaction {
    Transaction { process, invoked, outcome: Outcome::Ok { completed }, ops }
}

pub fn history(transactions: Vec<Transaction>) -> History {
    History { transactions }
}

/// Registers, lists and queues, by name.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Store {
    pub registers: BTreeMap<String, u64>,
    pub lists: BTreeMap<String, Vec<u64>>,
    pub queues: BTreeMap<String, VecDeque<u64>>,
}

impl Store {
    /// Runs the operation and writes its result into it.
    pub fn run(&mut self, op: &mut Op) {
        match op {
            Op::Read { key, value } => *value = self.registers.get(key).copied(),
            Op::Write { key, value } => {
                self.registers.insert(key.clone(), *value);
            }
            Op::ReadList { key, elements } => {
                *elements = self.lists.get(key).cloned().unwrap_or_default();
            }
            Op::ReadLength { key, length } => *length = self.lists.get(key).map_or(0, Vec::len),
            Op::ReadQueue { key, elements } => {
                *elements = self.queues.entry(key.clone()).or_default().iter().copied().collect();
            }
            Op::Enqueue { key, element } => {
                self.queues.entry(key.clone()).or_default().push_back(*element);
            }
            Op::Dequeue { key, element } => {
                *element = self.queues.entry(key.clone()).or_default().pop_front();
                if element.is_none() {
                    *op = Op::read_queue(key, &[]);
                }
            }
            Op::Append { key, element } => {
                self.lists.entry(key.clone()).or_default().push(*element);
            }
            Op::Delete { key } => {
                self.registers.remove(key);
                self.lists.remove(key);
            }
        }
    }

    /// Whether the operation, run here, has the result that it carries.
    pub fn explains(&mut self, op: &Op) -> bool {
        let mut run = op.clone();
        self.run(&mut run);
        run == *op
    }
}

#[derive(Clone, Copy)]
pub struct Plan {
    pub transactions: usize,
    pub processes: usize,
    pub registers: usize,
    pub lists: usize,
    pub queues: usize,
    pub ops_max: usize,
    /// Percentages.
    pub deletes: usize,
    /// Of reads of lists that ask for the length alone.
    pub lengths: usize,
    pub crashes: usize,
    pub refusals: usize,
    /// Of operations that run apart from the rest of their transaction, on an old state: 0 for a
    /// store that is right.
    pub broken: usize,
    /// Of processes' steps that send one more before the answer to the last.
    pub pipelined: usize,
    /// New keys take the place of those that were written so often; 0 for never.
    pub writes_per_key: usize,
}

pub const SMALL: Plan = Plan {
    transactions: 60,
    processes: 5,
    registers: 3,
    lists: 3,
    queues: 0,
    ops_max: 4,
    deletes: 0,
    lengths: 0,
    crashes: 3,
    refusals: 3,
    broken: 0,
    pipelined: 0,
    writes_per_key: 0,
};

struct Sent {
    transaction: usize,
    ops: Vec<Op>,
    /// How many have run.
    done: usize,
}

struct Client {
    process: u32,
    /// In the order sent; run in this order.
    waiting: Vec<Sent>,
    answered: usize,
}

/// Runs clients against a store under a random schedule.
pub struct Generator {
    rng: Rng,
    plan: Plan,
    store: Store,
    /// Earlier states, for a broken store.
    past: Vec<Store>,
    history: History,
    clients: Vec<Client>,
    processes: u32,
    now: u64,
    value: u64,
    writes: usize,
}

impl Generator {
    pub fn run(seed: u64, plan: Plan) -> History {
        let clients = (0..plan.processes as u32)
            .map(|process| Client { process, waiting: Vec::new(), answered: 0 })
            .collect();
        let mut generator = Generator {
            rng: Rng::new(seed),
            plan,
            store: Store::default(),
            past: Vec::new(),
            history: History::default(),
            clients,
            processes: plan.processes as u32,
            now: 0,
            value: 0,
            writes: 0,
        };
        while generator.history.transactions.len() < plan.transactions {
            generator.step(true);
        }
        while generator.clients.iter().any(|client| !client.waiting.is_empty()) {
            generator.step(false);
        }
        generator.history
    }

    fn step(&mut self, may_send: bool) {
        // Equal times are legal as well.
        self.now += self.rng.below(3) as u64;
        let client = self.rng.below(self.clients.len());
        let idle = self.clients[client].waiting.is_empty();
        if may_send && (idle || self.rng.chance(self.plan.pipelined)) {
            self.send(client);
        } else if !idle && self.rng.chance(self.plan.crashes) {
            self.crash(client);
        } else if !idle && self.clients[client].answered > 0 && self.rng.chance(50) {
            self.answer(client);
        } else if !idle {
            self.execute(client);
        }
    }

    fn send(&mut self, client: usize) {
        // Strictly before it runs.
        self.now += 1;
        let ops = self.random_ops();
        let process = self.clients[client].process;
        let transaction = self.history.invoke(process, self.now, ops.clone());
        self.clients[client].waiting.push(Sent { transaction, ops, done: 0 });
    }

    fn random_ops(&mut self) -> Vec<Op> {
        let count = 1 + self.rng.below(self.plan.ops_max);
        (0..count).map(|_| self.random_op()).collect()
    }

    fn random_op(&mut self) -> Op {
        let (registers, lists) = (self.plan.registers, self.plan.lists);
        let keys = registers + lists + self.plan.queues;
        let epoch = match self.plan.writes_per_key {
            0 => 0,
            writes => self.writes / (writes * keys),
        };
        let key = self.rng.below(keys);
        let is_register = key < registers;
        if key >= registers + lists {
            return self.random_queue_op(&format!("q{key}.{epoch}"));
        }
        let name = format!("{}{key}.{epoch}", if is_register { "r" } else { "l" });
        if self.rng.chance(self.plan.deletes) {
            return Op::delete(&name);
        }
        if self.rng.chance(50) {
            return match is_register {
                true => Op::read(&name, None),
                false if self.rng.chance(self.plan.lengths) => Op::read_length(&name, 0),
                false => Op::read_list(&name, &[]),
            };
        }
        self.value += 1;
        self.writes += 1;
        if is_register { Op::write(&name, self.value) } else { Op::append(&name, self.value) }
    }

    fn random_queue_op(&mut self, name: &str) -> Op {
        match self.rng.below(5) {
            0 | 1 => {
                self.value += 1;
                self.writes += 1;
                Op::enqueue(name, self.value)
            }
            2 => Op::dequeue(name, None),
            _ => Op::read_queue(name, &[]),
        }
    }

    /// The connection is lost: what runs has no answer, what follows never runs, or does.
    fn crash(&mut self, client: usize) {
        let lost = std::mem::take(&mut self.clients[client].waiting);
        for mut sent in lost {
            if sent.done == 0 && self.rng.chance(50) {
                break;
            }
            while sent.done < sent.ops.len() {
                self.execute_op(&mut sent);
            }
        }
        self.clients[client].process = self.processes;
        self.clients[client].answered = 0;
        self.processes += 1;
    }

    fn execute(&mut self, client: usize) {
        let answered = self.clients[client].answered;
        if answered == self.clients[client].waiting.len() {
            return;
        }
        let mut sent = self.clients[client].waiting.remove(answered);
        if sent.done == 0 && self.rng.chance(self.plan.refusals) {
            self.history.fail(sent.transaction);
            return;
        }
        let whole = !self.rng.chance(self.plan.broken);
        self.execute_op(&mut sent);
        while whole && sent.done < sent.ops.len() {
            self.execute_op(&mut sent);
        }
        if sent.done == sent.ops.len() {
            self.clients[client].answered += 1;
        }
        self.clients[client].waiting.insert(answered, sent);
    }

    fn execute_op(&mut self, sent: &mut Sent) {
        let op = &mut sent.ops[sent.done];
        sent.done += 1;
        if self.plan.broken > 0 {
            self.past.push(self.store.clone());
        }
        let reads = matches!(
            op,
            Op::Read { .. } | Op::ReadList { .. } | Op::ReadLength { .. } | Op::ReadQueue { .. }
        );
        if self.rng.chance(self.plan.broken) && reads {
            let age = 1 + self.rng.below(3.min(self.past.len()));
            let mut old = self.past[self.past.len() - age].clone();
            old.run(op);
        } else {
            self.store.run(op);
        }
    }

    fn answer(&mut self, client: usize) {
        let sent = self.clients[client].waiting.remove(0);
        self.clients[client].answered -= 1;
        self.history.complete(sent.transaction, self.now, sent.ops);
    }
}

/// Reads every list once all else is over.
pub fn read_all_lists(history: &mut History, store: &[(String, Vec<u64>)]) {
    let times = history.transactions.iter().map(|t| t.completed().unwrap_or(t.invoked));
    let end = times.max().unwrap_or(0);
    let ops = store.iter().map(|(key, elements)| Op::read_list(key, elements)).collect();
    history.transactions.push(ok(u32::MAX, end + 1, end + 2, ops));
}
