//! Clients that wait for data: POP-BYTE and MOVE-BYTE, which wait as BLPOP and BLMOVE do.
//!
//! In a [`run`] every byte is pushed once, by whatever means push, to keys of all shards, while
//! clients pop, wait, run out of time and vanish. In the end each byte is somewhere once, and nobody
//! waits at a key that has one.

use std::collections::BTreeMap;

use ringwell::txn::Fault;

use crate::for_each_seed;
use crate::history::{Value, command, multi};
use crate::world::{Rng, World};

/// By their hash slots on different shards of four, most of them.
const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
const ROUNDS: usize = 60;
/// Printable, none of them twice.
const BYTES: std::ops::Range<u8> = b'!'..b'~';

fn pop(keys: &[&str], timeout: &str) -> Vec<u8> {
    command(&[&["DEBUG", "POP-BYTE"], keys, &[timeout]].concat())
}

fn append(key: &str, bytes: &str) -> Vec<u8> {
    command(&["APPEND", key, bytes])
}

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
    /// Replies to so many commands; bytes in strings that the last one returns are taken.
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
    match left.is_empty() {
        true => Ok(()),
        false => Err(format!("something is left on shards {left:?}")),
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
                other => return Err(format!("reply to MOVE-BYTE: {other:?}")),
            },
            Asked::Push { takes_back: Some(byte), .. } => {
                let items = replies.last().map_or(&[][..], Value::items);
                let Some(Value::Bulk(bytes)) = items.last() else {
                    return Err(format!(
                        "{byte} was pushed and is gone within an EXEC: {replies:?}"
                    ));
                };
                if !bytes.ends_with(byte) {
                    return Err(format!("{byte} was pushed, and then there was {bytes}"));
                }
                bytes.chars().for_each(|byte| *self.taken.entry(byte).or_default() += 1);
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
            _ => Err(format!("reply to POP-BYTE {keys:?}: {reply:?}")),
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
            self.world.send(id, &command(&["DEBUG", "MOVE-BYTE", from, to, timeout]));
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
                ([append(&side, &first), renames].concat(), 2, None)
            }
            1 => {
                let select = |db| command(&["SELECT", db]);
                let swap = command(&["SWAPDB", "0", "3"]);
                ([select("3"), append(here, &first), select("0"), swap].concat(), 4, None)
            }
            2 | 3 => {
                let mut commands = vec![append(here, &first), command(&["GETDEL", here])];
                if self.rng.below(2) == 0 {
                    // On several shards, or one after the other.
                    commands.insert(0, command(&["STRLEN", there]));
                }
                if self.rng.below(2) == 0 {
                    commands.insert(1, odd);
                }
                let queued = commands.len();
                (multi(&commands), queued + 2, Some(one))
            }
            4 | 5 => {
                let two = self.unused.next().map(|byte| char::from(byte).to_string());
                let mut commands = vec![append(here, &first)];
                commands.extend(two.map(|two| append(there, &two)));
                if self.rng.below(3) == 0 {
                    commands.push(odd);
                }
                let queued = commands.len();
                (multi(&commands), queued + 2, None)
            }
            6 => {
                let two = self.unused.next().map(|byte| char::from(byte).to_string());
                (append(here, &(first + &two.unwrap_or_default())), 1, None)
            }
            _ => (append(here, &first), 1, None),
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

    /// What is left in the keys of db 0, and of db 3 under other names.
    fn stored(&mut self) -> Vec<(String, String)> {
        let reader = self.world.connect(0);
        let mut stored = Vec::new();
        for db in ["0", "3"] {
            self.world.ask(reader, &command(&["SELECT", db]), 1);
            let keys = self.world.ask(reader, &command(&["KEYS", "*"]), 1);
            for key in keys[0].items() {
                let Value::Bulk(key) = key else { continue };
                let value = self.world.ask(reader, &command(&["GET", key]), 1);
                let Value::Bulk(value) = &value[0] else { continue };
                let name = if db == "0" { key.clone() } else { format!("{db}/{key}") };
                stored.push((name, value.clone()));
            }
        }
        stored
    }
}

#[test]
fn what_is_pushed_is_taken_once() {
    for_each_seed(|seed| {
        if let Err(text) = run(seed, None) {
            panic!("{text}");
        }
    });
}

