//! The simulated machine: engines, their inboxes, and clients.

#[cfg(debug_assertions)]
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;

use ringwell::access::Peer;
use ringwell::config::{Config, Permission};
use ringwell::engine::{
    ClientOrigin, ConnControl, ConnId, Engine, EngineSetup, Event, Host, HostFacts, Now, Outbox,
    Shared,
};
use ringwell::session::Session;
#[cfg(debug_assertions)]
use ringwell::store::value::packed::Packed;
use ringwell::store::{CollectionRef, List, ScanCursor};
#[cfg(debug_assertions)]
use ringwell::txn::Fault;
use ringwell::txn::Message;
pub use ringwell_test_support::Rng;

use crate::history::{Value, values};
use crate::threads::Threads;
use crate::trace::{Trace, described, shown};

pub struct NoHost;

impl Host for NoHost {
    fn facts(&self) -> HostFacts {
        HostFacts::default()
    }
}

/// What lies in a core's inbox.
enum Parcel {
    Message(usize, Message),
    /// A connection comes from another core.
    Arrival(usize, Box<Session>),
}

struct Core {
    engine: Engine,
    inbox: VecDeque<Parcel>,
}

/// How connections at rest move to other cores, as the server's drivers have them. What decides is
/// drawn apart, so that it leaves the rest of a seed as it is.
struct Moves {
    rng: Rng,
    /// One is tried once in so many times that it could be.
    one_in: usize,
    count: usize,
    /// Planted: the core that it leaves may still have something in its inbox.
    inbox_ignored: bool,
}

impl Moves {
    fn new(seed: u64) -> Moves {
        let mut rng = Rng::new(!seed);
        let one_in = [2, 8, 32, 128][rng.below(4)];
        Moves { rng, one_in, count: 0, inbox_ignored: false }
    }
}

struct Client {
    core: usize,
    conn: ConnId,
    /// On its way to its core; nothing is delivered meanwhile.
    moving: bool,
    /// Sent and not yet delivered.
    outgoing: VecDeque<u8>,
    received: Vec<u8>,
    paused: bool,
    open: bool,
    /// Takes what the server sends; otherwise the kernel's buffers count as full.
    reads: bool,
    /// Closed at once by the server.
    dropped: bool,
}

/// What a pass takes from the inbox.
enum Incoming {
    Message(usize, Message),
    Session(ConnId, Box<Session>),
    /// The connection has ended on its way.
    End(ConnId),
}

pub struct World {
    cores: Vec<Core>,
    threads: Threads,
    clients: Vec<Client>,
    rng: Rng,
    now: Now,
    /// `None` where each connection stays where it is.
    moves: Option<Moves>,
    /// Bytes that messages have carried for multi-shard commands: what they ask, find and change.
    pub carried_bytes: usize,
    trace: Trace,
    /// A mistake has been planted, so what it leads to is no reason to stop.
    planted: bool,
    /// The first client that was overlooked because of it.
    overlooked: Option<String>,
}

impl World {
    /// A world in which threads run the cores as the seed decides, and connections at rest move
    /// between the cores, often or seldom as the seed will.
    pub fn new(shards: usize, seed: u64) -> Self {
        let mut world = World::still(shards, seed);
        let sets = (0..shards).map(|core| world.threads.take(core)).collect();
        world.threads = Threads::shared(sets, seed);
        let threads = world.threads.described();
        world.trace.line(|| threads);
        world.moves = (shards > 1).then(|| Moves::new(seed));
        world
    }

    /// As [`World::still`], but each core is run by the thread that is named for it.
    pub fn on_threads(of_core: &[usize], seed: u64) -> Self {
        let mut world = World::still(of_core.len(), seed);
        world.threads.assign(of_core);
        world
    }

