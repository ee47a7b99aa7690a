//! Which connections may move to another core, and what becomes of them there.

use std::collections::VecDeque;

use super::super::event::{ConnControl, ConnId, Event, Now, Outbox, ShardId};
use super::super::{Engine, TICK_US};
use super::{engines, key_on, origin};
use crate::config::Config;
use crate::txn::Message;

/// Where a connection is.
#[derive(Clone, Copy, Debug)]
struct Client {
    core: ShardId,
    conn: ConnId,
}

/// Two cores; what a client is sent is taken when it is asked for.
struct Rig {
    engines: Vec<Engine>,
    inboxes: Vec<VecDeque<(ShardId, Message)>>,
    /// In the list of those with output.
    listed: Vec<ConnId>,
    control: Vec<(ConnId, ConnControl)>,
    now: Now,
    opened: u32,
}

impl Rig {
    fn new() -> Rig {
        Rig {
            engines: engines(2, Config::default()),
            inboxes: vec![VecDeque::new(), VecDeque::new()],
            listed: Vec::new(),
            control: Vec::new(),
            now: Now { unix_ms: 1_000_000, monotonic_us: 1_000_000_000 },
            opened: 0,
        }
    }

    fn pass(&mut self, core: ShardId, work: impl FnOnce(&mut Engine, Now, &mut Outbox)) {
        let (mut outbox, engine) = (Outbox::default(), &mut self.engines[core]);
        work(engine, self.now, &mut outbox);
        engine.end_pass(self.now, &mut outbox);
        engine.order(self.inboxes[core].is_empty(), &mut outbox);
        for (to, message) in outbox.messages.into_iter().chain(outbox.ordered) {
            self.inboxes[to].push_back((core, message));
        }
        self.listed.extend(outbox.output);
        self.control.extend(outbox.control);
    }

    fn handle(&mut self, core: ShardId, event: Event<'_>) {
        self.pass(core, |engine, now, outbox| engine.handle(now, event, outbox));
    }

    /// A place that nobody has had.
    fn place(&mut self) -> ConnId {
        self.opened += 1;
        ConnId { index: self.opened, generation: 0 }
    }

    fn open(&mut self, core: ShardId) -> Client {
        let conn = self.place();
        self.handle(core, Event::Open { conn, origin: origin(u64::from(self.opened)) });
        Client { core, conn }
    }

    fn send(&mut self, client: Client, bytes: impl AsRef<[u8]>) {
        self.handle(client.core, Event::Bytes { conn: client.conn, data: bytes.as_ref() });
    }

    /// Until no message is under way and nobody awaits a turn.
    fn run(&mut self) {
        loop {
            if let Some(core) = (0..2).find(|core| !self.inboxes[*core].is_empty()) {
                let Some((from, message)) = self.inboxes[core].pop_front() else { continue };
                self.handle(core, Event::Message { from, message });
            } else if let Some(core) = (0..2).find(|core| self.engines[*core].has_turns()) {
                self.tick(core);
            } else {
                return;
            }
        }
    }

    fn take_output(&mut self, client: Client) -> String {
        let mut bytes = Vec::new();
        self.engines[client.core].take_output(client.conn, &mut bytes);
        self.listed.retain(|conn| *conn != client.conn);
        String::from_utf8(bytes).expect("replies are text here")
    }

    /// All that there is for a client, and that it has been sent.
    fn replies(&mut self, client: Client) -> String {
        let mut all = String::new();
        loop {
            self.run();
            let text = self.take_output(client);
            if text.is_empty() {
                return all;
            }
            let sent = Event::Sent { conn: client.conn, bytes: text.len() };
            self.handle(client.core, sent);
            all.push_str(&text);
        }
    }

    fn ask(&mut self, client: Client, line: &str) -> String {
        self.send(client, format!("{line}\r\n"));
        self.replies(client)
    }

    fn tick(&mut self, core: ShardId) {
        self.handle(core, Event::Tick);
    }

    fn may_move(&mut self, client: Client) -> bool {
        let may = self.engines[client.core].may_move(client.conn);
        if !may {
            assert!(self.engines[client.core].give_up(client.conn).is_none());
        }
        may
    }

    fn move_to(&mut self, client: Client, core: ShardId, conn: ConnId) -> Client {
        let session = self.engines[client.core].give_up(client.conn).expect("it is at rest");
        self.pass(core, |engine, now, outbox| engine.take_over(now, conn, session, outbox));
        Client { core, conn }
    }

