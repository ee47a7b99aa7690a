//! Many clients that push and wait at once.
//!
//! In a [`run`] every byte is pushed once, by whatever means push, to keys of all shards, while
//! clients pop, wait, run out of time and vanish. In the end each byte is somewhere once, and nobody
//! waits at a key that has one.

use std::collections::BTreeMap;

use ringwell::txn::Fault;

use crate::history::{Value, command, multi};
use crate::world::{Rng, World};

use super::{KEYS, pass_on, pop, push};

const ROUNDS: usize = 60;
/// Printable, none of them twice.
const BYTES: std::ops::Range<u8> = b'!'..b'~';

/// What a client has asked for and not been answered.
enum Asked {
    Pop {
        keys: Vec<&'static str>,
        for_ever: bool,
    },
    Move {
        from: &'static str,
        for_ever: bool,
    },
    /// Replies to so many commands; elements that the last one returns are taken.
    Push {
        replies: usize,
        takes_back: Option<char>,
    },
}

struct Client {
    id: usize,
    asked: Option<Asked>,
}

struct Run {
    world: World,
    rng: Rng,
    shards: usize,
    unused: std::ops::Range<u8>,
    poppers: Vec<Client>,
    pushers: Vec<Client>,
    /// How often each byte has been given to a client.
    taken: BTreeMap<char, usize>,
    vanishing: Vanishing,
    /// Clients that went while something may have been on its way to them.
    vanished: usize,
}

/// When clients that wait vanish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vanishing {
    Never,
    /// While nothing is on its way to anybody: nothing may be lost.
    Quietly,
    /// At any moment. What has been taken for it by then is its own.
    Anyhow,
}

/// Bytes pushed, popped and waited for; the error says what is wrong with the outcome.
pub fn run(seed: u64, fault: Option<Fault>) -> Result<(), String> {
    let shards = if seed.is_multiple_of(5) { 1 } else { 4 };
    let mut world = World::new(shards, seed);
    if let Some(fault) = fault {
        world.plant(fault);
    }
    let client =
        |world: &mut World, n: usize| Client { id: world.connect(n % shards), asked: None };
    let poppers = (0..6).map(|n| client(&mut world, n)).collect();
    let pushers = (0..3).map(|n| client(&mut world, n + 2)).collect();
    let mut run = Run {
        world,
        rng: Rng::new(seed),
        shards,
        unused: BYTES,
        poppers,
        pushers,
        taken: BTreeMap::new(),
        vanishing: [Vanishing::Never, Vanishing::Quietly, Vanishing::Anyhow][seed as usize % 3],
        vanished: 0,
    };
    let outcome = run.record().and_then(|()| run.settle()).and_then(|()| run.check());
    let left = run.world.end();
    outcome?;
    run.world.take_overlooked()?;
    match left.is_empty() {
        true => Ok(()),
        false => Err(format!("something is left on shards {left:?}")),
    }
}

fn text(value: &Value) -> &str {
    match value {
        Value::Bulk(text) => text,
        _ => "?",
    }
}

impl Run {
    fn record(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS {
            for index in 0..self.poppers.len() {
                let (id, asked) = (self.poppers[index].id, self.poppers[index].asked.take());
                match self.collect(id, asked)? {
                    Some(asked) if self.rng.below(12) == 0 => self.vanish(index, asked)?,
                    Some(asked) => self.poppers[index].asked = Some(asked),
                    None if self.rng.below(3) > 0 => {
                        self.poppers[index].asked = Some(self.ask(id));
                    }
                    None => {}
                }
            }
            for index in 0..self.pushers.len() {
                let (id, asked) = (self.pushers[index].id, self.pushers[index].asked.take());
                let asked = self.collect(id, asked)?;
                self.pushers[index].asked = asked.or_else(|| self.push(id));
            }
            self.world.run_some();
            if self.rng.below(8) == 0 {
                self.world.wait_ms(20);
            }
        }
        Ok(())
    }

