//! New connections.
//!
//! Every core has its own listening sockets on every address (`SO_REUSEPORT`), among which the
//! kernel chooses by a hash of the peer's address and port: evenly only over very many
//! connections. So a core that accepts while another has clearly fewer hands the socket over. Only
//! cores that their own threads run have connections; who runs a core accepts for it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use super::{Closing, Driver, FIRST, Role, add};
use crate::access::Peer;
use crate::engine::{Event, ShardId};
use crate::runtime::accepted::Accepted;
use crate::runtime::inbox::Parcel;
use crate::runtime::linger::LINGER_BYTES_MAX;

/// How long to wait before accepting again after running out of descriptors or memory.
const BACK_OFF_US: u64 = 100_000;

impl Driver {
    /// Nothing is missing any more.
    pub(super) fn start_accepting(&mut self) {
        self.accepting = true;
        for at in 0..self.hosted.len() {
            self.accept_for(self.hosted[at].core);
        }
    }

    /// Accepts on the sockets of a core that this thread runs.
    pub(super) fn accept_for(&mut self, core: ShardId) {
        if self.accepting && self.stop.is_none() {
            self.listeners.of_core(core).for_each(|listener| self.ring.accept(listener));
        }
    }

    pub(super) fn accepted(&mut self, listener: u32, socket: OwnedFd) {
        // An error means that the peer has gone already.
        if let Ok(accepted) = Accepted::new(socket, self.listeners.kind(listener)) {
            self.admit(accepted);
        }
    }

    /// Decides about a connection, and who is to have it.
    pub(super) fn admit(&mut self, accepted: Accepted) {
        let now = self.now;
        let Some(hosted) = self.hosted.first_mut() else {
            // It came just as the last core went.
            return self.put(FIRST, Parcel::Arrived(accepted));
        };
        if let Err(text) = hosted.engine.admit(now, &accepted.peer) {
            self.refuse(accepted, &text);
            return;
        }
        self.refusals.shortage = false;
        add(&self.counters().connections_received, 1);
        let target = self.least_loaded();
        // Counted before it arrives there, so that the next decision knows of it.
        self.process.shared.cores[target].connections.fetch_add(1, Ordering::Relaxed);
        if target == self.thread {
            self.serve(accepted, target);
        } else {
            add(&self.counters().connections_handed_over, 1);
            self.put(target, Parcel::Connection(accepted));
        }
    }

    /// The core that is to have the next connection: ours if it takes any, unless another has clearly
    /// fewer.
    fn least_loaded(&self) -> ShardId {
        let least = self.process.least_connected(|_| true).unwrap_or(FIRST);
        let (ours, fewest) =
            (self.process.connections(self.thread), self.process.connections(least));
        let is_taking = self.thread < self.process.shared.active_threads();
        if is_taking && ours <= fewest + fewest / 16 { self.thread } else { least }
    }

    /// A connection, counted already for a core, becomes this thread's.
    pub(super) fn serve(&mut self, accepted: Accepted, counted_for: ShardId) {
        let is_here = self.own().is_some();
        // Whoever runs that core by now may be another thread than its own, or that one may not run
        // it yet.
        let core = if is_here { self.thread } else { FIRST };
        if core != counted_for {
            let cores = &self.process.shared.cores;
            cores[core].connections.fetch_add(1, Ordering::Relaxed);
            cores[counted_for].connections.fetch_sub(1, Ordering::Relaxed);
        }
        if !is_here {
            return self.put(FIRST, Parcel::Connection(accepted));
        }
        if !self.is_receiving() {
            self.count_connection_closed();
            return;
        }
        let (socket, origin) = accepted.into_parts(self.process.client_id());
        let Some(key) = self.ring.insert(socket) else {
            self.count_connection_closed();
            return;
        };
        self.set_role(key.index, Role::Served { more: false, closing: Closing::No });
        self.tell_own(Event::Open { conn: super::conn_of(key), origin });
        self.ring.receive(key);
    }

    pub(super) fn count_connection_closed(&self) {
        self.counters().connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn set_role(&mut self, index: u32, role: Role) {
        let index = index as usize;
        if self.roles.len() <= index {
            self.roles.resize(index + 1, Role::Vacant);
        }
        self.roles[index] = role;
    }

    /// Tells the peer why, and closes so that it can read that.
    fn refuse(&mut self, accepted: Accepted, text: &[u8]) {
        self.refusals.refused(&accepted.peer, text, self.now.monotonic_us);
        let fd = accepted.socket.as_raw_fd();
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // A fresh socket has room for a line. If it has not, the peer does without.
        // SAFETY: the text lives during the call, and `accepted` owns the descriptor.
        unsafe {
            libc::send(fd, text.as_ptr().cast(), text.len(), flags);
            libc::shutdown(fd, libc::SHUT_WR);
        }
        let Some(key) = self.ring.insert(accepted.socket) else { return };
        if !self.deadlines.push(key, self.now.monotonic_us) {
            self.ring.close(key);
            return;
        }
        self.set_role(key.index, Role::Lingering { bytes_left: LINGER_BYTES_MAX });
        self.ring.receive(key);
    }

    /// No error ends accepting: a connection that is gone concerns nobody, and a shortage passes.
    pub(super) fn accept_failed(&mut self, listener: u32, error: &io::Error) {
        if is_shortage(error) {
            if !std::mem::replace(&mut self.refusals.shortage, true) {
                tracing::warn!("cannot accept connections for now: {error}");
            }
            self.accept_again.push((listener, self.now.monotonic_us + BACK_OFF_US));
        } else if matches!(error.raw_os_error(), Some(libc::EBADF | libc::EINVAL)) {
            tracing::error!("listening has ended: {error}");
        } else {
            self.ring.accept(listener);
        }
    }

    pub(super) fn accept_again_if_due(&mut self) {
        let now_us = self.now.monotonic_us;
        let ring = &mut self.ring;
        self.accept_again.retain(|(listener, at)| {
            let due = *at <= now_us;
            if due {
                ring.accept(*listener);
            }
            !due
        });
    }
}

/// Logs refusals, but not so many that an attacker fills the disk.
#[derive(Debug, Default)]
pub(super) struct RefusalLog {
    logged_us: Option<u64>,
    suppressed: u64,
    /// Descriptors or memory have run out, which was logged; nothing was accepted since.
    shortage: bool,
}

/// At least this long between two lines.
const REFUSAL_LOG_US: u64 = 10_000_000;

impl RefusalLog {
    fn refused(&mut self, peer: &Peer, text: &[u8], now_us: u64) {
        if self.logged_us.is_some_and(|at| now_us < at + REFUSAL_LOG_US) {
            self.suppressed += 1;
            return;
        }
        let suppressed = std::mem::take(&mut self.suppressed);
        self.logged_us = Some(now_us);
        let peer: &dyn std::fmt::Display = match peer {
            Peer::Ip(ip) => ip,
            Peer::Unix => &"the unix socket",
        };
        // The first sentence says why; the rest are remedies for whom it concerns.
        let text = String::from_utf8_lossy(text);
        let reason = text.trim_start_matches('-').split(['.', '\r']).next().unwrap_or_default();
        let others = match suppressed {
            0 => String::new(),
            others => format!(" (and {others} others since the last such line)"),
        };
        tracing::warn!("Refused a connection from {peer}{others}: {reason}");
    }
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EPERM)
    )
}
