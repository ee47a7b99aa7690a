//! Which cores are run by which threads of the simulated machine. Those of one thread are
//! neighbours: whoever of them runs has the shards of all. A core may be handed to another thread
//! whenever none of them runs.

use ringwell::engine::ShardSet;
use ringwell_test_support::Rng;

use crate::history::{command, mget, mset, multi};
use crate::world::World;

/// One of so many worlds has a thread for every core.
const APART: usize = 4;
/// Between one of so many passes and the next, a core changes its thread.
const HANDED_OVER: usize = 16;

pub struct Threads {
    /// By core.
    of_core: Vec<usize>,
    /// By thread; empty while one of its cores runs.
    shards: Vec<ShardSet>,
    /// Apart from the world's, which chooses what happens whoever runs it.
    rng: Rng,
    changing: bool,
}

impl Threads {
    /// Every core has a thread of its own, and keeps it.
    pub fn apart(shards: Vec<ShardSet>, seed: u64) -> Threads {
        let of_core = (0..shards.len()).collect();
        Threads { of_core, shards, rng: Rng::new(seed ^ 0x7468_7265_6164), changing: false }
    }

    /// Every core has the thread that is named here, and keeps it.
    pub fn assign(&mut self, of_core: &[usize]) {
        of_core.iter().enumerate().for_each(|(core, &to)| self.hand_over(core, to));
    }

    /// In most worlds, as the seed decides, threads share the cores and hand them on.
    pub fn shared(shards: Vec<ShardSet>, seed: u64) -> Threads {
        let mut threads = Threads::apart(shards, seed);
        let count = threads.shards.len();
        if count > 1 && threads.rng.below(APART) > 0 {
            threads.changing = true;
            for core in 0..count {
                let to = threads.rng.below(count);
                threads.hand_over(core, to);
            }
        }
        threads
    }

    /// Between two passes: whether a core changes its thread now, and if so which, and to which.
    pub fn change(&mut self) -> Option<(usize, usize)> {
        if !self.changing || self.rng.below(HANDED_OVER) > 0 {
            return None;
        }
        let (core, to) = (self.rng.below(self.of_core.len()), self.rng.below(self.of_core.len()));
        self.hand_over(core, to);
        Some((core, to))
    }

    /// None of the two threads' cores is running.
    fn hand_over(&mut self, core: usize, to: usize) {
        let from = std::mem::replace(&mut self.of_core[core], to);
        let shards = self.shards[from].split_off(core);
        self.shards[to].adopt(shards);
    }

    /// Of the core's thread, when the core is to run.
    pub fn take(&mut self, core: usize) -> ShardSet {
        std::mem::take(&mut self.shards[self.of_core[core]])
    }

    pub fn put_back(&mut self, core: usize, shards: ShardSet) {
        self.shards[self.of_core[core]] = shards;
    }

    /// A neighbour of this core that is to end its pass, too.
    pub fn next_touched(&self, core: usize) -> Option<usize> {
        self.shards[self.of_core[core]].next_touched()
    }

    /// Which cores each thread runs, for the trace.
    pub fn described(&self) -> String {
        format!("threads of the cores: {:?}", self.of_core)
    }
}

/// What one client of one thread sends runs where its keys are, whichever of the thread's cores they
/// belong to: no core has to be told anything.
#[test]
fn cores_of_one_thread_send_no_messages() {
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut world = World::on_threads(&[0, 0, 0, 0], 1);
    world.keep_trace();
    let client = world.connect(2);
    let mut ask = |request: &[u8], replies: usize| {
        let values = world.ask(client, request, replies);
        format!("{values:?}")
    };
    for key in keys {
        assert!(ask(&command(&["SET", key, "1"]), 1).contains("+OK"));
    }
    assert!(ask(&mset(&keys, "2"), 1).contains("+OK"));
    assert_eq!(ask(&mget(&keys), 1).matches("\"2\"").count(), keys.len());
    assert!(ask(&command(&["MSETNX", "new", "3", "newer", "3", "a", "3"]), 1).contains(":0"));
    assert!(ask(&command(&["DBSIZE"]), 1).contains(":8"));
    for (from, to) in [("a", "i"), ("b", "j"), ("c", "k"), ("d", "l")] {
        assert!(ask(&command(&["RENAME", from, to]), 1).contains("+OK"));
    }
    assert!(ask(&command(&["DEL", "e", "f", "g", "h", "i"]), 1).contains(":5"));
    let transaction = [
        command(&["WATCH", "j", "k", "l"]),
        multi(&["j", "k", "l", "m"].map(|key| command(&["INCR", key]))),
    ];
    assert!(ask(&transaction.concat(), 7).contains(":1"));
    assert!(ask(&command(&["RPUSH", "list", "x"]), 1).contains(":1"));
    for to in ["list1", "list2", "list3", "list4"] {
        assert!(ask(&command(&["LMOVE", "list", to, "LEFT", "LEFT"]), 1).contains("x"));
        assert!(ask(&command(&["BLPOP", to, "0"]), 1).contains("x"));
        assert!(ask(&command(&["RPUSH", "list", "x"]), 1).contains(":1"));
    }
    let trace = world.kept_trace();
    assert!(trace.contains("has been touched") && !trace.contains("sends to core"), "{trace}");
}
