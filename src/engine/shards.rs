//! The shards that a core can run commands on: its own, and its neighbours'.
//!
//! Several cores may be run by one thread, in turn. They are neighbours: whichever of them runs has
//! the shards of all of them, so that a command on a neighbour's key runs at once, without a message.
//! A [`ShardSet`] is what is passed on from one to the next.
//!
//! A command on a neighbour's shard is as one that came by message without travelling: it asks for
//! locks like any other. It must not overtake what its connection sent there by message, while the
//! shard was another thread's; and what ends something (a lock, a watch, a wait) is always sent by
//! message, since what began it may still be on its way.
//!
//! What a command leaves in the shard for others (messages, answers, broken watches) is fetched by
//! the shard's own core, which is told so: see [`ShardSet::next_touched`].

use super::event::{Now, ShardId};
use crate::shard::{Shard, ShardSetup};
use crate::store::UnixMs;

/// The shards of the cores that one thread runs.
#[derive(Default)]
pub struct ShardSet {
    /// By id; without an entry, or with an empty one, a shard is not among them. While an engine has
    /// the set, the place of its own shard is empty.
    places: Vec<Place>,
    /// Those that were run on by neighbours, each once, until their own cores have the set.
    touched: Vec<ShardId>,
    /// The sum of what the places say.
    grown: isize,
}

#[derive(Default)]
struct Place {
    shard: Option<Box<Shard>>,
    /// It is among those.
    touched: bool,
    /// What it has grown by since its core said what it holds; to be looked at anew if it `grows`.
    grown: isize,
    grows: bool,
}

impl ShardSet {
    /// Adds the shards of another set, when their cores are run by this thread from now on.
    pub fn adopt(&mut self, other: ShardSet) {
        debug_assert!(other.touched.is_empty(), "its cores have to end their passes first");
        for shard in other.places.into_iter().filter_map(|place| place.shard) {
            self.insert(shard);
        }
    }

    /// Takes the shard of a core out that another thread is to run from now on. What its neighbours
    /// did to it must have been seen to: see [`ShardSet::next_touched`].
    pub fn split_off(&mut self, core: ShardId) -> ShardSet {
        let mut split_off = ShardSet::default();
        let place = self.places.get_mut(core);
        if let Some(shard) = place.and_then(|place| place.shard.take()) {
            debug_assert!(!self.places[core].touched, "its core has to end its pass first");
            split_off.insert(shard);
        }
        split_off
    }

    /// A core whose shard was run on by a neighbour, and that is yet to see to it. In this same
    /// pass, and before any output leaves, it is to be given the set and to end a pass of its own,
    /// as if something had come for it; and so on, until there is none.
    pub fn next_touched(&self) -> Option<ShardId> {
        self.touched.first().copied()
    }

    fn insert(&mut self, shard: Box<Shard>) {
        let id = shard.id();
        if self.places.len() <= id {
            self.places.resize_with(id + 1, Place::default);
        }
        self.places[id].shard = Some(shard);
    }

    /// Its own core has the shard: what it holds from here on is for that core to tell.
    fn take_out(&mut self, id: ShardId) -> Option<Box<Shard>> {
        let place = self.places.get_mut(id)?;
        self.grown -= std::mem::take(&mut place.grown);
        place.grows = false;
        let shard = place.shard.take();
        if std::mem::take(&mut place.touched) {
            self.touched.retain(|touched| *touched != id);
        }
        shard
    }

    /// By how many bytes the shards of neighbours have grown since their cores said what they hold,
    /// which is `told`.
    fn growth(&mut self, told: impl Fn(ShardId) -> usize) -> isize {
        for &id in &self.touched {
            let place = &mut self.places[id];
            if let Some(shard) = &place.shard
                && std::mem::take(&mut place.grows)
            {
                let grown = shard.memory() as isize - told(id) as isize;
                self.grown += grown - std::mem::replace(&mut place.grown, grown);
            }
        }
        self.grown
    }

    fn contains(&self, id: ShardId) -> bool {
        self.places.get(id).is_some_and(|place| place.shard.is_some())
    }

