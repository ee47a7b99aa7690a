//! Connections that go on at another core, because more threads are active than before, or fewer.
//!
//! Only those at rest move, see [`crate::engine`]. First nothing more is received from one; once the
//! kernel holds nothing of it, and it still is at rest, session and socket leave as one parcel. What
//! its client sends meanwhile waits in the socket.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use super::{Closing, Driver, Process, Role, add, conn_of, own_among};
use crate::engine::ShardId;
use crate::runtime::inbox::Parcel;
use crate::runtime::ring::Key;
use crate::session::Session;

/// Connections that are on their way out at one time.
const LEAVING_MAX: usize = 64;
/// One that has not come to rest by then stays.
const LEAVING_US: u64 = 20_000;
/// How long those that are not at rest are left alone; doubled each time that none is.
const AGAIN_US: u64 = 1_000;
const AGAIN_MAX_US: u64 = 2_000_000;
/// How often the cores' shares of the connections are looked at while nothing else changes.
const SHARES_US: u64 = 100_000;

/// The connections of a thread that are to move.
#[derive(Debug, Default)]
pub(super) struct Moves {
    leaving: Vec<(Key, u64)>,
    /// When to look for more, and how long to wait if there are none.
    again_at_us: u64,
    again_us: u64,
    /// Connections that should be elsewhere, when that was last looked at.
    surplus: usize,
}

impl Moves {
    /// The plan has changed.
    pub fn begin(&mut self) {
        (self.again_at_us, self.again_us) = (0, AGAIN_US);
    }

    /// One has not come to rest, or none is: it is longer until others are looked for.
    fn back_off(&mut self, now_us: u64) {
        self.again_us = (self.again_us * 2).clamp(AGAIN_US, AGAIN_MAX_US);
        self.again_at_us = now_us + self.again_us;
    }

    /// When to go on although nothing happens.
    pub fn next_us(&self) -> Option<u64> {
        let deadline = self.leaving.iter().map(|(_, deadline_us)| *deadline_us).min();
        let again = (self.surplus > 0).then_some(self.again_at_us);
        [deadline, again].into_iter().flatten().min()
    }

    /// The engine itself wants nothing received from this one: it stays.
    pub fn forget(&mut self, key: Key) {
        self.leaving.retain(|(leaving, _)| *leaving != key);
    }
}

impl Driver {
    /// Sends off connections that are too many here. Called between two passes.
    pub(super) fn move_connections(&mut self) {
        if self.stop.is_some() || self.process.plan.threads() == 1 {
            return;
        }
        if !self.moves.leaving.is_empty() {
            self.send_off();
        }
        if self.now.monotonic_us >= self.moves.again_at_us {
            self.choose_leaving();
        }
    }

    /// Those that were to leave stay: the server ends.
    pub(super) fn stop_moving(&mut self) {
        for (key, _) in std::mem::take(&mut self.moves).leaving {
            self.ring.receive(key);
        }
    }

    /// How many connections should be with other cores.
    fn surplus(&self) -> usize {
        let active = self.process.shared.active_threads();
        let cores = &self.process.shared.cores;
        let ours = self.counters().connections.load(Ordering::Relaxed);
        if self.thread >= active {
            return ours;
        }
        let all: usize = cores.iter().map(|core| core.connections.load(Ordering::Relaxed)).sum();
        let share = all.div_ceil(active);
        // As in `accept`: a few more are no reason to move any.
        if ours > share + share / 16 { ours - share } else { 0 }
    }

