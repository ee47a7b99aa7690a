//! `cargo bench --bench crossing`: what it costs to ask another core, without sockets.
//!
//! Each core has sixteen connections, which send pipelines of GETs as soon as the last one is
//! answered. Three times the same work: one core, which has the keys itself; two cores that one thread
//! runs, as while the load is light, each asked for the other's keys; and two cores on two pinned
//! threads, likewise, with channels between them as the server's inboxes have. Prints nanoseconds of
//! CPU per request, of all threads together, medians of the rounds. What a thread spends on waiting
//! for the other is not counted, and no core sleeps.
//!
//! Options after `--`: `--rounds N`, `--requests N` (of each core and round),
//! `--only PIPELINE` (for a profiler).

#[allow(dead_code, reason = "this bench has its own passes")]
mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rig::{BareHost, command};
use ringwell::access::Peer;
use ringwell::config::Config;
use ringwell::engine::{
    ClientOrigin, ConnId, Engine, EngineSetup, Event, Now, Outbox, ShardId, Shared,
};
use ringwell::txn::{Message, shard_of_key};

const CONNECTIONS: usize = 16;
const VALUE: usize = 64;
/// `$64`, the value, and two ends of line.
const REPLY_BYTES: usize = VALUE + 7;
const PARCELS_MAX: usize = 1024;
const NOW: Now = Now { unix_ms: 1_700_000_000_000, monotonic_us: 1 };

type Parcel = (ShardId, Message);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1)?.parse::<usize>().ok()
    };
    let rounds = option("--rounds").unwrap_or(7).max(1);
    let requests = option("--requests").unwrap_or(400_000) as u64;
    println!("CPU per request, ns; more than on the own core in brackets\n");
    println!("| pipeline | own core | neighbour, same thread | core of another thread |");
    println!("|--:|--:|--:|--:|");
    for pipeline in [1, 4, 16, 64] {
        if option("--only").is_some_and(|only| only != pipeline) {
            continue;
        }
        let mut taken = [const { Vec::new() }; 3];
        for _ in 0..rounds {
            for (row, place) in taken.iter_mut().zip([&[1][..], &[2], &[1, 1]]) {
                row.push(run(place, pipeline, requests));
            }
        }
        let [own, neighbour, other] = taken.map(|mut of_rounds: Vec<f64>| {
            of_rounds.sort_by(f64::total_cmp);
            of_rounds[of_rounds.len() / 2]
        });
        let (near, far) = (neighbour - own, other - own);
        println!(
            "| {pipeline} | {own:.0} | {neighbour:.0} ({near:+.0}) | {other:.0} ({far:+.0}) |"
        );
    }
}

/// Nanoseconds of CPU per request, with so many cores on each thread.
fn run(cores_of_threads: &[usize], pipeline: usize, requests: u64) -> f64 {
    let cores: usize = cores_of_threads.iter().sum();
    let config = Arc::new(Config::default());
    let shared = Shared::new(cores, config, Box::new(BareHost), 0, "0".repeat(40));
    let (shared, served) = (Arc::new(shared), Arc::new(AtomicU64::new(0)));
    let (post, mut inboxes): (Vec<_>, Vec<_>) = (0..cores).map(|_| unbounded::<Parcel>()).unzip();
    let (post, all) = (Arc::new(post), requests * cores as u64);
    let mut first = 0;
    let mut threads = Vec::new();
    for (number, &count) in cores_of_threads.iter().enumerate() {
        let (shared, post) = (Arc::clone(&shared), Arc::clone(&post));
        let (served, mine) = (Arc::clone(&served), first..first + count);
        let inboxes: Vec<_> = inboxes.drain(..count).collect();
        first += count;
        threads.push(std::thread::spawn(move || {
            if let Some(cpus) = core_affinity::get_core_ids().filter(|cpus| !cpus.is_empty()) {
                core_affinity::set_for_current(cpus[number % cpus.len()]);
            }
            let mut thread = Thread::new(mine, &shared, &post, inboxes, pipeline);
            // Buffers grow, and both are there, before it counts.
            thread.serve(&served, all / 4);
            (thread.cpu_ns, thread.requests) = (0, 0);
            thread.serve(&served, all + all / 4);
            (thread.cpu_ns, thread.requests)
        }));
    }
    let counts = threads.into_iter().map(|thread| thread.join().expect("a thread"));
    let (cpu_ns, requests) = counts.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    cpu_ns as f64 / requests as f64
}

/// A thread and the cores that it runs.
struct Thread {
    cores: Vec<Core>,
    /// Which of them has the shards of all.
    holder: usize,
    cpu_ns: u64,
    requests: u64,
}

struct Core {
    id: ShardId,
    engine: Engine,
    post: Arc<Vec<Sender<Parcel>>>,
    inbox: Receiver<Parcel>,
    outbox: Outbox,
    pipeline: usize,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Bytes of replies that each connection awaits.
    awaited: Vec<usize>,
    ready: Vec<ConnId>,
}

impl Thread {
    fn new(
        ids: std::ops::Range<ShardId>,
        shared: &Arc<Shared>,
        post: &Arc<Vec<Sender<Parcel>>>,
        inboxes: Vec<Receiver<Parcel>>,
        pipeline: usize,
    ) -> Thread {
        let core = |(shard, inbox)| {
            let (shards, shared) = (post.len(), Arc::clone(shared));
            let setup = EngineSetup { shard, shards, shared, seed: 1, stopwatch: || 0 };
            Core::new(Engine::new(setup), shard, Arc::clone(post), inbox, pipeline)
        };
        let mut cores: Vec<Core> = ids.zip(inboxes).map(core).collect();
        let mut sets = cores.iter_mut().map(|core| core.engine.take_shards());
        let mut shards = sets.next().expect("a core");
        sets.for_each(|set| shards.adopt(set));
        cores[0].engine.give_shards(shards);
        Thread { cores, holder: 0, cpu_ns: 0, requests: 0 }
    }