    /// Takes the replies to what a client has asked, if all are there.
    fn collect(&mut self, id: usize, asked: Option<Asked>) -> Result<Option<Asked>, String> {
        let Some(asked) = asked else { return Ok(None) };
        let replies = self.world.peek(id);
        let expected = match &asked {
            Asked::Pop { .. } | Asked::Move { .. } => 1,
            Asked::Push { replies, .. } => *replies,
        };
        if replies.len() < expected {
            return Ok(Some(asked));
        }
        self.world.received(id);
        if replies.len() > expected {
            return Err(format!("{} replies to one command: {replies:?}", replies.len()));
        }
        match asked {
            Asked::Pop { keys, for_ever } => self.popped(&replies[0], &keys, for_ever)?,
            Asked::Move { for_ever, .. } => match &replies[0] {
                Value::Bulk(byte) if byte.len() == 1 => {}
                Value::Null if !for_ever => {}
                other => return Err(format!("reply to BLMOVE: {other:?}")),
            },
            Asked::Push { takes_back: Some(byte), .. } => {
                let items = replies.last().map_or(&[][..], Value::items);
                let taken: String = match items.last().map(Value::items) {
                    None | Some([]) => {
                        return Err(format!(
                            "{byte} was pushed and is gone within an EXEC: {replies:?}"
                        ));
                    }
                    Some(taken) => taken.iter().map(text).collect(),
                };
                if !taken.ends_with(byte) {
                    return Err(format!("{byte} was pushed, and then there was {taken}"));
                }
                taken.chars().for_each(|byte| *self.taken.entry(byte).or_default() += 1);
            }
            Asked::Push { .. } => {}
        }
        Ok(None)
    }

    fn popped(&mut self, reply: &Value, keys: &[&str], for_ever: bool) -> Result<(), String> {
        match reply.items() {
            [Value::Bulk(key), Value::Bulk(byte)] if keys.contains(&&**key) && byte.len() == 1 => {
                byte.chars().for_each(|byte| *self.taken.entry(byte).or_default() += 1);
                Ok(())
            }
            [] if *reply == Value::Null && !for_ever => Ok(()),
            _ => Err(format!("reply to BLPOP {keys:?}: {reply:?}")),
        }
    }

    fn vanish(&mut self, index: usize, asked: Asked) -> Result<(), String> {
        let id = self.poppers[index].id;
        match self.vanishing {
            Vanishing::Never => {
                self.poppers[index].asked = Some(asked);
                return Ok(());
            }
            Vanishing::Quietly => {
                self.world.run_until_idle();
                self.collect(id, Some(asked))?;
            }
            Vanishing::Anyhow => self.vanished += 1,
        }
        self.world.disconnect(id);
        let core = self.rng.below(self.shards);
        self.poppers[index] = Client { id: self.world.connect(core), asked: None };
        Ok(())
    }

    fn ask(&mut self, id: usize) -> Asked {
        let timeout = ["0", "0", "0.03", "0.2"][self.rng.below(4)];
        let for_ever = timeout == "0";
        if self.rng.below(4) == 0 {
            let (from, to) = (self.key(), self.key());
            self.world.send(id, &pass_on(from, to, timeout));
            return Asked::Move { from, for_ever };
        }
        let keys: Vec<&str> = (0..1 + self.rng.below(3)).map(|_| self.key()).collect();
        self.world.send(id, &pop(&keys, timeout));
        Asked::Pop { keys, for_ever }
    }

