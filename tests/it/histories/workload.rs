//! The transactions that connections send, and what their replies say.

use ::histories::Op;

use crate::support::{ListCommand, ListKeys, ListReply, Rng, Value};

/// Keys are used for a while and then left alone, so that lists stay short.
pub const EPOCHS: usize = 50;

const COMMANDS_MAX: usize = 4;
const KEYS_MAX: usize = 4;

/// The keys in use at one time: on several shards, and some together on one.
pub struct Keys {
    /// Never deleted, so that their absence tells something.
    registers: Vec<String>,
    /// Strings of elements with a comma after each.
    lists: Vec<String>,
    deleted: Vec<String>,
    real_lists: ListKeys,
}

impl Keys {
    pub fn of(epoch: usize) -> Keys {
        let named = |kind: &str, count: usize| -> Vec<String> {
            let tagged = (0..2).map(|n| format!("{{{epoch}}}{kind}{n}"));
            tagged.chain((2..count).map(|n| format!("{kind}{n}:{epoch}"))).collect()
        };
        Keys {
            registers: named("r", 8),
            lists: named("l", 6),
            deleted: named("d", 10),
            real_lists: ListKeys { grown: named("g", 4), queues: named("q", 6) },
        }
    }

    pub fn register(&self, rng: &mut Rng) -> String {
        one(rng, &self.registers)
    }

    /// All strings.
    fn all(&self) -> impl Iterator<Item = &String> {
        self.registers.iter().chain(&self.lists).chain(&self.deleted)
    }
}

/// Where a key's kind stands in its name: see [`Keys::of`].
fn is_list(key: &str) -> bool {
    key.contains('l')
}

enum Command {
    Get(String),
    MGet(Vec<String>),
    Set(String, u64),
    MSet(Vec<(String, u64)>),
    Append(String, u64),
    Del(Vec<String>),
    List(ListCommand),
}

/// One command by itself, or several between MULTI and EXEC.
pub struct Transaction {
    commands: Vec<Command>,
}

impl Transaction {
    pub fn random(rng: &mut Rng, keys: &Keys, fresh: &mut impl FnMut() -> u64) -> Transaction {
        let count = if rng.one_in(4) { 2 + rng.below(COMMANDS_MAX - 1) } else { 1 };
        Transaction { commands: (0..count).map(|_| Command::random(rng, keys, fresh)).collect() }
    }

    /// To be run while `key` is watched, and to do nothing if its value is another one.
    pub fn compare_and_set(key: &str, value: u64) -> Transaction {
        let (get, set) = (Command::Get(key.to_owned()), Command::Set(key.to_owned(), value));
        Transaction { commands: vec![get, set] }
    }

    pub fn read_all(keys: &Keys) -> Transaction {
        let strings = Command::MGet(keys.all().cloned().collect());
        let lists = keys.real_lists.reads().into_iter().map(Command::List);
        Transaction { commands: [strings].into_iter().chain(lists).collect() }
    }

    /// The command lines, each of which has a reply.
    pub fn requests(&self) -> Vec<Vec<String>> {
        let lines = self.commands.iter().map(Command::words);
        match self.commands.len() {
            1 => lines.collect(),
            _ => {
                let word = |name: &str| std::iter::once(vec![name.to_owned()]);
                word("MULTI").chain(lines).chain(word("EXEC")).collect()
            }
        }
    }

    /// What it may do as long as there is no reply.
    pub fn writes(&self) -> Vec<Op> {
        self.commands.iter().flat_map(Command::writes).collect()
    }

    /// What it did.
    pub fn ops(&self, replies: &[Value]) -> Vec<Op> {
        let replies = match replies.last() {
            Some(of_exec) if self.commands.len() > 1 => of_exec.items(),
            _ => replies,
        };
        assert_eq!(replies.len(), self.commands.len(), "{replies:?}");
        let answered = self.commands.iter().zip(replies);
        answered.flat_map(|(command, reply)| command.ops(reply)).collect()
    }
}

fn one(rng: &mut Rng, from: &[String]) -> String {
    from[rng.below(from.len())].clone()
}

/// Some of these keys, each once.
fn several<'k>(rng: &mut Rng, from: impl Iterator<Item = &'k String>) -> Vec<String> {
    let mut keys: Vec<String> = from.cloned().collect();
    let count = (2 + rng.below(KEYS_MAX - 1)).min(keys.len());
    (0..count).map(|_| keys.swap_remove(rng.below(keys.len()))).collect()
}

