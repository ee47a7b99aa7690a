//! The connections of a ring, in slots that are reused.
//!
//! A slot is in use from `insert` until `remove`, and `remove` is called only when no operation on
//! the slot is in the kernel ([`Slot::is_idle`]). Until then the slot keeps the descriptor open and
//! the output buffer where it is, also while the connection is being closed.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};

use super::message::Insert;
use super::token::{INDEX_MAX, Key};

/// The receive of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receive {
    Off,
    Armed,
    /// A cancellation is under way. The receive's last completion is still to come, or that of the
    /// cancellation, which has failed then.
    Cancelling,
}

/// What a receive does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intake {
    /// Fills buffers of the ring until it is cancelled.
    Stream,
    /// Fills one buffer.
    Piece,
    /// Tells that there is something to receive.
    Readiness,
}

/// The send of a connection: never more than one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendState {
    Idle,
    /// Queued as a send that does not wait. `Slot::trial` holds its result if it did not succeed.
    Trying,
    /// In the kernel until the socket has room; a completion will come.
    Waiting,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub fd: RawFd,
    pub generation: u32,
    pub receive: Receive,
    /// What the receive does that is armed, or was last.
    pub intake: Intake,
    /// The owner will fetch what comes next.
    pub fetches_next: bool,
    /// How many pieces are received before the next stream.
    pub pieces_left: u8,
    pub send: SendState,
    /// Whether the owner wants to receive, whatever the kernel is doing.
    pub receive_wanted: bool,
    pub closing: bool,
    in_use: bool,
    /// The result of a send in state `Trying` that failed or stayed short.
    pub trial: Option<i32>,
    pub output: Vec<u8>,
    /// What goes in between.
    pub insert: Option<Box<Insert>>,
    /// How much of both the kernel has taken.
    pub sent: usize,
}

#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    pub fn insert(&mut self, socket: OwnedFd) -> Option<Key> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() > INDEX_MAX as usize => return None,
            None => {
                self.slots.push(Slot::vacant());
                (self.slots.len() - 1) as u32
            }
        };
        let slot = &mut self.slots[index as usize];
        slot.fd = socket.into_raw_fd();
        slot.in_use = true;
        Some(Key { index, generation: slot.generation })
    }

    /// Frees an idle slot. The descriptor is the caller's from now on.
    pub fn remove(&mut self, key: Key) -> Option<RawFd> {
        let slot = self.get_mut(key)?;
        debug_assert!(slot.is_idle());
        let (fd, generation) = (slot.fd, slot.generation.wrapping_add(1));
        *slot = Slot { generation, ..Slot::vacant() };
        self.free.push(key.index);
        Some(fd)
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.index as usize)?;
        (slot.in_use && slot.generation == key.generation).then_some(slot)
    }

    /// The slot, unless its connection has been closed.
    pub fn open_mut(&mut self, key: Key) -> Option<&mut Slot> {
        self.get_mut(key).filter(|slot| !slot.closing)
    }

    pub fn open(&self, key: Key) -> Option<&Slot> {
        let slot = self.slots.get(key.index as usize)?;
        (slot.in_use && slot.generation == key.generation && !slot.closing).then_some(slot)
    }

    pub fn used(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Every slot that is in use and not closing.
    pub fn keys(&self) -> Vec<Key> {
        let open = self.slots.iter().enumerate().filter(|(_, slot)| slot.in_use && !slot.closing);
        open.map(|(index, slot)| Key { index: index as u32, generation: slot.generation }).collect()
    }

    pub fn leak_outputs(&mut self) {
        for slot in &mut self.slots {
            std::mem::forget(std::mem::take(&mut slot.output));
            std::mem::forget(slot.insert.take());
        }
    }
}

impl Slot {
    fn vacant() -> Slot {
        Slot {
            fd: -1,
            generation: 0,
            receive: Receive::Off,
            intake: Intake::Stream,
            fetches_next: false,
            pieces_left: 0,
            send: SendState::Idle,
            receive_wanted: false,
            closing: false,
            in_use: false,
            trial: None,
            output: Vec::new(),
            insert: None,
            sent: 0,
        }
    }

    /// Bytes of the output, sent or not.
    pub fn output_bytes(&self) -> usize {
        self.output.len() + self.insert.as_ref().map_or(0, |insert| insert.bytes.len())
    }

    /// What the next receive is to do.
    pub fn next_intake(&mut self) -> Intake {
        if std::mem::take(&mut self.fetches_next) {
            return Intake::Readiness;
        }
        match self.pieces_left.checked_sub(1) {
            None => Intake::Stream,
            Some(left) => {
                self.pieces_left = left;
                Intake::Piece
            }
        }
    }

    /// Whether no operation on it is in the kernel, or on its way there.
    pub fn is_idle(&self) -> bool {
        self.receive == Receive::Off && self.send == SendState::Idle
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        for slot in self.slots.iter().filter(|slot| slot.in_use) {
            // SAFETY: a slot in use owns its descriptor, and nobody uses the slot any more.
            drop(unsafe { OwnedFd::from_raw_fd(slot.fd) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn null() -> OwnedFd {
        File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn a_reused_slot_does_not_answer_to_its_old_key() {
        let mut slots = Slots::default();
        let old = slots.insert(null()).unwrap();
        let fd = slots.remove(old).unwrap();
        // SAFETY: `remove` leaves the descriptor to us.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        let new = slots.insert(null()).unwrap();
        assert_eq!(new.index, old.index);
        assert_ne!(new.generation, old.generation);
        assert!(slots.open(old).is_none());
        assert!(slots.get_mut(old).is_none());
        assert!(slots.open(new).is_some());
        assert_eq!(slots.used(), 1);
    }

    #[test]
    fn a_closing_slot_is_kept_but_not_open() {
        let mut slots = Slots::default();
        let key = slots.insert(null()).unwrap();
        slots.get_mut(key).unwrap().closing = true;
        assert!(slots.open(key).is_none());
        assert!(slots.open_mut(key).is_none());
        assert!(slots.get_mut(key).is_some());
        assert_eq!(slots.used(), 1);
    }
}
