//! Several cores and one budget of memory.

use crate::history::{Value, command};
use crate::world::{Rng, World};

const VALUE_BYTES: usize = 1_000;
const BUDGET_BYTES: usize = 4 << 20;

struct Budget {
    world: World,
    client: usize,
    value: String,
}

impl Budget {
    fn new(shards: usize, seed: u64, policy: &str) -> Budget {
        let mut world = World::new(shards, seed);
        let client = world.connect(0);
        let budget = BUDGET_BYTES.to_string();
        let line = ["CONFIG", "SET", "maxmemory", &budget, "maxmemory-policy", policy];
        let mut budget = Budget { world, client, value: "v".repeat(VALUE_BYTES) };
        assert_eq!(budget.run(&line), "+OK\r\n");
        budget
    }

    fn run(&mut self, words: &[&str]) -> String {
        self.world.send(self.client, &command(words));
        self.world.run_until_idle();
        String::from_utf8(self.world.received(self.client)).expect("text")
    }

    /// Writes keys of one slot, so of one shard; checks each time that the budget holds.
    fn fill(&mut self, slot: &str, keys: std::ops::Range<usize>, extra: &[&str]) {
        for (round, key) in keys.enumerate() {
            let (key, value) = (format!("{{{slot}}}{key}"), self.value.clone());
            let mut words = vec!["SET", &key, &value];
            words.extend_from_slice(extra);
            assert_eq!(self.run(&words), "+OK\r\n");
            if round % 50 == 0 {
                self.world.wait_ms(100);
                self.world.run_until_idle();
                self.check();
            }
        }
    }

    fn info(&mut self, section: &str, field: &str) -> String {
        let text = self.run(&["INFO", section]);
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
        line.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
    }

    fn check(&mut self) {
        let used: usize = self.info("memory", "used_memory").parse().expect("a number");
        assert!(used <= BUDGET_BYTES, "{used} bytes");
    }

    fn count(&mut self, slot: &str) -> usize {
        self.run(&["KEYS", &format!("{{{slot}}}*")]).lines().filter(|l| l.starts_with('{')).count()
    }
}

/// Two names whose slots are on different shards of two.
const ONE: &str = "a";
const OTHER: &str = "b";

/// A budget is not cut into slices: whoever works gets what others do not use.
#[test]
fn a_busy_shard_grows_at_the_cost_of_an_idle_one() {
    for seed in 0..4 {
        let mut budget = Budget::new(2, seed, "allkeys-s3fifo");
        budget.fill(ONE, 0..5_000, &[]);
        let full = budget.count(ONE);
        assert!(full > 3_000, "{full} keys");
        budget.world.wait_ms(60_000);
        budget.fill(OTHER, 0..6_000, &[]);
        let (idle, busy) = (budget.count(ONE), budget.count(OTHER));
        assert!(busy > 3 * idle, "{idle} idle keys and {busy} busy ones");
    }
}

/// A client whose core has nothing to give is not refused while others have.
#[test]
fn memory_is_found_wherever_it_is() {
    let policies = ["allkeys-lru", "allkeys-lfu", "allkeys-random", "allkeys-s3fifo"];
    for (seed, policy) in policies.into_iter().enumerate() {
        for shards in [1, 2, 4] {
            let mut budget = Budget::new(shards, seed as u64, policy);
            budget.fill(ONE, 0..4_500, &[]);
            budget.fill(OTHER, 0..500, &[]);
            assert!(budget.count(OTHER) > 300, "{policy} on {shards} shards");
            let evicted: usize = budget.info("stats", "evicted_keys").parse().expect("a number");
            assert!(evicted > 1_000, "{evicted} keys were evicted");
        }
    }
}

/// Keys without an expiry stay, and when only they are left writes are refused.
#[test]
fn volatile_policies_take_only_keys_that_expire() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let mut budget = Budget::new(2, 1, policy);
        budget.fill(ONE, 0..1_500, &[]);
        budget.fill(OTHER, 0..5_000, &["EX", "1000"]);
        assert_eq!(budget.count(ONE), 1_500, "{policy}");
        assert!(budget.count(OTHER) > 1_000, "{policy}");
        let value = budget.value.clone();
        let replies = (0..4_000).map(|key| budget.run(&["SET", &format!("stays:{key}"), &value]));
        let refused = replies.filter(|reply| reply.starts_with("-OOM ")).count();
        assert!((1_000..3_000).contains(&refused), "{policy}: {refused} were refused");
        assert_eq!(budget.count(OTHER), 0);
        budget.check();
    }
}

