//! `cargo bench --bench table`: the hash table of one shard, no sockets.

use std::time::{Duration, Instant};

use divan::Bencher;
use divan::counter::ItemsCount;
use ringwell::store::{Encoding, Shard};

/// mimalloc, as in the server.
fn main() {
    longest_insert();
    divan::main();
}

const KEYS: usize = 1_000_000;

fn key(i: usize) -> Vec<u8> {
    format!("key:{i:012}").into_bytes()
}

/// Keys in an order that the caches do not know.
fn shuffled() -> Vec<Vec<u8>> {
    (0..KEYS).map(|i| key(i.wrapping_mul(0x9E37_79B1) % KEYS)).collect()
}

fn filled() -> Shard {
    let mut shard = Shard::new(1);
    for i in 0..KEYS {
        shard.db_mut(0).set_string(&key(i), &[b'v'; 64], Encoding::Raw, None, 0);
    }
    shard
}

/// The table grows by splitting small tables, so no single insertion may take long.
fn longest_insert() {
    let mut shard = Shard::new(1);
    let mut longest = Duration::ZERO;
    for i in 0..KEYS {
        let key = key(i);
        let start = Instant::now();
        shard.db_mut(0).set_string(&key, &[b'v'; 64], Encoding::Raw, None, 0);
        longest = longest.max(start.elapsed());
    }
    println!("longest insertion of {KEYS}: {longest:?} (page faults of the kernel included)");
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn insert(bencher: Bencher) {
    let keys = shuffled();
    bencher.counter(ItemsCount::new(KEYS)).with_inputs(|| Shard::new(1)).bench_values(
        |mut shard| {
            for key in &keys {
                shard.db_mut(0).set_string(key, &[b'v'; 64], Encoding::Raw, None, 0);
            }
            shard
        },
    );
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn hit(bencher: Bencher) {
    let (shard, keys) = (filled(), shuffled());
    bencher
        .counter(ItemsCount::new(KEYS))
        .bench_local(|| keys.iter().filter(|key| shard.db(0).contains(key, 0)).count());
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn miss(bencher: Bencher) {
    let shard = filled();
    let keys: Vec<_> = (KEYS..2 * KEYS).map(key).collect();
    bencher
        .counter(ItemsCount::new(KEYS))
        .bench_local(|| keys.iter().filter(|key| shard.db(0).contains(key, 0)).count());
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn delete(bencher: Bencher) {
    let keys = shuffled();
    bencher.counter(ItemsCount::new(KEYS)).with_inputs(filled).bench_local_values(|mut shard| {
        for key in &keys {
            shard.db_mut(0).remove(key, 0);
        }
        shard
    });
}