    /// What each core accounts for its sessions; it must be what they have.
    fn sessions(&self) -> [usize; 2] {
        [0, 1].map(|core| {
            let engine = &self.engines[core];
            assert_eq!(engine.core.memory.sessions(), engine.sessions.memory());
            engine.core.memory.sessions()
        })
    }

    fn client_memory(&self) -> isize {
        self.engines.iter().map(|engine| engine.core.memory.of_clients()).sum()
    }
}

/// How a client that was at rest comes to be in a state in which it may not move, and back.
struct State {
    name: &'static str,
    begin: fn(&mut Rig, Client),
    end: fn(&mut Rig, Client),
}

fn answered(rig: &mut Rig, client: Client) {
    assert_ne!(rig.replies(client), "");
}

/// It never is at rest again.
fn never(rig: &mut Rig, client: Client) {
    rig.replies(client);
    assert!(!rig.may_move(client));
    rig.handle(client.core, Event::Closed { conn: client.conn });
}

const STATES: [State; 18] = [
    State {
        name: "a command has come in part",
        begin: |rig, client| rig.send(client, "*1\r\n$4\r\nPI"),
        end: |rig, client| {
            rig.send(client, "NG\r\n");
            assert_eq!(rig.replies(client), "+PONG\r\n");
        },
    },
    State {
        name: "output is listed",
        begin: |rig, client| {
            rig.send(client, "PING\r\n");
            assert_eq!(rig.listed, [client.conn]);
        },
        end: answered,
    },
    State {
        name: "output is being sent",
        begin: |rig, client| {
            rig.send(client, "PING\r\n");
            assert_eq!(rig.take_output(client), "+PONG\r\n");
        },
        end: |rig, client| {
            rig.handle(client.core, Event::Sent { conn: client.conn, bytes: 3 });
            assert!(!rig.may_move(client), "part of it");
            rig.handle(client.core, Event::Sent { conn: client.conn, bytes: 4 });
        },
    },
    State {
        name: "a reply of another shard is outstanding",
        begin: |rig, client| rig.send(client, format!("GET {}\r\n", key_on(1))),
        end: answered,
    },
    State {
        name: "a reply that nobody wants is outstanding",
        begin: |rig, client| {
            rig.send(client, format!("CLIENT REPLY SKIP\r\nGET {}\r\n", key_on(1)));
        },
        end: |rig, client| assert_eq!(rig.replies(client), ""),
    },
    State {
        name: "output is held back for replies of another shard",
        begin: |rig, client| {
            rig.send(client, format!("PING\r\nGET {}\r\n", key_on(1)));
            assert_eq!(rig.listed, []);
        },
        end: answered,
    },
    State {
        name: "a command over several shards is under way",
        begin: |rig, client| {
            rig.send(client, format!("MGET {} {}\r\n", key_on(0), key_on(1)));
        },
        end: answered,
    },
    State {
        name: "a command of every core is under way",
        begin: |rig, client| rig.send(client, "CLIENT LIST\r\n"),
        end: answered,
    },
    State {
        name: "an EXEC is under way whose commands run in turn",
        begin: |rig, client| {
            let (here, there) = (key_on(0), key_on(1));
            rig.send(client, format!("MULTI\r\nMGET {here} {there}\r\nDBSIZE\r\nEXEC\r\n"));
        },
        end: answered,
    },
    State {
        name: "a command waits for the replies to those before it",
        begin: |rig, client| {
            let (here, there) = (key_on(0), key_on(1));
            rig.send(client, format!("GET {there}\r\nMGET {here} {there}\r\n"));
        },
        end: answered,
    },
    State {
        name: "a MULTI block is queued",
        begin: |rig, client| assert_eq!(rig.ask(client, "MULTI"), "+OK\r\n"),
        end: |rig, client| assert_eq!(rig.ask(client, "DISCARD"), "+OK\r\n"),
    },
    State {
        name: "a key is watched",
        begin: |rig, client| {
            let watch = format!("WATCH {}", key_on(1));
            assert_eq!(rig.ask(client, &watch), "+OK\r\n");
        },
        end: |rig, client| assert_eq!(rig.ask(client, "UNWATCH"), "+OK\r\n"),
    },
    State {
        name: "it waits for data",
        begin: |rig, client| {
            assert_eq!(rig.ask(client, &format!("BLPOP {} 0", key_on(1))), "");
        },
        end: |rig, client| {
            let other = rig.open(1);
            assert_eq!(rig.ask(other, &format!("RPUSH {} x", key_on(1))), ":1\r\n");
            answered(rig, client);
        },
    },
    State {
        name: "it is paused",
        begin: |rig, client| {
            let other = rig.open(1);
            assert_eq!(rig.ask(other, "CLIENT PAUSE 1000 ALL"), "+OK\r\n");
            assert!(rig.may_move(client), "it has not noticed");
            assert_eq!(rig.ask(client, "PING"), "");
        },
        end: |rig, client| {
            rig.now.monotonic_us += 2_000_000;
            rig.tick(client.core);
            assert_eq!(rig.replies(client), "+PONG\r\n");
        },
    },
    State {
        name: "it awaits its turn",
        begin: |rig, client| {
            let other = rig.open(1);
            assert_eq!(rig.ask(other, "CLIENT PAUSE 1000 ALL"), "+OK\r\n");
            rig.send(client, "PING\r\n".repeat(20_000));
            rig.now.monotonic_us += 2_000_000;
            rig.tick(client.core);
            assert!(rig.engines[client.core].has_turns());
            let text = rig.take_output(client);
            rig.handle(client.core, Event::Sent { conn: client.conn, bytes: text.len() });
        },
        end: answered,
    },
    State {
        name: "its client does not read",
        begin: |rig, client| {
            let echo = format!("*2\r\n$4\r\nECHO\r\n$300000\r\n{}\r\n", "x".repeat(300_000));
            rig.send(client, echo.repeat(5));
        },
        end: answered,
    },
    State {
        name: "it is closing",
        begin: |rig, client| {
            assert_eq!(rig.ask(client, "QUIT"), "+OK\r\n");
            assert_eq!(rig.control.pop(), Some((client.conn, ConnControl::CloseAfterOutput)));
        },
        end: never,
    },
    State {
        name: "it has been killed",
        begin: |rig, client| {
            let other = rig.open(1);
            let id = client.conn.index;
            assert_eq!(rig.ask(other, &format!("CLIENT KILL ID {id}")), ":1\r\n");
            assert_eq!(rig.control.pop(), Some((client.conn, ConnControl::CloseNow)));
        },
        end: never,
    },
];

