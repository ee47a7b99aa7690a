//! One connection: its decoder, what its client has chosen, and its replies in order.

mod client;
mod input;
mod multi;
mod order;
mod output;

pub use client::{ClientState, OutputClass};
pub use input::Input;
pub use multi::{Multi, Reach, Watching};
pub use order::{Destination, UnderWay};
pub use output::{Apart, Output};

use std::sync::Arc;

use bitflags::bitflags;

use crate::protocol::resp::Decoder;
use crate::store::Payload;
use crate::txn::{CommandList, ConnId, ShardId, TxnId, Waiter};

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
        const ORDER = 1 << 5;
        /// The commands of an EXEC run one after the other.
        const EXEC = 1 << 4;
        /// The client waits for data.
        const BLOCKED = 1 << 6;
    }
}

/// An EXEC under way whose commands run one after the other.
#[derive(Debug)]
pub struct Exec {
    pub commands: Arc<CommandList>,
    /// The command that comes next.
    pub next: usize,
    /// Nothing stops it any more.
    pub started: bool,
    /// Where it holds locks.
    pub held: Option<(TxnId, Vec<ShardId>)>,
    /// CLIENT REPLY SKIP came before it: none of its replies is wanted.
    pub skipped: bool,
}

/// A command under way whose client waits for data, or will if there is none.
#[derive(Debug)]
pub struct Blocked {
    pub waiter: Arc<Waiter>,
    /// The place of its reply.
    pub sequence: u32,
    /// `None`: it waits for ever.
    pub deadline_us: Option<u64>,
    /// It waits at all of its keys. Before that it has only asked.
    pub registered: bool,
}

#[derive(Debug)]
pub struct Session {
    pub conn: ConnId,
    pub client: ClientState,
    pub decoder: Decoder,
    /// The beginning of a command, or what arrived while stalled.
    pub input: Input,
    /// The large argument of the command that runs now, to be stored where it lies.
    pub lent: Option<Payload>,
    /// Commands that have run since the session was stalled last, and between the two stalls before.
    pub ran: u32,
    pub ran_before: u32,
    pub output: Output,
    /// Which commands the awaited replies are for.
    pub under_way: UnderWay,
    /// Between MULTI and EXEC.
    pub multi: Option<Box<Multi>>,
    pub watching: Option<Box<Watching>>,
    /// An EXEC whose commands run one after the other.
    pub exec: Option<Box<Exec>>,
    pub blocked: Option<Box<Blocked>>,
    pub stall: Stall,
    /// Some of its input could be executed, when others have had their turn.
    pub awaits_turn: bool,
    /// Receiving has been stopped.
    pub reading_paused: bool,
    /// The connection is to be closed as soon as no reply is awaited and all output is sent.
    pub close_when_answered: bool,
    /// The runtime has been told to close the connection at once.
    pub dropped: bool,
    /// The connection is gone; what it had begun is still carried out.
    pub gone: bool,
    /// Already in this pass's list of connections with output.
    pub listed: bool,
    /// Its output waits for replies of other shards, to be sent together with them.
    pub held: bool,
    /// The part of this session in its core's account of memory.
    pub accounted_bytes: usize,
}

/// It can go on at another core.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Session>();
};

