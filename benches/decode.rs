//! `cargo bench --bench decode`: requests to arguments, no sockets.

use divan::counter::{BytesCount, ItemsCount};
use ringwell::protocol::resp::{Decoded, Decoder, Limits};

fn main() {
    divan::main();
}

const LIMITS: Limits = Limits { bulk_bytes_max: 512 << 20, authenticated: true };

/// Sixteen commands as redis-benchmark pipelines them.
fn pipeline(command: &str) -> Vec<u8> {
    command.repeat(16).into_bytes()
}

fn decode_all(input: &[u8]) -> usize {
    let mut decoder = Decoder::default();
    let mut spans = Vec::with_capacity(16);
    let mut at = 0;
    let mut commands = 0;
    while let Ok(Decoded::Command { consumed }) = decoder.decode(&input[at..], &mut spans, LIMITS) {
        at += consumed;
        commands += 1;
        spans.clear();
    }
    commands
}

#[divan::bench]
fn get_16(bencher: divan::Bencher) {
    let input = pipeline("*2\r\n$3\r\nGET\r\n$16\r\nkey:000000012345\r\n");
    bencher.counter(ItemsCount::new(16usize)).bench(|| decode_all(divan::black_box(&input)));
}

#[divan::bench]
fn set_16(bencher: divan::Bencher) {
    let set =
        format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000012345\r\n$64\r\n{}\r\n", "v".repeat(64));
    let input = pipeline(&set);
    bencher.counter(ItemsCount::new(16usize)).bench(|| decode_all(divan::black_box(&input)));
}

/// A long command in pieces of 16 KiB: the work must stay linear in the bytes.
#[divan::bench]
fn mset_of_100_000_in_pieces(bencher: divan::Bencher) {
    let mut input = b"*200001\r\n$4\r\nMSET\r\n".to_vec();
    for i in 0..100_000 {
        input.extend_from_slice(format!("$10\r\nk{i:09}\r\n$1\r\nv\r\n").as_bytes());
    }
    bencher.counter(BytesCount::new(input.len())).bench(|| {
        let mut decoder = Decoder::default();
        let mut spans = Vec::new();
        let ends = (0..input.len()).step_by(16 * 1024).chain([input.len()]);
        let mut decoded = Ok(Decoded::Incomplete);
        for end in ends {
            decoded = decoder.decode(&input[..end], &mut spans, LIMITS);
        }
        assert_eq!(decoded, Ok(Decoded::Command { consumed: input.len() }));
    });
}
