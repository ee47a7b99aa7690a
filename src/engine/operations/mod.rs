//! Commands that concern a connection or the whole process.
//!
//! | file | commands |
//! |---|---|
//! | `session` | AUTH, HELLO, QUIT, RESET, SELECT |
//! | `client` | CLIENT |
//! | `config` | CONFIG |
//! | `info` | INFO |
//! | `memory` | MEMORY |
//! | `access` | ACCESS |
//! | `multi` | MULTI, EXEC, DISCARD, WATCH, UNWATCH |
//! | `process` | SHUTDOWN, DEBUG, and the ends of effects |

mod access;
mod asked;
mod client;
mod config;
mod facts;
mod info;
mod memory;
pub(super) mod multi;
mod process;
mod session;

use super::event::Outbox;
use super::reply::fail;
use super::state::Core;
use crate::commands::{CommandError, Operation, Row};
use crate::session::Session;
use asked::Asked;

pub(super) use process::debug_is_allowed;

/// Carries out what the engine itself is asked for, if the arguments are right.
pub(super) fn run(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    parsed: Result<Operation<'_>, CommandError>,
    outbox: &mut Outbox,
) {
    core.stats.commands.of(row).calls += 1;
    match parsed {
        Ok(operation) => carry_out(core, session, row, operation, outbox),
        Err(error) => fail(&mut core.stats.commands, session, row, &error),
    }
}

/// Carries out an operation: answers at once, or stalls the session until it can be.
fn carry_out(
    core: &mut Core,
    session: &mut Session,
    row: &'static Row,
    operation: Operation<'_>,
    outbox: &mut Outbox,
) {
    let asked = &mut Asked { core, session, row, outbox };
    let result = match operation {
        Operation::Auth { user, password } => session::auth(asked, user, password),
        Operation::Hello(hello) => session::hello(asked, hello),
        Operation::Quit => session::quit(asked),
        Operation::Reset => session::reset(asked),
        Operation::Select(index) => session::select(asked, index),
        Operation::Multi => multi::multi(asked),
        Operation::Exec => multi::exec(asked),
        Operation::Discard => multi::discard(asked),
        Operation::Watch(args) => multi::watch(asked, args),
        Operation::Unwatch => multi::unwatch(asked),
        Operation::ClientId => client::id(asked),
        Operation::ClientGetName => client::get_name(asked),
        Operation::ClientSetName(name) => client::set_name(asked, name),
        Operation::ClientSetInfo { attribute, value } => client::set_info(asked, attribute, value),
        Operation::ClientInfo => client::info(asked),
        Operation::ClientList(filter) => client::list(asked, filter),
        Operation::ClientKill(kill) => client::kill(asked, kill),
        Operation::ClientNoEvict(on) => client::set_no_evict(asked, on),
        Operation::ClientNoTouch(on) => client::set_no_touch(asked, on),
        Operation::ClientReply(mode) => client::reply(asked, mode),
        Operation::ClientPause { millis, writes_only } => client::pause(asked, millis, writes_only),
        Operation::ClientUnpause => client::unpause(asked),
        Operation::ClientUnblock { id, with_error } => client::unblock(asked, id, with_error),
        Operation::ClientTrackingInfo => client::tracking_info(asked),
        Operation::ClientGetRedir => client::get_redir(asked),
        Operation::ConfigGet(patterns) => config::get(asked, patterns),
        Operation::ConfigSet(pairs) => config::set(asked, pairs),
        Operation::ConfigRewrite => config::rewrite(asked),
        Operation::ConfigResetStat => config::reset_stat(asked),
        Operation::DebugSleep { micros } => process::sleep(asked, micros),
        Operation::DebugSetActiveExpire(active) => process::set_active_expire(asked, active),
        Operation::Info(sections) => info::info(asked, sections),
        Operation::MemoryDoctor => memory::doctor(asked),
        Operation::MemoryMallocStats => memory::malloc_stats(asked),
        Operation::MemoryPurge => memory::purge(asked),
        Operation::MemoryStats => memory::stats(asked),
        Operation::Shutdown(shutdown) => process::shutdown(asked, shutdown),
        Operation::AccessExplain(address) => access::explain(asked, address),
        Operation::AccessLog { count } => access::log(asked, count),
        Operation::AccessLogReset => access::reset_log(asked),
    };
    if let Err(error) = result {
        fail(&mut core.stats.commands, session, row, &error);
    }
}
