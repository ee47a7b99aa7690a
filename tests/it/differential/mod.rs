//! Differential tests: the same random commands to Ringwell and to a stock redis-server, and no
//! difference that is not explained.

mod explained;
mod generator;
mod shrink;
mod step;

use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::support::{Client, Need, Server, Value, encode, seed, test_with};
use generator::Generator;
use step::{Cmd, Step, agree};

/// In a skiplist whose scores differ, what a range of members has depends on chance: all sorted sets
/// are to be packed, but the few with many members.
const ARGS: [&str; 6] = [
    "--proto-max-bulk-len",
    "1mb",
    "--enable-debug-command",
    "yes",
    "--zset-max-listpack-value",
    "100000",
];
const COMMANDS: usize = 100_000;
/// Several, so that in Ringwell every shard is somebody's own and everybody else's remote.
const CONNECTIONS: usize = 4;
/// Enough to see what is wrong, not so many that one cause fills the screen.
const DIFFERENCES_MAX: usize = 8;
/// Of the history, how much may be replayed to make a failure small.
const HISTORY_MAX: usize = 5_000;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for shards in [1, 4] {
        for protocol in [2, 3] {
            let name = format!("differential::resp{protocol}_on_{shards}_shards");
            trials.push(test_with(&[Need::RedisServer], name.clone(), move || {
                settle(run(Arena::start(Server::ringwell(shards, &ARGS), protocol), &name))
            }));
        }
    }
    trials.push(test_with(&[Need::RedisServer], "differential::redis_equals_itself", || {
        settle(run(Arena::start(Server::redis(&ARGS), 3), "redis-server"))
    }));
    trials.push(test_with(&[Need::RedisServer], "differential::finds_a_difference", || {
        let mut args = ARGS;
        args[1] = "2mb";
        let result = run(Arena::start(Server::redis(&args), 2), "another redis-server");
        let failure = result.expect_err("a limit of 2 MB must not pass for one of 1 MB");
        assert!(failure.contains("SETRANGE"), "{failure}");
    }));
    trials
}

/// Both servers and the connections to them.
struct Arena {
    ringwell: Server,
    redis: Server,
    ours: Vec<Client>,
    theirs: Vec<Client>,
    protocol: u32,
}

/// A command that the servers answered differently.
struct Difference {
    cmd: Cmd,
    ours: String,
    theirs: String,
}

/// A command together with the connection it went over.
type Sent = (usize, Cmd);

fn settle(result: Result<String, String>) {
    match result {
        Ok(summary) => println!("{summary}"),
        Err(failure) => panic!("{failure}"),
    }
}

/// Sends the commands; returns a summary, or what differed.
fn run(mut arena: Arena, who: &str) -> Result<String, String> {
    let seed = seed();
    let mut generator = Generator::new(seed, now_ms());
    let mut history: Vec<(usize, Step)> = Vec::new();
    let mut failures = Vec::new();
    let mut explained = explained::Tally::default();
    let mut sent = 0;
    while sent < COMMANDS && failures.len() < DIFFERENCES_MAX {
        let step = generator.step();
        let connection = generator.rng().below(CONNECTIONS);
        sent += step.commands();
        let difference = arena.run(connection, &step, &mut explained);
        history.push((connection, step));
        if let Some(difference) = difference {
            failures.push(report(&mut arena, &history, &difference, sent));
            history.clear();
            arena.reset();
        }
    }
    if failures.is_empty() {
        return Ok(format!("{who}, seed {seed}, {sent} commands: {explained}"));
    }
    let all = failures.join("\n");
    Err(format!("RINGWELL_TESTS_SEED={seed} repeats this; after {sent} commands:\n{all}"))
}

fn report(
    arena: &mut Arena,
    history: &[(usize, Step)],
    difference: &Difference,
    sent: usize,
) -> String {
    let mut text = format!(
        "command {sent}: {:?}\n  ringwell     {}\n  redis-server {}\n  ",
        difference.cmd, difference.ours, difference.theirs
    );
    let flat = shrink::flatten(history, &difference.cmd, HISTORY_MAX);
    let recent = flat[flat.len().saturating_sub(40)..].to_vec();
    let (title, commands) = match shrink::minimal(arena, flat) {
        Some(minimal) => ("reproduced by (connection, command):", minimal),
        None => ("not reproduced command by command; before it came:", recent),
    };
    text.push_str(title);
    for (connection, cmd) in commands {
        text.push_str(&format!("\n    {connection}  {cmd:?}"));
    }
    text
}

