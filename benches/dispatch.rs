//! `cargo bench --bench dispatch`: engines from bytes to replies, no sockets.

mod rig;

use divan::Bencher;
use divan::counter::ItemsCount;
use rig::{Rig, command};
use ringwell::config::Config;

fn main() {
    divan::main();
}

fn bench(bencher: Bencher, command: &str, pipeline: usize) {
    bench_shards(bencher, 1, command, pipeline);
}

fn bench_shards(bencher: Bencher, shards: usize, command: &str, pipeline: usize) {
    let mut rig = Rig::new(shards, Config::default());
    let set = self::command(&["SET", "key:000000012345", &"v".repeat(64)]);
    rig.serve(set.as_bytes());
    let input = command.repeat(pipeline).into_bytes();
    assert!(rig.serve(&input).len() >= pipeline * 4, "every command is answered");
    bencher
        .counter(ItemsCount::new(pipeline))
        .bench_local(|| rig.serve(divan::black_box(&input)).len());
}

#[divan::bench(args = [1, 16])]
fn get(bencher: Bencher, pipeline: usize) {
    bench(bencher, &command(&["GET", "key:000000012345"]), pipeline);
}

#[divan::bench(args = [1, 16])]
fn set(bencher: Bencher, pipeline: usize) {
    bench(bencher, &command(&["SET", "key:000000012345", &"v".repeat(64)]), pipeline);
}

#[divan::bench(args = [1, 16])]
fn incr(bencher: Bencher, pipeline: usize) {
    bench(bencher, &command(&["INCR", "counter"]), pipeline);
}

#[divan::bench(args = [1, 16])]
fn ping(bencher: Bencher, pipeline: usize) {
    bench(bencher, &command(&["PING"]), pipeline);
}

const MGET_10: [&str; 11] =
    ["MGET", "key:000000012345", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

#[divan::bench(args = [1, 2, 4])]
fn mget_10(bencher: Bencher, shards: usize) {
    bench_shards(bencher, shards, &command(&MGET_10), 1);
}

#[divan::bench(args = [1, 2, 4])]
fn mset_10(bencher: Bencher, shards: usize) {
    let mut words = vec!["MSET"];
    for key in &MGET_10[1..] {
        words.extend([*key, "a value of some thirty-two bytes"]);
    }
    bench_shards(bencher, shards, &command(&words), 1);
}
