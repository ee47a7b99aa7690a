//! What goes into an engine and what comes out of it.
//!
//! The engine is a pure state machine: `handle(now, event, &mut outbox)` for everything that
//! happens in a pass of the driver's loop, then `end_pass(&mut outbox)` once. It never blocks,
//! never reads a clock and never touches a descriptor.

use std::sync::Arc;

use crate::access::Peer;
use crate::config::Config;
use crate::txn::Message;

pub use crate::txn::{ConnId, ShardId};

/// How often an engine with periodic work wants a tick.
pub(super) const TICK_US: u64 = 100_000;

/// The time of an event: read by the runtime when a pass begins and again for every message, never
/// before what it brings was sent; frozen for every command that runs because of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the Unix epoch: what expiry is measured against.
    pub unix_ms: u64,
    /// Microseconds since some fixed moment, never going back: timeouts, pauses, ages.
    pub monotonic_us: u64,
}

/// Who connected, as the runtime saw it.
#[derive(Clone, Debug)]
pub struct ClientOrigin {
    /// Unique in the process, rising in the order of acceptance; CLIENT ID.
    pub id: u64,
    pub peer: Peer,
    /// `addr` and `laddr` as CLIENT LIST prints them: `ip:port`, `[ip6]:port` or `/path:0`.
    pub addr: String,
    pub laddr: String,
    pub fd: i32,
}

/// Something that happened to one core.
#[derive(Debug)]
pub enum Event<'a> {
    /// A connection that the access policy accepted now belongs to this core. It may have the place
    /// of one whose [`Event::Closed`] is still to come.
    Open { conn: ConnId, origin: ClientOrigin },
    /// The peer sent these bytes (never empty).
    Bytes { conn: ConnId, data: &'a [u8] },
    /// The peer sent so many bytes (never none), which have been put where [`super::Engine::room`]
    /// had said.
    Fetched { conn: ConnId, bytes: usize },
    /// The kernel has taken `bytes` of this connection's output.
    Sent { conn: ConnId, bytes: usize },
    /// The connection is gone (end of stream, reset, or closed on our request). Nothing may be
    /// sent to it any more; the engine forgets it.
    Closed { conn: ConnId },
    /// A message from another shard, or from this one to itself through its own inbox.
    Message { from: ShardId, message: Message },
    /// A slow or blocking piece of work that the engine asked for has ended.
    EffectDone { ticket: Ticket, result: Result<(), String> },
    /// Periodic work: expiry, timeouts, pauses that end. About every 100 ms (and at least that
    /// often while the engine is not idle, see [`super::Engine::tick_in_us`]).
    Tick,
}

/// Identifies an [`Effect`] in its [`Event::EffectDone`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What the runtime shall do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnControl {
    /// Stop receiving: the client has not authenticated, and does not read its replies or is paused.
    /// Bytes that the kernel had already delivered may still arrive as [`Event::Bytes`].
    PauseReading,
    ResumeReading,
    /// Send what is in the output, then close (with the lingering close, so that the peer can read it).
    CloseAfterOutput,
    /// Close now and throw the output away.
    CloseNow,
}

/// Work that needs I/O or blocks; done by the runtime away from the request path.
#[derive(Debug)]
pub enum Effect {
    /// Write this configuration to the configuration file it came from.
    RewriteConfig { ticket: Ticket, config: Arc<Config> },
    /// Block this core for so long (DEBUG SLEEP).
    Sleep { ticket: Ticket, micros: u64 },
    /// End the process: stop accepting, answer what has arrived, exit 0. `now` skips the waiting.
    Shutdown { now: bool },
}

/// What an engine wants done; filled by `handle` and `end_pass`, emptied by the runtime.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Connections that have bytes to send, each once; fetch them with `Engine::take_output`.
    pub output: Vec<ConnId>,
    /// In the order decided. After a close, the connection is done with once `Closed` was handled.
    pub control: Vec<(ConnId, ConnControl)>,
    /// Messages for peers; what goes to one peer arrives in this order.
    pub messages: Vec<(ShardId, Message)>,
    /// Lock requests of multi-shard commands, and what every core does its part of. The runtime pushes all of them to their inboxes,
    /// after `messages`, while it holds one process-wide mutex, so that any two such commands
    /// meet in the same order at every shard that they share; see [`super::Engine::order`]. Under
    /// the same mutex connections move to other cores; see [`super::Engine::give_up`].
    pub ordered: Vec<(ShardId, Message)>,
    pub effects: Vec<Effect>,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.output.is_empty()
            && self.control.is_empty()
            && self.messages.is_empty()
            && self.ordered.is_empty()
            && self.effects.is_empty()
    }
}
