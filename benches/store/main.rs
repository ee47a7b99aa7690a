//! `cargo bench --bench store`: one shard, no sockets; about a quarter of an hour and 3 GiB. Names
//! of parts choose some of them: `cargo bench --bench store -- table-1m freeing`.
//!
//! For each kind of operation: the rate, and the longest single one. On a shared machine the
//! longest is the kernel's or the hypervisor's doing. What the tables do is the same every time, so
//! theirs are run in five rounds, and the longest of the shortest times of each single operation
//! stands beside it: what takes long by itself takes long in every round. Of the others it is the
//! longest of those during which the thread neither took a page fault nor was preempted (what the
//! hypervisor takes still counts).

mod eviction;
mod measure;
#[path = "../rig/mod.rs"]
mod rig;

use std::hint::black_box;
use std::time::Duration;

use measure::{Longest, Repeated, cpu_time};
use ringwell::store::{Encoding, Event, Shard, UnixMs};

const VALUE: [u8; 64] = [b'v'; 64];
const NOW: UnixMs = 1_800_000_000_000;

/// Name and what to do.
type Part = (&'static str, fn());

const PARTS: [Part; 6] = [
    ("table-1m", || table(1_000_000)),
    ("table-20m", || table(20_000_000)),
    ("freeing", freeing),
    ("expiry", || [512, 1024, 2048, 4096].into_iter().for_each(expiry)),
    ("expiry-idle", expiry_idle),
    ("eviction", eviction::run),
];

/// mimalloc, as in the server.
fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let Some(unknown) = chosen.iter().find(|name| PARTS.iter().all(|part| part.0 != **name)) {
        let names = PARTS.map(|part| part.0).join(", ");
        eprintln!("there is no part {unknown:?}; there are: {names}");
        std::process::exit(2);
    }
    for (name, run) in PARTS {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            println!("\n{name}");
            run();
        }
    }
}