    /// A world in which every core has a thread of its own, and every connection stays at the core
    /// that it was opened at.
    pub fn still(shards: usize, seed: u64) -> Self {
        let config = Config { enable_debug_command: Permission::Yes, ..Config::default() };
        let config = Arc::new(config);
        let shared = Shared::new(shards, config, Box::new(NoHost), 0, "0".repeat(40));
        let shared = Arc::new(shared);
        let cores = (0..shards).map(|shard| {
            let setup =
                EngineSetup { shard, shards, shared: Arc::clone(&shared), seed, stopwatch: || 0 };
            Core { engine: Engine::new(setup), inbox: VecDeque::new() }
        });
        let mut cores: Vec<Core> = cores.collect();
        let sets = cores.iter_mut().map(|core| core.engine.take_shards()).collect();
        let now = Now { unix_ms: 1_700_000_000_000, monotonic_us: 1 };
        let mut trace = if crate::replayed_seed().is_some() { Trace::Print } else { Trace::Off };
        trace.line(|| format!("--- a world with {shards} shards, seed {seed}"));
        World {
            cores,
            threads: Threads::apart(sets, seed),
            clients: Vec::new(),
            rng: Rng::new(seed),
            now,
            moves: None,
            carried_bytes: 0,
            trace,
            planted: false,
            overlooked: None,
        }
    }

    /// From now on the trace is kept.
    pub fn keep_trace(&mut self) {
        self.trace = Trace::Keep(String::new());
    }

    pub fn kept_trace(&mut self) -> String {
        match std::mem::take(&mut self.trace) {
            Trace::Keep(lines) => lines,
            Trace::Off | Trace::Print => String::new(),
        }
    }

    #[cfg(debug_assertions)]
    pub fn plant(&mut self, fault: Fault) {
        for core in 0..self.cores.len() {
            self.with_engine(core, |engine| engine.plant(fault));
        }
        self.planted = true;
    }

    /// What a planted mistake has done to clients that wait for data. Without one, that ends the
    /// test where it happens.
    #[cfg(debug_assertions)]
    pub fn take_overlooked(&mut self) -> Result<(), String> {
        self.overlooked.take().map_or(Ok(()), Err)
    }

    /// What the shards hold, by database and key: looked up from outside, since any command might
    /// mend what it is to find.
    #[cfg(debug_assertions)]
    pub fn stored(&mut self) -> BTreeMap<(usize, String), String> {
        let mut stored = BTreeMap::new();
        let now = self.now.unix_ms;
        let mut look = |engine: &mut Engine| {
            for (index, db) in engine.store().dbs().enumerate() {
                let mut cursor = Some(ScanCursor::default());
                while let Some(from) = cursor {
                    cursor = db.scan(from, 100, now, |entry| {
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        let value = match entry.collection::<List>() {
                            Err(_) => text(&entry.as_string().expect("strings and lists")),
                            Ok(CollectionRef::Packed(run)) => {
                                Packed::new(run).iter().map(|e| text(&e.to_vec())).collect()
                            }
                            Ok(CollectionRef::Object(list)) => {
                                list.iter().map(|e| text(&e.to_vec())).collect()
                            }
                        };
                        stored.insert((index, text(entry.key())), value);
                    });
                }
            }
        };
        (0..self.cores.len()).for_each(|core| self.with_engine(core, &mut look));
        stored
    }

    pub fn connect(&mut self, core: usize) -> usize {
        let client = self.clients.len();
        let conn = ConnId { index: client as u32, generation: 1 };
        let origin = self.origin(client);
        self.clients.push(Client {
            core,
            conn,
            moving: false,
            outgoing: VecDeque::new(),
            received: Vec::new(),
            paused: false,
            open: true,
            reads: true,
            dropped: false,
        });
        self.trace.line(|| format!("client {client} connects to core {core}"));
        self.pass(core, |engine, now, outbox| {
            engine.handle(now, Event::Open { conn, origin }, outbox);
        });
        client
    }

    pub fn disconnect(&mut self, client: usize) {
        self.clients[client].open = false;
        let (core, conn) = (self.clients[client].core, self.clients[client].conn);
        self.trace.line(|| format!("client {client} is gone"));
        if self.clients[client].moving {
            // Its new core will see.
            return;
        }
        self.pass(core, |engine, now, outbox| {
            engine.handle(now, Event::Closed { conn }, outbox);
        });
    }

    /// Sends a request and steps until so many replies to it are there, and no further.
    pub fn ask(&mut self, client: usize, request: &[u8], replies: usize) -> Vec<Value> {
        self.send(client, request);
        let mut steps = 0;
        loop {
            let values = values(&self.clients[client].received);
            if values.len() >= replies {
                assert_eq!(values.len(), replies, "{values:?}");
                self.clients[client].received.clear();
                return values;
            }
            self.step();
            steps += 1;
            assert!(steps < 100_000, "no reply to {}", String::from_utf8_lossy(request));
        }
    }