/// Who came first is served first, whichever core its connection is on, and a client gets the bytes
/// of one push in order with those before and behind it in the queue.
pub fn first_come_first_served(seed: u64, fault: Option<Fault>) -> Result<(), String> {
    let mut world = World::new(4, seed);
    if let Some(fault) = fault {
        world.plant(fault);
    }
    let mut rng = Rng::new(seed);
    let key = KEYS[rng.below(KEYS.len())];
    let waiting: Vec<usize> = (0..8).map(|_| world.connect(rng.below(4))).collect();
    for &client in &waiting {
        let keys = [KEYS[rng.below(KEYS.len())], key];
        world.send(client, &pop(&keys[rng.below(2)..], "0"));
        world.run_until_idle();
    }
    let pusher = world.connect(rng.below(4));
    for bytes in ["1", "23", "456", "78"] {
        world.send(pusher, &append(key, bytes));
        world.run_some();
    }
    world.run_until_idle();
    let mut outcome = Ok(());
    for (client, byte) in waiting.into_iter().zip('1'..) {
        let expected = Value::Array(vec![Value::Bulk(key.into()), Value::Bulk(byte.into())]);
        let got = world.peek(client);
        if got != [expected] {
            outcome = Err(format!("number {byte} in the queue got {got:?}"));
        }
    }
    world.end();
    outcome
}

#[test]
fn who_came_first_is_served_first() {
    for_each_seed(|seed| {
        if let Err(text) = first_come_first_served(seed, None) {
            panic!("{text}");
        }
    });
}

/// In a MULTI block nobody waits, and nobody can tell how many shards there are.
#[test]
fn in_a_multi_block_nobody_waits() {
    for_each_seed(|seed| {
        let mut rng = Rng::new(seed);
        let mut commands = Vec::new();
        for n in 0..40 {
            let mut key = || KEYS[rng.below(KEYS.len())];
            let (one, two, three) = (key(), key(), key());
            commands.push(multi(&[
                append(one, &(n % 10).to_string()),
                pop(&[two, three], "0"),
                command(&["DEBUG", "MOVE-BYTE", three, one, "5"]),
                command(&["MGET", "a", "b", "c", "d", "e"]),
            ]));
        }
        let one = crate::same_replies_on_one_and_four_shards(seed, &commands);
        assert_eq!(crate::history::values(&one).len(), 40 * 6);
    });
}

/// Who has been killed, as far as the killer knows, gets nothing any more.
#[test]
fn nothing_is_taken_for_who_has_been_killed() {
    for shards in [1, 4] {
        for keys in [&["a"][..], &["a", "b", "c", "d"]] {
            let mut world = World::new(shards, 1);
            let (waiting, killer) = (world.connect(0), world.connect(0));
            world.send(waiting, &pop(keys, "0"));
            world.run_until_idle();
            let name = (waiting + 1).to_string();
            let killed = world.ask(killer, &command(&["CLIENT", "KILL", "ID", &name]), 1);
            assert!(matches!(&killed[..], [Value::Line(one)] if one == ":1"), "{killed:?}");
            world.ask(killer, &append("a", "x"), 1);
            world.run_until_idle();
            let left = world.ask(killer, &command(&["GET", "a"]), 1);
            assert_eq!(left, [Value::Bulk("x".into())], "{shards} shards, {keys:?}");
        }
    }
}

/// As redis-server does: BLPOP with a timeout that is no number is a call that has failed.
#[test]
fn a_wrong_timeout_counts_as_a_call_that_failed() {
    let mut world = World::new(4, 1);
    let client = world.connect(0);
    world.ask(client, &pop(&["a"], "soon"), 1);
    let stats = world.ask(client, &command(&["INFO", "commandstats"]), 1);
    let Value::Bulk(stats) = &stats[0] else { panic!("{stats:?}") };
    let line = stats.lines().find(|line| line.starts_with("cmdstat_debug|pop-byte"));
    assert!(
        line.is_some_and(|line| line.contains("calls=1,") && line.ends_with("failed_calls=1")),
        "{line:?}"
    );
}

