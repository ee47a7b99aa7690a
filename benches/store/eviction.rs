//! How long a pass of an engine at its memory limit takes at most.

use ringwell::config::Config;

use crate::measure::Repeated;
use crate::rig::{Rig, command};

const LIMIT_BYTES: usize = 256 << 20;
/// Four times what fits.
const KEYS: u64 = 800_000;
/// Commands that arrive together, and how much later the next ones do.
const PIPELINE: usize = 16;
const PASS_US: u64 = 40;
const PASSES: usize = 60_000;
const ROUNDS: usize = 3;

const OK: &[u8] = b"+OK\r\n";

/// The shortest and the longest value.
type Lengths = (usize, usize);

/// Each leaves pages that the next one has to empty.
const PHASES: [(&str, Lengths); 4] = [
    ("filling", (64, 4096)),
    ("64 bytes to 4 KiB", (64, 4096)),
    ("then 64 to 128 bytes", (64, 128)),
    ("then 2 to 4 KiB", (2048, 4096)),
];

pub fn run() {
    for policy in ["allkeys-s3fifo", "allkeys-lru", "allkeys-random"] {
        println!("  {policy}, passes of {PIPELINE} writes, {} MiB", LIMIT_BYTES >> 20);
        let mut results: [Repeated; PHASES.len()] = Default::default();
        let mut shrinking = Repeated::default();
        for _ in 0..ROUNDS {
            let mut load = Load::new(policy);
            for (result, (_, lengths)) in results.iter_mut().zip(PHASES) {
                load.write(lengths, result);
                result.end_round();
            }
            load.halve_limit(&mut shrinking);
            shrinking.end_round();
        }
        for (result, (name, _)) in results.iter().zip(PHASES) {
            println!("    {name}: {result}");
        }
        println!("    then half the limit: {shrinking}");
    }
}

struct Load {
    rig: Rig,
    random: u64,
}

impl Load {
    fn new(policy: &str) -> Load {
        let limit = LIMIT_BYTES.to_string();
        let changes: [(&[u8], &[u8]); 2] =
            [(b"maxmemory", limit.as_bytes()), (b"maxmemory-policy", policy.as_bytes())];
        let config = Config::default().with_changes(&changes, true).expect("good values");
        Load { rig: Rig::new(1, config), random: 1 }
    }

    fn write(&mut self, lengths: Lengths, result: &mut Repeated) {
        for _ in 0..PASSES {
            let input: String = (0..PIPELINE).map(|_| self.next_command(lengths)).collect();
            self.rig.later(PASS_US);
            result.time(|| assert_eq!(self.rig.serve(input.as_bytes()), OK.repeat(PIPELINE)));
            if self.rig.wants_tick() {
                result.time(|| self.rig.tick());
            }
        }
    }

    /// Until nothing is left to be done.
    fn halve_limit(&mut self, result: &mut Repeated) {
        let limit = (LIMIT_BYTES / 2).to_string();
        let input = command(&["CONFIG", "SET", "maxmemory", &limit]);
        result.time(|| assert_eq!(self.rig.serve(input.as_bytes()), OK));
        while self.rig.is_busy() {
            self.rig.later(PASS_US);
            result.time(|| self.rig.tick());
        }
    }

    fn next_command(&mut self, (shortest, longest): Lengths) -> String {
        let key = format!("key:{:09}", self.next_random() % KEYS);
        let len = shortest + self.next_random() as usize % (longest - shortest + 1);
        command(&["SET", &key, &"v".repeat(len)])
    }

    /// Knuth's MMIX generator; its high bits.
    fn next_random(&mut self) -> u64 {
        let state = self.random.wrapping_mul(6_364_136_223_846_793_005);
        self.random = state.wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }
}
