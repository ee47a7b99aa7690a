//! Clients that use everything that takes locks, and the history of what they did and saw.

use std::collections::VecDeque;

use histories::{History, Op};
use ringwell::txn::Fault;
use ringwell_test_support::{ListCommand, ListKeys, ListReply};

use super::{Check, Finding};
use crate::history::{Value, command, mget, take_values};
use crate::world::{Rng, World};

const REGISTERS: [&str; 5] = ["r1", "r2", "r3", "{t}r4", "{t}r5"];
/// Strings of elements with a comma after each.
const LISTS: [&str; 4] = ["l1", "l2", "{t}l3", "{u}l4"];
/// In each, every client may send something. A client without replies soon sends nothing more.
const ROUNDS: usize = 120;

#[derive(Debug)]
enum Command {
    Get(&'static str),
    MGet(Vec<&'static str>),
    Set(&'static str, u64),
    MSet(Vec<(&'static str, u64)>),
    Append(&'static str, u64),
    /// RENAME or COPY of a key that nobody else uses, and that holds this value.
    Move {
        name: &'static str,
        to: &'static str,
        value: u64,
    },
    List(ListCommand),
    /// Makes the commands of an EXEC run in turn.
    DbSize,
}

impl Command {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Command::Get(key) => command(&["GET", key]),
            Command::MGet(keys) => mget(keys),
            Command::Set(key, value) => command(&["SET", key, &value.to_string()]),
            Command::MSet(pairs) => {
                let text = |(key, value): &(&str, u64)| [key.to_string(), value.to_string()];
                let words: Vec<String> = pairs.iter().flat_map(text).collect();
                let words = words.iter().map(String::as_str);
                command(&["MSET"].into_iter().chain(words).collect::<Vec<_>>())
            }
            Command::Append(key, element) => command(&["APPEND", key, &format!("{element},")]),
            Command::Move { name: "RENAME", to, value } => command(&["RENAME", &own(*value), to]),
            Command::Move { to, value, .. } => command(&["COPY", &own(*value), to, "REPLACE"]),
            Command::List(list) => {
                command(&list.words().iter().map(String::as_str).collect::<Vec<_>>())
            }
            Command::DbSize => command(&["DBSIZE"]),
        }
    }

    /// What must have been done, and answered with OK, before it is sent.
    fn preparation(&self) -> Option<Vec<u8>> {
        let Command::Move { value, .. } = self else { return None };
        Some(command(&["SET", &own(*value), &value.to_string()]))
    }

    fn writes(&self) -> Vec<Op> {
        match self {
            Command::Get(_) | Command::MGet(_) | Command::DbSize => Vec::new(),
            Command::Set(to, value) | Command::Move { to, value, .. } => {
                vec![Op::write(to, *value)]
            }
            Command::MSet(pairs) => {
                pairs.iter().map(|(key, value)| Op::write(key, *value)).collect()
            }
            Command::Append(key, element) => vec![Op::append(key, *element)],
            Command::List(list) => list.writes(),
        }
    }

    /// What it did, as the reply tells; `None` if it cannot be answered like that.
    fn ops(&self, reply: &Value) -> Option<Vec<Op>> {
        match (self, reply) {
            (Command::Get(key), value) => Some(vec![read(key, value)?]),
            (Command::MGet(keys), Value::Array(values)) if keys.len() == values.len() => {
                keys.iter().zip(values).map(|(key, value)| read(key, value)).collect()
            }
            (Command::List(list), reply) => list.ops(&of_list(reply)?),
            (Command::Move { .. }, Value::Line(line)) if line == "+OK" || line == ":1" => {
                Some(self.writes())
            }
            (Command::Set(..) | Command::MSet(_), Value::Line(line)) if line == "+OK" => {
                Some(self.writes())
            }
            (Command::Append(..) | Command::DbSize, Value::Line(line)) if line.starts_with(':') => {
                Some(self.writes())
            }
            _ => None,
        }
    }
}

/// The key from which a value is renamed or copied.
fn own(value: u64) -> String {
    format!("own:{value}")
}

/// The read of a key that had this value.
fn read(key: &str, value: &Value) -> Option<Op> {
    let text = match value {
        Value::Bulk(text) => Some(text.as_str()),
        Value::Null => None,
        Value::Line(_) | Value::Array(_) => return None,
    };
    if REGISTERS.contains(&key) {
        let number = text.map(str::parse).transpose().ok()?;
        return Some(Op::read(key, number));
    }
    let elements = text.unwrap_or_default().split_terminator(',').map(str::parse);
    Some(Op::read_list(key, &elements.collect::<Result<Vec<u64>, _>>().ok()?))
}

/// As the reply to a list command.
fn of_list(reply: &Value) -> Option<ListReply> {
    let text = |item: &Value| match item {
        Value::Bulk(text) => Some(text.clone()),
        _ => None,
    };
    Some(match reply {
        Value::Line(line) => ListReply::Integer(line.strip_prefix(':')?.parse().ok()?),
        Value::Bulk(text) => ListReply::Bulk(text.clone()),
        Value::Null => ListReply::Null,
        Value::Array(items) => ListReply::Array(items.iter().map(text).collect::<Option<_>>()?),
    })
}

/// What a client sends at once and counts as one transaction.
#[derive(Debug)]
enum Request {
    Single(Command),
    /// WATCH and MGET of these keys; an EXEC follows when it is answered.
    Watch(Vec<&'static str>),
    /// The commands of an EXEC, and what was read at the keys that are watched.
    Exec(Vec<Command>, Vec<Op>),
}

impl Request {
    fn commands(&self) -> &[Command] {
        match self {
            Request::Single(command) => std::slice::from_ref(command),
            Request::Watch(_) => &[],
            Request::Exec(commands, _) => commands,
        }
    }

    /// With the number of replies that come before the one that counts.
    fn bytes(&self) -> (Vec<u8>, usize) {
        let mut parts: Vec<_> = self.commands().iter().filter_map(Command::preparation).collect();
        match self {
            Request::Single(command) => parts.push(command.bytes()),
            Request::Watch(keys) => {
                parts.push(command(&[&["WATCH"], &keys[..]].concat()));
                parts.push(mget(keys));
            }
            Request::Exec(commands, _) => {
                parts.push(command(&["MULTI"]));
                parts.extend(commands.iter().map(Command::bytes));
                parts.push(command(&["EXEC"]));
            }
        }
        (parts.concat(), parts.len() - 1)
    }

    fn writes(&self) -> Vec<Op> {
        self.commands().iter().flat_map(Command::writes).collect()
    }

    fn ops(&self, reply: &Value) -> Option<Vec<Op>> {
        match self {
            Request::Single(command) => command.ops(reply),
            Request::Watch(keys) => Command::MGet(keys.clone()).ops(reply),
            Request::Exec(commands, watched) => {
                let replies = reply.items();
                let ops = commands.iter().zip(replies).map(|(command, reply)| command.ops(reply));
                let ops: Vec<Op> = ops.collect::<Option<Vec<_>>>()?.concat();
                (commands.len() == replies.len()).then(|| [watched.clone(), ops].concat())
            }
        }
    }
}

/// Chooses requests; no value is written twice.
struct Choice {
    rng: Rng,
    value: u64,
    lists: ListKeys,
}

impl Choice {
    fn one_of(&mut self, keys: &[&'static str]) -> &'static str {
        keys[self.rng.below(keys.len())]
    }

    fn any(&mut self) -> &'static str {
        if self.rng.below(2) == 0 { self.one_of(&REGISTERS) } else { self.one_of(&LISTS) }
    }

    fn fresh(&mut self) -> u64 {
        self.value += 1;
        self.value
    }

    /// Two to four of them, all different.
    fn registers(&mut self) -> Vec<&'static str> {
        let (first, count) = (self.rng.below(REGISTERS.len()), 2 + self.rng.below(3));
        (first..first + count).map(|at| REGISTERS[at % REGISTERS.len()]).collect()
    }

    fn list(&mut self) -> Command {
        let mut fresh = || {
            self.value += 1;
            self.value
        };
        Command::List(ListCommand::random(&mut self.rng, &self.lists, &mut fresh))
    }

    fn command(&mut self) -> Command {
        if self.rng.below(4) == 0 {
            return self.list();
        }
        match self.rng.below(16) {
            0..2 => Command::Get(self.any()),
            2..5 => Command::MGet((0..2 + self.rng.below(4)).map(|_| self.any()).collect()),
            5..7 => Command::Set(self.one_of(&REGISTERS), self.fresh()),
            7..9 => {
                let keys = self.registers();
                Command::MSet(keys.into_iter().map(|key| (key, self.fresh())).collect())
            }
            9..13 => Command::Append(self.one_of(&LISTS), self.fresh()),
            _ => {
                let name = ["RENAME", "COPY"][self.rng.below(2)];
                Command::Move { name, to: self.one_of(&REGISTERS), value: self.fresh() }
            }
        }
    }

    /// A command with one key, as most are.
    fn small_command(&mut self) -> Command {
        match self.rng.below(5) {
            0 => Command::Get(self.any()),
            4 => self.list(),
            1 => Command::Set(self.one_of(&REGISTERS), self.fresh()),
            _ => Command::Append(self.one_of(&LISTS), self.fresh()),
        }
    }

    fn exec(&mut self, watched: Vec<Op>) -> Request {
        let count = 1 + self.rng.below(4);
        let in_parts = self.rng.below(3) > 0;
        let mut commands: Vec<Command> = (0..count)
            .map(|_| if in_parts { self.small_command() } else { self.command() })
            .collect();
        // What was read decides what is written: nobody may have written in between.
        commands.extend(watched.iter().filter_map(|op| match op {
            Op::Read { key, .. } => {
                let register = REGISTERS.into_iter().find(|register| register == key)?;
                Some(Command::Set(register, self.fresh()))
            }
            _ => None,
        }));
        if self.rng.below(20) == 0 {
            commands.push(Command::DbSize);
        }
        Request::Exec(commands, watched)
    }

    fn request(&mut self) -> Request {
        match self.rng.below(10) {
            0..6 => Request::Single(self.command()),
            6 => Request::Watch(self.registers()),
            _ => self.exec(Vec::new()),
        }
    }
}

#[derive(Debug)]
struct Awaited {
    transaction: usize,
    /// Replies that come before the one that counts.
    ignored: usize,
    request: Request,
}

struct Client {
    handle: usize,
    waiting: VecDeque<Awaited>,
    /// What was read at the keys that are watched.
    watched: Option<Vec<Op>>,
    received: Vec<u8>,
}

impl Client {
    fn may_send(&self, depth: usize) -> bool {
        let watches = self.waiting.iter().any(|sent| matches!(sent.request, Request::Watch(_)));
        self.waiting.len() < depth && !watches
    }
}

pub struct Run {
    world: World,
    clients: Vec<Client>,
    pub history: History,
    now: u64,
    choice: Choice,
    /// Requests of a client at once.
    pub depth: usize,
    shards: usize,
}

impl Run {
    pub fn new(seed: u64, fault: Option<Fault>) -> Self {
        let mut rng = Rng::new(seed);
        let (shards, clients, depth) = (2 + rng.below(3), 3 + rng.below(4), 1 + rng.below(4));
        let mut world = World::new(shards, seed);
        if let Some(fault) = fault {
            world.plant(fault);
        }
        let connect = |core| Client {
            handle: world.connect(core % shards),
            waiting: VecDeque::new(),
            watched: None,
            received: Vec::new(),
        };
        let clients = (0..clients).map(connect).collect();
        let choice = Choice {
            rng,
            value: 0,
            lists: ListKeys::new(&["g1", "{t}g2"], &["q1", "{t}q2", "q3"]),
        };
        Run { world, clients, history: History::default(), now: 0, choice, depth, shards }
    }

    /// Records a history, which ends with a read of everything.
    pub fn record(&mut self) -> Result<(), Finding> {
        for _ in 0..ROUNDS {
            for client in 0..self.clients.len() {
                if self.clients[client].may_send(self.depth) && self.choice.rng.below(3) > 0 {
                    self.send_next(client);
                }
            }
            for _ in 0..1 + self.choice.rng.below(4) {
                self.world.run_only(self.choice.rng.below(self.shards), 1);
                self.receive()?;
            }
            if self.choice.rng.below(25) == 0 {
                self.world.wait_ms(1);
            }
        }
        self.finish()?;
        let strings = Command::MGet([&REGISTERS[..], &LISTS].concat());
        let lists = self.choice.lists.reads().into_iter().map(Command::List);
        self.send(0, Request::Exec([strings].into_iter().chain(lists).collect(), Vec::new()));
        self.finish()
    }

    fn send_next(&mut self, client: usize) {
        let request = match self.clients[client].watched.take() {
            Some(watched) => self.choice.exec(watched),
            None => self.choice.request(),
        };
        self.send(client, request);
    }

    fn send(&mut self, client: usize, request: Request) {
        self.now += 1;
        let transaction = self.history.invoke(client as u32, self.now, request.writes());
        let client = &mut self.clients[client];
        let (bytes, ignored) = request.bytes();
        self.world.send(client.handle, &bytes);
        client.waiting.push_back(Awaited { transaction, ignored, request });
    }

    fn receive(&mut self) -> Result<(), Finding> {
        self.now += 1;
        for client in &mut self.clients {
            client.received.extend(self.world.received(client.handle));
            for reply in take_values(&mut client.received) {
                let wrong = || Finding::new(Check::Replies, format!("{reply:?} to nothing"));
                let sent = client.waiting.front_mut().ok_or_else(wrong)?;
                if sent.ignored > 0 {
                    sent.ignored -= 1;
                    continue;
                }
                let Some(Awaited { transaction, request, .. }) = client.waiting.pop_front() else {
                    continue;
                };
                if let (Request::Exec(..), Value::Null) = (&request, &reply) {
                    self.history.fail(transaction);
                    continue;
                }
                let Some(ops) = request.ops(&reply) else {
                    let text = format!("{reply:?} to {request:?}");
                    return Err(Finding::new(Check::Replies, text));
                };
                if let Request::Watch(_) = request {
                    client.watched = Some(ops.clone());
                }
                self.history.complete(transaction, self.now, ops);
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Finding> {
        // The times of those that wait are over one after the other.
        for _ in 0..=self.depth {
            self.world.run_until_idle();
            self.world.wait_ms(5);
        }
        self.world.run_until_idle();
        self.receive()?;
        match self.clients.iter().find_map(|client| client.waiting.front()) {
            Some(sent) => Err(Finding::new(Check::Liveness, format!("{:?}", sent.request))),
            None => Ok(()),
        }
    }

    /// All clients vanish in the middle of what they do.
    pub fn vanish(&mut self) -> Result<(), Finding> {
        for client in 0..self.clients.len() {
            self.send_next(client);
        }
        self.world.run_some();
        let left = self.end();
        if left.is_empty() {
            return Ok(());
        }
        Err(Finding::new(Check::Leaks, format!("something is left on shards {left:?}")))
    }

    pub fn end(&mut self) -> Vec<usize> {
        self.world.end()
    }
}
