//! What the engines of one process share.

use std::sync::Arc;

use super::super::Shared;
use super::NoHost;
use crate::config::Config;

#[test]
fn at_least_one_thread_is_active_and_none_that_there_is_not() {
    let config = Arc::new(Config::default());
    let shared = Shared::new(4, config, Box::new(NoHost), 1, "0".repeat(40));
    assert_eq!(shared.active_threads(), 1);
    for (wanted, active) in [(0, 1), (3, 3), (9, 4)] {
        shared.set_active_threads(wanted, "because");
        assert_eq!((shared.active_threads(), shared.why_active()), (active, "because"));
    }
}
