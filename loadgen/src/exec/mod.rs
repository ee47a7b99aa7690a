//! Making load: threads, rings, connections, schedules.
//!
//! The intended interface (the first version may refine it):
//!
//! ```ignore
//! /// Runs the plan. `observe` is called about once a second with what has happened so far.
//! /// An unreachable server or a refused password is an error; a server that dies in the middle
//! /// is not: the outcome holds what was measured, and why it ended.
//! pub fn run(plan: &Plan, observe: &mut dyn FnMut(&Progress)) -> Result<Outcome, Failure>;
//! ```