    /// As [`World::disconnect`], but another connection has its place before its end is told.
    pub fn replace(&mut self, client: usize) {
        while self.clients[client].moving {
            self.step_of(self.clients[client].core);
        }
        self.clients[client].open = false;
        let (core, old) = (self.clients[client].core, self.clients[client].conn);
        let conn = ConnId { generation: old.generation + 1, ..old };
        let origin = self.origin(client);
        self.clients[client].conn = conn;
        self.pass(core, |engine, now, outbox| {
            engine.handle(now, Event::Open { conn, origin }, outbox);
            engine.handle(now, Event::Closed { conn: old }, outbox);
        });
    }

    fn origin(&self, client: usize) -> ClientOrigin {
        ClientOrigin {
            id: client as u64 + 1,
            peer: Peer::Unix,
            addr: "/sim:0".into(),
            laddr: "/sim:0".into(),
            fd: client as i32,
        }
    }

    pub fn is_open(&self, client: usize) -> bool {
        self.clients[client].open
    }

    /// From now on nothing more can be sent to the client.
    pub fn stop_reading(&mut self, client: usize) {
        self.clients[client].reads = false;
    }

    /// Lets time go by, with a tick of every core at its end.
    pub fn wait_ms(&mut self, millis: u64) {
        self.now.monotonic_us += millis * 1000;
        self.now.unix_ms += millis;
        self.trace.line(|| format!("{millis} ms go by"));
        for core in 0..self.cores.len() {
            self.pass(core, |engine, now, outbox| engine.handle(now, Event::Tick, outbox));
        }
    }

    pub fn send(&mut self, client: usize, bytes: &[u8]) {
        self.clients[client].outgoing.extend(bytes);
    }

    /// What the client has received since the last call.
    pub fn received(&mut self, client: usize) -> Vec<u8> {
        std::mem::take(&mut self.clients[client].received)
    }

    /// The replies that the client has received since, without taking them.
    pub fn peek(&self, client: usize) -> Vec<Value> {
        values(&self.clients[client].received)
    }

    pub fn preload(&mut self, keys: &[&str], value: &str) {
        let client = self.connect(0);
        self.send(client, &crate::history::mset(keys, value));
        self.run_until_idle();
        assert_eq!(self.received(client), b"+OK\r\n");
    }

    /// A few steps, chosen by the seed.
    pub fn run_some(&mut self) {
        for _ in 0..self.rng.below(20) {
            self.step();
        }
    }

    pub fn run_until_idle(&mut self) {
        let mut steps = 0;
        while self.is_busy() {
            self.step();
            steps += 1;
            assert!(steps < 200_000, "the engines never come to rest");
        }
    }

    fn is_busy(&self) -> bool {
        self.is_working() || self.cores.iter().any(|core| !core.inbox.is_empty())
    }

    /// Whether there is anything to do but to take connections over.
    fn is_working(&self) -> bool {
        let is_message = |parcel: &Parcel| matches!(parcel, Parcel::Message(..));
        self.cores.iter().any(|core| core.engine.has_turns() || core.inbox.iter().any(is_message))
            || self.clients.iter().any(|c| c.open && !c.paused && !c.outgoing.is_empty())
    }

    /// Passes of one core only.
    pub fn run_only(&mut self, core: usize, passes: usize) {
        for _ in 0..passes {
            self.step_of(core);
        }
    }

    /// Whether some of what the client sends has not been delivered.
    pub fn has_unsent(&self, client: usize) -> bool {
        !self.clients[client].outgoing.is_empty()
    }

    pub fn was_dropped(&self, client: usize) -> bool {
        self.clients[client].dropped
    }

    fn step(&mut self) {
        if let Some((core, to)) = self.threads.change() {
            self.trace.line(|| format!("core {core} is handed to thread {to}"));
        }
        let core = self.rng.below(self.cores.len());
        self.step_of(core);
    }

