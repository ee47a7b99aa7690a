//! What random clients see is strictly serializable, whatever the seed lets happen: the checker
//! knows any anomaly, and needs no idea of which one a mistake would make.
//!
//! Times are passes of cores: a request is invoked when it is handed over to be sent and completed
//! when its reply has been received, so the intervals are never shorter than the true ones.

use std::collections::VecDeque;

use histories::linearizability::{self, Action, Operation, Pipelines};
use histories::{History, Op, ProcessOrder, transactions};
use ringwell_test_support::{ListCommand, ListKeys, ListReply};

use crate::history::{command, multi};
use crate::world::{Rng, World};

/// What a client may ask for, and counts as one transaction.
enum Request {
    Get(&'static str),
    MGet(Vec<&'static str>),
    Set(&'static str, u64),
    /// SET with the option GET: a read and a write in one.
    Exchange(&'static str, u64),
    MSet(Vec<(&'static str, u64)>),
    MSetNx(Vec<(&'static str, u64)>),
    Append(&'static str, u64),
    Del(Vec<&'static str>),
    GetDel(&'static str),
    List(ListCommand),
    /// Between MULTI and EXEC.
    Lists(Vec<ListCommand>),
}

/// Requests of a client at once.
const DEPTH_MAX: usize = 6;
const REGISTERS: [&str; 4] = ["r1", "r2", "{t}r3", "{t}r4"];
/// Strings of elements with a comma after each.
const LISTS: [&str; 4] = ["l1", "l2", "{t}l3", "{u}l4"];

fn list_keys() -> ListKeys {
    ListKeys::new(&["g1", "{t}g2"], &["q1", "{t}q2", "q3", "{t}q4"])
}

#[derive(Debug)]
enum Reply {
    Ok,
    Integer(i64),
    Bulk(Option<String>),
    Array(Vec<Reply>),
}

impl Reply {
    /// The first reply in the bytes, and its length; `None` while it is not all there.
    fn parse(bytes: &[u8]) -> Option<(Reply, usize)> {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let line = std::str::from_utf8(&bytes[..end]).expect("replies are text here");
        let mut used = end + 2;
        let number = || line[1..].parse::<i64>().expect("a number");
        let reply = match line.as_bytes()[0] {
            b'+' => Reply::Ok,
            b':' => Reply::Integer(number()),
            b'$' if number() < 0 => Reply::Bulk(None),
            b'$' => {
                let text = bytes.get(used..used + number() as usize)?;
                used += text.len() + 2;
                bytes.get(used - 1)?;
                Reply::Bulk(Some(String::from_utf8_lossy(text).into_owned()))
            }
            b'*' if number() < 0 => Reply::Bulk(None),
            b'*' => {
                let mut elements = Vec::new();
                for _ in 0..number() {
                    let (element, length) = Reply::parse(&bytes[used..])?;
                    elements.push(element);
                    used += length;
                }
                Reply::Array(elements)
            }
            _ => panic!("an error: {line}"),
        };
        Some((reply, used))
    }

    /// As the reply to a list command.
    fn of_list(&self) -> Option<ListReply> {
        let text = |reply: &Reply| match reply {
            Reply::Bulk(Some(text)) => Some(text.clone()),
            _ => None,
        };
        Some(match self {
            Reply::Ok => return None,
            Reply::Integer(number) => ListReply::Integer(*number),
            Reply::Bulk(None) => ListReply::Null,
            Reply::Bulk(Some(text)) => ListReply::Bulk(text.clone()),
            Reply::Array(items) => ListReply::Array(items.iter().map(text).collect::<Option<_>>()?),
        })
    }
}

/// The read of a key that had this value.
fn read(key: &str, value: &Reply) -> Op {
    let Reply::Bulk(text) = value else { panic!("{key} read as {value:?}") };
    let number = |text: &str| text.parse::<u64>().expect("only numbers are written");
    if REGISTERS.contains(&key) {
        return Op::read(key, text.as_deref().map(number));
    }
    let text = text.as_deref().unwrap_or_default();
    assert!(text.is_empty() || text.ends_with(','), "a torn element in {key}: {text}");
    let elements: Vec<u64> = text.split_terminator(',').map(number).collect();
    Op::read_list(key, &elements)
}

impl Request {
    fn random(rng: &mut Rng, deletes: bool, value: &mut u64) -> Request {
        let register = |rng: &mut Rng| REGISTERS[rng.below(REGISTERS.len())];
        let list = |rng: &mut Rng| LISTS[rng.below(LISTS.len())];
        let any = |rng: &mut Rng| if rng.below(2) == 0 { register(rng) } else { list(rng) };
        let several = 2 + rng.below(4);
        let mut fresh = || {
            *value += 1;
            *value
        };
        if rng.below(3) == 0 {
            let keys = list_keys();
            return match rng.below(4) {
                0 => Request::Lists(
                    (0..several).map(|_| ListCommand::random(rng, &keys, &mut fresh)).collect(),
                ),
                1 => Request::Lists(keys.reads()),
                _ => Request::List(ListCommand::random(rng, &keys, &mut fresh)),
            };
        }
        match rng.below(if deletes { 20 } else { 17 }) {
            0 | 1 => Request::Get(any(rng)),
            2..7 => Request::MGet((0..several).map(|_| any(rng)).collect()),
            7 => Request::Set(register(rng), fresh()),
            8 => Request::Exchange(register(rng), fresh()),
            9..13 => Request::MSet((0..several).map(|_| (register(rng), fresh())).collect()),
            13 => Request::MSetNx((0..2).map(|_| (register(rng), fresh())).collect()),
            14..17 => Request::Append(list(rng), fresh()),
            17 | 18 => Request::Del((0..several).map(|_| any(rng)).collect()),
            _ => Request::GetDel(any(rng)),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let pairs = |name: &str, pairs: &[(&str, u64)]| {
            let mut words = vec![name.to_owned()];
            words
                .extend(pairs.iter().flat_map(|(key, value)| [key.to_string(), value.to_string()]));
            words
        };
        let keys = |name: &str, keys: &[&str]| {
            std::iter::once(&name).chain(keys).map(|word| word.to_string()).collect()
        };
        let words: Vec<String> = match self {
            Request::Get(key) => keys("GET", &[key]),
            Request::MGet(names) => keys("MGET", names),
            Request::Set(key, value) => pairs("SET", &[(key, *value)]),
            Request::Exchange(key, value) => {
                [pairs("SET", &[(key, *value)]), vec!["GET".to_owned()]].concat()
            }
            Request::MSet(values) => pairs("MSET", values),
            Request::MSetNx(values) => pairs("MSETNX", values),
            Request::Append(key, element) => keys("APPEND", &[key, &format!("{element},")]),
            Request::Del(names) => keys("DEL", names),
            Request::GetDel(key) => keys("GETDEL", &[key]),
            Request::List(list) => list.words(),
            Request::Lists(lists) => {
                return multi(&lists.iter().map(|list| bytes(&list.words())).collect::<Vec<_>>());
            }
        };
        bytes(&words)
    }

    /// Replies that come before the one that counts.
    fn ignored(&self) -> usize {
        match self {
            Request::Lists(lists) => 1 + lists.len(),
            _ => 0,
        }
    }

    /// Whether only the reply says what it takes.
    fn takes(&self) -> bool {
        match self {
            Request::List(list) => list.takes(),
            Request::Lists(lists) => lists.iter().any(ListCommand::takes),
            _ => false,
        }
    }

    /// What it may do as long as there is no reply.
    fn writes(&self) -> Vec<Op> {
        match self {
            Request::Get(_) | Request::MGet(_) => Vec::new(),
            Request::Set(key, value) | Request::Exchange(key, value) => {
                vec![Op::write(key, *value)]
            }
            Request::MSet(values) | Request::MSetNx(values) => {
                values.iter().map(|(key, value)| Op::write(key, *value)).collect()
            }
            Request::Append(key, element) => vec![Op::append(key, *element)],
            Request::Del(keys) => keys.iter().map(|key| Op::delete(key)).collect(),
            Request::GetDel(key) => vec![Op::delete(key)],
            Request::List(list) => list.writes(),
            Request::Lists(lists) => lists.iter().flat_map(ListCommand::writes).collect(),
        }
    }

    /// What it did, as the reply tells.
    fn ops(&self, reply: &Reply) -> Vec<Op> {
        let absent = |key: &str| read(key, &Reply::Bulk(None));
        let wrong = || -> ! { panic!("{reply:?} to {}", String::from_utf8_lossy(&self.bytes())) };
        let of_list = |list: &ListCommand, reply: &Reply| {
            reply.of_list().and_then(|reply| list.ops(&reply)).unwrap_or_else(|| wrong())
        };
        match (self, reply) {
            (Request::Get(key), value) => vec![read(key, value)],
            (Request::MGet(keys), Reply::Array(values)) if keys.len() == values.len() => {
                keys.iter().zip(values).map(|(key, value)| read(key, value)).collect()
            }
            (Request::List(list), reply) => of_list(list, reply),
            (Request::Lists(lists), Reply::Array(replies)) if lists.len() == replies.len() => {
                lists.iter().zip(replies).flat_map(|(list, reply)| of_list(list, reply)).collect()
            }
            (Request::Exchange(key, _) | Request::GetDel(key), value) => {
                [vec![read(key, value)], self.writes()].concat()
            }
            (Request::MSetNx(values), Reply::Integer(1)) => {
                let keys = values.iter().map(|(key, _)| absent(key));
                keys.chain(self.writes()).collect()
            }
            // One of the keys was there, without saying which.
            (Request::MSetNx(_), Reply::Integer(0)) => Vec::new(),
            (Request::Del(keys), Reply::Integer(0)) => keys.iter().map(|key| absent(key)).collect(),
            (Request::Append(..) | Request::Del(_), Reply::Integer(_))
            | (Request::Set(..) | Request::MSet(_), Reply::Ok) => self.writes(),
            _ => wrong(),
        }
    }
}

fn bytes(words: &[String]) -> Vec<u8> {
    command(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

struct Awaited {
    /// Its number in the history.
    transaction: usize,
    request: Request,
    /// Replies that come before the one that counts.
    ignored: usize,
}

struct Client {
    handle: usize,
    process: u32,
    /// Sent and not answered.
    waiting: VecDeque<Awaited>,
    received: Vec<u8>,
}

struct Run {
    world: World,
    shards: usize,
    clients: Vec<Client>,
    history: History,
    now: u64,
    processes: u32,
}

impl Run {
    fn new(seed: u64, shards: usize, clients: usize) -> Self {
        let world = World::new(shards, seed);
        let history = History::default();
        let mut run = Run { world, shards, clients: Vec::new(), history, now: 0, processes: 0 };
        for core in 0..clients {
            let client = run.connect(core % shards);
            run.clients.push(client);
        }
        run
    }

    fn connect(&mut self, core: usize) -> Client {
        let (handle, process) = (self.world.connect(core), self.processes);
        self.processes += 1;
        Client { handle, process, waiting: VecDeque::new(), received: Vec::new() }
    }

    fn send(&mut self, client: usize, request: Request) {
        self.now += 1;
        let client = &mut self.clients[client];
        self.world.send(client.handle, &request.bytes());
        let transaction = self.history.invoke(client.process, self.now, request.writes());
        let ignored = request.ignored();
        client.waiting.push_back(Awaited { transaction, request, ignored });
    }

    fn receive(&mut self) {
        self.now += 1;
        for client in &mut self.clients {
            client.received.extend(self.world.received(client.handle));
            while let Some((reply, length)) = Reply::parse(&client.received) {
                client.received.drain(..length);
                let awaited = client.waiting.front_mut().expect("a reply that nobody asked for");
                if awaited.ignored > 0 {
                    awaited.ignored -= 1;
                    continue;
                }
                let ops = awaited.request.ops(&reply);
                self.history.complete(awaited.transaction, self.now, ops);
                client.waiting.pop_front();
            }
        }
    }

    /// The client is gone, and what it waited for has no answer. One that takes what only the
    /// answer would name stays.
    fn replace(&mut self, client: usize, core: usize) {
        if self.clients[client].waiting.iter().any(|awaited| awaited.request.takes()) {
            return;
        }
        self.world.disconnect(self.clients[client].handle);
        self.clients[client] = self.connect(core);
    }

    /// Until everything is answered, the times of those that wait being over one after the other.
    fn finish(&mut self) {
        for _ in 0..=DEPTH_MAX {
            self.world.run_until_idle();
            self.world.wait_ms(5);
        }
        self.world.run_until_idle();
        self.receive();
        assert!(self.clients.iter().all(|client| client.waiting.is_empty()), "no reply");
    }
}

/// `depth` requests of a client at once.
fn record(seed: u64, depth: usize, deletes: bool) -> History {
    let mut rng = Rng::new(seed);
    let (shards, clients) = (2 + rng.below(3), 3 + rng.below(5));
    let mut run = Run::new(seed, shards, clients);
    let mut value = 0;
    while run.history.transactions.len() < 200 {
        for client in 0..clients {
            while run.clients[client].waiting.len() < depth && rng.below(3) > 0 {
                run.send(client, Request::random(&mut rng, deletes, &mut value));
            }
        }
        for _ in 0..1 + rng.below(4) {
            run.world.run_only(rng.below(run.shards), 1);
            run.receive();
        }
        match rng.below(100) {
            0 => run.replace(rng.below(clients), rng.below(shards)),
            1..5 => run.world.wait_ms(1),
            _ => {}
        }
    }
    run.finish();
    run.send(0, Request::MGet([REGISTERS, LISTS].concat()));
    run.send(0, Request::Lists(list_keys().reads()));
    run.finish();
    run.history
}

fn assert_strictly_serializable(history: &History, order: ProcessOrder) {
    let report = transactions::check(history, order).expect("a history that can be checked");
    assert!(report.is_clean(), "{report}");
    assert!(!report.inference_cut_short);
}

/// Of every register by itself: knows what its absence after a deletion means.
fn assert_linearizable(history: &History) {
    let mut operations = Vec::new();
    for transaction in &history.transactions {
        for (place, op) in transaction.ops.iter().enumerate() {
            let action = match op {
                Op::Read { value, .. } => Action::Get { value: value.map(|value| value as i64) },
                Op::Write { value, .. } => Action::Set { value: *value as i64 },
                Op::Delete { .. } => Action::Delete { existed: None },
                _ => continue,
            };
            // Of a transaction with several operations on a key the last one alone is visible, and
            // the rest is for the other checker.
            let later = &transaction.ops[place + 1..];
            let reads_then_writes = matches!(op, Op::Read { .. });
            let last = later.iter().all(|other| other.key() != op.key());
            if REGISTERS.contains(&op.key()) && (last || reads_then_writes) {
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
    let verdict = linearizability::check(&operations, Pipelines::InOrder);
    assert!(verdict.is_linearizable(), "{verdict}");
}

#[test]
fn histories_are_strictly_serializable() {
    crate::for_each_seed(|seed| {
        let history = record(seed, 1, false);
        assert_strictly_serializable(&history, ProcessOrder::Total);
        assert_linearizable(&history);
    });
}

#[test]
fn histories_of_pipelines_are_strictly_serializable() {
    crate::for_each_seed(|seed| {
        let history = record(seed, DEPTH_MAX, false);
        assert_strictly_serializable(&history, ProcessOrder::AroundSeveralKeys);
        assert_linearizable(&history);
    });
}

#[test]
fn histories_with_deletions_are_strictly_serializable() {
    crate::for_each_seed(|seed| {
        let history = record(seed, 1 + seed as usize % 4, true);
        assert_strictly_serializable(&history, ProcessOrder::AroundSeveralKeys);
        assert_linearizable(&history);
    });
}