#[test]
fn only_a_connection_at_rest_may_move() {
    for State { name, begin, end } in STATES {
        let mut rig = Rig::new();
        let client = rig.open(0);
        assert!(rig.may_move(client), "before: {name}");
        begin(&mut rig, client);
        assert!(!rig.may_move(client), "{name}");
        end(&mut rig, client);
        let is_there = rig.engines[0].sessions.get_mut(client.conn).is_some();
        assert_eq!(rig.may_move(client), is_there, "afterwards: {name}");
        rig.sessions();
    }
}

#[test]
fn who_has_gone_or_moved_does_not_move() {
    let mut rig = Rig::new();
    let (gone, moved) = (rig.open(0), rig.open(0));
    rig.handle(0, Event::Closed { conn: gone.conn });
    assert!(!rig.may_move(gone));
    let place = rig.place();
    let there = rig.move_to(moved, 1, place);
    assert!(!rig.may_move(moved) && rig.may_move(there));
    // The end of the connection that it was is not the end of the one that it is.
    rig.handle(0, Event::Closed { conn: moved.conn });
    assert_eq!(rig.ask(there, "PING"), "+PONG\r\n");
}

#[test]
fn it_goes_on_as_the_same_client() {
    let mut rig = Rig::new();
    let (client, observer) = (rig.open(0), rig.open(1));
    rig.ask(client, "HELLO 3");
    for line in ["CLIENT SETNAME me", "CLIENT SETINFO lib-name mine", "SELECT 3"] {
        assert_eq!(rig.ask(client, line), "+OK\r\n");
    }
    for line in ["CLIENT NO-EVICT ON", "CLIENT NO-TOUCH ON"] {
        assert_eq!(rig.ask(client, line), "+OK\r\n");
    }
    assert_eq!(rig.ask(client, &format!("SET {} v", key_on(0))), "+OK\r\n");
    // The other core's clock may be a little behind.
    rig.now.monotonic_us += 5_000_000;
    let state = |rig: &mut Rig| {
        let id = client.conn.index;
        let list = rig.ask(observer, &format!("CLIENT LIST ID {id}"));
        let clients = rig.ask(observer, "INFO clients");
        (list, clients)
    };
    let before = state(&mut rig);
    assert!(before.0.contains(" name=me age=5 idle=5 flags=UeT db=3 "), "{}", before.0);
    assert!(before.0.contains(" cmd=set ") && before.0.contains(" resp=3 lib-name=mine"));
    assert!(before.1.contains("connected_clients:2\r\n"), "{}", before.1);
    let commands = |rig: &mut Rig, client: Client| {
        let session = rig.engines[client.core].sessions.get_mut(client.conn);
        let session = session.expect("it is there");
        (session.client.commands, session.client.input_bytes, session.client.authenticated)
    };
    let counted = commands(&mut rig, client);
    let place = rig.place();
    let client = rig.move_to(client, 1, place);
    assert_eq!(state(&mut rig), before);
    assert_eq!(commands(&mut rig, client), counted);
    assert_eq!(rig.ask(client, "CLIENT ID"), ":1\r\n");
    assert_eq!(rig.ask(client, "CLIENT GETNAME"), "$2\r\nme\r\n");
    assert_eq!(rig.ask(client, &format!("GET {}", key_on(0))), "$1\r\nv\r\n");
    assert_eq!(rig.ask(client, "GET nosuch"), "_\r\n");
    assert_eq!(commands(&mut rig, client).0, counted.0 + 4);
    // And back, by a clock that has not come as far.
    rig.now.monotonic_us -= 6_000_000;
    let place = rig.place();
    let client = rig.move_to(client, 0, place);
    let info = rig.ask(client, "CLIENT INFO");
    assert!(info.contains(" name=me age=0 idle=0 flags=UeT db=3 "), "{info}");
}