    /// One pass of one core: some of its inbox, some of its clients' bytes.
    fn step_of(&mut self, core: usize) {
        self.now.monotonic_us += 1 + self.rng.next() % 100;
        let parcels = self.rng.below(self.cores[core].inbox.len() + 1);
        let parcels: Vec<Parcel> = self.cores[core].inbox.drain(..parcels).collect();
        let mut requests = Vec::new();
        let is_read = |c: &&mut Client| c.core == core && !c.moving && c.open && !c.paused;
        for client in self.clients.iter_mut().filter(is_read) {
            let bytes = self.rng.below(client.outgoing.len() + 1);
            let bytes: Vec<u8> = client.outgoing.drain(..bytes).collect();
            if !bytes.is_empty() {
                requests.push((client.conn, bytes));
            }
        }
        let now_us = self.now.monotonic_us;
        self.trace.line(|| format!("core {core} runs at {now_us} us"));
        let mut events = Vec::new();
        for parcel in parcels {
            match parcel {
                Parcel::Message(from, message) => {
                    self.trace
                        .line(|| format!("    takes from core {from}:{}", described(&message)));
                    events.push(Incoming::Message(from, message));
                }
                Parcel::Arrival(client, session) => {
                    self.trace.line(|| format!("    takes client {client} over"));
                    let client = &mut self.clients[client];
                    client.moving = false;
                    events.push(Incoming::Session(client.conn, session));
                    if !client.open {
                        events.push(Incoming::End(client.conn));
                    }
                }
            }
        }
        for (conn, data) in &requests {
            self.trace.line(|| format!("    takes from client {}: {}", conn.index, shown(data)));
        }
        self.pass(core, |engine, now, outbox| {
            if engine.has_turns() {
                engine.handle(now, Event::Tick, outbox);
            }
            for event in events {
                match event {
                    Incoming::Message(from, message) => {
                        engine.handle(now, Event::Message { from, message }, outbox);
                    }
                    Incoming::Session(conn, session) => {
                        engine.take_over(now, conn, session, outbox);
                    }
                    Incoming::End(conn) => engine.handle(now, Event::Closed { conn }, outbox),
                }
            }
            for (conn, data) in &requests {
                engine.handle(now, Event::Bytes { conn: *conn, data }, outbox);
            }
        });
        self.may_move(None);
    }

    /// Perhaps a connection moves, of any core but the one that is in the middle of a pass.
    ///
    /// The rule is the drivers': it leaves a core only if it is at rest and nothing is in that
    /// core's inbox, and is put into the other one's at that moment.
    fn may_move(&mut self, running: Option<usize>) {
        let is_time = self.moves.as_mut().is_some_and(|moves| moves.rng.one_in(moves.one_in));
        // Where nothing else is to be done it would go on for ever.
        if !is_time || !self.is_working() {
            return;
        }
        let Some(moves) = &mut self.moves else { return };
        let index = moves.rng.below(self.clients.len());
        let client = &mut self.clients[index];
        let from = client.core;
        let to = (from + 1 + moves.rng.below(self.cores.len() - 1)) % self.cores.len();
        let is_elsewhere = client.moving || !client.open || running == Some(from);
        if is_elsewhere || !self.cores[from].inbox.is_empty() && !moves.inbox_ignored {
            return;
        }
        let Some(session) = self.cores[from].engine.give_up(client.conn) else { return };
        self.trace.line(|| format!("client {index} moves from core {from} to core {to}"));
        (client.core, client.moving) = (to, true);
        client.conn.generation += 1;
        self.cores[to].inbox.push_back(Parcel::Arrival(index, session));
        moves.count += 1;
    }

    /// Connections move as often as they can.
    pub fn move_often(&mut self) {
        self.moves.iter_mut().for_each(|moves| moves.one_in = 1);
    }

    /// From now on connections may leave a core although something is in its inbox: a mistake.
    #[cfg(debug_assertions)]
    pub fn ignore_inboxes(&mut self) {
        self.moves.iter_mut().for_each(|moves| moves.inbox_ignored = true);
    }

    /// How often a connection has moved.
    pub fn moved(&self) -> usize {
        self.moves.as_ref().map_or(0, |moves| moves.count)
    }

    /// Has the engine do something while it has the shards of its thread.
    fn with_engine<R>(&mut self, core: usize, work: impl FnOnce(&mut Engine) -> R) -> R {
        let engine = &mut self.cores[core].engine;
        engine.give_shards(self.threads.take(core));
        let result = work(engine);
        self.threads.put_back(core, engine.take_shards());
        result
    }

    /// A pass of this core, and of those whose shards it has run something on.
    fn pass(&mut self, core: usize, work: impl FnOnce(&mut Engine, Now, &mut Outbox)) {
        self.pass_of_one(core, work);
        while let Some(touched) = self.threads.next_touched(core) {
            self.trace.line(|| format!("  core {touched} has been touched"));
            self.pass_of_one(touched, |_, _, _| {});
        }
    }

