//! Requests in random pieces; see `ringwell::protocol::resp::check_pieces`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringwell::protocol::resp::check_pieces(data));
