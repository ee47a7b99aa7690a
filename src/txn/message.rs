//! What shards send each other. A sender's messages to one shard arrive in the order sent.

use std::any::Any;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::FixedState;

use crate::commands::Row;
use crate::commands::hops::{Change, Finding, Looked, Name};
use crate::protocol::args::OwnedArgs;
use crate::protocol::reply::Encoding;
use crate::protocol::{Args, Span};
use crate::store::{Item, Watcher};

use super::{CommandList, LockMode, OwnedWork, Unit, Waiter};

/// The index of a shard, which is also the index of its core's executor.
pub type ShardId = usize;

/// A connection of one core. The runtime chooses both parts: `index` is its place, reused after
/// the connection has gone; `generation` differs for every use of a place, so that a late message
/// can never reach its next owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub index: u32,
    pub generation: u32,
}

#[derive(Debug)]
pub enum Message {
    /// Commands on keys of the receiver.
    Requests(Box<Batch>),
    /// Answers to the receiver's requests.
    Replies(Box<Replies>),
    /// A multi-shard command's work at the receiver; also how a core asks itself.
    Part(Box<Part>),
    /// A part's result, to the coordinator.
    PartDone(Box<PartDone>),
    /// The multi-shard command is over.
    Release(Box<Release>),
    /// Memory is short, and what the receiver holds has not been used for longest: it is to give
    /// so many bytes way.
    MakeRoom { bytes: usize },
    /// A watcher of this core's keys is not interested any more.
    Unwatch(Watcher),
    /// A watcher of the receiver's has had its watch broken.
    WatchBroken { conn: ConnId, watcher: Watcher },
    /// A client of the receiver's that waited has been served: its reply.
    Served { waiter: Arc<Waiter>, reply: Vec<u8> },
    /// What a client of the receiver's waits for has come, but its command needs keys that are not
    /// free here: the receiver, for whom it has been claimed, is to try.
    Ready(Arc<Waiter>),
    /// The attempt was in vain: the waiter goes on waiting here.
    WaitOn(TxnId),
    /// A waiter does not wait any more.
    EndWait(TxnId),
}

/// Single-shard commands that one core sends to another, gathered over one pass.
#[derive(Debug, Default)]
pub struct Batch {
    pub bytes: Vec<u8>,
    pub spans: Vec<Span>,
    pub requests: Vec<Request>,
    /// What the requests of units run; each is taken once.
    pub units: Vec<Option<Box<Unit>>>,
    /// Buffers of an answered batch that go home to be filled again.
    pub spent: Option<Box<Replies>>,
}

/// What its client has chosen that a command depends on, wherever it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunAs {
    pub db: u8,
    pub encoding: Encoding,
    /// CLIENT NO-TOUCH: what the command reads or changes does not count as used.
    pub no_touch: bool,
}

impl RunAs {
    /// For this process itself, which goes on with the reply.
    pub fn for_values(self) -> RunAs {
        RunAs { encoding: Encoding::Values, ..self }
    }
}

/// One command of a [`Batch`].
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub row: &'static Row,
    pub conn: ConnId,
    /// The reply slot that the session reserved.
    pub sequence: u32,
    pub run_as: RunAs,
    /// Where its arguments lie in the batch's spans; of a unit, which has no spans, its place among
    /// the batch's units.
    pub first_span: u32,
    pub span_count: u32,
}

// Half a cache line: batches are arrays of them.
const _: () = assert!(size_of::<Request>() == 32);

impl Request {
    /// A request whose arguments are still to be added to a batch.
    pub fn new(row: &'static Row, conn: ConnId, sequence: u32, run_as: RunAs) -> Self {
        Request { row, conn, sequence, run_as, first_span: 0, span_count: 0 }
    }

    /// Whether it is a unit of several commands; a command has its name at least.
    #[inline]
    pub fn is_unit(&self) -> bool {
        self.span_count == 0
    }

    /// Its unit among those of its batch; once.
    pub fn take_unit(&self, units: &mut [Option<Box<Unit>>]) -> Option<Box<Unit>> {
        units.get_mut(self.first_span as usize)?.take()
    }
}

impl Batch {
    /// Appends a command; its bytes are copied once.
    pub fn push(&mut self, args: Args<'_>, mut request: Request) {
        request.first_span = self.spans.len() as u32;
        request.span_count = args.len() as u32;
        let base = self.bytes.len() as u32;
        let moved = args.spans().iter().map(|span| Span { start: base + span.start, ..*span });
        self.spans.extend(moved);
        // One copy of the whole command costs less than one for each argument.
        self.bytes.extend_from_slice(args.bytes());
        self.requests.push(request);
    }

    /// Appends a unit.
    pub fn push_unit(&mut self, unit: Box<Unit>, mut request: Request) {
        request.first_span = self.units.len() as u32;
        request.span_count = 0;
        self.units.push(Some(unit));
        self.requests.push(request);
    }

