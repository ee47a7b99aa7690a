//! `loadgen selftest`: proves the recorder against a server inside this process that keeps requests
//! for known times, and what it says of its own cost by a client that is slowed on purpose.
//!
//! A check compares what was recorded with what the responder did, or with what follows from it by
//! arithmetic, never with what a run of this program once gave. Bounds that no noise can break
//! (nothing is recorded shorter than it was kept, nothing is lost) fail at once; bounds from above
//! depend on a machine that wakes threads up in time, so those get `ATTEMPTS`.

mod checks;
mod responder;

use std::process::ExitCode;

use clap::Args;

use crate::failure::Failure;
use crate::stats::{Flaw, plant};
use checks::{CHECKS, Finding};

/// A busy machine delays some requests by milliseconds; hardly ever four times in a row.
const ATTEMPTS: usize = 4;

/// Plants a known mistake in the recorder, to prove that the self-test notices. For tests.
const FLAW_VARIABLE: &str = "LOADGEN_SELFTEST_FLAW";

const FLAWS: &[(&str, Flaw)] = &[
    ("measure-from-send", Flaw::MeasureFromSend),
    ("lose-one-in-thousand", Flaw::LoseOneInThousand),
    ("ten-percent-slow", Flaw::TenPercentSlow),
];

/// Prove the histograms against known delays
#[derive(Args, Clone, Debug)]
pub struct SelftestArgs {
    /// Print what was measured, also of checks that pass
    #[arg(short, long)]
    pub verbose: bool,
}

/// # Errors
/// When a run of it cannot be made at all.
pub fn run(args: &SelftestArgs) -> Result<ExitCode, Failure> {
    plant_flaw()?;
    let mut failed = 0;
    for check in CHECKS {
        let finding = examine(check.run)?;
        let (word, lines) = match &finding {
            Finding::Passed(facts) if args.verbose => ("ok    ", facts.as_slice()),
            Finding::Passed(_) => ("ok    ", [].as_slice()),
            Finding::Late(faults) | Finding::Wrong(faults) => ("FAILED", faults.as_slice()),
        };
        println!("{word}  {}", check.title);
        for line in lines {
            println!("          {line}");
        }
        failed += usize::from(!matches!(finding, Finding::Passed(_)));
    }
    if failed == 0 {
        println!(
            "all {} checks passed: the latencies recorded are those that were, the cost is found",
            CHECKS.len()
        );
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::run(format!(
        "{failed} of {} checks failed: do not trust figures that this program measures on this \
         machine. If only bounds from above were missed the machine may be too busy: try again \
         when it is idle",
        CHECKS.len()
    )))
}

fn examine(check: fn() -> Result<Finding, Failure>) -> Result<Finding, Failure> {
    let mut finding = check()?;
    for _ in 1..ATTEMPTS {
        if !matches!(finding, Finding::Late(_)) {
            break;
        }
        finding = check()?;
    }
    Ok(finding)
}

fn plant_flaw() -> Result<(), Failure> {
    let Some(name) = std::env::var_os(FLAW_VARIABLE) else { return Ok(()) };
    let (name, flaw) = FLAWS.iter().find(|(known, _)| name == *known).ok_or_else(|| {
        let known: Vec<&str> = FLAWS.iter().map(|(name, _)| *name).collect();
        Failure::usage(format!("{FLAW_VARIABLE} is one of {}", known.join(", ")))
    })?;
    println!("planted in the recorder: {name}");
    plant(*flaw);
    Ok(())
}
