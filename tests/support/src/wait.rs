//! How long a test waits.

use std::time::{Duration, Instant};

/// How long any single wait may take before the test fails. Generous, because debug builds on
/// busy two-core machines are slow; nothing waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `condition` holds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