    /// Empty for a unit.
    pub fn args(&self, request: &Request) -> Args<'_> {
        if request.is_unit() {
            return Args::new(&self.bytes, &[]);
        }
        let first = request.first_span as usize;
        Args::new(&self.bytes, &self.spans[first..first + request.span_count as usize])
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.requests.clear();
        self.units.clear();
        self.spent = None;
    }

    /// Bytes of the buffers, filled or not.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.requests.capacity() * size_of::<Request>()
    }
}

/// Answers that one core sends to another, gathered over one pass.
#[derive(Debug, Default)]
pub struct Replies {
    pub bytes: Vec<u8>,
    pub replies: Vec<RemoteReply>,
    /// Buffers of the batch that was answered, to be filled again.
    pub spent: Option<Box<Batch>>,
}

/// One answer of [`Replies`]; the answers' bytes lie one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct RemoteReply {
    pub conn: ConnId,
    pub sequence: u32,
    /// Bytes.
    pub len: usize,
}

impl Replies {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.replies.clear();
        self.spent = None;
    }

    /// Bytes of the buffers, filled or not.
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.replies.capacity() * size_of::<RemoteReply>()
    }

    /// Bytes of the answers.
    pub fn size(&self) -> usize {
        self.bytes.len() + size_of_val(&self.replies[..])
    }
}

/// A single-shard command or unit that waits for a lock, with its own copy of its arguments.
#[derive(Debug)]
pub struct OwnedRequest {
    pub from: ShardId,
    pub request: Request,
    pub work: OwnedWork,
}

/// A multi-shard command, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TxnId {
    pub coordinator: ShardId,
    pub number: u64,
}

/// A key to be locked, in whichever databases the command touches it, named by its hash: that costs
/// no copies. Keys with one hash share a lock, so a command may wait in vain but never runs too
/// early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockKey {
    pub hash: u64,
    pub mode: LockMode,
}

impl LockKey {
    #[inline]
    pub fn new(key: &[u8], mode: LockMode) -> LockKey {
        LockKey { hash: LockKey::hash(key), mode }
    }

    /// The same on every shard. The seed is no secret: who makes keys collide could as well have
    /// named the other key.
    #[inline]
    pub fn hash(key: &[u8]) -> u64 {
        let mut hasher = FixedState::with_seed(0).build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    /// Each key once, with the stronger of the modes it was wanted in; sorted.
    pub fn merge(locks: &mut Vec<LockKey>) {
        locks.sort_unstable_by_key(|lock| lock.hash);
        locks.dedup_by(|later, kept| {
            let same = later.hash == kept.hash;
            if same && later.mode == LockMode::Exclusive {
                kept.mode = LockMode::Exclusive;
            }
            same
        });
    }
}

/// The work of one shard for a multi-shard command.
#[derive(Debug)]
pub struct Part {
    pub txn: TxnId,
    /// Each key once. Empty with `whole_shard`, and for work that needs no lock.
    pub locks: Vec<LockKey>,
    /// Nothing else may run on the shard from the grant to the release.
    pub whole_shard: bool,
    pub work: Work,
}

impl Part {
    /// Whether the part takes locks, which its coordinator then has to release.
    pub fn is_locking(&self) -> bool {
        self.whole_shard || !self.locks.is_empty()
    }
}

/// What a part does once its locks are held.
pub enum Work {
    /// Runs the command with these arguments and returns its reply.
    Run { row: &'static Row, args: OwnedArgs, run_as: RunAs },
    /// Looks at the keys that are these arguments of a command that is carried out in hops.
    Look { command: Arc<SharedCommand>, positions: Vec<usize> },
    /// Takes what such a command has asked for at this key, with something to make it of.
    Take { command: Arc<SharedCommand>, position: usize, with: Option<Item> },
    /// Reads the keys that such a command has found named on its way.
    Read { command: Arc<SharedCommand>, names: Vec<Name> },
    /// Serves a command that may wait elsewhere from this key, which is ready.
    ServeFrom { command: Arc<SharedCommand>, position: usize },
    /// Registers the watcher of a connection at these keys.
    Watch { watcher: Watcher, conn: ConnId, keys: Vec<(u8, Box<[u8]>)> },
    /// Holds the locks for an EXEC, whose commands come when all shards have said whether its
    /// watches are whole; this one's are forgotten now.
    Hold { watcher: Option<Watcher> },
    /// Runs the commands of an EXEC that have their keys here, and returns their replies.
    Exec { commands: CommandList, run_as: RunAs },
    /// Serves the waiter from the first of its keys here that is ready. If none is, it begins to
    /// wait here if all of its keys are; otherwise its coordinator decides.
    Wait { waiter: Arc<Waiter>, alone: bool },
    /// Serves the waiter, which has been claimed, from the key that is the argument of this index.
    Serve { waiter: Arc<Waiter>, position: usize },
    /// Work of the engine itself (its own type; this layer only carries it).
    Task(Box<dyn Any + Send>),
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Work::Run { row, args, .. } => write!(f, "Run({} {:?})", row.name, args.as_args()),
            Work::Look { command, positions } => write!(f, "Look({command:?} {positions:?})"),
            Work::Take { command, position, .. } => write!(f, "Take({command:?} {position})"),
            Work::Read { command, names } => write!(f, "Read({command:?} {})", names.len()),
            Work::ServeFrom { command, position } => write!(f, "ServeFrom({command:?} {position})"),
            Work::Watch { watcher, keys, .. } => write!(f, "Watch({watcher:?} {})", keys.len()),
            Work::Hold { watcher } => write!(f, "Hold({watcher:?})"),
            Work::Exec { commands, .. } => write!(f, "Exec({commands:?})"),
            Work::Wait { waiter, alone } => write!(f, "Wait({waiter:?}, alone: {alone})"),
            Work::Serve { waiter, position } => write!(f, "Serve({waiter:?}, {position})"),
            Work::Task(_) => f.write_str("Task"),
        }
    }
}

