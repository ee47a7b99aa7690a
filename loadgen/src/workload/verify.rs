//! Values that describe themselves, and what a read may return.
//!
//! Layout, little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | [`MAGIC`] |
//! | 4..8 | tag of the run that wrote it |
//! | 8..16 | number of the key |
//! | 16..20 | version: the how-manyeth write to this key |
//! | 20..24 | length of the whole value |
//! | 24..32 | checksum of everything else |
//! | 32.. | random bytes |
//!
//! With verification every key belongs to one thread, whose [`Ledger`] knows which versions have
//! been sent and answered. Writes over several connections may overtake each other; the ledger
//! calls a read stale only where no order of those in flight explains it.

use std::collections::HashMap;

pub const MAGIC: [u8; 4] = *b"lgv1";
/// The shortest value that can describe itself, bytes.
pub const SHORTEST: usize = 32;

/// What a value read for a key turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// What was written last, or something that the order of writes in flight explains.
    Ok,
    /// The value of another key, or nothing that this program wrote.
    Wrong,
    /// Not what was written as a whole: bytes are missing or mixed with those of another write.
    Torn,
    /// An older version than one whose write was answered before the read was sent.
    Stale,
}

/// What a whole value says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    pub run: u32,
    pub key: u64,
    pub version: u32,
}

/// Completes a value of which `value[SHORTEST..]` is already there.
pub fn describe(value: &mut [u8], description: Description) {
    debug_assert!(value.len() >= SHORTEST);
    value[0..4].copy_from_slice(&MAGIC);
    value[4..8].copy_from_slice(&description.run.to_le_bytes());
    value[8..16].copy_from_slice(&description.key.to_le_bytes());
    value[16..20].copy_from_slice(&description.version.to_le_bytes());
    let length = value.len() as u32;
    value[20..24].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(value);
    value[24..32].copy_from_slice(&sum.to_le_bytes());
}

/// Reads a value's description.
///
/// # Errors
/// [`Check::Wrong`] where it does not begin as ours do, [`Check::Torn`] where it does and is not
/// whole.
pub fn read(value: &[u8]) -> Result<Description, Check> {
    if value.len() < MAGIC.len() || value[..4] != MAGIC {
        return Err(Check::Wrong);
    }
    if value.len() < SHORTEST
        || word(value, 20) as usize != value.len()
        || long(value, 24) != checksum(value)
    {
        return Err(Check::Torn);
    }
    Ok(Description { run: word(value, 4), key: long(value, 8), version: word(value, 16) })
}