    /// The shard of a neighbour, for something to run on it.
    fn run_on(&mut self, id: ShardId, now: UnixMs) -> Option<&mut Shard> {
        let place = self.places.get_mut(id)?;
        let shard = place.shard.as_mut()?;
        place.grows = true;
        if !std::mem::replace(&mut place.touched, true) {
            self.touched.push(id);
        }
        shard.set_now(now);
        Some(shard)
    }
}

/// The shards that a core can run commands on.
pub(super) struct Shards {
    id: ShardId,
    /// `None` while a neighbour runs, and has it.
    own: Option<Box<Shard>>,
    others: ShardSet,
    now: UnixMs,
}

impl Shards {
    pub fn new(setup: ShardSetup) -> Shards {
        let (id, own) = (setup.id, Some(Box::new(Shard::new(setup))));
        Shards { id, own, others: ShardSet::default(), now: 0 }
    }

    /// See [`super::Engine::take_shards`].
    pub fn take(&mut self) -> ShardSet {
        let mut set = std::mem::take(&mut self.others);
        if let Some(own) = self.own.take() {
            set.insert(own);
        }
        set
    }

    /// See [`super::Engine::give_shards`].
    pub fn give(&mut self, mut set: ShardSet) {
        debug_assert!(self.own.is_none(), "it has shards already");
        self.own = set.take_out(self.id);
        debug_assert!(self.own.is_some(), "without the core's own shard");
        self.others = set;
    }

    /// See [`ShardSet::next_touched`].
    #[inline]
    pub fn next_touched(&self) -> Option<ShardId> {
        self.others.next_touched()
    }

    /// Whether this is the shard of this very core. What must not overtake a message to the shard
    /// goes by this.
    #[inline]
    pub fn is_own(&self, id: ShardId) -> bool {
        id == self.id
    }

    /// Whether something can run on this shard here and now; [`Core::is_at_hand`] tells whether it
    /// may.
    ///
    /// [`Core::is_at_hand`]: super::state::Core::is_at_hand
    #[inline]
    pub fn has(&self, id: ShardId) -> bool {
        id == self.id || self.others.contains(id)
    }

    /// Whether there may be shards but the core's own.
    #[inline]
    pub fn has_neighbours(&self) -> bool {
        !self.others.places.is_empty()
    }

    /// A shard that [`Shards::has`], to look at.
    #[inline]
    pub fn get(&self, id: ShardId) -> &Shard {
        if id == self.id { self.home() } else { self.neighbour(id) }
    }

    /// A shard that [`Shards::has`], for something to run on it.
    #[inline]
    pub fn get_mut(&mut self, id: ShardId) -> &mut Shard {
        if id == self.id { self.home_mut() } else { self.neighbour_mut(id) }
    }

    /// This core's own shard.
    ///
    /// # Panics
    /// If the engine is driven without it, which is a mistake of the driver's.
    #[inline]
    pub fn home(&self) -> &Shard {
        match &self.own {
            Some(own) => own,
            None => not_here(self.id),
        }
    }

    #[inline]
    pub fn home_mut(&mut self) -> &mut Shard {
        match &mut self.own {
            Some(own) => own,
            None => not_here(self.id),
        }
    }

    fn neighbour(&self, id: ShardId) -> &Shard {
        match self.others.places.get(id).and_then(|place| place.shard.as_ref()) {
            Some(shard) => shard,
            None => not_here(id),
        }
    }

    #[inline(never)]
    fn neighbour_mut(&mut self, id: ShardId) -> &mut Shard {
        match self.others.run_on(id, self.now) {
            Some(shard) => shard,
            None => not_here(id),
        }
    }

    /// See [`ShardSet::growth`].
    #[inline]
    pub fn growth_of_neighbours(&mut self, told: impl Fn(ShardId) -> usize) -> isize {
        if self.others.touched.is_empty() { 0 } else { self.others.growth(told) }
    }

    #[inline]
    pub fn set_now(&mut self, now: Now) {
        self.now = now.unix_ms;
        self.home_mut().set_now(now.unix_ms);
    }
}

#[cold]
fn not_here(id: ShardId) -> ! {
    panic!("shard {id} is not here: somebody else has it")
}
