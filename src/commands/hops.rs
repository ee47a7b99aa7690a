//! Commands with keys on several shards that read here and write there, such as RENAME or LMOVE: they
//! are carried out in hops, and only what is needed goes from one shard to another.
//!
//! 1. *Look*, at each key: what the decision needs to know of it.
//! 2. *Decide*, where the connection is: the reply, and what is to change at which key.
//! 3. *Take*, if the decision asks for it: what moves is taken out of its place, or copied there, or
//!    made there of what is sent along, and the decision is made again with it.
//! 4. *Apply*, at the keys that change, before their locks go.
//!
//! From before the first look to behind the last change all keys are locked, so nobody sees anything
//! of it half done. If all keys are on one shard the row's handler runs instead.

use std::collections::BTreeMap;

use super::{CommandError, Context};
use crate::config::Config;
use crate::protocol::Args;
use crate::protocol::reply::Reply;
use crate::store::{Event, Item};

/// The steps of one command; each is about the key that is the argument of the given index.
#[derive(Debug)]
pub struct Hops {
    /// What there is at a key. Changes nothing, except that it may [take](Hops::take) at once what
    /// the command moves whatever is at its other keys. Not everything has been found yet when it
    /// runs, so errors are only findings, too.
    pub look: fn(&mut Context<'_>, Args<'_>, usize) -> Looked,
    /// An error is the reply, and nothing changes.
    pub decide: fn(&mut Findings<'_>, Args<'_>) -> Result<Decision, CommandError>,
    /// What [`Decision::Take`] or, with an item, [`Decision::Send`] asks for. The entry may have been
    /// evicted since, or have expired.
    pub take: fn(&mut Context<'_>, Args<'_>, usize, Option<Item>) -> Looked,
    /// Carries out one change, with no way to refuse it.
    pub apply: fn(&mut Context<'_>, Args<'_>, usize, Change),
}

/// A command that may read keys which it finds named at others, such as SORT with BY. Where it does,
/// all shards are locked whole, and it is carried out in hops even if all of its own keys are on one.
#[derive(Debug)]
pub struct Reaching {
    pub hops: Hops,
    /// Whether it does with these arguments.
    pub reaches: fn(Args<'_>) -> bool,
    /// What there is at a key that was named.
    pub read: fn(&mut Context<'_>, &Name) -> Option<Vec<u8>>,
}

/// A string that a command asks for: the one at a key or, where that is a hash, in one of its fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub key: Vec<u8>,
    pub field: Option<Vec<u8>>,
}

/// What was found at the keys that a [`Reaching`] command has named.
pub type ReadNames = BTreeMap<Name, Option<Vec<u8>>>;

impl Name {
    pub fn bytes(&self) -> usize {
        self.key.len() + self.field.as_ref().map_or(0, Vec::len)
    }
}

pub type Looked = Result<Finding, CommandError>;

/// What has been found at a key.
#[derive(Debug, Default)]
pub enum Finding {
    /// There is nothing, or it does not matter.
    #[default]
    Nothing,
    /// There is something.
    Exists,
    /// How much there is, such as a set's members.
    Count(usize),
    /// A part of what there is, such as one element, or a string.
    Bytes(Vec<u8>),
    /// All of it, taken out or copied.
    Item(Item),
}

/// What changes at a key.
#[derive(Debug)]
pub enum Change {
    /// What the arguments alone say.
    Plain,
    /// These bytes arrive, such as one element.
    Bytes(Vec<u8>),
    /// This arrives in place of whatever is there.
    Item(Item),
}

#[derive(Debug)]
pub enum Decision {
    /// The reply has been written, and these keys change.
    Done(Vec<(usize, Change)>),
    /// What is to be taken at this key is needed first. No key is asked twice.
    Take(usize),
    /// As [`Decision::Take`], with something to make it of there.
    Send(usize, Item),
    /// What there is at these keys is needed first; of a [`Reaching`] command.
    Read(Vec<Name>),
    /// There is nothing at the first key, as the reply says. A client that may wait does so instead.
    Nothing,
}

/// What a decision rests on.
pub struct Findings<'a> {
    pub config: &'a Config,
    /// The database that the connection selected.
    pub db_index: usize,
    /// A number that no client can foresee.
    pub random: u64,
    pub reply: Reply<'a>,
    /// What [`Decision::Read`] has asked for so far.
    pub read: &'a ReadNames,
    found: &'a mut [(usize, Looked)],
}