/// Callers have checked that the bytes are there.
fn word(value: &[u8], at: usize) -> u32 {
    value[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn long(value: &[u8], at: usize) -> u64 {
    value[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Over all bytes but those of the checksum: words of eight, each mixed in by a multiplication that
/// keeps both halves of its product. It need not withstand malice.
fn checksum(value: &[u8]) -> u64 {
    let mut sum = 0x243F_6A88_85A3_08D3 ^ value.len() as u64;
    for part in [&value[..24], &value[SHORTEST..]] {
        for chunk in part.chunks(8) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            let mixed = sum ^ u64::from_le_bytes(bytes);
            let product = u128::from(mixed) * 0x9E37_79B9_7F4A_7C15_u128;
            sum = (product as u64) ^ ((product >> 64) as u64) ^ sum.rotate_left(23);
        }
    }
    sum
}

/// What one thread knows of the keys that it owns: the numbers `thread`, `thread + threads`, ...
#[derive(Clone, Debug)]
pub struct Ledger {
    run: u32,
    threads: u64,
    keys: Vec<KeyState>,
    /// Writes sent and not yet answered, by key.
    in_flight: HashMap<u64, Vec<Write>>,
}

/// Versions begin at 1; 0 is none.
#[derive(Clone, Copy, Debug, Default)]
struct KeyState {
    /// The last one sent.
    sent: u32,
    /// A read sent from now on returns this one or a later one.
    floor: u32,
}

#[derive(Clone, Copy, Debug)]
struct Write {
    version: u32,
    /// The oldest write in flight when this one was sent, itself at the latest. Once this one is
    /// answered, nothing older than that can be what the key holds.
    oldest: u32,
}

impl Ledger {
    /// For thread `thread` of `threads` and a key space of `count`. Takes 8 bytes per key.
    pub fn new(run: u32, thread: usize, threads: usize, count: u64) -> Self {
        let threads = threads as u64;
        let owned = count.saturating_sub(thread as u64).div_ceil(threads);
        Ledger {
            run,
            threads,
            keys: vec![KeyState::default(); owned as usize],
            in_flight: HashMap::new(),
        }
    }

    /// A write is about to be sent: its description.
    pub fn begin_write(&mut self, key: u64) -> Description {
        let state = &mut self.keys[(key / self.threads) as usize];
        state.sent = state.sent.saturating_add(1);
        let version = state.sent;
        let writes = self.in_flight.entry(key).or_default();
        let oldest = writes.iter().map(|w| w.version).min().unwrap_or(version);
        writes.push(Write { version, oldest });
        Description { run: self.run, key, version }
    }

    /// The oldest version that a read sent now may return.
    pub fn floor(&self, key: u64) -> u32 {
        self.keys[(key / self.threads) as usize].floor
    }

    /// The write was answered: with success, or with an error, which leaves the key as it was.
    ///
    /// A write whose answer never came stays in flight, since nobody knows what became of it.
    pub fn end_write(&mut self, key: u64, version: u32, succeeded: bool) {
        let Some(writes) = self.in_flight.get_mut(&key) else { return };
        let Some(at) = writes.iter().position(|w| w.version == version) else { return };
        let write = writes.swap_remove(at);
        if writes.is_empty() {
            self.in_flight.remove(&key);
        }
        if succeeded {
            let state = &mut self.keys[(key / self.threads) as usize];
            state.floor = state.floor.max(write.oldest);
        }
    }

    /// Judges what a read of `key` returned; `floor` is what [`Ledger::floor`] gave when it was
    /// sent.
    pub fn check(&self, key: u64, floor: u32, value: &[u8]) -> Check {
        let description = match read(value) {
            Ok(description) => description,
            // A value that somebody else left behind is nothing that we could judge before our
            // own first write has been answered.
            Err(Check::Wrong) if floor == 0 => return Check::Ok,
            Err(check) => return check,
        };
        if description.key != key {
            return Check::Wrong;
        }
        if description.run != self.run {
            return if floor == 0 { Check::Ok } else { Check::Stale };
        }
        let sent = self.keys[(key / self.threads) as usize].sent;
        if description.version < floor {
            Check::Stale
        } else if description.version > sent && floor > 0 {
            Check::Wrong
        } else {
            Check::Ok
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: u32 = 77;

    fn value(key: u64, version: u32, length: usize) -> Vec<u8> {
        let mut value: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
        describe(&mut value, Description { run: RUN, key, version });
        value
    }

    #[test]
    fn a_description_is_read_back_at_any_length() {
        for length in [SHORTEST, SHORTEST + 1, 63, 64, 1000] {
            let value = value(5, 9, length);
            assert_eq!(read(&value), Ok(Description { run: RUN, key: 5, version: 9 }));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let whole = value(5, 9, 77);
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn the_middle_of_two_writes_is_torn() {
        let (first, second) = (value(5, 1, 100), value(5, 2, 100));
        let mixed = [&first[..40], &second[40..]].concat();
        // The random bytes of these two are the same: only the header differs.
        assert_eq!(mixed, first);
        let mut other = second;
        other[50] ^= 0xFF;
        describe(&mut other, Description { run: RUN, key: 5, version: 2 });
        assert_eq!(read(&[&first[..40], &other[40..]].concat()), Err(Check::Torn));
    }

    #[test]
    fn a_read_behind_an_answered_write_must_see_it() {
        let mut ledger = Ledger::new(RUN, 1, 2, 10);
        let key = 5;
        assert_eq!(ledger.begin_write(key).version, 1);
        assert_eq!(ledger.floor(key), 0);
        ledger.end_write(key, 1, true);
        ledger.begin_write(key);
        ledger.end_write(key, 2, true);
        let floor = ledger.floor(key);
        assert_eq!(floor, 2);
        assert_eq!(ledger.check(key, floor, &value(key, 2, 40)), Check::Ok);
        assert_eq!(ledger.check(key, floor, &value(key, 1, 40)), Check::Stale);
        assert_eq!(ledger.check(key, floor, &value(7, 2, 40)), Check::Wrong);
        assert_eq!(ledger.check(key, floor, &value(key, 3, 40)), Check::Wrong, "never sent");
        assert_eq!(ledger.check(key, floor, b"foreign"), Check::Wrong);
        assert_eq!(ledger.check(key, floor, &value(key, 2, 40)[..39]), Check::Torn);
    }

    #[test]
    fn writes_in_flight_together_may_end_in_either_order() {
        let mut ledger = Ledger::new(RUN, 0, 1, 10);
        ledger.begin_write(3);
        ledger.end_write(3, 1, true);
        ledger.begin_write(3);
        ledger.begin_write(3);
        ledger.end_write(3, 3, true);
        // The server may have applied 2 after 3; only 1 is surely gone.
        let floor = ledger.floor(3);
        assert_eq!(ledger.check(3, floor, &value(3, 2, 40)), Check::Ok);
        assert_eq!(ledger.check(3, floor, &value(3, 1, 40)), Check::Stale);
        ledger.end_write(3, 2, true);
        ledger.begin_write(3);
        ledger.end_write(3, 4, true);
        assert_eq!(ledger.floor(3), 4, "alone in flight, it settles the matter");
    }

    #[test]
    fn a_write_refused_or_lost_raises_no_floor() {
        let mut ledger = Ledger::new(RUN, 0, 1, 10);
        ledger.begin_write(3);
        ledger.end_write(3, 1, false);
        assert_eq!(ledger.floor(3), 0);
        ledger.begin_write(3);
        ledger.begin_write(3);
        ledger.end_write(3, 3, true);
        assert_eq!(ledger.floor(3), 2, "2 was never answered and may yet be applied");
        ledger.end_write(3, 3, true);
        ledger.end_write(9, 1, true);
        assert_eq!(ledger.floor(9), 0, "an answer to nothing changes nothing");
    }

    #[test]
    fn what_others_left_behind_is_not_judged_before_the_first_write() {
        let mut ledger = Ledger::new(RUN, 0, 1, 10);
        let mut others = value(3, 9, 40);
        describe(&mut others, Description { run: RUN + 1, key: 3, version: 9 });
        assert_eq!(ledger.check(3, 0, &others), Check::Ok);
        assert_eq!(ledger.check(3, 0, b"foreign"), Check::Ok);
        ledger.begin_write(3);
        ledger.end_write(3, 1, true);
        assert_eq!(ledger.check(3, ledger.floor(3), &others), Check::Stale);
    }
}
