//! One connection: its decoder, what its client has chosen, and its replies in order.

mod client;
mod output;

pub use client::{ClientState, OutputClass};
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
}

impl Session {
    pub fn new(conn: ConnId, client: ClientState) -> Self {
        Session {
            conn,
            client,
            decoder: Decoder::default(),
            input: Vec::new(),
            output: Output::default(),
            stall: Stall::empty(),
            reading_paused: false,
            close_when_answered: false,
            dropped: false,
            listed: false,
            held: false,
        }
    }

    /// Bytes that the connection holds.
    pub fn memory(&self) -> usize {
        size_of::<Session>() + self.input.capacity() + self.output.unsent_bytes()
    }

    pub fn is_closing(&self) -> bool {
        self.stall.contains(Stall::CLOSING)
    }
}