/// Sixteen bytes. Numbers up to a multiple of `keys` give a different order in each round, one
/// that the caches do not know.
fn key(number: usize) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let (mut rest, mut at) = (number, key.len());
    while rest > 0 {
        at -= 1;
        key[at] += (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// The `i`th number below `keys` in an order far from that of insertion.
fn shuffled(i: usize, keys: usize) -> usize {
    // A prime that divides none of the counts used here.
    (i as u64 * 2_654_435_761 % keys as u64) as usize
}

fn set(shard: &mut Shard, key: &[u8], expiry: Option<UnixMs>) {
    shard.db_mut(0).set_string(key, &VALUE, Encoding::Raw, expiry, NOW, Event::Set);
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn filled(keys: usize) -> Shard {
    let mut shard = Shard::new(1);
    for i in 0..keys {
        set(&mut shard, &key(i), None);
    }
    shard
}

type Operation<'a> = (&'static str, &'a dyn Fn(&mut Shard, usize));

/// From empty to `keys` keys and back.
fn table(keys: usize) {
    const ROUNDS: usize = 5;
    let mib = |bytes: usize| bytes as f64 / (1 << 20) as f64;
    let at = |i| key(shuffled(i, keys));
    let operations: [Operation<'_>; 5] = [
        ("insert", &|shard, i| set(shard, &key(i), None)),
        ("hit", &|shard, i| assert!(shard.read(0, &at(i), NOW).is_some())),
        ("miss", &|shard, i| assert!(shard.read(0, &key(keys + i), NOW).is_none())),
        ("replace", &|shard, i| set(shard, &at(i), None)),
        ("delete", &|shard, i| assert!(shard.db_mut(0).remove(&at(i), NOW, Event::Del))),
    ];
    let mut results: [Repeated; 5] = Default::default();
    let mut spent = [Duration::ZERO; 5];
    let (mut full, mut empty) = ([0; 2], [0; 2]);
    let mut shard = Shard::new(1);
    for (spent, (_, operation)) in spent.iter_mut().zip(&operations) {
        let start = cpu_time();
        (0..keys).for_each(|i| operation(&mut shard, i));
        *spent = cpu_time() - start;
    }
    drop(shard);
    for _ in 0..ROUNDS {
        let mut shard = Shard::new(1);
        for (result, (name, operation)) in results.iter_mut().zip(&operations) {
            if *name == "delete" {
                full = [shard.allocated_bytes(), resident_bytes()];
            }
            (0..keys).for_each(|i| result.time(|| operation(&mut shard, i)));
            result.end_round();
        }
        empty = [shard.allocated_bytes(), resident_bytes()];
    }
    for ((result, spent), (name, _)) in results.iter().zip(spent).zip(&operations) {
        let ns = spent.as_nanos() as f64 / keys as f64;
        println!("  {name:<7} {ns:4.0} ns, {:5.2} M/s of CPU; {result}", 1e3 / ns);
    }
    println!(
        "  full: allocated {:.1} MiB, RSS {:.1} MiB; all deleted: allocated {:.1} MiB, RSS {:.1} MiB",
        mib(full[0]),
        mib(full[1]),
        mib(empty[0]),
        mib(empty[1]),
    );
}

fn free_all(name: &str, shard: &mut Shard) {
    let mut longest = Longest::default();
    let mut slices = 1;
    let start = cpu_time();
    while longest.time(|| shard.free_slice()) {
        slices += 1;
    }
    let ms = (cpu_time() - start).as_secs_f64() * 1e3;
    println!("  {name}: {slices} slices, {ms:.0} ms of CPU; {longest}");
}

/// What FLUSHALL and the end of huge values cost at once, and what in slices.
fn freeing() {
    for keys in [1_000_000, 20_000_000] {
        let mut shard = filled(keys);
        let mut call = Longest::default();
        call.time(|| shard.clear());
        println!("  FLUSHALL of {keys} keys: {call}");
        free_all("its slices", &mut shard);
    }
    for (count, bytes) in [(200_000, 10_000), (2_000, 500_000), (1_000, 1 << 20)] {
        let value = vec![b'v'; bytes];
        let fill = |shard: &mut Shard| {
            for i in 0..count {
                shard.db_mut(0).set_string(&key(i), &value, Encoding::Raw, None, NOW, Event::Set);
            }
        };
        let mut shard = Shard::new(1);
        fill(&mut shard);
        let mut call = Longest::default();
        call.time(|| shard.clear());
        println!("  FLUSHALL of {count} values of {bytes} bytes: {call}");
        free_all("its slices", &mut shard);
        fill(&mut shard);
        let mut deletes = Longest::default();
        for i in 0..count {
            deletes.time(|| shard.db_mut(0).remove(&key(i), NOW, Event::Del));
        }
        println!("  removing {count} values of {bytes} bytes: {deletes}");
        free_all("its slices", &mut shard);
    }
    huge("removing", |shard, key| {
        shard.db_mut(0).remove(key, NOW, Event::Del);
    });
    huge("expiring", |shard, _| {
        shard.sweep_expired(16, NOW + 3_600_000);
    });
    for bytes in [5, 64, 20_000, 2 << 20] {
        let value = vec![b'w'; bytes];
        huge(&format!("overwriting with {bytes} bytes"), |shard, key| {
            shard.db_mut(0).set_string(key, &value, Encoding::Raw, None, NOW, Event::Set);
        });
    }
}

/// An operation on a value of 512 MB.
fn huge(name: &str, operation: impl FnOnce(&mut Shard, &[u8])) {
    let value = vec![b'v'; 512 << 20];
    let mut shard = Shard::new(1);
    shard.db_mut(0).set_string(b"huge", &value, Encoding::Raw, Some(NOW + 1000), NOW, Event::Set);
    let mut call = Longest::default();
    call.time(|| operation(&mut shard, b"huge"));
    println!("  {name}, a value of 512 MB: {call}");
    free_all("its slices", &mut shard);
}

/// A million keys that expire in the same second, among five million that expire within the hour,
/// swept in steps of `count`.
fn expiry(count: usize) {
    const SAME: usize = 1_000_000;
    const OTHERS: usize = 5_000_000;
    let due = NOW + 4_000_000;
    let mut shard = Shard::new(1);
    for i in 0..SAME + OTHERS {
        let is_same = i % 6 == 0;
        let at = if is_same { due } else { due + 2_000 + (shuffled(i, 3_600_000)) as u64 };
        set(&mut shard, &key(shuffled(i, SAME + OTHERS)), Some(at));
    }
    let rounds = sweep_round(&mut shard, count, due - 1);
    assert_eq!(shard.stats().expired_keys, 0);
    let start = cpu_time();
    let mut longest = Longest::default();
    let mut steps = 1;
    while longest.time(|| shard.sweep_expired(count, due + 1000)) {
        steps += 1;
    }
    let spent = cpu_time() - start;
    let expired = shard.stats().expired_keys;
    println!(
        "  {expired} keys in steps of {count}: {:.0} ns of CPU per key, {:.0} us per step; \
         {steps} steps; {longest}; a round with nothing due: {:.0} us",
        spent.as_nanos() as f64 / expired as f64,
        spent.as_secs_f64() * 1e6 / f64::from(steps),
        rounds.as_secs_f64() * 1e6,
    );
    let mut spent = Duration::ZERO;
    let from = shard.stats().expired_keys;
    for second in 2..32 {
        spent += sweep_round(&mut shard, count, due + second * 1000);
    }
    let expired = shard.stats().expired_keys - from;
    println!(
        "  then {:.0} keys per second: {:.0} ns of CPU per key, {:.0} us per second",
        expired as f64 / 30.0,
        spent.as_nanos() as f64 / expired as f64,
        spent.as_secs_f64() * 1e6 / 30.0,
    );
}

/// The CPU time of one round over all pages.
fn sweep_round(shard: &mut Shard, count: usize, now: UnixMs) -> Duration {
    let start = cpu_time();
    while black_box(shard.sweep_expired(count, now)) {}
    cpu_time() - start
}

/// Twenty million keys of which none is due.
fn expiry_idle() {
    const KEYS: usize = 20_000_000;
    let mut shard = Shard::new(1);
    for i in 0..KEYS {
        set(&mut shard, &key(i), Some(NOW + 100_000 + shuffled(i, 3_600_000) as u64));
    }
    sweep_round(&mut shard, 512, NOW);
    let spent = (0..10).map(|i| sweep_round(&mut shard, 512, NOW + 1000 + i * 100)).max();
    println!("  a round over {KEYS} keys, ten of a second: {spent:?} the longest");
    let spent: Duration = (0..10).map(|i| sweep_round(&mut shard, 512, NOW + 2000 + i * 100)).sum();
    println!("  ten rounds: {spent:?}");
}