    fn key(&mut self) -> &'static str {
        KEYS[self.rng.below(KEYS.len())]
    }

    /// Pushes a byte or two, if any are left.
    fn push(&mut self, id: usize) -> Option<Asked> {
        let one = char::from(self.unused.next()?);
        let (here, there) = (self.key(), self.key());
        let first = one.to_string();
        let odd = command(&["CLIENT", "ID"]);
        let (bytes, replies, takes_back) = match self.rng.below(9) {
            0 => {
                let side = format!("side{id}");
                let renames = command(&["RENAMENX", &side, here]);
                ([push(&side, &first), renames].concat(), 2, None)
            }
            1 => {
                let select = |db| command(&["SELECT", db]);
                let swap = command(&["SWAPDB", "0", "3"]);
                ([select("3"), push(here, &first), select("0"), swap].concat(), 4, None)
            }
            2 | 3 => {
                let mut commands = vec![push(here, &first), command(&["LPOP", here, "1000"])];
                if self.rng.below(2) == 0 {
                    // On several shards, or one after the other.
                    commands.insert(0, command(&["LLEN", there]));
                }
                if self.rng.below(2) == 0 {
                    commands.insert(1, odd);
                }
                let queued = commands.len();
                (multi(&commands), queued + 2, Some(one))
            }
            4 | 5 => {
                let two = self.unused.next().map(|byte| char::from(byte).to_string());
                let mut commands = vec![push(here, &first)];
                commands.extend(two.map(|two| push(there, &two)));
                if self.rng.below(3) == 0 {
                    commands.push(odd);
                }
                let queued = commands.len();
                (multi(&commands), queued + 2, None)
            }
            6 => {
                let two = self.unused.next().map(|byte| char::from(byte).to_string());
                (push(here, &(first + &two.unwrap_or_default())), 1, None)
            }
            _ => (push(here, &first), 1, None),
        };
        self.world.send(id, &bytes);
        Some(Asked::Push { replies, takes_back })
    }

    /// Until nothing moves any more and every timeout is over.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..3 {
            self.world.run_until_idle();
            self.world.wait_ms(500);
        }
        self.world.run_until_idle();
        for index in 0..self.pushers.len() {
            let (id, asked) = (self.pushers[index].id, self.pushers[index].asked.take());
            if self.collect(id, asked)?.is_some() {
                return Err("a push was not answered".to_owned());
            }
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        let stored = self.stored();
        for index in 0..self.poppers.len() {
            let (id, asked) = (self.poppers[index].id, self.poppers[index].asked.take());
            let keys = match self.collect(id, asked)? {
                None => continue,
                Some(Asked::Pop { keys, for_ever: true }) => keys,
                Some(Asked::Move { from, for_ever: true }) => vec![from],
                Some(_) => return Err("a time was over and nobody said so".to_owned()),
            };
            if let Some(key) = keys.iter().find(|key| stored.iter().any(|(k, _)| k == *key)) {
                return Err(format!("somebody waits for {keys:?}, and {key} has a byte"));
            }
            self.unblock(id)?;
        }
        for (_, bytes) in &stored {
            bytes.chars().for_each(|byte| *self.taken.entry(byte).or_default() += 1);
        }
        if let Some((byte, count)) = self.taken.iter().find(|(_, count)| **count > 1) {
            return Err(format!("{byte} is there {count} times"));
        }
        let pushed = usize::from(self.unused.start - BYTES.start);
        let lost = pushed - self.taken.len();
        if lost > self.vanished {
            return Err(format!("{lost} of {pushed} bytes are lost, {} clients", self.vanished));
        }
        Ok(())
    }

    /// CLIENT UNBLOCK reaches whoever still waits.
    fn unblock(&mut self, id: usize) -> Result<(), String> {
        let other = self.world.connect(0);
        let name = (id + 1).to_string();
        let reply = self.world.ask(other, &command(&["CLIENT", "UNBLOCK", &name]), 1);
        self.world.run_until_idle();
        match (&reply[..], &self.world.peek(id)[..]) {
            ([Value::Line(one)], [Value::Null]) if one == ":1" => Ok(()),
            other => Err(format!("CLIENT UNBLOCK: {other:?}")),
        }
    }

    /// What is left in the keys of db 0, and of others under other names.
    fn stored(&mut self) -> Vec<(String, String)> {
        let stored = self.world.stored().into_iter();
        let named = |((db, key), value)| match db {
            0 => (key, value),
            _ => (format!("{db}/{key}"), value),
        };
        stored.map(named).collect()
    }
}
