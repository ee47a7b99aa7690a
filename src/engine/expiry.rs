//! Giving expired keys' memory back, although nobody asks for the keys.

use crate::store::{Shard as Store, UnixMs};

/// Expired keys that one tick's sweep drops at most, each of which takes about 135 ns (`cargo bench
/// --bench store -- expiry`). While there are more, ticks come every five milliseconds: that is
/// 350,000 keys a second for 5 % of a core. A million keys that expire in the same second are gone
/// three seconds after its end, and on average two seconds after they expired.
const SWEEP_KEYS: usize = 1750;

/// The sweep for expired entries.
#[derive(Debug)]
pub(super) struct Expiry {
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub is_active: bool,
    /// There is more to do than one tick allows.
    goes_on: bool,
}

impl Default for Expiry {
    fn default() -> Expiry {
        Expiry { is_active: true, goes_on: false }
    }
}

impl Expiry {
    /// One tick's share of the work.
    pub fn sweep(&mut self, store: &mut Store, now: UnixMs) {
        // Locks are no obstacle: to whoever holds one, an expired key is not there either.
        self.goes_on = self.is_active && store.sweep_expired(SWEEP_KEYS, now);
    }

    /// Whether a tick should come soon.
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Whether there will be something to do.
    pub fn wants_ticks(&self, store: &Store) -> bool {
        self.is_active && store.has_expiring()
    }
}