/// The attempt for a client of MOVE-BYTE is under way when its time is over or it is unblocked: what
/// it was told holds.
#[test]
fn an_attempt_under_way_ends_one_way_or_the_other() {
    for_each_seed(|seed| {
        let mut world = World::new(4, seed);
        let mut rng = Rng::new(seed);
        let (waiting, pusher) = (world.connect(rng.below(4)), world.connect(rng.below(4)));
        let asker = world.connect(rng.below(4));
        let popper = world.connect(rng.below(4));
        let behind = command(&["ECHO", "behind"]);
        let waits = command(&["DEBUG", "MOVE-BYTE", "a", "b", "0.05"]);
        world.send(waiting, &[waits, behind].concat());
        world.run_until_idle();
        world.send(pusher, &append("a", "x"));
        world.run_some();
        if rng.below(2) == 0 {
            world.send(popper, &command(&["GETDEL", "a"]));
        }
        let end = rng.below(4);
        match end {
            0 => world.wait_ms(60),
            1 => {
                let name = (waiting + 1).to_string();
                world.send(asker, &command(&["CLIENT", "UNBLOCK", &name]));
            }
            2 => world.disconnect(waiting),
            _ => world.replace(waiting),
        }
        world.run_until_idle();
        world.wait_ms(60);
        world.run_until_idle();
        world.wait_ms(60);
        world.run_until_idle();
        let got = world.peek(waiting);
        let popped = world.peek(popper);
        let reader = world.connect(0);
        let stored = world.ask(reader, &command(&["MGET", "a", "b"]), 1);
        let there = format!("{popped:?} {stored:?}");
        assert_eq!(there.matches("Bulk(\"x\")").count(), 1, "{there}");
        let moved = stored[0].items()[1] == Value::Bulk("x".into());
        match &got[..] {
            [reply, behind] => {
                assert_eq!(*behind, Value::Bulk("behind".into()));
                assert_eq!(matches!(reply, Value::Bulk(_)), moved, "{reply:?}, {there}");
            }
            other => assert!(other.is_empty() && end > 1, "end {end}: {other:?}"),
        }
    });
}

/// Bytes that are only moved stay, however those end who wait to move them.
#[test]
fn what_is_moved_is_never_lost() {
    for_each_seed(|seed| {
        let shards = 1 + seed as usize % 4;
        let mut world = World::new(shards, seed);
        let mut rng = Rng::new(seed);
        let mut movers: Vec<usize> = (0..8).map(|n| world.connect(n % shards)).collect();
        let (pusher, asker) = (world.connect(0), world.connect(shards - 1));
        let mut pushed = 0;
        for _ in 0..80 {
            let at = rng.below(movers.len());
            let id = movers[at];
            match rng.below(12) {
                0 => world.replace(id),
                1 => {
                    world.disconnect(id);
                    movers[at] = world.connect(rng.below(shards));
                }
                2 | 3 => {
                    let name = (id + 1).to_string();
                    world.send(asker, &command(&["CLIENT", "UNBLOCK", &name, "ERROR"]));
                }
                4 => world.wait_ms(15),
                5 => {
                    let (one, two) = (KEYS[rng.below(5)], KEYS[rng.below(5)]);
                    world.send(pusher, &command(&["RENAMENX", one, two]));
                }
                6 | 7 => {
                    world.send(pusher, &append(KEYS[rng.below(5)], "x"));
                    pushed += 1;
                }
                8 => {
                    let commands: Vec<_> =
                        (0..1 + rng.below(3)).map(|_| append(KEYS[rng.below(5)], "x")).collect();
                    pushed += commands.len();
                    world.send(pusher, &multi(&commands));
                }
                _ => {
                    let timeout = ["0", "0.01", "0.02"][rng.below(3)];
                    let (one, two) = (KEYS[rng.below(5)], KEYS[rng.below(5)]);
                    world.send(id, &command(&["DEBUG", "MOVE-BYTE", one, two, timeout]));
                    if rng.below(4) == 0 {
                        world.send(id, &pop(&["never", "nowhere"], "0.01"));
                    }
                }
            }
            if rng.below(2) == 0 {
                world.run_some();
            }
        }
        for _ in 0..20 {
            world.run_until_idle();
            world.wait_ms(30);
        }
        let reader = world.connect(0);
        let stored = world.ask(reader, &command(&[&["MGET"], &KEYS[..]].concat()), 1);
        let text = format!("{stored:?}");
        assert_eq!(text.matches('x').count(), pushed, "{text}");
    });
}

