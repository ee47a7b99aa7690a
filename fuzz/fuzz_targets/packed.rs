//! Packed runs that are none; see `ringwell::store::value::packed::check_hostile`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringwell::store::value::packed::check_hostile(data));
