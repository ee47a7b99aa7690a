//! `cargo bench --bench list`: lists in chunks, at their ends and at an index.

use divan::{Bencher, black_box};
use ringwell::store::value::list::{Limit, List};
use ringwell::store::value::packed::{Element, End};

fn main() {
    divan::main();
}

fn filled(len: usize) -> List {
    let mut list = List::new();
    for n in 0..len {
        let value = format!("element:{n:08}");
        list.push(End::Back, value.as_bytes(), Limit::default()).expect("far below 4 GiB");
    }
    list
}

const ENDS: [&str; 2] = ["front", "back"];

fn end(name: &str) -> End {
    if name == "front" { End::Front } else { End::Back }
}

#[divan::bench(args = ENDS)]
fn push_and_pop_1000(bencher: Bencher, at: &str) {
    let mut list = filled(10_000);
    let at = end(at);
    bencher.bench_local(|| {
        for _ in 0..1000 {
            list.push(at, black_box(b"element:00000000"), Limit::default()).expect("small");
        }
        for _ in 0..1000 {
            black_box(list.pop(at, |element| matches!(element, Element::Bytes(_))));
        }
    });
}

#[divan::bench(args = [1_000, 1_000_000, 10_000_000])]
fn index_in_the_middle(bencher: Bencher, len: usize) {
    let list = filled(len);
    bencher.bench_local(|| black_box(list.get(black_box(len / 2))));
}

#[divan::bench(args = [100, 600])]
fn range(bencher: Bencher, count: usize) {
    let list = filled(10_000);
    bencher.bench_local(|| {
        let mut bytes = 0;
        list.visit(0, count, End::Back, |element| {
            bytes += match element {
                Element::Bytes(text) => text.len(),
                Element::Integer(_) => 8,
            };
        });
        bytes
    });
}