impl Command {
    fn random(rng: &mut Rng, keys: &Keys, fresh: &mut impl FnMut() -> u64) -> Command {
        let written = || keys.registers.iter().chain(&keys.deleted);
        if rng.one_in(4) {
            return Command::List(ListCommand::random(rng, &keys.real_lists, fresh));
        }
        match rng.below(20) {
            0..3 => Command::Get(one(rng, &keys.all().cloned().collect::<Vec<_>>())),
            3..8 => Command::MGet(several(rng, keys.all())),
            8..10 => Command::Set(one(rng, &written().cloned().collect::<Vec<_>>()), fresh()),
            10..14 => {
                let keys = several(rng, written());
                Command::MSet(keys.into_iter().map(|key| (key, fresh())).collect())
            }
            14..19 => Command::Append(one(rng, &keys.lists), fresh()),
            _ => match several(rng, keys.deleted.iter()) {
                names if rng.one_in(2) => Command::Del(names),
                names => Command::Del(names[..1].to_vec()),
            },
        }
    }

    fn words(&self) -> Vec<String> {
        let named = |name: &str, keys: &[String]| [&[name.to_owned()], keys].concat();
        match self {
            Command::Get(key) => named("GET", std::slice::from_ref(key)),
            Command::MGet(keys) => named("MGET", keys),
            Command::Set(key, value) => named("SET", &[key.clone(), value.to_string()]),
            Command::MSet(values) => {
                let pairs = values.iter().flat_map(|(key, value)| [key.clone(), value.to_string()]);
                named("MSET", &pairs.collect::<Vec<_>>())
            }
            Command::Append(key, element) => named("APPEND", &[key.clone(), format!("{element},")]),
            Command::Del(keys) => named("DEL", keys),
            Command::List(list) => list.words(),
        }
    }

    fn writes(&self) -> Vec<Op> {
        match self {
            Command::Get(_) | Command::MGet(_) => Vec::new(),
            Command::Set(key, value) => vec![Op::write(key, *value)],
            Command::MSet(values) => {
                values.iter().map(|(key, value)| Op::write(key, *value)).collect()
            }
            Command::Append(key, element) => vec![Op::append(key, *element)],
            Command::Del(keys) => keys.iter().map(|key| Op::delete(key)).collect(),
            Command::List(list) => list.writes(),
        }
    }

    fn ops(&self, reply: &Value) -> Vec<Op> {
        match (self, reply) {
            (Command::Get(key), value) => vec![read(key, value)],
            (Command::MGet(keys), Value::Array(values)) if keys.len() == values.len() => {
                keys.iter().zip(values).map(|(key, value)| read(key, value)).collect()
            }
            (Command::Del(keys), Value::Int(0)) => {
                keys.iter().map(|key| Op::read(key, None)).collect()
            }
            (Command::List(list), reply) => of_list(reply)
                .and_then(|reply| list.ops(&reply))
                .unwrap_or_else(|| panic!("{reply:?} to {list:?}")),
            (Command::Append(..) | Command::Del(_), Value::Int(1..)) => self.writes(),
            (Command::Set(..) | Command::MSet(_), reply) if *reply == Value::ok() => self.writes(),
            _ => panic!("{reply:?} to {:?}", self.words()),
        }
    }
}

/// The read of a key that had this value.
fn read(key: &str, value: &Value) -> Op {
    let text = match value {
        Value::NullBulk => None,
        Value::Bulk(text) => Some(str::from_utf8(text).expect("only numbers are written")),
        other => panic!("{key} read as {other:?}"),
    };
    let number = |text: &str| text.parse::<u64>().expect("only numbers are written");
    if !is_list(key) {
        return Op::read(key, text.map(number));
    }
    let text = text.unwrap_or_default();
    assert!(text.is_empty() || text.ends_with(','), "a torn element in {key}: {text}");
    let elements: Vec<u64> = text.split_terminator(',').map(number).collect();
    Op::read_list(key, &elements)
}

/// As the reply to a list command.
fn of_list(reply: &Value) -> Option<ListReply> {
    let text = |item: &Value| match item {
        Value::Bulk(text) => String::from_utf8(text.clone()).ok(),
        _ => None,
    };
    Some(match reply {
        Value::NullBulk | Value::NullArray => ListReply::Null,
        Value::Int(number) => ListReply::Integer(*number),
        Value::Bulk(_) => ListReply::Bulk(text(reply)?),
        Value::Array(items) => ListReply::Array(items.iter().map(text).collect::<Option<_>>()?),
        _ => return None,
    })
}