const POLICIES: [&str; 8] = [
    "allkeys-s3fifo",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
];

/// A small budget: what is used by itself, and so much room above.
fn with_room(shards: usize, seed: u64, policy: &str, room: usize) -> Budget {
    let mut world = World::new(shards, seed);
    let client = world.connect(seed as usize % shards);
    let mut budget = Budget { world, client, value: String::new() };
    let used: usize = budget.info("memory", "used_memory").parse().expect("a number");
    let limit = (used + room).to_string();
    let line = ["CONFIG", "SET", "maxmemory", &limit, "maxmemory-policy", policy];
    assert_eq!(budget.run(&line), "+OK\r\n");
    budget
}

/// Sends pipelines of writes to keys chosen at random; returns how many were refused.
fn write_pipelines(
    budget: &mut Budget,
    slot: Option<&str>,
    value_bytes: usize,
    rng: &mut Rng,
) -> usize {
    const PIPELINES: usize = 8;
    const COMMANDS: usize = 50;
    let value = "v".repeat(value_bytes);
    let mut refused = 0;
    for _ in 0..PIPELINES {
        for _ in 0..COMMANDS {
            let number = rng.below(10_000);
            let key = slot.map_or(format!("key:{number}"), |slot| format!("{{{slot}}}{number}"));
            let line = command(&["SET", &key, &value, "EX", "1000"]);
            budget.world.send(budget.client, &line);
        }
        budget.world.run_until_idle();
        let replies = String::from_utf8(budget.world.received(budget.client)).expect("text");
        assert_eq!(replies.lines().count(), COMMANDS);
        refused += replies.matches("-OOM").count();
        budget.world.wait_ms(10);
    }
    refused
}

/// While some shard holds what may be evicted no write is refused, however small the budget and
/// however many share it; and a working cache is never left empty.
#[test]
fn nothing_is_refused_while_something_may_be_evicted() {
    for (index, policy) in POLICIES.into_iter().enumerate() {
        for shards in [1, 2, 4, 8, 16, 64] {
            for room in [64 << 10, 100 << 10, 1 << 20] {
                let seed = (index * 1000 + shards) as u64;
                let mut budget = with_room(shards, seed, policy, room);
                let mut rng = Rng::new(seed);
                let case = format!("{policy}, {shards} shards, {room} bytes of room");
                // What a pipeline brings must fit beside the data.
                let largest = if room < 1 << 20 { 300 } else { 2_000 };
                for value_bytes in [10, 100, largest, 30] {
                    // In one of these rounds all goes to one shard.
                    let slot = (value_bytes == 100).then_some(ONE);
                    let refused = write_pipelines(&mut budget, slot, value_bytes, &mut rng);
                    assert_eq!(refused, 0, "{case}: values of {value_bytes} bytes");
                    let keys = budget.run(&["DBSIZE"]);
                    assert_ne!(keys, ":0\r\n", "{case}: values of {value_bytes} bytes");
                }
                budget.world.wait_ms(100);
                budget.world.run_until_idle();
                let used: usize = budget.info("memory", "used_memory").parse().expect("a number");
                let limit: usize = budget.info("memory", "maxmemory").parse().expect("a number");
                assert!(used <= limit, "{case}: {used} bytes are used, {limit} may be");
            }
        }
    }
}