impl Arena {
    fn start(ringwell: Server, protocol: u32) -> Arena {
        let redis = Server::redis(&ARGS);
        let mut arena = Arena { ringwell, redis, ours: Vec::new(), theirs: Vec::new(), protocol };
        arena.reset();
        arena
    }

    /// Empty databases and fresh connections.
    fn reset(&mut self) {
        let fresh = |server: &Server, protocol: u32| -> Vec<Client> {
            let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| server.connect()).collect();
            assert_eq!(clients[0].run("FLUSHALL"), Value::ok());
            for client in &mut clients {
                assert!(!client.run(&format!("HELLO {protocol}")).is_error());
            }
            clients
        };
        self.ours = fresh(&self.ringwell, self.protocol);
        self.theirs = fresh(&self.redis, self.protocol);
    }

    fn run(
        &mut self,
        connection: usize,
        step: &Step,
        explained: &mut explained::Tally,
    ) -> Option<Difference> {
        match step {
            Step::Pipeline(cmds) => cmds
                .split_inclusive(|cmd| cmd.waits)
                .find_map(|cmds| self.pipeline(connection, cmds, explained)),
            Step::Scan { line, cursor_at } => self.scan(connection, line, *cursor_at),
            Step::Choice(cmd) => self.choice(connection, cmd),
            Step::RandomKey => self.random_key(connection),
            Step::DbSize => self.db_size(connection),
        }
    }

    fn pipeline(
        &mut self,
        connection: usize,
        cmds: &[Cmd],
        explained: &mut explained::Tally,
    ) -> Option<Difference> {
        let bytes: Vec<u8> = cmds.iter().flat_map(|cmd| encode(cmd.args())).collect();
        let (ours, theirs) = (&mut self.ours[connection], &mut self.theirs[connection]);
        for client in [&mut *ours, &mut *theirs] {
            if let Err(error) = client.try_send(&bytes) {
                return Some(Difference::broken(&cmds[0], &error.to_string()));
            }
        }
        for cmd in cmds.iter().filter(|cmd| cmd.answered) {
            let ours = match ours.try_read_value() {
                Ok(value) => value,
                Err(problem) => return Some(Difference::broken(cmd, &problem)),
            };
            let theirs = theirs.read_value();
            if !agree(cmd.compare, &ours, &theirs) && !explained.explain(cmd, &ours, &theirs) {
                let (ours, theirs) = (format!("{ours:?}"), format!("{theirs:?}"));
                return Some(Difference { cmd: cmd.clone(), ours, theirs });
            }
        }
        if cmds.last().is_some_and(|cmd| cmd.waits) {
            std::thread::sleep(Duration::from_millis(4));
        }
        None
    }

    fn scan(&mut self, connection: usize, line: &[String], cursor_at: usize) -> Option<Difference> {
        let ours = scan_all(&mut self.ours[connection], line, cursor_at);
        let theirs = scan_all(&mut self.theirs[connection], line, cursor_at);
        let cmd = step::cmd([]).all(line.to_vec());
        let (ours, theirs) = (format!("{ours:?}"), format!("{theirs:?}"));
        (ours != theirs).then_some(Difference { cmd, ours, theirs })
    }

    /// What is left of the set afterwards differs, so it goes.
    fn choice(&mut self, connection: usize, cmd: &Cmd) -> Option<Difference> {
        let key = cmd.args().get(1).cloned().unwrap_or_default();
        let key = &key[..];
        let all: &[&[&[u8]]] = match () {
            () if cmd.is("HRANDFIELD") => &[&[b"HKEYS", key], &[b"HVALS", key]],
            () if cmd.is("ZRANDMEMBER") => &[&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]],
            () => &[&[b"SMEMBERS", key]],
        };
        let members = |client: &mut Client| -> Vec<Value> {
            let replies = all.iter().map(|all| client.command(all));
            let replies = replies.filter(|reply| !reply.is_error());
            replies.flat_map(|reply| flattened(&reply)).collect()
        };
        let look = |client: &mut Client| {
            let before = members(client);
            let chosen = client.command(cmd.args());
            let after = members(client);
            if chosen.is_error() {
                return format!("{chosen:?}");
            }
            let taken = before.len() - after.len();
            let all_were_there = are_among(&before, &chosen);
            let shape = match &chosen {
                Value::Bulk(_) => "a member".to_string(),
                Value::Array(members) => format!("an array of {}", members.len()),
                Value::Set(members) => format!("a set of {}", members.len()),
                other => format!("{other:?}"),
            };
            if cmd.is("SPOP") {
                client.command(&[b"DEL", key]);
            }
            format!("{shape}, of the set: {all_were_there}, taken: {taken}")
        };
        let ours = look(&mut self.ours[connection]);
        let theirs = look(&mut self.theirs[connection]);
        (ours != theirs).then(|| Difference { cmd: cmd.clone(), ours, theirs })
    }

    fn random_key(&mut self, connection: usize) -> Option<Difference> {
        let look = |client: &mut Client| {
            let key = client.run("RANDOMKEY");
            match &key {
                Value::Bulk(name) => {
                    let exists = client.command(&[b"EXISTS", &name[..]]);
                    format!("a key, EXISTS {exists:?}")
                }
                other => format!("{other:?}"),
            }
        };
        let ours = look(&mut self.ours[connection]);
        let theirs = look(&mut self.theirs[connection]);
        let cmd = step::cmd(["RANDOMKEY"]);
        (ours != theirs).then_some(Difference { cmd, ours, theirs })
    }
}

