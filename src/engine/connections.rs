//! Connections come and go.

use super::closing::close_now;
use super::event::{ClientOrigin, ConnId};
use super::state::{Core, Here};
use super::{blocked, limits, watch};
use crate::access::{Decision, Peer, Reason};
use crate::commands::ReplyMode;
use crate::protocol::reply::Encoding;
use crate::session::{ClientState, Session, Stall};
use crate::store::Watcher;
use crate::txn::planted;

/// Connections kept free for administrators on loopback and unix sockets when `maxclients` is
/// reached, so that a full server can still be asked and mended.
const RESERVED_LOCAL_CLIENTS: usize = 8;

/// See [`super::Engine::admit`].
pub(super) fn admit(core: &Core, peer: &Peer) -> Result<(), Vec<u8>> {
    let access = &core.site.shared.access;
    if let Decision::Refuse(rule) = core.site.settings.access.decide(peer) {
        access.refused(core.site.now.unix_ms, peer, Reason::from(rule));
        let text = core.site.settings.access.denied_text(rule, peer);
        return Err(format!("-{text}\r\n").into_bytes());
    }
    let reserved = if peer.is_local() { RESERVED_LOCAL_CLIENTS } else { 0 };
    let max = core.site.settings.config.maxclients as usize;
    if core.site.shared.connections() >= max + reserved {
        access.refused(core.site.now.unix_ms, peer, Reason::MaxClients);
        return Err(b"-ERR max number of clients reached\r\n".to_vec());
    }
    access.accepted();
    Ok(())
}

/// A connection belongs to this core from now on.
pub(super) fn open(here: &mut Here<'_>, conn: ConnId, origin: ClientOrigin) {
    // Its place may be taken before its predecessor's end has been told.
    if let Some(predecessor) = here.sessions.in_place_of(conn) {
        forget_connection(here, predecessor);
    }
    let mut session = new_session(here.core, conn, origin);
    tracing::debug!("Accepted {}, client {}", session.client.addr, session.client.id);
    here.core.memory.update(&mut session);
    here.sessions.insert(Box::new(session));
}

fn new_session(core: &Core, conn: ConnId, origin: ClientOrigin) -> Session {
    let client = ClientState {
        id: origin.id,
        peer: origin.peer,
        addr: origin.addr,
        laddr: origin.laddr,
        fd: origin.fd,
        name: Vec::new(),
        lib_name: Vec::new(),
        lib_ver: Vec::new(),
        encoding: Encoding::Resp2,
        db: 0,
        authenticated: !core.requires_password(),
        reply_mode: ReplyMode::On,
        skip_reply: false,
        no_evict: false,
        no_touch: false,
        created_us: core.site.now.monotonic_us,
        active_us: core.site.now.monotonic_us,
        last_command: None,
        input_bytes: 0,
        commands: 0,
        over_soft_limit_since_us: None,
    };
    Session::new(conn, client)
}

/// The runtime tells that a connection has ended.
pub(super) fn closed(here: &mut Here<'_>, conn: ConnId) {
    if let Some(session) = here.sessions.get_mut(conn) {
        tracing::debug!(
            "Connection of {}, client {}, has ended",
            session.client.addr,
            session.client.id
        );
    }
    forget_connection(here, conn);
}

pub(super) fn watch_broken(here: &mut Here<'_>, conn: ConnId, watcher: Watcher) {
    if let Some(session) = here.sessions.get_mut(conn)
        && let Some(watching) = &mut session.watching
        && watching.watcher == watcher
    {
        watching.broken = true;
    }
}

/// A connection has ended: what it had queued and watched is forgotten. An EXEC that has begun
/// goes on to its end.
pub(super) fn forget_connection(here: &mut Here<'_>, conn: ConnId) {
    let session = here.sessions.get_mut(conn).filter(|session| !session.gone);
    let Some(session) = session else { return };
    session.multi = None;
    blocked::forget_wait(here.core, session, here.outbox);
    let watching = session.watching.take();
    if session.is_exec_running() {
        session.gone = true;
        here.sessions.detach(conn);
    } else if let Some(session) = here.sessions.remove(conn) {
        here.core.memory.forget(&session);
    }
    if !planted!(here.core.site, WatchesOfVanishedKept) {
        watch::forget_watching(here.core, watching, here.outbox);
    }
}

/// Lets the sessions go on that CLIENT PAUSE had stopped.
pub(super) fn end_pause(here: &mut Here<'_>) {
    for session in here.sessions.iter_mut() {
        if session.stall.contains(Stall::PAUSED) {
            session.stall.remove(Stall::PAUSED);
            here.core.agenda.wake(session.conn);
        }
    }
}

/// Closes connections that have been idle for `timeout` or over a soft output limit too long.
pub(super) fn enforce_limits(here: &mut Here<'_>) {
    here.core.agenda.watch_soft_limits(false);
    for session in here.sessions.iter_mut() {
        if limits::is_idle_too_long(here.core, session)
            || limits::is_over_output(here.core, session)
        {
            close_now(session, here.outbox);
        }
    }
}
