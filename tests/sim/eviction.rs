//! Several cores and one budget of memory.

use crate::history::command;
use crate::world::World;

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
