//! `loadgen selftest`: passes, and notices each mistake that is planted in the recorder.

use std::process::Command;

use libtest_mimic::Trial;

use crate::support::{Output, alone, loadgen_with, program, test};

pub fn trials() -> Vec<Trial> {
    vec![
        test("selftest::it_passes", it_passes),
        test("selftest::it_notices_times_from_the_actual_send", || {
            notices("measure-from-send", "a stall", "too short");
        }),
        test("selftest::it_notices_lost_samples", || {
            notices("lose-one-in-thousand", "two delays", "the counts of requests differ");
        }),
        test("selftest::it_notices_a_shifted_scale", || {
            notices("ten-percent-slow", "a fixed delay", "too long");
        }),
    ]
}

fn selftest(flaw: Option<&str>) -> Output {
    let _turn = alone();
    let mut command = Command::new(program());
    command.arg("selftest");
    match flaw {
        Some(flaw) => command.env("LOADGEN_SELFTEST_FLAW", flaw),
        None => command.env_remove("LOADGEN_SELFTEST_FLAW"),
    };
    loadgen_with(command)
}

fn it_passes() {
    let output = selftest(None).expect_status(0);
    assert!(!output.out.contains("FAILED"), "{}", output.out);
    assert!(output.out.contains("all 7 checks passed"), "{}", output.out);
}

/// The check that is about this mistake fails, and says why.
fn notices(flaw: &str, check: &str, why: &str) {
    let output = selftest(Some(flaw)).expect_status(1);
    let lines: Vec<&str> = output.out.lines().collect();
    let failed = lines
        .iter()
        .position(|line| line.starts_with("FAILED") && line.contains(check))
        .unwrap_or_else(|| panic!("{check} has not failed: {}", output.out));
    let details = lines[failed + 1..].iter().take_while(|line| line.starts_with("   "));
    assert!(details.clone().any(|line| line.contains(why)), "{why}: {}", output.out);
    assert!(output.err.contains("checks failed"), "{}", output.err);
}