    fn pass_of_one(&mut self, core: usize, work: impl FnOnce(&mut Engine, Now, &mut Outbox)) {
        self.cores[core].engine.give_shards(self.threads.take(core));
        self.pass_with_shards(core, work);
        let shards = self.cores[core].engine.take_shards();
        self.threads.put_back(core, shards);
    }

    fn pass_with_shards(&mut self, core: usize, work: impl FnOnce(&mut Engine, Now, &mut Outbox)) {
        let mut outbox = Outbox::default();
        work(&mut self.cores[core].engine, self.now, &mut outbox);
        self.end_pass(core, &mut outbox);
        let mut resend = Outbox::default();
        for conn in outbox.output.drain(..) {
            if !self.clients[conn.index as usize].reads {
                continue;
            }
            let mut bytes = Vec::new();
            let engine = &mut self.cores[core].engine;
            engine.take_output(conn, &mut bytes);
            self.trace.line(|| format!("    reply to client {}: {}", conn.index, shown(&bytes)));
            let client = &mut self.clients[conn.index as usize];
            if client.open {
                client.received.extend_from_slice(&bytes);
            }
            engine.handle(self.now, Event::Sent { conn, bytes: bytes.len() }, &mut resend);
        }
        self.end_pass(core, &mut resend);
        for (conn, control) in outbox.control.drain(..) {
            self.trace.line(|| format!("    client {}: {control:?}", conn.index));
            let client = &mut self.clients[conn.index as usize];
            client.dropped |= control == ConnControl::CloseNow;
            match control {
                ConnControl::PauseReading => client.paused = true,
                ConnControl::ResumeReading => client.paused = false,
                ConnControl::CloseNow | ConnControl::CloseAfterOutput => client.open = false,
            }
        }
        if !resend.is_empty() {
            self.absorb(core, resend);
        }
    }

    fn end_pass(&mut self, core: usize, outbox: &mut Outbox) {
        self.cores[core].engine.end_pass(self.now, outbox);
        for (to, message) in outbox.messages.drain(..) {
            self.deliver(core, to, message);
            // These are put into the inboxes one by one; those below under one mutex.
            self.may_move(Some(core));
        }
        let inbox_is_empty = self.cores[core].inbox.is_empty();
        self.cores[core].engine.order(inbox_is_empty, outbox);
        for (to, message) in outbox.ordered.drain(..) {
            self.deliver(core, to, message);
        }
        #[cfg(debug_assertions)]
        if let Err(text) = self.cores[core].engine.check_waiters() {
            self.trace.line(|| format!("    overlooks somebody: {text}"));
            assert!(self.planted, "core {core} overlooks somebody: {text}");
            self.overlooked.get_or_insert(text);
        }
    }

    fn deliver(&mut self, from: usize, to: usize, message: Message) {
        self.trace.line(|| format!("    sends to core {to}:{}", described(&message)));
        self.carried_bytes += match &message {
            Message::Part(part) => part.work.bytes(),
            Message::PartDone(done) => done.result.bytes(),
            Message::Release(release) => release.bytes(),
            _ => 0,
        };
        self.cores[to].inbox.push_back(Parcel::Message(from, message));
    }

    /// All clients go, and the machine with them. Returns the shards with something left.
    pub fn end(&mut self) -> Vec<usize> {
        for client in 0..self.clients.len() {
            self.disconnect(client);
        }
        self.run_until_idle();
        self.clients.clear();
        let cores = self.cores.len();
        let is_busy = |core: &usize| !self.with_engine(*core, |engine| engine.is_at_rest());
        let busy = (0..cores).filter(is_busy).collect();
        self.cores.clear();
        busy
    }

    /// What followed from output having been sent.
    fn absorb(&mut self, core: usize, more: Outbox) {
        for (conn, control) in more.control {
            self.trace.line(|| format!("    client {}: {control:?}", conn.index));
            self.clients[conn.index as usize].paused = control == ConnControl::PauseReading;
        }
        if !more.output.is_empty() {
            self.pass_with_shards(core, |_, _, outbox| outbox.output = more.output);
        }
    }
}

/// When all clients have gone, nothing of theirs is left: no lock, no watch, no command under way.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let left = self.end();
        assert!(left.is_empty(), "something is left on shards {left:?}");
    }
}