impl<'a> Findings<'a> {
    /// `found` is what was found at each argument that is a key, in their order.
    pub fn new(
        found: &'a mut [(usize, Looked)],
        read: &'a ReadNames,
        config: &'a Config,
        db_index: usize,
        random: u64,
        reply: Reply<'a>,
    ) -> Self {
        Findings { config, db_index, random, reply, read, found }
    }

    /// Takes the finding at the key that is the argument of this index, or the error there.
    pub fn take(&mut self, position: usize) -> Looked {
        let found = self.found.iter_mut().find(|(at, _)| *at == position);
        debug_assert!(found.is_some(), "argument {position} is no key");
        found.map_or(Ok(Finding::Nothing), |(_, looked)| {
            std::mem::replace(looked, Ok(Finding::Nothing))
        })
    }

    /// Puts back what was taken and is needed no longer, so that it is freed when there is time.
    pub fn give_back(&mut self, position: usize, item: Item) {
        if let Some((_, looked)) = self.found.iter_mut().find(|(at, _)| *at == position) {
            *looked = Ok(Finding::Item(item));
        }
    }

    /// The arguments that are keys, each with what was found there.
    pub fn all(&self) -> &[(usize, Looked)] {
        self.found
    }

    /// Refuses databases that `databases` leaves out.
    pub fn check_database(&self, index: usize) -> Result<(), CommandError> {
        super::context::check_database(self.config, index)
    }
}

impl Finding {
    pub fn exists(&self) -> bool {
        !matches!(self, Finding::Nothing)
    }

    /// Whether there is something, as a finding.
    pub fn of_existence(exists: bool) -> Finding {
        if exists { Finding::Exists } else { Finding::Nothing }
    }

    /// The bytes that it carries; none if it does not.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Finding::Bytes(bytes) => bytes,
            Finding::Nothing | Finding::Exists | Finding::Count(_) | Finding::Item(_) => Vec::new(),
        }
    }

    /// Bytes that it carries.
    pub fn bytes(&self) -> usize {
        match self {
            Finding::Nothing | Finding::Exists | Finding::Count(_) => 0,
            Finding::Bytes(bytes) => bytes.len(),
            Finding::Item(item) => item.bytes(),
        }
    }
}

impl Change {
    /// Bytes that it carries.
    pub fn bytes(&self) -> usize {
        match self {
            Change::Plain => 0,
            Change::Bytes(bytes) => bytes.len(),
            Change::Item(item) => item.bytes(),
        }
    }
}

/// [`Hops::take`] of commands that never ask for it.
pub fn take_nothing(_: &mut Context<'_>, _: Args<'_>, _: usize, _: Option<Item>) -> Looked {
    debug_assert!(false, "nobody asked for anything to be taken");
    Ok(Finding::Nothing)
}

/// [`Hops::apply`] of commands that only read.
pub fn change_nothing(_: &mut Context<'_>, _: Args<'_>, _: usize, _: Change) {
    debug_assert!(false, "the command only reads");
}

/// [`Hops::apply`] of commands that put an item at a key, which gets its name.
pub fn put_item(context: &mut Context<'_>, db: usize, key: &[u8], change: Change, event: Event) {
    let now = context.now;
    match change {
        Change::Item(item) => context.shard.db_mut(db).insert(item.with_key(key), now, event),
        other => debug_assert!(false, "{other:?} is not an item"),
    }
}
