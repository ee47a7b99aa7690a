//! Connections that are over but whose last words the peer shall be able to read.
//!
//! To close a socket with unread bytes in it sends a reset, and a reset destroys what the peer has
//! not read yet. So the sending side is shut down first, and what the peer still sends is thrown
//! away for a moment: until it closes, too, or has sent too much, or the time is up.

use std::collections::VecDeque;

use super::ring::Key;

/// How long a connection lingers.
pub const LINGER_US: u64 = 1_000_000;
/// How many bytes it may send meanwhile.
pub const LINGER_BYTES_MAX: usize = 64 * 1024;
/// Lingering connections per core; what would be one more is closed at once.
const LINGERING_MAX: usize = 1024;

/// Deadlines, all equally far away, so the queue is sorted. A key may have gone in the meantime.
#[derive(Debug, Default)]
pub struct Deadlines {
    queue: VecDeque<(Key, u64)>,
}

impl Deadlines {
    /// False if there are too many already.
    #[must_use]
    pub fn push(&mut self, key: Key, now_us: u64) -> bool {
        if self.queue.len() >= LINGERING_MAX {
            return false;
        }
        self.queue.push_back((key, now_us + LINGER_US));
        true
    }

    /// The next connection whose time is up.
    pub fn pop_due(&mut self, now_us: u64) -> Option<Key> {
        let due = self.queue.front().is_some_and(|(_, deadline)| *deadline <= now_us);
        due.then(|| self.queue.pop_front()).flatten().map(|(key, _)| key)
    }

    pub fn next_us(&self) -> Option<u64> {
        self.queue.front().map(|(_, deadline)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_in_order_and_bounded() {
        let mut deadlines = Deadlines::default();
        let key = |index| Key { index, generation: 0 };
        assert!(deadlines.push(key(1), 0));
        assert!(deadlines.push(key(2), 10));
        assert_eq!(deadlines.next_us(), Some(LINGER_US));
        assert_eq!(deadlines.pop_due(LINGER_US - 1), None);
        assert_eq!(deadlines.pop_due(LINGER_US), Some(key(1)));
        assert_eq!(deadlines.pop_due(LINGER_US), None);
        assert_eq!(deadlines.pop_due(LINGER_US + 10), Some(key(2)));
        assert_eq!(deadlines.next_us(), None);
        let accepted = (0..2 * LINGERING_MAX as u32).filter(|i| deadlines.push(key(*i), 0));
        assert_eq!(accepted.count(), LINGERING_MAX);
    }
}
