//! What is known about a client and what it has chosen.

use crate::access::Peer;
use crate::commands::{ReplyMode, Row};
use crate::protocol::reply::Encoding;
use crate::txn::RunAs;

/// Whose `client-output-buffer-limit` applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputClass {
    Normal,
}

#[derive(Debug)]
pub struct ClientState {
    /// CLIENT ID.
    pub id: u64,
    pub peer: Peer,
    pub addr: String,
    pub laddr: String,
    pub fd: i32,
    /// Empty if none was given.
    pub name: Vec<u8>,
    pub lib_name: Vec<u8>,
    pub lib_ver: Vec<u8>,
    /// What its replies are written in; HELLO chooses.
    pub encoding: Encoding,
    pub db: usize,
    pub authenticated: bool,
    pub reply_mode: ReplyMode,
    /// CLIENT REPLY SKIP was the previous command: this one's reply is dropped.
    pub skip_reply: bool,
    pub no_evict: bool,
    pub no_touch: bool,
    pub created_us: u64,
    /// When the last bytes came or went.
    pub active_us: u64,
    pub last_command: Option<&'static Row>,
    /// Bytes received, and commands run.
    pub input_bytes: u64,
    pub commands: u64,
    /// Since when the output has been over its soft limit.
    pub over_soft_limit_since_us: Option<u64>,
}

impl ClientState {
    pub fn output_class(&self) -> OutputClass {
        OutputClass::Normal
    }

    #[inline]
    pub fn run_as(&self) -> RunAs {
        RunAs { db: self.db as u8, encoding: self.encoding, no_touch: self.no_touch }
    }

    /// Bytes of the names and addresses.
    #[inline]
    pub fn text_bytes(&self) -> usize {
        self.addr.capacity()
            + self.laddr.capacity()
            + self.name.capacity()
            + self.lib_name.capacity()
            + self.lib_ver.capacity()
    }

    /// What RESET and a new connection have in common.
    pub fn reset(&mut self, authenticated: bool) {
        self.name.clear();
        self.encoding = Encoding::Resp2;
        self.db = 0;
        self.authenticated = authenticated;
        self.reply_mode = ReplyMode::On;
        self.skip_reply = false;
        self.no_evict = false;
        self.no_touch = false;
    }
}