    /// Until all cores together have been answered so often.
    fn serve(&mut self, served: &AtomicU64, until: u64) {
        let began = thread_cpu_ns();
        let mut idle_ns = 0;
        while served.load(Ordering::Relaxed) < until {
            if !self.has_work() {
                let waits = thread_cpu_ns();
                while !self.has_work() && served.load(Ordering::Relaxed) < until {
                    std::thread::yield_now();
                }
                idle_ns += thread_cpu_ns() - waits;
            }
            let answered: u64 = (0..self.cores.len()).map(|at| self.pass(at)).sum();
            self.requests += answered;
            served.fetch_add(answered, Ordering::Relaxed);
        }
        self.cpu_ns += thread_cpu_ns() - began - idle_ns;
    }

    fn has_work(&self) -> bool {
        self.cores.iter().any(|core| !core.ready.is_empty() || !core.inbox.is_empty())
    }

    /// A pass of a core, and of those whose shards it has run something on, as the driver's.
    fn pass(&mut self, at: usize) -> u64 {
        self.turn_to(at).take_events();
        self.cores[at].end_pass();
        while let Some(touched) = self.cores[self.holder].engine.next_touched() {
            let at = self.cores.iter().position(|core| core.id == touched).expect("a neighbour");
            self.turn_to(at).end_pass();
        }
        self.turn_to(at).answered()
    }

    fn turn_to(&mut self, at: usize) -> &mut Core {
        if at != self.holder {
            let shards = self.cores[self.holder].engine.take_shards();
            self.cores[at].engine.give_shards(shards);
            self.holder = at;
        }
        &mut self.cores[at]
    }
}

impl Core {
    fn new(
        engine: Engine,
        id: ShardId,
        post: Arc<Vec<Sender<Parcel>>>,
        inbox: Receiver<Parcel>,
        pipeline: usize,
    ) -> Core {
        let cores = post.len();
        let keys = |owner: usize| {
            let keys = (0..).map(|number| format!("key:{number:012}"));
            keys.filter(move |key| shard_of_key(key.as_bytes(), cores) == owner).take(64)
        };
        let asked = keys((id + 1) % cores).cycle().take(pipeline);
        let input = asked.flat_map(|key| command(&["GET", &key]).into_bytes()).collect();
        let mut core = Core {
            id,
            engine,
            post,
            inbox,
            outbox: Outbox::default(),
            pipeline,
            input,
            output: Vec::new(),
            awaited: vec![0; CONNECTIONS],
            ready: Vec::new(),
        };
        for index in 0..CONNECTIONS {
            let conn = ConnId { index: index as u32, generation: 1 };
            let id = (id * CONNECTIONS + index + 1) as u64;
            let (addr, laddr) = (String::new(), String::new());
            let origin = ClientOrigin { id, peer: Peer::Unix, addr, laddr, fd: 3 };
            core.engine.handle(NOW, Event::Open { conn, origin }, &mut core.outbox);
            core.ready.push(conn);
        }
        let (first, value) = (core.ready[0], "v".repeat(VALUE));
        for key in keys(id) {
            let set = command(&["SET", &key, &value]);
            let event = Event::Bytes { conn: first, data: set.as_bytes() };
            core.engine.handle(NOW, event, &mut core.outbox);
        }
        core.engine.end_pass(NOW, &mut core.outbox);
        core.take_output(first);
        core.outbox.output.clear();
        core
    }

    fn take_events(&mut self) {
        for conn in std::mem::take(&mut self.ready) {
            self.awaited[conn.index as usize] = self.pipeline * REPLY_BYTES;
            let event = Event::Bytes { conn, data: &self.input };
            self.engine.handle(NOW, event, &mut self.outbox);
        }
        for (from, message) in self.inbox.try_iter().take(PARCELS_MAX) {
            self.engine.handle(NOW, Event::Message { from, message }, &mut self.outbox);
        }
    }

    fn end_pass(&mut self) {
        self.engine.end_pass(NOW, &mut self.outbox);
        for (to, message) in self.outbox.messages.drain(..) {
            // Only who has been answered often enough has gone.
            let _ = self.post[to].send((self.id, message));
        }
    }

    /// How many requests have been answered in this pass.
    fn answered(&mut self) -> u64 {
        let mut answered = 0;
        let mut output = std::mem::take(&mut self.outbox.output);
        for conn in output.drain(..) {
            let bytes = self.take_output(conn);
            let awaited = &mut self.awaited[conn.index as usize];
            *awaited = awaited.checked_sub(bytes).expect("no more than was asked for");
            if bytes > 0 && *awaited == 0 {
                answered += self.pipeline as u64;
                self.ready.push(conn);
            }
        }
        self.outbox.output = output;
        answered
    }

    fn take_output(&mut self, conn: ConnId) -> usize {
        self.output.clear();
        self.engine.take_output(conn, &mut self.output);
        let bytes = self.output.len();
        self.engine.handle(NOW, Event::Sent { conn, bytes }, &mut self.outbox);
        bytes
    }
}

/// Processor time of the calling thread.
fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills a structure that lives during the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
