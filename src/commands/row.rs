//! One row of the command table.

use bitflags::bitflags;

use super::hops::{Hops, Reaching};
use super::key_spec::{FindKeys, GetKeys, KeyFlags, KeyRanges, KeySpec};
use super::{Context, Operation, Outcome};
use crate::commands::CommandError;
use crate::protocol::Args;
use crate::protocol::reply::Reply;

/// Everything that is known about a command, in one place.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Lower case.
    pub name: &'static str,
    /// The number of arguments, the name included; negative: at least so many.
    pub arity: i32,
    pub flags: Flags,
    /// The ACL categories that do not follow from the flags; see [`Command::categories`].
    pub categories: Categories,
    pub keys: &'static [KeySpec],
    pub handler: Handler,
    pub docs: Docs,
    /// Hints for clients that route commands, as COMMAND INFO shows them.
    pub tips: &'static [&'static str],
    pub subcommands: &'static [Command],
}

/// How a command is carried out.
#[derive(Clone, Copy, Debug)]
pub enum Handler {
    /// On the shard that owns its keys.
    Keyed(fn(&mut Context<'_>, Args<'_>) -> Outcome, Spread),
    /// On every shard; the replies are merged.
    EveryShard(fn(&mut Context<'_>, Args<'_>) -> Outcome, Merge),
    /// On the one shard that the first argument, a SCAN cursor, names.
    Cursor(fn(&mut Context<'_>, Args<'_>) -> Outcome),
    /// Right where the connection is: it touches no key.
    Anywhere(fn(&mut Context<'_>, Args<'_>) -> Outcome),
    /// By the connection's engine: it concerns the connection or the whole process. The function
    /// checks the arguments and says what is asked for.
    Engine(for<'a> fn(Args<'a>) -> Result<Operation<'a>, CommandError>),
    /// By its subcommands.
    Container,
}