    /// Stops receiving from connections that are to leave.
    fn choose_leaving(&mut self) {
        let now_us = self.now.monotonic_us;
        self.moves.surplus = self.surplus();
        let wanted = self.moves.surplus.saturating_sub(self.moves.leaving.len());
        let wanted = wanted.min(LEAVING_MAX - self.moves.leaving.len());
        if wanted == 0 {
            self.moves.again_at_us = now_us + SHARES_US;
            return;
        }
        if target_but(&self.process, self.thread).is_none() {
            // The core that is to have them is on its way to its thread.
            self.moves.again_at_us = now_us + AGAIN_US;
            return;
        }
        let mut found = 0;
        for key in self.ring.keys() {
            if found == wanted {
                break;
            }
            let role = self.roles.get(key.index as usize);
            let free = matches!(role, Some(Role::Served { more: false, closing: Closing::No }));
            if free
                && self.ring.can_send(key)
                && !self.moves.leaving.iter().any(|(other, _)| *other == key)
                && self.own().is_some_and(|own| own.engine.may_move(conn_of(key)))
            {
                self.ring.pause(key);
                self.moves.leaving.push((key, now_us + LEAVING_US));
                found += 1;
            }
        }
        match found {
            0 => self.moves.back_off(now_us),
            _ => self.moves.again_at_us = now_us + self.moves.again_us,
        }
    }

    /// Sends off those of which the kernel holds nothing any more.
    fn send_off(&mut self) {
        let now_us = self.now.monotonic_us;
        let mut ready = Vec::new();
        for (key, deadline_us) in std::mem::take(&mut self.moves.leaving) {
            if !self.ring.is_open(key) {
                continue;
            }
            let at_rest = self.own().is_some_and(|own| own.engine.may_move(conn_of(key)));
            if now_us >= deadline_us {
                // Whatever keeps it here, its client waits no longer for that.
                self.ring.receive(key);
                self.moves.back_off(now_us);
            } else if at_rest && self.ring.is_quiet(key) {
                ready.push((key, deadline_us));
            } else {
                self.moves.leaving.push((key, deadline_us));
            }
        }
        if !ready.is_empty() {
            self.send_ready(ready);
        }
    }

    fn send_ready(&mut self, ready: Vec<(Key, u64)>) {
        let Driver { hosted, ring, roles, moves, process, thread, to_wake, .. } = self;
        let Some(own) = own_among(hosted, *thread) else { return };
        let process: &Process = process;
        let counters = &process.shared.cores[*thread];
        // See the head of the engine's `moves` for what the mutex and the empty inbox are for.
        process.post.put_ordered(|| {
            let may_go = own.inbox.is_empty();
            ready.into_iter().filter_map(move |(key, deadline_us)| {
                let target = if may_go { target_but(process, *thread) } else { None };
                let sent = target.and_then(|target| {
                    let session = own.engine.give_up(conn_of(key))?;
                    Some((target, ring.take(key)?, session))
                });
                let Some((target, socket, session)) = sent else {
                    moves.leaving.push((key, deadline_us));
                    return None;
                };
                moves.again_us = AGAIN_US;
                roles[key.index as usize] = Role::Vacant;
                process.shared.cores[target].connections.fetch_add(1, Ordering::Relaxed);
                counters.connections.fetch_sub(1, Ordering::Relaxed);
                add(&counters.connections_moved, 1);
                to_wake.push(target);
                Some((target, Parcel::Moved { socket, session }))
            })
        });
        self.wake_cores();
    }

    /// A connection of another core goes on here.
    pub(super) fn take_over(&mut self, at: usize, socket: OwnedFd, session: Box<Session>) {
        let (now, receiving) = (self.now, self.is_receiving());
        let own = self.hosted[at].core == self.thread;
        debug_assert!(own, "a connection for a core that is not at home");
        let key = self.ring.insert(socket).filter(|_| own);
        let Some(key) = key else {
            self.turn_to(at).engine.lose(session);
            return self.count_connection_closed();
        };
        self.set_role(key.index, Role::Served { more: false, closing: Closing::No });
        self.turn_to(at).take_over(now, conn_of(key), session);
        if receiving {
            self.ring.receive(key);
        }
    }
}

/// The core that is to have the next connection that leaves a thread.
fn target_but(process: &Process, thread: ShardId) -> Option<ShardId> {
    process.least_connected(|core| core != thread && process.plan.is_at_home(core))
}