/// CONFIG SET is answered when every core keeps to it: the next command meets the new limit and the
/// new policy, whatever the cores have last said of themselves.
#[test]
fn a_limit_is_in_force_when_it_is_answered() {
    const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";
    let ok = [Value::ok()];
    for seed in 0..100 {
        let shards = [1, 2, 4, 8][seed as usize % 4];
        let mut world = World::new(shards, seed);
        let (admin, other) = (world.connect(0), world.connect(shards - 1));
        let client = [admin, other][seed as usize / 4 % 2];
        let set = |policy: &str, limit: &str| {
            command(&["CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", limit])
        };
        assert_eq!(world.ask(admin, &set("allkeys-lru", "0"), 1), ok);
        // Each shard holds a little, which is less than it tells the others of at once.
        for key in 0..shards * 10 {
            let write = command(&["SET", &format!("key:{key}"), &"v".repeat(1_000)]);
            assert_eq!(world.ask(client, &write, 1), ok);
        }
        let info = world.ask(admin, &command(&["INFO", "memory"]), 1);
        let [Value::Bulk(text)] = &info[..] else { panic!("{info:?}") };
        let used = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
        let used: usize = used.expect("a field").parse().expect("a number");
        let limit = (used - 3_000).to_string();
        // Anything is more than a hundred bytes, and nothing may be evicted.
        assert_eq!(world.ask(admin, &set("noeviction", "100"), 1), ok);
        for key in 0..20 {
            let reply = world.ask(client, &command(&["SET", &format!("new:{key}"), "v"]), 1);
            assert_eq!(reply, [Value::Line(OOM.into())], "seed {seed}, {shards} shards");
        }
        // Under another policy there is something that may go.
        assert_eq!(world.ask(admin, &set("allkeys-lru", &limit), 1), ok);
        let reply = world.ask(client, &command(&["SET", "new", "v"]), 1);
        assert_eq!(reply, ok, "seed {seed}, {shards} shards");
        // Without a limit nothing is evicted, whatever was asked for before.
        assert_eq!(world.ask(admin, &set("allkeys-lru", "0"), 1), ok);
        let size = world.ask(admin, &command(&["DBSIZE"]), 1);
        world.run_until_idle();
        world.wait_ms(100);
        world.run_until_idle();
        assert_eq!(world.ask(admin, &command(&["DBSIZE"]), 1), size, "seed {seed}");
    }
}

/// What cores keep to send each other is the server's own, bounded for all peers together, and is
/// given back when it has not been used for a second.
#[test]
fn buffers_between_shards_are_the_servers_own_and_are_given_back() {
    for shards in [2, 8, 32] {
        let mut world = World::new(shards, 1);
        let clients: Vec<usize> = (0..shards).map(|core| world.connect(core)).collect();
        let client = clients[0];
        let mut budget = Budget { world, client, value: String::new() };
        let number = |budget: &mut Budget, field: &str| -> usize {
            budget.info("memory", field).parse().expect("a number")
        };
        let clients_before = number(&mut budget, "mem_clients_normal");
        let server_before = number(&mut budget, "used_memory_server");
        let value = "v".repeat(20_000);
        for (round, &writer) in clients.iter().cycle().take(4 * shards).enumerate() {
            for key in 0..2 * shards {
                let line = command(&["SET", &format!("{round}:{key}"), &value, "GET"]);
                budget.world.send(writer, &line);
            }
            budget.world.run_until_idle();
        }
        let clients_now = number(&mut budget, "mem_clients_normal");
        assert!(clients_now <= clients_before + shards * 150_000, "{clients_now} bytes");
        let server = number(&mut budget, "used_memory_server") - server_before;
        assert!((10_000..=shards * (3 << 20)).contains(&server), "{server} bytes, {shards} shards");
        for _ in 0..25 {
            budget.world.wait_ms(100);
            budget.world.run_until_idle();
        }
        let server = number(&mut budget, "used_memory_server") - server_before;
        assert!(server <= shards * 2_000, "{server} bytes are kept by {shards} idle shards");
    }
}

/// A value moves as it is: only COPY makes another, and nothing is left on the way.
#[test]
fn moving_a_huge_value_between_shards_leaves_nothing_behind() {
    let mut budget = with_room(2, 1, "allkeys-lru", 64 << 20);
    // How many values are left by each: those that it replaces.
    let moves: [(&[&str], usize); 5] = [
        (&["COPY", "a", "b", "REPLACE"], 0),
        (&["COPY", "a", "b", "REPLACE"], 1),
        (&["RENAME", "a", "b"], 1),
        (&["RENAMENX", "b", "a"], 0),
        (&["MSETNX", "a", "1", "b", "2"], 0),
    ];
    let huge = "v".repeat(4 << 20);
    assert_eq!(budget.run(&["SET", "a", &huge]), "+OK\r\n");
    let mut left = 0;
    for (command, values) in moves.iter().cycle().take(3 * moves.len()) {
        budget.run(command);
        left += values;
    }
    assert_eq!(budget.run(&["FLUSHALL"]), "+OK\r\n");
    for _ in 0..200 {
        budget.world.wait_ms(100);
    }
    let freed: usize = budget.info("memory", "lazyfreed_objects").parse().expect("a number");
    assert_eq!(freed, left + 1, "FLUSHALL leaves one more");
    assert_eq!(budget.info("memory", "lazyfree_pending_objects"), "0");
}