impl Arena {
    fn db_size(&mut self, connection: usize) -> Option<Difference> {
        const SOON: Duration = Duration::from_secs(3);
        let start = Instant::now();
        loop {
            let size = |client: &mut Client| {
                // Looking at a key drops it in Redis, if its time has come.
                client.command(generator::everything().args());
                client.run("DBSIZE")
            };
            let ours = size(&mut self.ours[connection]);
            let theirs = size(&mut self.theirs[connection]);
            if ours == theirs {
                return None;
            }
            if start.elapsed() > SOON {
                let cmd = step::cmd(["DBSIZE"]);
                let (ours, theirs) = (format!("{ours:?}"), format!("{theirs:?}"));
                return Some(Difference { cmd, ours, theirs });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Difference {
    fn broken(cmd: &Cmd, problem: &str) -> Difference {
        Difference { cmd: cmd.clone(), ours: problem.to_string(), theirs: "an answer".into() }
    }
}

/// Whether a reply holds nothing but these members, or is null.
fn are_among(members: &[Value], chosen: &Value) -> bool {
    match chosen {
        Value::Bulk(_) => members.contains(chosen),
        Value::Array(chosen) | Value::Set(chosen) => {
            chosen.iter().all(|chosen| are_among(members, chosen))
        }
        _ => true,
    }
}

/// The members of a reply, which RESP3 shows in pairs with their scores.
fn flattened(reply: &Value) -> Vec<Value> {
    match reply {
        Value::Array(items) | Value::Set(items) => items.iter().flat_map(flattened).collect(),
        other => vec![other.clone()],
    }
}

/// The names of a whole iteration, sorted, each once; or the error that ended it.
fn scan_all(client: &mut Client, line: &[String], cursor_at: usize) -> Result<Vec<Value>, Value> {
    const PAGES_MAX: usize = 10_000;
    let mut keys = Vec::new();
    let mut args = line.to_vec();
    for _ in 0..PAGES_MAX {
        let reply = client.command(&args);
        if reply.is_error() {
            return Err(reply);
        }
        let [next, page] = reply.items() else { panic!("not a page of SCAN: {reply:?}") };
        match line[0].as_str() {
            "HSCAN" => keys.extend(page.items().chunks(2).map(|pair| Value::Array(pair.to_vec()))),
            _ => keys.extend(page.items().iter().map(step::shortened)),
        }
        args[cursor_at] = next.text();
        if args[cursor_at] == "0" {
            keys.sort();
            keys.dedup();
            return Ok(keys);
        }
    }
    panic!("{line:?} has not come round after {PAGES_MAX} pages");
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970").as_millis() as u64
}
