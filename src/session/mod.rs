//! One connection: its decoder, what its client has chosen, and its replies in order.

mod client;
mod order;
mod output;

pub use client::{ClientState, OutputClass};
pub use order::{Reach, UnderWay};
pub use output::Output;

use bitflags::bitflags;

use crate::protocol::resp::Decoder;
use crate::txn::ConnId;

bitflags! {
    /// Why a session runs no more commands for now.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Stall: u8 {
        /// A multi-shard command is under way; what follows must see its effects.
        const TRANSACTION = 1 << 0;
        /// The client does not read its replies, or too many are outstanding.
        const OUTPUT = 1 << 1;
        /// CLIENT PAUSE.
        const PAUSED = 1 << 2;
        /// The connection ends after its output.
        const CLOSING = 1 << 3;
        /// The next command must not begin before those under way have been answered.
        const ORDER = 1 << 4;
    }
}

#[derive(Debug)]
pub struct Session {
    pub conn: ConnId,
    pub client: ClientState,
    pub decoder: Decoder,
    /// Input not yet decoded: the tail of a command, or what arrived while stalled.
    pub input: Vec<u8>,
    pub output: Output,
    /// Which commands the awaited replies are for.
    pub under_way: UnderWay,
    pub stall: Stall,
    /// Receiving has been stopped.
    pub reading_paused: bool,
    /// The connection is to be closed as soon as no reply is awaited and all output is sent.
    pub close_when_answered: bool,
    /// The runtime has been told to close the connection at once.
    pub dropped: bool,
    /// Already in this pass's list of connections with output.
    pub listed: bool,
    /// Its output waits for replies of other shards, to be sent together with them.
    pub held: bool,
    /// The part of this session in its core's account of memory.
    pub accounted_bytes: usize,
}

impl Session {
    pub fn new(conn: ConnId, client: ClientState) -> Self {
        Session {
            conn,
            client,
            decoder: Decoder::default(),
            input: Vec::new(),
            output: Output::default(),
            under_way: UnderWay::Scattered,
            stall: Stall::empty(),
            reading_paused: false,
            close_when_answered: false,
            dropped: false,
            listed: false,
            held: false,
            accounted_bytes: 0,
        }
    }

    /// Bytes that the connection holds, here and in what other shards were sent for it.
    #[inline]
    pub fn memory(&self) -> usize {
        size_of::<Session>()
            + self.client.text_bytes()
            + self.input.capacity()
            + self.argument_bytes()
            + self.output.memory()
    }

    /// Bytes that commands hold which have been decoded in part, or run on other shards.
    #[inline]
    pub fn argument_bytes(&self) -> usize {
        self.decoder.memory() + self.output.request_bytes()
    }

    /// Whether a command may begin now, or has to wait for the answers to others.
    #[inline]
    pub fn allows(&self, next: Reach) -> bool {
        self.output.awaited() == 0 || self.under_way.allows(next)
    }

    /// Reserves the place of a reply that comes later, as [`Output::reserve`] does, to a command of
    /// one shard that [`Session::allows`].
    #[inline]
    pub fn await_reply(&mut self, reach: Reach, discard: bool, request_bytes: usize) -> u32 {
        self.under_way = match self.output.awaited() {
            0 => UnderWay::only(reach),
            _ => self.under_way.and(reach),
        };
        self.output.reserve(discard, request_bytes)
    }

    pub fn is_closing(&self) -> bool {
        self.stall.contains(Stall::CLOSING)
    }
}