/// Whatever command brings a byte, whoever waits gets it; and an emptied database keeps its waiters.
#[test]
fn every_command_that_brings_a_byte_serves() {
    let pushes = [
        "SET a x",
        "SET a x EX 100",
        "SETNX a x",
        "SETEX a 100 x",
        "PSETEX a 100000 x",
        "GETSET a x",
        "APPEND a x",
        "SETRANGE a 0 x",
        "INCR a",
        "DECR a",
        "INCRBY a 5",
        "INCRBYFLOAT a 1.5",
        "MSET b y a x",
        "MSETNX b y a x",
        "MSETNX a x",
        "RENAME s a",
        "RENAMENX s a",
        "COPY s a",
        "COPY s a REPLACE",
        "DEBUG MOVE-BYTE s a 0",
    ];
    for shards in [1, 2, 4] {
        for push in pushes {
            for waits in ["POP", "MOVE"] {
                for flush in [None, Some("FLUSHALL"), Some("FLUSHDB")] {
                    let mut world = World::new(shards, 1);
                    let (waiting, other) = (world.connect(0), world.connect(shards - 1));
                    world.ask(other, &command(&["SET", "a", ""]), 1);
                    world.ask(other, &command(&["DEL", "a"]), 1);
                    let bytes = match waits {
                        "POP" => pop(&["z", "a"], "0"),
                        _ => command(&["DEBUG", "MOVE-BYTE", "a", "z", "0"]),
                    };
                    world.send(waiting, &bytes);
                    world.run_until_idle();
                    if let Some(flush) = flush {
                        world.ask(other, &command(&["SET", "a", ""]), 1);
                        world.ask(other, &command(&[flush]), 1);
                    }
                    world.ask(other, &command(&["SET", "s", "x"]), 1);
                    let words: Vec<&str> = push.split(' ').collect();
                    world.ask(other, &command(&words), 1);
                    world.run_until_idle();
                    let got = world.peek(waiting);
                    assert!(got.len() == 1, "{push} {waits} {flush:?} {shards}: {got:?}");
                }
            }
        }
    }
}

/// CLIENT UNBLOCK says 0 of a client that does not wait. Then it must not wait afterwards.
#[test]
fn who_could_not_be_unblocked_has_been_served() {
    for_each_seed(|seed| {
        let mut world = World::new(4, seed);
        let mut rng = Rng::new(seed);
        let (waiting, pusher) = (world.connect(rng.below(4)), world.connect(rng.below(4)));
        let asker = world.connect(rng.below(4));
        world.send(waiting, &command(&["DEBUG", "MOVE-BYTE", "a", "b", "0"]));
        world.run_until_idle();
        world.send(pusher, &[append("a", "x"), command(&["GETDEL", "a"])].concat());
        world.run_some();
        let name = (waiting + 1).to_string();
        let unblocked = world.ask(asker, &command(&["CLIENT", "UNBLOCK", &name]), 1);
        world.run_until_idle();
        let got = world.peek(waiting);
        assert_eq!(got.len(), 1, "seed {seed}: UNBLOCK said {unblocked:?}");
    });
}

/// A push serves who waits before the pusher's next command can take it, as in Redis.
#[test]
fn nobody_overtakes_who_waits_to_move() {
    for_each_seed(|seed| {
        let mut world = World::new(4, seed);
        let mut rng = Rng::new(seed);
        let (waiting, pusher) = (world.connect(rng.below(4)), world.connect(rng.below(4)));
        world.send(waiting, &command(&["DEBUG", "MOVE-BYTE", "a", "b", "0"]));
        world.run_until_idle();
        let mut pushes = 0;
        while world.peek(waiting).is_empty() {
            pushes += 1;
            world.send(pusher, &[append("a", "x"), pop(&["a"], "0.001")].concat());
            world.run_until_idle();
            world.wait_ms(5);
        }
        assert_eq!(pushes, 1, "seed {seed}");
    });
}
