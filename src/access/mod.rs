//! Who may connect: one immutable policy, one decision, made before a byte is read.
//!
//! | file | what it is |
//! |---|---|
//! | `policy` | [`AccessPolicy`] and what it decides |
//! | `explain` | the `-DENIED` texts, and the answers of ACCESS EXPLAIN |
//! | `counters` | how many were accepted and refused, and the latest refusals |
//! | `password` | the password, as a hash |

mod counters;
mod explain;
mod password;
mod policy;

pub use counters::{Counters, REFUSALS_MAX, Reason, Refusal, RefusalLog};
pub use explain::Explanation;
pub use password::Password;
pub use policy::{AcceptRule, AccessPolicy, Decision, Peer, RefuseRule};

pub use crate::config::Cidr;