impl Work {
    /// Bytes of the arguments and keys.
    pub fn bytes(&self) -> usize {
        match self {
            Work::Run { args, .. } => args.size(),
            Work::Watch { keys, .. } => keys.iter().map(|(_, key)| key.len()).sum(),
            // The command itself is counted once.
            Work::Look { positions, .. } => size_of_val(&positions[..]),
            Work::Take { with, .. } => with.as_ref().map_or(0, Item::bytes),
            Work::Read { names, .. } => names.iter().map(Name::bytes).sum(),
            Work::ServeFrom { .. } => 0,
            Work::Exec { commands, .. } => commands.size(),
            // Counted where the waiter is made.
            Work::Wait { .. } | Work::Serve { .. } => 0,
            Work::Hold { .. } | Work::Task(_) => 0,
        }
    }
}

#[derive(Debug)]
pub struct PartDone {
    pub txn: TxnId,
    pub shard: ShardId,
    pub result: PartResult,
}

pub enum PartResult {
    /// The reply, in the encoding that was asked for: the client's, or values to be merged.
    Reply(Vec<u8>),
    /// What was found, or taken, at the keys that are these arguments.
    Found(Vec<(usize, Looked)>),
    /// What there is at the keys that were named.
    Read(Vec<(Name, Option<Vec<u8>>)>),
    /// Done, without more to say.
    Done,
    /// Whether the watches were whole.
    Held(bool),
    /// The first of a waiter's keys that is ready, by its index among the arguments.
    Ready(Option<usize>),
    /// The replies one behind the other, and their lengths in bytes.
    Replies { bytes: Vec<u8>, lens: Vec<usize> },
}

impl PartResult {
    /// Bytes of the reply or of what was found.
    pub fn bytes(&self) -> usize {
        match self {
            PartResult::Reply(reply) => reply.capacity(),
            PartResult::Found(found) => {
                found.iter().flat_map(|(_, looked)| looked).map(Finding::bytes).sum()
            }
            PartResult::Read(read) => {
                let value = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
                read.iter().map(|(name, found)| name.bytes() + value(found)).sum()
            }
            PartResult::Replies { bytes, lens } => bytes.capacity() + size_of_val(&lens[..]),
            PartResult::Done | PartResult::Held(_) | PartResult::Ready(_) => 0,
        }
    }
}

impl std::fmt::Debug for PartResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PartResult::Reply(reply) => write!(f, "Reply({reply:?})"),
            PartResult::Found(found) => write!(f, "Found({found:?})"),
            PartResult::Read(read) => write!(f, "Read({})", read.len()),
            PartResult::Done => f.write_str("Done"),
            PartResult::Held(whole) => write!(f, "Held({whole})"),
            PartResult::Ready(at) => write!(f, "Ready({at:?})"),
            PartResult::Replies { lens, .. } => write!(f, "Replies({})", lens.len()),
        }
    }
}

/// The end of a multi-shard command at one shard: what it changes there, who begins to wait there,
/// then its locks go.
#[derive(Debug)]
pub struct Release {
    pub txn: TxnId,
    pub changes: Option<Changes>,
    pub waiter: Option<Arc<Waiter>>,
}

impl Release {
    /// Only the locks go.
    pub fn of(txn: TxnId) -> Release {
        Release { txn, changes: None, waiter: None }
    }

    /// Bytes of what arrives there.
    pub fn bytes(&self) -> usize {
        let changes = self.changes.iter().flat_map(|changes| &changes.list);
        changes.map(|(_, change)| change.bytes()).sum()
    }
}

/// What a command that is carried out in hops changes at keys of one shard.
#[derive(Debug)]
pub struct Changes {
    pub command: Arc<SharedCommand>,
    /// Each with the argument that is its key.
    pub list: Vec<(usize, Change)>,
}

impl Changes {
    /// None yet.
    pub fn of(command: Arc<SharedCommand>) -> Changes {
        Changes { command, list: Vec::new() }
    }
}

/// A command that several shards work on, none of which needs a copy.
pub struct SharedCommand {
    pub row: &'static Row,
    pub args: OwnedArgs,
    pub run_as: RunAs,
}

impl std::fmt::Debug for SharedCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.args.as_args())
    }
}