/// What becomes of a command whose keys lie on several shards.
#[derive(Clone, Copy, Debug)]
pub enum Spread {
    /// It has one key only.
    OneKey,
    /// Each shard runs the command with its own keys; the replies are merged.
    Split(Merge),
    /// It is carried out in hops.
    Hops(&'static Hops),
    /// As [`Spread::Hops`], and it may read keys that it finds named on the way.
    Reaching(&'static Reaching),
    /// One of its keys is enough, and if there is nothing at any of them its client waits, unless
    /// the row lacks [`Flags::BLOCKING`], as LMPOP's does. The handler is what runs where nobody can
    /// wait, in a MULTI block.
    Wait(&'static Wait),
}

/// How a command such as BLPOP waits for data.
#[derive(Debug)]
pub struct Wait {
    /// How long, in microseconds; `None` for ever. Whatever else can be wrong with the arguments is
    /// refused here too.
    pub timeout: fn(Args<'_>) -> Result<Option<u64>, CommandError>,
    /// At which of its keys.
    pub at: WaitsAt,
    /// Whether the command would find at this key what it takes. Depends on the key alone: clients
    /// that wait with one command are all as ready as the first.
    pub ready: fn(&Context<'_>, key: &[u8]) -> Readiness,
    /// Serves the command from the key that is the argument of this index and ready.
    pub serve: fn(&mut Context<'_>, Args<'_>, usize) -> Outcome,
    /// What is answered when the time is over.
    pub nothing: fn(&mut Reply<'_>),
}

/// What a command such as BLPOP finds at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Nothing,
    Ready,
    /// A value of another type. To a command that has just come that is an error; a client that
    /// waits already waits on.
    Unfit,
}

#[derive(Clone, Copy, Debug)]
pub enum WaitsAt {
    /// Any of its keys; the first that is ready serves it.
    EveryKey,
    /// The first key; the others it needs as well to be served. If they are on several shards it is
    /// carried out in hops.
    FirstKey(&'static Hops),
}

/// How the replies of several shards become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Integers, added.
    Sum,
    /// `+OK` from all.
    Ok,
    /// Arrays with an element per key, put back into the order of the keys.
    ByKey,
    /// Arrays, one behind the other.
    Concatenate,
    /// Arrays `[weight, bulk or null]`: one element chosen at random by weight.
    Weighted,
}

bitflags! {
    /// What a command is and may; the names COMMAND INFO shows are Redis's.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        const WRITE = 1 << 0;
        const READONLY = 1 << 1;
        const DENYOOM = 1 << 2;
        const ADMIN = 1 << 3;
        const PUBSUB = 1 << 4;
        const NOSCRIPT = 1 << 5;
        const BLOCKING = 1 << 6;
        const LOADING = 1 << 7;
        const STALE = 1 << 8;
        const SKIP_MONITOR = 1 << 9;
        const SKIP_SLOWLOG = 1 << 10;
        const ASKING = 1 << 11;
        const FAST = 1 << 12;
        const NO_AUTH = 1 << 13;
        const MAY_REPLICATE = 1 << 14;
        const NO_MANDATORY_KEYS = 1 << 15;
        const MOVABLEKEYS = 1 << 16;
        const ALLOW_BUSY = 1 << 17;
        const NO_ASYNC_LOADING = 1 << 18;
        const NO_MULTI = 1 << 19;
        /// Ours, not shown: of a command on every shard, each answers for a moment of its own, and
        /// none is held still for the others. Nobody but its client is kept waiting, and it waits
        /// for nobody; it still comes behind all that its client sent before. An EXEC is one
        /// moment, as always.
        const UNSYNCHRONIZED = 1 << 25;
        /// Ours, not shown: runs although CLIENT PAUSE holds back everything else.
        const UNPAUSES = 1 << 26;
        /// Ours, not shown: runs what a MULTI block has queued, and is all that those commands are.
        const RUNS_QUEUED = 1 << 27;
        /// Ours, not shown: ends a MULTI block, and so frees memory.
        const ENDS_MULTI = 1 << 28;
        /// Ours, not shown: counts as a use even after CLIENT NO-TOUCH.
        const TOUCHES = 1 << 29;
        /// Ours, not shown: runs at once inside MULTI instead of being queued.
        const UNQUEUED = 1 << 30;
        /// Ours, not shown: allowed only where `enable-debug-command` says so.
        const DEBUG = 1 << 31;
    }
}

impl Flags {
    /// Those that COMMAND INFO shows; MOVABLEKEYS follows from the key specifications.
    pub const SHOWN: Flags = Flags::from_bits_truncate((1 << 20) - 1);
}

bitflags! {
    /// ACL categories.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Categories: u32 {
        const KEYSPACE = 1 << 0;
        const READ = 1 << 1;
        const WRITE = 1 << 2;
        const SET = 1 << 3;
        const SORTEDSET = 1 << 4;
        const LIST = 1 << 5;
        const HASH = 1 << 6;
        const STRING = 1 << 7;
        const BITMAP = 1 << 8;
        const HYPERLOGLOG = 1 << 9;
        const GEO = 1 << 10;
        const STREAM = 1 << 11;
        const PUBSUB = 1 << 12;
        const ADMIN = 1 << 13;
        const FAST = 1 << 14;
        const SLOW = 1 << 15;
        const BLOCKING = 1 << 16;
        const DANGEROUS = 1 << 17;
        const CONNECTION = 1 << 18;
        const TRANSACTION = 1 << 19;
        const SCRIPTING = 1 << 20;
    }
}

/// What COMMAND DOCS tells.
#[derive(Clone, Copy, Debug)]
pub struct Docs {
    pub summary: &'static str,
    /// The version of Redis that introduced it, or of Ringwell for our own.
    pub since: &'static str,
    pub group: Group,
    pub complexity: &'static str,
    /// The arguments behind the name, in the notation of Redis's documentation:
    /// `key value [NX | XX] [GET]`. Empty if there are none.
    pub arguments: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Connection,
    Generic,
    Hash,
    List,
    Server,
    Set,
    SortedSet,
    String,
    Transactions,
}

impl Group {
    pub fn name(self) -> &'static str {
        match self {
            Group::Connection => "connection",
            Group::Generic => "generic",
            Group::Hash => "hash",
            Group::List => "list",
            Group::Server => "server",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::String => "string",
            Group::Transactions => "transactions",
        }
    }
}

impl Command {
    pub fn arity_allows(&self, arguments: usize) -> bool {
        match usize::try_from(self.arity) {
            Ok(exactly) => arguments == exactly,
            Err(_) => arguments >= self.arity.unsigned_abs() as usize,
        }
    }

    /// All ACL categories, those included that follow from the flags (as in Redis's
    /// `setImplicitACLCategories`).
    pub fn categories(&self) -> Categories {
        let mut all = self.categories;
        if self.flags.contains(Flags::WRITE) {
            all |= Categories::WRITE;
        }
        if self.flags.contains(Flags::READONLY) && !all.contains(Categories::SCRIPTING) {
            all |= Categories::READ;
        }
        if self.flags.contains(Flags::ADMIN) {
            all |= Categories::ADMIN | Categories::DANGEROUS;
        }
        if self.flags.contains(Flags::PUBSUB) {
            all |= Categories::PUBSUB;
        }
        if self.flags.contains(Flags::BLOCKING) {
            all |= Categories::BLOCKING;
        }
        all | if self.flags.contains(Flags::FAST) { Categories::FAST } else { Categories::SLOW }
    }

    /// Where the keys are among the arguments, found by the row's specifications or else by its
    /// function. `None` if there is no telling. Arity has been checked.
    pub fn key_ranges(&self, args: Args<'_>) -> Option<KeyRanges> {
        self.keys_by_specs(args).or_else(|| (self.get_keys()?)(args))
    }

    /// The same with [`KeyRange::flags`](super::KeyRange::flags) for just these arguments, where
    /// what is done with a key depends on the options.
    pub fn key_ranges_with_flags(&self, args: Args<'_>) -> Option<KeyRanges> {
        let vary = self.keys.iter().any(|spec| spec.flags.contains(KeyFlags::VARIABLE_FLAGS));
        match self.get_keys().filter(|_| vary) {
            Some(get_keys) => get_keys(args),
            None => self.key_ranges(args),
        }
    }

    fn keys_by_specs(&self, args: Args<'_>) -> Option<KeyRanges> {
        let mut all = KeyRanges::NONE;
        for spec in self.keys.iter().filter(|spec| !spec.flags.contains(KeyFlags::NOT_KEY)) {
            let keys = spec.keys(args)?;
            let none = keys.first == keys.end;
            if none && !self.flags.contains(Flags::NO_MANDATORY_KEYS)
                || spec.flags.contains(KeyFlags::INCOMPLETE)
            {
                return None;
            }
            all = all.with(keys);
        }
        Some(all)
    }

    fn get_keys(&self) -> Option<GetKeys> {
        self.keys.iter().find_map(|spec| spec.get_keys)
    }

    /// Whether it names keys at all.
    pub fn has_keys(&self) -> bool {
        self.keys.iter().any(|spec| !spec.flags.contains(KeyFlags::NOT_KEY))
    }

    /// Whether the range of keys that clients know which are older than key specifications is not
    /// all of its keys.
    pub fn has_movable_keys(&self) -> bool {
        let follow = |pair: &[KeySpec]| {
            let (before, next) = (pair[0].fixed_range(), pair[1].fixed_range());
            matches!((before, next), (Some((_, last, 1)), Some((first, _, 1))) if first == last + 1)
        };
        self.keys.iter().any(|spec| spec.fixed_range().is_none())
            || !self.keys.windows(2).all(follow)
            || self.keys.iter().any(|spec| spec.flags.contains(KeyFlags::INCOMPLETE))
    }

    /// How many arguments each key takes, itself included: MSET's have their values.
    pub fn arguments_per_key(&self) -> usize {
        match self.keys.first().map(|spec| spec.find) {
            Some(FindKeys::Range { step, .. } | FindKeys::KeyNum { step, .. }) => step,
            Some(FindKeys::Unknown) | None => 1,
        }
    }

    /// The arguments that are keys; none if there is no telling. Arity has been checked.
    pub fn key_positions(&self, args: Args<'_>) -> impl Iterator<Item = usize> + use<> {
        self.key_ranges(args).unwrap_or(KeyRanges::NONE).positions()
    }

    /// Those of them at which a client waits if the command is one that may.
    pub fn awaited_positions(&self, args: Args<'_>) -> impl Iterator<Item = usize> + use<> {
        let count = match self.handler {
            Handler::Keyed(_, Spread::Wait(wait)) => match wait.at {
                WaitsAt::EveryKey => usize::MAX,
                WaitsAt::FirstKey(_) => 1,
            },
            _ => 0,
        };
        self.key_positions(args).take(count)
    }

    /// Whether the arguments say where the keys are, and every key has all that goes with it. If
    /// not, the handler is run on nothing, only for the error that it answers with: so handlers
    /// check the words and counts that say where the keys are before anything else.
    pub fn finds_keys(&self, args: Args<'_>) -> bool {
        self.key_ranges(args).is_some() && self.keys.iter().all(|spec| spec.is_complete(args))
    }

    /// Whether its connection's other commands keep their order around it, whatever their keys are:
    /// it has several keys, is an EXEC, or looks at all that a shard holds.
    #[inline]
    pub fn is_fence(&self, args: Args<'_>) -> bool {
        match self.handler {
            Handler::Keyed(_, Spread::OneKey) => false,
            Handler::Keyed(_, Spread::Split(_) | Spread::Hops(_) | Spread::Reaching(_)) => {
                self.key_positions(args).nth(1).is_some() || self.reaches(args)
            }
            _ => true,
        }
    }

    /// Whether the command reads keys that are not among its arguments; see [`Reaching`].
    #[inline]
    pub fn reaches(&self, args: Args<'_>) -> bool {
        match self.handler {
            Handler::Keyed(_, Spread::Reaching(reaching)) => (reaching.reaches)(args),
            _ => false,
        }
    }

    pub fn writes(&self) -> bool {
        self.flags.contains(Flags::WRITE)
    }
}