impl Session {
    pub fn new(conn: ConnId, client: ClientState) -> Self {
        Session {
            conn,
            client,
            decoder: Decoder::default(),
            input: Input::default(),
            lent: None,
            ran: 0,
            ran_before: 0,
            output: Output::default(),
            under_way: UnderWay::Scattered,
            multi: None,
            watching: None,
            exec: None,
            blocked: None,
            stall: Stall::empty(),
            awaits_turn: false,
            reading_paused: false,
            close_when_answered: false,
            dropped: false,
            gone: false,
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
            + self.input.memory()
            + self.argument_bytes()
            + self.output.memory()
            + self.transaction_memory()
    }

    /// Bytes that commands hold which have been decoded in part, or run on other shards.
    #[inline]
    pub fn argument_bytes(&self) -> usize {
        self.decoder.memory() + self.output.request_bytes()
    }

    /// Whether a command may begin now, or has to wait for the answers to others.
    #[inline]
    pub fn allows(&self, next: Destination) -> bool {
        self.output.awaited() == 0 || self.under_way.allows(next)
    }

    /// Reserves the place of a reply that comes later, as [`Output::reserve`] does, to a command of
    /// one shard that [`Session::allows`].
    #[inline]
    pub fn await_reply(
        &mut self,
        destination: Destination,
        discard: bool,
        request_bytes: usize,
    ) -> u32 {
        self.under_way = match self.output.awaited() {
            0 => UnderWay::only(destination),
            _ => self.under_way.and(destination),
        };
        self.output.reserve(discard, request_bytes)
    }

    /// Bytes that queued commands and watched keys hold.
    pub fn transaction_memory(&self) -> usize {
        self.multi_memory() + self.watching.as_ref().map_or(0, |watching| watching.size())
    }

    /// Bytes that queued commands hold.
    pub fn multi_memory(&self) -> usize {
        self.multi.as_ref().map_or(0, |multi| multi.queued.size())
            + self.exec.as_ref().map_or(0, |exec| exec.commands.size())
    }

    /// The commands of the MULTI block that is being queued or executed.
    pub fn multi_len(&self) -> Option<usize> {
        let queued = self.multi.as_ref().map(|multi| multi.queued.len());
        queued.or(self.exec.as_ref().map(|exec| exec.commands.len()))
    }

    /// Whether commands of an EXEC have begun to run one after the other, so that the rest must
    /// follow.
    pub fn is_exec_running(&self) -> bool {
        self.exec.as_ref().is_some_and(|exec| exec.started)
    }

    /// Whether its client waits, and for nothing but data.
    pub fn is_blocked(&self) -> bool {
        self.stall.contains(Stall::BLOCKED)
    }

    /// Whether this is the wait that is under way.
    pub fn is_blocked_with(&self, id: TxnId) -> bool {
        self.blocked.as_ref().is_some_and(|blocked| blocked.waiter.id == id)
    }

    /// How many commands will probably run before the session is stalled again: as many as before
    /// the last time, or after those about as many as have run.
    #[inline]
    pub fn expected_to_run(&self) -> u32 {
        if self.ran < self.ran_before { self.ran_before - self.ran } else { self.ran.max(1) }
    }

    /// Takes note of commands that have run.
    #[inline]
    pub fn note_ran(&mut self, commands: u32) {
        self.ran = self.ran.saturating_add(commands);
        if !self.stall.is_empty() {
            self.ran_before = std::mem::take(&mut self.ran);
        }
    }

    /// Whether its input is executed as soon as it is received.
    pub fn may_run(&self) -> bool {
        self.stall.is_empty() && !self.awaits_turn
    }

    pub fn is_closing(&self) -> bool {
        self.stall.contains(Stall::CLOSING)
    }

    /// Whether nothing of it is under way: all that its client has sent has been executed, and all
    /// of that answered and sent. Then no core knows of it but the one that it is on.
    pub fn is_at_rest(&self) -> bool {
        // Every field is named, so that a new one is thought of here as well.
        let Session {
            conn: _,
            client: _,
            // Between two commands it has nothing to go on with.
            decoder: _,
            input,
            // Only while a command runs.
            lent: _,
            ran: _,
            ran_before: _,
            output,
            // Without meaning while no reply is awaited.
            under_way: _,
            multi,
            watching,
            exec,
            blocked,
            stall,
            awaits_turn,
            reading_paused,
            close_when_answered,
            dropped,
            gone,
            listed,
            held,
            accounted_bytes: _,
        } = self;
        let is_told_of =
            [awaits_turn, reading_paused, close_when_answered, dropped, gone, listed, held];
        input.is_empty()
            && output.awaited() == 0
            && output.unsent_bytes() == 0
            && multi.is_none()
            && watching.is_none()
            && exec.is_none()
            && blocked.is_none()
            && stall.is_empty()
            && is_told_of.iter().all(|flag| !**flag)
    }
}