/// What CLIENT REPLY was asked for holds for the next command, wherever that comes.
#[test]
fn replies_that_are_not_wanted_do_not_come_elsewhere_either() {
    let mut rig = Rig::new();
    let client = rig.open(0);
    assert_eq!(rig.ask(client, "CLIENT REPLY SKIP"), "");
    let place = rig.place();
    let client = rig.move_to(client, 1, place);
    assert_eq!(rig.ask(client, "PING"), "");
    assert_eq!(rig.ask(client, "PING"), "+PONG\r\n");
    assert_eq!(rig.ask(client, "CLIENT REPLY OFF"), "");
    let place = rig.place();
    let client = rig.move_to(client, 0, place);
    assert_eq!(rig.ask(client, "PING"), "");
    assert_eq!(rig.ask(client, "CLIENT REPLY ON"), "+OK\r\n");
}

#[test]
fn its_memory_is_on_one_account_at_any_time() {
    let mut rig = Rig::new();
    let (client, _other) = (rig.open(0), rig.open(1));
    rig.ask(client, &format!("GET {}", key_on(1)));
    rig.ask(client, "CLIENT SETNAME me");
    // So that buffers between the cores are none of what is compared.
    rig.now.monotonic_us += 10 * TICK_US;
    let ([here, there], all) = (rig.sessions(), rig.client_memory());
    assert!(here > 0 && there > 0);
    let session = rig.engines[0].give_up(client.conn).expect("it is at rest");
    assert_eq!((rig.sessions(), rig.client_memory()), ([0, there], all), "on its way");
    assert!(rig.engines[0].sessions.is_empty());
    let conn = rig.place();
    rig.pass(1, |engine, now, outbox| engine.take_over(now, conn, session, outbox));
    assert_eq!((rig.sessions(), rig.client_memory()), ([0, there + here], all));
    assert_eq!([0, 1].map(|core| rig.engines[core].sessions.len()), [0, 2]);
    rig.handle(1, Event::Closed { conn });
    assert_eq!((rig.sessions(), rig.client_memory()), ([0, there], all - here as isize));
    assert!(rig.engines.iter().all(Engine::is_at_rest));
}

/// As for a connection that was just accepted.
#[test]
fn its_place_may_be_taken_before_it_was_given_up() {
    let mut rig = Rig::new();
    let (client, predecessor) = (rig.open(0), rig.open(1));
    assert_eq!(rig.ask(predecessor, &format!("WATCH {} {}", key_on(0), key_on(1))), "+OK\r\n");
    rig.ask(client, "CLIENT SETNAME me");
    let conn = ConnId { generation: 1, ..predecessor.conn };
    let [here, _] = rig.sessions();
    let client = rig.move_to(client, 1, conn);
    rig.handle(1, Event::Closed { conn: predecessor.conn });
    assert_eq!(rig.ask(client, "CLIENT GETNAME"), "$2\r\nme\r\n");
    assert_eq!(rig.engines[1].sessions.len(), 1);
    assert!(rig.sessions()[1] >= here);
    assert!(rig.engines.iter().all(Engine::is_at_rest), "nobody watches any more");
}
