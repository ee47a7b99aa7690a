//! How the policy was applied: counters for INFO, and the latest refusals for ACCESS LOG.

use core::fmt;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::policy::{Peer, RefuseRule};

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    ProtectedMode,
    AllowFrom,
    MaxClients,
}

impl From<RefuseRule> for Reason {
    fn from(rule: RefuseRule) -> Self {
        match rule {
            RefuseRule::ProtectedMode => Reason::ProtectedMode,
            RefuseRule::AllowFrom => Reason::AllowFrom,
        }
    }
}

impl fmt::Display for Reason {
    /// The directive behind it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::ProtectedMode => "protected-mode",
            Reason::AllowFrom => "allow-from",
            Reason::MaxClients => "maxclients",
        })
    }
}

/// Counters of the whole process, since it started or since CONFIG RESETSTAT.
#[derive(Debug, Default)]
pub struct Counters {
    pub accepted: AtomicU64,
    pub refused_protected_mode: AtomicU64,
    pub refused_allow_from: AtomicU64,
    pub refused_maxclients: AtomicU64,
    /// Wrong passwords and users given to AUTH or HELLO.
    pub auth_failures: AtomicU64,
    log: Mutex<RefusalLog>,
}

impl Counters {
    pub fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a refusal and puts it in the log.
    pub fn refused(&self, unix_ms: u64, peer: &Peer, reason: Reason) {
        self.refusals(reason).fetch_add(1, Ordering::Relaxed);
        self.log.lock().unwrap_or_else(PoisonError::into_inner).record(unix_ms, *peer, reason);
    }

    pub fn auth_failed(&self) {
        self.auth_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The counter of one reason.
    pub fn refusals(&self, reason: Reason) -> &AtomicU64 {
        match reason {
            Reason::ProtectedMode => &self.refused_protected_mode,
            Reason::AllowFrom => &self.refused_allow_from,
            Reason::MaxClients => &self.refused_maxclients,
        }
    }

    /// The latest refusals, newest first.
    pub fn log(&self) -> Vec<Refusal> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).newest_first().copied().collect()
    }

    /// Empties the log (ACCESS LOG RESET).
    pub fn reset_log(&self) {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = RefusalLog::default();
    }

    /// Sets the counters to zero; the log stays.
    pub fn reset(&self) {
        for counter in [
            &self.accepted,
            &self.refused_protected_mode,
            &self.refused_allow_from,
            &self.refused_maxclients,
            &self.auth_failures,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// One entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When the peer was last refused, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    pub peer: Peer,
    pub reason: Reason,
    /// How often, as long as the entry has been in the log.
    pub count: u64,
}

/// Most entries that a log keeps.
pub const REFUSALS_MAX: usize = 128;

/// The peers refused most recently, each once per reason.
#[derive(Debug, Default)]
pub struct RefusalLog {
    /// Oldest first.
    entries: VecDeque<Refusal>,
}

impl RefusalLog {
    pub fn record(&mut self, unix_ms: u64, peer: Peer, reason: Reason) {
        let same = |entry: &Refusal| entry.peer == peer && entry.reason == reason;
        let known = self.entries.iter().rposition(same).and_then(|at| self.entries.remove(at));
        let before = known.map_or(0, |entry| entry.count);
        if self.entries.len() == REFUSALS_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(Refusal { unix_ms, peer, reason, count: before.saturating_add(1) });
    }

    pub fn newest_first(&self) -> impl Iterator<Item = &Refusal> {
        self.entries.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::Ip([10, 0, 0, last].into())
    }

    #[test]
    fn repeats_are_merged_and_move_to_the_front() {
        let counters = Counters::default();
        counters.refused(1, &peer(1), Reason::AllowFrom);
        counters.refused(2, &peer(2), Reason::AllowFrom);
        counters.refused(3, &peer(1), Reason::AllowFrom);
        counters.refused(4, &peer(2), Reason::ProtectedMode);
        let expected = [
            Refusal { unix_ms: 4, peer: peer(2), reason: Reason::ProtectedMode, count: 1 },
            Refusal { unix_ms: 3, peer: peer(1), reason: Reason::AllowFrom, count: 2 },
            Refusal { unix_ms: 2, peer: peer(2), reason: Reason::AllowFrom, count: 1 },
        ];
        assert_eq!(counters.log(), expected);
        assert_eq!(counters.refused_allow_from.load(Ordering::Relaxed), 3);
        assert_eq!(counters.refused_protected_mode.load(Ordering::Relaxed), 1);
        counters.reset();
        assert_eq!(counters.refused_allow_from.load(Ordering::Relaxed), 0);
        assert_eq!(counters.log().len(), 3, "the log is reset by its own command");
        counters.reset_log();
        assert_eq!(counters.log(), []);
    }

    #[test]
    fn the_log_is_bounded_and_keeps_the_newest() {
        let mut log = RefusalLog::default();
        for i in 0..=u8::MAX {
            log.record(u64::from(i), peer(i), Reason::MaxClients);
        }
        let newest: Vec<_> = log.newest_first().map(|entry| entry.peer).collect();
        let expected: Vec<_> = (0..=u8::MAX).rev().take(REFUSALS_MAX).map(peer).collect();
        assert_eq!(newest, expected);
    }
}
