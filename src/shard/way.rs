//! What a command does that is carried out in hops, at its coordinator and at its shards.

use crate::commands::hops::Hops;
use crate::commands::{Handler, Row, Spread, Wait, WaitsAt};

/// How a command with keys on several shards goes about it.
pub enum Way {
    Hops(&'static Hops),
    /// The first of its keys that is ready serves it: a command that may wait, where it can't.
    FirstReady(&'static Wait),
}

pub fn way_of(row: &Row) -> Option<Way> {
    match row.handler {
        Handler::Keyed(_, Spread::Hops(hops)) => Some(Way::Hops(hops)),
        Handler::Keyed(_, Spread::Reaching(reaching)) => Some(Way::Hops(&reaching.hops)),
        Handler::Keyed(_, Spread::Wait(wait)) => match wait.at {
            WaitsAt::EveryKey => Some(Way::FirstReady(wait)),
            WaitsAt::FirstKey(hops) => Some(Way::Hops(hops)),
        },
        _ => None,
    }
}
